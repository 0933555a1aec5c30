//! Which way a message takes: channel, account, address, rendition, price, and why not the others.

use serde_json::{Value, json};

use super::plan::{Facts, Plan, Planned};
use crate::{
    channel::{Provider, Rendition, phone, price, sms, whatsapp},
    clock::Timestamp,
    domain::{
        customer::Channel,
        message::{Attempt, MessageRecord, NewMessage},
        purpose::Category,
        status::MessageState,
    },
    rules::{Check, Refusal, allowed},
};
use std::sync::Arc;

/// The route of a message that nothing was sent of yet: the first channel of those it may take that is open.
pub(super) fn first(record: &MessageRecord, facts: &Facts<'_>) -> Plan {
    along(record, allowed::channels(&record.message), facts, "the first attempt")
}

/// The same channel once more, or the other one where it is closed meanwhile.
pub(super) fn again(record: &MessageRecord, channel: Channel, facts: &Facts<'_>, why: &str) -> Plan {
    let others = allowed::channels(&record.message).filter(move |other| *other > channel);
    along(record, std::iter::once(channel).chain(others), facts, why)
}

/// SMS before WhatsApp, for a message that leaves WhatsApp no time.
pub(super) fn sms_first(record: &MessageRecord, facts: &Facts<'_>, why: &str) -> Plan {
    let channels: Vec<Channel> = allowed::channels(&record.message).collect();
    along(record, channels.into_iter().rev(), facts, why)
}

/// SMS, after WhatsApp did not deliver.
pub(super) fn sms(record: &MessageRecord, facts: &Facts<'_>, why: &str) -> Plan {
    along(record, std::iter::once(Channel::Sms), facts, why)
}

/// Why a channel is not taken.
pub(super) struct Closed {
    pub code: String,
    pub why: String,
    checks: Vec<Check>,
    /// It will open again then.
    opens: Option<Timestamp>,
}

impl Closed {
    fn weight(&self, channel: Channel) -> Value {
        json!({ "channel": channel, "taken": false, "code": self.code, "why": self.why })
    }
}

impl From<Refusal> for Closed {
    fn from(refusal: Refusal) -> Closed {
        Closed { code: refusal.code().to_owned(), why: refusal.to_string(), checks: Vec::new(), opens: None }
    }
}

fn along(record: &MessageRecord, mut channels: impl Iterator<Item = Channel>, facts: &Facts<'_>, why: &str) -> Plan {
    let mut weighed: Vec<Value> = Vec::new();
    let mut checks: Vec<Check> = Vec::new();
    let mut closed: Option<Closed> = None;
    while let Some(channel) = channels.next() {
        match open(record, channel, facts) {
            Ok((mut planned, passed)) => {
                checks.extend(passed);
                weighed.push(weight(&planned, true));
                weighed.extend(channels.map(|other| in_reserve(record, other, facts)));
                planned.decision = json!({ "why": why, "checks": checks, "routes": weighed });
                return Plan::Attempt(planned);
            }
            Err(refused) => {
                weighed.push(refused.weight(channel));
                checks.extend(refused.checks.iter().cloned());
                // One that opens again is worth waiting for. Of the others a consent that is missing says more than an address
                // that is: it is what the message should show.
                let says_more = closed.as_ref().is_none_or(|before| match (before.opens, refused.opens) {
                    (None, opens) => opens.is_some() || before.code == "no-address",
                    (Some(before), opens) => opens.is_some_and(|opens| opens < before),
                });
                if says_more {
                    closed = Some(refused);
                }
            }
        }
    }
    let decision = json!({ "why": why, "checks": checks, "routes": weighed });
    match closed {
        Some(Closed { opens: Some(until), code, why, .. }) => later(record, until, &code, why, decision),
        Some(closed) => Plan::Settle { state: MessageState::Failed, code: closed.code, decision },
        None => Plan::Settle { state: MessageState::Failed, code: "no-route".to_owned(), decision },
    }
}

/// Nothing is open now, and something will be: worth waiting for unless the message is of no use by then.
fn later(record: &MessageRecord, until: Timestamp, code: &str, why: String, mut decision: Value) -> Plan {
    if let Some(members) = decision.as_object_mut() {
        members.insert("why".to_owned(), Value::String(why));
    }
    let quiet = code == QUIET_HOURS;
    if quiet && record.message.expires.is_some_and(|expires| expires <= until) {
        return Plan::Settle { state: MessageState::Expired, code: code.to_owned(), decision };
    }
    Plan::Wait { until, code: if quiet { QUIET_HOURS } else { "provider-down" }, decision }
}

/// A route as the decision shows it: what it would be on the channel, and what that costs.
fn weight(planned: &Planned, taken: bool) -> Value {
    json!({
        "channel": planned.channel, "taken": taken, "account": account_key(&*planned.provider), "rendition": planned.rendition,
        "parts": planned.parts, "price_micros": planned.price_micros, "price": planned.decision,
    })
}

/// A channel that is not needed unless the one that is taken does not deliver: shown with its price, or with what closes it.
fn in_reserve(record: &MessageRecord, channel: Channel, facts: &Facts<'_>) -> Value {
    match open(record, channel, facts) {
        Ok((planned, _)) => {
            let mut weight = weight(&planned, false);
            if let Some(members) = weight.as_object_mut() {
                members.insert("code".to_owned(), json!("in-reserve"));
                members.insert("why".to_owned(), json!("it is taken where the one before it does not deliver"));
            }
            weight
        }
        Err(refused) => refused.weight(channel),
    }
}

/// The code of a message that waits for the hours in which it may go out.
const QUIET_HOURS: &str = "quiet-hours";

/// A channel with everything that an attempt on it needs. `decision` holds the price's explanation for the moment.
pub(super) fn open(
    record: &MessageRecord,
    channel: Channel,
    facts: &Facts<'_>,
) -> Result<(Box<Planned>, Vec<Check>), Closed> {
    let message = &record.message;
    let (address, mut checks) = address(message, channel, facts)?;
    checks.extend(hours(message, channel, &address, facts)?);
    let provider = account(channel, facts)?;
    let (body, rendition, parts, category) = match channel {
        Channel::Whatsapp => on_whatsapp(record, facts)?,
        Channel::Sms => {
            if let Some(why) = message.content.mute() {
                return Err(Refusal::BadContent(why.to_owned()).into());
            }
            let text = sms::render(message, facts.sms);
            let parts = text.parts;
            (Rendition::Sms(text), "sms".to_owned(), parts, price::Category::Sms)
        }
    };
    let country = phone::country(&address);
    let day = facts.now.to_jiff().to_zoned(jiff::tz::TimeZone::UTC).date();
    let price = facts.prices.price(day, channel, category, country.as_deref(), parts);
    in_the_caps_currency(message, price.as_ref())?;
    let planned = Planned {
        provider,
        channel,
        address,
        body,
        rendition,
        parts,
        price_micros: price.as_ref().map(|price| price.micros),
        decision: price.map_or(Value::Null, |price| json!({ "currency": price.currency, "source": price.source })),
    };
    Ok((Box::new(planned), checks))
}

/// A plugin's bound on money can only be kept with prices in its currency; the sum is kept where the attempt is written down.
fn in_the_caps_currency(message: &NewMessage, price: Option<&price::Price>) -> Result<(), Closed> {
    let Some(author) = &message.author else { return Ok(()) };
    let Some(cap) = &author.caps.spend_day else { return Ok(()) };
    let why = match price {
        Some(price) if price.currency == cap.currency => return Ok(()),
        Some(price) => format!("it is priced in {}", price.currency),
        None => "no table of prices has a price for it".to_owned(),
    };
    Err(Closed {
        code: "over-spend".to_owned(),
        why: format!(
            "plugin `{}` may spend {cap} a day, and {why}; give spend-day in the currency of the prices",
            author.plugin
        ),
        checks: Vec::new(),
        opens: None,
    })
}

fn address(message: &NewMessage, channel: Channel, facts: &Facts<'_>) -> Result<(String, Vec<Check>), Closed> {
    let Some(customer) = facts.customer else {
        return Err(Refusal::UnknownCustomer(message.to.lane().to_owned()).into());
    };
    let checks = allowed::on_channel(message, customer, channel, facts.now, facts.rules)?;
    let Some(address) = customer.address(channel) else {
        return Err(Refusal::NoAddress(format!("no {} address", channel.as_str())).into());
    };
    if let Some(until) = address.unusable_until.filter(|until| *until > facts.now) {
        let code = match channel {
            Channel::Whatsapp => "not-on-whatsapp",
            Channel::Sms => "sms-unreachable",
        };
        let why =
            format!("the number was found not to be reachable by {}; not tried again before {until}", channel.as_str());
        return Err(Closed { code: code.to_owned(), why, checks, opens: None });
    }
    Ok((address.address.clone(), checks))
}

/// Whether this is an hour in which the message may go out, where the customer is.
fn hours(message: &NewMessage, channel: Channel, address: &str, facts: &Facts<'_>) -> Result<Option<Check>, Closed> {
    allowed::hours(message, facts.customer, channel, address, facts.now, facts.rules).map_err(|quiet| Closed {
        code: QUIET_HOURS.to_owned(),
        checks: vec![Check::refused(QUIET_HOURS, quiet.why.clone())],
        why: quiet.why,
        opens: Some(quiet.until),
    })
}

/// The first account of the channel that does not rest.
fn account(channel: Channel, facts: &Facts<'_>) -> Result<Arc<dyn Provider>, Closed> {
    let mut resting: Option<(crate::clock::Timestamp, String)> = None;
    for provider in facts.providers.iter().filter(|provider| provider.channel() == channel) {
        match facts.circuits.rests(&account_key(&**provider), facts.now) {
            None => return Ok(provider.clone()),
            Some(rest) if resting.as_ref().is_none_or(|before| rest.0 < before.0) => resting = Some(rest),
            Some(_) => {}
        }
    }
    match resting {
        Some((until, why)) => Err(Closed {
            code: "account-problem".to_owned(),
            why: format!("every account for {} rests until {until}: {why}", channel.as_str()),
            checks: Vec::new(),
            opens: Some(until),
        }),
        None => Err(Closed {
            code: "no-account".to_owned(),
            why: format!("no account is configured for {}", channel.as_str()),
            checks: Vec::new(),
            opens: None,
        }),
    }
}

/// Whether the channel has an account that does not rest, other than the attempt's.
pub(super) fn another_account(last: &Attempt, facts: &Facts<'_>) -> bool {
    let others = facts.providers.iter().filter(|provider| {
        provider.channel() == last.channel && (provider.name(), provider.account()) != (&*last.provider, &*last.account)
    });
    others.map(|provider| account_key(&**provider)).any(|key| facts.circuits.rests(&key, facts.now).is_none())
}

/// Names an account over all providers.
pub(super) fn account_key(provider: &dyn Provider) -> String {
    format!("{}/{}", provider.name(), provider.account())
}

type Rendered = (Rendition, String, u32, price::Category);

/// Free content while the window is open, the template otherwise.
fn on_whatsapp(record: &MessageRecord, facts: &Facts<'_>) -> Result<Rendered, Closed> {
    let content = &record.message.content;
    let window_open = facts.customer.is_some_and(|customer| customer.window_ends(facts.now).is_some());
    // The provider knows better than we whether the window is open: it said so.
    let window_refused = record.attempts.iter().any(|attempt| {
        attempt.failure.as_ref().is_some_and(|failure| failure.retry == crate::domain::message::Retry::AsTemplate)
    });
    let free = content.has_free() && window_open && !window_refused;
    let form = if free { whatsapp::Form::Free } else { whatsapp::Form::Template };
    let category = match (&content.template, free) {
        (_, true) | (None, false) => price::Category::Service,
        (Some(template), false) => match template.category {
            Category::Authentication => price::Category::Authentication,
            Category::Utility if window_open => price::Category::UtilityInWindow,
            Category::Utility => price::Category::Utility,
            Category::Marketing => price::Category::Marketing,
        },
    };
    let rendered = whatsapp::render(content, form).map_err(|error| Closed {
        code: "bad-content".to_owned(),
        why: error.to_string(),
        checks: Vec::new(),
        opens: None,
    })?;
    let kind = rendered.kind.to_owned();
    Ok((Rendition::Whatsapp(rendered), kind, 1, category))
}
