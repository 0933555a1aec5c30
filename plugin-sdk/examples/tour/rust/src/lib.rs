//! A tour of everything that a plugin can call, one function for each interface of the contract.
//!
//! It is a shop's loyalty card: a purchase adds stamps, the tenth is a free coffee, and who does not fetch it is reminded.

use std::time::Duration;

use relais_plugin::calendar::{self, Style};
use relais_plugin::customers::{self, Consent};
use relais_plugin::messages::{Delivery, DeliveryState};
use relais_plugin::{
    Error, Event, Incoming, Message, Outcome, Plugin, Purpose, SendResult, Timer, config, events, http, info, plugin,
    run, state, timers, warn,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

struct Tour;

plugin!(Tour);

#[derive(Deserialize)]
struct Purchase {
    shop: String,
    stamps: u32,
}

#[derive(Default, Serialize, Deserialize)]
struct Card {
    stamps: u32,
}

#[derive(Serialize, Deserialize)]
struct Coffee {
    code: String,
}

#[derive(Deserialize)]
struct Settings {
    needed: u32,
}

const DAY: Duration = Duration::from_hours(24);

impl Plugin for Tour {
    // interface: on-event
    fn on_event(event: Event) -> Outcome {
        let purchase: Purchase = event.data()?;
        let customer = event.customer_id()?;
        if stamp(purchase.stamps)?.stamps < config::<Settings>()?.needed || !wants_mail(customer) {
            return Ok(());
        }
        let code = draw();
        congratulate(customer, &purchase.shop, &code)?;
        remind_later(&code)?;
        tell_the_till(customer, &code)?;
        hand_on(customer, &code)?;
        state::remove("card");
        Ok(())
    }

    // interface: on-timer
    fn on_timer(timer: Timer) -> Outcome {
        let coffee: Coffee = timer.data()?;
        Message::to(timer.customer_id()?, Purpose::Reminder)
            .text(format!("Your coffee is still waiting: {}", coffee.code))
            .sms_only()
            .send()
            .or_skip()?;
        Ok(())
    }

    // interface: on-delivery
    fn on_delivery(delivery: Delivery) -> Outcome {
        if delivery.state == DeliveryState::Failed {
            warn!(code = delivery.code.unwrap_or_default(), "the coffee was not announced");
        }
        Ok(())
    }

    // interface: on-message
    fn on_message(message: Incoming) -> Outcome {
        timers::cancel("coffee");
        Message::answer(&message).text("See you soon!").send().or_skip()?;
        Ok(())
    }
}

// interface: state
fn stamp(stamps: u32) -> Result<Card, Error> {
    let mut card: Card = state::get("card")?.unwrap_or_default();
    card.stamps += stamps;
    state::Entry::new("card").ttl(365 * DAY).set(&card)?;
    Ok(card)
}

// interface: run
fn draw() -> String {
    info!(run = run::id(), attempt = run::attempt(), entity = run::entity(), "a coffee is won");
    run::code(6)
}

// interface: customers
fn wants_mail(customer: &str) -> bool {
    if customers::consent(customer, "whatsapp", "service") == Consent::Refused {
        return false;
    }
    // Not two coffees in a row to somebody who has had one a moment ago.
    let won = customers::history(customer, "com.example.coffee.won", 1);
    won.iter().all(|won| won.time + Duration::from_hours(1) < run::now())
}

// interface: calendar
fn until_the_end_of_the_week(customer: &str) -> Result<String, Error> {
    let known = customers::get(customer);
    let zone = known.as_ref().and_then(|known| known.timezone.as_deref()).unwrap_or("Europe/Paris");
    let locale = known.as_ref().and_then(|known| known.locale.as_deref()).unwrap_or("en-GB");
    let local =
        calendar::to_local(run::now(), zone).ok_or_else(|| Error::reject(format!("there is no zone {zone}")))?;
    let sunday = run::now() + u32::from(7 - local.weekday) * DAY;
    Ok(calendar::format(sunday, zone, locale, Style::Date))
}

// interface: messages
fn congratulate(customer: &str, shop: &str, code: &str) -> Outcome {
    let until = until_the_end_of_the_week(customer)?;
    Message::to(customer, Purpose::Confirmation)
        .template("coffee_won")
        .param("shop", shop)
        .param("code", code)
        .text(format!("Your next coffee at {shop} is free until {until}: {code}"))
        .choice("later", "Remind me")
        .fallback_after(Duration::from_mins(2))
        .dedup_key(format!("coffee/{code}"))
        .tag("coffee")
        .send()
        .or_skip()?;
    Ok(())
}

// interface: timers
fn remind_later(code: &str) -> Outcome {
    timers::after("coffee", 2 * DAY).data(&Coffee { code: code.to_owned() })?.expires(run::now() + 7 * DAY).set();
    Ok(())
}

// interface: http
fn tell_the_till(customer: &str, code: &str) -> Outcome {
    http::post("https://till.example/coffees")
        .bearer_secret("till-token")
        .json(&json!({"customer": customer, "code": code}))?
        .timeout(Duration::from_secs(2))
        .send()?
        .success()?;
    Ok(())
}

// interface: events
fn hand_on(customer: &str, code: &str) -> Outcome {
    let event = events::event("com.example.coffee.won").data(&json!({ "code": code }))?;
    event.subject(format!("customer/{customer}")).dedup_key(code).attribute("tone", "kind").emit();
    Ok(())
}
