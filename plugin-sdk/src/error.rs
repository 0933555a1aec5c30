//! How a handler says that it did not do its work.

use std::fmt;
use std::time::Duration;

use crate::messages::{MessageId, SendError};

/// What a handler returns. `Ok(())` keeps all that the run asked for, and is also the answer when there was nothing
/// to do; an error keeps none of it.
pub type Outcome = Result<(), Error>;

/// Nothing of the run is kept. Which case it is decides whether the host tries again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// Worth trying again: the host runs the handler later, with growing pauses, and at last sets the run aside.
    Retry {
        /// What went wrong, for whoever reads the host's log.
        message: String,
        /// What else helps to find it.
        detail: Option<String>,
        /// Not before this time has passed; the host's own pause where absent.
        after: Option<Duration>,
    },
    /// Not worth trying again: the host sets the run aside at once, with this reason.
    Reject {
        /// What went wrong, for whoever reads the host's log.
        message: String,
        /// What else helps to find it.
        detail: Option<String>,
    },
}

impl Error {
    /// A failure that may pass.
    pub fn retry(message: impl fmt::Display) -> Error {
        Error::Retry { message: message.to_string(), detail: None, after: None }
    }

    /// A failure that may pass, but not before `after`.
    pub fn retry_after(message: impl fmt::Display, after: Duration) -> Error {
        Error::Retry { message: message.to_string(), detail: None, after: Some(after) }
    }

    /// A failure that stays: the event is wrong, or the installation is.
    pub fn reject(message: impl fmt::Display) -> Error {
        Error::Reject { message: message.to_string(), detail: None }
    }

    /// Adds what else helps to find it, a stack or what a service answered; it is kept beside the message.
    pub fn with_detail(mut self, more: impl fmt::Display) -> Error {
        let (Error::Retry { detail, .. } | Error::Reject { detail, .. }) = &mut self;
        *detail = Some(more.to_string());
        self
    }

    /// What was said, without the case.
    pub fn message(&self) -> &str {
        match self {
            Error::Retry { message, .. } | Error::Reject { message, .. } => message,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Retry { message, .. } => write!(f, "to be tried again: {message}"),
            Error::Reject { message, .. } => write!(f, "rejected: {message}"),
        }
    }
}

impl std::error::Error for Error {}

/// What serde cannot read today it cannot read tomorrow.
impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Error {
        Error::reject(error)
    }
}

/// The host keeps its own passing troubles to itself, so a refusal is final.
impl From<SendError> for Error {
    fn from(error: SendError) -> Error {
        Error::reject(format!("the message was not taken: {error}"))
    }
}

/// What to do about a message that was not taken. A plain `?` sets the run aside.
pub trait SendResult {
    /// Goes on without the message where the reason lies with the customer and nobody has to repair anything: no
    /// consent, no address, quota used up, too late. The log says so. Every other reason stays an error.
    fn or_skip(self) -> Result<Option<MessageId>, Error>;

    /// Asks for another execution `after` some time where the quota is used up; every other reason stays an error.
    fn or_retry_quota(self, after: Duration) -> Result<MessageId, Error>;
}

impl SendResult for Result<MessageId, SendError> {
    fn or_skip(self) -> Result<Option<MessageId>, Error> {
        match self {
            Ok(id) => Ok(Some(id)),
            Err(reason) if reason.is_about_the_customer() => {
                crate::info!("no message: {reason}");
                Ok(None)
            }
            Err(reason) => Err(reason.into()),
        }
    }

    fn or_retry_quota(self, after: Duration) -> Result<MessageId, Error> {
        self.map_err(|reason| match reason {
            SendError::OverQuota(_) => Error::retry_after(reason, after),
            reason => reason.into(),
        })
    }
}

/// Reads JSON and names the field that does not fit: `data.order.id: invalid type: …`.
pub(crate) fn decode<T: serde::de::DeserializeOwned>(what: &str, json: &str) -> Result<T, Error> {
    let mut reader = serde_json::Deserializer::from_str(json);
    serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        let path = if path == "." { String::new() } else { format!(".{path}") };
        Error::reject(format!("{what}{path}: {}", error.inner()))
    })
}

/// Writes JSON; it fails only for what JSON has no form for, such as a map with keys that are no strings.
pub(crate) fn encode<T: serde::Serialize + ?Sized>(what: &str, value: &T) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|error| Error::reject(format!("{what} cannot be written as JSON: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    struct Order {
        #[expect(dead_code, reason = "only its reading is looked at")]
        minutes: Vec<u32>,
    }

    #[test]
    fn a_wrong_field_is_named_with_its_path() {
        let error = decode::<Order>("data", r#"{"minutes":[2,"three"]}"#).unwrap_err();
        assert!(error.message().starts_with("data.minutes[1]: invalid type: string \"three\""), "{error}");
    }

    #[test]
    fn a_missing_field_is_named() {
        let error = decode::<Order>("data", "{}").unwrap_err();
        assert!(error.message().starts_with("data: missing field `minutes`"), "{error}");
    }

    #[test]
    fn a_refusal_that_lies_with_the_plugin_is_never_skipped() {
        let refused: Result<MessageId, SendError> = Err(SendError::BadTemplate("no such template".into()));
        assert!(refused.or_skip().is_err());
    }
}
