//! The contract that every database keeps, on PostgreSQL.

use std::sync::Arc;

use async_trait::async_trait;

use super::PgStore;
use crate::clock::{AdjustableClock, Timestamp};
use crate::store::{
    Handover, Settings, Store,
    contract_tests::{Place, erasure, retention_contract, store_contract},
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
