//! A person reads a conversation and answers in it: what is listed, what is shown, what may be sent, and what the customer sees of it.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, Db, Host, LEA, PAUL, Packages, Setup, attempt, both_databases, order_ready};

both_databases! {
    a_conversation_is_listed_read_and_answered,
    a_stranger_is_answered_and_is_the_same_once_registered,
    a_long_conversation_is_read_page_by_page,
    what_an_advertisement_brought_is_free_for_as_long_as_the_provider_says,
}

fn texts(page: &Value) -> Vec<&str> {
    let text = |entry: &'_ Value| -> Option<String> {
        let of = if entry["direction"] == "in" { &entry["text"] } else { &entry["content"]["text"] };
        of.as_str().map(str::to_owned)
    };
    // Borrowed from the page, for comparison.
    page["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| {
            assert!(text(entry).is_some(), "{entry:#}");
            if entry["direction"] == "in" { &entry["text"] } else { &entry["content"]["text"] }.as_str().unwrap()
        })
        .collect()
}

/// What a person at the page sends.
async fn reply(host: &Host, conversation: &Value, text: &str, more: Value) -> Answer {
    let mut body = json!({
        "to": conversation["to"], "purpose": "reply", "because": {"message": conversation["window"]["because"]}, "text": text,
    });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    host.post("/v1/messages", body).await
}

/// The list, once so many are in it.
async fn listed(host: &Host, count: usize) -> Vec<Value> {
    host.until(&format!("{count} conversations"), async || {
        let page = host.get("/v1/conversations").await;
        let lines = page["conversations"].as_array().unwrap().clone();
        if lines.len() == count { Ok(lines) } else { Err(format!("{page:#}")) }
    })
    .await
}

/// The conversation, once it has so many messages.
async fn conversation(host: &Host, path: &str, count: usize) -> Value {
    host.until(&format!("{count} messages of {path}"), async || {
        let page = host.get(path).await;
        let said = page["messages"].as_array().unwrap();
        // Who wrote is read before what was written: of a message in between the next look knows both.
        let asks = said.last().filter(|last| last["direction"] == "in" && last["kind"] != "reaction");
        let seen = asks.is_none_or(|last| page["window"]["open"] == false || page["window"]["because"] == last["id"]);
        if said.len() == count && seen { Ok(page) } else { Err(format!("{page:#}")) }
    })
    .await
}

async fn a_conversation_is_listed_read_and_answered(db: Db) {
    let host = Host::start(Setup::new().on(db)).await;
    host.sim.phone(PAUL, |_| {});
    host.customer("paul", PAUL).await;
    host.event(order_ready("paul", "1")).await;
    host.only_message("paul", "read").await;
    let silent = conversation(&host, "/v1/customers/paul/conversation", 1).await;
    assert_eq!(silent["window"]["open"], false, "he has written nothing");
    assert!(silent["window"]["why"].as_str().unwrap().contains("written nothing"), "{silent:#}");
    assert!(host.get("/v1/conversations").await["conversations"].as_array().unwrap().is_empty());

    host.advance("5s").await;
    host.sim.writes(PAUL, "whatsapp", "Is it warm?").await;
    let line = listed(&host, 1).await.remove(0);
    assert_eq!((&line["customer"], &line["name"], &line["unread"]), (&json!("paul"), &json!("paul"), &json!(1)));
    assert_eq!((&line["last"]["text"], &line["to"]), (&json!("Is it warm?"), &json!({"customer": "paul"})));
    let talk = conversation(&host, "/v1/customers/paul/conversation", 2).await;
    let [first, second] = talk["messages"].as_array().unwrap().as_slice() else { panic!("{talk:#}") };
    assert_eq!((&first["direction"], &first["sent_by"]["plugin"]), (&json!("out"), &json!("order-ready")));
    assert_eq!((&first["state"], &first["rendition"]), (&json!("read"), &json!("template")));
    assert_eq!((&second["direction"], &second["text"]), (&json!("in"), &json!("Is it warm?")));
    assert_eq!((&talk["window"]["open"], &talk["window"]["channel"]), (&json!(true), &json!("whatsapp")));
    assert_eq!(talk["window"]["ends"], line["window_ends"]);

    // A reply that quotes the question: taken once, however often it is sent, and shown as an operator's.
    let quote = json!({"quote": second["id"]});
    let key = [("content-type", "application/json"), ("idempotency-key", "reply-1")];
    let body = json!({
        "to": talk["to"], "purpose": "reply", "because": {"message": talk["window"]["because"]}, "text": "It is!",
        "quote": second["id"],
    });
    for status in [202, 200] {
        assert_eq!(host.send(Method::POST, "/v1/messages", &key, body.to_string()).await.status, status);
    }
    let talk = conversation(&host, "/v1/customers/paul/conversation", 3).await;
    let sent = &talk["messages"][2];
    assert_eq!((&sent["sent_by"]["kind"], &sent["quotes"]), (&json!("operator"), &second["id"]));
    host.until_state(sent["id"].as_str().unwrap(), "read").await;
    let screen = host.sim.screen(PAUL, "whatsapp").await;
    assert_eq!(screen.last().unwrap()["content"]["quotes"], screen[1]["id"]);
    // What he was not part of is not quoted to him.
    reply(&host, &talk, "No", json!({"quote": "m00000000000000000000000000000000"})).await.problem(
        400,
        "/problems/bad-field",
        Some("quote"),
    );

    // Read by a person, and unread again by what comes then.
    host.post("/v1/customers/paul/read", json!({})).await.ok();
    assert_eq!(host.get("/v1/conversations").await["conversations"][0]["unread"], 0);
    host.sim.writes(PAUL, "whatsapp", "On my way").await;
    host.until_eq("one is unread", json!(1), async || {
        host.get("/v1/conversations").await["conversations"][0]["unread"].clone()
    })
    .await;

    // The window closes, and says so; who sends all the same is told the rule.
    let open = conversation(&host, "/v1/customers/paul/conversation", 4).await;
    host.advance("25h").await;
    let closed = host.get("/v1/customers/paul/conversation").await;
    assert_eq!((&closed["window"]["open"], &closed["window"]["because"]), (&json!(false), &Value::Null));
    assert!(closed["window"]["why"].as_str().unwrap().contains("24 hours"), "{closed:#}");
    let refused = reply(&host, &open, "Too late", quote).await;
    assert!(refused.status == 422 || refused.status == 409 || refused.status == 403, "{}", refused.text);
    assert!(refused.text.contains("24 hours"), "{}", refused.text);
    // And STOP closes it at once.
    host.sim.writes(PAUL, "whatsapp", "STOP").await;
    host.until("he wants nothing more", async || {
        let talk = host.get("/v1/customers/paul/conversation").await;
        let why = talk["window"]["why"].as_str().unwrap_or_default().to_owned();
        if why.contains("STOP") { Ok(()) } else { Err(format!("{talk:#}")) }
    })
    .await;
}

async fn a_stranger_is_answered_and_is_the_same_once_registered(db: Db) {
    let host = Host::start(Setup::new().on(db)).await;
    host.sim.phone(LEA, |_| {});
    host.sim.writes(LEA, "whatsapp", "Do you have bread?").await;
    let line = listed(&host, 1).await.remove(0);
    assert_eq!((&line["customer"], &line["to"]), (&Value::Null, &json!({"phone": LEA})));
    let path = format!("/v1/conversations/{}", line["id"].as_str().unwrap());
    let talk = conversation(&host, &path, 1).await;
    let taken = reply(&host, &talk, "We do", json!({})).await.ok();
    let message = host.until_state(taken["id"].as_str().unwrap(), "read").await;
    assert_eq!(attempt(&message, 1)["rendition"], "text", "free text, although nobody knows her");
    assert_eq!(texts(&conversation(&host, &path, 2).await), ["Do you have bread?", "We do"]);
    host.post(&format!("{path}/read"), json!({})).await.ok();
    // The shop learns who she is: the conversation is hers, and goes on.
    host.customer("lea", LEA).await;
    let talk = conversation(&host, "/v1/customers/lea/conversation", 2).await;
    assert_eq!(texts(&talk), ["Do you have bread?", "We do"]);
    assert_eq!(texts(&conversation(&host, &path, 2).await), ["Do you have bread?", "We do"]);
    let taken = reply(&host, &talk, "And cake", json!({})).await.ok();
    host.until_state(taken["id"].as_str().unwrap(), "read").await;
    assert_eq!(listed(&host, 1).await[0]["customer"], "lea");
    // Nobody else's, and nobody's at all.
    let unknown = host.send(Method::GET, "/v1/customers/nobody/conversation", &[], "").await;
    unknown.problem(404, "/problems/not-found", Some("id"));
    let sent = host.send(Method::GET, &format!("/v1/conversations/{}", taken["id"].as_str().unwrap()), &[], "").await;
    sent.problem(404, "/problems/not-found", Some("id"));
}

async fn a_long_conversation_is_read_page_by_page(db: Db) {
    let host = Host::start(Setup::new().on(db)).await;
    host.sim.phone(PAUL, |_| {});
    host.customer("paul", PAUL).await;
    let mut said = Vec::new();
    for no in 0..4 {
        let (asks, says) = (format!("Question {no}"), format!("Answer {no}"));
        host.advance("10s").await;
        host.sim.writes(PAUL, "whatsapp", &asks).await;
        let path = "/v1/customers/paul/conversation";
        host.until("the window is open", async || {
            let page = host.get(path).await;
            if page["window"]["open"] == true { Ok(()) } else { Err(format!("{page:#}")) }
        })
        .await;
        let talk = conversation(&host, path, said.len() + 1).await;
        host.advance("10s").await;
        reply(&host, &talk, &says, json!({})).await.ok();
        said.extend([asks, says]);
    }
    let mut pages: Vec<Vec<String>> = Vec::new();
    let mut path = "/v1/customers/paul/conversation?limit=3".to_owned();
    loop {
        let page = host.get(&path).await;
        pages.insert(0, texts(&page).into_iter().map(str::to_owned).collect());
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/v1/customers/paul/conversation?limit=3&before={next}");
    }
    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [2, 3, 3]);
    assert_eq!(pages.concat(), said);
    let wrong = host.send(Method::GET, "/v1/customers/paul/conversation?before=7", &[], "").await;
    wrong.problem(400, "/problems/bad-field", Some("before"));
}

async fn what_an_advertisement_brought_is_free_for_as_long_as_the_provider_says(db: Db) {
    let host = Host::start(Setup::new().on(db)).await;
    host.sim.phone(PAUL, |_| {});
    host.customer("paul", PAUL).await;
    let price = async |order: &str| {
        host.event(order_ready("paul", order)).await;
        let message = host
            .until("it was sent", async || {
                let last = host.messages("paul").await.pop().unwrap();
                let sent = !last["attempts"].as_array().unwrap().is_empty();
                if sent { Ok(last) } else { Err(format!("{last:#}")) }
            })
            .await;
        let attempt = attempt(&message, 1);
        let route = attempt["decision"]["routes"][0]["price"].clone();
        (attempt["price_micros"].as_i64().unwrap(), route["free_entry_point_until"].clone(), message)
    };
    let (before, until, _) = price("1").await;
    assert!(before > 0 && until == Value::Null, "a template costs something");
    host.advance("10s").await;
    let mut change = host.written("wamid.AD", PAUL, "Hello");
    change["messages"][0]["referral"] = json!({
        "source_type": "ad", "source_id": "120", "source_url": "https://fb.example/ad", "headline": "Tart", "ctwa_clid": "c1",
    });
    host.meta_webhook(&[change], host.meta_secret()).await.ok();
    let (free, until, message) = price("2").await;
    assert_eq!(free, 0);
    assert!(until.is_string(), "the decision says why");
    // The provider says until when: three days from its answer on.
    let wamid = attempt(&host.until_state(message["id"].as_str().unwrap(), "read").await, 1)["provider_id"].clone();
    let ends = host.sim.now().0 / 1000 + 72 * 3600;
    let mut status = host.status(wamid.as_str().unwrap(), None, "delivered");
    status["statuses"][0]["pricing"] =
        json!({"billable": false, "pricing_model": "PMP", "type": "free_entry_point", "category": "service"});
    status["statuses"][0]["conversation"] =
        json!({"id": "c", "expiration_timestamp": ends.to_string(), "origin": {"type": "referral_conversion"}});
    host.meta_webhook(&[status], host.meta_secret()).await.ok();
    host.advance("71h").await;
    assert_eq!(price("3").await.0, 0);
    host.advance("2h").await;
    assert_eq!(price("4").await.0, before);
}

/// Requests of Meta's that mark something as read.
async fn marks(host: &Host) -> Vec<Value> {
    let all = host.sim.requests("provider=meta").await;
    all.into_iter().filter(|request| request["body"]["status"] == "read").collect()
}

/// What the telephone wrote and whether its ticks are blue.
async fn blue(host: &Host, number: &str) -> Vec<bool> {
    let screen = host.sim.screen(number, "whatsapp").await;
    let own = screen.iter().filter(|entry| entry["from_phone"] == true);
    own.map(|entry| entry["ticks"]["read_at"] != Value::Null).collect()
}

#[tokio::test]
async fn ticks_turn_blue_when_a_person_reads_and_not_before() {
    let host = Host::start(Setup::new()).await;
    host.sim.phone(PAUL, |_| {});
    host.customer("paul", PAUL).await;
    host.sim.writes(PAUL, "whatsapp", "Hello").await;
    host.sim.writes(PAUL, "whatsapp", "Anybody?").await;
    let talk = conversation(&host, "/v1/customers/paul/conversation", 2).await;
    reply(&host, &talk, "Yes", json!({})).await.ok();
    host.until_eq("the answer has arrived", 1, async || host.messages_in("read").await.len()).await;
    assert!(marks(&host).await.is_empty(), "neither a look at it nor an answer is a mark by itself");
    let read = host.post("/v1/customers/paul/read", json!({"typing": true})).await.ok();
    assert_eq!((&read["told"], &read["read_through"]), (&json!(true), &talk["messages"][1]["id"]));
    host.until_eq("both are blue", vec![true, true], async || blue(&host, PAUL).await).await;
    let told = marks(&host).await;
    assert_eq!((told.len(), &told[0]["body"]["typing_indicator"]["type"]), (1, &json!("text")));
    assert_eq!(told[0]["answer"]["status"], 200);
    host.post("/v1/customers/paul/read", json!({"typing": "yes"})).await.problem(400, "/problems/bad-json", None);
}

#[tokio::test]
async fn a_mark_that_fails_is_logged_and_tried_once_more_and_nothing_waits_for_it() {
    let host = Host::start(Setup::new()).await;
    host.sim.phone(PAUL, |_| {});
    host.customer("paul", PAUL).await;
    host.sim.writes(PAUL, "whatsapp", "Hello").await;
    conversation(&host, "/v1/customers/paul/conversation", 1).await;
    host.sim.trouble(json!({"kind": "unavailable", "status": 503, "provider": "meta"})).await;
    host.post("/v1/customers/paul/read", json!({})).await.ok();
    host.until_eq("it is tried twice", 2, async || marks(&host).await.len()).await;
    host.until("both are in the log", async || {
        let said = host.log().matches("could not be marked as read").count();
        if said == 2 { Ok(()) } else { Err(format!("{said} lines")) }
    })
    .await;
    assert_eq!(host.get("/v1/conversations").await["conversations"][0]["unread"], 0, "it was read all the same");
}

#[tokio::test]
async fn the_setting_marks_what_was_received_or_what_was_answered() {
    for (when, after_receipt) in [("received", true), ("answered", false)] {
        let host = Host::start(Setup::new().with(format!("whatsapp.mark-read = \"{when}\""))).await;
        host.sim.phone(PAUL, |_| {});
        host.customer("paul", PAUL).await;
        host.sim.writes(PAUL, "whatsapp", "Hello").await;
        let talk = conversation(&host, "/v1/customers/paul/conversation", 1).await;
        if after_receipt {
            host.until_eq("it is marked", vec![true], async || blue(&host, PAUL).await).await;
        } else {
            assert_eq!(blue(&host, PAUL).await, [false]);
        }
        reply(&host, &talk, "Yes", json!({})).await.ok();
        host.until_eq("it is marked", vec![true], async || blue(&host, PAUL).await).await;
        host.until_eq("the answer has arrived", 1, async || host.messages_in("read").await.len()).await;
        assert_eq!(marks(&host).await.len(), 1, "{when}: once");
    }
}

#[tokio::test]
async fn a_plugin_may_show_that_it_types_before_it_answers() {
    let settings =
        "[plugins.config.quick-reply]\ntyping = true\nreplies = [{ keywords = [\"menu\"], text = \"Tart.\" }]\n";
    let host = Host::start(Setup { plugins: Packages::Automations, ..Setup::new() }.with(settings)).await;
    host.sim.phone(PAUL, |_| {});
    host.sim.writes(PAUL, "whatsapp", "menu").await;
    host.until_eq("it is answered", 1, async || host.messages_in("read").await.len()).await;
    let requests = host.sim.requests("provider=meta").await;
    let [typing, answer] = requests.as_slice() else { panic!("{requests:#?}") };
    assert_eq!(
        (&typing["body"]["status"], &typing["body"]["typing_indicator"]["type"]),
        (&json!("read"), &json!("text"))
    );
    assert_eq!(answer["body"]["text"]["body"], "Tart.");
}

#[tokio::test]
async fn a_tenant_reads_its_own_conversations_only() {
    let host =
        Host::start(Setup::new().key("shop", "0123456789abcdef-shop").tenant("other", "0123456789abcdef-other")).await;
    host.sim.phone(PAUL, |_| {});
    host.sim.writes(PAUL, "whatsapp", "Hello").await;
    let line = listed(&host, 1).await.remove(0);
    let other = [("authorization", "Bearer 0123456789abcdef-other")];
    let bare = reqwest::Client::new();
    let ask = async |path: &str| {
        let mut request = bare.get(format!("{}{path}", host.url));
        for (name, value) in other {
            request = request.header(name, value);
        }
        request.send().await.unwrap()
    };
    let listing: Value = ask("/v1/conversations").await.json().await.unwrap();
    assert_eq!(listing["conversations"], json!([]));
    assert_eq!(ask(&format!("/v1/conversations/{}", line["id"].as_str().unwrap())).await.status(), 404);
    assert_eq!(bare.get(format!("{}/v1/conversations", host.url)).send().await.unwrap().status(), 401);
}
