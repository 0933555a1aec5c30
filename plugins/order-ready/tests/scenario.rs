//! A morning at the bakery.

use std::time::Duration;

use relais_plugin::testing::{Customer, World};
use relais_plugin::{DeliveryState, SendError};
use serde_json::json;

use super::OrderReady;

#[test]
fn a_morning_at_the_bakery() {
    let mut world = World::from_manifest::<OrderReady>(include_str!("../plugin.toml"));
    world.add(Customer::new("marie").locale("fr-FR").timezone("Europe/Paris"));
    world.add(Customer::new("tom").locale("en-GB").without_whatsapp());
    world.add(Customer::new("zoe").locale("fr-FR").said_stop());

    // Marie has not written for days: the template goes out, in her language, and SMS stands by.
    world.advance_to("2018-08-01T08:10:00+02:00");
    ready(&mut world, "marie", "41");
    let message = world.last_message().clone();
    assert_eq!(message.body, "Votre commande 41 chez Au Pain Doré sera prête dans 2 min.");
    assert_eq!(message.template.as_deref(), Some("order_ready"));
    assert_eq!(message.expires, Some(world.now() + Duration::from_mins(17)));
    assert_eq!(message.fallback_after, Some(Duration::from_secs(40)));

    // She answers, so the window is open, and the next order may be told in free words.
    world.deliver(&message.id, DeliveryState::Read);
    world.answer(&message.id, "J'arrive");
    world.advance(Duration::from_mins(30));
    ready(&mut world, "marie", "57");
    assert_eq!(world.last_message().template, None);
    assert_eq!(
        world.last_message().body,
        "Votre commande 57 chez Au Pain Doré sera prête dans 2 min. À tout de suite !"
    );

    // Tom has no WhatsApp.
    ready(&mut world, "tom", "58");
    assert_eq!(world.last_message().channel, "sms");
    assert_eq!(world.last_message().body, "Your order 58 at Au Pain Doré will be ready in 2 min. See you soon!");

    // Zoé does not want to be written to. That is her right and no failure.
    ready(&mut world, "zoe", "59");
    assert_eq!(world.messages().len(), 3);
    assert!(matches!(world.refusals()[0].reason, SendError::NoConsent(_)));
    assert!(world.log()[0].1.contains("no-consent"));
}

fn ready(world: &mut World, customer: &str, order: &str) {
    let data = json!({"order": order, "shop": "Au Pain Doré"});
    world.event("com.example.order.ready").source("/bakery/lyon").customer(customer).data(data).post();
}
