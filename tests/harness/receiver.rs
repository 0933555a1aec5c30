//! A shop's own system, on a real socket: it takes what endpoints are told, and answers as the test says.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::IntoResponse,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;

/// What was told, as it came.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    pub(crate) id: String,
    pub(crate) timestamp: String,
    pub(crate) signature: String,
    pub(crate) raw: Vec<u8>,
    pub(crate) body: Value,
    /// What it was answered with.
    pub(crate) answered: u16,
}

impl Heard {
    pub(crate) fn kind(&self) -> &str {
        self.body["type"].as_str().unwrap()
    }

    /// Whether one of the signatures is this secret's, checked as any receiver would.
    pub(crate) fn is_signed_with(&self, secret: &str) -> bool {
        let wanted = format!("v1,{}", standard_signature(secret, &self.id, &self.timestamp, &self.raw));
        self.signature.split(' ').any(|given| given == wanted)
    }
}

/// Standard Webhooks, by hand.
pub(crate) fn standard_signature(secret: &str, id: &str, timestamp: &str, body: &[u8]) -> String {
    let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(body);
    STANDARD.encode(mac.finalize().into_bytes())
}

#[derive(Default)]
struct Shop {
    heard: Mutex<Vec<Heard>>,
    /// Answers to what comes next: the status, and `Retry-After`. 204 once there are none.
    answers: Mutex<VecDeque<(u16, Option<u32>)>>,
    always: Mutex<Option<u16>>,
    hangs: Mutex<bool>,
}

pub(crate) struct Receiver {
    pub(crate) url: String,
    shop: Arc<Shop>,
    task: tokio::task::JoinHandle<()>,
}

impl Receiver {
    pub(crate) async fn start() -> Receiver {
        let shop = Arc::new(Shop::default());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hooks", listener.local_addr().unwrap());
        let router = Router::new().fallback(take).with_state(shop.clone());
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Receiver { url, shop, task }
    }

    /// The next are answered so, in turn.
    pub(crate) fn answers(&self, statuses: &[u16]) {
        self.shop.answers.lock().unwrap().extend(statuses.iter().map(|status| (*status, None)));
    }

    pub(crate) fn answers_with_pause(&self, status: u16, seconds: u32) {
        self.shop.answers.lock().unwrap().push_back((status, Some(seconds)));
    }

    /// Every one from now on; `None`: they are taken.
    pub(crate) fn always(&self, status: Option<u16>) {
        *self.shop.always.lock().unwrap() = status;
    }

    /// Whether it takes and never answers.
    pub(crate) fn hangs(&self, hangs: bool) {
        *self.shop.hangs.lock().unwrap() = hangs;
    }

    pub(crate) fn heard(&self) -> Vec<Heard> {
        self.shop.heard.lock().unwrap().clone()
    }

    /// Those that it has taken, by type without `relais.`.
    pub(crate) fn taken(&self) -> Vec<String> {
        let taken = self.heard().into_iter().filter(|heard| (200..300).contains(&heard.answered));
        taken.map(|heard| heard.kind().trim_start_matches("relais.").to_owned()).collect()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn take(State(shop): State<Arc<Shop>>, headers: HeaderMap, raw: Bytes) -> impl IntoResponse {
    let (status, pause) = match (*shop.always.lock().unwrap(), shop.answers.lock().unwrap().pop_front()) {
        (Some(status), _) => (status, None),
        (None, Some(answer)) => answer,
        (None, None) => (204, None),
    };
    let header = |name: &str| headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default().to_owned();
    let hangs = *shop.hangs.lock().unwrap();
    shop.heard.lock().unwrap().push(Heard {
        id: header("webhook-id"),
        timestamp: header("webhook-timestamp"),
        signature: header("webhook-signature"),
        body: serde_json::from_slice(&raw).unwrap(),
        raw: raw.to_vec(),
        answered: if hangs { 0 } else { status },
    });
    if hangs {
        // Longer than any test: whoever asked gives up first.
        tokio::time::sleep(Duration::from_secs(3600)).await;
    }
    let mut answer = HeaderMap::new();
    if let Some(seconds) = pause {
        answer.insert("retry-after", seconds.into());
    }
    (StatusCode::from_u16(status).unwrap(), answer)
}
