//! The receipt stage: what providers say afterwards, and what customers write.
//!
//! **What comes in.** Webhooks of Meta, CM.com, Twilio and of channels that components bring, at `/v1/webhooks/{provider}`: by
//! nature late, repeated, batched and out of order, and from anybody who knows the URL. What SMSCs deliver over their sessions
//! ([`over_smpp`]).
//!
//! **What goes out.** Receipts, incoming messages and consents in the store ([`record`]), and then `200`. Not before: whoever
//! gets no `200` sends again, for days, and that is our queue while the store is down.
//!
//! **What can go wrong.** A wrong signature is answered `401` and leaves nothing behind; a body that is no webhook `400`; a
//! store that cannot be used `503`, so that the provider comes back. Repetitions are known by their ids and do nothing.
//!
//! **What it never does.** It believes nothing before the signature over the raw bytes was checked. It does not send, plan or
//! run anything: the store hands over what there is to do. It imports neither `dispatch` nor `run` nor `ingress`.

mod answer;
mod cm;
mod cost;
mod gateway;
pub mod keywords;
mod meta;
mod moving;
mod preference;
mod record;
mod smpp;
mod twilio;

pub use self::smpp::over_smpp;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use axum::{
    Router,
    body::Bytes,
    extract::DefaultBodyLimit,
    routing::{any, get, post},
};

use crate::{
    channel::{
        Accounts, GatewaySettings, Report,
        marks::{MarkRead, Marks},
        price,
        standing::Standing,
    },
    clock::Clock,
    domain::{event::Event, run::NewRun},
    ids::{PluginName, TenantId},
    rules::keywords::Keywords,
    store::Store,
};

/// Meta documents bodies of up to 3 MB; a third more, should it count otherwise than we do.
pub const BODY_BYTES_MAX: usize = 4 << 20;

/// The runs that an event sets off, with notes about those that it does not.
pub type Route = Arc<dyn Fn(&Arc<Event>) -> (Vec<NewRun>, Vec<String>) + Send + Sync>;

/// What every webhook needs. Cloned for each request, so all of it is shared.
#[derive(Clone)]
pub struct ReceiptState {
    pub store: Arc<dyn Store>,
    pub clock: Arc<dyn Clock>,
    pub tenant: TenantId,
    pub accounts: Arc<Accounts>,
    /// Which words stop messages.
    pub keywords: Keywords,
    /// What is known of the accounts, which webhooks add to.
    pub standing: Arc<Standing>,
    /// What what Meta charges for costs.
    pub prices: Arc<price::Table>,
    /// How providers reach us, `https://relais.example`: Twilio signs the URL that it called, and a proxy may have changed
    /// the `Host` that we see.
    pub public_url: Option<Arc<str>>,
    /// Which runs an event of the host's own sets off, with notes about those that it does not.
    pub route: Route,
    /// Reads webhooks of channels that components bring.
    pub gateways: Arc<dyn Gateways>,
    /// Those who can be told that a message was read, and whether they are as soon as it was received.
    pub marks: Marks,
    pub mark_read: MarkRead,
    /// For how long everything to a customer is taken to be free who came by an advertisement.
    pub free_entry_answer: Duration,
    /// The plugins that ask for messages which answer none of theirs, as they are loaded now.
    pub listeners: Arc<dyn Fn() -> Vec<PluginName> + Send + Sync>,
    /// Told that there are files to be fetched.
    pub media: Arc<tokio::sync::Notify>,
}

/// Channels that components bring, as far as webhooks concern them.
#[async_trait]
pub trait Gateways: Send + Sync {
    /// Checks the signature over the raw body where the plugin declares one, and has the component read it.
    async fn parse(&self, account: &GatewaySettings, posted: Posted) -> Result<Read, Unread>;
}

/// A request to a channel's webhook, as it came.
pub struct Posted {
    pub method: http::Method,
    pub headers: http::HeaderMap,
    pub query: Option<String>,
    pub body: Bytes,
}

/// What a component made of it.
pub struct Read {
    pub reports: Vec<Report>,
    /// What the service wants to read.
    pub answer: String,
}

/// Why a component could not read it.
#[derive(Debug, thiserror::Error)]
pub enum Unread {
    #[error("{0}")]
    Unsigned(String),
    #[error("{0}")]
    Unreadable(String),
    /// The component failed, or does not serve now: to be posted again.
    #[error("{0}")]
    Later(String),
}

/// The webhooks of all providers.
pub fn router(state: ReceiptState) -> Router {
    Router::new()
        .route("/v1/webhooks/meta", get(meta::subscribe).post(meta::receive))
        .route("/v1/webhooks/meta/{account}", get(meta::subscribe).post(meta::receive))
        .route("/v1/webhooks/cm/{secret}", post(cm::receive))
        .route("/v1/webhooks/plugin/{account}/{secret}", any(gateway::receive))
        .route("/v1/webhooks/twilio", post(twilio::receive))
        .route("/v1/webhooks/twilio/{account}", post(twilio::receive))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(state)
}

#[cfg(test)]
mod tests;
