//! What a message would become, asked before it is sent; and the hours, the policies and the cancellations that decide it.

use serde_json::{Value, json};

use crate::harness::{Host, PAUL, Setup, Shown};

async fn paul(setup: Setup) -> Host {
    let host = Host::start(setup).await;
    host.sim.phone(PAUL, |_| {});
    host.customer("paul", PAUL).await;
    host
}

fn ready(more: Value) -> Value {
    let template = json!({
        "name": "order_ready", "category": "utility", "language": "en",
        "params": {"order": "4821", "shop": "Bakery", "minutes": "2"},
        "body": "Your order {{order}} at {{shop}} will be ready in {{minutes}} min.",
    });
    let mut message = json!({
        "to": {"customer": "paul"}, "purpose": "alert", "because": {"reference": "order/4821"}, "template": template,
    });
    for (name, value) in more.as_object().unwrap() {
        message[name] = value.clone();
    }
    message
}

fn follows<'a>(plan: &'a Value, what: &str) -> &'a Value {
    let then = plan["then"].as_array().unwrap();
    let found =
        then.iter().find(|one| one["if"] == what).unwrap_or_else(|| panic!("nothing is said of `{what}`: {plan:#}"));
    found["follows"].as_array().unwrap().last().unwrap()
}

#[tokio::test]
async fn a_dry_run_says_what_happens_and_nothing_happens() {
    let host = paul(Setup::new().with("fallback.purpose.alert.after-s = 45")).await;
    let foreseen = host.post("/v1/messages?dry_run=true", ready(json!({}))).await.ok();
    assert_eq!((&foreseen["dry_run"], &foreseen["taken"]), (&json!(true), &json!(true)), "{foreseen:#}");
    let plan = &foreseen["plan"];
    assert_eq!(
        (&plan["would"], &plan["channel"], &plan["rendition"]),
        (&json!("send"), &json!("whatsapp"), &json!("template"))
    );
    // Every route has its price, the one that is not taken as well.
    let routes = plan["decision"]["routes"].as_array().unwrap();
    assert_eq!(routes.len(), 2, "{plan:#}");
    assert!(routes.iter().all(|route| route["price_micros"].as_i64().is_some_and(|price| price > 0)), "{plan:#}");
    assert_eq!((&routes[0]["taken"], &routes[1]["code"]), (&json!(true), &json!("in-reserve")));
    assert_eq!(plan["shown"]["sms"]["text"], "Your order 4821 at Bakery will be ready in 2 min.");
    assert_eq!(plan["shown"]["sms"]["parts"], 1);
    assert_eq!((&plan["fallback"]["after_s"], &plan["fallback"]["from"]), (&json!(45), &json!("fallback.purpose")));
    let sms = follows(plan, "no receipt of delivery comes");
    assert_eq!((&sms["would"], &sms["channel"]), (&json!("send"), &json!("sms")), "{sms:#}");
    assert_eq!(follows(plan, "the customer has blocked it")["would"], "end");

    assert_eq!(host.all_messages().await, Vec::<Value>::new());
    assert_eq!(host.sim.requests("").await.len(), 0);
}

#[tokio::test]
async fn a_dry_run_of_what_would_be_refused_says_why() {
    let host = paul(Setup::new()).await;
    let mut stranger = ready(json!({}));
    stranger["to"] = json!({"customer": "nobody"});
    let foreseen = host.post("/v1/messages?dry_run", stranger).await.ok();
    assert_eq!(foreseen["taken"], false, "{foreseen:#}");
    assert_eq!(foreseen["refusal"]["type"], "/problems/refused/unknown-customer", "{foreseen:#}");
    host.post("/v1/messages?dry_run=perhaps", ready(json!({}))).await.problem(
        400,
        "/problems/bad-field",
        Some("dry_run"),
    );
}

#[tokio::test]
async fn advertising_waits_for_the_hours_of_the_customers_country() {
    let host = paul(Setup::new()).await;
    let agreed = json!([{"channel": "sms", "scope": "marketing", "granted": true, "source": "form v3"}]);
    host.customer_with("paul", PAUL, json!({"consents": agreed})).await;
    // From nine in the morning to nine in the evening, where it is too late.
    host.advance("12h").await;
    let mut message = ready(json!({"sms": "only"}));
    message["template"]["category"] = json!("marketing");
    let foreseen = host.post("/v1/messages?dry_run=true", message.clone()).await.ok();
    assert_eq!(foreseen["plan"]["code"], "quiet-hours", "{foreseen:#}");
    let id = host.post("/v1/messages", message).await.ok()["id"].as_str().unwrap().to_owned();
    let waiting = host
        .until("it waits for the morning", async || {
            let message = host.message(&id).await;
            if message["code"] == "quiet-hours" { Ok(message) } else { Err(format!("{message:#}")) }
        })
        .await;
    assert_eq!(waiting["next_at"], "2026-11-25T07:00:00.000Z", "{waiting:#}");
    assert!(waiting["decision"]["why"].as_str().unwrap().contains("from 08:00 to 20:00 in FR"), "{waiting:#}");
    host.advance("11h").await;
    assert_eq!(host.until_state(&id, "delivered").await.way(), "sms delivered");
}

#[tokio::test]
async fn a_cancellation_says_what_it_stops_and_what_was_too_late() {
    let host = paul(Setup::new()).await;
    host.sim.online(PAUL, false);
    let id = host.post("/v1/messages", ready(json!({}))).await.ok()["id"].as_str().unwrap().to_owned();
    host.until_state(&id, "sent").await;
    let cancelled = host.post(&format!("/v1/messages/{id}/cancel"), json!({})).await.ok();
    assert_eq!(
        (&cancelled["cancelled"], &cancelled["stopped"][0]),
        (&json!(true), &json!("no SMS follows")),
        "{cancelled:#}"
    );
    assert!(cancelled["too_late"][0].as_str().unwrap().contains("may still arrive"), "{cancelled:#}");
    host.until("the message says so itself", async || {
        let message = host.message(&id).await;
        let why = message["decision"]["why"].as_str().unwrap_or_default();
        if why.contains("cannot be called back") { Ok(()) } else { Err(format!("{message:#}")) }
    })
    .await;
}
