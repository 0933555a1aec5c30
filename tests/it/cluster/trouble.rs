//! PostgreSQL restarts, crashes, hangs, and loses connections at the worst moment: nothing is acknowledged that is not safe,
//! whoever asks is told to come again, and the host recovers by itself.

use std::time::Duration;

use serde_json::{Value, json};

use super::CUSTOMERS;
use crate::harness::{
    Cluster, Db, Host,
    ledger::word,
    load::{self, Load, check_attempts, timed},
    on_postgres, order_ready,
    postgres::OwnServer,
    proxy::{Proxy, Wire},
    report,
};

/// How long an answer may take when the database does not answer at all.
const ANSWER_MAX: Duration = Duration::from_secs(20);

on_postgres! {
    a_database_that_restarts_or_crashes_is_waited_for,
    a_database_that_hangs_is_waited_for_and_whoever_posts_is_told_to_come_again,
    connections_that_are_lost_after_the_commit_lose_and_double_nothing,
    connections_that_are_cut_at_random_lose_and_double_nothing,
}

/// A server of the test's own, and hosts that reach it by a wire of the test's own.
struct Scene {
    wire: Proxy,
    cluster: Cluster,
    /// The last to go: the database is dropped first.
    server: OwnServer,
}

impl Scene {
    async fn new(db: Db, hosts: usize) -> Scene {
        let server = tokio::task::spawn_blocking(OwnServer::start).await.unwrap();
        let database = server.server.fresh_database().await;
        let wire = Proxy::to(vec![server.server.port()]).await;
        let by_wire = wire.instead_of(&database.url);
        let cluster = Cluster::start_on(load::setup().on(db), hosts, Some(database), Some(by_wire)).await;
        Scene { wire, cluster, server }
    }
}

/// What is not safe is not acknowledged: it says so, and when to come again.
async fn refused(host: &Host) {
    // One that was posted before: if it is accepted after all, it changes nothing.
    let mut event = order_ready("c0", "again");
    event["id"] = json!(word(0));
    let (answer, took) = timed(host.post_event("/v1/events", &event)).await;
    answer.problem(503, "/problems/unavailable", None);
    assert!(answer.header("retry-after").parse::<u32>().is_ok_and(|after| after > 0), "{answer:?}");
    assert!(took < ANSWER_MAX, "{took:?}");
    let ready = host.send(reqwest::Method::GET, "/readyz", &[], "").await;
    assert_eq!(ready.status, 503, "{ready:?}");
}

async fn until_ready(host: &Host) {
    host.until("it can take work again", async || {
        let ready = host.send(reqwest::Method::GET, "/readyz", &[], "").await;
        if ready.status == 200 { Ok(()) } else { Err(ready.text) }
    })
    .await;
}

async fn a_database_that_restarts_or_crashes_is_waited_for(db: Db) {
    let scene = Scene::new(db, 2).await;
    let load = Load::on(&scene.cluster, CUSTOMERS).await;
    for crash in [false, true] {
        let before = load.ledger.acknowledged_count();
        load.release(100);
        load.until_acknowledged(scene.cluster.any(), before + 50).await;
        if crash {
            scene.server.crash()
        } else {
            scene.server.stop()
        }
        for host in scene.cluster.running() {
            refused(host).await;
        }
        // What was answered before the database went has been heard by now.
        let safe = load.ledger.acknowledged_count();
        for host in scene.cluster.running() {
            refused(host).await;
        }
        assert_eq!(load.ledger.acknowledged_count(), safe, "acknowledged while there was no database");
        scene.server.start_again();
        for host in scene.cluster.running() {
            until_ready(host).await;
        }
    }
    load.finish(&scene.cluster).await;
    check_attempts(scene.cluster.any()).await;
}

async fn a_database_that_hangs_is_waited_for_and_whoever_posts_is_told_to_come_again(db: Db) {
    let scene = Scene::new(db, 1).await;
    let host = scene.cluster.any();
    let load = Load::on(&scene.cluster, CUSTOMERS).await;
    load.release(100);
    load.until_acknowledged(host, 50).await;
    scene.wire.set(Wire::Hangs);
    refused(host).await;
    scene.wire.set(Wire::Carries);
    until_ready(host).await;
    load.finish(&scene.cluster).await;
    check_attempts(host).await;
}

async fn connections_that_are_lost_after_the_commit_lose_and_double_nothing(db: Db) {
    let scene = Scene::new(db, 1).await;
    let host = scene.cluster.any();
    let load = Load::on(&scene.cluster, CUSTOMERS).await;
    let rounds = report::rounds(10);
    for round in 1..=rounds {
        let before = load.ledger.acknowledged_count();
        load.release(30);
        scene.wire.lose_answers_to_commits(1);
        load.until_acknowledged(host, before + 30).await;
        host.until("the answer to a commit was lost", async || {
            let lost = scene.wire.answers_lost();
            if lost == round { Ok(()) } else { Err(lost.to_string()) }
        })
        .await;
    }
    load.finish(&scene.cluster).await;
    check_attempts(host).await;
}

async fn connections_that_are_cut_at_random_lose_and_double_nothing(db: Db) {
    let scene = Scene::new(db, 1).await;
    let host = scene.cluster.any();
    let load = Load::on(&scene.cluster, CUSTOMERS).await;
    let mut random = crate::harness::Random::new();
    for _ in 0..report::rounds(10) {
        let before = load.ledger.acknowledged_count();
        load.release(30);
        load.until_acknowledged(host, before + random.place(30)).await;
        scene.wire.cut();
    }
    scene.wire.set(Wire::Slow(Duration::from_millis(2)));
    load.release(30);
    load.finish(&scene.cluster).await;
    check_attempts(host).await;
    let health: Value = host.get("/healthz").await;
    assert_eq!(health["status"], "alive");
}
