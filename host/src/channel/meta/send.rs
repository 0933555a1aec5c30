//! Sending: one POST; and the upload of what is given as bytes, which whoever sends asks for before.

use std::borrow::Cow;

use async_trait::async_trait;
use base64::{Engine, engine::general_purpose::STANDARD};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use serde::{Deserialize, Serialize, ser::SerializeMap};
use serde_json::{Value, json};

use crate::{
    channel::{
        MetaSettings, Outgoing, Provider, Rendition,
        exchange::{Broken, Reply, exchange},
        failure::{self, Hint},
        whatsapp::{REACTION, Rendered, Upload},
    },
    domain::{
        customer::{Channel, is_user_id},
        message::{Answer, AttemptFailure},
    },
};

/// Our code for media that cannot be uploaded or fetched.
const MEDIA_PROBLEM: &str = "media-problem";

/// One number, ready to send from.
pub struct Meta {
    account: String,
    countries: Vec<String>,
    preference: u32,
    messages_url: reqwest::Url,
    media_url: reqwest::Url,
    authorization: HeaderValue,
    http: reqwest::Client,
}

/// Settings that nothing can be sent with.
#[derive(Debug, thiserror::Error)]
pub enum BadSettings {
    #[error("meta account `{account}`: `base-url`, `version` and `phone-number-id` give no URL: {reason}")]
    Url { account: String, reason: String },
    #[error("meta account `{account}`: `access-token` holds characters that no HTTP header can carry")]
    Token { account: String },
}

impl Meta {
    pub fn new(settings: &MetaSettings, http: reqwest::Client) -> Result<Meta, BadSettings> {
        let account = settings.account.clone();
        let url = |path: &str| {
            let base = settings.base_url.trim_end_matches('/');
            let text = format!("{base}/{}/{}/{path}", settings.version, settings.phone_number_id);
            reqwest::Url::parse(&text)
                .map_err(|error| BadSettings::Url { account: account.clone(), reason: format!("{error} in `{text}`") })
        };
        let (messages_url, media_url) = (url("messages")?, url("media")?);
        let mut authorization = HeaderValue::try_from(format!("Bearer {}", settings.access_token.reveal()))
            .map_err(|_| BadSettings::Token { account: account.clone() })?;
        authorization.set_sensitive(true);
        let (countries, preference) = (settings.countries.clone(), settings.preference);
        Ok(Meta { account, countries, preference, messages_url, media_url, authorization, http })
    }
}

/// The content with the id of what was uploaded in its place.
fn payload<'a>(rendered: &'a Rendered, media_id: Option<&str>) -> Result<Cow<'a, Value>, AttemptFailure> {
    let Some(upload) = &rendered.upload else { return Ok(Cow::Borrowed(&rendered.payload)) };
    let mut payload = rendered.payload.clone();
    let place = payload.pointer_mut(upload.place).and_then(Value::as_object_mut);
    match (place, media_id) {
        (Some(media), Some(id)) => drop(media.insert("id".to_owned(), json!(id))),
        (None, _) => {
            let why = "the rendition has no place for its attachment";
            return Err(failure::bad_request(failure::BAD_REQUEST, why));
        }
        (_, None) => return Err(failure::bad_request(MEDIA_PROBLEM, "the attachment was not uploaded before")),
    }
    Ok(Cow::Owned(payload))
}

#[async_trait]
impl Provider for Meta {
    fn name(&self) -> &'static str {
        super::NAME
    }

    fn account(&self) -> &str {
        &self.account
    }

    fn channel(&self) -> Channel {
        Channel::Whatsapp
    }

    fn countries(&self) -> &[String] {
        &self.countries
    }

    fn preference(&self) -> u32 {
        self.preference
    }

    fn keeps_files(&self) -> bool {
        true
    }

    async fn upload(&self, upload: &Upload, attempt: u32) -> Result<String, AttemptFailure> {
        let bytes = STANDARD
            .decode(&upload.base64)
            .map_err(|error| failure::bad_request(MEDIA_PROBLEM, &format!("the attachment is no base64: {error}")))?;
        let part = reqwest::multipart::Part::bytes(bytes)
            .file_name(upload.filename.clone())
            .mime_str(&upload.mime_type)
            .map_err(|_| {
                let detail = format!("the attachment's type `{}` is no MIME type", upload.mime_type);
                failure::bad_request(MEDIA_PROBLEM, &detail)
            })?;
        let form = reqwest::multipart::Form::new()
            .text("messaging_product", "whatsapp")
            .text("type", upload.mime_type.clone())
            .part("file", part);
        let request = self.http.post(self.media_url.clone()).header(AUTHORIZATION, self.authorization.clone());
        let reply = match exchange(request.multipart(form)).await {
            Ok(reply) => reply,
            Err(Broken::NotSent(detail) | Broken::Lost(detail)) => {
                return Err(failure::unreachable(&format!("the upload of the attachment: {detail}")));
            }
        };
        if let (true, Some(uploaded)) = (reply.status.is_success(), parsed::<Uploaded>(&reply)) {
            return Ok(uploaded.id);
        }
        match answer(&reply, attempt) {
            Answer::Failed(failure) => Err(failure),
            Answer::Accepted { .. } | Answer::Unknown { .. } => {
                let status = reply.status.as_u16();
                Err(failure::busy(MEDIA_PROBLEM, status, "the upload of the attachment was not confirmed", None))
            }
        }
    }

    fn marks_read(&self) -> bool {
        true
    }

    async fn mark_read(&self, provider_id: &str, typing: bool) -> Result<(), AttemptFailure> {
        let mut body = json!({ "messaging_product": "whatsapp", "status": "read", "message_id": provider_id });
        if let Some(fields) = body.as_object_mut().filter(|_| typing) {
            fields.insert("typing_indicator".to_owned(), json!({ "type": "text" }));
        }
        let request = self.http.post(self.messages_url.clone()).header(AUTHORIZATION, self.authorization.clone());
        let reply = match exchange(request.json(&body)).await {
            Ok(reply) => reply,
            // To mark a message twice does no harm, so a lost answer is as good as none.
            Err(Broken::NotSent(detail) | Broken::Lost(detail)) => return Err(failure::unreachable(&detail)),
        };
        if reply.status.is_success() {
            return Ok(());
        }
        match answer(&reply, 1) {
            Answer::Failed(failure) => Err(failure),
            Answer::Accepted { .. } | Answer::Unknown { .. } => {
                Err(failure::busy(failure::PROVIDER_DOWN, reply.status.as_u16(), "the mark was not confirmed", None))
            }
        }
    }

    async fn send(&self, outgoing: &Outgoing) -> Answer {
        let Rendition::Whatsapp(rendered) = &outgoing.body else {
            return Answer::Failed(failure::bad_request(failure::BAD_REQUEST, "an SMS cannot be sent over WhatsApp"));
        };
        let attempt = outgoing.token.attempt;
        let rendered = match on_message(rendered, outgoing.quote.as_deref()) {
            Ok(rendered) => rendered,
            Err(failure) => return Answer::Failed(failure),
        };
        let payload = match payload(&rendered, outgoing.media_id.as_deref()) {
            Ok(payload) => payload,
            Err(failure) => return Answer::Failed(failure),
        };
        let envelope = Envelope { outgoing, kind: rendered.kind, payload: &payload };
        let body = match serde_json::to_vec(&envelope) {
            Ok(body) => body,
            Err(error) => return Answer::Failed(failure::bad_request(failure::BAD_REQUEST, &error.to_string())),
        };
        let request = self
            .http
            .post(self.messages_url.clone())
            .header(AUTHORIZATION, self.authorization.clone())
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .body(body);
        match exchange(request).await {
            Ok(reply) => answer(&reply, attempt),
            Err(Broken::NotSent(detail)) => Answer::Failed(failure::unreachable(&detail)),
            Err(Broken::Lost(detail)) => Answer::Unknown { detail },
        }
    }
}

/// A reaction with the message that it is put on; anything else as it is.
fn on_message<'a>(rendered: &'a Rendered, quoted: Option<&str>) -> Result<Cow<'a, Rendered>, AttemptFailure> {
    if rendered.kind != REACTION {
        return Ok(Cow::Borrowed(rendered));
    }
    let Some(quoted) = quoted else {
        let why = "the message that the reaction is put on is not there any more, or was none of WhatsApp's";
        return Err(failure::bad_request(failure::BAD_REQUEST, why));
    };
    let mut rendered = rendered.clone();
    if let Some(reaction) = rendered.payload.as_object_mut() {
        reaction.insert("message_id".to_owned(), json!(quoted));
    }
    Ok(Cow::Owned(rendered))
}

/// What a reply says about the message.
///
/// An error object is a refusal with Meta's reason, so nothing was taken. A bare 5xx is not: a proxy on the way may have
/// lost the answer to a message that was taken. Only 429 and 503 say by their meaning that it was not.
pub(super) fn answer(reply: &Reply, attempt: u32) -> Answer {
    let status = reply.status.as_u16();
    let retry_after = failure::retry_after(&reply.headers);
    if let Some(Refusal { error }) = parsed(reply) {
        return Answer::Failed(error.failure(status, Hint { attempt, retry_after, day: None }));
    }
    match status {
        200..=299 => match parsed::<Taken>(reply).and_then(|taken| taken.messages.into_iter().next()) {
            Some(message) if !message.id.is_empty() => Answer::Accepted { provider_id: message.id },
            _ => Answer::Unknown { detail: format!("Meta answered {status} without a message's id") },
        },
        429 => Answer::Failed(failure::busy(failure::RATE_LIMITED, status, "Meta answered 429", retry_after)),
        503 => Answer::Failed(failure::busy(failure::PROVIDER_DOWN, status, "Meta answered 503", retry_after)),
        408 | 500.. => Answer::Unknown { detail: format!("the answer was {status}, without a reason") },
        _ => Answer::Failed(failure::refused(status, &format!("Meta answered {status} without an error code"))),
    }
}

fn parsed<T: for<'de> Deserialize<'de>>(reply: &Reply) -> Option<T> {
    serde_json::from_slice(reply.body.as_deref()?).ok()
}

/// The body of a send, written without copying the content.
struct Envelope<'a> {
    outgoing: &'a Outgoing,
    kind: &'static str,
    payload: &'a Value,
}

impl Serialize for Envelope<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("messaging_product", "whatsapp")?;
        map.serialize_entry("recipient_type", "individual")?;
        // Always with the plus: without it Meta puts the business's own country code in front. Who hides the number has an id,
        // which goes into a field of its own.
        let whom = if is_user_id(&self.outgoing.to) { "recipient" } else { "to" };
        map.serialize_entry(whom, &self.outgoing.to)?;
        // A template cannot quote, and says what it is about in its own words; a reaction names its message itself.
        let quotes = self.kind != "template" && self.kind != REACTION;
        if let Some(quoted) = self.outgoing.quote.as_ref().filter(|_| quotes) {
            map.serialize_entry("context", &json!({ "message_id": quoted }))?;
        }
        map.serialize_entry("type", self.kind)?;
        map.serialize_entry(self.kind, self.payload)?;
        map.serialize_entry("biz_opaque_callback_data", &self.outgoing.token.to_string())?;
        map.end()
    }
}

#[derive(Deserialize)]
struct Taken {
    messages: Vec<TakenMessage>,
}

#[derive(Deserialize)]
struct TakenMessage {
    id: String,
}

#[derive(Deserialize)]
struct Uploaded {
    id: String,
}

#[derive(Deserialize)]
struct Refusal {
    error: GraphError,
}

/// An error as it comes in an answer and in the webhook of a failed status. Build on the code and on `details`; the other
/// words are not stable.
#[derive(Debug, Deserialize)]
pub(super) struct GraphError {
    code: i64,
    #[serde(default)]
    message: Option<String>,
    #[serde(default)]
    title: Option<String>,
    #[serde(default)]
    error_data: Option<ErrorData>,
    #[serde(default)]
    fbtrace_id: Option<String>,
}

#[derive(Debug, Deserialize)]
struct ErrorData {
    #[serde(default)]
    details: Option<String>,
}

impl GraphError {
    /// `http_status` is 0 where the error came in a webhook.
    pub(super) fn failure(&self, http_status: u16, hint: Hint) -> AttemptFailure {
        let code = self.code.to_string();
        let mut failure = super::table().classify(&code, Some(&self.words()), hint);
        // A code that is new to us, in an answer that says by its status that it is a matter of time.
        if !super::table().knows(&code) && matches!(http_status, 429 | 503) {
            let ours = if http_status == 429 { failure::RATE_LIMITED } else { failure::PROVIDER_DOWN };
            failure = AttemptFailure {
                provider_code: Some(code),
                ..failure::busy(ours, http_status, &self.words(), hint.retry_after)
            };
        }
        failure
    }

    fn words(&self) -> String {
        let details = self.error_data.as_ref().and_then(|data| data.details.as_deref());
        let words = details.or(self.message.as_deref()).or(self.title.as_deref()).unwrap_or("no words");
        match &self.fbtrace_id {
            Some(trace) => format!("{words} (trace {trace})"),
            None => words.to_owned(),
        }
    }
}
