//! Messages of a transaction.

use std::sync::Arc;

use super::{
    rows::to_json,
    source::{PgSource, look},
    table::{Value, row},
};
use crate::{
    clock::Timestamp,
    domain::{
        message::{Attempt, NewMessage, Next},
        shard::Shard,
        status::MessageState,
    },
    ids::{MessageId, TenantId},
    store::commands::{Held, Outcome, Trouble, source::Outbox},
};

impl Outbox for PgSource {
    fn message_exists(&mut self, id: MessageId) -> Outcome<bool> {
        Ok(look!(self, messages, id)?.is_some())
    }

    fn load_message(&mut self, id: MessageId) -> Outcome<Option<Arc<Held>>> {
        look!(self, messages, id).cloned()
    }

    fn insert_message(&mut self, seq: i64, message: &NewMessage) -> Outcome<()> {
        let lane = message.to.lane();
        self.writes.messages.push(row![
            seq,
            &message.id.0[..],
            message.tenant.as_str(),
            message.to.customer().map(|id| id.as_str()),
            lane,
            message.created.0,
            serde_json::to_string(message)?,
        ]);
        self.message_ids.insert(seq, (message.tenant.clone(), message.id));
        let key = (message.tenant.clone(), lane.to_owned());
        let sent = self.over.sent.get(&key).or_else(|| self.base.sent.get(&key)).cloned();
        if let Some(mut sent) = sent {
            sent.insert(0, (seq, message.id, message.created));
            self.over.sent.insert(key, sent);
        }
        Ok(())
    }

    fn write_message_state(&mut self, held: &Held) -> Outcome<()> {
        let record = &held.record;
        let (step, due) = match record.next {
            Next::Nothing => (0i64, None),
            Next::Now => (1, None),
            Next::At(at) => (2, Some(at.0)),
        };
        let message = &record.message;
        self.writes.message_states.set(
            record.seq.to_le_bytes().to_vec(),
            row![
                record.seq,
                message.tenant.as_str(),
                i64::from(Shard::of_lane(&message.tenant, message.to.lane()).0),
                record.revision,
                record.state.as_str(),
                record.settled,
                record.cancel,
                held.ended.map(MessageState::as_str),
                record.code.as_deref(),
                to_json(record.decision.as_ref())?,
                step,
                due,
            ],
        );
        self.over.messages.insert(message.id, Some(Arc::new(held.clone())));
        self.message_ids.insert(record.seq, (message.tenant.clone(), message.id));
        Ok(())
    }

    fn take_dedup_key(&mut self, message: &NewMessage, plugin: &str, key: &str) -> Outcome<bool> {
        let (tenant, lane) = (message.tenant.clone(), message.to.lane().to_owned());
        let name = (tenant, lane, plugin.to_owned(), key.to_owned());
        if *look!(self, dedup, name.clone())? {
            return Ok(false);
        }
        self.writes.dedup_keys.push(row![name.0.as_str(), name.1.as_str(), plugin, key, &message.id.0[..]]);
        self.over.dedup.insert(name, true);
        Ok(true)
    }

    fn insert_attempt(&mut self, message: i64, attempt: &Attempt) -> Outcome<()> {
        self.write_attempt(message, attempt)
    }

    fn update_attempt(&mut self, message: i64, attempt: &Attempt) -> Outcome<()> {
        self.write_attempt(message, attempt)
    }

    fn attempt_by_provider_id(
        &mut self,
        tenant: &TenantId,
        provider: &str,
        provider_id: &str,
    ) -> Outcome<Option<(MessageId, u32)>> {
        look!(self, by_provider, (tenant.clone(), provider.to_owned(), provider_id.to_owned())).copied()
    }

    fn sent_to(
        &mut self,
        tenant: &TenantId,
        lanes: [&str; 2],
        earliest: Timestamp,
        limit: u32,
    ) -> Outcome<Vec<MessageId>> {
        let [lane, other] = lanes;
        let mut sent = look!(self, sent, (tenant.clone(), lane.to_owned()))?.clone();
        if other != lane {
            sent.extend(look!(self, sent, (tenant.clone(), other.to_owned()))?.iter().copied());
        }
        sent.retain(|(_, _, created)| *created >= earliest);
        sent.sort_by_key(|(seq, _, _)| std::cmp::Reverse(*seq));
        sent.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(sent.into_iter().map(|(_, id, _)| id).collect())
    }
}

impl PgSource {
    fn write_attempt(&mut self, message: i64, attempt: &Attempt) -> Outcome<()> {
        let key: Vec<u8> = message.to_le_bytes().into_iter().chain(attempt.no.to_le_bytes()).collect();
        let row: Vec<Value> = row![
            message,
            attempt.no,
            attempt.channel.as_str(),
            attempt.provider.as_str(),
            attempt.account.as_str(),
            attempt.address.as_str(),
            attempt.state.as_str(),
            attempt.provider_id.as_deref(),
            attempt.rendition.as_str(),
            attempt.parts,
            attempt.price_micros,
            attempt.planned.0,
            attempt.answered.map(|at| at.0),
            to_json(attempt.failure.as_ref())?,
            serde_json::to_string(&attempt.decision)?,
        ];
        self.writes.attempts.set(key, row);
        let Some((tenant, id)) = self.message_ids.get(&message) else {
            return Err(Trouble::unreadable(format!("the attempt of message {message}, which was not read")));
        };
        for provider_id in attempt.provider_ids() {
            let name = (tenant.clone(), attempt.provider.clone(), provider_id.to_owned());
            self.over.by_provider.insert(name, Some((*id, attempt.no)));
            if attempt.is_in_parts() {
                let key = format!("{}/{provider_id}/{message}/{}", attempt.provider, attempt.no).into_bytes();
                self.writes.attempt_parts.set(key, row![attempt.provider.as_str(), provider_id, message, attempt.no]);
            }
        }
        Ok(())
    }
}
