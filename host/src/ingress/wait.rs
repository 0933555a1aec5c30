//! `?wait=`: answers once an event's runs have ended, with what they asked for.
//!
//! The store says whether they have; changes only say when to ask again. So a change that is lost costs time and never the truth.

use std::{collections::HashSet, sync::Arc, time::Duration};

use serde::Serialize;
use serde_json::Value;
use tokio::{sync::broadcast, time::Instant};

use super::{AppState, events::Receipt, problem::Problem};
use crate::{
    api::view,
    ids::{EventId, RunId, TenantId},
    store::{EventStory, RunState, handover::Change},
};

/// What became of an event, and of its runs.
#[derive(Serialize)]
pub(super) struct Waited {
    #[serde(flatten)]
    receipt: Receipt,
    /// All of its runs have ended.
    complete: bool,
    results: Vec<Value>,
}

/// How long to trust that every change is heard.
const ASK_ANYWAY: Duration = Duration::from_secs(2);

/// Waits until the runs of all these events have ended, at most for `patience`. Says whether they have.
pub(super) async fn until_ended(
    state: &AppState,
    tenant: &TenantId,
    receipts: Vec<Receipt>,
    mut changes: broadcast::Receiver<Arc<Change>>,
    patience: Duration,
) -> Result<(Vec<Waited>, bool), Problem> {
    let deadline = Instant::now() + patience;
    let mut open: Vec<EventId> = receipts.iter().map(|receipt| receipt.id).collect();
    loop {
        let runs = still_open(state, tenant, &mut open).await?;
        if open.is_empty() || Instant::now() >= deadline || state.closing.is_cancelled() {
            break;
        }
        let until = deadline.min(Instant::now() + ASK_ANYWAY);
        tokio::select! {
            () = something_ended(&mut changes, &runs) => {}
            () = tokio::time::sleep_until(until) => {}
            () = state.closing.cancelled() => {}
        }
    }
    let mut waited = Vec::with_capacity(receipts.len());
    for receipt in receipts {
        let complete = !open.contains(&receipt.id);
        let results = results(state, tenant, receipt.id).await?;
        waited.push(Waited { receipt, complete, results });
    }
    Ok((waited, open.is_empty()))
}

/// Leaves those events that have runs which are not over, and names these runs.
async fn still_open(state: &AppState, tenant: &TenantId, open: &mut Vec<EventId>) -> Result<HashSet<RunId>, Problem> {
    let mut runs = HashSet::new();
    for id in std::mem::take(open) {
        let story = state.store.event_story(tenant, id).await?;
        let before = runs.len();
        runs.extend(story.iter().flat_map(open_runs));
        if runs.len() > before {
            open.push(id);
        }
    }
    Ok(runs)
}

fn open_runs(story: &EventStory) -> impl Iterator<Item = RunId> {
    story.runs.iter().filter(|run| run.state == RunState::Open).map(|run| run.id)
}

async fn something_ended(changes: &mut broadcast::Receiver<Arc<Change>>, runs: &HashSet<RunId>) {
    loop {
        match changes.recv().await {
            Ok(change) => match &*change {
                Change::Run { run, .. } if runs.contains(&run.id) => return,
                _ => {}
            },
            Err(broadcast::error::RecvError::Lagged(_)) => return,
            // Nobody will say anything any more; the time to ask anyway comes.
            Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
        }
    }
}

/// The runs of an event, each with the messages that it asked for.
async fn results(state: &AppState, tenant: &TenantId, id: EventId) -> Result<Vec<Value>, Problem> {
    let Some(story) = state.store.event_story(tenant, id).await? else { return Ok(Vec::new()) };
    let mut results = Vec::with_capacity(story.runs.len());
    for run in &story.runs {
        let mut messages = Vec::new();
        for id in run.effects.iter().flat_map(|effects| &effects.messages) {
            messages.extend(state.store.message(tenant, *id).await?.as_ref().map(view::message));
        }
        let mut result = view::run(run);
        if let Some(members) = result.as_object_mut() {
            members.insert("messages".to_owned(), Value::Array(messages));
        }
        results.push(result);
    }
    Ok(results)
}
