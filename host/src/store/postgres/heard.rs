//! Rows of what providers and customers say.

use std::sync::Arc;

use deadpool_postgres::ClientWrapper;
use tokio_postgres::Row;

use super::{error::Outcome, read, rows};
use crate::{
    clock::Timestamp,
    domain::{customer::Channel, run::Incoming, status::AttemptState},
    ids::{MessageId, TenantId},
    store::{Receipt, commands::source::Parked},
};

const PARKED: &str = "SELECT id, provider, provider_id, state, time, received, failure, pricing FROM parked_receipts";

pub(super) async fn parked_by_token(client: &ClientWrapper, tenant: &TenantId, token: &str) -> Outcome<Vec<Parked>> {
    // `token <> ''` is what the index covers.
    let sql = format!("{PARKED} WHERE token <> '' AND token = $1 AND tenant = $2 ORDER BY id");
    read::all(client, &sql, &[&token, &tenant.as_str()], |row| parked(row, tenant)).await
}

pub(super) async fn parked_by_id(
    client: &ClientWrapper,
    tenant: &TenantId,
    provider: &str,
    provider_id: &str,
) -> Outcome<Vec<Parked>> {
    let sql = format!("{PARKED} WHERE provider = $1 AND provider_id = $2 AND tenant = $3 ORDER BY id");
    read::all(client, &sql, &[&provider, &provider_id, &tenant.as_str()], |row| parked(row, tenant)).await
}

/// Reads a receipt that nobody has claimed yet. Its token has done its work by then: whoever looks knows the attempt.
pub(super) fn parked(row: &Row, tenant: &TenantId) -> Outcome<Parked> {
    let provider_id: String = row.try_get(2)?;
    Ok(Parked {
        id: row.try_get(0)?,
        received: rows::must_time(row, 5)?,
        receipt: Receipt {
            tenant: tenant.clone(),
            provider: row.try_get(1)?,
            token: None,
            provider_id: (!provider_id.is_empty()).then_some(provider_id),
            state: rows::word(row, 3, AttemptState::parse)?,
            time: rows::must_time(row, 4)?,
            failure: rows::json_or_none(row, 6)?,
            pricing: rows::json_or_none(row, 7)?,
        },
    })
}

pub(super) async fn load_incoming(
    client: &ClientWrapper,
    tenant: &TenantId,
    id: MessageId,
) -> Outcome<Option<Arc<Incoming>>> {
    let sql = "SELECT body FROM incoming WHERE id = $1 AND tenant = $2";
    read::one(client, sql, &[&id.0.as_slice(), &tenant.as_str()], |row| rows::json(row, 0).map(Arc::new)).await
}

/// When somebody last wrote from an address.
pub(super) async fn last_incoming(
    client: &ClientWrapper,
    tenant: &TenantId,
    channel: Channel,
    address: &str,
) -> Outcome<Option<Timestamp>> {
    let sql = "SELECT time FROM incoming WHERE tenant = $1 AND sender = $2 AND channel = $3 ORDER BY seq DESC LIMIT 1";
    read::one(client, sql, &[&tenant.as_str(), &address, &channel.as_str()], |row| rows::must_time(row, 0)).await
}
