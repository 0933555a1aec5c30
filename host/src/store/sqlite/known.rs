//! Rows of what is remembered of plugins.

use rusqlite::{Connection, Row, params};

use super::{error::Outcome, source::SqliteSource};
use crate::{
    domain::plugin::PluginRecord,
    ids::PluginName,
    store::commands::{self, Trouble, source::Known},
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
}

pub(super) fn all(conn: &Connection) -> Outcome<Vec<PluginRecord>> {
    let mut statement = conn.prepare_cached("SELECT body FROM plugin_records ORDER BY name")?;
    let read = |row: &Row<'_>| row.get::<_, String>(0);
    let bodies = statement.query_map([], read)?.collect::<rusqlite::Result<Vec<_>>>()?;
    bodies.iter().map(|body| Ok(serde_json::from_str(body)?)).collect()
}
