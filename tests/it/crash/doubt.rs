//! A host that is killed while a provider has not answered yet: only that message is in doubt, and the policy decides.

use serde_json::{Value, json};

use crate::harness::{Db, Host, PAUL, Setup, Shown, attempt, both_databases, ledger::word, load::pass_doubt, steps};

both_databases! {
    doubt_that_holds_sends_nothing_again_and_a_receipt_clears_it_up,
    doubt_that_resends_sends_that_message_again_and_no_other,
    a_receipt_that_was_missed_while_the_host_was_down_clears_up_the_doubt,
    what_no_provider_had_taken_is_sent_again_whatever_was_asked_of_it,
}

/// Three messages to Paul. The provider takes the first one and the host is killed before the answer; the other two wait
/// behind it. The ids of all three, on a host that runs again.
async fn killed_before_the_answer(db: Db, policy: &str, receipts: Value) -> (Host, Vec<String>) {
    let setup = Setup::tester().on(db).with(format!("fallback.doubt-whatsapp = \"{policy}\""));
    let mut host = Host::start(setup).await;
    // What a telephone that is offline holds back can be sent later.
    host.sim.phone(PAUL, |phone| phone.online = false);
    host.customer("paul", PAUL).await;
    host.sim.trouble(json!({"kind": "hang", "accepted": true, "times": 1})).await;
    if !receipts.is_null() {
        host.sim.trouble(json!({"kind": "drop-receipts", "only": receipts, "times": 1})).await;
    }
    let sends: Vec<_> = (0..3).map(|no| json!({"send": {"text": word(no), "sms": "never"}})).collect();
    let done = host.event(steps("paul", "a", json!(sends))).await;
    let ids: Vec<String> = serde_json::from_value(done["results"][0]["effects"]["messages"].clone()).unwrap();
    host.until_eq("the provider has taken the first", 1, async || tokens(&host).await.len()).await;
    host.restart().await;
    // Of those of which nothing was sent there is no doubt: they go out at once.
    let wanted: Vec<_> = ids.iter().map(|id| format!("{id}a1")).collect();
    host.until_eq("the other two have been taken", wanted, async || tokens(&host).await).await;
    (host, ids)
}

/// What the provider took, in this order: message and attempt.
async fn tokens(host: &Host) -> Vec<String> {
    let requests = host.sim.requests("provider=meta&accepted=true").await;
    requests.iter().map(|request| request["tokens"][0].as_str().unwrap().to_owned()).collect()
}

/// The host has noticed that it does not know, and says so; half a minute after the attempt, when it would have timed out.
async fn until_uncertain(host: &Host, id: &str) {
    host.advance("31s").await;
    host.until(&format!("{id} is in doubt"), async || {
        let message = host.message(id).await;
        if message["attempts"][0]["state"] == "uncertain" { Ok(()) } else { Err(format!("{message:#}")) }
    })
    .await;
    assert_eq!(host.stats().await["uncertain_attempts"], 1, "the one, and no other");
}

async fn doubt_that_holds_sends_nothing_again_and_a_receipt_clears_it_up(db: Db) {
    let (host, ids) = killed_before_the_answer(db, "hold", json!(["sent"])).await;
    until_uncertain(&host, &ids[0]).await;
    host.advance("61s").await;
    host.until_eq("it has been decided that nothing more is done", json!("no-receipt"), async || {
        host.message(&ids[0]).await["code"].clone()
    })
    .await;
    assert_eq!(tokens(&host).await.len(), 3, "nothing was sent again");
    assert_eq!(host.message(&ids[0]).await.way(), "whatsapp uncertain");

    host.sim.online(PAUL, true);
    for id in &ids {
        assert_eq!(host.until_state(id, "read").await.way(), "whatsapp read");
    }
    assert_eq!(host.stats().await["uncertain_attempts"], 0);
    assert_eq!(tokens(&host).await.len(), 3);
}

async fn doubt_that_resends_sends_that_message_again_and_no_other(db: Db) {
    let (host, ids) = killed_before_the_answer(db, "resend", json!([])).await;
    host.sim.online(PAUL, true);
    for id in &ids[1..] {
        host.until_state(id, "read").await;
    }
    until_uncertain(&host, &ids[0]).await;
    assert_eq!(tokens(&host).await.len(), 3, "first a receipt may clear it up");
    host.advance("61s").await;
    let message = host.until_state(&ids[0], "read").await;
    assert_eq!(message.way(), "whatsapp uncertain → whatsapp read");
    let why = attempt(&message, 2)["decision"]["why"].as_str().unwrap();
    assert!(why.contains("the answer to attempt 1 was lost"), "{why}");
    let taken = tokens(&host).await;
    assert_eq!(taken.len(), 4);
    assert_eq!(taken[3], format!("{}a2", ids[0]), "{taken:?}");
}

async fn a_receipt_that_was_missed_while_the_host_was_down_clears_up_the_doubt(db: Db) {
    let (host, ids) = killed_before_the_answer(db, "resend", Value::Null).await;
    host.sim.online(PAUL, true);
    for id in &ids {
        host.until_state(id, "read").await;
    }
    pass_doubt(&[&host]).await;
    // A message to the same customer goes the same way, so the time was looked at.
    host.event(steps("paul", "b", json!([{"send": {"text": word(9), "sms": "never"}}]))).await;
    host.until_eq("it has been taken", 4, async || tokens(&host).await.len()).await;
    for id in &ids {
        assert_eq!(host.message(id).await.way(), "whatsapp read");
    }
    assert_eq!(host.stats().await["uncertain_attempts"], 0);
}

async fn what_no_provider_had_taken_is_sent_again_whatever_was_asked_of_it(db: Db) {
    let mut host = Host::start(Setup::tester().on(db)).await;
    host.sim.phone(PAUL, |_| {});
    host.customer("paul", PAUL).await;
    // It takes its time before it even looks at the request: the host is killed, and nobody ever takes that one.
    host.sim.trouble(json!({"kind": "hang", "accepted": false, "times": 1})).await;
    host.event(steps("paul", "a", json!([{"send": {"text": word(0), "sms": "never"}}]))).await;
    host.until_eq("the provider has seen it", 1, async || host.sim.requests("accepted=false").await.len()).await;
    host.restart().await;
    let id = host.messages("paul").await[0]["id"].as_str().unwrap().to_owned();
    until_uncertain(&host, &id).await;
    host.advance("61s").await;
    assert_eq!(host.until_state(&id, "read").await.way(), "whatsapp uncertain → whatsapp read");
    assert_eq!(tokens(&host).await, [format!("{id}a2")], "once on the telephone");
}
