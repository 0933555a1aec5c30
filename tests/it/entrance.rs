//! The entrance for clients of CM.com: their bodies, their answers, and our rules behind it.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, Host, LEA, PAUL, Setup, Shown};

/// As CM.com gives them out. A client may write it in capitals.
const TOKEN: &str = "a2b1c0d0-0000-4000-8000-00000000000f";

async fn shop() -> Host {
    let host = Host::start(Setup::tester().key("shop", TOKEN)).await;
    host.sim.phone(PAUL, |_| {});
    host.sim.phone(LEA, |phone| phone.whatsapp = false);
    host
}

async fn posts(host: &Host, token: Option<&str>, body: &Value) -> Answer {
    let mut headers = vec![("content-type", "application/json; charset=utf-8")];
    headers.extend(token.map(|token| ("x-cm-producttoken", token)));
    host.send(Method::POST, "/v1.0/message", &headers, body.to_string()).await
}

fn message(to: &[&str], more: Value) -> Value {
    let to: Vec<Value> = to.iter().map(|number| json!({"number": number})).collect();
    let mut message = json!({
        "allowedChannels": ["SMS"], "from": "Boulange", "to": to, "reference": "m01JABCDEF",
        "body": {"type": "AUTO", "content": "Votre commande 4821 est prete."},
    });
    for (name, value) in more.as_object().unwrap() {
        message[name] = value.clone();
    }
    message
}

fn body(messages: Vec<Value>) -> Value {
    json!({"messages": {"msg": messages}})
}

#[tokio::test]
async fn each_recipient_becomes_a_message_that_is_delivered_and_the_answer_is_cm_s() {
    let host = shop().await;
    let answer = posts(&host, Some(TOKEN), &body(vec![message(&["0033639981201", "+33639981202"], json!({}))])).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let line = |to: &str| json!({"to": to, "status": "Accepted", "reference": "m01JABCDEF", "parts": 1, "messageDetails": null, "messageErrorCode": 0});
    let expected = json!({
        "details": "Created 2 message(s)", "errorCode": 0, "messages": [line("0033639981201"), line("+33639981202")],
    });
    assert_eq!(answer.body, expected);
    for number in [PAUL, LEA] {
        host.until(&format!("{number} has it"), async || {
            let screen = host.sim.screen(number, "sms").await;
            if screen.len() == 1 { Ok(()) } else { Err(format!("{screen:#?}")) }
        })
        .await;
    }
}

#[tokio::test]
async fn names_and_the_token_are_taken_in_any_case_and_the_token_in_the_body() {
    let host = shop().await;
    let sent = json!({"Messages": {
        "authentication": {"producttoken": TOKEN.to_uppercase()},
        "MSG": [{"AllowedChannels": ["sms"], "To": [{"Number": "0033639981201"}], "Body": {"TYPE": "auto", "Content": "Bonjour"}}],
    }});
    let answer = posts(&host, None, &sent).await;
    assert_eq!((answer.status, &answer.body["errorCode"]), (200, &json!(0)), "{}", answer.text);
    let wrong = posts(&host, Some("a2b1c0d0-0000-4000-8000-000000000000"), &sent).await;
    assert_eq!((wrong.status, &wrong.body["errorCode"]), (400, &json!(101)), "{}", wrong.text);
}

#[tokio::test]
async fn what_is_wrong_with_a_request_has_the_code_that_cm_gives_it() {
    let host = shop().await;
    for (sent, code) in [(json!([]), 202), (json!({"messages": {}}), 203), (body(Vec::new()), 203)] {
        let answer = posts(&host, Some(TOKEN), &sent).await;
        assert_eq!((answer.status, &answer.body["errorCode"]), (400, &json!(code)), "{}", answer.text);
    }
    let wrong = [
        (message(&["0033639981201"], json!({"from": "a".repeat(18)})), 301),
        (message(&[], json!({})), 302),
        (message(&["12"], json!({})), 303),
        (message(&["0033639981201"], json!({"body": {"type": "BINARY", "content": "00"}})), 304),
        (message(&["0033639981201"], json!({"body": {}})), 304),
        (message(&["0033639981201"], json!({"reference": "x y"})), 305),
        (message(&["0033639981201"], json!({"allowedChannels": ["Viber"]})), 305),
    ];
    for (sent, code) in wrong {
        let answer = posts(&host, Some(TOKEN), &body(vec![sent.clone()])).await;
        assert_eq!((answer.status, &answer.body["errorCode"]), (400, &json!(201)), "{sent}: {}", answer.text);
        assert_eq!(answer.body["messages"][0]["messageErrorCode"], code, "{sent}: {}", answer.text);
        assert_eq!(answer.body["details"], "Created 0 message(s)");
    }
    let good = message(&["0033639981201"], json!({}));
    let mixed = posts(&host, Some(TOKEN), &body(vec![message(&["12"], json!({})), good])).await;
    assert_eq!((mixed.status, &mixed.body["errorCode"]), (200, &json!(201)), "{}", mixed.text);
    let states: Vec<&Value> = mixed.body["messages"].as_array().unwrap().iter().map(|one| &one["status"]).collect();
    assert_eq!(states, ["Rejected", "Accepted"]);
}

#[tokio::test]
async fn rich_content_goes_on_whatsapp_and_falls_back_to_the_text_of_the_body() {
    let mut host = shop().await;
    host.key = Some(TOKEN);
    let rich = json!({
        "allowedChannels": ["WhatsApp", "SMS"],
        "richContent": {"conversation": [{"text": "Votre commande 4821 est prête."}]},
    });
    let answer = posts(&host, Some(TOKEN), &body(vec![message(&["0033639981202"], rich)])).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    // Léa has not written, so that free text may not go on WhatsApp.
    let screen = host
        .until("Léa has an SMS", async || {
            let screen = host.sim.screen(LEA, "sms").await;
            if screen.is_empty() { Err("nothing yet".to_owned()) } else { Ok(screen) }
        })
        .await;
    assert_eq!(screen[0]["content"]["text"], "Votre commande 4821 est prete.");
    let listed = host.get("/v1/messages").await;
    let id = listed["messages"][0]["id"].as_str().unwrap();
    assert!(host.until_state(id, "delivered").await.way().ends_with("sms delivered"), "{listed:#}");
}
