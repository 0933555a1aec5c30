//! `relais:plugin/events`: events of the plugin's own, raised once the run has ended well.

use super::{Misuse, RunState, text};
use crate::{
    domain::{event::reserved, run::EmittedEvent},
    plugin::{bindings::events, limiter::LimitReached},
};

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
        let allowed = self.plugin.budget.events;
        if self.outcome.events.len() as u64 >= u64::from(allowed) {
            return Err(LimitReached::wished("events", allowed).into());
        }
        let (customer, dedup_key) = options.map_or((None, None), |options| (options.customer, options.dedup_key));
        if let Some(key) = &dedup_key {
            self.key("events.emit dedup-key", key)?;
        }
        let subject_bytes = subject.as_ref().map_or(0, String::len);
        self.effect(event_type.len() + subject_bytes + data.len())?;
        let customer = self.customer_or_own("events.emit customer", customer)?;
        self.outcome.events.push(EmittedEvent { event_type, subject, customer, dedup_key, data });
        Ok(())
    }
}
