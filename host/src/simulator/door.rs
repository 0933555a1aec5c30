//! What each provider's endpoint has in common: trouble before the message is read, and the way an answer goes out or not.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header::RETRY_AFTER},
    response::{IntoResponse, Response},
};
use serde_json::Value;

use super::{
    Answer, Provider, Request, Simulator,
    listen::CloseInstead,
    trouble::{How, Kind},
};

/// An answer in the provider's words.
pub(crate) struct Said {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

impl Said {
    pub(crate) fn new(status: u16, body: Value) -> Said {
        Said { status, body }
    }
}

/// One request of a provider's endpoint, as the ledger will show it.
pub(crate) struct Visit {
    pub(crate) provider: Provider,
    pub(crate) path: String,
    pub(crate) to: Vec<String>,
    pub(crate) tokens: Vec<String>,
    pub(crate) body: Value,
    pub(crate) ids: Vec<String>,
    pub(crate) troubles: Vec<Kind>,
}

/// What trouble wants before the request is looked at.
pub(crate) enum Before {
    GoOn,
    Busy(u32),
    Unavailable(u16),
    /// A code of the provider in the answer.
    Code(i64, Option<String>),
    Close,
    Hang,
}

/// Reads the troubles in the order in which they would happen on the way of a request. `usually` says how a code is
/// reported where the trouble does not.
pub(crate) fn before(troubles: &[Kind], usually: impl Fn(i64) -> How) -> Before {
    for trouble in troubles {
        match trouble {
            Kind::ResetBefore => return Before::Close,
            Kind::Hang { accepted: false } => return Before::Hang,
            Kind::Busy { retry_after_s } => return Before::Busy(*retry_after_s),
            Kind::Unavailable { status } => return Before::Unavailable(*status),
            Kind::Error { code, how, details } if how.unwrap_or_else(|| usually(*code)) == How::Sync => {
                return Before::Code(*code, details.clone());
            }
            Kind::Error { .. }
            | Kind::SilentLoss
            | Kind::DropReceipts { .. }
            | Kind::LateReceipts { .. }
            | Kind::RepeatReceipts { .. }
            | Kind::ShuffleReceipts
            | Kind::Hang { accepted: true }
            | Kind::Reset
            | Kind::Slow { .. } => {}
        }
    }
    Before::GoOn
}

/// The code that a status is to bring, if trouble wants one.
pub(crate) fn failure(troubles: &[Kind], usually: impl Fn(i64) -> How) -> Option<(i64, Option<String>)> {
    troubles.iter().find_map(|trouble| match trouble {
        Kind::Error { code, how, details } if how.unwrap_or_else(|| usually(*code)) == How::Webhook => {
            Some((*code, details.clone()))
        }
        _ => None,
    })
}

/// Answers, after as long as the settings and trouble say.
pub(crate) async fn answer(
    simulator: &Arc<Simulator>,
    visit: Visit,
    said: Said,
    retry_after_s: Option<u32>,
) -> Response {
    let accepted = !visit.ids.is_empty();
    let (closes, hangs, delay_ms) = after(&visit.troubles, accepted);
    let settings = simulator.settings();
    if closes || hangs {
        note(simulator, visit, None, Value::Null);
    } else if settings.quiet {
        simulator.ledger.count();
    } else {
        note(simulator, visit, Some(said.status), said.body.clone());
    }
    pause(settings.timing.answer_ms.saturating_add(delay_ms)).await;
    if hangs {
        hang().await;
    }
    if closes { close() } else { write(said, retry_after_s) }
}

/// Never answers. Ends when the client closes its connection or the simulator stops.
pub(crate) async fn refuse_to_answer(simulator: &Arc<Simulator>, visit: Visit) -> Response {
    note(simulator, visit, None, Value::Null);
    hang().await;
    close()
}

/// Closes the connection in place of an answer.
pub(crate) fn close_now(simulator: &Arc<Simulator>, visit: Visit) -> Response {
    note(simulator, visit, None, Value::Null);
    close()
}

pub(crate) async fn pause(ms: u64) {
    if ms > 0 {
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }
}

async fn hang() {
    std::future::pending::<()>().await;
}

/// Whether the connection closes or hangs although the message was taken, and how late the answer is.
pub(crate) fn after(troubles: &[Kind], accepted: bool) -> (bool, bool, u64) {
    troubles.iter().fold((false, false, 0), |(closes, hangs, delay), trouble| match trouble {
        Kind::Reset => (accepted || closes, hangs, delay),
        Kind::Hang { accepted: true } => (closes, accepted || hangs, delay),
        Kind::Slow { delay_ms } => (closes, hangs, delay.saturating_add(*delay_ms)),
        _ => (closes, hangs, delay),
    })
}

fn close() -> Response {
    let mut response = StatusCode::INTERNAL_SERVER_ERROR.into_response();
    response.extensions_mut().insert(CloseInstead);
    response
}

fn write(said: Said, retry_after_s: Option<u32>) -> Response {
    let status = StatusCode::from_u16(said.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, Json(said.body)).into_response();
    if let Some(seconds) = retry_after_s {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// Writes a visit into the ledger; without a status it got no answer.
pub(crate) fn note(simulator: &Simulator, visit: Visit, status: Option<u16>, body: Value) {
    let mut request = Request {
        seq: 0,
        at: simulator.now(),
        provider: visit.provider,
        path: visit.path,
        to: visit.to,
        tokens: visit.tokens,
        body: visit.body,
        accepted: !visit.ids.is_empty(),
        ids: visit.ids,
        answer: Answer { status, body },
        troubles: visit.troubles,
    };
    if !simulator.stream.is_heard() {
        simulator.ledger.add(request);
        return;
    }
    request.seq = simulator.ledger.add(request.clone());
    simulator.stream.send("request", || request);
}
