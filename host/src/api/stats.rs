//! `GET /v1/stats`: figures that are cheap to read.

use std::sync::Arc;

use axum::{Extension, extract::State, http::StatusCode, response::Response};
use serde::Serialize;

use super::view::{self, Time};
use crate::{
    ingress::{AppState, auth::Caller, problem::Problem, quota::Refused},
    run::{Lateness, LatenessSummary},
    store::Figures,
};

#[derive(Serialize)]
struct Stats {
    now: Time,
    #[serde(flatten)]
    figures: Figures,
    /// Requests that got 429 since the host started.
    refused: Refused,
    timer_lateness_ms: LatenessSummary,
}

pub(super) async fn show(
    State(state): State<AppState>,
    Extension(lateness): Extension<Arc<Lateness>>,
    caller: Caller,
) -> Result<Response, Problem> {
    let figures = state.store.figures(&caller.tenant).await?;
    let stats = Stats {
        now: Time(state.clock.now()),
        figures,
        refused: state.quotas.refused(&caller.tenant),
        timer_lateness_ms: lateness.summary(),
    };
    Ok(view::answer(StatusCode::OK, &stats))
}
