//! Timers that are set anew and cancelled while they come due: several workers at once, with interleavings drawn from a seed.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering},
    },
};

use super::*;
use crate::{domain::run::TimerChange, ids::Entity};

const SEEDS: u64 = 24;
/// Events of an entity, each of which may set its timer anew or cancel it.
const EVENTS: u32 = 16;
/// How often the timer's own runs may set it again, or it would never end.
const AGAIN: u32 = 6;

/// What a commit did to the one timer of the entity; a timer is known by the `seq` of the run that set it.
#[derive(Clone, Debug, PartialEq)]
enum Did {
    Ran(i64),
    Set(i64),
    Cancelled,
}

struct Race<'a> {
    store: &'a dyn Store,
    key: EntityKey,
    seed: u64,
    dice: Mutex<u64>,
    /// By the entity's version after the commit.
    log: Mutex<BTreeMap<i64, Vec<Did>>>,
    now: AtomicI64,
    again: AtomicU32,
    events_over: AtomicBool,
    over: AtomicBool,
}

pub(crate) async fn a_timer_set_anew_or_cancelled_while_it_fires_runs_once(place: &dyn Place) {
    let world = open(place).await;
    for seed in 1..=SEEDS {
        let race = Race {
            store: &*world.store,
            key: EntityKey { entity: Entity::new(format!("race/{seed}")), ..key() },
            seed,
            dice: Mutex::new(seed),
            log: Mutex::default(),
            now: AtomicI64::new(1),
            again: AtomicU32::new(AGAIN),
            events_over: AtomicBool::new(false),
            over: AtomicBool::new(false),
        };
        // Two workers, as when a second host believes that the entity is its own.
        tokio::join!(race.events(), race.clock(), race.timer_runs(), race.timer_runs());
        race.check();
    }
}

impl Race<'_> {
    /// A number below `below`. The generator is the one of Java's SplittableRandom: short, and good enough to shuffle.
    fn draw(&self, below: u64) -> u64 {
        let mut state = self.dice.lock().unwrap();
        *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = *state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % below
    }

    async fn pause(&self) {
        for _ in 0..self.draw(6) {
            tokio::task::yield_now().await;
        }
    }

    fn soon(&self) -> TimerChange {
        let due = self.now.load(Ordering::SeqCst) + i64::try_from(self.draw(4)).unwrap();
        TimerChange::Set { due: at(due), expires: None, data: "null".into() }
    }

    async fn events(&self) {
        for no in 0..EVENTS {
            self.pause().await;
            let mut routed = event(&format!("race/{}/{no}", self.seed));
            routed.runs[0].key = self.key.clone();
            let id = routed.runs[0].id;
            self.store.accept_events(vec![routed]).await.unwrap();
            let open = all_open(&*self.store).await;
            let run = open.into_iter().find(|run| run.run.id == id).unwrap();
            let change = if self.draw(3) == 0 { TimerChange::Cancel } else { self.soon() };
            assert!(self.commit(&run, Some(change)).await, "an event's run is nobody else's");
        }
        self.events_over.store(true, Ordering::SeqCst);
    }

    async fn clock(&self) {
        loop {
            self.pause().await;
            let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
            self.store.fire_timers(at(now), 100).await.unwrap();
            if self.events_over.load(Ordering::SeqCst) {
                let left = self.store.load_entity(&self.key, at(now)).await.unwrap().timers.len();
                if left == 0 && all_open(&*self.store).await.is_empty() {
                    return self.over.store(true, Ordering::SeqCst);
                }
            }
        }
    }

    async fn timer_runs(&self) {
        while !self.over.load(Ordering::SeqCst) {
            self.pause().await;
            let open = all_open(&*self.store).await;
            let Some(run) = open.into_iter().find(|run| matches!(run.run.cause, Cause::Timer(_))) else { continue };
            let Cause::Timer(timer) = &run.run.cause else { unreachable!() };
            assert!(run.accepted >= timer.due, "seed {}: early: {run:?}", self.seed);
            self.pause().await;
            let fewer = |left: u32| left.checked_sub(1);
            let again = self.draw(2) == 0 && self.again.fetch_update(Ordering::SeqCst, Ordering::SeqCst, fewer).is_ok();
            self.commit(&run, again.then(|| self.soon())).await;
        }
    }

    /// Commits as a host does: anew where the entity was changed meanwhile. `false` where the run is gone.
    async fn commit(&self, run: &QueuedRun, change: Option<TimerChange>) -> bool {
        let timers: BTreeMap<_, _> = change.iter().map(|change| ("t".to_owned(), change.clone())).collect();
        let outcome = Outcome { timers, ..Outcome::default() };
        loop {
            let version = self.store.load_entity(&self.key, at(0)).await.unwrap().version;
            self.pause().await;
            match self.store.commit_run(commit(run, version, outcome.clone())).await.unwrap() {
                Committed::Gone => return false,
                Committed::Stale => {}
                Committed::Done(entity) => {
                    let ran = match &run.run.cause {
                        Cause::Timer(timer) => Some(Did::Ran(timer.generation)),
                        _ => None,
                    };
                    let changed = change.map(|change| match change {
                        TimerChange::Cancel => Did::Cancelled,
                        TimerChange::Set { .. } => Did::Set(run.seq),
                    });
                    let did = ran.into_iter().chain(changed).collect();
                    let twice = self.log.lock().unwrap().insert(entity.version, did);
                    assert_eq!(twice, None, "seed {}: two commits made version {}", self.seed, entity.version);
                    return true;
                }
            }
        }
    }

    /// In the order of the commits: what ran was set, and neither replaced nor cancelled nor run before.
    fn check(&self) {
        let log = self.log.lock().unwrap();
        let mut set = None;
        for (version, did) in log.iter() {
            for did in did {
                match did {
                    Did::Ran(timer) => {
                        assert_eq!(set, Some(*timer), "seed {}, version {version}: {log:#?}", self.seed);
                        set = None;
                    }
                    Did::Set(timer) => set = Some(*timer),
                    Did::Cancelled => set = None,
                }
            }
        }
        assert_eq!(set, None, "seed {}: the last one never ran: {log:#?}", self.seed);
    }
}
