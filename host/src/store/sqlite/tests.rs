//! The contract, and what only a file can get wrong.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use async_trait::async_trait;

use super::SqliteStore;
use crate::{
    clock::Timestamp,
    domain::{
        customer::{Address, Channel},
        event::Event,
    },
    ids::{CustomerId, EventId, TenantId},
    store::{
        CustomerProfile, Error, Handover, RoutedEvent, Settings, Store, commands,
        contract_tests::{Place, erasure, retention_contract, store_contract},
        handover::handover,
    },
};

/// A directory of its own for each test, gone with it.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Directory {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("relais-store-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Directory(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join("relais.db")
    }

    fn open(&self) -> crate::store::Result<SqliteStore> {
        open(&self.file())
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[async_trait]
impl Place for Directory {
    async fn open(&self, handover: Handover) -> Arc<dyn Store> {
        Arc::new(SqliteStore::open(&self.file(), Settings::default(), handover, Timestamp(1)).unwrap())
    }
}

mod contract {
    use super::*;

    store_contract!(Directory::new());
    retention_contract!(Directory::new());
}

fn open(path: &Path) -> crate::store::Result<SqliteStore> {
    SqliteStore::open(path, Settings::default(), handover(10, 10).0, Timestamp(1))
}

fn refused(path: &Path) -> String {
    match open(path) {
        Err(Error::Unusable { reason, advice, .. }) => format!("{reason}. {advice}"),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it was opened"),
    }
}

fn event(id: &str, data: &str) -> RoutedEvent {
    let tenant = TenantId::default_tenant();
    let event = Event {
        id: EventId::of(&tenant, "/shop", id),
        tenant,
        source_id: id.into(),
        source: "/shop".into(),
        event_type: "shop.order.placed".into(),
        subject: None,
        time: Timestamp(1),
        received: Timestamp(1),
        customer: Some(CustomerId::from("ann")),
        data: data.into(),
        attributes: Vec::new(),
        cause: None,
    };
    RoutedEvent { event: Arc::new(event), runs: Vec::new(), notes: Vec::new() }
}

#[tokio::test]
async fn a_second_host_is_refused_and_welcome_once_the_first_has_gone() {
    let directory = Directory::new();
    let first = directory.open().unwrap();
    assert!(refused(&directory.file()).contains("another host has it open"));
    first.close().await.unwrap();
    assert!(matches!(first.check().await, Err(Error::Closed)));
    assert!(matches!(first.figures(&TenantId::default_tenant()).await, Err(Error::Closed)));
    directory.open().unwrap().check().await.unwrap();
}

#[test]
fn a_file_that_is_not_ours_is_refused_and_left_as_it_is() {
    let directory = Directory::new();
    for content in ["", "Dear diary, this is no database at all, but it is rather long."] {
        std::fs::write(directory.file(), content).unwrap();
        assert!(refused(&directory.file()).contains("no SQLite database"));
        assert_eq!(std::fs::read_to_string(directory.file()).unwrap(), content);
    }
    std::fs::remove_file(directory.file()).unwrap();
    rusqlite::Connection::open(directory.file()).unwrap().execute_batch("CREATE TABLE diary (day)").unwrap();
    assert!(refused(&directory.file()).contains("another program's database"));
}

#[test]
fn a_newer_or_a_cut_off_file_is_refused() {
    let directory = Directory::new();
    drop(directory.open().unwrap());
    let conn = rusqlite::Connection::open(directory.file()).unwrap();
    conn.execute_batch("PRAGMA user_version = 99").unwrap();
    drop(conn);
    assert!(refused(&directory.file()).contains("newer version"));
    let length = std::fs::metadata(directory.file()).unwrap().len();
    std::fs::File::options().write(true).open(directory.file()).unwrap().set_len(length / 2).unwrap();
    assert!(refused(&directory.file()).contains("cut off"));
}

#[test]
fn a_store_whose_file_is_missing_is_not_begun_anew() {
    let directory = Directory::new();
    std::fs::write(directory.0.join("relais.db-wal"), "what was committed last").unwrap();
    assert!(refused(&directory.file()).contains("the file is missing"));
    assert!(!directory.file().exists());
}

#[test]
fn only_the_last_directory_is_made() {
    let directory = Directory::new();
    drop(open(&directory.0.join("data/relais.db")).unwrap());
    assert!(refused(&directory.0.join("dtaa/typo/relais.db")).contains("Make the directory"));
    assert!(!directory.0.join("dtaa").exists());
}

/// A disk that is full after so many pages: a setting of the connection that writes.
struct Pages(i64, tokio::sync::oneshot::Sender<()>);

impl super::Job for Pages {
    fn connected(&mut self, conn: &rusqlite::Connection) {
        let sql = format!("PRAGMA max_page_count = {}", self.0);
        conn.query_row(&sql, [], |row| row.get::<_, i64>(0)).unwrap();
    }
    fn apply(&mut self, _: &mut super::Tx<'_>) -> super::Outcome<()> {
        Ok(())
    }
    fn answer(self: Box<Self>, failed: Option<&Error>) {
        assert!(failed.is_none());
        self.1.send(()).unwrap();
    }
}

async fn limit_pages(store: &SqliteStore, pages: i64) {
    let (done, set) = tokio::sync::oneshot::channel();
    store.send(Box::new(Pages(pages, done))).unwrap();
    set.await.unwrap();
}

#[tokio::test]
async fn a_full_disk_loses_nothing_that_was_acknowledged_and_is_recovered_from() {
    let directory = Directory::new();
    let store = Arc::new(directory.open().unwrap());
    limit_pages(&store, 200).await;
    let large = format!("\"{}\"", "x".repeat(8_000));
    let mut acknowledged = Vec::new();
    let mut refusals = 0;
    // Many at a time, so that what is acknowledged shares transactions with what is not.
    for round in 0..40 {
        let accepting = (0..8).map(|n| {
            let (store, id, large) = (store.clone(), format!("{round}/{n}"), large.clone());
            tokio::spawn(async move {
                let accepted = store.accept_events(vec![event(&id, &large)]).await;
                (id, accepted)
            })
        });
        for accepting in accepting.collect::<Vec<_>>() {
            match accepting.await.unwrap() {
                (id, Ok(accepted)) => {
                    assert!(!accepted[0].duplicate);
                    acknowledged.push(id);
                }
                (_, Err(Error::Unavailable { advice, .. })) => {
                    assert!(advice.contains("Make room"), "{advice}");
                    refusals += 1;
                }
                (_, Err(other)) => panic!("{other}"),
            }
        }
    }
    assert!(!acknowledged.is_empty() && refusals > 0, "{} and {refusals}", acknowledged.len());
    limit_pages(&store, 1 << 30).await;
    store.accept_events(vec![event("after", &large)]).await.unwrap();
    acknowledged.push("after".into());
    drop(store);
    let store = directory.open().unwrap();
    for id in &acknowledged {
        let id = event(id, "").event.id;
        assert!(store.event(&TenantId::default_tenant(), id).await.unwrap().is_some());
    }
    let figures = store.figures(&TenantId::default_tenant()).await.unwrap();
    assert_eq!(usize::try_from(figures.events).unwrap(), acknowledged.len());
}

#[tokio::test]
async fn a_command_with_a_trouble_of_its_own_does_not_take_others_with_it() {
    let directory = Directory::new();
    let store = Arc::new(directory.open().unwrap());
    let (hold, held) = std::sync::mpsc::channel::<()>();
    let held = std::sync::Mutex::new(held);
    // While the writer is busy with this one, the others queue up to be one transaction.
    let busy = tokio::spawn({
        let store = store.clone();
        // It may be done twice, and returns at once when the sender has gone.
        async move { store.write(move |_| Ok(held.lock().unwrap().recv().is_err())).await }
    });
    tokio::task::yield_now().await;
    let bad = tokio::spawn({
        let store = store.clone();
        async move { store.write(|_| Err::<(), _>(commands::Trouble::unreadable("a row of another world"))).await }
    });
    let good = tokio::spawn({
        let store = store.clone();
        async move { store.accept_events(vec![event("good", "null")]).await }
    });
    tokio::task::yield_now().await;
    drop(hold);
    assert!(busy.await.unwrap().unwrap());
    assert!(matches!(bad.await.unwrap(), Err(Error::Corrupt(_))));
    assert!(!good.await.unwrap().unwrap()[0].duplicate);
}

#[tokio::test]
async fn nothing_of_an_erased_customer_is_left_in_the_file() {
    let directory = Directory::new();
    let store = directory.open().unwrap();
    let (tenant, ann) = (TenantId::default_tenant(), CustomerId::from("ann"));
    let address = Address {
        channel: Channel::Sms,
        address: "+33612345678".into(),
        last_incoming: None,
        unusable_until: None,
        free_until: None,
    };
    let profile = CustomerProfile {
        name: Some("Ann Unforgettable".into()),
        addresses: vec![address],
        ..CustomerProfile::default()
    };
    // In pieces and between others, so that pages split and rows move.
    for n in 0..300 {
        let filler = format!("\"{}\"", "x".repeat(n * 7));
        let mut other = event(&format!("other {n}"), &filler);
        Arc::make_mut(&mut other.event).customer = None;
        let about = event(&format!("about {n}"), &format!("\"Call +33612345678 {}\"", "y".repeat(n * 5)));
        store.accept_events(vec![other, about]).await.unwrap();
        store.put_customer(&tenant, &ann, profile.clone(), Timestamp(1)).await.unwrap();
    }
    assert!(store.erase_customer(&tenant, &ann, Timestamp(2)).await.unwrap());
    // While the store is still open: the log counts as well.
    for ending in ["", "-wal"] {
        let bytes = std::fs::read(format!("{}{ending}", directory.file().display())).unwrap_or_default();
        for gone in ["33612345678", "Unforgettable"] {
            let left = bytes.windows(gone.len()).filter(|window| *window == gone.as_bytes()).count();
            assert_eq!(left, 0, "`{gone}` in `relais.db{ending}`");
        }
    }
    assert!(store.event(&tenant, event("other 299", "").event.id).await.unwrap().unwrap().data.len() > 2_000);
}

#[tokio::test]
async fn an_erasure_reaches_every_place_in_which_a_customer_can_stand() {
    let directory = Directory::new();
    let store = directory.open().unwrap();
    let left = || {
        let files = ["", "-wal"].map(|ending| std::fs::read(format!("{}{ending}", directory.file().display())));
        let bytes = files.into_iter().flat_map(Result::unwrap_or_default).collect::<Vec<u8>>();
        let found = |word: &&str| bytes.windows(word.len()).any(|window| window == word.as_bytes());
        erasure::WORDS.into_iter().filter(found).collect::<Vec<_>>()
    };
    erasure::fill(&store).await;
    let before = left();
    let missing: Vec<_> = erasure::WORDS.into_iter().filter(|word| !before.contains(word)).collect();
    assert_eq!(missing, ["wordinlate"], "that it can be found is what makes it count that it is not");
    erasure::erase(&store).await;
    store.close().await.unwrap();
    assert_eq!(left(), Vec::<&str>::new());
}
