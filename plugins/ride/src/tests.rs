use relais_plugin::testing::{Customer, World};
use serde_json::{Value, json};

use super::RidePlugin;

fn world() -> World {
    let mut world = World::from_manifest::<RidePlugin>(include_str!("../plugin.toml"));
    world.add(Customer::new("4711").locale("en-GB"));
    world
}

fn post(world: &mut World, what: &str, data: Value) {
    world.event(&format!("com.example.ride.{what}")).customer("4711").data(data).post();
}

fn found() -> Value {
    json!({"ride": "R1", "driver": "Karim", "car": "blue Zoé", "plate": "EK-123-ZT", "minutes": 7})
}

fn told(world: &World) -> Vec<&str> {
    world.messages().iter().filter_map(|sent| sent.tag.as_deref()).collect()
}

#[test]
fn a_ride_only_goes_forward() {
    let mut world = world();
    post(&mut world, "driver-found", found());
    post(&mut world, "arrived", json!({"ride": "R1"}));
    post(&mut world, "arriving", json!({"ride": "R1", "minutes": 1}));
    post(&mut world, "arrived", json!({"ride": "R1"}));
    assert_eq!(told(&world), ["driver-found", "arrived"]);
}

#[test]
fn nothing_follows_a_cancelled_ride() {
    let mut world = world();
    post(&mut world, "driver-found", found());
    post(&mut world, "cancelled", json!({"ride": "R1"}));
    post(&mut world, "arrived", json!({"ride": "R1"}));
    assert_eq!(told(&world), ["driver-found", "cancelled"]);
}

#[test]
fn the_first_event_has_to_say_which_car_it_is() {
    let mut world = world();
    let data = json!({"ride": "R1", "driver": "Karim", "car": "Zoé"});
    let error = world.event("com.example.ride.arrived").customer("4711").data(data).post_failing();
    assert!(error.message().starts_with("data.plate:"), "{error}");
}

#[test]
fn a_ride_that_has_arrived_is_not_cancelled_by_an_old_button() {
    let mut world = world();
    post(&mut world, "driver-found", found());
    let button = world.last_message().id.clone();
    post(&mut world, "arrived", json!({"ride": "R1"}));
    world.tap(&button, "cancel");
    assert!(world.emitted().is_empty());
    assert!(world.last_message().body.contains("can no longer be cancelled"));
}

/// The first JSON block of the README is an event that is posted; the page stays true as long as this passes.
#[test]
fn the_readmes_event_does_what_the_readme_says() {
    let mut world = World::from_manifest::<RidePlugin>(include_str!("../plugin.toml"));
    world.add(Customer::new("4711").locale("en-GB").timezone("Europe/Paris"));
    let readme = include_str!("../README.md");
    let mut events = readme.split("```json\n").skip(1).filter_map(|block| block.split("```").next());
    world.advance_to("2018-08-01T22:40:00+02:00");
    world.cloudevent(events.next().unwrap()).post();
    let said = &world.last_message().body;
    assert!(readme.contains(said.as_str()), "the README does not say: {said}");
}
