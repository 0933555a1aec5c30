use std::time::Duration;

use relais_plugin::testing::{Customer, World};
use serde_json::json;

use super::{Greeting, begins_something};

fn world() -> World {
    let mut world = World::from_manifest::<Greeting>(include_str!("../plugin.toml"));
    world.add(Customer::new("lea").locale("fr-FR"));
    world.add(Customer::new("tom").locale("de"));
    world.set_config("text", json!({"en": "Welcome!", "fr": "Bienvenue !"}));
    world
}

#[test]
fn without_a_text_it_says_nothing() {
    let mut world = World::from_manifest::<Greeting>(include_str!("../plugin.toml"));
    world.add(Customer::new("lea"));
    world.write("lea", "Bonjour");
    assert!(world.messages().is_empty());
    assert!(world.log()[0].1.contains("plugins.config.greeting.text"), "{:?}", world.log());
}

#[test]
fn everybody_is_greeted_in_their_language_or_in_the_shops() {
    let mut world = world();
    world.write("lea", "Bonjour");
    world.write("tom", "Guten Tag");
    let said: Vec<&str> = world.messages().iter().map(|sent| sent.body.as_str()).collect();
    assert_eq!(said, ["Bienvenue !", "Welcome!"]);
    world.set_config("text", json!({"it": "Benvenuti!"}));
    world.advance(Duration::from_hours(15 * 24));
    world.write("tom", "Guten Tag");
    assert_eq!(world.messages().len(), 2, "none in Italian for who speaks German");
}

#[test]
fn who_is_set_to_be_greeted_once_is_greeted_once() {
    let mut world = world();
    world.set_config("again_after_days", 0);
    world.write("lea", "Bonjour");
    world.advance(Duration::from_hours(400 * 24));
    world.write("lea", "Bonjour");
    assert_eq!(world.messages().len(), 1);
}

#[test]
fn a_reaction_begins_nothing() {
    assert!(begins_something("text") && begins_something("image") && begins_something("location"));
    for kind in ["reaction", "edit", "revoke"] {
        assert!(!begins_something(kind), "{kind}");
    }
}
