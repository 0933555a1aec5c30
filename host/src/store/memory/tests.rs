//! The contract, like every other store.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;

use super::{Fair, Flaws, MemoryStore, Tables};
use crate::store::{
    Handover, Store,
    contract_tests::{Place, store_contract},
};

struct Kept(Arc<Mutex<Tables>>);

#[async_trait]
impl Place for Kept {
    async fn open(&self, handover: Handover) -> Arc<dyn Store> {
        Arc::new(MemoryStore::open(self.0.clone(), handover, Arc::new(Fair), Flaws::default()))
    }
}

store_contract!(Kept(Arc::default()));
