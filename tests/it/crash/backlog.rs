//! A host with a great deal left to do is ready soon, and what can be done is done although other things cannot.

use serde_json::{Value, json};

use crate::harness::{Cluster, Db, Packages, Setup, both_databases, load::timed, report, steps};

/// Open rows that a host finds when it starts.
const OPEN: usize = 100_000;
/// Events that are posted in one piece.
const BATCH: usize = 1_000;
/// Entities that wait.
const ENTITIES: usize = 100;

both_databases! { a_host_is_ready_soon_whatever_it_finds_to_be_done }

async fn a_host_is_ready_soon_whatever_it_finds_to_be_done(db: Db) {
    let setup = Setup { plugins: Packages::Patient, ..Setup::new().on(db) };
    let mut cluster = Cluster::start(setup, 1).await;
    let host = cluster.any();
    // The first run of each entity fails, and all others of it wait for hours until it is executed again.
    for entity in 0..ENTITIES {
        let script = json!([{"trap-before": {"attempt": 3}}]);
        host.accept(steps("", &format!("e{entity}"), script)).await;
    }
    host.until("all of them have failed once", async || {
        let failed = host.all_runs().await.iter().filter(|run| run["attempts"] == 1).count();
        if failed == ENTITIES { Ok(()) } else { Err(failed.to_string()) }
    })
    .await;
    let (_, posting) = timed(async {
        for batch in 0..(OPEN - ENTITIES) / BATCH {
            let events: Vec<Value> =
                (0..BATCH).map(|no| steps("", &format!("e{}", (batch * BATCH + no) % ENTITIES), json!([]))).collect();
            let answer = host.post_event("/v1/events", &json!(events)).await;
            assert_eq!(answer.status, 202, "{}", answer.text);
        }
        // Fewer than a batch are left.
        for _ in 0..(OPEN - ENTITIES) % BATCH {
            host.accept(steps("", "e0", json!([]))).await;
        }
    })
    .await;
    assert_eq!(host.stats().await["open_runs"], OPEN);
    cluster.kill(0).await;
    let ready = cluster.launch(0).await;
    // Whoever does not wait for anything is served although so many wait.
    let (served, answer) = timed(cluster.any().event(steps("", "another", json!([])))).await;
    assert_eq!(served["complete"], true, "{served:#}");
    assert_eq!(cluster.any().stats().await["open_runs"], OPEN, "nothing was lost");
    report::table(
        "a start with much to be done",
        &[
            ("database", format!("{db:?}")),
            ("open runs", OPEN.to_string()),
            ("posting them took", format!("{posting:.1?}")),
            ("ready after", format!("{ready:.0?}")),
            ("first event handled after", format!("{answer:.2?}")),
        ],
    );
}
