//! Requests to services that the manifest names and the operator grants.
//!
//! A request is made at once, while the run is under way, and again when the run is executed again: the host adds an
//! `Idempotency-Key` that is the same every time. Nothing of it is undone when the run fails.
//!
//! ```no_run
//! # use relais_plugin::{Error, http};
//! # #[derive(serde::Deserialize)]
//! # struct Stock {}
//! # fn ask() -> Result<Stock, Error> {
//! let stock: Stock = http::get("https://stock.example.com/v1/items/4821")
//!     .bearer_secret("stock-token")
//!     .send()?
//!     .success()?
//!     .json()?;
//! # Ok(stock)
//! # }
//! ```

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, decode, encode};
use crate::{host, run};

/// A request being written.
#[derive(Debug, Clone, PartialEq)]
#[must_use = "nothing is asked before `send`"]
pub struct Request {
    /// `GET`, `POST`, …
    pub method: String,
    /// A whole URL.
    pub url: String,
    /// Names and values.
    pub headers: Vec<(String, String)>,
    /// What it says.
    pub body: Option<Vec<u8>>,
    /// Gives up after this time; the host's own limit applies in any case.
    pub timeout: Option<Duration>,
}

/// What a service answered. A redirect is an answer like any other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// 200 and so on.
    pub status: u16,
    /// Names are in lower case.
    pub headers: Vec<(String, String)>,
    /// What it says.
    pub body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HttpError {
    /// The manifest does not ask for it, or the operator does not grant it: which, and what to write.
    NotPermitted(String),
    /// The request makes no sense.
    BadRequest(String),
    /// Nobody answered.
    Unreachable(String),
    /// No complete answer in time.
    TimedOut,
    /// The answer is longer than the limit.
    TooLarge,
    /// More requests than a run may make, or too many at once.
    OverQuota(String),
    /// A reason that this version has no case for.
    Other(String),
}

/// Asks for what is at a URL.
pub fn get(url: impl Into<String>) -> Request {
    request("GET", url)
}

/// Tells a service something.
pub fn post(url: impl Into<String>) -> Request {
    request("POST", url)
}

/// Any method.
pub fn request(method: impl Into<String>, url: impl Into<String>) -> Request {
    Request { method: method.into(), url: url.into(), headers: Vec::new(), body: None, timeout: None }
}

impl Request {
    /// A header. A placeholder of [`run::secret`] in its value is replaced by the secret on the way.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Request {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// `Authorization: Bearer …` with a secret that the manifest names. Without it the service will say what is missing.
    pub fn bearer_secret(self, name: &str) -> Request {
        match run::secret(name) {
            Some(placeholder) => self.header("authorization", format!("Bearer {placeholder}")),
            None => self,
        }
    }

    /// The body as it is.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Request {
        self.body = Some(body.into());
        self
    }

    /// A JSON body.
    pub fn json<T: Serialize + ?Sized>(self, value: &T) -> Result<Request, Error> {
        let body = encode(&format!("the request to {}", self.url), value)?;
        Ok(self.header("content-type", "application/json").body(body))
    }

    /// Gives up after this time.
    pub fn timeout(mut self, wait: Duration) -> Request {
        self.timeout = Some(wait);
        self
    }

    /// Makes the request.
    pub fn send(self) -> Result<Response, HttpError> {
        host::http_send(self)
    }
}

impl Response {
    /// The first header with this name, in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The answer, if its status is 2xx. What may pass (408, 429, 5xx) is to be tried again, after `Retry-After` where the
    /// service says so in seconds; every other status is rejected. The detail is the beginning of the body.
    pub fn success(self) -> Result<Response, Error> {
        if (200..300).contains(&self.status) {
            return Ok(self);
        }
        let message = format!("the service answered {}", self.status);
        let error = if matches!(self.status, 408 | 425 | 429 | 500..=599) {
            let after = self.header("retry-after").and_then(|seconds| seconds.parse().ok()).map(Duration::from_secs);
            after.map_or_else(|| Error::retry(&message), |after| Error::retry_after(&message, after))
        } else {
            Error::reject(&message)
        };
        let said: String = String::from_utf8_lossy(&self.body).chars().take(DETAIL_CHARS).collect();
        Err(if said.is_empty() { error } else { error.with_detail(said) })
    }

    /// The body as JSON; what does not fit is rejected with its path.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        decode("answer", &String::from_utf8_lossy(&self.body))
    }
}

/// Of an answer that is an error: enough for a problem report, too little for a page.
const DETAIL_CHARS: usize = 500;

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HttpError::NotPermitted(why) | HttpError::BadRequest(why) | HttpError::OverQuota(why) => f.write_str(why),
            HttpError::Unreachable(why) => write!(f, "the service cannot be reached: {why}"),
            HttpError::TimedOut => f.write_str("the service did not answer in time"),
            HttpError::TooLarge => f.write_str("the service's answer is too large"),
            HttpError::Other(code) => write!(f, "the request failed: {code}"),
        }
    }
}

impl std::error::Error for HttpError {}

/// What lies with the service may pass; what lies with the request, the manifest or the grant does not.
impl From<HttpError> for Error {
    fn from(error: HttpError) -> Error {
        match error {
            HttpError::Unreachable(_) | HttpError::TimedOut | HttpError::OverQuota(_) => Error::retry(error),
            _ => Error::reject(error),
        }
    }
}
