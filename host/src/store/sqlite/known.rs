//! Rows of what is remembered of plugins.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{error::Outcome, rows, source::SqliteSource};
use crate::{
    clock::Timestamp,
    domain::{
        plugin::PluginRecord,
        quota::{UseKey, Used},
    },
    ids::{PluginName, TenantId},
    store::{
        Note,
        commands::{self, Trouble, source::Known},
    },
};

impl Known for SqliteSource<'_> {
    fn plugin_record(&mut self, name: &PluginName) -> commands::Outcome<Option<PluginRecord>> {
        let sql = "SELECT body FROM plugin_records WHERE name = ?1";
        let body = self.one(sql, [name.as_str()], |row| row.get::<_, String>(0))?;
        body.map(|body| serde_json::from_str(&body).map_err(Trouble::from)).transpose()
    }

    fn put_plugin_record(&mut self, record: &PluginRecord) -> commands::Outcome<()> {
        let sql = "INSERT INTO plugin_records (name, body) VALUES (?1, ?2) \
                   ON CONFLICT (name) DO UPDATE SET body = excluded.body";
        self.execute(sql, params![record.name.as_str(), serde_json::to_string(record)?])?;
        Ok(())
    }

    fn plugin_use(&mut self, key: &UseKey) -> commands::Outcome<Used> {
        Ok(used(self.conn, key)?)
    }

    fn put_plugin_use(&mut self, key: &UseKey, used: &Used, now: Timestamp) -> commands::Outcome<()> {
        let sql = "INSERT INTO plugin_use (tenant, name, plugin, at, body) VALUES (?1, ?2, ?3, ?4, ?5) \
                   ON CONFLICT (tenant, name, plugin) DO UPDATE SET at = excluded.at, body = excluded.body";
        let (tenant, plugin) = (key.tenant.as_str(), key.plugin.as_str());
        self.execute(sql, params![tenant, key.name, plugin, now.0, serde_json::to_string(used)?])?;
        Ok(())
    }

    fn put_note(&mut self, tenant: &TenantId, note: &Note) -> commands::Outcome<()> {
        let sql = "INSERT INTO notes (tenant, name, at, body) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (tenant, name) \
                   DO UPDATE SET at = excluded.at, body = excluded.body WHERE excluded.at >= at";
        self.execute(sql, params![tenant.as_str(), note.name, note.at.0, serde_json::to_string(&note.body)?])?;
        Ok(())
    }
}

pub(super) fn used(conn: &Connection, key: &UseKey) -> Outcome<Used> {
    let sql = "SELECT body FROM plugin_use WHERE tenant = ?1 AND name = ?2 AND plugin = ?3";
    let row = params![key.tenant.as_str(), key.name, key.plugin.as_str()];
    let body = conn.prepare_cached(sql)?.query_row(row, |row| row.get::<_, String>(0)).optional()?;
    Ok(body.map(|body| serde_json::from_str(&body)).transpose()?.unwrap_or_default())
}

pub(super) fn notes(conn: &Connection, tenant: &TenantId) -> Outcome<Vec<Note>> {
    let mut statement = conn.prepare_cached("SELECT name, at, body FROM notes WHERE tenant = ?1 ORDER BY name")?;
    let read = |row: &Row<'_>| Ok(Note { name: row.get(0)?, at: Timestamp(row.get(1)?), body: rows::json(row, 2)? });
    Ok(statement.query_map([tenant.as_str()], read)?.collect::<rusqlite::Result<_>>()?)
}

pub(super) fn all(conn: &Connection) -> Outcome<Vec<PluginRecord>> {
    let mut statement = conn.prepare_cached("SELECT body FROM plugin_records ORDER BY name")?;
    let read = |row: &Row<'_>| row.get::<_, String>(0);
    let bodies = statement.query_map([], read)?.collect::<rusqlite::Result<Vec<_>>>()?;
    bodies.iter().map(|body| Ok(serde_json::from_str(body)?)).collect()
}
