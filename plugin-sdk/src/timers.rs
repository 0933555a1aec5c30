//! Alarms that outlive the run and the host. They belong to the entity that the run is about.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, decode, encode};
use crate::{Instant, host, run};

/// A timer that has come due, or one that is set.
#[derive(Debug, Clone, PartialEq)]
pub struct Timer {
    /// The key that it was set with.
    pub key: String,
    /// When it was to be called, at or before now.
    pub due: Instant,
    /// The customer whom the run that set it concerned.
    pub customer: Option<String>,
    /// The data as JSON text; [`Timer::data`] reads it.
    pub data: String,
    /// The version of the plugin that set it: `data` is in that version's form.
    pub set_by: String,
    /// What this version has no field for.
    pub attributes: Vec<(String, String)>,
}

impl Timer {
    /// What the timer was set with.
    pub fn data<T: DeserializeOwned>(&self) -> Result<T, Error> {
        decode(&format!("timer `{}`", self.key), &self.data)
    }

    /// The customer, or a rejection.
    pub fn customer_id(&self) -> Result<&str, Error> {
        let missing = || Error::reject(format!("timer `{}` was set by a run about no customer", self.key));
        self.customer.as_deref().ok_or_else(missing)
    }
}

/// A timer for `due`, in place of an earlier one with that key. One whose time has passed is called at once.
pub fn at(key: impl Into<String>, due: Instant) -> NewTimer {
    NewTimer { key: key.into(), due, data: "null".into(), expires: None }
}

/// A timer for some time from now.
pub fn after(key: impl Into<String>, wait: Duration) -> NewTimer {
    at(key, run::now() + wait)
}

/// Removes it, if there is one.
pub fn cancel(key: &str) {
    host::timers_cancel(key);
}

/// The timer with this key, if there is one.
pub fn get(key: &str) -> Option<Timer> {
    host::timers_get(key)
}

/// A timer being written.
#[derive(Debug, Clone)]
#[must_use = "nothing is set before `set`"]
pub struct NewTimer {
    key: String,
    due: Instant,
    data: String,
    expires: Option<Instant>,
}

impl NewTimer {
    /// What the handler is to find in it.
    pub fn data<T: Serialize + ?Sized>(mut self, data: &T) -> Result<NewTimer, Error> {
        self.data = encode(&format!("timer `{}`", self.key), data)?;
        Ok(self)
    }

    /// Of no use any more after this.
    pub fn expires(mut self, at: Instant) -> NewTimer {
        self.expires = Some(at);
        self
    }

    /// Sets it, once the run has ended well.
    pub fn set(self) {
        host::timers_set(&self.key, self.due, self.data, self.expires);
    }
}
