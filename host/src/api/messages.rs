//! `GET /v1/messages[/{id}]`: messages, and the whole story of one.

use axum::{
    extract::State,
    http::{StatusCode, Uri},
    response::Response,
};
use serde_json::{Value, json};

use super::{next, paging, story, view};
use crate::{
    domain::status::MessageState,
    ids::{CustomerId, MessageId},
    ingress::{
        AppState,
        auth::Caller,
        problem::Problem,
        request::{At, Query},
    },
    store::MessageFilter,
};

pub(super) async fn list(State(state): State<AppState>, caller: Caller, uri: Uri) -> Result<Response, Problem> {
    let query = Query::of(&uri, &["customer", "state", "before", "limit"])?;
    let states = MessageState::ALL.map(MessageState::as_str).join(", ");
    let filter = MessageFilter {
        customer: query.get("customer").map(CustomerId::from),
        state: query.parse("state", &format!("one of {states}"), MessageState::parse)?,
    };
    let page = paging(&query, state.settings.page_rows_max)?;
    let records = state.store.messages(&caller.tenant, &filter, page).await?;
    let next = next(records.len(), page.limit, records.last().map(|record| record.seq));
    let messages: Vec<Value> = records.iter().map(view::message).collect();
    Ok(view::answer(StatusCode::OK, &json!({"messages": messages, "next": next})))
}

pub(super) async fn show(
    State(state): State<AppState>,
    caller: Caller,
    At(id): At<MessageId>,
) -> Result<Response, Problem> {
    if let Some(record) = state.store.message(&caller.tenant, id).await? {
        let story = story::tell(&*state.store, &caller.tenant, &record).await?;
        let mut view = view::message(&record);
        if let Some(members) = view.as_object_mut() {
            members.insert("story".to_owned(), json!(story));
        }
        return Ok(view::answer(StatusCode::OK, &view));
    }
    // The same ids name what customers wrote, and whoever follows a story comes to them.
    match state.store.incoming(&caller.tenant, id).await? {
        Some(incoming) => Ok(view::answer(StatusCode::OK, &json!({"incoming": view::incoming(&incoming)}))),
        None => Err(Problem::not_found(format!("there is no message {id}")).field("id")),
    }
}
