//! Events of the plugin's own.

use serde::Serialize;

use crate::error::{Error, encode};
use crate::host;

/// An event of a type that the manifest declares under `emits`.
pub fn event(event_type: impl Into<String>) -> NewEvent {
    NewEvent {
        event_type: event_type.into(),
        subject: None,
        data: "null".into(),
        customer: None,
        dedup_key: None,
        attributes: Vec::new(),
    }
}

/// Emits an event with nothing to it but its type and data.
pub fn emit<T: Serialize + ?Sized>(event_type: &str, data: &T) -> Result<(), Error> {
    event(event_type).data(data)?.emit();
    Ok(())
}

/// An event being written.
#[derive(Debug, Clone)]
#[must_use = "nothing is raised before `emit`"]
pub struct NewEvent {
    pub(crate) event_type: String,
    pub(crate) subject: Option<String>,
    pub(crate) data: String,
    pub(crate) customer: Option<String>,
    pub(crate) dedup_key: Option<String>,
    pub(crate) attributes: Vec<(String, String)>,
}

impl NewEvent {
    /// What it is about.
    pub fn subject(mut self, subject: impl Into<String>) -> NewEvent {
        self.subject = Some(subject.into());
        self
    }

    /// What it says.
    pub fn data<T: Serialize + ?Sized>(mut self, data: &T) -> Result<NewEvent, Error> {
        self.data = encode(&format!("event `{}`", self.event_type), data)?;
        Ok(self)
    }

    /// The customer concerned, where that is not the run's.
    pub fn customer(mut self, customer: impl Into<String>) -> NewEvent {
        self.customer = Some(customer.into());
        self
    }

    /// At most one event with this key from this plugin.
    pub fn dedup_key(mut self, key: impl Into<String>) -> NewEvent {
        self.dedup_key = Some(key.into());
        self
    }

    /// A CloudEvents extension attribute: a name of lower-case letters and digits.
    pub fn attribute(mut self, name: impl Into<String>, value: impl Into<String>) -> NewEvent {
        self.attributes.push((name.into(), value.into()));
        self
    }

    /// Raises it, once the run has ended well. Whoever subscribes is run, this plugin too.
    pub fn emit(self) {
        host::events_emit(self);
    }
}
