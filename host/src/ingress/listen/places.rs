//! How many connections each address has.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::ingress::settings::client;

pub(super) struct Places {
    taken: Arc<Mutex<HashMap<IpAddr, usize>>>,
    max: usize,
}

impl Places {
    pub(super) fn new(max: usize) -> Places {
        Places { taken: Arc::default(), max }
    }

    /// A place for one more connection of this client, given back when it is dropped.
    pub(super) fn take(&self, ip: IpAddr) -> Option<Place> {
        let client = client(ip);
        let mut taken = lock(&self.taken);
        let count = taken.entry(client).or_default();
        if *count >= self.max {
            return None;
        }
        *count += 1;
        Some(Place { taken: self.taken.clone(), client })
    }
}

pub(super) struct Place {
    taken: Arc<Mutex<HashMap<IpAddr, usize>>>,
    client: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = lock(&self.taken);
        if let Some(count) = taken.get_mut(&self.client) {
            *count -= 1;
            // Kept at nothing, the table would grow with every address that ever came.
            if *count == 0 {
                taken.remove(&self.client);
            }
        }
    }
}

/// Counts stay right whatever happened to whoever held the lock.
fn lock(taken: &Mutex<HashMap<IpAddr, usize>>) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
    taken.lock().unwrap_or_else(PoisonError::into_inner)
}
