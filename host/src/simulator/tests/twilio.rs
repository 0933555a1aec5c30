use super::*;

const TOKEN: &str = "simulated-twilio-auth-token";

#[tokio::test]
async fn an_sms_is_accepted_and_its_callbacks_are_signed_over_the_url_with_its_query() {
    let mut stage = Stage::new().await;
    let callback = format!("{}/status?tenant=t1", stage.host);
    let body = "é".repeat(161);
    let fields = [("To", PAUL), ("From", "+33757000001"), ("Body", &body), ("StatusCallback", &callback)];
    let (status, answer) = stage.twilio(&fields).await;
    assert_eq!((status, &answer["status"], &answer["num_segments"]), (201, &json!("queued"), &json!("2")), "{answer}");
    assert_eq!(answer["date_created"], "Thu, 15 Jan 2026 10:30:00 +0000");
    for wanted in ["sent", "delivered"] {
        let hook = stage.hook().await;
        assert_eq!(hook.field("MessageStatus"), wanted);
        assert_eq!(answer["sid"], hook.field("MessageSid"));
        let signed = signature::twilio(TOKEN, &callback, &hook.fields());
        assert_eq!(hook.headers["x-twilio-signature"], signed.as_str());
    }
}

#[tokio::test]
async fn who_says_stop_gets_nothing_more_until_start() {
    let mut stage = Stage::new().await;
    let send = [("To", PAUL), ("From", "+33757000001"), ("Body", "un")];
    let write = |text: &str| json!({"channel": "sms", "provider": "twilio", "text": text});
    stage.sim(&format!("phones/{PAUL}/write"), &write("Stop"), "POST").await;
    let hook = stage.hook().await;
    assert_eq!(
        (hook.path.as_str(), hook.field("Body"), hook.field("From")),
        ("/v1/webhooks/twilio", "Stop".into(), PAUL.into())
    );
    let signed = signature::twilio(TOKEN, &format!("{}/v1/webhooks/twilio", stage.host), &hook.fields());
    assert_eq!(hook.headers["x-twilio-signature"], signed.as_str());
    assert_eq!(stage.twilio(&send).await.1["code"], 21610);
    stage.sim(&format!("phones/{PAUL}/write"), &write("START"), "POST").await;
    assert_eq!(stage.twilio(&send).await.0, 201);
}

#[tokio::test]
async fn faults_have_twilios_codes() {
    let stage = Stage::new().await;
    let check = async |fields: &[(&str, &str)], code: i64| {
        let (status, answer) = stage.twilio(fields).await;
        assert_eq!((status, &answer["code"]), (400, &json!(code)), "{answer}");
    };
    let long = "x".repeat(1601);
    check(&[("From", "+33757000001"), ("Body", "x")], 21604).await;
    check(&[("To", "0639981201"), ("From", "+33757000001"), ("Body", "x")], 21211).await;
    check(&[("To", PAUL), ("Body", "x")], 21603).await;
    check(&[("To", PAUL), ("From", "+33757000001")], 21619).await;
    check(&[("To", PAUL), ("From", "+33757000001"), ("Body", &long)], 21617).await;
    check(&[("To", PAUL), ("From", "+33757000001"), ("Body", "x"), ("StatusCallback", "nowhere")], 21609).await;
    check(&[("To", "whatsapp:+33639981201"), ("From", "+33757000001"), ("Body", "x")], 63007).await;
    let url = format!("{}/2010-04-01/Accounts/AC1/Messages.json", stage.base);
    let response = stage.client.post(url).basic_auth("AC1", Some("x")).form(&[("To", PAUL)]).send().await.unwrap();
    assert_eq!(
        (response.status().as_u16(), response.json::<Value>().await.unwrap()["code"].clone()),
        (401, json!(20003))
    );
}

#[tokio::test]
async fn whatsapp_addresses_need_the_window_or_a_template() {
    let mut stage = Stage::new().await;
    let callback = format!("{}/status", stage.host);
    let to = format!("whatsapp:{PAUL}");
    let mut fields = vec![
        ("To", to.as_str()),
        ("From", "whatsapp:+33757000001"),
        ("StatusCallback", callback.as_str()),
        ("Body", "x"),
    ];
    assert_eq!(stage.twilio(&fields).await.0, 201);
    let hook = stage.hook().await;
    assert_eq!((hook.field("MessageStatus"), hook.field("ErrorCode")), ("failed".into(), "63016".into()));
    fields.extend([("ContentSid", "HX1"), ("ContentVariables", r#"{"1":"Paul"}"#)]);
    assert_eq!(stage.twilio(&fields).await.0, 201);
    for wanted in ["sent", "delivered", "read"] {
        assert_eq!(stage.hook().await.field("MessageStatus"), wanted);
    }
}
