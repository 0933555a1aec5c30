//! `relais:plugin/timers`: alarms of the entity.

use super::{Misuse, RunState, instant, timestamp};
use crate::{
    domain::run::TimerChange,
    plugin::{bindings::timers, limiter::LimitReached},
};

impl timers::Host for RunState {
    fn set(&mut self, key: String, due: f64, data: String, expires: Option<f64>) -> wasmtime::Result<()> {
        self.call()?;
        self.key("timers.set key", &key)?;
        if !self.plugin.manifest.on_timer {
            return Err(Misuse("timers.set: nobody would be called; add [on-timer] to plugin.toml".to_owned()).into());
        }
        self.json(&format!("timer `{key}`"), &data)?;
        let due = timestamp("timers.set due", due)?;
        let expires = expires.map(|at| timestamp("timers.set expires", at)).transpose()?;
        self.effect(key.len() + data.len())?;
        self.outcome.timers.insert(key, TimerChange::Set { due, expires, data });
        let set = self.outcome.timers.values().filter(|change| matches!(change, TimerChange::Set { .. })).count();
        let allowed = self.plugin.budget.timers;
        if set as u64 > u64::from(allowed) {
            return Err(LimitReached::wished("timers", allowed).into());
        }
        Ok(())
    }

    fn cancel(&mut self, key: String) -> wasmtime::Result<()> {
        self.call()?;
        // Nothing is written for a timer that was never there.
        if self.snapshot.timers.contains_key(&key) {
            self.outcome.timers.insert(key, TimerChange::Cancel);
        } else {
            self.outcome.timers.remove(&key);
        }
        Ok(())
    }

    fn get(&mut self, key: String) -> wasmtime::Result<Option<timers::Timer>> {
        self.call()?;
        Ok(match self.outcome.timers.get(&key) {
            Some(TimerChange::Cancel) => None,
            Some(TimerChange::Set { due, data, .. }) => Some(timers::Timer {
                due: instant(*due),
                customer: self.customer().map(ToString::to_string),
                data: data.clone(),
                set_by: self.plugin.manifest.version.clone(),
                attributes: Vec::new(),
                key,
            }),
            None => self.snapshot.timers.get(&key).map(|timer| timers::Timer {
                key,
                due: instant(timer.due),
                customer: timer.customer.as_ref().map(ToString::to_string),
                data: timer.data.clone(),
                set_by: timer.set_by.clone(),
                attributes: Vec::new(),
            }),
        })
    }
}
