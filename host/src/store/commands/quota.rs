//! What plugins may use, checked where it is used: in the transaction that takes the message or begins the attempt, on the row
//! that counts. So it holds for runs side by side and for hosts side by side.

use super::{Outcome, Tx};
use crate::{
    clock::Timestamp,
    domain::{
        message::{Attempt, NewMessage},
        quota::{Money, UseKey, Used, too_many},
    },
};

/// Takes one of the places that the plugin has with this recipient, and one of those that the tenant has for the purpose; why
/// not, where none is free. Then none is taken.
pub(super) fn take_place(tx: &mut Tx<'_>, message: &NewMessage, now: Timestamp) -> Outcome<Option<String>> {
    let lane = message.to.lane();
    let mut taken = Vec::new();
    if let (Some(key), Some(cap)) =
        (place_key(message), message.author.as_ref().and_then(|author| author.caps.per_customer_day))
    {
        let used = tx.source.plugin_use(&key)?;
        let places = used.places(now);
        if places >= cap {
            let why = too_many(places, cap, lane);
            let plugin = &key.plugin;
            return Ok(Some(format!(
                "{why}; others took the places while this run asked. The number is the smallest of [permissions] per-customer-day \
                 in plugin.toml, [plugins.grants.{plugin}] per-customer-day and [plugins.caps.ceiling] per-customer-day"
            )));
        }
        taken.push((key, used));
    }
    if let Some(cap) = tx.terms.caps.of(message.purpose) {
        let key = UseKey::sent_for(&message.tenant, message.purpose, lane);
        let used = tx.source.plugin_use(&key)?;
        let (places, purpose) = (used.places(now), message.purpose.as_str());
        if places >= cap {
            return Ok(Some(format!(
                "caps.per-customer-day.{purpose}: {places} of {cap} messages of this purpose to `{lane}` within 24 hours are used, \
                 all plugins together"
            )));
        }
        taken.push((key, used));
    }
    for (key, mut used) in taken {
        used.take(now);
        tx.source.put_plugin_use(&key, &used, now)?;
    }
    Ok(None)
}

/// What a message takes a place of, where its plugin has a bound.
pub(in crate::store) fn place_key(message: &NewMessage) -> Option<UseKey> {
    let author = message.author.as_ref().filter(|author| author.caps.per_customer_day.is_some())?;
    Some(UseKey::sent_to(&message.tenant, &author.plugin, message.to.lane()))
}

/// Takes an attempt's price from what its plugin and its tenant may spend today; why not, where that is more than is left.
/// Nothing is given back for an attempt that fails: whether a provider charges for it is known too late, and often never.
pub(super) fn spend(
    tx: &mut Tx<'_>,
    message: &NewMessage,
    attempt: &Attempt,
    now: Timestamp,
) -> Outcome<Option<String>> {
    if attempt.price_micros.is_some_and(|price| price <= 0) {
        return Ok(None);
    }
    let mut taken = Vec::new();
    if let Some((plugin, cap)) =
        message.author.as_ref().and_then(|one| Some((&one.plugin, one.caps.spend_day.as_ref()?)))
        && let Some(price) = attempt.price_micros
    {
        let key = UseKey::spent(&message.tenant, plugin, &cap.currency);
        let whose = format!(
            "The amount is the smallest of [permissions] spend-day in plugin.toml, [plugins.grants.{plugin}] spend-day and \
             [plugins.caps.ceiling] spend-day"
        );
        match left(tx, key, cap, price, now)? {
            Ok(used) => taken.push((used, price)),
            Err(why) => return Ok(Some(format!("spend-day: {why}. {whose}"))),
        }
    }
    if let Some(cap) = tx.terms.caps.spend_day.clone() {
        // What is priced in no currency, or in another, cannot be added up.
        let price = attempt.price_micros.filter(|_| attempt.tally.currency.as_deref() == Some(&*cap.currency));
        let Some(price) = price else {
            let why = format!(
                "caps.spend-day: the tenant may spend {cap} a day, and this attempt has no price in that currency"
            );
            return Ok(Some(why));
        };
        let key = UseKey::spent_by_all(&message.tenant, &cap.currency);
        match left(tx, key, &cap, price, now)? {
            Ok(used) => taken.push((used, price)),
            Err(why) => return Ok(Some(format!("caps.spend-day: {why}, all messages of the tenant together"))),
        }
    }
    for ((key, mut used), price) in taken {
        used.spend(price, now);
        tx.source.put_plugin_use(&key, &used, now)?;
    }
    Ok(None)
}

/// What has been spent, where the price is within what is left.
fn left(
    tx: &mut Tx<'_>,
    key: UseKey,
    cap: &Money,
    price: i64,
    now: Timestamp,
) -> Outcome<Result<(UseKey, Used), String>> {
    let used = tx.source.plugin_use(&key)?;
    let spent = used.spent(now);
    if spent.saturating_add(price) <= cap.micros {
        return Ok(Ok((key, used)));
    }
    let money = |micros| Money { micros, currency: cap.currency.clone() };
    Ok(Err(format!("{} of {cap} are used today (UTC), and this attempt would cost {}", money(spent), money(price))))
}
