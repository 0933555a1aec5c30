//! One lane per entity: its open runs in order of acceptance, one executing at a time.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, VecDeque},
};

use super::execute::{Ended, What};
use crate::{
    clock::Timestamp,
    domain::run::{EntityKey, QueuedRun},
};

/// Every lane that has something open.
#[derive(Default)]
pub(super) struct Lanes {
    lanes: HashMap<EntityKey, Lane>,
    /// Lanes whose first run may be executed now, in the order in which they became ready.
    ready: VecDeque<EntityKey>,
    /// Lanes, and runs beside their lane, that wait for a time.
    waiting: BinaryHeap<Reverse<(Timestamp, i64)>>,
    parked: HashMap<i64, QueuedRun>,
    held: HashMap<i64, EntityKey>,
    open: usize,
}

#[derive(Default)]
struct Lane {
    queue: VecDeque<QueuedRun>,
    busy: bool,
}

impl Lanes {
    /// How many runs are in memory, executing ones included.
    pub(super) fn len(&self) -> usize {
        self.open
    }

    pub(super) fn push(&mut self, run: QueuedRun, now: Timestamp) {
        self.open += 1;
        self.enqueue(run, now);
    }

    /// The next run to execute. Its lane is busy until [`Lanes::ended`] says how it ended.
    pub(super) fn next(&mut self) -> Option<QueuedRun> {
        while let Some(key) = self.ready.pop_front() {
            let Some(lane) = self.lanes.get_mut(&key) else { continue };
            if lane.busy {
                continue;
            }
            if let Some(run) = lane.queue.pop_front() {
                lane.busy = true;
                return Some(run);
            }
        }
        None
    }

    pub(super) fn ended(&mut self, ended: Ended, now: Timestamp) {
        let key = ended.key;
        if let Some(lane) = self.lanes.get_mut(&key) {
            lane.busy = false;
        }
        match ended.what {
            What::Over => self.open = self.open.saturating_sub(1),
            What::Again(run) if run.run.hold_up => {
                // Back to the front: later runs about the entity wait for it.
                let (at, seq) = (run.not_before, run.seq);
                self.lanes.entry(key.clone()).or_default().queue.push_front(*run);
                if at > now {
                    self.held.insert(seq, key);
                    self.waiting.push(Reverse((at, seq)));
                    return;
                }
            }
            What::Again(run) => {
                self.waiting.push(Reverse((run.not_before, run.seq)));
                self.parked.insert(run.seq, *run);
            }
        }
        self.settle(key, now);
    }

    /// When the next waiting run may be executed.
    pub(super) fn next_wake(&self) -> Timestamp {
        self.waiting.peek().map_or(Timestamp::NEVER, |Reverse((at, _))| *at)
    }

    /// Makes ready what waited for a time that has come.
    pub(super) fn wake(&mut self, now: Timestamp) {
        while let Some(Reverse((at, seq))) = self.waiting.peek().copied() {
            if at > now {
                return;
            }
            self.waiting.pop();
            if let Some(key) = self.held.remove(&seq) {
                self.ready.push_back(key);
            } else if let Some(run) = self.parked.remove(&seq) {
                self.enqueue(run, now);
            }
        }
    }

    fn enqueue(&mut self, run: QueuedRun, now: Timestamp) {
        if run.not_before > now && !run.run.hold_up {
            self.waiting.push(Reverse((run.not_before, run.seq)));
            self.parked.insert(run.seq, run);
            return;
        }
        let key = run.run.key.clone();
        let lane = self.lanes.entry(key.clone()).or_default();
        let first = lane.queue.is_empty() && !lane.busy;
        lane.queue.push_back(run);
        if first {
            self.settle(key, now);
        }
    }

    /// Makes a lane ready, lets it wait, or forgets it when it is empty.
    fn settle(&mut self, key: EntityKey, now: Timestamp) {
        let Some(lane) = self.lanes.get(&key) else { return };
        if lane.busy {
            return;
        }
        match lane.queue.front() {
            None => {
                self.lanes.remove(&key);
            }
            Some(run) if run.not_before > now => {
                let (at, seq) = (run.not_before, run.seq);
                self.held.insert(seq, key);
                self.waiting.push(Reverse((at, seq)));
            }
            Some(_) => self.ready.push_back(key),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::run::{Cause, FiredTimer, NewRun},
        ids::{Entity, PluginName, RunId, TenantId},
    };

    fn run(seq: i64, entity: &str, hold_up: bool) -> QueuedRun {
        let key = EntityKey {
            tenant: TenantId::default_tenant(),
            plugin: PluginName::from("p"),
            entity: Entity::from(entity),
        };
        let timer = FiredTimer {
            key: "k".into(),
            due: Timestamp(0),
            expires: None,
            customer: None,
            data: "null".into(),
            set_by: "1.0.0".into(),
            set_by_run: RunId([0; 16]),
            origin: None,
            generation: seq,
        };
        let id = RunId::of_timer(&key, "k", seq);
        let run = NewRun { id, key, customer: None, cause: Cause::Timer(timer), hold_up };
        QueuedRun { seq, attempts: 0, not_before: Timestamp(0), accepted: Timestamp(0), run }
    }

    fn over(run: &QueuedRun) -> Ended {
        Ended { key: run.run.key.clone(), what: What::Over }
    }

    fn again(mut run: QueuedRun, at: i64) -> Ended {
        run.not_before = Timestamp(at);
        Ended { key: run.run.key.clone(), what: What::Again(Box::new(run)) }
    }

    #[test]
    fn runs_of_an_entity_follow_one_another_and_other_entities_do_not_wait() {
        let mut lanes = Lanes::default();
        for (seq, entity) in [(1, "a"), (2, "a"), (3, "b")] {
            lanes.push(run(seq, entity, true), Timestamp(0));
        }
        let first = lanes.next().unwrap();
        let other = lanes.next().unwrap();
        assert_eq!((first.seq, other.seq), (1, 3));
        assert!(lanes.next().is_none(), "the second run of `a` waits for the first");
        lanes.ended(over(&first), Timestamp(0));
        assert_eq!(lanes.next().unwrap().seq, 2);
    }

    #[test]
    fn a_failing_run_holds_up_its_entity_only() {
        let mut lanes = Lanes::default();
        for (seq, entity) in [(1, "a"), (2, "a"), (3, "b")] {
            lanes.push(run(seq, entity, true), Timestamp(0));
        }
        let failing = lanes.next().unwrap();
        lanes.ended(again(failing, 1000), Timestamp(0));
        assert_eq!(lanes.next().unwrap().seq, 3);
        assert!(lanes.next().is_none());
        assert_eq!(lanes.next_wake(), Timestamp(1000));
        lanes.wake(Timestamp(999));
        assert!(lanes.next().is_none(), "not before its time");
        lanes.wake(Timestamp(1000));
        assert_eq!(lanes.next().unwrap().seq, 1);
    }

    #[test]
    fn a_run_that_does_not_hold_up_lets_the_next_one_pass() {
        let mut lanes = Lanes::default();
        lanes.push(run(1, "a", false), Timestamp(0));
        lanes.push(run(2, "a", false), Timestamp(0));
        let failing = lanes.next().unwrap();
        lanes.ended(again(failing, 1000), Timestamp(0));
        let next = lanes.next().unwrap();
        assert_eq!(next.seq, 2);
        lanes.wake(Timestamp(1000));
        assert!(lanes.next().is_none(), "its entity is busy");
        lanes.ended(over(&next), Timestamp(1000));
        assert_eq!(lanes.next().unwrap().seq, 1);
        assert_eq!(lanes.len(), 1);
    }

    #[test]
    fn nothing_is_kept_of_an_entity_that_is_done() {
        let mut lanes = Lanes::default();
        lanes.push(run(1, "a", true), Timestamp(0));
        let only = lanes.next().unwrap();
        lanes.ended(over(&only), Timestamp(0));
        assert_eq!((lanes.len(), lanes.lanes.len()), (0, 0));
    }
}
