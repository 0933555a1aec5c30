//! Another version of a plugin beside the one that serves: it is given the same runs, nothing of what it asks for happens, and
//! where it differs is told.

use std::fs;

use serde_json::{Value, json};

use super::{edit, host, look, package, plugin, versioned};
use crate::harness::{Db, Host, PAUL, both_databases, copy_package, relais_with, steps};

both_databases! { a_shadow_is_given_the_same_runs_and_only_its_differences_are_seen }

/// Sets a host's shadow directory, and puts a version of the plugin there whose setting says that it is broken.
async fn with_shadow(db: Db) -> Host {
    let mut host = host(db).await;
    let shadows = host.dir().join("shadows");
    host.set(&format!("plugins.shadow-dir = {}", toml::Value::String(shadows.display().to_string())));
    host.restart().await;
    copy_package(&package(&host), &shadows.join("tester"));
    let manifest = shadows.join("tester/plugin.toml");
    let text = fs::read_to_string(&manifest).unwrap();
    let text = versioned(&text, "2.0.0")
        .replace("broken = false", "broken = true")
        .replace("[permissions]", "[permissions]\nphone = true");
    fs::write(manifest, text).unwrap();
    assert_eq!(look(&host).await["changed"][0]["outcome"], "compared");
    host
}

async fn until_compared(host: &Host, runs: u64) -> Value {
    host.until(&format!("{runs} runs are compared"), async || match plugin(host).await["shadow"].take() {
        shadow if shadow["compared"].as_u64() == Some(runs) => Ok(shadow),
        shadow => Err(format!("{shadow:#}")),
    })
    .await
}

async fn a_shadow_is_given_the_same_runs_and_only_its_differences_are_seen(db: Db) {
    let host = with_shadow(db).await;
    let status = plugin(&host).await;
    assert_eq!((&status["state"], &status["version"]), (&json!("loaded"), &json!("1.0.0")), "{status:#}");
    assert_eq!((&status["shadow"]["state"], &status["shadow"]["version"]), (&json!("compares"), &json!("2.0.0")));
    let same = json!([{"send": {"text": "hello"}}, {"append": {"key": "words", "word": "a"}}]);
    for no in 0..4 {
        host.event(steps("paul", &format!("e{no}"), same.clone())).await;
    }
    let shadow = until_compared(&host, 4).await;
    assert_eq!(shadow["summary"], "none of 4 runs differs", "{shadow:#}");
    let differs = host.event(steps("paul", "e9", json!(["fail-if-broken", {"send": {"text": "once more"}}]))).await;
    assert_eq!(differs["results"][0]["state"], "done", "{differs:#}");
    let shadow = until_compared(&host, 5).await;
    assert_eq!(shadow["summary"], "1 of 5 runs differ: result in 1", "{shadow:#}");
    assert_eq!(shadow["examples"][0]["run"], differs["results"][0]["id"], "{shadow:#}");
    assert_eq!(shadow["examples"][0]["differs"], json!(["result: ended reject in place of well"]));
    assert!(!shadow.to_string().contains(PAUL));
    // What happened is what the one that serves asked for, once.
    assert_eq!(host.messages("paul").await.len(), 5);
    assert_eq!(plugin(&host).await["runs"], 5, "a shadow's runs are not counted as the plugin's");
    let said = relais_with(&["plugin", "shadow", "tester"], &[("RELAIS_URL", &host.url)], "").await;
    let out = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(said.status.code() == Some(1) && out.contains("1 of 5 runs differ"), "{out}");
    // It takes the place of the one that serves when it is put there; what it asks for beyond that is asked then.
    edit(&host, |text| versioned(&text, "2.0.0").replace("[permissions]", "[permissions]\nphone = true"));
    assert_eq!(look(&host).await["changed"][0]["outcome"], "held");
    fs::remove_dir_all(host.dir().join("shadows")).unwrap();
    look(&host).await;
    assert_eq!(plugin(&host).await["shadow"], Value::Null);
}
