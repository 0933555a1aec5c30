//! `GET /v1/events[/{id}]` and `POST /v1/events/{id}/replay`: what became of an event.

use axum::{
    extract::State,
    http::{StatusCode, Uri},
    response::Response,
};
use serde_json::{Value, json};

use super::{next, paging, view};
use crate::{
    ids::EventId,
    ingress::{
        AppState,
        auth::Caller,
        problem::Problem,
        request::{At, Query},
    },
    store::{EventStory, RunState},
};

pub(super) async fn list(State(state): State<AppState>, caller: Caller, uri: Uri) -> Result<Response, Problem> {
    let page = paging(&Query::of(&uri, &["before", "limit"])?, state.settings.page_rows_max)?;
    let stories = state.store.events(&caller.tenant, page).await?;
    let next = next(stories.len(), page.limit, stories.last().map(|story| story.seq));
    let events: Vec<Value> = stories.iter().map(story).collect();
    Ok(view::answer(StatusCode::OK, &json!({"events": events, "next": next})))
}

pub(super) async fn show(
    State(state): State<AppState>,
    caller: Caller,
    At(id): At<EventId>,
) -> Result<Response, Problem> {
    match state.store.event_story(&caller.tenant, id).await? {
        Some(found) => Ok(view::answer(StatusCode::OK, &story(&found))),
        None => Err(unknown(id)),
    }
}

/// Opens those of its runs again that were set aside.
pub(super) async fn replay(
    State(state): State<AppState>,
    caller: Caller,
    At(id): At<EventId>,
) -> Result<Response, Problem> {
    let story = state.store.event_story(&caller.tenant, id).await?.ok_or_else(|| unknown(id))?;
    let now = state.clock.now();
    let mut replayed = Vec::new();
    for run in story.runs.iter().filter(|run| run.state == RunState::SetAside) {
        if state.store.replay_run(&caller.tenant, run.id, now).await? {
            replayed.push(run.id);
        }
    }
    Ok(view::answer(StatusCode::OK, &json!({"id": id, "replayed": replayed})))
}

fn unknown(id: EventId) -> Problem {
    Problem::not_found(format!("there is no event {id}")).field("id").fix("give the id that POST /v1/events answered")
}

fn story(story: &EventStory) -> Value {
    let mut view = view::event(&story.event);
    if let Some(members) = view.as_object_mut() {
        members.insert("seq".to_owned(), json!(story.seq));
        members.insert("notes".to_owned(), json!(story.notes));
        members.insert("runs".to_owned(), story.runs.iter().map(view::run).collect());
    }
    view
}
