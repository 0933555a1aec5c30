//! What has happened, for pages and operators: read from the tables, never on the way of an event.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use deadpool_postgres::ClientWrapper;
use tokio_postgres::Row;

use super::{
    aside::Condition,
    error::{Outcome, Trouble},
    inbox::{self, EVENT_COLUMN_COUNT, EVENT_COLUMNS, KINDS, state_of_number},
    outbox,
    read::{self, Params},
    rows,
};
use crate::{
    domain::{event::Event, message::MessageRecord, run::Cause, status::AttemptState},
    ids::{CustomerId, EventId, MessageId, RunId, TenantId},
    store::{
        By, EventStory, Figures, MessageFilter, Paging, ReceiptLine, RunFilter, RunState, RunStory, StatRow, StatSpan,
        commands::messages::STATE_COUNTER,
    },
};

pub(super) async fn event(client: &ClientWrapper, tenant: &TenantId, id: EventId) -> Outcome<Option<Arc<Event>>> {
    let sql = format!(
        "SELECT {EVENT_COLUMNS} FROM event_keys k JOIN events e ON e.seq = k.seq WHERE k.id = $1 AND e.tenant = $2"
    );
    read::one(client, &sql, &[&id.0.as_slice(), &tenant.as_str()], |row| inbox::read_event(row, 0)).await
}

pub(super) async fn history(
    client: &ClientWrapper,
    tenant: &TenantId,
    customer: &CustomerId,
    event_type: &str,
    limit: u32,
) -> Outcome<Vec<Arc<Event>>> {
    // A prefix that ends in `.*` is compared as text: `_` and `%` mean nothing in a type.
    let (condition, wanted) = match event_type.strip_suffix('*') {
        Some(prefix) => ("starts_with(e.type, $3)", prefix),
        None => ("e.type = $3", event_type),
    };
    let sql = format!(
        "SELECT {EVENT_COLUMNS} FROM events e WHERE e.tenant = $1 AND e.customer = $2 AND {condition} \
         ORDER BY e.seq DESC LIMIT $4"
    );
    let params: Params<'_> = &[&tenant.as_str(), &customer.as_str(), &wanted, &i64::from(limit)];
    read::all(client, &sql, params, |row| inbox::read_event(row, 0)).await
}

pub(super) async fn event_story(client: &ClientWrapper, tenant: &TenantId, id: EventId) -> Outcome<Option<EventStory>> {
    let condition = "e.tenant = $1 AND e.seq = (SELECT k.seq FROM event_keys k WHERE k.id = $2)";
    Ok(stories(client, tenant, condition, &[&tenant.as_str(), &id.0.as_slice(), &1_i64]).await?.pop())
}

pub(super) async fn events(client: &ClientWrapper, tenant: &TenantId, page: Paging) -> Outcome<Vec<EventStory>> {
    let (before, limit) = (page.before.unwrap_or(i64::MAX), i64::from(page.limit));
    stories(client, tenant, "e.tenant = $1 AND e.seq < $2", &[&tenant.as_str(), &before, &limit]).await
}

/// The runs of all the events are read at once.
async fn stories(
    client: &ClientWrapper,
    tenant: &TenantId,
    condition: &str,
    params: Params<'_>,
) -> Outcome<Vec<EventStory>> {
    let sql = format!(
        "SELECT {EVENT_COLUMNS}, e.seq, e.notes, e.runs FROM events e WHERE {condition} ORDER BY e.seq DESC LIMIT $3"
    );
    let found = read::all(client, &sql, params, |row| {
        let story = EventStory {
            seq: row.try_get(EVENT_COLUMN_COUNT)?,
            event: inbox::read_event(row, 0)?,
            notes: rows::json_or_none(row, EVENT_COLUMN_COUNT + 1)?.unwrap_or_default(),
            runs: Vec::new(),
        };
        Ok((story, inbox::run_ids(row.try_get(EVENT_COLUMN_COUNT + 2)?)))
    })
    .await?;
    let ids: Vec<&[u8]> = found.iter().flat_map(|(_, ids)| ids).map(|id| id.0.as_slice()).collect();
    let mut runs: HashMap<RunId, RunStory> = HashMap::new();
    if !ids.is_empty() {
        runs.extend(runs_of_ids(client, tenant, &ids).await?.into_iter().map(|run| (run.id, run)));
    }
    let told = found.into_iter().map(|(mut story, ids)| {
        story.runs.extend(ids.iter().filter_map(|id| runs.remove(id)));
        story
    });
    Ok(told.collect())
}

const RUN_COLUMNS: &str = "r.seq, r.id, r.plugin, r.entity, r.customer, r.kind, r.payload, e.id, r.state, r.attempts, \
                           r.accepted, r.not_before, s.at, s.failure, s.report, s.effects";
pub(super) const RUN_TABLES: &str =
    "runs r LEFT JOIN run_results s ON s.seq = r.seq LEFT JOIN events e ON e.seq = r.event";

pub(super) async fn run(client: &ClientWrapper, tenant: &TenantId, id: RunId) -> Outcome<Option<RunStory>> {
    Ok(runs_of_ids(client, tenant, &[id.0.as_slice()]).await?.pop())
}

async fn runs_of_ids(client: &ClientWrapper, tenant: &TenantId, ids: &[&[u8]]) -> Outcome<Vec<RunStory>> {
    let sql = format!("SELECT {RUN_COLUMNS} FROM {RUN_TABLES} WHERE r.id = ANY($1) AND r.tenant = $2");
    read::all(client, &sql, &[&ids, &tenant.as_str()], run_story).await
}

pub(super) async fn runs(
    client: &ClientWrapper,
    tenant: &TenantId,
    filter: &RunFilter,
    page: Paging,
) -> Outcome<Vec<RunStory>> {
    let condition = Condition::of(tenant, filter);
    let before = page.before.unwrap_or(i64::MAX);
    let sql = format!(
        "SELECT {RUN_COLUMNS} FROM {RUN_TABLES} WHERE {} AND r.seq < {before} ORDER BY r.seq DESC LIMIT {}",
        condition.sql, page.limit
    );
    read::all(client, &sql, &condition.params(), run_story).await
}

fn run_story(row: &Row) -> Outcome<RunStory> {
    let number: i16 = row.try_get(5)?;
    let kind = usize::try_from(number).ok().and_then(|kind| KINDS.get(kind));
    let kind = kind.ok_or_else(|| Trouble::Unreadable(format!("{number} is no kind of run that is known here")))?;
    let state = state_of_number(row.try_get(8)?);
    let accepted = rows::must_time(row, 10)?;
    let not_before = rows::must_time(row, 11)?;
    let at = match state {
        RunState::Open => Some(not_before).filter(|at| *at > accepted),
        _ => rows::time(row, 12)?,
    };
    // What set off a run of an erased customer is no longer known.
    let cause = match (rows::id_or_none(row, 7)?, rows::json_or_none::<Cause>(row, 6)?) {
        (Some(event), _) => EventId(event).to_string(),
        (None, Some(cause)) => cause.name(),
        (None, None) => String::new(),
    };
    Ok(RunStory {
        seq: row.try_get(0)?,
        id: RunId(rows::id(row, 1)?),
        plugin: rows::must_name(row, 2)?,
        entity: row.try_get(3)?,
        customer: rows::name(row, 4)?,
        kind: (*kind).to_owned(),
        cause,
        state,
        attempts: rows::count(row, 9)?,
        accepted,
        at,
        failure: rows::json_or_none(row, 13)?,
        report: rows::json_or_none(row, 14)?,
        effects: rows::json_or_none(row, 15)?,
    })
}

pub(super) async fn set_aside_cause(client: &ClientWrapper, tenant: &TenantId, id: RunId) -> Outcome<Option<Cause>> {
    let found = inbox::run_by_id(client, id).await?;
    let found = found.filter(|(run, state)| run.run.key.tenant == *tenant && *state == RunState::SetAside);
    Ok(found.map(|(run, _)| run.run.cause))
}

pub(super) async fn messages(
    client: &ClientWrapper,
    tenant: &TenantId,
    filter: &MessageFilter,
    page: Paging,
) -> Outcome<Vec<MessageRecord>> {
    let customer = if filter.customer.is_some() { "m.lane = $2 AND m.customer = $2" } else { "$2::text IS NULL" };
    let state = if filter.state.is_some() { "s.state = $3" } else { "$3::text IS NULL" };
    let from = format!(
        "messages m JOIN message_states s ON s.seq = m.seq \
         WHERE m.tenant = $1 AND {customer} AND {state} AND m.seq < $4 ORDER BY m.seq DESC LIMIT $5"
    );
    let state = filter.state.map(|state| state.as_str());
    let (before, limit) = (page.before.unwrap_or(i64::MAX), i64::from(page.limit));
    let params: Params<'_> = &[&tenant.as_str(), &filter.customer.as_deref(), &state, &before, &limit];
    outbox::select(client, &from, params).await
}

pub(super) async fn receipts(client: &ClientWrapper, tenant: &TenantId, id: MessageId) -> Outcome<Vec<ReceiptLine>> {
    let sql = "SELECT r.attempt, r.state, r.time, r.received, r.failure, r.pricing FROM messages m \
               JOIN receipts r ON r.message = m.seq WHERE m.id = $1 AND m.tenant = $2 ORDER BY r.received, r.time";
    read::all(client, sql, &[&id.0.as_slice(), &tenant.as_str()], |row| {
        Ok(ReceiptLine {
            attempt: rows::count(row, 0)?,
            state: rows::word(row, 1, AttemptState::parse)?,
            time: rows::must_time(row, 2)?,
            received: rows::must_time(row, 3)?,
            failure: rows::json_or_none(row, 4)?,
            pricing: rows::json_or_none(row, 5)?,
        })
    })
    .await
}

pub(super) async fn figures(client: &ClientWrapper, tenant: &TenantId) -> Outcome<Figures> {
    let sql = "SELECT name, sum(value)::bigint FROM counters WHERE tenant = $1 GROUP BY name";
    let counters = read::all(client, sql, &[&tenant.as_str()], |row| {
        Ok((row.try_get::<_, String>(0)?, row.try_get::<_, i64>(1)?))
    })
    .await?;
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

pub(super) async fn stats(client: &ClientWrapper, tenant: &TenantId, span: &StatSpan) -> Outcome<Vec<StatRow>> {
    let sql = "SELECT CASE WHEN $4::bool THEN day ELSE 0 END, CASE WHEN $5::bool THEN plugin ELSE '' END, \
               CASE WHEN $6::bool THEN purpose ELSE '' END, CASE WHEN $7::bool THEN channel ELSE '' END, \
               CASE WHEN $8::bool THEN country ELSE '' END, name, sum(value)::bigint FROM stats \
               WHERE tenant = $1 AND day BETWEEN $2::int8 AND $3::int8 GROUP BY 1, 2, 3, 4, 5, 6 HAVING sum(value) <> 0 \
               ORDER BY 1, 2, 3, 4, 5, 6 LIMIT $9::int8";
    let [day, plugin, purpose, channel, country] = By::ALL.map(|by| span.by.contains(&by));
    let (tenant, limit) = (tenant.as_str(), i64::from(span.limit));
    let params: read::Params<'_> =
        &[&tenant, &span.from, &span.to, &day, &plugin, &purpose, &channel, &country, &limit];
    read::all(client, sql, params, |row| {
        Ok(StatRow {
            day: row.try_get(0)?,
            plugin: row.try_get(1)?,
            purpose: row.try_get(2)?,
            channel: row.try_get(3)?,
            country: row.try_get(4)?,
            name: row.try_get(5)?,
            value: row.try_get(6)?,
        })
    })
    .await
}
