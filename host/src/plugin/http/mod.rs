//! Outgoing HTTP of plugins, which is off until an operator grants it.
//!
//! In comes a request that a run makes; out goes the answer, or the reason why there is none. A request has to fit a rule of
//! the manifest and one of the operator's (`rule`), its name has to lead to addresses that plugins are not kept from
//! (`address`), and the connection is made to exactly those addresses (`door`). Nothing is followed, nothing is retried,
//! and size, time and number are bounded: `plugins.http` has the settings.
//!
//! This is one of the two places of the host that open connections; the other is `channel`. The stage that tells endpoints what
//! happens (`notice`) goes out by the same door, because its URLs are not the operator's own either. A request is no part of the
//! run's transaction: a run that is executed again makes it again, under the same `Idempotency-Key`.

mod address;
mod door;
mod rule;

pub(crate) use address::Networks;
pub(crate) use door::Door;
pub use rule::{HttpRule, HttpRuleTable};

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use serde::{Deserialize, Serialize};
use url::Url;

use super::units::{Bytes as Size, Span};

/// The table `[plugins.http]`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct HttpSettings {
    /// Requests of one run.
    pub requests: u32,
    /// Requests of one plugin at a time, over all of its runs. A run that finds no place is told so at once.
    pub at_once: u32,
    /// For the whole of a request, name and connection included. A run's own time holds where it is shorter.
    pub time: Span,
    /// For name, connection and TLS.
    pub connect: Span,
    /// Names and values of a request's or an answer's headers together.
    pub header_bytes: Size,
    /// The body of a request.
    pub request_bytes: Size,
    /// The body of an answer.
    pub response_bytes: Size,
}

impl Default for HttpSettings {
    fn default() -> Self {
        HttpSettings {
            // A run asks a service or two before it decides; what loops over customers belongs elsewhere.
            requests: 10,
            at_once: 16,
            time: Span(Duration::from_secs(10)),
            // Two lost SYNs; beyond that it is an outage.
            connect: Span(Duration::from_secs(3)),
            header_bytes: Size(32 << 10),
            request_bytes: Size(1 << 20),
            response_bytes: Size(1 << 20),
        }
    }
}

/// A request that is permitted, with its secrets filled in.
pub struct Outgoing {
    pub method: Method,
    pub url: Url,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub timeout: Duration,
}

#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    /// The name leads to an address that plugins are kept from.
    #[error("{0}")]
    KeptFrom(String),
    #[error("no answer: {0}")]
    Unreachable(String),
    #[error("no complete answer in time")]
    TimedOut,
    #[error("the answer is too large")]
    TooLarge,
    #[error("too many requests at once")]
    Busy,
}

/// Where requests go. The host has [`Door`]; on an author's desk, answers come from a file.
#[async_trait]
pub trait Outside: Send + Sync {
    async fn send(&self, request: Outgoing) -> Result<Answer, NoAnswer>;
}
