//! What the calls of the contract answer, asked as a guest would ask, without one.

use std::sync::Arc;

use super::world::{World, work};
use crate::{
    domain::{
        message::Because,
        run::{Cause, EntitySnapshot, StateChange, StateEntry},
    },
    plugin::{
        Plugins, Work,
        bindings::{
            customers,
            events::Host as _,
            messages::{Host as _, HostDraft, Purpose, SendError},
            run::{Host as _, Level},
            state::{self, Host as _},
            timers,
        },
        calls::{RunState, messages::Draft},
        limiter::LimitReached,
    },
};
use wasmtime::component::Resource;

const MAY: &str = r#"
    [on-timer]
    [permissions]
    purposes = ["alert", "reply"]
    channels = ["sms"]
    customer = ["first-name"]
    history = ["com.example.order.*"]
    emits = ["com.example.done"]
    secrets = ["token"]
    [limits]
    messages = 2
    timers = 2
    state = "1KiB"
"#;

async fn plugins(world: &World) -> Arc<Plugins> {
    world.install("polite", MAY);
    world.start().await
}

fn state_of(plugins: &Plugins, snapshot: EntitySnapshot) -> RunState {
    let Work { run, now, .. } = work("polite", 1);
    let plugin = plugins.get(&"polite".into()).unwrap();
    let seed = crate::plugin::seed(&plugins.shared.host_secret, run.run.id);
    RunState::new(plugin, plugins.shared.clone(), run, Arc::new(snapshot), now, seed)
}

fn entry(value: &str, customer: &str) -> StateEntry {
    StateEntry { value: value.as_bytes().into(), customer: Some(customer.into()), expires: None }
}

fn snapshot(keys: &[(&str, &str)]) -> EntitySnapshot {
    let state = keys.iter().map(|(key, customer)| ((*key).to_owned(), entry("v", customer))).collect();
    EntitySnapshot { version: 1, state, ..EntitySnapshot::default() }
}

fn draft(run: &mut RunState, customer: &str) -> Resource<Draft> {
    let draft = run.to_customer(customer.to_owned(), Purpose::Alert).unwrap();
    run.text(own(&draft), "Bonjour".to_owned()).unwrap();
    draft
}

fn own(draft: &Resource<Draft>) -> Resource<Draft> {
    Resource::new_own(draft.rep())
}

async fn send(run: &mut RunState, draft: &Resource<Draft>) -> Result<String, SendError> {
    run.send(own(draft)).await.unwrap()
}

fn limit<T: std::fmt::Debug>(answer: wasmtime::Result<T>) -> &'static str {
    answer.unwrap_err().downcast_ref::<LimitReached>().map(|reached| reached.limit).unwrap()
}

#[tokio::test]
async fn reads_see_the_runs_own_writes_in_the_order_of_bytes() {
    let world = World::new();
    let plugins = plugins(&world).await;
    let mut run = state_of(&plugins, snapshot(&[("a/1", "1"), ("a/3", "1"), ("a/5", "1"), ("b/1", "1")]));
    run.set("a/2".into(), b"own".to_vec(), None).unwrap();
    run.remove("a/3".into()).unwrap();
    let keys = |page: &state::Page| page.entries.iter().map(|entry| entry.key.clone()).collect::<Vec<_>>();
    let page = run.scan("a/".into(), None, 2).unwrap();
    assert_eq!((keys(&page), page.next.clone()), (vec!["a/1".into(), "a/2".into()], Some("a/2".into())));
    let page = run.scan("a/".into(), page.next, 2).unwrap();
    assert_eq!((keys(&page), page.next), (vec!["a/5".into()], None));
    assert_eq!(state_get(&mut run, "a/3"), None);
    assert_eq!(state_get(&mut run, "a/2"), Some(b"own".to_vec()));
    // What was never there is not removed, and what was only written in this run is forgotten.
    run.remove("never".into()).unwrap();
    run.remove("a/2".into()).unwrap();
    assert_eq!(run.outcome.state, [("a/3".to_owned(), StateChange::Remove)].into());
}

fn state_get(run: &mut RunState, key: &str) -> Option<Vec<u8>> {
    state::Host::get(run, key.to_owned()).unwrap()
}

#[tokio::test]
async fn expired_entries_are_not_there() {
    let world = World::new();
    let plugins = plugins(&world).await;
    let mut found = snapshot(&[("old", "1")]);
    let mut run = state_of(&plugins, EntitySnapshot::default());
    found.state.get_mut("old").unwrap().expires = Some(run.now);
    run.snapshot = Arc::new(found);
    assert_eq!(state_get(&mut run, "old"), None);
    assert!(run.scan(String::new(), None, 10).unwrap().entries.is_empty());
}

#[tokio::test]
async fn every_limit_on_effects_ends_the_run_with_its_name() {
    let world = World::new();
    let plugins = plugins(&world).await;
    let mut run = state_of(&plugins, EntitySnapshot::default());
    assert_eq!(limit(run.set("k".into(), vec![0; 1024], None)), "state");
    assert_eq!(limit(run.set("k".into(), vec![0; (64 << 10) + 1], None)), "value-bytes");
    assert_eq!(limit(run.set("k".repeat(513), vec![], None)), "key-bytes");
    let mut timer = |no: u32| timers::Host::set(&mut run, no.to_string(), 1.0, "{}".into(), None);
    timer(1).unwrap();
    timer(2).unwrap();
    timer(2).unwrap();
    assert_eq!(limit(timer(3)), "timers");
    for _ in 0..100 {
        run.emit("com.example.done".into(), None, "{}".into(), None).unwrap();
    }
    assert_eq!(limit(run.emit("com.example.done".into(), None, "{}".into(), None)), "events");
    let line = "x".repeat(200 << 10);
    run.log(Level::Info, line.clone(), vec![]).unwrap();
    assert_eq!(limit(run.log(Level::Info, line, vec![])), "log-bytes");

    for _ in 0..2 {
        let draft = draft(&mut run, "4711");
        send(&mut run, &draft).await.unwrap();
    }
    let third = draft(&mut run, "4711");
    assert_eq!(limit(run.send(own(&third)).await), "messages");
}

#[tokio::test]
async fn effects_together_are_bounded() {
    let mut world = World::new();
    world.settings.limits.default.effect_bytes = crate::plugin::Bytes(1000);
    let plugins = plugins(&world).await;
    let mut run = state_of(&plugins, EntitySnapshot::default());
    let draft = draft(&mut run, "4711");
    assert_eq!(limit(run.attach_bytes(own(&draft), vec![0; 1000], "image/png".into(), None)), "effect-bytes");
}

#[tokio::test]
async fn sending_twice_gives_the_first_identifier_and_one_message() {
    let world = World::new();
    let plugins = plugins(&world).await;
    let mut run = state_of(&plugins, EntitySnapshot::default());
    let first = draft(&mut run, "4711");
    run.dedup_key(own(&first), "ready".into()).unwrap();
    let id = send(&mut run, &first).await.unwrap();
    assert_eq!(send(&mut run, &first).await.unwrap(), id);
    let second = draft(&mut run, "4711");
    run.dedup_key(own(&second), "ready".into()).unwrap();
    assert_eq!(send(&mut run, &second).await.unwrap(), id);
    assert_eq!(run.outcome.messages.len(), 1);
    assert_eq!(run.outcome.messages[0].sms, crate::domain::message::SmsPolicy::Only, "only SMS is permitted");
    assert!(run.status(id).await.unwrap().is_some());
}

#[tokio::test]
async fn only_whom_it_concerns_is_written_to() {
    let world = World::new();
    let plugins = plugins(&world).await;
    let mut run = state_of(&plugins, EntitySnapshot::default());
    run.work.run.customer = Some("1".into());
    let Cause::Event(event) = &run.work.run.cause else { unreachable!() };
    let event = Arc::new(crate::domain::event::Event { customer: Some("1".into()), ..(**event).clone() });
    let id = event.id;
    run.work.run.cause = Cause::Event(event);
    let stranger = draft(&mut run, "4711");
    assert!(matches!(send(&mut run, &stranger).await, Err(SendError::NotExpected(_))));

    // An entry of the entity that an earlier run kept about the customer will do; one of this run's own will not.
    run.set(
        "cart/4711".into(),
        vec![],
        Some(state::EntryOptions { ttl: None, customer: Some("4711".into()), attributes: vec![] }),
    )
    .unwrap();
    assert!(matches!(send(&mut run, &stranger).await, Err(SendError::NotExpected(_))));
    run.snapshot = Arc::new(snapshot(&[("cart/4711", "4711")]));
    send(&mut run, &stranger).await.unwrap();
    assert_eq!(run.outcome.messages[0].because, Because::Event(id));

    let reply = run.to_customer("4711".into(), Purpose::Reply).unwrap();
    run.text(own(&reply), "?".into()).unwrap();
    assert!(matches!(send(&mut run, &reply).await, Err(SendError::NotExpected(_))), "nobody wrote");
    let referring = draft(&mut run, "4711");
    run.because(own(&referring), "order/12345".into()).unwrap();
    assert!(matches!(send(&mut run, &referring).await, Err(SendError::NotExpected(_))));
}

#[tokio::test]
async fn what_is_not_permitted_is_said_and_never_done() {
    let world = World::new();
    let plugins = plugins(&world).await;
    let mut run = state_of(&plugins, EntitySnapshot::default());
    let phone = run.to_phone("+33612345678".into(), Purpose::Alert).unwrap();
    run.text(own(&phone), "x".into()).unwrap();
    assert!(matches!(send(&mut run, &phone).await, Err(SendError::NotPermitted(_))));
    assert!(run.emit("com.example.other".into(), None, "{}".into(), None).is_err());
    assert!(customers::Host::history(&mut run, "4711".into(), "com.other.*".into(), 9).await.unwrap().is_empty());
    assert_eq!(run.secret("other".into()).unwrap(), None);
    assert_eq!(run.denied.len(), 4, "{:?}", run.denied);

    let known = customers::Host::get(&mut run, "4711".into()).await.unwrap().unwrap();
    assert_eq!((known.name, known.locale), (None, None));
    assert_eq!(known.attributes, [("first-name".to_owned(), "Zoé".to_owned())]);
    let routes = customers::Host::routes(&mut run, "4711".into()).await.unwrap();
    assert_eq!(routes.iter().map(|route| route.channel.as_str()).collect::<Vec<_>>(), ["sms"]);

    let odd = draft(&mut run, "4711");
    run.setting(own(&odd), "glitter".into(), "on".into()).unwrap();
    assert!(matches!(send(&mut run, &odd).await, Err(SendError::BadContent(why)) if why.contains("glitter")));
}

#[tokio::test]
async fn chance_is_the_same_for_every_execution_and_different_for_every_run() {
    let world = World::new();
    let plugins = plugins(&world).await;
    let draw = |run: &mut RunState| run.random(16).unwrap();
    let mut first = state_of(&plugins, EntitySnapshot::default());
    let (a, b) = (draw(&mut first), draw(&mut first));
    let mut again = state_of(&plugins, EntitySnapshot::default());
    assert_eq!((draw(&mut again), draw(&mut again)), (a.clone(), b.clone()));
    assert_ne!(a, b);
    let Work { run, now, .. } = work("polite", 2);
    let seed = crate::plugin::seed(&plugins.shared.host_secret, run.run.id);
    let plugin = plugins.get(&"polite".into()).unwrap();
    let mut other = RunState::new(plugin, plugins.shared.clone(), run, Arc::default(), now, seed);
    assert_ne!(draw(&mut other), a);
}

#[tokio::test]
async fn timers_are_seen_as_this_run_leaves_them() {
    let world = World::new();
    let plugins = plugins(&world).await;
    let mut run = state_of(&plugins, EntitySnapshot::default());
    timers::Host::set(&mut run, "soon".into(), 5000.0, "{}".into(), None).unwrap();
    let timer = timers::Host::get(&mut run, "soon".into()).unwrap().unwrap();
    assert_eq!((timer.due, timer.set_by.as_str(), timer.customer.as_deref()), (5000.0, "1.0.0", Some("4711")));
    timers::Host::cancel(&mut run, "soon".into()).unwrap();
    assert!(timers::Host::get(&mut run, "soon".into()).unwrap().is_none());
    assert!(run.outcome.timers.is_empty(), "nothing is left to write");
    for (due, data) in [(f64::NAN, "{}"), (1.0, "{")] {
        assert!(timers::Host::set(&mut run, "x".into(), due, data.into(), None).is_err());
    }
}
