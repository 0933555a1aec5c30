use super::*;

fn sms(reference: &str) -> Value {
    json!({"messages": {"msg": [{
        "from": "Boulange", "to": [{"number": "0033639981201"}], "reference": reference, "AllowedChannels": ["SMS"],
        "Body": {"type": "AUTO", "content": "Votre commande 4821 est prete."}
    }]}})
}

#[tokio::test]
async fn an_sms_is_accepted_reported_and_answered() {
    let mut stage = Stage::new().await;
    let (status, answer) = stage.cm(&sms("m01")).await;
    let wanted = json!({"details": "Created 1 message(s)", "errorCode": 0, "messages": [
        {"to": "0033639981201", "status": "Accepted", "reference": "m01", "parts": 1, "messageDetails": null, "messageErrorCode": 0}]});
    assert_eq!((status, answer), (200, wanted));
    for code in ["0", "2"] {
        let hook = stage.hook().await;
        assert_eq!(hook.path, "/v1/webhooks/cm/simulated-cm-webhook-secret");
        let report = &hook.json()["messages"]["msg"];
        assert_eq!((&report["status"]["code"], &report["reference"]), (&json!(code), &json!("m01")));
        assert_eq!((&report["received"], &report["to"]), (&json!("2026-01-15T10:30:00"), &json!("0033639981201")));
    }
    stage.sim(&format!("phones/{PAUL}/write"), &json!({"channel": "sms", "text": "Merci"}), "POST").await;
    let incoming = stage.hook().await.json();
    assert_eq!((&incoming["message"]["text"], &incoming["channel"]), (&json!("Merci"), &json!("SMS")));
    assert_eq!(incoming["from"], json!({"number": "0033639981201", "name": "Zoé Exemple"}));
    let webhooks = stage.get("webhooks").await.to_string();
    assert!(!webhooks.contains("simulated-cm-webhook-secret"), "the ledger shows no secret");
}

#[tokio::test]
async fn each_recipient_is_answered_alone_and_faults_have_cms_codes() {
    let stage = Stage::new().await;
    let mut body = sms("m01");
    body["messages"]["msg"][0]["to"] = json!([{"number": "0033639981201"}, {"number": "12"}]);
    let (status, answer) = stage.cm(&body).await;
    assert_eq!((status, &answer["errorCode"], &answer["details"]), (200, &json!(201), &json!("Created 1 message(s)")));
    assert_eq!(answer["messages"][1]["messageErrorCode"], 303);
    let check = async |change: &dyn Fn(&mut Value), code: i64| {
        let mut body = sms("m01");
        change(&mut body["messages"]["msg"][0]);
        let (status, answer) = stage.cm(&body).await;
        assert_eq!((status, &answer["errorCode"]), (400, &json!(201)));
        assert_eq!(answer["messages"][0]["messageErrorCode"], code, "{answer}");
    };
    check(&|message| message["from"] = json!("Boulangerie du coin"), 301).await;
    check(&|message| message["to"] = json!([]), 302).await;
    check(&|message| message["Body"]["content"] = json!(""), 304).await;
    check(&|message| message["reference"] = json!("m_01"), 305).await;
    let nameless =
        json!({"conversation": [{"template": {"whatsapp": {"elementName": "a", "language": {"code": "fr"}}}}]});
    let whatsapp = json!(["WhatsApp"]);
    check(&|message| (message["AllowedChannels"], message["richContent"]) = (whatsapp.clone(), nameless.clone()), 304)
        .await;
    assert_eq!(stage.cm(&json!({})).await.1["errorCode"], 202);
    assert_eq!(stage.cm(&json!({"messages": {"msg": []}})).await.1["errorCode"], 203);
    let url = format!("{}/v1.0/message", stage.base);
    let response = stage.client.post(&url).header("X-CM-PRODUCTTOKEN", "wrong").json(&sms("m01")).send().await.unwrap();
    assert_eq!(
        (response.status().as_u16(), response.json::<Value>().await.unwrap()["errorCode"].clone()),
        (400, json!(101))
    );
    let mut body = sms("m01");
    body["messages"]["authentication"] = json!({"producttoken": "00000000-0000-4000-8000-000000000001"});
    assert_eq!(stage.client.post(&url).json(&body).send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn whatsapp_that_fails_becomes_an_sms_where_both_are_allowed() {
    let mut stage = Stage::with(|options| options.phones[0].whatsapp = false).await;
    let mut body = sms("m01");
    body["messages"]["msg"][0]["AllowedChannels"] = json!(["WhatsApp", "SMS"]);
    body["messages"]["msg"][0]["richContent"] = json!({"conversation": [{"text": "prête"}]});
    assert_eq!(stage.cm(&body).await.0, 200);
    for code in ["0", "2"] {
        assert_eq!(stage.hook().await.json()["messages"]["msg"]["status"]["code"], code);
    }
    let thread = stage.get(&format!("phones/{PAUL}/thread")).await;
    assert!(thread["whatsapp"][0]["ticks"]["failed_at"].is_number());
    assert_eq!(thread["sms"][0]["content"]["text"], "Votre commande 4821 est prete.");
}
