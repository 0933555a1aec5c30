//! Rows of what is remembered of plugins.

use std::collections::HashSet;

use deadpool_postgres::ClientWrapper;

use super::{
    error::Outcome,
    read, rows,
    source::{PgSource, look},
    table::row,
};
use crate::{
    domain::plugin::PluginRecord,
    ids::PluginName,
    store::commands::{self, source::Known},
};

impl Known for PgSource {
    fn plugin_record(&mut self, name: &PluginName) -> commands::Outcome<Option<PluginRecord>> {
        look!(self, plugin_records, name.clone()).cloned()
    }

    fn put_plugin_record(&mut self, record: &PluginRecord) -> commands::Outcome<()> {
        let known = self.base.plugin_records.get(&record.name).is_some_and(Option::is_some);
        let written = row![record.name.as_str(), serde_json::to_string(record)?];
        let rows = if known { &mut self.writes.changed_plugins } else { &mut self.writes.new_plugins };
        rows.set(record.name.as_bytes().to_vec(), written);
        self.over.plugin_records.insert(record.name.clone(), Some(record.clone()));
        Ok(())
    }
}

/// Those that there are, locked until the transaction ends.
pub(super) async fn lock(client: &ClientWrapper, names: &HashSet<PluginName>) -> Outcome<Vec<PluginRecord>> {
    let names: Vec<&str> = names.iter().map(PluginName::as_str).collect();
    let sql = "SELECT body FROM plugin_records WHERE name = ANY($1) ORDER BY name FOR UPDATE";
    read::all(client, sql, &[&names], |row| rows::json(row, 0)).await
}

pub(super) async fn all(client: &ClientWrapper) -> Outcome<Vec<PluginRecord>> {
    read::all(client, "SELECT body FROM plugin_records ORDER BY name", &[], |row| rows::json(row, 0)).await
}
