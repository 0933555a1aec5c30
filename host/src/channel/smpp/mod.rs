//! SMS over SMPP 3.4: a session with an SMSC that both sides ask and answer on.
//!
//! **What comes in.** A rendered SMS ([`send`]); over the session, receipts and what customers write ([`heard`]).
//!
//! **What goes out.** A `submit_sm` for each part of a message ([`submit`], [`encoding`]), at most `window` of them unanswered at a
//! time ([`session`]). To the receipt stage [`Report`]s, by way of [`Reports`]: what was delivered to us is answered once it is
//! durable and not before, and with a temporary error where it cannot be made so, which has the SMSC deliver it again.
//!
//! **What can go wrong.** The session breaks, or the SMSC is gone: [`link`] binds again, with growing pauses. A request that was
//! written and not answered is in doubt. Receipts know nothing of our token: they name the SMSC's id, of one part each, and are
//! matched in the store, whichever host's session they come over.
//!
//! **What it never does.** It acknowledges nothing that is not stored. It numbers nothing that customers write: SMPP gives it no
//! id, so what an SMSC delivers again because it got no answer is here twice.

mod encoding;
mod heard;
mod link;
mod send;
mod session;
mod settings;
mod submit;
mod wire;

use std::sync::LazyLock;

use async_trait::async_trait;

pub use self::{
    link::Link,
    send::Smpp,
    settings::{Alphabet, MessageIds, SmppSettings},
};
use super::{Report, failure::Table};

/// The provider's name in attempts and receipts.
pub const NAME: &str = "smpp";

/// Whoever makes durable what comes over a session.
#[async_trait]
pub trait Reports: Send + Sync {
    /// On an error nothing is acknowledged, and all of it comes again.
    async fn record(&self, account: &str, reports: Vec<Report>) -> Result<(), String>;
}

/// What an SMSC's codes lead to: `command_status` in hexadecimal, and the states of receipts.
pub fn table() -> &'static Table {
    static TABLE: LazyLock<Table> = LazyLock::new(|| Table::built_in(include_str!("../../../data/errors/smpp.toml")));
    &TABLE
}

/// What the store knows a message, or a part of one, by. Two SMSCs may give the same id, so the account is part of it.
fn provider_id(account: &str, id: &str) -> String {
    format!("{account}/{id}")
}

#[cfg(test)]
mod tests;
