//! Worlds: the real stages on a store in memory, with simulated time, and with whatever can go wrong.
//!
//! A seed decides what happens: which events arrive when and what they set off, which verbs of the store fail before or after
//! they took effect, when a host is killed, stopped and started, how its clock is set, which shards change hands (wrongly, too:
//! to two hosts at once, or to none), what providers do with a message, and which receipts come when, again, or never. Then it
//! calms down, and once nothing is left to be done, what was seen from outside is held against what is in the tables.
//!
//! `RELAIS_TEST_SEEDS` says how many worlds are played, `RELAIS_TEST_SEED` plays one, with its journal, many times over: a seed
//! decides everything but whom of several tasks that are ready at the same moment the runtime lets go first. `scripts/worlds`
//! is the long version.

mod chance;
mod check;
mod machine;
mod plugin;
mod provider;
mod world;

use std::{
    io::Write,
    num::NonZero,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use world::{Played, play};

use crate::{clock::Timestamp, store::memory::Flaws};

/// When every world begins.
const BEGIN: Timestamp = Timestamp(1_700_000_000_000);

/// Enough to meet each kind of trouble many times over, at about a fifth of a second of computing each.
const SEEDS: u64 = 200;
/// How often one seed is played where it is asked for.
const REPLAYS: usize = 200;
/// Worlds that may go wrong before no more are played.
const COMPLAINTS_MAX: usize = 40;
/// Worlds that a checker gets to notice that something is broken.
const NOTICED_WITHIN: u64 = 60;

fn asked(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is to be a number")))
}

/// What was complained of, and where the journal of the world is; `None` where all was well.
fn complaint(seed: u64, played: &Played) -> Option<String> {
    if played.complaints.is_empty() {
        return None;
    }
    let journal = std::env::temp_dir().join(format!("relais-world-{seed}.txt"));
    std::fs::write(&journal, played.journal.join("\n")).unwrap();
    Some(format!("seed {seed}, what happened is in {}:\n    {}", journal.display(), played.complaints.join("\n    ")))
}

/// What came of many worlds.
#[derive(Default)]
struct Sum {
    worlds: usize,
    verbs: u64,
    complaints: Vec<(u64, String)>,
}

/// Plays a world for each seed, as many side by side as there are cores, until too many went wrong.
fn play_all(seeds: &[u64]) -> Sum {
    let (next, sum) = (AtomicUsize::new(0), Mutex::new(Sum::default()));
    let work = || {
        while let Some(seed) = seeds.get(next.fetch_add(1, Ordering::SeqCst)).copied() {
            let played = play(seed, Flaws::default());
            let mut sum = sum.lock().unwrap();
            (sum.worlds, sum.verbs) = (sum.worlds + 1, sum.verbs + played.verbs);
            sum.complaints.extend(complaint(seed, &played).map(|what| (seed, what)));
            if sum.complaints.len() >= COMPLAINTS_MAX {
                return;
            }
        }
    };
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    thread::scope(|scope| (0..cores).for_each(|_| drop(scope.spawn(work))));
    let mut sum = sum.into_inner().unwrap();
    sum.complaints.sort();
    sum
}

#[test]
fn in_every_world_nothing_is_lost_doubled_or_out_of_order() {
    let seeds: Vec<u64> = match asked("RELAIS_TEST_SEED") {
        Some(seed) => vec![seed; REPLAYS],
        None => (0..asked("RELAIS_TEST_SEEDS").unwrap_or(SEEDS)).collect(),
    };
    let Sum { worlds, verbs, complaints } = play_all(&seeds);
    writeln!(std::io::stdout(), "{worlds} worlds, {verbs} verbs of the store").unwrap();
    let told: Vec<&str> = complaints.iter().map(|(_, what)| what.as_str()).collect();
    if let Some((seed, _)) = complaints.first() {
        panic!(
            "{}\n{} of {worlds} worlds went wrong. To play one again:\n    \
             RELAIS_TEST_SEED={seed} cargo test -p relais --lib in_every_world\n",
            told.join("\n"),
            told.len()
        );
    }
}

/// A world in which something is broken on purpose has to be noticed, by what it breaks.
fn is_noticed(flaws: Flaws, complaint: &str) {
    let noticed = (0..NOTICED_WITHIN).any(|seed| {
        let complaints = play(seed, flaws).complaints;
        complaints.iter().any(|said| said.contains(complaint))
    });
    assert!(noticed, "{flaws:?} was not noticed in {NOTICED_WITHIN} worlds");
}

#[test]
fn a_store_without_the_fence_is_noticed() {
    is_noticed(Flaws { no_fence: true, ..Flaws::default() }, "took effect 2 times");
}

#[test]
fn timers_that_fire_early_are_noticed() {
    is_noticed(Flaws { early_timers: true, ..Flaws::default() }, "early: timer");
}

#[test]
fn states_that_fall_are_noticed() {
    is_noticed(Flaws { states_fall: true, ..Flaws::default() }, "fell from");
}

#[test]
fn a_message_that_is_forgotten_is_noticed() {
    is_noticed(Flaws { messages_forgotten: true, ..Flaws::default() }, "adrift: message");
}

#[test]
fn an_event_that_is_acknowledged_and_not_kept_is_noticed() {
    is_noticed(Flaws { events_not_kept: true, ..Flaws::default() }, "lost:");
}
