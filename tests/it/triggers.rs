//! Webhooks that a plugin's manifest declares: the bakery's till, which knows nothing of CloudEvents, signs its own JSON.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, Host, PAUL, Setup, TILL_SECRET, hmac_sha256_hex};

const TILL: &str = "/v1/triggers/order-ready/till";

/// With API keys, so that it is the signature alone that lets the till in.
async fn bakery() -> Host {
    let host = Host::start(Setup::new().key("shop", "a-key-of-the-shop-0001")).await;
    host.sim.phone(PAUL, |_| {});
    host.customer("paul", PAUL).await;
    host
}

async fn post(host: &Host, path: &str, body: &str, signature: Option<&str>) -> Answer {
    let mut request = host.client.post(format!("{}{path}", host.url)).header("content-type", "application/json");
    if let Some(signature) = signature {
        request = request.header("x-signature", signature);
    }
    let answer = request.body(body.to_owned()).send().await.unwrap();
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    let text = answer.text().await.unwrap();
    let body = serde_json::from_str(&text).unwrap_or(Value::Null);
    Answer { status, headers, text, body }
}

fn signed(body: &str) -> String {
    format!("sha256={}", hmac_sha256_hex(TILL_SECRET, body.as_bytes()))
}

fn order(id: &str) -> String {
    json!({"order": id, "customer": "paul", "shop": "Au Pain Doré", "minutes": 2}).to_string()
}

async fn events(host: &Host) -> usize {
    host.get("/v1/events").await["events"].as_array().unwrap().len()
}

#[tokio::test]
async fn what_the_till_signed_becomes_an_event_and_a_message_once() {
    let mut host = bakery().await;
    let body = order("4821");
    let first = post(&host, &format!("{TILL}?wait=20"), &body, Some(&signed(&body))).await.ok();
    assert_eq!((&first["duplicate"], &first["results"][0]["state"]), (&json!(false), &json!("done")), "{first:#}");
    let message = host.only_message("paul", "read").await;
    assert!(message.to_string().contains("Au Pain Doré"), "{message:#}");
    let event = host.get(&format!("/v1/events/{}", first["id"].as_str().unwrap())).await;
    assert!(event.to_string().contains("order/4821") && event.to_string().contains("\"/till\""), "{event:#}");

    // The order's number is the id, whatever else the till says of it, and after a restart as well.
    let body = json!({"order": "4821", "customer": "paul", "shop": "Au Pain Doré", "minutes": 9}).to_string();
    for _ in 0..2 {
        let again = post(&host, TILL, &body, Some(&signed(&body))).await;
        assert_eq!((again.status, &again.body["duplicate"]), (202, &json!(true)), "{}", again.text);
        host.restart().await;
    }
    assert_eq!((events(&host).await, host.messages("paul").await.len()), (1, 1));
}

#[tokio::test]
async fn without_the_right_signature_nothing_is_stored() {
    let host = bakery().await;
    let body = order("1");
    let of_another = signed(&order("2"));
    let by_another = format!("sha256={}", hmac_sha256_hex("another-secret-altogether", body.as_bytes()));
    let without_prefix = signed(&body).replace("sha256=", "");
    let cut = signed(&body)[..40].to_owned();
    for wrong in
        [None, Some(""), Some("sha256="), Some(&*of_another), Some(&*by_another), Some(&*without_prefix), Some(&*cut)]
    {
        let answer = post(&host, TILL, &body, wrong).await;
        let problem = answer.problem(401, "/problems/unauthorized", Some("signature"));
        assert!(problem["fix"].is_string(), "{problem:#}");
        assert!(!answer.text.contains(TILL_SECRET), "{}", answer.text);
    }
    // An API key is no signature.
    let headers = [("content-type", "application/json")];
    assert_eq!(host.send(Method::POST, TILL, &headers, body.clone()).await.status, 401);
    assert_eq!((events(&host).await, host.messages("paul").await.len()), (0, 0));
}

#[tokio::test]
async fn what_the_trigger_cannot_use_is_refused_with_the_field() {
    let host = bakery().await;
    for (body, field) in [
        ("{\"order\": ", "body"),
        (r#"{"customer": "paul", "shop": "Paul"}"#, "id"),
        (r#"{"order": "", "customer": "paul"}"#, "id"),
        (r#"{"order": "1", "shop": "Paul"}"#, "customer"),
    ] {
        let answer = post(&host, TILL, body, Some(&signed(body))).await;
        answer.problem(400, "/problems/bad-field", Some(field));
    }
    let misspelt = format!("{TILL}?wait=never");
    let body = order("1");
    post(&host, &misspelt, &body, Some(&signed(&body))).await.problem(400, "/problems/bad-field", Some("wait"));
    assert_eq!(events(&host).await, 0);
}

#[tokio::test]
async fn an_unknown_plugin_or_trigger_is_answered_with_what_there_is() {
    let host = bakery().await;
    let body = order("1");
    let answer = post(&host, "/v1/triggers/order-raedy/till", &body, Some(&signed(&body))).await;
    let problem = answer.problem(404, "/problems/not-found", Some("plugin"));
    assert!(problem["fix"].as_str().unwrap().contains("order-ready/till"), "{problem:#}");
    let answer = post(&host, "/v1/triggers/order-ready/tell", &body, Some(&signed(&body))).await;
    let problem = answer.problem(404, "/problems/not-found", Some("trigger"));
    assert!(problem["fix"].as_str().unwrap().contains("till"), "{problem:#}");
    let answer = post(&host, "/v1/triggers/ride/till", &body, Some(&signed(&body))).await;
    let problem = answer.problem(404, "/problems/not-found", Some("trigger"));
    assert!(problem["fix"].as_str().unwrap().contains("there are no"), "{problem:#}");
    assert_eq!(events(&host).await, 0);
}
