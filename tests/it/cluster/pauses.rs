//! A host that does not know that time has passed: what it comes back with is too late, and is refused.

use std::time::{Duration, Instant};

use serde_json::json;

use super::CUSTOMERS;
use crate::harness::{
    Cluster, Db, LEASE, Random,
    load::{self, Load, check_attempts, timed, until_only_doubt_is_left},
    on_postgres,
    proxy::{Proxy, Wire},
    report,
};

on_postgres! {
    a_host_that_was_paused_past_its_lease_commits_nothing_late,
    a_commit_that_was_on_its_way_for_longer_than_the_lease_is_refused,
}

/// The rest of a lease and a bit more, for somebody who does nothing meanwhile.
async fn past_the_lease(since: Instant) {
    tokio::time::sleep((LEASE + Duration::from_secs(1)).saturating_sub(since.elapsed())).await;
}

async fn a_host_that_was_paused_past_its_lease_commits_nothing_late(db: Db) {
    let mut random = Random::new();
    let mut cluster = Cluster::start(load::setup().on(db), 2).await;
    cluster.sim.trouble(json!({"kind": "slow", "delay_ms": 30})).await;
    let load = Load::on(&cluster, CUSTOMERS).await;
    for _ in 0..report::rounds(3) {
        let before = load.ledger.acknowledged_count();
        load.release(200);
        load.until_acknowledged(cluster.any(), before + random.place(150)).await;
        let no = random.place(2);
        // In the middle of whatever it is doing: runs, commits, attempts.
        cluster.pause(no).await;
        let paused = Instant::now();
        let (_, took) = timed(async {
            load.until_acknowledged(cluster.any(), before + 200).await;
            until_only_doubt_is_left(cluster.any()).await;
        })
        .await;
        report::line(&format!("host {no} was paused; its work was done by the other after {took:.1?}"));
        past_the_lease(paused).await;
        cluster.resume(no).await;
    }
    load.finish(&cluster).await;
    check_attempts(cluster.any()).await;
}

/// The host goes on, but its wire to the database holds everything back until others have done its work.
async fn a_commit_that_was_on_its_way_for_longer_than_the_lease_is_refused(db: Db) {
    let mut random = Random::new();
    let mut cluster = Cluster::start(load::setup().on(db), 1).await;
    let server = crate::harness::postgres::server();
    let wire = Proxy::to(vec![server.port()]).await;
    let by_wire = wire.instead_of(&cluster.database().url);
    cluster.reach_store_at(Some(by_wire));
    cluster.join().await;
    let load = Load::on(&cluster, CUSTOMERS).await;
    for _ in 0..report::rounds(3) {
        let before = load.ledger.acknowledged_count();
        load.release(200);
        load.until_acknowledged(cluster.any(), before + random.place(150)).await;
        wire.set(Wire::Hangs);
        cluster.leave_out(1);
        let hung = Instant::now();
        load.until_acknowledged(&cluster.hosts[0], before + 200).await;
        until_only_doubt_is_left(&cluster.hosts[0]).await;
        past_the_lease(hung).await;
        wire.set(Wire::Carries);
        cluster.aim();
    }
    load.finish(&cluster).await;
    check_attempts(cluster.any()).await;
}
