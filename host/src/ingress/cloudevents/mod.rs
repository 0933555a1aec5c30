//! CloudEvents 1.0 over HTTP, in: which mode a request is in, and the events that it holds.
//!
//! The modes differ in where attributes and data stand ([`json`]: in one JSON object or an array of them; [`headers`]: in
//! headers, with the body as data). What an attribute may be is decided in one place for all of them ([`attributes`]), and so is
//! how data are kept as JSON text ([`data`]). A body is gone through once; its data are copied once, into the event.
//!
//! Errors name the attribute as it was written (`ce-time` in a header, `time` in JSON), the position in a batch, and
//! the line and column where the JSON itself is broken. A batch is taken whole or not at all.

mod attributes;
mod data;
mod headers;
mod json;

#[cfg(test)]
mod tests;

use axum::http::HeaderMap;

use super::{
    problem::{Problem, excerpt},
    request::{content_type, is_json},
    settings::Settings,
};
use crate::{clock::Timestamp, domain::event::Event, ids::TenantId};

/// Where events stand in a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Structured,
    Binary,
    Batch,
}

/// What reading an event needs beside the request.
pub struct Reader<'a> {
    pub tenant: &'a TenantId,
    pub now: Timestamp,
    pub settings: &'a Settings,
}

/// `channels.md` §6.2: looked at in this order, without regard to case.
pub fn mode(headers: &HeaderMap) -> Result<Mode, Problem> {
    const BATCH: &str = "application/cloudevents-batch";
    const STRUCTURED: &str = "application/cloudevents";
    let sent = content_type(headers);
    let essence = sent.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if let Some(format) = essence.strip_prefix(BATCH) {
        return in_json(sent, format, Mode::Batch);
    }
    if let Some(format) = essence.strip_prefix(STRUCTURED) {
        return in_json(sent, format, Mode::Structured);
    }
    if headers.contains_key("ce-specversion") {
        return Ok(Mode::Binary);
    }
    let detail = match sent {
        "" => "there is no content type, and no ce-specversion".to_owned(),
        sent => format!("`{}` without ce-specversion is no CloudEvent", excerpt(sent)),
    };
    let fix = if is_json(sent) || essence.is_empty() {
        "send the event with `Content-Type: application/cloudevents+json`, or its attributes in `ce-…` headers"
    } else {
        "add `ce-specversion: 1.0` and the other `ce-…` headers, or send `application/cloudevents+json`"
    };
    Err(Problem::bad_content_type(detail).fix(fix))
}

fn in_json(sent: &str, format: &str, mode: Mode) -> Result<Mode, Problem> {
    if format != "+json" {
        return Err(Problem::bad_content_type(format!("`{}` is a format that is not read here", excerpt(sent)))
            .fix("send JSON: `application/cloudevents+json` or `application/cloudevents-batch+json`"));
    }
    if !data::is_utf8(sent) {
        return Err(Problem::bad_content_type(format!("`{}` is not in UTF-8", excerpt(sent))).fix("send UTF-8"));
    }
    Ok(mode)
}

impl Reader<'_> {
    /// How long a body may be, and what to call it where it is longer.
    pub fn body_limit(&self, mode: Mode) -> (&'static str, usize) {
        match mode {
            Mode::Structured | Mode::Binary => ("an event", self.settings.event_bytes_max),
            Mode::Batch => ("a batch", self.settings.batch_bytes_max),
        }
    }

    pub fn read(&self, mode: Mode, headers: &HeaderMap, body: &[u8]) -> Result<Vec<Event>, Problem> {
        match mode {
            Mode::Structured => json::one(self, body).map(|event| vec![event]),
            Mode::Binary => headers::read(self, headers, body).map(|event| vec![event]),
            Mode::Batch => json::batch(self, body),
        }
    }
}
