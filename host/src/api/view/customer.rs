use serde_json::{Value, json};

use super::{time, time_or_null};
use crate::{clock::Timestamp, domain::customer::Customer};

/// A customer with everything that routing a message needs.
pub(crate) fn customer(customer: &Customer, now: Timestamp) -> Value {
    let addresses: Vec<Value> = customer
        .addresses
        .iter()
        .map(|address| {
            json!({
                "channel": address.channel,
                "address": address.address,
                "last_incoming": time_or_null(address.last_incoming),
                "unusable_until": time_or_null(address.unusable_until),
                "free_until": time_or_null(address.free_until),
            })
        })
        .collect();
    let consents: Vec<Value> = customer
        .consents
        .iter()
        .map(|consent| {
            json!({
                "channel": consent.channel,
                "scope": consent.scope,
                "granted": consent.granted,
                "source": consent.source,
                "at": time(consent.at),
            })
        })
        .collect();
    json!({
        "id": customer.id,
        "name": customer.name,
        "locale": customer.locale,
        "timezone": customer.timezone,
        "attributes": customer.attributes,
        "addresses": addresses,
        "consents": consents,
        "window_ends": time_or_null(customer.window_ends(now)),
        "created": time(customer.created),
        "updated": time(customer.updated),
    })
}
