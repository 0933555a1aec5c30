//! What was promised against what was seen: every event that the host acknowledged, every request that a provider took, and
//! every receipt that it sent.
//!
//! Each event carries a word that no other has, so that a provider's request can be told whose it is. The book is only ever
//! added to, and it is kept outside the host: what the host says of itself is held against it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Mutex,
    time::Duration,
};

use relais::clock::Timestamp;
use serde_json::{Value, json};

use super::Host;

/// A word of eight characters, none of which is the beginning of another.
pub(crate) fn word(no: u32) -> String {
    format!("ORD{no:05}")
}

/// The word of what a timer sends that the event of that number has set.
pub(crate) fn timer_word(no: u32) -> String {
    format!("TIM{no:05}")
}

#[derive(Default)]
pub(crate) struct Ledger {
    book: Mutex<Book>,
    /// How far the hosts' clocks are apart, where a test has them be: no two times of different hosts say more than that.
    pub(crate) apart: Mutex<Duration>,
}

#[derive(Default)]
struct Book {
    /// By word: what was posted, acknowledged or not.
    posted: BTreeMap<String, Posted>,
    /// Of each customer, the words in the order in which they were posted: the next one after the one before it was
    /// acknowledged.
    order: BTreeMap<String, Vec<String>>,
}

struct Posted {
    /// What the event's timer will send, and how long after it was set.
    timer: Option<(String, Duration)>,
    acknowledged: Option<Acknowledged>,
}

struct Acknowledged {
    /// The event's id, as the host says.
    id: String,
    /// By the providers' clock.
    at: Timestamp,
}

/// What became of everything, for whoever reads how a test went.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    pub(crate) events: usize,
    pub(crate) timers: usize,
    /// Requests that a provider took beyond the first for a word.
    pub(crate) duplicates: usize,
    /// Attempts whose answer the host never heard, whatever cleared it up.
    pub(crate) answers_lost: usize,
    /// Those of them that no receipt has cleared up.
    pub(crate) uncertain: usize,
}

impl Ledger {
    /// Before it is posted: without an answer nobody knows whether it was accepted.
    pub(crate) fn posting(&self, word: &str) {
        self.book.lock().unwrap().posted.entry(word.to_owned()).or_insert(Posted { timer: None, acknowledged: None });
    }

    /// The same of one customer's next event, whose order is looked at, and which may set a timer.
    pub(crate) fn posting_of(&self, customer: &str, word: &str, timer: Option<(String, Duration)>) {
        let mut book = self.book.lock().unwrap();
        book.posted.insert(word.to_owned(), Posted { timer, acknowledged: None });
        book.order.entry(customer.to_owned()).or_default().push(word.to_owned());
    }

    /// The host says that it has it: under that id, at that time by the providers' clock.
    pub(crate) fn acknowledged(&self, word: &str, id: &Value, at: Timestamp) {
        let mut book = self.book.lock().unwrap();
        let posted = book.posted.get_mut(word).expect("what is acknowledged was posted");
        posted.acknowledged.get_or_insert(Acknowledged { id: id.as_str().unwrap_or_default().to_owned(), at });
    }

    pub(crate) fn acknowledged_count(&self) -> usize {
        self.book.lock().unwrap().posted.values().filter(|posted| posted.acknowledged.is_some()).count()
    }

    /// Of each customer, the words in the order in which they were posted.
    pub(crate) fn order(&self) -> BTreeMap<String, Vec<String>> {
        self.book.lock().unwrap().order.clone()
    }

    /// How often each word was taken by a provider.
    pub(crate) async fn taken(&self, host: &Host) -> BTreeMap<String, usize> {
        let mut taken = BTreeMap::new();
        for request in host.sim.requests("accepted=true").await {
            *taken.entry(word_in(&request["body"])).or_default() += 1;
        }
        taken
    }

    /// Everything that has to arrive: of what was acknowledged, its own message and what its timer sends.
    fn owed(&self) -> BTreeSet<String> {
        let book = self.book.lock().unwrap();
        let acknowledged = book.posted.iter().filter(|(_, posted)| posted.acknowledged.is_some());
        acknowledged
            .flat_map(|(word, posted)| {
                std::iter::once(word.clone()).chain(posted.timer.iter().map(|(word, _)| word.clone()))
            })
            .collect()
    }

    /// Waits until a provider has taken everything that was acknowledged.
    pub(crate) async fn until_all_are_taken(&self, host: &Host) {
        host.until("a provider has taken everything that was acknowledged", async || {
            let taken = self.taken(host).await;
            let missing: Vec<String> = self.owed().into_iter().filter(|word| !taken.contains_key(word)).collect();
            if missing.is_empty() { Ok(()) } else { Err(format!("missing: {missing:?}")) }
        })
        .await;
    }

    /// Nothing was lost, nothing was invented, no more than `duplicates_max` words were taken again and each of them is marked
    /// as doubtful, each customer was told everything in order, no timer came early, and what every receipt said is so.
    pub(crate) async fn check(&self, host: &Host, duplicates_max: usize) -> Found {
        self.write(host).await;
        host.check_nothing_adrift().await;
        let taken = self.taken(host).await;
        // Before the messages: what a receipt said is looked for in what comes after it.
        let receipts = receipts(host).await;
        let messages = host.all_messages().await;
        let lost: Vec<_> = self.owed().into_iter().filter(|word| !taken.contains_key(word)).collect();
        assert!(lost.is_empty(), "acknowledged and never taken by a provider: {lost:?}");
        self.check_invented(&taken);
        let twice: BTreeMap<_, _> = taken.iter().filter(|(_, times)| **times > 1).collect();
        let duplicates = taken.values().sum::<usize>() - taken.len();
        assert!(duplicates <= duplicates_max, "taken more than once, {duplicates_max} are allowed: {twice:?}");
        check_marks(&messages, &taken);
        self.check_order(host).await;
        self.check_timers(host).await;
        check_receipts(&receipts, &messages);
        let book = self.book.lock().unwrap();
        let timers = book.posted.values().filter(|posted| posted.timer.is_some()).count();
        let attempts = messages.iter().flat_map(|message| message["attempts"].as_array().unwrap());
        let answers_lost = attempts.filter(|attempt| answer_was_lost(attempt)).count();
        Found { events: book.posted.len(), timers, duplicates, answers_lost, uncertain: uncertain(&messages) }
    }

    fn check_invented(&self, taken: &BTreeMap<String, usize>) {
        let book = self.book.lock().unwrap();
        let timers: BTreeSet<_> =
            book.posted.values().filter_map(|posted| posted.timer.as_ref()).map(|(word, _)| word).collect();
        let known = |word: &String| book.posted.contains_key(word) || timers.contains(word);
        let invented: Vec<_> = taken.keys().filter(|word| !known(word)).collect();
        assert!(invented.is_empty(), "taken by a provider and never posted: {invented:?}");
    }

    /// What a provider saw first of each message of a customer comes in the order of its events. A first attempt that was
    /// written down and not made, because the host was killed, is made again after the doubt: nobody saw that one first.
    async fn check_order(&self, host: &Host) {
        let mut places = BTreeMap::new();
        for request in host.sim.requests("").await {
            let token = request["tokens"][0].as_str().unwrap_or_default();
            if token.ends_with("a1") {
                places.entry(word_in(&request["body"])).or_insert(request["seq"].as_u64().unwrap());
            }
        }
        for (customer, words) in self.order() {
            let seen: Vec<_> = words.iter().filter_map(|word| Some((places.get(word)?, word))).collect();
            let wrong = seen.windows(2).find(|pair| pair[0].0 > pair[1].0);
            assert!(wrong.is_none(), "{customer} was told in another order than it was posted in: {wrong:?}");
        }
    }

    /// By the host's own word: a timer's run was not there before it was due.
    async fn check_timers(&self, host: &Host) {
        let set: BTreeMap<String, (String, Duration)> = {
            let book = self.book.lock().unwrap();
            let set = book.posted.values().filter_map(|posted| {
                let (word, after) = posted.timer.clone()?;
                Some((word, (posted.acknowledged.as_ref()?.id.clone(), after)))
            });
            set.collect()
        };
        if set.is_empty() {
            return;
        }
        let runs = host.all_runs().await;
        let accepted: BTreeMap<&str, Timestamp> = runs
            .iter()
            .filter(|run| run["kind"] == "event")
            .map(|run| (run["cause"].as_str().unwrap(), time(&run["accepted"])))
            .collect();
        let apart = *self.apart.lock().unwrap();
        let mut fired = BTreeSet::new();
        for run in runs.iter().filter(|run| run["kind"] == "timer") {
            let key = run["cause"].as_str().unwrap();
            let (event, after) = set.get(key).unwrap_or_else(|| panic!("a timer that nobody has set: {run:#}"));
            assert!(fired.insert(key), "the timer {key} has fired twice");
            let due = accepted[event.as_str()].plus(*after).minus(apart);
            assert!(time(&run["accepted"]) >= due, "it was due at {due} at the earliest: {run:#}");
        }
        let missing: Vec<_> = set.keys().filter(|key| !fired.contains(key.as_str())).collect();
        assert!(missing.is_empty(), "these timers have not fired: {missing:?}");
    }

    /// Leaves everything in the host's directory, which stays where a test fails.
    async fn write(&self, host: &Host) {
        let acknowledged: Vec<Value> = {
            let book = self.book.lock().unwrap();
            let lines = book.posted.iter().map(|(word, posted)| match &posted.acknowledged {
                Some(Acknowledged { id, at }) => json!({"word": word, "event": id, "acknowledged": at.rfc3339()}),
                None => json!({"word": word}),
            });
            lines.collect()
        };
        let requests = host.sim.requests("").await.into_iter().map(|request| {
            json!({"seq": request["seq"], "at": request["at"], "word": word_in(&request["body"]), "token": request["tokens"][0],
                "accepted": request["accepted"], "status": request["answer"]["status"]})
        });
        let receipts = host.sim.webhooks("").await.into_iter().map(
            |webhook| json!({"seq": webhook["seq"], "at": webhook["at"], "about": webhook["about"], "state": webhook["state"]}),
        );
        let ledger = json!({
            "acknowledged": acknowledged,
            "requests": requests.collect::<Vec<_>>(),
            "receipts": receipts.collect::<Vec<_>>(),
        });
        std::fs::write(host.dir().join("ledger.json"), ledger.to_string()).unwrap();
    }
}

/// An attempt may have been made although the host has no answer to it: it says so itself, with the attempt.
pub(crate) fn answer_was_lost(attempt: &Value) -> bool {
    attempt["answered"].is_null() || !attempt["decision"]["answer-lost"].is_null()
}

/// Whatever a provider took more than once is marked: before each further attempt the host had lost the answer to one.
fn check_marks(messages: &[Value], taken: &BTreeMap<String, usize>) {
    for message in messages {
        let times = taken.get(&word_in(&message["content"])).copied().unwrap_or_default();
        let lost = message["attempts"].as_array().unwrap().iter().filter(|attempt| answer_was_lost(attempt)).count();
        assert!(times <= lost + 1, "taken {times} times, and not marked as doubtful: {message:#}");
    }
}

fn uncertain(messages: &[Value]) -> usize {
    let attempts = messages.iter().flat_map(|message| message["attempts"].as_array().unwrap());
    attempts.filter(|attempt| attempt["state"] == "uncertain").count()
}

/// What the receipts that the host has taken said, by attempt.
async fn receipts(host: &Host) -> BTreeMap<String, BTreeSet<String>> {
    let mut said: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for webhook in host.sim.webhooks("state=taken").await {
        for about in webhook["about"].as_array().unwrap() {
            if let (Some(token), Some(status)) = (about["token"].as_str(), about["status"].as_str()) {
                said.entry(token.to_owned()).or_default().insert(status.to_owned());
            }
        }
    }
    assert!(!said.is_empty(), "no receipt has been taken");
    said
}

/// What a receipt that the host has taken said of an attempt is how the attempt stands, or it stands further on.
fn check_receipts(said: &BTreeMap<String, BTreeSet<String>>, messages: &[Value]) {
    for message in messages {
        for attempt in message["attempts"].as_array().unwrap() {
            let token = format!("{}a{}", message["id"].as_str().unwrap(), attempt["no"]);
            let Some(said) = said.get(&token) else { continue };
            for further in ["read", "delivered"] {
                if said.contains(further) {
                    let stands = attempt["state"].as_str().unwrap();
                    let so = stands == further || stands == "read";
                    assert!(so, "a receipt said {further} of {token}: {message:#}");
                    break;
                }
            }
        }
    }
}

fn time(value: &Value) -> Timestamp {
    Timestamp::parse(value.as_str().unwrap()).unwrap()
}

/// The word in a request's body or a message's content.
pub(crate) fn word_in(content: &Value) -> String {
    let text = content.to_string();
    let at = ["ORD", "TIM"].into_iter().find_map(|begin| text.find(begin));
    let at = at.unwrap_or_else(|| panic!("content without a word: {content:#}"));
    text[at..at + 8].to_owned()
}
