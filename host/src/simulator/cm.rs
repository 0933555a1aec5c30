//! CM.com's Business Messaging API. Names are matched without regard to case, as the real one does.

use std::sync::Arc;

use axum::{Router, body::Bytes, extract::State, http::HeaderMap, response::Response, routing::post};
use serde_json::{Value, json};
use subtle::ConstantTimeEq;

use super::{
    Channel, Content, EntryMedia, Place, Provider, Simulator, Tick, UsedTemplate, Window,
    delivery::{self, Carried, Draft, Reason, Report, Wire},
    door::{self, Before, Said, Visit},
    phones, sms_parts,
    templates::{Known, render},
    trouble::{Fate, How, Kind},
    webhooks::Parcel,
};
use crate::clock::Timestamp;

/// CM.com's own bounds.
const MESSAGES_MAX: usize = 1000;
const RECIPIENTS_MAX: usize = 1000;
const REFERENCE_CHARACTERS_MAX: usize = 32;
const PARTS_MAX: usize = 8;

pub(crate) fn router() -> Router<Arc<Simulator>> {
    Router::new().route("/v1.0/message", post(messages))
}

/// One recipient of one message.
struct Leg {
    to: String,
    number: Option<String>,
    channel: Channel,
    sms_allowed: bool,
    reference: Option<String>,
    message: Value,
    troubles: Vec<Kind>,
}

/// Why a message is not taken: CM.com's code and words.
struct Refusal(i64, String);

async fn messages(State(simulator): State<Arc<Simulator>>, headers: HeaderMap, bytes: Bytes) -> Response {
    let body: Value = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    let mut legs = legs(&simulator, &body).unwrap_or_default();
    for leg in &mut legs {
        leg.troubles = simulator.troubles.take(Provider::Cm, leg.channel, leg.number.as_deref().unwrap_or_default());
    }
    let mut visit = Visit {
        provider: Provider::Cm,
        path: "/v1.0/message".into(),
        to: legs.iter().filter_map(|leg| leg.number.clone()).collect(),
        tokens: legs.iter().filter_map(|leg| leg.reference.clone()).collect(),
        ids: Vec::new(),
        troubles: legs.iter().flat_map(|leg| leg.troubles.iter().cloned()).collect(),
        body,
    };
    match door::before(&visit.troubles, usually) {
        Before::Hang => door::refuse_to_answer(&simulator, visit).await,
        Before::Close => door::close_now(&simulator, visit),
        Before::Busy(seconds) => {
            door::answer(&simulator, visit, refusal(429, 999, "Too many requests"), Some(seconds)).await
        }
        Before::Unavailable(status) => {
            door::answer(&simulator, visit, refusal(status, 500, "Internal error"), None).await
        }
        Before::Code(code, details) if is_for_all(code) => {
            let details = details.unwrap_or_else(|| words(code).into());
            let status = if code == 500 { 500 } else { 400 };
            door::answer(&simulator, visit, refusal(status, code, &details), None).await
        }
        Before::Code(..) | Before::GoOn => {
            let said = consider(&simulator, &headers, &mut visit, legs);
            door::answer(&simulator, visit, said, None).await
        }
    }
}

fn consider(simulator: &Arc<Simulator>, headers: &HeaderMap, visit: &mut Visit, legs: Vec<Leg>) -> Said {
    if !is_known(simulator, headers, &visit.body) {
        return refusal(400, 101, "No account found for the given authentication");
    }
    if let Err(Refusal(code, details)) = self::legs(simulator, &visit.body) {
        return refusal(400, code, &details);
    }
    let count = legs.len();
    let answers: Vec<Value> = legs.into_iter().map(|leg| answer_leg(simulator, visit, leg)).collect();
    let taken = visit.ids.len();
    let code = if taken == count { 0 } else { 201 };
    let body = json!({"details": format!("Created {taken} message(s)"), "errorCode": code, "messages": answers});
    Said::new(if taken == 0 { 400 } else { 200 }, body)
}

/// Takes one message apart, so that each recipient of each is checked and answered alone.
fn legs(simulator: &Simulator, body: &Value) -> Result<Vec<Leg>, Refusal> {
    let messages = field(body, "messages").filter(|messages| messages.is_object());
    let messages = messages.ok_or_else(|| Refusal(202, "The JSON is malformed: `messages` is missing".into()))?;
    let list = field(messages, "msg").and_then(Value::as_array).filter(|list| (1..=MESSAGES_MAX).contains(&list.len()));
    let list = list.ok_or_else(|| Refusal(203, "The MSG array is incorrect".into()))?;
    Ok(list.iter().flat_map(|message| legs_of(simulator, message)).collect())
}

fn legs_of(simulator: &Simulator, message: &Value) -> Vec<Leg> {
    let (channel, sms_allowed) = channels(simulator, message);
    let reference = field(message, "reference").and_then(Value::as_str).map(str::to_owned);
    let recipients = field(message, "to").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let leg = |to: &str| Leg {
        to: to.to_owned(),
        number: phones::e164(to),
        channel,
        sms_allowed,
        reference: reference.clone(),
        message: message.clone(),
        troubles: Vec::new(),
    };
    if recipients.is_empty() {
        return vec![leg("")];
    }
    let number = |to: &Value| field(to, "number").and_then(Value::as_str).unwrap_or_default().to_owned();
    recipients.iter().take(RECIPIENTS_MAX).map(|to| leg(&number(to))).collect()
}

/// The channel that is tried first, and whether SMS may follow.
fn channels(simulator: &Simulator, message: &Value) -> (Channel, bool) {
    let named: Option<Vec<String>> = field(message, "allowedChannels")
        .and_then(Value::as_array)
        .map(|list| list.iter().filter_map(Value::as_str).map(str::to_lowercase).collect());
    let allows = |channel: Channel, name: &str| match &named {
        Some(named) => named.iter().any(|found| found == name),
        None => simulator.options.cm.channels.contains(&channel),
    };
    let sms = allows(Channel::Sms, "sms");
    if allows(Channel::Whatsapp, "whatsapp") { (Channel::Whatsapp, sms) } else { (Channel::Sms, sms) }
}

fn answer_leg(simulator: &Arc<Simulator>, visit: &mut Visit, leg: Leg) -> Value {
    let (to, reference) = (leg.to.clone(), leg.reference.clone().unwrap_or_default());
    match take(simulator, leg) {
        Ok((id, parts)) => {
            visit.ids.push(id);
            json!({"to": to, "status": "Accepted", "reference": reference, "parts": parts, "messageDetails": null, "messageErrorCode": 0})
        }
        Err(Refusal(code, details)) => {
            json!({"to": to, "status": "Rejected", "reference": reference, "parts": 0, "messageDetails": details, "messageErrorCode": code})
        }
    }
}

fn take(simulator: &Arc<Simulator>, leg: Leg) -> Result<(String, usize), Refusal> {
    let number = check(&leg)?;
    let text =
        field(&leg.message, "body").and_then(|body| field(body, "content")).and_then(Value::as_str).unwrap_or_default();
    let (_, parts) = sms_parts::parts(text);
    let (content, free_form) = match leg.channel {
        Channel::Sms => (sms(text), false),
        Channel::Whatsapp => rich(simulator, &leg.message, text),
    };
    let mut fate = Fate::of(&leg.troubles);
    fate.failure = door::failure(&leg.troubles, usually);
    let id = format!("cm-{}", simulator.ids.reference());
    let draft = Draft {
        id: id.clone(),
        provider: Provider::Cm,
        channel: leg.channel,
        business: field(&leg.message, "from").and_then(Value::as_str).unwrap_or("cm.com").to_owned(),
        token: leg.reference,
        content,
        ttl_s: None,
        fate,
        refused: (free_form && !window_is_open(simulator, Provider::Cm, &number)).then_some(Reason::OutsideWindow),
        wire: Wire::Cm {
            to: leg.to,
            sms: (leg.sms_allowed && leg.channel == Channel::Whatsapp && !text.is_empty()).then(|| text.to_owned()),
        },
        number,
    };
    delivery::set_off(simulator, draft);
    Ok((id, parts))
}

/// Whether the user wrote to the business on WhatsApp less than 24 hours ago.
pub(crate) fn window_is_open(simulator: &Simulator, provider: Provider, number: &str) -> bool {
    const WINDOW_MS: i64 = 24 * 3600 * 1000;
    let settings = simulator.settings();
    let wrote_at: Option<Timestamp> = simulator.phones.reach(number, |state| state.wrote_at.get(&provider).copied());
    settings.window == Window::Off || wrote_at.is_some_and(|at| simulator.now().0.saturating_sub(at.0) < WINDOW_MS)
}

fn check(leg: &Leg) -> Result<String, Refusal> {
    if let Before::Code(code, details) = door::before(&leg.troubles, usually) {
        return Err(Refusal(code, details.unwrap_or_else(|| words(code).into())));
    }
    check_from(&leg.message)?;
    if leg.to.is_empty() {
        return Err(Refusal(302, "The To is missing or invalid".into()));
    }
    let number = leg.number.clone().ok_or_else(|| Refusal(303, format!("The number {} is invalid", leg.to)))?;
    check_body(leg)?;
    check_rest(leg)?;
    Ok(number)
}

/// At most 11 letters and digits, or 16 digits of a number.
fn check_from(message: &Value) -> Result<(), Refusal> {
    let Some(from) = field(message, "from") else { return Ok(()) };
    let from = from.as_str().unwrap_or_default();
    let digits = from.trim_start_matches('+');
    let number = digits.bytes().all(|byte| byte.is_ascii_digit()) && (1..=16).contains(&digits.len());
    let name = from.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, ' ' | '.' | '-'))
        && (1..=11).contains(&from.len());
    if number || name { Ok(()) } else { Err(Refusal(301, format!("The From {from:?} is invalid"))) }
}

fn check_body(leg: &Leg) -> Result<(), Refusal> {
    let body = field(&leg.message, "body");
    let content = body.and_then(|body| field(body, "content")).and_then(Value::as_str).unwrap_or_default();
    let kind = body.and_then(|body| field(body, "type")).and_then(Value::as_str).unwrap_or("auto").to_lowercase();
    if !matches!(kind.as_str(), "auto" | "text" | "binary") {
        return Err(Refusal(304, format!("The body type {kind:?} is invalid")));
    }
    let rich = leg.channel == Channel::Whatsapp && field(&leg.message, "richContent").is_some();
    if rich && templates(&leg.message).any(|own| !is_named(own)) {
        return Err(Refusal(304, "A template needs its element_name and the code of its language".into()));
    }
    if content.is_empty() && !rich { Err(Refusal(304, "The body is empty".into())) } else { Ok(()) }
}

fn templates(message: &Value) -> impl Iterator<Item = &Value> {
    let conversation = field(message, "richContent").and_then(|rich| field(rich, "conversation"));
    let items = conversation.and_then(Value::as_array).into_iter().flatten();
    items.filter_map(|item| field(field(item, "template")?, "whatsapp"))
}

fn is_named(template: &Value) -> bool {
    let some = |text: Option<&Value>| text.and_then(Value::as_str).is_some_and(|text| !text.is_empty());
    some(field(template, "element_name")) && some(field(template, "language").and_then(|own| field(own, "code")))
}

fn check_rest(leg: &Leg) -> Result<(), Refusal> {
    if let Some(reference) = &leg.reference {
        let fits = (1..=REFERENCE_CHARACTERS_MAX).contains(&reference.len());
        if !fits || !reference.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(Refusal(305, "The reference must be 1 to 32 letters and digits".into()));
        }
    }
    let most = field(&leg.message, "maximumNumberOfMessageParts").and_then(Value::as_u64).unwrap_or(1);
    if most > PARTS_MAX as u64 { Err(Refusal(305, "maximumNumberOfMessageParts is above 8".into())) } else { Ok(()) }
}

fn is_known(simulator: &Simulator, headers: &HeaderMap, body: &Value) -> bool {
    let in_header = headers.get("x-cm-producttoken").and_then(|token| token.to_str().ok());
    let in_body = || {
        let authentication = field(field(body, "messages")?, "authentication")?;
        field(authentication, "productToken")?.as_str()
    };
    let wanted = simulator.options.cm.product_token.to_lowercase();
    let sent = in_header.or_else(in_body).unwrap_or_default().to_lowercase();
    sent.as_bytes().ct_eq(wanted.as_bytes()).into()
}

fn sms(text: &str) -> Content {
    let (encoding, parts) = sms_parts::parts(text);
    Content { parts: Some(parts), encoding: Some(encoding), ..Content::text(text) }
}

/// What WhatsApp shows, and whether it is free-form.
fn rich(simulator: &Simulator, message: &Value, fallback: &str) -> (Content, bool) {
    let conversation =
        field(message, "richContent").and_then(|rich| field(rich, "conversation")).and_then(Value::as_array);
    let mut content = Content { kind: "text".into(), ..Content::default() };
    let mut free_form = true;
    for item in conversation.into_iter().flatten() {
        if let Some(template) = field(item, "template").and_then(|template| field(template, "whatsapp")) {
            free_form = false;
            content = self::template(simulator, template);
        } else if let Some(media) = field(item, "media") {
            content.media.push(attachment(media));
        } else if let Some(interactive) =
            field(item, "interactive").and_then(|own| super::meta_interactive::check(own).ok())
        {
            content = interactive;
        } else if let Some(place) = field(item, "location") {
            content.kind = "location".into();
            content.place = Some(self::place(place));
        } else if let Some(text) = field(item, "text").and_then(Value::as_str) {
            content.text = Some(text.to_owned());
        }
    }
    if let (Some(first), true) = (content.media.first(), content.kind == "text") {
        content.kind = first.kind.clone();
    }
    let nothing =
        content.text.is_none() && content.media.is_empty() && content.place.is_none() && content.template.is_none();
    if nothing { (Content::text(fallback), free_form) } else { (content, free_form) }
}

fn attachment(media: &Value) -> EntryMedia {
    let text = |name: &str| field(media, name).and_then(Value::as_str).map(str::to_owned);
    let mime_type = text("mimeType");
    let family = mime_type.as_deref().and_then(|mime| mime.split('/').next()).unwrap_or_default();
    let kind = if matches!(family, "image" | "video" | "audio") { family } else { "document" };
    EntryMedia { kind: kind.into(), url: text("mediaUri"), id: None, filename: text("mediaName"), mime_type }
}

fn place(place: &Value) -> Place {
    let degrees = |name: &str| {
        let value = field(place, name).and_then(|value| value.as_f64().or_else(|| value.as_str()?.parse().ok()));
        value.unwrap_or_default()
    };
    let text = |name: &str| field(place, name).and_then(Value::as_str).map(str::to_owned);
    Place {
        latitude: degrees("latitude"),
        longitude: degrees("longitude"),
        name: text("label").or_else(|| text("name")),
        address: text("address"),
    }
}

fn template(simulator: &Simulator, own: &Value) -> Content {
    let name = field(own, "element_name").and_then(Value::as_str).unwrap_or_default();
    let language =
        field(own, "language").and_then(|language| field(language, "code")).and_then(Value::as_str).unwrap_or_default();
    let components = field(own, "components").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let parameters_of = |wanted: &str| {
        let fits = |component: &&Value| {
            field(component, "type").and_then(Value::as_str).is_some_and(|kind| kind.eq_ignore_ascii_case(wanted))
        };
        let component = components.iter().find(fits);
        component
            .and_then(|component| field(component, "parameters"))
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default()
    };
    let texts = |list: &[Value], name: &str| {
        list.iter().filter_map(|one| field(one, name)?.as_str()).map(str::to_owned).collect::<Vec<_>>()
    };
    let old = field(own, "localizable_params").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let mut parameters = texts(&parameters_of("body"), "text");
    parameters.extend(texts(old, "default"));
    let rendered = match simulator.templates.look_up(name, language) {
        Known::Found(template) => {
            let named: Vec<_> =
                parameters.iter().enumerate().map(|(at, text)| ((at + 1).to_string(), text.clone())).collect();
            Some(render(template.body(), &named))
        }
        Known::Anything | Known::Missing => None,
    };
    Content {
        kind: "template".into(),
        text: rendered.clone(),
        media: parameters_of("header").iter().filter_map(|one| field(one, "media")).map(attachment).collect(),
        template: Some(UsedTemplate { name: name.into(), language: language.into(), parameters, rendered }),
        ..Content::default()
    }
}

/// The message that goes out by SMS because WhatsApp failed, where the request allowed that.
pub(crate) fn instead_by_sms(simulator: &Simulator, carried: &Carried) -> Option<Draft> {
    let Wire::Cm { to, sms: Some(text) } = &carried.wire else { return None };
    Some(Draft {
        id: format!("cm-{}", simulator.ids.reference()),
        provider: Provider::Cm,
        channel: Channel::Sms,
        number: carried.number.clone(),
        business: carried.business.clone(),
        token: carried.token.clone(),
        content: sms(text),
        ttl_s: None,
        fate: Fate { failure: None, ..carried.fate.clone() },
        refused: None,
        wire: Wire::Cm { to: to.clone(), sms: None },
    })
}

pub(crate) fn code_of(reason: &Reason) -> i64 {
    match reason {
        Reason::Code(code, _) => *code,
        Reason::Blocked => 403,
        Reason::NoWhatsapp | Reason::OutsideWindow | Reason::NoSms => 999,
    }
}

/// The status report of one step. It has the form of CM.com's template: one object, numbers as text.
pub(crate) fn report(simulator: &Simulator, carried: &Carried, report: &Report) -> Option<(String, Parcel)> {
    let url = simulator.settings().cm_url(&simulator.options.cm.webhook_secret)?;
    let Wire::Cm { to, .. } = &carried.wire else { return None };
    let failed = report.reason.as_ref().map(|reason| (code_of(reason), describe(reason)));
    let status = match (report.tick, &failed) {
        (Tick::Sent, _) => "0",
        (Tick::Delivered, _) => "2",
        (Tick::Read, _) => "4",
        (Tick::Failed, Some((400..=499, _))) => "1",
        (Tick::Failed, _) => "3",
    };
    let (code, description) = failed.map_or((String::new(), String::new()), |(code, words)| (code.to_string(), words));
    let operator = if carried.channel == Channel::Sms { "20801" } else { "" };
    let body = json!({"messages": {"msg": {
        "received": without_zone(report.at),
        "to": to,
        "reference": carried.token.clone().unwrap_or_default(),
        "status": {"code": status, "errorCode": code, "errorDescription": description},
        "operator": operator,
        "channel": match carried.channel { Channel::Whatsapp => "WhatsApp", Channel::Sms => "SMS" },
    }}});
    Some((url, Parcel::Cm(body)))
}

fn describe(reason: &Reason) -> String {
    match reason {
        Reason::NoWhatsapp => "The number has no WhatsApp".into(),
        Reason::Blocked => "Blocked by the user".into(),
        Reason::OutsideWindow => "More than 24 hours since the user last wrote".into(),
        Reason::NoSms => "The number cannot be reached by SMS".into(),
        Reason::Code(code, details) => details.clone().unwrap_or_else(|| words(*code).into()),
    }
}

/// What a phone writes, as CM.com posts it.
pub(crate) fn incoming(
    simulator: &Simulator,
    number: &str,
    name: &str,
    channel: Channel,
    content: &Content,
) -> Option<(String, Parcel)> {
    let url = simulator.settings().cm_url(&simulator.options.cm.webhook_secret)?;
    let picture = content.media.first();
    let of_picture = |read: fn(&EntryMedia) -> Option<&String>| picture.and_then(read).cloned().unwrap_or_default();
    let body = json!({
        "from": {"number": number.replacen('+', "00", 1), "name": name},
        "to": {"number": simulator.options.cm.number},
        "message": {
            "text": content.text.clone().unwrap_or_default(),
            "media": {
                "mediaUri": of_picture(|media| media.url.as_ref()),
                "contentType": of_picture(|media| media.mime_type.as_ref()),
                "title": "",
            },
            "custom": custom(content),
        },
        "reference": simulator.ids.reference(),
        "groupings": ["", "", ""],
        "timeUtc": without_zone(simulator.now()),
        "channel": match channel { Channel::Whatsapp => "WhatsApp", Channel::Sms => "SMS" },
        "messageContext": content.quotes.clone().unwrap_or_default(),
    });
    Some((url, Parcel::Cm(body)))
}

/// Where the form for a place or a tapped button is not documented, the simulator says it in `custom`.
fn custom(content: &Content) -> Value {
    if let Some(place) = &content.place {
        return json!({"location": {"latitude": place.latitude, "longitude": place.longitude}});
    }
    content.buttons.first().map_or(json!({}), |button| json!({"buttonReply": {"id": button.id, "title": button.title}}))
}

/// A time in UTC that does not say so.
fn without_zone(at: Timestamp) -> String {
    at.rfc3339().chars().take("2026-01-15T10:30:02".len()).collect()
}

fn refusal(status: u16, code: i64, details: &str) -> Said {
    Said::new(status, json!({"details": details, "errorCode": code, "messages": []}))
}

/// Everything that CM.com refuses, it refuses in the answer.
fn usually(_: i64) -> How {
    How::Sync
}

/// Whether a code is about the request and not about one of its messages.
fn is_for_all(code: i64) -> bool {
    matches!(code, 101..=103 | 202 | 203 | 500 | 999)
}

fn words(code: i64) -> &'static str {
    match code {
        101 => "No account found for the given authentication",
        102 => "The account balance is insufficient",
        103 => "The product token is incorrect",
        201 => "One or more messages were not sent",
        202 => "The JSON is malformed",
        203 => "The MSG array is incorrect",
        301 => "The From is invalid",
        302 => "The To is invalid",
        303 => "The number is invalid",
        304 => "The Body is invalid",
        305 => "A field is invalid",
        401 => "Filtered as spam",
        402 => "The number is on the blacklist",
        403 => "Rejected",
        500 => "Internal error",
        _ => "Unknown error",
    }
}

/// A field whatever the case of its name. The exact name is tried first, since it is what nearly all send.
fn field<'a>(object: &'a Value, name: &str) -> Option<&'a Value> {
    let fields = object.as_object()?;
    fields.get(name).or_else(|| fields.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value))
}
