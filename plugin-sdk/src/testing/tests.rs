use std::time::Duration;

use serde_json::json;

use super::{Customer, World};
use crate::messages::{DeliveryState, SendError};
use crate::{
    Delivery, Error, Event, Incoming, Message, Outcome, Plugin, Purpose, SendResult, Timer, customers, events, run,
    state, timers,
};

const MANIFEST: &str = r#"
manifest = 1
[plugin]
name = "probe"
version = "1.2.3"
world = "relais:plugin@1.0.0"
component = "probe.wasm"
[[on-event]]
types = ["com.example.probe.*"]
where = { "data.kind" = "wanted" }
entity = "thing/{data.thing}"
customer = "{data.owner}"
[[on-event]]
types = ["com.example.passed-on"]
[on-timer]
[on-delivery]
states = ["failed"]
[on-message]
answers = true
[permissions]
purposes = ["alert"]
channels = ["whatsapp", "sms"]
templates = ["hello"]
customer = ["name"]
emits = ["com.example.passed-on"]
[[templates]]
name = "hello"
category = "utility"
language = "en"
params = ["name"]
buttons = ["yes"]
[templates.texts]
en = "Hello {name}"
fr = "Bonjour {name}"
"#;

/// Does as its event says.
struct Probe;

#[derive(serde::Deserialize)]
struct Wish {
    #[serde(default)]
    first: Vec<String>,
}

impl Plugin for Probe {
    fn on_event(event: Event) -> Outcome {
        if event.verb() == "passed-on" {
            return state::set("passed-on", &run::entity());
        }
        let wish: Wish = event.data()?;
        for what in &wish.first {
            act(what, event.customer_id()?)?;
        }
        Ok(())
    }

    fn on_timer(timer: Timer) -> Outcome {
        state::set("fired", &(timer.key, run::now()))
    }

    fn on_delivery(delivery: Delivery) -> Outcome {
        state::set("failed", &(delivery.tag, delivery.code))
    }

    fn on_message(message: Incoming) -> Outcome {
        state::set("answer", &(message.text, message.choice, message.tag))
    }
}

fn act(what: &str, customer: &str) -> Outcome {
    match what {
        "write" => state::set("note", "written"),
        "tick" => {
            timers::after("tick", Duration::from_mins(5)).set();
            Ok(())
        }
        "pass on" => events::emit("com.example.passed-on", &json!({})),
        "emit what is not permitted" => events::emit("com.example.other", &json!({})),
        "greet" => {
            let greeting = Message::to(customer, Purpose::Alert).template("hello").param("name", "Ann");
            greeting.text("Hello there").choice("yes", "Yes").tag("greeting").send().or_skip().map(drop)
        }
        "greet a stranger" => Message::to("stranger", Purpose::Alert).text("Hello").send().or_skip().map(drop),
        "remind" => Message::to(customer, Purpose::Reminder).text("Soon").send().or_skip().map(drop),
        "look up" => state::set("known", &customers::get(customer).map(|found| (found.name, found.locale))),
        "draw" => state::set("drawn", &run::code(6)),
        "fail" => Err(Error::retry("not today")),
        "panic" => panic!("dropped a plate"),
        other => Err(Error::reject(format!("`{other}`?"))),
    }
}

fn world() -> World {
    let mut world = World::from_manifest::<Probe>(MANIFEST);
    world.add(Customer::new("ann").name("Ann").locale("fr-FR"));
    world
}

fn wish(first: &[&str]) -> serde_json::Value {
    json!({"kind": "wanted", "thing": "T1", "owner": "ann", "first": first})
}

fn does(world: &mut World, first: &[&str]) {
    world.event("com.example.probe.go").data(wish(first)).post();
}

fn fails(world: &mut World, first: &[&str]) -> Error {
    world.event("com.example.probe.go").data(wish(first)).post_failing()
}

#[test]
fn a_run_that_fails_leaves_nothing() {
    for last in ["fail", "panic"] {
        let mut world = world();
        fails(&mut world, &["write", "tick", "pass on", "greet", last]);
        assert!(world.messages().is_empty() && world.timers().is_empty() && world.emitted().is_empty());
        assert_eq!(world.state::<String>("thing/T1", "note"), None);
    }
}

#[test]
fn a_panic_is_to_be_tried_again_and_keeps_its_words() {
    let error = fails(&mut world(), &["panic"]);
    assert_eq!(error, Error::retry("the handler panicked: dropped a plate"));
}

#[test]
fn the_manifest_says_what_a_run_is_about_and_whom_it_concerns() {
    let mut world = world();
    does(&mut world, &["write", "greet"]);
    assert_eq!(world.state::<String>("thing/T1", "note").as_deref(), Some("written"));
    assert_eq!(world.last_message().customer.as_deref(), Some("ann"));
}

#[test]
fn an_event_that_the_subscription_does_not_want_runs_nothing() {
    let mut world = world();
    world.event("com.example.probe.go").data(json!({"kind": "other", "thing": "T1", "owner": "ann"})).post();
    world.event("com.example.probe.go").data(json!({"kind": "wanted", "owner": "ann", "first": ["fail"]})).post();
    world.event("com.example.other").data(wish(&["fail"])).post();
    assert!(world.messages().is_empty());
}

#[test]
fn the_same_event_runs_once() {
    let mut world = world();
    for _ in 0..2 {
        world.event("com.example.probe.go").id("same").data(wish(&["greet"])).post();
    }
    assert_eq!(world.messages().len(), 1);
}

#[test]
fn an_event_can_be_posted_as_it_stands_in_a_request() {
    let mut world = world();
    let body = json!({
        "specversion": "1.0", "id": "1", "source": "/test", "type": "com.example.probe.go", "data": wish(&["greet"])
    });
    world.cloudevent(&body.to_string()).post();
    assert_eq!(world.last_message().customer.as_deref(), Some("ann"));
}

#[test]
fn a_timer_fires_at_its_time_and_once() {
    let mut world = world();
    does(&mut world, &["tick"]);
    let due = world.now() + Duration::from_mins(5);
    world.advance(Duration::from_secs(299));
    assert_eq!(world.timers().len(), 1);
    world.advance(Duration::from_hours(5));
    assert_eq!(world.state("thing/T1", "fired"), Some(("tick".to_owned(), due)));
    assert!(world.timers().is_empty());
}

#[test]
fn an_event_of_the_plugins_own_comes_back_about_its_own_entity() {
    let mut world = world();
    does(&mut world, &["pass on"]);
    assert_eq!(world.state::<String>("customer/ann", "passed-on").as_deref(), Some("customer/ann"));
}

#[test]
fn receipts_and_answers_come_in_the_order_of_the_sender() {
    let mut world = world();
    does(&mut world, &["greet"]);
    let id = world.last_message().id.clone();
    world.deliver(&id, DeliveryState::Delivered);
    assert_eq!(world.state::<serde_json::Value>("thing/T1", "failed"), None, "the manifest asks for failures only");
    world.fail(&id, DeliveryState::Failed, "unreachable");
    assert_eq!(world.state("thing/T1", "failed"), Some(json!(["greeting", "unreachable"])));
    world.tap(&id, "yes");
    assert_eq!(world.state("thing/T1", "answer"), Some(json!(["Yes", "yes", "greeting"])));
}

#[test]
fn the_template_goes_out_until_the_customer_has_written() {
    let mut world = world();
    does(&mut world, &["greet"]);
    assert_eq!(world.last_message().body, "Bonjour Ann");
    world.write("ann", "Hi");
    does(&mut world, &["greet"]);
    assert_eq!((world.last_message().body.as_str(), &world.last_message().template), ("Hello there", &None));
    world.advance(Duration::from_hours(24));
    does(&mut world, &["greet"]);
    assert!(world.last_message().template.is_some());
}

#[test]
fn permissions_hold() {
    let mut world = world();
    let error = fails(&mut world, &["remind"]);
    assert!(error.message().contains("permissions.purposes does not name `reminder`"), "{error}");
    let error = fails(&mut world, &["emit what is not permitted"]);
    assert!(error.message().contains("permissions.emits"), "{error}");
    does(&mut world, &["look up"]);
    assert_eq!(world.state("thing/T1", "known"), Some(json!(["Ann", null])), "the locale is not in the manifest");
}

#[test]
fn somebody_whom_the_run_does_not_concern_is_not_written_to() {
    let mut world = world();
    world.add(Customer::new("stranger"));
    let error = fails(&mut world, &["greet a stranger"]);
    assert!(error.message().contains("not-expected"), "{error}");
}

#[test]
fn a_customer_who_said_stop_is_skipped_and_the_log_says_so() {
    let mut world = world();
    world.add(Customer::new("ann").said_stop());
    does(&mut world, &["greet", "write"]);
    assert!(matches!(world.refusals()[0].reason, SendError::NoConsent(_)));
    assert!(world.log()[0].1.starts_with("no message: no-consent"));
    assert!(world.state::<String>("thing/T1", "note").is_some());
}

/// Asks a service how far a parcel is.
struct Asks;

impl Plugin for Asks {
    fn on_event(event: Event) -> Outcome {
        let place: String = crate::http::get("https://parcels.example.com/v1/where").send()?.success()?.json()?;
        crate::info!(event = event.id, "the parcel is in {place}");
        state::set("place", &place)
    }
}

#[test]
fn a_service_is_answered_for_by_the_test_and_a_field_stands_in_the_log() {
    const HTTP: &str = r#"http = [{ host = "parcels.example.com", path = "/v1/" }]"#;
    let manifest = |http: &str| {
        format!(
            "manifest = 1\n[plugin]\nname = \"asks\"\nversion = \"1.0.0\"\nworld = \"relais:plugin@1.0.0\"\n\
             component = \"asks.wasm\"\n[[on-event]]\ntypes = [\"ask\"]\nentity = \"parcel/1\"\n[permissions]\n{http}\n"
        )
    };
    let mut world = World::from_manifest::<Asks>(&manifest(HTTP));
    assert!(matches!(world.event("ask").post_failing(), Error::Retry { .. }), "nobody answers");
    world.answer_http(|_| Ok(crate::http::Response { status: 200, headers: vec![], body: b"\"Lyon\"".to_vec() }));
    world.event("ask").post();
    assert_eq!(world.state::<String>("parcel/1", "place").unwrap(), "Lyon");

    let mut without = World::from_manifest::<Asks>(&manifest(""));
    let error = without.event("ask").post_failing();
    assert!(error.message().contains("permissions.http"), "{error}");
}

#[test]
fn codes_are_readable_and_differ_from_run_to_run() {
    let mut world = world();
    let mut draw = || {
        does(&mut world, &["draw"]);
        world.state::<String>("thing/T1", "drawn").unwrap()
    };
    let (first, second) = (draw(), draw());
    assert_eq!((first.len(), second.len()), (6, 6));
    assert_ne!(first, second);
    assert!(!first.contains(['0', 'O', '1', 'I', 'L']));
}
