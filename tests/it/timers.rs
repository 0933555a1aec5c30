//! Timers fire once and not early, after restarts too.

use std::time::Duration;

use relais::clock::{Clock, Timestamp};
use serde_json::{Value, json};

use crate::harness::{Db, Host, LEA, MALIK, PAUL, Setup, Shown, both_databases, steps};

both_databases! {
    a_timer_fires_once_and_not_early_whatever_happens_to_the_host,
    a_timer_that_came_due_before_the_host_was_killed_runs_once_after_it,
    a_timer_can_be_cancelled_as_long_as_it_has_not_run,
    a_timer_can_be_moved_as_long_as_it_has_not_run,
    a_timer_that_is_too_late_to_be_of_use_is_dropped,
    a_timer_that_was_held_up_until_it_was_of_no_use_is_not_given_to_the_plugin,
}

async fn host(db: Db) -> Host {
    let host = Host::start(Setup::tester().on(db)).await;
    host.sim.phone(PAUL, |_| {});
    host.customer("paul", PAUL).await;
    host
}

/// Every run that a timer has set off.
async fn timer_runs(host: &Host) -> Vec<Value> {
    let mut runs = host.get("/v1/runs?limit=200").await["runs"].as_array().unwrap().clone();
    runs.retain(|run| run["kind"] == "timer");
    runs
}

/// The one run that a timer has set off, if there is one.
async fn timer_run(host: &Host) -> Option<Value> {
    let mut runs = timer_runs(host).await;
    assert!(runs.len() <= 1, "a timer that was set once has run twice: {runs:#?}");
    runs.pop()
}

/// A timer about `a` that has come due and cannot run yet: a run of its entity that failed holds it up, and takes
/// `steps` once it succeeds. The run that set the timer, and the one that is in its way.
async fn due_behind_a_failing_run(host: &Host, timer: Value, steps_then: Value) -> (Value, String) {
    let set = host.event(steps("paul", "a", json!([{"timer": timer}]))).await;
    let mut script = vec![json!({"trap-before": {"attempt": 2}})];
    script.extend(steps_then.as_array().unwrap().iter().cloned());
    let failing = host.accept(steps("paul", "a", json!(script))).await["runs"][0].as_str().unwrap().to_owned();
    host.until_eq("it has failed", json!(1), async || host.run(&failing).await["attempts"].clone()).await;
    // The timer is due in three seconds, and the run is executed again after ten at the earliest.
    host.advance("4s").await;
    host.until("the timer has come due", async || match timer_run(host).await {
        Some(run) if run["state"] == "open" => Ok(()),
        other => Err(format!("{other:#?}")),
    })
    .await;
    assert_eq!(host.stats().await["timers"], 1, "it stays until its run commits");
    (set["results"][0].clone(), failing)
}

async fn until_nothing_is_open(host: &Host) {
    host.until_eq("no run is open", json!(0), async || host.stats().await["open_runs"].clone()).await;
}

fn time(value: &Value) -> Timestamp {
    Timestamp::parse(value.as_str().unwrap()).unwrap()
}

async fn a_timer_fires_once_and_not_early_whatever_happens_to_the_host(db: Db) {
    let mut host = host(db).await;
    let timer = |key: &str, after_s: u32| json!({"timer": {"key": key, "after_s": after_s, "steps": [{"send": {"text": format!("{key} at {after_s}")}}]}});
    // One that stays, one that is moved, one that is cancelled, and the same key of another entity.
    let first = json!([timer("stays", 3600), timer("moved", 1800), timer("gone", 3600)]);
    let second = json!([timer("moved", 7200), {"cancel-timer": {"key": "gone"}}]);
    let mut set = Vec::new();
    for (entity, script) in [("a", first), ("a", second), ("b", json!([timer("gone", 5400)]))] {
        set.push(time(&host.event(steps("paul", entity, script)).await["results"][0]["accepted"]));
    }
    let due = |no: usize, after_s: u64| set[no].plus(Duration::from_secs(after_s));
    assert_eq!(host.stats().await["timers"], 3);

    let bodies = async |host: &Host| -> Vec<String> {
        let messages = host.messages("paul").await;
        messages.iter().map(|message| message["content"]["text"].as_str().unwrap().to_owned()).collect()
    };
    host.advance("59m").await;
    host.restart().await;
    assert_eq!(bodies(&host).await, Vec::<String>::new(), "a minute is left");
    host.advance("2m").await;
    host.until_eq("the first", vec!["Free: stays at 3600".to_owned()], async || bodies(&host).await).await;

    // It comes due while the host is down.
    host.kill().await;
    host.sim.clock.advance_to(host.sim.now().plus(Duration::from_secs(3600)));
    host.launch().await;
    let all = ["Free: stays at 3600", "Free: gone at 5400", "Free: moved at 7200"].map(str::to_owned).to_vec();
    host.until_eq("all three", all.clone(), async || {
        let mut bodies = bodies(&host).await;
        bodies.sort_by_key(|body| body.rsplit(' ').next().map(str::to_owned));
        bodies
    })
    .await;
    host.restart().await;
    host.advance("1d").await;
    assert_eq!(bodies(&host).await.len(), 3);
    assert_eq!(host.stats().await["timers"], 0);
    for message in host.messages("paul").await {
        let id = message["id"].as_str().unwrap();
        assert_eq!(host.until_state(id, "read").await.way(), "whatsapp read");
    }
    // Whatever woke it up or started it: not a moment before it was due, and once.
    let mut runs = timer_runs(&host).await;
    runs.sort_by_key(|run| run["cause"].to_string());
    let dues = [("gone", due(2, 5400)), ("moved", due(1, 7200)), ("stays", due(0, 3600))];
    assert_eq!(runs.len(), dues.len(), "{runs:#?}");
    for (run, (key, due)) in runs.iter().zip(dues) {
        assert_eq!(run["cause"], key);
        assert!(time(&run["accepted"]) >= due, "it was due at {due}: {run:#}");
    }
}

async fn a_timer_that_came_due_before_the_host_was_killed_runs_once_after_it(db: Db) {
    let mut host = host(db).await;
    let steps_due = json!([{"append": {"key": "list", "word": "fired"}}, {"send": {"text": "fired"}}]);
    let timer = json!({"key": "t", "after_s": 3, "steps": steps_due});
    let (set, failing) = due_behind_a_failing_run(&host, timer, json!([])).await;
    host.restart().await;
    assert_eq!(host.messages("paul").await, Vec::<Value>::new());
    host.advance("13s").await;
    host.until_run(&failing, "done").await;
    host.only_message("paul", "read").await;
    until_nothing_is_open(&host).await;
    let fired = timer_run(&host).await.unwrap();
    assert_eq!((&fired["state"], &fired["attempts"]), (&json!("done"), &json!(1)), "{fired:#}");
    assert!(time(&fired["accepted"]) >= time(&set["accepted"]).plus(Duration::from_secs(3)), "early: {fired:#}");

    // Neither another start nor any length of time brings it back.
    host.restart().await;
    host.advance("2d").await;
    let told = host.event(steps("paul", "a", json!([{"tell": {"key": "list"}}]))).await;
    assert_eq!(told["results"][0]["report"]["log"][0]["message"], "list is fired");
    timer_run(&host).await.unwrap();
    assert_eq!((host.messages("paul").await.len(), &host.stats().await["timers"]), (1, &json!(0)));
}

async fn a_timer_can_be_cancelled_as_long_as_it_has_not_run(db: Db) {
    let mut host = host(db).await;
    let timer = json!({"key": "t", "after_s": 3, "steps": [{"send": {"text": "no"}}]});
    let (_, failing) = due_behind_a_failing_run(&host, timer, json!([{"cancel-timer": {"key": "t"}}])).await;
    host.restart().await;
    host.advance("13s").await;
    host.until_run(&failing, "done").await;
    until_nothing_is_open(&host).await;
    assert_eq!(timer_run(&host).await, None, "its run went with it");
    assert_eq!(host.messages("paul").await, Vec::<Value>::new());
    assert_eq!(host.stats().await["timers"], 0);
}

async fn a_timer_can_be_moved_as_long_as_it_has_not_run(db: Db) {
    let host = host(db).await;
    let timer = json!({"key": "t", "after_s": 3, "steps": [{"send": {"text": "too early"}}]});
    let later = json!([{"timer": {"key": "t", "after_s": 3600, "steps": [{"send": {"text": "in time"}}]}}]);
    let (_, failing) = due_behind_a_failing_run(&host, timer, later).await;
    host.advance("13s").await;
    host.until_run(&failing, "done").await;
    until_nothing_is_open(&host).await;
    assert_eq!(timer_run(&host).await, None, "the run of the earlier time went with it");
    host.advance("1h").await;
    let message = host.only_message("paul", "read").await;
    assert_eq!(message["content"]["text"], "Free: in time");
    timer_run(&host).await.unwrap();
}

async fn a_timer_that_is_too_late_to_be_of_use_is_dropped(db: Db) {
    let mut host = host(db).await;
    let timer = |key: &str, expires_s: u32| {
        let steps = json!([{"send": {"text": key}}]);
        json!({"timer": {"key": key, "after_s": 600, "expires_s": expires_s, "steps": steps}})
    };
    host.event(steps("paul", "a", json!([timer("late", 1200), timer("still of use", 7200)]))).await;
    assert_eq!(host.stats().await["timers"], 2);
    // Both come due while the host is down, and one of them is over when it is back.
    host.kill().await;
    host.sim.clock.advance_to(host.sim.now().plus(Duration::from_secs(3600)));
    host.launch().await;
    let message = host.only_message("paul", "read").await;
    assert_eq!(message["content"]["text"], "Free: still of use");
    until_nothing_is_open(&host).await;
    assert_eq!(host.stats().await["timers"], 0);
    assert_eq!(timer_run(&host).await.unwrap()["cause"], "still of use");
}

async fn a_timer_that_was_held_up_until_it_was_of_no_use_is_not_given_to_the_plugin(db: Db) {
    let host = host(db).await;
    let timer = json!({"key": "t", "after_s": 3, "expires_s": 14, "steps": [{"send": {"text": "too late"}}]});
    let (_, failing) = due_behind_a_failing_run(&host, timer, json!([])).await;
    host.advance("13s").await;
    host.until_run(&failing, "done").await;
    until_nothing_is_open(&host).await;
    let run = timer_run(&host).await.unwrap();
    let why = run["report"]["plugin_version"].as_str().unwrap();
    assert_eq!((run["state"].as_str().unwrap(), why), ("done", "not executed: too late to be of use"), "{run:#}");
    assert_eq!(host.messages("paul").await, Vec::<Value>::new());
    assert_eq!(host.stats().await["timers"], 0);
}

/// A run on loan to a loaded machine gets a second; the whole must not stand still for longer than this.
const STANDSTILL_MAX: Duration = Duration::from_secs(60);

/// So many timers come due in the same second. RELAIS_TEST_TIMERS says how many; by default as many as a build without
/// optimisation runs in a minute or two.
#[tokio::test]
async fn very_many_timers_due_at_once_run_once_each_while_others_are_served() {
    const OF_ENTITY: usize = 100;
    let count: usize = std::env::var("RELAIS_TEST_TIMERS").ok().map_or(10_000, |text| text.parse().unwrap());
    let host = host(Db::Sqlite).await;
    let timers: Vec<Value> =
        (0..OF_ENTITY).map(|no| json!({"timer": {"key": format!("t{no}"), "after_s": 7200, "steps": []}})).collect();
    let events: Vec<Value> = (0..count / OF_ENTITY).map(|no| steps("paul", &format!("e{no}"), json!(timers))).collect();
    for batch in events.chunks(20) {
        assert_eq!(host.post_event("/v1/events", &json!(batch)).await.status, 202);
        until_nothing_is_open(&host).await;
    }
    assert_eq!(host.stats().await["timers"], count);
    let memory_before = host.memory_bytes();
    host.advance("3h").await;

    // A timer that has fired is counted twice until its run has ended: as a timer, and as an open run.
    let left = async |stats: &Value| ["timers", "open_runs"].map(|name| stats[name].as_u64().unwrap());
    let (mut last, mut progress) = ([u64::MAX; 2], std::time::Instant::now());
    loop {
        // Whoever comes meanwhile is accepted and run: the call fails where it takes longer than twenty seconds.
        let other = host.event(steps("paul", "other", json!([{"append": {"key": "list", "word": "x"}}]))).await;
        assert_eq!(other["complete"], true, "others wait too long: {other:#}");
        let left = left(&host.stats().await).await;
        if left == [0, 0] {
            break;
        }
        if left != last {
            (last, progress) = (left, std::time::Instant::now());
        }
        assert!(
            progress.elapsed() < STANDSTILL_MAX,
            "timers and open runs that are left: {left:?}, and it stands still"
        );
    }
    let grown = host.memory_bytes().saturating_sub(memory_before);
    assert!(grown < 256 << 20, "it took {} MiB more", grown >> 20);
    let lateness = host.stats().await["timer_lateness_ms"].clone();
    assert_eq!(lateness["count"], count, "each was given to its plugin once: {lateness:#}");
    assert!(lateness["max"].as_u64() >= lateness["p99"].as_u64() && lateness["p50"].as_u64() > Some(0), "{lateness:#}");

    let mut seen = std::collections::BTreeSet::new();
    let mut path = "/v1/runs?state=done&limit=200".to_owned();
    loop {
        let page = host.get(&path).await;
        for run in page["runs"].as_array().unwrap().iter().filter(|run| run["kind"] == "timer") {
            let name = (run["entity"].to_string(), run["cause"].to_string());
            assert_eq!(run["attempts"], 1, "{run:#}");
            assert!(seen.insert(name), "it has run twice: {run:#}");
        }
        let Some(next) = page["next"].as_i64() else { break };
        path = format!("/v1/runs?state=done&limit=200&before={next}");
    }
    assert_eq!(seen.len(), count);
}

#[tokio::test]
async fn a_clock_that_is_set_back_runs_no_timer_early_and_none_twice() {
    let host = host(Db::Sqlite).await;
    let timer = |key: &str, after_s: u32| json!({"timer": {"key": key, "after_s": after_s, "steps": []}});
    let set = host.event(steps("paul", "a", json!([timer("before", 60), timer("after", 600)]))).await;
    let accepted = time(&set["results"][0]["accepted"]);
    host.advance("2m").await;
    host.until_eq("the first has run", 1, async || timer_runs(&host).await.len()).await;
    host.jump("-1h").await;
    // Its own time is an hour further away now, and the time of the first comes once more.
    host.advance("65m").await;
    host.event(steps("paul", "b", json!([]))).await;
    assert_eq!(timer_runs(&host).await.len(), 1, "neither early nor twice");
    host.advance("10m").await;
    host.until_eq("the second has run", 2, async || timer_runs(&host).await.len()).await;
    let second = timer_runs(&host).await.into_iter().find(|run| run["cause"] == "after").unwrap();
    assert!(time(&second["accepted"]) >= accepted.plus(Duration::from_secs(600)), "{second:#}");
    // One that is set after the jump is found although the host was waiting for a later one.
    host.event(steps("paul", "a", json!([timer("far", 86_400)]))).await;
    host.jump("-1h").await;
    host.event(steps("paul", "a", json!([timer("near", 60)]))).await;
    host.advance("61s").await;
    host.until_eq("the near one has run", 3, async || timer_runs(&host).await.len()).await;
    until_nothing_is_open(&host).await;
    assert_eq!(host.stats().await["timers"], 1);
}

#[tokio::test]
async fn a_clock_that_jumps_forward_runs_what_is_due_once() {
    let mut host = host(Db::Sqlite).await;
    let timer = json!({"timer": {"key": "t", "after_s": 1800, "steps": [{"send": {"text": "due"}}]}});
    host.event(steps("paul", "a", json!([timer]))).await;
    let failing = host.accept(steps("paul", "b", json!([{"trap-before": {"attempt": 2}}]))).await;
    let failing = failing["runs"][0].as_str().unwrap().to_owned();
    host.until_eq("it has failed", json!(1), async || host.run(&failing).await["attempts"].clone()).await;
    host.jump("1h").await;
    host.only_message("paul", "read").await;
    host.until_run(&failing, "done").await;
    host.jump("-1h").await;
    host.restart().await;
    host.advance("2h").await;
    until_nothing_is_open(&host).await;
    timer_run(&host).await.unwrap();
    assert_eq!(host.messages("paul").await.len(), 1);
}

#[tokio::test]
async fn a_clock_that_is_set_back_keeps_no_fallback_no_retry_and_no_pace_waiting() {
    let host = Host::start(Setup::tester().with("dispatch.pair-interval-s = 4\ndispatch.pair-burst = 1")).await;
    // One is offline, one meets a busy provider, one is written to faster than the pace allows.
    for (who, number) in [("paul", PAUL), ("lea", LEA), ("malik", MALIK)] {
        host.sim.phone(number, |phone| phone.online = who != "paul");
        host.customer(who, number).await;
    }
    let send = async |who: &str| {
        let script = json!([{"send": {"text": "hello", "fallback-after-s": 120}}]);
        let ended = host.event(steps(who, who, script)).await;
        ended["results"][0]["messages"][0]["id"].as_str().unwrap().to_owned()
    };
    let offline = send("paul").await;
    host.until_state(&offline, "sent").await;
    host.sim.trouble(json!({"kind": "busy", "retry_after_s": 60, "times": 1})).await;
    let busy = send("lea").await;
    let waits = async |id: &str, at_most_s: u64| {
        host.until(&format!("{id} waits at most {at_most_s} s"), async || {
            let message = host.message(id).await;
            let now = time(&host.stats().await["now"]);
            let soon = message["next_at"].as_str().and_then(Timestamp::parse);
            let soon = soon.is_some_and(|at| at <= now.plus(Duration::from_secs(at_most_s)));
            if soon { Ok(()) } else { Err(format!("it is {now}: {message:#}")) }
        })
        .await;
    };
    waits(&busy, 61).await;
    let paced = [send("malik").await, send("malik").await];
    host.jump("-1h").await;
    for id in &paced {
        host.until_state(id, "read").await;
    }
    waits(&offline, 121).await;
    waits(&busy, 61).await;
    host.advance("65s").await;
    assert_eq!(host.until_state(&busy, "read").await.way(), "whatsapp failed (rate-limited) → whatsapp read");
    host.advance("60s").await;
    let fallen = host.until_state(&offline, "delivered").await;
    assert!(fallen.way().ends_with("sms delivered"), "{}", fallen.way());
}
