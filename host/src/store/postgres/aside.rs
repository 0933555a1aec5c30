//! Runs that were set aside, chosen by a filter.

use deadpool_postgres::ClientWrapper;
use tokio_postgres::types::ToSql;

use super::{error::Outcome, inbox::state_number, read, rows, stories::RUN_TABLES};
use crate::{
    ids::{RunId, TenantId},
    store::{BULK_MAX, RunFilter, RunState, commands::runs::SetAside},
};

/// What a filter asks of `runs r` and `run_results s`, with its parameters.
pub(super) struct Condition {
    pub(super) sql: String,
    params: Vec<Box<dyn ToSql + Sync + Send>>,
}

impl Condition {
    pub(super) fn of(tenant: &TenantId, filter: &RunFilter) -> Condition {
        let mut condition = Condition { sql: String::new(), params: Vec::new() };
        condition.ask("r.tenant = ", Some(tenant.to_string()));
        condition.ask("r.seq > ", Some(filter.after_seq));
        if let Some(state) = filter.state {
            // Written out and not a parameter: the index of what is set aside is taken for this state alone.
            condition.sql.push_str(&format!(" AND r.state = {}", state_number(state)));
        }
        condition.ask("r.plugin = ", filter.plugin.as_ref().map(ToString::to_string));
        condition.ask("r.entity = ", filter.entity.clone());
        condition.ask("r.customer = ", filter.customer.as_ref().map(ToString::to_string));
        condition.ask("s.failure::json->>'kind' = ", filter.failure.clone());
        condition.ask("s.at >= ", filter.since.map(|at| at.0));
        condition.ask("s.at <= ", filter.until.map(|at| at.0));
        if !filter.ids.is_empty() {
            let ids: Vec<Vec<u8>> = filter.ids.iter().map(|id| id.0.to_vec()).collect();
            condition.params.push(Box::new(ids));
            condition.sql.push_str(&format!(" AND r.id = ANY(${})", condition.params.len()));
        }
        condition
    }

    fn ask<T: ToSql + Sync + Send + 'static>(&mut self, what: &str, value: Option<T>) {
        let Some(value) = value else { return };
        self.params.push(Box::new(value));
        let and = if self.sql.is_empty() { "" } else { " AND " };
        self.sql.push_str(&format!("{and}{what}${}", self.params.len()));
    }

    pub(super) fn params(&self) -> Vec<&(dyn ToSql + Sync)> {
        self.params.iter().map(|param| &**param as &(dyn ToSql + Sync)).collect()
    }
}

/// Runs that are set aside and that the filter names, in order of acceptance: that is the order in which the runs of an entity
/// are then executed. And whether there are more.
pub(super) async fn find(
    client: &ClientWrapper,
    tenant: &TenantId,
    filter: &RunFilter,
    limit: u32,
) -> Outcome<(SetAside, bool)> {
    let limit = limit.min(BULK_MAX) as usize;
    let condition = Condition::of(tenant, &RunFilter { state: Some(RunState::SetAside), ..filter.clone() });
    // One more than is taken says whether there are more.
    let sql =
        format!("SELECT r.seq, r.id FROM {RUN_TABLES} WHERE {} ORDER BY r.seq LIMIT {}", condition.sql, limit + 1);
    let mut found: SetAside =
        read::all(client, &sql, &condition.params(), |row| Ok((row.try_get(0)?, RunId(rows::id(row, 1)?)))).await?;
    let more = found.len() > limit;
    found.truncate(limit);
    Ok((found, more))
}
