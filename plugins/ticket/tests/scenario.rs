//! A journey home and an evening at the cinema.

use relais_plugin::testing::{Customer, World};
use serde_json::json;

use super::TicketPlugin;

#[test]
fn a_journey_home_and_an_evening_at_the_cinema() {
    let mut world = World::from_manifest::<TicketPlugin>(include_str!("../plugin.toml"));
    world.add(Customer::new("marie").locale("fr-FR").timezone("Europe/Paris"));
    world.add(Customer::new("tom").locale("en-GB").timezone("Europe/Paris").without_whatsapp());

    world.advance_to("2018-08-01T12:00:00+02:00");
    let train = json!({
        "kind": "train", "ticket": "QWERTY", "title": "Paris – Lyon", "starts": "2018-08-01T17:58:00+02:00",
        "seat": "voiture 12, place 45", "document": "https://tickets.example.com/QWERTY.pdf"
    });
    world.event("com.example.ticket.issued").source("/rail").customer("marie").data(train).post();
    let sent = world.last_message();
    assert_eq!(
        sent.body,
        "Paris – Lyon, mercredi 1 août à 17 h 58. Place : voiture 12, place 45. Billet QWERTY. Bon voyage."
    );
    assert_eq!(sent.attachment.as_deref(), Some("https://tickets.example.com/QWERTY.pdf (application/pdf)"));
    assert_eq!(sent.template.as_deref(), Some("train_ticket"));

    let film = json!({
        "kind": "cinema", "ticket": "C-77", "title": "The Incredibles 2", "starts": "2018-08-01T20:30:00+02:00",
        "place": "Comœdia, screen 4", "code": "K7F-M2Q", "image": "https://cinema.example.com/codes/K7F-M2Q.png"
    });
    world.event("com.example.ticket.issued").source("/cinema").customer("tom").data(film).post();
    let sent = world.last_message();
    assert_eq!(sent.channel, "sms");
    assert_eq!(
        sent.body,
        "The Incredibles 2, Wednesday 1 August, 8:30 PM, Comœdia, screen 4. Your code: K7F-M2Q. Enjoy the film.\n\
         https://cinema.example.com/codes/K7F-M2Q.png"
    );
    assert_eq!(world.messages().len(), 2);
}
