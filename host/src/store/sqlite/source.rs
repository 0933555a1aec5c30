//! Rows in the file, for the commands of a transaction: found and written at once, one statement each.

use rusqlite::{CachedStatement, Connection, OptionalExtension, Params, Row};

use super::error::Outcome;
use crate::store::commands::tx::{Caches, Counts, Stats};

/// The numbers that were given last. Counted here and not by SQLite, which would give the number of a deleted last row again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seqs {
    pub(super) events: i64,
    pub(super) runs: i64,
    pub(super) messages: i64,
    pub(super) incoming: i64,
}

impl Seqs {
    pub(super) fn read(conn: &Connection) -> rusqlite::Result<Seqs> {
        let last = |table: &str| {
            conn.query_row(&format!("SELECT coalesce(max(seq), 0) FROM {table}"), [], |row| row.get::<_, i64>(0))
        };
        // A timer remembers the run that set it even where that run's row is gone.
        let timers =
            conn.query_row("SELECT coalesce(max(generation), 0) FROM timers", [], |row| row.get::<_, i64>(0))?;
        Ok(Seqs {
            events: last("events")?,
            runs: last("runs")?.max(timers),
            messages: last("messages")?,
            incoming: last("incoming")?,
        })
    }
}

/// The file, while the writer's transaction is open.
pub(super) struct SqliteSource<'a> {
    pub(super) conn: &'a Connection,
    pub(super) caches: &'a Caches,
    pub(super) seqs: &'a mut Seqs,
    pub(super) parked_receipts_max: u32,
    /// What is cached is not to be believed any more.
    pub(super) forgotten: bool,
}

impl SqliteSource<'_> {
    /// Executes a statement; how many rows it changed.
    pub(super) fn execute(&self, sql: &str, params: impl Params) -> Outcome<usize> {
        Ok(self.statement(sql)?.execute(params)?)
    }

    pub(super) fn one<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Outcome<Option<T>> {
        Ok(self.statement(sql)?.query_row(params, read).optional()?)
    }

    pub(super) fn all<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Outcome<Vec<T>> {
        let mut statement = self.statement(sql)?;
        let rows = statement.query_map(params, read)?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    fn statement(&self, sql: &str) -> Outcome<CachedStatement<'_>> {
        Ok(self.conn.prepare_cached(sql)?)
    }

    /// What is counted of messages, once for a whole batch.
    pub(super) fn write_stats(&self, stats: &Stats) -> Outcome<()> {
        let sql = "INSERT INTO stats (tenant, day, plugin, purpose, channel, country, name, value) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) \
                   ON CONFLICT (tenant, day, plugin, purpose, channel, country, name) \
                   DO UPDATE SET value = value + excluded.value";
        for ((tenant, key, measure), by) in stats {
            let [plugin, purpose, channel, country] = key.texts();
            let row =
                rusqlite::params![tenant.as_str(), key.day, plugin, purpose, channel, country, measure.name(), by];
            self.execute(sql, row)?;
        }
        Ok(())
    }

    /// Figures, once for a whole batch.
    pub(super) fn write_counts(&self, counts: &Counts) -> Outcome<()> {
        for ((tenant, name), by) in counts {
            let sql = "INSERT INTO counters (tenant, name, value) VALUES (?1, ?2, ?3) \
                       ON CONFLICT (tenant, name) DO UPDATE SET value = value + excluded.value";
            self.execute(sql, rusqlite::params![tenant.as_str(), name, by])?;
        }
        Ok(())
    }
}
