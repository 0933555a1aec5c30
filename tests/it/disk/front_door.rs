//! A store that cannot be opened: one message that names the file and says what to do, an exit code, and the file as it was.

use std::os::unix::fs::MetadataExt;

use super::{beside, contents, prepared, setup, telling};
use crate::harness::{Host, PAUL, ledger::word, relais_with};

/// A host that is not running, on a store that holds something. With a log beside it where the host was killed.
async fn with_store(killed: bool) -> Host {
    let mut host = prepared(setup().with("store.sqlite.busy-timeout-ms = 200")).await;
    host.launch().await;
    host.customer("paul", PAUL).await;
    for no in 0..20 {
        host.event(telling(&word(no))).await;
    }
    if killed {
        host.kill().await
    } else {
        host.stop().await
    }
    assert_eq!(beside(&host.store_file(), "-wal").exists(), killed);
    host
}

/// That it does not start, says so with these words and the file's name, once, and leaves the store as it was.
async fn refused(host: &mut Host, words: &[&str]) {
    let (before, log) = (contents(host), host.log().len());
    let ended = host.try_launch().await.expect_err("it was refused");
    let said = host.log()[log..].to_owned();
    assert_eq!(ended.code(), Some(1), "{said}");
    let complaints: Vec<_> = said.lines().filter(|line| line.starts_with("relais: ")).collect();
    assert_eq!(complaints.len(), 1, "{said}");
    let place = host.store_file().display().to_string();
    for word in words.iter().chain([&place.as_str()]) {
        assert!(complaints[0].contains(word), "{word:?} is not in {complaints:?}");
    }
    assert!(contents(host) == before, "the store was changed by a start that refused it: {said}");
}

/// Puts the store back.
fn restore(host: &Host, contents: &std::collections::BTreeMap<String, Vec<u8>>) {
    for ending in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(beside(&host.store_file(), ending));
    }
    for (name, bytes) in contents {
        std::fs::write(host.dir().join(name), bytes).unwrap();
    }
}

/// What is done to a file's bytes.
type Harm<'a> = &'a dyn Fn(&mut Vec<u8>);

fn noise(bytes: &mut [u8]) {
    for (no, byte) in bytes.iter_mut().enumerate() {
        *byte = (no * 197 + 13) as u8;
    }
}

#[tokio::test]
async fn a_damaged_file_is_refused_and_left_as_it_is() {
    let mut host = with_store(false).await;
    let whole = contents(&host);
    let bytes = &whole["relais.db"];
    let cases: [(&str, Harm); 6] = [
        ("no SQLite database", &|bytes| noise(&mut bytes[..100])),
        ("its header makes no sense", &|bytes| noise(&mut bytes[16..60])),
        ("damaged", &|bytes| noise(&mut bytes[3 * 4096..7 * 4096])),
        ("damaged", &|bytes| bytes[5 * 4096..].fill(0)),
        ("cut off", &|bytes| bytes.truncate(bytes.len() / 2)),
        ("no SQLite database", &Vec::clear),
    ];
    for (words, harm) in cases {
        let mut harmed = bytes.clone();
        harm(&mut harmed);
        std::fs::write(host.store_file(), harmed).unwrap();
        refused(&mut host, &[words]).await;
    }
    // What was refused is not remembered against it.
    restore(&host, &whole);
    host.launch().await;
    assert_eq!(host.messages("paul").await.len(), 20);
}

#[tokio::test]
async fn a_damaged_log_is_refused_and_a_missing_file_is_not_begun_anew() {
    let mut host = with_store(true).await;
    let whole = contents(&host);
    let wal = beside(&host.store_file(), "-wal");
    for at in [0..64, 40_000..60_000] {
        let mut harmed = whole["relais.db-wal"].clone();
        noise(&mut harmed[at]);
        std::fs::write(&wal, harmed).unwrap();
        refused(&mut host, &["log", "is damaged", "restore the latest backup"]).await;
    }
    restore(&host, &whole);
    std::fs::remove_file(host.store_file()).unwrap();
    refused(&mut host, &["the file is missing", "Put the store's file back"]).await;
    assert!(!host.store_file().exists());
    restore(&host, &whole);
    host.launch().await;
    assert_eq!(host.messages("paul").await.len(), 20);
}

#[tokio::test]
async fn what_is_not_this_programs_store_is_refused_and_left_as_it_is() {
    let mut host = with_store(false).await;
    let whole = contents(&host);
    let place = host.store_file();
    rusqlite::Connection::open(&place).unwrap().execute_batch("PRAGMA user_version = 99").unwrap();
    refused(&mut host, &["newer version", "schema 99"]).await;

    std::fs::remove_file(&place).unwrap();
    rusqlite::Connection::open(&place).unwrap().execute_batch("CREATE TABLE diary (day)").unwrap();
    refused(&mut host, &["another program's database", "Correct the store's path"]).await;

    std::fs::remove_file(&place).unwrap();
    std::fs::create_dir(&place).unwrap();
    refused(&mut host, &["it is no file", "Correct the store's path"]).await;
    std::fs::remove_dir(&place).unwrap();

    let elsewhere = host.dir().join("not-mounted").join("relais.db");
    std::os::unix::fs::symlink(&elsewhere, &place).unwrap();
    refused(&mut host, &["a link to something that is not there", "Mount or restore"]).await;
    assert!(std::fs::symlink_metadata(&place).unwrap().is_symlink());
    std::fs::create_dir(host.dir().join("not-mounted")).unwrap();
    std::fs::write(&elsewhere, &whole["relais.db"]).unwrap();
    host.launch().await;
    assert_eq!(host.messages("paul").await.len(), 20, "what the link points to is opened once it is there");
}

#[tokio::test]
async fn a_store_that_another_program_holds_is_refused() {
    let mut host = with_store(false).await;
    let conn = rusqlite::Connection::open(host.store_file()).unwrap();
    conn.execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN IMMEDIATE; UPDATE meta SET value = value; ROLLBACK")
        .unwrap();
    let log = host.log().len();
    let ended = host.try_launch().await.expect_err("it was refused");
    let said = host.log()[log..].to_owned();
    assert_eq!(ended.code(), Some(1), "{said}");
    assert!(said.contains("Another program holds it") && said.contains("relais.db"), "{said}");
    drop(conn);

    host.launch().await;
    let config = host.config_file().display().to_string();
    let other = relais_with(&["serve", "--config", &config], &[("RELAIS_SERVER__LISTEN", "127.0.0.1:0")], "").await;
    let said = String::from_utf8_lossy(&other.stderr).into_owned();
    assert_eq!(other.status.code(), Some(1), "{said}");
    assert!(said.contains("another host has it open") && said.contains("relais.db"), "{said}");
    assert_eq!(host.messages("paul").await.len(), 20, "the first one is not disturbed");
}

/// The words under which permissions hold for whoever runs the tests, root included.
fn bound_by_permissions() -> Vec<String> {
    let root = std::fs::metadata("/proc/self").unwrap().uid() == 0;
    let words = ["setpriv", "--bounding-set=-dac_override,-dac_read_search,-fowner", "--inh-caps=-all"];
    if root { words.map(str::to_owned).to_vec() } else { Vec::new() }
}

fn permit(path: &std::path::Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[tokio::test]
async fn a_file_or_a_directory_that_may_not_be_written_is_refused() {
    let mut host = with_store(false).await;
    host.under = bound_by_permissions();
    permit(&host.store_file(), 0o444);
    refused(&mut host, &["it can be read and not written", "Let the host's user write the file"]).await;
    permit(&host.store_file(), 0o000);
    refused(&mut host, &["Permission denied", "belongs to the host's user"]).await;
    permit(&host.store_file(), 0o644);

    host.write_config();
    permit(host.dir(), 0o555);
    refused(&mut host, &["directory"]).await;
    std::fs::remove_file(beside(&host.store_file(), ".lock")).unwrap_or_default();
    permit(host.dir(), 0o755);
    host.launch().await;
    assert_eq!(host.messages("paul").await.len(), 20);
}

#[tokio::test]
async fn starting_again_and_again_on_a_broken_store_leaves_nothing_behind() {
    let mut host = with_store(true).await;
    let mut harmed = std::fs::read(host.store_file()).unwrap();
    // What only SQLite finds out, so that every start gets as far as it can.
    let middle = harmed.len() / 2;
    noise(&mut harmed[middle..]);
    std::fs::write(host.store_file(), harmed).unwrap();
    let listing = |host: &Host| {
        let mut listing: Vec<_> = std::fs::read_dir(host.dir()).unwrap().map(|entry| entry.unwrap()).collect();
        listing.retain(|entry| entry.file_name() != "host.log");
        let mut listing: Vec<_> =
            listing.iter().map(|entry| (entry.file_name(), entry.metadata().unwrap().len())).collect();
        listing.sort();
        listing
    };
    refused(&mut host, &["damaged"]).await;
    let (after_one, whole) = (listing(&host), contents(&host));
    for _ in 0..20 {
        refused(&mut host, &["damaged"]).await;
    }
    assert_eq!(listing(&host), after_one);
    assert!(contents(&host) == whole);
}
