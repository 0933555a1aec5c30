//! The run stage: gives each open run to its plugin, and commits what it asks for.
//!
//! In comes a [`QueuedRun`], handed over in memory by the commit that made it or read from the store; out goes one
//! transaction with everything that the run asked for, or a failed execution that is written down. Runs about one entity
//! follow one another in the order of acceptance ([`lane`]); different entities run side by side, up to a number.
//!
//! What a plugin does for a tenant is a flow. Each flow sees the store through a [`window`] of its own, with a share of memory,
//! and takes its [`turns`] with the others; so a backlog, a slow plugin or a stuck entity delays nobody else, and memory is
//! bounded whatever waits. The store is the queue: what is handed over is a hint, and [`reading`] finds what no hint told of.
//!
//! What can go wrong: a plugin fails (it is executed again with growing pauses and at last set aside), the store cannot
//! be reached (the run waits in memory and in the store, nothing is lost), the host dies (the run is still in the store).
//! Nothing in here sends anything: the only way out of a plugin is its outcome.

mod alert;
mod execute;
mod executor;
mod failure;
mod flows;
mod lane;
mod lateness;
mod reading;
mod runner;
mod settings;
mod timers;
mod turns;
mod window;

use std::sync::Arc;

pub use executor::Executor;
pub use settings::Settings;

use crate::{
    clock::Clock,
    domain::run::QueuedRun,
    shutdown::Shutdown,
    store::{Handover, Store, handover::Inlet},
};
pub use alert::Alerts;
pub use lateness::{Lateness, Summary as LatenessSummary};
use runner::Runner;

/// What the run stage works with.
pub struct Parts {
    pub store: Arc<dyn Store>,
    pub clock: Arc<dyn Clock>,
    pub plugins: Arc<dyn Executor>,
    pub settings: Settings,
    pub alerts: Alerts,
    pub lateness: Arc<Lateness>,
}

/// Runs until it is to stop; then takes no new runs, lets those that are executing end while there is time, and returns.
pub async fn work(parts: Parts, inlet: Inlet<QueuedRun>, handover: Handover, shutdown: Shutdown) {
    let parts = Arc::new(parts);
    let timers = tokio::spawn(timers::fire(
        parts.store.clone(),
        parts.clock.clone(),
        handover.timers_due,
        parts.settings.sweep(),
        shutdown.stop.clone(),
    ));
    Runner::new(parts, inlet).work(shutdown).await;
    if let Err(error) = timers.await {
        tracing::error!(%error, "the timer loop ended badly");
    }
}

/// Executes one run and commits what came of it: for whoever drives the stage by hand, in simulated time. What follows, another
/// execution included, is in the store.
pub async fn execute(parts: &Parts, run: QueuedRun) {
    execute::execute(parts, run).await;
}
