//! Customers: profile, addresses, consents, read and cached as one.
//!
//! A later consent overrules an earlier one, whatever order they are written in, and a refusal wins a draw: so a list that is
//! imported again does not undo a STOP. Refusals of addresses that belong to nobody known are kept as a keyed hash.

use std::{collections::BTreeMap, sync::Arc};

use rusqlite::{Connection, OptionalExtension, params};

use super::{
    error::{Outcome, Trouble},
    rows,
    tx::Tx,
};
use crate::{
    clock::Timestamp,
    domain::customer::{Address, Channel, Consent, ConsentScope, Customer},
    ids::{CustomerId, TenantId},
    store::CustomerProfile,
};

/// What it takes in memory, roughly.
pub(super) fn bytes(customer: &Customer) -> usize {
    let attributes = customer.attributes.iter().map(|(name, value)| 96 + name.len() + value.len()).sum::<usize>();
    512 + attributes + (customer.addresses.len() + customer.consents.len()) * 128
}

pub(super) fn load(conn: &Connection, tenant: &TenantId, id: &CustomerId) -> Outcome<Option<Customer>> {
    let sql =
        "SELECT name, locale, timezone, attributes, created, updated FROM customers WHERE tenant = ?1 AND id = ?2";
    let found = conn.prepare_cached(sql)?.query_row(params![tenant.as_str(), id.as_str()], |row| {
        Ok(Customer {
            tenant: tenant.clone(),
            id: id.clone(),
            name: row.get(0)?,
            locale: row.get(1)?,
            timezone: row.get(2)?,
            attributes: rows::json(row, 3)?,
            addresses: Vec::new(),
            consents: Vec::new(),
            created: Timestamp(row.get(4)?),
            updated: Timestamp(row.get(5)?),
        })
    });
    let Some(mut customer) = found.optional()? else { return Ok(None) };
    customer.addresses = addresses(conn, tenant, id)?;
    customer.consents = consents(conn, tenant, id)?;
    Ok(Some(customer))
}

pub(super) fn addresses(conn: &Connection, tenant: &TenantId, id: &CustomerId) -> Outcome<Vec<Address>> {
    let sql = "SELECT channel, address, last_incoming, unusable_until FROM addresses INDEXED BY addresses_customer \
               WHERE tenant = ?1 AND customer = ?2 ORDER BY position";
    let mut statement = conn.prepare_cached(sql)?;
    let found = statement.query_map(params![tenant.as_str(), id.as_str()], |row| {
        Ok(Address {
            channel: rows::word(row, 0, Channel::parse)?,
            address: row.get(1)?,
            last_incoming: rows::time(row, 2)?,
            unusable_until: rows::time(row, 3)?,
        })
    })?;
    found.collect::<rusqlite::Result<_>>().map_err(Trouble::from)
}

pub(super) fn consents(conn: &Connection, tenant: &TenantId, id: &CustomerId) -> Outcome<Vec<Consent>> {
    let sql = "SELECT channel, scope, granted, source, at FROM consents WHERE tenant = ?1 AND customer = ?2";
    let mut statement = conn.prepare_cached(sql)?;
    let found = statement.query_map(params![tenant.as_str(), id.as_str()], |row| {
        Ok(Consent {
            channel: rows::word(row, 0, Channel::parse)?,
            scope: rows::word(row, 1, ConsentScope::parse)?,
            granted: row.get(2)?,
            source: row.get(3)?,
            at: Timestamp(row.get(4)?),
        })
    })?;
    found.collect::<rusqlite::Result<_>>().map_err(Trouble::from)
}

pub(super) fn list(
    conn: &Connection,
    tenant: &TenantId,
    after: Option<&str>,
    limit: u32,
) -> Outcome<Vec<Arc<Customer>>> {
    let mut statement =
        conn.prepare_cached("SELECT id FROM customers WHERE tenant = ?1 AND id > ?2 ORDER BY id LIMIT ?3")?;
    let ids = statement
        .query_map(params![tenant.as_str(), after.unwrap_or(""), limit], |row| rows::must_name(row, 0))?
        .collect::<rusqlite::Result<Vec<CustomerId>>>()?;
    let mut customers = Vec::with_capacity(ids.len());
    for id in &ids {
        customers.extend(load(conn, tenant, id)?.map(Arc::new));
    }
    Ok(customers)
}

pub(super) fn put(
    tx: &mut Tx<'_>,
    tenant: &TenantId,
    id: &CustomerId,
    profile: &CustomerProfile,
    now: Timestamp,
) -> Outcome<Arc<Customer>> {
    let sql = "INSERT INTO customers (tenant, id, name, locale, timezone, attributes, created, updated) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7) ON CONFLICT (tenant, id) DO UPDATE SET name = excluded.name, \
               locale = excluded.locale, timezone = excluded.timezone, attributes = excluded.attributes, \
               updated = excluded.updated";
    let attributes = serde_json::to_string(&profile.attributes)?;
    tx.run(
        sql,
        params![tenant.as_str(), id.as_str(), profile.name, profile.locale, profile.timezone, attributes, now.0],
    )?;
    put_addresses(tx, tenant, id, &profile.addresses)?;
    for consent in &profile.consents {
        write_consent(tx, tenant, id, consent)?;
    }
    for address in &profile.addresses {
        for refused in suppressed(tx.conn, &tx.shared.address_key, tenant, address.channel, &address.address)? {
            write_consent(tx, tenant, id, &refused)?;
        }
    }
    let known = consents(tx.conn, tenant, id)?;
    for consent in &profile.standing {
        if !known.iter().any(|known| known.channel == consent.channel && known.scope == consent.scope) {
            write_consent(tx, tenant, id, consent)?;
        }
    }
    tx.customer_changed(tenant, id)?
        .ok_or_else(|| Trouble::unreadable(format!("customer `{id}` was written and is not there")))
}

/// The given addresses replace those there were. What is known of an address survives, also when it changes hands.
fn put_addresses(tx: &mut Tx<'_>, tenant: &TenantId, id: &CustomerId, given: &[Address]) -> Outcome<()> {
    for old in addresses(tx.conn, tenant, id)? {
        if !given.iter().any(|new| new.channel == old.channel && new.address == old.address) {
            let sql = "DELETE FROM addresses WHERE tenant = ?1 AND channel = ?2 AND address = ?3";
            tx.run(sql, params![tenant.as_str(), old.channel.as_str(), old.address])?;
        }
    }
    for (position, address) in given.iter().enumerate() {
        let before = owner(tx, tenant, address.channel, &address.address)?;
        let heard = match address.last_incoming {
            Some(at) => Some(at),
            None => last_incoming(tx, tenant, address.channel, &address.address)?,
        };
        let sql = "INSERT INTO addresses (tenant, channel, address, customer, position, last_incoming, unusable_until) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (tenant, channel, address) DO UPDATE SET \
                   customer = excluded.customer, position = excluded.position, \
                   last_incoming = max(coalesce(excluded.last_incoming, last_incoming), \
                     coalesce(last_incoming, excluded.last_incoming)), \
                   unusable_until = coalesce(excluded.unusable_until, unusable_until)";
        tx.run(
            sql,
            params![
                tenant.as_str(),
                address.channel.as_str(),
                address.address,
                id.as_str(),
                i64::try_from(position).unwrap_or(i64::MAX),
                heard.map(|at| at.0),
                address.unusable_until.map(|at| at.0),
            ],
        )?;
        if let Some(before) = before.filter(|before| before != id) {
            tx.customer_changed(tenant, &before)?;
        }
    }
    Ok(())
}

/// When somebody last wrote from an address that belonged to no customer then.
fn last_incoming(tx: &Tx<'_>, tenant: &TenantId, channel: Channel, address: &str) -> Outcome<Option<Timestamp>> {
    let sql = "SELECT time FROM incoming WHERE tenant = ?1 AND sender = ?2 AND channel = ?3 ORDER BY seq DESC LIMIT 1";
    let found = tx.one(sql, params![tenant.as_str(), address, channel.as_str()], |row| row.get(0))?;
    Ok(found.map(Timestamp))
}

/// Whose address it is.
pub(super) fn owner(tx: &Tx<'_>, tenant: &TenantId, channel: Channel, address: &str) -> Outcome<Option<CustomerId>> {
    let sql = "SELECT customer FROM addresses WHERE tenant = ?1 AND channel = ?2 AND address = ?3";
    tx.one(sql, params![tenant.as_str(), channel.as_str(), address], |row| rows::must_name(row, 0))
}

/// With the customer who has the address, or for whoever will have it.
pub(super) fn record_address_consent(
    tx: &mut Tx<'_>,
    tenant: &TenantId,
    address: &str,
    consent: &Consent,
) -> Outcome<()> {
    match owner(tx, tenant, consent.channel, address)? {
        Some(customer) => record_consent(tx, tenant, &customer, consent),
        None => suppress(tx, tenant, address, consent),
    }
}

pub(super) fn note_address(
    tx: &mut Tx<'_>,
    tenant: &TenantId,
    channel: Channel,
    address: &str,
    unusable_until: Option<Timestamp>,
) -> Outcome<()> {
    let Some(owner) = owner(tx, tenant, channel, address)? else { return Ok(()) };
    let sql = "UPDATE addresses SET unusable_until = ?4 WHERE tenant = ?1 AND channel = ?2 AND address = ?3";
    tx.run(sql, params![tenant.as_str(), channel.as_str(), address, unusable_until.map(|at| at.0)])?;
    tx.customer_changed(tenant, &owner)?;
    Ok(())
}

/// The customer wrote from this address: the conversation window opens.
pub(super) fn heard_from(
    tx: &mut Tx<'_>,
    tenant: &TenantId,
    customer: &CustomerId,
    channel: Channel,
    address: &str,
    at: Timestamp,
) -> Outcome<()> {
    // Who writes from an address can be reached at it.
    let sql = "UPDATE addresses SET last_incoming = max(coalesce(last_incoming, ?5), ?5), unusable_until = NULL \
               WHERE tenant = ?1 AND channel = ?2 AND address = ?3 AND customer = ?4";
    tx.run(sql, params![tenant.as_str(), channel.as_str(), address, customer.as_str(), at.0])?;
    tx.customer_changed(tenant, customer)?;
    Ok(())
}

pub(super) fn record_consent(tx: &mut Tx<'_>, tenant: &TenantId, id: &CustomerId, consent: &Consent) -> Outcome<()> {
    write_consent(tx, tenant, id, consent)?;
    tx.customer_changed(tenant, id)?;
    Ok(())
}

fn write_consent(tx: &Tx<'_>, tenant: &TenantId, id: &CustomerId, consent: &Consent) -> Outcome<()> {
    let sql = "INSERT INTO consents (tenant, customer, channel, scope, granted, source, at) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (tenant, customer, channel, scope) DO UPDATE SET \
               granted = excluded.granted, source = excluded.source, at = excluded.at \
               WHERE excluded.at > at OR (excluded.at = at AND excluded.granted <= granted)";
    tx.run(
        sql,
        params![
            tenant.as_str(),
            id.as_str(),
            consent.channel.as_str(),
            consent.scope.as_str(),
            consent.granted,
            consent.source,
            consent.at.0,
        ],
    )?;
    Ok(())
}

/// Remembers a refusal, or takes it back, for an address whose owner is not known or no longer to be known.
pub(super) fn suppress(tx: &Tx<'_>, tenant: &TenantId, address: &str, consent: &Consent) -> Outcome<()> {
    let (channel, scope, at) = (consent.channel.as_str(), consent.scope.as_str(), consent.at.0);
    let hash = hash(&tx.shared.address_key, tenant, consent.channel, address);
    if consent.granted {
        let sql = "DELETE FROM suppressed WHERE tenant = ?1 AND channel = ?2 AND hash = ?3 AND scope = ?4 AND at < ?5";
        tx.run(sql, params![tenant.as_str(), channel, hash, scope, at])?;
    } else {
        let sql = "INSERT INTO suppressed (tenant, channel, hash, scope, source, at) VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
                   ON CONFLICT (tenant, channel, hash, scope) DO UPDATE SET source = excluded.source, at = excluded.at \
                   WHERE excluded.at > at";
        tx.run(sql, params![tenant.as_str(), channel, hash, scope, consent.source, at])?;
    }
    Ok(())
}

fn suppressed(
    conn: &Connection,
    address_key: &[u8; 32],
    tenant: &TenantId,
    channel: Channel,
    address: &str,
) -> Outcome<Vec<Consent>> {
    let sql = "SELECT scope, source, at FROM suppressed WHERE tenant = ?1 AND channel = ?2 AND hash = ?3";
    let hash = hash(address_key, tenant, channel, address);
    let mut statement = conn.prepare_cached(sql)?;
    let found = statement.query_map(params![tenant.as_str(), channel.as_str(), hash], |row| {
        Ok(Consent {
            channel,
            scope: rows::word(row, 0, ConsentScope::parse)?,
            granted: false,
            source: row.get(1)?,
            at: Timestamp(row.get(2)?),
        })
    })?;
    found.collect::<rusqlite::Result<_>>().map_err(Trouble::from)
}

/// The customer who has the number on any channel, or a stranger with the refusals that are kept of it.
pub(super) fn behind_number(
    conn: &Connection,
    address_key: &[u8; 32],
    tenant: &TenantId,
    number: &str,
    now: Timestamp,
) -> Outcome<Customer> {
    let sql =
        "SELECT customer FROM addresses WHERE tenant = ?1 AND address = ?2 AND channel IN ('whatsapp', 'sms') LIMIT 1";
    let mut statement = conn.prepare_cached(sql)?;
    let owner = statement.query_row(params![tenant.as_str(), number], |row| rows::must_name(row, 0)).optional()?;
    let known = match &owner {
        Some(id) => load(conn, tenant, id)?,
        None => None,
    };
    let mut customer = known.unwrap_or_else(|| Customer {
        tenant: tenant.clone(),
        id: CustomerId::from(number),
        name: None,
        locale: None,
        timezone: None,
        attributes: BTreeMap::new(),
        addresses: Vec::new(),
        consents: Vec::new(),
        created: now,
        updated: now,
    });
    if owner.is_none() {
        for channel in Channel::ALL {
            customer.consents.extend(suppressed(conn, address_key, tenant, channel, number)?);
        }
    }
    for channel in Channel::ALL {
        if customer.address(channel).is_none_or(|address| address.address != number) {
            customer.addresses.retain(|address| address.channel != channel);
            let address = Address { channel, address: number.to_owned(), last_incoming: None, unusable_until: None };
            customer.addresses.push(address);
        }
    }
    Ok(customer)
}

/// Telephone numbers are few enough to try them all against a plain hash; the key, which never leaves the file, prevents that
/// for whoever has only the hashes.
fn hash(address_key: &[u8; 32], tenant: &TenantId, channel: Channel, address: &str) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_keyed(address_key);
    for part in [tenant.as_str(), channel.as_str(), address] {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    *hasher.finalize().as_bytes()
}
