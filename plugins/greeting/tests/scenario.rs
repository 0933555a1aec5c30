//! A fortnight of a customer who writes now and then.

use std::time::Duration;

use relais_plugin::testing::{Customer, World};
use serde_json::json;

use super::Greeting;

#[test]
fn a_customer_is_greeted_once_and_again_after_a_long_silence() {
    let mut world = World::from_manifest::<Greeting>(include_str!("../plugin.toml"));
    world.add(Customer::new("paul"));
    world.set_config("text", json!({"en": "Welcome!"}));
    world.set_config("hours", json!({"3": "08:00-19:00", "4": "08:00-19:00", "5": "08:00-19:00"}));
    world.write("paul", "Hello");
    assert_eq!(world.last_message().body, "Welcome!");
    world.write("paul", "Do you have bread?");
    world.advance(Duration::from_hours(48));
    world.write("paul", "And today?");
    assert_eq!(world.messages().len(), 1, "he is known");

    // Two weeks of silence, and then in the night: the greeting is for the plugin `away` to give, and not made up for by day.
    world.advance_to("2018-08-22T23:00:00+02:00");
    world.write("paul", "Hello again");
    world.advance_to("2018-08-24T10:00:00+02:00");
    world.write("paul", "Anybody there?");
    assert_eq!(world.messages().len(), 1);

    world.advance_to("2018-09-13T10:00:00+02:00");
    world.write("paul", "Hello");
    assert_eq!(world.messages().len(), 2);
}
