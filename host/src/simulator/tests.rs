//! The simulator over real sockets, seen from both of its sides: a client that sends, and a host that takes webhooks.

mod clients;
mod cm;
mod meta;
mod phones;
mod trouble;
mod twilio;

use std::sync::{
    Arc,
    atomic::{AtomicU16, Ordering},
};

use axum::{Router, extract::State, http::HeaderMap, response::IntoResponse};
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::mpsc, time::timeout};

use super::{Options, Phone, Timing, WebhookOptions, signature};
use crate::clock::{AdjustableClock, Clock, Timestamp};

const PAUL: &str = "+33639981201";
/// Long enough for two busy cores; reached only when a test fails.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(20);

/// A webhook as the host got it.
#[derive(Debug)]
struct Hook {
    path: String,
    headers: HeaderMap,
    body: Bytes,
}

impl Hook {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn status(&self) -> Value {
        self.json().pointer("/entry/0/changes/0/value/statuses/0").cloned().unwrap_or_default()
    }

    fn message(&self) -> Value {
        self.json().pointer("/entry/0/changes/0/value/messages/0").cloned().unwrap_or_default()
    }

    fn fields(&self) -> Vec<(String, String)> {
        url::form_urlencoded::parse(&self.body).into_owned().collect()
    }

    fn field(&self, name: &str) -> String {
        self.fields().into_iter().find(|(known, _)| known == name).map(|(_, value)| value).unwrap_or_default()
    }
}

struct Stage {
    base: String,
    host: String,
    client: reqwest::Client,
    clock: Arc<AdjustableClock>,
    hooks: mpsc::UnboundedReceiver<Hook>,
    /// What the host answers to webhooks.
    answers: Arc<AtomicU16>,
}

#[derive(Clone)]
struct Host {
    hooks: mpsc::UnboundedSender<Hook>,
    answers: Arc<AtomicU16>,
}

async fn take(
    State(host): State<Host>,
    uri: axum::http::Uri,
    headers: HeaderMap,
    body: Bytes,
) -> axum::response::Response {
    if let Some(query) = uri.query().filter(|query| query.contains("hub.mode=subscribe")) {
        let mut pairs = url::form_urlencoded::parse(query.as_bytes());
        return pairs
            .find(|(name, _)| name == "hub.challenge")
            .map(|(_, value)| value.into_owned())
            .into_response_or_403();
    }
    let status = host.answers.load(Ordering::SeqCst);
    // The test may be over while its last webhook comes in.
    let _ = host.hooks.send(Hook { path: uri.path().to_owned(), headers, body });
    axum::http::StatusCode::from_u16(status).unwrap().into_response()
}

trait OrForbidden {
    fn into_response_or_403(self) -> axum::response::Response;
}

impl OrForbidden for Option<String> {
    fn into_response_or_403(self) -> axum::response::Response {
        self.map_or_else(|| axum::http::StatusCode::FORBIDDEN.into_response(), IntoResponse::into_response)
    }
}

impl Stage {
    async fn new() -> Stage {
        Stage::with(|_| ()).await
    }

    /// Starts a host and a simulator without delays, with Paul's phone.
    async fn with(change: impl FnOnce(&mut Options)) -> Stage {
        // The simulator does the same later; that somebody was first is no error.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (sender, hooks) = mpsc::unbounded_channel();
        let answers = Arc::new(AtomicU16::new(200));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = format!("http://{}", listener.local_addr().unwrap());
        let app = Router::new().fallback(take).with_state(Host { hooks: sender, answers: Arc::clone(&answers) });
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });

        let clock = Arc::new(AdjustableClock::starting_at(Timestamp::parse("2026-01-15T10:30:00Z").unwrap()));
        let mut options = Options {
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            webhook_base: Some(format!("{host}/v1/webhooks")),
            phones: vec![Phone::new(PAUL, "Zoé Exemple")],
            timing: Timing::NONE,
            webhooks: WebhookOptions { retry_ms: 5, ..WebhookOptions::default() },
            ..Options::default()
        };
        change(&mut options);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { super::serve(listener, options, std::future::pending()).await.unwrap() });
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Stage { base, host, client, clock, hooks, answers }
    }

    async fn hook(&mut self) -> Hook {
        timeout(PATIENCE, self.hooks.recv()).await.expect("no webhook came").unwrap()
    }

    async fn statuses(&mut self, count: usize) -> Vec<String> {
        let mut statuses = Vec::new();
        for _ in 0..count {
            statuses.push(self.hook().await.status()["status"].as_str().unwrap_or("?").to_owned());
        }
        statuses
    }

    /// Proves that no webhook is on its way: whatever comes next is what the phone writes now.
    async fn expect_silence(&mut self) {
        self.sim("phones/+33639981299", &json!({}), "PUT").await;
        self.sim("phones/+33639981299/write", &json!({"text": "silence"}), "POST").await;
        assert_eq!(self.hook().await.message()["text"]["body"], "silence");
    }

    async fn meta(&self, body: &Value) -> (u16, Value) {
        let response = self.try_meta(body).await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    async fn try_meta(&self, body: &Value) -> reqwest::Result<reqwest::Response> {
        let url = format!("{}/v25.0/109000000000001/messages", self.base);
        self.client.post(url).bearer_auth("simulated-meta-access-token").json(body).send().await
    }

    async fn cm(&self, body: &Value) -> (u16, Value) {
        let url = format!("{}/v1.0/message", self.base);
        let token = "00000000-0000-4000-8000-000000000001";
        let response = self.client.post(url).header("X-CM-PRODUCTTOKEN", token).json(body).send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    async fn twilio(&self, fields: &[(&str, &str)]) -> (u16, Value) {
        let account = "AC00000000000000000000000000000001";
        let url = format!("{}/2010-04-01/Accounts/{account}/Messages.json", self.base);
        let request = self.client.post(url).basic_auth(account, Some("simulated-twilio-auth-token")).form(fields);
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    async fn sim(&self, path: &str, body: &Value, method: &str) -> Value {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let response =
            self.client.request(method, format!("{}/sim/{path}", self.base)).json(body).send().await.unwrap();
        assert!(response.status().is_success(), "{path}: {}", response.status());
        response.json().await.unwrap_or_default()
    }

    async fn trouble(&self, trouble: Value) {
        self.sim("troubles", &trouble, "POST").await;
    }

    async fn open_window(&self) {
        self.sim(&format!("phones/{PAUL}"), &json!({"window_open": true}), "PATCH").await;
    }

    async fn get(&self, path: &str) -> Value {
        self.sim(path, &json!({}), "GET").await
    }
}

fn text(body: &str) -> Value {
    json!({
        "messaging_product": "whatsapp", "recipient_type": "individual", "to": PAUL, "type": "text",
        "text": {"body": body}, "biz_opaque_callback_data": "m_01"
    })
}

fn template(name: &str, parameters: &[&str]) -> Value {
    let parameters: Vec<Value> = parameters.iter().map(|text| json!({"type": "text", "text": text})).collect();
    json!({
        "messaging_product": "whatsapp", "to": PAUL, "type": "template", "biz_opaque_callback_data": "m_02",
        "template": {"name": name, "language": {"code": "fr"}, "components": [{"type": "body", "parameters": parameters}]}
    })
}
