use relais_plugin::testing::{Customer, World};
use serde_json::json;

use super::Away;

fn world() -> World {
    let mut world = World::from_manifest::<Away>(include_str!("../plugin.toml"));
    world.add(Customer::new("lea").locale("fr-FR"));
    world.add(Customer::new("max").locale("de").said_stop());
    world.set_config("text", json!({"en": "We are closed.", "fr": "Nous sommes fermés."}));
    world.set_config("hours", json!({"3": "09:00-12:00, 14:00-19:00"}));
    world
}

#[test]
fn nothing_is_said_while_somebody_is_there() {
    let mut world = world();
    world.advance_to("2018-08-01T10:00:00+02:00");
    world.write("lea", "Bonjour");
    assert!(world.messages().is_empty());
    world.advance_to("2018-08-01T12:30:00+02:00");
    world.write("lea", "Vous êtes là ?");
    assert_eq!(world.last_message().body, "Nous sommes fermés.");
}

#[test]
fn a_day_off_is_off_whatever_weekday_it_is() {
    let mut world = world();
    world.set_config("closed", json!(["2018-08-01"]));
    world.advance_to("2018-08-01T10:00:00+02:00");
    world.write("lea", "Bonjour");
    assert_eq!(world.messages().len(), 1);
}

#[test]
fn who_said_stop_is_left_alone_and_the_run_ends_well() {
    let mut world = world();
    world.write("max", "STOP");
    assert!(world.messages().is_empty());
    assert_eq!(world.state::<serde_json::Value>("customer/max", "told"), None);
}

#[test]
fn without_a_text_it_says_nothing() {
    let mut world = World::from_manifest::<Away>(include_str!("../plugin.toml"));
    world.add(Customer::new("lea"));
    world.set_config("closed", json!(["2018-08-01"]));
    world.write("lea", "Bonjour");
    assert!(world.messages().is_empty());
}
