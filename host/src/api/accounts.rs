//! `GET /v1/accounts`: how the accounts stand with their providers.

use axum::{extract::State, http::StatusCode, response::Response};
use serde_json::json;

use super::view;
use crate::ingress::{AppState, auth::Caller};

pub(super) async fn list(State(state): State<AppState>, _: Caller) -> Response {
    let now = state.clock.now();
    let answer = json!({"accounts": state.directory.accounts(now), "templates": state.directory.misfits()});
    view::answer(StatusCode::OK, &answer)
}
