//! The HTTP entrance: what comes in from outside becomes a stored event or message, and only then is answered.
//!
//! In: connections on one listener ([`listen`]), CloudEvents in their three modes ([`events`], [`cloudevents`]), webhooks that a
//! plugin's manifest declares ([`triggers`]), and messages asked for without a plugin ([`messages`]; [`cm`] for clients of CM.com).
//! Out: rows in the store, and an answer that is sent only after they are on disk.
//! Whoever brings more than its part is told so before it costs the store anything ([`quota`]).
//! What goes wrong is answered as `application/problem+json` that names the field and the fix ([`problem`]); what is our own
//! fault is logged under an id, and the caller learns that id and nothing else.
//!
//! The entrance never runs a plugin, never waits for a provider, and never makes a request itself. Work is driven by the store,
//! so a client that goes away changes nothing.

pub mod auth;
pub mod cloudevents;
mod cm;
pub mod counters;
pub mod events;
pub mod listen;
pub mod messages;
pub mod problem;
pub mod quota;
pub mod request;
pub mod settings;
pub mod triggers;
mod wait;

use std::sync::Arc;

use async_trait::async_trait;
use axum::{
    Router,
    http::HeaderMap,
    routing::{MethodRouter, post},
};
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

pub use settings::{ApiKey, Settings};

use crate::{
    clock::{Clock, Timestamp},
    domain::{customer::Customer, event::Event, message::NewMessage, plugin::PluginOrder, run::NewRun},
    ids::TenantId,
    rules,
    store::{self, Store, handover::Change},
};

/// What every handler needs. Cloned for each request, so all of it is shared.
#[derive(Clone)]
pub struct AppState {
    pub store: Arc<dyn Store>,
    pub clock: Arc<dyn Clock>,
    pub directory: Arc<dyn Directory>,
    pub settings: Arc<Settings>,
    pub changes: broadcast::Sender<Arc<Change>>,
    pub rules: Arc<rules::allowed::Settings>,
    pub counters: Arc<counters::Counters>,
    pub quotas: Arc<quota::Quotas>,
    pub foresight: Arc<dyn Foresight>,
    /// Cancelled when the host begins to stop: streams and waits end at once, so that they do not hold it up.
    pub closing: CancellationToken,
}

/// What the entrance and the API ask of the plugins that are loaded.
#[async_trait]
pub trait Directory: Send + Sync {
    /// The runs that an event sets off, and why subscriptions that matched by type do not apply.
    fn route(&self, event: &Arc<Event>) -> (Vec<NewRun>, Vec<String>);

    /// Turns a webhook into an event, after its signature was checked as the manifest declares.
    fn trigger(&self, call: &TriggerCall<'_>) -> Result<Event, TriggerProblem>;

    /// What is loaded, and why something is not.
    fn plugins(&self) -> serde_json::Value;

    fn plugin(&self, name: &str) -> Option<serde_json::Value>;

    /// How the accounts stand with their providers.
    fn accounts(&self, _now: Timestamp) -> Vec<serde_json::Value> {
        Vec::new()
    }

    /// What does not fit of the templates that plugins declare.
    fn misfits(&self) -> Vec<serde_json::Value> {
        Vec::new()
    }

    /// Does what an operator says about a plugin, and says what came of it.
    async fn order(&self, caller: &TenantId, order: PluginOrder) -> Result<serde_json::Value, OrderProblem>;
}

/// What the entrance asks of whoever plans messages.
pub trait Foresight: Send + Sync {
    /// What would become of a message that the rules let in, without anything of it being done.
    fn foresee(&self, message: NewMessage, customer: Option<&Customer>) -> serde_json::Value;
}

/// Why an order about a plugin is not followed.
#[derive(Debug, thiserror::Error)]
pub enum OrderProblem {
    #[error("the plugins belong to the tenant `{owner}`")]
    NotYours { owner: TenantId },
    #[error("there is no such plugin")]
    UnknownPlugin,
    #[error("{0}")]
    NothingToDo(String),
    #[error(transparent)]
    Failed(anyhow::Error),
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// A webhook as it arrived. Signatures are checked over `body` as it is, before anything reads it.
pub struct TriggerCall<'a> {
    pub plugin: &'a str,
    pub trigger: &'a str,
    pub headers: &'a HeaderMap,
    pub body: &'a [u8],
    pub now: Timestamp,
    /// Whose API key came with it; `None` where there was no valid one. A trigger without a signature asks for one.
    pub caller: Option<&'a TenantId>,
}

/// Why a webhook became no event.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum TriggerProblem {
    #[error("there is no such plugin")]
    UnknownPlugin { known: Vec<String> },
    #[error("the plugin has no such trigger")]
    UnknownTrigger { known: Vec<String> },
    #[error("the signature is not as the trigger asks for: {why}")]
    Unsigned { why: String, fix: String },
    #[error("the trigger is not signed, so it asks for an API key")]
    NeedsApiKey,
    #[error("`{field}` is not as the trigger needs it")]
    BadField { field: String, fix: String },
}

/// The routes that take something in. Fallbacks are added once, by [`problem::with_fallbacks`], after all routers are merged.
pub fn router(state: AppState) -> Router {
    let events: MethodRouter<AppState> = post(events::accept).options(events::handshake);
    Router::new()
        .route("/v1/events", events)
        .route("/v1/triggers/{plugin}/{trigger}", post(triggers::accept))
        .route("/v1/messages", post(messages::accept))
        .route("/v1.0/message", post(cm::accept))
        .route("/v1/messages/{id}/cancel", post(messages::cancel))
        .with_state(state)
}
