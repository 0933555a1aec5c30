//! `/v1/webhooks/cm/{secret}`: CM.com signs nothing, so the last part of the URL is what nobody else knows.

use axum::{
    body::Bytes,
    extract::{Path, State, rejection::BytesRejection},
    http::StatusCode,
};

use super::{ReceiptState, answer::Refusal, record::record};
use crate::channel::{
    cm::webhook,
    signature::{self, Refused},
};

const NAME: &str = "cm";

pub(super) async fn receive(
    State(state): State<ReceiptState>,
    Path(given): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Result<StatusCode, Refusal> {
    let secrets: Vec<_> = state.accounts.cm.iter().flat_map(|account| account.webhook_secrets.clone()).collect();
    let known = signature::fits_any(&secrets, |secret| signature::same(secret.reveal().as_bytes(), given.as_bytes()))?;
    if !known {
        return Err(Refused::Mismatch("the URL's last part").into());
    }
    record(&state, NAME, webhook::parse(&body?)?).await?;
    Ok(StatusCode::OK)
}
