//! Tells a customer that the order will be ready in a moment, so that they come when it is warm and not before.
//!
//! The message is worth nothing when it is late. It expires, and an event that arrives too late sends none.

use std::num::NonZeroU32;
use std::time::Duration;

use relais_plugin::{Event, Message, Outcome, Plugin, Purpose, SendResult, config, customers, plugin};
use serde::Deserialize;

struct OrderReady;

plugin!(OrderReady);

#[derive(Deserialize)]
struct Order {
    order: String,
    shop: String,
    minutes: Option<NonZeroU32>,
}

#[derive(Deserialize)]
struct Settings {
    minutes: NonZeroU32,
    useful_minutes: u32,
    fallback_seconds: u32,
}

impl Plugin for OrderReady {
    fn on_event(event: Event) -> Outcome {
        let order: Order = event.data()?;
        let customer = event.customer_id()?;
        let settings: Settings = config()?;
        let minutes = order.minutes.unwrap_or(settings.minutes);
        let useful = Duration::from_mins(u64::from(minutes.get()) + u64::from(settings.useful_minutes));

        Message::to(customer, Purpose::Alert)
            .template("order_ready")
            .param("order", &order.order)
            .param("shop", &order.shop)
            .param("minutes", minutes)
            .text(text(customer, &order, minutes))
            // From when it happened and not from now: the minutes have been running since then.
            .expires(event.time + useful)
            .fallback_after(Duration::from_secs(u64::from(settings.fallback_seconds)))
            .dedup_key(format!("order/{}", order.order))
            .tag("ready")
            .send()
            .or_skip()?;
        Ok(())
    }
}

fn text(customer: &str, order: &Order, minutes: NonZeroU32) -> String {
    let Order { order, shop, .. } = order;
    match customers::get(customer).unwrap_or_default().language("en") {
        "fr" => format!("Votre commande {order} chez {shop} sera prête dans {minutes} min. À tout de suite !"),
        _ => format!("Your order {order} at {shop} will be ready in {minutes} min. See you soon!"),
    }
}

#[cfg(test)]
mod tests;

#[cfg(test)]
#[path = "../tests/scenario.rs"]
mod scenario;
