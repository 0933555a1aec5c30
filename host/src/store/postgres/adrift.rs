//! Work with neither an owner nor a deadline. Reads whole tables, so it is asked by somebody who wants to know, and seldom.

use std::time::Duration;

use deadpool_postgres::ClientWrapper;
use tokio_postgres::Row;

use super::{error::Outcome, read, rows};
use crate::{
    ids::{AttemptToken, MessageId, RunId, TenantId},
    store::{ADRIFT_MAX, Adrift, HostLine, Vitals},
};

pub(super) async fn find(client: &ClientWrapper, lease: Duration) -> Outcome<Vec<Adrift>> {
    let mut found = timers(client).await?;
    found.extend(messages(client).await?);
    found.extend(runs(client).await?);
    found.extend(receipts(client).await?);
    found.extend(shards(client, lease).await?);
    Ok(found)
}

fn max() -> i64 {
    i64::from(ADRIFT_MAX)
}

async fn timers(client: &ClientWrapper) -> Outcome<Vec<Adrift>> {
    let sql = "SELECT t.tenant, t.plugin, t.entity, t.key FROM timers t WHERE t.queued AND NOT EXISTS (SELECT 1 FROM runs r \
               WHERE r.state = 0 AND r.tenant = t.tenant AND r.plugin = t.plugin AND r.entity = t.entity) LIMIT $1";
    read::all(client, sql, &[&max()], |row| {
        let (plugin, entity, key): (&str, &str, &str) = (row.try_get(1)?, row.try_get(2)?, row.try_get(3)?);
        Ok(Adrift {
            tenant: Some(rows::must_name(row, 0)?),
            kind: "timer-without-run",
            id: format!("{plugin} {entity} {key}"),
            why: "the timer was due and has no run: it will never fire".to_owned(),
        })
    })
    .await
}

fn message(row: &Row, kind: &'static str, why: &str) -> Outcome<Adrift> {
    let tenant: TenantId = rows::must_name(row, 0)?;
    Ok(Adrift { tenant: Some(tenant), kind, id: MessageId(rows::id(row, 1)?).to_string(), why: why.to_owned() })
}

async fn messages(client: &ClientWrapper) -> Outcome<Vec<Adrift>> {
    let sql = "SELECT m.tenant, m.id FROM message_states s JOIN messages m ON m.seq = s.seq \
               WHERE NOT s.settled AND (s.step = 0 OR (s.step = 2 AND s.due IS NULL)) LIMIT $1";
    let why = "it is not settled, and nobody will look at it again";
    let mut found = read::all(client, sql, &[&max()], |row| message(row, "message-without-step", why)).await?;
    let sql = "SELECT m.tenant, m.id FROM messages m LEFT JOIN message_states s ON s.seq = m.seq \
               WHERE s.seq IS NULL LIMIT $1";
    let why = "there is no row that says how it stands, so nobody will send it";
    found.extend(read::all(client, sql, &[&max()], |row| message(row, "message-without-state", why)).await?);
    let sql = "SELECT m.tenant, m.id FROM attempts a JOIN message_states s ON s.seq = a.message \
               JOIN messages m ON m.seq = a.message \
               WHERE a.state = 'planned' AND NOT s.settled AND s.step = 0 LIMIT $1";
    let why = "an attempt has no answer, and nobody will look whether there is one";
    found.extend(read::all(client, sql, &[&max()], |row| message(row, "attempt-without-look", why)).await?);
    Ok(found)
}

async fn runs(client: &ClientWrapper) -> Outcome<Vec<Adrift>> {
    let sql = "SELECT r.tenant, r.id FROM runs r LEFT JOIN events e ON e.seq = r.event \
               WHERE r.state = 0 AND r.payload IS NULL AND e.seq IS NULL LIMIT $1";
    read::all(client, sql, &[&max()], |row| {
        Ok(Adrift {
            tenant: Some(rows::must_name(row, 0)?),
            kind: "run-without-cause",
            id: RunId(rows::id(row, 1)?).to_string(),
            why: "it is open, and what set it off is gone: it cannot be executed".to_owned(),
        })
    })
    .await
}

/// Receipts that wait for an attempt which is known: by what we gave the provider, or by what the provider calls it.
async fn receipts(client: &ClientWrapper) -> Outcome<Vec<Adrift>> {
    let named = |table: &str| {
        format!(
            "SELECT m.tenant, m.id FROM parked_receipts p \
             JOIN {table} a ON a.provider = p.provider AND a.provider_id = p.provider_id \
             JOIN messages m ON m.seq = a.message AND m.tenant = p.tenant \
             WHERE a.provider_id IS NOT NULL LIMIT $1"
        )
    };
    let kind = "receipt-not-matched";
    let why = "a receipt about one of its attempts is kept and was not counted";
    let mut found = read::all(client, &named("attempts"), &[&max()], |row| message(row, kind, why)).await?;
    found.extend(read::all(client, &named("attempt_parts"), &[&max()], |row| message(row, kind, why)).await?);
    let tokens = read::all(client, "SELECT tenant, token FROM parked_receipts WHERE token <> ''", &[], |row| {
        let token = row.try_get::<_, &str>(1)?.parse::<AttemptToken>().ok();
        token.map(|token| Ok((row.try_get::<_, String>(0)?, token))).transpose()
    });
    let (mut tenants, mut messages, mut numbers) = (Vec::new(), Vec::new(), Vec::new());
    for (tenant, token) in tokens.await?.into_iter().flatten() {
        tenants.push(tenant);
        messages.push(token.message.0.to_vec());
        numbers.push(i64::from(token.attempt));
    }
    let sql = "SELECT m.tenant, m.id FROM unnest($1::text[], $2::bytea[], $3::int8[]) AS p (tenant, message, no) \
               JOIN messages m ON m.id = p.message AND m.tenant = p.tenant \
               JOIN attempts a ON a.message = m.seq AND a.no = p.no LIMIT $4";
    found
        .extend(read::all(client, sql, &[&tenants, &messages, &numbers, &max()], |row| message(row, kind, why)).await?);
    Ok(found)
}

/// Shards that nobody has had for longer than a lease: those who live take what is free within a quarter of one.
async fn shards(client: &ClientWrapper, lease: Duration) -> Outcome<Vec<Adrift>> {
    let sql = "SELECT s.shard, h.name, \
               (SELECT count(*) FROM runs r WHERE r.state = 0 AND r.shard = s.shard), \
               (SELECT count(*) FROM message_states m WHERE m.step <> 0 AND m.shard = s.shard) \
               FROM shards s LEFT JOIN hosts h ON h.id = s.host \
               WHERE coalesce(h.expires, s.since, '-infinity') < now() - make_interval(secs => $1) LIMIT $2";
    read::all(client, sql, &[&lease.as_secs_f64(), &max()], |row| {
        let (shard, host): (i16, Option<&str>) = (row.try_get(0)?, row.try_get(1)?);
        let (runs, messages): (i64, i64) = (row.try_get(2)?, row.try_get(3)?);
        let whose = host.map_or_else(|| "it is nobody's".to_owned(), |host| format!("its host `{host}` does not live"));
        let why = format!("{whose}, and nobody has taken it: {runs} open runs and {messages} messages wait in it");
        Ok(Adrift { tenant: None, kind: "shard-without-host", id: shard.to_string(), why })
    })
    .await
}

pub(super) async fn vitals(client: &ClientWrapper) -> Outcome<Vitals> {
    let sql = "SELECT (SELECT min(accepted) FROM runs WHERE state = 0), \
               (SELECT min(due) FROM message_states WHERE step = 2), (SELECT min(due) FROM timers WHERE NOT queued)";
    let found = read::one(client, sql, &[], |row| Ok((rows::time(row, 0)?, rows::time(row, 1)?, rows::time(row, 2)?)));
    let (oldest_open_run, next_message_due, next_timer_due) = found.await?.unwrap_or_default();
    let sql = "SELECT h.name, h.version, extract(epoch FROM h.expires - now())::int8, \
               (SELECT count(*) FROM shards s WHERE s.host = h.id) FROM hosts h ORDER BY h.started";
    let hosts = read::all(client, sql, &[], |row| {
        Ok(HostLine {
            name: row.try_get(0)?,
            version: row.try_get(1)?,
            lease_left_s: row.try_get(2)?,
            shards: row.try_get(3)?,
        })
    });
    Ok(Vitals { oldest_open_run, next_message_due, next_timer_due, hosts: hosts.await? })
}
