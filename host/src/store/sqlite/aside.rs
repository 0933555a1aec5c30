//! Many runs that were set aside, replayed or discarded by one transaction.
//!
//! Which ones is asked of the file; what is done to each is what is done to one alone, so that the two cannot differ.

use rusqlite::{Connection, params_from_iter, types::Value};

use super::{error::Outcome, inbox::state_number, stories::RUN_TABLES};
use crate::{
    ids::{RunId, TenantId},
    store::{BULK_MAX, RunFilter, RunState, commands::runs::SetAside},
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

/// Runs that are set aside and that the filter names, in order of acceptance: that is the order in which the runs of an entity
/// are then executed. And whether there are more.
pub(super) fn find(conn: &Connection, tenant: &TenantId, filter: &RunFilter, limit: u32) -> Outcome<(SetAside, bool)> {
    let limit = limit.min(BULK_MAX) as usize;
    let set_aside = RunFilter { state: Some(RunState::SetAside), ..filter.clone() };
    let (condition, params) = condition(tenant, &set_aside)?;
    // One more than is taken says whether there are more.
    let sql = format!("SELECT r.seq, r.id FROM {RUN_TABLES} WHERE {condition} ORDER BY r.seq LIMIT {}", limit + 1);
    let mut statement = conn.prepare(&sql)?;
    let found = statement.query_map(params_from_iter(params), |row| Ok((row.get(0)?, RunId(row.get(1)?))))?;
    let mut found = found.collect::<rusqlite::Result<SetAside>>()?;
    let more = found.len() > limit;
    found.truncate(limit);
    Ok((found, more))
}
