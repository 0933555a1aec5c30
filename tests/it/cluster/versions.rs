//! A rolling update: hosts of two neighbouring versions on one database, and the one that is too old for it.
//!
//! The newer host is played: what it would do to the schema is done with SQL, and what it would tell the others is told.

use serde_json::json;

use super::CUSTOMERS;
use crate::harness::{
    Cluster, Db, Host, Setup,
    load::{self, Load, check_attempts},
    on_postgres,
};

on_postgres! {
    a_database_that_a_newer_host_has_changed_so_that_ours_still_fits_is_worked_on_by_both,
    a_database_that_needs_newer_hosts_refuses_ours_and_says_what_to_do,
}

/// A step of the schema from the future, that hosts from `oldest` on can work with.
fn step(number: u32, oldest: u32) -> String {
    format!("INSERT INTO schema_versions (version, oldest_host) VALUES ({number}, {oldest});")
}

async fn a_database_that_a_newer_host_has_changed_so_that_ours_still_fits_is_worked_on_by_both(db: Db) {
    let mut cluster = Cluster::start(load::setup().on(db), 2).await;
    let load = Load::on(&cluster, CUSTOMERS).await;
    load.release(100);
    load.until_acknowledged(cluster.any(), 50).await;
    // As the first host of the new version does when it starts beside those of the old one, under load.
    let newer = [
        "ALTER TABLE messages ADD COLUMN weight bigint NOT NULL DEFAULT 1",
        "ALTER TABLE runs ADD COLUMN note text",
        "CREATE TABLE weights (id bigint PRIMARY KEY)",
        &step(1_000, 1),
    ];
    // Not in one transaction, as a host would: that may meet the others' locks in another order, and is to be done again.
    for sql in newer {
        cluster.hosts[0].change_the_store(sql).await;
    }
    // A newer host says more than ours understands, or something else altogether.
    for payload in [json!({"from": "newer", "weights": [1, 2]}).to_string(), "weigh everything".to_owned()] {
        cluster.hosts[0].change_the_store(&format!("SELECT pg_notify('relais', '{payload}')")).await;
    }
    // One of the old version is started again meanwhile, and another one joins.
    load.release(100);
    cluster.stop(1).await;
    cluster.launch(1).await;
    cluster.join().await;
    load.post_to(cluster.urls());
    load.release(100);
    load.finish(&cluster).await;
    check_attempts(cluster.any()).await;
}

async fn a_database_that_needs_newer_hosts_refuses_ours_and_says_what_to_do(db: Db) {
    let mut host = Host::start(Setup::tester().on(db)).await;
    host.customer("paul", crate::harness::PAUL).await;
    host.stop().await;
    host.change_the_store(&step(1_000, 1_000)).await;
    let ended = host.try_launch().await.unwrap_err();
    assert!(!ended.success(), "{ended}");
    let log = host.log();
    for word in ["newer version of relais", "schema 1000", "needs hosts of 1000", "Run that version or a later one"] {
        assert!(log.contains(word), "{word:?} is not in {log}");
    }
    // Nothing was touched: once the newer version is gone from it again, everything is there.
    host.change_the_store("DELETE FROM schema_versions WHERE version = 1000").await;
    host.launch().await;
    assert_eq!(host.get("/v1/customers/paul").await["id"], "paul");
}
