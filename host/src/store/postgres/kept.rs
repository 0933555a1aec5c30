//! Rows of what plugins keep: versions, state, timers.
//!
//! An entity is read in three queries, its version first. Where somebody commits in between, the version is the older one, and a
//! commit that was decided on it finds it stale: what is read never passes for newer than it is.

use std::{collections::HashMap, sync::Arc};

use deadpool_postgres::ClientWrapper;
use tokio_postgres::Row;

use super::{
    error::Outcome,
    read::{self, Params},
    rows,
};
use crate::{
    clock::Timestamp,
    domain::run::{EntityKey, EntitySnapshot, FiredTimer, StateEntry},
    ids::{EventId, RunId},
    store::commands::{HeldEntity, source::DueTimers},
};

/// The entities that are asked for, each with its place among them.
const ONE_KEY: &str = "(SELECT $1::text AS tenant, $2::text AS plugin, $3::text AS entity, 1::bigint AS place) k";
const MANY_KEYS: &str =
    "unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS k (tenant, plugin, entity, place)";

const TIMER_COLUMNS: &str =
    "x.key, x.due, x.expires, x.customer, x.data, x.set_by, x.set_by_run, x.origin, x.generation";

pub(super) async fn load_entity(client: &ClientWrapper, key: &EntityKey) -> Outcome<HeldEntity> {
    let (tenant, plugin, entity) = (key.tenant.as_str(), key.plugin.as_str(), key.entity.as_str());
    let mut found = snapshots(client, ONE_KEY, &[&tenant, &plugin, &entity], 1, false).await?;
    Ok(found.pop().flatten().map(HeldEntity::new).unwrap_or_default())
}

/// Those of the entities that are there. Locked, nobody else can raise their versions before the transaction ends.
pub(super) async fn load_entities(
    client: &ClientWrapper,
    keys: &[EntityKey],
    lock: bool,
) -> Outcome<Vec<(EntityKey, HeldEntity)>> {
    let [tenants, plugins, entities] = columns(keys);
    let found = snapshots(client, MANY_KEYS, &[&tenants, &plugins, &entities], keys.len(), lock).await?;
    let held = keys.iter().zip(found).filter_map(|(key, found)| Some((key.clone(), HeldEntity::new(found?))));
    Ok(held.collect())
}

/// The versions of those entities that are there: nobody else can raise them before the transaction ends.
pub(super) async fn lock_versions(client: &ClientWrapper, keys: &[EntityKey]) -> Outcome<HashMap<EntityKey, i64>> {
    let [tenants, plugins, entities] = columns(keys);
    let found = versions(client, MANY_KEYS, &[&tenants, &plugins, &entities], true).await?;
    Ok(found.into_iter().filter_map(|(place, version)| Some((keys.get(place)?.clone(), version))).collect())
}

fn columns(keys: &[EntityKey]) -> [Vec<&str>; 3] {
    [
        keys.iter().map(|key| key.tenant.as_str()).collect(),
        keys.iter().map(|key| key.plugin.as_str()).collect(),
        keys.iter().map(|key| key.entity.as_str()).collect(),
    ]
}

/// One for each of `count` keys, in their order.
async fn snapshots(
    client: &ClientWrapper,
    keys: &str,
    params: Params<'_>,
    count: usize,
    lock: bool,
) -> Outcome<Vec<Option<EntitySnapshot>>> {
    let mut found: Vec<Option<EntitySnapshot>> = Vec::new();
    found.resize_with(count, || None);
    let versions = versions(client, keys, params, lock).await?;
    if versions.is_empty() {
        return Ok(found);
    }
    for (place, version) in versions {
        if let Some(slot) = found.get_mut(place) {
            *slot = Some(EntitySnapshot { version, ..EntitySnapshot::default() });
        }
    }
    let sql =
        format!("SELECT k.place, x.key, x.value, x.customer, x.expires FROM {keys} {}", of_key("state", "OFFSET 0"));
    let state = read::all(client, &sql, params, |row| Ok((place(row)?, row.try_get::<_, String>(1)?, entry(row)?)));
    for (place, key, entry) in state.await? {
        if let Some(Some(snapshot)) = found.get_mut(place) {
            snapshot.state.insert(key, entry);
        }
    }
    let sql = format!("SELECT k.place, {TIMER_COLUMNS} FROM {keys} {}", of_key("timers", "OFFSET 0"));
    for (place, timer) in read::all(client, &sql, params, |row| Ok((place(row)?, timer(row, 1)?))).await? {
        if let Some(Some(snapshot)) = found.get_mut(place) {
            snapshot.timers.insert(timer.key.clone(), timer);
        }
    }
    Ok(found)
}

/// The versions of those that are there, by their places.
async fn versions(client: &ClientWrapper, keys: &str, params: Params<'_>, lock: bool) -> Outcome<Vec<(usize, i64)>> {
    let rows = of_key("entities", if lock { "FOR UPDATE" } else { "OFFSET 0" });
    // Locked in one order by everybody, or two transactions could wait for each other.
    let sql = format!("SELECT k.place, x.version FROM (SELECT * FROM {keys} ORDER BY tenant, plugin, entity) k {rows}");
    read::all(client, &sql, params, |row| Ok((place(row)?, row.try_get(1)?))).await
}

/// The rows of each key, looked up one key after the other. `rest` keeps the database from joining in any other way, such as
/// reading the whole table to hash it.
fn of_key(table: &str, rest: &str) -> String {
    format!(
        "CROSS JOIN LATERAL (SELECT * FROM {table} t WHERE t.tenant = k.tenant AND t.plugin = k.plugin \
         AND t.entity = k.entity {rest}) x"
    )
}

/// Places are counted from 1 there, from 0 here. One that is out of range is met by no slot.
fn place(row: &Row) -> Outcome<usize> {
    let place: i64 = row.try_get(0)?;
    Ok(usize::try_from(place - 1).unwrap_or(usize::MAX))
}

fn entry(row: &Row) -> Outcome<StateEntry> {
    Ok(StateEntry {
        value: Arc::from(row.try_get::<_, &[u8]>(2)?),
        customer: rows::name(row, 3)?,
        expires: rows::time(row, 4)?,
    })
}

/// Reads a timer from nine columns that begin at `first`.
pub(super) fn timer(row: &Row, first: usize) -> Outcome<FiredTimer> {
    Ok(FiredTimer {
        key: row.try_get(first)?,
        due: rows::must_time(row, first + 1)?,
        expires: rows::time(row, first + 2)?,
        customer: rows::name(row, first + 3)?,
        data: row.try_get(first + 4)?,
        set_by: row.try_get(first + 5)?,
        set_by_run: RunId(rows::id(row, first + 6)?),
        origin: rows::id_or_none(row, first + 7)?.map(EventId),
        generation: row.try_get(first + 8)?,
    })
}

/// Timers that are due and have no run yet, the earliest first, and when to look again. Those that another host is about to fire
/// are left to it.
pub(super) async fn due_timers(
    client: &ClientWrapper,
    now_ms: i64,
    limit: u32,
    database_time: bool,
) -> Outcome<DueTimers> {
    let sql = format!(
        "SELECT x.tenant, x.plugin, x.entity, {TIMER_COLUMNS} FROM timers x WHERE NOT x.queued AND x.due <= $1::int8 \
         AND x.due <= CASE WHEN $3::bool THEN (extract(epoch FROM now()) * 1000)::int8 ELSE $1::int8 END \
         ORDER BY x.due LIMIT $2::int8 FOR UPDATE SKIP LOCKED"
    );
    let due = read::all(client, &sql, &[&now_ms, &i64::from(limit), &database_time], |row| {
        let key = EntityKey {
            tenant: rows::must_name(row, 0)?,
            plugin: rows::must_name(row, 1)?,
            entity: rows::must_name(row, 2)?,
        };
        Ok((key, timer(row, 3)?))
    })
    .await?;
    if u32::try_from(due.len()).is_ok_and(|count| count >= limit) {
        // There may be more of which the time has come already.
        return Ok((due, Some(Timestamp(now_ms))));
    }
    // One that is due by this host's clock and not yet by the database's is a few milliseconds early: it is asked for again.
    let sql = "SELECT GREATEST(due, $1::int8 + 1) FROM timers WHERE NOT queued AND due > CASE WHEN $2::bool \
               THEN LEAST($1::int8, (extract(epoch FROM now()) * 1000)::int8) ELSE $1::int8 END ORDER BY due LIMIT 1";
    let next = read::one(client, sql, &[&now_ms, &database_time], |row| rows::must_time(row, 0)).await?;
    Ok((due, next))
}
