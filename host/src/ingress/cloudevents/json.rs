//! Structured mode and batches: each event is one JSON object. Gone through once, with `data` left as it was written.

use std::{borrow::Cow, cell::Cell, fmt, sync::Arc};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{
    Reader,
    attributes::{Draft, Scalar},
    data,
};
use crate::{domain::event::Event, ingress::problem::Problem};

pub(super) fn one(reader: &Reader<'_>, body: &[u8]) -> Result<Event, Problem> {
    let envelope: Envelope<'_> = serde_json::from_slice(body).map_err(|error| Problem::bad_json(&error))?;
    envelope.into_event(reader)
}

pub(super) fn batch(reader: &Reader<'_>, body: &[u8]) -> Result<Vec<Event>, Problem> {
    let events_max = reader.settings.batch_events_max;
    // How far the array was read, for the error: the parser itself knows lines and columns only.
    let reached = Cell::new(None);
    let mut parser = serde_json::Deserializer::from_slice(body);
    let read = Batch { events_max, reached: &reached }.deserialize(&mut parser);
    let envelopes = read.and_then(|envelopes| parser.end().map(|()| envelopes)).map_err(|error| {
        let problem = Problem::bad_json(&error);
        match reached.get() {
            Some(index) if index >= events_max => {
                problem.field("(batch)").fix(format!("send at most {events_max} events in one batch"))
            }
            Some(index) => problem.at_index(index),
            None => problem,
        }
    })?;
    envelopes
        .into_iter()
        .enumerate()
        .map(|(index, envelope)| envelope.into_event(reader).map_err(|problem| problem.at_index(index)))
        .collect()
}

/// An event as it stands in JSON.
struct Envelope<'a> {
    attributes: Vec<(Cow<'a, str>, Scalar<'a>)>,
    data: Option<&'a RawValue>,
    data_base64: Option<Scalar<'a>>,
    data_twice: bool,
}

impl Envelope<'_> {
    fn into_event(self, reader: &Reader<'_>) -> Result<Event, Problem> {
        let mut draft = Draft::new(reader, "");
        for (name, value) in self.attributes {
            draft.set(&name, value)?;
        }
        let media_type = draft.datacontenttype.as_deref();
        let depth_max = reader.settings.json_depth_max;
        let raw = self.data.filter(|raw| raw.get() != "null");
        let data = match (raw, self.data_base64) {
            _ if self.data_twice => {
                return Err(Problem::bad_field("data", "the data are there twice").fix("give them once"));
            }
            (Some(_), Some(Scalar::Text(_))) => {
                return Err(Problem::bad_field("data_base64", "there are both `data` and `data_base64`")
                    .fix("send one of them: `data` for JSON and text, `data_base64` for bytes"));
            }
            (Some(raw), None | Some(Scalar::Null)) => data::from_json(media_type, raw, depth_max)?,
            (None, None | Some(Scalar::Null)) => Arc::from("null"),
            (None, Some(Scalar::Text(base64))) => data::from_base64(media_type, &base64, depth_max)?,
            (_, Some(_)) => {
                return Err(
                    Problem::bad_field("data_base64", "`data_base64` is no string").fix("send base64 as a string")
                );
            }
        };
        draft.finish(data)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Envelope<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EnvelopeVisitor)
    }
}

struct EnvelopeVisitor;

impl<'de> Visitor<'de> for EnvelopeVisitor {
    type Value = Envelope<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object that is a CloudEvent")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Envelope<'de>, A::Error> {
        // The four required attributes, and as many optional ones as are usual.
        let mut envelope =
            Envelope { attributes: Vec::with_capacity(8), data: None, data_base64: None, data_twice: false };
        while let Some(Name(name)) = map.next_key()? {
            match name.as_ref() {
                "data" => envelope.data_twice |= envelope.data.replace(map.next_value()?).is_some(),
                "data_base64" => envelope.data_twice |= envelope.data_base64.replace(map.next_value()?).is_some(),
                _ => envelope.attributes.push((name, map.next_value()?)),
            }
        }
        Ok(envelope)
    }
}

/// A name, borrowed from the body where it was written without escapes.
struct Name<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor;
        impl<'de> Visitor<'de> for NameVisitor {
            type Value = Name<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an attribute's name")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Name(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Name(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(NameVisitor)
    }
}

impl<'de> Deserialize<'de> for Scalar<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor)
    }
}

struct ScalarVisitor;

impl<'de> Visitor<'de> for ScalarVisitor {
    type Value = Scalar<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an attribute's value")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Scalar::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Scalar::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Scalar::Integer(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(Scalar::Integer(i64::try_from(value).unwrap_or(i64::MAX)))
    }

    fn visit_f64<E>(self, _value: f64) -> Result<Self::Value, E> {
        Ok(Scalar::Other("a number with a fraction or an exponent"))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Scalar::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Scalar::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Scalar::Other("an array"))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Scalar::Other("an object"))
    }
}

/// A JSON array of events, not longer than is allowed.
struct Batch<'c> {
    events_max: usize,
    reached: &'c Cell<Option<usize>>,
}

impl<'de> DeserializeSeed<'de> for Batch<'_> {
    type Value = Vec<Envelope<'de>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Batch<'_> {
    type Value = Vec<Envelope<'de>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON array of CloudEvents")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut envelopes = Vec::new();
        self.reached.set(Some(0));
        while let Some(envelope) = seq.next_element()? {
            if envelopes.len() >= self.events_max {
                return Err(serde::de::Error::custom(format_args!(
                    "the batch has more than {} events",
                    self.events_max
                )));
            }
            envelopes.push(envelope);
            self.reached.set(Some(envelopes.len()));
        }
        Ok(envelopes)
    }
}
