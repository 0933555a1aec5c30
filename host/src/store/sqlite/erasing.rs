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
        run::{EntityKey, Incoming},
    },
    ids::{CustomerId, MessageId, TenantId},
    store::{
        RunState,
        commands::{
            self,
            erase::{ERASED, Found, Names},
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
        self.execute("UPDATE receipts SET failure = NULL WHERE message = ?1", [seq])?;
        Ok(())
    }

    fn delete_dedup_keys(&mut self, tenant: &TenantId, lane: &str) -> commands::Outcome<()> {
        self.execute("DELETE FROM dedup_keys WHERE tenant = ?1 AND lane = ?2", params![tenant.as_str(), lane])?;
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

pub(super) fn find(names: &Names, conn: &Connection) -> Outcome<Found> {
    let places: Vec<String> = (3..4 + names.addresses.len()).map(|place| format!("?{place}")).collect();
    let list = places.join(", ");
    let (lanes, entities) = (listed(names, names.lanes()), listed(names, names.entities()));
    let seq = |row: &Row<'_>| row.get::<_, i64>(0);
    let of_entity = format!("tenant = ?1 AND (customer = ?2 OR entity IN ({list}))");
    Ok(Found {
        events: select(
            conn,
            "SELECT seq FROM events WHERE tenant = ?1 AND customer = ?2",
            lanes.get(..2).unwrap_or_default(),
            seq,
        )?,
        runs: select(conn, &format!("SELECT seq FROM runs WHERE {of_entity}"), &entities, seq)?,
        messages: select(
            conn,
            &format!("SELECT id FROM messages WHERE tenant = ?1 AND lane IN (?2, {list})"),
            &lanes,
            |row| row.get(0).map(MessageId),
        )?,
        incoming: select(
            conn,
            &format!("SELECT seq FROM incoming WHERE tenant = ?1 AND (customer = ?2 OR sender IN ({list}))"),
            &lanes,
            seq,
        )?,
        state: select(
            conn,
            &format!("SELECT tenant, plugin, entity, key FROM state WHERE {of_entity}"),
            &entities,
            keyed,
        )?,
        timers: select(
            conn,
            &format!("SELECT tenant, plugin, entity, key FROM timers WHERE {of_entity}"),
            &entities,
            keyed,
        )?,
        entities: select(
            conn,
            &format!(
                "SELECT tenant, plugin, entity FROM entities WHERE tenant = ?1 AND ?2 <> '' AND entity IN ({list})"
            ),
            &entities,
            entity_key,
        )?,
    })
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
