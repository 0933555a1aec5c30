use relais_plugin::testing::{Customer, World};
use serde_json::json;

use super::DeliveryAlert;

fn world() -> World {
    let mut world = World::from_manifest::<DeliveryAlert>(include_str!("../plugin.toml"));
    world.add(Customer::new("4711").locale("en-GB").timezone("Europe/London"));
    world
}

fn status(world: &mut World, status: &str, time: &str) {
    let data = json!({"parcel": "P1", "shop": "Librairie Mollat", "expected": "2018-08-03T12:00:00+02:00"});
    let time = format!("2018-08-01T{time}+02:00");
    world.event(&format!("com.example.parcel.{status}")).customer("4711").time(&time).data(data).post();
}

fn told(world: &World) -> Vec<&str> {
    world.messages().iter().filter_map(|sent| sent.tag.as_deref()).collect()
}

#[test]
fn a_status_that_was_overtaken_is_not_told() {
    let mut world = world();
    status(&mut world, "out-for-delivery", "07:30:00");
    status(&mut world, "shipped", "07:00:00");
    assert_eq!(told(&world), ["out-for-delivery"]);
}

#[test]
fn the_same_status_again_is_not_told() {
    let mut world = world();
    status(&mut world, "shipped", "07:00:00");
    status(&mut world, "shipped", "07:20:00");
    assert_eq!(told(&world), ["shipped"]);
}

#[test]
fn nothing_is_told_after_the_parcel_has_arrived() {
    let mut world = world();
    status(&mut world, "delivered", "07:00:00");
    status(&mut world, "delayed", "07:30:00");
    status(&mut world, "out-for-delivery", "07:40:00");
    assert_eq!(told(&world), ["delivered"]);
}

#[test]
fn a_parcel_that_came_back_late_goes_out_again() {
    let mut world = world();
    for (what, time) in [
        ("out-for-delivery", "07:00:00"),
        ("delayed", "07:10:00"),
        ("delayed", "07:11:00"),
        ("out-for-delivery", "07:50:00"),
    ] {
        status(&mut world, what, time);
    }
    assert_eq!(told(&world), ["out-for-delivery", "delayed", "out-for-delivery"]);
}

#[test]
fn a_delay_without_a_day_is_rejected_by_the_fields_name() {
    let mut world = world();
    let data = json!({"parcel": "P1", "shop": "Mollat"});
    let error = world.event("com.example.parcel.delayed").customer("4711").data(data).post_failing();
    assert!(error.message().starts_with("data.expected:"), "{error}");
    assert_eq!(world.state::<serde_json::Value>("parcel/P1", "told"), None);
}

/// The first JSON block of the README is an event that is posted; the page stays true as long as this passes.
#[test]
fn the_readmes_event_does_what_the_readme_says() {
    let mut world = World::from_manifest::<DeliveryAlert>(include_str!("../plugin.toml"));
    world.add(Customer::new("4711").locale("en-GB").timezone("Europe/Paris"));
    let readme = include_str!("../README.md");
    let mut events = readme.split("```json\n").skip(1).filter_map(|block| block.split("```").next());
    world.advance_to("2018-08-02T06:30:00+02:00");
    world.cloudevent(events.next().unwrap()).post();
    let said = &world.last_message().body;
    assert!(readme.contains(said.as_str()), "the README does not say: {said}");
}
