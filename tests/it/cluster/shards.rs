//! Who does the work of which shards: shared by those who are there, given back by those who leave, taken from those who died.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{Cluster, Db, Host, Setup, on_postgres, report};

const SHARDS: u64 = 1_024;

on_postgres! {
    a_host_that_joins_takes_its_share_and_one_that_leaves_gives_it_back_at_once,
    a_host_that_died_loses_its_shards_after_its_lease,
}

async fn owned(host: &Host) -> u64 {
    let stats = host.stats().await;
    match &stats["shards"] {
        Value::Number(count) => count.as_u64().unwrap(),
        _ => panic!("it does not say which shards it has: {stats}"),
    }
}

/// Until the hosts that run have all shards, each about as many as any other. How long it took.
async fn until_shared(cluster: &Cluster) -> Duration {
    let began = Instant::now();
    cluster
        .any()
        .until("the shards are shared evenly", async || {
            let mut shares = Vec::new();
            for host in cluster.running() {
                shares.push(owned(host).await);
            }
            let fair = SHARDS / shares.len() as u64;
            let even = shares.iter().all(|share| share.abs_diff(fair) <= fair / 4);
            if even && shares.iter().sum::<u64>() == SHARDS { Ok(()) } else { Err(format!("{shares:?}")) }
        })
        .await;
    began.elapsed()
}

async fn a_host_that_joins_takes_its_share_and_one_that_leaves_gives_it_back_at_once(db: Db) {
    // So long a lease that whoever waited for its end would be noticed.
    let setup = Setup::tester().on(db).with("store.postgres.lease-s = 60");
    let mut cluster = Cluster::start(setup, 1).await;
    until_shared(&cluster).await;
    cluster.join().await;
    until_shared(&cluster).await;
    cluster.join().await;
    until_shared(&cluster).await;
    cluster.stop(1).await;
    until_shared(&cluster).await;
    cluster.stop(0).await;
    until_shared(&cluster).await;
}

async fn a_host_that_died_loses_its_shards_after_its_lease(db: Db) {
    let mut cluster = Cluster::start(Setup::tester().on(db), 2).await;
    until_shared(&cluster).await;
    let before = owned(&cluster.hosts[0]).await;
    cluster.kill(1).await;
    assert_eq!(owned(&cluster.hosts[0]).await, before, "nobody knows yet that it died");
    let took = until_shared(&cluster).await;
    report::line(&format!("its shards had another owner after {took:.1?}"));
}
