//! Every setting of the simulator, with defaults that are obviously for simulation.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Phone, SmppOptions, Template};
use crate::clock::{Clock, SystemClock};

/// What the simulator is started with.
#[derive(Clone)]
pub struct Options {
    pub clock: Arc<dyn Clock>,
    /// Where webhooks go, for example `http://127.0.0.1:8080/v1/webhooks`; `/meta`, `/cm/{secret}` and `/twilio` are
    /// appended. Without it no webhook is sent, except to the `StatusCallback` that a Twilio request names.
    pub webhook_base: Option<String>,
    pub meta: MetaOptions,
    pub cm: CmOptions,
    pub twilio: TwilioOptions,
    pub smpp: SmppOptions,
    pub phones: Vec<Phone>,
    pub templates: Vec<Template>,
    pub timing: Timing,
    pub limits: Limits,
    pub webhooks: WebhookOptions,
    pub keep: Keep,
    pub strangers: Strangers,
    /// No threads, no ledgers, no stream: for benchmarks.
    pub quiet: bool,
    /// Makes message ids the same in each process. Without it they differ, so that ids of an earlier process do not return.
    pub id_seed: Option<u32>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            clock: Arc::new(SystemClock::new()),
            webhook_base: None,
            meta: MetaOptions::default(),
            cm: CmOptions::default(),
            twilio: TwilioOptions::default(),
            smpp: SmppOptions::default(),
            phones: Vec::new(),
            templates: Vec::new(),
            timing: Timing::default(),
            limits: Limits::default(),
            webhooks: WebhookOptions::default(),
            keep: Keep::default(),
            strangers: Strangers::default(),
            quiet: false,
            id_seed: None,
        }
    }
}

impl Options {
    pub(crate) fn settings(&self) -> Settings {
        Settings {
            webhook_base: self.webhook_base.clone(),
            meta_webhook_url: self.meta.webhook_url.clone(),
            cm_webhook_url: self.cm.webhook_url.clone(),
            twilio_webhook_url: self.twilio.webhook_url.clone(),
            timing: self.timing,
            limits: self.limits,
            window: self.meta.window,
            quiet: self.quiet,
        }
    }
}

/// The part that can be changed while it runs, with `PATCH /sim/settings`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    pub webhook_base: Option<String>,
    pub meta_webhook_url: Option<String>,
    pub cm_webhook_url: Option<String>,
    pub twilio_webhook_url: Option<String>,
    pub timing: Timing,
    pub limits: Limits,
    pub window: Window,
    pub quiet: bool,
}

impl Settings {
    pub(crate) fn meta_url(&self) -> Option<String> {
        self.meta_webhook_url.clone().or_else(|| self.under_base("meta"))
    }

    pub(crate) fn cm_url(&self, secret: &str) -> Option<String> {
        self.cm_webhook_url.clone().or_else(|| self.under_base(&format!("cm/{secret}")))
    }

    pub(crate) fn twilio_url(&self) -> Option<String> {
        self.twilio_webhook_url.clone().or_else(|| self.under_base("twilio"))
    }

    fn under_base(&self, path: &str) -> Option<String> {
        self.webhook_base.as_deref().map(|base| format!("{}/{path}", base.trim_end_matches('/')))
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MetaOptions {
    pub access_token: String,
    pub app_secret: String,
    pub verify_token: String,
    pub phone_number_id: String,
    pub waba_id: String,
    /// Digits with the country code and without a plus, as Meta shows it.
    pub display_phone_number: String,
    pub window: Window,
    pub webhook_url: Option<String>,
}

impl Default for MetaOptions {
    fn default() -> MetaOptions {
        MetaOptions {
            access_token: "simulated-meta-access-token".into(),
            app_secret: "simulated-meta-app-secret".into(),
            verify_token: "simulated-meta-verify-token".into(),
            phone_number_id: "109000000000001".into(),
            waba_id: "201000000000001".into(),
            display_phone_number: "33139980001".into(),
            window: Window::default(),
            webhook_url: None,
        }
    }
}

/// What becomes of a free-form WhatsApp message more than 24 hours after the user wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Window {
    /// Accepted, then a status `failed`: what Meta does.
    #[default]
    Webhook,
    /// Refused in the answer.
    Sync,
    /// Sent all the same.
    Off,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CmOptions {
    pub product_token: String,
    /// CM.com does not sign what it posts: this is the last segment of the URL.
    pub webhook_secret: String,
    /// The number that phones write to.
    pub number: String,
    /// What a request without `allowedChannels` may use.
    pub channels: Vec<super::Channel>,
    pub webhook_url: Option<String>,
}

impl Default for CmOptions {
    fn default() -> CmOptions {
        CmOptions {
            product_token: "00000000-0000-4000-8000-000000000001".into(),
            webhook_secret: "simulated-cm-webhook-secret".into(),
            number: "0033139980001".into(),
            channels: vec![super::Channel::Sms],
            webhook_url: None,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TwilioOptions {
    pub account_sid: String,
    pub auth_token: String,
    /// The number that phones write to by SMS and on WhatsApp, with a plus.
    pub number: String,
    /// Senders that belong to the account. Empty: every sender is taken.
    pub senders: Vec<String>,
    pub webhook_url: Option<String>,
    /// How often a webhook is tried; Twilio gives up soon, where Meta and CM.com go on for days.
    pub tries_max: u32,
}

impl Default for TwilioOptions {
    fn default() -> TwilioOptions {
        TwilioOptions {
            account_sid: "AC00000000000000000000000000000001".into(),
            auth_token: "simulated-twilio-auth-token".into(),
            number: "+33757000001".into(),
            senders: Vec::new(),
            webhook_url: None,
            // Twilio's connection overrides allow five retries after the first try.
            tries_max: 6,
        }
    }
}

/// How long things take, in real time whatever the clock says; each counted from when the request came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Timing {
    pub answer_ms: u64,
    pub sent_ms: u64,
    pub delivered_ms: u64,
    pub read_ms: u64,
}

impl Default for Timing {
    fn default() -> Timing {
        // Slow enough to be seen one after the other on a page, fast enough not to wait for.
        Timing { answer_ms: 0, sent_ms: 50, delivered_ms: 150, read_ms: 400 }
    }
}

impl Timing {
    pub const NONE: Timing = Timing { answer_ms: 0, sent_ms: 0, delivered_ms: 0, read_ms: 0 };
}

/// Limits that Meta has; none is on unless asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Messages in one second from the number; above it 130429. Meta's own is 80.
    pub per_second_max: Option<u32>,
    /// Messages to one recipient; above it 131056.
    pub pair: Option<PairRate>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PairRate {
    pub interval_ms: u32,
    pub burst: u32,
}

impl Default for PairRate {
    fn default() -> PairRate {
        // Meta's figures: one message in 6 seconds, and up to 45 at once that borrow from the future.
        PairRate { interval_ms: 6_000, burst: 45 }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebhookOptions {
    pub concurrency_max: usize,
    pub timeout_ms: u64,
    /// The pause before the second try; it doubles up to `retry_ms_max`.
    pub retry_ms: u64,
    pub retry_ms_max: u64,
    /// How many of Meta's changes go into one POST. With 1 each has its own.
    pub batch_max: usize,
    pub batch_wait_ms: u64,
}

impl Default for WebhookOptions {
    fn default() -> WebhookOptions {
        WebhookOptions {
            // Enough to keep a host on the same machine busy; each holds one connection.
            concurrency_max: 64,
            timeout_ms: 10_000,
            retry_ms: 1_000,
            retry_ms_max: 60_000,
            batch_max: 1,
            batch_wait_ms: 5,
        }
    }
}

/// How much is remembered. What is older is forgotten, and counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Keep {
    pub requests_max: usize,
    pub webhooks_max: usize,
    pub thread_entries_max: usize,
    pub phones_max: usize,
    pub media_bytes_max: usize,
}

impl Default for Keep {
    fn default() -> Keep {
        Keep {
            // About 2 KiB each: 40 MiB at most for both ledgers.
            requests_max: 10_000,
            webhooks_max: 10_000,
            thread_entries_max: 200,
            // A million strangers in a benchmark must not fill the memory.
            phones_max: 100_000,
            // Two of the largest documents that WhatsApp takes.
            media_bytes_max: 200 * 1024 * 1024,
        }
    }
}

/// What a number is that nobody added as a phone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strangers {
    /// A phone with WhatsApp and SMS that is online and reads.
    #[default]
    Reachable,
    /// A phone with SMS alone.
    SmsOnly,
    /// Nobody: messages to it fail.
    Unreachable,
}
