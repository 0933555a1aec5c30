//! Many runs that were set aside, replayed or discarded by one transaction.
//!
//! Which ones is asked of the file; what is done to each is what is done to one alone, so that the two cannot differ.

use rusqlite::{params_from_iter, types::Value};

use super::{
    error::Outcome,
    runs,
    stories::{RUN_TABLES, state_number},
    tx::Tx,
};
use crate::{
    clock::Timestamp,
    ids::{RunId, TenantId},
    store::{BULK_MAX, Bulk, RunFilter, RunState},
};

/// What a filter asks of `runs r` and `run_results s`, with its parameters.
pub(super) fn condition(tenant: &TenantId, filter: &RunFilter) -> Outcome<(String, Vec<Value>)> {
    let text = |text: &str| Value::Text(text.to_owned());
    let mut sql = "r.tenant = ? AND r.seq > ?".to_owned();
    let mut params = vec![text(tenant), Value::Integer(filter.after_seq)];
    if let Some(state) = filter.state {
        // Written out and not a parameter: the index of what is set aside is taken for this state alone.
        sql.push_str(&format!(" AND r.state = {}", state_number(state)));
    }
    let wanted = [
        ("r.plugin = ?", filter.plugin.as_deref().map(text)),
        ("r.entity = ?", filter.entity.as_deref().map(text)),
        ("r.customer = ?", filter.customer.as_deref().map(text)),
        ("json_extract(s.failure, '$.kind') = ?", filter.failure.as_deref().map(text)),
        ("s.at >= ?", filter.since.map(|at| Value::Integer(at.0))),
        ("s.at <= ?", filter.until.map(|at| Value::Integer(at.0))),
    ];
    for (asked, value) in wanted {
        if let Some(value) = value {
            sql.push_str(" AND ");
            sql.push_str(asked);
            params.push(value);
        }
    }
    if !filter.ids.is_empty() {
        sql.push_str(" AND r.id IN (SELECT unhex(value) FROM json_each(?))");
        let ids: Vec<String> = filter.ids.iter().map(hex).collect();
        params.push(Value::Text(serde_json::to_string(&ids)?));
    }
    Ok((sql, params))
}

fn hex(id: &RunId) -> String {
    id.0.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(super) fn replay_runs(
    tx: &mut Tx<'_>,
    tenant: &TenantId,
    filter: &RunFilter,
    limit: u32,
    now: Timestamp,
) -> Outcome<Bulk> {
    each(tx, tenant, filter, limit, |tx, id| runs::replay_run(tx, tenant, id, now))
}

pub(super) fn discard_runs(
    tx: &mut Tx<'_>,
    tenant: &TenantId,
    filter: &RunFilter,
    limit: u32,
    now: Timestamp,
) -> Outcome<Bulk> {
    each(tx, tenant, filter, limit, |tx, id| runs::discard_run(tx, tenant, id, now))
}

/// In order of acceptance: that is the order in which the runs of an entity are then executed.
fn each(
    tx: &mut Tx<'_>,
    tenant: &TenantId,
    filter: &RunFilter,
    limit: u32,
    mut change: impl FnMut(&mut Tx<'_>, RunId) -> Outcome<bool>,
) -> Outcome<Bulk> {
    let limit = limit.min(BULK_MAX) as usize;
    let set_aside = RunFilter { state: Some(RunState::SetAside), ..filter.clone() };
    let (condition, params) = condition(tenant, &set_aside)?;
    // One more than is taken says whether there are more.
    let sql = format!("SELECT r.seq, r.id FROM {RUN_TABLES} WHERE {condition} ORDER BY r.seq LIMIT {}", limit + 1);
    let found = tx.all(&sql, params_from_iter(params), |row| Ok((row.get::<_, i64>(0)?, RunId(row.get(1)?))))?;
    let mut bulk = Bulk { more: found.len() > limit, last_seq: filter.after_seq, ..Bulk::default() };
    for (seq, id) in found.into_iter().take(limit) {
        bulk.count += u32::from(change(tx, id)?);
        bulk.last_seq = seq;
    }
    Ok(bulk)
}
