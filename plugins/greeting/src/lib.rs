//! Greets whoever writes for the first time, as the WhatsApp Business app does.
//!
//! The first time is a time at which nothing was exchanged lately: who answers yesterday's message of the shop is in the middle
//! of a conversation. Out of hours the plugin `away` speaks in its place, so it has the same hours and is silent then.

use std::collections::BTreeMap;
use std::time::Duration;

use relais_plugin::opening::OpeningHours;
use relais_plugin::{Incoming, Instant, Message, Outcome, Plugin, SendResult, config, customers, info, plugin, state};
use serde::Deserialize;

struct Greeting;

plugin!(Greeting);

#[derive(Deserialize)]
struct Settings {
    text: BTreeMap<String, String>,
    language: String,
    again_after_days: u32,
    sms: bool,
    #[serde(flatten)]
    opening: OpeningHours,
}

/// A greeting that comes later than this is none.
const USEFUL: Duration = Duration::from_hours(1);

impl Plugin for Greeting {
    fn on_message(message: Incoming) -> Outcome {
        let settings: Settings = config()?;
        if settings.text.is_empty() {
            info!("nothing to say: no text is set under plugins.config.greeting.text");
            return Ok(());
        }
        if !begins_something(&message.kind) || (message.channel == "sms" && !settings.sms) {
            return Ok(());
        }
        let known = state::get::<Instant>("heard")?.is_some();
        remember(&message, settings.again_after_days)?;
        if known || !message.opening || !settings.opening.is_open(message.time)? {
            return Ok(());
        }
        let Some(text) = text(&settings, &message) else {
            info!("nothing to say: there is no text in the customer's language, and none in `{}`", settings.language);
            return Ok(());
        };
        let greeting = Message::answer(&message).text(text).expires(message.time + USEFUL).tag("greeting");
        // On the channel on which it was written, and on no other.
        let greeting = if message.channel == "sms" { greeting.sms_only() } else { greeting.no_sms() };
        greeting.send().or_skip()?;
        Ok(())
    }
}

/// To take words back or to react to some begins no conversation.
fn begins_something(kind: &str) -> bool {
    !matches!(kind, "reaction" | "edit" | "revoke")
}

/// Whoever writes is known from then on, greeted or not: who came at night is no newcomer in the morning.
fn remember(message: &Incoming, again_after_days: u32) -> Outcome {
    let entry = state::Entry::new("heard");
    let entry = match again_after_days {
        0 => entry,
        days => entry.ttl(Duration::from_hours(24 * u64::from(days))),
    };
    match &message.customer {
        Some(customer) => entry.about(customer).set(&message.time),
        None => entry.set(&message.time),
    }
}

fn text<'a>(settings: &'a Settings, message: &Incoming) -> Option<&'a String> {
    let customer = message.customer.as_deref().and_then(customers::get).unwrap_or_default();
    settings.text.get(customer.language(&settings.language)).or_else(|| settings.text.get(&settings.language))
}

#[cfg(test)]
mod tests;

#[cfg(test)]
#[path = "../tests/scenario.rs"]
mod scenario;
