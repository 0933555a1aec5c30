//! One tenant's messages in memory: one lane per recipient, and how far the tenant's open messages were read.
//!
//! The share is level with the store (what is handed over is taken) or behind it (what is handed over is left there and read
//! later, in order, after `cursor`), so its part of memory is bounded however much the tenant has to send. Each lane has a bound
//! as well: what is more of it is passed over and read from the store when there is room in the lane again. So a hundred
//! thousand messages to one number, which go out one after the other, keep nobody else's out of memory.

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
    /// Of them, to one recipient.
    pub lane_most: usize,
    /// Lanes that have room for more of what the store has for them.
    thin: VecDeque<String>,
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
    /// The store has more for it, after the last that is or was here.
    more: bool,
    /// It is in the line of those that are to be read on, or is being read.
    asks: bool,
    /// Something was passed over while it was being read.
    passed_over: bool,
    /// The last that was taken out of it.
    taken: i64,
}

impl Lane {
    /// Into its place in the order: a message that falls back, or whose commit was heard of late, is older than those that are
    /// there and goes before them.
    fn insert(&mut self, record: MessageRecord) {
        let place = self.queue.iter().rposition(|other| other.seq <= record.seq).map_or(0, |last| last + 1);
        self.queue.insert(place, record);
    }

    /// What is to be read on after.
    fn last(&self) -> i64 {
        let queued = self.queue.iter().filter(|record| record.next == Next::Now).map(|record| record.seq);
        queued.max().unwrap_or(0).max(self.taken)
    }

    /// Whether a message that was committed after all that is here has to wait in the store.
    fn leaves(&self, seq: i64, most: usize) -> bool {
        (self.more || self.queue.len() >= most) && seq > self.last()
    }
}

/// A question to the store.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Read {
    Page {
        after: i64,
        limit: u32,
    },
    /// Those to one recipient.
    Lane {
        lane: String,
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
    Seqs(Vec<(i64, String)>),
}

impl Share {
    pub(super) fn level_after(cursor: i64, most: usize) -> Share {
        Share {
            most,
            lane_most: usize::MAX,
            thin: VecDeque::new(),
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
        let reads_on = || self.lanes.values().any(|lane| lane.more);
        self.known.is_empty() && !self.behind && self.asked.is_none() && !self.due.has_question() && !reads_on()
    }

    fn has_room(&self) -> bool {
        self.len() < self.most
    }

    /// Takes in what a commit hands over, or leaves it in the store, and is behind then.
    pub(super) fn hand_over(&mut self, record: MessageRecord) {
        let newer = record.seq > self.cursor;
        let known = self.known.contains_key(&record.message.id);
        if !(known || newer && self.behind) && self.passes_over(&record) {
            self.cursor = if self.behind { self.cursor } else { self.cursor.max(record.seq) };
            return;
        }
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

    /// Leaves a message in the store whose lane is full. It is found there when there is room in the lane.
    fn passes_over(&mut self, record: &MessageRecord) -> bool {
        let Some(lane) = self.lanes.get_mut(record.message.to.lane()) else { return false };
        let leaves = record.next == Next::Now && lane.leaves(record.seq, self.lane_most);
        lane.more |= leaves;
        lane.passed_over |= leaves;
        leaves
    }

    /// Has a lane read on that has room.
    fn read_on(&mut self, name: &str) {
        let Some(lane) = self.lanes.get_mut(name) else { return };
        if lane.more && !lane.asks && lane.queue.len() <= self.lane_most / 2 {
            lane.asks = true;
            self.thin.push_back(name.to_owned());
        }
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
                if !lane.more {
                    self.lanes.remove(&name);
                }
                continue;
            };
            if !ours(&front.message.tenant, &name) {
                self.forget(&name);
                continue;
            }
            if let Some(mut record) = lane.queue.pop_front() {
                lane.busy = true;
                lane.taken = lane.taken.max(record.seq);
                self.running += 1;
                if let Some(newer) = self.known.get_mut(&record.message.id)
                    && let Some(newer) = newer.take()
                    && newer.revision > record.revision
                {
                    record = newer;
                }
                self.read_on(&name);
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
        let rests = lane.queue.is_empty();
        if rests && !lane.more {
            self.lanes.remove(&name);
        } else {
            self.read_on(&name);
            if !rests {
                self.ready.push_back(name);
            }
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
        self.lanes.retain(|_, lane| lane.busy || lane.waits || lane.more || !lane.queue.is_empty());
        self.rewind(first - 1);
        let thin: Vec<String> = self.lanes.iter().filter(|(_, lane)| lane.more).map(|(name, _)| name.clone()).collect();
        thin.iter().for_each(|name| self.read_on(name));
    }

    pub(super) fn sweep(&mut self) {
        self.sweep_due = true;
        self.due.rewind();
    }

    pub(super) fn has_question(&self) -> bool {
        self.asked.is_none() && (self.sweep_due || self.wants_due() || self.wants_lane() || self.wants_page())
    }

    /// A lane that is read on has room of its own, as what is due has.
    fn wants_lane(&self) -> bool {
        !self.thin.is_empty() && self.len() < self.most.max(1) * 2
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
        } else if let Some((lane, after)) = self.thin_lane() {
            let room = u32::try_from(self.lane_most.min(PAGE)).unwrap_or(u32::MAX);
            Read::Lane { lane, after, limit: room }
        } else {
            self.missed = false;
            Read::Page { after: self.cursor, limit }
        };
        self.asked = Some(read.clone());
        Some(read)
    }

    /// The next lane that has room, with what it is to be read on after.
    fn thin_lane(&mut self) -> Option<(String, i64)> {
        if !self.wants_lane() {
            return None;
        }
        while let Some(name) = self.thin.pop_front() {
            // One that was given away meanwhile is another host's to read.
            if let Some(lane) = self.lanes.get_mut(&name).filter(|lane| lane.more) {
                lane.passed_over = false;
                let after = lane.last();
                return Some((name, after));
            }
        }
        None
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
            (Some(Read::Lane { lane, limit, .. }), Some(Answer::Messages(records))) => {
                self.take_lane(&lane, limit, records);
            }
            (Some(Read::Lane { lane, .. }), _) => self.thin.push_back(lane),
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
            if !self.left_meanwhile.contains(&record.seq) && !self.passes_over(&record) {
                self.push(record);
            }
        }
        self.behind = !all || self.missed;
    }

    fn take_lane(&mut self, name: &str, limit: u32, records: Vec<MessageRecord>) {
        let Some(lane) = self.lanes.get_mut(name) else { return };
        lane.asks = false;
        // What was passed over while it was being read may have come too late to be in the answer.
        lane.more = records.len() >= limit as usize || lane.passed_over;
        for record in records {
            if !self.left_meanwhile.contains(&record.seq) {
                self.push(record);
            }
        }
        let Some(lane) = self.lanes.get(name) else { return };
        if lane.queue.is_empty() && !lane.busy && !lane.waits && !lane.more {
            self.lanes.remove(name);
        } else {
            self.read_on(name);
        }
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
    fn take_sweep(&mut self, limit: u32, seqs: &[(i64, String)]) {
        let all = seqs.len() < limit as usize;
        let last = seqs.last().map_or(0, |(seq, _)| *seq);
        self.swept = if all { 0 } else { last };
        let is_here = |seq: &i64, lane: &str| {
            self.seqs.contains_key(seq)
                || self.left_meanwhile.contains(seq)
                || self.lanes.get(lane).is_some_and(|lane| lane.more && *seq > lane.last())
        };
        let through = self.cursor.max(self.beyond);
        let lost = seqs.iter().find(|(seq, lane)| *seq <= through && !is_here(seq, lane)).map(|(seq, _)| *seq);
        self.beyond = last;
        if let Some(seq) = lost {
            tracing::info!(seq, "a message was found by sweeping");
            self.rewind(seq - 1);
        }
    }
}
