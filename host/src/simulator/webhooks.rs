//! Sends what the providers report: signed, at least once, with growing pauses until it is taken.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::{Options, Provider, Simulator, Tick, WebhookOptions, door::pause, lock, signature};
use crate::clock::Timestamp;

/// How many webhooks wait for another try at most; a host that is gone for good must not fill the memory.
const RETRYING_MAX: usize = 50_000;

/// One webhook and what became of it.
#[derive(Debug, Clone, Serialize)]
pub struct Webhook {
    pub seq: u64,
    pub at: Timestamp,
    pub provider: Provider,
    pub url: String,
    pub about: Vec<About>,
    /// Meta's and CM.com's JSON, or Twilio's form as an object.
    pub body: Value,
    pub tries: u32,
    /// The status of the newest answer.
    pub answered: Option<u16>,
    /// Why there is none.
    pub error: Option<String>,
    pub state: Progress,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Progress {
    Sending,
    Taken,
    Retrying,
    GaveUp,
}

/// Which message a webhook is about. `status` is missing for what a phone wrote.
#[derive(Debug, Clone, Serialize)]
pub struct About {
    pub id: String,
    pub number: String,
    pub token: Option<String>,
    pub status: Option<Tick>,
}

/// What is to be posted, before it is signed.
pub(crate) enum Parcel {
    /// One element of `changes`; the envelope is made when it goes out.
    Meta(Value),
    Cm(Value),
    Form(Vec<(String, String)>),
}

pub(crate) struct Outgoing {
    pub(crate) url: String,
    pub(crate) parcel: Parcel,
    pub(crate) about: About,
}

pub(crate) struct Sender {
    client: reqwest::Client,
    options: WebhookOptions,
    permits: Semaphore,
    /// One permit for each webhook that waits for another try.
    retries: Arc<Semaphore>,
    webhooks_max: usize,
    book: Mutex<Book>,
    batch: Mutex<Vec<(Value, About)>>,
}

#[derive(Default)]
struct Book {
    webhooks: VecDeque<Webhook>,
    seen: u64,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Filter {
    pub(crate) provider: Option<Provider>,
    pub(crate) state: Option<Progress>,
    pub(crate) number: Option<String>,
    pub(crate) token: Option<String>,
    pub(crate) after: Option<u64>,
    pub(crate) limit: Option<usize>,
}

#[derive(Serialize)]
pub(crate) struct Page {
    webhooks: Vec<Webhook>,
    seen: u64,
    forgotten: u64,
}

impl Sender {
    pub(crate) fn new(options: &Options) -> anyhow::Result<Sender> {
        // The client panics without a provider; that one is installed already is no error.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            // A proxy of the environment must not get between the simulator and a host on loopback.
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(Duration::from_millis(options.webhooks.timeout_ms))
            .pool_max_idle_per_host(options.webhooks.concurrency_max)
            .build()?;
        Ok(Sender {
            client,
            options: options.webhooks,
            permits: Semaphore::new(options.webhooks.concurrency_max.max(1)),
            retries: Arc::new(Semaphore::new(RETRYING_MAX)),
            webhooks_max: options.keep.webhooks_max,
            book: Mutex::default(),
            batch: Mutex::default(),
        })
    }

    pub(crate) fn page(&self, filter: &Filter) -> Page {
        let book = lock(&self.book);
        let about = |webhook: &Webhook, wanted: &dyn Fn(&About) -> bool| webhook.about.iter().any(wanted);
        let fits = |webhook: &&Webhook| {
            filter.provider.is_none_or(|provider| provider == webhook.provider)
                && filter.state.is_none_or(|state| state == webhook.state)
                && filter.after.is_none_or(|after| webhook.seq > after)
                && filter.number.as_ref().is_none_or(|number| about(webhook, &|about| about.number == *number))
                && filter
                    .token
                    .as_ref()
                    .is_none_or(|token| about(webhook, &|about| about.token.as_ref() == Some(token)))
        };
        let limit = filter.limit.unwrap_or(usize::MAX);
        let webhooks: Vec<Webhook> = book.webhooks.iter().filter(fits).take(limit).cloned().collect();
        let kept = u64::try_from(book.webhooks.len()).unwrap_or(u64::MAX);
        Page { webhooks, seen: book.seen, forgotten: book.seen.saturating_sub(kept) }
    }

    pub(crate) fn clear(&self) {
        *lock(&self.book) = Book::default();
        lock(&self.batch).clear();
    }

    pub(crate) fn client(&self) -> &reqwest::Client {
        &self.client
    }

    fn add(&self, mut webhook: Webhook) -> u64 {
        let mut book = lock(&self.book);
        book.seen += 1;
        webhook.seq = book.seen;
        book.webhooks.push_back(webhook);
        while book.webhooks.len() > self.webhooks_max {
            book.webhooks.pop_front();
        }
        book.seen
    }

    fn change(&self, seq: u64, change: impl FnOnce(&mut Webhook)) -> Option<Webhook> {
        let mut book = lock(&self.book);
        let first = book.webhooks.front()?.seq;
        let webhook = book.webhooks.get_mut(usize::try_from(seq.checked_sub(first)?).ok()?)?;
        change(webhook);
        Some(webhook.clone())
    }
}

/// Posts a webhook. Returns after the first try; further ones go on by themselves.
pub(crate) async fn post(simulator: &Arc<Simulator>, outgoing: Outgoing) {
    let Outgoing { url, parcel, about } = outgoing;
    match parcel {
        Parcel::Meta(change) if simulator.sender.options.batch_max > 1 => collect(simulator, url, change, about).await,
        Parcel::Meta(change) => send(simulator, seal_meta(simulator, url, vec![change]), vec![about]).await,
        Parcel::Cm(body) => send(simulator, seal_cm(url, body), vec![about]).await,
        Parcel::Form(fields) => send(simulator, seal_form(simulator, url, &fields), vec![about]).await,
    }
}

/// Puts a change aside until enough are there, or until the first of them waited long enough.
async fn collect(simulator: &Arc<Simulator>, url: String, change: Value, about: About) {
    let count = {
        let mut batch = lock(&simulator.sender.batch);
        batch.push((change, about));
        batch.len()
    };
    if count >= simulator.sender.options.batch_max {
        flush(simulator, url).await;
    } else if count == 1 {
        let this = Arc::clone(simulator);
        simulator.spawn(async move {
            pause(this.sender.options.batch_wait_ms).await;
            flush(&this, url).await;
        });
    }
}

async fn flush(simulator: &Arc<Simulator>, url: String) {
    let batch = std::mem::take(&mut *lock(&simulator.sender.batch));
    if batch.is_empty() {
        return;
    }
    let (changes, about) = batch.into_iter().unzip();
    send(simulator, seal_meta(simulator, url, changes), about).await;
}

/// A webhook as it goes over the wire, each time the same bytes.
struct Sealed {
    provider: Provider,
    url: String,
    content_type: &'static str,
    signature: Option<(&'static str, String)>,
    bytes: Bytes,
    shown: Value,
    tries_max: Option<u32>,
}

fn seal_meta(simulator: &Simulator, url: String, changes: Vec<Value>) -> Sealed {
    let meta = &simulator.options.meta;
    let shown = json!({"object": "whatsapp_business_account", "entry": [{"id": meta.waba_id, "changes": changes}]});
    let text = signature::meta_json(&shown);
    let signed = signature::meta(&meta.app_secret, text.as_bytes());
    Sealed {
        provider: Provider::Meta,
        url,
        content_type: "application/json",
        signature: Some(("X-Hub-Signature-256", signed)),
        bytes: text.into(),
        shown,
        tries_max: None,
    }
}

fn seal_cm(url: String, body: Value) -> Sealed {
    Sealed {
        provider: Provider::Cm,
        url,
        content_type: "application/json; charset=utf-8",
        signature: None,
        bytes: body.to_string().into(),
        shown: body,
        tries_max: None,
    }
}

fn seal_form(simulator: &Simulator, url: String, fields: &[(String, String)]) -> Sealed {
    let signed = signature::twilio(&simulator.options.twilio.auth_token, &url, fields);
    let text = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let shown = fields.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str()))).collect();
    Sealed {
        provider: Provider::Twilio,
        url,
        content_type: "application/x-www-form-urlencoded",
        signature: Some(("X-Twilio-Signature", signed)),
        bytes: text.into(),
        shown: Value::Object(shown),
        tries_max: Some(simulator.options.twilio.tries_max),
    }
}

async fn send(simulator: &Arc<Simulator>, mut sealed: Sealed, about: Vec<About>) {
    let seq = announce(simulator, &mut sealed, about);
    if attempt(simulator, &sealed, seq, 1).await {
        return;
    }
    let Ok(permit) = Arc::clone(&simulator.sender.retries).try_acquire_owned() else {
        return give_up(simulator, seq);
    };
    let this = Arc::clone(simulator);
    simulator.spawn(async move {
        insist(&this, &sealed, seq).await;
        drop(permit);
    });
}

async fn insist(simulator: &Arc<Simulator>, sealed: &Sealed, seq: Option<u64>) {
    let options = simulator.sender.options;
    let mut wait_ms = options.retry_ms;
    for tries in 2.. {
        if sealed.tries_max.is_some_and(|tries_max| tries > tries_max) {
            return give_up(simulator, seq);
        }
        pause(wait_ms.max(1)).await;
        if attempt(simulator, sealed, seq, tries).await {
            return;
        }
        wait_ms = wait_ms.saturating_mul(2).min(options.retry_ms_max);
    }
}

/// One try. Says whether it was taken.
async fn attempt(simulator: &Arc<Simulator>, sealed: &Sealed, seq: Option<u64>, tries: u32) -> bool {
    let sender = &simulator.sender;
    // The semaphore is never closed.
    let Ok(_permit) = sender.permits.acquire().await else { return false };
    let mut request = sender.client.post(&sealed.url).header(CONTENT_TYPE, sealed.content_type);
    if let Some((name, value)) = &sealed.signature {
        request = request.header(*name, value);
    }
    let (answered, error) = match request.body(sealed.bytes.clone()).send().await {
        // The body is read to its end so that the connection can be used again; its content is of no interest.
        Ok(response) => {
            let status = response.status().as_u16();
            let _ = response.bytes().await;
            (Some(status), None)
        }
        Err(error) => (None, Some(cause(&error))),
    };
    let taken = answered.is_some_and(|status| is_taken(sealed.provider, status));
    note(simulator, seq, |webhook| {
        webhook.tries = tries;
        webhook.answered = answered;
        webhook.error = error;
        webhook.state = if taken { Progress::Taken } else { Progress::Retrying };
    });
    taken
}

/// Meta takes nothing but 200 for an answer.
fn is_taken(provider: Provider, status: u16) -> bool {
    match provider {
        Provider::Meta => status == 200,
        Provider::Cm | Provider::Twilio | Provider::Smpp => (200..300).contains(&status),
    }
}

/// The innermost cause says what happened; the outer ones repeat the URL.
fn cause(error: &reqwest::Error) -> String {
    let mut deepest: &dyn std::error::Error = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}

fn give_up(simulator: &Simulator, seq: Option<u64>) {
    note(simulator, seq, |webhook| webhook.state = Progress::GaveUp);
}

fn announce(simulator: &Simulator, sealed: &mut Sealed, about: Vec<About>) -> Option<u64> {
    if simulator.settings().quiet {
        return None;
    }
    let webhook = Webhook {
        seq: 0,
        at: simulator.now(),
        provider: sealed.provider,
        // The secret at the end of CM.com's URL stays out of the ledger, which a page shows.
        url: sealed.url.replace(&simulator.options.cm.webhook_secret, "…"),
        about,
        body: sealed.shown.take(),
        tries: 0,
        answered: None,
        error: None,
        state: Progress::Sending,
    };
    Some(simulator.sender.add(webhook))
}

fn note(simulator: &Simulator, seq: Option<u64>, change: impl FnOnce(&mut Webhook)) {
    let Some(webhook) = seq.and_then(|seq| simulator.sender.change(seq, change)) else { return };
    simulator.stream.send("webhook", || webhook);
}
