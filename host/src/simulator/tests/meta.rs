use super::*;

#[tokio::test]
async fn a_text_is_accepted_and_its_receipts_are_signed_over_the_exact_bytes() {
    let mut stage = Stage::new().await;
    stage.open_window().await;
    let (status, answer) = stage.meta(&text("Votre commande 4821 est prête.")).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["contacts"], json!([{"input": PAUL, "wa_id": "33639981201"}]));
    for wanted in ["sent", "delivered", "read"] {
        let hook = stage.hook().await;
        assert_eq!(hook.path, "/v1/webhooks/meta");
        let signed = signature::meta("simulated-meta-app-secret", &hook.body);
        assert_eq!(hook.headers["x-hub-signature-256"], signed.as_str());
        let found = hook.status();
        assert_eq!((&found["status"], &found["id"]), (&json!(wanted), &answer["messages"][0]["id"]));
        assert_eq!(found["biz_opaque_callback_data"], "m_01");
        assert_eq!(found.get("pricing").is_some(), wanted != "read");
        assert!(found["recipient_user_id"].as_str().unwrap().starts_with("FR.13"));
        assert!(found["timestamp"].is_string());
    }
    let thread = stage.get(&format!("phones/{PAUL}/thread")).await;
    let entry = &thread["whatsapp"][0];
    assert_eq!(entry["content"]["text"], "Votre commande 4821 est prête.");
    assert!(entry["ticks"]["read_at"].is_number());
    let requests = stage.get("requests?token=m_01").await;
    assert_eq!((&requests["requests"][0]["to"], &requests["requests"][0]["accepted"]), (&json!([PAUL]), &json!(true)));
}

#[tokio::test]
async fn faults_have_metas_codes() {
    let stage = Stage::with(|options| {
        options
            .templates
            .push(serde_json::from_value(json!({"name": "prete", "language": "fr", "body": "{{1}} {{2}}"})).unwrap());
    })
    .await;
    let with = |name: &str, value: Value| {
        let mut body = text("x");
        body[name] = value;
        body
    };
    let buttons = |titles: &[&str]| {
        let list: Vec<Value> =
            titles.iter().map(|title| json!({"type": "reply", "reply": {"id": title, "title": title}})).collect();
        json!({"messaging_product": "whatsapp", "to": PAUL, "type": "interactive", "interactive": {
            "type": "button", "body": {"text": "?"}, "action": {"buttons": list}}})
    };
    let cases = [
        (with("messaging_product", json!("sms")), 100, 400),
        (with("surprise", json!(1)), 100, 400),
        (with("text", json!({"body": "x".repeat(4097)})), 100, 400),
        (with("text", json!({})), 131008, 400),
        (with("to", json!("+12")), 131009, 400),
        (with("to", json!("+33139980001")), 131021, 400),
        (with("type", json!("fax")), 131051, 400),
        (template("prete", &["un"]), 132000, 400),
        (template("autre", &["un"]), 132001, 404),
        (template("prete", &["un", "de\nux"]), 132018, 400),
        (template("prete", &["un", &"x".repeat(1024)]), 132005, 400),
        (buttons(&["1", "2", "3", "4"]), 131009, 400),
        (buttons(&["1", "1"]), 131009, 400),
        (buttons(&["a title of more than twenty"]), 131009, 400),
    ];
    for (body, code, wanted) in cases {
        let (status, answer) = stage.meta(&body).await;
        assert_eq!((status, &answer["error"]["code"]), (wanted, &json!(code)), "{body} {answer}");
    }
    let url = format!("{}/v25.0/109000000000001/messages", stage.base);
    let response = stage.client.post(url).bearer_auth("wrong").json(&text("x")).send().await.unwrap();
    assert_eq!(response.status(), 401);
    assert_eq!(response.json::<Value>().await.unwrap()["error"]["code"], 190);
}

#[tokio::test]
async fn free_text_fails_outside_the_window_and_a_template_does_not() {
    let mut stage = Stage::new().await;
    stage.sim(&format!("phones/{PAUL}/write"), &json!({"text": "Bonjour"}), "POST").await;
    assert_eq!(stage.hook().await.message()["text"]["body"], "Bonjour");
    assert_eq!(stage.meta(&text("dedans")).await.0, 200);
    assert_eq!(stage.statuses(3).await, ["sent", "delivered", "read"]);
    stage.clock.advance_to(stage.clock.now().plus(std::time::Duration::from_secs(24 * 3600)));
    assert_eq!(stage.meta(&text("dehors")).await.0, 200);
    let failed = stage.hook().await.status();
    assert_eq!((&failed["status"], &failed["errors"][0]["code"]), (&json!("failed"), &json!(131047)));
    assert_eq!(stage.meta(&template("n_importe", &["Paul"])).await.1["messages"][0]["message_status"], "accepted");
    assert_eq!(stage.statuses(3).await, ["sent", "delivered", "read"]);
    stage.sim("settings", &json!({"window": "sync"}), "PATCH").await;
    assert_eq!(stage.meta(&text("dehors")).await.1["error"]["code"], 131047);
}

#[tokio::test]
async fn a_known_template_is_rendered_and_its_button_is_answered_as_a_button() {
    let mut stage = Stage::with(|options| {
        let known = json!({"name": "prete", "language": "fr", "category": "UTILITY", "components": [
            {"type": "BODY", "text": "Bonjour {{1}}, commande {{2}}."},
            {"type": "BUTTONS", "buttons": [{"type": "QUICK_REPLY", "text": "J'arrive"}]}]});
        options.templates.push(serde_json::from_value(known).unwrap());
    })
    .await;
    let mut body = template("prete", &["Paul", "4821"]);
    body["template"]["components"].as_array_mut().unwrap().push(
        json!({"type": "button", "sub_type": "quick_reply", "index": "0", "parameters": [{"type": "payload", "payload": "cmd:4821"}]}),
    );
    let (_, answer) = stage.meta(&body).await;
    stage.statuses(3).await;
    stage.sim(&format!("phones/{PAUL}/tap"), &json!({"button": "J'arrive"}), "POST").await;
    let message = stage.hook().await.message();
    assert_eq!((&message["type"], &message["button"]["payload"]), (&json!("button"), &json!("cmd:4821")));
    assert_eq!(message["context"]["id"], answer["messages"][0]["id"]);
    let thread = stage.get(&format!("phones/{PAUL}/thread")).await;
    assert_eq!(thread["whatsapp"][0]["content"]["template"]["rendered"], "Bonjour Paul, commande 4821.");
}

#[tokio::test]
async fn files_are_uploaded_looked_up_and_used() {
    let stage = Stage::new().await;
    stage.open_window().await;
    let part = reqwest::multipart::Part::bytes(b"PNG".to_vec()).mime_str("image/png").unwrap().file_name("a.png");
    let form = reqwest::multipart::Form::new().text("messaging_product", "whatsapp").part("file", part);
    let url = format!("{}/v25.0/109000000000001/media", stage.base);
    let token = "simulated-meta-access-token";
    let answer: Value =
        stage.client.post(url).bearer_auth(token).multipart(form).send().await.unwrap().json().await.unwrap();
    let id = answer["id"].as_str().unwrap();
    let url = format!("{}/v25.0/{id}", stage.base);
    let facts: Value = stage.client.get(url).bearer_auth(token).send().await.unwrap().json().await.unwrap();
    assert_eq!((&facts["mime_type"], &facts["file_size"]), (&json!("image/png"), &json!(3)));
    let file = stage.client.get(facts["url"].as_str().unwrap());
    assert_eq!(file.try_clone().unwrap().send().await.unwrap().status(), 401);
    assert_eq!(file.bearer_auth(token).send().await.unwrap().bytes().await.unwrap(), "PNG");
    let body =
        json!({"messaging_product": "whatsapp", "to": PAUL, "type": "image", "image": {"id": id, "caption": "x"}});
    assert_eq!(stage.meta(&body).await.0, 200);
    let missing = json!({"messaging_product": "whatsapp", "to": PAUL, "type": "image", "image": {"id": "0"}});
    assert_eq!(stage.meta(&missing).await.1["error"]["code"], 131009);
}

#[tokio::test]
async fn the_webhook_is_verified_with_a_challenge() {
    let stage = Stage::new().await;
    let report = stage.sim("meta/verify-webhook", &json!({}), "POST").await;
    assert_eq!((&report["verified"], &report["status"]), (&json!(true), &json!(200)), "{report}");
}

#[tokio::test]
async fn a_message_of_the_user_can_be_marked_as_read() {
    let mut stage = Stage::new().await;
    let entry = stage.sim(&format!("phones/{PAUL}/write"), &json!({"text": "Ouvert ?"}), "POST").await;
    let message = stage.hook().await.message();
    assert_eq!(message["id"], entry["id"]);
    let mark = json!({"messaging_product": "whatsapp", "status": "read", "message_id": entry["id"], "typing_indicator": {"type": "text"}});
    assert_eq!(stage.meta(&mark).await, (200, json!({"success": true})));
    let thread = stage.get(&format!("phones/{PAUL}/thread")).await;
    assert!(thread["whatsapp"][0]["ticks"]["read_at"].is_number());
}

#[tokio::test]
async fn changes_go_out_in_batches_where_asked_for() {
    let mut stage = Stage::with(|options| {
        options.webhooks.batch_max = 2;
        // Longer than the test: a batch that is not full would never come.
        options.webhooks.batch_wait_ms = 60_000;
        options.phones[0].reads = false;
    })
    .await;
    stage.open_window().await;
    stage.meta(&text("un")).await;
    let changes = stage.hook().await.json()["entry"][0]["changes"].clone();
    assert_eq!(changes.as_array().unwrap().len(), 2);
}
