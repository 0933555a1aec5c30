//! Rows of customers: profile, addresses, consents, and refusals of addresses that belong to nobody known.

use std::{collections::HashMap, sync::Arc};

use deadpool_postgres::ClientWrapper;

use super::{
    error::Outcome,
    heard,
    read::{self, Params},
    rows,
};
use crate::{
    clock::Timestamp,
    domain::customer::{Address, Channel, Consent, ConsentScope, Customer},
    ids::{CustomerId, TenantId},
    store::commands::{
        self,
        customers::{Stranger, address_hash},
    },
};

pub(super) async fn load(client: &ClientWrapper, tenant: &TenantId, id: &CustomerId) -> Outcome<Option<Customer>> {
    Ok(load_customers(client, tenant, &[id.as_str()]).await?.pop())
}

/// Nobody else can change these customers before the transaction ends. Those who are not known cannot be locked.
pub(super) async fn lock(client: &ClientWrapper, tenant: &TenantId, ids: &[&str]) -> Outcome<()> {
    // In one order by everybody, or two transactions could wait for each other.
    let sql = "SELECT 1 FROM customers WHERE tenant = $1 AND id = ANY($2) ORDER BY id FOR UPDATE";
    read::execute(client, sql, &[&tenant.as_str(), &ids]).await?;
    Ok(())
}

/// Those of the customers who are known, in the order of a listing.
pub(super) async fn load_customers(client: &ClientWrapper, tenant: &TenantId, ids: &[&str]) -> Outcome<Vec<Customer>> {
    let sql = "SELECT id, name, locale, timezone, attributes, created, updated FROM customers \
               WHERE tenant = $1 AND id = ANY($2) ORDER BY id";
    let params: Params<'_> = &[&tenant.as_str(), &ids];
    let mut customers = read::all(client, sql, params, |row| {
        Ok(Customer {
            tenant: tenant.clone(),
            id: rows::must_name(row, 0)?,
            name: row.try_get(1)?,
            locale: row.try_get(2)?,
            timezone: row.try_get(3)?,
            attributes: rows::json(row, 4)?,
            addresses: Vec::new(),
            consents: Vec::new(),
            created: rows::must_time(row, 5)?,
            updated: rows::must_time(row, 6)?,
        })
    })
    .await?;
    if customers.is_empty() {
        return Ok(customers);
    }
    let mut addresses = addresses(client, params).await?;
    let mut consents = consents(client, params).await?;
    for customer in &mut customers {
        customer.addresses = addresses.remove(&customer.id).unwrap_or_default();
        customer.consents = consents.remove(&customer.id).unwrap_or_default();
    }
    Ok(customers)
}

async fn addresses(client: &ClientWrapper, params: Params<'_>) -> Outcome<HashMap<CustomerId, Vec<Address>>> {
    let sql = "SELECT customer, channel, address, last_incoming, unusable_until, free_until FROM addresses \
               WHERE tenant = $1 AND customer = ANY($2) ORDER BY customer, position";
    let found = read::all(client, sql, params, |row| {
        let address = Address {
            channel: rows::word(row, 1, Channel::parse)?,
            address: row.try_get(2)?,
            last_incoming: rows::time(row, 3)?,
            unusable_until: rows::time(row, 4)?,
            free_until: rows::time(row, 5)?,
        };
        Ok((rows::must_name(row, 0)?, address))
    });
    Ok(grouped(found.await?))
}

async fn consents(client: &ClientWrapper, params: Params<'_>) -> Outcome<HashMap<CustomerId, Vec<Consent>>> {
    let sql = "SELECT customer, channel, scope, granted, source, at FROM consents \
               WHERE tenant = $1 AND customer = ANY($2) ORDER BY customer, channel, scope";
    let found = read::all(client, sql, params, |row| {
        let consent = Consent {
            channel: rows::word(row, 1, Channel::parse)?,
            scope: rows::word(row, 2, ConsentScope::parse)?,
            granted: row.try_get(3)?,
            source: row.try_get(4)?,
            at: rows::must_time(row, 5)?,
        };
        Ok((rows::must_name(row, 0)?, consent))
    });
    Ok(grouped(found.await?))
}

/// The order of the rows stays within each customer.
fn grouped<T>(found: Vec<(CustomerId, T)>) -> HashMap<CustomerId, Vec<T>> {
    let mut groups: HashMap<CustomerId, Vec<T>> = HashMap::new();
    for (id, value) in found {
        groups.entry(id).or_default().push(value);
    }
    groups
}

/// A page of customers by their ids: in the database's own order, which is also that of the comparison with `after`.
pub(super) async fn list(
    client: &ClientWrapper,
    tenant: &TenantId,
    after: Option<&str>,
    limit: u32,
) -> Outcome<Vec<Arc<Customer>>> {
    let sql = "SELECT id FROM customers WHERE tenant = $1 AND id > $2 ORDER BY id LIMIT $3";
    let params: Params<'_> = &[&tenant.as_str(), &after.unwrap_or(""), &i64::from(limit)];
    let ids: Vec<String> = read::all(client, sql, params, |row| Ok(row.try_get(0)?)).await?;
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let customers = load_customers(client, tenant, &ids).await?;
    Ok(customers.into_iter().map(Arc::new).collect())
}

/// Refusals that are kept under the hash of an address.
pub(super) async fn suppressed(
    client: &ClientWrapper,
    tenant: &TenantId,
    channel: Channel,
    hash: [u8; 32],
) -> Outcome<Vec<Consent>> {
    let sql =
        "SELECT scope, source, at FROM suppressed WHERE tenant = $1 AND channel = $2 AND hash = $3 ORDER BY scope";
    read::all(client, sql, &[&tenant.as_str(), &channel.as_str(), &hash.as_slice()], |row| {
        Ok(Consent {
            channel,
            scope: rows::word(row, 0, ConsentScope::parse)?,
            granted: false,
            source: row.try_get(1)?,
            at: rows::must_time(row, 2)?,
        })
    })
    .await
}

/// The customer who has the number on any channel, or a stranger with the refusals that are kept of it.
pub(super) async fn behind_number(
    client: &ClientWrapper,
    address_key: &[u8; 32],
    tenant: &TenantId,
    number: &str,
    now: Timestamp,
) -> Outcome<Customer> {
    let sql = "SELECT customer FROM addresses WHERE tenant = $1 AND address = $2 AND channel IN ('whatsapp', 'sms') \
               ORDER BY channel LIMIT 1";
    let owner: Option<CustomerId> =
        read::one(client, sql, &[&tenant.as_str(), &number], |row| rows::must_name(row, 0)).await?;
    let known = match &owner {
        Some(id) => load(client, tenant, id).await?,
        None => None,
    };
    let mut stranger = Stranger::default();
    if owner.is_none() {
        stranger.heard = heard::last_incoming(client, tenant, Channel::Whatsapp, number).await?;
        let sql = "SELECT free_until FROM conversations WHERE tenant = $1 AND sender = $2";
        let free = read::one(client, sql, &[&tenant.as_str(), &number], |row| rows::time(row, 0)).await?;
        stranger.free_until = free.flatten();
        for channel in Channel::ALL {
            let hash = address_hash(address_key, tenant, channel, number);
            stranger.refused.extend(suppressed(client, tenant, channel, hash).await?);
        }
    }
    Ok(commands::customers::behind_number(known, stranger, tenant, number, now))
}
