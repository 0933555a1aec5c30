//! Rows of files beside messages.

use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, params};

use super::{SqliteStore, error::Outcome, rows, source::SqliteSource};
use crate::{
    clock::Timestamp,
    domain::file::FileRow,
    ids::TenantId,
    store::{
        self, Result,
        commands::{self, files, source::Files},
    },
};

impl Files for SqliteSource<'_> {
    fn due_files(&mut self, now: Timestamp, limit: u32) -> commands::Outcome<Vec<FileRow>> {
        let sql =
            "SELECT tenant, name, due, body FROM files INDEXED BY files_due WHERE due <= ?1 ORDER BY due LIMIT ?2";
        let found = self.all(sql, params![now.0, limit], |row| {
            Ok((rows::must_name(row, 0)?, row.get(1)?, Timestamp(row.get(2)?), row.get::<_, String>(3)?))
        })?;
        found.into_iter().map(|(tenant, name, due, body)| Ok(row(tenant, name, due, &body, Arc::default())?)).collect()
    }

    fn put_file(&mut self, file: &FileRow) -> commands::Outcome<()> {
        let sql = "INSERT INTO files (tenant, name, due, body, bytes) VALUES (?1, ?2, ?3, ?4, ?5) \
                   ON CONFLICT (tenant, name) DO UPDATE SET due = excluded.due, body = excluded.body, bytes = excluded.bytes";
        let body = serde_json::to_string(&file.state)?;
        self.execute(sql, params![file.tenant.as_str(), file.name, file.due.0, body, &*file.bytes])?;
        Ok(())
    }

    fn change_file(&mut self, file: &FileRow) -> commands::Outcome<()> {
        let sql = "UPDATE files SET due = ?3, body = ?4, bytes = ?5 WHERE tenant = ?1 AND name = ?2";
        let body = serde_json::to_string(&file.state)?;
        self.execute(sql, params![file.tenant.as_str(), file.name, file.due.0, body, &*file.bytes])?;
        Ok(())
    }

    fn delete_file(&mut self, tenant: &TenantId, name: &str) -> commands::Outcome<()> {
        self.execute("DELETE FROM files WHERE tenant = ?1 AND name = ?2", params![tenant.as_str(), name])?;
        Ok(())
    }
}

fn row(tenant: TenantId, name: String, due: Timestamp, body: &str, bytes: Arc<[u8]>) -> serde_json::Result<FileRow> {
    Ok(FileRow { tenant, name, due, state: serde_json::from_str(body)?, bytes })
}

fn load(conn: &Connection, tenant: &TenantId, name: &str) -> Outcome<Option<FileRow>> {
    let sql = "SELECT due, body, bytes FROM files WHERE tenant = ?1 AND name = ?2";
    let found = conn
        .prepare_cached(sql)?
        .query_row(params![tenant.as_str(), name], |row| {
            let bytes: Arc<[u8]> = Arc::from(row.get_ref(2)?.as_blob()?);
            Ok((Timestamp(row.get(0)?), row.get::<_, String>(1)?, bytes))
        })
        .optional()?;
    let Some((due, body, bytes)) = found else { return Ok(None) };
    Ok(Some(row(tenant.clone(), name.to_owned(), due, &body, bytes)?))
}

fn next_due(conn: &Connection) -> Outcome<Option<Timestamp>> {
    let sql = "SELECT due FROM files INDEXED BY files_due ORDER BY due LIMIT 1";
    Ok(conn.prepare_cached(sql)?.query_row([], |row| Ok(Timestamp(row.get(0)?))).optional()?)
}

#[async_trait]
impl store::Files for SqliteStore {
    async fn next_file(&self) -> Result<Option<Timestamp>> {
        self.readers.read(next_due).await
    }

    async fn claim_files(&self, now: Timestamp, until: Timestamp, limit: u32) -> Result<Vec<FileRow>> {
        self.write(move |tx| files::claim(tx, now, until, limit)).await
    }

    async fn put_file(&self, file: FileRow) -> Result<()> {
        self.write(move |tx| tx.source.put_file(&file)).await
    }

    async fn change_file(&self, file: FileRow) -> Result<()> {
        self.write(move |tx| tx.source.change_file(&file)).await
    }

    async fn forget_file(&self, tenant: &TenantId, name: &str) -> Result<()> {
        let (tenant, name) = (tenant.clone(), name.to_owned());
        self.write(move |tx| tx.source.delete_file(&tenant, &name)).await
    }

    async fn file(&self, tenant: &TenantId, name: &str) -> Result<Option<FileRow>> {
        let (tenant, name) = (tenant.clone(), name.to_owned());
        self.readers.read(move |conn| load(conn, &tenant, &name)).await
    }
}
