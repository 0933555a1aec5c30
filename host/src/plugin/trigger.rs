//! Webhooks of a plugin's own: the sender's signature is checked as the manifest declares, then the body becomes an event.
//!
//! The body comes from the internet. Signatures are checked over its raw bytes, in constant time, before anything reads it;
//! a header that is missing is refused like one that is wrong.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use hmac::{Hmac, KeyInit, Mac};
use http::HeaderMap;
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{
    manifest::{self, wrong},
    subscription::{Path, Root, Template, field, scalar_text},
};
use crate::{
    clock::Timestamp,
    domain::event::{Event, reserved},
    ids::{CustomerId, EventId, PluginName, TenantId},
    secret::Secret,
};

/// How far a sender's clock may be off, either way: what the Standard Webhooks specification proposes.
const TOLERANCE_SECONDS: i64 = 5 * 60;
/// An id of the source's own. Longer ones are digests of themselves nowhere.
const ID_BYTES_MAX: usize = 512;

/// A `[[trigger]]` of a manifest.
#[derive(Clone, Debug)]
pub struct Trigger {
    pub name: String,
    event_type: Template,
    source: String,
    id: IdFrom,
    subject: Option<Template>,
    customer: Option<Template>,
    pub(super) scheme: Scheme,
}

#[derive(Clone, Debug)]
enum IdFrom {
    Header(String),
    Body(Path),
    Digest,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Scheme {
    /// An API key is asked for instead.
    None,
    HmacSha256 {
        header: String,
        prefix: String,
        encoding: Encoding,
        secret: String,
    },
    StandardWebhooks {
        secret: String,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Encoding {
    Hex,
    Base64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Table {
    name: String,
    #[serde(rename = "type")]
    event_type: String,
    source: Option<String>,
    id: Option<String>,
    subject: Option<String>,
    customer: Option<String>,
    signature: SignatureTable,
}

#[derive(Deserialize)]
#[serde(tag = "scheme", deny_unknown_fields, rename_all = "kebab-case")]
pub(super) enum SignatureTable {
    None {},
    #[serde(rename = "hmac-sha256")]
    HmacSha256 {
        header: String,
        #[serde(default)]
        prefix: String,
        #[serde(default = "hex")]
        encoding: Encoding,
        secret: String,
    },
    StandardWebhooks {
        secret: String,
    },
}

fn hex() -> Encoding {
    Encoding::Hex
}

pub(super) fn parse_all(plugin: &PluginName, tables: Vec<Table>) -> Result<Vec<Trigger>, manifest::Error> {
    let mut all: Vec<Trigger> = Vec::new();
    for table in tables {
        let trigger = parse(plugin, table)?;
        if all.iter().any(|other| other.name == trigger.name) {
            return Err(wrong("trigger", format!("`{}` is there twice", trigger.name)));
        }
        all.push(trigger);
    }
    Ok(all)
}

fn parse(plugin: &PluginName, table: Table) -> Result<Trigger, manifest::Error> {
    let at = |what: &str| format!("trigger `{}`: {what}", table.name);
    let nameable = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if table.name.is_empty() || table.name.len() > 63 || !table.name.bytes().all(nameable) {
        return Err(wrong(at("name"), "write small letters, digits and -, 63 at most"));
    }
    let template =
        |what: &str, text: &str| Template::parse(text, Root::Body).map_err(|problem| wrong(at(what), problem));
    let id = match table.id.as_deref() {
        None => IdFrom::Digest,
        Some(text) => match text.split_once(':') {
            Some(("header", name)) if !name.is_empty() => IdFrom::Header(name.to_owned()),
            Some(("body", path)) => {
                let path = format!("body.{path}");
                IdFrom::Body(Path::parse(&path, Root::Body).map_err(|problem| wrong(at("id"), problem))?)
            }
            _ => return Err(wrong(at("id"), format!("`{text}` is neither \"header:NAME\" nor \"body:FIELD\""))),
        },
    };
    Ok(Trigger {
        event_type: template("type", &table.event_type)?,
        source: table.source.unwrap_or_else(|| format!("/triggers/{plugin}/{}", table.name)),
        id,
        subject: table.subject.as_deref().map(|text| template("subject", text)).transpose()?,
        customer: table.customer.as_deref().map(|text| template("customer", text)).transpose()?,
        scheme: scheme(table.signature),
        name: table.name,
    })
}

/// Without a table nothing is signed.
pub(super) fn scheme_or_none(table: Option<SignatureTable>) -> Scheme {
    table.map_or(Scheme::None, scheme)
}

fn scheme(table: SignatureTable) -> Scheme {
    match table {
        SignatureTable::None {} => Scheme::None,
        SignatureTable::HmacSha256 { header, prefix, encoding, secret } => {
            Scheme::HmacSha256 { header, prefix, encoding, secret }
        }
        SignatureTable::StandardWebhooks { secret } => Scheme::StandardWebhooks { secret },
    }
}

impl Trigger {
    /// The name of the secret that its signatures need.
    pub(super) fn secret_name(&self) -> Option<&str> {
        self.scheme.secret_name()
    }
}

impl Scheme {
    pub(super) fn secret_name(&self) -> Option<&str> {
        match self {
            Scheme::None => None,
            Scheme::HmacSha256 { secret, .. } | Scheme::StandardWebhooks { secret } => Some(secret),
        }
    }
}

/// A trigger with its secret: what an incoming request is held against.
#[derive(Clone, Debug)]
pub struct TriggerSpec {
    pub plugin: PluginName,
    pub trigger: Trigger,
    pub secret: Option<Secret>,
}

/// Why a request is not taken. A `signature` is for 401, everything else for 400.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{field}: {problem} {fix}")]
pub struct TriggerError {
    pub field: String,
    pub problem: String,
    pub fix: String,
}

impl TriggerError {
    fn new(field: &str, problem: impl Into<String>, fix: impl Into<String>) -> TriggerError {
        TriggerError { field: field.to_owned(), problem: problem.into(), fix: fix.into() }
    }

    /// Whether the sender did not prove who it is.
    pub fn unauthorized(&self) -> bool {
        self.field == "signature"
    }
}

impl TriggerSpec {
    /// Whether no signature protects it, so that an API key has to.
    pub fn needs_api_key(&self) -> bool {
        self.trigger.scheme == Scheme::None
    }

    /// Checks the signature and makes an event of the body.
    pub fn event(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        tenant: &TenantId,
        now: Timestamp,
    ) -> Result<Event, TriggerError> {
        verify(&self.trigger.scheme, self.secret.as_ref(), headers, body, now)?;
        self.event_of(headers, body, tenant, now)
    }

    /// Makes an event of the body, whoever sent it: for tests on an author's desk, which have no sender's secret.
    pub fn event_of(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        tenant: &TenantId,
        now: Timestamp,
    ) -> Result<Event, TriggerError> {
        let text = std::str::from_utf8(body)
            .map_err(|_| TriggerError::new("body", "it is not UTF-8.", "Send JSON in UTF-8."))?;
        let value: Value = serde_json::from_str(text)
            .map_err(|error| TriggerError::new("body", format!("it is not JSON: {error}."), "Send a JSON body."))?;
        let fill = |name: &str, template: &Template| {
            let fit = "Send the field, or change the trigger in plugin.toml.";
            template
                .fill(|path| find(&value, path))
                .map_err(|problem| TriggerError::new(name, format!("{problem}."), fit))
        };
        let source_id = self.source_id(headers, &value, body)?;
        let event_type = fill("type", &self.trigger.event_type)?;
        if let Some(why) = reserved(&event_type) {
            return Err(TriggerError::new("type", format!("{why}."), "Change the trigger's type in plugin.toml."));
        }
        Ok(Event {
            id: EventId::of(tenant, &self.trigger.source, &source_id),
            tenant: tenant.clone(),
            source_id,
            source: self.trigger.source.clone(),
            event_type,
            subject: self.trigger.subject.as_ref().map(|template| fill("subject", template)).transpose()?,
            time: now,
            received: now,
            customer: self.trigger.customer.as_ref().map(|t| fill("customer", t)).transpose()?.map(CustomerId::new),
            data: text.into(),
            attributes: vec![("datacontenttype".to_owned(), "application/json".to_owned())],
            cause: None,
        })
    }

    fn source_id(&self, headers: &HeaderMap, body: &Value, raw: &[u8]) -> Result<String, TriggerError> {
        let id = match &self.trigger.id {
            IdFrom::Digest => return Ok(to_hex(&Sha256::digest(raw))),
            IdFrom::Header(name) => header(headers, name).map(str::to_owned).ok_or_else(|| name.clone()),
            IdFrom::Body(path) => find(body, path).ok_or_else(|| path.shown()),
        };
        match id {
            Ok(id) if !id.is_empty() && id.len() <= ID_BYTES_MAX && !id.contains('\0') => Ok(id),
            Ok(_) => {
                let problem = "it is empty or too long, or contains U+0000.";
                Err(TriggerError::new("id", problem, format!("Send 1 to {ID_BYTES_MAX} bytes of text.")))
            }
            Err(place) => {
                Err(TriggerError::new("id", format!("there is none in {place}."), "Send it: it tells a repeat."))
            }
        }
    }
}

/// Holds a request against a scheme.
pub(super) fn verify(
    scheme: &Scheme,
    secret: Option<&Secret>,
    headers: &HeaderMap,
    body: &[u8],
    now: Timestamp,
) -> Result<(), TriggerError> {
    let refused = |problem: &str, fix: &str| Err(TriggerError::new("signature", problem, fix));
    if *scheme == Scheme::None {
        return Ok(());
    }
    let Some(secret) = secret else {
        return refused("the host was given no secret to check it with.", "Set the secret that plugin.toml names.");
    };
    let fits = match scheme {
        Scheme::None => true,
        Scheme::HmacSha256 { header: name, prefix, encoding, .. } => {
            let Some(given) = header(headers, name) else {
                return refused(&format!("the header {name} is missing."), "Sign the body.");
            };
            hmac_fits(secret.reveal().as_bytes(), &[body], given, prefix, *encoding)
        }
        Scheme::StandardWebhooks { .. } => standard_webhook_fits(secret, headers, body, now)?,
    };
    if fits { Ok(()) } else { refused("it does not fit the body.", "Check that both sides hold the same secret.") }
}

fn hmac_fits(key: &[u8], parts: &[&[u8]], given: &str, prefix: &str, encoding: Encoding) -> bool {
    let Some(given) = given.trim().strip_prefix(prefix) else { return false };
    let given = match encoding {
        Encoding::Hex => from_hex(given),
        Encoding::Base64 => BASE64.decode(given).ok(),
    };
    let (Some(given), Ok(mut mac)) = (given, Hmac::<Sha256>::new_from_slice(key)) else { return false };
    for part in parts {
        mac.update(part);
    }
    // Compares in constant time.
    mac.verify_slice(&given).is_ok()
}

/// `webhook-id`, `webhook-timestamp` and `webhook-signature`, a list of `v1,BASE64`, as svix and others sign.
fn standard_webhook_fits(
    secret: &Secret,
    headers: &HeaderMap,
    body: &[u8],
    now: Timestamp,
) -> Result<bool, TriggerError> {
    let need = |name: &str| {
        header(headers, name)
            .ok_or_else(|| TriggerError::new("signature", format!("the header {name} is missing."), "Sign the body."))
    };
    let (id, timestamp, signatures) = (need("webhook-id")?, need("webhook-timestamp")?, need("webhook-signature")?);
    let age = timestamp.parse::<i64>().ok().map(|sent| (now.0 / 1000).saturating_sub(sent));
    if age.is_none_or(|age| age.abs() > TOLERANCE_SECONDS) {
        let fix = "Send it within five minutes of its timestamp, with a clock that is right.";
        return Err(TriggerError::new("signature", "webhook-timestamp is too far from now.", fix));
    }
    let key = secret.reveal();
    let Ok(key) = BASE64.decode(key.strip_prefix("whsec_").unwrap_or(key)) else {
        let fix = "It is `whsec_` and base64, as the sender shows it.";
        return Err(TriggerError::new("signature", "the host's secret is not base64.", fix));
    };
    let parts: [&[u8]; 5] = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body];
    Ok(signatures.split_whitespace().any(|given| hmac_fits(&key, &parts, given, "v1,", Encoding::Base64)))
}

fn header<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

fn find(body: &Value, path: &Path) -> Option<String> {
    match path {
        Path::Field(_, parts) => field(body, parts).and_then(scalar_text),
        _ => None,
    }
}

pub(super) fn from_hex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    let digit = |b: u8| char::from(b).to_digit(16);
    let pair = |pair: &[u8]| match pair {
        [high, low] => u8::try_from(digit(*high)? * 16 + digit(*low)?).ok(),
        _ => None,
    };
    text.as_bytes().chunks(2).map(pair).collect()
}

pub(super) fn to_hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(toml: &str, secret: Option<&str>) -> TriggerSpec {
        let plugin = PluginName::new("shop");
        let table: Table = toml::from_str(toml).unwrap();
        let trigger = parse(&plugin, table).unwrap();
        TriggerSpec { plugin, trigger, secret: secret.map(Secret::new) }
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    const META: &str = r#"
        name = "meta"
        type = "com.meta.{body.object}"
        signature = { scheme = "hmac-sha256", header = "X-Hub-Signature-256", prefix = "sha256=", encoding = "hex", secret = "s" }
    "#;
    const BODY: &[u8] = br#"{"object":"whatsapp_business_account","entry":[]}"#;
    const SIGNATURE: &str = "sha256=c7e80417e84bbd03b43c91a14872788337b1fc8a59540caac1028bec4a2de457";

    #[test]
    fn an_hmac_signature_is_checked_over_the_raw_bytes() {
        let spec = spec(META, Some("relais-demo-app-secret"));
        let (tenant, now) = (TenantId::default_tenant(), Timestamp(0));
        let signed = headers(&[("x-hub-signature-256", SIGNATURE)]);
        let event = spec.event(&signed, BODY, &tenant, now).unwrap();
        assert_eq!(event.event_type, "com.meta.whatsapp_business_account");
        assert_eq!(event.source, "/triggers/shop/meta");
        assert_eq!(event.source_id.len(), 64);

        let mut other = BODY.to_vec();
        other.push(b' ');
        assert!(spec.event(&signed, &other, &tenant, now).unwrap_err().unauthorized());
        assert!(spec.event(&HeaderMap::new(), BODY, &tenant, now).unwrap_err().unauthorized());
        let unprefixed = headers(&[("x-hub-signature-256", &SIGNATURE[7..])]);
        assert!(spec.event(&unprefixed, BODY, &tenant, now).unwrap_err().unauthorized());
        let without = TriggerSpec { secret: None, ..spec };
        assert!(without.event(&signed, BODY, &tenant, now).unwrap_err().unauthorized());
    }

    #[test]
    fn a_standard_webhook_is_taken_in_time_and_refused_late() {
        let toml = r#"
            name = "hooks"
            type = "com.example.delivered"
            id = "header:webhook-id"
            customer = "{body.data.id}"
            signature = { scheme = "standard-webhooks", secret = "s" }
        "#;
        let spec = spec(toml, Some("whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="));
        let body = br#"{"type":"message.delivered","data":{"id":"m_1"}}"#;
        let signed = headers(&[
            ("webhook-id", "msg_relais_0001"),
            ("webhook-timestamp", "1760000000"),
            ("webhook-signature", "v1,AAAA v1,FpgUgK72mXHdeQ9aZAXxV6qGqG24dIc0dt+2ZloltVI="),
        ]);
        let tenant = TenantId::default_tenant();
        let event = spec.event(&signed, body, &tenant, Timestamp::from_seconds(1_760_000_100)).unwrap();
        assert_eq!((event.source_id.as_str(), event.customer.as_deref()), ("msg_relais_0001", Some("m_1")));
        let late = spec.event(&signed, body, &tenant, Timestamp::from_seconds(1_760_000_301));
        assert!(late.unwrap_err().unauthorized());
        let forged = headers(&[
            ("webhook-id", "msg_relais_0002"),
            ("webhook-timestamp", "1760000000"),
            ("webhook-signature", "v1,FpgUgK72mXHdeQ9aZAXxV6qGqG24dIc0dt+2ZloltVI="),
        ]);
        assert!(spec.event(&forged, body, &tenant, Timestamp::from_seconds(1_760_000_100)).is_err());
    }

    #[test]
    fn a_body_without_what_the_trigger_needs_is_refused_with_the_field() {
        let toml = "name = \"t\"\ntype = \"x.y\"\nid = \"body:order.id\"\nsignature = { scheme = \"none\" }";
        let spec = spec(toml, None);
        assert!(spec.needs_api_key());
        let tenant = TenantId::default_tenant();
        let take = |body: &[u8]| spec.event(&HeaderMap::new(), body, &tenant, Timestamp(0));
        assert_eq!(take(br#"{"order":{"id":12}}"#).unwrap().source_id, "12");
        assert_eq!(take(br#"{"order":{}}"#).unwrap_err().field, "id");
        assert_eq!(take(b"nonsense").unwrap_err().field, "body");
    }
}
