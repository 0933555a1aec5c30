//! One flow's window on its open runs: a bounded number of them in memory, the others in the store.
//!
//! The window is either level with the store (what is handed over is taken) or behind it (what is handed over is left there
//! and read later, in order, after `cursor`). Two kinds of run are passed over in reading and stay in the store: those of a
//! lane that is full, which the lane reads itself when it drains, and, once memory is half full, those of a lane that waits,
//! of which only the name is kept. So neither a long nor a stuck lane fills the window for the others.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, HashMap, HashSet, VecDeque},
    time::Duration,
};

use super::{
    execute::{Ended, What},
    lane::Lane,
};
use crate::{
    clock::Timestamp,
    domain::run::{EntityKey, Flow, QueuedRun},
    ids::Entity,
};

/// Lanes kept by name only, for each run that the window may hold: at some 250 bytes to a run's 2 kB, half as much again.
const STUBS_PER_RUN: usize = 4;

/// How long a run waits that was sent back for one which waits itself: to ask again at once would only find the same.
const NOT_YET_PAUSE: Duration = Duration::from_secs(1);

/// What a window may use, and what it has to know of its plugin.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Runs in memory.
    pub share: usize,
    /// Runs in memory of one lane.
    pub lane: usize,
    /// The longest that a run is ever put off. What is put off further was so by a clock that has been set back since.
    pub longest: Duration,
    /// Runs side by side.
    pub concurrent: usize,
}

pub(super) struct Window {
    pub flow: Flow,
    pub limits: Limits,
    /// Runs that execute.
    pub running: usize,
    pub(super) lanes: HashMap<Entity, Lane>,
    /// Lanes whose front may be executed now, in the order in which they became ready.
    ready: VecDeque<Entity>,
    waiting: BinaryHeap<Reverse<(Timestamp, i64)>>,
    put_off: HashMap<i64, PutOff>,
    /// Every run that the window has to do with, so that one that is read twice is taken once.
    known: BTreeMap<i64, Entity>,
    /// How many of them are in memory.
    held: usize,
    stubs: usize,
    pub(super) cursor: i64,
    pub(super) behind: bool,
    pub(super) reading: super::reading::Reading,
}

/// What waits for a time.
enum PutOff {
    /// A whole lane, for its front.
    Lane(Entity),
    /// A run that lets later ones pass; `None` where it is in the store only.
    Beside(Entity, Option<Box<QueuedRun>>),
}

impl Window {
    pub(super) fn level_after(flow: Flow, limits: Limits, cursor: i64) -> Window {
        Window {
            flow,
            limits,
            running: 0,
            lanes: HashMap::new(),
            ready: VecDeque::new(),
            waiting: BinaryHeap::new(),
            put_off: HashMap::new(),
            known: BTreeMap::new(),
            held: 0,
            stubs: 0,
            cursor,
            behind: false,
            reading: super::reading::Reading::default(),
        }
    }

    /// Knows nothing of what is in the store.
    pub(super) fn behind(flow: Flow, limits: Limits) -> Window {
        Window { behind: true, ..Window::level_after(flow, limits, 0) }
    }

    pub(super) fn held(&self) -> usize {
        self.held
    }

    pub(super) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Nothing to do and nothing to remember.
    pub(super) fn is_idle(&self) -> bool {
        self.lanes.is_empty() && !self.behind && !self.reading.under_way()
    }

    /// Room for more of a lane that is there.
    pub(super) fn has_room(&self) -> bool {
        self.held < self.limits.share
    }

    /// Room for lanes that are not there yet.
    pub(super) fn has_room_for_others(&self) -> bool {
        self.has_room() && self.stubs < self.limits.share.saturating_mul(STUBS_PER_RUN)
    }

    /// Then what cannot be executed soon makes room for what can.
    pub(super) fn is_crowded(&self) -> bool {
        self.held.saturating_mul(2) > self.limits.share
    }

    fn is_due(&self, at: Timestamp, now: Timestamp) -> bool {
        at <= now || at > now.plus(self.limits.longest)
    }

    /// Has or had it: reading it again is no news.
    pub(super) fn knows(&self, seq: i64) -> bool {
        self.known.contains_key(&seq) || self.reading.ended_meanwhile.contains(&seq)
    }

    /// Takes in a run that a commit hands over, or leaves it in the store, and is behind then.
    pub(super) fn hand_over(&mut self, run: QueuedRun, now: Timestamp) {
        // One that has ended meanwhile may have been replayed since.
        if self.known.contains_key(&run.seq) {
            return;
        }
        let newer = run.seq > self.cursor;
        if (newer && self.behind) || !self.has_room_for_others() {
            self.behind = true;
            self.reading.missed = true;
            self.cursor = self.cursor.min(run.seq - 1);
            return;
        }
        self.cursor = self.cursor.max(run.seq);
        self.insert(run, now);
    }

    /// Reads everything anew that it does not know. A page that was asked for before may lack some of it, even where it begins
    /// at the same place.
    pub(super) fn rewind(&mut self, to: i64) {
        self.cursor = self.cursor.min(to);
        self.behind = true;
        self.reading.void_page();
    }

    /// Takes in a run that is not known, unless its lane is full.
    pub(super) fn insert(&mut self, run: QueuedRun, now: Timestamp) {
        let entity = run.run.key.entity.clone();
        let passes = !run.run.hold_up && !self.is_due(run.not_before, now);
        let crowded = self.is_crowded();
        let lane = self.lanes.entry(entity.clone()).or_default();
        let full = lacks(lane, crowded, self.limits.lane) == 0;
        if lane.leaves_out(run.seq) {
            lane.missed |= lane.asked;
            return;
        }
        let last = lane.queue.back().is_none_or(|last| last.seq < run.seq);
        if full && (passes || last) {
            lane.spill_from(run.seq);
            return self.settle(&entity, now);
        }
        self.known.insert(run.seq, entity.clone());
        self.held += 1;
        if passes {
            lane.beside += 1;
            return self.put_beside(run);
        }
        lane.insert(run);
        if lane.len() > self.limits.lane
            && let Some(left) = lane.spill()
        {
            self.known.remove(&left.seq);
            self.held -= 1;
        }
        self.settle(&entity, now);
    }

    /// The next run to execute. Its lane is busy until [`Window::ended`] says how it ended. A lane that is not `ours` any
    /// more is forgotten: somebody else does it.
    pub(super) fn next(&mut self, ours: impl Fn(&EntityKey) -> bool) -> Option<QueuedRun> {
        while let Some(entity) = self.ready.pop_front() {
            let Some(lane) = self.lanes.get_mut(&entity) else { continue };
            lane.ready = false;
            if lane.busy || lane.waits {
                continue;
            }
            let Some(front) = lane.queue.front() else { continue };
            if !ours(&front.run.key) {
                self.forget(&entity);
                continue;
            }
            if let Some(run) = lane.queue.pop_front() {
                lane.busy = true;
                self.running += 1;
                return Some(run);
            }
        }
        None
    }

    pub(super) fn ended(&mut self, ended: Ended, now: Timestamp) {
        self.running = self.running.saturating_sub(1);
        let entity = ended.key.entity;
        let lane = self.lanes.entry(entity.clone()).or_default();
        lane.busy = false;
        match ended.what {
            What::Over => {
                self.known.remove(&ended.seq);
                self.held = self.held.saturating_sub(1);
                self.reading.note_ended(ended.seq);
            }
            // Later runs about the entity wait for it.
            What::Again(run) if run.run.hold_up => self.put_back(&entity, *run),
            What::After(earlier, run) => {
                earlier.into_iter().for_each(|run| self.put_before(&entity, run));
                self.put_back(&entity, *run);
                self.pause_where_still_first(&entity, ended.seq, now);
            }
            What::Again(run) => {
                lane.beside += 1;
                self.put_beside(*run);
            }
        }
        self.settle(&entity, now);
    }

    /// A run that executed goes back into its place in the order of acceptance, which need not be the front: one that is older
    /// may have been heard of meanwhile, and in front of that one this one would be sent back for ever, where several hosts
    /// share a store. What was left in the store meanwhile may be older, too; then this one is left there with it.
    fn put_back(&mut self, entity: &Entity, run: QueuedRun) {
        let lane = self.lanes.entry(entity.clone()).or_default();
        if lane.leaves_out(run.seq) {
            self.known.remove(&run.seq);
            self.held = self.held.saturating_sub(1);
            lane.missed |= lane.asked;
        } else {
            lane.insert(run);
        }
    }

    /// What it was sent back for waits beside the lane.
    fn pause_where_still_first(&mut self, entity: &Entity, seq: i64, now: Timestamp) {
        let front = self.lanes.get_mut(entity).and_then(|lane| lane.queue.front_mut());
        if let Some(front) = front.filter(|front| front.seq == seq) {
            front.not_before = now.plus(NOT_YET_PAUSE);
        }
    }

    /// A run that the store knew of and the lane did not. What the lane has left in the store it reads by itself.
    fn put_before(&mut self, entity: &Entity, run: QueuedRun) {
        let lane = self.lanes.entry(entity.clone()).or_default();
        if !lane.leaves_out(run.seq) && self.known.insert(run.seq, entity.clone()).is_none() {
            self.held += 1;
            lane.insert(run);
        }
    }

    /// When something that waits may be executed.
    pub(super) fn next_wake(&self) -> Timestamp {
        self.waiting.peek().map_or(Timestamp::NEVER, |Reverse((at, _))| *at)
    }

    /// Makes ready what waited for a time that has come.
    pub(super) fn wake(&mut self, now: Timestamp) {
        while let Some(Reverse((at, seq))) = self.waiting.peek().copied() {
            if !self.is_due(at, now) {
                return;
            }
            self.waiting.pop();
            self.take_up(seq, now);
        }
    }

    /// Makes ready what a clock that was set back would let wait too long.
    pub(super) fn wake_what_waits_too_long(&mut self, now: Timestamp) {
        let latest = now.plus(self.limits.longest);
        if self.waiting.iter().any(|Reverse((at, _))| *at > latest) {
            let waiting = std::mem::take(&mut self.waiting).into_vec();
            let (late, kept): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|Reverse((at, _))| *at > latest);
            self.waiting = kept.into();
            late.into_iter().for_each(|Reverse((_, seq))| self.take_up(seq, now));
        }
    }

    fn take_up(&mut self, seq: i64, now: Timestamp) {
        match self.put_off.remove(&seq) {
            Some(PutOff::Lane(entity)) => {
                if let Some(lane) = self.lanes.get_mut(&entity) {
                    lane.waits = false;
                    if std::mem::take(&mut lane.stub) {
                        self.stubs -= 1;
                    }
                    // Said by the heap, which knows of clocks that were set back; the run's own time does not count any more.
                    if let Some(front) = lane.queue.front_mut() {
                        front.not_before = front.not_before.min(now);
                    }
                }
                self.settle(&entity, now);
            }
            Some(PutOff::Beside(entity, Some(run))) => self.join(&entity, *run, now),
            Some(PutOff::Beside(entity, None)) => {
                self.stubs -= 1;
                self.reading.want_run(entity, seq);
            }
            // Of a lane that was forgotten.
            None => {}
        }
    }

    /// A run that waited beside its lane goes back into it.
    fn join(&mut self, entity: &Entity, mut run: QueuedRun, now: Timestamp) {
        let Some(lane) = self.lanes.get_mut(entity) else { return };
        run.not_before = run.not_before.min(now);
        lane.beside -= 1;
        lane.insert(run);
        self.settle(entity, now);
    }

    /// What became of a run that waited beside its lane, in the store only: nothing, where it is not open any more.
    pub(super) fn rejoin(&mut self, entity: &Entity, seq: i64, run: Option<QueuedRun>, now: Timestamp) {
        if !self.known.contains_key(&seq) {
            return;
        }
        match run {
            Some(run) => {
                self.held += 1;
                self.join(entity, run, now);
            }
            None => {
                self.known.remove(&seq);
                if let Some(lane) = self.lanes.get_mut(entity) {
                    lane.beside -= 1;
                }
                self.settle(entity, now);
            }
        }
    }

    fn put_beside(&mut self, run: QueuedRun) {
        let (at, seq, entity) = (run.not_before, run.seq, run.run.key.entity.clone());
        let kept = if self.is_crowded() {
            self.held -= 1;
            self.stubs += 1;
            None
        } else {
            Some(Box::new(run))
        };
        self.waiting.push(Reverse((at, seq)));
        self.put_off.insert(seq, PutOff::Beside(entity, kept));
    }

    /// Makes a lane ready, lets it wait, asks for more of it, or forgets it when it is over.
    pub(super) fn settle(&mut self, entity: &Entity, now: Timestamp) {
        let due = |at| at <= now || at > now.plus(self.limits.longest);
        let crowded = self.is_crowded();
        let Some(lane) = self.lanes.get_mut(entity) else { return };
        if lane.is_over() {
            self.lanes.remove(entity);
            return;
        }
        if lane.waits {
            return;
        }
        match lane.queue.front() {
            Some(front) if !lane.busy && !due(front.not_before) => {
                let (at, seq) = (front.not_before, front.seq);
                return self.hold(entity, at, seq);
            }
            Some(_) if !lane.busy && !lane.ready => {
                lane.ready = true;
                self.ready.push_back(entity.clone());
            }
            _ => {}
        }
        let lacks = lacks(lane, crowded, self.limits.lane);
        if lane.spilled.is_some() && !lane.asked && lacks > 0 && lane.queue.len() <= lacks {
            lane.asked = true;
            self.reading.want_lane(entity.clone());
        }
    }

    fn hold(&mut self, entity: &Entity, at: Timestamp, seq: i64) {
        self.put_off.insert(seq, PutOff::Lane(entity.clone()));
        self.waiting.push(Reverse((at, seq)));
        if let Some(lane) = self.lanes.get_mut(entity) {
            lane.waits = true;
        }
        if self.is_crowded() {
            self.shrink(entity);
        }
    }

    /// Keeps no more of a lane that waits than its name and where it goes on.
    fn shrink(&mut self, entity: &Entity) {
        let Some(lane) = self.lanes.get_mut(entity).filter(|lane| lane.waits && !lane.stub) else { return };
        while let Some(left) = lane.spill() {
            self.known.remove(&left.seq);
            self.held -= 1;
        }
        lane.stub = true;
        self.stubs += 1;
    }

    /// Leaves the latest runs in the store again until no more than `limits.share` are in memory, or none that could be left.
    pub(super) fn trim(&mut self) {
        if self.held <= self.limits.share {
            return;
        }
        let waiting: Vec<Entity> =
            self.lanes.iter().filter(|(_, lane)| lane.waits).map(|(entity, _)| entity.clone()).collect();
        waiting.iter().for_each(|entity| self.shrink(entity));
        let latest: Vec<(i64, Entity)> = self.known.iter().rev().map(|(seq, entity)| (*seq, entity.clone())).collect();
        for (seq, entity) in latest {
            if self.held <= self.limits.share {
                return;
            }
            let Some(lane) = self.lanes.get_mut(&entity) else { continue };
            // What executes, or waits beside, is not in the queue.
            if lane.queue.back().is_none_or(|last| last.seq != seq) {
                continue;
            }
            lane.queue.pop_back();
            // From here on everything is read again, what the lane left in the store included.
            lane.spilled = None;
            if lane.is_over() {
                self.lanes.remove(&entity);
            }
            self.known.remove(&seq);
            self.held -= 1;
            self.rewind(seq - 1);
        }
    }

    /// Drops a lane from memory, as if it had never been heard of.
    fn forget(&mut self, entity: &Entity) {
        let Some(lane) = self.lanes.remove(entity) else { return };
        self.held -= lane.queue.len();
        // Those of which the store is being asked, too: known and not held, nobody would ever execute them.
        self.known.retain(|_, of| of != entity);
        self.reading.forget(entity);
        self.put_off.retain(|_, put_off| {
            let PutOff::Beside(of, kept) = put_off else { return true };
            if of != entity {
                return true;
            }
            match kept {
                Some(_) => self.held -= 1,
                None => self.stubs -= 1,
            }
            false
        });
    }
}

/// How many more runs of a lane may be in memory. Where there is little room, a lane that waits gets no more, and one that runs
/// gets what keeps it running while the store is read; runs beside it take no place of theirs, or they would hold it up.
pub(super) fn lacks(lane: &Lane, crowded: bool, max: usize) -> usize {
    let queued = match (crowded, lane.waits) {
        (false, _) => max,
        (true, true) => 0,
        (true, false) => (max / 8).max(1),
    };
    queued.saturating_sub(lane.queue.len()).min(max.saturating_sub(lane.len()))
}

/// What ended while the store was being read, and may be in the answer all the same.
pub(super) type EndedMeanwhile = HashSet<i64>;
