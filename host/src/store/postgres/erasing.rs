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
    store::commands::erase::{Found, Names, ParkedNames},
};

/// What the customer is called, as long as there is a profile to learn it from.
pub(super) async fn names(client: &ClientWrapper, tenant: &TenantId, id: &CustomerId) -> Outcome<Option<Names>> {
    let customer = people::load(client, tenant, id).await?;
    Ok(customer.map(|customer| Names { tenant: tenant.clone(), customer: id.clone(), addresses: customer.addresses }))
}

/// Whether one of the numbers stands in one of the columns. They are a parameter: a statement's text is kept.
fn mentioned(parameter: u32, columns: &str) -> String {
    format!(
        "EXISTS (SELECT 1 FROM unnest(${parameter}::text[]) AS n(number) \
         WHERE strpos(concat_ws(' ', {columns}), n.number) > 0)"
    )
}

pub(super) async fn find(client: &ClientWrapper, names: &Names) -> Outcome<Found> {
    let (tenant, customer) = (names.tenant.as_str(), names.customer.as_str());
    let (lanes, entities) = (names.lanes(), names.entities());
    let numbers = names.numbers();
    let by_lane: Params<'_> = &[&tenant, &customer, &lanes, &numbers];
    let by_entity: Params<'_> = &[&tenant, &customer, &entities, &numbers];
    let event = |parameter| mentioned(parameter, "e.data, e.subject, e.source_id, e.attributes, e.notes");
    let of_entity = "tenant = $1 AND (customer = $2 OR entity = ANY($3)";
    let runs = format!(
        "SELECT seq FROM runs r WHERE {of_entity} OR {} \
         OR EXISTS (SELECT 1 FROM run_results s WHERE s.seq = r.seq AND {}) \
         OR EXISTS (SELECT 1 FROM events e WHERE e.seq = r.event AND {}))",
        mentioned(4, "r.payload, r.entity"),
        mentioned(4, "s.failure, s.report, s.effects"),
        event(4)
    );
    let messages = format!(
        "SELECT id FROM messages m WHERE tenant = $1 AND (lane = ANY($2) OR {} \
         OR EXISTS (SELECT 1 FROM attempts a WHERE a.message = m.seq AND {}) \
         OR EXISTS (SELECT 1 FROM receipts h WHERE h.message = m.seq AND {}))",
        mentioned(3, "m.body"),
        mentioned(3, "a.address, a.provider_id, a.failure, a.decision"),
        mentioned(3, "h.failure")
    );
    let incoming = format!(
        "SELECT seq FROM incoming WHERE tenant = $1 AND (customer = $2 OR sender = ANY($3) OR {})",
        mentioned(4, "body")
    );
    let keys = "SELECT tenant, plugin, entity, key FROM";
    // Bytes need not be text; digits in them are found in the way that bytes are written.
    let value = mentioned(4, "entity, key, encode(value, 'escape')");
    let state = format!("{keys} state WHERE {of_entity} OR {value})");
    let timers = format!("{keys} timers WHERE {of_entity} OR {})", mentioned(4, "entity, key, data"));
    let named = format!(
        "SELECT tenant, plugin, entity FROM entities WHERE tenant = $1 AND (entity = ANY($2) OR {})",
        mentioned(3, "entity")
    );
    let events = format!("SELECT seq FROM events e WHERE e.tenant = $1 AND (e.customer = $2 OR {})", event(3));
    let messages =
        read::all(client, &messages, &[&tenant, &lanes, &numbers], |row| rows::id(row, 0).map(MessageId)).await?;
    Ok(Found {
        events: read::all(client, &events, &[&tenant, &customer, &numbers], seq).await?,
        runs: read::all(client, &runs, by_entity, seq).await?,
        incoming: read::all(client, &incoming, by_lane, seq).await?,
        state: read::all(client, &state, by_entity, keyed).await?,
        timers: read::all(client, &timers, by_entity, keyed).await?,
        entities: read::all(client, &named, &[&tenant, &entities, &numbers], entity_key).await?,
        parked: parked(client, names, &messages).await?,
        messages,
    })
}

async fn parked(client: &ClientWrapper, names: &Names, messages: &[MessageId]) -> Outcome<Vec<i64>> {
    let sql = "SELECT id, token, provider_id, failure FROM parked_receipts WHERE tenant = $1";
    let tenant = names.tenant.as_str();
    let params: read::Params<'_> = &[&tenant];
    let all = read::all(client, sql, params, |row| {
        Ok(ParkedNames {
            id: row.try_get(0)?,
            token: row.try_get(1)?,
            provider_id: row.try_get(2)?,
            failure: row.try_get(3)?,
        })
    });
    let about = all.await?.into_iter().filter(|parked| names.concerns(messages, parked));
    Ok(about.map(|parked| parked.id).collect())
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
