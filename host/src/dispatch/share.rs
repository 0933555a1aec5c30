//! One tenant's messages in memory: one lane per recipient, and how far the tenant's open messages were read.
//!
//! The share is level with the store (what is handed over is taken) or behind it (what is handed over is left there and read
//! later, in order, after `cursor`), so its part of memory is bounded however much the tenant has to send.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, HashMap, HashSet, VecDeque},
};

use super::{deliver::Left, due::Due};
use crate::{
    clock::Timestamp,
    domain::message::{MessageRecord, Next},
    ids::{MessageId, TenantId},
};

/// Messages read at once.
const PAGE: usize = 500;
/// Messages that a sweep looks at in one go, by their numbers only; the next sweep goes on from there.
const SWEEP: u32 = 20_000;

pub(super) struct Share {
    /// Messages that may be in memory.
    pub most: usize,
    /// Those that are being sent.
    pub running: usize,
    lanes: HashMap<String, Lane>,
    ready: VecDeque<String>,
    waiting: BinaryHeap<Reverse<(Timestamp, u64)>>,
    paced: HashMap<u64, String>,
    waits: u64,
    /// What is in memory, with what was handed over of it while it was being sent.
    known: HashMap<MessageId, Option<MessageRecord>>,
    seqs: BTreeMap<i64, MessageId>,
    pub(super) cursor: i64,
    pub(super) behind: bool,
    pub(super) due: Due,
    asked: Option<Read>,
    /// The tenant is in the line of those that ask.
    pub in_line: bool,
    missed: bool,
    sweep_due: bool,
    swept: i64,
    /// The latest message beyond the cursor that the last sweep saw. It was on its way to be handed over then; at the next
    /// sweep it is here, or was lost.
    beyond: i64,
    /// The page that is being read was asked for before everything was to be read anew, and may lack some of it.
    void: bool,
    /// What left memory while the store was being read, and may be in the answer all the same.
    left_meanwhile: HashSet<i64>,
}

#[derive(Default)]
struct Lane {
    queue: VecDeque<MessageRecord>,
    busy: bool,
    waits: bool,
}

impl Lane {
    /// Into its place in the order: a message that falls back, or whose commit was heard of late, is older than those that are
    /// there and goes before them.
    fn insert(&mut self, record: MessageRecord) {
        let place = self.queue.iter().rposition(|other| other.seq <= record.seq).map_or(0, |last| last + 1);
        self.queue.insert(place, record);
    }
}

/// A question to the store.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Read {
    Page {
        after: i64,
        limit: u32,
    },
    Sweep {
        after: i64,
        through: i64,
        limit: u32,
    },
    /// Those whose time has come, after the time and number of one.
    Due {
        after: (Timestamp, i64),
        until: Timestamp,
        limit: u32,
    },
}

/// Its answer.
pub(super) enum Answer {
    Messages(Vec<MessageRecord>),
    Seqs(Vec<i64>),
}

impl Share {
    pub(super) fn level_after(cursor: i64, most: usize) -> Share {
        Share {
            most,
            running: 0,
            lanes: HashMap::new(),
            ready: VecDeque::new(),
            waiting: BinaryHeap::new(),
            paced: HashMap::new(),
            waits: 0,
            known: HashMap::new(),
            seqs: BTreeMap::new(),
            cursor,
            behind: false,
            due: Due::default(),
            asked: None,
            in_line: false,
            missed: false,
            sweep_due: false,
            swept: 0,
            beyond: 0,
            void: false,
            left_meanwhile: HashSet::new(),
        }
    }

    /// Knows nothing of what is in the store.
    pub(super) fn behind(most: usize) -> Share {
        Share { behind: true, ..Share::level_after(0, most) }
    }

    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    pub(super) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    pub(super) fn is_idle(&self) -> bool {
        self.known.is_empty() && !self.behind && self.asked.is_none() && !self.due.has_question()
    }

    fn has_room(&self) -> bool {
        self.len() < self.most
    }

    /// Takes in what a commit hands over, or leaves it in the store, and is behind then.
    pub(super) fn hand_over(&mut self, record: MessageRecord) {
        let newer = record.seq > self.cursor;
        let known = self.known.contains_key(&record.message.id);
        if !known && ((newer && self.behind) || !self.has_room()) {
            self.missed = true;
            return self.rewind(record.seq - 1);
        }
        // Where some is still to be read, one that is in memory already says nothing of those before it.
        if !self.behind {
            self.cursor = self.cursor.max(record.seq);
        }
        self.push(record);
    }

    pub(super) fn rewind(&mut self, to: i64) {
        self.cursor = self.cursor.min(to);
        self.behind = true;
        self.void |= matches!(self.asked, Some(Read::Page { .. }));
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
        self.seqs.insert(record.seq, record.message.id);
        let name = record.message.to.lane().to_owned();
        let lane = self.lanes.entry(name.clone()).or_default();
        lane.insert(record);
        if lane.queue.len() == 1 && !lane.busy && !lane.waits {
            self.ready.push_back(name);
        }
    }

    /// The next message to plan. Its lane is busy until [`Share::left`] says that it has left memory. A lane that is not
    /// `ours` any more is forgotten: somebody else sends it.
    pub(super) fn next(&mut self, ours: impl Fn(&TenantId, &str) -> bool) -> Option<MessageRecord> {
        while let Some(name) = self.ready.pop_front() {
            let Some(lane) = self.lanes.get_mut(&name) else { continue };
            if lane.busy || lane.waits {
                continue;
            }
            let Some(front) = lane.queue.front() else {
                self.lanes.remove(&name);
                continue;
            };
            if !ours(&front.message.tenant, &name) {
                self.forget(&name);
                continue;
            }
            if let Some(mut record) = lane.queue.pop_front() {
                lane.busy = true;
                self.running += 1;
                if let Some(newer) = self.known.get_mut(&record.message.id)
                    && let Some(newer) = newer.take()
                    && newer.revision > record.revision
                {
                    record = newer;
                }
                return Some(record);
            }
        }
        None
    }

    fn forget(&mut self, name: &str) {
        for record in self.lanes.remove(name).into_iter().flat_map(|lane| lane.queue) {
            self.known.remove(&record.message.id);
            self.seqs.remove(&record.seq);
        }
    }

    pub(super) fn left(&mut self, left: Left) {
        self.running = self.running.saturating_sub(1);
        let Left { record, wait_until, earlier } = left;
        let name = record.message.to.lane().to_owned();
        let handed_meanwhile = self.known.remove(&record.message.id).flatten();
        self.seqs.remove(&record.seq);
        let Some(lane) = self.lanes.get_mut(&name) else { return };
        lane.busy = false;
        if wait_until.is_some() || !earlier.is_empty() {
            self.known.insert(record.message.id, handed_meanwhile);
            self.seqs.insert(record.seq, record.message.id);
            lane.insert(*record);
            match wait_until {
                // The pace: the whole lane waits, or a later message would overtake.
                Some(until) => {
                    lane.waits = true;
                    self.waits += 1;
                    self.waiting.push(Reverse((until, self.waits)));
                    self.paced.insert(self.waits, name);
                }
                None => self.ready.push_back(name),
            }
            return earlier.into_iter().for_each(|earlier| self.push(earlier));
        }
        if self.asked.is_some() {
            self.left_meanwhile.insert(record.seq);
        }
        if lane.queue.is_empty() {
            self.lanes.remove(&name);
        } else {
            self.ready.push_back(name);
        }
        // The same revision counts: where the time that it rests until came before it was out of memory, the store handed
        // it over as due, and does so once. To plan one in vain costs little; to drop one loses it.
        if let Some(newer) = handed_meanwhile.filter(|newer| newer.revision >= record.revision) {
            self.push(newer);
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
            if let Some(name) = self.paced.remove(&wait)
                && let Some(lane) = self.lanes.get_mut(&name)
            {
                lane.waits = false;
                self.ready.push_back(name);
            }
        }
    }

    /// Leaves the latest messages in the store again that are more than there may be. Those that wait to be looked at again
    /// stay: they would not be found by reading on.
    pub(super) fn trim(&mut self) {
        let over = self.len().saturating_sub(self.most);
        if over == 0 {
            return;
        }
        let queued = self.lanes.values().flat_map(|lane| &lane.queue).filter(|record| record.next == Next::Now);
        let mut seqs: Vec<i64> = queued.map(|record| record.seq).collect();
        seqs.sort_unstable();
        let Some(first) = seqs.get(seqs.len().saturating_sub(over)).copied() else { return };
        for lane in self.lanes.values_mut() {
            lane.queue.retain(|record| {
                let stays = record.seq < first || record.next != Next::Now;
                if !stays {
                    self.known.remove(&record.message.id);
                    self.seqs.remove(&record.seq);
                }
                stays
            });
        }
        self.lanes.retain(|_, lane| lane.busy || lane.waits || !lane.queue.is_empty());
        self.rewind(first - 1);
    }

    pub(super) fn sweep(&mut self) {
        self.sweep_due = true;
        self.due.rewind();
    }

    pub(super) fn has_question(&self) -> bool {
        self.asked.is_none() && (self.sweep_due || self.wants_due() || self.wants_page())
    }

    /// They have room of their own beside the share: they were committed long ago, and must not wait for what came after.
    fn wants_due(&self) -> bool {
        self.due.has_question() && self.len() < self.most.max(1) * 2
    }

    /// Not for a handful: a page is read for what it costs, whatever of it can be taken.
    fn wants_page(&self) -> bool {
        self.behind && self.has_room() && self.most.saturating_sub(self.len()) >= self.most / 4
    }

    /// The next question. There is none until [`Share::answered`] was told of this one.
    pub(super) fn ask(&mut self) -> Option<Read> {
        if !self.has_question() {
            return None;
        }
        let limit = u32::try_from(PAGE.min(self.most.max(16))).unwrap_or(u32::MAX);
        let read = if std::mem::take(&mut self.sweep_due) {
            // Who is level reads no further by itself: what nobody told of may be anywhere.
            let through = if self.behind { self.cursor } else { i64::MAX };
            Read::Sweep { after: self.swept, through, limit: SWEEP }
        } else if self.wants_due()
            && let Some((after, until)) = self.due.ask()
        {
            Read::Due { after, until, limit }
        } else {
            self.missed = false;
            Read::Page { after: self.cursor, limit }
        };
        self.asked = Some(read.clone());
        Some(read)
    }

    /// `None` where the store could not be read: the question is open again.
    pub(super) fn answered(&mut self, answer: Option<Answer>) {
        match (self.asked.take(), answer) {
            (Some(Read::Page { .. }), _) if std::mem::take(&mut self.void) => {}
            (Some(Read::Page { after, limit }), Some(Answer::Messages(records))) => {
                self.take_page(after, limit, records);
            }
            (Some(Read::Due { until, limit, .. }), Some(Answer::Messages(records))) => {
                self.take_due(until, limit, records);
            }
            (Some(Read::Sweep { limit, .. }), Some(Answer::Seqs(seqs))) => self.take_sweep(limit, &seqs),
            (Some(Read::Sweep { .. }), _) => self.sweep_due = true,
            // It is still behind, and asks by itself.
            _ => {}
        }
        self.left_meanwhile.clear();
    }

    fn take_page(&mut self, after: i64, limit: u32, records: Vec<MessageRecord>) {
        // It was sent back meanwhile.
        if self.cursor != after {
            return;
        }
        let all = records.len() < limit as usize;
        for record in records {
            if !self.has_room() {
                return;
            }
            self.cursor = record.seq;
            if !self.left_meanwhile.contains(&record.seq) {
                self.push(record);
            }
        }
        self.behind = !all || self.missed;
    }

    /// One that left memory while they were being read may have come due again: to plan it in vain costs little, to drop it
    /// would lose it.
    fn take_due(&mut self, until: Timestamp, limit: u32, records: Vec<MessageRecord>) {
        let all = records.len() < limit as usize;
        let last = records.last().and_then(|last| match last.next {
            Next::At(at) => Some((at, last.seq)),
            _ => None,
        });
        records.into_iter().for_each(|record| self.push(record));
        self.due.read(until, last, all);
    }

    /// Whatever should be in memory and is not was made by a commit of which nobody told: it is read now.
    fn take_sweep(&mut self, limit: u32, seqs: &[i64]) {
        let all = seqs.len() < limit as usize;
        self.swept = if all { 0 } else { seqs.last().copied().unwrap_or(0) };
        let is_here = |seq: &i64| self.seqs.contains_key(seq) || self.left_meanwhile.contains(seq);
        let through = self.cursor.max(self.beyond);
        let lost = seqs.iter().filter(|seq| **seq <= through).find(|seq| !is_here(seq)).copied();
        self.beyond = seqs.last().copied().unwrap_or(0);
        if let Some(seq) = lost {
            tracing::info!(seq, "a message was found by sweeping");
            self.rewind(seq - 1);
        }
    }
}
