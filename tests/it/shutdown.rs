//! SIGTERM at a busy moment: nothing new is taken, what is in progress gets its time and no more than that, the exit code is 0,
//! and the next start sends nothing a second time.

use std::time::{Duration, Instant};

use relais::clock::Clock;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};

use crate::harness::{
    Host, PAUL, Setup, Shown,
    ledger::{Ledger, word},
    steps,
};

async fn host(settings: &str) -> Host {
    let host = Host::start(Setup::tester().with("dispatch.pair-burst = 100000").with(settings)).await;
    host.sim.phone(PAUL, |_| {});
    host.customer("paul", PAUL).await;
    host
}

fn telling(no: u32) -> Value {
    steps("paul", &word(no), json!([{"send": {"text": word(no)}}]))
}

/// A connection on which these bytes were sent.
async fn say(host: &Host, text: &str) -> TcpStream {
    let address = host.url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(text.replace("HOST", address).as_bytes()).await.unwrap();
    stream
}

/// Everything until the host closes the connection.
async fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    // A connection that is reset has ended as well.
    while let Ok(count @ 1..) = stream.read(&mut piece).await {
        bytes.extend_from_slice(&piece[..count]);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

async fn until_it_says(stream: &mut TcpStream, words: &str) {
    let mut bytes = Vec::new();
    while !String::from_utf8_lossy(&bytes).contains(words) {
        let mut piece = [0; 4096];
        let count = stream.read(&mut piece).await.unwrap();
        assert!(count > 0, "it ended: {}", String::from_utf8_lossy(&bytes));
        bytes.extend_from_slice(&piece[..count]);
    }
}

/// SIGTERM until the end; how long it took. The exit code is 0.
async fn stopped(host: &mut Host) -> Duration {
    let began = Instant::now();
    host.stop().await;
    began.elapsed()
}

/// The requests that a provider took, each by its attempt's token.
async fn taken(host: &Host) -> Vec<String> {
    let requests = host.sim.requests("accepted=true").await;
    requests.iter().map(|request| request["tokens"][0].as_str().unwrap().to_owned()).collect()
}

/// Until a provider has been asked so often, whatever it answers.
async fn until_asked(host: &Host, count: usize) {
    host.until_eq("the provider has been asked", count, async || host.sim.requests("").await.len()).await;
}

#[tokio::test]
async fn everything_that_can_be_open_at_once_ends_and_nothing_is_sent_twice() {
    let mut host = host("server.grace-s = 20").await;
    // Attempts are always under way.
    host.sim.trouble(json!({"kind": "slow", "delay_ms": 300})).await;
    let mut stream = say(&host, "GET /v1/stream HTTP/1.1\r\nhost: HOST\r\n\r\n").await;
    until_it_says(&mut stream, "text/event-stream").await;
    let mut idle = say(&host, "GET /healthz HTTP/1.1\r\nhost: HOST\r\n\r\n").await;
    until_it_says(&mut idle, "alive").await;
    let mut silent = say(&host, "").await;
    let mut half = say(&host, "POST /v1/events HTTP/1.1\r\nhost: HOST\r\ncontent-").await;
    // A run that failed is executed again in seconds, and until then whoever waits for it waits.
    let failing = steps("paul", "held", json!([{"trap-before": {"attempt": 2}}])).to_string();
    let head = format!(
        "POST /v1/events?wait=50 HTTP/1.1\r\nhost: HOST\r\ncontent-type: application/cloudevents+json\r\ncontent-length: {}\r\n\r\n",
        failing.len()
    );
    let mut waiting = say(&host, &format!("{head}{failing}")).await;
    host.until_eq("it waits", 1, async || host.stats().await["open_runs"].as_u64().unwrap()).await;

    let ledger = std::sync::Arc::new(Ledger::default());
    let mut shops = JoinSet::new();
    for shop in 0..4 {
        let (ledger, client, url) = (ledger.clone(), host.client.clone(), format!("{}/v1/events", host.url));
        let clock = host.sim.clock.clone();
        shops.spawn(async move {
            // Until there is nobody any more who answers.
            for no in 0..2_000 {
                let word = word(shop * 2_000 + no);
                ledger.posting(&word);
                let event = telling(shop * 2_000 + no).to_string();
                let request = client.post(&url).header("content-type", "application/cloudevents+json").body(event);
                match request.send().await {
                    Ok(answer) if answer.status() == 202 => {
                        let Ok(body) = answer.json::<Value>().await else { return };
                        ledger.acknowledged(&word, &body["id"], clock.now());
                    }
                    Ok(answer) => assert_eq!(answer.status(), 503),
                    Err(_) => return,
                }
            }
        });
    }
    host.until("some are being sent", async || {
        let count = host.sim.requests("").await.len();
        if count >= 5 { Ok(()) } else { Err(count.to_string()) }
    })
    .await;
    let took = stopped(&mut host).await;
    assert!(took < Duration::from_secs(15), "none of these needs the whole of the grace period: {took:?}");
    shops.join_all().await;
    for (what, connection) in
        [("stream", &mut stream), ("idle", &mut idle), ("silent", &mut silent), ("half", &mut half)]
    {
        let left = tokio::time::timeout(Duration::from_secs(10), rest(connection)).await;
        assert!(!left.unwrap_or_else(|_| panic!("{what} is still open")).contains("HTTP/1.1 2"), "{what}");
    }
    let waited = rest(&mut waiting).await;
    assert!(waited.contains("HTTP/1.1 202") && waited.contains("\"complete\":false"), "{waited}");

    host.sim.no_trouble().await;
    host.launch().await;
    ledger.until_all_are_taken(&host).await;
    host.advance("13s").await;
    host.until_eq("the one that had failed is over", 0, async || host.stats().await["open_runs"].as_u64().unwrap())
        .await;
    ledger.check(&host, 0).await;
    let messages = host.all_messages().await;
    assert!(messages.iter().all(|message| message["attempts"].as_array().unwrap().len() == 1), "no doubt was left");
}

#[tokio::test]
async fn a_request_that_is_not_complete_is_waited_for_no_longer_than_the_grace_period() {
    let mut host = host("server.grace-s = 2").await;
    let mut half = say(
        &host,
        "POST /v1/events HTTP/1.1\r\nhost: HOST\r\ncontent-type: application/cloudevents+json\r\ncontent-length: 500\r\nexpect: 100-continue\r\n\r\n{",
    )
    .await;
    until_it_says(&mut half, "100 Continue").await;
    let took = stopped(&mut host).await;
    assert!(took >= Duration::from_secs(2) && took < Duration::from_secs(20), "{took:?}");
    assert_eq!(rest(&mut half).await, "", "nothing is promised of it");
    assert!(host.log().contains("the grace period is over"), "{}", host.log());
}

#[tokio::test]
async fn an_attempt_that_outlasts_the_grace_period_is_in_doubt_at_the_next_start_and_not_made_again() {
    let mut host = host("server.grace-s = 1").await;
    host.sim.trouble(json!({"kind": "hang", "accepted": true, "times": 1})).await;
    host.event(telling(1)).await;
    until_asked(&host, 1).await;
    let took = stopped(&mut host).await;
    assert!(took < Duration::from_secs(20), "{took:?}");
    assert!(host.log().contains("attempts had no answer yet and are left"), "{}", host.log());

    host.launch().await;
    // It was taken, and the receipts that come now say so.
    let message = host.only_message("paul", "read").await;
    assert_eq!(message.way(), "whatsapp read");
    host.advance("31s").await;
    host.advance("61s").await;
    assert_eq!(taken(&host).await.len(), 1, "once");
}

#[tokio::test]
async fn runs_that_outlast_the_grace_period_are_left_and_executed_at_the_next_start() {
    let mut host = host("server.grace-s = 0").await;
    // Each computes until its limit ends it: seconds, for all of them on a few processors.
    let busy: Vec<_> = (0..64).map(|no| steps("paul", &format!("busy {no}"), json!(["loop"]))).collect();
    let busy_count = busy.len();
    let calm: Vec<_> = (0..20).map(telling).collect();
    let ledger = Ledger::default();
    (0..20).for_each(|no| ledger.posting(&word(no)));
    let accepted = host.post_event("/v1/events", &json!([busy, calm].concat())).await.ok();
    let ids = accepted.as_array().unwrap()[busy_count..].iter().zip(0..);
    ids.for_each(|(one, no)| ledger.acknowledged(&word(no), &one["id"], host.sim.now()));
    let took = stopped(&mut host).await;
    assert!(took < Duration::from_secs(20), "{took:?}");
    assert!(host.log().contains("runs were still being executed and are left"), "{}", host.log());

    host.launch().await;
    ledger.until_all_are_taken(&host).await;
    for one in accepted.as_array().unwrap().iter().take(64) {
        let id = one["runs"][0].as_str().unwrap();
        host.until("it was executed", async || {
            let run = host.run(id).await;
            if run["attempts"].as_u64() >= Some(1) { Ok(()) } else { Err(format!("{run:#}")) }
        })
        .await;
    }
    ledger.check(&host, 0).await;
}

#[tokio::test]
async fn asked_a_second_time_it_ends_at_once() {
    let mut host = host("server.grace-s = 600").await;
    host.sim.trouble(json!({"kind": "hang", "accepted": true, "times": 1})).await;
    host.event(telling(1)).await;
    until_asked(&host, 1).await;
    host.signal("-TERM").await;
    host.until("it is stopping", async || {
        if host.log().contains("stopping: no new requests") { Ok(()) } else { Err("it is not".to_owned()) }
    })
    .await;
    // It waits for the provider, which has 20 seconds to answer; meanwhile nobody comes in.
    let ready = host.try_send(reqwest::Method::GET, "/readyz", &[], "").await;
    assert!(ready.is_err() || ready.is_ok_and(|answer| answer.status == 503), "it is not ready any more");
    let began = Instant::now();
    host.signal("-INT").await;
    assert_eq!(host.ended().await.code(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert!(host.log().contains("asked to stop again"), "{}", host.log());
    host.launch().await;
    assert_eq!(host.only_message("paul", "read").await.way(), "whatsapp read");
    assert_eq!(taken(&host).await.len(), 1);
}
