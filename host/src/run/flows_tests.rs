//! The bookkeeping against a scripted store, without a host: who is executed in which order, and what is in memory.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::*;
use crate::{
    domain::run::{Cause, FiredTimer, NewRun},
    ids::{Entity, RunId},
    run::execute::What,
};

const FAR: Timestamp = Timestamp(3_000_000);

/// A store of numbered rows. What a row is follows from its number, so that a million of them take no memory.
struct Script {
    row: Box<dyn Fn(i64) -> (&'static str, &'static str, String)>,
    hold_up: bool,
    /// Whether the row of that number is open; the first is number 1.
    open: Vec<bool>,
    not_before: HashMap<i64, Timestamp>,
}

impl Script {
    fn of(rows: usize, row: impl Fn(i64) -> (&'static str, &'static str, String) + 'static) -> Script {
        Script { row: Box::new(row), hold_up: true, open: vec![true; rows], not_before: HashMap::new() }
    }

    fn run(&self, seq: i64) -> QueuedRun {
        let (tenant, plugin, entity) = (self.row)(seq);
        let key = EntityKey { tenant: tenant.into(), plugin: plugin.into(), entity: Entity::from(entity.as_str()) };
        let timer = FiredTimer {
            key: String::new(),
            due: Timestamp(0),
            expires: None,
            customer: None,
            data: String::new(),
            set_by: String::new(),
            set_by_run: RunId([0; 16]),
            origin: None,
            generation: seq,
        };
        let id = RunId(i128::from(seq).to_be_bytes());
        let run = NewRun { id, key, customer: None, cause: Cause::Timer(timer), hold_up: self.hold_up };
        let not_before = self.not_before.get(&seq).copied().unwrap_or(Timestamp(0));
        QueuedRun { seq, attempts: 0, not_before, accepted: Timestamp(0), run }
    }

    fn is_of(&self, seq: i64, flow: &Flow, entity: Option<&Entity>) -> bool {
        let (tenant, plugin, of) = (self.row)(seq);
        flow.tenant.as_str() == tenant
            && flow.plugin.as_str() == plugin
            && entity.is_none_or(|entity| entity.as_str() == of)
    }

    fn seqs(&self, flow: &Flow, entity: Option<&Entity>, after: i64, limit: u32) -> Vec<i64> {
        let open = (after + 1..=self.open.len() as i64).filter(|seq| self.open[*seq as usize - 1]);
        open.filter(|seq| self.is_of(*seq, flow, entity)).take(limit as usize).collect()
    }

    fn answer(&self, flow: &Flow, read: &Read) -> Answer {
        let runs = |seqs: Vec<i64>| Answer::Runs(seqs.into_iter().map(|seq| self.run(seq)).collect());
        match read {
            Read::Page { after, limit } => runs(self.seqs(flow, None, *after, *limit)),
            Read::Lane { entity, after, limit } => runs(self.seqs(flow, Some(entity), *after, *limit)),
            Read::Run { entity, seq } => runs(self.seqs(flow, Some(entity), seq - 1, 1)),
            Read::Sweep { after, through, limit } => {
                let seqs = self.seqs(flow, None, *after, *limit).into_iter().take_while(|seq| seq <= through);
                Answer::Seqs(seqs.map(|seq| (seq, Entity::from((self.row)(seq).2.as_str()))).collect())
            }
        }
    }

    fn flows(&self) -> Vec<Flow> {
        let open = (1..=self.open.len() as i64).filter(|seq| self.open[*seq as usize - 1]);
        let flows: HashSet<Flow> = open.map(|seq| Flow::of(&self.run(seq).run.key)).collect();
        flows.into_iter().collect()
    }
}

struct World {
    flows: Flows,
    script: Script,
    now: Timestamp,
    /// The seqs that ended, by entity.
    order: BTreeMap<String, Vec<i64>>,
    held_most: usize,
    executing: Vec<QueuedRun>,
}

fn settings(in_memory_max: usize, lane_in_memory_max: usize) -> Settings {
    Settings { in_memory_max, lane_in_memory_max, concurrent_max: 8, ..Settings::default() }
}

impl World {
    fn new(settings: Settings, script: Script) -> World {
        let flows = Flows::new(settings, Box::new(|_| Terms { longest: Duration::from_secs(3600), concurrent: 1000 }));
        World { flows, script, now: Timestamp(1), order: BTreeMap::new(), held_most: 0, executing: Vec::new() }
    }

    fn listed(mut self) -> World {
        let flows = self.script.flows();
        self.flows.listed(flows, true);
        self
    }

    fn measure(&mut self) {
        let held = self.flows.windows.values().map(Window::held).sum();
        self.held_most = self.held_most.max(held);
    }

    /// Reads what can be read; how many questions that were.
    fn read(&mut self) -> usize {
        let mut questions = 0;
        while let Some((flow, read)) = self.flows.ask() {
            let answer = self.script.answer(&flow, &read);
            self.flows.answered(&flow, Some(answer), self.now);
            self.measure();
            questions += 1;
        }
        questions
    }

    fn begin(&mut self) -> usize {
        let mut began = 0;
        while let Some(run) = self.flows.next(|_| true) {
            self.executing.push(run);
            began += 1;
        }
        began
    }

    fn end(&mut self, run: QueuedRun) {
        self.script.open[run.seq as usize - 1] = false;
        let key = run.run.key;
        let name = format!("{}/{}/{}", key.tenant, key.plugin, key.entity);
        self.order.entry(name).or_default().push(run.seq);
        self.flows.ended(Ended { key, seq: run.seq, what: What::Over }, self.now);
    }

    fn put_off(&mut self, mut run: QueuedRun, until: Timestamp) {
        self.script.not_before.insert(run.seq, until);
        run.not_before = until;
        let (key, seq) = (run.run.key.clone(), run.seq);
        self.flows.ended(Ended { key, seq, what: What::Again(Box::new(run)) }, self.now);
    }

    /// Sends a run back because older ones of its entity are open, as is done where several hosts share a store.
    fn send_back(&mut self, run: QueuedRun) {
        let (key, seq) = (run.run.key.clone(), run.seq);
        let open = self.script.seqs(&Flow::of(&key), Some(&key.entity), 0, 64);
        let earlier = open.into_iter().filter(|other| *other < seq).map(|seq| self.script.run(seq)).collect();
        self.flows.ended(Ended { key, seq, what: What::After(earlier, Box::new(run)) }, self.now);
    }

    fn next(&mut self) -> Option<QueuedRun> {
        self.flows.next(|_| true)
    }

    /// Executes until nothing can be, where runs of which `fails` says so are put off far.
    fn work(&mut self, fails: impl Fn(&QueuedRun) -> bool) {
        loop {
            let moved = self.read() + self.begin();
            for run in std::mem::take(&mut self.executing) {
                if fails(&run) { self.put_off(run, FAR) } else { self.end(run) }
            }
            self.measure();
            if moved == 0 {
                return;
            }
        }
    }

    fn ended(&self) -> usize {
        self.order.values().map(Vec::len).sum()
    }

    #[track_caller]
    fn assert_in_order(&self) {
        for (name, seqs) in &self.order {
            assert!(seqs.is_sorted(), "{name}: {seqs:?}");
        }
    }

    fn hand_over(&mut self, seq: i64) {
        let run = self.script.run(seq);
        self.flows.hand_over(run, self.now);
        self.measure();
    }

    fn window(&self, tenant: &str, plugin: &str) -> &Window {
        &self.flows.windows[&Flow { tenant: tenant.into(), plugin: plugin.into() }]
    }
}

#[test]
fn a_million_runs_behind_a_stuck_entity_take_no_memory_and_delay_nobody() {
    const STUCK: i64 = 1_000_000;
    let script = Script::of(STUCK as usize + 500, |seq| {
        let entity = if seq <= STUCK { "stuck".to_owned() } else { format!("other {}", seq % 50) };
        ("a", "x", entity)
    });
    let mut world = World::new(settings(1_000, 64), script).listed();
    world.work(|run| &*run.run.key.entity == "stuck");
    assert_eq!(world.ended(), 500);
    world.assert_in_order();
    assert!(world.held_most <= 1_000, "{}", world.held_most);
    assert_eq!(world.window("a", "x").lanes.len(), 1);
}

#[test]
fn a_backlog_of_a_million_runs_of_many_flows_stays_within_memory() {
    let script = Script::of(1_000_000, |seq| {
        let tenant = ["a", "b", "c"][seq as usize % 3];
        let plugin = if seq < 900_000 { "big" } else { ["x", "y", "z"][seq as usize / 3 % 3] };
        (tenant, plugin, format!("e{}", seq % 1_000))
    });
    let mut world = World::new(settings(600, 16), script);
    // One flow has everything to itself before the others turn up.
    let big = |tenant: &str| Flow { tenant: tenant.into(), plugin: "big".into() };
    world.flows.listed(vec![big("a")], true);
    world.read();
    let alone = world.held_most;
    assert!((500..=600).contains(&alone), "{alone}");
    let mut flows = vec![big("b"), big("c")];
    for tenant in ["a", "b", "c"] {
        flows.extend(["x", "y", "z"].map(|plugin| Flow { tenant: tenant.into(), plugin: plugin.into() }));
    }
    world.flows.listed(flows, true);
    for _ in 0..200 {
        world.read();
        world.begin();
        for run in std::mem::take(&mut world.executing) {
            world.end(run);
        }
    }
    assert!(world.ended() >= 1_000, "{}", world.ended());
    assert!(world.held_most <= 600, "{}", world.held_most);
    world.assert_in_order();
    let count = |plugin: &str| {
        let of = world.order.iter().filter(|(name, _)| name.contains(&format!("/{plugin}/")));
        of.map(|(_, seqs)| seqs.len()).sum::<usize>()
    };
    // Four plugins take turns, however much each has to do and since when.
    assert!(count("x") * 5 > world.ended() && count("big") * 5 > world.ended(), "{:?}", [count("x"), count("big")]);
}

#[test]
fn a_lane_that_spilled_goes_on_where_it_left_off() {
    let script = Script::of(1_000, |seq| ("a", "x", format!("e{}", seq % 3)));
    let mut world = World::new(settings(100, 8), script).listed();
    world.work(|_| false);
    assert_eq!(world.ended(), 1_000);
    world.assert_in_order();
    assert!(world.window("a", "x").lanes.is_empty());
    assert!(world.held_most <= 27, "three lanes of eight and what executes: {}", world.held_most);
}

#[test]
fn what_is_handed_over_while_a_lane_is_read_is_not_lost() {
    let mut script = Script::of(40, |_| ("a", "x", "e".to_owned()));
    script.open[20..].fill(false);
    let mut world = World::new(settings(100, 4), script).listed();
    world.read();
    for _ in 0..20 {
        world.begin();
        let run = world.executing.pop().unwrap();
        world.end(run);
        // Asked before the next one is committed, answered after it was handed over.
        let asked = world.flows.ask().map(|(flow, read)| {
            let answer = world.script.answer(&flow, &read);
            (flow, answer)
        });
        let next = 20 + world.ended() as i64;
        world.script.open[next as usize - 1] = true;
        world.hand_over(next);
        if let Some((flow, answer)) = asked {
            world.flows.answered(&flow, Some(answer), world.now);
        }
    }
    world.work(|_| false);
    assert_eq!(world.order["a/x/e"], (1..=40).collect::<Vec<_>>());
}

#[test]
fn entities_that_fail_by_the_thousand_leave_room_for_the_others() {
    let failing = |seq: i64| seq <= 300;
    let script =
        Script::of(400, move |seq| ("a", "x", if failing(seq) { format!("bad {seq}") } else { format!("good {seq}") }));
    let mut world = World::new(settings(100, 8), script).listed();
    world.work(|run| failing(run.seq));
    assert_eq!(world.ended(), 100, "all that do not fail");
    assert!(world.held_most <= 100);
    // Their time comes, and they are found again.
    world.now = FAR;
    world.flows.wake(world.now);
    world.work(|_| false);
    assert_eq!(world.ended(), 400);
    assert!(world.held_most <= 100);
    assert!(world.window("a", "x").lanes.is_empty());
}

#[test]
fn runs_that_let_others_pass_do_not_fill_memory_either() {
    let mut script = Script::of(600, |seq| ("a", "x", format!("e{}", seq % 60)));
    script.hold_up = false;
    let mut world = World::new(settings(100, 16), script).listed();
    world.work(|run| run.seq % 2 == 0 && run.seq <= 300);
    assert_eq!(world.ended(), 450);
    assert!(world.held_most <= 100);
    world.now = FAR;
    world.flows.wake(world.now);
    world.work(|_| false);
    assert_eq!(world.ended(), 600);
    assert!(world.window("a", "x").lanes.is_empty());
}

#[test]
fn a_failing_run_holds_up_its_entity_only_and_until_its_time() {
    let script = Script::of(3, |seq| ("a", "x", (if seq < 3 { "bad" } else { "good" }).to_owned()));
    let mut world = World::new(settings(100, 8), script).listed();
    world.work(|run| run.seq == 1);
    assert_eq!(world.order["a/x/good"], [3]);
    assert_eq!((world.ended(), world.flows.next_wake()), (1, FAR));
    world.now = Timestamp(FAR.0 - 1);
    world.flows.wake(world.now);
    world.work(|_| false);
    assert_eq!(world.ended(), 1, "not before its time");
    world.now = FAR;
    world.flows.wake(world.now);
    world.work(|_| false);
    assert_eq!(world.order["a/x/bad"], [1, 2]);
}

#[test]
fn a_clock_that_is_set_back_makes_no_run_wait_longer_than_the_longest_pause() {
    let script = Script::of(2, |_| ("a", "x", "e".to_owned()));
    let mut world = World::new(settings(100, 8), script);
    world.now = Timestamp(10 * 3_600_000);
    let mut world = world.listed();
    let until = Timestamp(world.now.0 + 60_000);
    world.read();
    world.begin();
    let run = world.executing.pop().unwrap();
    world.put_off(run, until);
    world.now = Timestamp(8 * 3_600_000);
    world.flows.wake(world.now);
    assert_eq!(world.begin(), 0);
    world.flows.sweep(world.now);
    world.work(|_| false);
    assert_eq!(world.order["a/x/e"], [1, 2]);
}

#[test]
fn a_run_of_which_nobody_told_is_found_by_sweeping() {
    let mut script = Script::of(30, |seq| ("a", "x", format!("e{}", seq % 2)));
    script.open.fill(false);
    let mut world = World::new(settings(100, 64), script).listed();
    for seq in 1..=30 {
        world.script.open[seq as usize - 1] = true;
        if ![7, 20].contains(&seq) {
            world.hand_over(seq);
        }
    }
    // The one of them that is older than what fails is found in time, too.
    world.work(|run| run.seq == 1);
    assert_eq!(world.ended(), 14);
    world.flows.sweep(world.now);
    world.work(|_| false);
    assert_eq!(world.order["a/x/e0"].last(), Some(&20));
    world.now = FAR;
    world.flows.wake(world.now);
    world.work(|_| false);
    assert_eq!(world.order["a/x/e1"], (1..=29).step_by(2).collect::<Vec<_>>());
    // A flow of which nothing was ever heard.
    let mut world = World::new(settings(100, 2), Script::of(5, |_| ("b", "y", "e".to_owned())));
    world.flows.listed(Vec::new(), true);
    world.flows.sweep(world.now);
    let listed = world.script.flows();
    world.flows.listed(listed, true);
    world.work(|_| false);
    assert_eq!(world.ended(), 5);
}

#[test]
fn a_sweep_finds_nothing_wrong_with_a_lane_that_waits() {
    let script = Script::of(5_000, |_| ("a", "x", "stuck".to_owned()));
    let mut world = World::new(settings(100, 8), script).listed();
    world.work(|_| true);
    world.flows.sweep(world.now);
    assert_eq!(world.read(), 1, "the sweep's own question");
    assert!(!world.window("a", "x").behind);
}

#[test]
fn a_run_that_ends_while_a_page_is_read_is_not_taken_again() {
    let script = Script::of(4, |seq| ("a", "x", format!("e{seq}")));
    let mut world = World::new(settings(100, 8), script).listed();
    world.read();
    world.begin();
    world.flows.missed();
    let (flow, read) = world.flows.ask().unwrap();
    let answer = world.script.answer(&flow, &read);
    for run in std::mem::take(&mut world.executing) {
        world.end(run);
    }
    world.flows.answered(&flow, Some(answer), world.now);
    assert_eq!((world.read(), world.begin()), (0, 0));
    assert!(world.window("a", "x").lanes.is_empty());
}

#[test]
fn a_flow_that_turns_up_before_all_are_listed_reads_what_is_older_first() {
    let mut world = World::new(settings(100, 8), Script::of(3, |_| ("a", "x", "e".to_owned())));
    world.hand_over(3);
    assert_eq!(world.begin(), 0);
    world.work(|_| false);
    assert_eq!(world.order["a/x/e"], [1, 2, 3]);
}

#[test]
fn a_replayed_run_is_taken_although_it_is_old() {
    let mut script = Script::of(10, |_| ("a", "x", "e".to_owned()));
    script.open[1] = false;
    let mut world = World::new(settings(100, 8), script).listed();
    world.work(|_| false);
    world.script.open[1] = true;
    world.hand_over(2);
    world.work(|_| false);
    assert_eq!(world.order["a/x/e"], [1, 3, 4, 5, 6, 7, 8, 9, 10, 2]);
}

#[test]
fn a_lane_that_belongs_to_another_host_is_dropped_until_it_is_ours_again() {
    let script = Script::of(40, |seq| ("a", "x", (if seq % 2 == 0 { "ours" } else { "theirs" }).to_owned()));
    let mut world = World::new(settings(100, 8), script).listed();
    world.read();
    while let Some(run) = world.flows.next(|key| &*key.entity == "ours") {
        world.end(run);
    }
    assert!(world.order.keys().all(|name| name == "a/x/ours"), "{:?}", world.order);
    assert_eq!(world.window("a", "x").lanes.keys().filter(|entity| &***entity == "theirs").count(), 0);
    world.flows.missed();
    world.work(|_| false);
    assert_eq!(world.ended(), 40);
    world.assert_in_order();
}

#[test]
fn a_store_that_cannot_be_read_is_asked_again() {
    let mut world = World::new(settings(100, 4), Script::of(50, |_| ("a", "x", "e".to_owned()))).listed();
    for _ in 0..3 {
        let (flow, _) = world.flows.ask().unwrap();
        world.flows.answered(&flow, None, world.now);
    }
    world.read();
    world.begin();
    let run = world.executing.pop().unwrap();
    world.end(run);
    world.begin();
    let run = world.executing.pop().unwrap();
    world.end(run);
    let (flow, read) = world.flows.ask().unwrap();
    assert!(matches!(read, Read::Lane { .. }), "{read:?}");
    world.flows.answered(&flow, None, world.now);
    world.work(|_| false);
    assert_eq!(world.order["a/x/e"], (1..=50).collect::<Vec<_>>());
}

#[test]
fn a_run_that_is_sent_back_comes_after_an_older_one_that_was_heard_of_meanwhile() {
    let mut world = World::new(settings(100, 8), Script::of(2, |_| ("a", "x", "e".to_owned())));
    world.flows.listed(Vec::new(), true);
    world.hand_over(2);
    let run = world.next().unwrap();
    assert_eq!(run.seq, 2);
    // Told of late, while the other asks the store whether it is its turn.
    world.hand_over(1);
    world.send_back(run);
    world.work(|_| false);
    assert_eq!(world.order["a/x/e"], [1, 2]);
    assert!(world.window("a", "x").lanes.is_empty());
}

#[test]
fn a_run_that_is_sent_back_stays_in_the_store_with_what_is_older_and_there_only() {
    let mut world = World::new(settings(100, 1), Script::of(3, |_| ("a", "x", "e".to_owned())));
    world.flows.listed(Vec::new(), true);
    world.hand_over(3);
    let run = world.next().unwrap();
    // The lane has room for one of them.
    world.hand_over(1);
    world.hand_over(2);
    world.send_back(run);
    world.work(|_| false);
    assert_eq!(world.order["a/x/e"], [1, 2, 3]);
    assert_eq!(world.window("a", "x").held(), 0);
}

#[test]
fn a_run_that_is_sent_back_for_one_that_waits_beside_it_does_not_spin() {
    let mut script = Script::of(2, |_| ("a", "x", "e".to_owned()));
    script.hold_up = false;
    let mut world = World::new(settings(100, 8), script).listed();
    world.read();
    // The host waits for its plugin, of which the store knows nothing.
    let first = world.next().unwrap();
    world.put_off(first, FAR);
    world.script.not_before.clear();
    let second = world.next().unwrap();
    world.send_back(second);
    assert!(world.next().is_none(), "it is asked again at once, for ever");
    world.now = world.now.plus(Duration::from_secs(2));
    world.flows.wake(world.now);
    assert_eq!(world.next().map(|run| run.seq), Some(2));
}

#[test]
fn a_run_of_which_nobody_told_is_found_beyond_the_last_that_was_told_of() {
    let mut script = Script::of(3, |seq| ("a", "x", format!("e{seq}")));
    script.open = vec![true, false, true];
    let mut world = World::new(settings(100, 8), script);
    world.flows.listed(Vec::new(), true);
    world.hand_over(1);
    // Its flow is never idle, because of a run that waits for long.
    world.work(|run| run.seq == 1);
    for _ in 0..2 {
        world.flows.sweep(world.now);
        world.work(|_| false);
    }
    assert_eq!(world.order["a/x/e3"], [3]);
    assert!(!world.window("a", "x").behind);
}

#[test]
fn a_page_that_was_asked_for_before_everything_is_to_be_read_anew_is_not_taken() {
    let mut world = World::new(settings(100, 8), Script::of(2, |_| ("a", "x", "e".to_owned()))).listed();
    let (flow, read) = world.flows.ask().unwrap();
    assert!(matches!(read, Read::Page { after: 0, .. }), "{read:?}");
    // Both were committed, and missed, after the store was asked.
    world.flows.missed();
    world.flows.answered(&flow, Some(Answer::Runs(Vec::new())), world.now);
    world.hand_over(2);
    world.work(|_| false);
    assert_eq!(world.order["a/x/e"], [1, 2]);
}

#[test]
fn a_lane_that_goes_while_the_store_is_asked_about_one_of_its_runs_is_whole_when_it_comes_back() {
    let mut script = Script::of(60, |seq| ("a", "x", format!("e{}", seq % 6)));
    script.hold_up = false;
    let mut world = World::new(settings(16, 16), script).listed();
    world.read();
    let first = world.next().unwrap();
    world.put_off(first, FAR);
    world.now = FAR;
    world.flows.wake(world.now);
    // Memory is crowded, so only its name was kept.
    let (flow, read) = loop {
        let (flow, read) = world.flows.ask().unwrap();
        if read == (Read::Run { entity: Entity::from("e1"), seq: 1 }) {
            break (flow, read);
        }
        let answer = world.script.answer(&flow, &read);
        world.flows.answered(&flow, Some(answer), world.now);
    };
    assert!(world.flows.next(|_| false).is_none());
    let answer = world.script.answer(&flow, &read);
    world.flows.missed();
    world.flows.answered(&flow, Some(answer), world.now);
    world.work(|_| false);
    assert_eq!((world.ended(), world.window("a", "x").held()), (60, 0));
}
