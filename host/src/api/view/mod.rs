//! Every shape of JSON that leaves the host, once: names in `snake_case`, ids as text, times as RFC 3339.
//!
//! What the store keeps has shapes of its own, which may change with it; these are the ones that callers rely on.

mod conversation;
mod customer;
mod endpoint;
mod event;
mod message;
mod run;

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::{clock::Timestamp, ingress::problem::Problem};

pub(crate) use self::{
    conversation::{incoming_entry, line, outgoing_entry, to},
    customer::customer,
    endpoint::{endpoint, notice},
    event::event,
    message::{because, failure, message, next_at, state_word},
    run::{incoming, run},
};

/// An answer in JSON.
pub(crate) fn answer<T: Serialize>(status: StatusCode, value: &T) -> Response {
    match serde_json::to_vec(value) {
        Ok(body) => {
            let mut response = Response::new(Body::from(body));
            *response.status_mut() = status;
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            response
        }
        Err(error) => Problem::internal(&error).into_response(),
    }
}

/// A point in time as callers read it.
pub(crate) struct Time(pub(crate) Timestamp);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

pub(crate) fn time(at: Timestamp) -> Value {
    Value::String(at.rfc3339())
}

pub(crate) fn time_or_null(at: Option<Timestamp>) -> Value {
    at.map_or(Value::Null, time)
}

/// JSON text that the host keeps, as JSON. What cannot be read is shown as the text that it is.
pub(crate) fn json_text(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
}
