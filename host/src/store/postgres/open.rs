//! Opening the database: ours, not newer than this program can work with, with its schema brought up to date. Anything else is
//! refused with what to do about it.
//!
//! Migrations go forward only, each in a transaction with its number, under a lock that one host holds; one that was killed has
//! left nothing, and is done again. Hosts of two neighbouring versions work side by side while they are replaced one by one: a
//! migration says which is the oldest host that still understands the schema after it, and a host that is older, or a database
//! that is older than this program's first, is refused.

use std::time::Duration;

use deadpool_postgres::ClientWrapper;

use super::{
    error::{Outcome, Trouble},
    import, read,
};
use crate::store::{Error, Result};

/// A step of the schema, and the oldest schema whose hosts still work after it. What hosts one version behind cannot bear (a
/// column that is gone) comes one release after what makes it unneeded.
struct Migration {
    sql: &'static str,
    oldest_host: i32,
}

const MIGRATIONS: &[Migration] = &[
    Migration { sql: include_str!("migrations/0001_begin.sql"), oldest_host: 1 },
    Migration { sql: include_str!("migrations/0002_retention.sql"), oldest_host: 1 },
    Migration { sql: include_str!("migrations/0003_due_by_tenant.sql"), oldest_host: 1 },
    Migration { sql: include_str!("migrations/0004_plugins.sql"), oldest_host: 1 },
    Migration { sql: include_str!("migrations/0005_plugin_use.sql"), oldest_host: 1 },
    Migration { sql: include_str!("migrations/0006_attempt_parts.sql"), oldest_host: 1 },
];

/// How often a step of the schema is tried that others are in the way of, and the pause after the first try, which grows.
const TRIES_MAX: u32 = 10;
const PAUSE: Duration = Duration::from_millis(100);

/// One host at a time changes the schema. The number means nothing but must never change.
pub(super) const LOCK: i64 = 0x5245_4c41;

fn unusable(place: &str, reason: impl Into<String>, advice: impl Into<String>) -> Error {
    Error::Unusable { place: place.to_owned(), reason: reason.into(), advice: advice.into() }
}

/// Brings the schema up to date, and returns the key under which addresses are hashed. A database into which a store is only
/// half moved is refused.
pub(super) async fn prepare(client: &ClientWrapper, place: &str) -> Result<[u8; 32]> {
    let key = bring_up_to_date(client, place).await?;
    if import::mark(client).await.map_err(|trouble| trouble.at(place))?.is_some() {
        let advice = "Run `relais migrate` again: it goes on where it was interrupted";
        return Err(unusable(place, "a move into this database was not finished", advice));
    }
    Ok(key)
}

/// The same without a look at whether it is complete.
pub(super) async fn bring_up_to_date(client: &ClientWrapper, place: &str) -> Result<[u8; 32]> {
    let at = |trouble: Trouble| trouble.at(place);
    check_server(client, place).await?;
    // A change of large tables takes as long as it takes, and so does waiting for another host that makes it.
    client.batch_execute("SET statement_timeout = 0").await.map_err(Trouble::Sql).map_err(at)?;
    lock(client).await.map_err(at)?;
    let prepared = under_lock(client, place).await;
    let end = format!("SELECT pg_advisory_unlock({LOCK}); RESET statement_timeout");
    let unlocked = client.batch_execute(&end).await;
    let key = prepared?;
    unlocked.map_err(Trouble::Sql).map_err(at)?;
    Ok(key)
}

async fn lock(client: &ClientWrapper) -> Outcome<()> {
    let tried = read::one(client, "SELECT pg_try_advisory_lock($1)", &[&LOCK], |row| Ok(row.try_get::<_, bool>(0)?));
    if tried.await? != Some(true) {
        tracing::info!("another host is preparing the database; this one waits for it");
        client.batch_execute(&format!("SELECT pg_advisory_lock({LOCK})")).await?;
    }
    Ok(())
}

async fn check_server(client: &ClientWrapper, place: &str) -> Result<()> {
    let version = read::one(client, "SELECT current_setting('server_version_num')::int4", &[], |row| {
        Ok(row.try_get::<_, i32>(0)?)
    });
    let version = version.await.map_err(|trouble| trouble.at(place))?.unwrap_or(0);
    if version < 150_000 {
        let reason = format!("it is PostgreSQL {}, and 15 is the oldest that is known to work", version / 10_000);
        return Err(unusable(place, reason, "Upgrade the server"));
    }
    Ok(())
}

async fn under_lock(client: &ClientWrapper, place: &str) -> Result<[u8; 32]> {
    let at = |trouble: Trouble| trouble.at(place);
    let (version, oldest) = schema(client, place).await?;
    let known = i32::try_from(MIGRATIONS.len()).unwrap_or(i32::MAX);
    if version > known && oldest > known {
        return Err(unusable(
            place,
            format!(
                "it is from a newer version of relais (schema {version}, which needs hosts of {oldest} or later; this one knows {known})"
            ),
            "Run that version or a later one; there is no way back",
        ));
    }
    for (number, migration) in (1..).zip(MIGRATIONS).skip(usize::try_from(version).unwrap_or(0)) {
        let oldest = migration.oldest_host;
        let sql = format!(
            "BEGIN; {} INSERT INTO schema_versions (version, oldest_host) VALUES ({number}, {oldest}); COMMIT;",
            migration.sql
        );
        migrate(client, &sql).await.map_err(at)?;
        tracing::info!(schema = number, "the database has a new schema");
    }
    address_key(client).await.map_err(at)
}

/// One step, with its number. Hosts of the version before go on writing meanwhile, and may have locked in another order: then the
/// step is done again.
async fn migrate(client: &ClientWrapper, sql: &str) -> Outcome<()> {
    let mut tries = 0;
    loop {
        let Err(error) = client.batch_execute(sql).await else { return Ok(()) };
        // The error is what is told; a transaction that cannot be rolled back ends with the connection.
        let _ = client.batch_execute("ROLLBACK").await;
        let trouble = Trouble::Sql(error);
        tries += 1;
        if !trouble.passes_by_trying_again() || tries >= TRIES_MAX {
            return Err(trouble);
        }
        tracing::info!(%trouble, tries, "a step of the schema met the work of other hosts, and is done again");
        tokio::time::sleep(PAUSE.saturating_mul(tries)).await;
    }
}

/// The schema's version and the oldest host that understands it; 0 for a database that is empty.
async fn schema(client: &ClientWrapper, place: &str) -> Result<(i32, i32)> {
    let at = |trouble: Trouble| trouble.at(place);
    let ours = read::one(client, "SELECT to_regclass('schema_versions') IS NOT NULL", &[], |row| Ok(row.try_get(0)?));
    if !ours.await.map_err(at)?.unwrap_or(false) {
        let sql = "SELECT count(*) FROM pg_tables WHERE schemaname = current_schema()";
        let others: i64 = read::one(client, sql, &[], |row| Ok(row.try_get(0)?)).await.map_err(at)?.unwrap_or(0);
        if others > 0 {
            let reason = format!("it holds {others} tables, and none of them is ours");
            return Err(unusable(place, reason, "Correct store.url, or make a database of its own (createdb relais)"));
        }
        let sql = "CREATE TABLE IF NOT EXISTS schema_versions (version integer PRIMARY KEY, oldest_host integer NOT NULL, \
                   applied timestamptz NOT NULL DEFAULT now())";
        client.batch_execute(sql).await.map_err(Trouble::Sql).map_err(at)?;
    }
    let sql = "SELECT coalesce(max(version), 0), coalesce(max(oldest_host), 0) FROM schema_versions";
    let found = read::one(client, sql, &[], |row| Ok((row.try_get(0)?, row.try_get(1)?))).await.map_err(at)?;
    Ok(found.unwrap_or((0, 0)))
}

/// Drawn by the first host. It never leaves the database.
async fn address_key(client: &ClientWrapper) -> Outcome<[u8; 32]> {
    let mut drawn = [0u8; 32];
    getrandom::fill(&mut drawn).map_err(|error| Trouble::Unreadable(format!("no random bytes: {error}")))?;
    let sql = "INSERT INTO meta (name, value) VALUES ('address-key', $1) ON CONFLICT (name) DO NOTHING";
    read::execute(client, sql, &[&&drawn[..]]).await?;
    let key = read::one(client, "SELECT value FROM meta WHERE name = 'address-key'", &[], |row| {
        Ok(row.try_get::<_, Vec<u8>>(0)?)
    });
    let key = key.await?.unwrap_or_default();
    key.try_into().map_err(|_| Trouble::Unreadable("the store's key does not have 32 bytes".to_owned()))
}
