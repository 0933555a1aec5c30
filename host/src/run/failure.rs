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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        domain::run::{Cause, Delivery, EntityKey, NewRun},
        domain::{customer::Channel, status::MessageState},
        ids::{Entity, MessageId, PluginName, RunId, TenantId},
    };

    fn run(id: [u8; 16], attempts: u32) -> QueuedRun {
        let key =
            EntityKey { tenant: TenantId::default_tenant(), plugin: PluginName::from("p"), entity: Entity::from("e") };
        let delivery = Delivery {
            message: MessageId([1; 16]),
            tag: None,
            customer: None,
            state: MessageState::Read,
            settled: true,
            channel: Channel::Sms,
            time: Timestamp(0),
            code: None,
            detail: None,
        };
        let run = NewRun { id: RunId(id), key, customer: None, cause: Cause::Delivery(delivery), hold_up: true };
        QueuedRun { seq: 1, attempts, not_before: Timestamp(0), accepted: Timestamp(0), run }
    }

    fn fault() -> RunFailure {
        RunFailure::Fault { message: String::new(), backtrace: Vec::new() }
    }

    /// The pause in milliseconds; `None` where it is set aside.
    fn pause_ms(run: &QueuedRun, failure: &RunFailure, policy: &RetryPolicy, now: i64) -> Option<i64> {
        match verdict(run, failure, policy, Timestamp(now)) {
            FailureVerdict::Again(at) => Some(at.0 - now),
            FailureVerdict::SetAside => None,
        }
    }

    fn ms(duration: Duration) -> i64 {
        i64::try_from(duration.as_millis()).unwrap()
    }

    proptest! {
        #[test]
        fn a_run_is_executed_so_often_with_pauses_that_double_up_to_the_longest(
            id in any::<[u8; 16]>(),
            attempts in 1_u32..40,
            first_ms in 1_u64..600_000,
            longest_ms in 1_u64..86_400_000,
            now in 0_i64..4_000_000_000_000,
        ) {
            let (first, longest) = (Duration::from_millis(first_ms), Duration::from_millis(longest_ms));
            let policy = RetryPolicy { attempts, first, longest, hold_up: true };
            let mut plain = first.min(longest);
            for executed in 0..attempts {
                let run = run(id, executed);
                let pause = pause_ms(&run, &fault(), &policy, now);
                prop_assert_eq!(pause, pause_ms(&run, &fault(), &policy, now), "the same wherever it is computed");
                prop_assert_eq!(pause.is_none(), executed + 1 == attempts);
                let Some(pause) = pause else { break };
                prop_assert!(pause >= ms(plain), "execution {executed}: {pause} ms is before {plain:?}");
                prop_assert!(pause <= ms(plain + plain / 5) + 1, "execution {executed}: {pause} ms is after {plain:?}");
                prop_assert!(pause <= ms(longest + longest / 5) + 1);
                plain = (plain * 2).min(longest);
            }
        }

        #[test]
        fn what_a_plugin_wishes_for_is_honoured_up_to_the_longest(
            id in any::<[u8; 16]>(),
            wish_ms in proptest::option::of(0_u64..100_000_000),
            first_ms in 1_u64..10_000,
            longest_ms in 10_000_u64..1_000_000,
        ) {
            let policy = RetryPolicy {
                attempts: 5,
                first: Duration::from_millis(first_ms),
                longest: Duration::from_millis(longest_ms),
                hold_up: true,
            };
            let wish = RunFailure::Retry { message: String::new(), after_ms: wish_ms, detail: None };
            let pause = pause_ms(&run(id, 0), &wish, &policy, 0).unwrap();
            let plain = wish_ms.unwrap_or(0).max(first_ms).min(longest_ms);
            prop_assert!(pause >= i64::try_from(plain).unwrap(), "{pause} ms for {plain}");
            prop_assert!(pause <= i64::try_from(plain + plain / 5 + 1).unwrap(), "{pause} ms for {plain}");
            let reject = RunFailure::Reject { message: String::new(), detail: None };
            prop_assert_eq!(pause_ms(&run(id, 0), &reject, &policy, 0), None);
        }
    }
}
