//! What a run used of what it was allowed.

use std::time::Duration;

use serde::Serialize;

use crate::{
    domain::run::{EntitySnapshot, Outcome, RunReport, StateChange, TimerChange},
    plugin::{Budget, LimitSettings},
};

/// One limit: used of allowed, in a unit that a person reads.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Use {
    pub limit: &'static str,
    pub used: f64,
    pub allowed: f64,
    pub unit: &'static str,
}

/// Of a run that was executed, each limit that it came near to or not.
pub(in crate::author) fn used(
    report: &RunReport,
    outcome: Option<&Outcome>,
    snapshot: &EntitySnapshot,
    budget: &Budget,
    limits: &LimitSettings,
) -> Vec<Use> {
    let log: usize = report.log.iter().map(|line| line.message.len()).sum();
    let messages = outcome.map_or(0, |outcome| outcome.messages.len());
    let timers = outcome.map_or(0, |outcome| {
        outcome.timers.values().filter(|change| matches!(change, TimerChange::Set { .. })).count()
    });
    // Computing is counted in ticks, but is never more than the whole took.
    let took_ms = millis(report.took);
    let cpu_ms = took_ms.min(millis(budget.cpu.0).min(f64::from(report.cpu_ticks.saturating_add(1)) * TICK_MS));
    vec![
        of("cpu", cpu_ms, millis(budget.cpu.0), "ms"),
        of("time", took_ms, millis(budget.time.0), "ms"),
        of("memory", mib(report.memory_bytes), mib(budget.memory.0), "MiB"),
        of("messages", count(messages), f64::from(budget.messages), ""),
        of("timers", count(timers), f64::from(budget.timers), ""),
        of("state", kib(state_bytes(outcome, snapshot)), kib(budget.state.0), "KiB"),
        of("host-calls", f64::from(report.host_calls), f64::from(limits.host_calls), ""),
        of("log", kib(log as u64), kib(limits.log_bytes.0), "KiB"),
    ]
}

/// The grain in which the host counts computing.
const TICK_MS: f64 = 10.0;

fn of(limit: &'static str, used: f64, allowed: f64, unit: &'static str) -> Use {
    // A tenth is as fine as anybody needs it.
    Use { limit, used: (used * 10.0).round() / 10.0, allowed: (allowed * 10.0).round() / 10.0, unit }
}

/// All keys and values of the entity together, with this run's changes.
fn state_bytes(outcome: Option<&Outcome>, snapshot: &EntitySnapshot) -> u64 {
    let changed = outcome.map(|outcome| &outcome.state);
    let kept = snapshot.state.iter().filter(|(key, _)| changed.is_none_or(|changed| !changed.contains_key(*key)));
    let kept: usize = kept.map(|(key, entry)| key.len() + entry.value.len()).sum();
    let set = changed.into_iter().flatten().map(|(key, change)| match change {
        StateChange::Set(entry) => key.len() + entry.value.len(),
        StateChange::Remove => 0,
    });
    (kept + set.sum::<usize>()) as u64
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

#[expect(clippy::cast_precision_loss, reason = "for a person's eyes, to a tenth")]
fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

#[expect(clippy::cast_precision_loss, reason = "for a person's eyes, to a tenth")]
fn kib(bytes: u64) -> f64 {
    bytes as f64 / 1024.0
}

#[expect(clippy::cast_precision_loss, reason = "a count that fits a run")]
fn count(number: usize) -> f64 {
    number as f64
}

impl std::fmt::Display for Use {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let unit = if self.unit.is_empty() { String::new() } else { format!(" {}", self.unit) };
        write!(f, "{} {} of {}{unit}", self.limit, self.used, self.allowed)
    }
}
