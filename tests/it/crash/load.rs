//! Killed and stopped at random moments while events come in from all sides.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::harness::{
    Cluster, Db, Random, Shown, both_databases,
    load::{self, Load, check_attempts, ids_by_word},
    report,
};

/// Customers who are written to at the same time.
const CUSTOMERS: u32 = 20;
/// Events of a round.
const EVENTS: usize = 50;
/// In one round of so many a provider takes a message and says nothing of it.
const DOUBT_EVERY: u32 = 5;

both_databases! {
    killed_at_random_moments_under_load_everything_acknowledged_arrives_once,
    killed_right_after_the_answer_nothing_of_a_batch_is_lost,
    stopped_under_load_it_ends_well_and_leaves_no_doubt,
}

/// A file is for one host; a database is for three, of which one is killed at a time while the others go on.
fn hosts(db: Db) -> usize {
    match db {
        Db::Sqlite => 1,
        Db::Postgres => 3,
    }
}

async fn cluster(db: Db) -> Cluster {
    Cluster::start(load::setup().on(db), hosts(db)).await
}

async fn killed_at_random_moments_under_load_everything_acknowledged_arrives_once(db: Db) {
    let rounds = report::rounds(10);
    let mut random = Random::new();
    let began = Instant::now();
    let mut cluster = cluster(db).await;
    // Attempts are under way at most moments: the provider has taken the message, and its answer is still to come.
    cluster.sim.trouble(json!({"kind": "slow", "delay_ms": 30})).await;
    let load = Load::on(&cluster, CUSTOMERS).await;
    let (mut known, mut ready) = (BTreeMap::new(), Vec::new());
    for round in 1..=rounds {
        if round % DOUBT_EVERY == 0 {
            load.doubt(cluster.any()).await;
        }
        let before = load.ledger.acknowledged_count();
        load.release(EVENTS);
        let more = random.place(EVENTS);
        load.until_acknowledged(cluster.any(), before + more).await;
        // Not to wait for anything: the moment is what is tested.
        tokio::time::sleep(Duration::from_micros(random.below(30_000))).await;
        let no = random.place(cluster.hosts.len());
        cluster.kill(no).await;
        let took = cluster.launch(no).await;
        report::line(&format!("round {round}: killed host {no} after {more} answers, ready again after {took:.0?}"));
        ready.push(took);
        // Whatever was there is there still, under the same id. Looked at less often where there are many rounds.
        if round % rounds.div_ceil(20) == 0 {
            let now = ids_by_word(cluster.any()).await;
            for (word, id) in &known {
                assert_eq!(now.get(word), Some(id), "the message of {word} is gone or another one");
            }
            known = now;
        }
    }
    let found = load.finish(&cluster).await;
    check_attempts(cluster.any()).await;
    assert!(found.answers_lost > found.duplicates, "no kill came between an attempt and its answer");
    report::table(
        "kill loop",
        &[
            ("database", format!("{db:?}")),
            ("hosts", hosts(db).to_string()),
            ("rounds", rounds.to_string()),
            ("events", found.events.to_string()),
            ("timers", found.timers.to_string()),
            ("lost", "0".to_owned()),
            ("answers lost on purpose", (rounds / DOUBT_EVERY).to_string()),
            ("answers lost in all", found.answers_lost.to_string()),
            ("duplicates, each marked", found.duplicates.to_string()),
            ("ready after", load::spread(ready)),
            ("took", format!("{:.0?}", began.elapsed())),
        ],
    );
}

async fn killed_right_after_the_answer_nothing_of_a_batch_is_lost(db: Db) {
    let mut cluster = Cluster::start(load::setup().on(db), 1).await;
    let load = Load::on(&cluster, CUSTOMERS).await;
    let (words, batch) = load.batch(200);
    let answer = cluster.any().post_event("/v1/events", &batch).await;
    cluster.kill(0).await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    for (word, accepted) in words.iter().zip(answer.body.as_array().unwrap()) {
        load.ledger.acknowledged(word, &accepted["id"], cluster.sim.now());
    }
    cluster.launch(0).await;
    load.finish(&cluster).await;
    check_attempts(cluster.any()).await;
}

async fn stopped_under_load_it_ends_well_and_leaves_no_doubt(db: Db) {
    let mut random = Random::new();
    let mut cluster = cluster(db).await;
    // Attempts are always under way.
    cluster.sim.trouble(json!({"kind": "slow", "delay_ms": 100})).await;
    let load = Load::on(&cluster, CUSTOMERS).await;
    for _ in 0..3 {
        let before = load.ledger.acknowledged_count();
        load.release(EVENTS);
        load.until_acknowledged(cluster.any(), before + 1 + random.place(EVENTS)).await;
        let no = random.place(cluster.hosts.len());
        cluster.stop(no).await;
        cluster.launch(no).await;
    }
    let found = load.finish(&cluster).await;
    for message in cluster.any().all_messages().await {
        assert_eq!(message.way(), "whatsapp read", "{message:#}");
    }
    assert_eq!(found.answers_lost, 0, "what was under way was waited for, and its answer written down");
    check_attempts(cluster.any()).await;
}
