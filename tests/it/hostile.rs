//! Code that does its worst: each limit is reached through the front door and ends only the run that reached it, while a
//! neighbour under load loses nothing. `scripts/hostile` measures how much slower the neighbour gets.

use std::{
    fs,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::harness::{Host, PAUL, Setup, copy_guest, event, report, repository, steps};

#[path = "../hostile/component.rs"]
mod component;

/// How an attack ends: the run's failure, and for a limit its name.
#[derive(Clone, Copy, Debug)]
enum End {
    Limit(&'static str),
    Fault(&'static str),
    Reject,
}
use End::{Fault, Limit, Reject};

/// What the plugin `hostile` does, by the last word of the event's type.
const OF_THE_SDK: [(&str, End); 25] = [
    ("loop", Limit("cpu")),
    ("recursion", Fault("stack")),
    ("memory-in-one-piece", Limit("memory")),
    ("memory-in-many-pieces", Limit("memory")),
    ("bulk-memory", Limit("cpu")),
    ("giant-string", Limit("crossing-bytes")),
    ("giant-list", Limit("crossing-bytes")),
    ("host-calls", Limit("host-calls")),
    ("log", Limit("log-bytes")),
    ("log-in-one-line", Limit("log-bytes")),
    ("stderr", Limit("log-bytes")),
    ("messages", Limit("messages")),
    ("refusals", Limit("host-calls")),
    ("timers", Limit("timers")),
    ("events", Limit("events")),
    ("state", Limit("state")),
    ("state-again", Limit("effect-bytes")),
    ("value", Limit("value-bytes")),
    ("key", Limit("key-bytes")),
    ("timer-data", Limit("data-bytes")),
    ("attachments", Limit("effect-bytes")),
    ("drafts", Limit("handles")),
    ("random", Limit("random-bytes")),
    ("sleep", Limit("time")),
    ("naps", Limit("time")),
];

/// Those that no compiler makes, by their file in `tests/hostile`.
const BY_HAND: [(&str, End); 13] = [
    ("loop-in-start", Limit("cpu")),
    ("loop-in-realloc", Limit("cpu")),
    ("loop-in-post-return", Limit("cpu")),
    ("memory-growth", Limit("memory")),
    ("many-memories", Limit("memory")),
    ("table-growth", Limit("table-elements")),
    ("many-tables", Limit("table-elements")),
    ("own-handles", Limit("handles")),
    ("wild-pointer", Fault("")),
    ("wild-realloc", Fault("")),
    ("absurd-length", Fault("")),
    ("absurd-answer", Fault("")),
    ("reentry", Fault("cannot leave component instance")),
];

fn attacks() -> Vec<(&'static str, End)> {
    OF_THE_SDK
        .into_iter()
        .chain([("panic", Fault("")), ("exit", Fault("exit code 1")), ("none", Reject)])
        .chain(BY_HAND)
        .collect()
}

/// A host with everything hostile, and the test's own plugin as the neighbour.
async fn host() -> Host {
    let mut host = Host::prepare(Setup::tester().with("plugins.limits.ceiling.concurrent = 64")).await;
    let packages = host.dir().join("packages");
    tokio::task::spawn_blocking({
        let packages = packages.clone();
        move || {
            copy_guest("tester", &packages);
            copy_guest("hostile", &packages);
            BY_HAND.iter().for_each(|(name, _)| by_hand(&packages.join(name), name));
        }
    })
    .await
    .unwrap();
    host.set(&format!("plugins.dir = {}", toml::Value::String(packages.display().to_string())));
    host.launch().await;
    host.sim.phone(PAUL, |_| {});
    host.customer("paul", PAUL).await;
    host
}

fn by_hand(package: &PathBuf, name: &str) {
    fs::create_dir_all(package).unwrap();
    fs::write(package.join(format!("{name}.wasm")), component::component(name)).unwrap();
    let text = fs::read_to_string(repository().join("tests/guests/hostile/plugin.toml")).unwrap();
    let contract = text.lines().find(|line| line.starts_with("world = ")).unwrap();
    let manifest = format!(
        "manifest = 1\n[plugin]\nname = \"{name}\"\nversion = \"1.0.0\"\n{contract}\ncomponent = \"{name}.wasm\"\n\
         [[on-event]]\ntypes = [\"com.example.by-hand.{name}\"]\nentity = \"hostile/{{id}}\"\n[on-timer]\n[retry]\nattempts = 1\n\
         [limits]\ncpu = \"200ms\"\ntime = \"2s\"\n"
    );
    fs::write(package.join("plugin.toml"), manifest).unwrap();
}

fn attack(name: &str) -> Value {
    let table = if BY_HAND.iter().any(|(of, _)| *of == name) { "by-hand" } else { "hostile" };
    event(&format!("com.example.{table}.{name}"), "paul", json!({}))
}

/// Posts it and waits for its end; the run.
async fn ended(host: &Host, name: &str) -> Value {
    let accepted = host.accept(attack(name)).await;
    let run = accepted["runs"][0].as_str().unwrap_or_else(|| panic!("{name}: {accepted:#}")).to_owned();
    host.until_run(&run, "set-aside").await
}

fn assert_ended_as_designed(name: &str, end: End, run: &Value) {
    let (failure, used) = (&run["failure"], &run["report"]["used"]);
    let message = failure["message"].as_str().unwrap_or_default();
    match end {
        Limit(limit) => {
            assert_eq!((&failure["kind"], &failure["limit"]), (&json!("limit"), &json!(limit)), "{name}: {failure:#}");
            assert!(message.contains(&format!("limits.{limit}")), "{name}: no setting is named: {message}");
        }
        Fault(why) => {
            assert_eq!(failure["kind"], "fault", "{name}: {failure:#}");
            assert!(message.contains(why), "{name}: {message}");
        }
        Reject => assert_eq!(failure["kind"], "reject", "{name}: {failure:#}"),
    }
    let rows = used.as_array().unwrap_or_else(|| panic!("{name}: {run:#}"));
    assert!(rows.iter().any(|row| row["limit"] == "time" && row["used"].as_u64() > Some(0)), "{name}: {used:#}");
    assert!(rows.iter().all(|row| row["allowed"].as_u64() > Some(0)), "{name}: {used:#}");
    assert_eq!(run["effects"], Value::Null, "{name}: nothing of it happens");
}

/// A customer of the neighbour's, who orders again as soon as the last order has been handled.
struct Neighbour {
    stop: AtomicBool,
    ordered: AtomicU32,
    took: Mutex<Vec<Duration>>,
}

impl Neighbour {
    fn new() -> Arc<Neighbour> {
        Arc::new(Neighbour { stop: AtomicBool::new(false), ordered: AtomicU32::new(0), took: Mutex::default() })
    }

    /// Until it is to stop. `pause` is between an order and the next.
    async fn order(&self, host: &Host, who: usize, pause: Duration) {
        while !self.stop.load(Ordering::Relaxed) {
            let no = self.ordered.fetch_add(1, Ordering::Relaxed);
            let script = json!([{"append": {"key": "list", "word": no.to_string()}}, {"send": {"text": format!("order {no}"), "sms": "only"}}]);
            let began = Instant::now();
            let ended = host.event(steps("paul", &format!("neighbour-{who}"), script)).await;
            assert_eq!(ended["complete"], true, "{ended:#}");
            assert_eq!(ended["results"][0]["state"], "done", "{ended:#}");
            self.took.lock().unwrap().push(began.elapsed());
            tokio::time::sleep(pause).await;
        }
    }

    fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// How long each order took since this was asked last.
    fn take(&self) -> Vec<Duration> {
        std::mem::take(&mut self.took.lock().unwrap())
    }
}

#[tokio::test]
async fn each_attack_ends_as_designed_and_a_neighbour_under_load_loses_nothing() {
    let host = host().await;
    let neighbour = Neighbour::new();
    let attacked = async {
        for (name, end) in attacks() {
            assert_ended_as_designed(name, end, &ended(&host, name).await);
        }
        neighbour.stop();
    };
    let load = futures_util::future::join_all((0..3).map(|who| neighbour.order(&host, who, Duration::from_millis(20))));
    tokio::join!(attacked, load);

    let ordered = neighbour.ordered.load(Ordering::Relaxed) as usize;
    assert!(ordered >= 20, "only {ordered} orders beside all attacks");
    host.until_eq("each of the neighbour's messages has arrived", ordered, async || {
        host.all_messages().await.iter().filter(|message| message["state"] == "delivered").count()
    })
    .await;
    let mut words: Vec<u32> = Vec::new();
    for who in 0..3 {
        let told = host.event(steps("", &format!("neighbour-{who}"), json!([{"tell": {"key": "list"}}]))).await;
        let said = told["results"][0]["report"]["log"][0]["message"].as_str().unwrap().to_owned();
        words.extend(said.trim_start_matches("list is ").split(',').map(|word| word.parse::<u32>().unwrap()));
    }
    words.sort_unstable();
    assert_eq!(words, (0..ordered as u32).collect::<Vec<_>>(), "each order is kept, once");
    // Nothing that an attack asked for has happened.
    assert_eq!(host.stats().await["timers"], 0);
    assert_eq!(host.all_messages().await.len(), ordered);
}

#[tokio::test]
async fn a_plugin_and_a_tenant_have_no_more_runs_side_by_side_than_they_may() {
    let mut setup =
        Setup::tester().with("run.concurrent-per-tenant-max = 3\nplugins.limits.plugin.tester.concurrent = 2");
    setup
        .over
        .push("plugins.limits.plugin.tester.time = \"60s\"\nplugins.limits.plugin.tester.cpu = \"400ms\"".to_owned());
    let host = Host::start(setup).await;
    let status = host.get("/v1/plugins/tester").await;
    assert_eq!((&status["limits"]["concurrent"], &status["limits"]["cpu"]), (&json!(2), &json!("400ms")), "{status:#}");
    let runs = futures_util::future::join_all((0..6).map(|no| {
        let (host, event) = (&host, steps("", &format!("e{no}"), json!(["loop"])));
        async move { host.accept(event).await["runs"][0].as_str().unwrap().to_owned() }
    }))
    .await;
    // What waits is in the store, and waits for as long as it takes: none of it is lost or has failed for waiting.
    for run in runs {
        let what = format!("run {run} was executed");
        let executed = host.until(&what, async || {
            let run = host.run(&run).await;
            if run["attempts"].as_u64() > Some(0) { Ok(run) } else { Err(format!("{run:#}")) }
        });
        assert_eq!(executed.await["failure"]["limit"], "cpu");
    }
}

/// Quiet and hostile phases by turns, so that what else the machine does falls upon both.
#[tokio::test]
#[ignore = "a measurement for people, which asserts nothing about time: scripts/hostile"]
async fn how_much_slower_a_neighbour_gets() {
    const AT_A_TIME: usize = 4;
    // Neither side is to use up the machine by the mere number of its events: that is a question of size and not of isolation.
    const PAUSE: Duration = Duration::from_millis(50);
    let (rounds, phase) = (report::rounds(5), Duration::from_secs(report::seconds(2).into()));
    let host = host().await;
    let neighbour = Neighbour::new();
    let phases = async {
        tokio::time::sleep(phase).await;
        neighbour.take();
        let (mut all_quiet, mut all_hostile) = (Vec::new(), Vec::new());
        let only = std::env::var("RELAIS_TEST_ONLY").unwrap_or_default();
        for (name, _) in attacks() {
            if !only.is_empty() && !only.split(',').any(|chosen| chosen == name) {
                continue;
            }
            let (mut quiet, mut hostile, mut ended) = (Vec::new(), Vec::new(), 0);
            for _ in 0..rounds {
                tokio::time::sleep(phase).await;
                quiet.extend(neighbour.take());
                ended += attack_for(&host, name, AT_A_TIME, PAUSE, phase).await;
                hostile.extend(neighbour.take());
                // What was under way when the phase ended.
                tokio::time::sleep(Duration::from_millis(300)).await;
                neighbour.take();
            }
            report::line(&format!("{name:24} {ended:5} runs  {}", compared(&quiet, &hostile)));
            all_quiet.extend(quiet);
            all_hostile.extend(hostile);
        }
        neighbour.stop();
        report::line(&format!("{:36}{}", "all", compared(&all_quiet, &all_hostile)));
    };
    let load = futures_util::future::join_all((0..4).map(|who| neighbour.order(&host, who, PAUSE)));
    tokio::join!(phases, load);
}

/// As many runs of an attack at a time, each followed by the next, for so long; how many have ended.
async fn attack_for(host: &Host, name: &str, at_a_time: usize, pause: Duration, time: Duration) -> usize {
    let until = Instant::now() + time;
    let one = || async {
        let mut count = 0;
        while Instant::now() < until {
            host.event(attack(name)).await;
            count += 1;
            tokio::time::sleep(pause).await;
        }
        count
    };
    futures_util::future::join_all((0..at_a_time).map(|_| one())).await.into_iter().sum()
}

fn compared(quiet: &[Duration], hostile: &[Duration]) -> String {
    let of = |took: &[Duration], part: usize| {
        let mut took = took.to_vec();
        took.sort_unstable();
        took.get(took.len() * part / 100).copied().unwrap_or_default().as_secs_f64() * 1000.0
    };
    let figure = |part| {
        let (quiet, hostile) = (of(quiet, part), of(hostile, part));
        format!("{quiet:6.1} → {hostile:6.1} ms, {:4.2} times", hostile / quiet)
    };
    format!("median {}   p95 {}   ({} and {} orders)", figure(50), figure(95), quiet.len(), hostile.len())
}
