//! Several hosts on one PostgreSQL: any of them may go at any moment, and it looks from outside as if nothing had happened.

mod pauses;
mod shards;
mod trouble;
mod versions;

use std::time::{Duration, Instant};

use relais::clock::Timestamp;
use serde_json::json;

use crate::harness::{
    Cluster, Db, Host, LEASE, Random,
    load::{self, Load, check_attempts, timed, until_only_doubt_is_left},
    on_postgres,
    postgres::Database,
    report,
};

/// Customers who are written to at the same time: their entities lie in shards of every host.
const CUSTOMERS: u32 = 30;
const HOSTS: usize = 3;

on_postgres! {
    three_hosts_survive_the_loss_of_any_one_under_load,
    clocks_that_are_apart_break_nothing,
    hosts_with_wrong_clocks_go_by_the_databases,
    the_pace_of_a_number_holds_over_all_hosts,
    a_host_that_joins_is_posted_to_and_one_that_stops_under_load_leaves_no_doubt,
}

/// Each time one host is killed at random, the others go on, and what was its work is done when its lease is over.
async fn three_hosts_survive_the_loss_of_any_one_under_load(db: Db) {
    let lasts = Duration::from_secs(u64::from(report::seconds(15)));
    let (mut random, began) = (Random::new(), Instant::now());
    let mut cluster = Cluster::start(load::setup().on(db), HOSTS).await;
    cluster.sim.trouble(json!({"kind": "slow", "delay_ms": 30})).await;
    let load = Load::on(&cluster, CUSTOMERS).await;
    let (mut took_over, mut ready) = (Vec::new(), Vec::new());
    while began.elapsed() < lasts {
        let before = load.ledger.acknowledged_count();
        load.release(100);
        load.until_acknowledged(cluster.any(), before + random.place(100)).await;
        let no = random.place(HOSTS);
        cluster.kill(no).await;
        let (_, took) = timed(async {
            load.until_acknowledged(cluster.any(), before + 100).await;
            until_only_doubt_is_left(cluster.any()).await;
        })
        .await;
        report::line(&format!("host {no} was killed; its work was taken over and done after {took:.1?}"));
        took_over.push(took);
        ready.push(cluster.launch(no).await);
    }
    let losses = took_over.len();
    let found = load.finish(&cluster).await;
    check_attempts(cluster.any()).await;
    report::table(
        "three hosts on one PostgreSQL, each loss at random",
        &[
            ("lasted", format!("{:.0?}", began.elapsed())),
            ("hosts lost", losses.to_string()),
            ("lease", format!("{LEASE:?}")),
            ("events", found.events.to_string()),
            ("timers", found.timers.to_string()),
            ("lost", "0".to_owned()),
            ("answers lost", found.answers_lost.to_string()),
            ("duplicates", found.duplicates.to_string()),
            ("its work was done after", load::spread(took_over)),
            ("ready after", load::spread(ready)),
        ],
    );
}

async fn a_host_that_joins_is_posted_to_and_one_that_stops_under_load_leaves_no_doubt(db: Db) {
    let mut cluster = Cluster::start(load::setup().on(db), 1).await;
    // Attempts are always under way.
    cluster.sim.trouble(json!({"kind": "slow", "delay_ms": 100})).await;
    let load = Load::on(&cluster, CUSTOMERS).await;
    for no in 0..3 {
        let before = load.ledger.acknowledged_count();
        load.release(100);
        load.until_acknowledged(cluster.any(), before + 30).await;
        cluster.join().await;
        load.post_to(cluster.urls());
        load.release(100);
        load.until_acknowledged(cluster.any(), before + 130).await;
        cluster.stop(no).await;
    }
    let found = load.finish(&cluster).await;
    assert_eq!(found.answers_lost, 0, "what was under way was waited for, and its answer written down");
    check_attempts(cluster.any()).await;
}

/// A host that goes by a clock of its own, as `relais dev` and tests have it, may be early or late by what the clocks are apart.
/// Nothing else comes of it.
async fn clocks_that_are_apart_break_nothing(db: Db) {
    let cluster = Cluster::start(load::setup().on(db), HOSTS).await;
    cluster.hosts[1].advance("15s").await;
    cluster.hosts[2].advance("30s").await;
    let load = Load::on(&cluster, CUSTOMERS).await;
    *load.ledger.apart.lock().unwrap() = Duration::from_secs(32);
    load.release(300);
    load.until_acknowledged(cluster.any(), 300).await;
    // A timer that was set by the one ahead, and is fired by the one behind.
    cluster.advance("31s").await;
    load.finish(&cluster).await;
    check_attempts(cluster.any()).await;
}

/// A machine's clock may be wrong by a day: hosts go by the database's, so they agree on what is due.
async fn hosts_with_wrong_clocks_go_by_the_databases(db: Db) {
    let database = db.prepare().await.unwrap();
    // The machine's clock cannot be set wrong, so that of the database is: it shows another day, and may be moved.
    let clock = format!(
        "CREATE TABLE public.clock (ahead interval NOT NULL); CREATE SCHEMA moved; {} {} \
         DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = moved, pg_catalog, public', current_database()); END $$;",
        moved("now"),
        moved("clock_timestamp"),
    );
    database.execute(&clock).await;
    let setup = load::setup().on(db).with("clock.kind = \"system\"\ningress.adjustable-clock = false");
    let set = async |database: &Database, shown: Timestamp| {
        let seconds = shown.0 as f64 / 1000.0;
        let sql = format!(
            "DELETE FROM public.clock; INSERT INTO public.clock VALUES (to_timestamp({seconds}) - pg_catalog.clock_timestamp())"
        );
        database.execute(&sql).await;
    };
    set(&database, Host::starts_at()).await;
    let cluster = Cluster::start_on(setup, HOSTS, Some(database), None).await;
    let load = Load::on(&cluster, CUSTOMERS).await;
    load.release(300);
    load.finish_without_doubt(&cluster).await;
    check_attempts(cluster.any()).await;

    // It is set right by half a minute, and all go with it.
    for by_s in [30, -60] {
        let now = Timestamp::parse(cluster.any().stats().await["now"].as_str().unwrap()).unwrap();
        let shown = Timestamp(now.0 + by_s * 1000);
        set(cluster.database(), shown).await;
        for host in cluster.running() {
            host.until("the host goes by the database's clock", async || {
                let now = Timestamp::parse(host.stats().await["now"].as_str().unwrap()).unwrap();
                if (0..25_000).contains(&(now.0 - shown.0)) { Ok(()) } else { Err(format!("{now} for {shown}")) }
            })
            .await;
        }
    }
}

/// A function of that name that goes by the clock that can be moved.
fn moved(name: &str) -> String {
    format!(
        "CREATE FUNCTION moved.{name}() RETURNS timestamptz LANGUAGE sql VOLATILE \
         AS 'SELECT pg_catalog.{name}() + (SELECT ahead FROM public.clock)';"
    )
}

async fn the_pace_of_a_number_holds_over_all_hosts(db: Db) {
    const PER_SECOND: usize = 20;
    const MESSAGES: usize = 160;
    let setup = load::setup().on(db).with(format!("dispatch.whatsapp-per-second = {PER_SECOND}"));
    let cluster = Cluster::start(setup, HOSTS).await;
    let load = Load::on(&cluster, CUSTOMERS).await;
    load.release(MESSAGES);
    load.finish(&cluster).await;
    let requests = cluster.sim.requests("").await;
    let at: Vec<i64> = requests.iter().map(|request| request["at"].as_i64().unwrap()).collect();
    let spent = Duration::from_millis(u64::try_from(at.iter().max().unwrap() - at.iter().min().unwrap()).unwrap());
    // A second's worth may go at once when nothing went before.
    let least = Duration::from_secs(((MESSAGES - PER_SECOND) / PER_SECOND) as u64);
    assert!(spent >= least, "{} messages went out in {spent:?}", requests.len());
}
