//! Twilio's Messages API, for SMS and for WhatsApp.
//!
//! **What comes in.** A rendered SMS or WhatsApp message ([`send`], [`rich`]); the form of a status callback or of what a
//! customer wrote ([`webhook`]).
//!
//! **What goes out.** One form-encoded POST. The attempt's token stands in the `StatusCallback` that goes with it, so that a
//! callback names its attempt even where the answer with Twilio's own id was lost.
//!
//! **What can go wrong.** The API has no idempotency key, so a request whose answer was lost stays in doubt until a callback
//! comes. Twilio tries a callback only a few times.
//!
//! **What it never does.** It knows no template by name: which content at Twilio stands for one is a setting of the account.
//! It does not believe a callback whose signature does not fit.

mod rich;
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
