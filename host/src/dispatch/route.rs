//! Which way a message takes: channel, account, address, rendition, price, and why not the others.

use serde_json::{Value, json};

use super::plan::{Facts, Plan, Planned};
use crate::{
    channel::{Provider, Rendition, phone, price, sms, whatsapp},
    domain::{
        customer::{Channel, is_user_id},
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

/// SMS, after WhatsApp did not deliver.
pub(super) fn sms(record: &MessageRecord, facts: &Facts<'_>, why: &str) -> Plan {
    along(record, std::iter::once(Channel::Sms), facts, why)
}

/// Why a channel is not taken.
struct Closed {
    code: String,
    why: String,
    checks: Vec<Check>,
    /// It will open again then.
    opens: Option<crate::clock::Timestamp>,
}

impl From<Refusal> for Closed {
    fn from(refusal: Refusal) -> Closed {
        Closed { code: refusal.code().to_owned(), why: refusal.to_string(), checks: Vec::new(), opens: None }
    }
}

fn along(record: &MessageRecord, channels: impl Iterator<Item = Channel>, facts: &Facts<'_>, why: &str) -> Plan {
    let mut weighed: Vec<Value> = Vec::new();
    let mut checks: Vec<Check> = Vec::new();
    let mut closed: Option<Closed> = None;
    for channel in channels {
        match open(record, channel, facts) {
            Ok((mut planned, passed)) => {
                checks.extend(passed);
                weighed.push(json!({
                    "channel": channel, "taken": true, "account": account_key(&*planned.provider), "rendition": planned.rendition,
                    "parts": planned.parts, "price_micros": planned.price_micros, "price": planned.decision,
                }));
                planned.decision = json!({ "why": why, "checks": checks, "routes": weighed });
                return Plan::Attempt(planned);
            }
            Err(refused) => {
                weighed.push(json!({ "channel": channel, "taken": false, "code": refused.code, "why": refused.why }));
                checks.extend(refused.checks.iter().cloned());
                // A consent that is missing says more than an address that is: it is what the message should show.
                if closed.as_ref().is_none_or(|before| before.code == "no-address") {
                    closed = Some(refused);
                }
            }
        }
    }
    let decision = json!({ "why": why, "checks": checks, "routes": weighed });
    match closed {
        Some(Closed { opens: Some(until), why, .. }) => Plan::Wait { until, code: "provider-down", why },
        Some(closed) => Plan::Settle { state: MessageState::Failed, code: closed.code, decision },
        None => Plan::Settle { state: MessageState::Failed, code: "no-route".to_owned(), decision },
    }
}

/// A channel with everything that an attempt on it needs. `decision` holds the price's explanation for the moment.
fn open(record: &MessageRecord, channel: Channel, facts: &Facts<'_>) -> Result<(Box<Planned>, Vec<Check>), Closed> {
    let message = &record.message;
    let (address, checks) = address(message, channel, facts)?;
    can_go_to_an_id(message, &address)?;
    let provider = account(channel, facts)?;
    let (body, rendition, parts, category) = match channel {
        Channel::Whatsapp => on_whatsapp(record, facts)?,
        Channel::Sms => {
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

/// A one-time code proves that somebody has the number, so WhatsApp does not take one for somebody who hides it (131062).
fn can_go_to_an_id(message: &NewMessage, address: &str) -> Result<(), Closed> {
    let proves = message.content.template.as_ref().is_some_and(|of| of.category == Category::Authentication);
    if !proves || !is_user_id(address) {
        return Ok(());
    }
    Err(Closed {
        code: "number-needed".to_owned(),
        why: "the customer hides the number, and WhatsApp takes no authentication template for an id".to_owned(),
        checks: Vec::new(),
        opens: None,
    })
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
    let has_free = content.text.is_some() || content.attachment.is_some() || content.location.is_some();
    // The provider knows better than we whether the window is open: it said so.
    let window_refused = record.attempts.iter().any(|attempt| {
        attempt.failure.as_ref().is_some_and(|failure| failure.retry == crate::domain::message::Retry::AsTemplate)
    });
    let free = has_free && window_open && !window_refused;
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
