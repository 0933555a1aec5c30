//! Twilio's Messages API, for SMS.
//!
//! **What comes in.** A rendered SMS ([`send`]); the form of a status callback or of what a customer wrote ([`webhook`]),
//! on SMS or on WhatsApp.
//!
//! **What goes out.** One form-encoded POST. The attempt's token stands in the `StatusCallback` that goes with it, so that a
//! callback names its attempt even where the answer with Twilio's own id was lost.
//!
//! **What can go wrong.** The API has no idempotency key, so a request whose answer was lost stays in doubt until a callback
//! comes. Twilio tries a callback only a few times.
//!
//! **What it never does.** It does not send on WhatsApp, and does not believe a callback whose signature does not fit.

pub mod send;
pub mod webhook;

use std::sync::LazyLock;

pub use self::send::Twilio;
use super::failure::Table;

/// The provider's name in attempts, receipts and URLs.
pub const NAME: &str = "twilio";

/// What Twilio's error codes lead to.
pub fn table() -> &'static Table {
    static TABLE: LazyLock<Table> = LazyLock::new(|| Table::built_in(include_str!("../../../data/errors/twilio.toml")));
    &TABLE
}

#[cfg(test)]
mod tests;
