//! What has happened, for pages and operators: read from the file, never on the way of an event.

use std::{collections::BTreeMap, sync::Arc};

use rusqlite::{Connection, OptionalExtension, Params, Row, params, params_from_iter};

use super::{
    aside,
    error::{Outcome, Trouble},
    inbox::{self, EVENT_COLUMNS, KINDS, state_of_number},
    outbox, rows,
};
use crate::{
    clock::Timestamp,
    domain::{event::Event, message::MessageRecord, run::Cause, status::AttemptState},
    ids::{CustomerId, EventId, MessageId, PluginName, RunId, TenantId},
    store::{
        By, EventStory, Figures, MessageFilter, Paging, ReceiptLine, RunFilter, RunState, RunStory, StatRow, StatSpan,
        commands::messages::STATE_COUNTER,
    },
};

pub(super) fn event(conn: &Connection, tenant: &TenantId, id: EventId) -> Outcome<Option<Arc<Event>>> {
    let sql = format!(
        "SELECT {EVENT_COLUMNS} FROM event_keys k JOIN events e ON e.seq = k.seq WHERE k.id = ?1 AND e.tenant = ?2"
    );
    let mut statement = conn.prepare_cached(&sql)?;
    Ok(statement.query_row(params![id.0, tenant.as_str()], |row| inbox::read_event(row, 0)).optional()?)
}

pub(super) fn history(
    conn: &Connection,
    tenant: &TenantId,
    customer: &CustomerId,
    event_type: &str,
    limit: u32,
) -> Outcome<Vec<Arc<Event>>> {
    // A prefix that ends in `.*` is compared as text: `_` and `%` mean nothing in a type.
    let (exact, prefix) = match event_type.strip_suffix('*') {
        Some(prefix) => (None, Some(prefix)),
        None => (Some(event_type), None),
    };
    let sql = format!(
        "SELECT {EVENT_COLUMNS} FROM events e INDEXED BY events_of_customer WHERE e.tenant = ?1 AND e.customer = ?2 \
         AND (e.type = ?3 OR substr(e.type, 1, length(?4)) = ?4) ORDER BY e.seq DESC LIMIT ?5"
    );
    collect(conn, &sql, params![tenant.as_str(), customer.as_str(), exact, prefix, limit], |row| {
        inbox::read_event(row, 0)
    })
}

pub(super) fn event_story(conn: &Connection, tenant: &TenantId, id: EventId) -> Outcome<Option<EventStory>> {
    let seq =
        conn.prepare_cached("SELECT seq FROM event_keys WHERE id = ?1")?.query_row([&id.0], |row| row.get::<_, i64>(0));
    let Some(seq) = seq.optional()? else { return Ok(None) };
    let story = stories(conn, "e.tenant = ?1 AND e.seq = ?2", params![tenant.as_str(), seq, 1])?;
    Ok(story.into_iter().next())
}

pub(super) fn events(conn: &Connection, tenant: &TenantId, page: Paging) -> Outcome<Vec<EventStory>> {
    let before = page.before.unwrap_or(i64::MAX);
    stories(conn, "e.tenant = ?1 AND e.seq < ?2", params![tenant.as_str(), before, page.limit])
}

fn stories(conn: &Connection, condition: &str, params: impl Params) -> Outcome<Vec<EventStory>> {
    let sql = format!(
        "SELECT {EVENT_COLUMNS}, e.seq, e.notes, e.runs FROM events e WHERE {condition} ORDER BY e.seq DESC LIMIT ?3"
    );
    let found = collect(conn, &sql, params, |row| {
        let story = EventStory {
            seq: row.get(12)?,
            event: inbox::read_event(row, 0)?,
            notes: rows::json_or_none(row, 13)?.unwrap_or_default(),
            runs: Vec::new(),
        };
        Ok((story, row.get::<_, Vec<u8>>(14)?))
    })?;
    let mut stories = Vec::with_capacity(found.len());
    for (mut story, ids) in found {
        for id in inbox::run_ids(&ids) {
            story.runs.extend(run(conn, &story.event.tenant, id)?);
        }
        stories.push(story);
    }
    Ok(stories)
}

const RUN_COLUMNS: &str = "r.seq, r.id, r.plugin, r.entity, r.customer, r.kind, r.payload, e.id, r.state, r.attempts, \
                           r.accepted, r.not_before, s.at, s.failure, s.report, s.effects";
pub(super) const RUN_TABLES: &str =
    "runs r LEFT JOIN run_results s ON s.seq = r.seq LEFT JOIN events e ON e.seq = r.event";

pub(super) fn run(conn: &Connection, tenant: &TenantId, id: RunId) -> Outcome<Option<RunStory>> {
    let sql = format!("SELECT {RUN_COLUMNS} FROM {RUN_TABLES} WHERE r.id = ?1 AND r.tenant = ?2");
    let mut statement = conn.prepare_cached(&sql)?;
    Ok(statement.query_row(params![id.0, tenant.as_str()], run_story).optional()?)
}

pub(super) fn runs(conn: &Connection, tenant: &TenantId, filter: &RunFilter, page: Paging) -> Outcome<Vec<RunStory>> {
    let (condition, params) = aside::condition(tenant, filter)?;
    let before = page.before.unwrap_or(i64::MAX);
    let sql = format!(
        "SELECT {RUN_COLUMNS} FROM {RUN_TABLES} WHERE {condition} AND r.seq < {before} ORDER BY r.seq DESC LIMIT {}",
        page.limit
    );
    collect(conn, &sql, params_from_iter(params), run_story)
}

fn run_story(row: &Row<'_>) -> rusqlite::Result<RunStory> {
    let kind = usize::try_from(row.get::<_, i64>(5)?).ok().and_then(|kind| KINDS.get(kind));
    let kind = kind.ok_or_else(|| rows::wrong(5, "no kind of run that is known here".into()))?;
    let state = state_of_number(row.get(8)?);
    let accepted = Timestamp(row.get(10)?);
    let not_before = Timestamp(row.get(11)?);
    let at = match state {
        RunState::Open => Some(not_before).filter(|at| *at > accepted),
        _ => rows::time(row, 12)?,
    };
    // What set off a run of an erased customer is no longer known.
    let cause = match (row.get::<_, Option<[u8; 16]>>(7)?, rows::json_or_none::<Cause>(row, 6)?) {
        (Some(event), _) => EventId(event).to_string(),
        (None, Some(cause)) => cause.name(),
        (None, None) => String::new(),
    };
    Ok(RunStory {
        seq: row.get(0)?,
        id: RunId(row.get(1)?),
        plugin: rows::must_name(row, 2)?,
        entity: row.get(3)?,
        customer: rows::name(row, 4)?,
        kind: (*kind).to_owned(),
        cause,
        state,
        attempts: row.get(9)?,
        accepted,
        at,
        failure: rows::json_or_none(row, 13)?,
        report: rows::json_or_none(row, 14)?,
        effects: rows::json_or_none(row, 15)?,
    })
}

pub(super) fn set_aside_cause(conn: &Connection, tenant: &TenantId, id: RunId) -> Outcome<Option<Cause>> {
    let found = inbox::run_by_id(conn, id)?;
    let found = found.filter(|(run, state)| run.run.key.tenant == *tenant && *state == RunState::SetAside);
    Ok(found.map(|(run, _)| run.run.cause))
}

pub(super) fn messages(
    conn: &Connection,
    tenant: &TenantId,
    filter: &MessageFilter,
    page: Paging,
) -> Outcome<Vec<MessageRecord>> {
    let customer = if filter.customer.is_some() { "m.lane = ?2 AND m.customer = ?2" } else { "?2 IS NULL" };
    let state = if filter.state.is_some() { "s.state = ?3" } else { "?3 IS NULL" };
    let from = format!(
        "messages m JOIN message_states s ON s.seq = m.seq \
         WHERE m.tenant = ?1 AND {customer} AND {state} AND m.seq < ?4 ORDER BY m.seq DESC LIMIT ?5"
    );
    let state = filter.state.map(|state| state.as_str());
    let before = page.before.unwrap_or(i64::MAX);
    outbox::select(conn, &from, params![tenant.as_str(), filter.customer.as_deref(), state, before, page.limit])
}

pub(super) fn receipts(conn: &Connection, tenant: &TenantId, id: MessageId) -> Outcome<Vec<ReceiptLine>> {
    let sql = "SELECT r.attempt, r.state, r.time, r.received, r.failure, r.pricing FROM messages m \
               JOIN receipts r ON r.message = m.seq WHERE m.id = ?1 AND m.tenant = ?2 ORDER BY r.received, r.time";
    collect(conn, sql, params![id.0, tenant.as_str()], |row| {
        Ok(ReceiptLine {
            attempt: row.get(0)?,
            state: rows::word(row, 1, AttemptState::parse)?,
            time: Timestamp(row.get(2)?),
            received: Timestamp(row.get(3)?),
            failure: rows::json_or_none(row, 4)?,
            pricing: rows::json_or_none(row, 5)?,
        })
    })
}

pub(super) fn message_by_dedup_key(
    conn: &Connection,
    tenant: &TenantId,
    plugin: &PluginName,
    lane: &str,
    key: &str,
) -> Outcome<Option<MessageId>> {
    let sql = "SELECT message FROM dedup_keys WHERE tenant = ?1 AND lane = ?2 AND plugin = ?3 AND key = ?4";
    let key = params![tenant.as_str(), lane, plugin.as_str(), key];
    Ok(conn.prepare_cached(sql)?.query_row(key, |row| row.get(0).map(MessageId)).optional()?)
}

pub(super) fn figures(conn: &Connection, tenant: &TenantId) -> Outcome<Figures> {
    let counters = collect(conn, "SELECT name, value FROM counters WHERE tenant = ?1", [tenant.as_str()], |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?))
    })?;
    let counters: BTreeMap<String, i64> = counters.into_iter().collect();
    let figure = |name: &str| counters.get(name).copied().unwrap_or(0);
    let by_state = counters.iter().filter_map(|(name, value)| Some((name.strip_prefix(STATE_COUNTER)?, *value)));
    Ok(Figures {
        events: figure("events"),
        open_runs: figure("open-runs"),
        set_aside_runs: figure("set-aside-runs"),
        timers: figure("timers"),
        open_messages: figure("open-messages"),
        messages_by_state: by_state.filter(|(_, n)| *n != 0).map(|(state, n)| (state.to_owned(), n)).collect(),
        double_deliveries: figure("double-deliveries"),
        uncertain_attempts: figure("uncertain-attempts"),
    })
}

pub(super) fn stats(conn: &Connection, tenant: &TenantId, span: &StatSpan) -> Outcome<Vec<StatRow>> {
    let sql = "SELECT CASE WHEN ?4 THEN day ELSE 0 END, CASE WHEN ?5 THEN plugin ELSE '' END, \
               CASE WHEN ?6 THEN purpose ELSE '' END, CASE WHEN ?7 THEN channel ELSE '' END, \
               CASE WHEN ?8 THEN country ELSE '' END, name, sum(value) FROM stats \
               WHERE tenant = ?1 AND day BETWEEN ?2 AND ?3 GROUP BY 1, 2, 3, 4, 5, 6 HAVING sum(value) <> 0 \
               ORDER BY 1, 2, 3, 4, 5, 6 LIMIT ?9";
    let [day, plugin, purpose, channel, country] = By::ALL.map(|by| span.by.contains(&by));
    let params =
        rusqlite::params![tenant.as_str(), span.from, span.to, day, plugin, purpose, channel, country, span.limit];
    collect(conn, sql, params, |row| {
        Ok(StatRow {
            day: row.get(0)?,
            plugin: row.get(1)?,
            purpose: row.get(2)?,
            channel: row.get(3)?,
            country: row.get(4)?,
            name: row.get(5)?,
            value: row.get(6)?,
        })
    })
}

fn collect<T>(
    conn: &Connection,
    sql: &str,
    params: impl Params,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> Outcome<Vec<T>> {
    let mut statement = conn.prepare_cached(sql)?;
    statement.query_map(params, read)?.collect::<rusqlite::Result<_>>().map_err(Trouble::from)
}
