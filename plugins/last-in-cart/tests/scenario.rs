//! An afternoon of the last pair of shoes.

use std::time::Duration;

use relais_plugin::DeliveryState;
use relais_plugin::testing::{Customer, World};
use serde_json::json;

use super::LastInCart;

#[test]
fn an_afternoon_of_the_last_pair_of_shoes() {
    let mut world = World::from_manifest::<LastInCart>(include_str!("../plugin.toml"));
    world.add(Customer::new("lea").locale("fr-FR").agreed_to_marketing());
    world.add(Customer::new("paul").locale("en-GB").agreed_to_marketing().without_whatsapp());
    world.add(Customer::new("ann").locale("en-GB"));

    world.advance_to("2018-08-01T14:00:00+02:00");
    stock(&mut world, 3);
    cart(&mut world, "item-added", "lea");
    cart(&mut world, "item-added", "ann");
    assert!(world.messages().is_empty(), "three are left, and nobody has to hurry");

    // Two pairs are sold. Léa agreed to be told; Ann did not, which is logged and nothing more.
    world.advance(Duration::from_mins(20));
    stock(&mut world, 1);
    assert_eq!(world.messages().len(), 1);
    let told = world.last_message().clone();
    assert_eq!(told.body, "Il ne reste qu'un exemplaire : Chaussure de trail 42, et il est dans votre panier.");
    assert_eq!(told.because.as_deref(), Some("/test#event-2"), "what she put into the cart, and not the stock");
    assert!(world.log()[0].1.contains("no-consent: marketing"));

    // The same count again is no news.
    stock(&mut world, 1);
    assert_eq!(world.messages().len(), 1);

    // More shoes arrive before her phone is on: the message is stopped.
    world.advance(Duration::from_mins(5));
    stock(&mut world, 12);
    assert_eq!(world.messages()[0].state, DeliveryState::Cancelled);

    // By the evening it is the last pair once more, and Paul has it in his cart as well.
    world.advance(Duration::from_hours(4));
    cart(&mut world, "item-added", "paul");
    stock(&mut world, 1);
    let to: Vec<_> =
        world.messages()[1..].iter().map(|sent| (sent.customer.as_deref(), sent.channel.as_str())).collect();
    assert_eq!(to, [(Some("lea"), "whatsapp"), (Some("paul"), "sms")]);

    // Léa buys it. Paul's message is stopped if it still can be.
    cart(&mut world, "checked-out", "lea");
    stock(&mut world, 0);
    assert!(world.messages().iter().all(|sent| sent.state == DeliveryState::Cancelled));
    assert_eq!(world.messages().len(), 3);
}

fn cart(world: &mut World, what: &str, customer: &str) {
    let data = json!({"sku": "SHOE-42", "product": "Chaussure de trail 42"});
    world.event(&format!("com.example.cart.{what}")).customer(customer).data(data).post();
}

fn stock(world: &mut World, left: u32) {
    world.event("com.example.stock.changed").data(json!({"sku": "SHOE-42", "left": left})).post();
}
