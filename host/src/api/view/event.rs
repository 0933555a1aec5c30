use serde_json::{Map, Value, json};

use super::{json_text, time};
use crate::domain::event::Event;

/// An event as it was accepted.
pub(crate) fn event(event: &Event) -> Value {
    let attributes: Map<String, Value> =
        event.attributes.iter().map(|(name, value)| (name.clone(), Value::String(value.clone()))).collect();
    json!({
        "id": event.id,
        "source_id": event.source_id,
        "source": event.source,
        "type": event.event_type,
        "subject": event.subject,
        "time": time(event.time),
        "received": time(event.received),
        "customer": event.customer,
        "data": json_text(&event.data),
        "attributes": attributes,
        "cause": event.cause,
    })
}
