//! What follows from a failed execution: again after a pause, or set aside.

use std::time::Duration;

use super::execute::PLUGIN_MISSING_PAUSE;
use crate::{
    clock::Timestamp,
    domain::run::{QueuedRun, RunFailure},
    plugin::RetryPolicy,
    store::FailureVerdict,
};

/// Decides by what the plugin said, its manifest's `[retry]`, and how often the run was executed.
pub(super) fn verdict(run: &QueuedRun, failure: &RunFailure, policy: &RetryPolicy, now: Timestamp) -> FailureVerdict {
    let wish = match failure {
        RunFailure::Reject { .. } => return FailureVerdict::SetAside,
        RunFailure::Retry { after_ms, .. } => after_ms.map(Duration::from_millis),
        RunFailure::Fault { .. } | RunFailure::Limit { .. } | RunFailure::Host { .. } => None,
    };
    let executed = run.attempts + 1;
    if executed >= policy.attempts {
        return FailureVerdict::SetAside;
    }
    let pause = pause(policy, executed).max(wish.unwrap_or_default()).min(policy.longest);
    FailureVerdict::Again(now.plus(spread(pause, run)))
}

/// The longest that a run of a plugin is ever put off, with a margin: what is put off further was so by a clock that has been
/// set back since, and is not waited for. A plugin that is not loaded may have had any policy; its runs wait for it anyway.
pub(super) fn longest(policy: Option<RetryPolicy>) -> Duration {
    let longest = policy.unwrap_or_default().longest.mul_f64(1.0 + SPREAD).max(PLUGIN_MISSING_PAUSE);
    longest.saturating_add(Duration::from_secs(1))
}

/// Doubles with each execution, up to the longest.
fn pause(policy: &RetryPolicy, executed: u32) -> Duration {
    // 2^20 pauses of a millisecond are already longer than any `longest` that makes sense.
    let doublings = executed.saturating_sub(1).min(20);
    policy.first.saturating_mul(1 << doublings).min(policy.longest)
}

const SPREAD: f64 = 0.2;

/// Up to a fifth longer, so that runs that failed together do not come back together. It follows from the run's id: the
/// same run waits the same time wherever it is computed.
fn spread(pause: Duration, run: &QueuedRun) -> Duration {
    let [byte, ..] = run.run.id.0;
    pause + pause.mul_f64(f64::from(byte) / 255.0 * SPREAD)
}
