//! `/v1/plugins`: what is loaded, why something is not, and what an operator says about it.

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::Response,
};
use serde::Deserialize;

use super::view;
use crate::{
    domain::plugin::PluginOrder,
    ingress::{
        AppState, OrderProblem,
        auth::Caller,
        problem::{Problem, excerpt},
        request::{At, content_type, plain, read_json},
    },
};

/// A reason is read by the next operator, not by a machine.
const WHY_BYTES_MAX: usize = 1_000;

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
        None => Err(unknown(&name)),
    }
}

/// Answers when every package has come to rest and what has changed was taken or refused.
pub(super) async fn reload(State(state): State<AppState>, caller: Caller) -> Result<Response, Problem> {
    order(&state, &caller, "", PluginOrder::Reload).await
}

pub(super) async fn approve(
    State(state): State<AppState>,
    caller: Caller,
    At(plugin): At<String>,
) -> Result<Response, Problem> {
    order(&state, &caller, &plugin, PluginOrder::Approve { plugin: plugin.clone() }).await
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Reason {
    why: Option<String>,
}

pub(super) async fn pause(
    State(state): State<AppState>,
    caller: Caller,
    At(plugin): At<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let reason = match content_type(&headers) {
        "" => Reason::default(),
        _ => read_json::<Reason>(&headers, body, state.settings.json_bytes_max).await?,
    };
    if let Some(why) = &reason.why {
        plain("why", why)?;
        if why.len() > WHY_BYTES_MAX {
            return Err(Problem::bad_field("why", format!("it has {} bytes", why.len()))
                .fix(format!("say it in {WHY_BYTES_MAX} bytes")));
        }
    }
    order(&state, &caller, &plugin, PluginOrder::Pause { plugin: plugin.clone(), why: reason.why }).await
}

pub(super) async fn resume(
    State(state): State<AppState>,
    caller: Caller,
    At(plugin): At<String>,
) -> Result<Response, Problem> {
    order(&state, &caller, &plugin, PluginOrder::Resume { plugin: plugin.clone() }).await
}

async fn order(state: &AppState, caller: &Caller, name: &str, order: PluginOrder) -> Result<Response, Problem> {
    let done = state.directory.order(&caller.tenant, order).await.map_err(|problem| match problem {
        OrderProblem::NotYours { owner } => {
            Problem::forbidden(format!("the plugins belong to the tenant `{owner}`")).fix("use a key of that tenant")
        }
        OrderProblem::UnknownPlugin => unknown(name),
        OrderProblem::NothingToDo(why) => Problem::conflict(why).fix("GET /v1/plugins says how each of them stands"),
        OrderProblem::Failed(error) => Problem::internal(error.as_ref()),
        OrderProblem::Store(error) => error.into(),
    })?;
    Ok(view::answer(StatusCode::OK, &done))
}

fn unknown(name: &str) -> Problem {
    Problem::not_found(format!("there is no plugin `{}`", excerpt(name)))
        .field("name")
        .fix("GET /v1/plugins lists them")
}
