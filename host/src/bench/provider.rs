//! The provider's end of the bench: takes messages, notes when, and posts signed receipts. Nothing else, so that it costs
//! as little as can be of the processors that the host needs.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use axum::{Router, body::Bytes, extract::State, http::header, response::IntoResponse, routing::post};
use tokio::{net::TcpListener, sync::oneshot};

use super::figures::Latencies;
use crate::channel::{HttpSettings, http_client, signature};

pub(super) const APP_SECRET: &str = "bench-app-secret";
pub(super) const ACCESS_TOKEN: &str = "bench-access-token";

pub(super) struct Provider {
    pub address: SocketAddr,
    posted: Mutex<Vec<Option<Instant>>>,
    reached: Mutex<Vec<Option<Duration>>>,
    /// Whoever waits for an event to arrive here.
    awaited: Mutex<HashMap<usize, oneshot::Sender<()>>>,
    webhook: OnceLock<String>,
    receipts: &'static [&'static str],
    client: reqwest::Client,
}

impl Provider {
    pub(super) async fn start(events: usize, receipts: u8) -> anyhow::Result<Arc<Provider>> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let provider = Arc::new(Provider {
            address: listener.local_addr()?,
            posted: Mutex::new(vec![None; events]),
            reached: Mutex::new(vec![None; events]),
            awaited: Mutex::default(),
            webhook: OnceLock::new(),
            receipts: match receipts {
                1 => &["delivered"],
                2 => &["sent", "delivered"],
                _ => &["sent", "delivered", "read"],
            },
            client: http_client(&HttpSettings { idle_connections: 256, ..HttpSettings::default() })?,
        });
        let router = Router::new().route("/v25.0/{number}/messages", post(take)).with_state(provider.clone());
        // Ends with the process.
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(provider)
    }

    pub(super) fn send_receipts_to(&self, host: &str) {
        // Set once: the host that is measured is the last one started.
        let _ = self.webhook.set(format!("{host}/v1/webhooks/meta"));
    }

    /// Event `no` is posted now.
    pub(super) fn posted(&self, no: usize) -> Instant {
        let now = Instant::now();
        let mut posted = self.posted.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = posted.get_mut(no) {
            *slot = Some(now);
        }
        now
    }

    /// Resolves when event `no` has arrived here. To be asked for before it is posted.
    pub(super) fn arrival(&self, no: usize) -> oneshot::Receiver<()> {
        let (arrived, arrival) = oneshot::channel();
        self.awaited.lock().unwrap_or_else(PoisonError::into_inner).insert(no, arrived);
        arrival
    }

    pub(super) fn latencies(&self, from: usize) -> Latencies {
        let reached = self.reached.lock().unwrap_or_else(PoisonError::into_inner);
        Latencies::new(reached.iter().skip(from).flatten().copied().collect())
    }

    fn reached(&self, no: usize) {
        let posted = self.posted.lock().unwrap_or_else(PoisonError::into_inner).get(no).copied().flatten();
        let mut reached = self.reached.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Some(posted), Some(slot)) = (posted, reached.get_mut(no)) {
            *slot = Some(posted.elapsed());
        }
        drop(reached);
        if let Some(awaited) = self.awaited.lock().unwrap_or_else(PoisonError::into_inner).remove(&no) {
            // Whoever waited may have given up, and then needs no word.
            let _ = awaited.send(());
        }
    }
}

async fn take(State(provider): State<Arc<Provider>>, body: Bytes) -> impl IntoResponse {
    let text = String::from_utf8_lossy(&body);
    if let Some(no) = between(&text, "\"B", "\"").and_then(|no| no.parse().ok()) {
        provider.reached(no);
    }
    let token = between(&text, "\"biz_opaque_callback_data\":\"", "\"").unwrap_or_default().to_owned();
    let id = format!("wamid.{token}");
    let answer = format!(
        r#"{{"messaging_product":"whatsapp","contacts":[{{"input":"x","wa_id":"x"}}],"messages":[{{"id":"{id}"}}]}}"#
    );
    tokio::spawn(async move { provider.receipts(&id, &token).await });
    ([(header::CONTENT_TYPE, "application/json")], answer)
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    text.split_once(before)?.1.split_once(after).map(|(inner, _)| inner)
}

impl Provider {
    async fn receipts(&self, id: &str, token: &str) {
        let Some(url) = self.webhook.get() else { return };
        for status in self.receipts {
            let body = format!(
                r#"{{"object":"whatsapp_business_account","entry":[{{"id":"2","changes":[{{"field":"messages","value":{{"messaging_product":"whatsapp","metadata":{{"display_phone_number":"331","phone_number_id":"1"}},"statuses":[{{"id":"{id}","status":"{status}","timestamp":"1767254403","recipient_id":"x","biz_opaque_callback_data":"{token}"}}]}}}}]}}]}}"#
            );
            let mac = signature::hmac_sha256(APP_SECRET.as_bytes(), &[body.as_bytes()]);
            let signature: String = mac.iter().map(|byte| format!("{byte:02x}")).collect();
            let request = self.client.post(url).header("X-Hub-Signature-256", format!("sha256={signature}")).body(body);
            match request.send().await {
                Ok(answer) if answer.status().is_success() => {}
                Ok(answer) => tracing::warn!(status = %answer.status(), "a receipt was not taken"),
                Err(error) => tracing::warn!(%error, "a receipt was not taken"),
            }
        }
    }
}
