//! In a component: the four exports, handed to the plugin's trait.

use std::marker::PhantomData;

use crate::bindings::exports::relais::plugin as handlers;
use crate::bindings::relais::plugin as wit;
use crate::messages::{Delivery, DeliveryState, Incoming, IncomingMedia, MessageId, Place};
use crate::timers::Timer;
use crate::{Error, Event, Instant, Outcome, Plugin};

/// Exports a [`Plugin`]; [`plugin!`](crate::plugin) names it.
pub struct Component<P>(PhantomData<P>);

impl<P: Plugin> handlers::on_event::Guest for Component<P> {
    fn handle(from: wit::types::Event) -> Result<(), wit::types::Failure> {
        answer(P::on_event(event(from)))
    }
}

impl<P: Plugin> handlers::on_timer::Guest for Component<P> {
    fn handle(from: wit::timers::Timer) -> Result<(), wit::types::Failure> {
        answer(P::on_timer(timer(from)))
    }
}

impl<P: Plugin> handlers::on_delivery::Guest for Component<P> {
    fn handle(from: wit::messages::Delivery) -> Result<(), wit::types::Failure> {
        answer(P::on_delivery(delivery(from)))
    }
}

impl<P: Plugin> handlers::on_message::Guest for Component<P> {
    fn handle(from: wit::messages::Incoming) -> Result<(), wit::types::Failure> {
        answer(P::on_message(incoming(from)))
    }
}

fn answer(outcome: Outcome) -> Result<(), wit::types::Failure> {
    outcome.map_err(|error| match error {
        Error::Retry { message, detail, after } => wit::types::Failure::Retry(wit::types::RetryInfo {
            message,
            detail,
            after: after.map(|after| crate::instant::millis(after) as f64),
            attributes: Vec::new(),
        }),
        Error::Reject { message, detail } => {
            wit::types::Failure::Reject(wit::types::RejectInfo { message, detail, attributes: Vec::new() })
        }
    })
}

pub(crate) fn event(from: wit::types::Event) -> Event {
    Event {
        id: from.id,
        source: from.source,
        event_type: from.event_type,
        subject: from.subject,
        time: Instant::from_wire(from.time),
        customer: from.customer,
        data: from.data,
        attributes: from.attributes,
    }
}

pub(crate) fn timer(from: wit::timers::Timer) -> Timer {
    Timer {
        key: from.key,
        due: Instant::from_wire(from.due),
        customer: from.customer,
        data: from.data,
        set_by: from.set_by,
        attributes: from.attributes,
    }
}

pub(crate) fn delivery(from: wit::messages::Delivery) -> Delivery {
    use wit::messages::DeliveryState as From;
    Delivery {
        id: MessageId::new(from.id),
        tag: from.tag,
        customer: from.customer,
        state: match from.state {
            From::Pending => DeliveryState::Pending,
            From::Sent => DeliveryState::Sent,
            From::Delivered => DeliveryState::Delivered,
            From::Read => DeliveryState::Read,
            From::FallingBack => DeliveryState::FallingBack,
            From::Failed => DeliveryState::Failed,
            From::Expired => DeliveryState::Expired,
            From::Cancelled => DeliveryState::Cancelled,
        },
        settled: from.settled,
        channel: from.channel,
        time: Instant::from_wire(from.time),
        code: from.code,
        detail: from.detail,
        attributes: from.attributes,
    }
}

fn incoming(from: wit::messages::Incoming) -> Incoming {
    Incoming {
        id: MessageId::new(from.id),
        customer: from.customer,
        sender: from.sender,
        channel: from.channel,
        time: Instant::from_wire(from.time),
        kind: from.kind,
        text: from.text,
        choice: from.choice,
        media: from.media.into_iter().map(media).collect(),
        location: from.location.map(place),
        in_reply_to: from.in_reply_to.map(MessageId::new),
        tag: from.tag,
        opening: from.opening,
        window_ends: from.window_ends.map(Instant::from_wire),
        attributes: from.attributes,
    }
}

fn media(from: wit::messages::IncomingMedia) -> IncomingMedia {
    IncomingMedia {
        id: from.id,
        mime_type: from.mime_type,
        size: from.size,
        filename: from.filename,
        attributes: from.attributes,
    }
}

fn place(from: wit::types::Place) -> Place {
    Place { latitude: from.latitude, longitude: from.longitude, name: from.name, address: from.address }
}
