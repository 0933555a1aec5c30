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
    why: String,
    unreachable: u32,
}

impl Circuits {
    /// Why the account rests, and until when.
    pub(super) fn rests(&self, account: &str, now: Timestamp) -> Option<(Timestamp, String)> {
        let circuits = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let circuit = circuits.get(account)?;
        let until = circuit.rests_until.filter(|until| *until > now)?;
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
