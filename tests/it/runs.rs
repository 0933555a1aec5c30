//! All or nothing: a run that ends badly has asked for nothing; it is executed again, and at last set aside.

use std::{collections::BTreeMap, time::Duration};

use relais::clock::Timestamp;
use serde_json::{Value, json};

use crate::harness::{Host, PAUL, Packages, Setup, event, repository, steps};

async fn host() -> Host {
    let host = Host::start(Setup::tester()).await;
    host.sim.phone(PAUL, |_| {});
    host.customer("paul", PAUL).await;
    host
}

/// Everything that a run can ask for.
fn everything() -> Vec<Value> {
    vec![
        json!({"send": {"text": "from a run"}}),
        json!({"append": {"key": "list", "word": "one"}}),
        json!({"timer": {"key": "t", "after_s": 60, "steps": [{"send": {"text": "from a timer"}}]}}),
        json!({"emit": {"name": "com.example.test.emitted", "entity": "other", "steps": []}}),
    ]
}

/// Accepts an event that sets off one run; the run's id.
async fn accept(host: &Host, event: Value) -> String {
    host.accept(event).await["runs"][0].as_str().unwrap().to_owned()
}

async fn executed(host: &Host, run: &str, times: u64) -> Value {
    host.until(&format!("run {run} was executed {times} times"), async || {
        let run = host.run(run).await;
        if run["attempts"] == times { Ok(run) } else { Err(format!("{run:#}")) }
    })
    .await
}

/// The end of what a run's last execution wrote to its log.
fn said(run: &Value) -> Vec<&str> {
    run["report"]["log"].as_array().unwrap().iter().map(|line| line["message"].as_str().unwrap()).collect()
}

fn time(value: &Value) -> Timestamp {
    Timestamp::parse(value.as_str().unwrap()).unwrap()
}

/// Every run of the host, the first one first.
async fn all(host: &Host) -> Vec<Value> {
    let mut runs = host.get("/v1/runs?limit=200").await["runs"].as_array().unwrap().clone();
    runs.reverse();
    runs
}

/// Nothing that a run asked for is there.
async fn nothing(host: &Host) {
    assert_eq!(host.messages("paul").await, Vec::<Value>::new());
    assert_eq!(host.stats().await["timers"], 0);
    let events = host.get("/v1/events").await;
    let kinds: Vec<_> = events["events"].as_array().unwrap().iter().map(|event| &event["type"]).collect();
    // The host's own tell that a run was set aside; none was asked for by a run.
    let asked_for = |kind: &Value| kind != "com.example.test.go" && kind != "relais.run.set-aside";
    assert!(!kinds.iter().any(|kind| asked_for(kind)), "{kinds:?}");
}

#[tokio::test]
async fn a_run_that_traps_after_asking_leaves_nothing_and_is_set_aside_after_its_executions() {
    let host = host().await;
    let mut script = everything();
    script.push(json!("trap"));
    let run = accept(&host, steps("paul", "a", json!(script))).await;
    let failed = executed(&host, &run, 1).await;
    assert_eq!((&failed["state"], &failed["failure"]["kind"]), (&json!("open"), &json!("fault")), "{failed:#}");
    nothing(&host).await;
    host.advance("13s").await;
    executed(&host, &run, 2).await;
    nothing(&host).await;
    host.advance("25s").await;
    let aside = host.until_run(&run, "set-aside").await;
    assert_eq!(aside["attempts"], 3);
    assert_eq!(aside["input"]["event"]["type"], "com.example.test.go", "{aside:#}");
    // The evidence: what it said last, and where it was.
    assert!(said(&aside).iter().any(|line| line.contains("told to trap")), "{aside:#}");
    let frames = aside["failure"]["backtrace"].as_array().unwrap();
    assert!(frames.iter().any(|frame| frame.as_str().unwrap().contains("tester")), "{frames:#?}");
    nothing(&host).await;

    let listed = host.get("/v1/runs?state=set-aside").await;
    assert_eq!(listed["runs"][0]["id"], json!(run), "{listed:#}");
    assert_eq!(host.stats().await["set_aside_runs"], 1);
    let discarded = host.post(&format!("/v1/runs/{run}/discard"), json!({})).await.ok();
    assert_eq!(discarded["state"], "discarded");
    assert_eq!(host.post(&format!("/v1/runs/{run}/replay"), json!({})).await.status, 409);
    nothing(&host).await;
}

#[tokio::test]
async fn what_was_set_aside_is_replayed_once_its_reason_is_gone() {
    let mut host = host().await;
    host.set("plugins.config.tester.broken = true");
    host.restart().await;
    let mut script = everything();
    script.push(json!("fail-if-broken"));
    let run = accept(&host, steps("paul", "a", json!(script))).await;
    // The plugin says that it is not worth trying again.
    let aside = host.until_run(&run, "set-aside").await;
    assert_eq!((&aside["attempts"], &aside["failure"]["kind"]), (&json!(1), &json!("reject")), "{aside:#}");
    nothing(&host).await;

    host.set("plugins.config.tester.broken = false");
    host.restart().await;
    host.post(&format!("/v1/runs/{run}/replay"), json!({})).await.ok();
    host.until_run(&run, "done").await;
    host.only_message("paul", "read").await;
    assert_eq!(host.stats().await["timers"], 1);
    let told = host.event(steps("paul", "a", json!([{"tell": {"key": "list"}}]))).await;
    assert_eq!(said(&told["results"][0]), ["list is one"]);
}

#[tokio::test]
async fn runs_about_one_entity_keep_their_order_and_hold_up_nobody_else() {
    let host = host().await;
    let append = |word: &str| json!({"append": {"key": "list", "word": word}});
    let first = accept(&host, steps("paul", "a", json!([append("1"), {"trap-before": {"attempt": 3}}]))).await;
    executed(&host, &first, 1).await;
    let second = accept(&host, steps("paul", "a", json!([append("2")]))).await;
    let third = accept(&host, steps("paul", "a", json!([append("3"), {"tell": {"key": "list"}}]))).await;
    let neighbour = host.event(steps("paul", "b", json!([append("1")]))).await;
    assert_eq!(neighbour["complete"], true, "another entity waits for nobody: {neighbour:#}");
    for waiting in [&second, &third] {
        assert_eq!(host.run(waiting).await["attempts"], 0, "it waits for the first");
    }
    host.advance("13s").await;
    executed(&host, &first, 2).await;
    host.advance("25s").await;
    let told = host.until_run(&third, "done").await;
    assert_eq!(said(&told), ["list is 1,2,3"]);
}

#[tokio::test]
async fn a_plugin_that_wants_a_pause_gets_it() {
    let host = host().await;
    let run = accept(&host, steps("paul", "a", json!([{"retry": {"why": "the shop is closed", "after_s": 45}}]))).await;
    let failed = executed(&host, &run, 1).await;
    assert_eq!(failed["failure"]["message"], "the shop is closed", "{failed:#}");
    let wanted = time(&failed["accepted"]).plus(Duration::from_secs(45));
    assert!(time(&failed["at"]) >= wanted, "{failed:#}");
    host.advance("40s").await;
    // An event of another entity passes through the same stage, so the time was looked at.
    host.event(steps("paul", "b", json!([]))).await;
    assert_eq!(host.run(&run).await["attempts"], 1);
    host.advance("20s").await;
    executed(&host, &run, 2).await;
}

#[tokio::test]
async fn a_plugin_that_takes_too_much_is_stopped_and_its_neighbours_are_served() {
    let host = host().await;
    for greedy in [json!("loop"), json!({"memory": {"mib": 100}})] {
        let run =
            accept(&host, steps("paul", &format!("greedy {greedy}"), json!([{"send": {"text": "no"}}, greedy]))).await;
        let neighbour = host.event(steps("paul", "b", json!([]))).await;
        assert_eq!(neighbour["complete"], true);
        let failed = executed(&host, &run, 1).await;
        assert_eq!(failed["failure"]["kind"], "limit", "{failed:#}");
        let (limit, allowed) = if greedy == "loop" { ("cpu", "200ms") } else { ("memory", "64MiB") };
        assert_eq!(failed["failure"]["limit"], limit, "{failed:#}");
        assert!(failed["failure"]["message"].as_str().unwrap().contains(allowed), "{failed:#}");
    }
    nothing(&host).await;
}

#[tokio::test]
async fn endless_loops_on_every_core_leave_room_for_the_neighbours() {
    let host = host().await;
    // More of them than this machine has cores, all at once.
    let mut loops = Vec::new();
    for no in 0..2 * std::thread::available_parallelism().unwrap().get() {
        loops.push(accept(&host, steps("paul", &format!("loop {no}"), json!(["loop"]))).await);
    }
    for no in 0..20 {
        let neighbour = host.event(steps("paul", &format!("neighbour {no}"), json!([]))).await;
        assert_eq!(neighbour["results"][0]["state"], "done", "{neighbour:#}");
    }
    for run in loops {
        assert_eq!(executed(&host, &run, 1).await["failure"]["limit"], "cpu");
    }
}

#[tokio::test]
async fn the_pauses_between_executions_grow() {
    let host = host().await;
    let run = accept(&host, steps("paul", "a", json!(["trap"]))).await;
    let first = executed(&host, &run, 1).await;
    let (accepted, again) = (time(&first["accepted"]), time(&first["at"]));
    assert!(again >= accepted.plus(Duration::from_secs(10)), "{first:#}");
    // Long before that time and from there on: an execution that came early would plan the next one early as well.
    host.advance("5s").await;
    host.event(steps("paul", "b", json!([]))).await;
    host.advance("8s").await;
    let second = executed(&host, &run, 2).await;
    assert!(time(&second["at"]) >= again.plus(Duration::from_secs(20)), "{again}: {second:#}");
}

#[tokio::test]
async fn a_run_that_is_executed_again_asks_for_messages_with_the_same_ids() {
    let mut host = host().await;
    host.set("plugins.config.tester.broken = true");
    host.restart().await;
    let sends = [json!({"send": {"text": "one"}}), json!({"send": {"text": "two"}})];
    let script = json!([sends[0], sends[1], {"trap-before": {"attempt": 2}}, "fail-if-broken"]);
    let run = accept(&host, steps("paul", "a", script)).await;
    let asked = |run: &Value| -> Vec<String> {
        said(run).iter().filter_map(|line| line.strip_prefix("asked for ")).map(str::to_owned).collect()
    };
    let trapped = asked(&executed(&host, &run, 1).await);
    assert_eq!(trapped.len(), 2);
    host.advance("13s").await;
    let rejected = asked(&host.until_run(&run, "set-aside").await);
    assert_eq!(rejected, trapped);

    // By another process, after a replay.
    host.set("plugins.config.tester.broken = false");
    host.restart().await;
    let replayed = host.post(&format!("/v1/runs/{run}/replay"), json!({})).await.ok();
    assert_eq!(replayed["attempts"], 0, "its executions are forgotten: {replayed:#}");
    executed(&host, &run, 1).await;
    host.advance("13s").await;
    let done = host.until_run(&run, "done").await;
    assert_eq!(done["effects"]["messages"], json!(trapped), "{done:#}");
    let sent: Vec<_> = host.messages("paul").await.iter().map(|message| message["id"].clone()).collect();
    assert_eq!(json!(sent), json!(trapped));
}

#[tokio::test]
async fn runs_of_many_entities_at_once_each_follow_the_order_of_acceptance() {
    let host = host().await;
    // Posted side by side, so that nobody but the host knows the order.
    let posts = (0..60).map(|no| {
        let word = json!({"append": {"key": "list", "word": no.to_string()}});
        let event = steps("paul", &format!("e{}", no % 3), json!([word]));
        let host = &host;
        async move { (accept(host, event).await, no.to_string()) }
    });
    let words: BTreeMap<_, _> = futures_util::future::join_all(posts).await.into_iter().collect();
    host.until_eq("all are over", json!(0), async || host.stats().await["open_runs"].clone()).await;
    let accepted = all(&host).await;
    for entity in ["e0", "e1", "e2"] {
        let name = format!("test/{entity}");
        let of_entity = accepted.iter().filter(|run| run["entity"] == name.as_str());
        let wanted: Vec<_> = of_entity.map(|run| words[run["id"].as_str().unwrap()].as_str()).collect();
        assert_eq!(wanted.len(), 20);
        // A run that overlapped another one would have overwritten its word.
        let told = host.event(steps("paul", entity, json!([{"tell": {"key": "list"}}]))).await;
        assert_eq!(said(&told["results"][0]), [format!("list is {}", wanted.join(","))]);
    }
}

#[tokio::test]
async fn an_event_that_a_run_emits_runs_its_own_plugin_and_others() {
    let mut host = Host::prepare(Setup::tester()).await;
    // The same component under another name: a plugin of somebody else, who listens.
    let packages = Packages::Tester.directory(host.dir());
    let listener = packages.join("listener");
    std::fs::create_dir_all(&listener).unwrap();
    let manifest = std::fs::read_to_string(repository().join("tests/guests/tester/plugin.toml")).unwrap();
    let manifest = manifest
        .replace("name = \"tester\"", "name = \"listener\"")
        .replace("types = [\"com.example.test.*\"]", "types = [\"com.example.test.emitted\"]");
    std::fs::write(listener.join("plugin.toml"), manifest).unwrap();
    std::fs::copy(packages.join("tester/tester.wasm"), listener.join("tester.wasm")).unwrap();
    host.launch().await;
    host.sim.phone(PAUL, |_| {});
    host.customer("paul", PAUL).await;

    let then = json!([{"append": {"key": "list", "word": "heard"}}, {"send": {"text": "heard"}}]);
    let emit = json!([{"emit": {"name": "com.example.test.emitted", "entity": "b", "steps": then}}]);
    let run = accept(&host, steps("paul", "a", emit)).await;
    let done = host.until_run(&run, "done").await;
    let emitted = done["effects"]["events"][0].as_str().unwrap();
    host.until("both plugins have heard it", async || {
        let story = host.get(&format!("/v1/events/{emitted}")).await;
        let runs = story["runs"].as_array().unwrap();
        let done = runs.len() == 2 && runs.iter().all(|run| run["state"] == "done");
        if done { Ok(()) } else { Err(format!("{story:#}")) }
    })
    .await;
    let story = host.get(&format!("/v1/events/{emitted}")).await;
    assert_eq!(story["cause"], json!(run));
    let mut who: Vec<_> = story["runs"].as_array().unwrap().iter().map(|run| run["plugin"].clone()).collect();
    who.sort_by_key(Value::to_string);
    assert_eq!(who, ["listener", "tester"]);
    let mut authors: Vec<_> = host.messages("paul").await.iter().map(|m| m["author"]["plugin"].clone()).collect();
    authors.sort_by_key(Value::to_string);
    assert_eq!(authors, ["listener", "tester"]);
    // Each has a state of its own.
    let told = host.event(steps("paul", "b", json!([{"tell": {"key": "list"}}]))).await;
    assert_eq!(said(&told["results"][0]), ["list is heard"]);
}

#[tokio::test]
async fn an_event_that_two_subscriptions_match_is_two_runs_which_end_each_for_itself() {
    let host = host().await;
    let data = json!({"entity": "a", "steps": [{"append": {"key": "list", "word": "x"}}, {"send": {"text": "twice"}}]});
    let ended = host.event(event("com.example.test.twice", "paul", data)).await;
    let runs = ended["results"].as_array().unwrap();
    let mut entities: Vec<_> = runs.iter().map(|run| run["entity"].as_str().unwrap()).collect();
    entities.sort_unstable();
    assert_eq!(entities, ["again/a", "test/a"], "{ended:#}");
    assert_eq!(host.messages("paul").await.len(), 2, "two runs, two messages");
    let told = host.event(steps("paul", "a", json!([{"tell": {"key": "list"}}]))).await;
    assert_eq!(said(&told["results"][0]), ["list is x"], "each wrote to its own entity");
}
