//! Conversations, for whoever reads along: lists and threads, page by page.

use std::sync::Arc;

use rusqlite::{Connection, params};

use super::{error::Outcome, outbox, rows};
use crate::{
    domain::{message::MessageRecord, run::Incoming},
    ids::TenantId,
    store::{Conversation, Paging, UNREAD_MAX},
};

pub(super) fn list(conn: &Connection, tenant: &TenantId, page: Paging) -> Outcome<Vec<Conversation>> {
    // What is unread is counted up to a bound, so that somebody who writes all day costs no more than that.
    let sql = format!(
        "SELECT c.last_seq, i.body, (SELECT a.customer FROM addresses a \
         WHERE a.tenant = c.tenant AND a.channel = i.channel AND a.address = c.sender), \
         (SELECT count(*) FROM (SELECT 1 FROM incoming u WHERE u.tenant = c.tenant AND u.sender = c.sender \
         AND u.seq > c.read_seq LIMIT {UNREAD_MAX})) \
         FROM conversations c CROSS JOIN incoming i ON i.seq = c.last_seq \
         WHERE c.tenant = ?1 AND c.last_seq < ?2 ORDER BY c.last_seq DESC LIMIT ?3"
    );
    let mut statement = conn.prepare_cached(&sql)?;
    let found = statement.query_map(params![tenant.as_str(), page.before.unwrap_or(i64::MAX), page.limit], |row| {
        let last: Arc<Incoming> = Arc::new(rows::json(row, 1)?);
        let owner = rows::name(row, 2)?;
        Ok(Conversation { seq: row.get(0)?, owner, unread: row.get(3)?, last })
    })?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}

pub(super) fn written(
    conn: &Connection,
    tenant: &TenantId,
    sender: &str,
    page: Paging,
) -> Outcome<Vec<(i64, Arc<Incoming>)>> {
    let sql = "SELECT seq, body FROM incoming INDEXED BY incoming_sender WHERE tenant = ?1 AND sender = ?2 AND seq < ?3 \
               ORDER BY seq DESC LIMIT ?4";
    let mut statement = conn.prepare_cached(sql)?;
    let params = params![tenant.as_str(), sender, page.before.unwrap_or(i64::MAX), page.limit];
    let found = statement.query_map(params, |row| Ok((row.get(0)?, Arc::new(rows::json(row, 1)?))))?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}

pub(super) fn sent(conn: &Connection, tenant: &TenantId, lane: &str, page: Paging) -> Outcome<Vec<MessageRecord>> {
    let from = "messages m JOIN message_states s ON s.seq = m.seq \
                WHERE m.tenant = ?1 AND m.lane = ?2 AND m.seq < ?3 ORDER BY m.seq DESC LIMIT ?4";
    let before = page.before.unwrap_or(i64::MAX);
    outbox::select(conn, from, params![tenant.as_str(), lane, before, page.limit])
}
