//! Rows that are old and ended: found in the order in which they came, emptied or deleted by one statement for each step, which
//! asks again whether they have ended.
//!
//! Several hosts may do it at the same time: a row that another host is at is passed over, and nobody waits for anybody. It needs
//! no turn of the connection that writes: no command decides on what has ended, and nothing of it is in memory.

use std::collections::HashSet;

use deadpool_postgres::ClientWrapper;

use super::{error::Outcome, read, rows};
use crate::{
    clock::Timestamp,
    domain::run::Cause,
    ids::EventId,
    store::{
        Aged, RetainStep, Retained,
        retention::{Chosen, Seen, choose},
    },
};

/// None of the runs that an event set off is open or was set aside.
const EVENT_ENDED: &str = "NOT EXISTS (SELECT 1 FROM generate_series(1, octet_length(r.runs), 16) AS n(i) WHERE \
                           (SELECT x.state FROM runs x WHERE x.id = substring(r.runs FROM n.i FOR 16)) IN (0, 2))";
const RUN_ENDED: &str = "r.state IN (1, 3)";
const SETTLED: &str = "EXISTS (SELECT 1 FROM message_states s WHERE s.seq = r.seq AND s.settled)";
/// How a message without content is written, by us and by PostgreSQL: quotes of a text are escaped, so no text holds this.
const FULL_MESSAGE: &str = r#"strpos(r.body, '"content":{}') = 0 AND strpos(r.body, '"content" : {}') = 0"#;
/// Compared as JSON text and never as text, which cannot hold every character that JSON can.
const FULL_INCOMING: &str = r#"(r.body::json->'text')::text <> '""' OR (r.body::json->'sender_name')::text <> 'null'
    OR (r.body::json->'choice')::text <> 'null' OR (r.body::json->'media')::text <> '[]'
    OR (r.body::json->'location')::text <> 'null' OR coalesce((r.body::json->'attributes')::text, '[]') <> '[]'"#;

struct Kind {
    table: &'static str,
    seq: &'static str,
    came: &'static str,
    /// With `$3` for what is old and `$4` for old keys.
    wanted: String,
    /// With `$1` for the rows, and as many rows in its answer as it changed.
    statement: String,
}

impl Kind {
    fn new(table: &'static str, came: &'static str, wanted: impl Into<String>, statement: impl Into<String>) -> Kind {
        Kind { table, seq: "seq", came, wanted: wanted.into(), statement: statement.into() }
    }

    fn of(what: Aged) -> Kind {
        match what {
            Aged::EventBodies => Kind::new(
                "events",
                "received",
                format!("(r.data <> 'null' OR r.attributes IS NOT NULL OR r.notes IS NOT NULL) AND {EVENT_ENDED}"),
                format!(
                    "UPDATE events r SET data = 'null', attributes = NULL, notes = NULL \
                     WHERE r.seq IN ({}) RETURNING 1",
                    picked("events", EVENT_ENDED)
                ),
            ),
            Aged::RunBodies => Kind::run_bodies(),
            Aged::MessageBodies => Kind::new(
                "messages",
                "created",
                format!("{FULL_MESSAGE} AND {SETTLED}"),
                format!(
                    "UPDATE messages r SET body = (SELECT json_object_agg(key, CASE key WHEN 'content' THEN '{{}}'::json \
                     ELSE value END)::text FROM json_each(r.body::json)) WHERE r.seq IN ({}) RETURNING 1",
                    picked("messages", SETTLED)
                ),
            ),
            Aged::IncomingBodies => Kind::new(
                "incoming",
                "time",
                format!("({FULL_INCOMING})"),
                format!(
                    "UPDATE incoming r SET body = (SELECT json_object_agg(key, CASE WHEN key = 'text' THEN '\"\"'::json \
                     WHEN key IN ('sender_name', 'choice', 'location') THEN 'null'::json \
                     WHEN key IN ('media', 'attributes') THEN '[]'::json ELSE value END)::text FROM json_each(r.body::json)) \
                     WHERE r.seq IN ({}) RETURNING 1",
                    picked("incoming", "true")
                ),
            ),
            Aged::Parked => Kind {
                seq: "id",
                ..Kind::new(
                    "parked_receipts",
                    "received",
                    "true",
                    "DELETE FROM parked_receipts WHERE id = ANY($1) RETURNING 1",
                )
            },
            Aged::Events => Kind::events(),
            Aged::Runs => Kind::runs(),
            Aged::Messages => Kind::messages(),
            Aged::Incoming => Kind::new(
                "incoming",
                "time",
                "true",
                format!("DELETE FROM incoming r WHERE r.seq IN ({}) RETURNING 1", picked("incoming", "true")),
            ),
            Aged::Keys => Kind::new(
                "old_event_keys",
                "received",
                "true",
                "WITH gone AS (DELETE FROM old_event_keys WHERE seq = ANY($1) RETURNING id) \
                 DELETE FROM event_keys k USING gone g WHERE k.id = g.id RETURNING 1",
            ),
        }
    }

    fn events() -> Kind {
        let statement = format!(
            "WITH gone AS (DELETE FROM events r WHERE r.seq IN ({}) RETURNING r.seq, r.id, r.received) \
             INSERT INTO old_event_keys (seq, id, received) SELECT seq, id, received FROM gone \
             ON CONFLICT (seq) DO UPDATE SET received = excluded.received RETURNING 1",
            picked("events", EVENT_ENDED)
        );
        Kind::new("events", "received", EVENT_ENDED, statement)
    }

    /// A run is as old as its end.
    fn run_bodies() -> Kind {
        let full = "EXISTS (SELECT 1 FROM run_results s WHERE s.seq = r.seq AND s.at < $3 \
                    AND (s.failure IS NOT NULL OR s.report IS NOT NULL OR r.payload IS NOT NULL))";
        let statement = format!(
            "WITH picked AS ({}), emptied AS (UPDATE runs r SET payload = NULL FROM picked p WHERE r.seq = p.seq) \
             UPDATE run_results s SET failure = NULL, report = NULL FROM picked p WHERE s.seq = p.seq RETURNING 1",
            picked("runs", RUN_ENDED)
        );
        Kind::new("runs", "accepted", format!("{RUN_ENDED} AND {full}"), statement)
    }

    fn runs() -> Kind {
        let old = "coalesce((SELECT s.at FROM run_results s WHERE s.seq = r.seq), r.accepted) < $3";
        let statement = format!(
            "WITH gone AS (DELETE FROM runs r WHERE r.seq IN ({}) RETURNING r.seq), \
             results AS (DELETE FROM run_results s USING gone g WHERE s.seq = g.seq) SELECT 1 FROM gone",
            picked("runs", RUN_ENDED)
        );
        Kind::new("runs", "accepted", format!("{RUN_ENDED} AND {old}"), statement)
    }

    fn messages() -> Kind {
        // What is counted as being in doubt is not any more. The part of the counters is nobody's, so that no host waits.
        let statement = format!(
            "WITH gone AS (DELETE FROM messages r WHERE r.seq IN ({}) RETURNING r.seq, r.id, r.tenant, r.lane, r.created), \
             states AS (DELETE FROM message_states s USING gone g WHERE s.seq = g.seq), \
             tried AS (DELETE FROM attempts a USING gone g WHERE a.message = g.seq RETURNING g.tenant, a.state), \
             named AS (DELETE FROM attempt_parts p USING gone g WHERE p.message = g.seq), \
             heard AS (DELETE FROM receipts h USING gone g WHERE h.message = g.seq), \
             keys AS (DELETE FROM dedup_keys d USING gone g \
             WHERE d.tenant = g.tenant AND d.lane = g.lane AND d.message = g.id), \
             places AS (DELETE FROM plugin_use u USING gone g \
             WHERE u.tenant = g.tenant AND u.name = 'to/' || g.lane AND u.at < g.created + 3600000), \
             doubts AS (INSERT INTO counters AS c (tenant, name, part, value) \
             SELECT tenant, 'uncertain-attempts', -1, -count(*) FROM tried WHERE state = 'uncertain' GROUP BY tenant \
             ON CONFLICT (tenant, name, part) DO UPDATE SET value = c.value + excluded.value) \
             SELECT 1 FROM gone",
            picked("messages", SETTLED)
        );
        let keyless = "(r.created < $4 OR NOT EXISTS (SELECT 1 FROM dedup_keys d \
                       WHERE d.tenant = r.tenant AND d.lane = r.lane AND d.message = r.id))";
        Kind::new("messages", "created", format!("{SETTLED} AND {keyless}"), statement)
    }
}

/// Of the rows `$1` those that have ended and that nobody else is at.
fn picked(table: &str, ended: &str) -> String {
    format!("SELECT r.seq FROM {table} r WHERE r.seq = ANY($1) AND {ended} FOR UPDATE OF r SKIP LOCKED")
}

pub(super) async fn step(client: &ClientWrapper, step: &RetainStep) -> Outcome<Retained> {
    let kind = Kind::of(step.what);
    let chosen = choose(step, &page(client, step, &kind).await?);
    let held = held(client, &chosen).await?;
    let taken = chosen.without(&held);
    let rows = match taken.seqs.as_slice() {
        [] => 0,
        seqs => read::all(client, &kind.statement, &[&seqs], |_| Ok(())).await?.len(),
    };
    Ok(Retained { rows: rows as u64, last: taken.last, more: taken.more })
}

async fn page(client: &ClientWrapper, step: &RetainStep, kind: &Kind) -> Outcome<Vec<Seen>> {
    let Kind { table, seq, came, wanted, .. } = kind;
    let id = if step.what == Aged::Events { "r.id" } else { "NULL::bytea" };
    // Every parameter is named, so that each kind takes the same four.
    let sql = format!(
        "SELECT r.{seq}, r.{came}, r.{came} < $3::int8 AND {wanted} AND $4::int8 IS NOT NULL, {id} FROM {table} r \
         WHERE r.{seq} > $1::int8 ORDER BY r.{seq} LIMIT $2::int8"
    );
    let keys_before = step.keys_before.unwrap_or(Timestamp(i64::MIN));
    let params: read::Params<'_> = &[&step.after, &i64::from(step.limit), &step.before.0, &keys_before.0];
    read::all(client, &sql, params, |row| {
        Ok(Seen {
            seq: row.try_get(0)?,
            came: rows::must_time(row, 1)?,
            wanted: row.try_get(2)?,
            event: rows::id_or_none(row, 3)?.map(EventId),
        })
    })
    .await
}

/// Which of the events timers refer to, or runs of timers that were set aside.
async fn held(client: &ClientWrapper, chosen: &Chosen) -> Outcome<HashSet<EventId>> {
    let events: Vec<&[u8]> = chosen.rows.iter().filter_map(|(_, event)| event.as_ref()).map(|id| &id.0[..]).collect();
    if events.is_empty() {
        return Ok(HashSet::new());
    }
    let sql = "SELECT DISTINCT origin FROM timers WHERE origin = ANY($1)";
    let timers = read::all(client, sql, &[&events], |row| Ok(EventId(rows::id(row, 0)?))).await?;
    let sql = "SELECT payload FROM runs WHERE state = 2 AND kind = 1";
    let aside = read::all(client, sql, &[], |row| rows::json_or_none::<Cause>(row, 0)).await?;
    let origins = aside.into_iter().flatten().filter_map(|cause| match cause {
        Cause::Timer(timer) => timer.origin,
        _ => None,
    });
    Ok(timers.into_iter().chain(origins).collect())
}
