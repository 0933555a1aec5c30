//! Rows of messages and attempts.

use std::sync::Arc;

use super::{
    MemorySource,
    tables::{MessageRow, Tables},
    twice,
};
use crate::{
    clock::Timestamp,
    domain::{
        message::{Attempt, MessageRecord, NewMessage},
        status::AttemptState,
    },
    ids::{MessageId, TenantId},
    store::commands::{Held, Outcome, source::Outbox},
};

pub(super) fn load(tables: &Tables, id: MessageId) -> Option<Held> {
    let seq = tables.message_ids.get(&id)?;
    let ended = tables.messages.get(seq)?.state.as_ref()?.1;
    Some(Held { record: tables.record(*seq)?, ended })
}

impl Outbox for MemorySource<'_> {
    fn message_exists(&mut self, id: MessageId) -> Outcome<bool> {
        Ok(self.tables.message_ids.contains_key(&id))
    }

    fn load_message(&mut self, id: MessageId) -> Outcome<Option<Arc<Held>>> {
        Ok(load(self.tables, id).map(Arc::new))
    }

    fn insert_message(&mut self, seq: i64, message: &NewMessage) -> Outcome<()> {
        let row = MessageRow { message: message.clone(), lane: message.to.lane().to_owned(), state: None };
        match self.tables.message_ids.insert(message.id, seq) {
            Some(_) => Err(twice("messages")),
            None => {
                self.tables.messages.insert(seq, Arc::new(row));
                Ok(())
            }
        }
    }

    fn write_message_state(&mut self, held: &Held) -> Outcome<()> {
        if let Some(row) = self.tables.messages.get_mut(&held.record.seq).map(Arc::make_mut) {
            let state = MessageRecord { attempts: Vec::new(), ..held.record.clone() };
            row.state = Some((state, held.ended));
        }
        Ok(())
    }

    fn take_dedup_key(&mut self, message: &NewMessage, plugin: &str, key: &str) -> Outcome<bool> {
        let key = (message.tenant.clone(), message.to.lane().to_owned(), plugin.to_owned(), key.to_owned());
        if self.tables.dedup.contains_key(&key) {
            return Ok(false);
        }
        self.tables.dedup.insert(key, message.id);
        Ok(true)
    }

    fn insert_attempt(&mut self, message: i64, attempt: &Attempt) -> Outcome<()> {
        match self.tables.attempts.insert((message, attempt.no), attempt.clone()) {
            Some(_) => Err(twice("attempts")),
            None => Ok(()),
        }
    }

    fn update_attempt(&mut self, message: i64, attempt: &Attempt) -> Outcome<()> {
        let falls = self.flaws.states_fall && attempt.state == AttemptState::Read;
        if let Some(row) = self.tables.attempts.get_mut(&(message, attempt.no)) {
            row.state = if falls { AttemptState::Accepted } else { attempt.state };
            row.provider_id.clone_from(&attempt.provider_id);
            row.answered = attempt.answered;
            row.failure.clone_from(&attempt.failure);
            row.decision.clone_from(&attempt.decision);
        }
        Ok(())
    }

    fn attempt_by_provider_id(
        &mut self,
        tenant: &TenantId,
        provider: &str,
        provider_id: &str,
    ) -> Outcome<Option<(MessageId, u32)>> {
        let found = self.tables.attempts.iter().rev().find_map(|((seq, no), attempt)| {
            let named = attempt.provider == provider && attempt.provider_ids().any(|id| id == provider_id);
            let message = self.tables.messages.get(seq).filter(|row| row.message.tenant == *tenant)?;
            named.then_some((message.message.id, *no))
        });
        Ok(found)
    }

    fn sent_to(
        &mut self,
        tenant: &TenantId,
        lanes: [&str; 2],
        earliest: Timestamp,
        limit: u32,
    ) -> Outcome<Vec<MessageId>> {
        let to = self.tables.messages.values().rev().filter(|row| {
            row.message.tenant == *tenant && lanes.contains(&row.lane.as_str()) && row.message.created >= earliest
        });
        Ok(to.take(limit as usize).map(|row| row.message.id).collect())
    }
}
