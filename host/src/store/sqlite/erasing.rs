//! Rows that name a customer: found by reading whole tables, and emptied.

use rusqlite::{Connection, Row, params, params_from_iter};

use super::{
    error::Outcome,
    inbox::{state_number, state_of_number},
    people, rows,
    source::SqliteSource,
};
use crate::{
    clock::Timestamp,
    domain::{
        message::NewMessage,
        quota::UseKey,
        run::{EntityKey, Incoming},
    },
    ids::{CustomerId, MessageId, TenantId},
    store::{
        RunState,
        commands::{
            self,
            erase::{ERASED, Found, Names, ParkedNames},
            source::Erasing,
        },
    },
};

impl Erasing for SqliteSource<'_> {
    fn forget(&mut self) {
        self.forgotten = true;
    }

    fn erase_event(&mut self, seq: i64) -> commands::Outcome<()> {
        let sql = "UPDATE events SET source_id = '', subject = NULL, customer = NULL, data = 'null', attributes = NULL, \
                   notes = NULL WHERE seq = ?1";
        self.execute(sql, [seq])?;
        Ok(())
    }

    fn run_state(&mut self, seq: i64) -> commands::Outcome<Option<RunState>> {
        Ok(self.one("SELECT state FROM runs WHERE seq = ?1", [seq], |row| row.get(0).map(state_of_number))?)
    }

    fn erase_run(&mut self, seq: i64, state: RunState, ended: Option<Timestamp>) -> commands::Outcome<()> {
        let sql = "UPDATE runs SET customer = NULL, entity = ?2, payload = NULL, state = ?3 WHERE seq = ?1";
        self.execute(sql, params![seq, ERASED, state_number(state)])?;
        match ended {
            Some(at) => commands::source::Inbox::write_result(self, seq, at, None, None, None),
            None => {
                let sql = "UPDATE run_results SET failure = NULL, report = NULL, effects = NULL WHERE seq = ?1";
                self.execute(sql, [seq])?;
                Ok(())
            }
        }
    }

    fn erase_message(&mut self, seq: i64, emptied: &NewMessage) -> commands::Outcome<()> {
        let body = serde_json::to_string(emptied)?;
        let sql = "UPDATE messages SET customer = NULL, lane = '', body = ?2 WHERE seq = ?1";
        self.execute(sql, params![seq, body])?;
        // A provider's id may hold the number (WhatsApp's do), and what it answered may quote it.
        let sql = "UPDATE attempts SET address = '', provider_id = NULL, failure = NULL, decision = 'null' \
                   WHERE message = ?1";
        self.execute(sql, [seq])?;
        self.execute("DELETE FROM attempt_parts WHERE message = ?1", [seq])?;
        self.execute("UPDATE receipts SET failure = NULL WHERE message = ?1", [seq])?;
        Ok(())
    }

    fn delete_dedup_keys(&mut self, tenant: &TenantId, lane: &str) -> commands::Outcome<()> {
        self.execute("DELETE FROM dedup_keys WHERE tenant = ?1 AND lane = ?2", params![tenant.as_str(), lane])?;
        let sql = "DELETE FROM plugin_use WHERE tenant = ?1 AND name = ?2";
        self.execute(sql, params![tenant.as_str(), UseKey::lane(lane)])?;
        Ok(())
    }

    fn incoming_body(&mut self, seq: i64) -> commands::Outcome<Option<Incoming>> {
        Ok(self.one("SELECT body FROM incoming WHERE seq = ?1", [seq], |row| rows::json(row, 0))?)
    }

    fn erase_incoming(&mut self, seq: i64, emptied: &Incoming) -> commands::Outcome<()> {
        let sql = "UPDATE incoming SET customer = NULL, sender = '', body = ?2 WHERE seq = ?1";
        self.execute(sql, params![seq, serde_json::to_string(emptied)?])?;
        Ok(())
    }

    fn bump_version(&mut self, key: &EntityKey) -> commands::Outcome<()> {
        let sql = "UPDATE entities SET version = version + 1 WHERE tenant = ?1 AND plugin = ?2 AND entity = ?3";
        self.execute(sql, params![key.tenant.as_str(), key.plugin.as_str(), key.entity.as_str()])?;
        Ok(())
    }

    fn delete_entity(&mut self, key: &EntityKey) -> commands::Outcome<()> {
        let sql = "DELETE FROM entities WHERE tenant = ?1 AND plugin = ?2 AND entity = ?3";
        self.execute(sql, params![key.tenant.as_str(), key.plugin.as_str(), key.entity.as_str()])?;
        Ok(())
    }

    fn delete_customer(&mut self, tenant: &TenantId, id: &CustomerId) -> commands::Outcome<bool> {
        let key = params![tenant.as_str(), id.as_str()];
        self.execute("DELETE FROM addresses WHERE tenant = ?1 AND customer = ?2", key)?;
        self.execute("DELETE FROM consents WHERE tenant = ?1 AND customer = ?2", key)?;
        Ok(self.execute("DELETE FROM customers WHERE tenant = ?1 AND id = ?2", key)? > 0)
    }
}

pub(super) fn names(conn: &Connection, tenant: &TenantId, id: &CustomerId) -> Outcome<Option<Names>> {
    let customer = people::load(conn, tenant, id)?;
    Ok(customer.map(|customer| Names { tenant: tenant.clone(), customer: id.clone(), addresses: customer.addresses }))
}

/// The tenant, the customer's id, and then a list of names.
fn listed(names: &Names, list: Vec<String>) -> Vec<String> {
    [names.tenant.to_string(), names.customer.to_string()].into_iter().chain(list).collect()
}

/// Whether one of the numbers stands in one of the columns.
fn mentioned(names: &Names, columns: &[&str]) -> String {
    // Digits and nothing else: safe in the text of a statement.
    let in_column = |number: &String| {
        let number = number.clone();
        columns.iter().map(move |column| format!("instr(coalesce({column}, ''), '{number}') > 0"))
    };
    let any: Vec<String> = names.numbers().iter().flat_map(in_column).collect();
    if any.is_empty() { "false".to_owned() } else { any.join(" OR ") }
}

/// How each table is asked for rows that name the customer, with `list` for the names in question.
struct Conditions {
    events: String,
    runs: String,
    messages: String,
    incoming: String,
    state: String,
    timers: String,
    entities: String,
}

fn conditions(names: &Names, list: &str) -> Conditions {
    let says = |columns: &[&str]| mentioned(names, columns);
    let event = says(&["e.data", "e.subject", "e.source_id", "e.attributes", "e.notes"]);
    let result = says(&["s.failure", "s.report", "s.effects"]);
    let attempt = says(&["a.address", "a.provider_id", "a.failure", "a.decision"]);
    let of_entity = format!("tenant = ?1 AND (customer = ?2 OR entity IN ({list})");
    Conditions {
        events: format!("e.tenant = ?1 AND (e.customer = ?2 OR {event})"),
        runs: format!(
            "{of_entity} OR {} OR EXISTS (SELECT 1 FROM run_results s WHERE s.seq = runs.seq AND ({result})) \
             OR EXISTS (SELECT 1 FROM events e WHERE e.seq = runs.event AND ({event})))",
            says(&["payload", "entity"])
        ),
        messages: format!(
            "tenant = ?1 AND (lane IN (?2, {list}) OR {} \
             OR EXISTS (SELECT 1 FROM attempts a WHERE a.message = messages.seq AND ({attempt})) \
             OR EXISTS (SELECT 1 FROM receipts h WHERE h.message = messages.seq AND ({})))",
            says(&["body"]),
            says(&["h.failure"])
        ),
        incoming: format!("tenant = ?1 AND (customer = ?2 OR sender IN ({list}) OR {})", says(&["body"])),
        state: format!("{of_entity} OR {})", says(&["entity", "key", "CAST(value AS TEXT)"])),
        timers: format!("{of_entity} OR {})", says(&["entity", "key", "data"])),
        entities: format!("tenant = ?1 AND ?2 <> '' AND (entity IN ({list}) OR {})", says(&["entity"])),
    }
}

pub(super) fn find(names: &Names, conn: &Connection) -> Outcome<Found> {
    let places: Vec<String> = (3..4 + names.addresses.len()).map(|place| format!("?{place}")).collect();
    let tables = conditions(names, &places.join(", "));
    let (lanes, entities) = (listed(names, names.lanes()), listed(names, names.entities()));
    let seq = |row: &Row<'_>| row.get::<_, i64>(0);
    let found = |columns: &str, condition: &str| format!("SELECT {columns} WHERE {condition}");
    let keys = "tenant, plugin, entity, key FROM";
    let messages: Vec<MessageId> =
        select(conn, &found("id FROM messages", &tables.messages), &lanes, |row| row.get(0).map(MessageId))?;
    Ok(Found {
        events: select(conn, &found("seq FROM events e", &tables.events), lanes.get(..2).unwrap_or_default(), seq)?,
        runs: select(conn, &found("seq FROM runs", &tables.runs), &entities, seq)?,
        incoming: select(conn, &found("seq FROM incoming", &tables.incoming), &lanes, seq)?,
        state: select(conn, &found(&format!("{keys} state"), &tables.state), &entities, keyed)?,
        timers: select(conn, &found(&format!("{keys} timers"), &tables.timers), &entities, keyed)?,
        entities: select(
            conn,
            &found("tenant, plugin, entity FROM entities", &tables.entities),
            &entities,
            entity_key,
        )?,
        parked: parked(names, conn, &messages)?,
        messages,
    })
}

fn parked(names: &Names, conn: &Connection, messages: &[MessageId]) -> Outcome<Vec<i64>> {
    let sql = "SELECT id, token, provider_id, failure FROM parked_receipts WHERE tenant = ?1";
    let all = select(conn, sql, &[names.tenant.to_string()], |row| {
        Ok(ParkedNames { id: row.get(0)?, token: row.get(1)?, provider_id: row.get(2)?, failure: row.get(3)? })
    })?;
    Ok(all.into_iter().filter(|parked| names.concerns(messages, parked)).map(|parked| parked.id).collect())
}

fn select<T>(
    conn: &Connection,
    sql: &str,
    params: &[String],
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> Outcome<Vec<T>> {
    let mut statement = conn.prepare(sql)?;
    Ok(statement.query_map(params_from_iter(params), read)?.collect::<rusqlite::Result<_>>()?)
}

fn entity_key(row: &Row<'_>) -> rusqlite::Result<EntityKey> {
    Ok(EntityKey {
        tenant: rows::must_name(row, 0)?,
        plugin: rows::must_name(row, 1)?,
        entity: rows::must_name(row, 2)?,
    })
}

fn keyed(row: &Row<'_>) -> rusqlite::Result<(EntityKey, String)> {
    Ok((entity_key(row)?, row.get(3)?))
}
