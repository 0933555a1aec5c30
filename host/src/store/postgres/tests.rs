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
        let settings = Settings::default();
        Arc::new(PgStore::open(&self.0.url, settings, handover).await.unwrap())
    }
}

store_contract!(Database::new().await);
