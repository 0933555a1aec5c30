//! Shops that post events from all sides while hosts come and go, and what has to be true when they are done.
//!
//! Each customer has a shop of its own, which posts the customer's events one after the other: the next one once the one
//! before it was acknowledged, by whichever host answers. So the order is known outside, whatever the hosts do.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::{sync::Semaphore, task::JoinSet};

use super::{
    Cluster, Host, Setup, Shown, Sim,
    ledger::{Found, Ledger, answer_was_lost, timer_word, word, word_in},
    steps,
};

/// One in so many events sets a timer.
const TIMER_EVERY: u32 = 10;
/// How long after its event it fires.
const TIMER_AFTER: Duration = Duration::from_secs(1);
/// A host that is paused answers nobody; a shop does not wait for it.
const ANSWER_MAX: Duration = Duration::from_secs(3);
/// Between two tries of one event.
const AGAIN_AFTER: Duration = Duration::from_millis(10);

pub(crate) struct Load {
    pub(crate) ledger: Ledger,
    customers: u32,
    sim: Arc<Sim>,
    client: reqwest::Client,
    urls: Mutex<Vec<String>>,
    /// How many events more may be posted; closed at the end.
    permits: Semaphore,
    released: AtomicUsize,
    next: AtomicU32,
    /// Customers of whom a provider takes a message and says nothing.
    doubts: AtomicUsize,
    shops: Mutex<JoinSet<()>>,
}

/// The setup for it: as many messages to each customer as there are events, as fast as they come.
pub(crate) fn setup() -> Setup {
    let setup = Setup { remembered_max: 300_000, ..Setup::tester() };
    setup.with("dispatch.whatsapp-per-second = 10000\ndispatch.pair-burst = 100000")
}

fn number(no: usize) -> String {
    format!("+3363998{no:04}")
}

impl Load {
    /// Registers the customers and opens the shops, which wait for [`Load::release`].
    pub(crate) async fn on(cluster: &Cluster, customers: u32) -> Arc<Load> {
        for no in 0..customers {
            cluster.any().customer(&format!("c{no}"), &number(no as usize)).await;
        }
        let load = Arc::new(Load {
            ledger: Ledger::default(),
            customers,
            sim: cluster.sim.clone(),
            client: cluster.any().client.clone(),
            urls: Mutex::new(cluster.urls()),
            permits: Semaphore::new(0),
            released: AtomicUsize::new(0),
            next: AtomicU32::new(0),
            doubts: AtomicUsize::new(0),
            shops: Mutex::default(),
        });
        for customer in 0..customers {
            load.shops.lock().unwrap().spawn(load.clone().shop(customer));
        }
        load
    }

    /// Lets the shops post that many events more, of whichever customers.
    pub(crate) fn release(&self, count: usize) {
        self.released.fetch_add(count, Ordering::Relaxed);
        self.permits.add_permits(count);
    }

    /// Hosts that have joined are posted to as well.
    pub(crate) fn post_to(&self, urls: Vec<String>) {
        *self.urls.lock().unwrap() = urls;
    }

    async fn shop(self: Arc<Load>, customer: u32) {
        // Each begins with another host.
        let mut at = customer as usize;
        while let Ok(permit) = self.permits.acquire().await {
            permit.forget();
            let no = self.next.fetch_add(1, Ordering::Relaxed);
            let (word, event, timer) = event_of(customer, no);
            self.ledger.posting_of(&format!("c{customer}"), &word, timer);
            while !self.post(at, &word, &event).await {
                at += 1;
                tokio::time::sleep(AGAIN_AFTER).await;
            }
        }
    }

    /// Whether it was acknowledged.
    async fn post(&self, at: usize, word: &str, event: &str) -> bool {
        let url = {
            let urls = self.urls.lock().unwrap();
            format!("{}/v1/events", urls[at % urls.len()])
        };
        let request = self.client.post(&url).header("content-type", "application/cloudevents+json");
        // No answer: nobody knows whether it was accepted, and it is posted again.
        let Ok(answer) = request.timeout(ANSWER_MAX).body(event.to_owned()).send().await else { return false };
        let status = answer.status().as_u16();
        let waits = answer.headers().contains_key("retry-after");
        let Ok(text) = answer.text().await else { return false };
        match status {
            202 => {
                let body: Value = serde_json::from_str(&text).unwrap();
                self.ledger.acknowledged(word, &body["id"], self.sim.now());
                true
            }
            // It is going down, or its store is, and it says so.
            503 if waits => false,
            _ => panic!("{status} to {word}: {text}"),
        }
    }

    /// Events to be posted in one piece, with their words.
    pub(crate) fn batch(&self, count: u32) -> (Vec<String>, Value) {
        let (mut words, mut batch) = (Vec::new(), Vec::new());
        for at in 0..count {
            let (customer, no) = (at % self.customers, self.next.fetch_add(1, Ordering::Relaxed));
            let (word, event, timer) = event_of(customer, no);
            self.ledger.posting_of(&format!("c{customer}"), &word, timer);
            batch.push(serde_json::from_str::<Value>(&event).unwrap());
            words.push(word);
        }
        self.released.fetch_add(words.len(), Ordering::Relaxed);
        (words, json!(batch))
    }

    /// Returns once that many events were acknowledged in all.
    pub(crate) async fn until_acknowledged(&self, host: &Host, wanted: usize) {
        host.until(&format!("{wanted} events are acknowledged"), async || {
            let now = self.ledger.acknowledged_count();
            if now >= wanted { Ok(()) } else { Err(now.to_string()) }
        })
        .await;
    }

    /// A customer of its own of whom a provider takes the message and neither answers nor reports: it may arrive twice.
    pub(crate) async fn doubt(&self, host: &Host) {
        let no = self.doubts.fetch_add(1, Ordering::Relaxed);
        let (name, phone) = (format!("d{no}"), number(9_000 + no));
        let once = |kind: &str| json!({"kind": kind, "phone": phone, "times": 1});
        host.customer(&name, &phone).await;
        self.sim.trouble(once("drop-receipts")).await;
        self.sim.trouble(once("reset")).await;
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let (word, event) = (word(number), event_about(&name, &name, json!([send(&word(number))]), number));
        self.ledger.posting(&word);
        self.released.fetch_add(1, Ordering::Relaxed);
        let mut at = 0;
        while !self.post(at, &word, &event).await {
            at += 1;
            tokio::time::sleep(AGAIN_AFTER).await;
        }
        let query = format!("accepted=true&to=%2B{}", &phone[1..]);
        host.until_eq("the provider has taken it and said nothing", 1, async || self.sim.requests(&query).await.len())
            .await;
    }

    /// Posts the rest, waits until all of it is with a provider and no doubt is left, and holds everything against the ledger.
    pub(crate) async fn finish(&self, cluster: &Cluster) -> Found {
        self.all_is_posted(cluster).await;
        until_only_doubt_is_left(cluster.any()).await;
        pass_doubt(&cluster.running()).await;
        self.check(cluster).await
    }

    /// The same where nothing can be in doubt, and no clock can be moved.
    pub(crate) async fn finish_without_doubt(&self, cluster: &Cluster) -> Found {
        self.all_is_posted(cluster).await;
        self.check(cluster).await
    }

    async fn all_is_posted(&self, cluster: &Cluster) {
        let released = self.released.load(Ordering::Relaxed);
        self.until_acknowledged(cluster.any(), released).await;
        self.permits.close();
        let shops = std::mem::take(&mut *self.shops.lock().unwrap());
        shops.join_all().await;
    }

    /// Waits until nothing is left to be done, and compares.
    async fn check(&self, cluster: &Cluster) -> Found {
        let host = cluster.any();
        until_only_doubt_is_left(host).await;
        self.ledger.until_all_are_taken(host).await;
        host.until("all messages have been read", async || none_of(unread(host).await.into_iter())).await;
        let found = self.ledger.check(host, self.doubts.load(Ordering::Relaxed)).await;
        self.check_figures(host, &found).await;
        self.check_entities(host).await;
        host.check_nothing_is_open().await;
        for host in cluster.running() {
            host.check_nothing_adrift().await;
        }
        found
    }

    /// The host's own figures are those of the ledger.
    async fn check_figures(&self, host: &Host, found: &Found) {
        let messages = found.events + found.timers;
        host.until_eq(
            "its figures are the ledger's",
            json!([found.events, {"read": messages}, 0, found.uncertain]),
            async || {
                let stats = host.stats().await;
                json!([stats["events"], stats["messages_by_state"], stats["timers"], stats["uncertain_attempts"]])
            },
        )
        .await;
    }

    /// Each customer's entity remembers what it was told, once and in order.
    async fn check_entities(&self, host: &Host) {
        let order = self.ledger.order();
        for no in 0..self.customers {
            let name = format!("c{no}");
            let told = host.event(steps(&name, &name, json!([{"tell": {"key": "list"}}]))).await;
            let wanted = order.get(&name).map(|words| words.join(",")).unwrap_or_default();
            assert_eq!(told["results"][0]["report"]["log"][0]["message"], format!("list is {wanted}"), "{name}");
        }
    }
}

/// Every run has ended, every timer has fired, and every message has been read but for those of whose attempt nothing is known.
pub(crate) async fn until_only_doubt_is_left(host: &Host) {
    host.until("nothing is left to do but to clear up doubts", async || {
        let stats = host.stats().await;
        if stats["open_runs"] != 0 || stats["timers"] != 0 {
            return Err(stats.to_string());
        }
        none_of(unread(host).await.into_iter().filter(|message| !is_in_doubt(message)))
    })
    .await;
}

fn send(text: &str) -> Value {
    json!({"send": {"text": text, "sms": "never"}})
}

/// The event of that number, about one customer: it says its word, and remembers that it has.
fn event_of(customer: u32, no: u32) -> (String, String, Option<(String, Duration)>) {
    let (name, word) = (format!("c{customer}"), word(no));
    let mut script = vec![json!({"append": {"key": "list", "word": word}}), send(&word)];
    let timer = no.is_multiple_of(TIMER_EVERY).then(|| (timer_word(no), TIMER_AFTER));
    if let Some((timer, after)) = &timer {
        script.push(json!({"timer": {"key": timer, "after_s": after.as_secs(), "steps": [send(timer)]}}));
    }
    let event = event_about(&name, &name, json!(script), no);
    (word, event, timer)
}

fn event_about(customer: &str, entity: &str, script: Value, no: u32) -> String {
    let mut event = steps(customer, entity, script);
    event["id"] = json!(word(no));
    event.to_string()
}

async fn unread(host: &Host) -> Vec<Value> {
    let mut unread = Vec::new();
    for state in ["pending", "sent", "delivered", "falling-back", "failed", "expired", "cancelled"] {
        unread.extend(host.messages_in(state).await);
    }
    unread
}

fn is_in_doubt(message: &Value) -> bool {
    let last = message["attempts"].as_array().unwrap().last();
    last.is_some_and(|last| last["state"] == "planned" || last["state"] == "uncertain")
}

fn none_of(messages: impl Iterator<Item = Value>) -> Result<(), String> {
    let ways: Vec<_> = messages.map(|message| format!("{}: {}", message["id"], message.way())).collect();
    if ways.is_empty() { Ok(()) } else { Err(ways.join("; ")) }
}

/// An attempt of which nothing is known is in doubt half a minute after it was begun, and doubt lasts a minute from there.
pub(crate) async fn pass_doubt(hosts: &[&Host]) {
    for host in hosts {
        host.advance("31s").await;
    }
    let host = hosts[0];
    host.until("every attempt whose answer is not known is in doubt", async || {
        let planned = unread(host).await.into_iter().filter(|message| message.way().ends_with("planned"));
        none_of(planned)
    })
    .await;
    for host in hosts {
        host.advance("61s").await;
    }
}

/// The id of the one message with each word.
pub(crate) async fn ids_by_word(host: &Host) -> BTreeMap<String, String> {
    let mut ids = BTreeMap::new();
    for message in host.all_messages().await {
        let twin = ids.insert(word_in(&message["content"]), message["id"].as_str().unwrap().to_owned());
        assert_eq!(twin, None, "two messages for one event: {message:#}");
    }
    ids
}

/// Each request that a provider took is the attempt it says it is, of the message that the store knows, and none was made
/// twice. A further attempt was only made where the answer to the one before it was lost.
pub(crate) async fn check_attempts(host: &Host) {
    let ids = ids_by_word(host).await;
    let mut seen = std::collections::BTreeSet::new();
    for request in host.sim.requests("accepted=true").await {
        let token = request["tokens"][0].as_str().unwrap().to_owned();
        // `m` and 26 letters and digits, `a` and the attempt's number.
        let (message, _) = token.split_at(27);
        assert_eq!(ids.get(&word_in(&request["body"])).map(String::as_str), Some(message), "{request:#}");
        assert!(seen.insert(token), "an attempt was made twice: {request:#}");
    }
    for message in host.all_messages().await {
        for pair in message["attempts"].as_array().unwrap().windows(2) {
            assert!(answer_was_lost(&pair[0]), "{message:#}");
        }
    }
}

/// How long each of something took, in one line.
pub(crate) fn spread(mut took: Vec<Duration>) -> String {
    took.sort();
    let (median, longest) = (took.get(took.len() / 2), took.last());
    format!("median {:.0?}, longest {:.0?}", median.copied().unwrap_or_default(), longest.copied().unwrap_or_default())
}

/// How long something takes.
pub(crate) async fn timed<T>(work: impl Future<Output = T>) -> (T, Duration) {
    let began = Instant::now();
    let done = work.await;
    (done, began.elapsed())
}
