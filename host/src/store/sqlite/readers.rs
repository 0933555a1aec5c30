//! Connections that only read, each used by one query at a time, off the threads that serve requests.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
};

use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::{Settings, damage::Damage, error::Outcome, open};
use crate::store::{Error, Result};

pub(super) struct Readers {
    place: PathBuf,
    settings: Settings,
    free: Mutex<Vec<Connection>>,
    permits: Semaphore,
    damage: Arc<Damage>,
}

impl Readers {
    pub(super) fn new(place: PathBuf, settings: Settings, damage: Arc<Damage>) -> Readers {
        let permits = Semaphore::new(settings.readers.max(1));
        Readers { place, settings, free: Mutex::new(Vec::new()), permits, damage }
    }

    /// No query after this one; connections that are in use are closed when they come back.
    pub(super) fn close(&self) {
        self.permits.close();
        self.free.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clear();
    }

    /// Runs `query` on one state of the database: what is committed meanwhile is not seen by half.
    pub(super) async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        query: impl FnOnce(&Connection) -> Outcome<T> + Send + 'static,
    ) -> Result<T> {
        let permit = self.permits.acquire().await.map_err(|_| Error::Closed)?;
        let readers = self.clone();
        let answer = tokio::task::spawn_blocking(move || readers.query(query)).await;
        drop(permit);
        answer.map_err(|error| Error::Corrupt(format!("a query did not end: {error}")))?
    }

    /// The same for a look-up by key, made where it is asked: its few microseconds are less than handing it to another
    /// thread and being woken would take, and that is what every run of an entity that is not in memory would pay.
    pub(super) async fn glance<T: Send>(&self, query: impl FnOnce(&Connection) -> Outcome<T> + Send) -> Result<T> {
        let _permit = self.permits.acquire().await.map_err(|_| Error::Closed)?;
        self.query(query)
    }

    fn query<T>(&self, query: impl FnOnce(&Connection) -> Outcome<T>) -> Result<T> {
        let free = self.free.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).pop();
        let conn = match free {
            Some(conn) => conn,
            None => open::reader(&self.place, &self.settings).map_err(|trouble| trouble.at(&self.place))?,
        };
        let answer = in_one_state(&conn, query).map_err(|trouble| trouble.at(&self.place));
        // One that is in trouble is not used again.
        if let Err(error) = &answer {
            self.damage.note(error, &self.place, &self.settings);
        } else if !self.permits.is_closed() {
            self.free.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push(conn);
        }
        answer
    }
}

fn in_one_state<T>(conn: &Connection, query: impl FnOnce(&Connection) -> Outcome<T>) -> Outcome<T> {
    conn.prepare_cached("BEGIN")?.execute([])?;
    let answer = query(conn);
    conn.prepare_cached("COMMIT")?.execute([])?;
    answer
}
