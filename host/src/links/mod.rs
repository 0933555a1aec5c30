//! Short links: how the file that a message carries is reached from an SMS, which carries none.
//!
//! **What comes in.** From the channel layer a message whose file has to stand in a text ([`Links::url`]); from a customer's
//! telephone a request for `/m/{token}` ([`router`]).
//!
//! **What goes out.** The file with its type and name, or a redirect where the file is at an address of the shop's own. A
//! token is the message's id and a keyed hash over tenant and id, so there is no table, every host of a store knows every
//! link, and nobody guesses one (128 bits).
//!
//! **What can go wrong.** A token that we did not make is answered `404` before anything is looked up, and `404` is all that
//! is said. One that we made is answered `410` once its time is over, its message was emptied, or its customer was erased.
//!
//! **What it never does.** It lets no file run as a page of this host: what a browser could execute is only ever saved. It
//! tells nobody who the message was for, and stores nothing.

mod range;
mod serve;
#[cfg(test)]
mod tests;

use std::{fmt, sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;
use subtle::ConstantTimeEq;

pub(crate) use self::serve::described;
pub use self::serve::{Served, router};
use crate::{
    clock::Timestamp,
    domain::{
        content::Special,
        message::{Content, MediaSource, NewMessage},
    },
    ids::{MessageId, TenantId},
    rules::content::media::STICKER_TYPE,
};

/// How long links last, and how often they may be opened.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Settings {
    /// Days after the message was asked for; no longer than `retention.bodies-days`, after which there is no file.
    pub days: u32,
    /// For each link. A player asks for a film piece by piece, so this is more than a person would.
    pub opens_per_minute: u32,
    /// Files that are being read from the store and sent at the same time.
    pub at_once: u32,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { days: 30, opens_per_minute: 120, at_once: 16 }
    }
}

impl Settings {
    pub fn check(&self) -> Result<(), String> {
        let positive = [("days", self.days), ("opens-per-minute", self.opens_per_minute), ("at-once", self.at_once)];
        match positive.iter().find(|(_, value)| *value == 0) {
            Some((name, _)) => Err(format!("links.{name} is 0: give it 1 or more, or leave out server.public-url")),
            None => Ok(()),
        }
    }

    /// How long a link lasts where texts and files stay for `bodies_days`, of which 0 is for ever.
    pub fn lasts(&self, bodies_days: u32) -> Duration {
        let days = if bodies_days == 0 { self.days } else { self.days.min(bodies_days) };
        Duration::from_secs(u64::from(days) * 24 * 3600)
    }
}

/// Makes links and knows its own again.
#[derive(Clone)]
pub struct Links {
    base: Arc<str>,
    key: [u8; 32],
    lasts: Duration,
}

const MAC_BYTES: usize = 16;

impl Links {
    /// Links that begin with the host's public URL. Every host of a store has the same secret, so each knows all links.
    pub fn new(public_url: &str, host_secret: &[u8; 32], lasts: Duration) -> Links {
        let base = format!("{}/m/", public_url.trim_end_matches('/'));
        Links { base: base.into(), key: blake3::derive_key("relais 2026 short links", host_secret), lasts }
    }

    /// The link to a message's file.
    pub fn url(&self, message: &NewMessage) -> String {
        let mac = self.mac(&message.tenant, message.id);
        let token = URL_SAFE_NO_PAD.encode([message.id.0, mac].concat());
        format!("{}{token}", self.base)
    }

    /// Which message a token names, where we made it for one of these tenants.
    pub fn read(&self, token: &str, tenants: &[TenantId]) -> Option<(TenantId, MessageId)> {
        let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (id, mac) = bytes.split_at_checked(MAC_BYTES)?;
        let id = MessageId(id.try_into().ok()?);
        let ours = |tenant: &&TenantId| bool::from(self.mac(tenant, id).as_slice().ct_eq(mac));
        Some((tenants.iter().find(ours)?.clone(), id))
    }

    /// When the link to a message's file ends.
    pub fn ends(&self, message: &NewMessage) -> Timestamp {
        message.created.plus(self.lasts)
    }

    fn mac(&self, tenant: &TenantId, id: MessageId) -> [u8; MAC_BYTES] {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        // The id has a fixed length and stands first, so no tenant's name can run into it.
        hasher.update(&id.0);
        hasher.update(tenant.as_bytes());
        let mut mac = [0; MAC_BYTES];
        hasher.finalize_xof().fill(&mut mac);
        mac
    }
}

/// Without the key, which would make anybody's links.
impl fmt::Debug for Links {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Links").field("base", &self.base).field("lasts", &self.lasts).finish_non_exhaustive()
    }
}

impl PartialEq for Links {
    fn eq(&self, other: &Links) -> bool {
        self.base == other.base && self.lasts == other.lasts && bool::from(self.key.ct_eq(&other.key))
    }
}

/// The file that a content carries: where it is, its type, and its name where it has one.
pub(crate) fn file(content: &Content) -> Option<(&MediaSource, &str, Option<&str>)> {
    match (&content.attachment, &content.special) {
        (Some(file), _) => Some((&file.source, &file.mime_type, file.filename.as_deref())),
        (None, Some(Special::Sticker(sticker))) => Some((&sticker.source, STICKER_TYPE, None)),
        (None, _) => None,
    }
}
