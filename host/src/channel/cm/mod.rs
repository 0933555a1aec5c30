//! CM.com's Business Messaging API, for SMS and for WhatsApp.
//!
//! **What comes in.** A rendered SMS or WhatsApp message ([`send`], [`rich`]); the bytes of a status report or of what a
//! customer wrote ([`webhook`]).
//!
//! **What goes out.** One `POST /v1.0/message` with the attempt's token as `reference`, which comes back in every report
//! and is the only id there is: CM gives none of its own.
//!
//! **What can go wrong.** The API has no idempotency key, so a request whose answer was lost stays in doubt until a report
//! comes. And CM signs nothing: whoever knows the secret at the end of the webhook's URL is believed.
//!
//! **What it never does.** It leaves the choice of a channel to CM only where the account says so (`fallback = "provider"`):
//! then one request carries both, and otherwise it names the one channel that is allowed.

mod rich;
pub mod send;
pub mod webhook;

use std::sync::LazyLock;

pub use self::send::Cm;
use super::failure::Table;

/// The provider's name in attempts, receipts and URLs.
pub const NAME: &str = "cm";

/// What CM's error codes lead to.
pub fn table() -> &'static Table {
    static TABLE: LazyLock<Table> = LazyLock::new(|| Table::built_in(include_str!("../../../data/errors/cm.toml")));
    &TABLE
}

#[cfg(test)]
mod tests;
