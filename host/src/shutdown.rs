//! How a host ends: it takes nothing new, what is in progress gets its time, and what is not done by then is left in the store.
//!
//! Both steps are tokens that every part holds. The first is cancelled by whoever is asked to stop; the second by
//! [`out_of_time`], once the grace period is over or somebody asks again. Nothing is lost by the second: a run that had
//! not committed is executed at the next start, and an attempt whose answer is not written down is in doubt there, as after
//! a crash.

use std::{future::Future, time::Duration};

use tokio_util::sync::CancellationToken;

#[derive(Clone, Default)]
pub struct Shutdown {
    /// Take nothing new, and end what is in progress.
    pub stop: CancellationToken,
    /// Leave what is in progress.
    pub abandon: CancellationToken,
}

impl Shutdown {
    pub fn new(stop: CancellationToken) -> Shutdown {
        Shutdown { stop, abandon: CancellationToken::new() }
    }

    /// Waits for the stop; then says [`Shutdown::abandon`] after the grace period, or when `hurry` comes.
    pub async fn out_of_time(&self, grace: Duration, hurry: impl Future<Output = ()>) {
        self.stop.cancelled().await;
        tokio::select! {
            () = tokio::time::sleep(grace) => tracing::warn!(?grace, "the grace period is over"),
            () = hurry => tracing::warn!("asked to stop again: what is in progress is left for the next start"),
        }
        self.abandon.cancel();
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    #[tokio::test]
    async fn the_grace_begins_with_the_stop_and_is_cut_short_by_asking_again() {
        let (brief, long) = (Duration::from_millis(20), Duration::from_secs(3600));
        let shutdown = Shutdown::default();
        let waiting = tokio::time::timeout(brief * 5, shutdown.out_of_time(brief, ready(()))).await;
        assert!(waiting.is_err() && !shutdown.abandon.is_cancelled(), "nobody has asked to stop");

        shutdown.stop.cancel();
        shutdown.out_of_time(brief, pending()).await;
        assert!(shutdown.abandon.is_cancelled());

        let hurried = Shutdown::new(shutdown.stop.clone());
        hurried.out_of_time(long, ready(())).await;
        assert!(hurried.abandon.is_cancelled());
    }
}
