//! The rules that every message has to pass: it is expected by whom it goes to, who said STOP is left alone, advertising needs
//! a consent of its own, and what is of no use any more is not sent.

use std::time::Duration;

use relais::ids::{MessageId, TenantId};
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Host, LEA, PAUL, Setup, Shown, event, meta_signature, order_ready, steps, unique};

/// Paul has WhatsApp, Lea has not.
async fn paul_and_lea(setup: Setup) -> Host {
    let host = Host::start(setup).await;
    host.sim.phone(PAUL, |_| {});
    host.sim.phone(LEA, |phone| phone.whatsapp = false);
    host.customer("paul", PAUL).await;
    host.customer("lea", LEA).await;
    host
}

/// A message without a plugin, which goes by SMS where there is no conversation on WhatsApp.
fn asked(to: &str, because: Value) -> Value {
    json!({"to": {"customer": to}, "purpose": "alert", "because": because, "text": "Your bread is ready."})
}

/// Until a consent of the customer stands so; the consent.
async fn until_consent(host: &Host, customer: &str, channel: &str, scope: &str, granted: bool) -> Value {
    host.until(&format!("{customer}'s {scope} consent on {channel} is {granted}"), async || {
        let profile = host.get(&format!("/v1/customers/{customer}")).await;
        let consents = profile["consents"].as_array().unwrap();
        let found = consents.iter().find(|consent| consent["channel"] == channel && consent["scope"] == scope);
        found.filter(|consent| consent["granted"] == granted).cloned().ok_or_else(|| profile["consents"].to_string())
    })
    .await
}

/// A customer writes a word that gives or takes a consent.
async fn says(host: &Host, customer: &str, number: &str, channel: &str, word: &str, granted: bool) {
    // Providers tell the time in whole seconds: of two words in one second nobody knows which was the last.
    host.advance("2s").await;
    host.sim.writes(number, channel, word).await;
    until_consent(host, customer, channel, "service", granted).await;
}

/// An order is ready: the one run that it sets off, which has ended well.
async fn told(host: &Host, customer: &str) -> Value {
    let ended = host.event(order_ready(customer, &format!("O-{}", unique()))).await;
    assert_eq!(ended["results"][0]["state"], "done", "{ended:#}");
    ended["results"][0].clone()
}

/// What a run was refused for, where that was all that it asked for.
#[track_caller]
fn only_refusal(run: &Value) -> (&str, &str) {
    assert_eq!(run["messages"], json!([]), "{run:#}");
    let refused = run["report"]["refused"].as_array().unwrap_or_else(|| panic!("nothing was refused: {run:#}"));
    assert_eq!(refused.len(), 1, "{run:#}");
    (refused[0]["code"].as_str().unwrap(), refused[0]["why"].as_str().unwrap())
}

/// The one message of a run, once it stands so.
async fn message_of(host: &Host, run: &Value, state: &str) -> Value {
    let id = run["messages"][0]["id"].as_str().unwrap_or_else(|| panic!("no message: {run:#}"));
    host.until_state(id, state).await
}

#[tokio::test]
async fn a_message_needs_an_event_that_concerns_its_customer() {
    let host = paul_and_lea(Setup::tester()).await;
    let of_paul = host.event(steps("paul", "a", json!([]))).await["id"].clone();

    let wrong = host.post("/v1/messages", asked("lea", json!({"event": of_paul}))).await;
    wrong.problem(422, "/problems/refused/not-expected", Some("because"));
    let nothing = host.post("/v1/messages", asked("lea", json!({"event": "/test#no-such-event"}))).await;
    nothing.problem(422, "/problems/refused/not-expected", Some("because"));
    host.post("/v1/messages", asked("lea", json!({}))).await.problem(400, "/problems/bad-field", Some("because"));

    // A plugin is not believed either: its run is about Paul, and so nothing of it may go to Lea.
    let ended = host.event(steps("paul", "a", json!([{"send": {"text": "hello", "to": "lea"}}]))).await;
    let refused = &ended["results"][0]["report"]["refused"][0];
    assert_eq!((&refused["to"], &refused["code"]), (&json!("lea"), &json!("not-expected")), "{ended:#}");
    assert_eq!(host.messages("lea").await, Vec::<Value>::new());

    let right = host.post("/v1/messages", asked("paul", json!({"event": of_paul}))).await;
    assert_eq!(right.status, 202, "{}", right.text);
    host.only_message("paul", "delivered").await;
    // What the shop knows by a number of its own is the shop's to answer for.
    let own = host.post("/v1/messages", asked("lea", json!({"reference": "order/4711"}))).await;
    assert_eq!(own.status, 202, "{}", own.text);
    host.only_message("lea", "delivered").await;
}

#[tokio::test]
async fn who_wrote_stop_by_sms_gets_no_sms_until_start() {
    let host = paul_and_lea(Setup::new()).await;
    says(&host, "lea", LEA, "sms", "STOP", false).await;
    // WhatsApp was not stopped; it is found not to be there, and SMS must not follow.
    let message = message_of(&host, &told(&host, "lea").await, "failed").await;
    assert_eq!(message.way(), "whatsapp failed (not-on-whatsapp)");
    assert!(message["story"].to_string().contains("STOP by sms"), "{message:#}");
    let direct = host.post("/v1/messages", asked("lea", json!({"reference": "order/1"}))).await;
    direct.problem(422, "/problems/refused/no-consent", Some("to"));
    assert_eq!(host.sim.requests("provider=cm").await.len(), 0);

    says(&host, "lea", LEA, "sms", "start", true).await;
    let message = message_of(&host, &told(&host, "lea").await, "delivered").await;
    assert_eq!(message.way(), "sms delivered", "the number is known not to be on WhatsApp");
}

#[tokio::test]
async fn who_wrote_stop_on_whatsapp_gets_sms_and_who_stopped_both_gets_nothing() {
    let host = paul_and_lea(Setup::new()).await;
    says(&host, "paul", PAUL, "whatsapp", "Arrêt !", false).await;
    assert_eq!(message_of(&host, &told(&host, "paul").await, "delivered").await.way(), "sms delivered");

    says(&host, "paul", PAUL, "sms", "stop", false).await;
    let run = told(&host, "paul").await;
    let (code, why) = only_refusal(&run);
    assert_eq!(code, "no-consent", "{why}");
    assert!(why.contains("has stopped messages"), "{why}");
    assert_eq!(host.messages("paul").await.len(), 1);

    says(&host, "paul", PAUL, "whatsapp", "START", true).await;
    assert_eq!(message_of(&host, &told(&host, "paul").await, "read").await.way(), "whatsapp read");
    assert_eq!(host.sim.requests("provider=meta").await.len(), 1);
}

fn marketing(channels: &[&str]) -> Value {
    let consents = channels.iter().map(
        |channel| json!({"channel": channel, "scope": "marketing", "granted": true, "source": "cart alerts, form v3"}),
    );
    json!({"consents": consents.collect::<Vec<_>>()})
}

/// The customer has a piece in the cart, and it becomes the last one: that run, and the cart's event.
async fn last_piece(host: &Host, customer: &str) -> (Value, Value) {
    let sku = format!("SKU-{}", unique());
    let cart = json!({"sku": sku, "product": "red shoes"});
    let cart = host.event(event("com.example.cart.item-added", customer, cart)).await;
    let ended = host.event(event("com.example.stock.changed", "", json!({"sku": sku, "left": 1}))).await;
    assert_eq!(ended["results"][0]["state"], "done", "{ended:#}");
    (ended["results"][0].clone(), cart["id"].clone())
}

#[tokio::test]
async fn a_marketing_template_needs_a_consent_to_marketing_on_each_channel() {
    let host = paul_and_lea(Setup::new()).await;
    let (run, _) = last_piece(&host, "paul").await;
    let (code, why) = only_refusal(&run);
    assert_eq!(code, "no-consent");
    assert!(why.contains("filed as marketing") && why.contains("`paul`"), "{why}");
    assert_eq!(host.messages("paul").await, Vec::<Value>::new());

    host.customer_with("paul", PAUL, marketing(&["whatsapp"])).await;
    let (run, cart) = last_piece(&host, "paul").await;
    let message = message_of(&host, &run, "read").await;
    assert_eq!(message.way(), "whatsapp read");
    // It is the customer's own cart that makes it expected, not the stock, which concerns nobody.
    assert_eq!(message["because"]["event"], cart, "{message:#}");

    // She agreed for WhatsApp only, where she is not: SMS is no way round that.
    host.customer_with("lea", LEA, marketing(&["whatsapp"])).await;
    let message = message_of(&host, &last_piece(&host, "lea").await.0, "failed").await;
    assert_eq!(message.way(), "whatsapp failed (not-on-whatsapp)");
    assert_eq!(host.sim.requests("provider=cm").await.len(), 0);
}

#[tokio::test]
async fn who_wants_no_marketing_in_whatsapp_is_told_everything_else_there() {
    let host = paul_and_lea(Setup::new()).await;
    host.customer_with("paul", PAUL, marketing(&["whatsapp", "sms"])).await;
    let prefers = async |value: &str, granted: bool| {
        host.advance("1m").await;
        let (number, at) = (PAUL.trim_start_matches('+'), host.sim.now().0 / 1000);
        let preference =
            json!({"wa_id": number, "category": "marketing_messages", "value": value, "timestamp": at, "detail": "…"});
        let change = json!({"field": "user_preferences", "value": {"user_preferences": [preference]}});
        let entry = json!([{"id": host.sim.options.meta.waba_id, "changes": [change]}]);
        let body = json!({"object": "whatsapp_business_account", "entry": entry}).to_string();
        let signature = meta_signature(host.meta_secret(), body.as_bytes());
        host.meta_raw(&body, &[("x-hub-signature-256", &signature)]).await.ok();
        until_consent(&host, "paul", "whatsapp", "marketing", granted).await;
    };
    prefers("stop", false).await;
    let message = message_of(&host, &last_piece(&host, "paul").await.0, "delivered").await;
    assert_eq!(message.way(), "sms delivered", "he agreed to it by SMS, and took nothing back there");
    assert_eq!(message_of(&host, &told(&host, "paul").await, "read").await.way(), "whatsapp read");
    prefers("resume", true).await;
    let message = message_of(&host, &last_piece(&host, "paul").await.0, "read").await;
    assert_eq!(message.way(), "whatsapp read");
}

#[tokio::test]
async fn what_has_expired_is_not_taken_and_what_expires_on_its_way_is_not_sent() {
    let host = paul_and_lea(Setup::new()).await;
    let mut late = asked("paul", json!({"reference": "order/1"}));
    late["expires"] = json!("2026-11-24T08:59:59+01:00");
    let late = host.post("/v1/messages", late).await;
    late.problem(422, "/problems/refused/expired", Some("expires"));

    host.sim.trouble(json!({"kind": "busy", "retry_after_s": 60})).await;
    let mut soon = asked("paul", json!({"reference": "order/2"}));
    soon["expires"] = json!(host.sim.now().plus(Duration::from_secs(120)).rfc3339());
    let id = host.post("/v1/messages", soon).await.ok()["id"].as_str().unwrap().to_owned();
    host.until("the provider has said that it is busy", async || {
        let message = host.message(&id).await;
        if message["next_at"].is_null() { Err(format!("{message:#}")) } else { Ok(()) }
    })
    .await;
    host.sim.no_trouble().await;
    host.advance("3m").await;
    host.until_state(&id, "expired").await;
    host.advance("20m").await;
    assert_eq!(host.message(&id).await["state"], "expired");
    assert_eq!(host.sim.requests("accepted=true").await.len(), 0);
}

#[tokio::test]
async fn a_reply_answers_something_that_the_customer_wrote_within_a_day() {
    let host = paul_and_lea(Setup::new()).await;
    let mut reply = asked("paul", json!({"reference": "order/1"}));
    reply["purpose"] = json!("reply");
    host.post("/v1/messages", reply.clone()).await.problem(422, "/problems/refused/not-expected", Some("because"));

    let wrote = host.sim.writes(PAUL, "whatsapp", "Do you have bread?").await;
    let question =
        MessageId::of_incoming(&TenantId::default_tenant(), "meta", wrote["id"].as_str().unwrap()).to_string();
    host.until("what he wrote is stored", async || {
        let answer = host.send(Method::GET, &format!("/v1/messages/{question}"), &[], "").await;
        if answer.status == 200 { Ok(()) } else { Err(answer.text) }
    })
    .await;
    let stored = host.message(&question).await;
    assert_eq!(stored["incoming"]["text"], "Do you have bread?", "{stored:#}");

    reply["because"] = json!({"message": question});
    let mut to_lea = reply.clone();
    to_lea["to"] = json!({"customer": "lea"});
    host.post("/v1/messages", to_lea).await.problem(422, "/problems/refused/not-expected", Some("because"));
    host.post("/v1/messages", reply.clone()).await.ok();
    let message = host.only_message("paul", "read").await;
    assert_eq!((message.way(), &message["because"]["incoming"]), ("whatsapp read".to_owned(), &json!(question)));

    host.advance("25h").await;
    host.post("/v1/messages", reply).await.problem(422, "/problems/refused/not-expected", Some("because"));
    assert_eq!(host.messages("paul").await.len(), 1);
}

#[tokio::test]
async fn who_was_erased_after_stop_stays_left_alone_under_a_new_name() {
    let mut host = paul_and_lea(Setup::new()).await;
    for channel in ["whatsapp", "sms"] {
        says(&host, "paul", PAUL, channel, "STOP", false).await;
    }
    let erased = host.send(Method::DELETE, "/v1/customers/paul", &[], "").await;
    assert_eq!(erased.status, 204, "{}", erased.text);
    host.restart().await;
    host.customer("paul-again", PAUL).await;
    let run = told(&host, "paul-again").await;
    let (code, why) = only_refusal(&run);
    assert_eq!(code, "no-consent", "{why}");
    assert_eq!(host.sim.requests("provider=meta").await.len() + host.sim.requests("provider=cm").await.len(), 0);
    // The number decides, not the person whom the shop takes it for.
    says(&host, "paul-again", PAUL, "whatsapp", "START", true).await;
    assert_eq!(message_of(&host, &told(&host, "paul-again").await, "read").await.way(), "whatsapp read");
}
