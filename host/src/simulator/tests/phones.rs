use super::*;

#[tokio::test]
async fn a_phone_that_comes_online_gets_what_waited_and_sms_does_not_wait() {
    let mut stage = Stage::with(|options| options.phones[0].online = false).await;
    stage.meta(&template("prete", &["un"])).await;
    assert_eq!(stage.statuses(1).await, ["sent"]);
    let sms =
        json!({"messages": {"msg": [{"to": [{"number": PAUL}], "reference": "m01", "body": {"content": "SMS"}}]}});
    stage.cm(&sms).await;
    for code in ["0", "2"] {
        assert_eq!(stage.hook().await.json()["messages"]["msg"]["status"]["code"], code);
    }
    assert_eq!(stage.get(&format!("phones/{PAUL}")).await["waiting"], 1);
    stage.sim(&format!("phones/{PAUL}/online"), &json!({}), "POST").await;
    assert_eq!(stage.statuses(2).await, ["delivered", "read"]);
    assert_eq!(stage.get(&format!("phones/{PAUL}")).await["waiting"], 0);
}

#[tokio::test]
async fn a_template_that_outlives_its_time_is_dropped_without_a_word() {
    let mut stage = Stage::with(|options| {
        options.phones[0].online = false;
        let known = json!({"name": "prete", "language": "fr", "body": "x", "message_send_ttl_seconds": 600});
        options.templates.push(serde_json::from_value(known).unwrap());
    })
    .await;
    stage.meta(&template("prete", &[])).await;
    assert_eq!(stage.statuses(1).await, ["sent"]);
    while stage.get(&format!("phones/{PAUL}")).await["waiting"] != 1 {}
    stage.clock.advance_to(stage.clock.now().plus(std::time::Duration::from_secs(601)));
    stage.sim(&format!("phones/{PAUL}/online"), &json!({}), "POST").await;
    stage.expect_silence().await;
    let thread = stage.get(&format!("phones/{PAUL}/thread")).await;
    assert_eq!(thread["whatsapp"][0]["ticks"]["note"], "expired");
}

#[tokio::test]
async fn a_phone_without_whatsapp_or_that_blocks_fails() {
    let mut stage = Stage::new().await;
    for change in [json!({"whatsapp": false}), json!({"whatsapp": true, "blocks": true})] {
        stage.sim(&format!("phones/{PAUL}"), &change, "PATCH").await;
        stage.meta(&template("prete", &[])).await;
        let failed = stage.hook().await.status();
        assert_eq!((&failed["status"], &failed["errors"][0]["code"]), (&json!("failed"), &json!(131026)));
    }
}

#[tokio::test]
async fn a_phone_answers_by_its_rules() {
    let mut stage = Stage::with(|options| {
        options.phones[0].reads = false;
        options.phones[0].answers = serde_json::from_value(json!([
            {"tap": "Je viens", "times": 1},
            {"on": "CRÉNEAU", "answer": "1"},
        ]))
        .unwrap();
    })
    .await;
    stage.open_window().await;
    let body = json!({"messaging_product": "whatsapp", "to": PAUL, "type": "interactive", "interactive": {
        "type": "button", "body": {"text": "Vous venez ?"},
        "action": {"buttons": [{"type": "reply", "reply": {"id": "oui", "title": "Je viens"}}]}}});
    stage.meta(&body).await;
    assert_eq!(stage.statuses(2).await, ["sent", "delivered"]);
    assert_eq!(stage.hook().await.message()["interactive"]["button_reply"], json!({"id": "oui", "title": "Je viens"}));
    stage.meta(&text("Quel créneau ?")).await;
    assert_eq!(stage.statuses(2).await, ["sent", "delivered"]);
    assert_eq!(stage.hook().await.message()["text"]["body"], "1");
}

#[tokio::test]
async fn phones_send_pictures_and_places() {
    let mut stage = Stage::new().await;
    let path = format!("phones/{PAUL}/write");
    stage.sim(&path, &json!({"image": {"caption": "voilà"}}), "POST").await;
    let image = stage.hook().await.message()["image"].clone();
    assert_eq!((&image["caption"], &image["mime_type"]), (&json!("voilà"), &json!("image/png")));
    let url = format!("{}/sim/media/{}", stage.base, image["id"].as_str().unwrap());
    assert!(stage.client.get(url).send().await.unwrap().bytes().await.unwrap().starts_with(b"\x89PNG"));
    stage.sim(&path, &json!({"location": {"latitude": 48.86, "longitude": 2.33}}), "POST").await;
    assert_eq!(stage.hook().await.message()["location"], json!({"latitude": 48.86, "longitude": 2.33}));
}

#[tokio::test]
async fn the_stream_begins_with_everything_and_goes_on_with_each_change() {
    let stage = Stage::new().await;
    let mut stream = stage.client.get(format!("{}/sim/stream", stage.base)).send().await.unwrap();
    let mut heard = String::new();
    let mut hear = async |wanted: &str| {
        while !heard.contains(wanted) {
            let chunk = timeout(PATIENCE, stream.chunk()).await.expect("the stream is silent").unwrap().unwrap();
            heard.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    };
    hear("event: snapshot").await;
    stage.meta(&template("prete", &["un"])).await;
    hear("event: entry").await;
    hear("event: request").await;
    hear("event: webhook").await;
    stage.sim(&format!("phones/{PAUL}/offline"), &json!({}), "POST").await;
    hear("event: phone").await;
    stage.sim("reset", &json!({}), "POST").await;
    hear("event: reset").await;
}

#[tokio::test]
async fn pages_of_the_internet_are_kept_out_and_errors_say_what_is_wrong() {
    let stage = Stage::new().await;
    let get = |origin: &str| stage.client.get(format!("{}/sim/phones", stage.base)).header("Origin", origin).send();
    assert_eq!(get("https://evil.example").await.unwrap().status(), 403);
    let response = get("http://127.0.0.1:8080").await.unwrap();
    assert_eq!(response.headers()["access-control-allow-origin"], "http://127.0.0.1:8080");
    let preflight = stage.client.request(reqwest::Method::OPTIONS, format!("{}/sim/troubles", stage.base));
    let response = preflight.header("Origin", "http://localhost:8080").send().await.unwrap();
    assert_eq!(
        (response.status().as_u16(), response.headers().contains_key("access-control-allow-methods")),
        (204, true)
    );
    let send = |path: &str, body: Value| stage.client.post(format!("{}/sim/{path}", stage.base)).json(&body).send();
    assert_eq!(send("phones/+33639981290/write", json!({"text": "x"})).await.unwrap().status(), 404);
    let refused = send(&format!("phones/{PAUL}/tap"), json!({"button": "x"})).await.unwrap();
    assert_eq!(refused.status(), 409);
    assert!(refused.json::<Value>().await.unwrap()["error"].as_str().unwrap().contains("button `x`"));
    assert_eq!(send("troubles", json!({"kind": "flood"})).await.unwrap().status(), 400);
}

#[tokio::test]
async fn quiet_keeps_nothing_and_still_reports() {
    let mut stage = Stage::with(|options| options.quiet = true).await;
    stage.open_window().await;
    stage.meta(&text("x")).await;
    assert_eq!(stage.statuses(3).await, ["sent", "delivered", "read"]);
    let requests = stage.get("requests").await;
    assert_eq!((&requests["requests"], &requests["seen"]), (&json!([]), &json!(1)));
    assert_eq!(stage.get("webhooks").await["webhooks"], json!([]));
}
