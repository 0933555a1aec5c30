//! An event as it stands in a request: CloudEvents 1.0, structured, JSON.

use serde_json::{Map, Value};

use crate::error::decode;
use crate::{Event, Instant, calendar};

/// Reads the attributes that have a field, and takes the others for extensions. `time` may be left out.
pub(crate) fn read(body: &str, now: Instant) -> Result<Event, String> {
    let mut given: Map<String, Value> = decode("body", body).map_err(|error| error.message().to_owned())?;
    let data = given.remove("data").unwrap_or_default();
    let mut attributes = Vec::new();
    for (name, value) in given {
        let Value::String(text) = value else { return Err(format!("`{name}` is no text")) };
        attributes.push((name, text));
    }
    let mut take = |name: &str| {
        let at = attributes.iter().position(|(found, _)| found == name)?;
        Some(attributes.remove(at).1)
    };
    if take("specversion").as_deref() != Some("1.0") {
        return Err("`specversion` is not \"1.0\"".to_owned());
    }
    let time = match take("time") {
        Some(text) => calendar::parse(&text, "UTC").ok_or_else(|| format!("`time` is no time: {text}"))?,
        None => now,
    };
    let mut required = |name: &str| take(name).ok_or_else(|| format!("`{name}` is missing"));
    let (id, source, event_type) = (required("id")?, required("source")?, required("type")?);
    let (subject, customer) = (take("subject"), take("customer"));
    Ok(Event { id, source, event_type, subject, time, customer, data: data.to_string(), attributes })
}
