//! Two nights with a day between them.

use relais_plugin::testing::{Customer, World};
use serde_json::json;

use super::Away;

#[test]
fn it_is_said_once_while_the_conversation_goes_on() {
    let mut world = World::from_manifest::<Away>(include_str!("../plugin.toml"));
    world.add(Customer::new("paul"));
    world.set_config("text", json!({"en": "We are closed."}));
    let every_day: serde_json::Map<_, _> = (1..=7).map(|day| (day.to_string(), json!("09:00-19:00"))).collect();
    world.set_config("hours", json!(every_day));
    for at in ["2018-08-01T20:00:00+02:00", "2018-08-01T20:01:00+02:00", "2018-08-02T11:00:00+02:00"] {
        world.advance_to(at);
        world.write("paul", "Hello?");
    }
    // The same conversation on the next evening: it went on by day.
    world.advance_to("2018-08-02T21:00:00+02:00");
    world.write("paul", "Still there?");
    assert_eq!(world.messages().len(), 1);
    // A day of silence later it is another one.
    world.advance_to("2018-08-03T21:30:00+02:00");
    world.write("paul", "Hello?");
    assert_eq!(world.messages().len(), 2);
}
