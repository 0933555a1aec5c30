//! Worlds: the real stages on a store in memory, with simulated time, and with whatever can go wrong.
//!
//! A seed decides what happens: which events arrive when and what they set off, which verbs of the store fail before or after
//! they took effect, when a host is killed, stopped and started, how its clock is set, which shards change hands (wrongly, too:
//! to two hosts at once, or to none), what providers do with a message, and which receipts come when, again, or never. Then it
//! calms down, and once nothing is left to be done, what was seen from outside is held against what is in the tables.
//!
//! `RELAIS_TEST_SEEDS` says how many worlds are played, `RELAIS_TEST_SEED` plays one, with its journal, many times over: a seed
//! decides everything but whom of several tasks that are ready at the same moment the runtime lets go first.

mod chance;
mod check;
mod clock;
mod machine;
mod plugin;
mod provider;
mod world;

use world::{Played, play};

use crate::store::memory::Flaws;

/// Enough to meet each kind of trouble many times over, within what CI has.
const SEEDS: u64 = 1_000;
/// How often one seed is played where it is asked for.
const REPLAYS: u64 = 200;
/// Worlds that a checker gets to notice that something is broken.
const NOTICED_WITHIN: u64 = 60;

fn asked(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is to be a number")))
}

fn refuse(seed: u64, played: &Played) {
    if played.complaints.is_empty() {
        return;
    }
    let journal = std::env::temp_dir().join(format!("relais-world-{seed}.txt"));
    std::fs::write(&journal, played.journal.join("\n")).unwrap();
    panic!(
        "in the world of seed {seed}:\n  {}\nWhat happened in it: {}. To play it again:\n  \
         RELAIS_TEST_SEED={seed} cargo test -p relais --lib in_every_world\n",
        played.complaints.join("\n  "),
        journal.display()
    );
}

#[test]
fn in_every_world_nothing_is_lost_doubled_or_out_of_order() {
    if let Some(seed) = asked("RELAIS_TEST_SEED") {
        (0..REPLAYS).for_each(|_| refuse(seed, &play(seed, Flaws::default())));
        return;
    }
    let (seeds, mut verbs) = (asked("RELAIS_TEST_SEEDS").unwrap_or(SEEDS), 0);
    for seed in 0..seeds {
        let played = play(seed, Flaws::default());
        verbs += played.verbs;
        refuse(seed, &played);
    }
    println!("{seeds} worlds, {verbs} verbs of the store");
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
