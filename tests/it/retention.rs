//! What is old goes by itself, through the settings an operator has, and what is still needed stays.

use serde_json::{Value, json};

use crate::harness::{Db, Host, LEA, PAUL, Setup, Shown, both_databases, event, relais_with, steps};

both_databases! {
    what_is_old_is_emptied_and_later_gone_and_what_waits_stays,
    settings_of_retention_that_break_a_promise_are_refused_at_the_start,
}

fn setup(db: Db) -> Setup {
    // Every second instead of every minute: an hour of the host's clock is none of the test's.
    Setup::tester().on(db).with("retention.sweep-s = 1\nretention.batch-rows = 3\nretention.pause-ms = 0")
}

async fn status(host: &Host, path: &str) -> u16 {
    host.send(reqwest::Method::GET, path, &[], "").await.status
}

async fn until_gone(host: &Host, path: &str) {
    host.until_eq(&format!("{path} is gone"), 404, async || status(host, path).await).await;
}

async fn data_of(host: &Host, id: &str) -> Value {
    host.get(&format!("/v1/events/{id}")).await["data"].clone()
}

async fn what_is_old_is_emptied_and_later_gone_and_what_waits_stays(db: Db) {
    let mut host = Host::start(setup(db)).await;
    host.sim.phone(PAUL, |_| {});
    host.customer("paul", PAUL).await;
    host.customer("lea", LEA).await;
    let old = host.event(steps("paul", "old", json!([{"send": {"text": "long ago"}}]))).await;
    let sent = host.only_message("paul", "read").await;
    // Rows of each kind behind it, more than a step takes.
    for no in 0..5 {
        host.event(event("com.example.nobody.listens", "paul", json!({"no": no}))).await;
    }
    let aside = host.event(steps("", "aside", json!([{"reject": {"why": "told to"}}]))).await;
    // The latest row of a kind stays, so that no number is given twice.
    host.event(steps("lea", "later", json!([{"send": {"text": "the latest"}}]))).await;
    let (old, aside) = (old["id"].as_str().unwrap(), aside["id"].as_str().unwrap());
    let (event_path, message_path) =
        (format!("/v1/events/{old}"), format!("/v1/messages/{}", sent["id"].as_str().unwrap()));
    assert_ne!(data_of(&host, old).await, Value::Null);

    host.advance("89d").await;
    host.restart().await;
    assert_ne!(data_of(&host, old).await, Value::Null, "a day is left");
    host.advance("2d").await;
    host.until_eq("its data is gone", Value::Null, async || data_of(&host, old).await).await;
    host.until("the text is gone", async || {
        let message = host.get(&message_path).await;
        let text = &message["content"]["text"];
        if text.is_null() { Ok(()) } else { Err(message.to_string()) }
    })
    .await;
    let emptied = host.get(&message_path).await;
    assert_eq!(emptied.way(), "whatsapp read", "what became of it is still known: {emptied:#}");
    assert_ne!(data_of(&host, aside).await, Value::Null, "what was set aside keeps its evidence");

    host.advance("310d").await;
    until_gone(&host, &event_path).await;
    until_gone(&host, &message_path).await;
    let kept = host.get(&format!("/v1/events/{aside}")).await;
    let run = kept["runs"][0]["id"].as_str().unwrap_or_else(|| panic!("{kept:#}"));
    assert_eq!(host.run(run).await["state"], "set-aside");
    // A host that was killed has its shards until its lease is over.
    let findings = async || host.get("/v1/doctor").await["findings"].clone();
    host.until_eq("nothing is amiss", json!([]), findings).await;
    // It is replayed as if it had come today.
    let again = host.post(&format!("/v1/runs/{run}/replay"), json!({})).await;
    assert!((200..300).contains(&again.status), "{again:?}");
}

async fn settings_of_retention_that_break_a_promise_are_refused_at_the_start(db: Db) {
    let mut host = Host::prepare(setup(db).with("retention.events-days = 30")).await;
    let status = host.try_launch().await.expect_err("it must not start");
    assert!(!status.success());
    let log = host.log();
    assert!(log.contains("retention.events-days (30)") && log.contains("rules.expected-within-days"), "{log}");
    let checked = relais_with(&["config", "check", host.config_file().to_str().unwrap()], &[], "").await;
    assert!(!checked.status.success());
}
