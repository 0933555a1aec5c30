//! All or nothing: a run that ends badly has asked for nothing; it is executed again, and at last set aside.

use serde_json::{Value, json};

use crate::harness::{Host, PAUL, Setup, steps};

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

/// Nothing that a run asked for is there.
async fn nothing(host: &Host) {
    assert_eq!(host.messages("paul").await, Vec::<Value>::new());
    assert_eq!(host.stats().await["timers"], 0);
    let events = host.get("/v1/events").await;
    assert!(!events.to_string().contains("com.example.test.emitted"), "{events:#}");
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
    assert_eq!(told["results"][0]["report"]["log"][0]["message"], "list is one", "{told:#}");
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
    assert_eq!(told["report"]["log"][0]["message"], "list is 1,2,3", "{told:#}");
}

#[tokio::test]
async fn a_plugin_that_wants_a_pause_gets_it() {
    let host = host().await;
    let run = accept(&host, steps("paul", "a", json!([{"retry": {"why": "the shop is closed", "after_s": 45}}]))).await;
    let failed = executed(&host, &run, 1).await;
    assert_eq!(failed["failure"]["message"], "the shop is closed", "{failed:#}");
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
        let run = accept(&host, steps("paul", &format!("greedy {greedy}"), json!([{"send": {"text": "no"}}, greedy]))).await;
        let neighbour = host.event(steps("paul", "b", json!([]))).await;
        assert_eq!(neighbour["complete"], true);
        let failed = executed(&host, &run, 1).await;
        assert_eq!(failed["failure"]["kind"], "limit", "{failed:#}");
    }
    nothing(&host).await;
}
