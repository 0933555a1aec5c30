//! Endpoints that rest: one that failed again and again is left alone for a while, so that it costs neither it nor us much.
//!
//! Kept in memory: a host that takes an endpoint over finds out by itself.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use super::Settings;
use crate::{clock::Timestamp, ids::EndpointId};

#[derive(Default)]
pub(super) struct Rests(Mutex<HashMap<EndpointId, Rest>>);

#[derive(Clone, Copy)]
struct Rest {
    /// Failures since it last took something.
    failures: u32,
    until: Timestamp,
}

impl Rests {
    /// Until when it rests; 0 where it does not.
    pub(super) fn until(&self, id: EndpointId) -> Timestamp {
        self.get(id).map_or(Timestamp(0), |rest| rest.until)
    }

    /// Whether it failed so often that it is tried with one notice at a time.
    pub(super) fn doubtful(&self, id: EndpointId, settings: &Settings) -> bool {
        self.get(id).is_some_and(|rest| rest.failures >= settings.rest_after)
    }

    pub(super) fn well(&self, id: EndpointId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }

    pub(super) fn failed(&self, id: EndpointId, settings: &Settings, now: Timestamp) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let rest = all.entry(id).or_insert(Rest { failures: 0, until: Timestamp(0) });
        rest.failures = rest.failures.saturating_add(1);
        if rest.failures >= settings.rest_after {
            rest.until = now.plus(settings.rest());
        }
    }

    fn get(&self, id: EndpointId) -> Option<Rest> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&id).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_that_fails_in_a_row_rests_until_it_takes_something() {
        let (rests, id) = (Rests::default(), EndpointId([1; 16]));
        let settings = Settings { rest_after: 2, rest_s: 30, ..Settings::default() };
        rests.failed(id, &settings, Timestamp(1_000));
        assert!(!rests.doubtful(id, &settings) && rests.until(id) == Timestamp(0));
        rests.failed(id, &settings, Timestamp(2_000));
        assert!(rests.doubtful(id, &settings) && rests.until(id) == Timestamp(32_000));
        rests.well(id);
        assert!(!rests.doubtful(id, &settings) && rests.until(id) == Timestamp(0));
    }
}
