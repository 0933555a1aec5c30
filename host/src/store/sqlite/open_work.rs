//! Open work, by whose it is: what is read after a start, and whenever memory has room again.
//!
//! Every query walks an index that holds open rows only, from where it was left: none gets slower as the history grows.

use rusqlite::{Connection, OptionalExtension, params};

use super::{
    error::{Outcome, Trouble},
    inbox::{EVENT_COLUMNS, RUN_COLUMNS, queued_run},
    outbox, rows,
};
use crate::{
    clock::Timestamp,
    domain::{
        message::MessageRecord,
        run::{EntityKey, Flow, QueuedRun},
    },
    ids::{Entity, TenantId},
    store::EARLIER_LOOKED_AT,
};

/// One step into the index for each flow, however many runs it has: from each flow to the first row of the next one.
pub(super) fn flows(conn: &Connection) -> Outcome<Vec<Flow>> {
    // Two questions and not `(tenant, plugin) > (?1, ?2)`, for which SQLite walks through all that are equal: a flow's backlog.
    let sql = "SELECT * FROM (SELECT tenant, plugin FROM runs INDEXED BY runs_open \
               WHERE state = 0 AND tenant = ?1 AND plugin > ?2 ORDER BY plugin LIMIT 1) \
               UNION ALL SELECT * FROM (SELECT tenant, plugin FROM runs INDEXED BY runs_open \
               WHERE state = 0 AND tenant > ?1 ORDER BY tenant, plugin LIMIT 1) LIMIT 1";
    let mut statement = conn.prepare_cached(sql)?;
    let mut flows: Vec<Flow> = Vec::new();
    loop {
        let last = flows.last().map_or(("", ""), |flow| (flow.tenant.as_str(), flow.plugin.as_str()));
        let next = statement.query_row([last.0, last.1], |row| {
            Ok(Flow { tenant: rows::must_name(row, 0)?, plugin: rows::must_name(row, 1)? })
        });
        match next.optional()? {
            Some(flow) => flows.push(flow),
            None => return Ok(flows),
        }
    }
}

pub(super) fn runs(conn: &Connection, flow: &Flow, after: i64, limit: u32) -> Outcome<Vec<QueuedRun>> {
    let sql = format!(
        "SELECT {RUN_COLUMNS}, {EVENT_COLUMNS} FROM runs r INDEXED BY runs_open LEFT JOIN events e ON e.seq = r.event \
         WHERE r.state = 0 AND r.tenant = ?1 AND r.plugin = ?2 AND r.seq > ?3 ORDER BY r.seq LIMIT ?4"
    );
    let mut statement = conn.prepare_cached(&sql)?;
    let found = statement.query_map(params![flow.tenant.as_str(), flow.plugin.as_str(), after, limit], queued_run)?;
    found.collect::<rusqlite::Result<_>>().map_err(Trouble::from)
}

/// Walks the flow's index and touches the rows of this entity only. What it walks past are open runs of entities that wait
/// as well: those that are done are not in the index.
pub(super) fn runs_of(conn: &Connection, key: &EntityKey, after: i64, limit: u32) -> Outcome<Vec<QueuedRun>> {
    let sql = format!(
        "SELECT {RUN_COLUMNS}, {EVENT_COLUMNS} FROM runs r INDEXED BY runs_open LEFT JOIN events e ON e.seq = r.event \
         WHERE r.state = 0 AND r.tenant = ?1 AND r.plugin = ?2 AND r.seq > ?3 AND r.entity = ?4 ORDER BY r.seq LIMIT ?5"
    );
    let mut statement = conn.prepare_cached(&sql)?;
    let named = params![key.tenant.as_str(), key.plugin.as_str(), after, key.entity.as_str(), limit];
    let found = statement.query_map(named, queued_run)?;
    found.collect::<rusqlite::Result<_>>().map_err(Trouble::from)
}

pub(super) fn run_seqs(
    conn: &Connection,
    flow: &Flow,
    after: i64,
    through: i64,
    limit: u32,
) -> Outcome<Vec<(i64, Entity)>> {
    let sql = "SELECT seq, entity FROM runs INDEXED BY runs_open \
               WHERE state = 0 AND tenant = ?1 AND plugin = ?2 AND seq > ?3 AND seq <= ?4 ORDER BY seq LIMIT ?5";
    let mut statement = conn.prepare_cached(sql)?;
    let asked = params![flow.tenant.as_str(), flow.plugin.as_str(), after, through, limit];
    let found = statement.query_map(asked, |row| Ok((row.get(0)?, rows::must_name(row, 1)?)))?;
    found.collect::<rusqlite::Result<_>>().map_err(Trouble::from)
}

pub(super) fn message_tenants(conn: &Connection) -> Outcome<Vec<TenantId>> {
    let sql = "SELECT tenant FROM message_states INDEXED BY messages_now WHERE step = 1 AND tenant > ?1 \
               ORDER BY tenant LIMIT 1";
    let mut statement = conn.prepare_cached(sql)?;
    let mut tenants: Vec<TenantId> = Vec::new();
    loop {
        let last = tenants.last().map_or("", TenantId::as_str);
        match statement.query_row([last], |row| rows::must_name(row, 0)).optional()? {
            Some(tenant) => tenants.push(tenant),
            None => return Ok(tenants),
        }
    }
}

/// Two steps into the index for each tenant that has messages that wait, however many those are.
pub(super) fn due_tenants(conn: &Connection, now: Timestamp) -> Outcome<(Vec<TenantId>, Option<Timestamp>)> {
    let first = "SELECT tenant, due FROM message_states INDEXED BY messages_due WHERE step = 2 AND tenant > ?1 \
                 ORDER BY tenant, due LIMIT 1";
    let later = "SELECT due FROM message_states INDEXED BY messages_due WHERE step = 2 AND tenant = ?1 AND due > ?2 \
                 ORDER BY due LIMIT 1";
    let (mut first, mut later) = (conn.prepare_cached(first)?, conn.prepare_cached(later)?);
    let (mut tenants, mut next, mut last) = (Vec::new(), None, TenantId::from(""));
    loop {
        let found = first.query_row([last.as_str()], |row| Ok((rows::must_name(row, 0)?, row.get(1).map(Timestamp)?)));
        let Some((tenant, due)) = found.optional()? else { return Ok((tenants, next)) };
        last = tenant;
        let coming = if due > now {
            Some(due)
        } else {
            tenants.push(last.clone());
            later.query_row(params![last.as_str(), now.0], |row| row.get(0).map(Timestamp)).optional()?
        };
        next = next.into_iter().chain(coming).min();
    }
}

pub(super) fn due_messages(
    conn: &Connection,
    tenant: &TenantId,
    after: (Timestamp, i64),
    until: Timestamp,
    limit: u32,
) -> Outcome<Vec<MessageRecord>> {
    let from = "message_states s INDEXED BY messages_due JOIN messages m ON m.seq = s.seq \
                WHERE s.step = 2 AND s.tenant = ?1 AND (s.due, s.seq) > (?2, ?3) AND s.due <= ?4 \
                ORDER BY s.due, s.seq LIMIT ?5";
    let (at, seq) = after;
    outbox::select(conn, from, params![tenant.as_str(), at.0, seq, until.0, limit])
}

pub(super) fn messages(conn: &Connection, tenant: &TenantId, after: i64, limit: u32) -> Outcome<Vec<MessageRecord>> {
    let from = "message_states s INDEXED BY messages_now JOIN messages m ON m.seq = s.seq \
                WHERE s.step = 1 AND s.tenant = ?1 AND s.seq > ?2 ORDER BY s.seq LIMIT ?3";
    outbox::select(conn, from, params![tenant.as_str(), after, limit])
}

/// Of one recipient: those after `after`, most of which are still to be sent.
pub(super) fn messages_of(
    conn: &Connection,
    tenant: &TenantId,
    lane: &str,
    after: i64,
    limit: u32,
) -> Outcome<Vec<MessageRecord>> {
    let from = "messages m INDEXED BY messages_lane JOIN message_states s ON s.seq = m.seq \
                WHERE m.tenant = ?1 AND m.lane = ?2 AND m.seq > ?3 AND s.step = 1 ORDER BY m.seq LIMIT ?4";
    outbox::select(conn, from, params![tenant.as_str(), lane, after, limit])
}

pub(super) fn message_seqs(
    conn: &Connection,
    tenant: &TenantId,
    after: i64,
    through: i64,
    limit: u32,
) -> Outcome<Vec<(i64, String)>> {
    let sql = "SELECT s.seq, m.lane FROM message_states s INDEXED BY messages_now JOIN messages m ON m.seq = s.seq \
               WHERE s.step = 1 AND s.tenant = ?1 AND s.seq > ?2 AND s.seq <= ?3 ORDER BY s.seq LIMIT ?4";
    let mut statement = conn.prepare_cached(sql)?;
    let asked = params![tenant.as_str(), after, through, limit];
    let found = statement.query_map(asked, |row| Ok((row.get(0)?, row.get(1)?)))?;
    found.collect::<rusqlite::Result<_>>().map_err(Trouble::from)
}

/// Of the last few before `seq`: what is to be sent before it has been left behind by at most a few, and a long history costs
/// nothing.
pub(super) fn earlier_messages(
    conn: &Connection,
    tenant: &TenantId,
    lane: &str,
    seq: i64,
) -> Outcome<Vec<MessageRecord>> {
    let from = "(SELECT seq FROM messages WHERE tenant = ?1 AND lane = ?2 AND seq < ?3 ORDER BY seq DESC LIMIT ?4) l \
                JOIN message_states s ON s.seq = l.seq JOIN messages m ON m.seq = l.seq WHERE s.settled = 0 \
                AND (s.step = 1 OR EXISTS (SELECT 1 FROM attempts a WHERE a.message = l.seq AND a.state = 'planned')) \
                ORDER BY s.seq";
    outbox::select(conn, from, params![tenant.as_str(), lane, seq, EARLIER_LOOKED_AT])
}
