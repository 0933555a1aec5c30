//! `relais:plugin/events`: events of the plugin's own, raised once the run has ended well.

use super::{Misuse, RunState, text};
use crate::{
    domain::{event::reserved, run::EmittedEvent},
    plugin::{bindings::events, limiter::LimitReached},
};

/// Names that CloudEvents or the host gives a meaning to.
const TAKEN: [&str; 10] =
    ["id", "source", "specversion", "type", "subject", "time", "data", "datacontenttype", "dataschema", "customer"];
/// CloudEvents asks for no more of a transport than short lists of short names.
const ATTRIBUTES_MAX: usize = 32;
const NAME_BYTES_MAX: usize = 64;

/// Extension attributes as CloudEvents has them; gives the bytes that they take.
fn extensions(attributes: &[(String, String)]) -> wasmtime::Result<usize> {
    if attributes.len() > ATTRIBUTES_MAX {
        return Err(Misuse(format!("events.emit: there are more than {ATTRIBUTES_MAX} attributes")).into());
    }
    let mut bytes = 0;
    for (no, (name, value)) in attributes.iter().enumerate() {
        let spelt = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        if !spelt || name.is_empty() || name.len() > NAME_BYTES_MAX {
            return Err(Misuse(format!(
                "events.emit: attribute `{name}`: give lower-case letters and digits, 1 to {NAME_BYTES_MAX}"
            ))
            .into());
        }
        if TAKEN.contains(&name.as_str()) || attributes.iter().take(no).any(|(other, _)| other == name) {
            return Err(Misuse(format!("events.emit: attribute `{name}` is given already; name it otherwise")).into());
        }
        if value.chars().any(char::is_control) {
            return Err(Misuse(format!("events.emit: attribute `{name}` holds a control character")).into());
        }
        bytes += name.len() + value.len();
    }
    Ok(bytes)
}

impl events::Host for RunState {
    fn emit(
        &mut self,
        event_type: String,
        subject: Option<String>,
        data: String,
        options: Option<events::EmitOptions>,
    ) -> wasmtime::Result<()> {
        self.call()?;
        text("events.emit type", &event_type)?;
        if let Some(subject) = &subject {
            text("events.emit subject", subject)?;
        }
        if let Err(why) = self.may().emit(&event_type) {
            // The call has no answer to carry a refusal, and going on as if it had worked would lose the event.
            return Err(Misuse(self.denied("events.emit", why)).into());
        }
        if let Some(why) = reserved(&event_type) {
            return Err(Misuse(format!("events.emit: `{event_type}`: {why}")).into());
        }
        self.json(&format!("event `{event_type}`"), &data)?;
        let allowed = self.shared.limits.events;
        if self.outcome.events.len() as u64 >= u64::from(allowed) {
            return Err(LimitReached::host("events", allowed).into());
        }
        let (customer, dedup_key, attributes) = options
            .map_or((None, None, Vec::new()), |options| (options.customer, options.dedup_key, options.attributes));
        let attribute_bytes = extensions(&attributes)?;
        if let Some(key) = &dedup_key {
            self.key("events.emit dedup-key", key)?;
        }
        let subject_bytes = subject.as_ref().map_or(0, String::len);
        self.effect(event_type.len() + subject_bytes + data.len() + attribute_bytes)?;
        let customer = self.customer_or_own("events.emit customer", customer)?;
        self.outcome.events.push(EmittedEvent { event_type, subject, customer, dedup_key, attributes, data });
        Ok(())
    }
}
