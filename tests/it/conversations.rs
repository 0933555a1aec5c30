//! What customers write: whom it goes to, whose it is, and what it changes, whatever it comes as and in whichever order.

use relais::ids::{MessageId, TenantId};
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Db, Host, LEA, PAUL, Setup, Sms, both_databases, steps};

both_databases! {
    a_question_is_answered_by_what_is_written_next_and_by_its_choices_for_longer,
    a_tap_goes_to_the_plugin_that_asked_in_its_entitys_order,
    what_is_changed_or_withdrawn_goes_where_the_first_words_went,
    a_changed_number_is_the_same_customer_with_what_they_refused,
    a_number_and_an_id_that_come_together_are_one_customer,
    a_batch_of_a_thousand_statuses_is_one_transaction,
}

fn id_of(provider: &str, provider_id: &str) -> String {
    MessageId::of_incoming(&TenantId::default_tenant(), provider, provider_id).to_string()
}

/// What a customer wrote, once it is stored.
async fn stored(host: &Host, id: &str) -> Value {
    let what = format!("{id} is stored");
    let message = host.until(&what, async || {
        let answer = host.send(Method::GET, &format!("/v1/messages/{id}"), &[], "").await;
        if answer.status == 200 { Ok(answer.body) } else { Err(answer.text) }
    });
    message.await["incoming"].clone()
}

/// A change of Meta's with one message of any type in it.
fn change(host: &Host, mut message: Value) -> Value {
    let seconds = (host.sim.now().0 / 1000).to_string();
    for (name, value) in [("from", PAUL.trim_start_matches('+')), ("timestamp", seconds.as_str())] {
        if message.get(name).is_none() {
            message[name] = json!(value);
        }
    }
    let meta = &host.sim.options.meta;
    json!({
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": meta.display_phone_number, "phone_number_id": meta.phone_number_id},
        "messages": [message],
    })
}

/// Posts it as Meta does, and gives what was stored of it.
async fn by_meta(host: &Host, message: Value) -> Value {
    let id = id_of("meta", message["id"].as_str().unwrap());
    host.meta_webhook(&[change(host, message)], host.meta_secret()).await.ok();
    stored(host, &id).await
}

async fn paul(setup: Setup) -> Host {
    let host = Host::start(setup).await;
    host.sim.phone(PAUL, |_| {});
    host.customer("paul", PAUL).await;
    host
}

/// The test's own plugin asks Paul something; its message, once he has it. `how` is more of what it sends.
async fn asks(host: &Host, entity: &str, how: Value) -> Value {
    let mut what = json!({"text": "Coming?", "choices": [["yes", "I come"], ["no", "I cannot"]]});
    what.as_object_mut().unwrap().extend(how.as_object().unwrap().clone());
    let ended = host.event(steps("paul", entity, json!([{"send": what}]))).await;
    let id = ended["results"][0]["messages"][0]["id"].as_str().unwrap_or_else(|| panic!("{ended:#}")).to_owned();
    host.until("he has it", async || {
        let message = host.message(&id).await;
        let arrived = message["state"] == "delivered" || message["state"] == "read";
        if arrived { Ok(message) } else { Err(format!("{message:#}")) }
    })
    .await
}

/// The runs that what customers wrote has set off, by the entity and by what is in the log of each.
async fn heard(host: &Host, count: usize) -> Vec<(String, String)> {
    let what = format!("{count} runs have heard of it");
    let runs = host.until(&what, async || {
        let runs = host.all_runs().await;
        let heard: Vec<Value> =
            runs.into_iter().filter(|run| run["kind"] == "message" && run["state"] == "done").collect();
        if heard.len() == count { Ok(heard) } else { Err(format!("{heard:#?}")) }
    });
    let mut lines = Vec::new();
    for run in runs.await.iter().rev() {
        let whole = host.run(run["id"].as_str().unwrap()).await;
        let log = whole["report"]["log"].as_array().unwrap();
        let said = log.iter().find_map(|line| line["message"].as_str()?.strip_prefix("answer ")).unwrap();
        lines.push((run["entity"].as_str().unwrap().to_owned(), said.to_owned()));
    }
    lines
}

fn lines(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(entity, said)| ((*entity).to_owned(), (*said).to_owned())).collect()
}

async fn a_question_is_answered_by_what_is_written_next_and_by_its_choices_for_longer(db: Db) {
    let host = paul(Setup::tester().on(db)).await;
    let asked = asks(&host, "a", json!({"sms": "only"})).await;
    host.advance("5s").await;
    host.sim.writes(PAUL, "sms", "Perhaps, it depends").await;
    heard(&host, 1).await;
    // He has answered: what comes now is about anything, unless it picks a choice.
    host.advance("5s").await;
    host.sim.writes(PAUL, "sms", "When do you open?").await;
    host.advance("5s").await;
    host.sim.writes(PAUL, "sms", " i COME ").await;
    heard(&host, 2).await;
    host.advance("5s").await;
    host.sim.writes(PAUL, "sms", "2.").await;
    let expected = [
        ("test/a", "Perhaps, it depends choice None"),
        ("test/a", "I come choice Some(\"yes\")"),
        ("test/a", "I cannot choice Some(\"no\")"),
    ];
    assert_eq!(heard(&host, 3).await, lines(&expected));
    // A STOP is no answer, and after the set time nothing is.
    host.advance("5s").await;
    assert!(asked["state"] == "delivered" || asked["state"] == "read");
    host.sim.writes(PAUL, "sms", "STOP").await;
    host.until("he has stopped", async || {
        let paul = host.get("/v1/customers/paul").await;
        let stopped = paul["consents"].as_array().unwrap().iter().any(|consent| consent["granted"] == false);
        if stopped { Ok(()) } else { Err(format!("{paul:#}")) }
    })
    .await;
    host.jump("49h").await;
    host.sim.writes(PAUL, "sms", "1").await;
    host.sim.writes(PAUL, "sms", "START").await;
    host.until("he is back", async || {
        let paul = host.get("/v1/customers/paul").await;
        let back = paul["consents"].as_array().unwrap().iter().all(|consent| consent["granted"] == true);
        if back { Ok(()) } else { Err(format!("{paul:#}")) }
    })
    .await;
    assert_eq!(heard(&host, 3).await.len(), 3);
}

async fn a_tap_goes_to_the_plugin_that_asked_in_its_entitys_order(db: Db) {
    let host = paul(Setup::tester().on(db)).await;
    by_meta(&host, json!({"id": "wamid.HELLO", "type": "text", "text": {"body": "Hello"}})).await;
    let first = asks(&host, "a", json!({"no-template": true})).await;
    let second =
        asks(&host, "b", json!({"no-template": true, "choices": [["later", "Later"], ["never", "Never"]]})).await;
    let wamid = first["attempts"][0]["provider_id"].as_str().unwrap();
    host.advance("5s").await;
    let reply = |id: &str| json!({"type": "button_reply", "button_reply": {"id": id, "title": "I come"}});
    // By the message that was tapped, although another one was asked since.
    let tap = json!({"id": "wamid.1", "type": "interactive", "interactive": reply("yes"), "context": {"id": wamid}});
    assert_eq!(by_meta(&host, tap).await["in_reply_to"], first["id"]);
    // By the id of the choice, where nothing says what was tapped.
    let tap = json!({"id": "wamid.2", "type": "interactive", "interactive": reply("never")});
    assert_eq!(by_meta(&host, tap).await["in_reply_to"], second["id"]);
    // By the quote.
    let quote =
        json!({"id": "wamid.3", "type": "text", "text": {"body": "What is it about?"}, "context": {"id": wamid}});
    assert_eq!(by_meta(&host, quote).await["in_reply_to"], first["id"]);
    // And a choice that nobody offered answers nothing.
    let tap = json!({"id": "wamid.4", "type": "interactive", "interactive": reply("else")});
    assert_eq!(by_meta(&host, tap).await["in_reply_to"], Value::Null);
    let mut told = heard(&host, 3).await;
    told.sort();
    let expected = [
        ("test/a", "I come choice Some(\"yes\")"),
        ("test/a", "What is it about? choice None"),
        ("test/b", "I come choice Some(\"never\")"),
    ];
    assert_eq!(told, lines(&expected));
}

async fn what_is_changed_or_withdrawn_goes_where_the_first_words_went(db: Db) {
    let host = paul(Setup::tester().on(db)).await;
    by_meta(&host, json!({"id": "wamid.HELLO", "type": "text", "text": {"body": "Hello"}})).await;
    // Providers say whole seconds: what comes in the second of a question may have been said after it.
    host.advance("2s").await;
    let asked = asks(&host, "a", json!({"no-template": true})).await;
    host.advance("5s").await;
    by_meta(&host, json!({"id": "wamid.1", "type": "text", "text": {"body": "I will"}})).await;
    let ends = host.get("/v1/customers/paul").await["window_ends"].clone();
    host.advance("1h").await;
    let edit = json!({"id": "wamid.2", "type": "edit",
        "edit": {"original_message_id": "wamid.1", "message": {"type": "text", "text": {"body": "I will not"}}}});
    let edited = by_meta(&host, edit).await;
    assert_eq!((&edited["kind"], &edited["in_reply_to"]), (&json!("edit"), &asked["id"]));
    assert_eq!(edited["attributes"]["changes"], id_of("meta", "wamid.1"));
    let revoke = json!({"id": "wamid.3", "type": "revoke", "revoke": {"original_message_id": "wamid.1"}});
    assert_eq!(by_meta(&host, revoke).await["in_reply_to"], asked["id"]);
    let other = json!({"id": "wamid.4", "type": "revoke", "revoke": {"original_message_id": "wamid.HELLO"}});
    assert_eq!(by_meta(&host, other).await["in_reply_to"], Value::Null);
    let expected = [("test/a", "I will choice None"), ("test/a", "I will not choice None"), ("test/a", " choice None")];
    assert_eq!(heard(&host, 3).await, lines(&expected));
    assert_eq!(host.get("/v1/customers/paul").await["window_ends"], ends, "nothing new was said");
}

async fn a_changed_number_is_the_same_customer_with_what_they_refused(db: Db) {
    let host = paul(Setup::tester().on(db)).await;
    let moved = |id: &str, from: &str, to: &str| {
        let digits = |number: &str| number.trim_start_matches('+').to_owned();
        json!({"id": id, "type": "system", "from": digits(from),
            "system": {"body": "…", "wa_id": digits(to), "type": "user_changed_number"}})
    };
    let addresses = async || {
        let paul = host.get("/v1/customers/paul").await;
        let pairs = paul["addresses"].as_array().unwrap().iter();
        pairs
            .map(|of| format!("{} {}", of["channel"].as_str().unwrap(), of["address"].as_str().unwrap()))
            .collect::<Vec<_>>()
    };
    for _ in 0..2 {
        let message = moved("wamid.1", PAUL, "+33639981299");
        host.meta_webhook(&[change(&host, message)], host.meta_secret()).await.ok();
        let mut now = addresses().await;
        now.sort();
        assert_eq!(now, [format!("sms {PAUL}"), "whatsapp +33639981299".to_owned()]);
    }
    // The event that says so holds no number.
    let events = host.get("/v1/events?limit=50").await;
    let told: Vec<&Value> = events["events"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|event| event["type"] == "relais.customer.address-changed")
        .collect();
    assert_eq!(told.len(), 1, "{events:#}");
    assert!(!told[0].to_string().contains("339981"), "{:#}", told[0]);
    // Somebody unknown who said STOP is not written to under the new number either.
    let stop = json!({"id": "wamid.2", "from": "33639981250", "type": "text", "text": {"body": "STOP"}});
    by_meta(&host, stop).await;
    let message = moved("wamid.3", "+33639981250", "+33639981251");
    host.meta_webhook(&[change(&host, message)], host.meta_secret()).await.ok();
    host.customer("nora", "+33639981251").await;
    let nora = host.get("/v1/customers/nora").await;
    assert_eq!(nora["consents"][0]["granted"], false, "{nora:#}");
    // A number that another customer has is not taken away.
    host.customer("lea", LEA).await;
    let message = moved("wamid.4", "+33639981299", LEA);
    host.meta_webhook(&[change(&host, message)], host.meta_secret()).await.ok();
    assert!(addresses().await.contains(&"whatsapp +33639981299".to_owned()));
}

async fn a_number_and_an_id_that_come_together_are_one_customer(db: Db) {
    const ID: &str = "FR.13491208655302741918";
    let host = Host::start(Setup::tester().on(db)).await;
    // The shop gave the number; the id is learnt, and known alone from then on.
    host.customer("paul", PAUL).await;
    let text = |id: &str| json!({"id": id, "type": "text", "text": {"body": "Hello"}, "from_user_id": ID});
    assert_eq!(by_meta(&host, text("wamid.1")).await["customer"], "paul");
    let mut hidden = change(&host, text("wamid.2"));
    hidden["messages"][0].as_object_mut().unwrap().remove("from");
    host.meta_webhook(&[hidden], host.meta_secret()).await.ok();
    let incoming = stored(&host, &id_of("meta", "wamid.2")).await;
    assert_eq!((&incoming["customer"], &incoming["sender"]), (&json!("paul"), &json!(ID)));
    // A profile that is given again, with the number, does not forget it; one without the number does.
    let of = |paul: &Value| paul["addresses"].as_array().unwrap().iter().any(|address| address["address"] == ID);
    assert!(of(&host.customer("paul", PAUL).await));
    assert!(!of(&host.customer("paul", LEA).await));
}

/// A message without a plugin, for whoever has not written.
fn ready(to: Value) -> Value {
    json!({
        "to": to, "purpose": "confirmation", "because": {"reference": "order/1"}, "text": "Ready",
        "template": {
            "name": "order_ready", "category": "utility", "language": "en",
            "params": {"order": "1", "shop": "Paul", "minutes": "2"},
            "body": "Your order {{order}} at {{shop}} will be ready in {{minutes}} min.",
        },
    })
}

/// Meta gives back our token with each: a thousand of them are about as many messages.
async fn a_batch_of_a_thousand_statuses_is_one_transaction(db: Db) {
    const MESSAGES: usize = 250;
    let host = Host::start(Setup { remembered_max: 2_000, ..Setup::new().on(db) }).await;
    host.sim.trouble(json!({"kind": "drop-receipts"})).await;
    let asked = |no: usize| ready(json!({"phone": format!("+3363998{no:04}")}));
    for no in 0..MESSAGES {
        host.post("/v1/messages", asked(no)).await.ok();
    }
    let sent = host.until("all are sent", async || {
        let sent = host.messages_in("sent").await;
        if sent.len() == MESSAGES { Ok(sent) } else { Err(format!("{} are", sent.len())) }
    });
    let mut statuses = Vec::new();
    for message in sent.await {
        let whole = host.message(message["id"].as_str().unwrap()).await;
        let wamid = whole["attempts"][0]["provider_id"].as_str().unwrap().to_owned();
        // Repeated and out of order.
        for status in ["read", "sent", "delivered", "sent"] {
            let change = host.status(&wamid, None, status);
            statuses.push(change["statuses"][0].clone());
        }
    }
    assert_eq!(statuses.len(), 1_000);
    let mut change = change(&host, json!({}));
    change.as_object_mut().unwrap().remove("messages");
    change["statuses"] = json!(statuses);
    let before = transactions(&host).await;
    host.meta_webhook(&[change], host.meta_secret()).await.ok();
    let after = transactions(&host).await;
    // Nothing else is under way; a sweep or a timer may come in between, and a thousand transactions would not be a few.
    assert!(after > before && after - before <= 3.0, "{} transactions", after - before);
    host.until_eq("all are read", MESSAGES, async || host.messages_in("read").await.len()).await;
}

async fn transactions(host: &Host) -> f64 {
    let text = host.send(Method::GET, "/metrics", &[], "").await.text;
    let line = text.lines().find_map(|line| line.strip_prefix("relais_store_transactions_total ")).unwrap();
    line.parse().unwrap()
}

#[tokio::test]
async fn who_hides_the_number_is_answered_at_the_id_and_gets_no_sms() {
    let host = Host::start(Setup::new().sms(Sms::Cm)).await;
    host.sim.phone(PAUL, |phone| {
        phone.name = "Paul".to_owned();
        phone.hides_number = true;
    });
    let wrote = host.sim.writes(PAUL, "whatsapp", "Do you have bread?").await;
    let question = id_of("meta", wrote["id"].as_str().unwrap());
    let incoming = stored(&host, &question).await;
    let id = incoming["sender"].as_str().unwrap().to_owned();
    assert!(!incoming.to_string().contains("33639981201"), "{incoming:#}");
    let reply = |to: Value| json!({"to": to, "purpose": "reply", "because": {"message": question}, "text": "We do"});
    // A stranger, by the id alone.
    let taken = host.post("/v1/messages", reply(json!({"whatsapp_id": id}))).await.ok();
    let message = host.until_state(taken["id"].as_str().unwrap(), "read").await;
    assert_eq!((&message["attempts"][0]["address"], &message["to"]), (&json!(id), &json!({"whatsapp_id": id})));
    host.post("/v1/messages", reply(json!({"whatsapp_id": "paul"}))).await.problem(
        400,
        "/problems/bad-field",
        Some("to.whatsapp_id"),
    );
    // A one-time code would prove nothing, and is not tried.
    let mut code = ready(json!({"whatsapp_id": id}));
    code["template"]["category"] = json!("authentication");
    let taken = host.post("/v1/messages", code).await.ok();
    let message = host.until_state(taken["id"].as_str().unwrap(), "failed").await;
    assert_eq!((&message["code"], &message["attempts"]), (&json!("number-needed"), &json!([])), "{message:#}");
    // A customer, whom SMS cannot reach: the message says why.
    host.put("/v1/customers/paul", json!({"addresses": [{"channel": "whatsapp", "address": id}]})).await;
    host.sim.writes(PAUL, "whatsapp", "And cake?").await;
    host.sim.phone(PAUL, |phone| (phone.hides_number, phone.blocks) = (true, true));
    let asked = ready(json!({"customer": "paul"}));
    let taken = host.post("/v1/messages", asked).await.ok();
    let message = host.until_state(taken["id"].as_str().unwrap(), "failed").await;
    assert!(message.to_string().contains("by an id and not by a number"), "{message:#}");
}
