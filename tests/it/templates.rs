//! Templates and accounts as their provider has them: what does not fit is told before the first message fails, and a message that
//! would be refused goes another way.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Db, Host, PAUL, Setup, Shown, both_databases, order_ready};

both_databases! {
    a_paused_template_holds_its_messages_back_until_it_is_approved_again,
}

async fn paul(setup: Setup) -> Host {
    let host = Host::start(setup).await;
    host.sim.phone(PAUL, |_| {});
    host.customer("paul", PAUL).await;
    host.until("the templates are read", async || {
        let account = host.get("/v1/accounts").await["accounts"][0].clone();
        if account["templates_read"].is_string() { Ok(()) } else { Err(account.to_string()) }
    })
    .await;
    host
}

/// What the simulated Meta says of its own accord.
async fn meta_says(host: &Host, field: &str, value: Value) {
    host.sim.call(Method::POST, "/sim/meta/webhook", Some(json!({"field": field, "value": value}))).await;
}

async fn template(host: &Host, more: Value) {
    let mut template = json!({"name": "order_ready", "language": "en", "category": "UTILITY",
        "body": "Your order {{1}} at {{2}} will be ready in {{3}} min."});
    template.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    host.sim.call(Method::POST, "/sim/templates", Some(template)).await;
}

fn status(event: &str) -> Value {
    json!({"event": event, "message_template_id": 1, "message_template_name": "order_ready",
        "message_template_language": "en", "reason": "NONE"})
}

async fn until_findings(host: &Host, count: usize) -> Vec<Value> {
    host.until(&format!("the doctor has {count} findings"), async || {
        let found = host.get("/v1/doctor").await["findings"].as_array().unwrap().clone();
        if found.len() == count { Ok(found) } else { Err(format!("{found:#?}")) }
    })
    .await
}

async fn told(host: &Host, order: &str) -> Value {
    let ended = host.event(order_ready("paul", order)).await;
    let id = ended["results"][0]["messages"][0]["id"].as_str().unwrap_or_else(|| panic!("{ended:#}")).to_owned();
    host.until("it has arrived", async || {
        let message = host.message(&id).await;
        let state = message["state"].as_str().unwrap();
        if ["delivered", "read"].contains(&state) { Ok(message) } else { Err(format!("{message:#}")) }
    })
    .await
}

async fn a_paused_template_holds_its_messages_back_until_it_is_approved_again(db: Db) {
    let mut host = paul(Setup::new().on(db)).await;
    until_findings(&host, 0).await;
    assert!(told(&host, "O-1").await.way().starts_with("whatsapp "));

    template(&host, json!({"status": "PAUSED"})).await;
    meta_says(&host, "message_template_status_update", status("PAUSED")).await;
    let found = until_findings(&host, 1).await;
    assert_eq!(found[0]["kind"], "template-held-back");
    for word in ["order_ready (en)", "plugin order-ready"] {
        assert!(found[0]["id"].as_str().unwrap().contains(word), "{found:#?}");
    }
    assert!(found[0]["why"].as_str().unwrap().contains("paused"), "{found:#?}");
    let message = told(&host, "O-2").await;
    assert_eq!(message.way(), "sms delivered", "Meta was not asked in vain: {message:#}");
    assert!(message.to_string().contains("it is paused for low quality"), "{message:#}");
    // It is said again after a restart, and the host is ready all the same.
    host.restart().await;
    until_findings(&host, 1).await;

    template(&host, json!({"status": "APPROVED"})).await;
    meta_says(&host, "message_template_status_update", status("APPROVED")).await;
    until_findings(&host, 0).await;
    assert!(told(&host, "O-3").await.way().starts_with("whatsapp "));
}

#[tokio::test]
async fn what_does_not_fit_at_the_start_is_in_the_log_and_in_the_doctor_and_keeps_nobody_from_being_ready() {
    let mut host = paul(Setup::new()).await;
    host.kill().await;
    // Meta's page of templates is longer than one answer.
    for no in 0..120 {
        let name = format!("another_{no:03}");
        let other = json!({"name": name, "language": "fr", "category": "UTILITY", "body": "Bonjour"});
        host.sim.call(Method::POST, "/sim/templates", Some(other)).await;
    }
    template(&host, json!({"body": "Your order {{1}} will be ready.", "message_send_ttl_seconds": 43_200})).await;
    host.launch().await;
    let found = until_findings(&host, 2).await;
    let whys: Vec<&str> = found.iter().map(|finding| finding["why"].as_str().unwrap()).collect();
    let says = |words: &str| whys.iter().any(|why| why.contains(words));
    assert!(says("its body has 1 parameters, and 3 are declared"), "{found:#?}");
    assert!(says("it lives for 43200 s (message_send_ttl_seconds), and SMS follows after 120 s"), "{found:#?}");
    assert!(host.get("/v1/accounts").await["accounts"][0]["templates"].as_u64() > Some(120));
    host.until("the log says so", async || {
        let log = host.log();
        if log.contains("its body has 1 parameters") { Ok(()) } else { Err(log) }
    })
    .await;
    assert_eq!(host.send(Method::GET, "/readyz", &[], "").await.status, 200);
    // The customer's language is not affected by another's.
    let message = told(&host, "O-1").await;
    assert_eq!(message.way(), "sms delivered");
}

#[tokio::test]
async fn a_message_that_may_go_nowhere_else_fails_with_the_reason() {
    let host = paul(Setup::new()).await;
    template(&host, json!({"category": "MARKETING"})).await;
    let filed = json!({"message_template_id": 1, "message_template_name": "order_ready", "message_template_language": "en",
        "new_category": "MARKETING", "previous_category": "UTILITY"});
    meta_says(&host, "template_category_update", filed).await;
    until_findings(&host, 1).await;
    let body = json!({
        "to": {"customer": "paul"}, "purpose": "alert", "because": {"reference": "order/1"}, "sms": "never",
        "template": {"name": "order_ready", "category": "utility", "language": "en",
            "params": {"order": "4821", "shop": "Bakery", "minutes": "2"}, "body": "Your order {{order}} at {{shop}} will be ready in {{minutes}} min."},
    });
    let id = host.post("/v1/messages", body).await.ok()["id"].as_str().unwrap().to_owned();
    let message = host.until_state(&id, "failed").await;
    assert_eq!(message["code"], "template-problem", "{message:#}");
    assert!(message.to_string().contains("it is filed as marketing, and declared as utility"), "{message:#}");
    assert_eq!(host.sim.requests("provider=meta&accepted=true").await.len(), 0);
}

#[tokio::test]
async fn a_restricted_account_is_passed_over_and_remembered_until_it_is_free() {
    let mut host = paul(Setup::new()).await;
    let until = Host::starts_at().0 / 1000 + 7 * 24 * 3600;
    let restricted = json!({"event": "ACCOUNT_RESTRICTION",
        "restriction_info": [{"restriction_type": "RESTRICTED_BIZ_INITIATED_MESSAGING", "expiration": until}]});
    meta_says(&host, "account_update", restricted).await;
    let found = until_findings(&host, 1).await;
    assert_eq!((&found[0]["kind"], &found[0]["id"]), (&json!("account"), &json!("main")), "{found:#?}");
    assert_eq!(told(&host, "O-1").await.way(), "sms delivered");
    host.restart().await;
    until_findings(&host, 1).await;
    let account = host.get("/v1/accounts").await["accounts"][0].clone();
    assert_eq!(account["health"][0]["state"], "templates-blocked", "{account:#}");
    assert_eq!(told(&host, "O-2").await.way(), "sms delivered");
    // What the customer writes may be answered.
    host.sim.writes(PAUL, "whatsapp", "Bonjour").await;
    host.until("the window is open", async || {
        let plan = host.post("/v1/messages?dry_run=true", free()).await.ok()["plan"].clone();
        if plan["channel"] == "whatsapp" { Ok(()) } else { Err(format!("{plan:#}")) }
    })
    .await;
    host.advance("169h").await;
    until_findings(&host, 0).await;
    assert!(told(&host, "O-3").await.way().starts_with("whatsapp "));
}

fn free() -> Value {
    json!({"to": {"customer": "paul"}, "purpose": "alert", "because": {"reference": "order/1"}, "text": "Yes, we are open."})
}
