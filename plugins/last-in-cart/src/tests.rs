use relais_plugin::testing::{Customer, World};
use relais_plugin::{DeliveryState, SendError};
use serde_json::json;

use super::LastInCart;

fn world() -> World {
    let mut world = World::from_manifest::<LastInCart>(include_str!("../plugin.toml"));
    for id in ["paul", "lea"] {
        world.add(Customer::new(id).agreed_to_marketing());
    }
    world
}

fn cart(world: &mut World, what: &str, customer: &str) {
    let data = json!({"sku": "SHOE-42", "product": "Trail shoe 42"});
    world.event(&format!("com.example.cart.{what}")).customer(customer).data(data).post();
}

fn stock(world: &mut World, left: u32) {
    world.event("com.example.stock.changed").data(json!({"sku": "SHOE-42", "left": left})).post();
}

#[test]
fn the_order_of_cart_and_stock_does_not_matter() {
    for stock_first in [true, false] {
        let mut world = world();
        if stock_first {
            stock(&mut world, 1);
            cart(&mut world, "item-added", "paul");
        } else {
            cart(&mut world, "item-added", "paul");
            stock(&mut world, 1);
        }
        assert_eq!(world.messages().len(), 1, "stock first: {stock_first}");
    }
}

#[test]
fn another_article_is_another_story() {
    let mut world = world();
    cart(&mut world, "item-added", "paul");
    world.event("com.example.stock.changed").data(json!({"sku": "SHOE-43", "left": 1})).post();
    assert!(world.messages().is_empty());
}

#[test]
fn taking_it_out_stops_the_message_and_putting_it_back_does_not_repeat_it() {
    let mut world = world();
    cart(&mut world, "item-added", "paul");
    stock(&mut world, 1);
    cart(&mut world, "item-removed", "paul");
    assert_eq!(world.last_message().state, DeliveryState::Cancelled);
    cart(&mut world, "item-added", "paul");
    assert_eq!(world.messages().len(), 1);
}

#[test]
fn a_count_that_was_overtaken_is_not_believed() {
    let mut world = world();
    cart(&mut world, "item-added", "paul");
    stock(&mut world, 5);
    let data = json!({"sku": "SHOE-42", "left": 1});
    world.event("com.example.stock.changed").time("2018-08-01T07:00:00+02:00").data(data).post();
    assert!(world.messages().is_empty());
}

#[test]
fn a_refusal_does_not_keep_the_next_holder_from_being_told() {
    let mut world = world();
    world.add(Customer::new("ann"));
    cart(&mut world, "item-added", "ann");
    cart(&mut world, "item-added", "paul");
    stock(&mut world, 1);
    assert_eq!(world.refusals()[0].reason, SendError::NoConsent("marketing".into()));
    assert_eq!(world.last_message().customer.as_deref(), Some("paul"));
}

#[test]
fn more_holders_than_one_run_may_write_to_are_all_told() {
    let mut world = world();
    for number in 0..120 {
        let id = format!("c{number}");
        world.add(Customer::new(&id).agreed_to_marketing());
        cart(&mut world, "item-added", &id);
    }
    stock(&mut world, 1);
    world.advance(std::time::Duration::from_secs(1));
    assert_eq!(world.messages().len(), 120);
}

/// The first JSON block of the README is an event that is posted; the page stays true as long as this passes.
#[test]
fn the_readmes_event_does_what_the_readme_says() {
    let mut world = World::from_manifest::<LastInCart>(include_str!("../plugin.toml"));
    world.add(Customer::new("4711").locale("en-GB").timezone("Europe/Paris").agreed_to_marketing());
    let readme = include_str!("../README.md");
    let mut events = readme.split("```json\n").skip(1).filter_map(|block| block.split("```").next());
    world.cloudevent(events.next().unwrap()).post();
    world.cloudevent(events.next().unwrap()).post();
    let said = &world.last_message().body;
    assert!(readme.contains(said.as_str()), "the README does not say: {said}");
}
