//! Says out of hours that nobody is there, once in a conversation, as the WhatsApp Business app does.
//!
//! A conversation lasts while WhatsApp's window is open: 24 hours after the customer's last word. Who writes five times in a
//! night is told once, and so is who writes on the next evening after a day of talking.

use std::collections::BTreeMap;
use std::time::Duration;

use relais_plugin::opening::OpeningHours;
use relais_plugin::{
    Incoming, Instant, Message, Outcome, Plugin, SendResult, config, customers, info, plugin, run, state,
};
use serde::Deserialize;

struct Away;

plugin!(Away);

#[derive(Deserialize)]
struct Settings {
    text: BTreeMap<String, String>,
    language: String,
    sms: bool,
    #[serde(flatten)]
    opening: OpeningHours,
}

/// That nobody is there is of no use to who hears it later than this: by then somebody may be.
const USEFUL: Duration = Duration::from_hours(1);

/// How long a conversation lasts after the last word, where the channel has no window of its own.
const WINDOW: Duration = Duration::from_hours(24);

impl Plugin for Away {
    fn on_message(message: Incoming) -> Outcome {
        let settings: Settings = config()?;
        if settings.text.is_empty() {
            info!("nothing to say: no text is set under plugins.config.away.text");
            return Ok(());
        }
        // To react to a message or to take one back asks for no answer.
        let asks = !matches!(message.kind.as_str(), "reaction" | "edit" | "revoke");
        if !asks || (message.channel == "sms" && !settings.sms) {
            return Ok(());
        }
        if state::get::<Instant>("told")?.is_some() {
            // The conversation goes on with every word of the customer's.
            return remember(&message);
        }
        if settings.opening.is_open(message.time)? {
            return Ok(());
        }
        let Some(text) = text(&settings, &message) else {
            info!("nothing to say: there is no text in the customer's language, and none in `{}`", settings.language);
            return Ok(());
        };
        let told = Message::answer(&message).text(text).expires(message.time + USEFUL).tag("away");
        // On the channel on which it was written, and on no other.
        let told = if message.channel == "sms" { told.sms_only() } else { told.no_sms() };
        match told.send().or_skip()? {
            Some(_) => remember(&message),
            None => Ok(()),
        }
    }
}

/// Until the window closes.
fn remember(message: &Incoming) -> Outcome {
    let left = message.window_ends.map_or(WINDOW, |ends| ends.since(run::now()));
    if left.is_zero() {
        return Ok(());
    }
    let entry = state::Entry::new("told").ttl(left);
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
