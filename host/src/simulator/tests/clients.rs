//! What public clients of Meta rely on: found by running them against the simulator (scripts/test-clients).

use super::*;

const TOKEN: &str = "simulated-meta-access-token";

#[tokio::test]
async fn a_phone_sends_files_cards_and_reactions_in_metas_words() {
    let mut stage = Stage::new().await;
    let kinds = [
        ("video", "video/mp4", json!({"caption": "Le chemin"})),
        ("audio", "audio/ogg; codecs=opus", json!({})),
        ("document", "application/pdf", json!({"caption": "Le bon", "filename": "bon.pdf"})),
        ("sticker", "image/webp", json!({})),
    ];
    for (kind, mime_type, own) in kinds {
        stage.sim(&format!("phones/{PAUL}/write"), &json!({kind: own}), "POST").await;
        let message = stage.hook().await.message();
        let file = &message[kind];
        assert_eq!((&message["type"], &file["mime_type"]), (&json!(kind), &json!(mime_type)), "{message}");
        assert_eq!(file.get("caption"), own.get("caption"));
        assert_eq!(file.get("voice").is_some(), kind == "audio");
        let url = format!("{}/v25.0/{}", stage.base, file["id"].as_str().unwrap());
        let facts: Value = stage.client.get(url).bearer_auth(TOKEN).send().await.unwrap().json().await.unwrap();
        assert_eq!(facts["mime_type"], mime_type);
        assert_eq!(file["sha256"].as_str().unwrap().len(), 44, "base64 of 32 bytes");
    }
    let card = json!({"contact": {"name": "Zoé Exemple", "phone": "+33 6 39 98 12 02"}});
    stage.sim(&format!("phones/{PAUL}/write"), &card, "POST").await;
    let message = stage.hook().await.message();
    assert_eq!(message.pointer("/contacts/0/name/formatted_name"), Some(&json!("Zoé Exemple")));
    assert_eq!(message.pointer("/contacts/0/phones/0/wa_id"), Some(&json!("33639981202")));

    let quoted = message["id"].as_str().unwrap();
    for emoji in [json!("👍"), Value::Null] {
        let reaction = json!({"reaction": {"message_id": quoted, "emoji": emoji}});
        stage.sim(&format!("phones/{PAUL}/write"), &reaction, "POST").await;
        let message = stage.hook().await.message();
        assert_eq!(message["reaction"]["message_id"], quoted);
        assert_eq!(message["reaction"].get("emoji").cloned().unwrap_or_default(), emoji);
        assert!(message.get("context").is_none(), "{message}");
    }
}

#[tokio::test]
async fn a_phone_writes_one_thing_at_a_time_and_only_what_the_provider_passes_on() {
    let stage = Stage::new().await;
    let url = format!("{}/sim/phones/{PAUL}/write", stage.base);
    for (write, field) in [
        (json!({"text": "a", "video": {}}), "text"),
        (json!({"audio": {}, "video": {}}), "audio"),
        (json!({}), "text"),
        (json!({"reaction": {"message_id": "x"}, "provider": "cm"}), "provider"),
        (json!({"video": {}, "provider": "twilio"}), "url"),
        (json!({"video": {"url": "https://a.example/a.mp4"}, "provider": "cm", "channel": "sms"}), "channel"),
    ] {
        let answer = stage.client.post(&url).json(&write).send().await.unwrap();
        assert_eq!(answer.status(), 400, "{write}");
        let said: Value = answer.json().await.unwrap();
        assert!(said["error"].as_str().unwrap().contains(&format!("`{field}`")), "{write}: {said}");
    }
}

#[tokio::test]
async fn a_template_that_is_paused_is_reported_with_the_accounts_time() {
    let mut stage = Stage::new().await;
    let template = |status: &str| json!({"name": "prete", "language": "fr", "status": status, "body": "{{1}}"});
    stage.sim("templates", &template("APPROVED"), "POST").await;
    stage.sim("templates", &template("PAUSED"), "POST").await;
    let body = stage.hook().await.json();
    let entry = &body["entry"][0];
    assert!(entry["time"].is_i64(), "{body}");
    assert_eq!(entry["changes"][0]["field"], "message_template_status_update");
    let value = &entry["changes"][0]["value"];
    assert_eq!((&value["event"], &value["message_template_name"]), (&json!("PAUSED"), &json!("prete")));
    assert!(value["message_template_id"].is_u64() && value.get("metadata").is_none(), "{value}");
    // Nothing changed, so nothing is told.
    stage.sim("templates", &template("PAUSED"), "POST").await;
    stage.expect_silence().await;
}

#[tokio::test]
async fn any_change_can_be_posted_and_is_signed() {
    let mut stage = Stage::new().await;
    let restricted = json!({"field": "account_update", "value": {"event": "ACCOUNT_RESTRICTION"}});
    let answer = stage.sim("meta/webhook", &restricted, "POST").await;
    assert_eq!(answer, json!({"posted": true}));
    let hook = stage.hook().await;
    let signed = signature::meta("simulated-meta-app-secret", &hook.body);
    assert_eq!(hook.headers["x-hub-signature-256"], signed.as_str());
    assert_eq!(hook.json()["entry"][0]["changes"], json!([restricted]));
}

#[tokio::test]
async fn an_upload_may_name_the_product_in_its_query_and_contacts_may_be_a_text() {
    let stage = Stage::new().await;
    stage.open_window().await;
    let part = reqwest::multipart::Part::bytes(b"PNG".to_vec()).mime_str("image/png").unwrap();
    let form = reqwest::multipart::Form::new().part("file", part);
    let url = format!("{}/v25.0/109000000000001/media", stage.base);
    let upload = |url: String, form| stage.client.post(url).bearer_auth(TOKEN).multipart(form).send();
    let answer = upload(format!("{url}?messaging_product=whatsapp"), form).await.unwrap();
    assert_eq!(answer.status(), 200);
    let part = reqwest::multipart::Part::bytes(b"PNG".to_vec()).mime_str("image/png").unwrap();
    assert_eq!(upload(url, reqwest::multipart::Form::new().part("file", part)).await.unwrap().status(), 400);

    let cards = json!([{"name": {"formatted_name": "Zoé"}}]).to_string();
    let body = json!({"messaging_product": "whatsapp", "to": PAUL, "type": "contacts", "contacts": cards});
    assert_eq!(stage.meta(&body).await.0, 200);
    let thread = stage.get(&format!("phones/{PAUL}/thread")).await;
    assert_eq!(thread["whatsapp"][0]["content"]["text"], "Zoé");
}

#[tokio::test]
async fn templates_are_listed_as_meta_lists_them() {
    let stage = Stage::new().await;
    for (name, body) in [("prete", "{{1}}"), ("rappel", "{{nom}}")] {
        stage.sim("templates", &json!({"name": name, "language": "fr", "body": body}), "POST").await;
    }
    let url = format!("{}/v25.0/201000000000001/message_templates", stage.base);
    let list = |query: &'static str| stage.client.get(format!("{url}{query}")).bearer_auth(TOKEN).send();
    let all: Value = list("?summary=total_count").await.unwrap().json().await.unwrap();
    let formats: Vec<&Value> = all["data"].as_array().unwrap().iter().map(|one| &one["parameter_format"]).collect();
    assert_eq!(formats, ["POSITIONAL", "NAMED"]);
    assert_eq!(all["data"][0]["components"], json!([{"type": "BODY", "text": "{{1}}"}]));
    assert!(all["data"][0].get("body").is_none() && all["data"][0].get("message_send_ttl_seconds").is_none());
    assert_eq!(all["summary"]["total_count"], 2);
    let one: Value = list("?name=rappel").await.unwrap().json().await.unwrap();
    assert_eq!((one["data"].as_array().unwrap().len(), one.get("summary")), (1, None));
}

#[tokio::test]
async fn a_product_needs_no_words_and_a_request_for_the_number_is_taken() {
    let stage = Stage::new().await;
    stage.open_window().await;
    let interactive =
        |own: Value| json!({"messaging_product": "whatsapp", "to": PAUL, "type": "interactive", "interactive": own});
    let product = json!({"type": "product", "action": {"catalog_id": "1", "product_retailer_id": "a"}});
    assert_eq!(stage.meta(&interactive(product)).await.0, 200);
    let action = json!({"name": "request_contact_info"});
    let request = json!({"type": "request_contact_info", "body": {"text": "Votre numéro ?"}, "action": action});
    assert_eq!(stage.meta(&interactive(request)).await.0, 200);
    let wordless = json!({"type": "request_contact_info", "action": action});
    assert_eq!(stage.meta(&interactive(wordless)).await.1["error"]["code"], 131008);
}
