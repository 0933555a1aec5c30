//! One circuit per provider account: after an error that every message would meet, the account rests.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use crate::clock::Timestamp;

/// Consecutive failures to reach a provider after which its account rests.
const UNREACHABLE_MAX: u32 = 5;

#[derive(Default)]
pub struct Circuits(Mutex<HashMap<String, Circuit>>);

#[derive(Default)]
struct Circuit {
    rests_until: Option<Timestamp>,
    /// How long it rests at most: a longer rest is one from before the clock was set back.
    rest: Duration,
    why: String,
    unreachable: u32,
}

impl Circuits {
    /// Why the account rests, and until when.
    pub(super) fn rests(&self, account: &str, now: Timestamp) -> Option<(Timestamp, String)> {
        let mut circuits = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let circuit = circuits.get_mut(account)?;
        let until = circuit.rests_until.filter(|until| *until > now)?.min(now.plus(circuit.rest));
        circuit.rests_until = Some(until);
        Some((until, circuit.why.clone()))
    }

    /// The account took a message: whatever was wrong is over.
    pub(super) fn works(&self, account: &str) {
        let mut circuits = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if circuits.remove(account).is_some_and(|circuit| circuit.rests_until.is_some()) {
            tracing::info!(account, "the provider account works again");
        }
    }

    pub(super) fn broken(&self, account: &str, why: &str, now: Timestamp, rest: Duration) {
        let mut circuits = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let circuit = circuits.entry(account.to_owned()).or_default();
        circuit.rests_until = Some(now.plus(rest));
        circuit.rest = rest;
        circuit.why = why.to_owned();
        tracing::error!(
            account,
            why,
            rest_s = rest.as_secs(),
            "the provider account rests: every message would fail alike"
        );
    }

    pub(super) fn unreachable(&self, account: &str, why: &str, now: Timestamp, rest: Duration) {
        let open = {
            let mut circuits = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let circuit = circuits.entry(account.to_owned()).or_default();
            circuit.unreachable += 1;
            circuit.unreachable >= UNREACHABLE_MAX
        };
        if open {
            self.broken(account, why, now, rest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REST: Duration = Duration::from_secs(60);

    #[test]
    fn an_account_rests_no_longer_because_the_clock_was_set_back() {
        let circuits = Circuits::default();
        let until = |ms: i64| circuits.rests("meta/main", Timestamp(ms)).map(|(until, _)| until.0);
        circuits.broken("meta/main", "no permission", Timestamp(3_600_000), REST);
        assert_eq!(until(3_630_000), Some(3_660_000));
        assert_eq!(until(30_000), Some(90_000), "it was set back by an hour");
        assert_eq!((until(80_000), until(90_000)), (Some(90_000), None), "and does not begin to rest anew each time");
    }

    #[test]
    fn an_account_rests_after_several_failures_to_reach_it_and_not_after_one() {
        let circuits = Circuits::default();
        for no in 1..=UNREACHABLE_MAX {
            assert!(circuits.rests("cm/main", Timestamp(0)).is_none(), "after {} failures", no - 1);
            circuits.unreachable("cm/main", "timed out", Timestamp(0), REST);
        }
        assert!(circuits.rests("cm/main", Timestamp(0)).is_some());
        circuits.works("cm/main");
        assert!(circuits.rests("cm/main", Timestamp(0)).is_none());
    }
}
