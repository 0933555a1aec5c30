//! Two days of a parcel.

use relais_plugin::DeliveryState;
use relais_plugin::testing::{Customer, World};
use serde_json::json;

use super::DeliveryAlert;

#[test]
fn two_days_of_a_parcel() {
    let mut world = World::from_manifest::<DeliveryAlert>(include_str!("../plugin.toml"));
    world.add(Customer::new("marie").locale("fr-FR").timezone("Europe/Paris"));

    world.advance_to("2018-08-01T17:00:00+02:00");
    status(&mut world, "shipped", json!({"parcel": "6A123", "shop": "Mollat"}));
    assert_eq!(world.last_message().body, "Votre colis 6A123 de Mollat est en route.");
    let shipped = world.last_message().id.clone();

    // A lorry breaks down while her phone is off: the first message is withdrawn, the second says all there is.
    world.advance_to("2018-08-02T06:30:00+02:00");
    status(
        &mut world,
        "delayed",
        json!({"parcel": "6A123", "shop": "Mollat", "expected": "2018-08-03T12:00:00+02:00"}),
    );
    assert_eq!(
        world.last_message().body,
        "Votre colis 6A123 de Mollat a du retard. Il est maintenant attendu vendredi 3 août."
    );
    let withdrawn = world.messages().iter().find(|sent| sent.id == shipped).map(|sent| sent.state);
    assert_eq!(withdrawn, Some(DeliveryState::Cancelled));

    world.advance_to("2018-08-03T08:00:00+02:00");
    status(&mut world, "out-for-delivery", json!({"parcel": "6A123", "shop": "Mollat"}));
    assert_eq!(world.last_message().body, "Votre colis 6A123 de Mollat sera livré aujourd'hui.");

    world.advance_to("2018-08-03T11:12:00+02:00");
    status(&mut world, "delivered", json!({"parcel": "6A123", "shop": "Mollat"}));
    assert_eq!(world.last_message().body, "Votre colis 6A123 de Mollat a été livré.");

    // The carrier's system repeats its whole day in the evening.
    world.advance_to("2018-08-03T20:00:00+02:00");
    for again in ["shipped", "out-for-delivery", "delivered"] {
        status(&mut world, again, json!({"parcel": "6A123", "shop": "Mollat"}));
    }
    assert_eq!(world.messages().len(), 4);
}

fn status(world: &mut World, status: &str, data: serde_json::Value) {
    world.event(&format!("com.example.parcel.{status}")).source("/carrier").customer("marie").data(data).post();
}
