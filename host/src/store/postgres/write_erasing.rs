//! What an erasure writes: a statement for each row, after everything else of its transaction.

use super::{
    inbox::state_number,
    source::{PgSource, Tables, look},
    table::row,
};
use crate::{
    clock::Timestamp,
    domain::{
        message::NewMessage,
        quota::UseKey,
        run::{EntityKey, Incoming},
    },
    ids::{CustomerId, TenantId},
    store::{
        RunState,
        commands::{
            Outcome,
            erase::ERASED,
            source::{Erasing, Inbox, People},
        },
    },
};

impl Erasing for PgSource {
    /// Nothing is held between transactions but what is compared with its row before it is used.
    fn forget(&mut self) {}

    fn erase_event(&mut self, seq: i64) -> Outcome<()> {
        let sql = "UPDATE events SET source_id = '', subject = NULL, customer = NULL, data = 'null', attributes = NULL, \
                   notes = NULL WHERE seq = $1::int8";
        self.statement(sql, row![seq]);
        Ok(())
    }

    fn run_state(&mut self, seq: i64) -> Outcome<Option<RunState>> {
        look!(self, run_states, seq).copied()
    }

    fn erase_run(&mut self, seq: i64, state: RunState, ended: Option<Timestamp>) -> Outcome<()> {
        let sql =
            "UPDATE runs SET customer = NULL, entity = $2::text, payload = NULL, state = $3::int8 WHERE seq = $1::int8";
        self.statement(sql, row![seq, ERASED, i64::from(state_number(state))]);
        match ended {
            Some(at) => self.write_result(seq, at, None, None, None)?,
            None => {
                let sql = "UPDATE run_results SET failure = NULL, report = NULL, effects = NULL WHERE seq = $1::int8";
                self.statement(sql, row![seq]);
            }
        }
        Ok(())
    }

    fn erase_message(&mut self, seq: i64, emptied: &NewMessage) -> Outcome<()> {
        let body = serde_json::to_string(emptied)?;
        let sql = "UPDATE messages SET customer = NULL, lane = '', body = $2::text WHERE seq = $1::int8";
        self.statement(sql, row![seq, body]);
        // A provider's id may hold the number (WhatsApp's do), and what it answered may quote it.
        let sql = "UPDATE attempts SET address = '', provider_id = NULL, failure = NULL, decision = 'null' \
                   WHERE message = $1::int8";
        self.statement(sql, row![seq]);
        self.statement("DELETE FROM attempt_parts WHERE message = $1::int8", row![seq]);
        self.statement("UPDATE receipts SET failure = NULL WHERE message = $1::int8", row![seq]);
        Ok(())
    }

    fn delete_dedup_keys(&mut self, tenant: &TenantId, lane: &str) -> Outcome<()> {
        let sql = "DELETE FROM dedup_keys WHERE tenant = $1::text AND lane = $2::text";
        self.statement(sql, row![tenant.as_str(), lane]);
        let sql = "DELETE FROM plugin_use WHERE tenant = $1::text AND name = $2::text";
        self.statement(sql, row![tenant.as_str(), UseKey::lane(lane)]);
        Ok(())
    }

    fn incoming_body(&mut self, seq: i64) -> Outcome<Option<Incoming>> {
        look!(self, incoming_bodies, seq).cloned()
    }

    fn erase_incoming(&mut self, seq: i64, emptied: &Incoming) -> Outcome<()> {
        let sql = "UPDATE incoming SET customer = NULL, sender = '', body = $2::text WHERE seq = $1::int8";
        self.statement(sql, row![seq, serde_json::to_string(emptied)?]);
        Ok(())
    }

    fn bump_version(&mut self, key: &EntityKey) -> Outcome<()> {
        let sql = "UPDATE entities SET version = version + 1 \
                   WHERE tenant = $1::text AND plugin = $2::text AND entity = $3::text";
        self.statement(sql, row![key.tenant.as_str(), key.plugin.as_str(), key.entity.as_str()]);
        Ok(())
    }

    fn delete_entity(&mut self, key: &EntityKey) -> Outcome<()> {
        let sql = "DELETE FROM entities WHERE tenant = $1::text AND plugin = $2::text AND entity = $3::text";
        self.statement(sql, row![key.tenant.as_str(), key.plugin.as_str(), key.entity.as_str()]);
        Ok(())
    }

    fn delete_customer(&mut self, tenant: &TenantId, id: &CustomerId) -> Outcome<bool> {
        let there = self.load_customer(tenant, id)?.is_some();
        for sql in [
            "DELETE FROM addresses WHERE tenant = $1::text AND customer = $2::text",
            "DELETE FROM consents WHERE tenant = $1::text AND customer = $2::text",
            "DELETE FROM customers WHERE tenant = $1::text AND id = $2::text",
        ] {
            self.statement(sql, row![tenant.as_str(), id.as_str()]);
        }
        self.over.customers.insert((tenant.clone(), id.clone()), None);
        // Whose addresses they were is no longer known: read again where anybody asks.
        self.over.addresses = Tables::default().addresses;
        Ok(there)
    }
}
