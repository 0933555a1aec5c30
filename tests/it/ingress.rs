//! The entrance: the three modes of CloudEvents, and what is answered to whom gets something wrong, has no key or is too slow.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::harness::{Answer, Host, LEA, PAUL, Setup, order_ready};

const STRUCTURED: (&str, &str) = ("content-type", "application/cloudevents+json");
/// Far more than the second that the slow ones are given, for a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(20);

async fn post(host: &Host, path: &str, headers: &[(&str, &str)], body: impl Into<reqwest::Body>) -> Answer {
    host.send(Method::POST, path, headers, body).await
}

/// The usual event without one of its attributes, or with another value.
fn with(name: &str, value: Option<Value>) -> String {
    let mut event = order_ready("paul", "O-1");
    match value {
        Some(value) => event[name] = value,
        None => _ = event.as_object_mut().unwrap().remove(name),
    }
    event.to_string()
}

#[tokio::test]
async fn bad_input_is_answered_with_the_field_and_the_fix_and_leaves_nothing() {
    let host = Host::start(Setup::new().with("ingress.event-bytes-max = 4096\ningress.batch-events-max = 3")).await;
    let fix = |problem: &Value, words: &str| {
        assert!(problem["fix"].as_str().is_some_and(|fix| fix.contains(words)), "{problem:#}");
    };
    let plain = post(&host, "/v1/events", &[("content-type", "text/plain")], "hello").await;
    fix(plain.problem(415, "/problems/bad-content-type", Some("content-type")), "ce-specversion");
    let json = post(&host, "/v1/events", &[("content-type", "application/json")], with("id", None)).await;
    fix(json.problem(415, "/problems/bad-content-type", Some("content-type")), "application/cloudevents+json");
    let avro = post(&host, "/v1/events", &[("content-type", "application/cloudevents+avro")], "").await;
    fix(avro.problem(415, "/problems/bad-content-type", Some("content-type")), "send JSON");

    for name in ["id", "source", "type", "specversion"] {
        let answer = post(&host, "/v1/events", &[STRUCTURED], with(name, None)).await;
        fix(answer.problem(400, "/problems/bad-field", Some(name)), name);
        let headers = [("specversion", "1.0"), ("id", "1"), ("source", "/s"), ("type", "t")];
        let headers: Vec<(String, &str)> = headers
            .iter()
            .filter(|(other, _)| *other != name)
            .map(|(name, value)| (format!("ce-{name}"), *value))
            .collect();
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        let answer = post(&host, "/v1/events", &headers, "").await;
        // Without its version nothing says that it is an event.
        match name {
            "specversion" => _ = answer.problem(415, "/problems/bad-content-type", Some("content-type")),
            _ => fix(answer.problem(400, "/problems/bad-field", Some(&format!("ce-{name}"))), name),
        }
    }
    for time in ["yesterday", "2026-11-24 09:00", "2026-11-24T09:00:00"] {
        let answer = post(&host, "/v1/events", &[STRUCTURED], with("time", Some(json!(time)))).await;
        fix(answer.problem(400, "/problems/bad-field", Some("time")), "RFC 3339");
    }
    let old = post(&host, "/v1/events", &[STRUCTURED], with("specversion", Some(json!("0.3")))).await;
    old.problem(400, "/problems/bad-field", Some("specversion"));

    let large = post(&host, "/v1/events", &[STRUCTURED], with("data", Some(json!("x".repeat(5000))))).await;
    let problem = large.problem(413, "/problems/too-large", None);
    assert!(problem["detail"].as_str().unwrap().contains("4096"), "{problem:#}");
    let broken = post(&host, "/v1/events", &[STRUCTURED], "{\n  \"id\": \"1\",\n  \"source\": oops\n}").await;
    let problem = broken.problem(400, "/problems/bad-json", None);
    assert_eq!((&problem["line"], &problem["column"]), (&json!(3), &json!(13)), "{problem:#}");

    let waiting = post(&host, "/v1/events?wait=soon", &[STRUCTURED], with("id", Some(json!("w")))).await;
    waiting.problem(400, "/problems/bad-field", Some("wait"));
    let misspelt = post(&host, "/v1/events?wiat=3", &[STRUCTURED], with("id", Some(json!("w")))).await;
    fix(misspelt.problem(400, "/problems/bad-field", Some("wiat")), "wait");

    let stats = host.stats().await;
    assert_eq!((stats["open_runs"].as_i64(), host.get("/v1/events").await["events"].clone()), (Some(0), json!([])));
}

#[tokio::test]
async fn a_batch_with_one_bad_element_says_which_and_none_of_it_is_taken() {
    let host = Host::start(Setup::new().with("ingress.batch-events-max = 3")).await;
    host.customer("paul", PAUL).await;
    let mut bad = order_ready("paul", "O-2");
    bad.as_object_mut().unwrap().remove("source");
    let answer = host.post_event("/v1/events", &json!([order_ready("paul", "O-1"), bad])).await;
    assert_eq!(answer.problem(400, "/problems/bad-field", Some("source"))["index"], 1);
    let answer = host.post_event("/v1/events", &json!([order_ready("paul", "O-1"), 17])).await;
    assert_eq!((answer.status, &answer.body["index"]), (400, &json!(1)), "{}", answer.text);
    let many: Vec<Value> = (0..4).map(|no| order_ready("paul", &format!("O-{no}"))).collect();
    let answer = host.post_event("/v1/events", &json!(many)).await;
    assert_eq!(answer.status, 400, "{}", answer.text);
    assert!(answer.text.contains("more than 3 events") && answer.text.contains("at most 3"), "{}", answer.text);
    assert_eq!(host.get("/v1/events").await["events"], json!([]));
}

#[tokio::test]
async fn an_event_comes_structured_binary_or_in_a_batch_and_means_the_same() {
    let host = Host::start(Setup::new()).await;
    host.sim.phone(PAUL, |_| {});
    host.sim.phone(LEA, |_| {});
    host.customer("paul", PAUL).await;
    host.customer("lea", LEA).await;

    let structured = host.post_event("/v1/events?wait=20", &order_ready("paul", "O-1")).await;
    assert_eq!((structured.status, &structured.body["complete"]), (200, &json!(true)), "{}", structured.text);
    assert_eq!(structured.body["results"][0]["messages"][0]["to"]["customer"], "paul");

    let headers = [
        ("content-type", "application/json"),
        ("ce-specversion", "1.0"),
        ("ce-id", "b-1"),
        ("ce-source", "/bakery"),
        ("ce-type", "com.example.order.ready"),
        ("ce-customer", "paul"),
        ("ce-time", "2026-11-24T09:00:00+01:00"),
        // Percent-encoded, as every value beyond ASCII is.
        ("ce-subject", "caf%C3%A9/4"),
    ];
    let data = r#"{"order": "O-2", "shop": "Paul", "minutes": 2}"#;
    let binary = post(&host, "/v1/events?wait=20", &headers, data).await.ok();
    assert_eq!(binary["results"][0]["state"], "done", "{binary:#}");
    let stored = host.get(&format!("/v1/events/{}", binary["id"].as_str().unwrap())).await;
    assert!(stored.to_string().contains("café/4"), "{stored:#}");

    let batch = json!([order_ready("paul", "O-3"), order_ready("lea", "O-4")]);
    let answer = host.post_event("/v1/events", &batch).await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    let receipts = answer.body.as_array().unwrap();
    assert_eq!(receipts.len(), 2);
    assert!(receipts.iter().all(|one| one["duplicate"] == false && one["runs"].as_array().unwrap().len() == 1));
    let again = host.post_event("/v1/events?wait=20", &batch).await.ok();
    assert!(again.as_array().unwrap().iter().all(|one| one["duplicate"] == true), "{again:#}");

    host.until_eq("three for Paul", vec!["read".to_owned(); 3], async || {
        let messages = host.messages("paul").await;
        messages.iter().map(|message| message["state"].as_str().unwrap().to_owned()).collect()
    })
    .await;
    host.only_message("lea", "read").await;
}

#[tokio::test]
async fn what_is_not_there_is_answered_as_a_problem_too() {
    let host = Host::start(Setup::new()).await;
    let nowhere = host.send(Method::GET, "/v1/nothing", &[], "").await;
    assert!(nowhere.problem(404, "/problems/not-found", None)["fix"].as_str().unwrap().contains("/openapi.json"));
    let method = host.send(Method::DELETE, "/v1/events", &[], "").await;
    method.problem(405, "/problems/method-not-allowed", None);
    assert!(method.header("allow").contains("POST"), "{method:?}");
    // No id of ours.
    let answer = host.send(Method::GET, "/v1/messages/4711", &[], "").await;
    assert!((400..=404).contains(&answer.status), "{answer:?}");
    assert_eq!(answer.header("content-type"), "application/problem+json");
}

#[tokio::test]
async fn with_keys_in_the_configuration_nobody_comes_in_without_one() {
    let mut host =
        Host::start(Setup::new().key("shop", "a-key-of-the-shop-0001").key("till", "a-key-of-the-till-0002")).await;
    host.customer("paul", PAUL).await;
    assert_eq!(host.accept(order_ready("paul", "O-1")).await["duplicate"], false);
    host.key = Some("a-key-of-the-till-0002");
    assert_eq!(host.accept(order_ready("paul", "O-2")).await["duplicate"], false);

    for key in [None, Some("a-key-of-nobody-000003"), Some("a-key-of-the-shop-000"), Some("")] {
        host.key = key;
        let event = host.post_event("/v1/events", &order_ready("paul", "O-3")).await;
        let problem = event.problem(401, "/problems/unauthorized", Some("authorization"));
        assert!(problem["fix"].as_str().unwrap().contains("Bearer"), "{problem:#}");
        assert!(event.header("www-authenticate").starts_with("Bearer"));
        for (method, path) in [
            (Method::GET, "/v1/events"),
            (Method::GET, "/v1/customers/paul"),
            (Method::DELETE, "/v1/customers/paul"),
            (Method::GET, "/v1/messages"),
            (Method::POST, "/v1/messages"),
            (Method::GET, "/v1/plugins"),
            (Method::GET, "/v1/stream"),
            (Method::PUT, "/v1/clock"),
            (Method::GET, "/v1/stats"),
        ] {
            let answer = host.send(method.clone(), path, &[], "").await;
            assert_eq!(answer.status, 401, "{method} {path}: {}", answer.text);
        }
        // Who looks whether the host lives needs no key.
        assert_eq!(host.send(Method::GET, "/healthz", &[], "").await.status, 200);
    }
    // Senders of webhooks cannot always set a header.
    host.key = None;
    let event = order_ready("paul", "O-4");
    let in_url = host.post_event("/v1/events?access_token=a-key-of-the-shop-0001", &event).await;
    assert_eq!(in_url.status, 202, "{}", in_url.text);
    host.key = Some("a-key-of-the-shop-0001");
    assert_eq!(host.get("/v1/events").await["events"].as_array().unwrap().len(), 3);
    assert!(!host.log().contains("a-key-of-the"), "a key is in the log");
}

/// Everything that comes on a connection until the host closes it, and how long that took.
async fn until_closed(host: &Host, sent: &str) -> (String, Duration) {
    let began = Instant::now();
    let mut stream = TcpStream::connect(host.url.trim_start_matches("http://")).await.unwrap();
    stream.write_all(sent.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let closed = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
    // Closed with a reset is closed as well.
    let _ = closed.unwrap_or_else(|_| panic!("the connection stays open after {sent:?}"));
    (String::from_utf8_lossy(&answer).into_owned(), began.elapsed())
}

#[tokio::test]
async fn who_sends_a_header_or_a_body_too_slowly_is_cut_off_and_the_others_are_served() {
    let limits = "listen.header-timeout-ms = 1000\nlisten.body-timeout-ms = 1000\nlisten.idle-timeout-ms = 1500";
    let host = Host::start(Setup::new().with(limits)).await;
    host.customer("paul", PAUL).await;
    let head = "POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/cloudevents+json\r\n";
    let begun = format!("{head}Content-Length: 100\r\n\r\n{{");
    let slow = async { tokio::join!(until_closed(&host, ""), until_closed(&host, head), until_closed(&host, &begun)) };
    let others = async {
        for no in 0..5 {
            host.accept(order_ready("paul", &format!("O-{no}"))).await;
        }
    };
    let (((nothing, silent), (half, header), (answer, body)), ()) = tokio::join!(slow, others);
    for took in [silent, header, body] {
        assert!(took >= Duration::from_millis(900), "cut off after {took:?}, before its time");
    }
    assert!(!nothing.contains("HTTP/1.1 2") && !half.contains("HTTP/1.1 2"), "{nothing}{half}");
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains("/problems/too-slow"), "{answer}");
    assert_eq!(host.get("/v1/events").await["events"].as_array().unwrap().len(), 5);
}

#[tokio::test]
async fn who_has_a_key_may_ask_whether_it_may_deliver_and_is_told_how_fast() {
    const KEY: &str = "a-key-of-the-shop-0001";
    let mut host = Host::start(Setup::new().key("shop", KEY)).await;
    // Each request has the key where it says so, and nowhere else.
    host.key = None;
    let ask = async |path: &str, headers: &[(&str, &str)]| host.send(Method::OPTIONS, path, headers, "").await;
    let origin = ("webhook-request-origin", "eventemitter.example");
    let bearer = format!("Bearer {KEY}");
    let in_url = format!("/v1/events?access_token={KEY}");
    for answer in [
        ask("/v1/events", &[origin, ("authorization", &bearer), ("webhook-request-rate", "120")]).await,
        ask(&in_url, &[origin]).await,
    ] {
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert_eq!(answer.header("webhook-allowed-origin"), "eventemitter.example");
        assert_eq!(answer.header("webhook-allowed-rate"), "*");
        assert!(answer.header("allow").contains("POST"));
    }
    // Who does not say where the events would come from is consented to nothing.
    let unasked = ask("/v1/events", &[("authorization", &bearer)]).await;
    assert!(unasked.status == 200 && !unasked.headers.contains_key("webhook-allowed-origin"), "{unasked:?}");
    let stranger = ask("/v1/events", &[origin]).await;
    assert!(stranger.status == 401 && !stranger.headers.contains_key("webhook-allowed-origin"), "{stranger:?}");
}
