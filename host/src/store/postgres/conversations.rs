//! Conversations, for whoever reads along: lists and threads, page by page.

use std::sync::Arc;

use deadpool_postgres::ClientWrapper;

use super::{
    error::Outcome,
    outbox,
    read::{self, Params},
    rows,
};
use crate::{
    domain::{message::MessageRecord, run::Incoming},
    ids::TenantId,
    store::{Conversation, Paging, UNREAD_MAX},
};

pub(super) async fn list(client: &ClientWrapper, tenant: &TenantId, page: Paging) -> Outcome<Vec<Conversation>> {
    // What is unread is counted up to a bound, so that somebody who writes all day costs no more than that.
    let sql = format!(
        "SELECT c.last_seq, i.body, a.customer, \
         (SELECT count(*) FROM (SELECT 1 FROM incoming u WHERE u.tenant = c.tenant AND u.sender = c.sender \
         AND u.seq > c.read_seq LIMIT {UNREAD_MAX}) AS unread) \
         FROM conversations c JOIN incoming i ON i.seq = c.last_seq LEFT JOIN addresses a \
         ON a.tenant = c.tenant AND a.channel = i.channel AND a.address = c.sender \
         WHERE c.tenant = $1 AND c.last_seq < $2 ORDER BY c.last_seq DESC LIMIT $3"
    );
    let (before, limit) = (page.before.unwrap_or(i64::MAX), i64::from(page.limit));
    read::all(client, &sql, &[&tenant.as_str(), &before, &limit], |row| {
        let last: Arc<Incoming> = Arc::new(rows::json(row, 1)?);
        let unread: i64 = row.try_get(3)?;
        let unread = u32::try_from(unread).unwrap_or(u32::MAX);
        Ok(Conversation { seq: row.try_get(0)?, owner: rows::name(row, 2)?, unread, last })
    })
    .await
}

pub(super) async fn written(
    client: &ClientWrapper,
    tenant: &TenantId,
    sender: &str,
    page: Paging,
) -> Outcome<Vec<(i64, Arc<Incoming>)>> {
    let sql =
        "SELECT seq, body FROM incoming WHERE tenant = $1 AND sender = $2 AND seq < $3 ORDER BY seq DESC LIMIT $4";
    let (before, limit) = (page.before.unwrap_or(i64::MAX), i64::from(page.limit));
    let params: Params<'_> = &[&tenant.as_str(), &sender, &before, &limit];
    read::all(client, sql, params, |row| Ok((row.try_get(0)?, Arc::new(rows::json(row, 1)?)))).await
}

pub(super) async fn sent(
    client: &ClientWrapper,
    tenant: &TenantId,
    lane: &str,
    page: Paging,
) -> Outcome<Vec<MessageRecord>> {
    let from = "messages m JOIN message_states s ON s.seq = m.seq \
                WHERE m.tenant = $1 AND m.lane = $2 AND m.seq < $3 ORDER BY m.seq DESC LIMIT $4";
    let (before, limit) = (page.before.unwrap_or(i64::MAX), i64::from(page.limit));
    outbox::select(client, from, &[&tenant.as_str(), &lane, &before, &limit]).await
}
