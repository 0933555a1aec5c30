//! How much a plugin may send to one customer and spend in a day, however many of its runs ask at once.

use serde_json::{Value, json};

use crate::harness::{Cluster, Db, Host, LEA, PAUL, Setup, both_databases, steps};

both_databases! {
    a_customer_gets_so_many_messages_a_day_of_one_plugin,
    runs_side_by_side_do_not_get_round_the_number,
    a_plugin_spends_so_much_a_day,
    a_customer_gets_so_many_messages_of_a_purpose_whoever_sends_them,
    a_tenant_spends_so_much_a_day,
}

async fn host(db: Db, grant: &str) -> Host {
    let host = Host::start(Setup::tester().on(db).with(format!("plugins.grants.tester.{grant}"))).await;
    host.sim.phone(PAUL, |_| {});
    host.sim.phone(LEA, |phone| phone.whatsapp = false);
    host.customer("paul", PAUL).await;
    host.customer("lea", LEA).await;
    host
}

/// With bounds for the whole tenant.
async fn bounded(db: Db, caps: &str) -> Host {
    let host = Host::start(Setup::tester().on(db).with(caps)).await;
    host.sim.phone(PAUL, |_| {});
    host.sim.phone(LEA, |phone| phone.whatsapp = false);
    host.customer("paul", PAUL).await;
    host.customer("lea", LEA).await;
    host
}

/// A message without a plugin; the reason where it failed.
async fn asked(host: &Host, purpose: &str, no: u32) -> Option<(String, String)> {
    let body = json!({"to": {"customer": "lea"}, "purpose": purpose, "because": {"reference": format!("order/{no}")},
        "text": "Your bread is ready.", "sms": "only"});
    let id = host.post("/v1/messages", body).await.ok()["id"].as_str().unwrap().to_owned();
    let ended = host
        .until("it has ended", async || {
            let message = host.message(&id).await;
            let state = message["state"].as_str().unwrap();
            if ["delivered", "failed"].contains(&state) { Ok(message) } else { Err(format!("{message:#}")) }
        })
        .await;
    (ended["state"] == "failed").then(|| (ended["code"].as_str().unwrap().to_owned(), ended.to_string()))
}

async fn a_customer_gets_so_many_messages_of_a_purpose_whoever_sends_them(db: Db) {
    let host = bounded(db, "caps.per-customer-day.alert = 2").await;
    assert_eq!(refused(&host, "lea", "a", json!([send("one")])).await, Value::Null);
    assert_eq!(sent(&host, "lea", "over-quota").await.0, 1);
    assert_eq!(asked(&host, "alert", 1).await, None);
    let (code, told) = asked(&host, "alert", 2).await.expect("it is one too many");
    assert_eq!(code, "over-quota");
    assert!(told.contains("caps.per-customer-day.alert: 2 of 2 messages"), "{told}");
    assert_eq!(asked(&host, "confirmation", 3).await, None, "another purpose has no bound");
    host.advance("25h").await;
    assert_eq!(asked(&host, "alert", 4).await, None);
}

async fn a_tenant_spends_so_much_a_day(db: Db) {
    // An SMS to France is 0.06 in the table that is compiled in.
    let host = bounded(db, "caps.spend-day = \"0.13 EUR\"").await;
    assert_eq!(refused(&host, "lea", "a", json!([send("one")])).await, Value::Null);
    assert_eq!(sent(&host, "lea", "over-spend").await.0, 1);
    assert_eq!(asked(&host, "alert", 1).await, None);
    let (code, told) = asked(&host, "alert", 2).await.expect("it is too dear");
    assert_eq!(code, "over-spend");
    assert!(told.contains("0.12 EUR of 0.13 EUR are used today"), "{told}");
    host.advance("25h").await;
    assert_eq!(asked(&host, "alert", 3).await, None);
}

fn send(text: &str) -> Value {
    json!({"send": {"text": text, "sms": "only", "or-skip": true}})
}

/// What was refused of the one run that an event leads to.
async fn refused(host: &Host, customer: &str, entity: &str, script: Value) -> Value {
    let ended = host.event(steps(customer, entity, script)).await;
    assert_eq!(ended["results"][0]["state"], "done", "{ended:#}");
    ended["results"][0]["report"]["refused"].clone()
}

/// How many messages of a customer are not refused, once none of them is still to be sent.
async fn sent(host: &Host, customer: &str, code: &str) -> (usize, Vec<Value>) {
    host.until("every message has ended", async || {
        let messages = host.messages(customer).await;
        let open =
            messages.iter().filter(|message| message["state"] == "pending" || message["state"] == "sent").count();
        if open > 0 {
            return Err(format!("{messages:#?}"));
        }
        let (over, sent): (Vec<Value>, Vec<Value>) =
            messages.into_iter().partition(|message| message["state"] == "failed" && message["code"] == code);
        assert!(sent.iter().all(|message| message["state"] == "delivered"), "{sent:#?}");
        Ok((sent.len(), over))
    })
    .await
}

async fn a_customer_gets_so_many_messages_a_day_of_one_plugin(db: Db) {
    let host = host(db, "per-customer-day = 2").await;
    let said = refused(&host, "paul", "a", json!([send("one"), send("two"), send("three")])).await;
    assert_eq!((said.as_array().unwrap().len(), &said[0]["code"]), (1, &json!("over-quota")), "{said:#}");
    let why = said[0]["why"].as_str().unwrap();
    assert!(why.contains("2 of 2") && why.contains("[plugins.grants.tester] per-customer-day = 4"), "{why}");
    // Another entity does not help, another customer has places of their own.
    assert_eq!(refused(&host, "paul", "b", json!([send("four")])).await[0]["code"], "over-quota");
    assert_eq!(refused(&host, "lea", "a", json!([send("one")])).await, Value::Null);
    assert_eq!(sent(&host, "paul", "over-quota").await.0, 2);
    host.advance("25h").await;
    assert_eq!(refused(&host, "paul", "c", json!([send("tomorrow")])).await, Value::Null);
    assert_eq!(sent(&host, "paul", "over-quota").await.0, 3);
}

async fn runs_side_by_side_do_not_get_round_the_number(db: Db) {
    let host = host(db, "per-customer-day = 3").await;
    race(&[&host]).await;
}

/// Two hosts that share a store share the places.
#[tokio::test]
async fn hosts_side_by_side_do_not_get_round_the_number() {
    let setup = Setup::tester().on(Db::Postgres).with("plugins.grants.tester.per-customer-day = 3");
    let cluster = Cluster::start(setup, 2).await;
    let [first, second] = [&cluster.hosts[0], &cluster.hosts[1]];
    first.sim.phone(PAUL, |_| {});
    first.customer("paul", PAUL).await;
    race(&[first, second]).await;
}

/// Many runs about different entities write to one customer at once: three messages arrive, and of each other one it is said
/// why it did not.
async fn race(hosts: &[&Host]) {
    const RUNS: usize = 24;
    let mut runs = Vec::new();
    for no in 0..RUNS {
        let accepted = hosts[no % hosts.len()].accept(steps("paul", &format!("e{no}"), json!([send("hello")]))).await;
        runs.push(accepted["runs"][0].as_str().unwrap().to_owned());
    }
    let host = hosts[0];
    let mut told = 0;
    for run in &runs {
        let ended = host.until_run(run, "done").await;
        told += ended["report"]["refused"].as_array().map_or(0, Vec::len);
    }
    let (sent, over) = sent(host, "paul", "over-quota").await;
    assert_eq!((sent, told + over.len()), (3, RUNS - 3), "{over:#?}");
    for message in over {
        let story = host.message(message["id"].as_str().unwrap()).await.to_string();
        assert!(story.contains("3 of 3 messages"), "{story}");
    }
}

async fn a_plugin_spends_so_much_a_day(db: Db) {
    // An SMS to France is 0.06 in the table that is compiled in.
    let host = host(db, "spend-day = \"0.20 EUR\"").await;
    for no in 0..6 {
        let customer = if no % 2 == 0 { "paul" } else { "lea" };
        assert_eq!(refused(&host, customer, &format!("e{no}"), json!([send("hello")])).await, Value::Null);
    }
    let (paul, mut over) = sent(&host, "paul", "over-spend").await;
    let (lea, of_lea) = sent(&host, "lea", "over-spend").await;
    over.extend(of_lea);
    assert_eq!((paul + lea, over.len()), (3, 3), "{over:#?}");
    let story = host.message(over[0]["id"].as_str().unwrap()).await.to_string();
    assert!(story.contains("0.18 EUR of 0.20 EUR are used today"), "{story}");
    host.advance("25h").await;
    assert_eq!(refused(&host, "paul", "tomorrow", json!([send("hello")])).await, Value::Null);
    assert_eq!(sent(&host, "paul", "over-spend").await.0, paul + 1);
}
