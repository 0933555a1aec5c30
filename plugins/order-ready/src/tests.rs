use relais_plugin::testing::{Customer, World};
use relais_plugin::{Error, SendError};
use serde_json::json;

use super::OrderReady;

fn world() -> World {
    let mut world = World::from_manifest::<OrderReady>(include_str!("../plugin.toml"));
    world.add(Customer::new("4711").locale("en-GB").timezone("Europe/London"));
    world
}

#[test]
fn the_minutes_of_the_event_win_over_the_settings() {
    let mut world = world();
    let data = json!({"order": "A12", "shop": "Paul", "minutes": 5});
    world.event("com.example.order.ready").customer("4711").data(data).post();
    assert_eq!(world.last_message().body, "Your order A12 at Paul will be ready in 5 min.");
}

#[test]
fn an_event_that_comes_too_late_sends_nothing_and_is_no_failure() {
    let mut world = world();
    let data = json!({"order": "A12", "shop": "Paul"});
    world.event("com.example.order.ready").customer("4711").time("2018-08-01T07:42:00+02:00").data(data).post();
    assert!(world.messages().is_empty());
    assert_eq!(world.refusals()[0].reason, SendError::Expired);
}

#[test]
fn an_order_is_told_once_however_many_events_say_so() {
    let mut world = world();
    for id in ["first", "second"] {
        let data = json!({"order": "A12", "shop": "Paul"});
        world.event("com.example.order.ready").id(id).customer("4711").data(data).post();
    }
    assert_eq!(world.messages().len(), 1);
}

#[test]
fn zero_minutes_are_rejected_with_the_fields_name() {
    let data = json!({"order": "A12", "shop": "Paul", "minutes": 0});
    let error = world().event("com.example.order.ready").customer("4711").data(data).post_failing();
    assert!(
        matches!(&error, Error::Reject { message: why, .. } if why.contains("data.minutes: invalid value: integer `0`")),
        "{error}"
    );
}

#[test]
fn an_event_without_customer_says_how_to_name_one() {
    let data = json!({"order": "A12", "shop": "Paul"});
    let error = world().event("com.example.order.ready").data(data).post_failing();
    assert!(error.message().contains("extension attribute `customer`"), "{error}");
}

/// The first JSON block of the README is an event that is posted; the page stays true as long as this passes.
#[test]
fn the_readmes_event_does_what_the_readme_says() {
    let mut world = World::from_manifest::<OrderReady>(include_str!("../plugin.toml"));
    world.add(Customer::new("4711").locale("en-GB").timezone("Europe/Paris"));
    let readme = include_str!("../README.md");
    let mut events = readme.split("```json\n").skip(1).filter_map(|block| block.split("```").next());
    world.advance_to("2018-08-01T08:10:00+02:00");
    world.cloudevent(events.next().unwrap()).post();
    let said = &world.last_message().body;
    assert!(readme.contains(said.as_str()), "the README does not say: {said}");
}
