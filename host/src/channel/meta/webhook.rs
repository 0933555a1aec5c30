//! Webhooks: statuses of what was sent, what customers write, and what changes about templates and the account.
//!
//! One POST may hold several entries, each several changes, each several messages and statuses; all are read. A piece that
//! cannot be read becomes a [`Report::Notice`] and does not lose the others, because Meta would send all of them again for a
//! week. Neither `contacts` nor `user_id` is needed, and what is unknown is let pass.

use serde::Deserialize;
use serde_json::Value;

use super::{inbound, send::GraphError};
use crate::{
    channel::{
        ParseError, Report, StatusReport,
        failure::{Hint, shortened},
        phone,
        signature::{self, Refused},
        standing::Said,
    },
    clock::Timestamp,
    domain::status::AttemptState,
    ids::AttemptToken,
    secret::Secret,
};

/// Checks `X-Hub-Signature-256` over the raw bytes with any of the app's secrets.
pub fn verify(app_secrets: &[Secret], raw: &[u8], header: Option<&str>) -> Result<(), Refused> {
    signature::verify_meta(app_secrets, raw, header)
}

/// Reads everything that a POST holds, in its order.
pub fn parse(raw: &[u8]) -> Result<Vec<Report>, ParseError> {
    let refused = |reason: String| ParseError { provider: super::NAME, reason };
    let body: Value = serde_json::from_slice(raw).map_err(|error| refused(format!("the body is no JSON: {error}")))?;
    let entries = list(&body, "entry");
    if !body.is_object() || body.get("entry").is_none_or(|entry| !entry.is_array()) {
        return Err(refused("it has no list `entry`".to_owned()));
    }
    let mut reports = Vec::new();
    match body.get("object").and_then(Value::as_str) {
        Some("whatsapp_business_account") => {}
        // Genuine, since it is signed, and about another product of the same app. To refuse it would bring it back for a week.
        other => {
            let detail = format!("a webhook about `{}` was left alone", shortened(other.unwrap_or("nothing")));
            return Ok(vec![notice("other-object", detail)]);
        }
    }
    for entry in entries {
        for change in list(entry, "changes") {
            read_change(change, entry, &mut reports);
        }
    }
    Ok(reports)
}

fn read_change(change: &Value, entry: &Value, reports: &mut Vec<Report>) {
    let field = change.get("field").and_then(Value::as_str).unwrap_or_default();
    let Some(value) = change.get("value") else {
        return reports.push(notice("unreadable", format!("a change of `{}` has no value", shortened(field))));
    };
    match field {
        "messages" => {
            let (metadata, contacts) = (value.get("metadata"), list(value, "contacts"));
            reports.extend(list(value, "statuses").iter().map(|one| status(one, metadata)));
            reports.extend(list(value, "messages").iter().map(|message| inbound::message(message, metadata, contacts)));
            reports.extend(list(value, "errors").iter().map(error));
        }
        "user_preferences" => reports.extend(list(value, "user_preferences").iter().map(preference)),
        // Templates and accounts concern nobody in person, so the whole of it may be kept and logged.
        _ if field.contains("template") || field.starts_with("account") || field.starts_with("phone_number") => {
            reports.push(Report::Standing(Said {
                business: shortened(entry.get("id").and_then(Value::as_str).unwrap_or_default()),
                time: entry.get("time").and_then(time),
                field: shortened(field),
                value: value.clone(),
            }));
        }
        _ => reports.push(notice(field, "its contents are not used".to_owned())),
    }
}

pub(super) fn notice(kind: &str, detail: String) -> Report {
    Report::Notice { kind: shortened(kind), detail }
}

/// What is missing or of another kind is an empty list.
pub(super) fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

#[derive(Deserialize)]
struct Status {
    id: String,
    status: String,
    #[serde(default)]
    timestamp: Value,
    #[serde(default)]
    biz_opaque_callback_data: Option<String>,
    #[serde(default)]
    recipient_id: Option<String>,
    #[serde(default)]
    pricing: Option<Value>,
    #[serde(default)]
    errors: Vec<Value>,
}

fn status(value: &Value, metadata: Option<&Value>) -> Report {
    let status = match Status::deserialize(value) {
        Ok(status) => status,
        Err(error) => return notice("unreadable", format!("a status: {error}")),
    };
    let state = match status.status.as_str() {
        "sent" => AttemptState::Sent,
        "delivered" => AttemptState::Delivered,
        // Who has played a voice message has opened it.
        "read" | "played" => AttemptState::Read,
        "failed" => AttemptState::Failed,
        // `deleted` and what may come: nothing that an attempt's state could be.
        other => return notice("status", format!("`{}` of {}", shortened(other), shortened(&status.id))),
    };
    // Other systems may send from the same number; what they put there is no token of ours.
    let token: Option<AttemptToken> = status.biz_opaque_callback_data.and_then(|text| text.parse().ok());
    let failure = (state == AttemptState::Failed).then(|| {
        let hint =
            Hint { day: time(&status.timestamp).map(day), ..Hint::attempt(token.map_or(0, |token| token.attempt)) };
        match status.errors.first().map(GraphError::deserialize) {
            Some(Ok(error)) => error.failure(0, hint),
            _ => super::table().classify("none", Some("Meta gave no reason"), hint),
        }
    });
    Report::Status(StatusReport {
        token,
        provider_id: Some(status.id),
        state,
        time: time(&status.timestamp),
        failure,
        pricing: status.pricing.map(|said| priced(said, status.recipient_id.as_deref(), metadata)),
    })
}

/// Meta charges by the recipient's country and tells neither that nor an amount: what a price is found by goes along. A country
/// names nobody.
fn priced(mut said: Value, recipient: Option<&str>, metadata: Option<&Value>) -> Value {
    let country = recipient.and_then(|id| phone::country(&address(id)));
    let number = metadata.and_then(|metadata| metadata.get("phone_number_id")).and_then(Value::as_str);
    if let Some(said) = said.as_object_mut() {
        said.extend(country.map(|country| ("country".to_owned(), country.into())));
        said.extend(number.map(|number| ("phone_number_id".to_owned(), shortened(number).into())));
    }
    said
}

#[derive(Deserialize)]
struct Preference {
    #[serde(default)]
    wa_id: Option<String>,
    #[serde(default)]
    user_id: Option<String>,
    category: String,
    value: String,
    #[serde(default)]
    timestamp: Value,
}

fn preference(value: &Value) -> Report {
    let preference = match Preference::deserialize(value) {
        Ok(preference) => preference,
        Err(error) => return notice("unreadable", format!("a preference: {error}")),
    };
    let stopped = match (preference.category.as_str(), preference.value.as_str()) {
        ("marketing_messages", "stop") => true,
        ("marketing_messages", "resume") => false,
        (category, value) => {
            return notice("user_preferences", format!("`{}` of `{}`", shortened(value), shortened(category)));
        }
    };
    match preference.wa_id.or(preference.user_id).filter(|id| !id.is_empty()) {
        Some(id) => Report::MarketingPreference { address: address(&id), stopped, time: time(&preference.timestamp) },
        None => notice("unreadable", "a preference names nobody".to_owned()),
    }
}

/// An error that belongs to no message.
fn error(value: &Value) -> Report {
    match GraphError::deserialize(value) {
        Ok(error) => {
            let failure = error.failure(0, Hint::default());
            let code = failure.provider_code.unwrap_or_default();
            notice("error", format!("{code} ({}): {}", failure.code, failure.detail.unwrap_or_default()))
        }
        Err(error) => notice("unreadable", format!("an error: {error}")),
    }
}

/// `wa_id` is digits without the plus. Who hides the number is known by an id with letters, which stays as it is.
pub(super) fn address(id: &str) -> String {
    let digits = !id.is_empty() && id.bytes().all(|b| b.is_ascii_digit());
    if digits { format!("+{id}") } else { id.to_owned() }
}

fn day(at: Timestamp) -> jiff::civil::Date {
    at.to_jiff().to_zoned(jiff::tz::TimeZone::UTC).date()
}

/// Unix seconds, as text in messages and statuses, as a number elsewhere.
pub(super) fn time(value: &Value) -> Option<Timestamp> {
    let seconds = value.as_i64().or_else(|| value.as_str()?.trim().parse().ok())?;
    Some(Timestamp::from_seconds(seconds))
}
