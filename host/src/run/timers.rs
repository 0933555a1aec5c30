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

/// Fires timers until `stop`.
pub(super) async fn fire(store: Arc<dyn Store>, clock: Arc<dyn Clock>, due: Arc<Due>, stop: CancellationToken) {
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
        }
    }
}
