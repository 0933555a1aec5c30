//! Everything that a transaction writes, and the order in which it is written.

use std::sync::atomic::{AtomicBool, Ordering};

use deadpool_postgres::ClientWrapper;
use futures_util::future::{join_all, join3, try_join_all};
use tokio_postgres::types::ToSql;

use super::{
    error::Outcome,
    notify::{CHANNEL, NOTIFY},
    table::{Rows, Table, Value},
};

macro_rules! tables {
    ($($field:ident: $table:ident { $columns:literal, $sql:literal, $all:literal })*) => {
        $(const $table: Table = Table { name: stringify!($field), columns: $columns, sql: $sql, all: $all };)*

        /// The rows of a transaction, by table, in the order in which they are written: what takes away before what puts in.
        #[derive(Default)]
        pub(super) struct Writes {
            $(pub(super) $field: Rows,)*
            /// What is rare enough to be a statement of its own, after everything else.
            pub(super) others: Vec<(&'static str, Vec<Value>)>,
        }

        impl Writes {
            /// Writes everything and commits. All statements and the commit are sent, in their order, before the first
            /// answer is waited for: after one that fails the server does nothing more, and takes the commit for a rollback.
            pub(super) async fn commit(&self, client: &ClientWrapper, notice: Option<&str>) -> Outcome<()> {
                let tables: Vec<(&Rows, &Table)> = vec![$((&self.$field, &$table)),*];
                let tables: Vec<_> = tables.into_iter().filter(|(rows, _)| !rows.is_empty()).collect();
                // Whatever is to be prepared is so beforehand: from here on, asking for something is sending it.
                let prepared = try_join_all(tables.iter().map(|(_, table)| table.prepare(client))).await?;
                let notify = client.prepare_cached(NOTIFY).await?;
                // What fails on this side was never sent, and the server would commit the rest.
                let failed = &AtomicBool::new(false);
                let mut written = Vec::with_capacity(tables.len());
                for ((rows, table), statement) in tables.into_iter().zip(prepared) {
                    written.push(async move {
                        let done = rows.write(client, table, statement).await;
                        failed.fetch_or(done.is_err(), Ordering::Relaxed);
                        done
                    });
                }
                if !self.others.is_empty() {
                    // What is rare is not worth sending unseen.
                    join_all(std::mem::take(&mut written)).await.into_iter().collect::<Outcome<()>>()?;
                    for (sql, values) in &self.others {
                        execute(client, sql, values).await?;
                    }
                }
                let told = async {
                    match &notice {
                        Some(notice) => client.execute(&notify, &[&CHANNEL, notice]).await.map(|_| ()),
                        None => Ok(()),
                    }
                };
                let commit = async {
                    let failed = failed.load(Ordering::Relaxed);
                    client.batch_execute(if failed { "ROLLBACK" } else { "COMMIT" }).await
                };
                let (written, told, committed) = join3(join_all(written), told, commit).await;
                // The first that failed is why the others did.
                written.into_iter().collect::<Outcome<()>>()?;
                told?;
                Ok(committed?)
            }
        }
    };
}

tables! {
    event_keys: EVENT_KEYS {
        "id bytea, seq int8",
        "INSERT INTO event_keys ({columns}) SELECT {columns} FROM {rows} ORDER BY id ON CONFLICT (id) DO NOTHING", true
    }
    events: EVENTS {
        "seq int8, id bytea, tenant text, source text, source_id text, type text, subject text, time int8, received int8, \
         customer text, data text, attributes text, cause bytea, notes text, runs bytea",
        "INSERT INTO events ({columns}) SELECT {columns} FROM {rows}", true
    }
    deleted_runs: DELETED_RUNS {
        "id bytea", "DELETE FROM runs r USING {rows} WHERE r.id = n.id AND r.state = 0", true
    }
    runs: RUNS {
        "seq int8, id bytea, tenant text, plugin text, entity text, customer text, kind int8, event int8, payload text, \
         hold_up bool, state int8, attempts int8, not_before int8, accepted int8, shard int8",
        "INSERT INTO runs ({columns}) SELECT {columns} FROM {rows} ORDER BY id ON CONFLICT (id) DO NOTHING", true
    }
    set_runs: SET_RUNS {
        "seq int8, state int8, attempts int8, not_before int8",
        "UPDATE runs r SET state = n.state, attempts = n.attempts, not_before = n.not_before FROM {rows} \
         WHERE r.seq = n.seq", true
    }
    run_results: RUN_RESULTS {
        "seq int8, at int8, failure text, report text, effects text",
        "INSERT INTO run_results ({columns}) SELECT {columns} FROM {rows} ON CONFLICT (seq) DO UPDATE SET at = excluded.at, \
         failure = excluded.failure, report = excluded.report, effects = excluded.effects", true
    }
    new_entities: NEW_ENTITIES {
        "tenant text, plugin text, entity text, version int8",
        "INSERT INTO entities ({columns}) SELECT {columns} FROM {rows} ORDER BY tenant, plugin, entity \
         ON CONFLICT (tenant, plugin, entity) DO NOTHING", true
    }
    raised_entities: RAISED_ENTITIES {
        "tenant text, plugin text, entity text, version int8",
        "UPDATE entities e SET version = n.version FROM {rows} \
         WHERE e.tenant = n.tenant AND e.plugin = n.plugin AND e.entity = n.entity", true
    }
    removed_state: REMOVED_STATE {
        "tenant text, plugin text, entity text, key text",
        "DELETE FROM state s USING {rows} \
         WHERE s.tenant = n.tenant AND s.plugin = n.plugin AND s.entity = n.entity AND s.key = n.key", false
    }
    state: STATE {
        "tenant text, plugin text, entity text, key text, value bytea, customer text, expires int8",
        "INSERT INTO state ({columns}) SELECT {columns} FROM {rows} ON CONFLICT (tenant, plugin, entity, key) DO UPDATE SET \
         value = excluded.value, customer = excluded.customer, expires = excluded.expires", true
    }
    removed_timers: REMOVED_TIMERS {
        "tenant text, plugin text, entity text, key text",
        "DELETE FROM timers t USING {rows} \
         WHERE t.tenant = n.tenant AND t.plugin = n.plugin AND t.entity = n.entity AND t.key = n.key", false
    }
    timers: TIMERS {
        "tenant text, plugin text, entity text, key text, due int8, expires int8, customer text, data text, set_by text, \
         set_by_run bytea, origin bytea, generation int8, queued bool",
        "INSERT INTO timers ({columns}) SELECT {columns} FROM {rows}", true
    }
    queued_timers: QUEUED_TIMERS {
        "tenant text, plugin text, entity text, key text",
        "UPDATE timers t SET queued = true FROM {rows} \
         WHERE t.tenant = n.tenant AND t.plugin = n.plugin AND t.entity = n.entity AND t.key = n.key", true
    }
    messages: MESSAGES {
        "seq int8, id bytea, tenant text, customer text, lane text, created int8, body text",
        "INSERT INTO messages ({columns}) SELECT {columns} FROM {rows} ORDER BY id ON CONFLICT (id) DO NOTHING", true
    }
    message_states: MESSAGE_STATES {
        "seq int8, tenant text, shard int8, revision int8, state text, settled bool, cancel bool, ended text, code text, \
         decision text, step int8, due int8",
        "INSERT INTO message_states ({columns}) SELECT {columns} FROM {rows} ON CONFLICT (seq) DO UPDATE SET \
         revision = excluded.revision, state = excluded.state, settled = excluded.settled, cancel = excluded.cancel, \
         ended = excluded.ended, code = excluded.code, decision = excluded.decision, step = excluded.step, \
         due = excluded.due", true
    }
    dedup_keys: DEDUP_KEYS {
        "tenant text, lane text, plugin text, key text, message bytea",
        "INSERT INTO dedup_keys ({columns}) SELECT {columns} FROM {rows} ORDER BY tenant, lane, plugin, key \
         ON CONFLICT (tenant, lane, plugin, key) DO NOTHING", true
    }
    attempts: ATTEMPTS {
        "message int8, no int8, channel text, provider text, account text, address text, state text, provider_id text, \
         rendition text, parts int8, price_micros int8, planned int8, answered int8, failure text, decision text",
        "INSERT INTO attempts ({columns}) SELECT {columns} FROM {rows} ON CONFLICT (message, no) DO UPDATE SET \
         state = excluded.state, provider_id = excluded.provider_id, answered = excluded.answered, \
         failure = excluded.failure, decision = excluded.decision", true
    }
    attempt_parts: ATTEMPT_PARTS {
        "provider text, provider_id text, message int8, no int8",
        "INSERT INTO attempt_parts ({columns}) SELECT {columns} FROM {rows} \
         ON CONFLICT (provider, provider_id, message, no) DO NOTHING", false
    }
    receipts: RECEIPTS {
        "message int8, attempt int8, state text, code text, time int8, received int8, failure text, pricing text",
        "INSERT INTO receipts ({columns}) SELECT {columns} FROM {rows} ON CONFLICT (message, attempt, state, code) \
         DO UPDATE SET pricing = coalesce(receipts.pricing, excluded.pricing)", true
    }
    unparked: UNPARKED {
        "id int8", "DELETE FROM parked_receipts p USING {rows} WHERE p.id = n.id", true
    }
    parked: PARKED {
        "tenant text, provider text, token text, provider_id text, state text, code text, time int8, received int8, \
         failure text, pricing text",
        "INSERT INTO parked_receipts ({columns}) SELECT {columns} FROM {rows} \
         ON CONFLICT (provider, provider_id, token, tenant, state, code) DO NOTHING", false
    }
    incoming: INCOMING {
        "seq int8, id bytea, tenant text, customer text, channel text, sender text, time int8, body text",
        "INSERT INTO incoming ({columns}) SELECT {columns} FROM {rows} ORDER BY id ON CONFLICT (id) DO NOTHING", true
    }
    customers: CUSTOMERS {
        "tenant text, id text, name text, locale text, timezone text, attributes text, created int8, updated int8",
        "INSERT INTO customers ({columns}) SELECT {columns} FROM {rows} ORDER BY tenant, id ON CONFLICT (tenant, id) \
         DO UPDATE SET name = excluded.name, locale = excluded.locale, timezone = excluded.timezone, \
         attributes = excluded.attributes, updated = excluded.updated", true
    }
    removed_addresses: REMOVED_ADDRESSES {
        "tenant text, channel text, address text",
        "DELETE FROM addresses a USING {rows} \
         WHERE a.tenant = n.tenant AND a.channel = n.channel AND a.address = n.address", false
    }
    addresses: ADDRESSES {
        "tenant text, channel text, address text, customer text, position int8, last_incoming int8, unusable_until int8",
        "INSERT INTO addresses ({columns}) SELECT {columns} FROM {rows} ORDER BY tenant, channel, address \
         ON CONFLICT (tenant, channel, address) DO UPDATE SET customer = excluded.customer, \
         position = excluded.position, last_incoming = excluded.last_incoming, \
         unusable_until = excluded.unusable_until", true
    }
    consents: CONSENTS {
        "tenant text, customer text, channel text, scope text, granted bool, source text, at int8",
        "INSERT INTO consents AS c ({columns}) SELECT {columns} FROM {rows} ORDER BY tenant, customer, channel, scope \
         ON CONFLICT (tenant, customer, channel, scope) DO UPDATE SET granted = excluded.granted, \
         source = excluded.source, at = excluded.at \
         WHERE excluded.at > c.at OR (excluded.at = c.at AND excluded.granted <= c.granted)", false
    }
    removed_suppressed: REMOVED_SUPPRESSED {
        "tenant text, channel text, hash bytea, scope text, at int8",
        "DELETE FROM suppressed s USING {rows} WHERE s.tenant = n.tenant AND s.channel = n.channel AND s.hash = n.hash \
         AND s.scope = n.scope AND s.at < n.at", false
    }
    suppressed: SUPPRESSED {
        "tenant text, channel text, hash bytea, scope text, source text, at int8",
        "INSERT INTO suppressed AS s ({columns}) SELECT {columns} FROM {rows} ORDER BY tenant, channel, hash, scope \
         ON CONFLICT (tenant, channel, hash, scope) DO UPDATE SET source = excluded.source, at = excluded.at \
         WHERE excluded.at > s.at", false
    }
    new_plugins: NEW_PLUGINS {
        "name text, body text",
        "INSERT INTO plugin_records ({columns}) SELECT {columns} FROM {rows} ORDER BY name ON CONFLICT (name) DO NOTHING",
        true
    }
    changed_plugins: CHANGED_PLUGINS {
        "name text, body text", "UPDATE plugin_records p SET body = n.body FROM {rows} WHERE p.name = n.name", true
    }
    plugin_use: PLUGIN_USE {
        "tenant text, name text, plugin text, at int8, body text",
        "UPDATE plugin_use u SET at = n.at, body = n.body FROM {rows} \
         WHERE u.tenant = n.tenant AND u.name = n.name AND u.plugin = n.plugin", true
    }
    counters: COUNTERS {
        "tenant text, name text, part int8, value int8",
        "INSERT INTO counters AS c ({columns}) SELECT {columns} FROM {rows} ON CONFLICT (tenant, name, part) \
         DO UPDATE SET value = c.value + excluded.value", true
    }
}

async fn execute(client: &ClientWrapper, sql: &str, values: &[Value]) -> Outcome<()> {
    let params: Vec<&(dyn ToSql + Sync)> = values
        .iter()
        .map(|value| match value {
            Value::Int(value) => value as &(dyn ToSql + Sync),
            Value::Text(value) => value,
            Value::Bytes(value) => value,
            Value::Bool(value) => value,
        })
        .collect();
    super::read::execute(client, sql, &params).await?;
    Ok(())
}
