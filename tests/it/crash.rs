//! The host is killed at every bad moment. What it had acknowledged arrives, once.

mod backlog;
mod doubt;
mod load;

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::harness::{
    Db, Host, PAUL, Setup, both_databases,
    ledger::{Ledger, word},
    load::pass_doubt,
    steps,
};

both_databases! {
    killed_between_accept_and_run_everything_arrives_once,
    killed_between_commit_and_dispatch_everything_arrives_once_with_the_same_ids,
}

fn ids(messages: &[Value]) -> BTreeSet<String> {
    messages.iter().map(|message| message["id"].as_str().unwrap().to_owned()).collect()
}

async fn killed_between_accept_and_run_everything_arrives_once(db: Db) {
    let mut host = Host::start(Setup::tester().on(db)).await;
    host.sim.phone(PAUL, |_| {});
    host.customer("paul", PAUL).await;
    // The first run fails and holds up its entity, so that the others are accepted and cannot run.
    let failing = json!([{"send": {"text": word(0)}}, {"trap-before": {"attempt": 2}}]);
    let accepted = host.accept(steps("paul", "a", failing)).await;
    let first = accepted["runs"][0].as_str().unwrap().to_owned();
    host.until("the first has failed", async || {
        let run = host.run(&first).await;
        if run["attempts"] == 1 { Ok(()) } else { Err(format!("{run:#}")) }
    })
    .await;
    let ledger = Ledger::default();
    ledger.posting_of("paul", &word(0), None);
    ledger.acknowledged(&word(0), &accepted["id"], host.sim.now());
    for no in 1..6 {
        ledger.posting_of("paul", &word(no), None);
        let accepted = host.accept(steps("paul", "a", json!([{"send": {"text": word(no)}}]))).await;
        ledger.acknowledged(&word(no), &accepted["id"], host.sim.now());
    }
    host.kill().await;
    host.launch().await;
    assert_eq!(host.messages("paul").await, Vec::<Value>::new());
    host.advance("13s").await;
    ledger.until_all_are_taken(&host).await;
    host.restart().await;
    ledger.check(&host, 0).await;
    // In the order in which they were accepted.
    let bodies: Vec<_> = host.messages("paul").await.iter().map(|message| message["content"]["text"].clone()).collect();
    let wanted: Vec<_> = (0..6).map(|no| json!(format!("Free: {}", word(no)))).collect();
    assert_eq!(bodies, wanted);
    host.check_nothing_is_open().await;
}

async fn killed_between_commit_and_dispatch_everything_arrives_once_with_the_same_ids(db: Db) {
    let mut host = Host::start(Setup::tester().on(db)).await;
    host.sim.phone(PAUL, |_| {});
    host.customer("paul", PAUL).await;
    // The provider never answers the first one, and the others to the same customer wait behind it.
    host.sim.trouble(json!({"kind": "hang", "accepted": false})).await;
    let ledger = Ledger::default();
    for no in 0..6 {
        ledger.posting(&word(no));
        let send = json!([{"send": {"text": word(no), "fallback-after-s": 3600}}]);
        let accepted = host.event(steps("paul", &format!("e{no}"), send)).await;
        ledger.acknowledged(&word(no), &accepted["id"], host.sim.now());
    }
    let before = ids(&host.messages("paul").await);
    assert_eq!(before.len(), 6);
    host.kill().await;
    assert!(host.sim.requests("accepted=true").await.is_empty(), "nothing had been taken");

    host.sim.no_trouble().await;
    host.launch().await;
    // The one that was being made is in doubt; it is made again when no receipt has cleared that up.
    pass_doubt(&[&host]).await;
    ledger.until_all_are_taken(&host).await;
    ledger.check(&host, 0).await;
    assert_eq!(ids(&host.messages("paul").await), before);
    for id in before {
        host.until_state(&id, "read").await;
    }
    host.check_nothing_is_open().await;
}
