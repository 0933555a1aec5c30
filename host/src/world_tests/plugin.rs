//! The plugins of a world: what they do follows from the seed and from what set them off.
//!
//! Each keeps, as its state, the list of what it saw: an effect that was lost, doubled or out of order stands there.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use serde_json::{Value, json};

use super::{chance::Chance, world::World};
use crate::{
    domain::{
        event::Event,
        message::{Author, Because, Content, NewMessage, Recipient, SmsPolicy},
        purpose::Purpose,
        run::{
            Cause, EmittedEvent, NewRun, Outcome, QueuedRun, RunFailure, RunReport, StateChange, StateEntry,
            TimerChange,
        },
        status::MessageState,
    },
    ids::{CustomerId, Entity, EntityKey, EventId, MessageId, PluginName, RunId, TenantId},
    plugin::{Execution, Finished, RetryPolicy, Routing, Work},
    run::Executor,
};

pub(super) const PLUGINS: [&str; 2] = ["orders", "parcels"];
pub(super) const ENTITIES: [&str; 3] = ["a", "b", "c"];
pub(super) const CUSTOMERS: [&str; 3] = ["ann", "bob", "cem"];
const KEYS: [&str; 2] = ["soon", "later"];
const SEEN: &str = "seen";

/// What a run does if it ends well.
#[derive(Clone, Debug, Default)]
pub(super) struct Deed {
    pub(super) messages: u32,
    /// By key: set it to so many milliseconds from now, or cancel it.
    pub(super) timers: BTreeMap<String, Option<u64>>,
    pub(super) emits: bool,
    /// Asks that its first message not be sent, a moment after it asked for it.
    pub(super) repents: bool,
    /// Executions that fail first; more than the policy allows for one that always fails.
    pub(super) fails: u32,
}

/// What set a run off, in a word that no other run of its entity has.
pub(super) fn label(cause: &Cause) -> String {
    match cause {
        Cause::Event(event) => text(&serde_json::from_str(&event.data).unwrap(), "label"),
        Cause::Timer(timer) => format!("timer:{}:{}", timer.key, timer.generation),
        Cause::Delivery(told) => format!("told:{}:{}:{}", told.message, told.state.as_str(), told.channel.as_str()),
        Cause::Message(incoming) => format!("wrote:{}", incoming.id),
    }
}

fn text(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap().to_owned()
}

/// The same run does the same whenever it is executed.
pub(super) fn deed(seed: u64, run: &NewRun) -> Deed {
    let mut chance = Chance::of(seed, &format!("deed {}", run.id));
    let mut deed = Deed::default();
    if chance.one_in(5) {
        deed.fails = if chance.one_in(5) { 99 } else { chance.within(1..=2) as u32 };
    }
    let busy = match run.cause {
        Cause::Event(_) => 2,
        Cause::Timer(_) => 4,
        Cause::Delivery(_) | Cause::Message(_) => return deed,
    };
    deed.messages = if chance.one_in(busy) { chance.within(1..=2) as u32 } else { 0 };
    for key in KEYS {
        match chance.within(0..=busy * 2) {
            0 | 1 => drop(deed.timers.insert(key.to_owned(), Some(*chance.pick(&[0, 400, 3_000, 20_000, 300_000])))),
            2 => drop(deed.timers.insert(key.to_owned(), None)),
            _ => {}
        }
    }
    deed.emits = matches!(run.cause, Cause::Event(ref event) if event.cause.is_none()) && chance.one_in(4);
    deed.repents = deed.messages > 0 && chance.one_in(6);
    deed
}

/// The runs that an event of a world sets off stand in it.
pub(super) fn event(
    tenant: &TenantId,
    label: &str,
    chance: &mut Chance,
    data_only: bool,
) -> (Value, Option<Arc<Event>>) {
    let mut to: Vec<Value> = Vec::new();
    for plugin in PLUGINS.iter().take(chance.within(1..=2) as usize) {
        to.push(json!([plugin, chance.pick(&ENTITIES)]));
    }
    let data = json!({ "label": label, "to": to });
    let event = (!data_only).then(|| {
        Arc::new(Event {
            id: EventId::of(tenant, "/world", label),
            tenant: tenant.clone(),
            source: "/world".into(),
            source_id: label.to_owned(),
            event_type: "world.happened".into(),
            subject: None,
            time: super::BEGIN,
            received: super::BEGIN,
            customer: None,
            data: Arc::from(data.to_string()),
            attributes: Vec::new(),
            cause: None,
        })
    });
    (data, event)
}

pub(super) fn route(event: &Arc<Event>) -> Vec<NewRun> {
    let data: Value = serde_json::from_str(&event.data).unwrap();
    let targets = data["to"].as_array().into_iter().flatten().enumerate();
    let run = |(no, target): (usize, &Value)| {
        let plugin = PluginName::from(target[0].as_str().unwrap());
        NewRun {
            id: RunId::of_event(event.id, &plugin, no),
            key: EntityKey { tenant: event.tenant.clone(), plugin, entity: Entity::from(target[1].as_str().unwrap()) },
            customer: None,
            cause: Cause::Event(event.clone()),
            hold_up: true,
        }
    };
    targets.map(run).collect()
}

/// What an entity has seen: the number of each run and its label, in the order of their commits.
pub(super) fn seen(entry: Option<&StateEntry>) -> Vec<(i64, String)> {
    entry.map(|entry| serde_json::from_slice(&entry.value).unwrap()).unwrap_or_default()
}

pub(super) struct Plugins {
    pub(super) world: Arc<World>,
    pub(super) host: usize,
}

pub(super) const POLICY: RetryPolicy =
    RetryPolicy { attempts: 4, first: Duration::from_secs(1), longest: Duration::from_secs(20), hold_up: true };

#[async_trait]
impl Executor for Plugins {
    fn retry(&self, _plugin: &PluginName) -> Option<RetryPolicy> {
        Some(POLICY)
    }

    fn route(&self, event: &Arc<Event>) -> Routing {
        Routing { runs: route(event), notes: Vec::new() }
    }

    async fn execute(&self, work: Work) -> Execution {
        let mut chance = self.world.draw(&format!("execution on {}", self.host));
        let took = if chance.one_in(12) { chance.within(1_000..=9_000) } else { chance.within(0..=40) };
        tokio::time::sleep(Duration::from_millis(took)).await;
        self.world.note(|| format!("host {} executes {} #{}", self.host, label(&work.run.run.cause), work.run.seq));
        let deed = deed(self.world.seed, &work.run.run);
        let result = if work.run.attempts < deed.fails {
            Err(RunFailure::Retry { message: "not yet".into(), after_ms: None, detail: None })
        } else if self.world.storms() && chance.one_in(25) {
            Err(RunFailure::Host { message: "no place".into() })
        } else {
            Ok(Finished { outcome: outcome(self.world.seed, &work, &deed), origin: None })
        };
        Execution { result, report: RunReport { plugin_version: "1".into(), ..RunReport::default() }, retry: POLICY }
    }
}

fn outcome(seed: u64, work: &Work, deed: &Deed) -> Outcome {
    let mut list = seen(work.snapshot.state.get(SEEN));
    list.push((work.run.seq, label(&work.run.run.cause)));
    let entry = StateEntry { value: serde_json::to_vec(&list).unwrap().into(), customer: None, expires: None };
    let messages: Vec<NewMessage> = (0..deed.messages).map(|no| message(seed, &work.run, no, work)).collect();
    let timers = deed.timers.iter().map(|(key, after)| {
        let change = match after {
            Some(ms) => {
                TimerChange::Set { due: work.now.plus(Duration::from_millis(*ms)), expires: None, data: "null".into() }
            }
            None => TimerChange::Cancel,
        };
        (key.clone(), change)
    });
    let emitted = deed.emits.then(|| {
        let label = format!("{}>{}", label(&work.run.run.cause), work.run.run.key.plugin);
        let mut chance = Chance::of(seed, &label);
        EmittedEvent {
            event_type: "world.followed".into(),
            subject: None,
            customer: None,
            dedup_key: None,
            attributes: Vec::new(),
            data: event(&work.run.run.key.tenant, &label, &mut chance, true).0.to_string(),
        }
    });
    Outcome {
        cancels: messages.first().filter(|_| deed.repents).map(|message| message.id).into_iter().collect(),
        messages,
        state: BTreeMap::from([(SEEN.to_owned(), StateChange::Set(entry))]),
        timers: timers.collect(),
        events: emitted.into_iter().collect(),
    }
}

fn message(seed: u64, run: &QueuedRun, no: u32, work: &Work) -> NewMessage {
    let id = MessageId::of_run(run.run.id, no);
    let mut chance = Chance::of(seed, &format!("message {id}"));
    let key = &run.run.key;
    NewMessage {
        id,
        tenant: key.tenant.clone(),
        author: Some(Author {
            run: run.run.id,
            plugin: key.plugin.clone(),
            entity: key.entity.clone(),
            notify: vec![MessageState::Delivered, MessageState::Failed, MessageState::Cancelled],
            answers: false,
            caps: crate::domain::quota::Caps::default(),
        }),
        to: Recipient::Customer(CustomerId::from(*chance.pick(&CUSTOMERS))),
        purpose: Purpose::Alert,
        because: Because::Reference("world".into()),
        content: Content { text: Some("It happened".into()), ..Content::default() },
        sms: *chance.pick(&[SmsPolicy::Fallback, SmsPolicy::Fallback, SmsPolicy::Only, SmsPolicy::Never]),
        fallback_after: None,
        expires: chance.one_in(5).then(|| work.now.plus(Duration::from_secs(200))),
        dedup_key: None,
        tag: None,
        quote: None,
        created: work.now,
    }
}
