//! Timers that are due become runs, once each and not early.
//!
//! A timer stays until its run commits, marked as queued, so that an earlier run of the entity still sees it and can cancel it.

use rusqlite::params;

use super::{accept, entities, error::Outcome, rows, runs, tx::Tx};
use crate::{
    clock::Timestamp,
    domain::run::{Cause, EntityKey, FiredTimer, NewRun},
    ids::RunId,
    store::Fired,
};

pub(super) fn fire(tx: &mut Tx<'_>, now: Timestamp, limit: u32) -> Outcome<Fired> {
    let sql = "SELECT tenant, plugin, entity, key, due, expires, customer, data, set_by, set_by_run, origin, generation \
               FROM timers INDEXED BY timers_due WHERE queued = 0 AND due <= ?1 ORDER BY due LIMIT ?2";
    let due = tx.all(sql, params![now.0, limit], |row| {
        let key = EntityKey {
            tenant: rows::must_name(row, 0)?,
            plugin: rows::must_name(row, 1)?,
            entity: rows::must_name(row, 2)?,
        };
        Ok((key, entities::timer(row, 3)?))
    })?;
    let mut fired = Fired::default();
    for (key, timer) in due {
        if timer.expires.is_some_and(|expires| expires < now) {
            runs::forget_timer(tx, &key, &timer)?;
            fired.expired += 1;
        } else if queue(tx, key, timer, now)? {
            fired.runs += 1;
        }
    }
    let sql = "SELECT due FROM timers INDEXED BY timers_due WHERE queued = 0 ORDER BY due LIMIT 1";
    fired.next_due = tx.one(sql, [], |row| row.get(0))?.map(Timestamp);
    Ok(fired)
}

fn queue(tx: &mut Tx<'_>, key: EntityKey, timer: FiredTimer, now: Timestamp) -> Outcome<bool> {
    let run = NewRun {
        id: RunId::of_timer(&key, &timer.key, timer.generation),
        customer: timer.customer.clone(),
        cause: Cause::Timer(timer.clone()),
        key,
        // A timer belongs to its entity's order like everything else that happens to it.
        hold_up: true,
    };
    let Some(queued) = accept::insert_run(tx, &run, None, now)? else {
        // It has had its run, so nothing would ever take it away.
        tracing::warn!(run = %run.id, timer = timer.key, "a timer that has had its run was still there; it is dropped");
        runs::forget_timer(tx, &run.key, &timer)?;
        return Ok(false);
    };
    let sql = "UPDATE timers SET queued = 1 WHERE tenant = ?1 AND plugin = ?2 AND entity = ?3 AND key = ?4";
    let key = &run.key;
    tx.run(sql, params![key.tenant.as_str(), key.plugin.as_str(), key.entity.as_str(), timer.key])?;
    tx.pending.runs.push(queued);
    Ok(true)
}
