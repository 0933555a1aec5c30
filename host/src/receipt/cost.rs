//! What a message has cost, where its provider tells: Twilio names the price, Meta the category that it charges for, of which
//! the tables say the price. The receipt keeps what was said, with the amount beside it.

use serde_json::Value;

use super::ReceiptState;
use crate::{
    channel::{meta, price},
    clock::Timestamp,
    domain::{customer::Channel, status::AttemptState},
};

/// Adds `micros` and `currency` to what Meta says of a message's price. It charges what was delivered and nothing else, so a
/// status before that says nothing of the cost.
pub(super) fn add(state: &ReceiptState, provider: &str, reached: AttemptState, pricing: &mut Value, at: Timestamp) {
    if provider != meta::NAME || !reached.arrived() {
        return;
    }
    let Some((micros, currency)) = of_meta(state, pricing, at) else { return };
    if let Some(said) = pricing.as_object_mut() {
        said.insert("micros".to_owned(), micros.into());
        said.insert("currency".to_owned(), currency.into());
    }
}

fn of_meta(state: &ReceiptState, said: &Value, at: Timestamp) -> Option<(i64, String)> {
    let text = |name: &str| said.get(name).and_then(Value::as_str).unwrap_or_default();
    let number = said.get("phone_number_id").and_then(Value::as_str);
    let account = state.accounts.written_to(meta::NAME, Channel::Whatsapp, number).unwrap_or_default();
    let country = said.get("country").and_then(Value::as_str);
    let day = at.to_jiff().to_zoned(jiff::tz::TimeZone::UTC).date();
    let price = state.prices.price_with(
        day,
        Channel::Whatsapp,
        category(text("category"))?,
        country,
        1,
        (meta::NAME, account),
    )?;
    // `billable` is to be withdrawn; the type says the same.
    let free = text("type").starts_with("free") || said.get("billable").and_then(Value::as_bool) == Some(false);
    Some((if free { 0 } else { price.micros }, price.currency))
}

/// Meta's categories, of which some are written in two ways. One that is not known says nothing of the cost.
fn category(name: &str) -> Option<price::Category> {
    match name.replace('_', "-").as_str() {
        "authentication" | "authentication-international" => Some(price::Category::Authentication),
        "marketing" | "marketing-lite" => Some(price::Category::Marketing),
        "utility" => Some(price::Category::Utility),
        "service" | "referral-conversion" => Some(price::Category::Service),
        _ => None,
    }
}
