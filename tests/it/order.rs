//! Runs of one entity in the order of acceptance, whatever fails, is killed or is set aside meanwhile.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::harness::{Cluster, Db, Random, Setup, both_databases, report, steps};

both_databases! {
    each_entity_keeps_its_order_whatever_fails_and_whoever_is_killed,
    what_is_set_aside_lets_the_next_of_its_entity_go_on,
}

/// What the entity remembers, as the plugin tells it.
async fn remembered(cluster: &Cluster, entity: &str) -> String {
    let told = cluster.any().event(steps("", entity, json!([{"tell": {"key": "list"}}]))).await;
    told["results"][0]["report"]["log"][0]["message"].as_str().unwrap().to_owned()
}

fn append(word: &str) -> Value {
    json!({"append": {"key": "list", "word": word}})
}

/// Executes again what waits for that, until nothing is open.
async fn drain(cluster: &Cluster) {
    let mut steps = 0;
    while cluster.any().stats().await["open_runs"] != 0 {
        steps += 1;
        assert!(steps < 400, "{:#}", json!(cluster.any().all_runs().await));
        // The longest pause between two executions, and a bit of time for the execution itself.
        cluster.advance("61s").await;
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

async fn each_entity_keeps_its_order_whatever_fails_and_whoever_is_killed(db: Db) {
    let mut random = Random::new();
    let hosts = if db == Db::Postgres { 2 } else { 1 };
    let mut cluster = Cluster::start(Setup::tester().on(db), hosts).await;
    let mut wanted: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for no in 0..report::rounds(4) * 30 {
        let (entity, word) = (format!("e{}", random.below(6)), no.to_string());
        let words = wanted.entry(entity.clone()).or_default();
        let mut script = vec![append(&word)];
        match random.below(6) {
            // It fails after it has asked for something, once or twice, and is executed again.
            0 => script.push(json!({"trap-before": {"attempt": 2}})),
            1 => script.push(json!({"trap-before": {"attempt": 3}})),
            // It is not worth another try: nothing of it happened, and the next one goes on.
            2 => script.push(json!({"reject": {"why": "told to"}})),
            _ => words.push(word.clone()),
        }
        if script.len() > 1 && script[1].get("reject").is_none() {
            words.push(word);
        }
        // Whichever host is asked; the order is that of the answers.
        let at = random.place(cluster.hosts.len());
        cluster.hosts[at].accept(steps("", &entity, json!(script))).await;
        match random.below(40) {
            0 => {
                let no = random.place(cluster.hosts.len());
                cluster.kill(no).await;
                cluster.launch(no).await;
            }
            1..4 => cluster.advance("15s").await,
            _ => {}
        }
    }
    drain(&cluster).await;
    for (entity, words) in wanted {
        assert_eq!(remembered(&cluster, &entity).await, format!("list is {}", words.join(",")), "{entity}");
    }
}

async fn what_is_set_aside_lets_the_next_of_its_entity_go_on(db: Db) {
    let cluster = Cluster::start(Setup::tester().on(db), 1).await;
    let host = cluster.any();
    host.accept(steps("", "a", json!([append("1")]))).await;
    let aside = host.accept(steps("", "a", json!([append("2"), {"reject": {"why": "told to"}}]))).await;
    host.accept(steps("", "a", json!([append("3")]))).await;
    host.until_run(aside["runs"][0].as_str().unwrap(), "set-aside").await;
    assert_eq!(remembered(&cluster, "a").await, "list is 1,3");
}
