//! What plugins may use, checked where it is used: in the transaction that takes the message or begins the attempt, on the row
//! that counts. So it holds for runs side by side and for hosts side by side.

use super::{Outcome, Tx};
use crate::{
    clock::Timestamp,
    domain::{
        message::{Attempt, NewMessage},
        quota::{Money, UseKey, too_many},
    },
};

/// Takes one of the places that the plugin has with this recipient; why not, where none is free.
pub(super) fn take_place(tx: &mut Tx<'_>, message: &NewMessage, now: Timestamp) -> Outcome<Option<String>> {
    let Some(key) = place_key(message) else { return Ok(None) };
    let Some(cap) = message.author.as_ref().and_then(|author| author.caps.per_customer_day) else { return Ok(None) };
    let mut used = tx.source.plugin_use(&key)?;
    let places = used.places(now);
    if places >= cap {
        let why = too_many(places, cap, message.to.lane());
        let plugin = &key.plugin;
        return Ok(Some(format!(
            "{why}; others took the places while this run asked. The number is the smallest of [permissions] per-customer-day in \
             plugin.toml, [plugins.grants.{plugin}] per-customer-day and [plugins.caps.ceiling] per-customer-day"
        )));
    }
    used.take(now);
    tx.source.put_plugin_use(&key, &used, now)?;
    Ok(None)
}

/// What a message takes a place of, where its plugin has a bound.
pub(in crate::store) fn place_key(message: &NewMessage) -> Option<UseKey> {
    let author = message.author.as_ref().filter(|author| author.caps.per_customer_day.is_some())?;
    Some(UseKey::sent_to(&message.tenant, &author.plugin, message.to.lane()))
}

/// Takes an attempt's price from what the plugin may spend today; why not, where that is more than is left. Nothing is given
/// back for an attempt that fails: whether a provider charges for it is known too late, and often never.
pub(super) fn spend(
    tx: &mut Tx<'_>,
    message: &NewMessage,
    attempt: &Attempt,
    now: Timestamp,
) -> Outcome<Option<String>> {
    let Some(author) = &message.author else { return Ok(None) };
    let Some(cap) = &author.caps.spend_day else { return Ok(None) };
    let Some(price) = attempt.price_micros.filter(|price| *price > 0) else { return Ok(None) };
    let key = UseKey::spent(&message.tenant, &author.plugin, &cap.currency);
    let mut used = tx.source.plugin_use(&key)?;
    let spent = used.spent(now);
    if spent.saturating_add(price) > cap.micros {
        let money = |micros| Money { micros, currency: cap.currency.clone() };
        let plugin = &key.plugin;
        return Ok(Some(format!(
            "spend-day: {} of {cap} are used today (UTC), and this attempt would cost {}. The amount is the smallest of \
             [permissions] spend-day in plugin.toml, [plugins.grants.{plugin}] spend-day and [plugins.caps.ceiling] spend-day",
            money(spent),
            money(price)
        )));
    }
    used.spend(price, now);
    tx.source.put_plugin_use(&key, &used, now)?;
    Ok(None)
}
