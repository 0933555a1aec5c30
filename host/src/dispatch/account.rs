//! Which account of a channel sends a message.
//!
//! Of those that serve the number's country, can carry the message and do not rest: the one that the customer wrote to, else
//! the cheapest by the prices that are known, else the first by preference and by the configuration's order. What speaks
//! against each of the others stands in the decision.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{
    plan::Facts,
    route::{Closed, account_key},
};
use crate::{
    channel::{Provider, Rendition, failure::ACCOUNT_PROBLEM, price, serves, standing::Against, templates::Shape},
    domain::{
        customer::Channel,
        message::{Attempt, MessageRecord, Remember, Retry},
        status::AttemptState,
    },
};

const NO_ACCOUNT: &str = "no-account";

/// What is to be sent, as far as the choice depends on it.
pub(super) struct Asked<'a> {
    pub channel: Channel,
    pub address: &'a str,
    pub country: Option<&'a str>,
    pub body: &'a Rendition,
    pub category: price::Category,
    pub parts: u32,
    /// What it brings for its template, where it is one.
    pub shape: Option<&'a Shape>,
}

pub(super) struct Chosen {
    pub provider: Arc<dyn Provider>,
    pub price: Option<price::Price>,
    pub accounts: Vec<Value>,
}

struct Weighed {
    provider: Arc<dyn Provider>,
    price: Option<price::Price>,
    /// Why it is not taken.
    against: Option<Against>,
    /// Why it goes after the others.
    flagged: Option<String>,
}

pub(super) fn choose(record: &MessageRecord, asked: &Asked<'_>, facts: &Facts<'_>) -> Result<Chosen, Closed> {
    let of_channel = facts.providers.iter().filter(|provider| provider.channel() == asked.channel);
    let weighed: Vec<Weighed> = of_channel.map(|provider| weigh(record, provider, asked, facts)).collect();
    let written_to = |weighed: &Weighed| {
        facts.written_to == Some((weighed.provider.name(), weighed.provider.account())) && weighed.against.is_none()
    };
    let sticky = weighed.iter().position(written_to);
    let taken = sticky.or_else(|| cheapest(&weighed));
    let accounts = shown(&weighed, taken, sticky.is_some());
    match taken.and_then(|at| weighed.get(at)) {
        Some(taken) => Ok(Chosen { provider: taken.provider.clone(), price: taken.price.clone(), accounts }),
        None => Err(none(asked.channel, &weighed, accounts)),
    }
}

fn weigh(record: &MessageRecord, provider: &Arc<dyn Provider>, asked: &Asked<'_>, facts: &Facts<'_>) -> Weighed {
    let day = facts.now.to_jiff().to_zoned(jiff::tz::TimeZone::UTC).date();
    let whose = (provider.name(), provider.account());
    let price = facts.prices.price_with(day, asked.channel, asked.category, asked.country, asked.parts, whose);
    let (name, account) = whose;
    let standing = || facts.standing.against(name, account, asked.body, asked.shape, facts.now);
    let rests = || {
        let (until, why) = facts.circuits.rests(&account_key(&**provider), facts.now)?;
        Some(Against { code: ACCOUNT_PROBLEM, why, until: Some(until) })
    };
    let against = match unusable(record, &**provider, asked, facts) {
        Some(why) => Some(Against { code: NO_ACCOUNT, why, until: None }),
        None => standing().or_else(rests),
    };
    Weighed { provider: provider.clone(), price, against, flagged: facts.standing.flagged(name, account, facts.now) }
}

/// What time does not change.
fn unusable(record: &MessageRecord, provider: &dyn Provider, asked: &Asked<'_>, facts: &Facts<'_>) -> Option<String> {
    if !serves(provider.countries(), asked.address, asked.country) {
        return Some(format!("it does not serve {}", asked.country.unwrap_or("this number")));
    }
    if let Err(why) = provider.fits(asked.body) {
        return Some(why);
    }
    used_up(record, provider, facts).map(str::to_owned)
}

/// Whether this message has had its tries with the account.
fn used_up(record: &MessageRecord, provider: &dyn Provider, facts: &Facts<'_>) -> Option<&'static str> {
    let mine = |attempt: &&Attempt| is_of(attempt, provider);
    let last = record.attempts.iter().rev().find(mine)?;
    let failure = last.failure.as_ref().filter(|_| last.state == AttemptState::Failed)?;
    if failure.remember == Remember::AccountBroken {
        return Some("this message has failed with it, as every message would");
    }
    let busy = matches!(failure.retry, Retry::Later { .. });
    (busy && tries_with(record, last) >= facts.settings.attempts_max).then_some("it has been busy too often")
}

fn is_of(attempt: &Attempt, provider: &dyn Provider) -> bool {
    (&*attempt.provider, &*attempt.account) == (provider.name(), provider.account())
        && attempt.channel == provider.channel()
}

/// Attempts of the message with the account that this one was made with.
pub(super) fn tries_with(record: &MessageRecord, last: &Attempt) -> u32 {
    let same =
        |one: &&Attempt| (one.channel, &one.provider, &one.account) == (last.channel, &last.provider, &last.account);
    u32::try_from(record.attempts.iter().filter(same).count()).unwrap_or(u32::MAX)
}

/// Whether the channel has an account for this number, other than the attempt's, that has not had its tries and does not rest.
pub(super) fn another(record: &MessageRecord, last: &Attempt, facts: &Facts<'_>) -> bool {
    let country = crate::channel::phone::country(&last.address);
    facts.providers.iter().filter(|provider| provider.channel() == last.channel).any(|provider| {
        !is_of(last, &**provider)
            && serves(provider.countries(), &last.address, country.as_deref())
            && used_up(record, &**provider, facts).is_none()
            && facts.circuits.rests(&account_key(&**provider), facts.now).is_none()
    })
}

/// The place of the cheapest of those that nothing was said against; of those that cost the same, the first by preference. Prices in another currency than the first
/// account's cannot be compared: those come after it, with the ones that have none.
fn cheapest(weighed: &[Weighed]) -> Option<usize> {
    let usable = || weighed.iter().enumerate().filter(|(_, one)| one.against.is_none());
    let first = usable().min_by_key(|(at, one)| (one.flagged.is_some(), one.provider.preference(), *at));
    let currency = first.and_then(|(_, one)| one.price.as_ref()).map(|price| price.currency.clone());
    let cost = |one: &Weighed| {
        let price = one.price.as_ref().filter(|price| Some(&price.currency) == currency.as_ref());
        price.map_or(i64::MAX, |price| price.micros)
    };
    let order = |(at, one): &(usize, &Weighed)| (one.flagged.is_some(), cost(one), one.provider.preference(), *at);
    usable().min_by_key(order).map(|(at, _)| at)
}

fn shown(weighed: &[Weighed], taken: Option<usize>, sticky: bool) -> Vec<Value> {
    let one = |(at, one): (usize, &Weighed)| {
        let is_taken = taken == Some(at);
        let why = match &one.against {
            Some(Against { why, until: Some(until), .. }) => Some(format!("it rests until {until}: {why}")),
            Some(Against { why, .. }) => Some(why.clone()),
            None if is_taken && sticky => Some("the customer wrote to it".to_owned()),
            None if is_taken => one.flagged.clone(),
            None if one.flagged.is_some() => one.flagged.clone(),
            None if sticky => Some("the customer wrote to another".to_owned()),
            None => Some("another is cheaper, or goes first".to_owned()),
        };
        json!({
            "account": account_key(&*one.provider), "taken": is_taken, "why": why,
            "price_micros": one.price.as_ref().map(|price| price.micros),
            "currency": one.price.as_ref().map(|price| &price.currency),
        })
    };
    weighed.iter().enumerate().map(one).collect()
}

/// Why there is none: the one that rests for the shortest time says most.
fn none(channel: Channel, weighed: &[Weighed], accounts: Vec<Value>) -> Closed {
    let name = channel.as_str();
    let resting = weighed.iter().filter_map(|one| {
        let against = one.against.as_ref()?;
        Some((against.until?, against.code, &against.why))
    });
    let closed =
        |code: &str, why: String, opens| Closed { code: code.to_owned(), why, checks: Vec::new(), opens, accounts };
    if let Some((until, code, why)) = resting.min() {
        let why = format!("every account for {name} rests until {until}: {why}");
        return closed(code, why, Some(until));
    }
    let against = || weighed.iter().filter_map(|one| Some((one, one.against.as_ref()?)));
    let reasons: Vec<String> =
        against().map(|(one, against)| format!("{}: {}", account_key(&*one.provider), against.why)).collect();
    // What speaks against all of them alike is what there is to do something about.
    let code = match against().next() {
        Some((_, first)) if against().all(|(_, other)| other.code == first.code) => first.code,
        _ => NO_ACCOUNT,
    };
    match reasons.as_slice() {
        [] => closed(NO_ACCOUNT, format!("no account is configured for {name}"), None),
        reasons => closed(code, format!("no account for {name} can be used: {}", reasons.join("; ")), None),
    }
}
