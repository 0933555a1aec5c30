//! Customers: profile, addresses, consents, read and cached as one.
//!
//! A later consent overrules an earlier one, whatever order they are written in, and a refusal wins a draw: so a list that is
//! imported again does not undo a STOP. Refusals of addresses that belong to nobody known are kept as a keyed hash.

use std::{collections::BTreeMap, sync::Arc};

use super::{Outcome, Trouble, Tx, each, notices, source::OwnedAddress};
use crate::{
    clock::Timestamp,
    domain::customer::{Address, Channel, Consent, Customer, is_user_id},
    ids::{CustomerId, TenantId},
    store::{CustomerProfile, Moved},
};

/// What it takes in memory, roughly.
pub(in crate::store) fn bytes(customer: &Customer) -> usize {
    let attributes = customer.attributes.iter().map(|(name, value)| 96 + name.len() + value.len()).sum::<usize>();
    512 + attributes + (customer.addresses.len() + customer.consents.len()) * 128
}

pub(in crate::store) fn put(
    tx: &mut Tx<'_>,
    tenant: &TenantId,
    id: &CustomerId,
    profile: &CustomerProfile,
    now: Timestamp,
) -> Outcome<Arc<Customer>> {
    let before = tx.customer(tenant, id)?;
    tx.source.put_profile(tenant, id, profile, now)?;
    put_addresses(tx, tenant, id, before.as_deref(), &profile.addresses)?;
    let mut known = before.map(|before| before.consents.clone()).unwrap_or_default();
    for consent in &profile.consents {
        write_consent(tx, tenant, id, &mut known, consent)?;
    }
    for address in &profile.addresses {
        let hash = address_hash(&tx.terms.address_key, tenant, address.channel, &address.address);
        for refused in tx.source.suppressed(tenant, address.channel, hash)? {
            write_consent(tx, tenant, id, &mut known, &refused)?;
        }
    }
    for consent in &profile.standing {
        if find(&known, consent).is_none() {
            write_consent(tx, tenant, id, &mut known, consent)?;
        }
    }
    tx.customer_changed(tenant, id)?
        .ok_or_else(|| Trouble::unreadable(format!("customer `{id}` was written and is not there")))
}

/// The given addresses replace those there were. What is known of an address survives, also when it changes hands.
fn put_addresses(
    tx: &mut Tx<'_>,
    tenant: &TenantId,
    id: &CustomerId,
    before: Option<&Customer>,
    given: &[Address],
) -> Outcome<()> {
    let before = before.map(|before| before.addresses.as_slice()).unwrap_or_default();
    let given: Vec<Address> = given.iter().chain(kept_id(before, given)).cloned().collect();
    for old in before {
        if !given.iter().any(|new| new.channel == old.channel && new.address == old.address) {
            tx.source.delete_address(tenant, old.channel, &old.address)?;
        }
    }
    each(given.iter().enumerate(), |(position, address)| {
        let old = tx.source.address(tenant, address.channel, &address.address)?;
        let known = old.as_ref().map(|old| &old.address);
        let heard = match address.last_incoming {
            Some(at) => Some(at),
            None => tx.source.last_incoming(tenant, address.channel, &address.address)?,
        };
        let owned = OwnedAddress {
            owner: id.clone(),
            position: u32::try_from(position).unwrap_or(u32::MAX),
            address: Address {
                last_incoming: heard.max(known.and_then(|known| known.last_incoming)),
                unusable_until: address.unusable_until.or(known.and_then(|known| known.unusable_until)),
                free_until: address.free_until.max(known.and_then(|known| known.free_until)),
                ..address.clone()
            },
        };
        tx.source.put_address(tenant, &owned)?;
        if let Some(old) = old.filter(|old| old.owner != *id) {
            tx.customer_changed(tenant, &old.owner)?;
        }
        Ok(())
    })?;
    Ok(())
}

/// WhatsApp's own id of the customer, which a shop that knows the number never gave: learnt from what the customer wrote, and kept
/// for as long as the number stays.
fn kept_id<'a>(before: &'a [Address], given: &[Address]) -> Option<&'a Address> {
    let of_whatsapp = |address: &&Address| address.channel == Channel::Whatsapp;
    let stays =
        |number: &&Address| before.iter().any(|old| old.channel == number.channel && old.address == number.address);
    given.iter().filter(of_whatsapp).find(stays)?;
    if given.iter().filter(of_whatsapp).any(|address| is_user_id(&address.address)) {
        return None;
    }
    before.iter().filter(of_whatsapp).find(|address| is_user_id(&address.address))
}

/// Whose address it is.
pub(super) fn owner(
    tx: &mut Tx<'_>,
    tenant: &TenantId,
    channel: Channel,
    address: &str,
) -> Outcome<Option<CustomerId>> {
    Ok(tx.source.address(tenant, channel, address)?.map(|owned| owned.owner))
}

/// With the customer who has the address, or for whoever will have it.
pub(in crate::store) fn record_address_consent(
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
    let Some(mut owned) = tx.source.address(tenant, channel, address)? else { return Ok(()) };
    owned.address.unusable_until = unusable_until;
    tx.source.put_address(tenant, &owned)?;
    tx.customer_changed(tenant, &owned.owner)?;
    Ok(())
}

/// The provider says until when everything to this address is free.
pub(super) fn note_free_until(tx: &mut Tx<'_>, tenant: &TenantId, address: &str, until: Timestamp) -> Outcome<()> {
    let Some(mut owned) = tx.source.address(tenant, Channel::Whatsapp, address)? else { return Ok(()) };
    if owned.address.free_until >= Some(until) {
        return Ok(());
    }
    owned.address.free_until = Some(until);
    tx.source.put_address(tenant, &owned)?;
    tx.customer_changed(tenant, &owned.owner)?;
    Ok(())
}

/// Who wrote with both a number and an id has both: what is known under one of them holds for the other. Where they belong to two
/// customers, the number decides, because the shop gave it and the id was learnt.
pub(super) fn same_person(tx: &mut Tx<'_>, tenant: &TenantId, number: &str, id: &str) -> Outcome<Option<CustomerId>> {
    let channel = Channel::Whatsapp;
    let by_number = tx.source.address(tenant, channel, number)?;
    let by_id = tx.source.address(tenant, channel, id)?;
    let (owner, new) = match (&by_number, &by_id) {
        (None, None) => return Ok(None),
        (Some(number), Some(id)) if number.owner == id.owner => return Ok(Some(number.owner.clone())),
        (Some(known), _) => (known.owner.clone(), id),
        (None, Some(known)) => (known.owner.clone(), number),
    };
    let customer = tx.customer(tenant, &owner)?;
    let addresses = customer.as_deref().map(|customer| customer.addresses.as_slice()).unwrap_or_default();
    // A customer has one number and one id on WhatsApp: those that were used last.
    let replaced = addresses
        .iter()
        .find(|old| old.channel == channel && old.address != new && is_user_id(&old.address) == is_user_id(new))
        .map(|old| old.address.clone());
    let position = u32::try_from(addresses.len()).unwrap_or(u32::MAX);
    if let Some(replaced) = replaced {
        tx.source.delete_address(tenant, channel, &replaced)?;
    }
    let address =
        Address { channel, address: new.to_owned(), last_incoming: None, unusable_until: None, free_until: None };
    tx.source.put_address(tenant, &OwnedAddress { owner: owner.clone(), position, address })?;
    if let Some(lost) = by_id.filter(|before| before.owner != owner) {
        tx.customer_changed(tenant, &lost.owner)?;
    }
    take_refusals(tx, tenant, &owner, channel, new)?;
    tx.customer_changed(tenant, &owner)?;
    Ok(Some(owner))
}

/// What was refused under an address before it was known whose it is.
fn take_refusals(tx: &mut Tx<'_>, tenant: &TenantId, id: &CustomerId, channel: Channel, address: &str) -> Outcome<()> {
    let hash = address_hash(&tx.terms.address_key, tenant, channel, address);
    let mut known = tx.customer(tenant, id)?.map(|customer| customer.consents.clone()).unwrap_or_default();
    for refused in tx.source.suppressed(tenant, channel, hash)? {
        write_consent(tx, tenant, id, &mut known, &refused)?;
    }
    Ok(())
}

/// The customer is reached at another address from now on. What was refused from the old one holds for the new one, also where
/// nobody is known to have either.
pub(in crate::store) fn move_address(
    tx: &mut Tx<'_>,
    tenant: &TenantId,
    channel: Channel,
    from: &str,
    to: &str,
) -> Outcome<Moved> {
    let Some(old) = tx.source.address(tenant, channel, from)? else {
        let hash = address_hash(&tx.terms.address_key, tenant, channel, from);
        for refused in tx.source.suppressed(tenant, channel, hash)? {
            record_address_consent(tx, tenant, to, &refused)?;
        }
        return Ok(Moved::Nobody);
    };
    let taken = tx.source.address(tenant, channel, to)?;
    if let Some(other) = taken.as_ref().filter(|other| other.owner != old.owner) {
        return Ok(Moved::Taken { by: other.owner.clone() });
    }
    tx.source.delete_address(tenant, channel, from)?;
    if taken.is_none() {
        // The window is not taken along: nobody has written from the new address yet.
        let address =
            Address { channel, address: to.to_owned(), last_incoming: None, unusable_until: None, free_until: None };
        let owned = OwnedAddress { owner: old.owner.clone(), position: old.position, address };
        tx.source.put_address(tenant, &owned)?;
    }
    take_refusals(tx, tenant, &old.owner, channel, to)?;
    tx.customer_changed(tenant, &old.owner)?;
    Ok(Moved::Done { customer: old.owner })
}

/// The customer wrote from this address: the conversation window opens.
pub(super) fn heard_from(
    tx: &mut Tx<'_>,
    tenant: &TenantId,
    customer: &CustomerId,
    (channel, address): (Channel, &str),
    at: Option<Timestamp>,
    free_until: Option<Timestamp>,
) -> Outcome<()> {
    let owned = tx.source.address(tenant, channel, address)?;
    if let Some(mut owned) = owned.filter(|owned| owned.owner == *customer) {
        owned.address.last_incoming = owned.address.last_incoming.max(at);
        owned.address.free_until = owned.address.free_until.max(free_until);
        // Who writes from an address can be reached at it.
        owned.address.unusable_until = None;
        tx.source.put_address(tenant, &owned)?;
    }
    tx.customer_changed(tenant, customer)?;
    Ok(())
}

pub(super) fn record_consent(tx: &mut Tx<'_>, tenant: &TenantId, id: &CustomerId, consent: &Consent) -> Outcome<()> {
    let mut known = tx.customer(tenant, id)?.map(|customer| customer.consents.clone()).unwrap_or_default();
    write_consent(tx, tenant, id, &mut known, consent)?;
    tx.customer_changed(tenant, id)?;
    Ok(())
}

fn find<'c>(known: &'c [Consent], of: &Consent) -> Option<&'c Consent> {
    known.iter().find(|known| known.channel == of.channel && known.scope == of.scope)
}

/// The later one holds, and a refusal wins a draw.
fn write_consent(
    tx: &mut Tx<'_>,
    tenant: &TenantId,
    id: &CustomerId,
    known: &mut Vec<Consent>,
    consent: &Consent,
) -> Outcome<()> {
    let holds = find(known, consent)
        .is_none_or(|old| consent.at > old.at || (consent.at == old.at && consent.granted <= old.granted));
    if holds {
        let said = find(known, consent).map(|old| old.granted);
        known.retain(|old| old.channel != consent.channel || old.scope != consent.scope);
        known.push(consent.clone());
        tx.source.put_consent(tenant, id, consent)?;
        // The same once more is proof of it and no change.
        if said != Some(consent.granted) {
            notices::about_consent(tx, tenant, id, consent)?;
        }
    }
    Ok(())
}

/// Remembers a refusal, or takes it back, for an address whose owner is not known or no longer to be known.
pub(super) fn suppress(tx: &mut Tx<'_>, tenant: &TenantId, address: &str, consent: &Consent) -> Outcome<()> {
    let hash = address_hash(&tx.terms.address_key, tenant, consent.channel, address);
    let kept = tx.source.suppressed(tenant, consent.channel, hash)?;
    let kept = kept.iter().find(|kept| kept.scope == consent.scope);
    match kept {
        Some(kept) if kept.at >= consent.at => Ok(()),
        Some(_) if consent.granted => tx.source.delete_suppressed(tenant, hash, consent),
        None if consent.granted => Ok(()),
        _ => tx.source.put_suppressed(tenant, hash, consent),
    }
}

/// What is known of a number that belongs to nobody known.
#[derive(Debug, Default)]
pub(in crate::store) struct Stranger {
    /// Refusals that are kept of it.
    pub(in crate::store) refused: Vec<Consent>,
    /// When somebody last wrote from it on WhatsApp: a stranger who asks is answered freely too.
    pub(in crate::store) heard: Option<Timestamp>,
    /// They came by an advertisement, and what goes to them until then is free.
    pub(in crate::store) free_until: Option<Timestamp>,
}

/// The customer who has a number (or WhatsApp's id of somebody) on any channel, or a stranger with what is known of it.
pub(in crate::store) fn behind_number(
    owner: Option<Customer>,
    stranger: Stranger,
    tenant: &TenantId,
    number: &str,
    now: Timestamp,
) -> Customer {
    let Stranger { refused, heard, free_until } = stranger;
    let mut customer = owner.unwrap_or_else(|| Customer {
        tenant: tenant.clone(),
        id: CustomerId::from(number),
        name: None,
        locale: None,
        timezone: None,
        attributes: BTreeMap::new(),
        addresses: Vec::new(),
        consents: refused,
        created: now,
        updated: now,
    });
    // No SMS goes to an id.
    let channels = Channel::ALL.into_iter().filter(|channel| *channel == Channel::Whatsapp || !is_user_id(number));
    for channel in channels {
        if customer.address(channel).is_none_or(|address| address.address != number) {
            customer.addresses.retain(|address| address.channel != channel);
            let last_incoming = heard.filter(|_| channel == Channel::Whatsapp);
            let free_until = free_until.filter(|_| channel == Channel::Whatsapp);
            let address =
                Address { channel, address: number.to_owned(), last_incoming, unusable_until: None, free_until };
            customer.addresses.push(address);
        }
    }
    customer
}

/// Telephone numbers are few enough to try them all against a plain hash; the key, which never leaves the file, prevents that
/// for whoever has only the hashes.
pub(in crate::store) fn address_hash(
    address_key: &[u8; 32],
    tenant: &TenantId,
    channel: Channel,
    address: &str,
) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_keyed(address_key);
    for part in [tenant.as_str(), channel.as_str(), address] {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    *hasher.finalize().as_bytes()
}
