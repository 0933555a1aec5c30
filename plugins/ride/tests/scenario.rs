//! The ride home, and one that is called off.

use std::time::Duration;

use relais_plugin::testing::{Customer, World};
use relais_plugin::{DeliveryState, Purpose};
use serde_json::{Value, json};

use super::RidePlugin;

#[test]
fn the_ride_home_and_one_that_is_called_off() {
    let mut world = World::from_manifest::<RidePlugin>(include_str!("../plugin.toml"));
    world.add(Customer::new("marie").locale("fr-FR"));

    world.advance_to("2018-08-01T22:40:00+02:00");
    let car = json!({"ride": "R1", "driver": "Karim", "car": "Zoé bleue", "plate": "EK-123-ZT", "minutes": 7});
    post(&mut world, "driver-found", car);
    let found = world.last_message().clone();
    assert_eq!(found.body, "EK-123-ZT : Karim arrive en Zoé bleue, dans environ 7 min.");
    assert_eq!(found.expires, Some(world.now() + Duration::from_mins(17)));
    world.deliver(&found.id, DeliveryState::Read);

    world.advance(Duration::from_mins(5));
    let place = json!({"latitude": 45.7678, "longitude": 4.8345, "name": "Rue de la République"});
    post(&mut world, "arriving", json!({"ride": "R1", "minutes": 2, "location": place}));
    assert_eq!(world.last_message().body, "EK-123-ZT : Karim sera là dans 2 min.");
    assert!(world.last_message().location.is_some());

    world.advance(Duration::from_mins(2));
    post(&mut world, "arrived", json!({"ride": "R1"}));
    assert_eq!(world.last_message().body, "EK-123-ZT : Karim est là.");

    // Another evening she changes her mind and taps the button; the shop hears it, and confirms with an event.
    world.advance(Duration::from_hours(24));
    let car = json!({"ride": "R2", "driver": "Inès", "car": "Yaris grise", "plate": "FA-777-AB", "minutes": 4});
    post(&mut world, "driver-found", car);
    let found = world.last_message().id.clone();
    world.deliver(&found, DeliveryState::Read);
    world.tap(&found, "cancel");
    assert_eq!(world.last_message().body, "Nous annulons votre course.");
    assert_eq!(world.last_message().purpose, Purpose::Reply);
    assert_eq!(world.emitted()[0].event_type, "com.example.ride.cancel-requested");
    assert_eq!(world.emitted()[0].data, r#"{"ride":"R2"}"#);
    world.tap(&found, "cancel");
    assert_eq!(world.emitted().len(), 1, "tapped twice, asked for once");

    post(&mut world, "cancelled", json!({"ride": "R2"}));
    assert_eq!(world.last_message().body, "Votre course avec Inès a été annulée.");
    assert_eq!(world.last_message().template, None, "she wrote a moment ago, so the window is open");
}

fn post(world: &mut World, what: &str, data: Value) {
    world.event(&format!("com.example.ride.{what}")).source("/rides").customer("marie").data(data).post();
}
