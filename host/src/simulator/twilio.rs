//! Twilio's Messages API, for SMS and for `whatsapp:` addresses.

use std::sync::Arc;

use axum::{
    Router,
    body::Bytes,
    extract::{Path, State},
    http::{HeaderMap, header},
    response::Response,
    routing::post,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use subtle::ConstantTimeEq;

use super::{
    Channel, Content, EntryMedia, Provider, Simulator, Tick, UsedTemplate, cm,
    delivery::{self, Carried, Draft, Reason, Report, Wire},
    door::{self, Before, Said, Visit},
    phones, sms_parts,
    templates::render,
    trouble::{Fate, How},
    webhooks::Parcel,
};
use crate::clock::Timestamp;

const API_VERSION: &str = "2010-04-01";
const BODY_CHARACTERS_MAX: usize = 1600;
const MEDIA_MAX: usize = 10;
/// Twilio's own queue keeps a message for ten hours at most.
const VALIDITY_S_MAX: i64 = 36_000;

pub(crate) fn router() -> Router<Arc<Simulator>> {
    Router::new().route("/2010-04-01/Accounts/{sid}/Messages.json", post(messages))
}

/// The form of a request. Names may repeat.
struct Form(Vec<(String, String)>);

impl Form {
    fn read(bytes: &[u8]) -> Form {
        Form(url::form_urlencoded::parse(bytes).into_owned().collect())
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, value)| key == name && !value.is_empty()).map(|(_, value)| value.as_str())
    }

    fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(key, value)| key == name && !value.is_empty()).map(|(_, value)| value.as_str())
    }

    /// As an object for the ledger; a name that repeats becomes a list.
    fn shown(&self) -> Value {
        let mut shown = serde_json::Map::new();
        for (name, value) in &self.0 {
            let value = Value::from(value.as_str());
            match shown.get_mut(name) {
                Some(Value::Array(list)) => list.push(value),
                Some(one) => *one = Value::Array(vec![one.take(), value]),
                None => drop(shown.insert(name.clone(), value)),
            }
        }
        Value::Object(shown)
    }
}

struct Refusal(i64, String);

async fn messages(
    State(simulator): State<Arc<Simulator>>,
    Path(account): Path<String>,
    headers: HeaderMap,
    bytes: Bytes,
) -> Response {
    let form = Form::read(&bytes);
    let (channel, number) = address(form.get("To").unwrap_or_default());
    let troubles = simulator.troubles.take(Provider::Twilio, channel, number.as_deref().unwrap_or_default());
    let mut visit = Visit {
        provider: Provider::Twilio,
        path: format!("/{API_VERSION}/Accounts/{account}/Messages.json"),
        to: number.iter().cloned().collect(),
        tokens: form.get("StatusCallback").map(str::to_owned).into_iter().collect(),
        body: form.shown(),
        ids: Vec::new(),
        troubles,
    };
    match door::before(&visit.troubles, usually) {
        Before::Hang => door::refuse_to_answer(&simulator, visit).await,
        Before::Close => door::close_now(&simulator, visit),
        Before::Busy(seconds) => {
            let said = refusal(429, 20429, "Too Many Requests");
            door::answer(&simulator, visit, said, Some(seconds)).await
        }
        Before::Unavailable(status) => {
            let said = refusal(status, 20500, "An internal server error has occurred");
            door::answer(&simulator, visit, said, None).await
        }
        Before::Code(code, details) => {
            let said = refusal(status_of(code), code, &details.unwrap_or_else(|| words(code).into()));
            door::answer(&simulator, visit, said, None).await
        }
        Before::GoOn => {
            let said = match admit(&simulator, &headers, &account) {
                Ok(()) => take(&simulator, &form, channel, number, &mut visit),
                Err(refused) => Err(refused),
            };
            let said = said.unwrap_or_else(|Refusal(code, details)| refusal(status_of(code), code, &details));
            door::answer(&simulator, visit, said, None).await
        }
    }
}

fn take(
    simulator: &Arc<Simulator>,
    form: &Form,
    channel: Channel,
    number: Option<String>,
    visit: &mut Visit,
) -> Result<Said, Refusal> {
    let to = form.get("To").ok_or_else(|| Refusal(21604, "A 'To' phone number is required.".into()))?;
    let number = number.ok_or_else(|| Refusal(21211, format!("The 'To' number {to} is not a valid phone number.")))?;
    let from = sender(simulator, form, to, channel)?;
    check_content(form)?;
    check_options(form)?;
    if channel == Channel::Sms && simulator.phones.reach(&number, |state| state.phone.stopped) {
        return Err(Refusal(21610, "Attempt to send to unsubscribed recipient".into()));
    }
    let id = simulator.ids.sid(if form.get("MediaUrl").is_some() { "MM" } else { "SM" });
    visit.ids.push(id.clone());
    let (content, free_form) = content(simulator, form, channel);
    let answer = resource(simulator, form, &id, &from, to);
    let mut fate = Fate::of(&visit.troubles);
    fate.failure = door::failure(&visit.troubles, usually);
    let outside =
        channel == Channel::Whatsapp && free_form && !cm::window_is_open(simulator, Provider::Twilio, &number);
    let draft = Draft {
        id,
        provider: Provider::Twilio,
        channel,
        number,
        business: from,
        token: form.get("StatusCallback").map(str::to_owned),
        content,
        // The validity is that of Twilio's own queue, where nothing waits here.
        ttl_s: None,
        fate,
        refused: outside.then_some(Reason::OutsideWindow),
        wire: Wire::Twilio { to: to.to_owned(), callback: form.get("StatusCallback").map(str::to_owned) },
    };
    delivery::set_off(simulator, draft);
    Ok(Said::new(201, answer))
}

/// The channel and the number of `whatsapp:+33…` or `+33…`.
fn address(text: &str) -> (Channel, Option<String>) {
    let number = |text: &str| text.starts_with('+').then(|| phones::e164(text)).flatten();
    match text.strip_prefix("whatsapp:") {
        Some(rest) => (Channel::Whatsapp, number(rest)),
        None => (Channel::Sms, number(text)),
    }
}

fn sender(simulator: &Simulator, form: &Form, to: &str, channel: Channel) -> Result<String, Refusal> {
    let from = match (form.get("From"), form.get("MessagingServiceSid")) {
        (Some(from), _) => from.to_owned(),
        (None, Some(service)) if service.starts_with("MG") => simulator.options.twilio.number.clone(),
        (None, Some(service)) => {
            return Err(Refusal(21701, format!("The Messaging Service {service} does not exist.")));
        }
        (None, None) => return Err(Refusal(21603, "A 'From' phone number is required.".into())),
    };
    if from == to {
        return Err(Refusal(21266, "'To' and 'From' number cannot be the same".into()));
    }
    let senders = &simulator.options.twilio.senders;
    let known = senders.is_empty() || senders.contains(&from);
    match channel {
        Channel::Whatsapp if !known || address(&from).0 != channel => {
            Err(Refusal(63007, format!("Twilio could not find a Channel with the specified From address {from}")))
        }
        Channel::Sms if !known || !is_sms_sender(&from) => Err(Refusal(
            21212,
            format!("The 'From' number {from} is not a valid phone number, shortcode, or alphanumeric sender ID."),
        )),
        Channel::Whatsapp | Channel::Sms => Ok(from),
    }
}

/// A number, a short code, or at most eleven letters and digits with at least one letter.
fn is_sms_sender(from: &str) -> bool {
    let digits = from.bytes().all(|byte| byte.is_ascii_digit());
    let name = from.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, ' ' | '&' | '-' | '_' | '+'));
    address(from).1.is_some()
        || (digits && (3..=8).contains(&from.len()))
        || (!digits && name && (1..=11).contains(&from.len()))
}

fn check_content(form: &Form) -> Result<(), Refusal> {
    let media = form.all("MediaUrl").count();
    if form.get("Body").is_none() && media == 0 && form.get("ContentSid").is_none() {
        return Err(Refusal(21619, "A text message body or media urls must be specified.".into()));
    }
    if form.get("Body").is_some_and(|body| body.chars().count() > BODY_CHARACTERS_MAX) {
        return Err(Refusal(21617, "The concatenated message body exceeds the 1600 character limit.".into()));
    }
    if media > MEDIA_MAX {
        return Err(Refusal(21623, "Number of media files exceeds allowed limit of 10.".into()));
    }
    match form.get("ContentVariables").map(serde_json::from_str::<serde_json::Map<String, Value>>) {
        Some(Err(_)) => Err(Refusal(21656, "The ContentVariables Parameter is invalid".into())),
        Some(Ok(_)) | None => Ok(()),
    }
}

fn check_options(form: &Form) -> Result<(), Refusal> {
    if let Some(callback) = form.get("StatusCallback") {
        let valid = url::Url::parse(callback).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
        if !valid {
            return Err(Refusal(21609, format!("The StatusCallback URL {callback} is not a valid URL.")));
        }
    }
    let validity = form.get("ValidityPeriod").map(str::parse::<i64>);
    match validity {
        None => Ok(()),
        Some(Ok(seconds)) if (1..=VALIDITY_S_MAX).contains(&seconds) => Ok(()),
        Some(_) => Err(Refusal(30045, "The ValidityPeriod must be between 1 and 36000 seconds.".into())),
    }
}

/// What is shown, and whether it is free-form.
fn content(simulator: &Simulator, form: &Form, channel: Channel) -> (Content, bool) {
    let media: Vec<EntryMedia> = form.all("MediaUrl").map(picture).collect();
    let text = form.get("Body").unwrap_or_default();
    let (encoding, parts) = sms_parts::parts(text);
    let kind = if media.is_empty() { "text" } else { "image" };
    let mut content = Content { kind: kind.into(), text: Some(text.into()), media, ..Content::default() };
    if channel == Channel::Sms {
        content.parts = Some(parts);
        content.encoding = Some(encoding);
    }
    let Some(sid) = form.get("ContentSid") else { return (content, true) };
    let variables: serde_json::Map<String, Value> =
        form.get("ContentVariables").and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let parameters: Vec<(String, String)> = variables
        .into_iter()
        .map(|(name, value)| (name, value.as_str().map_or_else(|| value.to_string(), str::to_owned)))
        .collect();
    let known = simulator.templates.all().into_iter().find(|template| template.name == sid);
    let rendered = known.map(|template| render(template.body(), &parameters));
    content.kind = "template".into();
    content.text = rendered.clone().or(content.text.filter(|text| !text.is_empty()));
    content.template = Some(UsedTemplate {
        name: sid.into(),
        language: String::new(),
        parameters: parameters.into_iter().map(|(_, text)| text).collect(),
        rendered,
    });
    (content, false)
}

fn picture(url: &str) -> EntryMedia {
    EntryMedia { kind: "image".into(), url: Some(url.into()), ..EntryMedia::default() }
}

/// The message as Twilio shows it right after it was taken.
fn resource(simulator: &Simulator, form: &Form, id: &str, from: &str, to: &str) -> Value {
    let account = &simulator.options.twilio.account_sid;
    let now = rfc2822(simulator.now());
    let service = form.get("MessagingServiceSid");
    let body = form.get("Body").unwrap_or_default();
    let uri = format!("/{API_VERSION}/Accounts/{account}/Messages/{id}.json");
    json!({
        "account_sid": account,
        "api_version": API_VERSION,
        "body": body,
        "date_created": now,
        "date_sent": null,
        "date_updated": now,
        "direction": "outbound-api",
        "error_code": null,
        "error_message": null,
        "from": if service.is_some() { Value::Null } else { from.into() },
        "messaging_service_sid": service,
        "num_media": form.all("MediaUrl").count().to_string(),
        "num_segments": if service.is_some() { "0".to_owned() } else { sms_parts::parts(body).1.to_string() },
        "price": null,
        "price_unit": null,
        "sid": id,
        "status": if service.is_some() { "accepted" } else { "queued" },
        "subresource_uris": {"media": uri.replace(".json", "/Media.json")},
        "to": to,
        "uri": uri,
    })
}

fn rfc2822(at: Timestamp) -> String {
    at.to_jiff().strftime("%a, %d %b %Y %H:%M:%S +0000").to_string()
}

fn admit(simulator: &Simulator, headers: &HeaderMap, account: &str) -> Result<(), Refusal> {
    let options = &simulator.options.twilio;
    let wanted = format!("{}:{}", options.account_sid, options.auth_token);
    let sent = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let decoded = sent.strip_prefix("Basic ").and_then(|text| STANDARD.decode(text).ok()).unwrap_or_default();
    let known: bool = decoded.ct_eq(wanted.as_bytes()).into();
    if known && account == options.account_sid { Ok(()) } else { Err(Refusal(20003, "Authenticate".into())) }
}

fn refusal(status: u16, code: i64, message: &str) -> Said {
    let more_info = format!("https://www.twilio.com/docs/errors/{code}");
    Said::new(status, json!({"code": code, "message": message, "more_info": more_info, "status": status}))
}

pub(crate) fn code_of(reason: &Reason) -> i64 {
    match reason {
        Reason::NoWhatsapp => 63003,
        Reason::Blocked => 63014,
        Reason::OutsideWindow => 63016,
        Reason::NoSms => 30005,
        Reason::Code(code, _) => *code,
    }
}

/// The status callback of one step, to the URL that the request named; without one there is none.
pub(crate) fn report(simulator: &Simulator, carried: &Carried, report: &Report) -> Option<(String, Parcel)> {
    let Wire::Twilio { to, callback } = &carried.wire else { return None };
    let url = callback.clone()?;
    let status = match (report.tick, &report.reason) {
        (Tick::Sent, _) => "sent",
        (Tick::Delivered, _) => "delivered",
        (Tick::Read, _) => "read",
        // `failed` never left Twilio; `undelivered` was refused further on.
        (Tick::Failed, Some(Reason::OutsideWindow)) => "failed",
        (Tick::Failed, _) => "undelivered",
    };
    let mut fields = pairs(&[
        ("MessageSid", &carried.id),
        ("MessageStatus", status),
        ("SmsSid", &carried.id),
        ("SmsStatus", status),
        ("To", to),
        ("From", &carried.business),
        ("AccountSid", &simulator.options.twilio.account_sid),
        ("ApiVersion", API_VERSION),
    ]);
    if let Some(reason) = &report.reason {
        fields.extend(pairs(&[("ErrorCode", &code_of(reason).to_string())]));
    }
    if carried.channel == Channel::Whatsapp {
        fields.extend(pairs(&[("ChannelToAddress", &carried.number), ("ChannelPrefix", "whatsapp")]));
    }
    Some((url, Parcel::Form(fields)))
}

/// What a phone writes, as Twilio posts it.
pub(crate) fn incoming(
    simulator: &Simulator,
    number: &str,
    name: &str,
    id: &str,
    channel: Channel,
    content: &Content,
) -> Option<(String, Parcel)> {
    let url = simulator.settings().twilio_url()?;
    let prefix = if channel == Channel::Whatsapp { "whatsapp:" } else { "" };
    let text = content.text.clone().unwrap_or_default();
    let mut fields = pairs(&[
        ("MessageSid", id),
        ("SmsSid", id),
        ("SmsMessageSid", id),
        ("SmsStatus", "received"),
        ("AccountSid", &simulator.options.twilio.account_sid),
        ("ApiVersion", API_VERSION),
        ("From", &format!("{prefix}{number}")),
        ("To", &format!("{prefix}{}", simulator.options.twilio.number)),
        ("Body", &text),
        ("NumSegments", &sms_parts::parts(&text).1.to_string()),
        ("NumMedia", &content.media.len().to_string()),
    ]);
    for (at, media) in content.media.iter().enumerate() {
        let url = media.url.clone().unwrap_or_default();
        let mime_type = media.mime_type.clone().unwrap_or_else(|| "image/png".into());
        fields.extend(pairs(&[(&format!("MediaUrl{at}"), &url), (&format!("MediaContentType{at}"), &mime_type)]));
    }
    if channel == Channel::Whatsapp {
        fields.extend(of_whatsapp(number, name, content));
    }
    Some((url, Parcel::Form(fields)))
}

fn of_whatsapp(number: &str, name: &str, content: &Content) -> Vec<(String, String)> {
    let mut fields = pairs(&[
        ("ProfileName", name),
        ("WaId", number.trim_start_matches('+')),
        ("ExternalUserId", &phones::user_id(number)),
    ]);
    if let Some(button) = content.buttons.first() {
        fields.extend(pairs(&[("ButtonPayload", &button.id), ("ButtonText", &button.title)]));
    }
    if let Some(quoted) = &content.quotes {
        fields.extend(pairs(&[("OriginalRepliedMessageSid", quoted)]));
    }
    if let Some(place) = &content.place {
        fields.extend(pairs(&[("Latitude", &place.latitude.to_string()), ("Longitude", &place.longitude.to_string())]));
    }
    fields
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// The 2xxxx codes are refusals of the request; what comes after it was taken comes by status callback.
fn usually(code: i64) -> How {
    if code < 30_000 || matches!(code, 30045 | 63007) { How::Sync } else { How::Webhook }
}

fn status_of(code: i64) -> u16 {
    match code {
        20003 => 401,
        20404 => 404,
        20429 => 429,
        21408 => 403,
        _ => 400,
    }
}

fn words(code: i64) -> &'static str {
    match code {
        20003 => "Authenticate",
        21211 => "Invalid 'To' Phone Number",
        21408 => "Permission to send an SMS has not been enabled for the region indicated by the 'To' number",
        21610 => "Attempt to send to unsubscribed recipient",
        21612 => "The 'To' phone number is not currently reachable via SMS",
        21614 | 21635 => "'To' number is not a valid mobile number",
        _ => "The request was refused",
    }
}

/// Twilio takes these words, alone in a message, for a refusal of further ones, and for its end.
pub(crate) fn stops(text: &str) -> Option<bool> {
    match text.trim().to_uppercase().as_str() {
        "STOP" | "STOPALL" | "UNSUBSCRIBE" | "CANCEL" | "END" | "QUIT" | "REVOKE" | "OPTOUT" => Some(true),
        "START" | "YES" | "UNSTOP" => Some(false),
        _ => None,
    }
}
