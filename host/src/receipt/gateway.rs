//! `/v1/webhooks/plugin/{account}/{secret}`: what the service of a channel posts that a component brings. The component reads it
//! after the secret was checked, and what it says is stored like any other provider's word.

use axum::{
    body::Bytes,
    extract::{Path, RawQuery, State, rejection::BytesRejection},
    http::{HeaderMap, Method},
};

use super::{Posted, ReceiptState, Unread, answer::Refusal, record::record};
use crate::channel::{
    ParseError,
    signature::{self, Refused},
};

pub(super) async fn receive(
    State(state): State<ReceiptState>,
    Path((account, given)): Path<(String, String)>,
    method: Method,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<String, Refusal> {
    let Some(settings) = state.accounts.plugin.iter().find(|settings| settings.account == account) else {
        return Err(Refusal::NotFound(format!("there is no account `{account}` in accounts.plugin")));
    };
    let same = |secret: &crate::secret::Secret| signature::same(secret.reveal().as_bytes(), given.as_bytes());
    if !signature::fits_any(&settings.webhook_secrets, same)? {
        return Err(Refused::Mismatch("the URL's last part").into());
    }
    let posted = Posted { method, headers, query, body: body? };
    let read = state.gateways.parse(settings, posted).await?;
    record(&state, &settings.provider(), read.reports).await?;
    Ok(read.answer)
}

impl From<Unread> for Refusal {
    fn from(unread: Unread) -> Refusal {
        match unread {
            Unread::Unsigned(why) => Refusal::Unsigned(why),
            Unread::Unreadable(reason) => Refusal::Unreadable(ParseError { provider: "the plugin", reason }),
            Unread::Later(why) => Refusal::Later(why),
        }
    }
}
