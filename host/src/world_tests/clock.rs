//! The clock of one simulated machine: runs with the simulated time, and is set forward and back.

use std::sync::Mutex;

use async_trait::async_trait;
use tokio::{sync::watch, time::Instant};

use crate::clock::{Clock, Timestamp};

/// When every world begins.
pub(super) const BEGIN: Timestamp = Timestamp(1_700_000_000_000);

pub(super) struct MachineClock {
    epoch: Instant,
    ahead_ms: Mutex<i64>,
    moved: watch::Sender<()>,
}

impl MachineClock {
    pub(super) fn new(epoch: Instant) -> MachineClock {
        MachineClock { epoch, ahead_ms: Mutex::new(0), moved: watch::Sender::new(()) }
    }

    /// Somebody sets it: `ms` ahead of the simulated time from now on.
    pub(super) fn set(&self, ms: i64) {
        *self.ahead_ms.lock().unwrap() = ms;
        self.moved.send_replace(());
    }
}

#[async_trait]
impl Clock for MachineClock {
    fn now(&self) -> Timestamp {
        Timestamp(BEGIN.plus(self.epoch.elapsed()).0 + *self.ahead_ms.lock().unwrap())
    }

    async fn sleep_until(&self, until: Timestamp) {
        let mut moved = self.moved.subscribe();
        loop {
            let left = until.since(self.now());
            if left.is_zero() {
                return;
            }
            let _ = tokio::time::timeout(left, moved.changed()).await;
        }
    }
}
