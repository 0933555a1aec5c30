//! Work with neither an owner nor a deadline. Reads whole tables, so it is asked by somebody who wants to know, and seldom.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{error::Outcome, rows};
use crate::{
    clock::Timestamp,
    ids::{AttemptToken, MessageId, RunId, TenantId},
    store::{ADRIFT_MAX, Adrift, Vitals},
};

pub(super) fn find(conn: &Connection) -> Outcome<Vec<Adrift>> {
    let mut found = timers(conn)?;
    found.extend(messages(conn)?);
    found.extend(runs(conn)?);
    found.extend(receipts(conn)?);
    Ok(found)
}

fn timers(conn: &Connection) -> Outcome<Vec<Adrift>> {
    let sql = "SELECT tenant, plugin, entity, key FROM timers WHERE queued = 1 AND (tenant, plugin, entity) NOT IN \
               (SELECT tenant, plugin, entity FROM runs WHERE state = 0) LIMIT ?1";
    listed(conn, sql, |row| {
        let (plugin, entity, key): (String, String, String) = (row.get(1)?, row.get(2)?, row.get(3)?);
        Ok(Adrift {
            tenant: Some(rows::must_name(row, 0)?),
            kind: "timer-without-run",
            id: format!("{plugin} {entity} {key}"),
            why: "the timer was due and has no run: it will never fire".to_owned(),
        })
    })
}

fn message(row: &Row<'_>, kind: &'static str, why: &str) -> rusqlite::Result<Adrift> {
    let tenant: TenantId = rows::must_name(row, 0)?;
    Ok(Adrift { tenant: Some(tenant), kind, id: row.get(1).map(MessageId)?.to_string(), why: why.to_owned() })
}

fn messages(conn: &Connection) -> Outcome<Vec<Adrift>> {
    let sql = "SELECT m.tenant, m.id FROM message_states s JOIN messages m ON m.seq = s.seq \
               WHERE s.settled = 0 AND (s.step = 0 OR (s.step = 2 AND s.due IS NULL)) LIMIT ?1";
    let why = "it is not settled, and nobody will look at it again";
    let mut found = listed(conn, sql, |row| message(row, "message-without-step", why))?;
    let sql = "SELECT m.tenant, m.id FROM messages m LEFT JOIN message_states s ON s.seq = m.seq \
               WHERE s.seq IS NULL LIMIT ?1";
    let why = "there is no row that says how it stands, so nobody will send it";
    found.extend(listed(conn, sql, |row| message(row, "message-without-state", why))?);
    let sql = "SELECT m.tenant, m.id FROM attempts a JOIN message_states s ON s.seq = a.message \
               JOIN messages m ON m.seq = a.message \
               WHERE a.state = 'planned' AND s.settled = 0 AND s.step = 0 LIMIT ?1";
    let why = "an attempt has no answer, and nobody will look whether there is one";
    found.extend(listed(conn, sql, |row| message(row, "attempt-without-look", why))?);
    Ok(found)
}

fn runs(conn: &Connection) -> Outcome<Vec<Adrift>> {
    let sql = "SELECT r.tenant, r.id FROM runs r LEFT JOIN events e ON e.seq = r.event \
               WHERE r.state = 0 AND r.payload IS NULL AND e.seq IS NULL LIMIT ?1";
    listed(conn, sql, |row| {
        Ok(Adrift {
            tenant: Some(rows::must_name(row, 0)?),
            kind: "run-without-cause",
            id: row.get(1).map(RunId)?.to_string(),
            why: "it is open, and what set it off is gone: it cannot be executed".to_owned(),
        })
    })
}

/// Receipts that wait for an attempt which is known: by what we gave the provider, or by what the provider calls it.
fn receipts(conn: &Connection) -> Outcome<Vec<Adrift>> {
    let mut parked =
        conn.prepare_cached("SELECT tenant, token, provider, provider_id FROM parked_receipts ORDER BY id")?;
    let parked = parked.query_map([], |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?, row.get::<_, String>(3)?))
    })?;
    let mut found = Vec::new();
    for row in parked {
        let (tenant, token, provider, provider_id) = row?;
        if found.len() >= ADRIFT_MAX as usize {
            break;
        }
        if let Some(message) = known(conn, &tenant, &token, &provider, &provider_id)? {
            found.push(Adrift {
                tenant: Some(TenantId::from(tenant.as_str())),
                kind: "receipt-not-matched",
                id: message.to_string(),
                why: "a receipt about one of its attempts is kept and was not counted".to_owned(),
            });
        }
    }
    Ok(found)
}

fn known(
    conn: &Connection,
    tenant: &str,
    token: &str,
    provider: &str,
    provider_id: &str,
) -> Outcome<Option<MessageId>> {
    if let Ok(AttemptToken { message, attempt }) = token.parse() {
        let sql = "SELECT m.id FROM messages m JOIN attempts a ON a.message = m.seq \
                   WHERE m.id = ?1 AND m.tenant = ?2 AND a.no = ?3";
        let found = conn.prepare_cached(sql)?.query_row(params![message.0, tenant, attempt], |row| row.get(0));
        if let Some(id) = found.optional()? {
            return Ok(Some(MessageId(id)));
        }
    }
    for table in ["attempts", "attempt_parts"] {
        let sql = format!(
            "SELECT m.id FROM {table} a JOIN messages m ON m.seq = a.message WHERE a.provider = ?1 \
             AND a.provider_id IS NOT NULL AND a.provider_id = ?2 AND m.tenant = ?3 LIMIT 1"
        );
        let found = conn.prepare_cached(&sql)?.query_row(params![provider, provider_id, tenant], |row| row.get(0));
        if let Some(id) = found.optional()? {
            return Ok(Some(MessageId(id)));
        }
    }
    Ok(None)
}

fn listed(
    conn: &Connection,
    sql: &str,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<Adrift>,
) -> Outcome<Vec<Adrift>> {
    let mut statement = conn.prepare_cached(sql)?;
    Ok(statement.query_map([ADRIFT_MAX], read)?.collect::<rusqlite::Result<_>>()?)
}

pub(super) fn vitals(conn: &Connection) -> Outcome<Vitals> {
    let earliest = |sql: &str| -> Outcome<Option<Timestamp>> {
        Ok(conn.prepare_cached(sql)?.query_row([], |row| rows::time(row, 0))?)
    };
    Ok(Vitals {
        oldest_open_run: earliest("SELECT min(accepted) FROM runs WHERE state = 0")?,
        next_message_due: earliest("SELECT min(due) FROM message_states WHERE step = 2")?,
        next_timer_due: earliest("SELECT min(due) FROM timers WHERE queued = 0")?,
        hosts: Vec::new(),
    })
}
