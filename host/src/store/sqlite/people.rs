//! Rows of customers: profile, addresses, consents, and refusals of addresses that belong to nobody known.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, params};

use super::{
    error::{Outcome, Trouble},
    heard, rows,
    source::SqliteSource,
};
use crate::{
    clock::Timestamp,
    domain::customer::{Address, Channel, Consent, ConsentScope, Customer},
    ids::{CustomerId, TenantId},
    store::{
        CustomerProfile,
        commands::{
            self,
            customers::{Stranger, address_hash},
            source::{OwnedAddress, People},
        },
    },
};

impl People for SqliteSource<'_> {
    fn load_customer(&mut self, tenant: &TenantId, id: &CustomerId) -> commands::Outcome<Option<Arc<Customer>>> {
        Ok(load(self.conn, tenant, id)?.map(Arc::new))
    }

    fn put_profile(
        &mut self,
        tenant: &TenantId,
        id: &CustomerId,
        profile: &CustomerProfile,
        now: Timestamp,
    ) -> commands::Outcome<()> {
        let sql = "INSERT INTO customers (tenant, id, name, locale, timezone, attributes, created, updated) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7) ON CONFLICT (tenant, id) DO UPDATE SET name = excluded.name, \
                   locale = excluded.locale, timezone = excluded.timezone, attributes = excluded.attributes, \
                   updated = excluded.updated";
        let attributes = serde_json::to_string(&profile.attributes)?;
        self.execute(
            sql,
            params![tenant.as_str(), id.as_str(), profile.name, profile.locale, profile.timezone, attributes, now.0],
        )?;
        Ok(())
    }

    fn address(
        &mut self,
        tenant: &TenantId,
        channel: Channel,
        address: &str,
    ) -> commands::Outcome<Option<OwnedAddress>> {
        let sql = "SELECT customer, position, last_incoming, unusable_until, free_until FROM addresses \
                   WHERE tenant = ?1 AND channel = ?2 AND address = ?3";
        Ok(self.one(sql, params![tenant.as_str(), channel.as_str(), address], |row| {
            Ok(OwnedAddress {
                owner: rows::must_name(row, 0)?,
                position: row.get(1)?,
                address: Address {
                    channel,
                    address: address.to_owned(),
                    last_incoming: rows::time(row, 2)?,
                    unusable_until: rows::time(row, 3)?,
                    free_until: rows::time(row, 4)?,
                },
            })
        })?)
    }

    fn put_address(&mut self, tenant: &TenantId, owned: &OwnedAddress) -> commands::Outcome<()> {
        let sql = "INSERT OR REPLACE INTO addresses (tenant, channel, address, customer, position, last_incoming, \
                   unusable_until, free_until) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
        let address = &owned.address;
        self.execute(
            sql,
            params![
                tenant.as_str(),
                address.channel.as_str(),
                address.address,
                owned.owner.as_str(),
                owned.position,
                address.last_incoming.map(|at| at.0),
                address.unusable_until.map(|at| at.0),
                address.free_until.map(|at| at.0),
            ],
        )?;
        Ok(())
    }

    fn delete_address(&mut self, tenant: &TenantId, channel: Channel, address: &str) -> commands::Outcome<()> {
        let sql = "DELETE FROM addresses WHERE tenant = ?1 AND channel = ?2 AND address = ?3";
        self.execute(sql, params![tenant.as_str(), channel.as_str(), address])?;
        Ok(())
    }

    fn put_consent(&mut self, tenant: &TenantId, id: &CustomerId, consent: &Consent) -> commands::Outcome<()> {
        let sql = "INSERT OR REPLACE INTO consents (tenant, customer, channel, scope, granted, source, at) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        self.execute(
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

    fn suppressed(&mut self, tenant: &TenantId, channel: Channel, hash: [u8; 32]) -> commands::Outcome<Vec<Consent>> {
        Ok(suppressed(self.conn, tenant, channel, hash)?)
    }

    fn put_suppressed(&mut self, tenant: &TenantId, hash: [u8; 32], refused: &Consent) -> commands::Outcome<()> {
        let sql = "INSERT OR REPLACE INTO suppressed (tenant, channel, hash, scope, source, at) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let (channel, scope) = (refused.channel.as_str(), refused.scope.as_str());
        self.execute(sql, params![tenant.as_str(), channel, hash, scope, refused.source, refused.at.0])?;
        Ok(())
    }

    fn delete_suppressed(&mut self, tenant: &TenantId, hash: [u8; 32], taken_back: &Consent) -> commands::Outcome<()> {
        let sql = "DELETE FROM suppressed WHERE tenant = ?1 AND channel = ?2 AND hash = ?3 AND scope = ?4";
        self.execute(sql, params![tenant.as_str(), taken_back.channel.as_str(), hash, taken_back.scope.as_str()])?;
        Ok(())
    }
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
    let sql = "SELECT channel, address, last_incoming, unusable_until, free_until FROM addresses INDEXED BY addresses_customer \
               WHERE tenant = ?1 AND customer = ?2 ORDER BY position";
    let mut statement = conn.prepare_cached(sql)?;
    let found = statement.query_map(params![tenant.as_str(), id.as_str()], |row| {
        Ok(Address {
            channel: rows::word(row, 0, Channel::parse)?,
            address: row.get(1)?,
            last_incoming: rows::time(row, 2)?,
            unusable_until: rows::time(row, 3)?,
            free_until: rows::time(row, 4)?,
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

fn suppressed(conn: &Connection, tenant: &TenantId, channel: Channel, hash: [u8; 32]) -> Outcome<Vec<Consent>> {
    let sql = "SELECT scope, source, at FROM suppressed WHERE tenant = ?1 AND channel = ?2 AND hash = ?3";
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
    let mut stranger = Stranger::default();
    if owner.is_none() {
        stranger.heard = heard::last_incoming(conn, tenant, Channel::Whatsapp, number)?;
        let sql = "SELECT free_until FROM conversations WHERE tenant = ?1 AND sender = ?2";
        let free = conn.prepare_cached(sql)?.query_row(params![tenant.as_str(), number], |row| rows::time(row, 0));
        stranger.free_until = free.optional()?.flatten();
        for channel in Channel::ALL {
            let hash = address_hash(address_key, tenant, channel, number);
            stranger.refused.extend(suppressed(conn, tenant, channel, hash)?);
        }
    }
    Ok(commands::customers::behind_number(known, stranger, tenant, number, now))
}
