//! The providers, simulated: what Meta, CM.com, Twilio and an SMSC are on the wire, with telephones behind them.
//!
//! **What comes in.** Real HTTP on one listener: `POST /v25.0/{phone-number-id}/messages` is Meta's Cloud API,
//! `POST /v1.0/message` is CM.com's gateway and `POST /2010-04-01/Accounts/{sid}/Messages.json` is Twilio. SMPP
//! has a listener of its own ([`smsc`]). Under `/sim` is the simulator's own door (see [`control`]): phones are added there,
//! write, tap, go offline, and trouble is ordered.
//!
//! **What goes out.** Answers with the providers' bodies and codes, and webhooks, signed as the providers sign them, to the
//! URLs in the settings: a status for each step of a message (sent, delivered, read, failed) and what the phones write.
//!
//! **What can go wrong** goes wrong on purpose (see [`trouble`]): error codes, 429 and 5xx, answers that never come,
//! connections closed after the message was taken, receipts lost, late, repeated or shuffled.
//!
//! **What it never does.** It knows nothing of whoever sends to it but the base URL of the webhooks: no type, table or
//! function of the host is used here except the clock. Nothing is stored: with the process ends all it knew.
//!
//! A message's way: a provider's file ([`meta`], [`cm`], [`twilio`], [`smsc`]) checks it and answers; [`delivery`] carries it to the
//! phone ([`phones`], [`threads`]) and has each step reported; [`webhooks`] sends the reports.

pub(crate) mod cm;
pub mod control;
mod control_phones;
pub(crate) mod delivery;
mod door;
mod ids;
mod ledger;
mod listen;
mod media;
pub(crate) mod meta;
mod meta_body;
mod meta_errors;
mod meta_hooks;
mod meta_interactive;
mod meta_profile;
mod meta_templates;
mod options;
mod phones;
mod signature;
mod sms_parts;
pub(crate) mod smsc;
mod stream;
mod templates;
#[cfg(test)]
mod tests;
mod threads;
pub mod trouble;
pub(crate) mod twilio;
mod webhooks;

use std::{
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
};

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use self::{
    ledger::{Answer, Request},
    options::{
        CmOptions, Keep, Limits, MetaOptions, Options, PairRate, Settings, Strangers, Timing, TwilioOptions,
        WebhookOptions, Window,
    },
    phones::{Channel, Error, Phone, Provider, Rule, Write},
    smsc::{ReceiptForm, SmppOptions},
    templates::Template,
    threads::{Button, Content, Entry, Media as EntryMedia, Place, Tick, Ticks, UsedTemplate},
    trouble::{Kind, Trouble},
    webhooks::Webhook,
};
use crate::clock::Timestamp;

/// Serves all providers and the simulator's own door on `listener` until `shutdown` ends.
pub async fn serve(
    listener: TcpListener,
    options: Options,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> anyhow::Result<()> {
    Simulator::new(options)?.serve(listener, shutdown).await
}

/// Everything the simulator knows. Who runs it in the same process may use it without HTTP.
pub struct Simulator {
    pub(crate) options: Options,
    settings: RwLock<Arc<Settings>>,
    pub(crate) phones: phones::PhoneBook,
    pub(crate) templates: templates::Templates,
    pub(crate) media: media::Shelf,
    pub(crate) troubles: trouble::Troubles,
    pub(crate) ledger: ledger::Ledger,
    pub(crate) sender: webhooks::Sender,
    pub(crate) stream: stream::Stream,
    pub(crate) ids: ids::Ids,
    pub(crate) throughput: meta::Throughput,
    pub(crate) profile: meta_profile::Profile,
    pub(crate) smsc: smsc::Smsc,
    alive: CancellationToken,
    /// Ends with every reset, and with it every message that was still under way.
    round: Mutex<CancellationToken>,
}

impl Simulator {
    pub fn new(options: Options) -> anyhow::Result<Arc<Simulator>> {
        let alive = CancellationToken::new();
        let simulator = Arc::new(Simulator {
            settings: RwLock::new(Arc::new(options.settings())),
            phones: phones::PhoneBook::new(options.keep, options.strangers),
            templates: templates::Templates::default(),
            media: media::Shelf::new(options.keep.media_bytes_max),
            troubles: trouble::Troubles::default(),
            ledger: ledger::Ledger::new(options.keep.requests_max),
            sender: webhooks::Sender::new(&options)?,
            stream: stream::Stream::new(),
            ids: ids::Ids::new(options.id_seed)?,
            throughput: meta::Throughput::default(),
            profile: meta_profile::Profile::default(),
            smsc: smsc::Smsc::default(),
            round: Mutex::new(alive.child_token()),
            alive,
            options,
        });
        simulator.furnish();
        Ok(simulator)
    }

    pub async fn serve(
        self: Arc<Self>,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> anyhow::Result<()> {
        let alive = self.alive.clone();
        let _stops_what_is_under_way = alive.clone().drop_guard();
        listen::serve(listener, control::router(self), alive, shutdown).await
    }

    /// Back to how it started: phones and templates of the options, no trouble, empty ledgers, nothing under way.
    pub fn reset(&self) {
        let mut round = lock(&self.round);
        round.cancel();
        *round = self.alive.child_token();
        drop(round);
        self.phones.clear();
        self.templates.clear();
        self.media.clear();
        self.profile.clear();
        self.troubles.clear();
        self.smsc.clear();
        self.ledger.clear();
        self.sender.clear();
        self.furnish();
        self.stream.send("reset", || serde_json::json!({}));
    }

    pub fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.settings.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn set_settings(&self, settings: Settings) {
        *self.settings.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(settings);
    }

    fn furnish(&self) {
        for phone in &self.options.phones {
            self.phones.put(phone.clone());
        }
        for template in &self.options.templates {
            self.templates.put(template.clone());
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.options.clock.now()
    }

    /// Runs `work` until it is done, the simulator stops, or it is reset.
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let round = lock(&self.round).clone();
        tokio::spawn(async move {
            // Without a winner nothing is left to do: the outcome is of no interest.
            let _ = round.run_until_cancelled(work).await;
        });
    }
}

/// A panic while a lock is held leaves the simulator usable: each change below is made in one step.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
