//! Rows that name a customer: found, and emptied.

use std::sync::Arc;

use super::{
    MemorySource, people,
    tables::{ParkedRow, Tables},
};
use crate::{
    clock::Timestamp,
    domain::{
        event::Event,
        message::NewMessage,
        quota::UseKey,
        run::{EntityKey, Incoming},
    },
    ids::{CustomerId, Entity, TenantId},
    store::{
        RunState,
        commands::{
            Outcome,
            erase::{ERASED, Found, Names, ParkedNames},
            source::{Erasing, Inbox},
        },
    },
};

pub(super) fn names(tables: &Tables, tenant: &TenantId, id: &CustomerId) -> Option<Names> {
    let customer = people::load(tables, tenant, id)?;
    Some(Names { tenant: tenant.clone(), customer: id.clone(), addresses: customer.addresses })
}

pub(super) fn find(tables: &Tables, names: &Names) -> Found {
    let (lanes, entities) = (names.lanes(), names.entities());
    let who = |customer: &Option<CustomerId>| customer.as_ref() == Some(&names.customer);
    let of = |key: &EntityKey, customer: &Option<CustomerId>| {
        key.tenant == names.tenant && (who(customer) || entities.iter().any(|name| *name == *key.entity))
    };
    let messages: Vec<_> = (tables.messages.values())
        .filter(|row| row.message.tenant == names.tenant && lanes.contains(&row.lane))
        .map(|row| row.message.id)
        .collect();
    let parked = tables.parked.iter().filter(|(_, row)| row.parked.receipt.tenant == names.tenant);
    let parked = parked.filter(|(id, row)| names.concerns(&messages, &parked_names(**id, row)));
    Found {
        parked: parked.map(|(id, _)| *id).collect(),
        events: (tables.events.iter())
            .filter(|(_, row)| row.event.tenant == names.tenant && who(&row.event.customer))
            .map(|(seq, _)| *seq)
            .collect(),
        runs: (tables.runs.iter())
            .filter(|(_, row)| of(&row.queued.run.key, &row.queued.run.customer))
            .map(|(seq, _)| *seq)
            .collect(),
        messages,
        incoming: (tables.incoming.iter())
            .filter(|(_, row)| row.tenant == names.tenant && (who(&row.customer) || lanes.contains(&row.sender)))
            .map(|(seq, _)| *seq)
            .collect(),
        state: (tables.state.iter()).filter(|((key, _), row)| of(key, &row.customer)).map(|(k, _)| k.clone()).collect(),
        timers: (tables.timers.iter())
            .filter(|((key, _), row)| of(key, &row.timer.customer))
            .map(|(key, _)| key.clone())
            .collect(),
        entities: (tables.entities.keys()).filter(|key| of(key, &None)).cloned().collect(),
    }
}

fn parked_names(id: i64, row: &ParkedRow) -> ParkedNames {
    let receipt = &row.parked.receipt;
    ParkedNames {
        id,
        token: row.token.clone(),
        provider_id: receipt.provider_id.clone().unwrap_or_default(),
        failure: receipt.failure.as_ref().map(|failure| serde_json::json!(failure).to_string()),
    }
}

impl Erasing for MemorySource<'_> {
    fn forget(&mut self) {}

    fn erase_event(&mut self, seq: i64) -> Outcome<()> {
        if let Some(row) = self.tables.events.get_mut(&seq).map(Arc::make_mut) {
            row.notes = Vec::new();
            row.event = Arc::new(Event {
                source_id: String::new(),
                subject: None,
                customer: None,
                data: Arc::from("null"),
                attributes: Vec::new(),
                ..(*row.event).clone()
            });
        }
        Ok(())
    }

    fn run_state(&mut self, seq: i64) -> Outcome<Option<RunState>> {
        Ok(self.tables.runs.get(&seq).map(|row| row.state))
    }

    fn erase_run(&mut self, seq: i64, state: RunState, ended: Option<Timestamp>) -> Outcome<()> {
        let Some(row) = self.row_of_run(seq) else { return Ok(()) };
        row.queued.run.customer = None;
        row.queued.run.key.entity = Entity::from(ERASED);
        row.erased = true;
        row.state = state;
        match ended {
            Some(at) => self.write_result(seq, at, None, None, None),
            None => {
                if let Some(result) = &mut row.result {
                    (result.failure, result.report, result.effects) = (None, None, None);
                }
                Ok(())
            }
        }
    }

    fn erase_message(&mut self, seq: i64, emptied: &NewMessage) -> Outcome<()> {
        if let Some(row) = self.tables.messages.get_mut(&seq).map(Arc::make_mut) {
            row.message = emptied.clone();
            row.lane = String::new();
        }
        for (_, attempt) in self.tables.attempts.range_mut((seq, 0)..=(seq, u32::MAX)) {
            attempt.address = String::new();
            attempt.provider_id = None;
            attempt.failure = None;
            attempt.decision = serde_json::Value::Null;
        }
        for (_, row) in self.tables.receipts.iter_mut().filter(|((of, ..), _)| *of == seq) {
            row.receipt.failure = None;
        }
        Ok(())
    }

    fn delete_dedup_keys(&mut self, tenant: &TenantId, lane: &str) -> Outcome<()> {
        self.tables.dedup.retain(|(of, on, _, _), _| of != tenant || on != lane);
        let name = UseKey::lane(lane);
        self.tables.plugin_use.retain(|key, _| key.tenant != *tenant || key.name != name);
        Ok(())
    }

    fn delete_notices(&mut self, tenant: &TenantId, lane: &str) -> Outcome<()> {
        self.tables.notices.retain(|_, notice| notice.tenant != *tenant || notice.lane != lane);
        Ok(())
    }

    fn delete_notices_with(&mut self, tenant: &TenantId, number: &str) -> Outcome<()> {
        self.tables.notices.retain(|_, notice| notice.tenant != *tenant || !notice.body.contains(number));
        Ok(())
    }

    fn incoming_body(&mut self, seq: i64) -> Outcome<Option<Incoming>> {
        Ok(self.tables.incoming.get(&seq).map(|row| (**row).clone()))
    }

    fn erase_incoming(&mut self, seq: i64, emptied: &Incoming) -> Outcome<()> {
        self.tables.incoming.insert(seq, Arc::new(emptied.clone()));
        self.tables.conversations.retain(|(tenant, _), row| *tenant != emptied.tenant || row.last_seq != seq);
        Ok(())
    }

    fn bump_version(&mut self, key: &EntityKey) -> Outcome<()> {
        if let Some(version) = self.tables.entities.get_mut(key) {
            *version += 1;
        }
        Ok(())
    }

    fn delete_entity(&mut self, key: &EntityKey) -> Outcome<()> {
        self.tables.entities.remove(key);
        Ok(())
    }

    fn delete_customer(&mut self, tenant: &TenantId, id: &CustomerId) -> Outcome<bool> {
        self.tables.addresses.retain(|(of, _, _), owned| of != tenant || owned.owner != *id);
        self.tables.consents.retain(|(of, who, _, _), _| of != tenant || who != id);
        Ok(self.tables.customers.remove(&(tenant.clone(), id.clone())).is_some())
    }
}
