//! `POST /v1/messages`: the one API without a plugin. The rules are the same as for a plugin's messages.

pub(crate) mod body;

use std::sync::Arc;

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode, Uri},
    response::Response,
};
use serde::Serialize;
use serde_json::json;

use super::{
    AppState,
    auth::Caller,
    problem::{Problem, excerpt},
    request::{At, Query, read_json},
};
use crate::{
    api::view::answer,
    clock::Timestamp,
    domain::{
        customer::{Channel, Customer},
        message::{Because, MessageRecord, NewMessage, Recipient, SmsPolicy},
        status::AttemptState,
    },
    ids::MessageId,
    rules::{self, Check, Refusal},
};

/// Longer than any key in use (a UUID has 36), short enough to be repeated in an error.
const KEY_CHARS_MAX: usize = 255;

#[derive(Serialize)]
struct Taken {
    id: MessageId,
    duplicate: bool,
    /// Which rules were looked at, and why it passed; nothing for a repeat.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    checks: Vec<Check>,
}

pub(super) async fn accept(
    State(state): State<AppState>,
    caller: Caller,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    if only_foreseen(&uri)? {
        return foresee(&state, &caller, &headers, body).await;
    }
    let taken = take(&state, &caller, &headers, body).await;
    let taken = taken.inspect_err(|_| state.counters.messages_refused.add(1))?;
    if taken.duplicate {
        state.counters.messages_repeated.add(1);
        return Ok(answer(StatusCode::OK, &taken));
    }
    state.counters.messages_accepted.add(1);
    Ok(answer(StatusCode::ACCEPTED, &taken))
}

/// `?dry_run=true`, or `?dry_run` alone.
fn only_foreseen(uri: &Uri) -> Result<bool, Problem> {
    let query = Query::of(uri, &["dry_run"])?;
    let asked = query.parse("dry_run", "true or false", |text| match text {
        "" | "true" => Some(true),
        "false" => Some(false),
        _ => None,
    })?;
    Ok(asked.unwrap_or(false))
}

/// A message as it was asked for, before anything of it was looked up.
struct Asked {
    message: NewMessage,
    reference: body::Reference,
    now: Timestamp,
}

/// A message that the rules let in.
struct Allowed {
    message: NewMessage,
    checks: Vec<Check>,
    customer: Option<Arc<Customer>>,
}

async fn take(state: &AppState, caller: &Caller, headers: &HeaderMap, body: Body) -> Result<Taken, Problem> {
    let asked = read(state, caller, headers, body).await?;
    let id = asked.message.id;
    if let Some(before) = state.store.message(&caller.tenant, id).await? {
        return repeated(&before.message, asked.message);
    }
    let now = asked.now;
    let Allowed { message, checks, .. } = allowed(state, caller, asked).await?;
    let _place = state.quotas.admit(&caller.tenant, 1, now)?;
    let duplicate = !state.store.accept_message(message).await?;
    Ok(Taken { id, duplicate, checks })
}

/// What would happen, by the same rules and the same plan. A message that would be refused is an answer and no problem: that is
/// what was asked.
async fn foresee(state: &AppState, caller: &Caller, headers: &HeaderMap, body: Body) -> Result<Response, Problem> {
    let asked = read(state, caller, headers, body).await?;
    if let Some(before) = state.store.message(&caller.tenant, asked.message.id).await? {
        let Taken { id, duplicate, .. } = repeated(&before.message, asked.message)?;
        return Ok(answer(
            StatusCode::OK,
            &json!({ "dry_run": true, "taken": false, "id": id, "duplicate": duplicate }),
        ));
    }
    let foreseen = match allowed(state, caller, asked).await {
        Ok(Allowed { message, checks, customer }) => {
            let plan = state.foresight.foresee(message, customer.as_deref());
            json!({ "dry_run": true, "taken": true, "checks": checks, "plan": plan })
        }
        Err(problem) if problem.is_refusal() => json!({ "dry_run": true, "taken": false, "refusal": problem }),
        Err(problem) => return Err(problem),
    };
    Ok(answer(StatusCode::OK, &foreseen))
}

async fn read(state: &AppState, caller: &Caller, headers: &HeaderMap, body: Body) -> Result<Asked, Problem> {
    let id = message_id(caller, headers)?;
    let asked: body::Asked = read_json(headers, body, state.settings.json_bytes_max).await?;
    let now = state.clock.now();
    let reference = asked.because.reference()?;
    let message = asked.into_message(id, &caller.tenant, state.settings.default_region.as_deref(), now)?;
    Ok(Asked { message, reference, now })
}

async fn allowed(state: &AppState, caller: &Caller, asked: Asked) -> Result<Allowed, Problem> {
    let Asked { mut message, reference, now } = asked;
    let (because, expected, asked_at) = expected(state, caller, &message, reference).await?;
    message.because = because;
    of_the_conversation(state, &message).await?;
    let (customer, mut checks) = check(state, &message, asked_at, now).await?;
    checks.insert(0, expected);
    Ok(Allowed { message, checks, customer })
}

fn message_id(caller: &Caller, headers: &HeaderMap) -> Result<MessageId, Problem> {
    let Some(value) = headers.get("idempotency-key") else { return drawn_id(caller) };
    match value.to_str().map(str::trim) {
        Ok(key) if !key.is_empty() && key.len() <= KEY_CHARS_MAX => {
            Ok(MessageId::of_request(&caller.tenant, &format!("given:{key}")))
        }
        _ => Err(Problem::bad_field("idempotency-key", "the key is empty, too long or not ASCII")
            .fix(format!("send 1 to {KEY_CHARS_MAX} ASCII characters that are new for every message"))),
    }
}

/// The id of a message for which the caller gives no key.
pub(super) fn drawn_id(caller: &Caller) -> Result<MessageId, Problem> {
    let mut drawn = [0; 16];
    getrandom::fill(&mut drawn).map_err(|error| Problem::internal(&error))?;
    // The colon keeps drawn keys apart from any that a caller could send as 16 bytes.
    let key = drawn.iter().fold("drawn:".to_owned(), |key, byte| format!("{key}{byte:02x}"));
    Ok(MessageId::of_request(&caller.tenant, &key))
}

/// The same key has to mean the same message, or one of the two would be lost in silence.
fn repeated(before: &NewMessage, mut now: NewMessage) -> Result<Taken, Problem> {
    now.created = before.created;
    now.because = before.because.clone();
    if now != *before {
        return Err(Problem::conflict("the idempotency key was used for another message")
            .field("idempotency-key")
            .fix("use a new key for every message, and repeat a message exactly"));
    }
    Ok(Taken { id: before.id, duplicate: true, checks: Vec::new() })
}

/// What makes it expected, as it was found.
async fn expected(
    state: &AppState,
    caller: &Caller,
    message: &NewMessage,
    reference: body::Reference,
) -> Result<(Because, Check, Option<Timestamp>), Problem> {
    let reference = match reference {
        body::Reference::Own(text) => {
            let key = caller.key.as_deref().unwrap_or("nobody's key");
            let check = Check::passed("expected", format!("the shop's own reference `{text}`, given with {key}"));
            return Ok((Because::Reference(text), check, None));
        }
        body::Reference::Stored(text) => text,
    };
    let store = &*state.store;
    let found =
        rules::expected::look_up(store, &caller.tenant, &message.to, &reference, state.rules.oldest(message.created))
            .await?;
    let (because, check) = match found {
        Some(Ok(found)) => found,
        Some(Err(refusal)) => return Err(refused(&refusal)),
        None => {
            return Err(Problem::bad_field("because", "it is no id of an event or message").fix(
                "give our id, or `SOURCE#ID` for an event, or use `because.reference` for a reference of your own",
            ));
        }
    };
    let asked_at = match &because {
        Because::Incoming(id) => store.incoming(&caller.tenant, *id).await?.map(|incoming| incoming.time),
        _ => None,
    };
    Ok((because, check, asked_at))
}

/// What is quoted has to be something that the recipient wrote or was sent, as for plugins.
async fn of_the_conversation(state: &AppState, message: &NewMessage) -> Result<(), Problem> {
    let Some(id) = message.quote else { return Ok(()) };
    let store = &*state.store;
    let own = match store.incoming(&message.tenant, id).await? {
        Some(incoming) => rules::expected::wrote(store, &message.to, &incoming).await?,
        None => store.message(&message.tenant, id).await?.is_some_and(|record| record.message.to == message.to),
    };
    if own {
        return Ok(());
    }
    let field = if message.content.special.is_some() { "reaction.message" } else { "quote" };
    Err(Problem::bad_field(field, format!("{id} is no message from or to `{}`", excerpt(message.to.lane())))
        .fix("quote something of this conversation, or nothing"))
}

async fn check(
    state: &AppState,
    message: &NewMessage,
    asked_at: Option<Timestamp>,
    now: Timestamp,
) -> Result<(Option<Arc<Customer>>, Vec<Check>), Problem> {
    rules::content::check(message).map_err(|refusal| refused(&refusal))?;
    rules::expected::purpose_fits(message.purpose, &message.because, asked_at, now)
        .map_err(|refusal| refused(&refusal))?;
    let customer = match &message.to {
        Recipient::Customer(id) => state.store.customer(&message.tenant, id).await?,
        Recipient::Phone(number) => Some(state.store.behind_number(&message.tenant, number, now).await?),
    };
    let checks = rules::allowed::ask(message, customer.as_deref(), now, &state.rules);
    Ok((customer, checks.map_err(|refusal| refused(&refusal))?))
}

fn refused(refusal: &Refusal) -> Problem {
    let problem = Problem::refused(refusal);
    match refusal {
        Refusal::UnknownCustomer(_) => {
            problem.field("to.customer").fix("register the customer with PUT /v1/customers/{id}")
        }
        Refusal::NoAddress(_) => problem.field("to").fix("give the customer an address with PUT /v1/customers/{id}"),
        Refusal::NoConsent(_) => {
            problem.field("to").fix("ask the customer, and record the consent with PUT /v1/customers/{id}")
        }
        Refusal::NotExpected(_) => problem.field("because"),
        Refusal::TemplateNeeded => {
            problem.field("template").fix("add a template, or allow SMS with `\"sms\": \"fallback\"`")
        }
        Refusal::BadTemplate(_) => problem.field("template"),
        Refusal::Expired => problem.field("expires").fix("give a time that lies ahead"),
        Refusal::BadContent(_) | Refusal::NotPermitted(_) | Refusal::OverQuota(_) | Refusal::Other(_) => problem,
    }
}

#[derive(Serialize)]
struct Cancelled {
    id: MessageId,
    /// Whether it was asked for in time to change anything.
    cancelled: bool,
    /// What will not happen any more, and what had happened already.
    stopped: Vec<String>,
    too_late: Vec<String>,
}

/// `POST /v1/messages/{id}/cancel`: it is not sent, or does not fall back. What has left cannot be called back.
pub(super) async fn cancel(
    State(state): State<AppState>,
    caller: Caller,
    At(id): At<MessageId>,
) -> Result<Response, Problem> {
    let cancelled = state.store.cancel_message(&caller.tenant, id, state.clock.now()).await?;
    let Some(record) = state.store.message(&caller.tenant, id).await? else {
        return Err(Problem::not_found(format!("there is no message {id}")).field("id"));
    };
    let (stopped, too_late) = what_a_cancellation_does(&record, cancelled);
    Ok(answer(StatusCode::OK, &Cancelled { id, cancelled, stopped, too_late }))
}

/// What of a message is stopped, and what a provider had already.
fn what_a_cancellation_does(record: &MessageRecord, cancelled: bool) -> (Vec<String>, Vec<String>) {
    let mut stopped = Vec::new();
    if cancelled {
        let sms_was_left = record.message.sms != SmsPolicy::Never
            && record.attempts.iter().all(|attempt| attempt.channel != Channel::Sms);
        if record.attempts.iter().all(|attempt| attempt.state == AttemptState::Failed) {
            stopped.push("nothing is sent".to_owned());
        } else if sms_was_left {
            stopped.push("no SMS follows".to_owned());
        }
        stopped.extend((!record.attempts.is_empty()).then(|| "it is not tried again".to_owned()));
    }
    let had = record.attempts.iter().filter_map(|attempt| {
        let what = match attempt.state {
            AttemptState::Failed => return None,
            AttemptState::Planned => "is being made",
            AttemptState::Uncertain => "may have been taken",
            AttemptState::Accepted | AttemptState::Sent => "was taken and may still arrive",
            AttemptState::Delivered | AttemptState::Read => "has arrived",
        };
        Some(format!("attempt {} by {} with {} {what}", attempt.no, attempt.channel.as_str(), attempt.provider))
    });
    (stopped, had.collect())
}
