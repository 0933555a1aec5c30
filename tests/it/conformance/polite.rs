//! Every interface is used, and what comes of it is the same in every language.

use std::{collections::BTreeMap, path::PathBuf};

use serde_json::{Value, json};

use crate::harness::{Host, PAUL, Packages, Setup, conformance, event};

/// What the plugin says that it saw, by the name of the part: `saw run: {…}`.
type Saw = BTreeMap<String, Value>;

/// Plays what the plugin has handlers for, and checks everything that it saw.
pub(crate) async fn sees_what_every_other_sees(package: PathBuf) {
    let host = Host::start(Setup { plugins: Packages::These(vec![package]), ..Setup::new() }).await;
    host.sim.phone(PAUL, |_| {});
    let marketing = json!({"channel": "whatsapp", "scope": "marketing", "granted": true, "source": "form v3"});
    let more = json!({"locale": "fr-FR", "timezone": "Europe/Paris", "consents": [marketing]});
    host.customer_with("paul", PAUL, more).await;

    let mut all = event("com.example.polite.all", "paul", json!({"n": 7}));
    for (name, value) in [("id", "one"), ("subject", "it"), ("tone", "kind")] {
        all[name] = json!(value);
    }
    let ended = host.event(all).await;
    assert_eq!(ended["results"][0]["state"], "done", "{ended:#}");
    let mut saw = said(&host.run(ended["results"][0]["id"].as_str().unwrap()).await);
    saw.extend(when_it_is_over(&host, "delivery", "polite").await);

    let message = host.messages("paul").await.into_iter().find(|message| message["tag"] == "polite").unwrap();
    let provider_id = message["attempts"][0]["provider_id"].as_str().unwrap().to_owned();
    let reply = json!({"channel": "whatsapp", "text": "Hello there", "quotes": provider_id});
    host.sim.call(reqwest::Method::POST, &format!("/sim/phones/{PAUL}/write"), Some(reply)).await;
    saw.extend(when_it_is_over(&host, "message", "Hello there").await);

    host.advance("10m").await;
    saw.extend(when_it_is_over(&host, "timer", "soon").await);

    for (part, expected) in expected() {
        assert_eq!(saw.get(part), Some(&expected), "{part}: {saw:#?}");
    }
    let told = host.get("/v1/events").await.to_string();
    assert!(told.contains("com.example.polite.told") && told.contains("\"tone\":\"kind\""), "{told}");
}

/// The lines of the first run of this kind that has seen `what`.
async fn when_it_is_over(host: &Host, kind: &str, what: &str) -> Saw {
    host.until(&format!("a run of {kind} has seen {what}"), async || {
        let mut others = String::new();
        for run in host.all_runs().await.iter().filter(|run| run["kind"] == kind && run["state"] == "done") {
            let saw = said(&host.run(run["id"].as_str().unwrap()).await);
            if saw.values().any(|seen| seen.to_string().contains(&format!("\"{what}\""))) {
                return Ok(saw);
            }
            others += &format!("{saw:?}");
        }
        Err(others)
    })
    .await
}

fn said(run: &Value) -> Saw {
    let lines = run["report"]["log"].as_array().unwrap_or_else(|| panic!("no log: {run:#}"));
    let saw = lines.iter().filter_map(|line| line["message"].as_str()?.strip_prefix("saw "));
    saw.map(|line| {
        let (part, json) = line.split_once(": ").unwrap();
        (part.to_owned(), whole_numbers(serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}: {json}"))))
    })
    .collect()
}

/// `600000.0` is as good as `600000`: JSON has one kind of number.
fn whole_numbers(value: Value) -> Value {
    match value {
        Value::Number(number) if number.as_f64().is_some_and(|number| number.fract() == 0.0) => {
            json!(number.as_f64().unwrap() as i64)
        }
        Value::Object(fields) => fields.into_iter().map(|(name, value)| (name, whole_numbers(value))).collect(),
        other => other,
    }
}

fn expected() -> Vec<(&'static str, Value)> {
    vec![
        (
            "event",
            json!({
                "id": "one", "source": "/test", "type": "com.example.polite.all", "subject": "it", "customer": "paul",
                "data": 7, "tone": "kind",
            }),
        ),
        (
            "run",
            json!({
                "attempt": 1, "entity": "customer/paul", "customer": "paul", "identified": true, "now": true,
                "plugin": "polite", "unknown": true, "random": 16, "greeting": "hello", "secret": true,
            }),
        ),
        ("state", json!({"before": true, "scanned": ["a/1", "a/2"], "removed": true, "kept": "two"})),
        ("timers", json!({"due_in": 600_000, "data": 2, "set_by": "1.0.0", "cancelled": true})),
        (
            "customers",
            json!({
                "locale": "fr-FR", "timezone": "Europe/Paris", "unknown": true, "routes": ["whatsapp", "sms"],
                "consent": "unknown", "marketing": "granted", "history": ["com.example.polite.all"],
            }),
        ),
        (
            "calendar",
            json!({
                "at": 1_774_744_200_000_i64, "hour": 1, "weekday": 7, "skipped": 1_774_747_800_000_i64, "unknown": true,
                "written": "dimanche 29 mars",
            }),
        ),
        (
            "messages",
            json!({
                "sent": true, "again": true, "state": "pending", "unknown": true, "phone": "not-permitted",
                "nobody": "not-expected", "content": "bad-content", "setting": "bad-content", "asset": "bad-content",
                "bytes": "template-needed", "url": "bad-content", "location": "sent",
            }),
        ),
        ("http", json!({"code": "not-permitted"})),
        ("timer", json!({"key": "soon", "data": 2, "customer": "paul", "set_by": "1.0.0"})),
        ("delivery", json!({"state": "delivered", "settled": true, "tag": "polite", "customer": "paul"})),
        (
            "message",
            json!({
                "text": "Hello there", "kind": "text", "customer": "paul", "channel": "whatsapp", "sender": true,
                "media": true, "answer": "sent",
            }),
        ),
    ]
}

async fn built(language: &'static str) {
    let package = tokio::task::spawn_blocking(move || conformance(language, "polite")).await.unwrap();
    sees_what_every_other_sees(package).await;
}

#[tokio::test]
async fn a_polite_plugin_in_rust_sees_what_every_other_sees() {
    built("rust").await;
}

#[tokio::test]
async fn a_polite_plugin_in_javascript_sees_what_every_other_sees() {
    built("javascript").await;
}

#[tokio::test]
async fn a_polite_plugin_in_python_sees_what_every_other_sees() {
    built("python").await;
}

#[tokio::test]
async fn a_polite_plugin_in_c_sees_what_every_other_sees() {
    built("c").await;
}

#[tokio::test]
async fn a_polite_plugin_in_go_sees_what_every_other_sees() {
    built("go").await;
}
