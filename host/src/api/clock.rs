//! `GET/PUT /v1/clock`: moves the host's clock forward, or makes it jump. For demo, dev and tests; elsewhere the path does not exist.

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::Response,
};
use serde::Deserialize;
use serde_json::json;

use super::view;
use crate::{
    clock::Timestamp,
    ingress::{
        AppState,
        auth::Caller,
        messages::body::duration,
        problem::{Problem, excerpt},
        request::read_json,
    },
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Move {
    advance: Option<String>,
    to: Option<String>,
    /// As a machine's clock does that is set: forwards, or with a minus backwards.
    jump: Option<String>,
}

pub(super) async fn show(State(state): State<AppState>, _caller: Caller) -> Response {
    view::answer(StatusCode::OK, &json!({"now": view::time(state.clock.now())}))
}

pub(super) async fn set(
    State(state): State<AppState>,
    _caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let asked: Move = read_json(&headers, body, state.settings.json_bytes_max).await?;
    let moved = match &asked {
        Move { jump: Some(by), advance: None, to: None } => state.clock.jump(jump_ms(by)?),
        asked => state.clock.advance_to(target(asked, state.clock.now())?),
    };
    if !moved {
        return Err(Problem::conflict("this host runs on the machine's clock, which cannot be moved"));
    }
    Ok(view::answer(StatusCode::OK, &json!({"now": view::time(state.clock.now())})))
}

fn target(asked: &Move, now: Timestamp) -> Result<Timestamp, Problem> {
    match (&asked.advance, &asked.to, &asked.jump) {
        (Some(length), None, None) => duration(length).map(|length| now.plus(length)).ok_or_else(|| {
            Problem::bad_field("advance", format!("`{}` is no length of time", excerpt(length)))
                .fix("write it as 90s, 2h or 1d")
        }),
        (None, Some(to), None) => match Timestamp::parse(to) {
            Some(to) if to >= now => Ok(to),
            Some(_) => Err(Problem::bad_field("to", format!("it is {now} already, and the clock only moves forward"))
                .fix("give a later time")),
            None => Err(Problem::bad_field("to", format!("`{}` is no time", excerpt(to)))
                .fix("write it as 2026-01-15T10:30:00Z")),
        },
        _ => {
            Err(Problem::bad_field("advance", "it has to say exactly one thing").fix("give `advance`, `to` or `jump`"))
        }
    }
}

fn jump_ms(by: &str) -> Result<i64, Problem> {
    let (sign, length) = match by.strip_prefix('-') {
        Some(length) => (-1, length),
        None => (1, by),
    };
    let ms = duration(length).and_then(|length| i64::try_from(length.as_millis()).ok());
    ms.map(|ms| ms.saturating_mul(sign)).ok_or_else(|| {
        Problem::bad_field("jump", format!("`{}` is no length of time", excerpt(by))).fix("write it as -1h or 30s")
    })
}
