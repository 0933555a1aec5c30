//! Customers of a transaction.
//!
//! A customer is read as one, with addresses and consents; what is changed of them is changed in the customer as well, because a
//! command that follows may ask for it.

use std::sync::Arc;

use super::{
    source::{CustomerKey, PgSource, look},
    table::row,
};
use crate::{
    clock::Timestamp,
    domain::customer::{Channel, Consent, Customer},
    ids::{CustomerId, TenantId},
    store::{
        CustomerProfile,
        commands::{
            Outcome,
            source::{OwnedAddress, People},
        },
    },
};

impl People for PgSource {
    fn load_customer(&mut self, tenant: &TenantId, id: &CustomerId) -> Outcome<Option<Arc<Customer>>> {
        look!(self, customers, (tenant.clone(), id.clone())).cloned()
    }

    fn put_profile(
        &mut self,
        tenant: &TenantId,
        id: &CustomerId,
        profile: &CustomerProfile,
        now: Timestamp,
    ) -> Outcome<()> {
        let key = (tenant.clone(), id.clone());
        let old = look!(self, customers, key.clone())?.clone();
        let created = old.as_ref().map_or(now, |old| old.created);
        let mut customer = old.map_or_else(|| empty(tenant, id, now), |old| (*old).clone());
        customer.name.clone_from(&profile.name);
        customer.locale.clone_from(&profile.locale);
        customer.timezone.clone_from(&profile.timezone);
        customer.attributes.clone_from(&profile.attributes);
        customer.updated = now;
        self.writes.customers.set(
            [tenant.as_str(), id.as_str()].join("\u{0}").into_bytes(),
            row![
                tenant.as_str(),
                id.as_str(),
                profile.name.as_deref(),
                profile.locale.as_deref(),
                profile.timezone.as_deref(),
                serde_json::to_string(&profile.attributes)?,
                created.0,
                now.0,
            ],
        );
        self.over.customers.insert(key, Some(Arc::new(customer)));
        Ok(())
    }

    fn address(&mut self, tenant: &TenantId, channel: Channel, address: &str) -> Outcome<Option<OwnedAddress>> {
        look!(self, addresses, (tenant.clone(), channel, address.to_owned())).cloned()
    }

    fn put_address(&mut self, tenant: &TenantId, owned: &OwnedAddress) -> Outcome<()> {
        let address = &owned.address;
        let before = self.address(tenant, address.channel, &address.address)?;
        if let Some(before) = before {
            self.lose_address(tenant, &before);
        }
        self.writes.addresses.set(
            place(tenant, address.channel, &address.address),
            row![
                tenant.as_str(),
                address.channel.as_str(),
                address.address.as_str(),
                owned.owner.as_str(),
                owned.position,
                address.last_incoming.map(|at| at.0),
                address.unusable_until.map(|at| at.0),
                address.free_until.map(|at| at.0),
            ],
        );
        self.change_customer(tenant, &owned.owner, |customer| {
            let position = usize::try_from(owned.position).unwrap_or(usize::MAX).min(customer.addresses.len());
            customer.addresses.insert(position, address.clone());
        });
        self.over.addresses.insert((tenant.clone(), address.channel, address.address.clone()), Some(owned.clone()));
        Ok(())
    }

    fn delete_address(&mut self, tenant: &TenantId, channel: Channel, address: &str) -> Outcome<()> {
        if let Some(before) = self.address(tenant, channel, address)? {
            self.lose_address(tenant, &before);
        }
        self.writes.addresses.take_back(&place(tenant, channel, address));
        let row = row![tenant.as_str(), channel.as_str(), address];
        self.writes.removed_addresses.set(place(tenant, channel, address), row);
        self.over.addresses.insert((tenant.clone(), channel, address.to_owned()), None);
        Ok(())
    }

    fn put_consent(&mut self, tenant: &TenantId, id: &CustomerId, consent: &Consent) -> Outcome<()> {
        let (channel, scope) = (consent.channel.as_str(), consent.scope.as_str());
        self.writes.consents.set(
            [tenant.as_str(), id.as_str(), channel, scope].join("\u{0}").into_bytes(),
            row![tenant.as_str(), id.as_str(), channel, scope, consent.granted, consent.source.as_str(), consent.at.0,],
        );
        self.change_customer(tenant, id, |customer| {
            customer.consents.retain(|old| old.channel != consent.channel || old.scope != consent.scope);
            customer.consents.push(consent.clone());
        });
        Ok(())
    }

    fn suppressed(&mut self, tenant: &TenantId, channel: Channel, hash: [u8; 32]) -> Outcome<Vec<Consent>> {
        look!(self, suppressed, (tenant.clone(), channel, hash)).cloned()
    }

    fn put_suppressed(&mut self, tenant: &TenantId, hash: [u8; 32], refused: &Consent) -> Outcome<()> {
        let (channel, scope) = (refused.channel, refused.scope);
        let mut kept = self.suppressed(tenant, channel, hash)?;
        kept.retain(|old| old.scope != scope);
        kept.push(refused.clone());
        self.over.suppressed.insert((tenant.clone(), channel, hash), kept);
        let row =
            row![tenant.as_str(), channel.as_str(), &hash[..], scope.as_str(), refused.source.as_str(), refused.at.0];
        self.writes.suppressed.set(hashed(tenant, hash, refused), row);
        Ok(())
    }

    fn delete_suppressed(&mut self, tenant: &TenantId, hash: [u8; 32], taken_back: &Consent) -> Outcome<()> {
        let (channel, scope) = (taken_back.channel, taken_back.scope);
        let mut kept = self.suppressed(tenant, channel, hash)?;
        kept.retain(|old| old.scope != scope);
        self.over.suppressed.insert((tenant.clone(), channel, hash), kept);
        let key = hashed(tenant, hash, taken_back);
        self.writes.suppressed.take_back(&key);
        let row = row![tenant.as_str(), channel.as_str(), &hash[..], scope.as_str(), taken_back.at.0];
        self.writes.removed_suppressed.set(key, row);
        Ok(())
    }
}

impl PgSource {
    /// Where the customer has been read: nobody can have asked for one that has not.
    fn change_customer(&mut self, tenant: &TenantId, id: &CustomerId, change: impl FnOnce(&mut Customer)) {
        let key: CustomerKey = (tenant.clone(), id.clone());
        let known = self.over.customers.get(&key).or_else(|| self.base.customers.get(&key));
        if let Some(Some(customer)) = known {
            let mut customer = (**customer).clone();
            change(&mut customer);
            self.over.customers.insert(key, Some(Arc::new(customer)));
        }
    }

    fn lose_address(&mut self, tenant: &TenantId, owned: &OwnedAddress) {
        let lost = &owned.address;
        self.change_customer(tenant, &owned.owner, |customer| {
            customer.addresses.retain(|address| address.channel != lost.channel || address.address != lost.address);
        });
    }
}

fn place(tenant: &TenantId, channel: Channel, address: &str) -> Vec<u8> {
    [tenant.as_str(), channel.as_str(), address].join("\u{0}").into_bytes()
}

fn hashed(tenant: &TenantId, hash: [u8; 32], consent: &Consent) -> Vec<u8> {
    let mut key = place(tenant, consent.channel, consent.scope.as_str());
    key.extend(hash);
    key
}

fn empty(tenant: &TenantId, id: &CustomerId, now: Timestamp) -> Customer {
    Customer {
        tenant: tenant.clone(),
        id: id.clone(),
        name: None,
        locale: None,
        timezone: None,
        attributes: std::collections::BTreeMap::new(),
        addresses: Vec::new(),
        consents: Vec::new(),
        created: now,
        updated: now,
    }
}
