//! The host of a test, and the hand that plays a day in it.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::calendar;
use super::cloudevent;
use super::customer::Customer;
use super::manifest::{Manifest, Subscription, type_matches};
use super::path::{fill, look_up};
use super::store::{Refusal, Sent, Store};
use super::transaction::{Answers, Transaction, execute};
use crate::http::{HttpError, Request, Response};
use crate::log::Level;
use crate::messages::{Delivery, DeliveryState, Incoming, MessageId};
use crate::timers::Timer;
use crate::{Error, Event, Instant, Outcome, Plugin};

/// Free content is allowed for this long after the customer has written: WhatsApp's rule.
const WINDOW: Duration = Duration::from_hours(24);

/// A host with one plugin, some customers and a clock that stands still until the test moves it.
pub struct World {
    manifest: Rc<Manifest>,
    config: Value,
    handlers: Handlers,
    now: Instant,
    store: Store,
    seen: BTreeSet<(String, String)>,
    runs: u32,
    answers: Answers,
    log: Vec<(Level, String)>,
}

#[derive(Clone, Copy)]
struct Handlers {
    on_event: fn(Event) -> Outcome,
    on_timer: fn(Timer) -> Outcome,
    on_delivery: fn(Delivery) -> Outcome,
    on_message: fn(Incoming) -> Outcome,
}

impl World {
    /// A world with the plugin and its manifest: `World::from_manifest::<MyPlugin>(include_str!("../plugin.toml"))`.
    /// It is eight in the morning in Paris on 1 August 2018, a Wednesday.
    ///
    /// # Panics
    /// If the manifest is wrong: the test is to fail.
    #[expect(clippy::panic, reason = "a wrong manifest fails the test")]
    pub fn from_manifest<P: Plugin>(manifest: &str) -> World {
        let manifest = Manifest::read(manifest).unwrap_or_else(|error| panic!("{error}"));
        let config = serde_json::to_value(&manifest.config.defaults)
            .unwrap_or_else(|error| panic!("plugin.toml, config.defaults: {error}"));
        World {
            manifest: Rc::new(manifest),
            config,
            handlers: Handlers {
                on_event: P::on_event,
                on_timer: P::on_timer,
                on_delivery: P::on_delivery,
                on_message: P::on_message,
            },
            now: Instant::from_millis(1_533_103_200_000),
            store: Store::default(),
            seen: BTreeSet::new(),
            runs: 0,
            answers: Rc::new(|_| Err(HttpError::Unreachable("the test answers no requests; see `answer_http`".into()))),
            log: Vec::new(),
        }
    }

    /// One more customer, or the same one changed.
    pub fn add(&mut self, customer: Customer) {
        self.store.customers.insert(customer.id.clone(), customer);
    }

    /// A setting of the operator, over the manifest's default.
    pub fn set_config(&mut self, name: &str, value: impl Into<Value>) {
        if let Some(settings) = self.config.as_object_mut() {
            settings.insert(name.to_owned(), value.into());
        }
    }

    /// What services answer to the plugin's requests.
    pub fn answer_http(&mut self, answer: impl Fn(&Request) -> Result<Response, HttpError> + 'static) {
        self.answers = Rc::new(answer);
    }

    /// The time.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Moves the clock; timers that come due on the way fire, each at its time.
    pub fn advance(&mut self, by: Duration) {
        self.advance_until(self.now + by);
    }

    /// Moves the clock to `2018-08-01T20:30:00+02:00`.
    ///
    /// # Panics
    /// If that is no time, or is in the past.
    pub fn advance_to(&mut self, time: &str) {
        let target = instant(time);
        assert!(target >= self.now, "{time} is in the past of this world");
        self.advance_until(target);
    }

    /// An event of this type, to be posted.
    pub fn event(&mut self, event_type: &str) -> NewEvent<'_> {
        let event = Event {
            id: format!("event-{}", self.seen.len() + 1),
            source: "/test".into(),
            event_type: event_type.to_owned(),
            subject: None,
            time: self.now,
            customer: None,
            data: "null".into(),
            attributes: Vec::new(),
        };
        NewEvent { world: self, event }
    }

    /// A CloudEvent in its JSON form, as it would be posted to `/v1/events`.
    ///
    /// # Panics
    /// If it is none.
    #[expect(clippy::panic, reason = "a body that is no CloudEvent fails the test")]
    pub fn cloudevent(&mut self, body: &str) -> NewEvent<'_> {
        let read = cloudevent::read(body, self.now);
        let event = read.unwrap_or_else(|problem| panic!("this is no CloudEvent, {problem}: {body}"));
        NewEvent { world: self, event }
    }

    /// Every message that was asked for, the first one first.
    pub fn messages(&self) -> &[Sent] {
        &self.store.messages
    }

    /// The latest message.
    ///
    /// # Panics
    /// If there is none; what was refused and what was logged is then said.
    #[expect(clippy::panic, reason = "a message that is missing fails the test")]
    pub fn last_message(&self) -> &Sent {
        let Some(last) = self.store.messages.last() else {
            panic!("there is no message; refused: {:?}; logged: {:?}", self.store.refusals, self.log)
        };
        last
    }

    /// Every message that was not taken.
    pub fn refusals(&self) -> &[Refusal] {
        &self.store.refusals
    }

    /// Every event that the plugin raised.
    pub fn emitted(&self) -> &[Event] {
        &self.store.emitted
    }

    /// What the plugin wrote to the log.
    pub fn log(&self) -> &[(Level, String)] {
        &self.log
    }

    /// The timers that are set, with the entity each belongs to, the next one first.
    pub fn timers(&self) -> Vec<(String, Timer)> {
        let mut timers: Vec<_> =
            self.store.timers.iter().map(|((entity, _), set)| (entity.clone(), set.timer.clone())).collect();
        timers.sort_by_key(|(_, timer)| timer.due);
        timers
    }

    /// What the plugin keeps of an entity.
    ///
    /// # Panics
    /// If it is of another form than `T`.
    #[expect(clippy::panic, reason = "state of another form fails the test")]
    pub fn state<T: DeserializeOwned>(&self, entity: &str, key: &str) -> Option<T> {
        let kept = self.store.state.get(&(entity.to_owned(), key.to_owned()))?;
        let read = serde_json::from_slice(&kept.value);
        Some(read.unwrap_or_else(|error| panic!("state `{key}` of {entity}: {error}")))
    }

    /// Something becomes of a message; the plugin hears of it where its manifest asks for that.
    pub fn deliver(&mut self, id: &MessageId, state: DeliveryState) {
        self.deliver_with(id, state, None);
    }

    /// A message fails, or falls back, for a reason of the registry.
    pub fn fail(&mut self, id: &MessageId, state: DeliveryState, code: &str) {
        self.deliver_with(id, state, Some(code));
    }

    /// The customer taps a choice of a message.
    ///
    /// # Panics
    /// If the message has no such choice.
    pub fn tap(&mut self, id: &MessageId, choice: &str) {
        let sent = self.sent(id);
        let label = sent.choices.iter().find(|offered| offered.id == choice).map(|offered| offered.label.clone());
        assert!(label.is_some(), "message {id} has no choice `{choice}`: {:?}", sent.choices);
        self.incoming(Some(sent), label.unwrap_or_default(), Some(choice.to_owned()), None);
    }

    /// The customer answers a message with words.
    pub fn answer(&mut self, id: &MessageId, text: &str) {
        let sent = self.sent(id);
        self.incoming(Some(sent), text.to_owned(), None, None);
    }

    /// The customer writes out of the blue.
    pub fn write(&mut self, customer: &str, text: &str) {
        self.incoming(None, text.to_owned(), None, Some(customer.to_owned()));
    }

    fn deliver_with(&mut self, id: &MessageId, state: DeliveryState, code: Option<&str>) {
        let now = self.now;
        let Some(sent) = self.store.messages.iter_mut().find(|sent| sent.id == *id) else { return };
        sent.state = state;
        if state == DeliveryState::FallingBack {
            sent.channel = "sms".into();
        }
        let delivery = sent.delivery(now, code);
        let (entity, customer) = (sent.entity.clone(), sent.customer.clone());
        let asked = |named: &String| state_name(state) == named;
        if self.manifest.on_delivery.as_ref().is_some_and(|wish| wish.states.iter().any(asked)) {
            let handler = self.handlers.on_delivery;
            self.run_to_end(entity, customer, move || handler(delivery));
        }
    }

    fn incoming(&mut self, answers: Option<Sent>, text: String, choice: Option<String>, from: Option<String>) {
        let customer = answers.as_ref().map_or(from, |sent| sent.customer.clone());
        let known = customer.as_ref().and_then(|id| self.store.customers.get_mut(id));
        let (ends, opening) = match known {
            Some(customer) => {
                let before = customer.window_ends.replace(self.now + WINDOW);
                (customer.window_ends, before.is_none_or(|ends| ends <= self.now))
            }
            None => (None, true),
        };
        self.runs += 1;
        let message = Incoming {
            id: MessageId::new(format!("incoming-{}", self.runs)),
            customer: customer.clone(),
            sender: customer.clone().filter(|_| self.manifest.permissions.phone),
            channel: answers.as_ref().map_or("whatsapp".to_owned(), |sent| sent.channel.clone()),
            time: self.now,
            kind: if choice.is_some() { "choice" } else { "text" }.to_owned(),
            text,
            choice,
            media: Vec::new(),
            location: None,
            in_reply_to: answers.as_ref().map(|sent| sent.id.clone()),
            tag: answers.as_ref().and_then(|sent| sent.tag.clone()),
            opening,
            window_ends: ends,
            attributes: Vec::new(),
        };
        let wish = self.manifest.on_message.as_ref();
        let wanted = wish.is_some_and(|wish| if answers.is_some() { wish.answers } else { wish.others });
        if wanted {
            let own = || format!("customer/{}", customer.as_deref().unwrap_or_default());
            let entity = answers.map_or_else(own, |sent| sent.entity);
            let handler = self.handlers.on_message;
            self.run_to_end(entity, customer, move || handler(message));
        }
    }

    #[expect(clippy::panic, reason = "a message that was never sent fails the test")]
    fn sent(&self, id: &MessageId) -> Sent {
        let found = self.store.messages.iter().find(|sent| sent.id == *id).cloned();
        found.unwrap_or_else(|| panic!("there is no message {id}"))
    }

    fn advance_until(&mut self, target: Instant) {
        loop {
            let due = self.store.timers.iter().filter(|(_, set)| set.timer.due <= target);
            let Some((key, set)) = due.min_by_key(|(_, set)| set.timer.due) else { break };
            let (key, set) = (key.clone(), set.clone());
            self.now = self.now.max(set.timer.due);
            self.store.timers.remove(&key);
            if set.expires.is_some_and(|expires| expires < self.now) {
                continue;
            }
            let (handler, customer) = (self.handlers.on_timer, set.timer.customer.clone());
            self.run_to_end(key.0, customer, move || handler(set.timer));
        }
        self.now = target;
    }

    /// A run that is to end well, and after it those of the events it raised.
    #[expect(clippy::panic, reason = "a run that fails where nobody asked for it fails the test")]
    fn run_to_end(&mut self, entity: String, customer: Option<String>, call: impl FnOnce() -> Outcome) {
        let done = self.run(&entity, customer, call).and_then(|()| self.drain());
        if let Err(error) = done {
            panic!("the run about {entity} failed, {error}")
        }
    }

    fn run(&mut self, entity: &str, customer: Option<String>, call: impl FnOnce() -> Outcome) -> Outcome {
        self.runs += 1;
        let kept = self.store.state.iter().filter(|((of, _), _)| of == entity);
        let alive = kept.filter(|(_, kept)| kept.until.is_none_or(|until| until > self.now));
        let transaction = Transaction {
            known: alive.filter_map(|(_, kept)| kept.customer.clone()).collect(),
            manifest: Rc::clone(&self.manifest),
            config: self.config.to_string(),
            id: format!("run-{}", self.runs),
            entity: entity.to_owned(),
            customer,
            now: self.now,
            store: self.store.clone(),
            messages: 0,
            timers: 0,
            drawn: 0,
            answers: self.answers.clone(),
            log: Vec::new(),
        };
        let (transaction, outcome) = execute(transaction, call);
        self.log.extend(transaction.log);
        if outcome.is_ok() {
            self.store = transaction.store;
        }
        outcome
    }

    /// The runs of one event, and of all that they raise. An event that no subscription fits runs nothing.
    fn accept(&mut self, event: Event) -> Outcome {
        if !self.seen.insert((event.source.clone(), event.id.clone())) {
            return Ok(());
        }
        self.store.history.push(event.clone());
        let manifest = Rc::clone(&self.manifest);
        for subscription in &manifest.on_event {
            if let Some((entity, event)) = derive(subscription, &event) {
                let (customer, handler) = (event.customer.clone(), self.handlers.on_event);
                self.run(&entity, customer, move || handler(event))?;
            }
        }
        self.drain()
    }

    fn drain(&mut self) -> Outcome {
        while !self.store.unhandled.is_empty() {
            let next = self.store.unhandled.remove(0);
            self.accept(next)?;
        }
        Ok(())
    }
}

/// The entity of the event's run, and the event with the customer that the manifest finds in it.
fn derive(subscription: &Subscription, event: &Event) -> Option<(String, Event)> {
    let wanted = subscription.types.iter().any(|pattern| type_matches(pattern, &event.event_type))
        && event.source.starts_with(&subscription.source)
        && subscription.conditions.iter().all(|(path, value)| {
            look_up(path, event).is_some_and(|found| serde_json::to_value(value).is_ok_and(|value| value == found))
        });
    if !wanted {
        return None;
    }
    let mut event = event.clone();
    if let Some(pattern) = &subscription.customer {
        event.customer = Some(fill(pattern, &event)?);
    }
    let entity = match &subscription.entity {
        Some(pattern) => fill(pattern, &event)?,
        None => match (&event.customer, &event.subject) {
            (Some(customer), _) => format!("customer/{customer}"),
            (None, Some(subject)) => subject.clone(),
            (None, None) => event.source.clone(),
        },
    };
    Some((entity, event))
}

/// An event that a test is about to post.
#[must_use = "nothing happens before `post`"]
pub struct NewEvent<'a> {
    world: &'a mut World,
    event: Event,
}

impl NewEvent<'_> {
    /// Whom it concerns: the extension attribute `customer`.
    pub fn customer(mut self, id: &str) -> Self {
        self.event.customer = Some(id.to_owned());
        self
    }

    /// What it happened to.
    pub fn subject(mut self, subject: &str) -> Self {
        self.event.subject = Some(subject.to_owned());
        self
    }

    /// Its `id`; a second event with the same source and id runs nothing.
    pub fn id(mut self, id: &str) -> Self {
        self.event.id = id.to_owned();
        self
    }

    /// Who says so.
    pub fn source(mut self, source: &str) -> Self {
        self.event.source = source.to_owned();
        self
    }

    /// When it happened, where that is not now: `2018-08-01T20:30:00+02:00`.
    pub fn time(mut self, time: &str) -> Self {
        self.event.time = instant(time);
        self
    }

    /// What it says.
    pub fn data(mut self, data: Value) -> Self {
        self.event.data = data.to_string();
        self
    }

    /// An extension attribute.
    pub fn attribute(mut self, name: &str, value: &str) -> Self {
        self.event.attributes.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Posts it; the plugin has handled it when this returns.
    ///
    /// # Panics
    /// If a run fails.
    #[expect(clippy::panic, reason = "a run that fails where nobody asked for it fails the test")]
    pub fn post(self) {
        let what = format!("{} {}", self.event.event_type, self.event.data);
        if let Err(error) = self.world.accept(self.event) {
            panic!("the run for {what} failed, {error}")
        }
    }

    /// Posts it and gives the error that its run ended with.
    ///
    /// # Panics
    /// If every run ends well.
    #[expect(clippy::panic, reason = "a run that ends well where a failure was wanted fails the test")]
    pub fn post_failing(self) -> Error {
        let what = format!("{} {}", self.event.event_type, self.event.data);
        match self.world.accept(self.event) {
            Err(error) => error,
            Ok(()) => panic!("the run for {what} ended well"),
        }
    }
}

#[expect(clippy::panic, reason = "a time that is none fails the test")]
fn instant(time: &str) -> Instant {
    calendar::parse(time, "UTC").unwrap_or_else(|| panic!("`{time}` is no time such as `2018-08-01T20:30:00+02:00`"))
}

fn state_name(state: DeliveryState) -> &'static str {
    match state {
        DeliveryState::Pending => "pending",
        DeliveryState::Sent => "sent",
        DeliveryState::Delivered => "delivered",
        DeliveryState::Read => "read",
        DeliveryState::FallingBack => "falling-back",
        DeliveryState::Failed => "failed",
        DeliveryState::Expired => "expired",
        DeliveryState::Cancelled => "cancelled",
    }
}
