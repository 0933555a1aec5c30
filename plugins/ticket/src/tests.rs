use relais_plugin::testing::{Customer, World};
use relais_plugin::{Error, SendError};
use serde_json::{Value, json};

use super::{TicketPlugin, image_type};

fn world() -> World {
    let mut world = World::from_manifest::<TicketPlugin>(include_str!("../plugin.toml"));
    world.add(Customer::new("4711").locale("en-GB").timezone("Europe/London"));
    world
}

fn train() -> Value {
    json!({
        "kind": "train", "ticket": "TK-9", "title": "Paris – London", "starts": "2018-08-01T18:13:00+02:00",
        "seat": "coach 12, seat 45", "document": "https://tickets.example.com/TK-9.pdf"
    })
}

#[test]
fn the_time_is_that_of_the_place_where_the_train_leaves() {
    let mut world = world();
    let mut data = train();
    data["timezone"] = json!("Europe/Paris");
    world.event("com.example.ticket.issued").customer("4711").data(data).post();
    let body = &world.last_message().body;
    assert!(body.starts_with("Paris – London, Wednesday 1 August, 6:13 PM. Seat: coach 12, seat 45."), "{body}");
}

#[test]
fn a_ticket_for_a_train_that_has_left_is_not_sent() {
    let mut world = world();
    let mut data = train();
    data["starts"] = json!("2018-07-31T18:13:00+02:00");
    world.event("com.example.ticket.issued").customer("4711").data(data).post();
    assert_eq!(world.refusals()[0].reason, SendError::Expired);
}

#[test]
fn a_start_without_an_offset_is_rejected() {
    let mut data = train();
    data["starts"] = json!("2018-08-01T18:13:00");
    let error = world().event("com.example.ticket.issued").customer("4711").data(data).post_failing();
    assert!(matches!(&error, Error::Reject { message: why, .. } if why.contains("with an offset")), "{error}");
}

#[test]
fn a_kind_that_nobody_knows_is_rejected() {
    let mut data = train();
    data["kind"] = json!("zeppelin");
    let error = world().event("com.example.ticket.issued").customer("4711").data(data).post_failing();
    assert!(error.message().contains("unknown variant `zeppelin`"), "{error}");
}

#[test]
fn a_picture_is_what_its_address_says() {
    assert_eq!(image_type("https://example.com/a/CODE.PNG?size=2"), "image/png");
    assert_eq!(image_type("https://example.com/code"), "image/jpeg");
}

/// The first JSON block of the README is an event that is posted; the page stays true as long as this passes.
#[test]
fn the_readmes_event_does_what_the_readme_says() {
    let mut world = World::from_manifest::<TicketPlugin>(include_str!("../plugin.toml"));
    world.add(Customer::new("4711").locale("en-GB").timezone("Europe/Paris"));
    let readme = include_str!("../README.md");
    let mut events = readme.split("```json\n").skip(1).filter_map(|block| block.split("```").next());
    world.cloudevent(events.next().unwrap()).post();
    let said = &world.last_message().body;
    assert!(readme.contains(said.as_str()), "the README does not say: {said}");
}
