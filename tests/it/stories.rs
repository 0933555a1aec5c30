//! The six plugins' stories: an event comes in, the customer reads it, on WhatsApp or by SMS.

use serde_json::{Value, json};

use crate::harness::{Host, LEA, PAUL, Setup, Shown, Sms, event, order_ready, text_of};

/// Paul has WhatsApp, Lea has not. Both are told everything, and both agreed to marketing.
async fn town(sms: Sms) -> Host {
    let host = Host::start(Setup::new().sms(sms)).await;
    host.sim.phone(PAUL, |_| {});
    host.sim.phone(LEA, |phone| phone.whatsapp = false);
    let agreed = |channel| json!({"channel": channel, "scope": "marketing", "granted": true, "source": "form v3"});
    for (id, number) in [("paul", PAUL), ("lea", LEA)] {
        let consents = json!({"consents": [agreed("whatsapp"), agreed("sms")]});
        host.customer_with(id, number, consents).await;
    }
    host
}

/// What stands on the screen in the end: `count` messages, the last one with these words.
async fn reads(host: &Host, number: &str, channel: &str, count: usize, words: &str) {
    host.until(&format!("{number} reads “{words}” by {channel}"), async || {
        let screen = host.sim.screen(number, channel).await;
        let arrived: Vec<String> =
            screen.iter().filter(|entry| !entry["ticks"]["delivered_at"].is_null()).map(text_of).collect();
        let fits = arrived.len() == count && arrived.last().is_some_and(|text| text.contains(words));
        if fits { Ok(()) } else { Err(format!("{arrived:?}")) }
    })
    .await;
}

/// Posts an event for both of them: to `paul`, and with `-2` after each id to `lea`.
async fn to_both(host: &Host, kind: &str, data: impl Fn(&str) -> Value) {
    for customer in ["paul", "lea"] {
        let ended = host.event(event(kind, customer, data(customer))).await;
        assert_eq!(ended["results"][0]["state"], "done", "{ended:#}");
    }
}

async fn bakery(sms: Sms) {
    let mut host = town(sms).await;
    to_both(&host, "com.example.order.ready", |who| json!({"order": format!("O-{who}"), "shop": "Paul", "minutes": 2}))
        .await;
    reads(&host, PAUL, "whatsapp", 1, "Your order O-paul at Paul will be ready in 2 min.").await;
    reads(&host, LEA, "sms", 1, "Your order O-lea at Paul will be ready in 2 min. See you soon!").await;
    assert_eq!(host.only_message("paul", "read").await.way(), "whatsapp read");
    let by_sms = host.only_message("lea", "delivered").await;
    assert_eq!(by_sms.way(), "whatsapp failed (not-on-whatsapp) → sms delivered");
    assert_eq!(by_sms["attempts"][1]["provider"], if sms == Sms::Cm { "cm" } else { "twilio" });
    // The number was found not to be on WhatsApp, and is not tried there again.
    host.event(order_ready("lea", "O-2")).await;
    reads(&host, LEA, "sms", 2, "O-2").await;
    assert_eq!(host.messages("lea").await[1]["attempts"].as_array().unwrap().len(), 1);
    host.stop().await;
}

#[tokio::test]
async fn the_bakery_says_that_the_order_is_ready_on_whatsapp_and_by_sms_of_cm() {
    bakery(Sms::Cm).await;
}

#[tokio::test]
async fn the_bakery_says_that_the_order_is_ready_by_sms_of_twilio() {
    bakery(Sms::Twilio).await;
}

#[tokio::test]
async fn a_parcel_is_followed_once_for_each_change_and_never_out_of_order() {
    let host = town(Sms::Cm).await;
    let parcel = |who: &str| json!({"parcel": format!("P-{who}"), "shop": "Mollat"});
    to_both(&host, "com.example.parcel.shipped", parcel).await;
    reads(&host, PAUL, "whatsapp", 1, "P-paul from Mollat is on its way").await;
    reads(&host, LEA, "sms", 1, "P-lea from Mollat is on its way").await;
    to_both(&host, "com.example.parcel.out-for-delivery", parcel).await;
    reads(&host, PAUL, "whatsapp", 2, "will be delivered today").await;
    to_both(&host, "com.example.parcel.delivered", parcel).await;
    reads(&host, PAUL, "whatsapp", 3, "has been delivered").await;
    reads(&host, LEA, "sms", 3, "has been delivered").await;
    // What carriers say late or twice is no news.
    for kind in ["com.example.parcel.delivered", "com.example.parcel.shipped"] {
        to_both(&host, kind, parcel).await;
    }
    assert_eq!((host.messages("paul").await.len(), host.messages("lea").await.len()), (3, 3));
}

#[tokio::test]
async fn who_holds_the_last_piece_is_told_and_nobody_else() {
    let host = town(Sms::Cm).await;
    host.sim.phone(crate::harness::NORA, |_| {});
    host.customer("nora", crate::harness::NORA).await;
    let cart = |sku: &str| json!({"sku": sku, "product": format!("shoe {sku}")});
    host.event(event("com.example.cart.item-added", "paul", cart("A"))).await;
    host.event(event("com.example.cart.item-added", "lea", cart("B"))).await;
    host.event(event("com.example.cart.item-added", "nora", cart("C"))).await;
    let mut refused = Vec::new();
    for (sku, left) in [("A", 2), ("A", 1), ("B", 1), ("C", 1), ("A", 1)] {
        let ended = host.event(event("com.example.stock.changed", "", json!({"sku": sku, "left": left}))).await;
        assert_eq!(ended["results"][0]["state"], "done", "{ended:#}");
        refused.extend(ended["results"][0]["report"]["refused"].as_array().cloned().unwrap_or_default());
    }
    reads(&host, PAUL, "whatsapp", 1, "Only one shoe A is left, and it is in your cart.").await;
    reads(&host, LEA, "sms", 1, "Only one shoe B is left").await;
    // Nora did not agree to marketing, which the template is filed as: she is not told, and the host says why.
    assert_eq!(host.messages("nora").await, Vec::<Value>::new());
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert_eq!((&refused[0]["to"], &refused[0]["code"]), (&json!("nora"), &json!("no-consent")));
    assert!(refused[0]["why"].as_str().unwrap().contains("filed as marketing"), "{refused:?}");
}

async fn reminded(sms: Sms) {
    let host = town(sms).await;
    let dentist = |who: &str| json!({"appointment": format!("D-{who}"), "title": "Dr Example", "starts": "2026-11-24T18:00:00+01:00"});
    to_both(&host, "com.example.appointment.booked", dentist).await;
    assert_eq!(host.stats().await["timers"], 2, "a day before is over, two hours before is to come");
    host.advance("6h").await;
    assert_eq!(host.messages("paul").await, Vec::<Value>::new(), "it is 15:00, and the reminder is for 16:00");
    host.advance("61m").await;
    reads(&host, PAUL, "whatsapp", 1, "A reminder: Dr Example").await;
    reads(&host, LEA, "sms", 1, "A reminder: Dr Example").await;
    // He taps a button; she has numbers.
    host.sim.taps(PAUL, "come").await;
    host.sim.writes(LEA, "sms", "2").await;
    reads(&host, PAUL, "whatsapp", 2, "Thank you, it is noted").await;
    reads(&host, LEA, "sms", 2, "cancelling your appointment").await;
    let events = host.get("/v1/events?limit=200").await;
    let raised: Vec<&Value> = events["events"].as_array().unwrap().iter().map(|event| &event["type"]).collect();
    for kind in ["com.example.appointment.confirmed", "com.example.appointment.cancel-requested"] {
        assert_eq!(raised.iter().filter(|raised| ***raised == kind).count(), 1, "{raised:?}");
    }
}

#[tokio::test]
async fn an_appointment_is_reminded_of_and_answered_with_a_button_or_a_number_by_sms_of_cm() {
    reminded(Sms::Cm).await;
}

#[tokio::test]
async fn an_appointment_is_reminded_of_and_answered_with_a_number_by_sms_of_twilio() {
    reminded(Sms::Twilio).await;
}

#[tokio::test]
async fn a_ticket_comes_with_its_document_or_picture_and_by_sms_with_a_link() {
    let host = town(Sms::Cm).await;
    let train = |who: &str| {
        json!({"kind": "train", "ticket": format!("T-{who}"), "title": "Paris – Lyon", "seat": "coach 12, seat 45",
            "starts": "2026-11-24T19:58:00+01:00", "document": "https://tickets.example.com/T.pdf"})
    };
    to_both(&host, "com.example.ticket.issued", train).await;
    reads(&host, PAUL, "whatsapp", 1, "Seat: coach 12, seat 45. Ticket T-paul").await;
    reads(&host, LEA, "sms", 1, "https://tickets.example.com/T.pdf").await;
    let document = &host.sim.screen(PAUL, "whatsapp").await[0]["content"]["media"][0];
    assert_eq!(document["url"], "https://tickets.example.com/T.pdf", "{document}");

    // The customer has written: the window is open, and the picture goes as it is, without a template.
    host.sim.writes(PAUL, "whatsapp", "Thanks").await;
    host.until("the window is open", async || {
        let paul = host.get("/v1/customers/paul").await;
        if paul["window_ends"].is_null() { Err(paul.to_string()) } else { Ok(()) }
    })
    .await;
    let cinema = json!({"kind": "cinema", "ticket": "C-77", "title": "The Film", "place": "screen 4", "code": "K7F-M2Q",
        "starts": "2026-11-24T20:30:00+01:00", "image": "https://cinema.example.com/K7F.png"});
    host.event(event("com.example.ticket.issued", "paul", cinema)).await;
    host.until_eq("a picture with its code", "image".to_owned(), async || {
        let messages = host.messages("paul").await;
        messages
            .get(1)
            .map(|message| message["attempts"][0]["rendition"].as_str().unwrap_or_default().to_owned())
            .unwrap_or_default()
    })
    .await;
    reads(&host, PAUL, "whatsapp", 2, "K7F-M2Q").await;
}

#[tokio::test]
async fn a_ride_is_announced_step_by_step_and_can_be_cancelled() {
    let host = town(Sms::Cm).await;
    let found = |who: &str| {
        json!({"ride": format!("R-{who}"), "driver": "Karim", "car": "blue Zoé", "plate": "EK-123-ZT", "minutes": 7,
            "location": {"latitude": 45.7678, "longitude": 4.8345, "name": "Rue de la République"}})
    };
    to_both(&host, "com.example.ride.driver-found", found).await;
    reads(&host, PAUL, "whatsapp", 1, "EK-123-ZT: Karim is coming").await;
    reads(&host, LEA, "sms", 1, "EK-123-ZT: Karim is coming").await;
    host.sim.taps(PAUL, "cancel").await;
    host.until("the wish to cancel is an event", async || {
        let events = host.get("/v1/events?limit=200").await.to_string();
        if events.contains("com.example.ride.cancel-requested") { Ok(()) } else { Err(events) }
    })
    .await;
    to_both(&host, "com.example.ride.arriving", |who| json!({"ride": format!("R-{who}"), "minutes": 2})).await;
    to_both(&host, "com.example.ride.arrived", |who| json!({"ride": format!("R-{who}")})).await;
    reads(&host, LEA, "sms", 3, "EK-123-ZT: Karim is here.").await;
    // To tap "cancel" was about the ride and not about messages: they go on, on WhatsApp.
    reads(&host, PAUL, "whatsapp", 4, "EK-123-ZT: Karim is here.").await;
    assert_eq!(host.get("/v1/customers/paul").await["consents"].as_array().unwrap().len(), 2, "the two of the form");
}
