//! `GET /v1/conversations[/{id}]`, `GET /v1/customers/{id}/conversation`, and `POST …/read`: what was said with whom, for a person who
//! reads along and answers. An answer itself is a message like any other, and goes to `POST /v1/messages`.

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode, Uri, header},
    response::Response,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    limit, next, paging,
    thread::{self, Cursor, Party},
    view,
};
use crate::{
    channel::marks::Mark,
    domain::customer::Channel,
    ids::{CustomerId, MessageId},
    ingress::{
        AppState,
        auth::Caller,
        problem::{Problem, excerpt},
        request::{At, Query, read_json},
    },
};

pub(super) async fn list(State(state): State<AppState>, caller: Caller, uri: Uri) -> Result<Response, Problem> {
    let query = Query::of(&uri, &["before", "limit"])?;
    let page = paging(&query, state.settings.page_rows_max)?;
    let found = state.store.conversations(&caller.tenant, page).await?;
    let next = next(found.len(), page.limit, found.last().map(|line| line.seq));
    let now = state.clock.now();
    let mut lines: Vec<Value> = Vec::with_capacity(found.len());
    let mut seen: Vec<&CustomerId> = Vec::new();
    for line in &found {
        // Who writes from a number and from an id of WhatsApp's is one customer, and stands where they wrote last.
        if line.owner.as_ref().is_some_and(|owner| seen.contains(&owner)) {
            continue;
        }
        seen.extend(&line.owner);
        let owner = match &line.owner {
            Some(id) => state.store.customer(&caller.tenant, id).await?,
            None => None,
        };
        lines.push(view::line(line, owner.as_deref(), now));
    }
    Ok(view::answer(StatusCode::OK, &json!({"conversations": lines, "next": next})))
}

pub(super) async fn of_customer(
    State(state): State<AppState>,
    caller: Caller,
    At(id): At<CustomerId>,
    uri: Uri,
) -> Result<Response, Problem> {
    let party = customer(&state, &caller, &id).await?;
    show(&state, &caller, &party, &uri).await
}

pub(super) async fn of_message(
    State(state): State<AppState>,
    caller: Caller,
    At(id): At<MessageId>,
    uri: Uri,
) -> Result<Response, Problem> {
    let party = writer(&state, &caller, id).await?;
    show(&state, &caller, &party, &uri).await
}

pub(super) async fn read_of_customer(
    State(state): State<AppState>,
    caller: Caller,
    At(id): At<CustomerId>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let party = customer(&state, &caller, &id).await?;
    read(&state, &caller, &party, &headers, body).await
}

pub(super) async fn read_of_message(
    State(state): State<AppState>,
    caller: Caller,
    At(id): At<MessageId>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let party = writer(&state, &caller, id).await?;
    read(&state, &caller, &party, &headers, body).await
}

async fn customer(state: &AppState, caller: &Caller, id: &CustomerId) -> Result<Party, Problem> {
    let party = Party::of_customer(&*state.store, &caller.tenant, id).await?;
    party.ok_or_else(|| {
        Problem::not_found(format!("there is no customer `{}`", excerpt(id)))
            .field("id")
            .fix("register the customer with PUT /v1/customers/{id}")
    })
}

async fn writer(state: &AppState, caller: &Caller, id: MessageId) -> Result<Party, Problem> {
    let party = Party::of_message(&*state.store, &caller.tenant, id, state.clock.now()).await?;
    party.ok_or_else(|| {
        Problem::not_found(format!("{id} is no message that somebody wrote"))
            .field("id")
            .fix("give the `id` of a line of GET /v1/conversations")
    })
}

async fn show(state: &AppState, caller: &Caller, party: &Party, uri: &Uri) -> Result<Response, Problem> {
    let query = Query::of(uri, &["before", "limit"])?;
    let cursor = query.parse("before", "the `next` of the page before", Cursor::parse)?.unwrap_or_default();
    let limit = limit(&query, state.settings.page_rows_max)?;
    let (store, tenant) = (&*state.store, &caller.tenant);
    let (messages, next) = thread::page(store, tenant, party, cursor, limit).await?;
    let last = party.last_written(store, tenant).await?;
    let last = last.first().map(|(_, incoming)| &**incoming);
    let key = caller.key.as_deref().unwrap_or("nobody's key");
    tracing::info!(key, customer = party.customer.as_deref(), messages = messages.len(), "a conversation was read");
    let to = match (&party.customer, party.senders.first()) {
        (None, None) => Value::Null,
        (customer, sender) => view::to(customer.as_deref(), sender.map_or("", String::as_str)),
    };
    Ok(view::answer(
        StatusCode::OK,
        &json!({
            "customer": party.customer,
            "name": party.known.name.as_ref().or(last.and_then(|last| last.sender_name.as_ref())),
            "to": to,
            "window": thread::window(party, last, state.clock.now()),
            "messages": messages,
            "next": next,
        }),
    ))
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Reading {
    /// Whoever reads is writing an answer: the customer is shown that.
    #[serde(default)]
    typing: bool,
}

/// Everything that came is read. The provider is told afterwards, and not waited for.
async fn read(
    state: &AppState,
    caller: &Caller,
    party: &Party,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let asked = match headers.get(header::CONTENT_TYPE) {
        Some(_) => read_json(headers, body, state.settings.json_bytes_max).await?,
        None => Reading::default(),
    };
    let last = party.last_written(&*state.store, &caller.tenant).await?;
    let through: Vec<(String, i64)> = last.iter().map(|(seq, incoming)| (incoming.sender.clone(), *seq)).collect();
    if !through.is_empty() {
        state.store.read_through(&caller.tenant, through).await?;
    }
    // To mark the last one marks those before it.
    let newest = last.iter().map(|(_, incoming)| incoming).find(|incoming| incoming.channel == Channel::Whatsapp);
    let told = newest.is_some_and(|incoming| state.marks.tell(Mark::of(incoming, asked.typing)));
    let key = caller.key.as_deref().unwrap_or("nobody's key");
    tracing::info!(key, customer = party.customer.as_deref(), told, "a conversation was marked as read");
    let through = last.first().map(|(_, incoming)| incoming.id);
    Ok(view::answer(StatusCode::OK, &json!({"read_through": through, "told": told})))
}
