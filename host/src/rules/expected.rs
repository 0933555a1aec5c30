//! Is the message expected? What it refers to must exist and concern this customer.

use super::{Check, Refusal};
use crate::{
    clock::Timestamp,
    domain::{
        customer::{Customer, WINDOW},
        message::{Because, Recipient},
        purpose::Purpose,
        run::Incoming,
    },
    ids::{CustomerId, EventId, TenantId},
    store::{self, Store},
};

/// A reference that was looked up, or why it makes nothing expected.
pub type Found = Result<(Because, Check), Refusal>;

/// Checks a `because` as it is given: the id of an event (ours, or `source#id`), of an incoming message, or of an earlier
/// message of ours. An event from before `oldest` makes nothing expected any more. `Ok(None)` where it is in none of these forms, so that the caller decides whether a reference of the
/// tenant's own will do.
pub async fn look_up(
    store: &dyn Store,
    tenant: &TenantId,
    to: &Recipient,
    reference: &str,
    oldest: Timestamp,
) -> store::Result<Option<Found>> {
    if let Ok(id) = reference.parse::<EventId>() {
        return Ok(Some(event(store, tenant, to, id, oldest).await?));
    }
    if let Some((source, id)) = reference.split_once('#') {
        return Ok(Some(event(store, tenant, to, EventId::of(tenant, source, id), oldest).await?));
    }
    let Ok(id) = reference.parse() else { return Ok(None) };
    if let Some(incoming) = store.incoming(tenant, id).await? {
        if wrote(store, to, &incoming).await? {
            let why = format!("the customer wrote on {}", incoming.time);
            return Ok(Some(Ok((Because::Incoming(id), Check::passed("expected", why)))));
        }
        return Ok(Some(Err(Refusal::NotExpected(format!("message {id} was written by somebody else")))));
    }
    Ok(Some(match store.message(tenant, id).await? {
        Some(record) if record.message.to == *to => {
            Ok((Because::Message(id), Check::passed("expected", format!("it follows message {id}"))))
        }
        Some(_) => Err(Refusal::NotExpected(format!("message {id} was to somebody else"))),
        None => Err(Refusal::NotExpected(format!("there is no message {id}"))),
    }))
}

async fn event(
    store: &dyn Store,
    tenant: &TenantId,
    to: &Recipient,
    id: EventId,
    oldest: Timestamp,
) -> store::Result<Found> {
    Ok(match store.event(tenant, id).await? {
        Some(event) if event.received < oldest => Err(Refusal::NotExpected(format!(
            "event `{}` was accepted on {}, too long ago to make a message expected (rules.expected-within-days)",
            event.event_type, event.received
        ))),
        Some(event) if concerns(to, event.customer.as_ref(), None) => {
            let why = format!("event `{}` of {} concerns the customer", event.event_type, event.time);
            Ok((Because::Event(id), Check::passed("expected", why)))
        }
        Some(event) => Err(Refusal::NotExpected(format!(
            "event `{}` (`{}` of {}) does not concern this customer",
            event.event_type, event.source_id, event.source
        ))),
        None => Err(Refusal::NotExpected(format!("there is no event {id}"))),
    })
}

/// Whether the recipient wrote this: as whom they were known then, or from an address that they have now.
pub async fn wrote(store: &dyn Store, to: &Recipient, incoming: &Incoming) -> store::Result<bool> {
    if concerns(to, incoming.customer.as_ref(), Some(&incoming.sender)) {
        return Ok(true);
    }
    // Who wrote as a stranger and was registered since.
    let (Recipient::Customer(id), None) = (to, &incoming.customer) else { return Ok(false) };
    let customer = store.customer(&incoming.tenant, id).await?;
    let theirs = |customer: &Customer| {
        let mut addresses = customer.addresses.iter();
        addresses.any(|one| one.channel == incoming.channel && one.address == incoming.sender)
    };
    Ok(customer.is_some_and(|customer| theirs(&customer)))
}

fn concerns(to: &Recipient, customer: Option<&CustomerId>, address: Option<&str>) -> bool {
    match to {
        Recipient::Customer(id) => customer == Some(id),
        Recipient::Phone(number) => address == Some(number),
    }
}

/// A reply answers something that the customer wrote, and not long ago.
pub fn purpose_fits(
    purpose: Purpose,
    because: &Because,
    asked_at: Option<Timestamp>,
    now: Timestamp,
) -> Result<(), Refusal> {
    match (purpose, because) {
        (Purpose::Reply, Because::Incoming(_)) => match asked_at {
            Some(at) if now.since(at) > WINDOW => {
                Err(Refusal::NotExpected(format!("the customer wrote on {at}, more than 24 hours ago")))
            }
            _ => Ok(()),
        },
        (Purpose::Reply, _) => Err(Refusal::NotExpected(
            "a reply answers something that the customer wrote; name that message, or use another purpose".to_owned(),
        )),
        _ => Ok(()),
    }
}
