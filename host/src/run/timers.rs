//! Makes runs of timers whose time has come.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use crate::{
    clock::{Clock, Timestamp},
    store::{Store, handover::Due},
};

/// Timers made into runs by one transaction: enough to drain many at once, few enough to let others write in between.
const BATCH: u32 = 500;
/// After the store could not be written.
const TROUBLE_PAUSE: Duration = Duration::from_secs(1);

/// Fires timers until `stop`. Whatever it was told or not, it looks every `sweep`: what it is told is lost with a commit whose
/// answer is, and a timer that a transaction held on to while it was looked for was not found.
pub(super) async fn fire(
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    due: Arc<Due>,
    sweep: Duration,
    stop: CancellationToken,
) {
    loop {
        due.forget();
        let wake_at = match store.fire_timers(clock.now(), BATCH).await {
            Ok(fired) => {
                if fired.expired > 0 {
                    tracing::info!(count = fired.expired, "timers were too late to be of use and were dropped");
                }
                let next = fired.next_due.unwrap_or(Timestamp::NEVER);
                due.known(next);
                next
            }
            Err(error) => {
                tracing::warn!(%error, "timers cannot be fired now; trying again in a second");
                // Not by the clock: it may be set back meanwhile.
                tokio::select! {
                    _ = stop.cancelled() => return,
                    _ = tokio::time::sleep(TROUBLE_PAUSE) => continue,
                }
            }
        };
        tokio::select! {
            _ = stop.cancelled() => return,
            _ = due.earlier() => {}
            _ = clock.sleep_until(wake_at) => {}
            // By the machine's time: hints are lost in that time, whatever the host's clock says.
            _ = tokio::time::sleep(sweep) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{
        clock::AdjustableClock,
        domain::run::{Outcome, TimerChange},
        store::{
            contract_tests::done,
            handover::handover,
            memory::{Fair, Flaws, MemoryStore},
        },
    };

    #[tokio::test(start_paused = true)]
    async fn a_timer_of_which_nobody_told_is_found_by_looking() {
        let tables = Arc::default();
        let (told, mut inlets) = handover(8, 1);
        let open = |handover| MemoryStore::open(Arc::clone(&tables), handover, Arc::new(Fair), Flaws::default());
        let (store, other) = (Arc::new(open(told.clone())), open(handover(8, 1).0));
        let clock = Arc::new(AdjustableClock::starting_at(Timestamp(1_700_000_000_000)));
        let stop = CancellationToken::new();
        let firing = tokio::spawn(fire(store, clock, told.timers_due.clone(), Duration::from_secs(5), stop.clone()));
        // It has looked, and found nothing, when the other sets one.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let set = TimerChange::Set { due: Timestamp(1), expires: None, data: "null".into() };
        let timers = BTreeMap::from([("remind".to_owned(), set)]);
        done(&other, "1", Outcome { timers, ..Outcome::default() }).await;
        let run = tokio::time::timeout(Duration::from_secs(60), inlets.runs.queue.recv()).await;
        assert!(matches!(run, Ok(Some(_))), "{run:?}");
        stop.cancel();
        firing.await.unwrap();
    }
}
