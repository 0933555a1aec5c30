//! What an attribute may be (`channels.md` §6.1), wherever it was written.

use std::borrow::Cow;

use super::Reader;
use crate::{
    clock::Timestamp,
    domain::event::{Event, reserved},
    ids::{CustomerId, EventId},
    ingress::problem::{Problem, excerpt},
};

/// An attribute's value as it was written.
pub(super) enum Scalar<'a> {
    Null,
    Bool(bool),
    Integer(i64),
    Text(Cow<'a, str>),
    /// No attribute is one of these; what it was, for the error.
    Other(&'static str),
}

/// A tenant's own id of a customer. Longer than any in use, short enough for an index.
const CUSTOMER_BYTES_MAX: usize = 256;

/// An event whose attributes are being collected.
pub(super) struct Draft<'r, 'a> {
    reader: &'r Reader<'r>,
    /// How the sender writes an attribute's name: `ce-` in headers.
    prefix: &'static str,
    id: Option<Cow<'a, str>>,
    source: Option<Cow<'a, str>>,
    specversion: Option<Cow<'a, str>>,
    event_type: Option<Cow<'a, str>>,
    subject: Option<Cow<'a, str>>,
    time: Option<Timestamp>,
    customer: Option<Cow<'a, str>>,
    pub(super) datacontenttype: Option<Cow<'a, str>>,
    others: Vec<(String, String)>,
    bytes: usize,
}

impl<'r, 'a> Draft<'r, 'a> {
    pub(super) fn new(reader: &'r Reader<'r>, prefix: &'static str) -> Draft<'r, 'a> {
        Draft {
            reader,
            prefix,
            id: None,
            source: None,
            specversion: None,
            event_type: None,
            subject: None,
            time: None,
            customer: None,
            datacontenttype: None,
            others: Vec::new(),
            bytes: 0,
        }
    }

    /// Takes one attribute. A null one is an absent one.
    pub(super) fn set(&mut self, name: &str, value: Scalar<'a>) -> Result<(), Problem> {
        let text = match value {
            Scalar::Null => return Ok(()),
            Scalar::Text(text) => text,
            Scalar::Bool(value) if !is_core(name) => Cow::Owned(value.to_string()),
            Scalar::Integer(value) if !is_core(name) => Cow::Owned(self.integer(name, value)?),
            other => {
                let detail = format!("`{}{}` is {}", self.prefix, excerpt(name), kind(&other));
                return Err(self.bad(
                    name,
                    detail,
                    "give a string; extensions may also be Booleans and 32-bit integers",
                ));
            }
        };
        self.check_text(name, &text)?;
        self.bytes += name.len() + text.len();
        let twice = match name {
            "id" => self.id.replace(text).is_some(),
            "source" => self.source.replace(self.uri_reference(text)?).is_some(),
            "specversion" => self.specversion.replace(self.version(text)?).is_some(),
            "type" => self.event_type.replace(self.own_type(text)?).is_some(),
            "subject" => self.subject.replace(text).is_some(),
            "time" => self.time.replace(self.timestamp(&text)?).is_some(),
            "customer" => self.customer.replace(self.customer_id(text)?).is_some(),
            "datacontenttype" => self.datacontenttype.replace(self.media_type(text)?).is_some(),
            _ => self.other(name, text)?,
        };
        if twice {
            return Err(self.bad(name, format!("`{}{name}` is there twice", self.prefix), "give it once"));
        }
        Ok(())
    }

    /// The event, now that everything was read. `data` is JSON text.
    pub(super) fn finish(mut self, data: std::sync::Arc<str>) -> Result<Event, Problem> {
        let bytes_max = self.reader.settings.event_bytes_max;
        if self.bytes + data.len() > bytes_max {
            return Err(Problem::too_large("an event", bytes_max));
        }
        let source_id = self.id.take();
        let source_id = self.required("id", source_id, "a string that is unique within the source")?;
        let source = self.source.take();
        let source = self.required("source", source, "a URI-reference that says who tells it, such as /shop/paris")?;
        let version = self.specversion.take();
        self.required("specversion", version, "\"1.0\"")?;
        let event_type = self.event_type.take();
        let event_type = self.required("type", event_type, "what happened, such as com.example.order.ready")?;
        let mut attributes = self.others;
        if let Some(media_type) = self.datacontenttype {
            attributes.insert(0, ("datacontenttype".to_owned(), media_type.into_owned()));
        }
        Ok(Event {
            id: EventId::of(self.reader.tenant, &source, &source_id),
            tenant: self.reader.tenant.clone(),
            source_id,
            source,
            event_type,
            subject: self.subject.map(Cow::into_owned),
            time: self.time.unwrap_or(self.reader.now),
            received: self.reader.now,
            customer: self.customer.map(|id| CustomerId::new(id.into_owned())),
            data,
            attributes,
            cause: None,
        })
    }

    fn required(&self, name: &'static str, value: Option<Cow<'_, str>>, what: &str) -> Result<String, Problem> {
        match value {
            Some(value) => Ok(value.into_owned()),
            None => {
                let name = format!("{}{name}", self.prefix);
                let detail = format!("`{name}` is missing");
                let fix = format!("add `{name}`: {what}");
                Err(Problem::bad_field(name, detail).fix(fix))
            }
        }
    }

    fn other(&mut self, name: &str, text: Cow<'a, str>) -> Result<bool, Problem> {
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()) {
            let detail = format!("`{}` is no name of an attribute", excerpt(name));
            return Err(self.bad(
                name,
                detail,
                "names have only the letters a to z and digits; everything else goes into `data`",
            ));
        }
        if name == "data" {
            return Err(self.bad(name, "`data` is no attribute", "send the data as the body"));
        }
        if name == "dataschema" && url::Url::parse(&text).is_err() {
            return Err(self.bad(
                name,
                format!("`{}` is no absolute URI", excerpt(&text)),
                "give a URI with its scheme",
            ));
        }
        let attributes_max = self.reader.settings.attributes_max;
        if self.others.len() >= attributes_max {
            let detail = format!("there are more than {attributes_max} extension attributes");
            return Err(self.bad(name, detail, "what describes the matter belongs into `data`"));
        }
        if self.others.iter().any(|(other, _)| other == name) {
            return Ok(true);
        }
        self.others.push((name.to_owned(), text.into_owned()));
        Ok(false)
    }

    fn own_type(&self, text: Cow<'a, str>) -> Result<Cow<'a, str>, Problem> {
        match reserved(&text) {
            None => Ok(text),
            Some(why) => Err(self.bad("type", why, "use a name of your own, such as com.example.order.ready")),
        }
    }

    fn check_text(&self, name: &str, text: &str) -> Result<(), Problem> {
        if text.is_empty() && (is_core(name) || name == "customer") {
            return Err(self.bad(
                name,
                format!("`{}{name}` is empty", self.prefix),
                "give it a value, or leave it out if it is optional",
            ));
        }
        let bytes_max = self.reader.settings.attribute_bytes_max;
        if text.len() > bytes_max {
            let detail = format!("`{}{}` has {} bytes", self.prefix, excerpt(name), text.len());
            return Err(self.bad(name, detail, format!("{bytes_max} bytes at most; more belongs into `data`")));
        }
        if let Some(wrong) = text.chars().find(|c| c.is_control() || is_noncharacter(*c)) {
            let detail = format!("`{}{}` contains U+{:04X}", self.prefix, excerpt(name), u32::from(wrong));
            return Err(self.bad(name, detail, "attributes hold no control characters and no non-characters"));
        }
        Ok(())
    }

    fn integer(&self, name: &str, value: i64) -> Result<String, Problem> {
        match i32::try_from(value) {
            Ok(value) => Ok(value.to_string()),
            Err(_) => {
                Err(self.bad(name, format!("`{name}` is {value}, which 32 bits do not hold"), "send it as a string"))
            }
        }
    }

    fn version(&self, text: Cow<'a, str>) -> Result<Cow<'a, str>, Problem> {
        if text == "1.0" {
            return Ok(text);
        }
        let detail = format!("version `{}` of CloudEvents is not spoken here", excerpt(&text));
        Err(self.bad("specversion", detail, "send version 1.0"))
    }

    /// Spaces and brackets end a URI in any text that quotes it. Letters beyond ASCII are taken as they are: an IRI
    /// that names a source names it as well as its percent-encoded form would.
    fn uri_reference(&self, text: Cow<'a, str>) -> Result<Cow<'a, str>, Problem> {
        match text.chars().find(|c| c.is_whitespace() || "\"<>\\^`{|}".contains(*c)) {
            None => Ok(text),
            Some(wrong) => {
                let detail = format!("`{}` contains {wrong:?}, which no URI does", excerpt(&text));
                Err(self.bad("source", detail, "percent-encode it"))
            }
        }
    }

    fn timestamp(&self, text: &str) -> Result<Timestamp, Problem> {
        match Timestamp::parse(text).filter(|_| is_rfc3339(text)) {
            Some(time) => Ok(time),
            None => Err(self.bad(
                "time",
                format!("`{}` is no time", excerpt(text)),
                "write RFC 3339 with an offset, such as 2026-01-15T10:30:00Z or 2026-01-15T11:30:00+01:00",
            )),
        }
    }

    fn customer_id(&self, text: Cow<'a, str>) -> Result<Cow<'a, str>, Problem> {
        if text.len() > CUSTOMER_BYTES_MAX {
            let detail = format!("the customer's id has {} bytes", text.len());
            return Err(self.bad("customer", detail, format!("{CUSTOMER_BYTES_MAX} bytes at most")));
        }
        Ok(text)
    }

    fn media_type(&self, text: Cow<'a, str>) -> Result<Cow<'a, str>, Problem> {
        let essence = text.split(';').next().unwrap_or_default().trim();
        match essence.split_once('/') {
            Some((kind, subtype)) if !kind.is_empty() && !subtype.is_empty() && !essence.contains(' ') => Ok(text),
            _ => {
                let detail = format!("`{}` is no media type", excerpt(&text));
                Err(self.bad("datacontenttype", detail, "write it as application/json"))
            }
        }
    }

    fn bad(&self, name: &str, detail: impl Into<Cow<'static, str>>, fix: impl Into<Cow<'static, str>>) -> Problem {
        Problem::bad_field(format!("{}{}", self.prefix, excerpt(name)), detail).fix(fix)
    }
}

fn is_core(name: &str) -> bool {
    matches!(name, "id" | "source" | "specversion" | "type" | "subject" | "time" | "datacontenttype" | "dataschema")
}

fn kind(value: &Scalar<'_>) -> &'static str {
    match value {
        Scalar::Null => "null",
        Scalar::Bool(_) => "a Boolean",
        Scalar::Integer(_) => "a number",
        Scalar::Text(_) => "a string",
        Scalar::Other(kind) => kind,
    }
}

fn is_noncharacter(c: char) -> bool {
    let code = u32::from(c);
    (0xFDD0..=0xFDEF).contains(&code) || code & 0xFFFE == 0xFFFE
}

/// The clock's own parser takes more forms than RFC 3339 has: no `T`, no colons, names of zones in brackets.
fn is_rfc3339(text: &str) -> bool {
    let bytes = text.as_bytes();
    let at = |place: usize, wanted: &[u8]| bytes.get(place).is_some_and(|byte| wanted.contains(byte));
    let date_and_time = at(4, b"-") && at(7, b"-") && at(10, b"Tt") && at(13, b":") && at(16, b":");
    let from_end = |back: usize, wanted: &[u8]| bytes.len().checked_sub(back).is_some_and(|place| at(place, wanted));
    date_and_time && (from_end(1, b"Zz") || (from_end(6, b"+-") && from_end(3, b":")))
}
