//! `POST /v1/events`: CloudEvents become durable, with the runs that they set off, and then are answered.

use std::{sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

use super::{
    AppState,
    auth::UrlCaller,
    cloudevents::{self, Mode, Reader},
    problem::Problem,
    request::{Query, read_body},
    wait,
};
use crate::{
    api::view::answer,
    domain::event::Event,
    ids::{EventId, RunId, TenantId},
    store::{Accepted, RoutedEvent},
};

/// What became of one event.
#[derive(Debug, Serialize)]
pub struct Receipt {
    pub id: EventId,
    pub duplicate: bool,
    pub runs: Vec<RunId>,
}

impl From<Accepted> for Receipt {
    fn from(accepted: Accepted) -> Receipt {
        Receipt { id: accepted.event, duplicate: accepted.duplicate, runs: accepted.runs }
    }
}

pub(super) async fn accept(
    State(state): State<AppState>,
    UrlCaller(caller): UrlCaller,
    headers: HeaderMap,
    uri: Uri,
    body: Body,
) -> Result<Response, Problem> {
    let read = read(&state, &caller.tenant, &headers, &uri, body).await;
    let (mode, events, patience) = read.inspect_err(|_| state.counters.events_refused.add(1))?;
    answer_accepted(&state, &caller.tenant, mode, events, patience).await
}

async fn read(
    state: &AppState,
    tenant: &TenantId,
    headers: &HeaderMap,
    uri: &Uri,
    body: Body,
) -> Result<(Mode, Vec<Event>, Option<Duration>), Problem> {
    let patience = patience(uri, state.settings.wait_seconds_max)?;
    let reader = Reader { tenant, now: state.clock.now(), settings: &state.settings };
    let mode = cloudevents::mode(headers)?;
    let (what, bytes_max) = reader.body_limit(mode);
    let body = read_body(headers, body, what, bytes_max).await?;
    let events = reader.read(mode, headers, &body)?;
    Ok((mode, events, patience))
}

/// Makes events durable, and answers 202; with `patience`, once their runs have ended.
pub(super) async fn answer_accepted(
    state: &AppState,
    tenant: &TenantId,
    mode: Mode,
    events: Vec<Event>,
    patience: Option<Duration>,
) -> Result<Response, Problem> {
    // Before the events are there, so that no run can end unseen.
    let changes = patience.map(|patience| (patience, state.changes.subscribe()));
    let receipts = store(state, tenant, events).await?;
    let Some((patience, changes)) = changes else { return Ok(one_or_all(StatusCode::ACCEPTED, mode, &receipts)) };
    let (results, complete) = wait::until_ended(state, tenant, receipts, changes, patience).await?;
    let status = if complete { StatusCode::OK } else { StatusCode::ACCEPTED };
    Ok(one_or_all(status, mode, &results))
}

async fn store(state: &AppState, tenant: &TenantId, events: Vec<Event>) -> Result<Vec<Receipt>, Problem> {
    if events.is_empty() {
        return Ok(Vec::new());
    }
    let place = state.quotas.admit(tenant, events.len(), state.clock.now());
    let place = place.inspect_err(|_| state.counters.events_refused.add(1))?;
    let routed = events.into_iter().map(|event| {
        let event = Arc::new(event);
        let (runs, notes) = state.directory.route(&event);
        RoutedEvent { event, runs, notes }
    });
    let accepted = state.store.accept_events(routed.collect()).await?;
    place.made(accepted.iter().filter(|accepted| !accepted.duplicate).map(|accepted| accepted.runs.len()).sum());
    let repeated = accepted.iter().filter(|accepted| accepted.duplicate).count();
    state.counters.events_repeated.add(repeated);
    state.counters.events_accepted.add(accepted.len() - repeated);
    Ok(accepted.into_iter().map(Receipt::from).collect())
}

fn one_or_all<T: Serialize>(status: StatusCode, mode: Mode, receipts: &[T]) -> Response {
    match (mode, receipts.first()) {
        (Mode::Structured | Mode::Binary, Some(only)) => answer(status, only),
        _ => answer(status, &receipts),
    }
}

/// `?wait=SECONDS`.
pub(super) fn patience(uri: &Uri, seconds_max: u64) -> Result<Option<Duration>, Problem> {
    let query = Query::of(uri, &["wait"])?;
    let expected = format!("a whole number of seconds from 0 to {seconds_max}");
    let seconds = query.parse("wait", &expected, |text| text.parse().ok().filter(|seconds| *seconds <= seconds_max))?;
    Ok(seconds.map(Duration::from_secs))
}

/// `OPTIONS /v1/events`: whether a sender may deliver here (`channels.md` §6.3). Whoever has a key may, at any rate; the caps of
/// the listener hold for them as for everybody.
pub(super) async fn handshake(UrlCaller(_caller): UrlCaller, headers: HeaderMap) -> Response {
    let mut response = StatusCode::OK.into_response();
    let answer = response.headers_mut();
    answer.insert(header::ALLOW, HeaderValue::from_static("GET, POST, OPTIONS"));
    if let Some(origin) = headers.get("webhook-request-origin") {
        answer.insert("webhook-allowed-origin", origin.clone());
        answer.insert("webhook-allowed-rate", HeaderValue::from_static("*"));
    }
    response
}
