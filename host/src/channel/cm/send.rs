//! Sending: one POST, and what its answer says of the one message in it.

use async_trait::async_trait;
use reqwest::header::HeaderValue;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    channel::{
        CmSettings, Outgoing, Provider, Rendition,
        exchange::{Broken, Reply, exchange},
        failure::{self, Hint},
        phone, sms,
    },
    domain::{customer::Channel, message::Answer},
};

/// CM cuts off what takes more parts. Its own default, and more than a tenant usually allows: the text was cut by us, at a
/// word, and CM must not cut it again because it counts in another way.
const PARTS_MAX: u32 = 8;

/// One account, ready to send from.
pub struct Cm {
    account: String,
    url: reqwest::Url,
    product_token: HeaderValue,
    sender: String,
    http: reqwest::Client,
}

/// Settings that nothing can be sent with.
#[derive(Debug, thiserror::Error)]
pub enum BadSettings {
    #[error("cm account `{account}`: `base-url` gives no URL: {reason}")]
    Url { account: String, reason: String },
    #[error("cm account `{account}`: `product-token` holds characters that no HTTP header can carry")]
    Token { account: String },
    #[error(
        "cm account `{account}`: `sender` is `{sender}`; write at most 11 letters and digits, or a number of at most 16"
    )]
    Sender { account: String, sender: String },
}

impl Cm {
    pub fn new(settings: &CmSettings, http: reqwest::Client) -> Result<Cm, BadSettings> {
        let account = settings.account.clone();
        let text = format!("{}/v1.0/message", settings.base_url.trim_end_matches('/'));
        let url = reqwest::Url::parse(&text)
            .map_err(|error| BadSettings::Url { account: account.clone(), reason: format!("{error} in `{text}`") })?;
        let mut product_token = HeaderValue::try_from(settings.product_token.reveal())
            .map_err(|_| BadSettings::Token { account: account.clone() })?;
        product_token.set_sensitive(true);
        let sender = settings.sender.clone();
        if !is_sender(&sender) {
            return Err(BadSettings::Sender { account, sender });
        }
        Ok(Cm { account, url, product_token, sender, http })
    }
}

/// A name of at most 11 characters, or a number of at most 16 digits.
fn is_sender(sender: &str) -> bool {
    let digits = sender.strip_prefix('+').unwrap_or(sender);
    if digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return (1..=16).contains(&digits.len());
    }
    let named = |character: char| character.is_ascii_alphanumeric() || matches!(character, ' ' | '-' | '_' | '.');
    sender.len() <= 11 && sender.chars().all(named)
}

#[async_trait]
impl Provider for Cm {
    fn name(&self) -> &'static str {
        super::NAME
    }

    fn account(&self) -> &str {
        &self.account
    }

    fn channel(&self) -> Channel {
        Channel::Sms
    }

    async fn send(&self, outgoing: &Outgoing) -> Answer {
        let Rendition::Sms(text) = &outgoing.body else {
            return Answer::Failed(failure::bad_request(failure::BAD_REQUEST, "only SMS is sent by this account"));
        };
        let reference = outgoing.token.to_string();
        let request = self
            .http
            .post(self.url.clone())
            .header("X-CM-PRODUCTTOKEN", self.product_token.clone())
            .json(&body(&self.sender, &outgoing.to, &reference, text));
        match exchange(request).await {
            Ok(reply) => answer(&reply, &reference, outgoing.token.attempt),
            Err(Broken::NotSent(detail)) => Answer::Failed(failure::unreachable(&detail)),
            Err(Broken::Lost(detail)) => Answer::Unknown { detail },
        }
    }
}

pub(super) fn body(sender: &str, to: &str, reference: &str, text: &sms::Text) -> Value {
    json!({"messages": {"msg": [{
        // Without this every channel that is set up at CM would be tried.
        "allowedChannels": ["SMS"],
        "from": sender,
        "to": [{"number": phone::cm_form(to)}],
        "reference": reference,
        "minimumNumberOfMessageParts": 1,
        "maximumNumberOfMessageParts": text.parts.max(PARTS_MAX),
        // AUTO is GSM-7 where the alphabet suffices and Unicode elsewhere, as it was counted.
        "body": {"type": "AUTO", "content": text.text},
    }]}})
}

/// What a reply says about the message.
///
/// An error code of CM's is a refusal, so nothing was taken, even in a 200. A bare 5xx is in doubt: a proxy on the way may
/// have lost the answer to a message that was taken. Only 429 and 503 say by their meaning that it was not.
pub(super) fn answer(reply: &Reply, reference: &str, attempt: u32) -> Answer {
    let status = reply.status.as_u16();
    let retry_after = failure::retry_after(&reply.headers);
    match status {
        429 => return Answer::Failed(failure::busy(failure::RATE_LIMITED, status, "CM answered 429", retry_after)),
        503 => return Answer::Failed(failure::busy(failure::PROVIDER_DOWN, status, "CM answered 503", retry_after)),
        _ => {}
    }
    let said: Option<Said> = reply.body.as_deref().and_then(|body| serde_json::from_slice(body).ok());
    match (said.and_then(|said| said.verdict(reference)), status) {
        (Some(Verdict::Taken), 200..=299) => Answer::Accepted { provider_id: reference.to_owned() },
        (Some(Verdict::Refused { code, words }), _) => {
            let hint = Hint { attempt, retry_after };
            Answer::Failed(super::table().classify(&code.to_string(), Some(&words), hint))
        }
        (_, 200..=299) => Answer::Unknown { detail: format!("CM answered {status} without a word about the message") },
        (_, 408 | 500..) => Answer::Unknown { detail: format!("the answer was {status}, without a reason") },
        _ => Answer::Failed(failure::refused(status, &format!("CM answered {status} without an error code"))),
    }
}

enum Verdict {
    Taken,
    Refused { code: i64, words: String },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Said {
    #[serde(default)]
    details: Option<String>,
    error_code: i64,
    #[serde(default)]
    messages: Option<Vec<SaidOfOne>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SaidOfOne {
    #[serde(default)]
    status: String,
    #[serde(default)]
    reference: Option<String>,
    #[serde(default)]
    message_details: Option<String>,
    #[serde(default)]
    message_error_code: i64,
}

/// The code that sends one to the single messages.
const LOOK_AT_EACH: i64 = 201;

impl Said {
    /// `None` where the answer is about another message, or about none.
    fn verdict(self, reference: &str) -> Option<Verdict> {
        let words = self.details.unwrap_or_default();
        let ours = |one: &SaidOfOne| one.reference.as_deref() == Some(reference);
        let one = self.messages.into_iter().flatten().find(ours);
        match one {
            Some(one) if one.message_error_code != 0 || one.status.eq_ignore_ascii_case("rejected") => {
                let code = if one.message_error_code == 0 { LOOK_AT_EACH } else { one.message_error_code };
                Some(Verdict::Refused { code, words: one.message_details.unwrap_or(words) })
            }
            _ if !matches!(self.error_code, 0 | LOOK_AT_EACH) => {
                Some(Verdict::Refused { code: self.error_code, words })
            }
            Some(one) if one.status.eq_ignore_ascii_case("accepted") => Some(Verdict::Taken),
            // All were rejected, and CM does not list them.
            None if self.error_code == LOOK_AT_EACH => Some(Verdict::Refused { code: LOOK_AT_EACH, words }),
            _ => None,
        }
    }
}
