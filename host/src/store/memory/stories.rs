//! What has happened, for whoever asks.

use std::{collections::BTreeMap, sync::Arc};

use super::tables::{EventRow, RunRow, Tables};
use crate::domain::message::MessageRecord;
use crate::{
    domain::event::Event,
    ids::{CustomerId, MessageId, TenantId},
    store::{
        BULK_MAX, By, EventStory, Figures, MessageFilter, Paging, ReceiptLine, RunFilter, RunState, RunStory, StatRow,
        StatSpan,
        commands::{messages::STATE_COUNTER, runs::SetAside},
    },
};

pub(super) fn run(tables: &Tables, row: &RunRow) -> RunStory {
    let queued = tables.queued(row);
    let result = row.result.clone().unwrap_or_default();
    let at = match row.state {
        RunState::Open => Some(queued.not_before).filter(|at| *at > queued.accepted),
        _ => row.result.as_ref().map(|result| result.at),
    };
    let cause = match row.erased && row.event.is_none() {
        true => String::new(),
        false => queued.run.cause.name(),
    };
    RunStory {
        seq: queued.seq,
        id: queued.run.id,
        plugin: queued.run.key.plugin.clone(),
        entity: queued.run.key.entity.to_string(),
        customer: queued.run.customer.clone(),
        kind: queued.run.cause.kind().to_owned(),
        cause,
        state: row.state,
        attempts: queued.attempts,
        accepted: queued.accepted,
        at,
        failure: result.failure,
        report: result.report,
        effects: result.effects,
    }
}

fn fits(row: &RunRow, tenant: &TenantId, filter: &RunFilter) -> bool {
    let run = &row.queued.run;
    let result = row.result.as_ref();
    let kind = || serde_json::to_value(result?.failure.as_ref()?).ok()?.get("kind")?.as_str().map(str::to_owned);
    run.key.tenant == *tenant
        && row.queued.seq > filter.after_seq
        && filter.state.is_none_or(|state| row.state == state)
        && filter.plugin.as_ref().is_none_or(|plugin| run.key.plugin == *plugin)
        && filter.entity.as_ref().is_none_or(|entity| run.key.entity.as_str() == entity)
        && filter.customer.as_ref().is_none_or(|customer| run.customer.as_ref() == Some(customer))
        && filter.failure.as_ref().is_none_or(|failure| kind().as_ref() == Some(failure))
        && filter.since.is_none_or(|since| result.is_some_and(|result| result.at >= since))
        && filter.until.is_none_or(|until| result.is_some_and(|result| result.at <= until))
        && (filter.ids.is_empty() || filter.ids.contains(&run.id))
}

pub(super) fn runs(tables: &Tables, tenant: &TenantId, filter: &RunFilter, page: Paging) -> Vec<RunStory> {
    let rows = tables.runs.range(..page.before.unwrap_or(i64::MAX)).rev().map(|(_, row)| row);
    rows.filter(|row| fits(row, tenant, filter)).take(page.limit as usize).map(|row| run(tables, row)).collect()
}

/// Runs that are set aside and that the filter names, in order of acceptance, and whether there are more.
pub(super) fn set_aside(tables: &Tables, tenant: &TenantId, filter: &RunFilter, limit: u32) -> (SetAside, bool) {
    let wanted = RunFilter { state: Some(RunState::SetAside), ..filter.clone() };
    let rows = tables.runs.iter().filter(|(_, row)| fits(row, tenant, &wanted));
    let mut found: SetAside = rows.map(|(seq, row)| (*seq, row.queued.run.id)).collect();
    let limit = limit.min(BULK_MAX) as usize;
    let more = found.len() > limit;
    found.truncate(limit);
    (found, more)
}

pub(super) fn event(tables: &Tables, seq: i64, row: &EventRow) -> EventStory {
    let runs = row.runs.iter().filter_map(|id| tables.runs.get(tables.run_ids.get(id)?));
    EventStory {
        seq,
        event: row.event.clone(),
        notes: row.notes.clone(),
        runs: runs.map(|row| run(tables, row)).collect(),
    }
}

pub(super) fn events(tables: &Tables, tenant: &TenantId, page: Paging) -> Vec<EventStory> {
    let rows = tables.events.range(..page.before.unwrap_or(i64::MAX)).rev();
    let rows = rows.filter(|(_, row)| row.event.tenant == *tenant);
    rows.take(page.limit as usize).map(|(seq, row)| event(tables, *seq, row)).collect()
}

pub(super) fn history(
    tables: &Tables,
    tenant: &TenantId,
    customer: &CustomerId,
    event_type: &str,
    limit: u32,
) -> Vec<Arc<Event>> {
    let fits = |event: &Event| match event_type.strip_suffix('*') {
        Some(prefix) => event.event_type.starts_with(prefix),
        None => event.event_type == event_type,
    };
    let events = tables.events.values().rev().map(|row| &row.event);
    let of = events.filter(|event| event.tenant == *tenant && event.customer.as_ref() == Some(customer) && fits(event));
    of.take(limit as usize).cloned().collect()
}

pub(super) fn messages(tables: &Tables, tenant: &TenantId, filter: &MessageFilter, page: Paging) -> Vec<MessageRecord> {
    let rows = tables.messages.range(..page.before.unwrap_or(i64::MAX)).rev();
    let records = rows.filter_map(|(seq, _)| tables.record(*seq)).filter(|record| {
        let of = filter.customer.as_ref().is_none_or(|customer| record.message.to.customer() == Some(customer));
        record.message.tenant == *tenant && of && filter.state.is_none_or(|state| record.state == state)
    });
    records.take(page.limit as usize).collect()
}

pub(super) fn receipts(tables: &Tables, tenant: &TenantId, id: MessageId) -> Vec<ReceiptLine> {
    let Some(seq) = tables.message_ids.get(&id) else { return Vec::new() };
    if tables.messages.get(seq).is_none_or(|row| row.message.tenant != *tenant) {
        return Vec::new();
    }
    let rows = tables.receipts.iter().filter(|((of, ..), _)| of == seq);
    let mut lines: Vec<ReceiptLine> = rows
        .map(|((_, no, state, _), row)| ReceiptLine {
            attempt: *no,
            state: *state,
            time: row.receipt.time,
            received: row.received,
            failure: row.receipt.failure.clone(),
            pricing: row.receipt.pricing.clone(),
        })
        .collect();
    lines.sort_by_key(|line| (line.received, line.time));
    lines
}

pub(super) fn stats(tables: &Tables, tenant: &TenantId, span: &StatSpan) -> Vec<StatRow> {
    let mut sums: BTreeMap<StatRow, i64> = BTreeMap::new();
    let days = span.from..=span.to;
    for ((_, key, measure), value) in
        tables.stats.iter().filter(|((of, key, _), _)| of == tenant && days.contains(&key.day))
    {
        let [plugin, purpose, channel, country] = key.texts();
        let told = |by: By, text: &str| if span.by.contains(&by) { text.to_owned() } else { String::new() };
        let row = StatRow {
            day: if span.by.contains(&By::Day) { key.day } else { 0 },
            plugin: told(By::Plugin, plugin),
            purpose: told(By::Purpose, purpose),
            channel: told(By::Channel, channel),
            country: told(By::Country, country),
            name: measure.name(),
            value: 0,
        };
        *sums.entry(row).or_default() += value;
    }
    sums.into_iter()
        .filter(|(_, value)| *value != 0)
        .map(|(row, value)| StatRow { value, ..row })
        .take(span.limit as usize)
        .collect()
}

pub(super) fn figures(tables: &Tables, tenant: &TenantId) -> Figures {
    let counters =
        || tables.counters.iter().filter(|((of, _), _)| of == tenant).map(|((_, name), value)| (name, *value));
    let figure = |wanted: &str| counters().find(|(name, _)| *name == wanted).map_or(0, |(_, value)| value);
    let by_state = counters().filter_map(|(name, value)| Some((name.strip_prefix(STATE_COUNTER)?.to_owned(), value)));
    Figures {
        events: figure("events"),
        open_runs: figure("open-runs"),
        set_aside_runs: figure("set-aside-runs"),
        timers: figure("timers"),
        open_messages: figure("open-messages"),
        messages_by_state: by_state.filter(|(_, n)| *n != 0).collect(),
        double_deliveries: figure("double-deliveries"),
        uncertain_attempts: figure("uncertain-attempts"),
    }
}
