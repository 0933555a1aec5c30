//! One execution of one run: read, execute, commit.

use std::{sync::Arc, time::Duration};

use super::{Parts, failure};
use crate::{
    clock::Timestamp,
    domain::{
        event::Event,
        run::{Cause, EmittedEvent, EntityKey, NewRun, Outcome, QueuedRun, RunFailure, RunReport},
    },
    ids::EventId,
    plugin::{Execution, Finished, Work},
    store::{Committed, FailureVerdict, RoutedEvent, RunCommit, RunFailed},
};

/// How an execution ended, for the lane.
pub(super) struct Ended {
    pub key: EntityKey,
    pub seq: i64,
    pub what: What,
}

pub(super) enum What {
    /// Committed, set aside, or gone.
    Over,
    /// To be executed again, not before its `not_before`.
    Again(Box<QueuedRun>),
}

/// How long a run waits in memory when the store or the host itself is in trouble.
const HOST_TROUBLE_PAUSE: Duration = Duration::from_secs(1);
/// How long it waits for a plugin that is not loaded: somebody has to put it back.
pub(super) const PLUGIN_MISSING_PAUSE: Duration = Duration::from_secs(30);
/// How often a run is executed anew at once because its entity changed under it. More than this, and it waits a moment.
const STALE_MAX: u32 = 3;

/// Executes `queued` and makes durable what came of it.
pub(super) async fn execute(parts: &Parts, queued: QueuedRun) -> Ended {
    let (key, seq) = (queued.run.key.clone(), queued.seq);
    let what = match run(parts, queued.clone()).await {
        Ok(what) => what,
        Err(trouble) => {
            tracing::warn!(run = %queued.run.id, plugin = %key.plugin, %trouble, "a run waits for the host");
            What::Again(Box::new(QueuedRun { not_before: parts.clock.now().plus(trouble.pause()), ..queued }))
        }
    };
    Ended { key, seq, what }
}

/// Trouble that is not the plugin's: nothing is counted against it.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Store(#[from] crate::store::Error),
    #[error("the plugin is not loaded; its runs wait until it is back")]
    PluginMissing,
    #[error("{0}")]
    Host(String),
    #[error("its entity keeps changing under it")]
    Stale,
}

impl Trouble {
    fn pause(&self) -> Duration {
        match self {
            Trouble::PluginMissing => PLUGIN_MISSING_PAUSE,
            Trouble::Store(_) | Trouble::Host(_) | Trouble::Stale => HOST_TROUBLE_PAUSE,
        }
    }
}

async fn run(parts: &Parts, queued: QueuedRun) -> Result<What, Trouble> {
    for _ in 0..STALE_MAX {
        let now = parts.clock.now();
        let snapshot = parts.store.load_entity(&queued.run.key, now).await?;
        let version = snapshot.version;
        if too_late(&queued, now) {
            let report =
                RunReport { plugin_version: "not executed: too late to be of use".to_owned(), ..RunReport::default() };
            let finished = Finished { outcome: Outcome::default(), origin: None };
            match commit(parts, &queued, version, finished, report, now).await? {
                Some(what) => return Ok(what),
                None => continue,
            }
        }
        let work = Work { run: queued.clone(), snapshot, now };
        if parts.plugins.retry(&queued.run.key.plugin).is_none() {
            return Err(Trouble::PluginMissing);
        }
        let Execution { result, report, retry } = parts.plugins.execute(work).await;
        match result {
            Ok(finished) => {
                if let Some(what) = commit(parts, &queued, version, finished, report, now).await? {
                    return Ok(what);
                }
            }
            Err(RunFailure::Host { message }) => return Err(Trouble::Host(message)),
            Err(failure) => {
                let verdict = failure::verdict(&queued, &failure, &retry, parts.clock.now());
                return failed(parts, queued, failure, report, verdict).await;
            }
        }
    }
    Err(Trouble::Stale)
}

/// A timer that says until when it is of use is not given to the plugin after that.
fn too_late(queued: &QueuedRun, now: Timestamp) -> bool {
    matches!(&queued.run.cause, Cause::Timer(timer) if timer.expires.is_some_and(|expires| expires < now))
}

/// `None` where the entity was changed meanwhile and the run is to be executed anew.
async fn commit(
    parts: &Parts,
    queued: &QueuedRun,
    version: i64,
    mut finished: Finished,
    report: RunReport,
    now: Timestamp,
) -> Result<Option<What>, Trouble> {
    let emitted = std::mem::take(&mut finished.outcome.events);
    let emitted = emitted.iter().enumerate().map(|(no, event)| raise(parts, queued, no, event, now)).collect();
    let commit = RunCommit {
        run: queued.clone(),
        version,
        outcome: finished.outcome,
        emitted,
        origin: finished.origin,
        report,
        now,
    };
    match parts.store.commit_run(commit).await? {
        Committed::Done(_) | Committed::Gone => Ok(Some(What::Over)),
        Committed::Stale => Ok(None),
    }
}

/// Makes an event of what a run emitted. Its id follows from the run, so a run executed again raises the same event.
fn raise(parts: &Parts, queued: &QueuedRun, no: usize, emitted: &EmittedEvent, now: Timestamp) -> RoutedEvent {
    let key = &queued.run.key;
    let source = format!("/plugins/{}", key.plugin);
    let source_id = match &emitted.dedup_key {
        Some(dedup) => format!("key:{dedup}"),
        None => format!("{}.{no}", queued.run.id),
    };
    let event = Arc::new(Event {
        id: EventId::of(&key.tenant, &source, &source_id),
        tenant: key.tenant.clone(),
        source_id,
        source,
        event_type: emitted.event_type.clone(),
        subject: emitted.subject.clone(),
        time: now,
        received: now,
        customer: emitted.customer.clone().or_else(|| queued.run.customer.clone()),
        data: emitted.data.as_str().into(),
        attributes: vec![("datacontenttype".to_owned(), "application/json".to_owned())],
        cause: Some(queued.run.id),
    });
    let (runs, notes) = route(parts, &event);
    RoutedEvent { event, runs, notes }
}

fn route(parts: &Parts, event: &Arc<Event>) -> (Vec<NewRun>, Vec<String>) {
    let routing = parts.plugins.route(event);
    (routing.runs, routing.notes)
}

async fn failed(
    parts: &Parts,
    mut queued: QueuedRun,
    failure: RunFailure,
    report: RunReport,
    verdict: FailureVerdict,
) -> Result<What, Trouble> {
    let now = parts.clock.now();
    match verdict {
        FailureVerdict::SetAside => tracing::error!(
            run = %queued.run.id, plugin = %queued.run.key.plugin, entity = %queued.run.key.entity,
            attempts = queued.attempts + 1, failure = failure.message(), "a run was set aside; see /v1/runs?state=set-aside"
        ),
        FailureVerdict::Again(at) => tracing::warn!(
            run = %queued.run.id, plugin = %queued.run.key.plugin, entity = %queued.run.key.entity,
            attempts = queued.attempts + 1, again = %at, failure = failure.message(), "a run failed"
        ),
    }
    let failed = RunFailed { run: queued.clone(), failure, report, verdict, alert: None, now };
    let there = parts.store.fail_run(failed).await?;
    match verdict {
        FailureVerdict::Again(at) if there => {
            queued.attempts += 1;
            queued.not_before = at;
            Ok(What::Again(Box::new(queued)))
        }
        _ => Ok(What::Over),
    }
}
