//! The disk fails, is full, is damaged, or the host dies at the worst moment of writing to it. What was acknowledged is there
//! afterwards, whole; and what cannot be opened is refused and left as it is.

mod front_door;
#[expect(clippy::print_stdout, reason = "how many points there were belongs to what the test shows")]
mod points;
mod trouble;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use crate::harness::{Host, PAUL, Setup, Shown, ledger::Ledger, steps};

/// A file that lies beside the store's.
fn beside(store: &Path, ending: &str) -> PathBuf {
    PathBuf::from(format!("{}{ending}", store.display()))
}

/// The test's own plugin: the quickest to start.
fn setup() -> Setup {
    // Paul gets more than a provider would let anybody get.
    Setup::tester().with("dispatch.pair-burst = 100000")
}

/// A host with one customer, not started.
async fn prepared(setup: Setup) -> Host {
    let host = Host::prepare(setup).await;
    host.sim.phone(PAUL, |_| {});
    host
}

/// An event that leads to one message with this word, about an entity of its own.
fn telling(word: &str) -> Value {
    let mut event = steps("paul", word, json!([{"send": {"text": word}}]));
    event["id"] = json!(word);
    event
}

/// Posts an event, and notes what was answered. Whether it was acknowledged; `None` where there was no answer.
async fn post(host: &Host, ledger: &Ledger, word: &str) -> Option<bool> {
    ledger.posting(word);
    let media = [("content-type", "application/cloudevents+json")];
    let answer = host.try_send(reqwest::Method::POST, "/v1/events", &media, telling(word).to_string()).await.ok()?;
    match answer.status {
        202 => ledger.acknowledged(word),
        _ => assert_unavailable(&answer),
    }
    Some(answer.status == 202)
}

/// The one answer to trouble with the store: later, and nothing was taken.
#[track_caller]
fn assert_unavailable(answer: &crate::harness::Answer) {
    let problem = answer.problem(503, "/problems/unavailable", None);
    assert!(problem["detail"].as_str().unwrap().contains("send it again"), "{problem:#}");
    assert!(answer.header("retry-after").parse::<u32>().unwrap() > 0);
    assert!(!answer.text.contains("relais.db"), "where the store lies is nobody's business: {}", answer.text);
}

/// Waits until nothing is left to do. Doubts end by their times, which are passed on the clock.
async fn settle(host: &Host) {
    host.advance("31s").await;
    host.until("every attempt that was cut off is in doubt, and every run is over", async || {
        let stats = host.stats().await;
        let messages = host.all_messages().await;
        let planned: Vec<_> = messages.iter().map(Shown::way).filter(|way| way.ends_with("planned")).collect();
        if stats["open_runs"] == 0 && planned.is_empty() { Ok(()) } else { Err(format!("{planned:?} {stats}")) }
    })
    .await;
    host.advance("61s").await;
    host.until("all messages have been read", async || {
        let messages = host.all_messages().await;
        let open: Vec<_> = messages.iter().filter(|message| message["state"] != "read").map(Shown::way).collect();
        if open.is_empty() { Ok(()) } else { Err(open.join("; ")) }
    })
    .await;
}

/// What SQLite says of a copy, so that looking at it changes nothing.
fn assert_whole(store: &Path) {
    let copy = beside(store, ".copy");
    for ending in ["", "-wal"] {
        let _ = std::fs::remove_file(beside(&copy, ending));
        if beside(store, ending).exists() {
            std::fs::copy(beside(store, ending), beside(&copy, ending)).unwrap();
        }
    }
    let conn = rusqlite::Connection::open(&copy).unwrap();
    let found: String = conn.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(found, "ok");
    drop(conn);
    for ending in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(beside(&copy, ending));
    }
}

/// The store's files and what is in them. Left out is what says nothing of the store: a lock, and what SQLite shares in memory.
fn contents(host: &Host) -> BTreeMap<String, Vec<u8>> {
    let mut contents = BTreeMap::new();
    for entry in std::fs::read_dir(host.dir()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name.starts_with("relais.db") && !name.ends_with(".lock") && !name.ends_with("-shm") {
            contents.insert(name, std::fs::read(&path).unwrap_or_default());
        }
    }
    contents
}
