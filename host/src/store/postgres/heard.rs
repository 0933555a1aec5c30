//! Rows of what providers and customers say.

use std::{collections::HashSet, sync::Arc};

use deadpool_postgres::ClientWrapper;
use tokio_postgres::Row;

use super::{
    error::Outcome,
    read, rows,
    source::{ProviderKey, Recorded, WantedAttempt},
};
use crate::{
    clock::Timestamp,
    domain::{customer::Channel, run::Incoming, status::AttemptState},
    ids::{MessageId, TenantId},
    store::{Receipt, commands::source::Parked},
};

/// What [`parked`] reads.
const PARKED: &str = "p.id, p.provider, p.provider_id, p.state, p.time, p.received, p.failure, p.pricing";

/// The parked receipts that bear one of these tokens, each with its tenant and token.
pub(super) async fn parked_by_tokens(
    client: &ClientWrapper,
    tokens: &HashSet<(TenantId, String)>,
) -> Outcome<Vec<((TenantId, String), Parked)>> {
    if tokens.is_empty() {
        return Ok(Vec::new());
    }
    // `token <> ''` is what the index covers.
    let sql = format!(
        "SELECT {PARKED}, p.tenant, p.token FROM unnest($1::text[], $2::text[]) AS n (tenant, token) CROSS JOIN LATERAL \
         (SELECT * FROM parked_receipts t WHERE t.token <> '' AND t.token = n.token AND t.tenant = n.tenant OFFSET 0) p \
         ORDER BY p.id"
    );
    let tenants: Vec<&str> = tokens.iter().map(|(tenant, _)| tenant.as_str()).collect();
    let names: Vec<&str> = tokens.iter().map(|(_, token)| token.as_str()).collect();
    read::all(client, &sql, &[&tenants, &names], |row| {
        let tenant: TenantId = rows::must_name(row, 8)?;
        let parked = parked(row, &tenant)?;
        Ok(((tenant, row.try_get(9)?), parked))
    })
    .await
}

/// The parked receipts that name one of these provider's ids, each with what it names.
pub(super) async fn parked_by_ids(
    client: &ClientWrapper,
    ids: &HashSet<ProviderKey>,
) -> Outcome<Vec<(ProviderKey, Parked)>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let sql = format!(
        "SELECT {PARKED}, p.tenant FROM unnest($1::text[], $2::text[], $3::text[]) AS n (tenant, provider, id) \
         CROSS JOIN LATERAL (SELECT * FROM parked_receipts t WHERE t.provider = n.provider AND t.provider_id = n.id \
         AND t.tenant = n.tenant OFFSET 0) p ORDER BY p.id"
    );
    let column = |of: fn(&ProviderKey) -> &str| ids.iter().map(of).collect::<Vec<_>>();
    let (tenants, providers, names) = (column(|key| key.0.as_str()), column(|key| &key.1), column(|key| &key.2));
    read::all(client, &sql, &[&tenants, &providers, &names], |row| {
        let tenant: TenantId = rows::must_name(row, 8)?;
        let parked = parked(row, &tenant)?;
        Ok(((tenant, row.try_get(1)?, row.try_get(2)?), parked))
    })
    .await
}

/// What is parked for attempts of messages that are being read in the same round, by the ids that their providers know them
/// under; `None` for one for which nothing is.
pub(super) async fn parked_for_attempts(
    client: &ClientWrapper,
    attempts: &HashSet<WantedAttempt>,
) -> Outcome<Vec<(ProviderKey, Option<Parked>)>> {
    if attempts.is_empty() {
        return Ok(Vec::new());
    }
    let sql = format!(
        "SELECT {PARKED}, m.tenant, a.provider, a.provider_id \
         FROM unnest($1::bytea[], $2::int8[], $3::text[], $4::bool[]) AS n (id, no, provider_id, answered) \
         CROSS JOIN LATERAL (SELECT t.seq, t.tenant FROM messages t WHERE t.id = n.id OFFSET 0) m \
         CROSS JOIN LATERAL (SELECT t.provider, CASE WHEN n.answered THEN n.provider_id \
         ELSE coalesce(t.provider_id, n.provider_id) END AS provider_id \
         FROM attempts t WHERE t.message = m.seq AND t.no = n.no OFFSET 0) a \
         LEFT JOIN LATERAL (SELECT * FROM parked_receipts t WHERE t.provider = a.provider \
         AND t.provider_id = a.provider_id AND t.tenant = m.tenant OFFSET 0) p ON true \
         WHERE a.provider_id IS NOT NULL ORDER BY p.id"
    );
    let ids: Vec<&[u8]> = attempts.iter().map(|attempt| attempt.token.message.0.as_slice()).collect();
    let numbers: Vec<i64> = attempts.iter().map(|attempt| i64::from(attempt.token.attempt)).collect();
    let names: Vec<Option<&str>> = attempts.iter().map(|attempt| attempt.provider_id.as_deref()).collect();
    let answered: Vec<bool> = attempts.iter().map(|attempt| attempt.answered).collect();
    read::all(client, &sql, &[&ids, &numbers, &names, &answered], |row| {
        let tenant: TenantId = rows::must_name(row, 8)?;
        let parked = if row.try_get::<_, Option<i64>>(0)?.is_some() { Some(parked(row, &tenant)?) } else { None };
        Ok(((tenant, row.try_get(9)?, row.try_get(10)?), parked))
    })
    .await
}

const RECORDED: &str = "r.message, r.attempt, r.state, r.code, r.time, r.failure, r.pricing IS NOT NULL";

fn recorded(row: &Row) -> Outcome<((i64, u32), Recorded)> {
    let recorded = Recorded {
        state: row.try_get(2)?,
        code: row.try_get(3)?,
        time: rows::must_time(row, 4)?,
        failure: rows::json_or_none(row, 5)?,
        priced: row.try_get(6)?,
    };
    Ok(((row.try_get(0)?, rows::count(row, 1)?), recorded))
}

/// The receipts of these messages, of whichever attempt.
pub(super) async fn receipts_of(client: &ClientWrapper, messages: &[i64]) -> Outcome<Vec<((i64, u32), Recorded)>> {
    if messages.is_empty() {
        return Ok(Vec::new());
    }
    let sql = format!("SELECT {RECORDED} FROM receipts r WHERE r.message = ANY($1)");
    read::all(client, &sql, &[&messages], recorded).await
}

/// The receipts of messages that are being read in the same round, of whichever attempt.
pub(super) async fn receipts_for(client: &ClientWrapper, messages: &[&[u8]]) -> Outcome<Vec<((i64, u32), Recorded)>> {
    if messages.is_empty() {
        return Ok(Vec::new());
    }
    let sql = format!(
        "SELECT {RECORDED} FROM unnest($1::bytea[]) AS n (id) \
         CROSS JOIN LATERAL (SELECT t.seq FROM messages t WHERE t.id = n.id OFFSET 0) m \
         CROSS JOIN LATERAL (SELECT * FROM receipts t WHERE t.message = m.seq OFFSET 0) r"
    );
    read::all(client, &sql, &[&messages], recorded).await
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
    // By time, because they need not come in their order: the last few hold the latest.
    let sql = "SELECT max(time) FROM (SELECT time FROM incoming WHERE tenant = $1 AND sender = $2 AND channel = $3 \
               ORDER BY seq DESC LIMIT 32) AS latest";
    let found =
        read::one(client, sql, &[&tenant.as_str(), &address, &channel.as_str()], |row| rows::time(row, 0)).await?;
    Ok(found.flatten())
}
