//! Reads what the commands of a transaction wanted: one query for each table, all of them sent before the first answer is
//! waited for. What will be changed is locked, in the order of its key, so that two hosts seldom wait for each other in a circle
//! (and where they do, PostgreSQL ends one of them, which tries again).

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use deadpool_postgres::ClientWrapper;
use futures_util::future::{try_join, try_join3, try_join4};

use super::{
    error::Outcome,
    files, heard, inbox, kept, known, notices, outbox, people, read, rows,
    source::{AddressKey, PgSource, Recorded, Tables, Wanted},
};
use crate::{
    domain::customer::{Address, Channel},
    ids::{CustomerId, MessageId, RunId, TenantId},
    store::commands::{
        HeldEntity,
        source::{OwnedAddress, Sequence},
        tx::Caches,
    },
};

/// Reads everything that is wanted into what has been read, and wants nothing any more.
pub(super) async fn load(client: &ClientWrapper, source: &mut PgSource, caches: &Caches) -> Outcome<()> {
    let wanted = std::mem::take(&mut source.wanted);
    let database_time = source.database_time;
    let (base, ids) = (&mut source.base, &mut source.message_ids);
    let mut others: [Tables; 5] = Default::default();
    let [runs, keys, heard, people, told] = &mut others;
    if !wanted.messages.is_empty() {
        // It is prepared by now, or what is to be read under the lock could be asked for while the lock is being prepared.
        outbox::prepare_lock(client).await?;
    }
    // Sent in this order, which `try_join` keeps to: what is read of a message's attempts is read under the message's lock.
    let ((drawn, events, exist), (open, entities, messages), _) = Box::pin(try_join3(
        try_join3(draw(client, &wanted), load_events(client, &wanted), run_exists(client, &wanted)),
        try_join3(open_runs(client, &wanted), load_entities(client, &wanted, caches), load_messages(client, &wanted)),
        try_join4(
            load_runs(client, &wanted, runs, database_time),
            load_keys(client, &wanted, keys),
            load_heard(client, &wanted, heard),
            try_join(load_people(client, &wanted, people), load_endpoints(client, &wanted, told, caches)),
        ),
    ))
    .await?;
    for (sequence, numbers) in drawn {
        source.drawn.entry(sequence).or_default().extend(numbers);
    }
    base.events.extend(wanted.events.iter().map(|id| (*id, None)));
    base.events.extend(events.into_iter().map(|(id, runs)| (id, Some(runs))));
    base.run_exists.extend(wanted.run_exists.iter().map(|id| (*id, exist.contains(id))));
    base.open_runs.extend(wanted.open_runs.iter().map(|key| (*key, open.contains(key))));
    base.entities.extend(entities);
    base.messages.extend(wanted.messages.iter().map(|id| (*id, None)));
    for held in messages {
        let message = &held.record.message;
        ids.insert(held.record.seq, (message.tenant.clone(), message.id));
        base.messages.insert(message.id, Some(held));
    }
    for attempt in &wanted.attempts {
        // Those that have receipts come with them.
        if let Some(Some(held)) = base.messages.get(&attempt.token.message) {
            base.receipts.insert((held.record.seq, attempt.token.attempt), Vec::new());
        }
    }
    others.into_iter().for_each(|read| base.extend(read));
    Ok(())
}

async fn draw(client: &ClientWrapper, wanted: &Wanted) -> Outcome<Vec<(Sequence, Vec<i64>)>> {
    let drawn = wanted.sequences.iter().map(async |(sequence, count)| {
        // One statement for each, whose name is ours.
        let sql = match sequence {
            Sequence::Events => "SELECT nextval('events_seq') FROM generate_series(1, $1::int8)",
            Sequence::Runs => "SELECT nextval('runs_seq') FROM generate_series(1, $1::int8)",
            Sequence::Messages => "SELECT nextval('messages_seq') FROM generate_series(1, $1::int8)",
            Sequence::Incoming => "SELECT nextval('incoming_seq') FROM generate_series(1, $1::int8)",
        };
        let numbers = read::all(client, sql, &[count], |row| Ok(row.try_get(0)?)).await?;
        Outcome::Ok((*sequence, numbers))
    });
    futures_util::future::try_join_all(drawn).await
}

fn bytes<'a, I: 'a>(ids: impl IntoIterator<Item = &'a I>, of: impl Fn(&'a I) -> &'a [u8]) -> Vec<&'a [u8]> {
    let mut bytes: Vec<&[u8]> = ids.into_iter().map(of).collect();
    bytes.sort_unstable();
    bytes
}

async fn load_events(client: &ClientWrapper, wanted: &Wanted) -> Outcome<Vec<(crate::ids::EventId, Vec<RunId>)>> {
    if wanted.events.is_empty() {
        return Ok(Vec::new());
    }
    // A key whose event has been deleted by its age still says that it was here.
    let sql = "SELECT k.id, coalesce(e.runs, ''::bytea) FROM event_keys k LEFT JOIN events e ON e.seq = k.seq \
               WHERE k.id = ANY($1)";
    let ids = bytes(&wanted.events, |id| &id.0[..]);
    read::all(client, sql, &[&ids], |row| Ok((crate::ids::EventId(rows::id(row, 0)?), inbox::run_ids(row.try_get(1)?))))
        .await
}

async fn run_exists(client: &ClientWrapper, wanted: &Wanted) -> Outcome<HashSet<RunId>> {
    if wanted.run_exists.is_empty() {
        return Ok(HashSet::new());
    }
    let ids = bytes(&wanted.run_exists, |id| &id.0[..]);
    let found =
        read::all(client, "SELECT id FROM runs WHERE id = ANY($1)", &[&ids], |row| Ok(RunId(rows::id(row, 0)?)))
            .await?;
    Ok(found.into_iter().collect())
}

async fn open_runs(client: &ClientWrapper, wanted: &Wanted) -> Outcome<HashSet<(i64, RunId)>> {
    if wanted.open_runs.is_empty() {
        return Ok(HashSet::new());
    }
    let seqs: Vec<i64> = wanted.open_runs.iter().map(|(seq, _)| *seq).collect();
    let sql = "SELECT seq, id FROM runs WHERE seq = ANY($1) AND state = 0 ORDER BY seq FOR UPDATE";
    let found = read::all(client, sql, &[&seqs], |row| Ok((row.try_get(0)?, RunId(rows::id(row, 1)?)))).await?;
    Ok(found.into_iter().collect())
}

async fn load_entities(
    client: &ClientWrapper,
    wanted: &Wanted,
    caches: &Caches,
) -> Outcome<HashMap<crate::domain::run::EntityKey, HeldEntity>> {
    if wanted.entities.is_empty() {
        return Ok(HashMap::new());
    }
    let keys: Vec<_> = wanted.entities.iter().cloned().collect();
    let versions = kept::lock_versions(client, &keys).await?;
    let mut found = HashMap::with_capacity(keys.len());
    let mut to_read = Vec::new();
    for key in keys {
        // The version tells whether what is in memory is what is in the rows; the lock keeps it so until the commit.
        match (versions.get(&key).copied(), caches.entities.get(&key)) {
            (None, _) => {
                found.insert(key, HeldEntity::default());
            }
            (Some(version), Some(held)) if held.snapshot.version == version => {
                found.insert(key, held);
            }
            _ => to_read.push(key),
        }
    }
    if !to_read.is_empty() {
        found.extend(kept::load_entities(client, &to_read, true).await?);
    }
    Ok(found)
}

async fn load_messages(client: &ClientWrapper, wanted: &Wanted) -> Outcome<Vec<Arc<crate::store::commands::Held>>> {
    if wanted.messages.is_empty() {
        return Ok(Vec::new());
    }
    let mut ids: Vec<MessageId> = wanted.messages.iter().copied().collect();
    ids.sort_unstable_by_key(|id| id.0);
    outbox::load_messages(client, &ids, true).await
}

async fn load_runs(client: &ClientWrapper, wanted: &Wanted, base: &mut Tables, database_time: bool) -> Outcome<()> {
    if !wanted.runs.is_empty() {
        let ids: Vec<Vec<u8>> = wanted.runs.iter().map(|id| id.0.to_vec()).collect();
        base.runs.extend(wanted.runs.iter().map(|id| (*id, None)));
        for (run, state) in inbox::runs_by_ids(client, &ids, true).await? {
            base.runs.insert(run.run.id, Some((run, state)));
        }
    }
    if !wanted.run_states.is_empty() {
        let seqs: Vec<i64> = wanted.run_states.iter().copied().collect();
        base.run_states.extend(seqs.iter().map(|seq| (*seq, None)));
        let sql = "SELECT seq, state FROM runs WHERE seq = ANY($1) ORDER BY seq FOR UPDATE";
        let found = read::all(client, sql, &[&seqs], |row| {
            Ok((row.try_get(0)?, Some(inbox::state_of_number(row.try_get(1)?))))
        })
        .await?;
        base.run_states.extend(found);
    }
    if let Some((now, limit)) = wanted.due_timers {
        base.due_timers = Some(kept::due_timers(client, now.0, limit, database_time).await?);
    }
    if let Some((now, limit)) = wanted.due_files {
        base.due_files = Some(files::due(client, now, limit).await?);
    }
    Ok(())
}

async fn load_keys(client: &ClientWrapper, wanted: &Wanted, base: &mut Tables) -> Outcome<()> {
    if !wanted.dedup.is_empty() {
        let column = |of: fn(&super::source::DedupKey) -> &str| wanted.dedup.iter().map(of).collect::<Vec<_>>();
        let sql = "SELECT d.tenant, d.lane, d.plugin, d.key FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) \
                   AS n (tenant, lane, plugin, key) JOIN dedup_keys d USING (tenant, lane, plugin, key)";
        let (tenants, lanes) = (column(|key| key.0.as_str()), column(|key| &key.1));
        let (plugins, keys) = (column(|key| &key.2), column(|key| &key.3));
        base.dedup.extend(wanted.dedup.iter().map(|key| (key.clone(), false)));
        let found = read::all(client, sql, &[&tenants, &lanes, &plugins, &keys], |row| {
            Ok(((rows::must_name(row, 0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?), true))
        })
        .await?;
        base.dedup.extend(found);
    }
    base.by_provider.extend(wanted.by_provider.iter().map(|key| (key.clone(), None)));
    let found = outbox::attempts_by_provider_ids(client, &wanted.by_provider).await?;
    base.by_provider.extend(found.into_iter().map(|(key, attempt)| (key, Some(attempt))));
    for (tenant, lane) in &wanted.sent {
        // As many as any command looks at.
        let sql = "SELECT seq, id, created FROM messages WHERE tenant = $1 AND lane = $2 ORDER BY seq DESC LIMIT 20";
        let found = read::all(client, sql, &[&tenant.as_str(), lane], |row| {
            Ok((row.try_get(0)?, MessageId(rows::id(row, 1)?), rows::must_time(row, 2)?))
        })
        .await?;
        base.sent.insert((tenant.clone(), lane.clone()), found);
    }
    Ok(())
}

async fn load_heard(client: &ClientWrapper, wanted: &Wanted, base: &mut Tables) -> Outcome<()> {
    let seqs: Vec<i64> = wanted.receipts.iter().map(|(message, _)| *message).collect();
    let ids: HashSet<&[u8]> = wanted.attempts.iter().map(|attempt| attempt.token.message.0.as_slice()).collect();
    let ids: Vec<&[u8]> = ids.into_iter().collect();
    let (of, of_attempts, by_token, (by_id, for_attempts)) = try_join4(
        heard::receipts_of(client, &seqs),
        heard::receipts_for(client, &ids),
        heard::parked_by_tokens(client, &wanted.parked_by_token),
        try_join(
            heard::parked_by_ids(client, &wanted.parked_by_id),
            heard::parked_for_attempts(client, &wanted.attempts),
        ),
    )
    .await?;
    take_receipts(wanted, of, of_attempts, base);
    base.parked_by_token.extend(wanted.parked_by_token.iter().map(|key| (key.clone(), Vec::new())));
    for (key, parked) in by_token {
        base.parked_by_token.entry(key).or_default().push(parked);
    }
    base.parked_by_id.extend(wanted.parked_by_id.iter().map(|key| (key.clone(), Vec::new())));
    for (key, parked) in by_id.into_iter().map(|(key, parked)| (key, Some(parked))).chain(for_attempts) {
        let known = base.parked_by_id.entry(key).or_default();
        // Two commands may have asked for the same.
        known.extend(parked.filter(|parked| known.iter().all(|known| known.id != parked.id)));
    }
    load_incoming(client, wanted, base).await
}

type OfAttempts = Vec<((i64, u32), Recorded)>;

/// They come for every attempt of a message, and twice where it was named by its number and by its id.
fn take_receipts(wanted: &Wanted, by_number: OfAttempts, by_id: OfAttempts, base: &mut Tables) {
    base.receipts.extend(wanted.receipts.iter().map(|key| (*key, Vec::new())));
    for (key, recorded) in by_number.into_iter().chain(by_id) {
        let known = base.receipts.entry(key).or_default();
        if known.iter().all(|known| (&known.state, &known.code) != (&recorded.state, &recorded.code)) {
            known.push(recorded);
        }
    }
}

async fn load_incoming(client: &ClientWrapper, wanted: &Wanted, base: &mut Tables) -> Outcome<()> {
    if !wanted.incoming.is_empty() {
        let ids = bytes(&wanted.incoming, |id| &id.0[..]);
        base.incoming.extend(wanted.incoming.iter().map(|id| (*id, None)));
        let found = read::all(client, "SELECT id, body FROM incoming WHERE id = ANY($1)", &[&ids], |row| {
            Ok((MessageId(rows::id(row, 0)?), Some(Arc::new(rows::json(row, 1)?))))
        })
        .await?;
        base.incoming.extend(found);
    }
    if !wanted.incoming_bodies.is_empty() {
        let seqs: Vec<i64> = wanted.incoming_bodies.iter().copied().collect();
        base.incoming_bodies.extend(seqs.iter().map(|seq| (*seq, None)));
        let sql = "SELECT seq, body FROM incoming WHERE seq = ANY($1) ORDER BY seq FOR UPDATE";
        let found = read::all(client, sql, &[&seqs], |row| Ok((row.try_get(0)?, Some(rows::json(row, 1)?)))).await?;
        base.incoming_bodies.extend(found);
    }
    for key in &wanted.last_incoming {
        let (tenant, channel, address) = key;
        base.last_incoming.insert(key.clone(), heard::last_incoming(client, tenant, *channel, address).await?);
    }
    Ok(())
}

async fn load_people(client: &ClientWrapper, wanted: &Wanted, base: &mut Tables) -> Outcome<()> {
    let mut by_tenant: HashMap<&TenantId, Vec<&str>> = HashMap::new();
    for (tenant, id) in &wanted.customers {
        by_tenant.entry(tenant).or_default().push(id.as_str());
    }
    base.customers.extend(wanted.customers.iter().map(|key| (key.clone(), None)));
    for (tenant, mut ids) in by_tenant {
        ids.sort_unstable();
        people::lock(client, tenant, &ids).await?;
        for customer in people::load_customers(client, tenant, &ids).await? {
            base.customers.insert((tenant.clone(), customer.id.clone()), Some(Arc::new(customer)));
        }
    }
    if !wanted.addresses.is_empty() {
        load_addresses(client, wanted, base).await?;
    }
    for key in &wanted.suppressed {
        let (tenant, channel, hash) = key;
        base.suppressed.insert(key.clone(), people::suppressed(client, tenant, *channel, *hash).await?);
    }
    if !wanted.plugin_records.is_empty() {
        base.plugin_records.extend(wanted.plugin_records.iter().map(|name| (name.clone(), None)));
        let found = known::lock(client, &wanted.plugin_records).await?;
        base.plugin_records.extend(found.into_iter().map(|record| (record.name.clone(), Some(record))));
    }
    if !wanted.plugin_use.is_empty() {
        base.plugin_use.extend(known::lock_use(client, &wanted.plugin_use).await?);
    }
    Ok(())
}

async fn load_endpoints(client: &ClientWrapper, wanted: &Wanted, base: &mut Tables, caches: &Caches) -> Outcome<()> {
    // What was read of these is likely to be changed, and then to be told: read with them, it costs no round of its own.
    let likely = !(wanted.messages.is_empty() && wanted.addresses.is_empty() && wanted.customers.is_empty());
    if wanted.endpoints || likely {
        base.endpoints = Some(notices::known(client, &caches.endpoints).await?);
    }
    if !wanted.endpoint_rows.is_empty() {
        base.endpoint_rows = notices::lock(client, &wanted.endpoint_rows).await?;
    }
    Ok(())
}

async fn load_addresses(client: &ClientWrapper, wanted: &Wanted, base: &mut Tables) -> Outcome<()> {
    let mut keys: Vec<&AddressKey> = wanted.addresses.iter().collect();
    keys.sort_unstable_by_key(|(tenant, channel, address)| (tenant.as_str(), channel.as_str(), address.as_str()));
    let tenants: Vec<&str> = keys.iter().map(|key| key.0.as_str()).collect();
    let channels: Vec<&str> = keys.iter().map(|key| key.1.as_str()).collect();
    let addresses: Vec<&str> = keys.iter().map(|key| key.2.as_str()).collect();
    let sql = "SELECT a.tenant, a.channel, a.address, a.customer, a.position, a.last_incoming, a.unusable_until, a.free_until \
               FROM addresses a JOIN unnest($1::text[], $2::text[], $3::text[]) AS n (tenant, channel, address) \
               USING (tenant, channel, address) ORDER BY a.tenant, a.channel, a.address FOR UPDATE OF a";
    let found = read::all(client, sql, &[&tenants, &channels, &addresses], |row| {
        let tenant: TenantId = rows::must_name(row, 0)?;
        let owner: CustomerId = rows::must_name(row, 3)?;
        let channel = rows::word(row, 1, Channel::parse)?;
        let address = Address {
            channel,
            address: row.try_get(2)?,
            last_incoming: rows::time(row, 5)?,
            unusable_until: rows::time(row, 6)?,
            free_until: rows::time(row, 7)?,
        };
        let key = (tenant, channel, address.address.clone());
        Ok((key, OwnedAddress { owner, position: rows::count(row, 4)?, address }))
    })
    .await?;
    base.addresses.extend(keys.into_iter().map(|key| (key.clone(), None)));
    base.addresses.extend(found.into_iter().map(|(key, owned)| (key, Some(owned))));
    Ok(())
}
