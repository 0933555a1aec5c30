//! Rows of messages: what was asked for in one, how it stands in another, each attempt in its own.
//!
//! The attempts of many messages are read at once. Where somebody changes a message between the two queries, its revision is the
//! older one, and a change that was decided on it finds it stale.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use deadpool_postgres::ClientWrapper;
use tokio_postgres::Row;

use super::{
    error::Outcome,
    read::{self, Params},
    rows,
    source::ProviderKey,
};
use crate::{
    domain::{
        customer::Channel,
        message::{Attempt, MessageRecord, Next},
        status::{AttemptState, MessageState},
    },
    ids::{MessageId, PluginName, TenantId},
    store::commands::Held,
};

const COLUMNS: &str =
    "m.body, m.seq, s.revision, s.state, s.settled, s.cancel, s.ended, s.code, s.decision, s.step, s.due";

fn read(row: &Row) -> Outcome<Held> {
    let next = match row.try_get::<_, i16>(9)? {
        0 => Next::Nothing,
        1 => Next::Now,
        _ => Next::At(rows::must_time(row, 10)?),
    };
    let ended = match row.try_get::<_, Option<&str>>(6)? {
        Some(_) => Some(rows::word(row, 6, MessageState::parse)?),
        None => None,
    };
    let record = MessageRecord {
        message: rows::json(row, 0)?,
        seq: row.try_get(1)?,
        revision: row.try_get(2)?,
        state: rows::word(row, 3, MessageState::parse)?,
        settled: row.try_get(4)?,
        cancel: row.try_get(5)?,
        code: row.try_get(7)?,
        decision: rows::json_or_none(row, 8)?,
        next,
        attempts: Vec::new(),
    };
    Ok(Held { record, ended })
}

/// What reads messages, and locks them.
fn by_ids(lock: bool) -> String {
    // Locked in one order by everybody, or two transactions could wait for each other.
    let locking = if lock { "ORDER BY s.seq FOR UPDATE OF s" } else { "ORDER BY s.seq" };
    format!("SELECT {COLUMNS} FROM messages m JOIN message_states s ON s.seq = m.seq WHERE m.id = ANY($1) {locking}")
}

pub(super) async fn prepare_lock(client: &ClientWrapper) -> Outcome<()> {
    client.prepare_cached(&by_ids(true)).await?;
    Ok(())
}

/// Those of the messages that are there. Locked, nobody else can change how they stand before the transaction ends.
pub(super) async fn load_messages(client: &ClientWrapper, ids: &[MessageId], lock: bool) -> Outcome<Vec<Arc<Held>>> {
    let ids: Vec<&[u8]> = ids.iter().map(|id| id.0.as_slice()).collect();
    let sql = by_ids(lock);
    let params: Params<'_> = &[&ids];
    // Sent one behind the other: the server reads the attempts once it has the locks, and the answers come together.
    let held = read::all(client, &sql, params, read);
    let attempts = read::all(client, ATTEMPTS_OF_IDS, params, attempt_of_message);
    let (held, attempts) = futures_util::future::try_join(held, attempts).await?;
    let mut attempts = by_message(attempts);
    let with_attempts = |mut held: Held| {
        held.record.attempts = attempts.remove(&held.record.seq).unwrap_or_default();
        Arc::new(held)
    };
    Ok(held.into_iter().map(with_attempts).collect())
}

/// Messages that `condition` chooses, with their attempts. It is text of this module and its neighbours, never of a caller.
pub(super) async fn select(client: &ClientWrapper, condition: &str, params: Params<'_>) -> Outcome<Vec<MessageRecord>> {
    let held = select_held(client, condition, params).await?;
    Ok(held.into_iter().map(|held| held.record).collect())
}

async fn select_held(client: &ClientWrapper, condition: &str, params: Params<'_>) -> Outcome<Vec<Held>> {
    let sql = format!("SELECT {COLUMNS} FROM {condition}");
    let mut found = read::all(client, &sql, params, read).await?;
    let seqs: Vec<i64> = found.iter().map(|held| held.record.seq).collect();
    let mut attempts = attempts_of(client, &seqs).await?;
    for held in &mut found {
        held.record.attempts = attempts.remove(&held.record.seq).unwrap_or_default();
    }
    Ok(found)
}

async fn attempts_of(client: &ClientWrapper, messages: &[i64]) -> Outcome<HashMap<i64, Vec<Attempt>>> {
    if messages.is_empty() {
        return Ok(HashMap::new());
    }
    let sql = "SELECT no, channel, provider, account, address, state, provider_id, rendition, parts, price_micros, planned, \
               answered, failure, decision, message FROM attempts WHERE message = ANY($1) ORDER BY message, no";
    Ok(by_message(read::all(client, sql, &[&messages], attempt_of_message).await?))
}

/// The same columns, by the ids of the messages. Looked up one message after the other, however little the database knows of
/// the table when it makes its plan.
const ATTEMPTS_OF_IDS: &str = "SELECT a.no, a.channel, a.provider, a.account, a.address, a.state, a.provider_id, \
     a.rendition, a.parts, a.price_micros, a.planned, a.answered, a.failure, a.decision, a.message \
     FROM unnest($1::bytea[]) AS n (id) CROSS JOIN LATERAL (SELECT t.seq FROM messages t WHERE t.id = n.id OFFSET 0) m \
     CROSS JOIN LATERAL (SELECT * FROM attempts t WHERE t.message = m.seq OFFSET 0) a ORDER BY a.message, a.no";

fn attempt_of_message(row: &Row) -> Outcome<(i64, Attempt)> {
    Ok((row.try_get(14)?, read_attempt(row)?))
}

fn by_message(found: Vec<(i64, Attempt)>) -> HashMap<i64, Vec<Attempt>> {
    let mut attempts: HashMap<i64, Vec<Attempt>> = HashMap::new();
    for (message, attempt) in found {
        attempts.entry(message).or_default().push(attempt);
    }
    attempts
}

fn read_attempt(row: &Row) -> Outcome<Attempt> {
    Ok(Attempt {
        no: rows::count(row, 0)?,
        channel: rows::word(row, 1, Channel::parse)?,
        provider: row.try_get(2)?,
        account: row.try_get(3)?,
        address: row.try_get(4)?,
        state: rows::word(row, 5, AttemptState::parse)?,
        provider_id: row.try_get(6)?,
        rendition: row.try_get(7)?,
        parts: rows::count(row, 8)?,
        price_micros: row.try_get(9)?,
        planned: rows::must_time(row, 10)?,
        answered: rows::time(row, 11)?,
        failure: rows::json_or_none(row, 12)?,
        decision: rows::json(row, 13)?,
    })
}

/// Of those of these ids that are known, the latest attempt that the provider knows under it.
pub(super) async fn attempts_by_provider_ids(
    client: &ClientWrapper,
    ids: &HashSet<ProviderKey>,
) -> Outcome<Vec<(ProviderKey, (MessageId, u32))>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let of = |table: &str| {
        format!(
            "(SELECT m.id, a.no, a.message FROM {table} a JOIN messages m ON m.seq = a.message WHERE a.provider = n.provider \
             AND a.provider_id = n.id AND m.tenant = n.tenant ORDER BY a.message DESC, a.no DESC LIMIT 1)"
        )
    };
    let sql = &*format!(
        "SELECT n.tenant, n.provider, n.id, x.id, x.no \
         FROM unnest($1::text[], $2::text[], $3::text[]) AS n (tenant, provider, id) CROSS JOIN LATERAL \
         (SELECT id, no FROM ({} UNION ALL {}) y ORDER BY message DESC LIMIT 1) x",
        of("attempts"),
        of("attempt_parts")
    );
    let column = |of: fn(&ProviderKey) -> &str| ids.iter().map(of).collect::<Vec<_>>();
    let (tenants, providers, names) = (column(|key| key.0.as_str()), column(|key| &key.1), column(|key| &key.2));
    read::all(client, sql, &[&tenants, &providers, &names], |row| {
        let key = (rows::must_name(row, 0)?, row.try_get(1)?, row.try_get(2)?);
        Ok((key, (MessageId(rows::id(row, 3)?), rows::count(row, 4)?)))
    })
    .await
}

/// The message that a plugin sent a recipient under a key.
pub(super) async fn message_by_dedup_key(
    client: &ClientWrapper,
    tenant: &TenantId,
    plugin: &PluginName,
    lane: &str,
    key: &str,
) -> Outcome<Option<MessageId>> {
    let sql = "SELECT message FROM dedup_keys WHERE tenant = $1 AND lane = $2 AND plugin = $3 AND key = $4";
    let params: Params<'_> = &[&tenant.as_str(), &lane, &plugin.as_str(), &key];
    read::one(client, sql, params, |row| rows::id(row, 0).map(MessageId)).await
}

/// Those of the messages that are still to be planned now.
pub(super) async fn messages_by_seqs(
    client: &ClientWrapper,
    seqs: &[i64],
    shards: &[i16],
) -> Outcome<Vec<MessageRecord>> {
    let from = "message_states s JOIN messages m ON m.seq = s.seq WHERE s.step = 1 AND s.seq = ANY($1) \
                AND s.shard = ANY($2) ORDER BY s.seq";
    select(client, from, &[&seqs, &shards]).await
}
