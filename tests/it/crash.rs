//! The host is killed at every bad moment. What it had acknowledged arrives, once.

use std::{
    collections::BTreeSet,
    hash::{BuildHasher, Hasher, RandomState},
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    time::Duration,
};

use serde_json::{Value, json};

use crate::harness::{
    Host, PAUL, Setup, Shown,
    ledger::{Ledger, word},
    order_ready, steps,
};

fn ids(messages: &[Value]) -> BTreeSet<String> {
    messages.iter().map(|message| message["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn killed_between_accept_and_run_everything_arrives_once() {
    let mut host = Host::start(Setup::tester()).await;
    host.sim.phone(PAUL, |_| {});
    host.customer("paul", PAUL).await;
    // The first run fails and holds up its entity, so that the others are accepted and cannot run.
    let failing = json!([{"send": {"text": word(0)}}, {"trap-before": {"attempt": 2}}]);
    let first = host.accept(steps("paul", "a", failing)).await["runs"][0].as_str().unwrap().to_owned();
    host.until("the first has failed", async || {
        let run = host.run(&first).await;
        if run["attempts"] == 1 { Ok(()) } else { Err(format!("{run:#}")) }
    })
    .await;
    let ledger = Ledger::default();
    ledger.posting(&word(0));
    ledger.acknowledged(&word(0));
    for no in 1..6 {
        ledger.posting(&word(no));
        host.accept(steps("paul", "a", json!([{"send": {"text": word(no)}}]))).await;
        ledger.acknowledged(&word(no));
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
}

#[tokio::test]
async fn killed_between_commit_and_dispatch_everything_arrives_once_with_the_same_ids() {
    let mut host = Host::start(Setup::tester()).await;
    host.sim.phone(PAUL, |_| {});
    host.customer("paul", PAUL).await;
    // The provider never answers the first one, and the others to the same customer wait behind it.
    host.sim.trouble(json!({"kind": "hang", "accepted": false})).await;
    let ledger = Ledger::default();
    for no in 0..6 {
        ledger.posting(&word(no));
        let send = json!([{"send": {"text": word(no), "fallback-after-s": 3600}}]);
        host.event(steps("paul", &format!("e{no}"), send)).await;
        ledger.acknowledged(&word(no));
    }
    let before = ids(&host.messages("paul").await);
    assert_eq!(before.len(), 6);
    host.kill().await;
    assert!(host.sim.requests("accepted=true").await.is_empty(), "nothing had been taken");

    host.sim.no_trouble().await;
    host.launch().await;
    // The one that was being made is in doubt; it is made again when no receipt has cleared that up.
    pass_doubt(&host).await;
    ledger.until_all_are_taken(&host).await;
    ledger.check(&host, 0).await;
    assert_eq!(ids(&host.messages("paul").await), before);
    for id in before {
        host.until_state(&id, "read").await;
    }
}

/// Customers who are written to at the same time.
const CUSTOMERS: u32 = 20;
const ROUNDS: u32 = 10;

#[tokio::test]
async fn killed_at_random_moments_under_load_everything_acknowledged_arrives_once() {
    let mut host = Host::start(Setup::new()).await;
    for no in 0..CUSTOMERS {
        host.customer(&format!("c{no}"), &number(no)).await;
    }
    let (ledger, next) = (Ledger::default(), AtomicU32::new(0));
    let mut known = BTreeSet::new();
    for _ in 0..ROUNDS {
        let killed = AtomicBool::new(false);
        let posting = futures_util::future::join_all((0..4).map(|_| post_until(&host, &ledger, &next, &killed)));
        let killing = async {
            tokio::time::sleep(random_ms(20, 250)).await;
            killed.store(true, Ordering::Relaxed);
        };
        // What is on its way when the time has come is dropped with its connection, like the process at its other end.
        tokio::select! {
            _ = posting => {}
            () = killing => {}
        }
        host.kill().await;
        host.launch().await;
        // Whatever was there is there still, under the same id.
        let now = ids(&host.all_messages().await);
        assert!(known.is_subset(&now), "messages are gone: {:?}", known.difference(&now));
        known = now;
    }
    assert!(ledger.acknowledged_count() > 50, "only {} events were acknowledged", ledger.acknowledged_count());
    settle(&host).await;
    ledger.until_all_are_taken(&host).await;
    ledger.check(&host, 0).await;
    host.until("all messages have arrived", async || {
        let open: Vec<_> = host.all_messages().await.into_iter().filter(|message| message["state"] != "read").collect();
        if open.is_empty() { Ok(()) } else { Err(open.iter().map(Shown::way).collect::<Vec<_>>().join("; ")) }
    })
    .await;
}

/// Clears up every doubt: first all receipts arrive, then the time passes after which doubt is acted upon.
async fn settle(host: &Host) {
    host.until("nothing is left to run, and every receipt of delivery was taken", async || {
        let stats = host.stats().await;
        if stats["open_runs"] != 0 {
            return Err(stats.to_string());
        }
        let told: BTreeSet<String> = host
            .sim
            .webhooks("state=taken")
            .await
            .iter()
            .flat_map(|webhook| webhook["about"].as_array().unwrap().clone())
            .filter(|about| about["status"] == "delivered")
            .filter_map(|about| about["token"].as_str().map(str::to_owned))
            .collect();
        let requests = host.sim.requests("accepted=true").await;
        let untold: Vec<_> = requests
            .iter()
            .map(|request| request["tokens"][0].as_str().unwrap())
            .filter(|token| !told.contains(*token))
            .collect();
        if untold.is_empty() { Ok(()) } else { Err(format!("no receipt for {untold:?}")) }
    })
    .await;
    pass_doubt(host).await;
}

/// An attempt of which nothing is known is in doubt half a minute after it was begun, and doubt lasts a minute from there.
async fn pass_doubt(host: &Host) {
    host.advance("31s").await;
    host.until("every attempt whose answer is not known is in doubt", async || {
        let messages = host.all_messages().await;
        let planned: Vec<_> = messages.iter().map(Shown::way).filter(|way| way.ends_with("planned")).collect();
        if planned.is_empty() { Ok(()) } else { Err(planned.join("; ")) }
    })
    .await;
    host.advance("61s").await;
}

async fn post_until(host: &Host, ledger: &Ledger, next: &AtomicU32, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        let no = next.fetch_add(1, Ordering::Relaxed);
        let word = word(no);
        let mut event = order_ready(&format!("c{}", no % CUSTOMERS), &word);
        event["id"] = json!(word);
        ledger.posting(&word);
        let body = event.to_string();
        let media = [("content-type", "application/cloudevents+json")];
        match host.try_send(reqwest::Method::POST, "/v1/events", &media, body).await {
            Ok(answer) if answer.status == 202 => ledger.acknowledged(&word),
            Ok(answer) => panic!("{answer:?}"),
            Err(_) => return,
        }
    }
}

fn number(no: u32) -> String {
    format!("+336399813{no:02}")
}

/// Another moment in each run of the test.
fn random_ms(from: u64, to: u64) -> Duration {
    let random = RandomState::new().build_hasher().finish();
    Duration::from_millis(from + random % (to - from))
}
