//! What is measured: latencies, and a process's CPU time and memory as the kernel accounts for them.

use std::time::Duration;

use anyhow::Context;

#[derive(Default)]
pub(super) struct Latencies(Vec<Duration>);

impl Latencies {
    pub(super) fn new(latencies: Vec<Duration>) -> Latencies {
        Latencies(latencies)
    }

    /// The smallest latency that `percent` of all do not exceed.
    pub(super) fn percentile(&mut self, percent: f64) -> Duration {
        self.0.sort_unstable();
        let place = (self.0.len() as f64 * percent / 100.0).ceil() as usize;
        self.0.get(place.saturating_sub(1)).copied().unwrap_or_default()
    }
}

#[derive(Clone, Copy)]
pub(super) struct Cpu {
    pub user: Duration,
    pub system: Duration,
}

impl Cpu {
    /// Of a process with all of its threads.
    pub(super) fn of(process: u32) -> anyhow::Result<Cpu> {
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).context("the host has ended")?;
        // The name in parentheses may hold spaces; fields are counted from behind it.
        let fields: Vec<&str> =
            stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace().collect()).unwrap_or_default();
        let ticks = |place: usize| {
            fields.get(place).and_then(|ticks| ticks.parse::<u64>().ok()).context("/proc is not as expected")
        };
        // USER_HZ is 100 on every Linux that this runs on, whatever the kernel's own tick.
        let span = |ticks: u64| Duration::from_millis(ticks * 10);
        Ok(Cpu { user: span(ticks(11)?), system: span(ticks(12)?) })
    }

    pub(super) fn since(self, before: Cpu) -> Cpu {
        Cpu { user: self.user.saturating_sub(before.user), system: self.system.saturating_sub(before.system) }
    }
}

pub(super) struct Memory {
    pub resident_kib: u64,
    pub peak_kib: u64,
}

impl Memory {
    pub(super) fn of(process: u32) -> anyhow::Result<Memory> {
        let status = std::fs::read_to_string(format!("/proc/{process}/status")).context("the host has ended")?;
        let line = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim_start_matches(':').split_whitespace().next()?.parse().ok()
        };
        Ok(Memory {
            resident_kib: line("VmRSS").context("/proc is not as expected")?,
            peak_kib: line("VmHWM").context("/proc is not as expected")?,
        })
    }
}
