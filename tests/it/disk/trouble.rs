//! The disk fails while the host runs.

use std::time::Duration;

use serde_json::json;

use super::{assert_unavailable, assert_whole, beside, post, prepared, settle, setup, telling};
use crate::harness::{
    Answer, Host, PAUL,
    ledger::{Ledger, word},
    strace,
};

/// A host of which calls on the store's log fail for a while, some time after its start.
async fn failing(what: &[&str]) -> Host {
    let mut host = prepared(setup()).await;
    let wal = beside(&host.store_file(), "-wal");
    host.under = strace::under(&strace::inject(&[wal], what), &host.dir().join("trace"));
    host.launch().await;
    host.customer("paul", PAUL).await;
    host
}

/// Posts one event after the other, each until it is taken, until so many in a row were taken at once after there was
/// trouble. How often one was refused.
async fn load_through(host: &Host, ledger: &Ledger) -> u32 {
    let (mut refused, mut in_a_row) = (0, 0);
    for no in 0..1_000 {
        let before = refused;
        while !post(host, ledger, &word(no)).await.expect("the host goes on") {
            refused += 1;
            assert!(refused < 1_000, "it does not recover\n{}", host.log());
            assert_eq!(get(host, "/healthz").await.status, 200, "it is alive, and knows it");
        }
        in_a_row = if refused == before { in_a_row + 1 } else { 0 };
        if refused > 0 && in_a_row >= 20 {
            return refused;
        }
    }
    panic!("there was no trouble");
}

async fn get(host: &Host, path: &str) -> Answer {
    host.send(reqwest::Method::GET, path, &[], "").await
}

/// With that trouble, what is refused is told so, what is acknowledged is there, and the host recovers without a restart. A
/// kill afterwards shows that what it went on with is on disk.
async fn survives(what: &[&str], advice: &str) {
    let mut host = failing(what).await;
    let ledger = Ledger::default();
    let process = host.process();
    let refused = load_through(&host, &ledger).await;
    assert!(refused > 0 && host.process() == process, "the same process, all the time");
    assert!(get(&host, "/readyz").await.status == 200);
    let log = host.log();
    let place = host.store_file().display().to_string();
    let told = log.lines().any(|line| line.contains(&place) && line.contains(advice));
    assert!(told, "no line of the log names {place} and says {advice:?}\n{log}");
    assert_whole(&host.store_file());
    host.kill().await;
    host.under.clear();
    host.launch().await;
    assert_whole(&host.store_file());
    settle(&host).await;
    ledger.until_all_are_taken(&host).await;
    ledger.check(&host, 0).await;
}

#[tokio::test]
async fn a_sync_that_fails_acknowledges_nothing_and_the_host_recovers_by_itself() {
    let what = ["fdatasync:error=EIO:when=15..24", "fsync:error=EIO:when=15..24"];
    survives(&what, "Look at the disk").await;
}

#[tokio::test]
async fn a_write_that_fails_acknowledges_nothing_and_the_host_recovers_by_itself() {
    survives(&["pwrite64:error=EIO:when=150..160"], "Look at the disk").await;
}

#[tokio::test]
async fn a_full_disk_acknowledges_nothing_and_the_host_recovers_by_itself() {
    survives(&["pwrite64:error=ENOSPC:when=150..160"], "Make room").await;
}

#[tokio::test]
async fn a_read_that_fails_is_answered_503_and_the_host_recovers_by_itself() {
    let mut host = prepared(setup()).await;
    let store = host.store_file();
    let files = [store.clone(), beside(&store, "-wal")];
    // Counted for each thread: those that answer requests read little at the start. SQLite calls some of these reads damage,
    // which is not to be believed for longer than until it was looked at again.
    host.under =
        strace::under(&strace::inject(&files, &["pread64:error=EIO:when=100..104"]), &host.dir().join("trace"));
    host.launch().await;
    host.customer("paul", PAUL).await;
    let ledger = Ledger::default();
    let mut met = false;
    for no in 0..500 {
        met |= post(&host, &ledger, &word(no)).await == Some(false);
        let answer = get(&host, "/v1/messages?limit=50").await;
        if answer.status != 200 {
            assert_unavailable(&answer);
            met = true;
        }
        if met {
            break;
        }
    }
    assert!(met, "no read failed");
    host.until("everything can be read and written again", async || {
        let read = get(&host, "/v1/messages?limit=50").await.status;
        let written = post(&host, &ledger, &word(600)).await;
        if (read, written) == (200, Some(true)) { Ok(()) } else { Err(format!("{read} {written:?}")) }
    })
    .await;
    let log = host.log();
    assert!(log.contains("Look at the disk") || log.contains("Look at the kernel's log"), "{log}");
    host.kill().await;
    host.under.clear();
    host.launch().await;
    settle(&host).await;
    ledger.check(&host, 0).await;
}

#[tokio::test]
async fn a_file_that_may_not_grow_is_like_a_full_disk_and_recovered_from() {
    let mut host = prepared(setup().with("log.level = \"error\"")).await;
    // Ten MiB: less than the log grows to before SQLite empties it. Only the soft limit, so that it can be lifted.
    host.under = ["prlimit", "--fsize=10485760:unlimited"].map(str::to_owned).to_vec();
    host.launch().await;
    host.customer("paul", PAUL).await;
    let large = "x".repeat(200_000);
    let mut acknowledged = Vec::new();
    let refused = loop {
        let id = format!("large-{}", acknowledged.len());
        let mut event = crate::harness::event("com.example.other", "", json!({ "text": large }));
        event["id"] = json!(id);
        let answer = host.post_event("/v1/events", &event).await;
        if answer.status != 202 {
            break answer;
        }
        acknowledged.push(id);
        assert!(acknowledged.len() < 200, "the limit is not met");
    };
    assert_unavailable(&refused);
    assert_eq!(get(&host, "/healthz").await.status, 200, "it is not ended by it");
    let process = host.process().unwrap().to_string();
    let lifted = std::process::Command::new("prlimit").args(["--pid", &process, "--fsize=unlimited"]).status();
    assert!(lifted.unwrap().success());
    host.until_eq("it is ready again", 200, async || get(&host, "/readyz").await.status).await;
    host.event(telling(&word(0))).await;
    host.only_message("paul", "read").await;
    host.kill().await;
    assert_whole(&host.store_file());
    let conn = rusqlite::Connection::open(host.store_file()).unwrap();
    for id in acknowledged {
        let found =
            conn.query_row("SELECT count(*) FROM events WHERE source_id = ?1", [&id], |row| row.get::<_, i64>(0));
        assert_eq!(found.unwrap(), 1, "{id}");
    }
}

#[tokio::test]
async fn what_a_failed_sync_left_behind_is_made_durable_before_anything_is_built_upon_it() {
    // From the fifteenth on every sync fails, so that the last thing in the log is a commit that no sync covers.
    let mut host = failing(&["fdatasync:error=EIO:when=15+", "fsync:error=EIO:when=15+"]).await;
    let ledger = Ledger::default();
    let mut no = 0;
    while post(&host, &ledger, &word(no)).await.unwrap() {
        no += 1;
        assert!(no < 100, "no sync failed");
    }
    host.kill().await;
    let wal = beside(&host.store_file(), "-wal");
    assert!(std::fs::metadata(&wal).unwrap().len() > 0, "the log is what the next start has to deal with");
    host.under.clear();
    host.launch().await;
    // The file alone, without the log: what a power cut could take is not needed any more.
    let alone = host.dir().join("alone.db");
    std::fs::copy(host.store_file(), &alone).unwrap();
    let conn = rusqlite::Connection::open(&alone).unwrap();
    conn.execute_batch("PRAGMA journal_mode = DELETE").unwrap();
    let events: i64 = conn.query_row("SELECT count(*) FROM events", [], |row| row.get(0)).unwrap();
    assert!(events >= i64::from(no), "{events} of {no} acknowledged events are in the file");
    settle(&host).await;
    ledger.check(&host, 0).await;
}

#[tokio::test]
async fn damage_that_is_found_while_the_host_runs_is_answered_503_and_stops_all_writing() {
    // As a large store is treated, which is not read through at the start.
    let mut host = prepared(setup().with("store.sqlite.check-bytes-max = 0")).await;
    host.launch().await;
    host.customer("paul", PAUL).await;
    for no in 0..30 {
        host.event(telling(&word(no))).await;
    }
    settle(&host).await;
    host.stop().await;
    host.launch().await;
    // All of the file but its first page, under the host's feet.
    let mut bytes = std::fs::read(host.store_file()).unwrap();
    let length = bytes.len();
    bytes[4096..].fill(0xa5);
    write_over(&host, &bytes);
    let answer = host
        .until("the damage is met", async || {
            let answer = get(&host, "/v1/messages?limit=50").await;
            if answer.status == 200 { Err(answer.text) } else { Ok(answer) }
        })
        .await;
    assert_unavailable(&answer);
    let posted = host.post_event("/v1/events", &telling(&word(99))).await;
    assert_unavailable(&posted);
    assert_eq!(posted.header("retry-after"), "60");
    assert_eq!(get(&host, "/readyz").await.status, 503);
    assert_eq!(get(&host, "/healthz").await.status, 200, "it does not die of it");
    let log = host.log();
    let said = log.lines().filter(|line| line.contains("the store is damaged")).collect::<Vec<_>>();
    assert_eq!(said.len(), 1, "{log}");
    let place = host.store_file().display().to_string();
    assert!(said[0].contains(&place) && said[0].contains("restore the latest backup"), "{said:?}");
    // Whoever asks it to stop is not kept waiting.
    host.signal("-TERM").await;
    let ended = tokio::time::timeout(Duration::from_secs(60), host.ended()).await.unwrap();
    assert_eq!(ended.code(), Some(0));
    assert_eq!(std::fs::metadata(host.store_file()).unwrap().len() as usize, length);
}

/// In place, as a disk does it.
fn write_over(host: &Host, bytes: &[u8]) {
    use std::os::unix::fs::FileExt;
    let file = std::fs::File::options().write(true).open(host.store_file()).unwrap();
    file.write_all_at(bytes, 0).unwrap();
}
