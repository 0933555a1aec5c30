//! Rows of what is remembered of plugins.

use std::collections::{HashMap, HashSet};

use deadpool_postgres::ClientWrapper;

use super::{
    error::Outcome,
    read, rows,
    source::{PgSource, look},
    table::row,
};
use crate::{
    clock::Timestamp,
    domain::{
        plugin::PluginRecord,
        quota::{UseKey, Used},
    },
    ids::{PluginName, TenantId},
    store::{
        Note,
        commands::{self, source::Known},
    },
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

    fn plugin_use(&mut self, key: &UseKey) -> commands::Outcome<Used> {
        look!(self, plugin_use, key.clone()).cloned()
    }

    fn put_plugin_use(&mut self, key: &UseKey, used: &Used, now: Timestamp) -> commands::Outcome<()> {
        let (tenant, plugin) = (key.tenant.as_str(), key.plugin.as_str());
        // Names hold no NUL, so no two keys are alike.
        let row_key = format!("{tenant}\0{}\0{plugin}", key.name).into_bytes();
        let written = row![tenant, key.name.as_str(), plugin, now.0, serde_json::to_string(used)?];
        self.writes.plugin_use.set(row_key, written);
        self.over.plugin_use.insert(key.clone(), used.clone());
        Ok(())
    }

    fn put_note(&mut self, tenant: &TenantId, note: &Note) -> commands::Outcome<()> {
        let sql = "INSERT INTO notes AS n (tenant, name, at, body) VALUES ($1, $2, $3, $4) ON CONFLICT (tenant, name) \
                   DO UPDATE SET at = excluded.at, body = excluded.body WHERE excluded.at >= n.at";
        let body = serde_json::to_string(&note.body)?;
        self.statement(sql, row![tenant.as_str(), note.name.as_str(), note.at.0, body]);
        Ok(())
    }
}

/// What has been used, locked until the transaction ends. A row that is not there yet is made, because what is not there cannot
/// be locked, and two hosts would both find the first place free.
pub(super) async fn lock_use(client: &ClientWrapper, keys: &HashSet<UseKey>) -> Outcome<HashMap<UseKey, Used>> {
    let column = |of: fn(&UseKey) -> &str| keys.iter().map(of).collect::<Vec<_>>();
    let (tenants, names) = (column(|key| key.tenant.as_str()), column(|key| &key.name));
    let plugins = column(|key| key.plugin.as_str());
    let sql = "INSERT INTO plugin_use AS u (tenant, name, plugin, at, body) \
               SELECT n.tenant, n.name, n.plugin, 0, '{}' FROM unnest($1::text[], $2::text[], $3::text[]) \
               AS n (tenant, name, plugin) ORDER BY n.tenant, n.name, n.plugin \
               ON CONFLICT (tenant, name, plugin) DO UPDATE SET at = u.at RETURNING u.tenant, u.name, u.plugin, u.body";
    let found = read::all(client, sql, &[&tenants, &names, &plugins], |row| {
        let key = UseKey { tenant: rows::must_name(row, 0)?, name: row.try_get(1)?, plugin: rows::must_name(row, 2)? };
        Ok((key, rows::json(row, 3)?))
    })
    .await?;
    Ok(found.into_iter().collect())
}

pub(super) async fn notes(client: &ClientWrapper, tenant: &TenantId) -> Outcome<Vec<Note>> {
    let sql = "SELECT name, at, body FROM notes WHERE tenant = $1 ORDER BY name";
    read::all(client, sql, &[&tenant.as_str()], |row| {
        Ok(Note { name: row.try_get(0)?, at: rows::must_time(row, 1)?, body: rows::json(row, 2)? })
    })
    .await
}

pub(super) async fn used(client: &ClientWrapper, key: &UseKey) -> Outcome<Used> {
    let sql = "SELECT body FROM plugin_use WHERE tenant = $1 AND name = $2 AND plugin = $3";
    let params: read::Params<'_> = &[&key.tenant.as_str(), &key.name, &key.plugin.as_str()];
    Ok(read::one(client, sql, params, |row| rows::json(row, 0)).await?.unwrap_or_default())
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
