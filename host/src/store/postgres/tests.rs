//! The contract that every database keeps, on PostgreSQL.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;

use super::PgStore;
use crate::clock::{AdjustableClock, Timestamp};
use crate::store::{
    Handover, Settings, Store,
    contract_tests::{Place, erasure, plans, retention_contract, store_contract},
    handover::handover,
};

#[path = "../../../../tests/harness/postgres.rs"]
mod server;

struct Database(server::Database);

impl Database {
    async fn new() -> Database {
        Database(server::fresh_database().await)
    }
}

#[async_trait]
impl Place for Database {
    async fn open(&self, handover: Handover) -> Arc<dyn Store> {
        // Who had it open before has ended without giving anything back: what they had is free when their lease is over.
        let (client, connection) = tokio_postgres::connect(&self.0.url, tokio_postgres::NoTls).await.unwrap();
        let connection = tokio::spawn(connection);
        let over =
            "DO $$ BEGIN IF to_regclass('hosts') IS NOT NULL THEN UPDATE hosts SET expires = now(); END IF; END $$";
        client.batch_execute(over).await.unwrap();
        drop(client);
        connection.await.unwrap().unwrap();
        let clock = Arc::new(AdjustableClock::starting_at(Timestamp(0)));
        Arc::new(PgStore::open(&self.0.url, Settings::default(), handover, clock).await.unwrap())
    }
}

store_contract!(Database::new().await);
retention_contract!(Database::new().await);

/// Every row of every table, as text.
async fn everything(url: &str) -> String {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let tables = client.query("SELECT tablename::text FROM pg_tables WHERE schemaname = current_schema()", &[]);
    let mut all = String::new();
    for table in tables.await.unwrap() {
        let table: String = table.get(0);
        // Bytes as they are read: `encode` leaves what is text as it is.
        let columns = "SELECT coalesce(string_agg(CASE WHEN data_type = 'bytea' THEN format('encode(%I, ''escape'')', column_name) \
                       ELSE format('%I::text', column_name) END, ', '), '''''') FROM information_schema.columns \
                       WHERE table_name = $1 AND table_schema = current_schema()";
        let columns: String = client.query_one(columns, &[&table]).await.unwrap().get(0);
        for row in client.query(&format!("SELECT concat_ws(' | ', {columns}) FROM {table}"), &[]).await.unwrap() {
            all.push_str(&format!("{table}: {}\n", row.get::<_, String>(0)));
        }
    }
    all
}

#[tokio::test]
async fn an_erasure_reaches_every_place_in_which_a_customer_can_stand() {
    let database = Database::new().await;
    let store = database.open(handover(100, 100).0).await;
    erasure::fill(&*store).await;
    let before = everything(&database.0.url).await;
    let missing: Vec<_> = erasure::WORDS.into_iter().filter(|word| !before.contains(word)).collect();
    assert_eq!(missing, ["wordinlate"], "that it can be found is what makes it count that it is not");
    erasure::erase(&*store).await;
    let after = everything(&database.0.url).await;
    let left: Vec<_> = after.lines().filter(|line| erasure::WORDS.iter().any(|word| line.contains(word))).collect();
    assert_eq!(left, Vec::<&str>::new());
    store.close().await.unwrap();
}

/// Rows of another tenant in every table that an event's life reads, beside what [`PgStore::fill`] fills in.
const OTHERS: &str = "
INSERT INTO events SELECT n, decode(md5('event' || n), 'hex'), 'backlog', '/shop', n, 'order', NULL, 0, 0, 'c' || n % 1000, '{}',
    NULL, NULL, NULL, '' FROM generate_series(1, 20000) n;
INSERT INTO event_keys SELECT id, seq FROM events;
INSERT INTO run_results SELECT seq, 0, NULL, NULL, NULL FROM runs;
INSERT INTO entities SELECT 'backlog', 'backlog', 'order/' || n, 1 FROM generate_series(1, 20000) n;
INSERT INTO state SELECT tenant, plugin, entity, 'seen', '1', NULL, NULL FROM entities;
INSERT INTO messages SELECT n, decode(md5('message' || n), 'hex'), 'backlog', 'c' || n, 'c' || n % 1000, 0, '{}'
    FROM generate_series(1, 20000) n;
INSERT INTO message_states SELECT n, 'backlog', n % 1024, 1, 'pending', n % 3 = 0, false, NULL, NULL, NULL, n % 3,
    CASE n % 3 WHEN 2 THEN n END FROM generate_series(1, 20000) n;
INSERT INTO attempts SELECT n, 1, 'whatsapp', 'meta', 'main', '+33639980000', 'sent', 'wamid.other.' || n, 'text', 1, NULL, 0, 0,
    NULL, '{}' FROM generate_series(1, 20000) n;
INSERT INTO receipts SELECT n, 1, 'delivered', '', 0, 0, NULL, NULL FROM generate_series(1, 20000) n;
INSERT INTO parked_receipts (tenant, provider, token, provider_id, state, code, time, received)
    SELECT 'backlog', 'meta', 'token' || n, 'parked.' || n, 'delivered', '', 0, 0 FROM generate_series(1, 20000) n;
INSERT INTO dedup_keys SELECT 'backlog', 'c' || n, 'backlog', 'order/' || n, '' FROM generate_series(1, 20000) n;
INSERT INTO incoming SELECT n, decode(md5('incoming' || n), 'hex'), 'backlog', NULL, 'whatsapp', '+3363998' || n, 0, '{}'
    FROM generate_series(1, 20000) n;
INSERT INTO conversations SELECT tenant, sender, seq, 0 FROM incoming;
SELECT setval('events_seq', 20000), setval('messages_seq', 20000), setval('incoming_seq', 20000);
ANALYZE";

/// Rows and entries of indexes that have been read of each table, as soon as nobody is connected who has not told yet.
async fn rows_read(client: &tokio_postgres::Client) -> BTreeMap<String, i64> {
    let others = "SELECT count(*) FROM pg_stat_activity \
                  WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'";
    while client.query_one(others, &[]).await.unwrap().get::<_, i64>(0) > 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let read = "SELECT relname::text, (seq_tup_read + coalesce((SELECT sum(i.idx_tup_read) FROM pg_stat_user_indexes i \
                WHERE i.relid = t.relid), 0))::int8 FROM pg_stat_user_tables t WHERE n_live_tup >= 10000";
    client.query(read, &[]).await.unwrap().iter().map(|row| (row.get(0), row.get(1))).collect()
}

#[tokio::test]
async fn no_table_is_read_from_end_to_end_for_an_event_or_for_a_look_at_open_work() {
    let database = Database::new().await;
    let clock = || Arc::new(AdjustableClock::starting_at(Timestamp(0)));
    let url = &database.0.url;
    // Nothing is old enough to be tidied away meanwhile.
    let settings = || Settings { parked_receipts_max: 100_000, ..Settings::default() };
    let store = PgStore::open(url, settings(), handover(1, 1).0, clock()).await.unwrap();
    store.fill(20_000, 20_000).await.unwrap();
    store.close().await.unwrap();
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client.batch_execute(OTHERS).await.unwrap();
    // Told by whoever read them when they go.
    drop(client);
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let before = rows_read(&client).await;
    let store = PgStore::open(url, settings(), handover(1, 1).0, clock()).await.unwrap();
    for name in ["1", "2", "3"] {
        plans::live(&store, name).await;
    }
    store.close().await.unwrap();
    drop(store);
    let after = rows_read(&client).await;
    assert_eq!(before.len(), 15, "the tables that have so many rows: {before:?}");
    let read: BTreeMap<&str, i64> = after.iter().map(|(table, rows)| (table.as_str(), rows - before[table])).collect();
    assert!(read["runs"] > 0 && read["messages"] > 0, "it was counted: {read:?}");
    assert!(read.values().all(|rows| *rows < 2_000), "a tenth of a table or more was read: {read:?}");
}

#[tokio::test]
async fn receipts_about_unknown_attempts_are_bounded() {
    let database = Database::new().await;
    let settings = Settings { parked_receipts_max: 3, ..Settings::default() };
    let clock = Arc::new(AdjustableClock::starting_at(Timestamp(0)));
    let store = PgStore::open(&database.0.url, settings, handover(100, 100).0, clock).await.unwrap();
    for no in 0..10 {
        store.record_receipts(vec![erasure::unknown_receipt(no)], Timestamp(1)).await.unwrap();
    }
    let (client, connection) = tokio_postgres::connect(&database.0.url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let kept: Vec<String> =
        (client.query("SELECT provider_id FROM parked_receipts ORDER BY id", &[]).await.unwrap().iter())
            .map(|row| row.get(0))
            .collect();
    assert_eq!(kept, ["unknown-7", "unknown-8", "unknown-9"]);
    store.close().await.unwrap();
}

#[tokio::test]
async fn of_a_session_that_was_ended_nothing_is_committed_any_more() {
    let database = Database::new().await;
    let config = super::connect::config(&database.0.url, &super::settings::Settings::default()).unwrap();
    let pool = super::connect::pool(config, &super::settings::Settings::default()).unwrap();
    let (lost, other) = (pool.get().await.unwrap(), pool.get().await.unwrap());
    other.batch_execute("CREATE TABLE things (name text)").await.unwrap();
    lost.batch_execute("BEGIN; INSERT INTO things VALUES ('late')").await.unwrap();
    let session = super::session::Session::of(&lost).await.unwrap().unwrap();
    session.end(&other).await.unwrap();
    // Who has gone already is not waited for.
    session.end(&other).await.unwrap();
    assert!(lost.batch_execute("COMMIT").await.is_err());
    let count: i64 = other.query_one("SELECT count(*) FROM things", &[]).await.unwrap().get(0);
    assert_eq!(count, 0);
}
