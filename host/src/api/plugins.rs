//! `GET /v1/plugins[/{name}]`: what is loaded, and why something is not.

use axum::{extract::State, http::StatusCode, response::Response};

use super::view;
use crate::ingress::{
    AppState,
    auth::Caller,
    problem::{Problem, excerpt},
    request::At,
};

pub(super) async fn list(State(state): State<AppState>, _caller: Caller) -> Response {
    view::answer(StatusCode::OK, &state.directory.plugins())
}

pub(super) async fn show(
    State(state): State<AppState>,
    _caller: Caller,
    At(name): At<String>,
) -> Result<Response, Problem> {
    match state.directory.plugin(&name) {
        Some(plugin) => Ok(view::answer(StatusCode::OK, &plugin)),
        None => Err(Problem::not_found(format!("there is no plugin `{}`", excerpt(&name)))
            .field("name")
            .fix("GET /v1/plugins lists them")),
    }
}
