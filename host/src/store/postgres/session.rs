//! The end of a session of which nobody knows what became of its transaction.
//!
//! A commit whose answer did not come may still be on its way to the server, and go through minutes after everybody has gone on:
//! what it wrote would then be younger in nobody's memory and older in the store. So before a host writes again, it has the
//! server end the session that it has lost. From then on its transaction was committed, or never will be.

use std::time::Duration;

use deadpool_postgres::ClientWrapper;

use super::{error::Outcome, read};

/// How often it is looked whether it has ended.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A session of the server. The number of its process alone may be another's by now.
pub(super) struct Session {
    process: i32,
    began_us: i64,
}

impl Session {
    pub(super) async fn of(client: &ClientWrapper) -> Outcome<Option<Session>> {
        let sql = "SELECT pid, (extract(epoch FROM backend_start) * 1000000)::int8 FROM pg_stat_activity \
                   WHERE pid = pg_backend_pid()";
        read::one(client, sql, &[], |row| Ok(Session { process: row.try_get(0)?, began_us: row.try_get(1)? })).await
    }

    /// Ends it, and returns when it has ended. For as long as it takes: who calls sets the limit.
    pub(super) async fn end(&self, client: &ClientWrapper) -> Outcome<()> {
        let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                   WHERE pid = $1 AND (extract(epoch FROM backend_start) * 1000000)::int8 = $2";
        while !read::all(client, sql, &[&self.process, &self.began_us], |_| Ok(())).await?.is_empty() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }
}
