//! A plugin that keeps failing is paused: its events are taken, its runs wait, and one command goes on with them.

use serde_json::{Value, json};

use super::{edit, host_with, order, plugin, until_version, versioned};
use crate::harness::{Db, Host, Setup, both_databases, relais_with, steps};

both_databases! {
    a_plugin_that_keeps_failing_is_paused_with_its_evidence_and_goes_on_when_it_is_resumed,
    another_version_is_not_paused_for_what_the_one_before_did,
    an_operator_pauses_and_resumes_over_a_restart,
}

/// After three different runs in a row.
async fn host(db: Db) -> Host {
    host_with(Setup::tester().on(db).with("plugins.pause-after = 3")).await
}

async fn accepted(host: &Host, entity: &str, script: Value) -> String {
    host.accept(steps("paul", entity, script)).await["runs"][0].as_str().unwrap().to_owned()
}

async fn until_paused(host: &Host) -> Value {
    host.until("it is paused", async || match plugin(host).await {
        plugin if plugin["state"] == "paused" => Ok(plugin),
        plugin => Err(format!("{plugin:#}")),
    })
    .await
}

async fn a_plugin_that_keeps_failing_is_paused_with_its_evidence_and_goes_on_when_it_is_resumed(db: Db) {
    let host = host(db).await;
    // What it says itself is no reason, nor is one run that fails again and again.
    for no in 0..6 {
        host.event(steps("paul", &format!("said-{no}"), json!([{"reject": {"why": "no"}}]))).await;
    }
    let one = accepted(&host, "poison", json!(["trap"])).await;
    for _ in 0..2 {
        host.until("it has failed", async || match host.run(&one).await {
            run if run["attempts"].as_u64() > Some(0) => Ok(()),
            run => Err(format!("{run:#}")),
        })
        .await;
        host.advance("90s").await;
    }
    host.until_run(&one, "set-aside").await;
    assert_eq!(plugin(&host).await["state"], "loaded");
    // One that goes well, and it begins anew.
    assert_eq!(host.event(steps("paul", "well", json!([]))).await["results"][0]["state"], "done");

    for no in 0..3 {
        accepted(&host, &format!("trap-{no}"), json!([{"trap-before": {"attempt": 2}}])).await;
    }
    let paused = until_paused(&host).await;
    assert_eq!(paused["paused"]["by"], "failures", "{paused:#}");
    let evidence = paused["paused"]["evidence"].as_array().unwrap();
    assert!(evidence.len() >= 3 && evidence.iter().all(|failed| failed["kind"] == "fault"), "{paused:#}");
    let run = host.run(evidence[0]["run"].as_str().unwrap()).await;
    assert_eq!(run["failure"]["kind"], "fault", "{run:#}");
    assert!(paused["reason"].as_str().unwrap().contains("relais plugin resume tester"), "{paused:#}");
    let alerts = host.get("/v1/events?limit=200").await;
    let alerts = alerts["events"].as_array().unwrap().iter().filter(|event| event["type"] == "relais.plugin.paused");
    assert_eq!(alerts.count(), 1);

    // Events are taken and wait, over a restart as well.
    let waiting: Vec<String> =
        vec![accepted(&host, "later", json!([])).await, accepted(&host, "later", json!([])).await];
    let mut host = host;
    host.restart().await;
    until_paused(&host).await;
    host.advance("90s").await;
    for run in &waiting {
        assert_eq!(host.run(run).await["attempts"], 0, "it was executed");
    }
    let said = relais_with(&["plugin", "resume", "tester"], &[("RELAIS_URL", &host.url)], "").await;
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    for run in &waiting {
        host.until_run(run, "done").await;
    }
    host.advance("90s").await;
    host.until_eq("all have ended", json!(0), async || host.stats().await["open_runs"].clone()).await;
    assert_eq!(plugin(&host).await["paused"], Value::Null);
}

async fn another_version_is_not_paused_for_what_the_one_before_did(db: Db) {
    let host = host(db).await;
    for no in 0..3 {
        accepted(&host, &format!("trap-{no}"), json!([{"trap-before": {"attempt": 2}}])).await;
    }
    until_paused(&host).await;
    let waiting = accepted(&host, "later", json!([])).await;
    edit(&host, |text| versioned(&text, "1.0.1"));
    until_version(&host, "1.0.1").await;
    host.until_run(&waiting, "done").await;
    assert_eq!(plugin(&host).await["state"], "loaded");
    // The one before is still the one that failed.
    edit(&host, |text| versioned(&text, "1.0.0"));
    until_paused(&host).await;
    assert_eq!(order(&host, "resume").await["changed"], true);
    assert_eq!(order(&host, "resume").await["changed"], false);
    assert_eq!(plugin(&host).await["state"], "loaded");
    host.advance("90s").await;
    host.until_eq("all have ended", json!(0), async || host.stats().await["open_runs"].clone()).await;
}

async fn an_operator_pauses_and_resumes_over_a_restart(db: Db) {
    let mut host = host(db).await;
    let paused = host.post("/v1/plugins/tester/pause", json!({"why": "the till is being repaired"})).await.ok();
    assert_eq!((&paused["changed"], &paused["plugin"]["paused"]["by"]), (&json!(true), &json!("operator")));
    let run = accepted(&host, "a", json!([])).await;
    // Another version is not what the operator waits for.
    edit(&host, |text| versioned(&text, "2.0.0"));
    until_version(&host, "2.0.0").await;
    host.restart().await;
    let still = plugin(&host).await;
    assert!(still["reason"].as_str().unwrap().contains("the till is being repaired"), "{still:#}");
    assert_eq!(host.run(&run).await["attempts"], 0);
    order(&host, "resume").await;
    host.until_run(&run, "done").await;
}
