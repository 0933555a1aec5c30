//! What providers post: believed only where it is signed, and taken whole.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Host, LEA, PAUL, Setup, Sms, meta_signature, order_ready};

async fn host(sms: Sms) -> Host {
    let host = Host::start(Setup::new().sms(sms)).await;
    host.sim.phone(PAUL, |phone| phone.online = false);
    host.customer("paul", PAUL).await;
    host.customer("lea", LEA).await;
    host
}

async fn consents(host: &Host, customer: &str) -> Vec<String> {
    let customer = host.get(&format!("/v1/customers/{customer}")).await;
    let consents = customer["consents"].as_array().unwrap().iter();
    consents.map(|consent| consent["source"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn meta_is_believed_only_with_its_signature_over_these_very_bytes() {
    let host = host(Sms::Cm).await;
    host.event(order_ready("paul", "A")).await;
    let message = host.only_message("paul", "sent").await;
    let wamid = message["attempts"][0]["provider_id"].as_str().unwrap();
    let body = json!({"object": "whatsapp_business_account", "entry": [
        {"id": host.sim.options.meta.waba_id, "changes": [
            {"field": "messages", "value": host.status(wamid, None, "read")},
            {"field": "messages", "value": host.written("wamid.STOP", PAUL, "STOP")}]}]})
    .to_string();
    let right = meta_signature(host.meta_secret(), body.as_bytes());
    let flipped = if right.ends_with('0') { "1" } else { "0" };
    let wrong = [
        meta_signature("another-secret", body.as_bytes()),
        meta_signature("", body.as_bytes()),
        meta_signature(host.meta_secret(), format!("{body} ").as_bytes()),
        right.replace("sha256=", ""),
        right.replace("sha256=", "sha1="),
        format!("{}{flipped}", &right[..right.len() - 1]),
        right[..right.len() - 2].to_owned(),
        "sha256=".to_owned(),
        String::new(),
    ];
    for signature in &wrong {
        let answer = host.meta_raw(&body, &[("x-hub-signature-256", signature)]).await;
        answer.problem(401, "/problems/bad-signature", None);
    }
    host.meta_raw(&body, &[]).await.problem(401, "/problems/bad-signature", None);
    assert_eq!(host.message(message["id"].as_str().unwrap()).await["state"], "sent");
    assert_eq!(consents(&host, "paul").await, Vec::<String>::new());

    assert_eq!(host.meta_raw(&body, &[("x-hub-signature-256", &right)]).await.status, 200);
    assert_eq!(host.message(message["id"].as_str().unwrap()).await["state"], "read");
    assert_eq!(consents(&host, "paul").await, ["STOP by whatsapp"]);
    let broken = "{\"object\":";
    let signature = meta_signature(host.meta_secret(), broken.as_bytes());
    assert_eq!(host.meta_raw(broken, &[("x-hub-signature-256", &signature)]).await.status, 400);
}

#[tokio::test]
async fn all_entries_of_a_batch_are_taken_and_a_repeat_changes_nothing() {
    let host = host(Sms::Cm).await;
    let mut wamids = Vec::new();
    for order in ["A", "B", "C"] {
        let ended = host.event(order_ready("paul", order)).await;
        let id = ended["results"][0]["messages"][0]["id"].as_str().unwrap();
        let message = host.until_state(id, "sent").await;
        wamids.push((id.to_owned(), message["attempts"][0]["provider_id"].as_str().unwrap().to_owned()));
    }
    let mut changes: Vec<Value> = wamids.iter().map(|(_, wamid)| host.status(wamid, None, "delivered")).collect();
    changes.push(host.written("wamid.IN1", LEA, "STOP"));
    // What this version does not know must not keep it from what it does.
    changes.push(json!({"messaging_product": "whatsapp", "something_new": [{"a": 1}]}));
    changes.push(host.status(&wamids[0].1, None, "read"));
    for _ in 0..2 {
        host.meta_webhook(&changes, host.meta_secret()).await.ok();
        let states: Vec<Value> = host.messages("paul").await.iter().map(|message| message["state"].clone()).collect();
        assert_eq!(states, [json!("read"), json!("delivered"), json!("delivered")]);
        assert_eq!(consents(&host, "lea").await, ["STOP by whatsapp"]);
    }
}

#[tokio::test]
async fn what_meta_puts_into_one_post_is_taken_apart() {
    let host = Host::start(Setup { webhook_batch_max: 50, ..Setup::new() }).await;
    let numbers: Vec<String> = (10..22).map(|no| format!("+336399812{no}")).collect();
    for (no, number) in numbers.iter().enumerate() {
        host.customer(&format!("c{no}"), number).await;
    }
    let batch: Vec<Value> = (0..numbers.len()).map(|no| order_ready(&format!("c{no}"), &format!("O{no}"))).collect();
    host.event(json!(batch)).await;
    host.until("all have read theirs", async || {
        let messages = host.all_messages().await;
        let read = messages.iter().filter(|message| message["state"] == "read").count();
        if read == numbers.len() { Ok(()) } else { Err(format!("{read}")) }
    })
    .await;
    let posts = host.sim.webhooks("provider=meta").await;
    assert!(posts.iter().any(|post| post["about"].as_array().unwrap().len() > 1), "nothing came in one post");
}

#[tokio::test]
async fn meta_learns_that_the_url_is_ours_and_nobody_else_does() {
    let host = host(Sms::Cm).await;
    let verified = host.sim.call(Method::POST, "/sim/meta/verify-webhook", None).await;
    assert_eq!(verified["verified"], true, "{verified}");
    let ask = async |mode: &str, token: &str| {
        let path = format!("/v1/webhooks/meta?hub.mode={mode}&hub.verify_token={token}&hub.challenge=1158201444");
        host.send(Method::GET, &path, &[], "").await
    };
    let token = host.sim.options.meta.verify_token.clone();
    let right = ask("subscribe", &token).await;
    assert_eq!((right.status, right.text.as_str()), (200, "1158201444"));
    for (mode, token) in [("subscribe", "guessed"), ("subscribe", ""), ("unsubscribe", token.as_str())] {
        let wrong = ask(mode, token).await;
        assert_eq!(wrong.status, 403, "{mode} {token}");
        assert!(!wrong.text.contains("1158201444"));
    }
}

#[tokio::test]
async fn twilio_is_believed_only_with_its_signature() {
    let host = host(Sms::Twilio).await;
    let token = host.sim.options.twilio.auth_token.clone();
    let account = host.sim.options.twilio.account_sid.clone();
    let number = host.sim.options.twilio.number.clone();
    let params = [
        ("AccountSid", account.as_str()),
        ("Body", "STOP"),
        ("From", LEA),
        ("MessageSid", "SM1"),
        ("To", number.as_str()),
        ("NumMedia", "0"),
    ];
    host.twilio_webhook("/v1/webhooks/twilio", &params, "another-token").await.problem(
        401,
        "/problems/bad-signature",
        None,
    );
    let media = [("content-type", "application/x-www-form-urlencoded")];
    let unsigned =
        host.send(Method::POST, "/v1/webhooks/twilio", &media, "From=%2B33639981202&Body=STOP&MessageSid=SM1").await;
    unsigned.problem(401, "/problems/bad-signature", None);
    assert_eq!(consents(&host, "lea").await, Vec::<String>::new());

    let answer = host.twilio_webhook("/v1/webhooks/twilio", &params, &token).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.header("content-type").starts_with("text/xml"), "Twilio reads TwiML: {answer:?}");
    assert_eq!(consents(&host, "lea").await, ["STOP by sms"]);

    // The same for a receipt: whose it is stands in the URL that was signed.
    host.customer_with("paul", PAUL, json!({"addresses": [{"channel": "sms", "address": PAUL}]})).await;
    host.sim.trouble(json!({"kind": "drop-receipts"})).await;
    host.event(order_ready("paul", "A")).await;
    let message = host.only_message("paul", "sent").await;
    let id = message["id"].as_str().unwrap();
    let sid = message["attempts"][0]["provider_id"].as_str().unwrap();
    let receipt = [("MessageSid", sid), ("MessageStatus", "delivered"), ("AccountSid", &account)];
    host.twilio_webhook("/v1/webhooks/twilio", &receipt, "another-token").await.problem(
        401,
        "/problems/bad-signature",
        None,
    );
    assert_eq!(host.message(id).await["state"], "sent");
    host.twilio_webhook("/v1/webhooks/twilio", &receipt, &token).await.ok();
    assert_eq!(host.message(id).await["state"], "delivered");
}

#[tokio::test]
async fn cm_is_believed_only_at_its_secret_path() {
    let host = host(Sms::Cm).await;
    host.customer_with("paul", PAUL, json!({"addresses": [{"channel": "sms", "address": PAUL}]})).await;
    host.sim.trouble(json!({"kind": "drop-receipts"})).await;
    host.event(order_ready("paul", "A")).await;
    let message = host.only_message("paul", "sent").await;
    let id = message["id"].as_str().unwrap();
    let requests = host.sim.requests("provider=cm").await;
    let token = requests[0]["tokens"][0].as_str().unwrap();
    let at = host.sim.now().rfc3339();
    let body = json!({"messages": {"msg": {"received": at, "reference": token, "to": "0033639981201",
        "status": {"code": "2", "errorCode": "", "errorDescription": "delivered"}}}});
    for guess in ["guessed", "simulated-cm-webhook-secre", "simulated-cm-webhook-secret-"] {
        let answer = host.post(&format!("/v1/webhooks/cm/{guess}"), body.clone()).await;
        answer.problem(401, "/problems/bad-signature", None);
    }
    assert!(matches!(host.post("/v1/webhooks/cm", body.clone()).await.status, 404 | 405));
    assert_eq!(host.message(id).await["state"], "sent");
    let secret = host.sim.options.cm.webhook_secret.clone();
    host.post(&format!("/v1/webhooks/cm/{secret}"), body).await.ok();
    assert_eq!(host.message(id).await["state"], "delivered");
}

#[tokio::test]
async fn webhooks_of_a_provider_without_an_account_are_not_taken() {
    let host = host(Sms::Cm).await;
    let token = host.sim.options.twilio.auth_token.clone();
    let answer = host
        .twilio_webhook("/v1/webhooks/twilio", &[("From", PAUL), ("Body", "STOP"), ("MessageSid", "SM1")], &token)
        .await;
    assert_eq!(answer.status, 404, "{answer:?}");
    assert_eq!(consents(&host, "paul").await, Vec::<String>::new());
}
