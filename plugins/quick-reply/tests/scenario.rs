//! Questions that are asked every day.

use relais_plugin::testing::{Customer, World};
use serde_json::json;

use super::QuickReply;

#[test]
fn questions_of_every_day_are_answered_and_others_left_to_people() {
    let mut world = World::from_manifest::<QuickReply>(include_str!("../plugin.toml"));
    world.add(Customer::new("paul").locale("en-GB"));
    world.write("paul", "The menu, please");
    assert!(world.messages().is_empty(), "nothing is set");
    world.set_config("replies", json!([{"keywords": ["menu"], "text": {"en": "Tart today.", "fr": "De la tarte."}}]));
    world.write("paul", "The MENU, please");
    assert_eq!(world.last_message().body, "Tart today.");
    world.write("paul", "And is it good?");
    assert_eq!(world.messages().len(), 1);
}
