//! Which way a message takes: channel, account, address, rendition, price, and why not the others.

use serde_json::{Value, json};

use super::{
    account,
    plan::{Facts, Plan, Planned},
};
use crate::{
    channel::{Provider, Rendition, phone, price, sms, templates::Shape, whatsapp},
    clock::Timestamp,
    domain::{
        customer::{Channel, is_user_id},
        message::{MessageRecord, NewMessage, SmsPolicy},
        purpose::Category,
        status::MessageState,
        tally::Tally,
    },
    rules::{Check, Refusal, allowed},
};

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
    pub(super) code: String,
    pub(super) why: String,
    pub(super) checks: Vec<Check>,
    /// It will open again then.
    pub(super) opens: Option<Timestamp>,
    /// The accounts that were weighed, each with what speaks against it.
    pub(super) accounts: Vec<Value>,
}

impl Closed {
    fn new(code: &str, why: String) -> Closed {
        Closed { code: code.to_owned(), why, checks: Vec::new(), opens: None, accounts: Vec::new() }
    }

    fn weight(&self, channel: Channel) -> Value {
        let mut weight = json!({ "channel": channel, "taken": false, "code": self.code, "why": self.why });
        if !self.accounts.is_empty() {
            merge(&mut weight, &json!({ "accounts": self.accounts }));
        }
        weight
    }
}

impl From<Refusal> for Closed {
    fn from(refusal: Refusal) -> Closed {
        Closed::new(refusal.code(), refusal.to_string())
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
                if let Some(text) = &planned.instead {
                    let fallback = json!({
                        "by": "provider", "why": "the provider falls back by itself: no SMS follows from here",
                        "sms": { "text": text.text, "parts": text.parts, "encoding": text.encoding },
                    });
                    merge(&mut planned.decision, &json!({ "fallback": fallback }));
                }
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

/// A route as the decision shows it: what it would be on the channel, with which account, and what that costs.
fn weight(planned: &Planned, taken: bool) -> Value {
    let mut weight = json!({
        "channel": planned.channel, "taken": taken, "account": account_key(&*planned.provider), "rendition": planned.rendition,
        "parts": planned.parts, "price_micros": planned.price_micros,
    });
    merge(&mut weight, &planned.decision);
    weight
}

/// A channel that is not needed unless the one that is taken does not deliver: shown with its price, or with what closes it.
fn in_reserve(record: &MessageRecord, channel: Channel, facts: &Facts<'_>) -> Value {
    match open(record, channel, facts) {
        Ok((planned, _)) => {
            let mut weight = weight(&planned, false);
            let why = json!({ "code": "in-reserve", "why": "it is taken where the one before it does not deliver" });
            merge(&mut weight, &why);
            weight
        }
        Err(refused) => refused.weight(channel),
    }
}

/// The code of a message that waits for the hours in which it may go out.
const QUIET_HOURS: &str = "quiet-hours";

/// The fields of one object put into another.
fn merge(into: &mut Value, from: &Value) {
    if let (Some(into), Some(from)) = (into.as_object_mut(), from.as_object()) {
        into.extend(from.iter().map(|(key, value)| (key.clone(), value.clone())));
    }
}

/// A channel with everything that an attempt on it needs. `decision` holds the accounts and the price's explanation for the
/// moment.
pub(super) fn open(
    record: &MessageRecord,
    channel: Channel,
    facts: &Facts<'_>,
) -> Result<(Box<Planned>, Vec<Check>), Closed> {
    let message = &record.message;
    let (address, mut checks) = address(message, channel, facts)?;
    checks.extend(hours(message, channel, &address, facts)?);
    can_go_to_an_id(message, &address)?;
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
    let shape = template_of(message, &body);
    let asked = account::Asked {
        channel,
        address: &address,
        country: country.as_deref(),
        body: &body,
        category,
        parts,
        shape: shape.as_ref(),
    };
    let account::Chosen { provider, price, accounts } = account::choose(record, &asked, facts)?;
    in_the_caps_currency(message, price.as_ref())?;
    let instead = instead(record, channel, &address, &*provider, facts);
    let mut source = price.as_ref().map(|price| json!({ "currency": price.currency, "source": price.source }));
    if let (Some(source), price::Category::FreeEntryPoint) = (&mut source, category) {
        source["free_entry_point_until"] = json!(free_until(facts).map(|until| until.rfc3339()));
    }
    let mut decision = json!({ "price": source, "accounts": accounts });
    if let Rendition::Sms(text) = &body {
        let sms = json!({
            "encoding": text.encoding, "units": text.units, "parts": text.parts, "changed": text.changed,
        });
        merge(&mut decision, &json!({ "sms": sms }));
    }
    let planned = Planned {
        provider,
        channel,
        address,
        body,
        instead,
        rendition,
        parts,
        price_micros: price.as_ref().map(|price| price.micros),
        decision,
        tally: Tally {
            country: country.as_deref().map(Into::into),
            currency: price.as_ref().map(|price| price.currency.as_str().into()),
            ..Tally::default()
        },
    };
    Ok((Box::new(planned), checks))
}

/// What the message brings for its template, where that is what goes out.
fn template_of(message: &NewMessage, body: &Rendition) -> Option<Shape> {
    let is_template = matches!(body, Rendition::Whatsapp(rendered) if rendered.kind == "template");
    message.content.template.as_ref().filter(|_| is_template).map(Shape::of)
}

/// The SMS that goes along with a WhatsApp message, where the account's provider falls back by itself: to the same number, and
/// only if this message may go there by SMS.
fn instead(
    record: &MessageRecord,
    channel: Channel,
    number: &str,
    provider: &dyn Provider,
    facts: &Facts<'_>,
) -> Option<sms::Text> {
    let asked = channel == Channel::Whatsapp && provider.falls_back() && record.message.sms != SmsPolicy::Never;
    if !asked || record.attempts.iter().any(|attempt| attempt.channel == Channel::Sms) {
        return None;
    }
    let (sms_number, _) = address(&record.message, Channel::Sms, facts).ok()?;
    (sms_number == number).then(|| sms::render(&record.message, facts.sms))
}

/// A one-time code proves that somebody has the number, so WhatsApp does not take one for somebody who hides it (131062).
fn can_go_to_an_id(message: &NewMessage, address: &str) -> Result<(), Closed> {
    let proves = message.content.template.as_ref().is_some_and(|of| of.category == Category::Authentication);
    if !proves || !is_user_id(address) {
        return Ok(());
    }
    let why = "the customer hides the number, and WhatsApp takes no authentication template for an id";
    Err(Closed::new("number-needed", why.to_owned()))
}

/// A plugin's bound on money can only be kept with prices in its currency; the sum is kept where the attempt is written down.
fn in_the_caps_currency(message: &NewMessage, price: Option<&price::Price>) -> Result<(), Closed> {
    let Some(author) = &message.author else { return Ok(()) };
    let Some(cap) = &author.caps.spend_day else { return Ok(()) };
    let why = match price {
        // Nothing is nothing in every currency.
        Some(price) if price.currency == cap.currency || price.micros == 0 => return Ok(()),
        Some(price) => format!("it is priced in {}", price.currency),
        None => "no table of prices has a price for it".to_owned(),
    };
    let why = format!(
        "plugin `{}` may spend {cap} a day, and {why}; give spend-day in the currency of the prices",
        author.plugin
    );
    Err(Closed::new("over-spend", why))
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
        return Err(Closed { checks, ..Closed::new(code, why) });
    }
    Ok((address.address.clone(), checks))
}

/// Whether this is an hour in which the message may go out, where the customer is.
fn hours(message: &NewMessage, channel: Channel, address: &str, facts: &Facts<'_>) -> Result<Option<Check>, Closed> {
    allowed::hours(message, facts.customer, channel, address, facts.now, facts.rules).map_err(|quiet| Closed {
        checks: vec![Check::refused(QUIET_HOURS, quiet.why.clone())],
        opens: Some(quiet.until),
        ..Closed::new(QUIET_HOURS, quiet.why)
    })
}

/// Names an account over all providers.
pub(super) fn account_key(provider: &dyn Provider) -> String {
    format!("{}/{}", provider.name(), provider.account())
}

/// Until when everything to the customer is free because an advertisement brought them.
fn free_until(facts: &Facts<'_>) -> Option<Timestamp> {
    facts.customer?.free_until(facts.now)
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
        _ if free_until(facts).is_some() => price::Category::FreeEntryPoint,
        (_, true) | (None, false) => price::Category::Service,
        (Some(template), false) => match template.category {
            Category::Authentication => price::Category::Authentication,
            Category::Utility if window_open => price::Category::UtilityInWindow,
            Category::Utility => price::Category::Utility,
            Category::Marketing => price::Category::Marketing,
        },
    };
    let mut rendered =
        whatsapp::render(content, form).map_err(|error| Closed::new("bad-content", error.to_string()))?;
    if let (Some(upload), Some(links)) = (&mut rendered.upload, &facts.sms.links) {
        upload.link = Some(links.url(&record.message));
    }
    let kind = rendered.kind.to_owned();
    Ok((Rendition::Whatsapp(rendered), kind, 1, category))
}
