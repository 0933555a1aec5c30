//! The simulated providers of one test: in its process, behind a real socket.

use std::{sync::Arc, time::Duration};

use relais::{
    clock::{AdjustableClock, Clock, Timestamp},
    simulator::{Options, Phone, Simulator},
};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

/// After a long test it has everything to tell that it has seen.
const ANSWER_MAX: Duration = Duration::from_secs(300);

pub(crate) struct Sim {
    pub(crate) url: String,
    /// Where its SMSC is.
    pub(crate) smsc: String,
    /// Runs with the host's clock.
    pub(crate) clock: Arc<AdjustableClock>,
    pub(crate) options: Options,
    simulator: Arc<Simulator>,
    client: reqwest::Client,
    _stops: DropGuard,
}

impl Sim {
    pub(crate) async fn start(
        start: Timestamp,
        mut options: Options,
        webhooks: String,
        client: reqwest::Client,
    ) -> Sim {
        let clock = Arc::new(AdjustableClock::starting_at(start));
        options.clock = clock.clone();
        options.webhook_base = Some(webhooks);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let simulator = Simulator::new(options.clone()).unwrap();
        let stop = CancellationToken::new();
        let smsc_listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let smsc = smsc_listener.local_addr().unwrap().to_string();
        tokio::spawn(simulator.clone().serve_smpp(smsc_listener, stop.clone().cancelled_owned()));
        tokio::spawn(simulator.clone().serve(listener, stop.clone().cancelled_owned()));
        Sim { url, smsc, clock, options, simulator, client, _stops: stop.drop_guard() }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn phone(&self, number: &str, change: impl FnOnce(&mut Phone)) {
        let mut phone = Phone::new(number, number);
        change(&mut phone);
        self.simulator.put_phone(phone).unwrap();
    }

    pub(crate) fn online(&self, number: &str, online: bool) {
        self.simulator.set_online(number, online).unwrap();
    }

    /// Whether the SMSC is there. When it goes, every session breaks.
    pub(crate) fn smsc_up(&self, up: bool) {
        self.simulator.smsc_up(up);
    }

    /// How many are bound to the SMSC.
    pub(crate) fn bound(&self) -> usize {
        self.simulator.smsc_view()["sessions"].as_array().unwrap().len()
    }

    /// Has something go wrong, in the words of the simulator's own door.
    pub(crate) async fn trouble(&self, trouble: Value) -> u64 {
        self.call(reqwest::Method::POST, "/sim/troubles", Some(trouble)).await["id"].as_u64().unwrap()
    }

    pub(crate) async fn no_trouble(&self) {
        self.call(reqwest::Method::DELETE, "/sim/troubles", None).await;
    }

    pub(crate) async fn writes(&self, number: &str, channel: &str, text: &str) -> Value {
        self.call(
            reqwest::Method::POST,
            &format!("/sim/phones/{number}/write"),
            Some(json!({"channel": channel, "text": text})),
        )
        .await
    }

    pub(crate) async fn taps(&self, number: &str, button: &str) {
        self.call(reqwest::Method::POST, &format!("/sim/phones/{number}/tap"), Some(json!({"button": button}))).await;
    }

    /// What is on the telephone's screen for one channel, the customer's own words included.
    pub(crate) async fn screen(&self, number: &str, channel: &str) -> Vec<Value> {
        let thread = self.call(reqwest::Method::GET, &format!("/sim/phones/{number}/thread"), None).await;
        thread[channel].as_array().unwrap().clone()
    }

    /// Every request that a provider saw; `query` such as `provider=meta&accepted=true`.
    pub(crate) async fn requests(&self, query: &str) -> Vec<Value> {
        let page = self.call(reqwest::Method::GET, &format!("/sim/requests?{query}"), None).await;
        assert_eq!(page["forgotten"], 0, "a ledger that forgets proves nothing");
        page["requests"].as_array().unwrap().clone()
    }

    pub(crate) async fn webhooks(&self, query: &str) -> Vec<Value> {
        let page = self.call(reqwest::Method::GET, &format!("/sim/webhooks?{query}"), None).await;
        page["webhooks"].as_array().unwrap().clone()
    }

    pub(crate) async fn call(&self, method: reqwest::Method, path: &str, body: Option<Value>) -> Value {
        let mut request = self.client.request(method, format!("{}{path}", self.url)).timeout(ANSWER_MAX);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.unwrap();
        let status = answer.status();
        let text = answer.text().await.unwrap();
        assert!(status.is_success(), "the simulator answers {status} to {path}: {text}");
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }
}
