//! Sending: one form, and the id that comes back.

use std::time::Duration;

use async_trait::async_trait;
use serde::Deserialize;

use super::rich;
use crate::{
    channel::{
        Outgoing, Provider, Rendition, TwilioSettings,
        exchange::{Broken, Reply, exchange},
        failure::{self, Hint},
    },
    domain::{
        customer::Channel,
        message::{Answer, AttemptFailure},
    },
    ids::AttemptToken,
    secret::Secret,
};

/// How long Twilio may keep a message in its own queue, in seconds. Outside of it a message is refused.
const VALIDITY_S: std::ops::RangeInclusive<u64> = 1..=36_000;

/// One account, ready to send from.
pub struct Twilio {
    settings: TwilioSettings,
    url: reqwest::Url,
    auth_token: Secret,
    /// `From`, as Twilio writes it: with `whatsapp:` before the number on WhatsApp.
    sender: String,
    /// Where callbacks go; the token is added.
    callback: reqwest::Url,
    http: reqwest::Client,
}

/// Settings that nothing can be sent with.
#[derive(Debug, thiserror::Error)]
pub enum BadSettings {
    #[error("twilio account `{account}`: `base-url` and `account-sid` give no URL: {reason}")]
    Url { account: String, reason: String },
    #[error("twilio account `{account}`: the host's public URL `{public_url}` cannot be called back: {reason}")]
    PublicUrl { account: String, public_url: String, reason: String },
    #[error("twilio account `{account}`: `auth-tokens` is empty; the first is what requests are made with")]
    Token { account: String },
    #[error(
        "twilio account `{account}`: `sender` is empty; write a number, a name, or the id of a messaging service (MG…)"
    )]
    Sender { account: String },
    #[error(
        "twilio account `{account}`: `sender` is `{sender}`; on WhatsApp it is a number with its plus, or a messaging service"
    )]
    Number { account: String, sender: String },
}

impl Twilio {
    /// `public_url` is where the host is reached from outside: callbacks go to `/v1/webhooks/twilio/{account}` under it.
    pub fn new(settings: &TwilioSettings, public_url: &str, http: reqwest::Client) -> Result<Twilio, BadSettings> {
        let account = settings.account.clone();
        let sid = &settings.account_sid;
        let text = format!("{}/2010-04-01/Accounts/{sid}/Messages.json", settings.base_url.trim_end_matches('/'));
        let url = reqwest::Url::parse(&text)
            .map_err(|error| BadSettings::Url { account: account.clone(), reason: format!("{error} in `{text}`") })?;
        let callback = callback(public_url, &account).map_err(|reason| BadSettings::PublicUrl {
            account: account.clone(),
            public_url: public_url.to_owned(),
            reason,
        })?;
        let auth_token = settings.auth_tokens.first().cloned();
        let auth_token = auth_token.ok_or_else(|| BadSettings::Token { account: account.clone() })?;
        if settings.sender.trim().is_empty() {
            return Err(BadSettings::Sender { account });
        }
        let sender = written(settings.sender.trim(), settings.channel)
            .ok_or_else(|| BadSettings::Number { account, sender: settings.sender.clone() })?;
        Ok(Twilio { settings: settings.clone(), url, auth_token, sender, callback, http })
    }

    /// The form of the request, or what cannot be said to Twilio.
    pub(super) fn form(&self, outgoing: &Outgoing) -> Result<Vec<(&'static str, String)>, String> {
        let from = if is_service(&self.sender) { "MessagingServiceSid" } else { "From" };
        let to = match self.settings.channel {
            Channel::Whatsapp => format!("{WHATSAPP}{}", outgoing.to),
            Channel::Sms => outgoing.to.clone(),
        };
        let mut form = vec![("To", to), (from, self.sender.clone())];
        form.extend(self.content(&outgoing.body)?);
        form.push(("StatusCallback", with_token(&self.callback, outgoing.token)));
        form.extend(outgoing.expires.map(|expires| ("ValidityPeriod", validity_s(expires).to_string())));
        Ok(form)
    }

    fn content(&self, body: &Rendition) -> Result<Vec<(&'static str, String)>, String> {
        match (body, self.settings.channel) {
            (Rendition::Sms(text), Channel::Sms) => Ok(vec![("Body", text.text.clone())]),
            (Rendition::Whatsapp(rendered), Channel::Whatsapp) => rich::fields(rendered, &self.settings.templates),
            (_, channel) => Err(format!("this account sends on {} only", channel.as_str())),
        }
    }
}

/// Before a number on WhatsApp.
const WHATSAPP: &str = "whatsapp:";

/// `MG` and 32 hexadecimal digits.
const MESSAGING_SERVICE_LEN: usize = 34;

fn is_service(sender: &str) -> bool {
    sender.starts_with("MG") && sender.len() == MESSAGING_SERVICE_LEN
}

/// The sender as Twilio writes it; `None` where it cannot be one on that channel.
fn written(sender: &str, channel: Channel) -> Option<String> {
    if channel == Channel::Sms || is_service(sender) {
        return Some(sender.to_owned());
    }
    let number = sender.strip_prefix(WHATSAPP).unwrap_or(sender);
    let digits = number.strip_prefix('+').filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
    (digits.len() >= 7).then(|| format!("{WHATSAPP}{number}"))
}

fn callback(public_url: &str, account: &str) -> Result<reqwest::Url, String> {
    let mut url = reqwest::Url::parse(public_url).map_err(|error| error.to_string())?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("it is neither http nor https".to_owned());
    }
    url.set_query(None);
    url.set_fragment(None);
    url.path_segments_mut().map_err(|()| "it has no path".to_owned())?.pop_if_empty().extend([
        "v1",
        "webhooks",
        super::NAME,
        account,
    ]);
    Ok(url)
}

fn with_token(callback: &reqwest::Url, token: AttemptToken) -> String {
    let mut url = callback.clone();
    url.query_pairs_mut().append_pair("token", &token.to_string());
    url.into()
}

/// Rounded up, so that something is left of less than a second.
fn validity_s(expires: Duration) -> u64 {
    let seconds = expires.as_secs() + u64::from(expires.subsec_nanos() > 0);
    seconds.clamp(*VALIDITY_S.start(), *VALIDITY_S.end())
}

#[async_trait]
impl Provider for Twilio {
    fn name(&self) -> &'static str {
        super::NAME
    }

    fn account(&self) -> &str {
        &self.settings.account
    }

    fn channel(&self) -> Channel {
        self.settings.channel
    }

    fn countries(&self) -> &[String] {
        &self.settings.countries
    }

    fn preference(&self) -> u32 {
        self.settings.preference
    }

    fn fits(&self, body: &Rendition) -> Result<(), String> {
        self.content(body).map(|_| ())
    }

    async fn send(&self, outgoing: &Outgoing) -> Answer {
        let form = match self.form(outgoing) {
            Ok(form) => form,
            Err(reason) => return Answer::Failed(failure::bad_request(failure::BAD_REQUEST, &reason)),
        };
        let request = self
            .http
            .post(self.url.clone())
            .basic_auth(&self.settings.account_sid, Some(self.auth_token.reveal()))
            .form(&form);
        match exchange(request).await {
            Ok(reply) => answer(&reply, outgoing.token.attempt),
            Err(Broken::NotSent(detail)) => Answer::Failed(failure::unreachable(&detail)),
            Err(Broken::Lost(detail)) => Answer::Unknown { detail },
        }
    }
}

/// What a reply says about the message.
///
/// An error object below 500 is a refusal with Twilio's reason, so nothing was taken. A 5xx is not: a proxy on the way may
/// have lost the answer to a message that was taken. Only 429 and 503 say by their meaning that it was not.
pub(super) fn answer(reply: &Reply, attempt: u32) -> Answer {
    let status = reply.status.as_u16();
    let retry_after = failure::retry_after(&reply.headers);
    let hint = Hint { attempt, retry_after, day: None };
    match status {
        200..=299 => match parsed::<Message>(reply) {
            Some(message) if !message.sid.is_empty() => Answer::Accepted { provider_id: message.sid },
            _ => Answer::Unknown { detail: format!("Twilio answered {status} without a message's id") },
        },
        429 => Answer::Failed(
            refusal(reply, hint)
                .unwrap_or_else(|| failure::busy(failure::RATE_LIMITED, status, "Twilio answered 429", retry_after)),
        ),
        503 => Answer::Failed(failure::busy(failure::PROVIDER_DOWN, status, "Twilio answered 503", retry_after)),
        408 | 500.. => Answer::Unknown { detail: format!("the answer was {status}") },
        _ => {
            Answer::Failed(refusal(reply, hint).unwrap_or_else(|| {
                failure::refused(status, &format!("Twilio answered {status} without an error code"))
            }))
        }
    }
}

fn refusal(reply: &Reply, hint: Hint) -> Option<AttemptFailure> {
    let refusal: Refusal = parsed(reply)?;
    let code = refusal.code.to_string();
    let too_fast = reply.status.as_u16() == 429 && !super::table().knows(&code);
    // A code that is new to us, in an answer that says by its status that it is a matter of time.
    let code = if too_fast { "429" } else { &code };
    Some(super::table().classify(code, refusal.message.as_deref(), hint))
}

fn parsed<T: for<'de> Deserialize<'de>>(reply: &Reply) -> Option<T> {
    serde_json::from_slice(reply.body.as_deref()?).ok()
}

#[derive(Deserialize)]
struct Message {
    sid: String,
}

#[derive(Deserialize)]
struct Refusal {
    code: i64,
    #[serde(default)]
    message: Option<String>,
}
