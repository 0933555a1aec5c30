//! The contract that every database keeps, on PostgreSQL.

use std::sync::Arc;

use async_trait::async_trait;

use super::PgStore;
use crate::store::{
    Handover, Settings, Store,
    contract_tests::{Place, store_contract},
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
        Arc::new(PgStore::open(&self.0.url, Settings::default(), handover).await.unwrap())
    }
}

store_contract!(Database::new().await);
