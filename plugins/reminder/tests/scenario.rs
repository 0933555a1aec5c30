//! A week of appointments.

use relais_plugin::testing::{Customer, World};
use relais_plugin::{DeliveryState, Purpose};
use serde_json::{Value, json};

use super::Reminder;

#[test]
fn a_week_of_appointments() {
    let mut world = World::from_manifest::<Reminder>(include_str!("../plugin.toml"));
    world.add(Customer::new("marie").locale("fr-FR").timezone("Europe/Paris"));

    // Booked on Wednesday for Friday, and moved to Saturday before anything was said.
    post(&mut world, "booked", at("2018-08-03T15:00:00+02:00"));
    world.advance_to("2018-08-02T12:00:00+02:00");
    post(&mut world, "moved", at("2018-08-04T10:00:00+02:00"));
    world.advance_to("2018-08-03T09:59:00+02:00");
    assert!(world.messages().is_empty(), "the reminders of Friday's appointment are gone");

    // A day before, with a question; her answer confirms it.
    world.advance_to("2018-08-03T10:01:00+02:00");
    let first = world.last_message().clone();
    assert_eq!(first.body, "Rappel : Coiffeur Léa, samedi 4 août à 10 h 00. Viendrez-vous ?");
    assert_eq!(first.template.as_deref(), Some("appointment_reminder"));
    assert_eq!(first.purpose, Purpose::Reminder);
    world.deliver(&first.id, DeliveryState::Read);
    world.tap(&first.id, "come");
    assert_eq!(world.last_message().body, "Merci, c'est noté. À bientôt.");
    assert_eq!(world.emitted()[0].event_type, "com.example.appointment.confirmed");

    // Two hours before it is eight: the night is over. She has confirmed, and is not asked again.
    world.advance_to("2018-08-04T08:00:00+02:00");
    assert_eq!(world.last_message().body, "Rappel : Coiffeur Léa, samedi 4 août à 10 h 00. Nous vous attendons.");

    // She cannot come after all. The shop is asked, and says so; nothing more is sent.
    let second = world.last_message().id.clone();
    world.tap(&second, "cancel");
    assert_eq!(world.emitted()[1].event_type, "com.example.appointment.cancel-requested");
    assert_eq!(world.emitted()[1].data, r#"{"appointment":"H7"}"#);
    post(&mut world, "cancelled", json!({"appointment": "H7"}));
    let so_far = world.messages().len();
    world.advance_to("2018-08-06T12:00:00+02:00");
    assert_eq!(world.messages().len(), so_far);
    assert!(world.timers().is_empty());

    // An old button does not bring it back.
    world.tap(&first.id, "come");
    assert_eq!(world.last_message().body, "Ce rendez-vous est passé ou annulé.");
    assert_eq!(world.emitted().len(), 2);
}

fn at(starts: &str) -> Value {
    json!({"appointment": "H7", "title": "Coiffeur Léa", "starts": starts})
}

fn post(world: &mut World, what: &str, data: Value) {
    world.event(&format!("com.example.appointment.{what}")).source("/salon").customer("marie").data(data).post();
}
