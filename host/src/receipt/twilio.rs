//! `/v1/webhooks/twilio[/{account}]`: statuses and incoming messages, as forms.

use axum::{
    body::Bytes,
    extract::{Path, State, rejection::BytesRejection},
    http::{HeaderMap, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use url::form_urlencoded;

use super::{ReceiptState, answer::Refusal, record::record};
use crate::{
    channel::{Report, twilio::webhook},
    ids::AttemptToken,
    secret::Secret,
};

const NAME: &str = "twilio";

/// TwiML that asks Twilio for nothing: no answer is sent from here.
const NOTHING_TO_SAY: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response/>";

pub(super) async fn receive(
    State(state): State<ReceiptState>,
    account: Option<Path<String>>,
    uri: Uri,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Refusal> {
    let tokens = auth_tokens(&state, account.map(|Path(name)| name))?;
    let body = body?;
    let base =
        state.public_url.as_deref().ok_or(Refusal::Setup("server.public-url is needed to check Twilio's signature"))?;
    let url = format!("{}{}", base.trim_end_matches('/'), uri.path());
    let params: Vec<(String, String)> = form_urlencoded::parse(&body).into_owned().collect();
    let header = headers.get("x-twilio-signature").and_then(|value| value.to_str().ok());
    webhook::verify(&tokens, &url, uri.query(), &params, &body, header)?;
    let reports = webhook::parse(&params, token(&uri));
    let written = reports.iter().any(|report| matches!(report, Report::Incoming(_)));
    record(&state, NAME, reports).await?;
    Ok(if written {
        ([(header::CONTENT_TYPE, "text/xml; charset=utf-8")], NOTHING_TO_SAY).into_response()
    } else {
        StatusCode::OK.into_response()
    })
}

/// The attempt's token, which went out in the URL of the status callback. The signature covers it.
fn token(uri: &Uri) -> Option<AttemptToken> {
    let query = uri.query()?;
    form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == "token").and_then(|(_, value)| value.parse().ok())
}

fn auth_tokens(state: &ReceiptState, name: Option<String>) -> Result<Vec<Secret>, Refusal> {
    let all = state.accounts.twilio.iter();
    let mut accounts = all.filter(|account| name.as_ref().is_none_or(|name| account.account == *name)).peekable();
    if accounts.peek().is_none() {
        return Err(Refusal::NotFound("no such account is configured under accounts.twilio".to_owned()));
    }
    Ok(accounts.flat_map(|account| account.auth_tokens.clone()).collect())
}
