//! Open work of the shards that this host owns, by whose it is.

use super::{Script, tables::Tables};
use crate::{
    clock::Timestamp,
    domain::{
        message::{MessageRecord, Next},
        run::{EntityKey, Flow, QueuedRun},
        shard::Shard,
        status::AttemptState,
    },
    ids::TenantId,
    store::{EARLIER_LOOKED_AT, RunState},
};

/// The flows that have open runs, whoever's shards those are in.
pub(super) fn flows(tables: &Tables) -> Vec<Flow> {
    let open = tables.runs.values().filter(|row| row.state == RunState::Open);
    let mut flows: Vec<Flow> = open.map(|row| Flow::of(&row.queued.run.key)).collect();
    flows.sort();
    flows.dedup();
    flows
}

fn open<'t>(tables: &'t Tables, script: &'t dyn Script, after: i64) -> impl Iterator<Item = QueuedRun> + 't {
    let rows = tables.runs.range(after.saturating_add(1)..).map(|(_, row)| row);
    rows.filter(|row| row.state == RunState::Open && script.owns(Shard::of_entity(&row.queued.run.key)))
        .map(|row| tables.queued(row))
}

pub(super) fn runs(tables: &Tables, script: &dyn Script, flow: &Flow, after: i64, limit: u32) -> Vec<QueuedRun> {
    let of_flow = open(tables, script, after).filter(|run| Flow::of(&run.run.key) == *flow);
    of_flow.take(limit as usize).collect()
}

pub(super) fn runs_of(tables: &Tables, script: &dyn Script, key: &EntityKey, after: i64, limit: u32) -> Vec<QueuedRun> {
    open(tables, script, after).filter(|run| run.run.key == *key).take(limit as usize).collect()
}

pub(super) fn message_tenants(tables: &Tables) -> Vec<TenantId> {
    let mut tenants: Vec<TenantId> = now(tables).map(|record| record.message.tenant).collect();
    tenants.sort();
    tenants.dedup();
    tenants
}

fn now(tables: &Tables) -> impl Iterator<Item = MessageRecord> + '_ {
    let planned =
        tables.messages.iter().filter(|(_, row)| row.state.as_ref().is_some_and(|(state, _)| state.next == Next::Now));
    planned.filter_map(|(seq, _)| tables.record(*seq))
}

fn ours(script: &dyn Script, record: &MessageRecord) -> bool {
    script.owns(Shard::of_lane(&record.message.tenant, record.message.to.lane()))
}

pub(super) fn messages(
    tables: &Tables,
    script: &dyn Script,
    tenant: &TenantId,
    after: i64,
    limit: u32,
) -> Vec<MessageRecord> {
    let open = now(tables).filter(|record| record.message.tenant == *tenant && record.seq > after);
    open.filter(|record| ours(script, record)).take(limit as usize).collect()
}

/// The times and numbers of those that wait and are ours, in their order.
fn waiting(tables: &Tables, script: &dyn Script, of: impl Fn(&TenantId) -> bool) -> Vec<(Timestamp, i64, TenantId)> {
    let states = tables.messages.iter().filter_map(|(seq, row)| row.state.as_ref().map(|(state, _)| (*seq, state)));
    let waiting = states.filter_map(|(seq, state)| match state.next {
        Next::At(at) if ours(script, state) && of(&state.message.tenant) => {
            Some((at, seq, state.message.tenant.clone()))
        }
        _ => None,
    });
    let mut waiting: Vec<_> = waiting.collect();
    waiting.sort_unstable();
    waiting
}

pub(super) fn due_tenants(tables: &Tables, script: &dyn Script, now: Timestamp) -> (Vec<TenantId>, Option<Timestamp>) {
    let waiting = waiting(tables, script, |_| true);
    let next = waiting.iter().map(|(at, ..)| *at).find(|at| *at > now);
    let mut tenants: Vec<TenantId> =
        waiting.into_iter().take_while(|(at, ..)| *at <= now).map(|(_, _, tenant)| tenant).collect();
    tenants.sort_unstable();
    tenants.dedup();
    (tenants, next)
}

pub(super) fn due_messages(
    tables: &Tables,
    script: &dyn Script,
    tenant: &TenantId,
    after: (Timestamp, i64),
    until: Timestamp,
    limit: u32,
) -> Vec<MessageRecord> {
    let waiting = waiting(tables, script, |other| other == tenant).into_iter();
    let due = waiting.filter(|(at, seq, _)| (*at, *seq) > after && *at <= until).take(limit as usize);
    due.filter_map(|(_, seq, _)| tables.record(seq)).collect()
}

pub(super) fn earlier_messages(tables: &Tables, tenant: &TenantId, lane: &str, seq: i64) -> Vec<MessageRecord> {
    let of_lane =
        tables.messages.range(..seq).rev().filter(|(_, row)| row.message.tenant == *tenant && row.lane == lane);
    let looked_at = of_lane.take(EARLIER_LOOKED_AT as usize).filter_map(|(seq, _)| tables.record(*seq));
    let mut earlier: Vec<MessageRecord> = looked_at
        .filter(|record| {
            let under_way = record.attempts.iter().any(|attempt| attempt.state == AttemptState::Planned);
            !record.settled && (record.next == Next::Now || under_way)
        })
        .collect();
    earlier.reverse();
    earlier
}
