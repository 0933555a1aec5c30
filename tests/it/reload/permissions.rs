//! An update that asks for more than was ever accepted is held until an operator accepts it, on every host and over a restart.

use serde_json::{Value, json};

use super::{edit, host, host_with, look, order, plugin, ran, until_version, versioned};
use crate::harness::{Cluster, Db, Host, Setup, both_databases, relais_with, steps};

both_databases! {
    an_update_that_asks_for_more_is_held_until_it_is_approved,
    a_restart_does_not_let_in_what_was_held,
    more_messages_or_money_is_held_and_less_is_not,
}

/// A newer version that asks for a permission more.
fn asks_for_more(text: &str) -> String {
    versioned(text, "2.0.0").replace("customer = [\"locale\"]", "customer = [\"locale\", \"name\"]\nphone = true")
}

fn added() -> Value {
    json!(["customer: name", "phone"])
}

async fn an_update_that_asks_for_more_is_held_until_it_is_approved(db: Db) {
    let host = host(db).await;
    edit(&host, |text| asks_for_more(&text));
    let looked = look(&host).await;
    assert_eq!(looked["changed"][0]["outcome"], "held", "{looked:#}");
    let held = plugin(&host).await;
    assert_eq!((&held["state"], &held["version"]), (&json!("loaded"), &json!("1.0.0")), "{held:#}");
    assert_eq!((&held["update"]["state"], &held["update"]["added"]), (&json!("held"), &added()), "{held:#}");
    assert_eq!(held["effective"]["phone"], false);
    assert_eq!(ran(&host, json!([])).await, (json!("1.0.0"), json!("done")));
    // One that asks for less is no question; and the former is asked again.
    edit(&host, |text| versioned(&text, "1.1.0").replace(", \"name\"]\nphone = true", "]"));
    until_version(&host, "1.1.0").await;
    edit(&host, |text| asks_for_more(&text));
    assert_eq!(look(&host).await["changed"][0]["outcome"], "held");
    let said = relais_with(&["plugin", "approve", "tester"], &[("RELAIS_URL", &host.url)], "").await;
    let out = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(said.status.success() && out.contains("customer: name") && out.contains("phone"), "{out}");
    let approved = plugin(&host).await;
    assert_eq!((&approved["version"], &approved["update"]), (&json!("2.0.0"), &Value::Null), "{approved:#}");
    assert_eq!(approved["effective"]["phone"], true);
    assert!(host.log().contains("an operator has accepted permissions"), "the log does not say who may more");
    // Back to the one before, and forth: what was accepted once is not asked for again.
    edit(&host, |text| versioned(&text, "1.0.1").replace(", \"name\"]\nphone = true", "]"));
    until_version(&host, "1.0.1").await;
    edit(&host, |text| asks_for_more(&text));
    until_version(&host, "2.0.0").await;
}

async fn a_restart_does_not_let_in_what_was_held(db: Db) {
    let mut host = host(db).await;
    edit(&host, |text| asks_for_more(&text));
    assert_eq!(look(&host).await["changed"][0]["outcome"], "held");
    host.restart().await;
    // The one before is gone with the process. Events are taken all the same, and nothing of them is lost.
    let held = plugin(&host).await;
    assert_eq!(held["state"], "held", "{held:#}");
    assert!(held["reason"].as_str().unwrap().contains("`phone`"), "{held:#}");
    let waiting = host.accept(steps("paul", "a", json!([]))).await["runs"][0].as_str().unwrap().to_owned();
    assert_eq!(host.run(&waiting).await["state"], "open");
    let approved = order(&host, "approve").await;
    assert_eq!(approved["accepted"], added(), "{approved:#}");
    host.until_run(&waiting, "done").await;
    assert_eq!(host.run(&waiting).await["attempts"], 1);
    host.restart().await;
    assert_eq!(plugin(&host).await["state"], "loaded");
}

async fn more_messages_or_money_is_held_and_less_is_not(db: Db) {
    let caps = "plugins.caps.default.per-customer-day = 20\nplugins.caps.ceiling.per-customer-day = 100";
    let host = host_with(Setup::tester().on(db).with(caps)).await;
    let asks = |text: &str, version: &str, lines: &str| {
        let kept = text.lines().filter(|line| !line.starts_with("per-customer-day") && !line.starts_with("spend-day"));
        let text = kept.collect::<Vec<_>>().join("\n");
        versioned(&text, version).replace("[permissions]", &format!("[permissions]\n{lines}"))
    };
    edit(&host, |text| asks(&text, "1.1.0", "per-customer-day = 10\nspend-day = \"5.00 EUR\""));
    until_version(&host, "1.1.0").await;
    assert_eq!(plugin(&host).await["effective"]["per_customer_day"], 10);
    edit(&host, |text| asks(&text, "1.2.0", "per-customer-day = 50\nspend-day = \"4.00 EUR\""));
    assert_eq!(look(&host).await["changed"][0]["outcome"], "held");
    let held = plugin(&host).await;
    assert_eq!(held["update"]["added"], json!(["per-customer-day: 50"]), "{held:#}");
    order(&host, "approve").await;
    let approved = until_version(&host, "1.2.0").await;
    assert_eq!(
        (&approved["effective"]["per_customer_day"], &approved["effective"]["spend_day"]),
        (&json!(50), &json!("4.00 EUR"))
    );
}

/// Hosts that share a store share what an operator said, whichever of them was asked.
#[tokio::test]
async fn one_host_is_told_and_all_of_them_know() {
    let setup = Setup::tester().on(Db::Postgres).with("plugins.settle = \"60ms\"\nplugins.poll = \"200ms\"");
    let cluster = Cluster::start(setup, 2).await;
    let [first, second] = [&cluster.hosts[0], &cluster.hosts[1]];
    for host in [first, second] {
        edit(host, |text| asks_for_more(&text));
        assert_eq!(look(host).await["changed"][0]["outcome"], "held");
    }
    order(first, "approve").await;
    until_version(second, "2.0.0").await;
    order(second, "pause").await;
    let state = async |host: &Host, wanted: &str| {
        host.until_eq(wanted, json!(wanted), async || plugin(host).await["state"].clone()).await;
    };
    state(first, "paused").await;
    order(first, "resume").await;
    state(second, "loaded").await;
}
