//! Rows that name a customer: found by reading whole tables.

use deadpool_postgres::ClientWrapper;
use tokio_postgres::Row;

use super::{
    error::Outcome,
    people,
    read::{self, Params},
    rows,
};
use crate::{
    domain::run::EntityKey,
    ids::{CustomerId, MessageId, TenantId},
    store::commands::erase::{Found, Names},
};

/// What the customer is called, as long as there is a profile to learn it from.
pub(super) async fn names(client: &ClientWrapper, tenant: &TenantId, id: &CustomerId) -> Outcome<Option<Names>> {
    let customer = people::load(client, tenant, id).await?;
    Ok(customer.map(|customer| Names { tenant: tenant.clone(), customer: id.clone(), addresses: customer.addresses }))
}

pub(super) async fn find(client: &ClientWrapper, names: &Names) -> Outcome<Found> {
    let (tenant, customer) = (names.tenant.as_str(), names.customer.as_str());
    let (lanes, entities) = (names.lanes(), names.entities());
    let by_lane: Params<'_> = &[&tenant, &customer, &lanes];
    let by_entity: Params<'_> = &[&tenant, &customer, &entities];
    let of_entity = "tenant = $1 AND (customer = $2 OR entity = ANY($3))";
    let runs = format!("SELECT seq FROM runs WHERE {of_entity}");
    let incoming = "SELECT seq FROM incoming WHERE tenant = $1 AND (customer = $2 OR sender = ANY($3))";
    let state = format!("SELECT tenant, plugin, entity, key FROM state WHERE {of_entity}");
    let timers = format!("SELECT tenant, plugin, entity, key FROM timers WHERE {of_entity}");
    let messages = "SELECT id FROM messages WHERE tenant = $1 AND lane = ANY($2)";
    let named = "SELECT tenant, plugin, entity FROM entities WHERE tenant = $1 AND entity = ANY($2)";
    let events = "SELECT seq FROM events WHERE tenant = $1 AND customer = $2";
    Ok(Found {
        events: read::all(client, events, &[&tenant, &customer], seq).await?,
        runs: read::all(client, &runs, by_entity, seq).await?,
        messages: read::all(client, messages, &[&tenant, &lanes], |row| rows::id(row, 0).map(MessageId)).await?,
        incoming: read::all(client, incoming, by_lane, seq).await?,
        state: read::all(client, &state, by_entity, keyed).await?,
        timers: read::all(client, &timers, by_entity, keyed).await?,
        entities: read::all(client, named, &[&tenant, &entities], entity_key).await?,
    })
}

fn seq(row: &Row) -> Outcome<i64> {
    Ok(row.try_get(0)?)
}

fn entity_key(row: &Row) -> Outcome<EntityKey> {
    Ok(EntityKey {
        tenant: rows::must_name(row, 0)?,
        plugin: rows::must_name(row, 1)?,
        entity: rows::must_name(row, 2)?,
    })
}

fn keyed(row: &Row) -> Outcome<(EntityKey, String)> {
    Ok((entity_key(row)?, row.try_get(3)?))
}
