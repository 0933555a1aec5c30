//! For `relais bench store` alone: rows that nobody will ever work on.
//!
//! What is filled in belongs to a tenant and a plugin that no host has. Nothing that serves calls anything in here.

use std::path::Path;

use rusqlite::Connection;

use super::{SqliteStore, error::Trouble};
use crate::store::Result;

const RUNS: &str = "WITH RECURSIVE first (seq) AS (SELECT max((SELECT coalesce(max(seq), 0) FROM runs), \
     (SELECT coalesce(max(generation), 0) FROM timers))), \
     n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < ?1) \
     INSERT INTO runs (seq, id, tenant, plugin, entity, customer, kind, event, payload, hold_up, state, attempts, \
     not_before, accepted) \
     SELECT first.seq + n, randomblob(16), 'backlog', 'backlog', 'customer/' || n % 100000, 'c' || n % 100000, 0, 0, NULL, \
     1, 0, 0, 0, 0 FROM first, n";

const TIMERS: &str = "WITH RECURSIVE n (n) AS (SELECT ?2 + 1 UNION ALL SELECT n + 1 FROM n WHERE n < ?2 + ?1) \
     INSERT INTO timers (tenant, plugin, entity, key, due, expires, customer, data, set_by, set_by_run, origin, generation, \
     queued) \
     SELECT 'backlog', 'backlog', 'customer/' || n, 'later', 4000000000000 + n, NULL, 'c' || n, '{}', '1.0.0', \
     randomblob(16), NULL, n, 0 FROM n";

impl SqliteStore {
    /// Fills in open runs of another flow and timers that are due in a hundred years, until there are so many. The file was
    /// made before, and nobody has it open: whoever opens it next begins to count after what is filled in.
    pub fn fill(path: &Path, runs: u64, timers: u64) -> Result<()> {
        filled(path, runs, timers).map_err(|trouble| trouble.at(path))
    }
}

fn filled(path: &Path, runs: u64, timers: u64) -> std::result::Result<(), Trouble> {
    let conn = Connection::open(path)?;
    let count = |sql: &str| conn.query_row(sql, [], |row| row.get::<_, i64>(0));
    let there = count("SELECT count(*) FROM runs WHERE state = 0 AND plugin = 'backlog'")?;
    let lacking = i64::try_from(runs).unwrap_or(i64::MAX) - there;
    if lacking > 0 {
        // Their ids are anywhere in its index, each page of which would be written again and again: it is built afterwards.
        let index: String =
            conn.query_row("SELECT sql FROM sqlite_schema WHERE name = 'runs_id'", [], |row| row.get(0))?;
        let filled = conn.unchecked_transaction()?;
        filled.execute_batch("DROP INDEX runs_id")?;
        filled.execute(RUNS, [lacking])?;
        filled.execute_batch(&index)?;
        filled.commit()?;
    }
    let there = count("SELECT count(*) FROM timers WHERE queued = 0 AND plugin = 'backlog'")?;
    let lacking = i64::try_from(timers).unwrap_or(i64::MAX) - there;
    if lacking > 0 {
        conn.execute(TIMERS, [lacking, there])?;
    }
    Ok(())
}
