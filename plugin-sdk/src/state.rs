//! What the plugin keeps of an entity from one run to the next, as JSON.
//!
//! Runs about one entity never overlap, so what is read here stays true until the run has ended: read, change, write
//! back, without a lock.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, decode, encode};
use crate::host;

/// The entry, where there is one.
pub fn get<T: DeserializeOwned>(key: &str) -> Result<Option<T>, Error> {
    host::state_get(key).map(|bytes| read(key, bytes)).transpose()
}

/// Writes the entry, to stay until it is removed. It belongs to the customer of the run, with whom it is erased;
/// [`Entry`] says otherwise.
pub fn set<T: Serialize + ?Sized>(key: &str, value: &T) -> Result<(), Error> {
    Entry::new(key).set(value)
}

/// Removes the entry, if it is there.
pub fn remove(key: &str) {
    host::state_remove(key);
}

/// Every entry whose key begins with `prefix`, in the order of the keys.
pub fn scan<T: DeserializeOwned>(prefix: &str) -> Result<Vec<(String, T)>, Error> {
    let mut found = Vec::new();
    let mut after = None;
    loop {
        let (entries, next) = host::state_scan(prefix, after.as_deref(), PAGE);
        for (key, bytes) in entries {
            let value = read(&key, bytes)?;
            found.push((key, value));
        }
        match next {
            Some(next) => after = Some(next),
            None => return Ok(found),
        }
    }
}

/// Entries per page of a scan: large enough for nearly every entity in one call, small enough that a page of the
/// largest values stays below a few megabytes.
const PAGE: u32 = 100;

/// An entry with more to say about it than its key.
#[derive(Debug, Clone)]
#[must_use = "nothing is written before `set`"]
pub struct Entry {
    key: String,
    ttl: Option<Duration>,
    customer: Option<String>,
}

impl Entry {
    /// An entry with this key.
    pub fn new(key: impl Into<String>) -> Entry {
        Entry { key: key.into(), ttl: None, customer: None }
    }

    /// Forgotten after this time.
    pub fn ttl(mut self, ttl: Duration) -> Entry {
        self.ttl = Some(ttl);
        self
    }

    /// About this customer, with whom it is erased.
    pub fn about(mut self, customer: impl Into<String>) -> Entry {
        self.customer = Some(customer.into());
        self
    }

    /// Writes it.
    pub fn set<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Error> {
        let bytes = encode(&format!("state `{}`", self.key), value)?.into_bytes();
        host::state_set(&self.key, bytes, self.ttl, self.customer);
        Ok(())
    }
}

fn read<T: DeserializeOwned>(key: &str, bytes: Vec<u8>) -> Result<T, Error> {
    let what = format!("state `{key}`");
    let text = String::from_utf8(bytes).map_err(|_| Error::reject(format!("{what} is not UTF-8")))?;
    decode(&what, &text)
}
