//! Nobody waits for somebody else's trouble: not for a stuck entity, not for a plugin that is slow or gone, and not for a tenant
//! that brings too much.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::harness::{Host, PAUL, Packages, Setup, event, repository, steps};

/// Posts events in batches, each about its entity; returns when all are accepted.
async fn accept_all(host: &Host, events: &[Value]) {
    for batch in events.chunks(500) {
        host.accept(json!(batch)).await;
    }
}

async fn open_runs(host: &Host) -> u64 {
    host.stats().await["open_runs"].as_u64().unwrap()
}

async fn executed(host: &Host, run: &str) {
    host.until(&format!("run {run} was executed"), async || {
        let run = host.run(run).await;
        if run["attempts"].as_u64().unwrap() > 0 { Ok(()) } else { Err(format!("{run:#}")) }
    })
    .await;
}

/// The end of what a run's execution wrote to its log.
fn said(result: &Value) -> Vec<&str> {
    result["report"]["log"].as_array().unwrap().iter().map(|line| line["message"].as_str().unwrap()).collect()
}

/// Limits that a test reaches with little.
fn small() -> Setup {
    Setup::tester().with("run.in-memory-max = 60\nrun.lane-in-memory-max = 6\nrun.sweep-s = 1\nstore.handover-max = 64")
}

#[tokio::test]
async fn thousands_of_runs_behind_a_stuck_entity_delay_no_other() {
    let mut host = Host::start(small()).await;
    let stuck = host.accept(steps("", "stuck", json!([{"trap-before": {"attempt": 2}}]))).await;
    executed(&host, stuck["runs"][0].as_str().unwrap()).await;
    let behind: Vec<Value> = (0..3000).map(|_| steps("", "stuck", json!([]))).collect();
    accept_all(&host, &behind).await;
    let neighbour = host.event(steps("", "neighbour", json!([]))).await;
    assert_eq!(neighbour["complete"], true, "{neighbour:#}");
    // The same for a host that finds them all in its store.
    host.restart().await;
    let neighbour = host.event(steps("", "another", json!([]))).await;
    assert_eq!(neighbour["complete"], true, "{neighbour:#}");
    assert_eq!(open_runs(&host).await, 3001);
    host.advance("13s").await;
    host.until("they go on", async || {
        let open = open_runs(&host).await;
        if open < 2900 { Ok(()) } else { Err(format!("{open} are open")) }
    })
    .await;
}

#[tokio::test]
async fn a_lane_that_did_not_fit_into_memory_keeps_its_order_and_a_kill_in_the_middle_changes_nothing() {
    const COUNT: usize = 400;
    let mut host = Host::start(small()).await;
    let first = host.accept(steps("", "e0", json!([{"trap-before": {"attempt": 2}}]))).await;
    executed(&host, first["runs"][0].as_str().unwrap()).await;
    let append = |no: usize| json!([{"append": {"key": "list", "word": no.to_string()}}]);
    let events: Vec<Value> = (0..COUNT).map(|no| steps("", &format!("e{}", no % 2), append(no))).collect();
    accept_all(&host, &events).await;
    host.until_eq("the other entity is done", COUNT as u64 / 2 + 1, async || open_runs(&host).await).await;
    host.advance("13s").await;
    host.until("some of it is done", async || {
        let open = open_runs(&host).await;
        if open < COUNT as u64 / 2 - 20 { Ok(()) } else { Err(format!("{open} are open")) }
    })
    .await;
    host.restart().await;
    host.until_eq("all are done", 0, async || open_runs(&host).await).await;
    for entity in 0..2 {
        let wanted: Vec<String> = (0..COUNT).filter(|no| no % 2 == entity).map(|no| no.to_string()).collect();
        let told = host.event(steps("", &format!("e{entity}"), json!([{"tell": {"key": "list"}}]))).await;
        assert_eq!(said(&told["results"][0]), [format!("list is {}", wanted.join(","))]);
    }
}

/// A host with the test's plugin under two names. The second one listens to events of its own.
async fn with_listener(setup: Setup) -> Host {
    let mut host = Host::prepare(setup).await;
    package(&host, "listener", "com.example.test.emitted");
    package(&host, "tester", "com.example.test.go");
    host.set(&format!("plugins.dir = {}", toml::Value::String(packages(&host).display().to_string())));
    host.launch().await;
    host
}

fn packages(host: &Host) -> PathBuf {
    host.dir().join("packages")
}

fn package(host: &Host, name: &str, listens_to: &str) {
    let built = Packages::Tester.directory(host.dir()).join("tester/tester.wasm");
    let package = packages(host).join(name);
    std::fs::create_dir_all(&package).unwrap();
    let manifest = std::fs::read_to_string(repository().join("tests/guests/tester/plugin.toml")).unwrap();
    let manifest = manifest
        .replace("name = \"tester\"", &format!("name = \"{name}\""))
        .replace("types = [\"com.example.test.*\"]", &format!("types = [\"{listens_to}\"]"));
    std::fs::write(package.join("plugin.toml"), manifest).unwrap();
    std::fs::copy(built, package.join("tester.wasm")).unwrap();
}

fn for_listener(entity: &str) -> Value {
    event("com.example.test.emitted", "", json!({"entity": entity, "steps": []}))
}

#[tokio::test]
async fn a_plugin_that_is_gone_delays_no_other() {
    let mut host = with_listener(small()).await;
    // More entities than there is room for runs, each of them with something to do.
    let failing = json!([{"trap-before": {"attempt": 2}}]);
    let events: Vec<Value> = (0..400).map(|no| steps("", &format!("e{no}"), failing.clone())).collect();
    accept_all(&host, &events).await;
    let (place, aside) = (packages(&host).join("tester"), host.dir().join("aside"));
    host.kill().await;
    std::fs::rename(&place, &aside).unwrap();
    host.launch().await;
    host.advance("13s").await;
    for no in 0..5 {
        let heard = host.event(for_listener(&format!("e{no}"))).await;
        assert_eq!(heard["complete"], true, "{heard:#}");
    }
    assert_eq!(open_runs(&host).await, 400);
    host.kill().await;
    std::fs::rename(&aside, &place).unwrap();
    host.launch().await;
    host.until("all are done once it is back", async || {
        host.advance("13s").await;
        let open = open_runs(&host).await;
        if open == 0 { Ok(()) } else { Err(format!("{open} are open")) }
    })
    .await;
}

#[tokio::test]
async fn a_plugin_that_takes_long_leaves_places_to_the_others() {
    let host = with_listener(Setup::tester().with("run.concurrent-max = 4")).await;
    let loops: Vec<Value> = (0..60).map(|no| steps("", &format!("e{no}"), json!(["loop"]))).collect();
    accept_all(&host, &loops).await;
    let last = host.get("/v1/runs?limit=1").await["runs"][0]["id"].as_str().unwrap().to_owned();
    let heard = host.event(for_listener("e")).await;
    assert_eq!(heard["complete"], true, "{heard:#}");
    // Sixty loops of a fifth of a second each: were they all before it, the last would have been executed by now.
    assert_eq!(host.run(&last).await["attempts"], 0);
}

const NOISY: &str = "the-noisy-tenants-key-0001";
const QUIET: &str = "the-quiet-tenants-key-0002";

async fn two_tenants(settings: &str) -> Host {
    let mut host = Host::start(Setup::tester().tenant("noisy", NOISY).tenant("quiet", QUIET).with(settings)).await;
    host.sim.phone(PAUL, |_| {});
    for key in [QUIET, NOISY] {
        host.key = Some(key);
        host.customer("paul", PAUL).await;
    }
    host
}

#[tokio::test]
async fn a_tenant_that_brings_ten_times_too_much_is_told_to_wait_and_others_are_served() {
    let mut host = two_tenants("ingress.tenant-events-per-second = 5").await;
    let posts = (0..200).map(|no| {
        let (host, event) = (&host, steps("", &format!("e{no}"), json!([])));
        async move { host.post_event("/v1/events", &event).await }
    });
    let answers = futures_util::future::join_all(posts).await;
    let refused: Vec<_> = answers.iter().filter(|answer| answer.status == 429).collect();
    let taken = answers.iter().filter(|answer| answer.status == 202).count();
    assert_eq!(taken + refused.len(), 200);
    assert!(taken >= 5 && refused.len() >= 50, "{taken} taken, {} refused", refused.len());
    for answer in &refused {
        let problem = answer.problem(429, "/problems/too-many/rate", None);
        assert!(problem["fix"].as_str().unwrap().contains("ingress.tenant-events-per-second"), "{problem}");
        assert!(answer.header("retry-after").parse::<u64>().unwrap() >= 1);
    }
    assert_eq!(host.stats().await["refused"]["over_rate"], refused.len());
    host.until_eq("what was taken is done", 0, async || open_runs(&host).await).await;
    assert_eq!(host.stats().await["events"], taken);

    host.key = Some(QUIET);
    for no in 0..4 {
        let ended = host.event(steps("paul", &format!("e{no}"), json!([{"send": {"text": "hello"}}]))).await;
        assert_eq!(ended["complete"], true, "{ended:#}");
    }
    assert_eq!(host.stats().await["refused"]["over_rate"], 0);
}

#[tokio::test]
async fn a_tenant_whose_runs_pile_up_is_told_to_wait_until_some_are_done() {
    let mut host = two_tenants("ingress.tenant-open-runs-max = 30").await;
    let failing = |no: u32| steps("", &format!("e{no}"), json!([{"trap-before": {"attempt": 2}}]));
    let mut accepted = 0;
    let refused = loop {
        let answer = host.post_event("/v1/events", &failing(accepted)).await;
        if answer.status == 429 {
            break answer;
        }
        answer.ok();
        accepted += 1;
        assert!(accepted <= 100, "nothing stops it");
    };
    assert_eq!(accepted, 30);
    let problem = refused.problem(429, "/problems/too-many/backlog", None);
    assert!(problem["fix"].as_str().unwrap().contains("ingress.tenant-open-runs-max"), "{problem}");
    assert!(refused.header("retry-after").parse::<u64>().unwrap() >= 1);
    host.key = Some(QUIET);
    assert_eq!(host.event(steps("", "e", json!([]))).await["complete"], true);
    host.key = Some(NOISY);
    assert_eq!(host.stats().await["refused"]["over_backlog"], 1);
    host.until("it is let in again once they are done", async || {
        host.advance("13s").await;
        let answer = host.post_event("/v1/events", &steps("", "again", json!([]))).await;
        if answer.status == 202 { Ok(()) } else { Err(answer.text) }
    })
    .await;
}
