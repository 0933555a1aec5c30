//! The verbs of an event's life, one after the other for all events: accepted, run, its message planned, answered, its receipt
//! heard. Each verb is called by so many tasks at once.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};

use super::place::{Clocks, Host, Spent};
use crate::{
    clock::{Clock, SystemClock, Timestamp},
    domain::{
        customer::Channel,
        event::Event,
        message::{Answer, Attempt, Because, Content, MessageRecord, NewMessage, Next, Recipient, SmsPolicy},
        purpose::Purpose,
        run::{Cause, EntityKey, Flow, NewRun, Outcome, QueuedRun, RunReport, StateChange, StateEntry, TimerChange},
        status::AttemptState,
    },
    ids::{AttemptToken, CustomerId, Entity, EventId, MessageId, PluginName, RunId, TenantId},
    store::{Changed, Committed, MessageChange, MessageChangeKind, Receipt, RoutedEvent, RunCommit, Store},
};

/// How long nothing may come before it is taken for lost.
const HANDED_OVER_MAX: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 3600);
/// How often what a host does now and then is done, to see what it costs.
const LOOKS: usize = 200;

pub(super) const VERBS: [&str; 7] =
    ["accept_events", "commit_run", "begin", "answer", "record_receipts", "fire_timers", "look"];
/// Those that every event costs.
pub(super) const EACH: usize = 5;

/// What a verb cost, for all events together.
#[derive(Clone, Copy, Default)]
pub(super) struct Cost {
    pub calls: usize,
    pub took: Duration,
    pub spent: Spent,
    pub transactions: u64,
}

pub(super) struct Life<'h> {
    pub hosts: &'h mut [Host],
    pub clocks: &'h Clocks,
    pub in_flight: usize,
    /// Names what no other life has.
    pub name: String,
}

type Given<T> = Vec<(usize, T)>;

impl Life<'_> {
    /// Lives through it for so many events, and returns the cost of each verb, in the order of [`VERBS`].
    pub(super) async fn of(&mut self, events: usize) -> anyhow::Result<Vec<Cost>> {
        let flow = Flow { tenant: TenantId::from("bench"), plugin: PluginName::from(&*self.name) };
        let mut costs = Vec::new();
        let count = self.hosts.len();
        let routed = (0..events).map(|no| (no % count, event(&flow, no))).collect();
        self.each(&mut costs, routed, accept).await?;
        let runs = self.handed_runs(&flow, events).await?;
        let sent = self.each(&mut costs, runs, commit).await?;
        let sent = sent.into_iter().map(|(_, message)| message).collect();
        let messages = self.handed_messages(&flow.tenant, sent).await?;
        let begun = self.each(&mut costs, messages, begin).await?;
        let answered = self.each(&mut costs, begun, answer).await?;
        let told = answered.into_iter().enumerate().map(|(no, (_, message))| (no % count, message)).collect();
        self.each(&mut costs, told, hear).await?;
        let looks = || (0..LOOKS).map(|_| (0, flow.clone())).collect::<Given<Flow>>();
        self.each(&mut costs, looks(), fire).await?;
        self.each(&mut costs, looks(), look).await?;
        Ok(costs)
    }

    fn transactions(&self) -> u64 {
        self.hosts.iter().map(Host::transactions).sum()
    }

    /// Does `work` to each, on its host, `in_flight` of them at a time over all hosts.
    async fn each<I, O, F, W>(&self, costs: &mut Vec<Cost>, items: Given<I>, work: F) -> anyhow::Result<Given<O>>
    where
        I: Send + 'static,
        O: Send + 'static,
        F: Fn(Arc<dyn Store>, I) -> W + Send + Copy + 'static,
        W: Future<Output = anyhow::Result<O>> + Send,
    {
        let calls = items.len();
        let queue = Arc::new(Mutex::new(items.into_iter()));
        let stores: Vec<Arc<dyn Store>> = self.hosts.iter().map(|host| host.store.clone()).collect();
        let (transactions, spent, began) = (self.transactions(), self.clocks.now()?, Instant::now());
        let tasks = (0..self.in_flight).map(|_| {
            let (queue, stores) = (queue.clone(), stores.clone());
            tokio::spawn(async move {
                let mut done = Vec::new();
                loop {
                    let next = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
                    let Some((host, item)) = next else { return anyhow::Ok(done) };
                    let store = stores.get(host).cloned().context("there is no such host")?;
                    done.push((host, work(store, item).await?));
                }
            })
        });
        let tasks: Vec<_> = tasks.collect();
        let mut done = Vec::with_capacity(calls);
        for task in tasks {
            done.extend(task.await??);
        }
        let took = began.elapsed();
        let spent = self.clocks.now()?.since(spent);
        costs.push(Cost { calls, took, spent, transactions: self.transactions() - transactions });
        Ok(done)
    }

    /// What the commits have handed to the hosts, by whoever's shard it is.
    async fn handed_runs(&mut self, flow: &Flow, count: usize) -> anyhow::Result<Given<QueuedRun>> {
        let mut found = BTreeMap::new();
        let began = Instant::now();
        while found.len() < count {
            for (no, host) in self.hosts.iter_mut().enumerate() {
                while let Ok(run) = host.inlets.runs.queue.try_recv() {
                    found.insert(run.seq, (no, run));
                }
                if host.inlets.runs.take_missed() {
                    let limit = u32::try_from(count)?;
                    let open = host.store.open_runs(flow, 0, limit).await?;
                    found.extend(open.into_iter().map(|run| (run.seq, (no, run))));
                }
            }
            wait(began, found.len(), count).await?;
        }
        Ok(found.into_values().filter(|(_, run)| run.run.key.plugin == flow.plugin).collect())
    }

    async fn handed_messages(
        &mut self,
        tenant: &TenantId,
        wanted: HashSet<MessageId>,
    ) -> anyhow::Result<Given<MessageRecord>> {
        let mut found = HashMap::new();
        let began = Instant::now();
        while found.len() < wanted.len() {
            for (no, host) in self.hosts.iter_mut().enumerate() {
                let mut come = Vec::new();
                while let Ok(message) = host.inlets.messages.queue.try_recv() {
                    come.push(message);
                }
                if host.inlets.messages.take_missed() {
                    come.extend(host.store.open_messages(tenant, 0, u32::try_from(wanted.len())?).await?);
                }
                let come = come.into_iter().filter(|message| wanted.contains(&message.message.id));
                found.extend(come.map(|message| (message.message.id, (no, message))));
            }
            wait(began, found.len(), wanted.len()).await?;
        }
        Ok(found.into_values().collect())
    }
}

async fn wait(began: Instant, found: usize, count: usize) -> anyhow::Result<()> {
    if began.elapsed() > HANDED_OVER_MAX {
        bail!("of {count} rows that were to be handed over {found} came");
    }
    if found < count {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

fn now() -> Timestamp {
    SystemClock::new().now()
}

async fn accept(store: Arc<dyn Store>, routed: RoutedEvent) -> anyhow::Result<()> {
    store.accept_events(vec![routed]).await?;
    Ok(())
}

async fn commit(store: Arc<dyn Store>, run: QueuedRun) -> anyhow::Result<MessageId> {
    let snapshot = store.load_entity(&run.run.key, now()).await?;
    let message = message(&run);
    let id = message.id;
    let value = StateEntry { value: Arc::from(&b"{\"count\":1}"[..]), customer: None, expires: None };
    let timer = TimerChange::Set { due: now().plus(DAY * 3650), expires: None, data: "{}".to_owned() };
    let outcome = Outcome {
        messages: vec![message],
        state: BTreeMap::from([("seen".to_owned(), StateChange::Set(value))]),
        timers: BTreeMap::from([("later".to_owned(), timer)]),
        ..Outcome::default()
    };
    let report = RunReport { plugin_version: "1.0.0".to_owned(), took_us: 40, ..RunReport::default() };
    let commit =
        RunCommit { run, version: snapshot.version, outcome, emitted: Vec::new(), origin: None, report, now: now() };
    match store.commit_run(commit).await? {
        Committed::Done(_) => Ok(id),
        other => bail!("a run that nobody else knows of did not commit: {other:?}"),
    }
}

async fn begin(store: Arc<dyn Store>, message: MessageRecord) -> anyhow::Result<MessageRecord> {
    let kind = MessageChangeKind::Begin { attempt: attempt(message.message.id), look_again: now().plus(DAY) };
    change(store, message, kind).await
}

async fn answer(store: Arc<dyn Store>, message: MessageRecord) -> anyhow::Result<MessageRecord> {
    let answer = Answer::Accepted { provider_id: provider_id(message.message.id) };
    change(store, message, MessageChangeKind::Answer { no: 1, answer, next: Next::At(now().plus(DAY)), waits: None })
        .await
}

async fn change(
    store: Arc<dyn Store>,
    message: MessageRecord,
    kind: MessageChangeKind,
) -> anyhow::Result<MessageRecord> {
    let tenant = message.message.tenant.clone();
    let change = MessageChange { tenant, message: message.message.id, revision: message.revision, kind, now: now() };
    match store.change_message(change).await? {
        Changed::Done(record) => Ok(*record),
        other => bail!("a message that nobody else knows of did not change: {other:?}"),
    }
}

async fn hear(store: Arc<dyn Store>, message: MessageRecord) -> anyhow::Result<()> {
    let id = message.message.id;
    let receipt = Receipt {
        tenant: message.message.tenant.clone(),
        provider: "meta".to_owned(),
        token: Some(AttemptToken { message: id, attempt: 1 }),
        provider_id: Some(provider_id(id)),
        state: AttemptState::Delivered,
        time: now(),
        failure: None,
        pricing: None,
    };
    let recorded = store.record_receipts(vec![receipt], now()).await?;
    if recorded != [crate::store::Recorded::New] {
        bail!("a receipt that was sent once was not new: {recorded:?}");
    }
    Ok(())
}

async fn fire(store: Arc<dyn Store>, _: Flow) -> anyhow::Result<()> {
    store.fire_timers(now(), 1000).await?;
    Ok(())
}

/// What the sweep reads: whose runs are open, those of one flow and their numbers, and whose messages have come due.
async fn look(store: Arc<dyn Store>, flow: Flow) -> anyhow::Result<()> {
    store.open_flows().await?;
    store.open_runs(&flow, 0, 1000).await?;
    store.open_run_seqs(&flow, 0, i64::MAX, 1000).await?;
    store.due_tenants(now()).await?;
    Ok(())
}

fn event(flow: &Flow, no: usize) -> RoutedEvent {
    let customer = CustomerId::new(format!("c{}", no % 1000));
    let event = Arc::new(Event {
        id: EventId::of(&flow.tenant, "/bench", &format!("{}/{no}", flow.plugin.as_str())),
        tenant: flow.tenant.clone(),
        source_id: format!("{}/{no}", flow.plugin.as_str()),
        source: "/bench".to_owned(),
        event_type: "com.example.order.ready".to_owned(),
        subject: Some(format!("order/{no}")),
        time: now(),
        received: now(),
        customer: Some(customer.clone()),
        data: r#"{"order":"A-1042","shop":"Rue de Rennes","until":"19:00"}"#.into(),
        attributes: Vec::new(),
        cause: None,
    });
    let key = EntityKey {
        tenant: flow.tenant.clone(),
        plugin: flow.plugin.clone(),
        entity: Entity::new(format!("order/{no}")),
    };
    let run = NewRun {
        id: RunId::of_event(event.id, &flow.plugin, 0),
        key,
        customer: Some(customer),
        cause: Cause::Event(event.clone()),
        hold_up: true,
    };
    RoutedEvent { event, runs: vec![run], notes: Vec::new() }
}

fn message(run: &QueuedRun) -> NewMessage {
    let because = match &run.run.cause {
        Cause::Event(event) => Because::Event(event.id),
        other => Because::Reference(other.name()),
    };
    NewMessage {
        id: MessageId::of_run(run.run.id, 0),
        tenant: run.run.key.tenant.clone(),
        author: None,
        to: Recipient::Customer(run.run.customer.clone().unwrap_or_else(|| CustomerId::new("nobody"))),
        purpose: Purpose::Alert,
        because,
        content: Content {
            text: Some("Your order A-1042 is ready: Rue de Rennes, until 19:00.".to_owned()),
            ..Content::default()
        },
        sms: SmsPolicy::Fallback,
        fallback_after: None,
        expires: None,
        dedup_key: None,
        tag: Some("ready".to_owned()),
        quote: None,
        created: now(),
    }
}

fn attempt(message: MessageId) -> Attempt {
    Attempt {
        no: 1,
        channel: Channel::Whatsapp,
        provider: "meta".to_owned(),
        account: "main".to_owned(),
        address: format!("+33639{}", message.0.iter().take(3).map(|byte| format!("{byte:03}")).collect::<String>()),
        state: AttemptState::Planned,
        provider_id: None,
        rendition: "text".to_owned(),
        parts: 1,
        price_micros: Some(50_000),
        planned: now(),
        answered: None,
        failure: None,
        decision: serde_json::json!({ "route": "meta" }),
        tally: crate::domain::tally::Tally {
            country: Some("FR".into()),
            currency: Some("EUR".into()),
            ..Default::default()
        },
    }
}

fn provider_id(message: MessageId) -> String {
    format!("wamid.{message}")
}
