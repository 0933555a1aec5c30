//! Very many swaps under load: every event that was acknowledged has its run, and memory stays where it is.
//!
//! `RELAIS_TEST_ROUNDS` says how many; `scripts/reloads` plays a thousand.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Instant,
};

use serde_json::json;

use super::{edit, host_with, plugin, versioned};
use crate::harness::{Db, Setup, both_databases, report, steps};

/// Entities that events come in about at the same time.
const ENTITIES: u32 = 16;
/// What memory may grow by from the first tenth of the swaps to the end, beyond what the load itself leaves.
const GROWTH_BYTES_MAX: u64 = 64 << 20;

/// Words of one key, so that a line of the log holds them.
const WORDS: usize = 500;

/// Where a word is kept.
fn key(no: usize) -> String {
    format!("words-{}", no / WORDS)
}

both_databases! { under_load_no_event_is_lost_to_any_number_of_swaps }

fn swaps() -> u32 {
    report::rounds(60)
}

async fn under_load_no_event_is_lost_to_any_number_of_swaps(db: Db) {
    let setup = Setup::tester().on(db).with("plugins.settle = \"10ms\"\nlog.level = \"info\"");
    let host = host_with(setup).await;
    let (stop, began) = (AtomicBool::new(false), Instant::now());
    let load = async {
        let entity = async |entity: u32| {
            let mut acknowledged = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                let no = acknowledged.len();
                let script = json!([{"append": {"key": key(no), "word": no.to_string()}}]);
                let accepted = host.accept(steps("paul", &format!("e{entity}"), script)).await;
                acknowledged.push(accepted["runs"][0].as_str().unwrap().to_owned());
                // So that the machine has time for what is tested, which is the swaps.
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
            acknowledged
        };
        futures_util::future::join_all((0..ENTITIES).map(entity)).await
    };
    let swap = async {
        let mut early = 0;
        for no in 1..=swaps() {
            let version = format!("1.{no}.0");
            edit(&host, |text| versioned(&text, &version));
            host.until(&format!("{version} serves"), async || match plugin(&host).await {
                plugin if plugin["version"] == version => Ok(()),
                plugin => Err(format!("{plugin:#}")),
            })
            .await;
            if no == swaps().div_ceil(10) {
                early = host.memory_bytes();
            }
        }
        stop.store(true, Ordering::Relaxed);
        early
    };
    let (acknowledged, early) = tokio::join!(load, swap);
    let took = began.elapsed();
    host.until_eq("all have run", json!(0), async || host.stats().await["open_runs"].clone()).await;
    let late = host.memory_bytes();
    // Each entity has every word once and in order: nothing was lost, run twice, or overtaken.
    for (entity, runs) in acknowledged.iter().enumerate() {
        for first in (0..runs.len()).step_by(WORDS) {
            let told = host.event(steps("paul", &format!("e{entity}"), json!([{"tell": {"key": key(first)}}]))).await;
            let wanted = (first..runs.len().min(first + WORDS)).map(|no| no.to_string()).collect::<Vec<_>>().join(",");
            let said = format!("{} is {wanted}\"", key(first));
            assert!(told["results"][0]["report"]["log"].to_string().contains(&said), "{told:#}");
        }
    }
    let events: usize = acknowledged.iter().map(Vec::len).sum();
    report::table(
        &format!("{} versions of a plugin under load, {db:?}", swaps()),
        &[
            ("events meanwhile", events.to_string()),
            ("events that were lost, run twice or overtaken", "0".to_owned()),
            ("memory after a tenth of them", format!("{} MiB", early >> 20)),
            ("memory at the end", format!("{} MiB", late >> 20)),
            ("took", format!("{took:.0?}")),
        ],
    );
    assert!(late < early + GROWTH_BYTES_MAX, "memory grew from {early} to {late} bytes over {} swaps", swaps());
}
