//! May this customer get this message on this channel, now?

use std::path::PathBuf;

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::{
    Check, Refusal,
    hours::{Closed, Hours, Place, Quiet},
    keywords::Keywords,
};
use crate::{
    channel::phone,
    clock::Timestamp,
    domain::{
        customer::{Channel, ConsentScope, Customer, is_user_id},
        message::{NewMessage, SmsPolicy},
        purpose::Category,
    },
};

/// What the tenant's operator decides about the rules.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Settings {
    /// Whether a service message needs a recorded consent, or only the absence of a refusal. WhatsApp asks for an opt-in
    /// always; by registering the address the shop says that it has one, so `unless-refused` is the default.
    pub service_consent: ServiceConsent,
    /// How old an event may be that a message refers to by name. What happened a quarter ago makes nothing expected; what
    /// was agreed long before (an appointment) is reminded of by a timer, to which this does not apply.
    pub expected_within_days: u32,
    /// Hours in which nothing of some purposes is sent.
    pub quiet: Quiet,
    /// The time zone of customers who name none and whose country is not known, or has several.
    pub timezone: String,
    /// A file of hours and holidays that goes before those that are compiled in.
    pub hours_file: Option<PathBuf>,
    /// What the tables say, that file's included.
    #[serde(skip)]
    pub(crate) hours: Hours,
    /// A file of words that stop messages, which goes before those that are compiled in.
    pub keywords_file: Option<PathBuf>,
    #[serde(skip)]
    pub(crate) keywords: Keywords,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ServiceConsent {
    #[default]
    UnlessRefused,
    Required,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            service_consent: ServiceConsent::UnlessRefused,
            expected_within_days: 90,
            quiet: Quiet::default(),
            timezone: "UTC".to_owned(),
            hours_file: None,
            hours: Hours::default(),
            keywords_file: None,
            keywords: Keywords::default(),
        }
    }
}

impl Settings {
    /// Reads what the settings name. Called once, when the host starts.
    pub fn with_tables(mut self) -> Result<Settings, String> {
        if let Some(path) = &self.hours_file {
            let text = std::fs::read_to_string(path)
                .map_err(|error| format!("rules.hours-file: cannot read {}: {error}", path.display()))?;
            self.hours = self.hours.with(&text).map_err(|error| format!("{}: {error}", path.display()))?;
        }
        if let Some(path) = &self.keywords_file {
            let text = std::fs::read_to_string(path)
                .map_err(|error| format!("rules.keywords-file: cannot read {}: {error}", path.display()))?;
            self.keywords = self.keywords.with(&text).map_err(|error| format!("{}: {error}", path.display()))?;
        }
        Ok(self)
    }

    /// What can be told wrong without reading a file.
    pub fn check(&self) -> Result<(), String> {
        match TimeZone::get(&self.timezone) {
            Ok(_) => Ok(()),
            Err(_) => Err(format!("rules.timezone `{}` is no time zone such as Europe/Paris", self.timezone)),
        }
    }

    /// An event from before this time makes nothing expected.
    pub fn oldest(&self, now: Timestamp) -> Timestamp {
        now.minus(std::time::Duration::from_secs(u64::from(self.expected_within_days) * 24 * 3600))
    }
}

/// Everything that can be decided when a message is asked for. The checks are what the message keeps as its explanation.
pub fn ask(
    message: &NewMessage,
    customer: Option<&Customer>,
    now: Timestamp,
    settings: &Settings,
) -> Result<Vec<Check>, Refusal> {
    let mut checks = vec![deadline(message, now)?];
    let Some(customer) = customer else { return Err(Refusal::UnknownCustomer(message.to.lane().to_owned())) };
    let mut last_refusal = None;
    let mut open = false;
    for channel in channels(message) {
        match on_channel(message, customer, channel, now, settings) {
            Ok(passed) => {
                checks.extend(passed);
                match waits(message, customer, channel, now, settings) {
                    Ok(check) => {
                        checks.extend(check);
                        open = true;
                    }
                    Err(check) => {
                        checks.push(check);
                        last_refusal.get_or_insert(Refusal::Expired);
                    }
                }
            }
            Err(refusal) => {
                checks.push(Check::refused(refusal.code(), refusal.to_string()));
                // A refused consent says more than a missing address: it is what a plugin should hear.
                if !matches!((&last_refusal, &refusal), (Some(Refusal::NoConsent(_)), Refusal::NoAddress(_))) {
                    last_refusal = Some(refusal);
                }
            }
        }
    }
    match last_refusal {
        Some(refusal) if !open => Err(refusal),
        _ => Ok(checks),
    }
}

/// The channels that a message may take, the preferred one first.
pub fn channels(message: &NewMessage) -> impl Iterator<Item = Channel> {
    let wanted: &[Channel] = match message.sms {
        SmsPolicy::Fallback => &[Channel::Whatsapp, Channel::Sms],
        SmsPolicy::Only => &[Channel::Sms],
        SmsPolicy::Never => &[Channel::Whatsapp],
    };
    wanted.iter().copied()
}

/// Whether the message may go to this customer on this channel: an address, and consent.
pub fn on_channel(
    message: &NewMessage,
    customer: &Customer,
    channel: Channel,
    now: Timestamp,
    settings: &Settings,
) -> Result<Vec<Check>, Refusal> {
    if customer.address(channel).is_none() {
        return Err(Refusal::NoAddress(no_address(customer, channel)));
    }
    let mut checks = vec![service_consent(customer, channel, settings)?];
    if is_marketing(message) {
        checks.push(marketing_consent(customer, channel)?);
    }
    if channel == Channel::Whatsapp {
        checks.push(window(message, customer, now)?);
    }
    Ok(checks)
}

/// Whether it may go out at this hour, where the customer is: advertising in the hours of the country, and nothing of a purpose
/// that the tenant wants quiet in its quiet hours. `None` where no hour is a rule for it.
pub fn hours(
    message: &NewMessage,
    customer: Option<&Customer>,
    channel: Channel,
    address: &str,
    now: Timestamp,
    settings: &Settings,
) -> Result<Option<Check>, Closed> {
    let promotional = is_marketing(message);
    if !promotional && !settings.quiet.purposes.contains(&message.purpose) {
        return Ok(None);
    }
    let country = phone::country(address);
    let zone = zone(customer, country.as_deref(), settings);
    let name = channel.as_str();
    if settings.quiet.purposes.contains(&message.purpose)
        && let Some(until) = settings.quiet.ends(&zone, now)
    {
        let (from, to, purpose) = (settings.quiet.from, settings.quiet.until, message.purpose.as_str());
        let place = zone.iana_name().unwrap_or("the customer's zone");
        let why = format!(
            "{name}: a {purpose} is not sent from {from} to {to} in {place} (rules.quiet); it waits until {until}"
        );
        return Err(Closed { until, why });
    }
    if !promotional {
        return Ok(Some(Check::passed("quiet-hours", format!("{name}: it is no quiet hour where the customer is"))));
    }
    let region = customer.and_then(|customer| customer.attributes.get("region")).map(String::as_str);
    let place = Place { country: country.as_deref().unwrap_or("*"), region };
    let open = settings.hours.promotional(place, &zone, now)?;
    Ok(Some(Check::passed("quiet-hours", format!("{name}: {open}"))))
}

/// The hour at which it would go out, for whoever asks for it: that it has to wait is no refusal, unless it is of no use by then.
fn waits(
    message: &NewMessage,
    customer: &Customer,
    channel: Channel,
    now: Timestamp,
    settings: &Settings,
) -> Result<Option<Check>, Check> {
    let address = customer.address(channel).map_or("", |address| address.address.as_str());
    match hours(message, Some(customer), channel, address, now, settings) {
        Ok(check) => Ok(check),
        Err(closed) if message.expires.is_some_and(|expires| expires <= closed.until) => {
            Err(Check::refused("quiet-hours", format!("{}, and it is of no use by then", closed.why)))
        }
        Err(closed) => Ok(Some(Check::passed("quiet-hours", closed.why))),
    }
}

/// The customer's own zone, that of the number's country, or the tenant's.
fn zone(customer: Option<&Customer>, country: Option<&str>, settings: &Settings) -> TimeZone {
    let own = customer.and_then(|customer| customer.timezone.as_deref()).and_then(|name| TimeZone::get(name).ok());
    own.or_else(|| settings.hours.zone(country?))
        .or_else(|| TimeZone::get(&settings.timezone).ok())
        .unwrap_or(TimeZone::UTC)
}

/// Who hides the number on WhatsApp cannot be reached any other way, and that is no mistake of the shop's.
fn no_address(customer: &Customer, channel: Channel) -> String {
    let name = channel.as_str();
    let hidden = customer.addresses.iter().any(|address| is_user_id(&address.address));
    let why = if channel == Channel::Sms && hidden {
        ": WhatsApp knows this customer by an id and not by a number"
    } else {
        ""
    };
    format!("customer `{}` has no {name} address{why}", customer.id)
}

fn deadline(message: &NewMessage, now: Timestamp) -> Result<Check, Refusal> {
    match message.expires {
        Some(expires) if expires <= now => Err(Refusal::Expired),
        Some(expires) => Ok(Check::passed("deadline", format!("it is of use until {expires}"))),
        None => Ok(Check::passed("deadline", "it has none")),
    }
}

/// What the provider files as marketing is marketing on every channel: SMS must not be a way round a refusal.
pub fn is_marketing(message: &NewMessage) -> bool {
    message.content.template.as_ref().is_some_and(|template| template.category == Category::Marketing)
}

fn service_consent(customer: &Customer, channel: Channel, settings: &Settings) -> Result<Check, Refusal> {
    let name = channel.as_str();
    match customer.consent(channel, ConsentScope::Service) {
        Some(consent) if consent.granted => {
            Ok(Check::passed("consent", format!("{name}: given by {} on {}", consent.source, consent.at)))
        }
        Some(consent) => Err(Refusal::NoConsent(format!(
            "customer `{}` has stopped messages on {name} ({} on {})",
            customer.id, consent.source, consent.at
        ))),
        None if settings.service_consent == ServiceConsent::Required => Err(Refusal::NoConsent(format!(
            "customer `{}` has given no consent for {name}, and rules.service-consent is `required`",
            customer.id
        ))),
        None => Ok(Check::passed("consent", format!("{name}: not refused; the address was registered for service"))),
    }
}

fn marketing_consent(customer: &Customer, channel: Channel) -> Result<Check, Refusal> {
    let name = channel.as_str();
    match customer.consent(channel, ConsentScope::Marketing) {
        Some(consent) if consent.granted => {
            Ok(Check::passed("marketing", format!("{name}: agreed by {} on {}", consent.source, consent.at)))
        }
        Some(consent) => Err(Refusal::NoConsent(format!(
            "the template is filed as marketing, and customer `{}` has withdrawn marketing consent on {name} ({} on {})",
            customer.id, consent.source, consent.at
        ))),
        None => Err(Refusal::NoConsent(format!(
            "the template is filed as marketing, and customer `{}` has given no marketing consent on {name}",
            customer.id
        ))),
    }
}

fn window(message: &NewMessage, customer: &Customer, now: Timestamp) -> Result<Check, Refusal> {
    match (customer.window_ends(now), &message.content.template) {
        (Some(ends), _) => {
            Ok(Check::passed("window", format!("the customer wrote; free content is allowed until {ends}")))
        }
        (None, Some(template)) => {
            Ok(Check::passed("window", format!("closed; the template `{}` may go out", template.name)))
        }
        (None, None) => Err(Refusal::TemplateNeeded),
    }
}
