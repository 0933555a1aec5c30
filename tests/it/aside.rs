//! Runs that were set aside: whoever subscribes is told, and an operator replays or discards them, one or many.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::harness::{Host, PAUL, Packages, Setup, copy_shipped, relais, repository, steps};

const ALERT: &str = "relais.run.set-aside";

/// The test's own component once more, as a plugin that listens to alerts.
fn watcher(host: &Host, name: &str) {
    let packages = Packages::Tester.directory(host.dir());
    let package = packages.join(name);
    std::fs::create_dir_all(&package).unwrap();
    let manifest = std::fs::read_to_string(repository().join("tests/guests/tester/plugin.toml")).unwrap();
    let manifest = manifest
        .replace("name = \"tester\"", &format!("name = \"{name}\""))
        .replace("types = [\"com.example.test.*\"]", &format!("types = [\"{ALERT}\"]"))
        .replace("entity = \"test/{data.entity}\"", "entity = \"plugin/{data.plugin}\"");
    std::fs::write(package.join("plugin.toml"), manifest).unwrap();
    std::fs::copy(packages.join("tester/tester.wasm"), package.join("tester.wasm")).unwrap();
}

async fn customer(host: &Host) {
    host.sim.phone(PAUL, |_| {});
    host.customer("paul", PAUL).await;
}

/// Has a run fail that is not worth trying again; its id, once it is set aside.
async fn rejected(host: &Host, entity: &str, why: &str) -> String {
    let accepted = host.accept(steps("paul", entity, json!([{"reject": {"why": why}}]))).await;
    let run = accepted["runs"][0].as_str().unwrap().to_owned();
    host.until_run(&run, "set-aside").await;
    run
}

/// Every alert, the first one first.
async fn alerts(host: &Host) -> Vec<Value> {
    let events = host.get("/v1/events?limit=200").await;
    let mut alerts = events["events"].as_array().unwrap().clone();
    alerts.retain(|event| event["type"] == ALERT);
    alerts.reverse();
    alerts
}

async fn set_aside(host: &Host) -> Value {
    host.stats().await["set_aside_runs"].clone()
}

#[tokio::test]
async fn whoever_subscribes_is_told_of_a_run_that_was_set_aside_and_learns_no_number() {
    let mut host = Host::prepare(Setup::tester()).await;
    watcher(&host, "watch");
    host.launch().await;
    customer(&host).await;
    let run = rejected(&host, "a", "cannot call +33 6 39 98 12 01").await;
    let told = alerts(&host).await;
    assert_eq!(told.len(), 1, "{told:#?}");
    let alert = &told[0];
    assert_eq!((&alert["source"], &alert["subject"], &alert["cause"]), (&json!("/relais"), &json!(run), &json!(run)));
    let data = &alert["data"];
    assert_eq!((&data["run"], &data["plugin"], &data["version"]), (&json!(run), &json!("tester"), &json!("1.0.0")));
    assert_eq!((&data["entity"], &data["customer"]), (&json!("test/a"), &json!("paul")));
    assert_eq!(data["failure"], json!({"kind": "reject", "message": "cannot call +…"}));
    assert_eq!((&data["attempts"], &data["left_out"], &data["cause"]["kind"]), (&json!(1), &json!(0), &json!("event")));
    assert_eq!(data["cause"]["id"], host.run(&run).await["cause"]);
    assert!(!alert.to_string().contains("98 12 01") && !alert.to_string().contains("steps"), "{alert:#}");
    // It was routed like any event.
    assert_eq!(alert["runs"].as_array().unwrap().len(), 1, "{alert:#}");
    assert_eq!(alert["runs"][0]["plugin"], "watch");
    host.until_run(alert["runs"][0]["id"].as_str().unwrap(), "done").await;

    // Replayed in vain, it is told of again: it is another end.
    host.post(&format!("/v1/runs/{run}/replay"), json!({})).await.ok();
    host.until_eq("a second alert", 2, async || alerts(&host).await.len()).await;
    host.restart().await;
    assert_eq!(alerts(&host).await.len(), 2, "a restart tells nothing anew");
}

#[tokio::test]
async fn a_plugin_that_fails_at_alerts_raises_none() {
    let mut host = Host::prepare(Setup::tester()).await;
    // It is made for orders, and an alert is none.
    let package = copy_shipped("order-ready", &Packages::Tester.directory(host.dir()));
    let manifest = std::fs::read_to_string(package.join("plugin.toml")).unwrap();
    let manifest = manifest
        .replace("types = [\"com.example.order.ready\"]", &format!("types = [\"{ALERT}\"]"))
        .replace("order/{data.order}", "run/{data.run}");
    std::fs::write(package.join("plugin.toml"), manifest).unwrap();
    host.launch().await;
    customer(&host).await;
    rejected(&host, "a", "no").await;
    host.until_eq("the alert's own run is set aside", json!(2), async || set_aside(&host).await).await;
    let told = alerts(&host).await;
    assert_eq!(told.len(), 1, "{told:#?}");
    assert_eq!(told[0]["runs"][0]["state"], "set-aside");
}

#[tokio::test]
async fn a_storm_of_failures_is_so_many_alerts_a_minute_and_the_next_one_says_how_many_were_left_out() {
    let host = Host::start(Setup::tester().with("run.alerts-per-minute-max = 2")).await;
    customer(&host).await;
    for no in 0..5 {
        rejected(&host, &format!("e{no}"), "no").await;
    }
    let first = alerts(&host).await.len();
    assert!((2..=4).contains(&first), "two a minute, and a slow machine may take longer than one: {first}");
    assert_eq!(set_aside(&host).await, 5, "every one is set aside, told of or not");
    host.advance("61s").await;
    rejected(&host, "later", "no").await;
    let told = alerts(&host).await;
    let left_out: u64 = told.iter().map(|alert| alert["data"]["left_out"].as_u64().unwrap()).sum();
    assert_eq!(told.len() as u64 + left_out, 6, "each is told of, or counted: {told:#?}");
}

#[tokio::test]
async fn the_types_of_the_hosts_own_events_are_nobody_elses() {
    let host = Host::start(Setup::tester()).await;
    let forged = crate::harness::event(ALERT, "", json!({}));
    host.post_event("/v1/events", &forged).await.problem(400, "/problems/bad-field", Some("type"));
    let batch = json!([forged]);
    assert_eq!(host.post_event("/v1/events", &batch).await.status, 400);
    // Nor may a plugin ask to raise them.
    let package = copy_shipped("order-ready", host.dir());
    let manifest = std::fs::read_to_string(package.join("plugin.toml")).unwrap();
    let manifest = manifest.replace("[permissions]", &format!("[permissions]\nemits = [\"{ALERT}\"]"));
    std::fs::write(package.join("plugin.toml"), manifest).unwrap();
    let said = relais(&["plugin", "check", package.to_str().unwrap()]).await;
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(said.contains("would be refused") && said.contains("the host's own"), "{said}");
}

/// A host with runs that were set aside for a reason that is gone: three entities, four runs each.
async fn mended() -> (Host, Vec<String>) {
    let mut host = Host::start(Setup::tester().with("plugins.config.tester.broken = true")).await;
    customer(&host).await;
    let mut runs = Vec::new();
    for word in ["1", "2", "3", "4"] {
        for entity in ["a", "b", "c"] {
            let script = json!([{"append": {"key": "list", "word": word}}, "fail-if-broken"]);
            let accepted = host.accept(steps("paul", entity, script)).await;
            runs.push(accepted["runs"][0].as_str().unwrap().to_owned());
        }
    }
    host.until_eq("all are set aside", json!(12), async || set_aside(&host).await).await;
    host.set("plugins.config.tester.broken = false");
    host.restart().await;
    // Newer than all that is replayed, so that it is not taken for something that was seen before.
    host.event(steps("paul", "other", json!([]))).await;
    (host, runs)
}

#[tokio::test]
async fn many_are_replayed_in_steps_and_run_in_the_order_in_which_they_were_accepted() {
    let (host, runs) = mended().await;
    let nothing = host.post("/v1/runs/replay", json!({"plugin": "another"})).await.ok();
    assert_eq!(nothing, json!({"replayed": 0, "more": false, "next": null}));
    let mut asked = json!({"plugin": "tester", "failure": "reject", "limit": 5});
    let mut counts = Vec::new();
    loop {
        let step = host.post("/v1/runs/replay", asked.clone()).await.ok();
        counts.push(step["replayed"].as_u64().unwrap());
        assert_eq!(step["more"].as_bool().unwrap(), !step["next"].is_null());
        if step["next"].is_null() {
            break;
        }
        asked["next"] = step["next"].clone();
    }
    assert_eq!(counts, [5, 5, 2]);
    for run in &runs {
        host.until_run(run, "done").await;
    }
    for entity in ["a", "b", "c"] {
        let told = host.event(steps("paul", entity, json!([{"tell": {"key": "list"}}]))).await;
        assert_eq!(told["results"][0]["report"]["log"][0]["message"], "list is 1,2,3,4", "{told:#}");
    }
    let again = host.post("/v1/runs/replay", json!({"all": true})).await.ok();
    assert_eq!(again["replayed"], 0, "asked twice, it is done once");
    assert_eq!(set_aside(&host).await, 0);
}

#[tokio::test]
async fn runs_are_listed_replayed_and_discarded_by_what_they_are() {
    let (host, runs) = mended().await;
    let listed = async |query: &str| {
        let listing = host.get(&format!("/v1/runs?{query}")).await;
        let ids = listing["runs"].as_array().unwrap().iter().map(|run| run["id"].as_str().unwrap().to_owned());
        ids.collect::<BTreeSet<String>>()
    };
    let all: BTreeSet<String> = runs.iter().cloned().collect();
    assert_eq!(listed("state=set-aside&plugin=tester&failure=reject&customer=paul").await, all);
    assert_eq!(listed("state=set-aside&plugin=another").await.len() + listed("failure=fault").await.len(), 0);
    assert_eq!(listed("state=set-aside&entity=test/b").await.len(), 4);
    host.send(reqwest::Method::GET, "/v1/runs?failure=bad-luck", &[], "").await.problem(
        400,
        "/problems/bad-field",
        Some("failure"),
    );

    let named = host.post("/v1/runs/discard", json!({"ids": [runs[0], runs[1], runs[0]]})).await.ok();
    assert_eq!((&named["discarded"], &named["more"]), (&json!(2), &json!(false)));
    let entity = host.post("/v1/runs/discard", json!({"entity": "test/c"})).await.ok();
    assert_eq!(entity["discarded"], 4);
    let event = host.run(&runs[3]).await["cause"].as_str().unwrap().to_owned();
    let of_event = host.post(&format!("/v1/events/{event}/replay"), json!({})).await.ok();
    assert_eq!(of_event["replayed"], json!([runs[3]]));
    host.until_run(&runs[3], "done").await;
    let now = host.stats().await["now"].clone();
    let later = host.post("/v1/runs/replay", json!({"after": now})).await.ok();
    assert_eq!(later["replayed"], 0, "they were set aside before");
    let earlier = host.post("/v1/runs/replay", json!({"before": now, "entity": "test/b"})).await.ok();
    assert_eq!(earlier["replayed"], 3);
    assert_eq!(host.run(&runs[0]).await["failure"]["kind"], "reject", "the evidence stays");

    for (body, field) in [
        (json!({}), "all"),
        (json!({"all": true, "plugin": "tester"}), "all"),
        (json!({"ids": ["nonsense"]}), "ids[0]"),
        (json!({"failure": "bad-luck"}), "failure"),
        (json!({"after": "yesterday"}), "after"),
        (json!({"all": true, "limit": 501}), "limit"),
    ] {
        host.post("/v1/runs/discard", body).await.problem(400, "/problems/bad-field", Some(field));
    }
    assert_eq!(host.post("/v1/runs/discard", json!({"plugn": "tester"})).await.status, 400);
    let left = host.post("/v1/runs/discard", json!({"all": true})).await.ok();
    assert_eq!((left["discarded"].as_u64(), set_aside(&host).await), (Some(2), json!(0)));
}
