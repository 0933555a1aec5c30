//! Rows of files beside messages.

use std::sync::Arc;

use async_trait::async_trait;

use super::{MemorySource, MemoryStore, tables::Tables};
use crate::{
    clock::Timestamp,
    domain::file::FileRow,
    ids::TenantId,
    store::{
        self, Result,
        commands::{Outcome, files, source::Files},
    },
};

impl Files for MemorySource<'_> {
    fn due_files(&mut self, now: Timestamp, limit: u32) -> Outcome<Vec<FileRow>> {
        let mut due: Vec<FileRow> = self.tables.files.values().filter(|file| file.due <= now).cloned().collect();
        due.sort_by_key(|file| file.due);
        due.truncate(limit as usize);
        due.iter_mut().for_each(|file| file.bytes = Arc::default());
        Ok(due)
    }

    fn put_file(&mut self, file: &FileRow) -> Outcome<()> {
        self.tables.files.insert((file.tenant.clone(), file.name.clone()), file.clone());
        Ok(())
    }

    fn change_file(&mut self, file: &FileRow) -> Outcome<()> {
        if let Some(row) = self.tables.files.get_mut(&(file.tenant.clone(), file.name.clone())) {
            *row = file.clone();
        }
        Ok(())
    }

    fn delete_file(&mut self, tenant: &TenantId, name: &str) -> Outcome<()> {
        self.tables.files.remove(&(tenant.clone(), name.to_owned()));
        Ok(())
    }
}

fn load(tables: &Tables, tenant: &TenantId, name: &str) -> Option<FileRow> {
    tables.files.get(&(tenant.clone(), name.to_owned())).cloned()
}

fn next_due(tables: &Tables) -> Option<Timestamp> {
    tables.files.values().map(|file| file.due).min()
}

#[async_trait]
impl store::Files for MemoryStore {
    async fn next_file(&self) -> Result<Option<Timestamp>> {
        self.read("next_file", next_due).await
    }

    async fn claim_files(&self, now: Timestamp, until: Timestamp, limit: u32) -> Result<Vec<FileRow>> {
        self.write("claim_files", |tx| files::claim(tx, now, until, limit)).await
    }

    async fn put_file(&self, file: FileRow) -> Result<()> {
        self.write("put_file", |tx| tx.source.put_file(&file)).await
    }

    async fn change_file(&self, file: FileRow) -> Result<()> {
        self.write("change_file", |tx| tx.source.change_file(&file)).await
    }

    async fn forget_file(&self, tenant: &TenantId, name: &str) -> Result<()> {
        self.write("forget_file", |tx| tx.source.delete_file(tenant, name)).await
    }

    async fn file(&self, tenant: &TenantId, name: &str) -> Result<Option<FileRow>> {
        self.read("file", |tables| load(tables, tenant, name)).await
    }
}
