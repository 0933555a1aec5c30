//! Packages: a bad one is refused with its reason while the rest serve, a grant cuts down what a plugin may, and machine code
//! is kept from one start to the next.

use std::{fs, path::Path};

use serde_json::{Value, json};

use crate::harness::{Host, PAUL, Setup, Shown, copy_shipped, order_ready, steps};

/// A host whose packages are what `prepare` puts into its directory.
async fn with_packages(setup: Setup, prepare: impl FnOnce(&Path)) -> Host {
    let mut host = Host::prepare(setup).await;
    let packages = host.dir().join("packages");
    fs::create_dir_all(&packages).unwrap();
    prepare(&packages);
    host.set(&format!("plugins.dir = {}", toml::Value::String(packages.display().to_string())));
    host.launch().await;
    host
}

fn edit(path: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "{from:?} is not in {}", path.display());
    fs::write(path, text.replacen(from, to, 1)).unwrap();
}

/// Breaks a copy of a shipped package in one way.
fn broken(packages: &Path, name: &str, spoil: impl FnOnce(&Path, &Path)) {
    let package = copy_shipped(name, packages);
    spoil(&package.join("plugin.toml"), &package.join(name).with_extension("wasm"));
}

/// A component of nothing but one import.
fn importing(what: &str) -> Vec<u8> {
    wat::parse_str(format!("(component (import \"{what}\" (instance)))")).unwrap()
}

fn spoiled(packages: &Path) {
    copy_shipped("order-ready", packages);
    broken(packages, "ride", |_, wasm| fs::write(wasm, "this is no WebAssembly").unwrap());
    broken(packages, "ticket", |_, wasm| {
        let bytes = fs::read(wasm).unwrap();
        fs::write(wasm, &bytes[..bytes.len() / 2]).unwrap();
    });
    broken(packages, "reminder", |manifest, _| edit(manifest, "[permissions]", "[permissions]\nchanels = [\"sms\"]"));
    let digest = format!("[plugin]\ndigest = \"sha256:{}\"", "0".repeat(64));
    broken(packages, "delivery-alert", |manifest, _| edit(manifest, "[plugin]", &digest));
    broken(packages, "last-in-cart", |_, wasm| {
        fs::write(wasm, importing("wasi:http/outgoing-handler@0.2.0")).unwrap();
    });
    for (name, spoil) in [("stranger", "example:secrets/all@1.0.0"), ("future", "relais:plugin/messages@9.0.0")] {
        let package = copy_shipped("order-ready", packages);
        let renamed = packages.join(name);
        fs::create_dir_all(&renamed).unwrap();
        fs::copy(package.join("plugin.toml"), renamed.join("plugin.toml")).unwrap();
        edit(&renamed.join("plugin.toml"), "name = \"order-ready\"", &format!("name = \"{name}\""));
        fs::write(renamed.join("order-ready.wasm"), importing(spoil)).unwrap();
    }
    // A permission for a template that the manifest does not declare, and a package under another name than its own.
    let package = copy_shipped("order-ready", &packages.join("aside"));
    fs::rename(package, packages.join("misnamed")).unwrap();
    fs::remove_dir(packages.join("aside")).unwrap();
    let package = copy_shipped("order-ready", &packages.join("aside"));
    edit(&package.join("plugin.toml"), "templates = [\"order_ready\"]", "templates = [\"order_reddy\"]");
    edit(&package.join("plugin.toml"), "name = \"order-ready\"", "name = \"untold\"");
    fs::rename(package, packages.join("untold")).unwrap();
    fs::remove_dir(packages.join("aside")).unwrap();
    // Machine code that somebody else compiled is never run.
    let package = copy_shipped("order-ready", &packages.join("aside"));
    edit(&package.join("plugin.toml"), "name = \"order-ready\"", "name = \"compiled\"");
    fs::write(package.join("order-ready.cwasm"), "machine code").unwrap();
    fs::rename(package, packages.join("compiled")).unwrap();
    fs::remove_dir(packages.join("aside")).unwrap();
}

#[tokio::test]
async fn a_bad_package_is_refused_with_its_reason_and_the_rest_serve() {
    let host = with_packages(Setup::new(), spoiled).await;
    let plugins = host.get("/v1/plugins").await;
    let state = |name: &str| plugins.as_array().unwrap().iter().find(|plugin| plugin["name"] == name).unwrap().clone();
    for (name, reason) in [
        ("ride", "no WebAssembly component"),
        ("ticket", "does not compile"),
        ("reminder", "chanels"),
        ("delivery-alert", "not the file that was packed"),
        ("last-in-cart", "does not export `relais:plugin/on-event`"),
        ("stranger", "example:secrets/all@1.0.0"),
        ("future", "this host offers relais:plugin@"),
        ("misnamed", "they have to be the same"),
        ("untold", "order_reddy"),
        ("compiled", "machine code that was compiled elsewhere"),
    ] {
        let plugin = state(name);
        assert_eq!(plugin["state"], "refused", "{plugin:#}");
        assert!(plugin["reason"].as_str().unwrap().contains(reason), "{plugin:#}");
        assert_eq!(host.get(&format!("/v1/plugins/{name}")).await["reason"], plugin["reason"]);
    }
    assert_eq!(plugins.as_array().unwrap().len(), 11, "{plugins:#}");
    assert_eq!(state("order-ready")["state"], "loaded");
    host.sim.phone(PAUL, |_| {});
    host.customer("paul", PAUL).await;
    host.event(order_ready("paul", "O-1")).await;
    host.only_message("paul", "read").await;
}

#[tokio::test]
async fn a_grant_that_narrows_the_channels_is_kept_and_the_report_has_the_lines_that_would_widen_it() {
    let mut host = Host::start(Setup::tester().with("plugins.grants.tester.channels = [\"sms\"]")).await;
    host.sim.phone(PAUL, |_| {});
    host.customer("paul", PAUL).await;
    let status = host.get("/v1/plugins/tester").await;
    assert_eq!(status["effective"]["channels"], json!(["sms"]), "{status:#}");
    assert_eq!(status["asked"]["channels"].as_array().unwrap().len(), 2);

    host.event(steps("paul", "a", json!([{"send": {"text": "by whatever way"}}]))).await;
    assert_eq!(host.only_message("paul", "delivered").await.way(), "sms delivered");
    let ended = host.event(steps("paul", "b", json!([{"send": {"text": "on WhatsApp", "sms": "never"}}]))).await;
    let run = &ended["results"][0];
    assert_eq!(run["state"], "set-aside", "{run:#}");
    assert_eq!(run["report"]["refused"][0]["code"], "not-permitted", "{run:#}");
    let denied = run["report"]["denied"].to_string();
    assert!(denied.contains("[plugins.grants.tester]") && denied.contains("whatsapp"), "{denied}");
    assert_eq!(host.sim.requests("provider=meta").await, Vec::<Value>::new());

    // What the report says helps.
    host.set("plugins.grants.tester.channels = [\"sms\", \"whatsapp\"]");
    host.restart().await;
    let replayed = host.post(&format!("/v1/runs/{}/replay", run["id"].as_str().unwrap()), json!({})).await;
    assert!((200..300).contains(&replayed.status), "{}", replayed.text);
    host.until_run(run["id"].as_str().unwrap(), "done").await;
    host.until_eq("a second message", vec!["sms delivered".to_owned(), "whatsapp read".to_owned()], async || {
        let mut ways: Vec<String> = host.messages("paul").await.iter().map(Shown::way).collect();
        ways.sort();
        ways
    })
    .await;
}

#[tokio::test]
async fn a_second_start_compiles_nothing() {
    let setup = Setup { own_cache: true, ..Setup::new() };
    let mut host = with_packages(setup, |packages| {
        copy_shipped("order-ready", packages);
        copy_shipped("ride", packages);
    })
    .await;
    let cached = async |host: &Host| -> Vec<Value> {
        host.get("/v1/plugins").await.as_array().unwrap().iter().map(|plugin| plugin["cached"].clone()).collect()
    };
    assert_eq!(cached(&host).await, [json!(false), json!(false)]);
    host.restart().await;
    assert_eq!(cached(&host).await, [json!(true), json!(true)]);
    // What somebody tampered with is of no use, and is made anew; the others are kept.
    let code = host.dir().join("machine-code");
    let file = fs::read_dir(&code).unwrap().map(|entry| entry.unwrap().path()).min().unwrap();
    fs::remove_file(&file).unwrap();
    fs::write(&file, "not machine code").unwrap();
    host.restart().await;
    let mut after: Vec<bool> = cached(&host).await.iter().map(|cached| cached.as_bool().unwrap()).collect();
    after.sort_unstable();
    assert_eq!(after, [false, true]);
}
