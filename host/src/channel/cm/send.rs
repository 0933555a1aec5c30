//! Sending: one POST, and what its answer says of the one message in it.

use async_trait::async_trait;
use reqwest::header::HeaderValue;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::rich::conversation;

use crate::{
    channel::{
        CmSettings, Fallback, Outgoing, Provider, Rendition,
        exchange::{Broken, Reply, exchange},
        failure::{self, Hint},
        phone, whatsapp,
    },
    domain::{customer::Channel, message::Answer},
};

/// CM cuts off what takes more parts. Its own default, and more than a tenant usually allows: the text was cut by us, at a
/// word, and CM must not cut it again because it counts in another way.
const PARTS_MAX: u32 = 8;

/// One account, ready to send from.
pub struct Cm {
    settings: CmSettings,
    url: reqwest::Url,
    product_token: HeaderValue,
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
    #[error("cm account `{account}`: `sender` is `{sender}`; on WhatsApp it is a number, such as 0033139980001")]
    Number { account: String, sender: String },
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
        if settings.channel == Channel::Whatsapp && !is_number(&sender) {
            return Err(BadSettings::Number { account, sender });
        }
        Ok(Cm { settings: settings.clone(), url, product_token, http })
    }

    /// The request's body, with the attempt's token as its reference; or what cannot be said to CM.
    pub(super) fn body(&self, outgoing: &Outgoing) -> Result<Value, String> {
        let mut message = Map::new();
        // Without `allowedChannels` every channel that is set up at CM would be tried.
        let (channels, text, rich) = match (&outgoing.body, &outgoing.instead) {
            (Rendition::Sms(text), _) => (json!(["SMS"]), Some(text), None),
            (Rendition::Whatsapp(rendered), Some(text)) => {
                (json!(["WhatsApp", "SMS"]), Some(text), Some(self.rich(rendered, outgoing.mime_type.as_deref())?))
            }
            (Rendition::Whatsapp(rendered), None) => {
                (json!(["WhatsApp"]), None, Some(self.rich(rendered, outgoing.mime_type.as_deref())?))
            }
        };
        message.insert("allowedChannels".to_owned(), channels);
        message.insert("from".to_owned(), json!(self.settings.sender));
        message.insert("to".to_owned(), json!([{"number": phone::cm_form(&outgoing.to)}]));
        message.insert("reference".to_owned(), json!(outgoing.token.to_string()));
        if let Some(text) = text {
            message.insert("minimumNumberOfMessageParts".to_owned(), json!(1));
            message.insert("maximumNumberOfMessageParts".to_owned(), json!(text.parts.max(PARTS_MAX)));
            // AUTO is GSM-7 where the alphabet suffices and Unicode elsewhere, as it was counted.
            message.insert("body".to_owned(), json!({"type": "AUTO", "content": text.text}));
        }
        if let Some(rich) = rich {
            message.insert("richContent".to_owned(), rich);
        }
        Ok(json!({"messages": {"msg": [message]}}))
    }

    fn rich(&self, rendered: &whatsapp::Rendered, mime_type: Option<&str>) -> Result<Value, String> {
        let namespace = self.settings.template_namespace.as_deref();
        Ok(json!({"conversation": conversation(rendered, namespace, mime_type)?}))
    }
}

fn is_number(sender: &str) -> bool {
    sender.strip_prefix('+').unwrap_or(sender).bytes().all(|byte| byte.is_ascii_digit())
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
        match body {
            Rendition::Sms(_) => Ok(()),
            Rendition::Whatsapp(rendered) => self.rich(rendered, None).map(|_| ()),
        }
    }

    fn falls_back(&self) -> bool {
        self.settings.channel == Channel::Whatsapp && self.settings.fallback == Fallback::Provider
    }

    async fn send(&self, outgoing: &Outgoing) -> Answer {
        let body = match self.body(outgoing) {
            Ok(body) => body,
            Err(reason) => return Answer::Failed(failure::bad_request(failure::BAD_REQUEST, &reason)),
        };
        let reference = outgoing.token.to_string();
        let request =
            self.http.post(self.url.clone()).header("X-CM-PRODUCTTOKEN", self.product_token.clone()).json(&body);
        match exchange(request).await {
            Ok(reply) => answer(&reply, &reference, outgoing.token.attempt),
            Err(Broken::NotSent(detail)) => Answer::Failed(failure::unreachable(&detail)),
            Err(Broken::Lost(detail)) => Answer::Unknown { detail },
        }
    }
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
            let hint = Hint { attempt, retry_after, day: None };
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
