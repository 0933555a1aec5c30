//! Erasing a customer: every row that names them is emptied or deleted, and nothing of it stays in the file.
//!
//! Looking for the rows reads whole tables, so readers do it while the writer works on; what they find is emptied in one
//! transaction, and they look again until nothing is found. The profile goes last: whoever is interrupted can begin again.
//! What stays: that there was an event, a run, a message, in which state and at which price; and, where the customer had
//! refused something, a keyed hash of the address that keeps refusing it.

use rusqlite::{Connection, Row, params, params_from_iter};

use super::{
    accept::{DISCARDED, OPEN, SET_ASIDE},
    customers,
    error::Outcome,
    incoming::customer_entity,
    messages, rows, runs,
    tx::Tx,
};
use crate::{
    clock::Timestamp,
    domain::{
        customer::Address,
        message::{Because, Content, NewMessage, Next, Recipient},
        run::{EntityKey, Incoming},
        status::MessageState,
    },
    ids::{CustomerId, Entity, MessageId, TenantId},
};

/// Stands where a name was.
const ERASED: &str = "erased";

/// What a customer is called in the rows of a tenant.
#[derive(Clone, Debug)]
pub(super) struct Names {
    tenant: TenantId,
    customer: CustomerId,
    addresses: Vec<Address>,
}

/// Rows that name the customer, by their keys.
#[derive(Debug, Default)]
pub(super) struct Found {
    events: Vec<i64>,
    runs: Vec<i64>,
    messages: Vec<MessageId>,
    incoming: Vec<i64>,
    state: Vec<(EntityKey, String)>,
    timers: Vec<(EntityKey, String)>,
    entities: Vec<EntityKey>,
}

impl Found {
    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty()
            && self.runs.is_empty()
            && self.messages.is_empty()
            && self.incoming.is_empty()
            && self.state.is_empty()
            && self.timers.is_empty()
            && self.entities.is_empty()
    }
}

impl Names {
    pub(super) fn of(conn: &Connection, tenant: &TenantId, id: &CustomerId) -> Outcome<Option<Names>> {
        let customer = customers::load(conn, tenant, id)?;
        Ok(customer.map(|customer| Names {
            tenant: tenant.clone(),
            customer: id.clone(),
            addresses: customer.addresses,
        }))
    }

    /// The tenant, the customer's id, and then whatever `more` makes of the customer and each address.
    fn params(&self, more: impl Fn(&str) -> String, of_customer: String) -> Vec<String> {
        let fixed = [self.tenant.to_string(), self.customer.to_string(), of_customer];
        fixed.into_iter().chain(self.addresses.iter().map(|address| more(&address.address))).collect()
    }

    fn lanes(&self) -> Vec<String> {
        self.params(str::to_owned, self.customer.to_string())
    }

    fn entities(&self) -> Vec<String> {
        self.params(|address| format!("sender/{address}"), customer_entity(&self.customer))
    }

    pub(super) fn find(&self, conn: &Connection) -> Outcome<Found> {
        let places: Vec<String> = (3..4 + self.addresses.len()).map(|place| format!("?{place}")).collect();
        let list = places.join(", ");
        let (lanes, entities) = (self.lanes(), self.entities());
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

/// Empties what was found.
pub(super) fn redact(tx: &mut Tx<'_>, names: &Names, found: &Found, now: Timestamp) -> Outcome<()> {
    tx.forget();
    for seq in &found.events {
        let sql = "UPDATE events SET source_id = '', subject = NULL, customer = NULL, data = 'null', attributes = NULL, \
                   notes = NULL WHERE seq = ?1";
        tx.run(sql, [seq])?;
    }
    for seq in &found.runs {
        redact_run(tx, &names.tenant, *seq, now)?;
    }
    for id in &found.messages {
        redact_message(tx, names, *id, now)?;
    }
    for seq in &found.incoming {
        redact_incoming(tx, *seq)?;
    }
    redact_entities(tx, found)
}

/// An open run would be executed on what is no longer there: it ends here, and a commit of it finds it gone.
fn redact_run(tx: &mut Tx<'_>, tenant: &TenantId, seq: i64, now: Timestamp) -> Outcome<()> {
    let state = tx.one("SELECT state FROM runs WHERE seq = ?1", [seq], |row| row.get::<_, i64>(0))?;
    let ended = match state {
        Some(OPEN) => {
            tx.count(tenant, "open-runs", -1);
            DISCARDED
        }
        Some(SET_ASIDE) => {
            tx.count(tenant, "set-aside-runs", -1);
            DISCARDED
        }
        Some(ended) => ended,
        None => return Ok(()),
    };
    let sql = "UPDATE runs SET customer = NULL, entity = ?2, payload = NULL, state = ?3 WHERE seq = ?1";
    tx.run(sql, params![seq, ERASED, ended])?;
    if state == Some(ended) {
        tx.run("UPDATE run_results SET failure = NULL, report = NULL, effects = NULL WHERE seq = ?1", [seq])?;
        return Ok(());
    }
    runs::write_result(tx, seq, now, None, None, None)
}

fn redact_message(tx: &mut Tx<'_>, names: &Names, id: MessageId, now: Timestamp) -> Outcome<()> {
    let Some(before) = tx.held_message(&names.tenant, id)? else { return Ok(()) };
    let mut after = (*before).clone();
    after.record.message = redacted(&before.record.message);
    after.record.decision = None;
    if !after.record.settled {
        after.ended = Some(MessageState::Cancelled);
        after.record.settled = true;
        after.record.code = Some(ERASED.to_owned());
        after.record.next = Next::Nothing;
    }
    let seq = after.record.seq;
    let body = serde_json::to_string(&after.record.message)?;
    tx.run("UPDATE messages SET customer = NULL, lane = '', body = ?2 WHERE seq = ?1", params![seq, body])?;
    messages::save(tx, &before, after, now)?;
    // A provider's id may hold the number (WhatsApp's do), and what it answered may quote it.
    let sql =
        "UPDATE attempts SET address = '', provider_id = NULL, failure = NULL, decision = 'null' WHERE message = ?1";
    tx.run(sql, [seq])?;
    tx.run("UPDATE receipts SET failure = NULL WHERE message = ?1", [seq])?;
    tx.pending.messages.insert(id, None);
    let lanes = [before.record.message.to.lane(), names.customer.as_str()];
    for lane in lanes {
        tx.run("DELETE FROM dedup_keys WHERE tenant = ?1 AND lane = ?2", params![names.tenant.as_str(), lane])?;
    }
    Ok(())
}

/// Who asked for it stays, for the figures; nobody is told of it any more.
fn redacted(message: &NewMessage) -> NewMessage {
    let author = message.author.clone().map(|mut author| {
        author.entity = Entity::from(ERASED);
        author.notify = Vec::new();
        author.answers = false;
        author
    });
    NewMessage {
        id: message.id,
        tenant: message.tenant.clone(),
        author,
        to: Recipient::Customer(CustomerId::from(ERASED)),
        purpose: message.purpose,
        because: Because::Reference(ERASED.to_owned()),
        content: Content::default(),
        sms: message.sms,
        fallback_after: message.fallback_after,
        expires: message.expires,
        dedup_key: None,
        tag: None,
        quote: None,
        created: message.created,
    }
}

fn redact_incoming(tx: &Tx<'_>, seq: i64) -> Outcome<()> {
    let body = tx.one("SELECT body FROM incoming WHERE seq = ?1", [seq], |row| rows::json::<Incoming>(row, 0))?;
    let Some(incoming) = body else { return Ok(()) };
    // Its id stays, so that a provider's repeat does not bring it back.
    let emptied = Incoming {
        customer: None,
        sender: String::new(),
        sender_name: None,
        provider_id: String::new(),
        text: String::new(),
        choice: None,
        media: Vec::new(),
        location: None,
        quoted: None,
        tag: None,
        ..incoming
    };
    let sql = "UPDATE incoming SET customer = NULL, sender = '', body = ?2 WHERE seq = ?1";
    tx.run(sql, params![seq, serde_json::to_string(&emptied)?])?;
    Ok(())
}

/// What plugins kept goes, and the versions rise, so that a run in flight is executed again on what is left.
fn redact_entities(tx: &mut Tx<'_>, found: &Found) -> Outcome<()> {
    let mut touched = std::collections::BTreeSet::new();
    for (key, name) in &found.state {
        let sql = "DELETE FROM state WHERE tenant = ?1 AND plugin = ?2 AND entity = ?3 AND key = ?4";
        tx.run(sql, params![key.tenant.as_str(), key.plugin.as_str(), key.entity.as_str(), name])?;
        touched.insert(key);
    }
    for (key, name) in &found.timers {
        super::commit::remove_timer(tx, key, name)?;
        touched.insert(key);
    }
    for key in touched {
        let sql = "UPDATE entities SET version = version + 1 WHERE tenant = ?1 AND plugin = ?2 AND entity = ?3";
        tx.run(sql, params![key.tenant.as_str(), key.plugin.as_str(), key.entity.as_str()])?;
    }
    // Those that are named after the customer go altogether: all their runs have been ended.
    for key in &found.entities {
        let sql = "DELETE FROM entities WHERE tenant = ?1 AND plugin = ?2 AND entity = ?3";
        tx.run(sql, params![key.tenant.as_str(), key.plugin.as_str(), key.entity.as_str()])?;
    }
    Ok(())
}

/// Deletes the profile, after everything else; keeps what the customer had refused. `false` where it is gone already.
pub(super) fn finish(tx: &mut Tx<'_>, names: &Names) -> Outcome<bool> {
    tx.forget();
    let (tenant, id) = (&names.tenant, &names.customer);
    let refused = customers::consents(tx.conn, tenant, id)?.into_iter().filter(|consent| !consent.granted);
    let addresses = customers::addresses(tx.conn, tenant, id)?;
    for consent in refused {
        for address in addresses.iter().filter(|address| address.channel == consent.channel) {
            customers::suppress(tx, tenant, &address.address, &consent)?;
        }
    }
    let key = params![tenant.as_str(), id.as_str()];
    tx.run("DELETE FROM addresses WHERE tenant = ?1 AND customer = ?2", key)?;
    tx.run("DELETE FROM consents WHERE tenant = ?1 AND customer = ?2", key)?;
    Ok(tx.run("DELETE FROM customers WHERE tenant = ?1 AND id = ?2", key)? > 0)
}
