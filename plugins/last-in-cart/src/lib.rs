//! Tells the customer who holds the last piece of an article in the cart that it is the last one.
//!
//! The entity is the article, so who holds it and how many are left is one state without a race. Each holder is told
//! once for each time that stock falls to one; a message that is still on its way is stopped when the piece is bought,
//! taken out of the cart or restocked, and after a restock everything begins anew.

use std::time::Duration;

use relais_plugin::{
    Error, Event, Instant, Message, MessageId, Outcome, Plugin, Purpose, SendResult, Timer, config, customers,
    messages, plugin, run, state, timers,
};
use serde::{Deserialize, Serialize};

struct LastInCart;

plugin!(LastInCart);

#[derive(Deserialize)]
struct InCart {
    product: String,
}

#[derive(Deserialize)]
struct StockChanged {
    left: u32,
}

#[derive(Deserialize)]
struct Settings {
    hours: u32,
    fallback_minutes: u32,
}

/// Kept under `holder/{customer}`: the article is in this customer's cart.
#[derive(Serialize, Deserialize)]
struct Holder {
    product: String,
    /// The event of the cart. It is what makes a message to this customer expected; a change of stock is not.
    because: String,
}

/// Kept under `told/{customer}` while one piece is left. The message is none where the customer may not be written to.
#[derive(Serialize, Deserialize)]
struct Told {
    message: Option<MessageId>,
}

#[derive(Serialize, Deserialize)]
struct Stock {
    left: u32,
    since: Instant,
}

/// A cart that nobody has touched for so long is forgotten.
const CART_KEPT: Duration = Duration::from_hours(30 * 24);

/// Holders told in one run, half of what a run may send; the others are told in the next, which is due at once.
const TOLD_PER_RUN: usize = 50;

impl Plugin for LastInCart {
    fn on_event(event: Event) -> Outcome {
        match event.verb() {
            "item-added" => {
                let InCart { product } = event.data()?;
                let customer = event.customer_id()?;
                let holder = Holder { product, because: event.reference() };
                state::Entry::new(format!("holder/{customer}")).about(customer).ttl(CART_KEPT).set(&holder)?;
            }
            "item-removed" | "checked-out" => {
                let customer = event.customer_id()?;
                state::remove(&format!("holder/{customer}"));
                // That the customer was told is kept: to put the piece back is no reason to hear it again.
                stop(state::get(&format!("told/{customer}"))?);
            }
            "changed" => count(&event)?,
            other => return Err(Error::reject(format!("`{other}` is nothing that this plugin knows of a cart"))),
        }
        tell_holders_of_the_last()
    }

    fn on_timer(_more: Timer) -> Outcome {
        tell_holders_of_the_last()
    }
}

/// Takes over the new stock. With any number but one there is no last piece: whoever was told may be told again.
fn count(event: &Event) -> Outcome {
    let StockChanged { left } = event.data()?;
    let known: Option<Stock> = state::get("stock")?;
    if known.is_some_and(|known| known.since > event.time) {
        return Ok(());
    }
    state::set("stock", &Stock { left, since: event.time })?;
    if left != 1 {
        for (key, told) in state::scan::<Told>("told/")? {
            stop(Some(told));
            state::remove(&key);
        }
    }
    Ok(())
}

fn stop(told: Option<Told>) {
    if let Some(message) = told.and_then(|told| told.message) {
        messages::cancel(&message);
    }
}

fn tell_holders_of_the_last() -> Outcome {
    let Some(Stock { left: 1, since }) = state::get("stock")? else { return Ok(()) };
    let settings: Settings = config()?;
    let mut told_now = 0;
    for (key, holder) in state::scan::<Holder>("holder/")? {
        let customer = key.trim_start_matches("holder/");
        let told = format!("told/{customer}");
        if state::get::<Told>(&told)?.is_some() {
            continue;
        }
        if told_now == TOLD_PER_RUN {
            timers::at("more", run::now()).set();
            break;
        }
        told_now += 1;
        let message = tell(customer, &holder, since, &settings)?;
        state::Entry::new(told).about(customer).ttl(CART_KEPT).set(&Told { message })?;
    }
    Ok(())
}

fn tell(customer: &str, holder: &Holder, since: Instant, settings: &Settings) -> Result<Option<MessageId>, Error> {
    Message::to(customer, Purpose::Alert)
        .because(&holder.because)
        .template("last_item")
        .param("product", &holder.product)
        .text(text(customer, &holder.product))
        .expires(run::now() + Duration::from_hours(u64::from(settings.hours)))
        .fallback_after(Duration::from_mins(u64::from(settings.fallback_minutes)))
        .dedup_key(format!("{}/{}", run::entity(), since.as_millis()))
        .tag("last")
        .send()
        // Without marketing consent it is refused. The log says so, and the next holder may have agreed.
        .or_skip()
}

fn text(customer: &str, product: &str) -> String {
    match customers::get(customer).unwrap_or_default().language("en") {
        "fr" => format!("Il ne reste qu'un exemplaire : {product}, et il est dans votre panier."),
        _ => format!("Only one {product} is left, and it is in your cart."),
    }
}

#[cfg(test)]
mod tests;

#[cfg(test)]
#[path = "../tests/scenario.rs"]
mod scenario;
