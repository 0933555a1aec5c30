//! U+0000, which PostgreSQL has no place for in a text: refused where it is given, by the field's name, and alike on both
//! databases. A provider's texts lose it. Nothing is tried again and again because of it.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Db, Host, PAUL, Setup, both_databases, steps};

both_databases! {
    a_plugin_that_gives_a_nul_is_told_where,
    a_text_in_which_a_nul_does_no_harm_is_kept,
    an_event_whose_entity_would_have_a_nul_sets_off_no_run_and_says_why,
    a_caller_that_gives_a_nul_is_told_where,
    what_a_provider_says_loses_it,
}

async fn host(db: Db) -> Host {
    let host = Host::start(Setup::tester().on(db)).await;
    host.sim.phone(PAUL, |_| {});
    host.customer("paul", PAUL).await;
    host
}

/// The run that these steps set off, once it was executed.
async fn executed(host: &Host, entity: &str, script: Value) -> Value {
    let accepted = host.accept(steps("paul", entity, script)).await;
    let run = accepted["runs"][0].as_str().unwrap().to_owned();
    host.until("it was executed", async || {
        let seen = host.run(&run).await;
        let ended = seen["state"] != "open" || seen["attempts"] != 0;
        if ended { Ok(seen) } else { Err(format!("{seen:#}")) }
    })
    .await
}

async fn a_plugin_that_gives_a_nul_is_told_where(db: Db) {
    let host = host(db).await;
    let emit = |name: &str, more: Value| {
        let mut emit = json!({"name": name, "entity": "e", "steps": []});
        emit.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({ "emit": emit })
    };
    let send = |more: Value| {
        let mut send = json!({"text": "hello"});
        send.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({ "send": send })
    };
    let emitted = "com.example.test.emitted";
    let given = [
        ("state.set key", json!({"append": {"key": "li\0st", "word": "w"}})),
        ("state.set customer", json!({"about": {"customer": "le\0a"}})),
        ("timers.set key", json!({"timer": {"key": "la\0ter", "after_s": 1, "steps": []}})),
        ("events.emit type", emit("com.example.test.emi\0tted", json!({}))),
        ("events.emit subject", emit(emitted, json!({"subject": "s\0"}))),
        ("events.emit dedup-key", emit(emitted, json!({"dedup_key": "k\0"}))),
        ("draft.dedup-key", send(json!({"dedup-key": "k\0"}))),
        ("to-customer", send(json!({"to": "pa\0ul"}))),
        ("because", send(json!({"because": "e\0"}))),
        ("tag", send(json!({"tag": "t\0"}))),
        ("text", send(json!({"text": "hel\0lo", "no-template": true}))),
    ];
    for (no, (field, step)) in given.into_iter().enumerate() {
        let run = executed(&host, &format!("n{no}"), json!([step])).await;
        assert_ne!(run["state"], "done", "{run:#}");
        let said = run["failure"]["message"].as_str().unwrap();
        assert!(said.contains(&format!("`{field}` contains U+0000")), "{field}: {run:#}");
    }
    assert_eq!(host.messages("paul").await, Vec::<Value>::new());
}

async fn a_text_in_which_a_nul_does_no_harm_is_kept(db: Db) {
    let host = host(db).await;
    // The value of an entry is bytes, and so is a log line's place in a report JSON.
    let script = json!([{"append": {"key": "list", "word": "a\0b"}}, {"tell": {"key": "list"}}]);
    let run = executed(&host, "e", script).await;
    assert_eq!(
        (&run["state"], &run["report"]["log"][0]["message"]),
        (&json!("done"), &json!("list is a\0b")),
        "{run:#}"
    );
    let run = executed(&host, "f", json!([{"reject": {"why": "no\0t this"}}])).await;
    assert_eq!((&run["state"], &run["failure"]["message"]), (&json!("set-aside"), &json!("no\0t this")), "{run:#}");
}

async fn an_event_whose_entity_would_have_a_nul_sets_off_no_run_and_says_why(db: Db) {
    let host = host(db).await;
    let accepted = host.accept(steps("paul", "e\0f", json!([]))).await;
    assert_eq!(accepted["runs"], json!([]), "{accepted:#}");
    let event = host.get(&format!("/v1/events/{}", accepted["id"].as_str().unwrap())).await;
    assert!(event["notes"].to_string().contains("`entity` cannot be derived: it would contain U+0000"), "{event:#}");
}

async fn a_caller_that_gives_a_nul_is_told_where(db: Db) {
    let host = host(db).await;
    let put = async |more: Value| {
        let mut profile = json!({"addresses": [{"channel": "sms", "address": PAUL}]});
        profile.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        host.send(Method::PUT, "/v1/customers/lea", &[("content-type", "application/json")], profile.to_string()).await
    };
    let consent = json!([{"channel": "sms", "scope": "service", "granted": true, "source": "fo\0rm"}]);
    for (field, more) in [
        ("name", json!({"name": "Le\0a"})),
        ("locale", json!({"locale": "f\0r"})),
        ("timezone", json!({"timezone": "Europe/Par\0is"})),
        ("attributes", json!({"attributes": {"si\0ze": "39"}})),
        ("attributes.size", json!({"attributes": {"size": "3\09"}})),
        ("consents[0].source", json!({"consents": consent})),
    ] {
        put(more).await.problem(400, "/problems/bad-field", Some(field));
    }
    let message = |more: Value| {
        let mut message = json!({
            "to": {"phone": PAUL}, "purpose": "confirmation", "because": {"reference": "order/1"}, "text": "hello", "sms": "only"
        });
        message.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        message
    };
    for (field, more) in [
        ("to.customer", json!({"to": {"customer": "pa\0ul"}})),
        ("because.reference", json!({"because": {"reference": "order\0"}})),
        ("tag", json!({"tag": "t\0"})),
    ] {
        host.post("/v1/messages", message(more)).await.problem(400, "/problems/bad-field", Some(field));
    }
    let answer = host.post("/v1/messages", message(json!({"text": "hel\0lo"}))).await;
    assert!((400..500).contains(&answer.status) && answer.text.contains("`text` contains U+0000"), "{answer:?}");
    for path in ["/v1/customers/pa%00ul", "/v1/plugins/%00"] {
        let answer = host.send(Method::GET, path, &[], "").await;
        assert!((400..500).contains(&answer.status), "{path}: {answer:?}");
    }
    for (field, path) in [("customer", "/v1/messages?customer=pa%00ul"), ("plugin", "/v1/runs?plugin=a%00")] {
        host.send(Method::GET, path, &[], "").await.problem(400, "/problems/bad-field", Some(field));
    }
}

async fn what_a_provider_says_loses_it(db: Db) {
    let host = host(db).await;
    host.event(steps("paul", "e", json!([{"send": {"text": "hello", "sms": "never"}}]))).await;
    let message = host.only_message("paul", "read").await;
    let wamid = message["attempts"][0]["provider_id"].as_str().unwrap();
    let mut written = host.written("wamid.NUL\0", PAUL, "yes\0, please");
    written["contacts"][0]["profile"]["name"] = json!("Pa\0ul");
    written["messages"][0]["context"] = json!({"id": format!("{wamid}\0")});
    // Parked, because nobody knows it, and told of an attempt that is known.
    let strange = host.status("wamid.STRA\0NGE", Some("to\0ken"), "delivered");
    let known = host.status(&format!("{wamid}\0"), None, "read");
    let answer = host.meta_webhook(&[written, strange, known], host.meta_secret()).await;
    assert_eq!(answer.status, 200, "Meta would repeat it for days otherwise: {answer:?}");
    let run = host
        .until("the answer has its run", async || {
            let runs = host.all_runs().await;
            let answer = runs.iter().find(|run| run["kind"] == "message" && run["state"] == "done");
            answer.cloned().ok_or_else(|| json!(runs).to_string())
        })
        .await;
    let run = host.run(run["id"].as_str().unwrap()).await;
    assert!(run["report"]["log"].to_string().contains("answer yes, please"), "{run:#}");
}
