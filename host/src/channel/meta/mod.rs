//! Meta's WhatsApp Cloud API: one telephone number of a business.
//!
//! **What comes in.** A rendered message ([`send`]); a webhook's bytes ([`webhook`]).
//!
//! **What goes out.** One `POST …/messages` with the attempt's token as `biz_opaque_callback_data`, after an upload where
//! the media is given as bytes; reports of statuses, of what customers wrote and of what they prefer.
//!
//! **What can go wrong.** The API has no idempotency key, so a request whose answer was lost stays in doubt until a status
//! with our token comes. The table in `data/errors/meta.toml` says what an error code leads to.
//!
//! **What it never does.** It does not retry, and it does not take `200` for more than "accepted".

mod context;
mod inbound;
pub mod profile;
pub mod send;
pub mod templates;
pub mod webhook;

use std::sync::LazyLock;

pub use self::send::Meta;
use super::failure::Table;

/// The provider's name in attempts, receipts and URLs.
pub const NAME: &str = "meta";

/// What Meta's error codes lead to.
pub fn table() -> &'static Table {
    static TABLE: LazyLock<Table> = LazyLock::new(|| Table::built_in(include_str!("../../../data/errors/meta.toml")));
    &TABLE
}

#[cfg(test)]
mod tests;
