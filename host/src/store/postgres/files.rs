//! Rows of files beside messages.

use std::sync::Arc;

use async_trait::async_trait;
use deadpool_postgres::ClientWrapper;

use super::{
    PgStore,
    error::Outcome,
    read, rows,
    source::PgSource,
    table::{Value, row},
};
use crate::{
    clock::Timestamp,
    domain::file::FileRow,
    ids::TenantId,
    store::{
        self, Result,
        commands::{self, Trouble, files, source::Files},
    },
};

fn key(tenant: &TenantId, name: &str) -> Vec<u8> {
    // Names hold no NUL, so no two keys are alike.
    format!("{tenant}\0{name}").into_bytes()
}

fn written(file: &FileRow) -> commands::Outcome<Vec<Value>> {
    let body = serde_json::to_string(&file.state)?;
    Ok(row![file.tenant.as_str(), file.name.as_str(), file.due.0, body, &*file.bytes])
}

impl Files for PgSource {
    fn due_files(&mut self, now: Timestamp, limit: u32) -> commands::Outcome<Vec<FileRow>> {
        match &self.base.due_files {
            Some(due) => Ok(due.clone()),
            None => {
                self.wanted.due_files = Some((now, limit));
                Err(Trouble::Miss)
            }
        }
    }

    fn put_file(&mut self, file: &FileRow) -> commands::Outcome<()> {
        self.writes.files.set(key(&file.tenant, &file.name), written(file)?);
        Ok(())
    }

    fn change_file(&mut self, file: &FileRow) -> commands::Outcome<()> {
        self.writes.changed_files.set(key(&file.tenant, &file.name), written(file)?);
        Ok(())
    }

    fn delete_file(&mut self, tenant: &TenantId, name: &str) -> commands::Outcome<()> {
        let key = key(tenant, name);
        self.writes.files.take_back(&key);
        self.writes.changed_files.take_back(&key);
        self.writes.removed_files.set(key, row![tenant.as_str(), name]);
        Ok(())
    }
}

/// Files whose time has come, without their bytes. Those that another host is about to take are left to it.
pub(super) async fn due(client: &ClientWrapper, now: Timestamp, limit: u32) -> Outcome<Vec<FileRow>> {
    let sql = "SELECT tenant, name, due, body FROM files WHERE due <= $1::int8 ORDER BY due LIMIT $2::int8 \
               FOR UPDATE SKIP LOCKED";
    read::all(client, sql, &[&now.0, &i64::from(limit)], |row| {
        Ok(FileRow {
            tenant: rows::must_name(row, 0)?,
            name: row.try_get(1)?,
            due: rows::must_time(row, 2)?,
            state: rows::json(row, 3)?,
            bytes: Arc::default(),
        })
    })
    .await
}

async fn load(client: &ClientWrapper, tenant: &TenantId, name: &str) -> Outcome<Option<FileRow>> {
    let sql = "SELECT due, body, bytes FROM files WHERE tenant = $1 AND name = $2";
    read::one(client, sql, &[&tenant.as_str(), &name], |row| {
        Ok(FileRow {
            tenant: tenant.clone(),
            name: name.to_owned(),
            due: rows::must_time(row, 0)?,
            state: rows::json(row, 1)?,
            bytes: Arc::from(row.try_get::<_, &[u8]>(2)?),
        })
    })
    .await
}

async fn next_due(client: &ClientWrapper) -> Outcome<Option<Timestamp>> {
    read::one(client, "SELECT due FROM files ORDER BY due LIMIT 1", &[], |row| rows::must_time(row, 0)).await
}

#[async_trait]
impl store::Files for PgStore {
    async fn next_file(&self) -> Result<Option<Timestamp>> {
        self.read(async |client| next_due(client).await).await
    }

    async fn claim_files(&self, now: Timestamp, until: Timestamp, limit: u32) -> Result<Vec<FileRow>> {
        self.write(Vec::new(), move |tx| files::claim(tx, now, until, limit)).await
    }

    async fn put_file(&self, file: FileRow) -> Result<()> {
        self.write(Vec::new(), move |tx| tx.source.put_file(&file)).await
    }

    async fn change_file(&self, file: FileRow) -> Result<()> {
        self.write(Vec::new(), move |tx| tx.source.change_file(&file)).await
    }

    async fn forget_file(&self, tenant: &TenantId, name: &str) -> Result<()> {
        let (tenant, name) = (tenant.clone(), name.to_owned());
        self.write(Vec::new(), move |tx| tx.source.delete_file(&tenant, &name)).await
    }

    async fn file(&self, tenant: &TenantId, name: &str) -> Result<Option<FileRow>> {
        self.read(async |client| load(client, tenant, name).await).await
    }
}
