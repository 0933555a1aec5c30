//! `GET /v1/runs[/{id}]`, and what an operator does with one run that was set aside.

use axum::{
    extract::State,
    http::{StatusCode, Uri},
    response::Response,
};
use serde_json::{Value, json};

use super::{next, paging, view};
use crate::{
    domain::run::{Cause, RunFailure},
    ids::{CustomerId, PluginName, RunId},
    ingress::{
        AppState,
        auth::Caller,
        problem::Problem,
        request::{At, Query},
    },
    store::{RunFilter, RunState},
};

const FILTERS: [&str; 7] = ["state", "plugin", "entity", "customer", "failure", "before", "limit"];

pub(super) async fn list(State(state): State<AppState>, caller: Caller, uri: Uri) -> Result<Response, Problem> {
    let query = Query::of(&uri, &FILTERS)?;
    let filter = RunFilter {
        state: query.parse("state", "open, done, set-aside or discarded", parse_state)?,
        plugin: query.get("plugin").map(PluginName::from),
        entity: query.get("entity").map(str::to_owned),
        customer: query.get("customer").map(CustomerId::from),
        failure: query.parse("failure", &RunFailure::KINDS.join(", "), parse_failure)?,
        ..RunFilter::default()
    };
    let page = paging(&query, state.settings.page_rows_max)?;
    let runs = state.store.runs(&caller.tenant, &filter, page).await?;
    let next = next(runs.len(), page.limit, runs.last().map(|run| run.seq));
    let runs: Vec<Value> = runs.iter().map(view::run).collect();
    Ok(view::answer(StatusCode::OK, &json!({"runs": runs, "next": next})))
}

pub(super) fn parse_failure(text: &str) -> Option<String> {
    RunFailure::KINDS.contains(&text).then(|| text.to_owned())
}

fn parse_state(text: &str) -> Option<RunState> {
    match text {
        "open" => Some(RunState::Open),
        "done" => Some(RunState::Done),
        "set-aside" => Some(RunState::SetAside),
        "discarded" => Some(RunState::Discarded),
        _ => None,
    }
}

pub(super) async fn show(
    State(state): State<AppState>,
    caller: Caller,
    At(id): At<RunId>,
) -> Result<Response, Problem> {
    let run = state.store.run(&caller.tenant, id).await?.ok_or_else(|| unknown(id))?;
    let mut view = view::run(&run);
    if run.state == RunState::SetAside
        && let Some(cause) = state.store.set_aside_cause(&caller.tenant, id).await?
        && let Some(members) = view.as_object_mut()
    {
        members.insert("input".to_owned(), input(&cause));
    }
    Ok(view::answer(StatusCode::OK, &view))
}

/// What the run was given, to look at or to execute elsewhere.
fn input(cause: &Cause) -> Value {
    match cause {
        Cause::Event(event) => json!({"event": view::event(event)}),
        Cause::Message(incoming) => json!({"message": view::incoming(incoming)}),
        Cause::Timer(timer) => json!({"timer": {
            "key": timer.key,
            "due": view::time(timer.due),
            "expires": view::time_or_null(timer.expires),
            "customer": timer.customer,
            "data": view::json_text(&timer.data),
            "set_by": timer.set_by,
            "set_by_run": timer.set_by_run,
            "origin": timer.origin,
        }}),
        Cause::Delivery(delivery) => json!({"delivery": {
            "message": delivery.message,
            "tag": delivery.tag,
            "customer": delivery.customer,
            "state": delivery.state,
            "settled": delivery.settled,
            "channel": delivery.channel,
            "time": view::time(delivery.time),
            "code": delivery.code,
            "detail": delivery.detail,
        }}),
    }
}

/// Executes a run again that was set aside, with its attempts forgotten.
pub(super) async fn replay(
    State(state): State<AppState>,
    caller: Caller,
    At(id): At<RunId>,
) -> Result<Response, Problem> {
    let done = state.store.replay_run(&caller.tenant, id, state.clock.now()).await?;
    changed(&state, &caller, id, done).await
}

/// Ends a run that was set aside without executing it.
pub(super) async fn discard(
    State(state): State<AppState>,
    caller: Caller,
    At(id): At<RunId>,
) -> Result<Response, Problem> {
    let done = state.store.discard_run(&caller.tenant, id, state.clock.now()).await?;
    changed(&state, &caller, id, done).await
}

async fn changed(state: &AppState, caller: &Caller, id: RunId, done: bool) -> Result<Response, Problem> {
    let run = state.store.run(&caller.tenant, id).await?.ok_or_else(|| unknown(id))?;
    if done {
        return Ok(view::answer(StatusCode::OK, &view::run(&run)));
    }
    Err(Problem::conflict(format!("run {id} is not set aside"))
        .field("id")
        .fix("only runs that were set aside are replayed or discarded; GET /v1/runs?state=set-aside lists them"))
}

fn unknown(id: RunId) -> Problem {
    Problem::not_found(format!("there is no run {id}")).field("id")
}
