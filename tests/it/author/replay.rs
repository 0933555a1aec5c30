//! A run that failed on a host, executed again on an author's desk.

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use axum::routing::get;
use serde_json::{Value, json};

use super::{Scratch, said};
use crate::harness::{Host, PAUL, Packages, Setup, relais_with, steps};

const KEY: &str = "a-key-of-the-shop-with-enough-letters";

async fn host() -> Host {
    let host = Host::start(Setup::tester().with("plugins.config.tester.broken = true").key("shop", KEY)).await;
    host.sim.phone(PAUL, |_| {});
    host.customer("paul", PAUL).await;
    host
}

async fn failed(host: &Host, entity: &str, what: Value) -> String {
    let run = host.accept(steps("paul", entity, what)).await["runs"][0].as_str().unwrap().to_owned();
    host.until_run(&run, "set-aside").await;
    run
}

async fn bundle(host: &Host, scratch: &Scratch, run: &str, more: &[&str]) -> (String, Value) {
    let words = [&["runs", "bundle", run, "--url", host.url.as_str()], more].concat();
    let printed = relais_with(&words, &[("RELAIS_KEY", KEY)], "").await;
    assert!(printed.status.success(), "{}", said(&printed));
    let file = scratch.path("run.json");
    fs::write(&file, &printed.stdout).unwrap();
    (file, serde_json::from_slice(&printed.stdout).unwrap())
}

async fn replayed(file: &str, package: &Path, scratch: &Scratch, json: bool) -> String {
    let mut words = vec!["replay", file, "--package", package.to_str().unwrap()];
    words.extend(json.then_some("--json"));
    let output = relais_with(&words, &[("XDG_CACHE_HOME", scratch.0.to_str().unwrap())], "").await;
    assert!(output.status.success(), "{}", said(&output));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn a_run_that_failed_comes_to_the_same_end_on_the_authors_desk() {
    let (host, scratch) = (host().await, Scratch::new());
    let package = Packages::Tester.directory(Path::new(&scratch.path("desk"))).join("tester");
    host.accept(steps("paul", "a", json!([{"append": {"key": "list", "word": "before"}}]))).await;
    let send = json!({"send": {"text": "It is ready, paul.", "dedup-key": "once"}});
    let run = failed(&host, "a", json!([send, {"tell": {"key": "list"}}, "fail-if-broken"])).await;

    let (file, whole) = bundle(&host, &scratch, &run, &["--personal"]).await;
    assert!(whole.to_string().contains(PAUL) && whole["masked"] == json!({}), "{whole:#}");
    assert_eq!(whole["state"]["entries"]["list"]["text"], json!("[\"before\"]"));
    let now: Value = serde_json::from_str(&replayed(&file, &package, &scratch, true).await).unwrap();
    assert_eq!((&now["same"], &now["now"]["failure"]), (&json!(true), &whole["failure"]), "{now:#}");
    assert_eq!(now["now"]["log"], whole["log"]);
    assert_eq!(now["now"]["digest"], whole["plugin"]["digest"]);

    // Masked, nobody is known by it, and it still fails the same way.
    let (file, masked) = bundle(&host, &scratch, &run, &[]).await;
    let text = masked.to_string();
    assert!(!text.contains(PAUL) && !text.contains("paul"), "{masked:#}");
    assert!(text.contains("customer-1") && masked["masked"]["telephone number"] == json!(1), "{masked:#}");
    let shown = replayed(&file, &package, &scratch, false).await;
    for words in ["the same build", "it ends as it did then", "memory", &run] {
        assert!(shown.contains(words), "no `{words}` in\n{shown}");
    }

    // What an author mends ends well: here it is the setting.
    let mended = fs::read_to_string(&file).unwrap().replace("\"broken\": true", "\"broken\": false");
    fs::write(&file, mended).unwrap();
    let shown = replayed(&file, &package, &scratch, false).await;
    assert!(shown.contains("it failed then, and ends well now"), "{shown}");
    assert!(shown.contains("message to customer-1 (alert): "), "{shown}");
}

#[tokio::test]
async fn a_trap_shows_where_it_was_then_and_now_and_what_did_not_fail_has_no_bundle() {
    let (host, scratch) = (host().await, Scratch::new());
    let package = Packages::Tester.directory(Path::new(&scratch.path("desk"))).join("tester");
    let run = host.accept(steps("paul", "a", json!(["trap"]))).await["runs"][0].as_str().unwrap().to_owned();
    host.until_eq("how the run failed", json!("fault"), async || host.run(&run).await["failure"]["kind"].clone()).await;
    // It waits to be executed again, and has its bundle all the same.
    let (file, _) = bundle(&host, &scratch, &run, &[]).await;
    let shown = replayed(&file, &package, &scratch, false).await;
    assert!(shown.matches("fault: ").count() == 2 && shown.contains("tester"), "{shown}");

    let done = host.accept(steps("paul", "b", json!([]))).await["runs"][0].as_str().unwrap().to_owned();
    host.until_run(&done, "done").await;
    let words = ["runs", "bundle", &done, "--url", host.url.as_str()];
    let refused = relais_with(&words, &[("RELAIS_KEY", KEY)], "").await;
    assert!(refused.status.code() == Some(4) && said(&refused).contains("has not failed"), "{}", said(&refused));
    fs::write(&file, "{}").unwrap();
    let nothing = relais_with(&["replay", &file], &[], "").await;
    assert!(said(&nothing).contains("relais runs bundle ID"), "{}", said(&nothing));
}

/// A service on a socket of its own that numbers its answers, so that none is like another.
async fn service() -> std::net::SocketAddr {
    let asked = Arc::new(AtomicU32::new(0));
    let answer = move || {
        let no = asked.fetch_add(1, Ordering::Relaxed) + 1;
        async move { format!("number {no} for {PAUL}") }
    };
    let app = axum::Router::new().route("/count", get(answer)).route("/long", get(async || "x".repeat(100_000)));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    address
}

#[tokio::test]
async fn what_services_answered_a_failed_run_is_in_its_bundle_and_answers_again() {
    let (service, scratch) = (service().await, Scratch::new());
    let package = Packages::Tester.directory(Path::new(&scratch.path("desk"))).join("tester");
    let path = package.join("plugin.toml");
    let rule = format!("{{ host = \"{service}\", scheme = \"http\" }}");
    let manifest = fs::read_to_string(&path).unwrap();
    fs::write(&path, manifest.replace("[permissions]\n", &format!("[permissions]\nhttp = [{rule}]\n"))).unwrap();
    let setup = Setup::new().with("plugins.config.tester.broken = true");
    let setup = setup.with(format!("plugins.grants.tester.http = [{rule}]"));
    let setup = setup.with("plugins.grants.tester.networks = [\"127.0.0.1\"]").key("shop", KEY);
    let host = Host::start(Setup { plugins: Packages::These(vec![package.clone()]), ..setup }).await;
    host.sim.phone(PAUL, |_| {});
    host.customer("paul", PAUL).await;

    let ask = |path: &str| json!({"ask": {"url": format!("http://{service}{path}?of={PAUL}")}});
    let run = failed(&host, "a", json!([ask("/count"), ask("/count"), ask("/long"), "fail-if-broken"])).await;
    let (file, whole) = bundle(&host, &scratch, &run, &["--personal"]).await;
    assert_eq!(whole["http"][1]["came"]["answer"]["text"], json!(format!("number 2 for {PAUL}")), "{whole:#}");
    assert_eq!(whole["http"][2]["came"]["too-long-to-keep"]["bytes"], json!(100_000));
    let now: Value = serde_json::from_str(&replayed(&file, &package, &scratch, true).await).unwrap();
    let said = now["now"]["log"].to_string();
    assert!(now["same"] == json!(true) && said.contains("number 1 for") && said.contains("number 2 for"), "{now:#}");
    assert!(!said.contains("number 3"), "the service itself was asked again: {now:#}");
    assert!(now["notes"].to_string().contains("had 100000 bytes, which were too many to be kept"), "{now:#}");

    // Masked, the answers name nobody either, and still come to the requests that they were given to.
    let (file, masked) = bundle(&host, &scratch, &run, &[]).await;
    assert!(!masked["http"].to_string().contains(PAUL), "{masked:#}");
    let now: Value = serde_json::from_str(&replayed(&file, &package, &scratch, true).await).unwrap();
    assert!(now["same"] == json!(true) && now["now"]["log"].to_string().contains("number 2 for +3363998"), "{now:#}");
}
