//! `/v1/webhooks/meta[/{account}]`: registration by GET, reports by POST.

use std::collections::HashMap;

use axum::{
    body::Bytes,
    extract::{Path, Query, State, rejection::BytesRejection},
    http::{HeaderMap, StatusCode},
};

use super::{ReceiptState, answer::Refusal, record::record};
use crate::{
    channel::{
        MetaSettings,
        meta::{NAME, webhook},
        signature,
    },
    secret::Secret,
};

/// Meta asks whether the URL is ours: it shows the token that was given to it and wants its challenge back, bare.
pub(super) async fn subscribe(
    State(state): State<ReceiptState>,
    account: Option<Path<String>>,
    Query(query): Query<HashMap<String, String>>,
) -> Result<String, Refusal> {
    let accounts = accounts(&state, account)?;
    let given = |key: &str| query.get(key).map(String::as_str).unwrap_or_default();
    let token = given("hub.verify_token").as_bytes();
    let known = accounts.iter().fold(false, |known, account| {
        let expected = account.verify_token.reveal().as_bytes();
        (!expected.is_empty() && signature::same(expected, token)) | known
    });
    if given("hub.mode") != "subscribe" || !known {
        return Err(Refusal::Forbidden(
            "`hub.mode` is not `subscribe`, or `hub.verify_token` is not that of the account",
        ));
    }
    Ok(given("hub.challenge").to_owned())
}

pub(super) async fn receive(
    State(state): State<ReceiptState>,
    account: Option<Path<String>>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<StatusCode, Refusal> {
    // One app may serve several numbers, so without a name each account's secrets count.
    let secrets: Vec<Secret> =
        accounts(&state, account)?.iter().flat_map(|account| account.app_secrets.clone()).collect();
    let body = body?;
    let header = headers.get("x-hub-signature-256").and_then(|value| value.to_str().ok());
    webhook::verify(&secrets, &body, header)?;
    record(&state, NAME, webhook::parse(&body)?).await?;
    Ok(StatusCode::OK)
}

/// The account of that name; all of them where none is named.
fn accounts(state: &ReceiptState, name: Option<Path<String>>) -> Result<Vec<&MetaSettings>, Refusal> {
    let name = name.map(|Path(name)| name);
    let all = state.accounts.meta.iter();
    let accounts: Vec<_> = all.filter(|account| name.as_ref().is_none_or(|name| account.account == *name)).collect();
    if accounts.is_empty() {
        return Err(Refusal::NotFound(match name {
            Some(name) => format!("no account `{name}` is configured under accounts.meta"),
            None => "no account is configured under accounts.meta".to_owned(),
        }));
    }
    Ok(accounts)
}
