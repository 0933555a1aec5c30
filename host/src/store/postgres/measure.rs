//! For `relais bench store` alone: rows that nobody will ever work on, and which server answers.
//!
//! What is filled in belongs to a tenant and a plugin that no host has. Nothing that serves calls anything in here.

use deadpool_postgres::ClientWrapper;

use super::{
    PgStore, connect,
    error::{Outcome, Trouble},
    read,
};
use crate::store::Result;

/// Rows of one statement.
const STEP: i64 = 100_000;

const RUNS: &str = "WITH first AS MATERIALIZED (SELECT nextval('runs_seq') AS seq), filled AS (\
     INSERT INTO runs (seq, id, tenant, plugin, entity, customer, kind, event, payload, hold_up, state, attempts, \
     not_before, accepted, shard) \
     SELECT first.seq + n, decode(md5('backlog' || first.seq + n), 'hex'), 'backlog', 'backlog', \
     'customer/' || n % 100000, 'c' || n % 100000, 0, 0, NULL, true, 0, 0, 0, 0, n % 1024 \
     FROM first, generate_series(1, $1::int8) AS n RETURNING 1) \
     SELECT setval('runs_seq', (SELECT seq FROM first) + (SELECT count(*) FROM filled))";

const TIMERS: &str = "INSERT INTO timers (tenant, plugin, entity, key, due, expires, customer, data, set_by, set_by_run, \
     origin, generation, queued) \
     SELECT 'backlog', 'backlog', 'customer/' || n, 'later', 4000000000000 + n, NULL, 'c' || n, '{}', '1.0.0', \
     decode(md5('timer' || n), 'hex'), NULL, n, false FROM generate_series($2::int8 + 1, $2::int8 + $1::int8) AS n";

impl PgStore {
    /// Fills in open runs of another flow and timers that are due in a hundred years, until there are so many.
    pub async fn fill(&self, runs: u64, timers: u64) -> Result<()> {
        let filled = async {
            let client = connect::writer(&self.shared).await?;
            client.batch_execute("SET statement_timeout = 0").await?;
            let open = "SELECT count(*) FROM runs WHERE state = 0 AND plugin = 'backlog'";
            if fill(&client, open, RUNS, runs).await? {
                client.batch_execute("VACUUM ANALYZE runs").await?;
            }
            let waiting = "SELECT count(*) FROM timers WHERE NOT queued AND plugin = 'backlog'";
            if fill(&client, waiting, TIMERS, timers).await? {
                client.batch_execute("VACUUM ANALYZE timers").await?;
            }
            Outcome::Ok(())
        };
        filled.await.map_err(|trouble: Trouble| trouble.at(&self.shared.place))
    }

    /// The number of a process of the server's, as its machine counts them.
    pub async fn server_process(&self) -> Result<i32> {
        let found = self
            .read(async |client| read::one(client, "SELECT pg_backend_pid()", &[], |row| Ok(row.try_get(0)?)).await);
        Ok(found.await?.unwrap_or_default())
    }
}

/// `true` where there were fewer.
async fn fill(client: &ClientWrapper, count: &str, insert: &str, until: u64) -> Outcome<bool> {
    let until = i64::try_from(until).unwrap_or(i64::MAX);
    let there = read::one(client, count, &[], |row| Ok(row.try_get::<_, i64>(0)?)).await?.unwrap_or(0);
    let mut filled = there;
    while filled < until {
        let step = STEP.min(until - filled);
        if insert.contains("$2") {
            client.execute(insert, &[&step, &filled]).await?;
        } else {
            client.execute(insert, &[&step]).await?;
        }
        filled += step;
    }
    Ok(filled > there)
}
