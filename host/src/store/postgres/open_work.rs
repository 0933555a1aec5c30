//! Open work of this host's shards, by whose it is: what is read after a start, after shards were gained, and whenever memory
//! has room again.
//!
//! Every query walks an index that holds open rows only, from where it was left: none gets slower as the history grows.

use deadpool_postgres::ClientWrapper;

use super::{
    error::Outcome,
    inbox::select_open,
    outbox::select,
    read::{self, Params},
    rows,
};
use crate::{
    clock::Timestamp,
    domain::{
        message::MessageRecord,
        run::{EntityKey, Flow, QueuedRun},
    },
    ids::{Entity, TenantId},
    store::EARLIER_LOOKED_AT,
};

/// The flows that have open runs, whoever's shards those are in: the index is skipped through, one step for each flow, however
/// many runs it has.
pub(super) async fn flows(client: &ClientWrapper) -> Outcome<Vec<Flow>> {
    let sql = "WITH RECURSIVE flows AS (\
               (SELECT tenant, plugin FROM runs WHERE state = 0 ORDER BY tenant, plugin LIMIT 1) \
               UNION ALL \
               SELECT next.tenant, next.plugin FROM flows f CROSS JOIN LATERAL (\
               SELECT r.tenant, r.plugin FROM runs r WHERE r.state = 0 AND (r.tenant, r.plugin) > (f.tenant, f.plugin) \
               ORDER BY r.tenant, r.plugin LIMIT 1) next) \
               SELECT tenant, plugin FROM flows";
    read::all(client, sql, &[], |row| Ok(Flow { tenant: rows::must_name(row, 0)?, plugin: rows::must_name(row, 1)? }))
        .await
}

/// Open runs of a flow after `after`, in order of acceptance, with what sets them off.
pub(super) async fn runs(
    client: &ClientWrapper,
    flow: &Flow,
    after: i64,
    limit: u32,
    shards: &[i16],
) -> Outcome<Vec<QueuedRun>> {
    // A range of the index and its order: `tenant = $1 ORDER BY seq` the database may also answer from the primary key, reading
    // through all that is done.
    let condition = "(r.tenant, r.plugin, r.seq) > ($1, $2, $3) AND (r.tenant, r.plugin) <= ($1, $2) \
                     AND r.shard = ANY($4) ORDER BY r.tenant, r.plugin, r.seq LIMIT $5";
    let params: Params<'_> = &[&flow.tenant.as_str(), &flow.plugin.as_str(), &after, &shards, &i64::from(limit)];
    select_open(client, condition, params).await
}

/// Open runs of an entity after `after`, in order of acceptance.
pub(super) async fn runs_of(
    client: &ClientWrapper,
    key: &EntityKey,
    after: i64,
    limit: u32,
) -> Outcome<Vec<QueuedRun>> {
    let condition = "r.tenant = $1 AND r.plugin = $2 AND r.entity = $3 AND r.seq > $4 ORDER BY r.seq LIMIT $5";
    let (tenant, plugin, entity) = (key.tenant.as_str(), key.plugin.as_str(), key.entity.as_str());
    select_open(client, condition, &[&tenant, &plugin, &entity, &after, &i64::from(limit)]).await
}

/// The numbers of a flow's open runs after `after` and up to `through`, and about what they are: little to read where most of
/// them are known already.
pub(super) async fn run_seqs(
    client: &ClientWrapper,
    flow: &Flow,
    after: i64,
    through: i64,
    limit: u32,
    shards: &[i16],
) -> Outcome<Vec<(i64, Entity)>> {
    // A range of the index, as for [`runs`]: where others' runs are open by the million, the primary key leads through them all.
    let sql = "SELECT seq, entity FROM runs WHERE state = 0 AND (tenant, plugin, seq) > ($1, $2, $3) \
               AND (tenant, plugin, seq) <= ($1, $2, $4) AND shard = ANY($5) ORDER BY tenant, plugin, seq LIMIT $6";
    let params: Params<'_> =
        &[&flow.tenant.as_str(), &flow.plugin.as_str(), &after, &through, &shards, &i64::from(limit)];
    read::all(client, sql, params, |row| Ok((row.try_get(0)?, rows::must_name(row, 1)?))).await
}

/// The tenants that have messages to plan, whoever's shards those are in: the index is skipped through, one step for each.
pub(super) async fn message_tenants(client: &ClientWrapper) -> Outcome<Vec<TenantId>> {
    let sql = "WITH RECURSIVE tenants AS (\
               (SELECT tenant FROM message_states WHERE step = 1 ORDER BY tenant LIMIT 1) \
               UNION ALL \
               SELECT next.tenant FROM tenants t CROSS JOIN LATERAL (\
               SELECT s.tenant FROM message_states s WHERE s.step = 1 AND s.tenant > t.tenant \
               ORDER BY s.tenant LIMIT 1) next) \
               SELECT tenant FROM tenants";
    read::all(client, sql, &[], |row| rows::must_name(row, 0)).await
}

/// Messages of a tenant to plan now, after `after`, in order of commit.
pub(super) async fn messages(
    client: &ClientWrapper,
    tenant: &TenantId,
    after: i64,
    limit: u32,
    shards: &[i16],
) -> Outcome<Vec<MessageRecord>> {
    // A range of the index and its order: `tenant = $1 ORDER BY seq` the database may also answer from the primary key, reading
    // through all that is settled.
    let from = "message_states s JOIN messages m ON m.seq = s.seq WHERE s.step = 1 AND (s.tenant, s.seq) > ($1, $2) \
                AND s.tenant <= $1 AND s.shard = ANY($3) ORDER BY s.tenant, s.seq LIMIT $4";
    select(client, from, &[&tenant.as_str(), &after, &shards, &i64::from(limit)]).await
}

/// Whose messages of these shards have come due, and when the next does: the index is skipped through, three steps for each
/// tenant that has messages that wait.
pub(super) async fn due_tenants(
    client: &ClientWrapper,
    now: Timestamp,
    shards: &[i16],
) -> Outcome<(Vec<TenantId>, Option<Timestamp>)> {
    let sql = "WITH RECURSIVE tenants AS (\
               (SELECT tenant FROM message_states WHERE step = 2 ORDER BY tenant LIMIT 1) \
               UNION ALL \
               SELECT next.tenant FROM tenants t CROSS JOIN LATERAL (\
               SELECT s.tenant FROM message_states s WHERE s.step = 2 AND s.tenant > t.tenant \
               ORDER BY s.tenant LIMIT 1) next) \
               SELECT t.tenant, d.due IS NOT NULL, n.due FROM tenants t \
               LEFT JOIN LATERAL (SELECT s.due FROM message_states s WHERE s.step = 2 AND s.tenant = t.tenant \
               AND s.due <= $1 AND s.shard = ANY($2) ORDER BY s.tenant, s.due, s.seq LIMIT 1) d ON true \
               LEFT JOIN LATERAL (SELECT s.due FROM message_states s WHERE s.step = 2 AND s.tenant = t.tenant \
               AND s.due > $1 AND s.shard = ANY($2) ORDER BY s.tenant, s.due, s.seq LIMIT 1) n ON true";
    let found: Vec<(TenantId, bool, Option<Timestamp>)> = read::all(client, sql, &[&now.0, &shards], |row| {
        Ok((rows::must_name(row, 0)?, row.try_get(1)?, rows::time(row, 2)?))
    })
    .await?;
    let next = found.iter().filter_map(|(.., next)| *next).min();
    Ok((found.into_iter().filter_map(|(tenant, due, _)| due.then_some(tenant)).collect(), next))
}

/// Messages of a tenant whose time has come, in the order of their times.
pub(super) async fn due_messages(
    client: &ClientWrapper,
    tenant: &TenantId,
    after: (Timestamp, i64),
    until: Timestamp,
    limit: u32,
    shards: &[i16],
) -> Outcome<Vec<MessageRecord>> {
    let from = "message_states s JOIN messages m ON m.seq = s.seq WHERE s.step = 2 \
                AND (s.tenant, s.due, s.seq) > ($1, $2, $3) AND (s.tenant, s.due) <= ($1, $4) \
                AND s.shard = ANY($5) ORDER BY s.tenant, s.due, s.seq LIMIT $6";
    let (at, seq) = after;
    select(client, from, &[&tenant.as_str(), &at.0, &seq, &until.0, &shards, &i64::from(limit)]).await
}

/// Messages to one recipient to plan now, after `after`. A recipient is in one shard, and whoever asks has had it.
pub(super) async fn messages_of(
    client: &ClientWrapper,
    tenant: &TenantId,
    lane: &str,
    after: i64,
    limit: u32,
) -> Outcome<Vec<MessageRecord>> {
    let from = "messages m JOIN message_states s ON s.seq = m.seq WHERE m.tenant = $1 AND m.lane = $2 AND m.seq > $3 \
                AND s.step = 1 ORDER BY m.tenant, m.lane, m.seq LIMIT $4";
    select(client, from, &[&tenant.as_str(), &lane, &after, &i64::from(limit)]).await
}

/// The numbers of a tenant's messages to plan now, up to `through`: little to read where most of them are known already.
pub(super) async fn message_seqs(
    client: &ClientWrapper,
    tenant: &TenantId,
    after: i64,
    through: i64,
    limit: u32,
    shards: &[i16],
) -> Outcome<Vec<(i64, String)>> {
    // Looked up one message after the other, however little the database knows of the table when it makes its plan.
    let sql = "SELECT s.seq, m.lane FROM (SELECT seq, tenant FROM message_states WHERE step = 1 AND (tenant, seq) > ($1, $2) \
               AND (tenant, seq) <= ($1, $3) AND shard = ANY($4) ORDER BY tenant, seq LIMIT $5) s \
               CROSS JOIN LATERAL (SELECT t.lane FROM messages t WHERE t.seq = s.seq OFFSET 0) m ORDER BY s.seq";
    let params: Params<'_> = &[&tenant.as_str(), &after, &through, &shards, &i64::from(limit)];
    read::all(client, sql, params, |row| Ok((row.try_get(0)?, row.try_get(1)?))).await
}

/// Of the last few before `seq`: what is to be sent before it has been left behind by at most a few, and a long history costs
/// nothing.
pub(super) async fn earlier_messages(
    client: &ClientWrapper,
    tenant: &TenantId,
    lane: &str,
    seq: i64,
) -> Outcome<Vec<MessageRecord>> {
    let from = "(SELECT seq FROM messages WHERE tenant = $1 AND lane = $2 AND seq < $3 ORDER BY seq DESC LIMIT $4) l \
                JOIN message_states s ON s.seq = l.seq JOIN messages m ON m.seq = l.seq WHERE NOT s.settled \
                AND (s.step = 1 OR EXISTS (SELECT 1 FROM attempts a WHERE a.message = l.seq AND a.state = 'planned')) \
                ORDER BY s.seq";
    select(client, from, &[&tenant.as_str(), &lane, &seq, &i64::from(EARLIER_LOOKED_AT)]).await
}
