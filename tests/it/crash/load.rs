//! Killed and stopped at random moments while events come in from all sides.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::{pass_doubt, random::Random};
use crate::harness::{
    Host, Setup, Shown,
    ledger::{Ledger, word},
    order_ready,
};

/// Customers who are written to at the same time.
const CUSTOMERS: u32 = 20;
const ROUNDS: u32 = 10;
/// Events of a round.
const EVENTS: u32 = 50;
/// Who posts at the same time.
const SHOPS: u32 = 8;
/// How long a host may take to be ready again: seconds, on a machine that does other things as well.
const READY_MAX: Duration = Duration::from_secs(10);

fn number(no: u32) -> String {
    format!("+336399813{no:02}")
}

async fn host() -> Host {
    let host = Host::start(Setup::new()).await;
    for no in 0..CUSTOMERS {
        host.customer(&format!("c{no}"), &number(no)).await;
    }
    host
}

/// Shops that post events, each under an id of its own, and keep those for another time that got no answer.
struct Load {
    url: String,
    client: reqwest::Client,
    ledger: Ledger,
    next: AtomicU32,
    unanswered: Mutex<Vec<u32>>,
}

impl Load {
    fn on(host: &Host) -> Arc<Load> {
        let (url, client) = (format!("{}/v1/events", host.url), host.client.clone());
        Arc::new(Load { url, client, ledger: Ledger::default(), next: AtomicU32::new(0), unanswered: Mutex::default() })
    }

    /// Lets the shops post: first what got no answer before, then `count` new events. They go on while the host is killed.
    fn begin(self: &Arc<Load>, count: u32) -> JoinSet<()> {
        let first = self.next.fetch_add(count, Ordering::Relaxed);
        let mut numbers = std::mem::take(&mut *self.unanswered.lock().unwrap());
        numbers.extend(first..first + count);
        numbers.reverse();
        let numbers = Arc::new(Mutex::new(numbers));
        let mut shops = JoinSet::new();
        for _ in 0..SHOPS {
            let (load, numbers) = (self.clone(), numbers.clone());
            shops.spawn(async move {
                while let Some(no) = { numbers.lock().unwrap().pop() } {
                    load.post(no).await;
                }
            });
        }
        shops
    }

    async fn post(&self, no: u32) {
        let word = word(no);
        let mut event = order_ready(&format!("c{}", no % CUSTOMERS), &word);
        event["id"] = json!(word);
        self.ledger.posting(&word);
        let request = self.client.post(&self.url).header("content-type", "application/cloudevents+json");
        match request.body(event.to_string()).send().await {
            Ok(answer) if answer.status() == 202 => self.ledger.acknowledged(&word),
            // It is going down, and says so.
            Ok(answer) if answer.status() == 503 => self.unanswered.lock().unwrap().push(no),
            Ok(answer) => panic!("{answer:?}"),
            Err(_) => self.unanswered.lock().unwrap().push(no),
        }
    }

    /// Returns once that many events more than `before` were acknowledged.
    async fn until_acknowledged(&self, host: &Host, before: usize, more: usize) {
        let wanted = before + more;
        host.until(&format!("{wanted} events are acknowledged"), async || {
            let now = self.ledger.acknowledged_count();
            if now >= wanted { Ok(()) } else { Err(now.to_string()) }
        })
        .await;
    }

    /// Posts until everything is acknowledged, and waits until all of it is with a provider and no doubt is left.
    async fn finish(self: &Arc<Load>, host: &Host) {
        self.begin(0).join_all().await;
        let posted = self.next.load(Ordering::Relaxed) as usize;
        assert_eq!(self.ledger.acknowledged_count(), posted, "a host that runs answers");
        until_only_doubt_is_left(host).await;
        pass_doubt(host).await;
        self.ledger.until_all_are_taken(host).await;
        host.until("all messages have been read", async || {
            let all = host.all_messages().await;
            let open: Vec<_> = all.into_iter().filter(|message| message["state"] != "read").collect();
            if open.is_empty() { Ok(()) } else { Err(open.iter().map(Shown::way).collect::<Vec<_>>().join("; ")) }
        })
        .await;
        self.ledger.check(host, 0).await;
    }
}

/// Every message has been read, but for those of whose attempt the host does not know whether it was made.
async fn until_only_doubt_is_left(host: &Host) {
    host.until("nothing is left to do but to clear up doubts", async || {
        let stats = host.stats().await;
        if stats["open_runs"] != 0 {
            return Err(stats.to_string());
        }
        let mut open = host.all_messages().await;
        open.retain(|message| {
            let last = message["attempts"].as_array().unwrap().last();
            let doubt = last.is_some_and(|last| last["state"] == "planned" || last["state"] == "uncertain");
            message["state"] != "read" && !doubt
        });
        if open.is_empty() { Ok(()) } else { Err(open.iter().map(Shown::way).collect::<Vec<_>>().join("; ")) }
    })
    .await;
}

/// The id of the one message with each word.
async fn ids_by_word(host: &Host) -> BTreeMap<String, String> {
    let mut ids = BTreeMap::new();
    for message in host.all_messages().await {
        let content = message["content"].to_string();
        let at = content.find("ORD").unwrap_or_else(|| panic!("no word: {message:#}"));
        let word = content[at..at + 8].to_owned();
        let twin = ids.insert(word, message["id"].as_str().unwrap().to_owned());
        assert_eq!(twin, None, "two messages for one event: {message:#}");
    }
    ids
}

/// Each request that a provider took is the attempt it says it is, of the message that the store knows, and none was made
/// twice. A further attempt was only made where the answer to the one before it was lost.
async fn check_attempts(host: &Host, ids: &BTreeMap<String, String>) {
    let mut seen = BTreeSet::new();
    for request in host.sim.requests("accepted=true").await {
        let token = request["tokens"][0].as_str().unwrap().to_owned();
        // `m` and 26 letters and digits, `a` and the attempt's number.
        let (message, _) = token.split_at(27);
        let body = request["body"].to_string();
        let at = body.find("ORD").unwrap();
        assert_eq!(ids.get(&body[at..at + 8]).map(String::as_str), Some(message), "{request:#}");
        assert!(seen.insert(token), "an attempt was made twice: {request:#}");
    }
    for message in host.all_messages().await {
        for again in message["attempts"].as_array().unwrap().iter().skip(1) {
            let why = again["decision"]["why"].as_str().unwrap();
            assert!(why.contains("was lost"), "{message:#}");
        }
    }
}

/// How many attempts were in doubt, whatever became of them.
async fn answers_lost(host: &Host) -> usize {
    let messages = host.all_messages().await;
    let attempts = messages.iter().flat_map(|message| message["attempts"].as_array().unwrap());
    attempts.filter(|attempt| attempt["answered"].is_null() || !attempt["decision"]["answer-lost"].is_null()).count()
}

#[tokio::test]
async fn killed_at_random_moments_under_load_everything_acknowledged_arrives_once() {
    let mut random = Random::new();
    let mut host = host().await;
    // Attempts are under way at most moments: the provider has taken the message, and its answer is still to come.
    host.sim.trouble(json!({"kind": "slow", "delay_ms": 30})).await;
    let load = Load::on(&host);
    let mut known = BTreeMap::new();
    for round in 1..=ROUNDS {
        let before = load.ledger.acknowledged_count();
        let shops = load.begin(EVENTS);
        load.until_acknowledged(&host, before, random.below(u64::from(EVENTS)) as usize).await;
        // Not to wait for anything: the moment is what is tested.
        tokio::time::sleep(Duration::from_micros(random.below(30_000))).await;
        host.kill().await;
        shops.join_all().await;

        let began = Instant::now();
        host.launch().await;
        let took = began.elapsed();
        let unanswered = load.unanswered.lock().unwrap().len();
        println!("round {round}: {unanswered} events without an answer, ready again after {took:?}");
        assert!(took < READY_MAX, "{took:?}");
        // Whatever was there is there still, under the same id.
        let now = ids_by_word(&host).await;
        for (word, id) in &known {
            assert_eq!(now.get(word), Some(id), "the message of {word} is gone or another one");
        }
        known = now;
    }
    load.finish(&host).await;
    let ids = ids_by_word(&host).await;
    assert!(known.iter().all(|(word, id)| ids.get(word) == Some(id)));
    assert_eq!(ids.len(), (ROUNDS * EVENTS) as usize, "one message for each event");
    check_attempts(&host, &ids).await;
    let lost = answers_lost(&host).await;
    println!("the answers to {lost} attempts were lost");
    assert!(lost > 0, "no kill came between an attempt and its answer");
}

#[tokio::test]
async fn killed_right_after_the_answer_nothing_of_a_batch_is_lost() {
    let mut host = host().await;
    let load = Load::on(&host);
    let batch: Vec<Value> = (0..200)
        .map(|no| {
            load.ledger.posting(&word(no));
            order_ready(&format!("c{}", no % CUSTOMERS), &word(no))
        })
        .collect();
    let answer = host.post_event("/v1/events", &json!(batch)).await;
    host.kill().await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    (0..200).for_each(|no| load.ledger.acknowledged(&word(no)));
    load.next.store(200, Ordering::Relaxed);
    host.launch().await;
    load.finish(&host).await;
    check_attempts(&host, &ids_by_word(&host).await).await;
}

#[tokio::test]
async fn stopped_under_load_it_ends_well_and_leaves_no_doubt() {
    let mut random = Random::new();
    let mut host = host().await;
    // Attempts are always under way.
    host.sim.trouble(json!({"kind": "slow", "delay_ms": 100})).await;
    let load = Load::on(&host);
    for _ in 0..3 {
        let before = load.ledger.acknowledged_count();
        let shops = load.begin(EVENTS);
        load.until_acknowledged(&host, before, 1 + random.below(u64::from(EVENTS)) as usize).await;
        host.stop().await;
        shops.join_all().await;
        host.launch().await;
    }
    load.finish(&host).await;
    for message in host.all_messages().await {
        assert_eq!(message.way(), "whatsapp read", "{message:#}");
    }
    assert_eq!(answers_lost(&host).await, 0, "what was under way was waited for, and its answer written down");
    check_attempts(&host, &ids_by_word(&host).await).await;
}
