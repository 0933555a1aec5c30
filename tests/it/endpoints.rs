//! Webhooks out: the shop's own system hears what becomes of each message, signed, once it is so, and until it has taken it.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{
    Cluster, Db, Host, LEA, PAUL, Receiver, Setup, both_databases, order_ready, relais, standard_signature,
};

both_databases! {
    what_becomes_of_a_message_is_told_in_order_and_signed,
    killed_between_commit_and_telling_everything_is_told_after_the_restart,
    what_is_not_taken_is_tried_again_under_the_same_id_and_given_up_in_the_end,
    of_an_erased_customer_nothing_is_left_to_be_told,
}

/// Endpoints on this machine are closed, like every address that is not public, unless they are opened.
fn setup() -> Setup {
    Setup::new()
        .with("endpoints.networks = [\"127.0.0.1\"]\nendpoints.retry-s = [1, 1, 1, 1, 1]\nendpoints.rest-after = 1000")
}

/// Adds an endpoint; its id and its secret.
async fn add(host: &Host, url: &str, more: Value) -> (String, String) {
    let mut given = json!({"url": url});
    for (name, value) in more.as_object().unwrap() {
        given[name] = value.clone();
    }
    let answer = host.post("/v1/endpoints", given).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    (answer.body["id"].as_str().unwrap().to_owned(), answer.body["secret"].as_str().unwrap().to_owned())
}

async fn notices(host: &Host, id: &str, query: &str) -> Vec<Value> {
    host.get(&format!("/v1/endpoints/{id}/notices?limit=200{query}")).await["notices"].as_array().unwrap().clone()
}

async fn until_taken(host: &Host, receiver: &Receiver, wanted: &[&str]) {
    let mut wanted: Vec<String> = wanted.iter().map(|kind| (*kind).to_owned()).collect();
    wanted.sort();
    host.until_eq("the shop has heard", wanted, async || {
        let mut taken = receiver.taken();
        taken.sort();
        taken
    })
    .await;
}

/// What it has answered is written down: it is, a moment after it was answered.
async fn until_nothing_waits(host: &Host, id: &str) {
    host.until_eq("nothing waits", Vec::<Value>::new(), async || notices(host, id, "&state=waiting").await).await;
}

/// It has taken something, and that is written down.
async fn until_well(host: &Host, id: &str) {
    host.until_eq("the endpoint is well", Value::Null, async || {
        host.get(&format!("/v1/endpoints/{id}")).await["failing_since"].clone()
    })
    .await;
}

const WAY: [&str; 4] = ["message.accepted", "message.sent", "message.delivered", "message.read"];

async fn one_message(host: &Host, customer: &str, number: &str) -> Value {
    host.sim.phone(number, |_| {});
    host.customer(customer, number).await;
    host.event(order_ready(customer, "O-1")).await;
    host.only_message(customer, "read").await
}

#[test]
fn the_tests_own_signature_is_the_published_one() {
    let body = br#"{"type":"message.delivered","data":{"id":"m_1"}}"#;
    let secret = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
    assert_eq!(
        standard_signature(secret, "msg_relais_0001", "1760000000", body),
        "FpgUgK72mXHdeQ9aZAXxV6qGqG24dIc0dt+2ZloltVI="
    );
}

async fn what_becomes_of_a_message_is_told_in_order_and_signed(db: Db) {
    let host = Host::start(setup().on(db)).await;
    let shop = Receiver::start().await;
    let (id, secret) = add(&host, &shop.url, json!({"types": ["relais.message.*"]})).await;
    let message = one_message(&host, "paul", PAUL).await;
    until_taken(&host, &shop, &WAY).await;
    for heard in shop.heard() {
        assert!(heard.is_signed_with(&secret), "{heard:?}");
        let data = &heard.body["data"];
        assert_eq!((&data["message"], &data["customer"]), (&message["id"], &json!("paul")));
        assert_eq!(data["plugin"], "order-ready");
        let text = String::from_utf8(heard.raw.clone()).unwrap();
        assert!(!text.contains(PAUL.trim_start_matches('+')) && !text.contains("ready in"), "{text}");
    }
    let mut by_revision = shop.heard();
    by_revision.sort_by_key(|heard| heard.body["data"]["revision"].as_i64());
    let kinds: Vec<_> = by_revision.iter().map(|heard| heard.kind().trim_start_matches("relais.")).collect();
    assert_eq!(kinds, WAY, "the revision says what came after what");
    until_nothing_waits(&host, &id).await;
    // What it was told stands there with its answers, and no secret does.
    let told = notices(&host, &id, "&state=delivered").await;
    assert_eq!(told.len(), 4);
    assert!(told.iter().all(|notice| notice["tries"][0]["status"] == 204), "{told:#?}");
    assert!(shop.heard().iter().all(|heard| told.iter().any(|notice| notice["id"] == heard.id.as_str())));
    let shown = host.get(&format!("/v1/endpoints/{id}")).await;
    assert!(shown.get("secret").is_none() && !shown.to_string().contains("whsec"), "{shown}");
    let metrics = host.send(Method::GET, "/metrics", &[], "").await.text;
    assert!(metrics.contains("relais_notices_delivered_total 4"), "{metrics}");
}

async fn killed_between_commit_and_telling_everything_is_told_after_the_restart(db: Db) {
    let mut host = Host::start(setup().on(db)).await;
    let shop = Receiver::start().await;
    let (id, secret) = add(&host, &shop.url, json!({})).await;
    shop.hangs(true);
    one_message(&host, "paul", PAUL).await;
    host.until("it is being told", async || if shop.heard().is_empty() { Err("nothing".to_owned()) } else { Ok(()) })
        .await;
    let hung: Vec<String> = shop.heard().into_iter().map(|heard| heard.id).collect();
    host.kill().await;
    shop.hangs(false);
    host.launch().await;
    until_taken(&host, &shop, &WAY).await;
    let taken: Vec<_> = shop.heard().into_iter().filter(|heard| heard.answered == 204).collect();
    // What was on its way when the host died came again as what it was.
    assert!(hung.iter().all(|id| taken.iter().any(|heard| heard.id == *id)), "{hung:?}");
    assert!(taken.iter().all(|heard| heard.is_signed_with(&secret)), "the secret is the same after a restart");
    until_nothing_waits(&host, &id).await;
}

async fn what_is_not_taken_is_tried_again_under_the_same_id_and_given_up_in_the_end(db: Db) {
    let host = Host::start(setup().on(db)).await;
    let shop = Receiver::start().await;
    let (id, secret) = add(&host, &shop.url, json!({"types": ["relais.message.read"]})).await;
    // A redirect is not followed, and is no success.
    shop.answers(&[500, 302]);
    one_message(&host, "paul", PAUL).await;
    until_taken(&host, &shop, &["message.read"]).await;
    let heard = shop.heard();
    assert_eq!(heard.iter().map(|heard| heard.answered).collect::<Vec<_>>(), [500, 302, 204]);
    assert!(heard.iter().all(|one| one.id == heard[0].id && one.raw == heard[0].raw && one.is_signed_with(&secret)));
    until_well(&host, &id).await;

    shop.always(Some(503));
    one_message(&host, "lea", LEA).await;
    let given_up = host
        .until("it is given up", async || match notices(&host, &id, "&state=given-up").await.as_slice() {
            [one] => Ok(one.clone()),
            others => Err(format!("{others:#?}")),
        })
        .await;
    assert_eq!(given_up["tries"].as_array().unwrap().len(), 6, "the first try, and one after each pause");
    assert!(host.get(&format!("/v1/endpoints/{id}")).await["failing_since"].is_string());

    // Replayed, it comes under the id that it had.
    shop.always(None);
    let before = shop.heard().len();
    let replayed = host.post(&format!("/v1/endpoints/{id}/replay"), json!({})).await.ok();
    assert_eq!((&replayed["replayed"], &replayed["more"]), (&json!(1), &json!(false)));
    until_taken(&host, &shop, &["message.read", "message.read"]).await;
    let again = shop.heard().remove(before);
    assert_eq!(json!(again.id), given_up["id"]);
    // And everything since then, whoever took it.
    until_nothing_waits(&host, &id).await;
    let all = relais_at(&host, &["endpoint", "replay", &id, "--all", "--since", "2020-01-01T00:00:00Z"]).await;
    assert!(all.contains("2 are told again"), "{all}");
    until_taken(&host, &shop, &["message.read"; 4]).await;
}

async fn of_an_erased_customer_nothing_is_left_to_be_told(db: Db) {
    let host = Host::start(setup().on(db)).await;
    let shop = Receiver::start().await;
    let (id, _) = add(&host, &shop.url, json!({"include": ["content", "addresses"]})).await;
    shop.always(Some(500));
    one_message(&host, "paul", PAUL).await;
    host.until("it waits", async || {
        let waiting = notices(&host, &id, "").await;
        if waiting.iter().any(|one| one.to_string().contains(PAUL)) { Ok(()) } else { Err(format!("{waiting:?}")) }
    })
    .await;
    host.send(Method::DELETE, "/v1/customers/paul", &[], "").await;
    let left = json!(notices(&host, &id, "").await).to_string();
    assert!(!left.contains(PAUL.trim_start_matches('+')) && !left.contains("\"paul\""), "{left}");
}

/// What a command of the program says, asked of this host.
async fn relais_at(host: &Host, arguments: &[&str]) -> String {
    let mut all = arguments.to_vec();
    all.extend(["--url", &host.url]);
    let output = relais(&all).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn a_rotated_secret_is_signed_with_beside_the_old_one_until_that_ends() {
    let host = Host::start(setup()).await;
    let shop = Receiver::start().await;
    let (id, old) = add(&host, &shop.url, json!({"types": ["relais.message.read"]})).await;
    let said = relais_at(&host, &["endpoint", "rotate", &id, "--keep-s", "3600"]).await;
    let new = said.split_whitespace().find(|word| word.starts_with("whsec_")).unwrap().to_owned();
    assert_ne!(new, old);
    let test = async || {
        let told = host.post(&format!("/v1/endpoints/{id}/test"), json!({})).await;
        assert_eq!(told.status, 202, "{}", told.text);
        let notice = told.body["notice"].as_str().unwrap().to_owned();
        host.until("the test is told", async || {
            shop.heard().into_iter().find(|heard| heard.id == notice).ok_or("it is not".to_owned())
        })
        .await
    };
    let both = test().await;
    assert_eq!(both.kind(), "relais.endpoint.test", "a test is told whatever is subscribed to");
    assert!(both.is_signed_with(&old) && both.is_signed_with(&new) && both.signature.contains(' '));
    host.advance("2h").await;
    let late = test().await;
    assert!(!late.is_signed_with(&old) && late.is_signed_with(&new));
}

#[tokio::test]
async fn an_endpoint_that_says_that_it_is_gone_is_disabled_and_goes_on_when_it_is_enabled() {
    let host = Host::start(setup()).await;
    let shop = Receiver::start().await;
    let (id, _) = add(&host, &shop.url, json!({"types": ["relais.message.read"]})).await;
    shop.always(Some(410));
    one_message(&host, "paul", PAUL).await;
    let path = format!("/v1/endpoints/{id}");
    host.until("it is disabled", async || {
        let shown = host.get(&path).await;
        if shown["disabled"]["why"] == "gone" { Ok(()) } else { Err(shown.to_string()) }
    })
    .await;
    let doctor = host.get("/v1/doctor").await;
    let finding = doctor["findings"].as_array().unwrap().iter().find(|one| one["kind"] == "endpoint-fails");
    assert_eq!(finding.unwrap()["id"], json!(id), "{doctor:#}");
    host.post(&format!("{path}/test"), json!({})).await.problem(409, "/problems/conflict", None);
    shop.always(None);
    let on =
        host.send(Method::PATCH, &path, &[("content-type", "application/json")], r#"{"enabled": true}"#).await.ok();
    assert_eq!((&on["enabled"], &on["disabled"]), (&json!(true), &Value::Null));
    // What waited when it was disabled.
    until_taken(&host, &shop, &["message.read"]).await;
}

#[tokio::test]
async fn an_endpoint_that_never_answers_holds_up_no_other_and_rests() {
    let over =
        "endpoints.timeout-ms = 700\nendpoints.rest-after = 2\nendpoints.rest-s = 3600\nendpoints.concurrent-max = 8";
    let host = Host::start(setup().with(over)).await;
    let (slow, quick) = (Receiver::start().await, Receiver::start().await);
    slow.hangs(true);
    let (slow_id, _) = add(&host, &slow.url, json!({})).await;
    add(&host, &quick.url, json!({})).await;
    one_message(&host, "paul", PAUL).await;
    one_message(&host, "lea", LEA).await;
    until_taken(&host, &quick, &[WAY, WAY].concat()).await;
    host.until("the slow one rests", async || {
        let waiting = notices(&host, &slow_id, "&state=waiting").await;
        let tried = waiting.iter().filter(|one| !one["tries"].as_array().unwrap().is_empty()).count();
        if waiting.len() == 8 && tried >= 2 { Ok(()) } else { Err(format!("{waiting:#?}")) }
    })
    .await;
    let tried = slow.heard().len();
    assert!(tried <= 6, "it was tried {tried} times, and should have been left alone");
    slow.hangs(false);
    host.advance("2h").await;
    until_taken(&host, &slow, &[WAY, WAY].concat()).await;
    until_well(&host, &slow_id).await;
}

#[tokio::test]
async fn an_endpoint_that_asks_for_a_pause_gets_it() {
    let host = Host::start(setup()).await;
    let shop = Receiver::start().await;
    let (id, _) = add(&host, &shop.url, json!({"types": ["relais.message.read"]})).await;
    shop.answers_with_pause(429, 7200);
    one_message(&host, "paul", PAUL).await;
    let waits = host
        .until("it was tried", async || match notices(&host, &id, "&state=waiting").await.as_slice() {
            [one] if one["next_try"].is_string() => Ok(one.clone()),
            others => Err(format!("{others:?}")),
        })
        .await;
    let minute = |text: &Value| relais::clock::Timestamp::parse(text.as_str().unwrap()).unwrap();
    let pause = minute(&waits["next_try"]).since(minute(&waits["tries"][0]["at"]));
    assert!(pause.as_secs() >= 7200, "{waits:#}");
    host.advance("2h").await;
    host.advance("1m").await;
    until_taken(&host, &shop, &["message.read"]).await;
    until_well(&host, &id).await;
}

#[tokio::test]
async fn what_is_not_public_is_not_told_anything_unless_the_operator_opens_it() {
    let host = Host::start(Setup::new().with("endpoints.retry-s = []\nendpoints.plain-http = true")).await;
    let shop = Receiver::start().await;
    let refused = host.post("/v1/endpoints", json!({"url": shop.url})).await;
    let problem = refused.problem(400, "/problems/bad-field", Some("url"));
    assert!(problem["detail"].as_str().unwrap().contains("endpoints.networks"), "{problem:#}");
    // A name is only known to lead there once it is asked for.
    let port = shop.url.split(':').nth(2).unwrap();
    let (id, _) = add(&host, &format!("http://localhost:{port}"), json!({"types": ["relais.message.read"]})).await;
    one_message(&host, "paul", PAUL).await;
    let given_up = host
        .until("it is given up", async || match notices(&host, &id, "&state=given-up").await.as_slice() {
            [one] => Ok(one.clone()),
            others => Err(format!("{others:?}")),
        })
        .await;
    assert!(given_up["tries"][0]["error"].as_str().unwrap().contains("not public"), "{given_up:#}");
    assert!(shop.heard().is_empty());
    assert!(host.log().contains("the machine itself"), "the operator is told where it leads");
}

#[tokio::test]
async fn what_makes_no_endpoint_is_refused_by_its_field() {
    let host = Host::start(setup().with("endpoints.per-tenant-max = 1")).await;
    for (given, field) in [
        (json!({}), "url"),
        (json!({"url": "http://shop.example"}), "url"),
        (json!({"url": "https://10.0.0.1/"}), "url"),
        (json!({"url": "https://shop.example", "types": ["relais.message.lost"]}), "types[0]"),
        (json!({"url": "https://shop.example", "types": ["relais.mess*"]}), "types[0]"),
    ] {
        host.post("/v1/endpoints", given).await.problem(400, "/problems/bad-field", Some(field));
    }
    host.post("/v1/endpoints", json!({"url": "https://shop.example", "secret": "x"})).await.problem(
        400,
        "/problems/bad-json",
        None,
    );
    let (id, _) = add(&host, "https://shop.example/relais", json!({"enabled": false})).await;
    host.post("/v1/endpoints", json!({"url": "https://shop.example"})).await.problem(409, "/problems/conflict", None);
    let listed = relais_at(&host, &["endpoint", "list"]).await;
    assert!(listed.contains(&id) && listed.contains("disabled"), "{listed}");
    relais_at(&host, &["endpoint", "remove", &id]).await;
    let path = format!("/v1/endpoints/{id}");
    host.send(Method::GET, &path, &[], "").await.problem(404, "/problems/not-found", Some("id"));
    assert_eq!(host.get("/v1/endpoints").await["endpoints"], json!([]));
}

#[tokio::test]
async fn several_hosts_tell_each_thing_once_and_hear_of_an_endpoint_that_another_made() {
    let cluster = Cluster::start(setup().on(Db::Postgres), 2).await;
    let shop = Receiver::start().await;
    // Each of them has found that there is no endpoint before the other makes one.
    for (no, number) in [(0, PAUL), (1, LEA)] {
        cluster.sim.phone(number, |_| {});
        cluster.hosts[no].customer(&format!("before-{no}"), number).await;
        cluster.hosts[no].event(order_ready(&format!("before-{no}"), "O-0")).await;
        cluster.hosts[no].only_message(&format!("before-{no}"), "read").await;
    }
    let (_, secret) = add(&cluster.hosts[0], &shop.url, json!({"types": ["relais.message.accepted"]})).await;
    for no in 0..2 {
        cluster.hosts[no].event(order_ready(&format!("before-{no}"), "O-1")).await;
    }
    until_taken(&cluster.hosts[0], &shop, &["message.accepted"; 2]).await;
    let mut ids: Vec<_> = shop.heard().into_iter().map(|heard| heard.id).collect();
    assert!(shop.heard().iter().all(|heard| heard.is_signed_with(&secret)), "every host derives the same secret");
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), shop.heard().len(), "nothing was told twice");
}
