//! One execution of one run: read, execute, commit.

use std::{sync::Arc, time::Duration};

use super::{
    Parts,
    alert::{self, Counted},
    failure,
};
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
    /// Not its turn yet: these are to be executed before it.
    After(Vec<QueuedRun>, Box<QueuedRun>),
}

/// How long a run waits in memory when the store or the host itself is in trouble.
const HOST_TROUBLE_PAUSE: Duration = Duration::from_secs(1);
/// How long a run waits that had its turn just when its plugin went or was paused. From then on the flow has no turns.
pub(super) const PLUGIN_MISSING_PAUSE: Duration = Duration::from_secs(1);
/// How often a run is executed anew at once because its entity changed under it. More than this, and it waits a moment.
const STALE_MAX: u32 = 3;

/// Of those that are older than a run, so many are looked at: of an entity that lets later runs pass, some may wait.
const EARLIER_MAX: u32 = 64;

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
    #[error("the plugin is not loaded or is paused; its runs wait until it serves")]
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
    if parts.store.is_shared()
        && let Some(what) = out_of_turn(parts, &queued).await?
    {
        return Ok(what);
    }
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
        let work = Work { run: queued.clone(), snapshot, now, seed: None };
        if !parts.plugins.serves(&queued.run.key.plugin) {
            return Err(Trouble::PluginMissing);
        }
        let Execution { result, report, retry } = parts.plugins.execute(work).await;
        match result {
            Ok(finished) => {
                if let Some(what) = commit(parts, &queued, version, finished, report, now).await? {
                    parts.lateness.note(&queued, now);
                    return Ok(what);
                }
            }
            Err(RunFailure::Host { message }) => return Err(Trouble::Host(message)),
            Err(failure) => {
                parts.lateness.note(&queued, now);
                let verdict = failure::verdict(&queued, &failure, &retry, parts.clock.now());
                return failed(parts, queued, failure, report, verdict).await;
            }
        }
    }
    Err(Trouble::Stale)
}

/// What another host accepted, or made by a commit, is heard of late, and a shard that changes hands takes its runs with it. So
/// where there are others the store is asked whether it is this run's turn: every execution begins only when nothing older of
/// its entity is open, which keeps the order whoever executes what.
async fn out_of_turn(parts: &Parts, queued: &QueuedRun) -> Result<Option<What>, Trouble> {
    let (now, seq) = (parts.clock.now(), queued.seq);
    let mut open = parts.store.open_runs_of(&queued.run.key, 0, EARLIER_MAX).await?;
    // It has ended, or belongs to somebody else now.
    if open.len() < EARLIER_MAX as usize && open.iter().all(|run| run.seq != seq) {
        return Ok(Some(What::Over));
    }
    open.retain(|run| run.seq < seq && (run.run.hold_up || run.not_before <= now));
    Ok((!open.is_empty()).then(|| What::After(open, Box::new(queued.clone()))))
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
        attributes: std::iter::once(("datacontenttype".to_owned(), "application/json".to_owned()))
            .chain(emitted.attributes.iter().cloned())
            .collect(),
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
    let (alert, counted) = match verdict {
        FailureVerdict::SetAside => alert::raise(parts, &queued, &failure, &report, now).await?,
        FailureVerdict::Again(_) => (None, Counted::Nothing),
    };
    let failed = RunFailed { run: queued.clone(), failure, report, verdict, alert, now };
    let there = parts.store.fail_run(failed).await;
    if !matches!(there, Ok(true)) {
        parts.alerts.take_back(&queued.run.key, counted);
    }
    let there = there?;
    match verdict {
        FailureVerdict::Again(at) if there => {
            queued.attempts += 1;
            queued.not_before = at;
            Ok(What::Again(Box::new(queued)))
        }
        _ => Ok(What::Over),
    }
}
