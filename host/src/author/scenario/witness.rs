//! Who executes the runs of a scenario: the real plugins, twice for each run, with what was seen written down.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use super::http::{Made, Services};
use crate::{
    domain::{
        event::Event,
        run::{Outcome, QueuedRun, RunFailure, RunReport},
    },
    ids::PluginName,
    plugin::{Execution, Finished, Plugins, RetryPolicy, Routing, Work},
    run::Executor,
};

/// One execution, as it was seen.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) run: QueuedRun,
    pub(super) result: Result<Outcome, RunFailure>,
    pub(super) report: RunReport,
    /// What it asked services for, the first time.
    pub(super) requests: Vec<Made>,
    /// What came of it the second time, where that was something else.
    pub(super) again: Option<Result<Outcome, RunFailure>>,
}

pub(super) struct Witness {
    plugins: Arc<Plugins>,
    services: Arc<Services>,
    seen: Mutex<Vec<Seen>>,
}

impl Witness {
    pub(super) fn new(plugins: Arc<Plugins>, services: Arc<Services>) -> Witness {
        Witness { plugins, services, seen: Mutex::default() }
    }

    /// What was seen since the last time that this was asked.
    pub(super) fn take(&self) -> Vec<Seen> {
        std::mem::take(&mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn last_failure(&self) -> Option<RunFailure> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.last()?.result.as_ref().err().cloned()
    }
}

#[async_trait]
impl Executor for Witness {
    fn retry(&self, plugin: &PluginName) -> Option<RetryPolicy> {
        Executor::retry(&*self.plugins, plugin)
    }

    fn route(&self, event: &Arc<Event>) -> Routing {
        self.plugins.route(event)
    }

    async fn execute(&self, work: Work) -> Execution {
        let run = work.run.clone();
        let second = Work { run: run.clone(), snapshot: work.snapshot.clone(), now: work.now, seed: work.seed };
        let first = self.plugins.execute(work).await;
        let requests = self.services.take();
        let second = outcome(&self.plugins.execute(second).await.result);
        // The same once more, and where not, it comes out otherwise as well.
        self.services.take();
        let result = outcome(&first.result);
        let again = differs(&result, &second).then_some(second);
        let seen = Seen { run, result, report: first.report.clone(), requests, again };
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).push(seen);
        first
    }
}

fn outcome(result: &Result<Finished, RunFailure>) -> Result<Outcome, RunFailure> {
    match result {
        Ok(finished) => Ok(finished.outcome.clone()),
        Err(failure) => Err(failure.clone()),
    }
}

/// Whether the second execution came to something else. How far a run came before it was stopped is the machine's chance, and so
/// is the host's own trouble.
fn differs(first: &Result<Outcome, RunFailure>, second: &Result<Outcome, RunFailure>) -> bool {
    let by_chance = |result: &Result<Outcome, RunFailure>| {
        matches!(result, Err(RunFailure::Limit { .. } | RunFailure::Host { .. }))
    };
    first != second && !by_chance(first) && !by_chance(second)
}
