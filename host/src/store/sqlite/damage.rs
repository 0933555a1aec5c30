//! What was found of the file while the host ran.
//!
//! Once it is found damaged nothing more is written: what is written over a damaged file can be lost with it, and damage that
//! is not noticed spreads into the backups. But SQLite says "malformed" of a disk that could not be read for a moment as well
//! (`SQLITE_IOERR_CORRUPTFS`). So a thread of its own looks through the file again and again, and when it finds it whole,
//! writing goes on by itself.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{Settings, error::Outcome, open};
use crate::store::Error;

/// Trouble that passes is over soon, in most cases.
const FIRST_LOOK: Duration = Duration::from_secs(1);
/// Between two looks, and a second more for each of these bytes: looking takes a tenth of the time or less.
const LOOK_EVERY: Duration = Duration::from_secs(5);
const BYTES_PER_SECOND: u64 = 20 << 20;

#[derive(Default)]
pub(super) struct Damage {
    state: Mutex<State>,
    closed: Condvar,
}

#[derive(Default)]
struct State {
    known: Option<Error>,
    closed: bool,
}

impl Damage {
    /// Why nothing is to be written now.
    pub(super) fn known(&self) -> Option<Error> {
        self.lock().known.as_ref().map(Error::again)
    }

    /// Notes it where it is damage, and has the file looked through until it is none any more.
    pub(super) fn note(self: &Arc<Self>, error: &Error, place: &Path, settings: &Settings) {
        if !matches!(error, Error::Unusable { .. }) {
            return;
        }
        let mut state = self.lock();
        if state.closed || state.known.is_some() {
            return;
        }
        state.known = Some(error.again());
        tracing::error!(%error, "the store is damaged: nothing more is written to it");
        let (damage, place, settings) = (self.clone(), place.to_owned(), settings.clone());
        let watch =
            std::thread::Builder::new().name("store-check".into()).spawn(move || damage.watch(&place, &settings));
        if let Err(error) = watch {
            tracing::error!(%error, "the store cannot be looked through: restart the host once it is mended");
        }
    }

    /// No look after this one.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.closed.notify_all();
    }

    fn watch(&self, place: &PathBuf, settings: &Settings) {
        let mut pause = FIRST_LOOK;
        while !self.closed_within(pause) {
            match look_through(place, settings) {
                Ok(found) if found == "ok" => {
                    tracing::warn!(place = %place.display(), "the store was looked through and is whole: it is written again");
                    self.lock().known = None;
                    return;
                }
                Ok(found) => tracing::debug!(%found, "the store is damaged still"),
                Err(error) => tracing::debug!(%error, "the store cannot be looked through"),
            }
            let bytes = std::fs::metadata(place).map_or(0, |file| file.len());
            pause = LOOK_EVERY + Duration::from_secs(bytes / BYTES_PER_SECOND);
        }
    }

    fn closed_within(&self, pause: Duration) -> bool {
        let waited = self.closed.wait_timeout_while(self.lock(), pause, |state| !state.closed);
        waited.unwrap_or_else(PoisonError::into_inner).0.closed
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn look_through(place: &Path, settings: &Settings) -> Outcome<String> {
    let conn = open::reader(place, settings)?;
    Ok(conn.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?)
}
