//! The receipt stage: what providers say afterwards, and what customers write.
//!
//! **What comes in.** Webhooks of Meta, CM.com and Twilio, at `/v1/webhooks/{provider}`: by nature late, repeated, batched and
//! out of order, and from anybody who knows the URL. What SMSCs deliver over their sessions ([`over_smpp`]).
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
pub mod keywords;
mod meta;
mod moving;
mod preference;
mod record;
mod smpp;
mod twilio;

pub use self::smpp::over_smpp;

use std::sync::Arc;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    routing::{get, post},
};

use crate::{
    channel::Accounts,
    clock::Clock,
    domain::{event::Event, run::NewRun},
    ids::{PluginName, TenantId},
    store::Store,
};

/// Meta documents bodies of up to 3 MB; a third more, should it count otherwise than we do.
pub const BODY_BYTES_MAX: usize = 4 << 20;

/// What every webhook needs. Cloned for each request, so all of it is shared.
#[derive(Clone)]
pub struct ReceiptState {
    pub store: Arc<dyn Store>,
    pub clock: Arc<dyn Clock>,
    pub tenant: TenantId,
    pub accounts: Arc<Accounts>,
    /// How providers reach us, `https://relais.example`: Twilio signs the URL that it called, and a proxy may have changed
    /// the `Host` that we see.
    pub public_url: Option<Arc<str>>,
    /// Which runs an event of the host's own sets off, with notes about those that it does not.
    pub route: Arc<dyn Fn(&Arc<Event>) -> (Vec<NewRun>, Vec<String>) + Send + Sync>,
    /// The plugins that ask for messages which answer none of theirs, as they are loaded now.
    pub listeners: Arc<dyn Fn() -> Vec<PluginName> + Send + Sync>,
}

/// The webhooks of all providers.
pub fn router(state: ReceiptState) -> Router {
    Router::new()
        .route("/v1/webhooks/meta", get(meta::subscribe).post(meta::receive))
        .route("/v1/webhooks/meta/{account}", get(meta::subscribe).post(meta::receive))
        .route("/v1/webhooks/cm/{secret}", post(cm::receive))
        .route("/v1/webhooks/twilio", post(twilio::receive))
        .route("/v1/webhooks/twilio/{account}", post(twilio::receive))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(state)
}

#[cfg(test)]
mod tests;
