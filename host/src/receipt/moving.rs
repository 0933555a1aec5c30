//! A customer's number on WhatsApp, or the id that stands for it, has changed: the customer is the same, and the address is another.
//!
//! The customer's number for SMS stays as it is, because nobody says that it has changed; that it may belong to somebody else
//! soon is what the event is for, which goes to the plugins that subscribe to it.

use std::sync::Arc;

use serde_json::json;

use super::ReceiptState;
use crate::{
    clock::Timestamp,
    domain::{
        customer::{Channel, is_user_id},
        event::{ADDRESS_CHANGED, Event},
    },
    ids::{CustomerId, EventId},
    store::{self, Moved, RoutedEvent},
};

const SOURCE: &str = "/relais";

pub(super) struct Move {
    pub(super) channel: Channel,
    pub(super) provider_id: String,
    pub(super) from: String,
    pub(super) to: String,
    pub(super) time: Timestamp,
}

pub(super) async fn record(state: &ReceiptState, provider: &str, moved: Move, now: Timestamp) -> store::Result<()> {
    let store = &state.store;
    let known = store.behind_number(&state.tenant, &moved.from, now).await?;
    let event = Arc::new(event(state, provider, &moved, known.id.clone(), now));
    let (runs, notes) = (state.route)(&event);
    let told = RoutedEvent { event, runs, notes };
    let done = store.move_address(&state.tenant, moved.channel, &moved.from, &moved.to, told).await?;
    let channel = moved.channel.as_str();
    match done {
        Moved::Done { customer } => {
            tracing::info!(%customer, channel, "a customer has another address; the number for SMS stays as it was");
        }
        Moved::Nobody => tracing::debug!(channel, "somebody unknown has another address"),
        Moved::Taken { by } => tracing::warn!(
            customer = %known.id, %by, channel,
            "a customer has moved to an address that is another customer's: nothing was changed; see who has it"
        ),
    }
    Ok(())
}

fn event(state: &ReceiptState, provider: &str, moved: &Move, customer: CustomerId, now: Timestamp) -> Event {
    // The notice has an id of its own, so that a repeat of it is known as one.
    let source_id = format!("{provider}/{}", moved.provider_id);
    let what = if is_user_id(&moved.to) { "user-id" } else { "number" };
    // Neither address: not everybody who is told of it may know numbers.
    let data = json!({"channel": moved.channel, "changed": what});
    Event {
        id: EventId::of(&state.tenant, SOURCE, &source_id),
        tenant: state.tenant.clone(),
        source_id,
        source: SOURCE.to_owned(),
        event_type: ADDRESS_CHANGED.to_owned(),
        subject: Some(customer.to_string()),
        time: moved.time,
        received: now,
        customer: Some(customer),
        data: data.to_string().into(),
        attributes: vec![("datacontenttype".to_owned(), "application/json".to_owned())],
        cause: None,
    }
}
