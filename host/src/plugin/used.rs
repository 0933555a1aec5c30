//! What a run used of each limit, and the rest of its report.

use std::time::Duration;

use super::{calls::RunState, long::Pace};
use crate::domain::{
    run::{RunReport, TimerChange},
    usage::{Limit, Usage},
};

impl RunState {
    /// What is told of the run once it has ended, well or not. It takes the log and the refusals out of the state.
    pub(super) fn report(&mut self, pace: &Pace) -> RunReport {
        let took = pace.took();
        RunReport {
            plugin_version: self.plugin.manifest.version.clone(),
            took,
            took_us: us(took),
            cpu_ticks: self.ticks,
            memory_bytes: self.limiter.memory_bytes,
            host_calls: self.host_calls,
            used: self.used(pace),
            log: self.log.take(),
            denied: std::mem::take(&mut self.denied),
            refused: std::mem::take(&mut self.refused),
            evidence: None,
        }
    }

    fn used(&self, pace: &Pace) -> Usage {
        let (budget, limiter, outcome) = (&self.plugin.budget, &self.limiter, &self.outcome);
        let timers = outcome.timers.values().filter(|change| matches!(change, TimerChange::Set { .. })).count();
        let may_ask = !self.plugin.capabilities.effective.http.is_empty();
        let requests_allowed = if may_ask { self.shared.http.requests.into() } else { 0 };
        let mut usage = Usage::default();
        for (limit, used, allowed) in [
            (Limit::Cpu, pace.computed_us(), us(budget.cpu.0)),
            (Limit::Time, us(pace.own_time()), us(budget.time.0)),
            (Limit::Memory, limiter.memory_bytes, budget.memory.0),
            (Limit::Memories, limiter.memories, budget.memories.into()),
            (Limit::Tables, limiter.tables, budget.tables.into()),
            (Limit::TableElements, limiter.table_elements, budget.table_elements.into()),
            (Limit::HostCalls, self.host_calls.into(), budget.host_calls.into()),
            (Limit::RandomBytes, self.random_bytes, budget.random_bytes.0),
            (Limit::LogBytes, self.log.written(), budget.log_bytes.0),
            (Limit::Messages, outcome.messages.len() as u64, budget.messages.into()),
            (Limit::Timers, timers as u64, budget.timers.into()),
            (Limit::Events, outcome.events.len() as u64, budget.events.into()),
            (Limit::State, self.state_bytes.unwrap_or(0), budget.state.0),
            (Limit::EffectBytes, self.effect_bytes, budget.effect_bytes.0),
            (Limit::HttpRequests, u64::from(self.requests).min(requests_allowed), requests_allowed),
        ] {
            usage.set(limit, used, allowed);
        }
        usage
    }
}

fn us(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
