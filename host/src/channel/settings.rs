//! Which accounts there are with which providers, and how they are reached. A base URL is a setting everywhere.

use std::{sync::Once, time::Duration};

use serde::Deserialize;

use crate::secret::Secret;

/// All accounts of the configuration, in the order in which they stand there.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Accounts {
    pub meta: Vec<MetaSettings>,
    pub cm: Vec<CmSettings>,
    pub twilio: Vec<TwilioSettings>,
}

/// A telephone number on Meta's WhatsApp Cloud API.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct MetaSettings {
    /// What the account is called here: in logs, decisions and webhook URLs.
    #[serde(default = "main_account")]
    pub account: String,
    #[serde(default = "meta_base_url")]
    pub base_url: String,
    /// A version of the Graph API lives about two years, so it is a setting.
    #[serde(default = "meta_version")]
    pub version: String,
    pub phone_number_id: String,
    /// The WhatsApp Business account, `entry[].id` in webhooks.
    pub waba_id: String,
    pub access_token: Secret,
    /// The app's secrets: several while one is being replaced. A webhook signed with any of them is genuine.
    pub app_secrets: Vec<Secret>,
    /// What Meta has to show when the webhook's URL is registered.
    pub verify_token: Secret,
}

/// A product of CM.com's Business Messaging, for SMS.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct CmSettings {
    #[serde(default = "main_account")]
    pub account: String,
    #[serde(default = "cm_base_url")]
    pub base_url: String,
    pub product_token: Secret,
    /// `from`: at most 11 letters and digits, or a number of at most 16 digits.
    pub sender: String,
    /// The last part of the webhooks' URL: CM signs nothing. Several while one is being replaced.
    pub webhook_secrets: Vec<Secret>,
}

/// A Twilio account, for SMS.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct TwilioSettings {
    #[serde(default = "main_account")]
    pub account: String,
    #[serde(default = "twilio_base_url")]
    pub base_url: String,
    pub account_sid: String,
    /// The first is sent with; a webhook signed with any of them is genuine, which a rotation needs.
    pub auth_tokens: Vec<Secret>,
    /// `From` (a number or a name), or `MG…`, a messaging service.
    pub sender: String,
}

fn main_account() -> String {
    "main".to_owned()
}

fn meta_base_url() -> String {
    "https://graph.facebook.com".to_owned()
}

fn meta_version() -> String {
    "v25.0".to_owned()
}

fn cm_base_url() -> String {
    "https://gw.messaging.cm.com".to_owned()
}

fn twilio_base_url() -> String {
    "https://api.twilio.com".to_owned()
}

/// How requests to providers are made.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct HttpSettings {
    /// For the whole of a request. When it passes the attempt is in doubt, so it is generous.
    pub timeout_ms: u64,
    /// For name, connection and TLS. When it passes, nothing was sent and the attempt can be repeated.
    pub connect_timeout_ms: u64,
    /// How long an unused connection is kept.
    pub idle_ms: u64,
    /// Unused connections kept for each provider.
    pub idle_connections: usize,
}

impl Default for HttpSettings {
    fn default() -> Self {
        HttpSettings {
            // Providers answer within a second; ten times the worst that is usually seen.
            timeout_ms: 20_000,
            // Three lost SYNs (1 s, 2 s and a bit): beyond that it is an outage.
            connect_timeout_ms: 5_000,
            // Below the minute after which load balancers commonly close, so that a request seldom meets a closed one.
            idle_ms: 50_000,
            // What the dispatcher sends at once to one provider; more are opened and closed again in a burst.
            idle_connections: 64,
        }
    }
}

/// The client for requests to providers: pooled, TLS by rustls with the machine's roots, and no redirects, because a
/// redirect would carry a token elsewhere and no provider documents one.
pub fn http_client(settings: &HttpSettings) -> Result<reqwest::Client, reqwest::Error> {
    install_crypto();
    reqwest::Client::builder()
        .timeout(Duration::from_millis(settings.timeout_ms))
        .connect_timeout(Duration::from_millis(settings.connect_timeout_ms))
        .pool_idle_timeout(Duration::from_millis(settings.idle_ms))
        .pool_max_idle_per_host(settings.idle_connections)
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("relais/", env!("CARGO_PKG_VERSION")))
        .build()
}

/// rustls asks the process, once, which cryptography to use. Somebody else having chosen before us is no error.
fn install_crypto() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}
