//! `GET /v1/stats`: figures that are cheap to read.

use axum::{extract::State, http::StatusCode, response::Response};
use serde::Serialize;

use super::view::{self, Time};
use crate::{
    ingress::{AppState, auth::Caller, problem::Problem, quota::Refused},
    store::Figures,
};

#[derive(Serialize)]
struct Stats {
    now: Time,
    #[serde(flatten)]
    figures: Figures,
    /// Requests that got 429 since the host started.
    refused: Refused,
}

pub(super) async fn show(State(state): State<AppState>, caller: Caller) -> Result<Response, Problem> {
    let figures = state.store.figures(&caller.tenant).await?;
    let refused = state.quotas.refused(&caller.tenant);
    Ok(view::answer(StatusCode::OK, &Stats { now: Time(state.clock.now()), figures, refused }))
}
