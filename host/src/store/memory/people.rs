//! Rows of customers.

use std::sync::Arc;

use super::{
    MemorySource, heard,
    tables::{CustomerRow, Tables},
};
use crate::{
    clock::Timestamp,
    domain::customer::{Address, Channel, Consent, Customer},
    ids::{CustomerId, TenantId},
    store::{
        CustomerProfile,
        commands::{
            Outcome,
            customers::{self, Stranger, address_hash},
            source::{OwnedAddress, People},
        },
    },
};

pub(super) fn load(tables: &Tables, tenant: &TenantId, id: &CustomerId) -> Option<Customer> {
    let row = tables.customers.get(&(tenant.clone(), id.clone()))?;
    let mut addresses: Vec<&OwnedAddress> = tables
        .addresses
        .iter()
        .filter(|((of, _, _), owned)| of == tenant && owned.owner == *id)
        .map(|(_, owned)| owned)
        .collect();
    addresses.sort_by_key(|owned| owned.position);
    let consents = tables.consents.iter().filter(|((of, who, _, _), _)| of == tenant && who == id);
    Some(Customer {
        tenant: tenant.clone(),
        id: id.clone(),
        name: row.profile.name.clone(),
        locale: row.profile.locale.clone(),
        timezone: row.profile.timezone.clone(),
        attributes: row.profile.attributes.clone(),
        addresses: addresses.into_iter().map(|owned| owned.address.clone()).collect::<Vec<Address>>(),
        consents: consents.map(|(_, consent)| consent.clone()).collect(),
        created: row.created,
        updated: row.updated,
    })
}

fn suppressed(tables: &Tables, tenant: &TenantId, channel: Channel, hash: [u8; 32]) -> Vec<Consent> {
    let rows = tables.suppressed.iter().filter(|((of, on, kept, _), _)| (of, *on, *kept) == (tenant, channel, hash));
    rows.map(|(_, refused)| Consent { granted: false, ..refused.clone() }).collect()
}

pub(super) fn behind_number(
    tables: &Tables,
    address_key: &[u8; 32],
    tenant: &TenantId,
    number: &str,
    now: Timestamp,
) -> Customer {
    let mut owners = tables.addresses.iter().filter(|((of, _, address), _)| of == tenant && address == number);
    let owner = owners.next().map(|(_, owned)| owned.owner.clone());
    let known = owner.as_ref().and_then(|id| load(tables, tenant, id));
    let stranger = match owner {
        Some(_) => Stranger::default(),
        None => Stranger {
            refused: Channel::ALL
                .into_iter()
                .flat_map(|on| suppressed(tables, tenant, on, address_hash(address_key, tenant, on, number)))
                .collect(),
            heard: heard::last(tables, tenant, Channel::Whatsapp, number),
            free_until: tables
                .conversations
                .get(&(tenant.clone(), number.to_owned()))
                .and_then(|conversation| conversation.free_until),
        },
    };
    customers::behind_number(known, stranger, tenant, number, now)
}

impl People for MemorySource<'_> {
    fn load_customer(&mut self, tenant: &TenantId, id: &CustomerId) -> Outcome<Option<Arc<Customer>>> {
        Ok(load(self.tables, tenant, id).map(Arc::new))
    }

    fn put_profile(
        &mut self,
        tenant: &TenantId,
        id: &CustomerId,
        profile: &CustomerProfile,
        now: Timestamp,
    ) -> Outcome<()> {
        let row = self.tables.customers.entry((tenant.clone(), id.clone()));
        let row = row.or_insert_with(|| CustomerRow { profile: profile.clone(), created: now, updated: now });
        row.profile = profile.clone();
        row.updated = now;
        Ok(())
    }

    fn address(&mut self, tenant: &TenantId, channel: Channel, address: &str) -> Outcome<Option<OwnedAddress>> {
        Ok(self.tables.addresses.get(&(tenant.clone(), channel, address.to_owned())).cloned())
    }

    fn put_address(&mut self, tenant: &TenantId, owned: &OwnedAddress) -> Outcome<()> {
        let key = (tenant.clone(), owned.address.channel, owned.address.address.clone());
        self.tables.addresses.insert(key, owned.clone());
        Ok(())
    }

    fn delete_address(&mut self, tenant: &TenantId, channel: Channel, address: &str) -> Outcome<()> {
        self.tables.addresses.remove(&(tenant.clone(), channel, address.to_owned()));
        Ok(())
    }

    fn put_consent(&mut self, tenant: &TenantId, id: &CustomerId, consent: &Consent) -> Outcome<()> {
        let key = (tenant.clone(), id.clone(), consent.channel, consent.scope);
        self.tables.consents.insert(key, consent.clone());
        Ok(())
    }

    fn suppressed(&mut self, tenant: &TenantId, channel: Channel, hash: [u8; 32]) -> Outcome<Vec<Consent>> {
        Ok(suppressed(self.tables, tenant, channel, hash))
    }

    fn put_suppressed(&mut self, tenant: &TenantId, hash: [u8; 32], refused: &Consent) -> Outcome<()> {
        let key = (tenant.clone(), refused.channel, hash, refused.scope);
        self.tables.suppressed.insert(key, refused.clone());
        Ok(())
    }

    fn delete_suppressed(&mut self, tenant: &TenantId, hash: [u8; 32], taken_back: &Consent) -> Outcome<()> {
        self.tables.suppressed.remove(&(tenant.clone(), taken_back.channel, hash, taken_back.scope));
        Ok(())
    }
}
