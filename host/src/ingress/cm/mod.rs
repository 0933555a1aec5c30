//! `POST /v1.0/message`: the entrance for whoever sends with an SDK of CM.com today.
//!
//! In comes a request in CM.com's form, whose names are matched without regard to case as CM.com does; out goes an answer in
//! CM.com's form with its codes, after every message that it says is accepted is stored. Each recipient of each message becomes
//! a message of `POST /v1/messages`' kind ([`reading`]), under the same rules: what they refuse is `Rejected` there, with a code
//! and the reason. The product token is one of our API keys.
//!
//! What it never does: it sends nothing itself, and it makes up no reason for a message. The shop's own `reference` is what it
//! is expected by, as its key's holder says.

mod reading;

use axum::{
    Json,
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use futures_util::future::join_all;
use serde_json::{Value, json};

use self::reading::{Leg, field};
use super::{AppState, auth, auth::Caller, request::read_body};
use crate::{
    domain::message::{NewMessage, Recipient},
    ids::MessageId,
    rules::{self, Refusal},
};

/// Messages on their way to the store at once: they share its transactions, and the order stays.
const STORING_MAX: usize = 64;

/// Why a request or a message is not taken: CM.com's code and words.
struct Rejection {
    code: u16,
    words: String,
}

impl Rejection {
    fn new(code: u16, words: impl Into<String>) -> Rejection {
        Rejection { code, words: words.into() }
    }
}

pub(super) async fn accept(State(state): State<AppState>, uri: Uri, headers: HeaderMap, body: Body) -> Response {
    let bytes_max = state.settings.batch_bytes_max;
    let Ok(bytes) = read_body(&headers, body, "the body", bytes_max).await else {
        return refused(
            400,
            Rejection::new(202, format!("The body was cut short, or is longer than {bytes_max} bytes")),
        );
    };
    let body: Value = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    let Some(caller) = caller(&state, &uri, &headers, &body) else {
        return refused(400, Rejection::new(101, "No account found for the given authentication"));
    };
    let legs = match reading::legs(&body) {
        Ok(legs) => legs,
        Err(rejection) => return refused(400, rejection),
    };
    let _place = match state.quotas.admit(&caller.tenant, legs.len(), state.clock.now()) {
        Ok(place) => place,
        Err(_) => {
            state.counters.messages_refused.add(legs.len());
            let mut response = refused(429, Rejection::new(999, "Too many messages; send them again later"));
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            return response;
        }
    };
    let mut taken = Vec::with_capacity(legs.len());
    for together in legs.chunks(STORING_MAX) {
        taken.extend(join_all(together.iter().map(|leg| take(&state, &caller, leg))).await);
    }
    said(&state, &legs, taken)
}

/// Whose key the product token is: in the header, or in the body as older SDKs send it.
fn caller(state: &AppState, uri: &Uri, headers: &HeaderMap, body: &Value) -> Option<Caller> {
    let in_header = headers.get("x-cm-producttoken").map(|token| token.to_str().unwrap_or_default());
    let in_body = || {
        let authentication = field(field(body, "messages")?, "authentication")?;
        field(authentication, "productToken")?.as_str()
    };
    match in_header.or_else(in_body).map(str::trim).filter(|token| !token.is_empty()) {
        Some(token) if !state.settings.keys.is_empty() => auth::by_product_token(&state.settings, token).ok(),
        // Where nobody needs a key, any token will do, on this machine.
        _ => auth::caller(&state.settings, headers, uri).ok(),
    }
}

/// Makes one message durable. Its parts as SMS, as CM.com tells them.
async fn take(state: &AppState, caller: &Caller, leg: &Leg<'_>) -> Result<u32, Rejection> {
    let now = state.clock.now();
    let message = leg.message(drawn_id(caller)?, &caller.tenant, &state.settings, now)?;
    check(state, &message).await?;
    let parts = crate::channel::sms::render(&message, &crate::channel::sms::Settings::default()).parts;
    let stored = state.store.accept_message(message).await;
    stored.map(|_| parts).map_err(|error| {
        tracing::error!(%error, "a message of the CM.com entrance could not be stored");
        Rejection::new(999, "Nothing of this message was kept; send it again")
    })
}

fn drawn_id(caller: &Caller) -> Result<MessageId, Rejection> {
    super::messages::drawn_id(caller).map_err(|_| Rejection::new(999, "No id could be drawn; send it again"))
}

/// The rules of every message. What they refuse has the nearest of CM.com's codes, and our reason.
async fn check(state: &AppState, message: &NewMessage) -> Result<(), Rejection> {
    let by_rule = |refusal: Refusal| {
        let code = match refusal {
            Refusal::UnknownCustomer(_) | Refusal::NoAddress(_) => 303,
            Refusal::NoConsent(_) => 402,
            Refusal::BadContent(_) | Refusal::BadTemplate(_) | Refusal::TemplateNeeded => 304,
            Refusal::NotExpected(_)
            | Refusal::NotPermitted(_)
            | Refusal::OverQuota(_)
            | Refusal::Expired
            | Refusal::Other(_) => 403,
        };
        Rejection::new(code, format!("{} ({})", refusal, refusal.code()))
    };
    rules::content::check(message).map_err(by_rule)?;
    rules::expected::purpose_fits(message.purpose, &message.because, None, message.created).map_err(by_rule)?;
    let Recipient::Phone(number) = &message.to else { return Ok(()) };
    let customer = state.store.behind_number(&message.tenant, number, message.created).await.map_err(|error| {
        tracing::error!(%error, "a recipient of the CM.com entrance could not be looked up");
        Rejection::new(999, "Nothing of this message was kept; send it again")
    })?;
    rules::allowed::ask(message, Some(&customer), message.created, &state.rules).map(|_| ()).map_err(by_rule)
}

/// The answer, one line for each recipient of each message.
fn said(state: &AppState, legs: &[Leg<'_>], taken: Vec<Result<u32, Rejection>>) -> Response {
    let accepted = taken.iter().filter(|one| one.is_ok()).count();
    let refused = taken.len().saturating_sub(accepted);
    state.counters.messages_accepted.add(accepted);
    state.counters.messages_refused.add(refused);
    let line = |(leg, taken): (&Leg<'_>, Result<u32, Rejection>)| match taken {
        Ok(parts) => json!({
            "to": leg.to, "status": "Accepted", "reference": leg.reference, "parts": parts,
            "messageDetails": null, "messageErrorCode": 0,
        }),
        Err(Rejection { code, words }) => json!({
            "to": leg.to, "status": "Rejected", "reference": leg.reference, "parts": 0,
            "messageDetails": words, "messageErrorCode": code,
        }),
    };
    let lines: Vec<Value> = legs.iter().zip(taken).map(line).collect();
    let status = if accepted == 0 { StatusCode::BAD_REQUEST } else { StatusCode::OK };
    let code = if refused == 0 { 0 } else { 201 };
    let body = json!({"details": format!("Created {accepted} message(s)"), "errorCode": code, "messages": lines});
    (status, Json(body)).into_response()
}

fn refused(status: u16, rejection: Rejection) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
    (status, Json(json!({"details": rejection.words, "errorCode": rejection.code, "messages": []}))).into_response()
}
