//! Messages in memory, one lane per recipient.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, VecDeque},
};

use super::deliver::Left;
use crate::{
    clock::Timestamp,
    domain::message::MessageRecord,
    ids::{MessageId, TenantId},
};

/// Messages that wait for their recipient's lane or for the pace, and those that are being sent.
#[derive(Default)]
pub(super) struct Queue {
    lanes: HashMap<LaneKey, Lane>,
    ready: VecDeque<LaneKey>,
    waiting: BinaryHeap<Reverse<(Timestamp, u64)>>,
    paced: HashMap<u64, LaneKey>,
    waits: u64,
    /// What is in memory, with what was handed over of it while it was being sent.
    known: HashMap<MessageId, Option<MessageRecord>>,
}

type LaneKey = (TenantId, String);

#[derive(Default)]
struct Lane {
    queue: VecDeque<MessageRecord>,
    busy: bool,
    waits: bool,
}

impl Queue {
    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    /// Takes a message in, once: it may come from a hand-over, from reading the store, or from both.
    pub(super) fn push(&mut self, record: MessageRecord) {
        if let Some(newer) = self.known.get_mut(&record.message.id) {
            if newer.as_ref().is_none_or(|known| known.revision < record.revision) {
                *newer = Some(record);
            }
            return;
        }
        self.known.insert(record.message.id, None);
        let key = (record.message.tenant.clone(), record.message.to.lane().to_owned());
        let lane = self.lanes.entry(key.clone()).or_default();
        // A message that falls back is older than those behind it and goes before them.
        let place = lane.queue.iter().rposition(|other| other.seq <= record.seq).map_or(0, |last| last + 1);
        lane.queue.insert(place, record);
        if lane.queue.len() == 1 && !lane.busy && !lane.waits {
            self.ready.push_back(key);
        }
    }

    /// The next message to plan. Its lane is busy until [`Queue::left`] says that it has left memory.
    pub(super) fn next(&mut self) -> Option<MessageRecord> {
        while let Some(key) = self.ready.pop_front() {
            let Some(lane) = self.lanes.get_mut(&key) else { continue };
            if lane.busy || lane.waits {
                continue;
            }
            if let Some(mut record) = lane.queue.pop_front() {
                lane.busy = true;
                if let Some(newer) = self.known.get_mut(&record.message.id)
                    && let Some(newer) = newer.take()
                    && newer.revision > record.revision
                {
                    record = newer;
                }
                return Some(record);
            }
            self.lanes.remove(&key);
        }
        None
    }

    pub(super) fn left(&mut self, left: Left) {
        let Left { record, wait_until } = left;
        let key = (record.message.tenant.clone(), record.message.to.lane().to_owned());
        let handed_meanwhile = self.known.remove(&record.message.id).flatten();
        if let Some(lane) = self.lanes.get_mut(&key) {
            lane.busy = false;
            if let Some(until) = wait_until {
                // The pace: the whole lane waits, or a later message would overtake.
                self.known.insert(record.message.id, None);
                lane.queue.push_front(*record);
                lane.waits = true;
                self.waits += 1;
                self.waiting.push(Reverse((until, self.waits)));
                self.paced.insert(self.waits, key);
                return;
            }
            if lane.queue.is_empty() {
                self.lanes.remove(&key);
            } else {
                self.ready.push_back(key);
            }
            // The same revision counts: where the time that it rests until came before it was out of memory, the store handed
            // it over as due, and does so once. To plan one in vain costs little; to drop one loses it.
            if let Some(newer) = handed_meanwhile.filter(|newer| newer.revision >= record.revision) {
                self.push(newer);
            }
        }
    }

    pub(super) fn next_wake(&self) -> Timestamp {
        self.waiting.peek().map_or(Timestamp::NEVER, |Reverse((at, _))| *at)
    }

    pub(super) fn wake(&mut self, now: Timestamp) {
        while let Some(Reverse((at, wait))) = self.waiting.peek().copied() {
            if at > now {
                return;
            }
            self.waiting.pop();
            if let Some(key) = self.paced.remove(&wait)
                && let Some(lane) = self.lanes.get_mut(&key)
            {
                lane.waits = false;
                self.ready.push_back(key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        message::{Because, Content, NewMessage, Next, Recipient, SmsPolicy},
        purpose::Purpose,
        status::MessageState,
    };

    fn record(revision: i64) -> MessageRecord {
        let message = NewMessage {
            id: MessageId([1; 16]),
            tenant: TenantId::default_tenant(),
            author: None,
            to: Recipient::Phone("+33639981201".to_owned()),
            purpose: Purpose::Alert,
            because: Because::Reference("order/1".to_owned()),
            content: Content::default(),
            sms: SmsPolicy::Fallback,
            fallback_after: None,
            expires: None,
            dedup_key: None,
            tag: None,
            quote: None,
            created: Timestamp(0),
        };
        MessageRecord {
            message,
            seq: 1,
            revision,
            state: MessageState::Pending,
            settled: false,
            code: None,
            decision: None,
            next: Next::At(Timestamp(1)),
            cancel: false,
            attempts: Vec::new(),
        }
    }

    /// What is next after a message was planned and rests with revision 2, where this was handed over meanwhile.
    fn after_being_handed(revision: i64) -> Option<i64> {
        let mut queue = Queue::default();
        queue.push(record(1));
        assert_eq!(queue.next().map(|taken| taken.revision), Some(1));
        queue.push(record(revision));
        assert!(queue.next().is_none(), "its lane is busy");
        queue.left(Left { record: Box::new(record(2)), wait_until: None });
        let next = queue.next().map(|next| next.revision);
        assert_eq!(queue.len(), usize::from(next.is_some()));
        next
    }

    #[test]
    fn what_comes_due_while_it_is_still_in_memory_is_taken_up_again() {
        assert_eq!(after_being_handed(2), Some(2));
        assert_eq!(after_being_handed(3), Some(3));
        assert_eq!(after_being_handed(1), None, "it was handed over before it was planned");
    }
}
