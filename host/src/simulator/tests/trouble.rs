use super::*;

#[tokio::test]
async fn a_code_comes_in_the_answer_or_by_webhook() {
    let mut stage = Stage::new().await;
    stage.open_window().await;
    stage.trouble(json!({"kind": "error", "code": 131000, "times": 1})).await;
    assert_eq!(stage.meta(&text("x")).await.1["error"]["code"], 131000);
    stage.trouble(json!({"kind": "error", "code": 131026, "times": 1, "phone": PAUL})).await;
    assert_eq!(stage.meta(&text("x")).await.0, 200);
    assert_eq!(stage.hook().await.status()["errors"][0]["code"], 131026);
    stage.trouble(json!({"kind": "error", "code": 131026, "how": "sync", "times": 1})).await;
    assert_eq!(stage.meta(&text("x")).await.1["error"]["code"], 131026);
    stage.expect_silence().await;
}

#[tokio::test]
async fn a_message_is_lost_without_a_word() {
    let mut stage = Stage::new().await;
    stage.open_window().await;
    stage.trouble(json!({"kind": "silent-loss", "times": 1})).await;
    assert_eq!(stage.meta(&text("x")).await.0, 200);
    stage.expect_silence().await;
    let thread = stage.get(&format!("phones/{PAUL}/thread")).await;
    assert_eq!(
        (&thread["whatsapp"][0]["ticks"]["note"], &thread["whatsapp"][0]["ticks"]["delivered_at"]),
        (&json!("lost"), &Value::Null)
    );
}

#[tokio::test]
async fn receipts_are_dropped_repeated_shuffled_and_late() {
    let mut stage = Stage::new().await;
    stage.open_window().await;
    stage.trouble(json!({"kind": "drop-receipts", "only": ["delivered"], "times": 1})).await;
    stage.meta(&text("x")).await;
    assert_eq!(stage.statuses(2).await, ["sent", "read"]);
    stage.trouble(json!({"kind": "repeat-receipts", "count": 2, "times": 1})).await;
    stage.meta(&text("x")).await;
    assert_eq!(stage.statuses(6).await, ["sent", "sent", "delivered", "delivered", "read", "read"]);
    stage.trouble(json!({"kind": "shuffle-receipts", "times": 1})).await;
    stage.meta(&text("x")).await;
    assert_eq!(stage.statuses(3).await, ["read", "delivered", "sent"]);
    stage.trouble(json!({"kind": "late-receipts", "only": ["sent"], "delay_ms": 300, "times": 1})).await;
    stage.meta(&text("x")).await;
    assert_eq!(stage.statuses(3).await, ["delivered", "read", "sent"]);
}

#[tokio::test]
async fn too_many_and_unavailable_are_answered_as_such() {
    let stage = Stage::new().await;
    stage.trouble(json!({"kind": "busy", "retry_after_s": 7, "times": 1})).await;
    let response = stage.try_meta(&text("x")).await.unwrap();
    assert_eq!((response.status().as_u16(), response.headers()["retry-after"].to_str().unwrap()), (429, "7"));
    for (trouble, wanted) in
        [(json!({"kind": "unavailable"}), 503), (json!({"kind": "unavailable", "status": 500}), 500)]
    {
        stage.trouble(trouble).await;
        assert_eq!(stage.meta(&text("x")).await.0, wanted);
        assert_eq!(stage.twilio(&[("To", PAUL), ("From", "A"), ("Body", "x")]).await.0, wanted);
        stage.sim("troubles", &json!({}), "DELETE").await;
    }
}

#[tokio::test]
async fn a_connection_is_closed_after_the_message_was_taken_or_before() {
    let mut stage = Stage::new().await;
    stage.open_window().await;
    stage.trouble(json!({"kind": "reset-before", "times": 1})).await;
    assert!(stage.try_meta(&text("x")).await.is_err());
    stage.expect_silence().await;
    stage.trouble(json!({"kind": "reset", "times": 1})).await;
    assert!(stage.try_meta(&text("x")).await.is_err());
    assert_eq!(stage.statuses(3).await, ["sent", "delivered", "read"]);
    let requests = stage.get("requests").await["requests"].clone();
    assert_eq!((&requests[0]["accepted"], &requests[1]["accepted"]), (&json!(false), &json!(true)));
    assert_eq!(requests[1]["answer"]["status"], Value::Null);
}

#[tokio::test]
async fn a_request_hangs_or_is_slow() {
    let mut stage = Stage::new().await;
    stage.open_window().await;
    stage.trouble(json!({"kind": "hang", "accepted": true, "times": 1})).await;
    let body = text("x");
    assert!(timeout(std::time::Duration::from_millis(300), stage.try_meta(&body)).await.is_err());
    // The receipts come although no answer did: the message was taken.
    assert_eq!(stage.statuses(3).await, ["sent", "delivered", "read"]);
    stage.trouble(json!({"kind": "slow", "delay_ms": 200, "times": 1})).await;
    let before = stage.clock.now();
    assert_eq!(stage.meta(&text("x")).await.0, 200);
    assert!(stage.clock.now().since(before).as_millis() >= 199);
}

#[tokio::test]
async fn a_webhook_is_tried_again_until_it_is_taken() {
    let mut stage = Stage::new().await;
    stage.answers.store(500, Ordering::SeqCst);
    stage.sim(&format!("phones/{PAUL}/write"), &json!({"text": "Bonjour"}), "POST").await;
    let first = stage.hook().await;
    let second = stage.hook().await;
    assert_eq!(first.body, second.body);
    // Meta goes on after anything but 200, another success included.
    stage.answers.store(202, Ordering::SeqCst);
    stage.hook().await;
    stage.answers.store(200, Ordering::SeqCst);
    stage.hook().await;
    let webhooks = timeout(PATIENCE, async {
        loop {
            let page = stage.get("webhooks?state=taken").await["webhooks"].clone();
            if page.as_array().is_some_and(|list| !list.is_empty()) {
                return page;
            }
        }
    });
    assert!(webhooks.await.unwrap()[0]["tries"].as_u64().unwrap() >= 4);
}

#[tokio::test]
async fn limits_are_enforced_where_they_are_set() {
    let stage = Stage::new().await;
    stage.sim("settings", &json!({"limits": {"pair": {"interval_ms": 6000, "burst": 2}}}), "PATCH").await;
    for _ in 0..2 {
        assert_eq!(stage.meta(&template("x", &[])).await.0, 200);
    }
    assert_eq!(stage.meta(&template("x", &[])).await.1["error"]["code"], 131056);
    stage.sim("settings", &json!({"limits": {"pair": null, "per_second_max": 0}}), "PATCH").await;
    assert_eq!(stage.meta(&template("x", &[])).await.1["error"]["code"], 130429);
}
