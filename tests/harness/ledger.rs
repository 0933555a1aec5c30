//! What was promised against what was seen: every event that the host acknowledged, and every request that a provider took.
//!
//! Each event carries a word that no other has, so that a provider's request can be told whose it is.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Mutex,
};

use serde_json::Value;

use super::Host;

/// A word of eight characters, none of which is the beginning of another.
pub(crate) fn word(no: u32) -> String {
    format!("ORD{no:05}")
}

#[derive(Default)]
pub(crate) struct Ledger {
    book: Mutex<Book>,
}

#[derive(Default)]
struct Book {
    /// Words of events that were posted, acknowledged or not.
    posted: BTreeSet<String>,
    /// Words of those that the host said it had.
    acknowledged: BTreeSet<String>,
}

impl Ledger {
    /// Before it is posted: without an answer nobody knows whether it was accepted.
    pub(crate) fn posting(&self, word: &str) {
        self.book.lock().unwrap().posted.insert(word.to_owned());
    }

    pub(crate) fn acknowledged(&self, word: &str) {
        self.book.lock().unwrap().acknowledged.insert(word.to_owned());
    }

    pub(crate) fn acknowledged_count(&self) -> usize {
        self.book.lock().unwrap().acknowledged.len()
    }

    /// How often each word was taken by a provider.
    pub(crate) async fn taken(&self, host: &Host) -> BTreeMap<String, usize> {
        let mut taken = BTreeMap::new();
        for request in host.sim.requests("accepted=true").await {
            *taken.entry(word_in(&request)).or_default() += 1;
        }
        taken
    }

    /// Waits until a provider has taken everything that was acknowledged.
    pub(crate) async fn until_all_are_taken(&self, host: &Host) {
        host.until("a provider has taken everything that was acknowledged", async || {
            let taken = self.taken(host).await;
            let book = self.book.lock().unwrap();
            let missing: Vec<&String> = book.acknowledged.iter().filter(|word| !taken.contains_key(*word)).collect();
            if missing.is_empty() { Ok(()) } else { Err(format!("missing: {missing:?}")) }
        })
        .await;
    }

    /// Nothing was lost, nothing was invented, and no more than `duplicates_max` words were taken twice.
    pub(crate) async fn check(&self, host: &Host, duplicates_max: usize) {
        let taken = self.taken(host).await;
        let book = self.book.lock().unwrap();
        let lost: Vec<_> = book.acknowledged.iter().filter(|word| !taken.contains_key(*word)).collect();
        assert!(lost.is_empty(), "acknowledged and never taken by a provider: {lost:?}");
        let invented: Vec<_> = taken.keys().filter(|word| !book.posted.contains(*word)).collect();
        assert!(invented.is_empty(), "taken by a provider and never posted: {invented:?}");
        let twice: Vec<_> = taken.iter().filter(|(_, times)| **times > 1).collect();
        assert!(twice.len() <= duplicates_max, "taken more than once, {duplicates_max} are allowed: {twice:?}");
    }
}

fn word_in(request: &Value) -> String {
    let body = request["body"].to_string();
    let at = body.find("ORD").unwrap_or_else(|| panic!("a request without a word: {request:#}"));
    body[at..at + 8].to_owned()
}
