//! What Twilio posts: status callbacks, and what customers write, on SMS and on WhatsApp.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{
    channel::{
        IncomingReport, Report, StatusReport, failure,
        failure::Hint,
        phone,
        signature::{Refused, fits_any, hmac_sha1, hmac_sha256, same},
    },
    domain::{
        customer::{Channel, is_user_id},
        message::{MediaKind, Place},
        quota::Money,
        run::IncomingMedia,
        status::AttemptState,
    },
    ids::AttemptToken,
    secret::Secret,
};

const SIGNATURE: &str = "X-Twilio-Signature";

/// Twilio attaches at most ten files to a message.
const MEDIA_MAX: usize = 10;

/// Whether a callback is genuine. `public_url` is the URL that Twilio called, as far as the query; `params` are those of the
/// form, empty for another body; `header` is `X-Twilio-Signature`.
///
/// It is HMAC-SHA1, or HMAC-SHA256 where the newer settings header says so. Which one is told by the length of what came
/// rather than by that header, which nobody signs: both need the token, so neither lets anybody in whom the other would not.
pub fn verify(
    auth_tokens: &[Secret],
    public_url: &str,
    query: Option<&str>,
    params: &[(String, String)],
    raw_body: &[u8],
    header: Option<&str>,
) -> Result<(), Refused> {
    let header = header.ok_or(Refused::Missing(SIGNATURE))?;
    let malformed = |reason| Refused::Malformed { header: SIGNATURE, reason };
    let given = STANDARD.decode(header.trim()).map_err(|_| malformed("it is no base64"))?;
    if !matches!(given.len(), 20 | 32) {
        return Err(malformed("it is as long as neither SHA-1 nor SHA-256"));
    }
    let mut signed = String::new();
    match body_digest(query) {
        // Of a body that is no form, the URL carries the digest and alone is signed.
        Some(digest) if same(hex(&Sha256::digest(raw_body)).as_bytes(), digest.to_ascii_lowercase().as_bytes()) => {}
        Some(_) => return Err(Refused::Mismatch(SIGNATURE)),
        None if params.is_empty() && !raw_body.is_empty() => return Err(Refused::Mismatch(SIGNATURE)),
        None => signed = joined(params),
    }
    let query = query.filter(|query| !query.is_empty()).map(|query| format!("?{query}")).unwrap_or_default();
    let fits = fits_any(auth_tokens, |token| {
        urls(public_url).iter().fold(false, |fits, url| {
            let parts = [url.as_bytes(), query.as_bytes(), signed.as_bytes()];
            fits | fits_key(token.reveal().as_bytes(), &parts, &given)
        })
    })?;
    if fits { Ok(()) } else { Err(Refused::Mismatch(SIGNATURE)) }
}

fn fits_key(key: &[u8], parts: &[&[u8]], given: &[u8]) -> bool {
    if given.len() == 20 { same(&hmac_sha1(key, parts), given) } else { same(&hmac_sha256(key, parts), given) }
}

/// The parameters as they are signed: sorted by name, each name followed by its value. What is there twice counts once.
fn joined(params: &[(String, String)]) -> String {
    let mut sorted: Vec<&(String, String)> = params.iter().collect();
    sorted.sort();
    sorted.dedup();
    sorted.iter().flat_map(|(name, value)| [name.as_str(), value.as_str()]).collect()
}

fn body_digest(query: Option<&str>) -> Option<String> {
    let pairs = url::form_urlencoded::parse(query?.as_bytes());
    pairs.into_iter().find(|(name, _)| name == "bodySHA256").map(|(_, digest)| digest.into_owned())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The URL as it is configured, and with or without its port: a proxy on the way may have added or removed that.
fn urls(public_url: &str) -> Vec<String> {
    let mut urls = vec![public_url.to_owned()];
    let Some((scheme, rest)) = public_url.split_once("://") else { return urls };
    let (host, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    let port_at = host.rfind(':').filter(|at| !host.get(at + 1..).unwrap_or_default().contains(']'));
    urls.extend(match (port_at.and_then(|at| host.get(..at)), scheme) {
        (Some(bare), _) => Some(format!("{scheme}://{bare}{path}")),
        (None, "https") => Some(format!("{scheme}://{host}:443{path}")),
        (None, "http") => Some(format!("{scheme}://{host}:80{path}")),
        (None, _) => None,
    });
    urls
}

/// Reads a callback or an incoming message. `token` is what stood in the URL of the callback.
pub fn parse(params: &[(String, String)], token: Option<AttemptToken>) -> Vec<Report> {
    let form = Form(params);
    let status = form.get("MessageStatus").or_else(|| form.get("SmsStatus"));
    let report = match status {
        Some(status) if !matches!(status, "received" | "receiving") => self::status(&form, status, token),
        _ => incoming(&form),
    };
    vec![report]
}

fn status(form: &Form<'_>, status: &str, token: Option<AttemptToken>) -> Report {
    let state = match status {
        "accepted" | "scheduled" | "queued" | "sending" => AttemptState::Accepted,
        // Some parts have arrived: the customer cannot read it, and it is not certain that the rest will not come.
        "sent" | "partially_delivered" => AttemptState::Sent,
        "delivered" => AttemptState::Delivered,
        "read" => AttemptState::Read,
        "failed" | "undelivered" | "canceled" => AttemptState::Failed,
        _ => return notice("unknown-status", format!("a callback has the status `{status}`, which is not known")),
    };
    let provider_id = form.get("MessageSid").or_else(|| form.get("SmsSid")).map(str::to_owned);
    if provider_id.is_none() && token.is_none() {
        return notice("no-message", format!("a callback of status {status} names no message"));
    }
    let hint = Hint::attempt(token.map_or(0, |token| token.attempt));
    let failure = (state == AttemptState::Failed).then(|| {
        // Without a code the status itself is what the table knows.
        let code = form.get("ErrorCode").filter(|code| *code != "0").unwrap_or(status);
        super::table().classify(code, form.get("ErrorMessage").or(form.get("ChannelStatusMessage")), hint)
    });
    Report::Status(StatusReport { token, provider_id, state, time: None, failure, pricing: pricing(form) })
}

/// The price, where it is known by then: an amount below zero, because it is taken off the account's balance.
fn pricing(form: &Form<'_>) -> Option<Value> {
    let (price, unit) = (form.get("Price")?, form.get("PriceUnit").unwrap_or("USD"));
    let amount = price.trim().trim_start_matches('-');
    let currency = unit.trim().to_ascii_uppercase();
    let money = Money::parse(&format!("{amount} {currency}")).ok()?;
    Some(json!({"price": failure::shortened(price), "micros": money.micros, "currency": money.currency}))
}

fn incoming(form: &Form<'_>) -> Report {
    let Some(provider_id) = form.get("MessageSid").or_else(|| form.get("SmsSid")) else {
        return notice("no-message", "a webhook has no `MessageSid`".to_owned());
    };
    let Some(from) = form.get("From") else {
        return notice("no-sender", format!("the message {provider_id} has no `From`"));
    };
    let (channel, sender) = match from.split_once(':') {
        None => (Channel::Sms, from),
        Some(("whatsapp", sender)) => (Channel::Whatsapp, sender),
        Some((other, _)) => {
            return notice("other-channel", format!("a message came on {other}, which relais does not carry"));
        }
    };
    let media = media(form);
    let location = location(form);
    let choice = form.get("ButtonPayload").map(str::to_owned);
    let kind = match (&choice, &location, media.first()) {
        (Some(_), ..) => "choice",
        (None, Some(_), _) => "location",
        (None, None, Some(media)) => MediaKind::of(&media.mime_type).as_str(),
        (None, None, None) => "text",
    };
    let text = form.get("Body").or_else(|| form.get("ButtonText")).unwrap_or_default();
    Report::Incoming(IncomingReport {
        channel,
        to: form.get("To").map(str::to_owned),
        sender: sender_of(form, channel, sender),
        sender_id: form.get("ExternalUserId").filter(|id| is_user_id(id)).map(str::to_owned),
        sender_name: form.get("ProfileName").map(str::to_owned),
        provider_id: provider_id.to_owned(),
        time: None,
        kind: kind.to_owned(),
        text: text.to_owned(),
        choice,
        media,
        location,
        quoted: form.get("OriginalRepliedMessageSid").map(str::to_owned),
        attributes: attributes(form),
    })
}

/// What Twilio passes on of WhatsApp's context, by the names that the same has where Meta says it.
fn attributes(form: &Form<'_>) -> Vec<(String, String)> {
    let named = |name: &str, field: &str| Some((name.to_owned(), failure::shortened(form.get(field)?)));
    let flag = |name: &str, field: &str| {
        form.get(field).filter(|said| said.eq_ignore_ascii_case("true")).map(|_| (name.to_owned(), "true".to_owned()))
    };
    [
        flag("forwarded", "Forwarded"),
        flag("frequently-forwarded", "FrequentlyForwarded"),
        named("referral-source-url", "ReferralSourceUrl"),
        named("referral-source-id", "ReferralSourceId"),
        named("referral-source-type", "ReferralSourceType"),
        named("referral-headline", "ReferralHeadline"),
        named("referral-body", "ReferralBody"),
        named("referral-media-type", "ReferralMediaContentType"),
        named("referral-ctwa-clid", "ReferralCtwaClid"),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The number with its plus; where WhatsApp hides it, what stands for it. Short codes stay as they are.
fn sender_of(form: &Form<'_>, channel: Channel, sender: &str) -> String {
    let wa_id = || form.get("WaId").filter(|_| channel == Channel::Whatsapp).and_then(phone::from_wa_id);
    let number = sender.starts_with('+').then(|| phone::from_wa_id(sender)).flatten().or_else(wa_id);
    number.map_or(sender.to_owned(), phone::E164::into_string)
}

fn media(form: &Form<'_>) -> Vec<IncomingMedia> {
    let count: usize = form.get("NumMedia").and_then(|count| count.parse().ok()).unwrap_or(0);
    let nth = |at: usize| {
        Some(IncomingMedia {
            id: form.get(&format!("MediaUrl{at}"))?.to_owned(),
            mime_type: form.get(&format!("MediaContentType{at}")).unwrap_or("application/octet-stream").to_owned(),
            size: None,
            filename: None,
            sha256: None,
        })
    };
    (0..count.min(MEDIA_MAX)).filter_map(nth).collect()
}

fn location(form: &Form<'_>) -> Option<Place> {
    let degrees = |name: &str| form.get(name)?.parse::<f64>().ok().filter(|degrees| degrees.is_finite());
    Some(Place {
        latitude: degrees("Latitude")?,
        longitude: degrees("Longitude")?,
        name: form.get("Label").map(str::to_owned),
        address: form.get("Address").map(str::to_owned),
    })
}

fn notice(kind: &str, detail: String) -> Report {
    Report::Notice { kind: kind.to_owned(), detail: failure::shortened(&detail) }
}

/// The parameters of a form. One that is there and empty says as little as one that is missing.
struct Form<'a>(&'a [(String, String)]);

impl<'a> Form<'a> {
    fn get(&self, name: &str) -> Option<&'a str> {
        let found = self.0.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }
}
