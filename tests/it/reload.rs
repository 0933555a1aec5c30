//! The plugins' directory changes while the host runs: what is whole and well takes the place of what was there before, in one
//! swap; everything else is left alone, and the one before goes on.

mod pauses;
mod permissions;
mod shadows;
mod swaps;

use std::{fs, path::PathBuf};

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{
    Db, Host, PAUL, Setup, both_databases, copy_package, copy_shipped, order_ready, relais_with, steps,
};

both_databases! {
    a_copy_that_is_half_made_is_left_alone_and_taken_when_it_is_whole,
    a_broken_update_is_refused_and_the_one_before_goes_on,
    a_run_in_flight_ends_on_the_version_that_it_began_with,
    a_timer_goes_to_the_newer_version_and_says_which_one_set_it,
    the_runs_of_a_plugin_that_is_gone_wait_until_it_is_back,
}

/// A host with the test's own plugin, which looks often.
pub(super) async fn host(db: Db) -> Host {
    host_with(Setup::tester().on(db)).await
}

pub(super) async fn host_with(setup: Setup) -> Host {
    let mut host = Host::prepare(setup.with("plugins.settle = \"60ms\"\nplugins.poll = \"200ms\"")).await;
    // What a test changes in there is to be there after a restart, which puts the harness's own packages together anew.
    host.write_config();
    copy_package(&host.dir().join("plugins/tester"), &host.dir().join("packages/tester"));
    let packages = toml::Value::String(host.dir().join("packages").display().to_string());
    host.set(&format!("plugins.dir = {packages}"));
    host.launch().await;
    host.sim.phone(PAUL, |_| {});
    host.customer("paul", PAUL).await;
    host
}

pub(super) fn package(host: &Host) -> PathBuf {
    let own = host.dir().join("packages/tester");
    if own.exists() { own } else { host.dir().join("plugins/tester") }
}

/// Replaces the manifest as a whole, by a rename: nobody sees half of it.
pub(super) fn edit(host: &Host, change: impl FnOnce(String) -> String) {
    let place = package(host).join("plugin.toml");
    let text = fs::read_to_string(&place).unwrap();
    let changed = change(text.clone());
    assert_ne!(changed, text, "nothing was changed");
    let aside = package(host).join("plugin.toml.new");
    fs::write(&aside, changed).unwrap();
    fs::rename(aside, place).unwrap();
}

/// The manifest with another version.
pub(super) fn versioned(text: &str, version: &str) -> String {
    let line = text.lines().find(|line| line.starts_with("version = ")).unwrap();
    text.replacen(line, &format!("version = \"{version}\""), 1)
}

pub(super) async fn plugin(host: &Host) -> Value {
    host.get("/v1/plugins/tester").await
}

pub(super) async fn until_version(host: &Host, version: &str) -> Value {
    host.until(&format!("version {version} serves"), async || {
        let plugin = plugin(host).await;
        if plugin["version"] == version && plugin["update"].is_null() { Ok(plugin) } else { Err(format!("{plugin:#}")) }
    })
    .await
}

/// Asks the host to look now, and gives what came of it.
pub(super) async fn look(host: &Host) -> Value {
    host.send(Method::POST, "/v1/plugins/reload", &[], "").await.ok()
}

pub(super) async fn order(host: &Host, verb: &str) -> Value {
    host.send(Method::POST, &format!("/v1/plugins/tester/{verb}"), &[], "").await.ok()
}

/// Version and state of the one run that an event leads to.
async fn ran(host: &Host, script: Value) -> (Value, Value) {
    let ended = host.event(steps("paul", "a", script)).await;
    (ended["results"][0]["report"]["plugin_version"].clone(), ended["results"][0]["state"].clone())
}

async fn a_copy_that_is_half_made_is_left_alone_and_taken_when_it_is_whole(db: Db) {
    let host = host(db).await;
    let whole = fs::read(package(&host).join("tester.wasm")).unwrap();
    // A copy over a slow line: it stands still for longer than anybody waits, in the middle of the file.
    fs::write(package(&host).join("tester.wasm"), &whole[..whole.len() / 2]).unwrap();
    let refused = look(&host).await;
    assert_eq!(refused["changed"][0]["outcome"], "refused", "{refused:#}");
    assert_eq!(plugin(&host).await["state"], "loaded");
    assert_eq!(ran(&host, json!([])).await, (json!("1.0.0"), json!("done")));
    // It goes on, piece by piece, and is looked at again when it has come to rest.
    let mut file = fs::OpenOptions::new().append(true).open(package(&host).join("tester.wasm")).unwrap();
    for piece in whole[whole.len() / 2..].chunks(whole.len() / 20) {
        std::io::Write::write_all(&mut file, piece).unwrap();
    }
    drop(file);
    host.until("the update is not refused any more", async || match plugin(&host).await {
        plugin if plugin["update"].is_null() => Ok(()),
        plugin => Err(format!("{plugin:#}")),
    })
    .await;
    edit(&host, |text| versioned(&text, "2.0.0"));
    until_version(&host, "2.0.0").await;
    assert_eq!(ran(&host, json!([])).await, (json!("2.0.0"), json!("done")));
}

async fn a_broken_update_is_refused_and_the_one_before_goes_on(db: Db) {
    let host = host(db).await;
    let generation = look(&host).await["generation"].as_u64().unwrap();
    let before = fs::read_to_string(package(&host).join("plugin.toml")).unwrap();
    let whole = fs::read(package(&host).join("tester.wasm")).unwrap();
    let other = wat::parse_str("(component (import \"example:secrets/all@1.0.0\" (instance)))").unwrap();
    for (component, manifest, reason) in [
        (b"this is no WebAssembly".to_vec(), versioned(&before, "2.0.0"), "no WebAssembly component"),
        (other, versioned(&before, "3.0.0"), "example:secrets/all@1.0.0"),
        (whole.clone(), before.replace("[permissions]", "[permissions]\nchanels = [\"sms\"]"), "chanels"),
    ] {
        fs::write(package(&host).join("tester.wasm"), component).unwrap();
        fs::write(package(&host).join("plugin.toml"), manifest).unwrap();
        let looked = look(&host).await;
        let plugin = plugin(&host).await;
        assert_eq!((&plugin["version"], &plugin["state"]), (&json!("1.0.0"), &json!("loaded")), "{plugin:#}");
        assert_eq!(plugin["update"]["state"], "refused", "{plugin:#}");
        assert!(plugin["update"]["reason"].as_str().unwrap().contains(reason), "{reason}: {plugin:#}");
        assert_eq!(looked["not_loaded"][0]["update"], plugin["update"], "{looked:#}");
        assert_eq!(ran(&host, json!([])).await, (json!("1.0.0"), json!("done")));
    }
    let said = relais_with(&["plugin", "list"], &[("RELAIS_URL", &host.url)], "").await;
    let (out, code) = (String::from_utf8_lossy(&said.stdout).into_owned(), said.status.code());
    assert!(code == Some(1) && out.contains("a newer package is refused") && out.contains("chanels"), "{out}");
    // What was there before is no update.
    fs::write(package(&host).join("plugin.toml"), &before).unwrap();
    let said = relais_with(&["plugin", "reload"], &[("RELAIS_URL", &host.url)], "").await;
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stdout));
    let plugin = until_version(&host, "1.0.0").await;
    assert_eq!(plugin["update"], Value::Null);
    assert!(look(&host).await["generation"].as_u64().unwrap() > generation);
}

async fn a_run_in_flight_ends_on_the_version_that_it_began_with(db: Db) {
    let host = host_with(Setup::tester().on(db).with("plugins.limits.ceiling.time = \"5s\"")).await;
    // It computes until it has used up what it may, which is long enough to be overtaken.
    edit(&host, |text| {
        versioned(&text, "1.5.0").replace("cpu = \"200ms\"\ntime = \"2s\"", "cpu = \"2500ms\"\ntime = \"5s\"")
    });
    until_version(&host, "1.5.0").await;
    let slow = host.accept(steps("paul", "slow", json!(["loop"]))).await["runs"][0].as_str().unwrap().to_owned();
    edit(&host, |text| versioned(&text, "2.0.0"));
    until_version(&host, "2.0.0").await;
    assert_eq!(ran(&host, json!([])).await, (json!("2.0.0"), json!("done")));
    let ended = host
        .until("it has ended", async || match host.run(&slow).await {
            run if run["attempts"] == 1 => Ok(run),
            run => Err(format!("{run:#}")),
        })
        .await;
    assert_eq!(ended["report"]["plugin_version"], "1.5.0", "{ended:#}");
}

async fn a_timer_goes_to_the_newer_version_and_says_which_one_set_it(db: Db) {
    let host = host(db).await;
    let timer = json!([{"timer": {"key": "t", "after_s": 60, "steps": []}}]);
    assert_eq!(ran(&host, timer).await, (json!("1.0.0"), json!("done")));
    edit(&host, |text| versioned(&text, "2.0.0"));
    until_version(&host, "2.0.0").await;
    host.advance("61s").await;
    let run = host
        .until("the timer has run", async || {
            let runs = host.all_runs().await;
            let timer = runs.into_iter().find(|run| run["kind"] == "timer" && run["state"] == "done");
            timer.ok_or_else(|| "it has not".to_owned())
        })
        .await;
    let run = host.run(run["id"].as_str().unwrap()).await;
    assert_eq!(run["report"]["plugin_version"], "2.0.0", "{run:#}");
    assert!(run["report"]["log"].to_string().contains("set by 1.0.0"), "{run:#}");
}

async fn the_runs_of_a_plugin_that_is_gone_wait_until_it_is_back(db: Db) {
    let host = host(db).await;
    let timer = json!([{"timer": {"key": "t", "after_s": 60, "steps": []}}]);
    ran(&host, timer).await;
    let (there, aside) = (package(&host), host.dir().join("aside"));
    fs::rename(&there, &aside).unwrap();
    let looked = look(&host).await;
    assert_eq!(looked["changed"], json!([{"name": "tester", "outcome": "unloaded"}]), "{looked:#}");
    assert_eq!(host.send(Method::GET, "/v1/plugins/tester", &[], "").await.status, 404);
    host.advance("61s").await;
    host.until_eq("the timer's run waits", json!(1), async || host.stats().await["open_runs"].clone()).await;
    // Another one that comes while the host runs needs no restart.
    copy_shipped("order-ready", &host.dir().join("packages"));
    host.until("it is loaded", async || match host.get("/v1/plugins").await {
        plugins if plugins[0]["name"] == "order-ready" && plugins[0]["state"] == "loaded" => Ok(()),
        plugins => Err(format!("{plugins:#}")),
    })
    .await;
    host.accept(order_ready("paul", "O-1")).await;
    host.until_eq("its message", 1, async || host.messages("paul").await.len()).await;
    assert_eq!(host.messages("paul").await[0]["author"]["plugin"], "order-ready");
    fs::rename(&aside, &there).unwrap();
    host.signal("HUP").await;
    host.until_eq("nothing waits", json!(0), async || host.stats().await["open_runs"].clone()).await;
}

#[tokio::test]
async fn only_the_tenant_whose_plugins_they_are_gives_orders_about_them() {
    let setup = Setup::tester().key("shop", "a-key-of-the-shop-0001").tenant("other", "a-key-of-another-0001");
    let host = Host::start(setup).await;
    let other = [("authorization", "Bearer a-key-of-another-0001")];
    for path in ["reload", "tester/approve", "tester/pause", "tester/resume"] {
        let client = reqwest::Client::new();
        let request = client.post(format!("{}/v1/plugins/{path}", host.url)).header(other[0].0, other[0].1);
        assert_eq!(request.send().await.unwrap().status().as_u16(), 403, "{path}");
    }
    let nobody = host.post("/v1/plugins/nobody/pause", json!({})).await;
    nobody.problem(404, "/problems/not-found", Some("name"));
    let nothing = host.send(Method::POST, "/v1/plugins/tester/approve", &[], "").await;
    nothing.problem(409, "/problems/conflict", None);
}
