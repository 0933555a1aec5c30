//! Receipts come late, twice and in any order. Where they lead to does not depend on that.

use serde_json::{Value, json};

use crate::harness::{Db, Host, PAUL, Setup, Shown, Sms, both_databases, order_ready, steps};

both_databases! {
    receipts_in_any_order_and_repeated_end_in_the_same_state,
    a_proof_of_arrival_outranks_a_failure_whichever_comes_first,
    receipts_of_both_channels_in_any_order_end_as_one_double_delivery,
    what_the_simulated_providers_shuffle_repeat_and_delay_ends_as_it_should,
    a_receipt_that_is_faster_than_the_answer_counts,
    receipts_are_kept_over_a_crash_and_what_was_missed_is_delivered_after_it,
    a_receipt_of_a_message_that_nobody_knows_is_taken_and_changes_nothing,
}

/// A host whose provider takes everything and never reports anything by itself.
async fn without_receipts(setup: Setup) -> Host {
    let host = Host::start(setup).await;
    host.sim.phone(PAUL, |_| {});
    host.sim.trouble(json!({"kind": "drop-receipts"})).await;
    host.customer("paul", PAUL).await;
    host
}

/// A message that Meta has taken: our id, Meta's, and the token that it gives back.
async fn taken(host: &Host, no: usize) -> (String, String, String) {
    let send = json!([{"send": {"text": format!("number {no}"), "fallback-after-s": 3600}}]);
    let ended = host.event(steps("paul", &format!("e{no}"), send)).await;
    let id = ended["results"][0]["messages"][0]["id"].as_str().unwrap().to_owned();
    let message = host.until_state(&id, "sent").await;
    let wamid = message["attempts"][0]["provider_id"].as_str().unwrap().to_owned();
    let requests = host.sim.requests("provider=meta").await;
    let request = requests.iter().find(|request| request["ids"][0] == json!(wamid)).unwrap();
    let token = request["tokens"][0].as_str().unwrap().to_owned();
    (id, wamid, token)
}

async fn receipts_in_any_order_and_repeated_end_in_the_same_state(db: Db) {
    let host = without_receipts(Setup::tester().on(db)).await;
    let orders = [
        ["sent", "delivered", "read"],
        ["sent", "read", "delivered"],
        ["delivered", "sent", "read"],
        ["delivered", "read", "sent"],
        ["read", "sent", "delivered"],
        ["read", "delivered", "sent"],
    ];
    for (no, order) in orders.into_iter().enumerate() {
        let (id, wamid, token) = taken(&host, no).await;
        // Some providers give back what we sent along, and some do not.
        let token = (no % 2 == 0).then_some(token.as_str());
        for status in order.into_iter().chain(order) {
            let answer = host.meta_webhook(&[host.status(&wamid, token, status)], host.meta_secret()).await;
            assert_eq!(answer.status, 200, "{answer:?}");
            let message = host.message(&id).await;
            // A proof of arrival is never taken back.
            let seen = if status == "read" { "read" } else { "sent" };
            assert!(rank(&message["state"]) >= rank(&json!(seen)), "{order:?} at {status}: {message:#}");
        }
        let message = host.message(&id).await;
        assert_eq!((message["state"].as_str(), message.way().as_str()), (Some("read"), "whatsapp read"), "{order:?}");
    }
    assert_eq!(host.stats().await["double_deliveries"], 0);
}

fn rank(state: &Value) -> usize {
    ["pending", "sent", "delivered", "read"].iter().position(|known| state == known).unwrap()
}

async fn a_proof_of_arrival_outranks_a_failure_whichever_comes_first(db: Db) {
    let host = without_receipts(Setup::tester().on(db).with("[rules]")).await;
    for (no, order) in [["failed", "delivered"], ["delivered", "failed"]].into_iter().enumerate() {
        let (id, wamid, token) = taken(&host, no).await;
        for status in order {
            host.meta_webhook(&[host.status(&wamid, Some(&token), status)], host.meta_secret()).await.ok();
        }
        let message = host.until_state(&id, "delivered").await;
        assert_eq!(message["attempts"][0]["state"], "delivered", "{order:?}: {message:#}");
        // The first failure has set off an SMS, which is no second attempt on WhatsApp.
        host.customer_with("paul", PAUL, json!({"addresses": []})).await;
        host.customer("paul", PAUL).await;
    }
}

async fn receipts_of_both_channels_in_any_order_end_as_one_double_delivery(db: Db) {
    let host = without_receipts(Setup::tester().on(db).sms(Sms::Cm)).await;
    let reports = ["whatsapp delivered", "whatsapp read", "sms delivered"];
    let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    for (no, order) in orders.into_iter().enumerate() {
        let (id, wamid, token) = taken(&host, no).await;
        let mut failed = host.status(&wamid, Some(&token), "failed");
        // This one is about the message, and says nothing against the number.
        failed["statuses"][0]["errors"] = json!([{"code": 132_000, "title": "Number of parameters does not match"}]);
        host.meta_webhook(&[failed.clone()], host.meta_secret()).await.ok();
        let reference = host
            .until("CM.com has the SMS", async || {
                let requests = host.sim.requests("provider=cm&accepted=true").await;
                let found = requests.get(no).and_then(|request| request["tokens"][0].as_str().map(str::to_owned));
                found.ok_or_else(|| format!("{requests:#?}"))
            })
            .await;
        // Each of them twice, and the failure once more in between.
        for report in order.into_iter().chain(order).map(|at| reports[at]) {
            match report.split_once(' ') {
                Some(("sms", _)) => host.cm_report(&reference, "2").await.ok(),
                Some((_, status)) => {
                    let status = host.status(&wamid, Some(&token), status);
                    host.meta_webhook(&[failed.clone(), status], host.meta_secret()).await.ok()
                }
                None => unreachable!(),
            };
        }
        let message = host.message(&id).await;
        let attempts = message["attempts"].as_array().unwrap();
        let ends: Vec<_> = attempts.iter().map(|attempt| [&attempt["channel"], &attempt["state"]]).collect();
        assert_eq!(json!(ends), json!([["whatsapp", "read"], ["sms", "delivered"]]), "{order:?}: {message:#}");
        assert_eq!(message["state"], "read", "{order:?}: {message:#}");
        assert_eq!(host.stats().await["double_deliveries"], json!(no + 1), "{order:?}");
    }
}

async fn what_the_simulated_providers_shuffle_repeat_and_delay_ends_as_it_should(db: Db) {
    for sms in [Sms::Cm, Sms::Twilio] {
        let host = Host::start(Setup::new().on(db).sms(sms)).await;
        host.sim.phone(PAUL, |_| {});
        host.customer("paul", PAUL).await;
        for trouble in [json!({"kind": "shuffle-receipts"}), json!({"kind": "repeat-receipts", "count": 3})] {
            host.sim.trouble(trouble).await;
        }
        host.event(order_ready("paul", "A")).await;
        host.only_message("paul", "read").await;
        // By SMS as well.
        host.customer_with("paul", PAUL, json!({"addresses": [{"channel": "sms", "address": PAUL}]})).await;
        let ended = host.event(order_ready("paul", "B")).await;
        let id = ended["results"][0]["messages"][0]["id"].as_str().unwrap();
        assert_eq!(host.until_state(id, "delivered").await.way(), "sms delivered");
        assert_eq!(host.stats().await["double_deliveries"], 0);
    }
}

async fn a_receipt_that_is_faster_than_the_answer_counts(db: Db) {
    let host = Host::start(Setup::tester().on(db)).await;
    host.sim.phone(PAUL, |_| {});
    host.customer("paul", PAUL).await;
    host.sim.trouble(json!({"kind": "slow", "delay_ms": 700})).await;
    let ended = host.event(steps("paul", "a", json!([{"send": {"text": "hello"}}]))).await;
    let id = ended["results"][0]["messages"][0]["id"].as_str().unwrap();
    let early = host
        .until("it is read before it was answered", async || {
            let message = host.message(id).await;
            if message["state"] == "read" { Ok(message) } else { Err(format!("{message:#}")) }
        })
        .await;
    assert_eq!(early["attempts"][0]["answered"], Value::Null, "{early:#}");
    let late = host
        .until("the answer is written down too", async || {
            let message = host.message(id).await;
            if message["attempts"][0]["answered"].is_null() { Err(format!("{message:#}")) } else { Ok(message) }
        })
        .await;
    assert_eq!((late["state"].as_str(), late.way().as_str()), (Some("read"), "whatsapp read"));
}

async fn receipts_are_kept_over_a_crash_and_what_was_missed_is_delivered_after_it(db: Db) {
    let mut host = Host::start(Setup::tester().on(db)).await;
    host.sim.phone(PAUL, |_| {});
    host.customer("paul", PAUL).await;
    host.sim.online(PAUL, false);
    let ended = host.event(steps("paul", "a", json!([{"send": {"text": "hello", "fallback-after-s": 3600}}]))).await;
    let id = ended["results"][0]["messages"][0]["id"].as_str().unwrap();
    host.until_state(id, "sent").await;
    host.kill().await;
    // Nobody is there to take them; the provider tries again.
    host.sim.online(PAUL, true);
    host.launch().await;
    assert_eq!(host.until_state(id, "read").await.way(), "whatsapp read");
    host.restart().await;
    assert_eq!(host.message(id).await["state"], "read");
}

async fn a_receipt_of_a_message_that_nobody_knows_is_taken_and_changes_nothing(db: Db) {
    let host = without_receipts(Setup::tester().on(db)).await;
    let (id, _, _) = taken(&host, 0).await;
    let before = host.stats().await;
    let strange = host.status("wamid.HBgLMzM2Mzk5ODEyMDEVAgARGBI5QTNDQTVCM0Q0Q0Q2RTY3RTcA", None, "read");
    let foreign = host.status("wamid.X", Some("somebody else's token"), "delivered");
    let answer = host.meta_webhook(&[strange, foreign], host.meta_secret()).await;
    assert_eq!(answer.status, 200, "Meta would repeat it for days otherwise: {answer:?}");
    assert_eq!(host.message(&id).await["state"], "sent");
    assert_eq!(host.stats().await["messages_by_state"], before["messages_by_state"]);
}
