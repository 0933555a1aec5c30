//! `GET /v1/messages/{id}/media/{place}`: a file that a customer sent, once it was fetched.

use axum::{
    body::Body,
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

use crate::{
    domain::file::{FileState, of_incoming},
    ids::MessageId,
    ingress::{AppState, auth::Caller, problem::Problem, request::At},
    links::described,
};

/// The first file, which is the only one on WhatsApp.
pub(super) async fn first(state: State<AppState>, caller: Caller, At(id): At<MessageId>) -> Result<Response, Problem> {
    show(state, caller, At((id, 0))).await
}

pub(super) async fn show(
    State(state): State<AppState>,
    caller: Caller,
    At((id, place)): At<(MessageId, usize)>,
) -> Result<Response, Problem> {
    let Some(file) = state.store.file(&caller.tenant, &of_incoming(id, place)).await? else {
        return Err(Problem::not_found(format!("message {id} has no file at place {place}, or its time is over"))
            .field("place")
            .fix("`media` of GET /v1/messages/{id} lists the files; they stay for media.keep-days"));
    };
    match file.state {
        FileState::Kept { mime_type, filename } => {
            let mut response = (StatusCode::OK, Body::from(file.bytes.to_vec())).into_response();
            described(response.headers_mut(), &mime_type, filename.as_deref());
            response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            Ok(response)
        }
        FileState::Wanted(wanted) => {
            let trouble = wanted.trouble.unwrap_or_else(|| "nobody has tried yet".to_owned());
            Err(Problem::not_found(format!("it is not fetched yet: {trouble}"))
                .field("place")
                .fix("ask again in a moment"))
        }
        FileState::Lost { why } => {
            Err(Problem::not_found(format!("it is not to be had: {why}")).field("place").fix("ask for it again"))
        }
        FileState::Uploaded { .. } => Err(Problem::not_found("it is no file of a customer's").field("place")),
    }
}
