//! `/healthz`: the process answers. `/readyz`: it can take work, which it can while the store can write.

use axum::{extract::State, http::StatusCode, response::Response};
use serde_json::json;

use super::view;
use crate::ingress::{AppState, problem::Problem};

pub(super) async fn alive() -> Response {
    view::answer(StatusCode::OK, &json!({"status": "alive"}))
}

pub(super) async fn ready(State(state): State<AppState>) -> Result<Response, Problem> {
    if state.closing.is_cancelled() {
        return Err(crate::store::Error::Closed.into());
    }
    state.store.check().await?;
    Ok(view::answer(StatusCode::OK, &json!({"status": "ready"})))
}
