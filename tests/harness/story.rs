//! What events are made of, and what of a message a test looks at.

use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

/// A number that no other call gets, for ids.
pub(crate) fn unique() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// An event with an id of its own. `customer` may be empty.
pub(crate) fn event(kind: &str, customer: &str, data: Value) -> Value {
    let mut event = json!({
        "specversion": "1.0", "id": format!("e-{}", unique()), "source": "/test", "type": kind,
        "datacontenttype": "application/json", "data": data,
    });
    if !customer.is_empty() {
        event["customer"] = json!(customer);
    }
    event
}

/// The bakery's event: the shortest way to one message with one word in it that no other has.
pub(crate) fn order_ready(customer: &str, order: &str) -> Value {
    event("com.example.order.ready", customer, json!({"order": order, "shop": "Paul", "minutes": 2}))
}

/// An event for the test's own plugin: about an entity, with steps to take.
pub(crate) fn steps(customer: &str, entity: &str, steps: Value) -> Value {
    event("com.example.test.go", customer, json!({"entity": entity, "steps": steps}))
}

/// The attempt with that number, from 1.
#[track_caller]
pub(crate) fn attempt(message: &Value, no: usize) -> &Value {
    let attempts = message["attempts"].as_array().unwrap();
    attempts.get(no - 1).unwrap_or_else(|| panic!("there is no attempt {no}: {message:#}"))
}

/// What a customer reads: the text as it went out.
pub(crate) fn text_of(entry: &Value) -> String {
    let content = &entry["content"];
    content["template"]["rendered"].as_str().or(content["text"].as_str()).unwrap_or_default().to_owned()
}

/// What matters most of a message, in one line that a test can compare.
pub(crate) trait Shown {
    /// `whatsapp failed (not-on-whatsapp) → sms delivered`.
    fn way(&self) -> String;
}

impl Shown for Value {
    fn way(&self) -> String {
        let attempts = self["attempts"].as_array().unwrap().iter().map(|attempt| {
            let (channel, state) = (attempt["channel"].as_str().unwrap(), attempt["state"].as_str().unwrap());
            match attempt["failure"]["code"].as_str() {
                Some(code) => format!("{channel} {state} ({code})"),
                None => format!("{channel} {state}"),
            }
        });
        attempts.collect::<Vec<_>>().join(" → ")
    }
}
