//! Killed at every point in turn at which the host makes something durable, and at many of those at which it writes.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::{assert_whole, beside, post, prepared, settle, setup, telling};
use crate::harness::{
    Host, PAUL, Shown,
    ledger::{Ledger, word},
    strace,
};

/// More than there are; where this is reached, the workload does not end.
const POINTS_MAX: u32 = 2_000;

/// The files that a store is made of and with.
fn files(host: &Host) -> Vec<PathBuf> {
    let store = host.store_file();
    let endings = ["", "-wal", ".new", ".new-journal"];
    let mut files: Vec<_> = endings.iter().map(|ending| beside(&store, ending)).collect();
    files.push(host.dir().to_owned());
    files
}

/// Lets the host be killed when a thread of it is about to make this call for the `no`th time.
fn kill_at(host: &mut Host, calls: &[&str], no: u32) {
    let what: Vec<_> = calls.iter().map(|call| format!("{call}:signal=KILL:when={no}")).collect();
    let what: Vec<_> = what.iter().map(String::as_str).collect();
    host.under = strace::under(&strace::inject(&files(host), &what), &host.dir().join("trace"));
}

/// A single event, a batch, and all that follows from them. Whether it came to its end; the host has died where it did not.
async fn work(host: &mut Host, ledger: &Ledger, first: u32) -> bool {
    if post(host, ledger, &word(first)).await.is_none() {
        return false;
    }
    let batch: Vec<_> = (first + 1..first + 3).map(word).collect();
    batch.iter().for_each(|word| ledger.posting(word));
    let events: Vec<_> = batch.iter().map(|word| telling(word)).collect();
    let media = [("content-type", "application/cloudevents-batch+json")];
    match host.try_send(reqwest::Method::POST, "/v1/events", &media, json!(events).to_string()).await {
        Ok(answer) if answer.status == 202 => batch.iter().for_each(|word| ledger.acknowledged(word)),
        Ok(answer) => panic!("{answer:?}"),
        Err(_) => return false,
    }
    // Until all that follows is done, or the host is.
    let words: Vec<_> = (first..first + 3).map(word).collect();
    let began = std::time::Instant::now();
    while host.has_ended().is_none() {
        let asked = host.try_send(reqwest::Method::GET, "/v1/messages?limit=3", &[], "").await;
        let messages = asked.map(|answer| answer.body["messages"].as_array().cloned().unwrap_or_default());
        let read = |message: &&Value| {
            let content = message["content"].to_string();
            message["state"] == "read" && words.iter().any(|word| content.contains(word.as_str()))
        };
        if messages.is_ok_and(|messages| messages.iter().filter(read).count() == 3) {
            return true;
        }
        assert!(began.elapsed().as_secs() < 60, "it neither ends its work nor dies\n{}", host.log());
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    false
}

/// Kills at every `step`th such call of the workload, each time on what the last round left. The number of rounds.
async fn killed_at_each(calls: &[&str], step: u32) -> u32 {
    let mut host = prepared(setup()).await;
    host.launch().await;
    host.customer("paul", PAUL).await;
    let ledger = Ledger::default();
    for (round, no) in (1..POINTS_MAX).step_by(step as usize).enumerate() {
        let round = u32::try_from(round).unwrap();
        host.stop().await;
        kill_at(&mut host, calls, no);
        let died = host.try_launch().await.is_err() || !work(&mut host, &ledger, round * 3).await;
        if !died {
            host.kill().await;
        } else if host.process().is_some() {
            assert_eq!(host.ended().await.code(), None, "by a signal");
        }
        assert_whole(&host.store_file());
        host.under.clear();
        host.launch().await;
        // What got no answer is sent again, as a shop does; it may have been taken or not.
        for no in round * 3..round * 3 + 3 {
            assert_eq!(post(&host, &ledger, &word(no)).await, Some(true));
        }
        settle(&host).await;
        ledger.check(&host, 0).await;
        assert_eq!(host.all_messages().await.len() as u32, (round + 1) * 3, "one message for each event");
        if !died {
            return round;
        }
    }
    panic!("the workload does not end without being killed");
}

#[tokio::test]
async fn killed_at_every_sync_in_turn_nothing_acknowledged_is_lost_or_doubled() {
    let points = killed_at_each(&["fdatasync", "fsync"], 1).await;
    println!("killed at {points} syncs in turn");
    assert!(points >= 5, "{points}: accepting, a run, an attempt, its answer and receipts are at least as many");
}

#[tokio::test]
async fn killed_between_the_writes_of_a_transaction_no_half_of_it_is_left() {
    let points = killed_at_each(&["pwrite64"], 29).await;
    println!("killed at {points} writes");
    assert!(points >= 3, "{points}");
}

#[tokio::test]
async fn killed_while_the_store_is_made_the_next_start_makes_it() {
    let mut host = prepared(setup()).await;
    let mut killed = 0;
    for (call, step) in [("fdatasync", 1), ("fsync", 1), ("rename", 1), ("unlink", 1), ("pwrite64", 9)] {
        for no in (1..POINTS_MAX).step_by(step) {
            for ending in ["", "-wal", "-shm", ".new", ".new-journal", ".lock"] {
                let _ = std::fs::remove_file(beside(&host.store_file(), ending));
            }
            kill_at(&mut host, &[call], no);
            let ready = host.try_launch().await.is_ok();
            host.under.clear();
            if ready {
                host.kill().await;
            } else {
                killed += 1;
            }
            host.launch().await;
            assert_whole(&host.store_file());
            assert_eq!(host.stats().await["open_runs"], 0);
            assert!(!beside(&host.store_file(), ".new").exists(), "what was half made is cleared away");
            host.kill().await;
            if ready {
                break;
            }
        }
    }
    println!("killed at {killed} points of making a store");
    assert!(killed >= 5, "{killed}");
    // And it is one to work with.
    host.launch().await;
    host.customer("paul", PAUL).await;
    host.event(telling(&word(0))).await;
    assert_eq!(host.only_message("paul", "read").await.way(), "whatsapp read");
}
