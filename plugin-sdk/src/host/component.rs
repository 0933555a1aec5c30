//! In a component: every call goes to the host, translated between this crate's types and the contract's.

use std::time::Duration;

use crate::bindings::relais::plugin as wit;
use crate::calendar::{LocalTime, Style};
use crate::customers::{Consent, Customer, Route};
use crate::events::NewEvent;
use crate::export::{delivery, event, timer};
use crate::http::{HttpError, Request, Response};
use crate::instant::millis;
use crate::log::Level;
use crate::messages::{Attachment, Delivery, Message, MessageId, Place, Purpose, Recipient, SendError};
use crate::{Event, Instant, timers::Timer};

pub(crate) fn run_id() -> String {
    wit::run::id()
}

pub(crate) fn run_attempt() -> u32 {
    wit::run::attempt()
}

pub(crate) fn run_entity() -> String {
    wit::run::entity()
}

pub(crate) fn run_customer() -> Option<String> {
    wit::run::customer()
}

pub(crate) fn run_now() -> Instant {
    Instant::from_wire(wit::run::now())
}

pub(crate) fn run_attribute(name: &str) -> Option<String> {
    wit::run::attribute(name)
}

pub(crate) fn run_config() -> String {
    wit::run::config()
}

pub(crate) fn run_secret(name: &str) -> Option<String> {
    wit::run::secret(name)
}

pub(crate) fn run_random(count: u32) -> Vec<u8> {
    wit::run::random(count)
}

pub(crate) fn run_log(level: Level, message: String, fields: Vec<(String, String)>) {
    let level = match level {
        Level::Trace => wit::run::Level::Trace,
        Level::Debug => wit::run::Level::Debug,
        Level::Info => wit::run::Level::Info,
        Level::Warn => wit::run::Level::Warn,
        Level::Error => wit::run::Level::Error,
    };
    wit::run::log(level, &message, &fields);
}

pub(crate) fn state_get(key: &str) -> Option<Vec<u8>> {
    wit::state::get(key)
}

pub(crate) fn state_set(key: &str, value: Vec<u8>, ttl: Option<Duration>, customer: Option<String>) {
    if ttl.is_none() && customer.is_none() {
        return wit::state::set(key, &value, None);
    }
    let options = wit::state::EntryOptions { ttl: ttl.map(length), customer, attributes: Vec::new() };
    wit::state::set(key, &value, Some(&options));
}

pub(crate) fn state_remove(key: &str) {
    wit::state::remove(key);
}

pub(crate) fn state_scan(prefix: &str, after: Option<&str>, limit: u32) -> (Vec<(String, Vec<u8>)>, Option<String>) {
    let page = wit::state::scan(prefix, after, limit);
    (page.entries.into_iter().map(|entry| (entry.key, entry.value)).collect(), page.next)
}

pub(crate) fn timers_set(key: &str, due: Instant, data: String, expires: Option<Instant>) {
    wit::timers::set(key, due.to_wire(), &data, expires.map(Instant::to_wire));
}

pub(crate) fn timers_cancel(key: &str) {
    wit::timers::cancel(key);
}

pub(crate) fn timers_get(key: &str) -> Option<Timer> {
    wit::timers::get(key).map(timer)
}

pub(crate) fn customers_get(id: &str) -> Option<Customer> {
    wit::customers::get(id).map(|found| Customer {
        id: found.id,
        name: found.name,
        locale: found.locale,
        timezone: found.timezone,
        attributes: found.attributes,
    })
}

pub(crate) fn customers_routes(id: &str) -> Vec<Route> {
    let route = |found: wit::customers::Route| Route {
        channel: found.channel,
        addressable: found.addressable,
        consent: consent(found.consent),
        window_ends: found.window_ends.map(Instant::from_wire),
        attributes: found.attributes,
    };
    wit::customers::routes(id).into_iter().map(route).collect()
}

pub(crate) fn customers_consent(id: &str, channel: &str, scope: &str) -> Consent {
    consent(wit::customers::get_consent(id, channel, scope))
}

fn consent(found: wit::customers::Consent) -> Consent {
    match found {
        wit::customers::Consent::Unknown => Consent::Unknown,
        wit::customers::Consent::Granted => Consent::Granted,
        wit::customers::Consent::Refused => Consent::Refused,
    }
}

pub(crate) fn customers_history(id: &str, event_type: &str, limit: u32) -> Vec<Event> {
    wit::customers::history(id, event_type, limit).into_iter().map(event).collect()
}

pub(crate) fn events_emit(new: NewEvent) {
    let plain = new.customer.is_none() && new.dedup_key.is_none() && new.attributes.is_empty();
    let options = (!plain).then_some(wit::events::EmitOptions {
        customer: new.customer,
        dedup_key: new.dedup_key,
        attributes: new.attributes,
    });
    wit::events::emit(&new.event_type, new.subject.as_deref(), &new.data, options.as_ref());
}

pub(crate) fn calendar_parse(text: &str, timezone: &str) -> Option<Instant> {
    wit::calendar::parse(text, timezone).map(Instant::from_wire)
}

pub(crate) fn calendar_to_local(time: Instant, timezone: &str) -> Option<LocalTime> {
    let local = wit::calendar::to_local(time.to_wire(), timezone)?;
    let wit::calendar::LocalTime { year, month, day, hour, minute, second, weekday } = local;
    Some(LocalTime { year, month, day, hour, minute, second, weekday })
}

pub(crate) fn calendar_from_local(local: LocalTime, timezone: &str) -> Option<Instant> {
    let LocalTime { year, month, day, hour, minute, second, weekday } = local;
    let local = wit::calendar::LocalTime { year, month, day, hour, minute, second, weekday };
    wit::calendar::from_local(local, timezone).map(Instant::from_wire)
}

pub(crate) fn calendar_format(time: Instant, timezone: &str, locale: &str, style: Style) -> String {
    let style = match style {
        Style::Date => wit::calendar::Style::Date,
        Style::Time => wit::calendar::Style::Time,
        Style::DateTime => wit::calendar::Style::DateTime,
        Style::Weekday => wit::calendar::Style::Weekday,
    };
    wit::calendar::format(time.to_wire(), timezone, locale, style)
}

pub(crate) fn http_send(request: Request) -> Result<Response, HttpError> {
    use wit::http::HttpError as From;
    let sent = wit::http::send(&wit::http::Request {
        method: request.method,
        url: request.url,
        headers: request.headers,
        body: request.body,
        timeout: request.timeout.map(length),
        settings: Vec::new(),
    });
    match sent {
        Ok(answer) => Ok(Response { status: answer.status, headers: answer.headers, body: answer.body }),
        Err(From::NotPermitted(why)) => Err(HttpError::NotPermitted(why)),
        Err(From::BadRequest(why)) => Err(HttpError::BadRequest(why)),
        Err(From::Unreachable(why)) => Err(HttpError::Unreachable(why)),
        Err(From::TimedOut) => Err(HttpError::TimedOut),
        Err(From::TooLarge) => Err(HttpError::TooLarge),
        Err(From::OverQuota(why)) => Err(HttpError::OverQuota(why)),
        Err(From::Other(code)) => Err(HttpError::Other(code)),
    }
}

pub(crate) fn messages_cancel(id: &MessageId) {
    wit::messages::cancel(id.as_str());
}

pub(crate) fn messages_status(id: &MessageId) -> Option<Delivery> {
    wit::messages::status(id.as_str()).map(delivery)
}

pub(crate) fn messages_media(id: &str) -> Option<Vec<u8>> {
    wit::messages::media(id)
}

pub(crate) fn messages_send(message: Message) -> Result<MessageId, SendError> {
    let draft = match &message.recipient {
        Recipient::Customer(id, why) => wit::messages::Draft::to_customer(id, purpose(*why)),
        Recipient::Phone(number, why) => wit::messages::Draft::to_phone(number, purpose(*why)),
        Recipient::Answer(to) => wit::messages::Draft::answer(to.as_str()),
    };
    write_content(&draft, &message);
    write_conditions(&draft, &message);
    draft.send().map(MessageId::new).map_err(send_error)
}

fn write_content(draft: &wit::messages::Draft, message: &Message) {
    if let Some(text) = &message.text {
        draft.text(text);
    }
    if let Some(name) = &message.template {
        draft.template(name, &message.params);
    }
    let filename = message.filename.as_deref();
    match &message.attachment {
        Some(Attachment::Url { url, mime_type }) => draft.attach_url(url, mime_type, filename),
        Some(Attachment::Asset(path)) => draft.attach_asset(path),
        Some(Attachment::Bytes { content, mime_type }) => draft.attach_bytes(content, mime_type, filename),
        None => {}
    }
    if let Some(place) = &message.location {
        draft.location(&place_out(place));
    }
    if !message.choices.is_empty() {
        let choice = |from: &crate::messages::Choice| wit::messages::Choice {
            id: from.id.clone(),
            label: from.label.clone(),
            attributes: Vec::new(),
        };
        draft.choices(&message.choices.iter().map(choice).collect::<Vec<_>>());
    }
    for (kind, data) in &message.content {
        draft.content(kind, data);
    }
    if let Some(text) = &message.sms_text {
        draft.sms_text(text);
    }
}

fn write_conditions(draft: &wit::messages::Draft, message: &Message) {
    if let Some(reference) = &message.because {
        draft.because(reference);
    }
    if message.no_sms {
        draft.no_sms();
    }
    if message.sms_only {
        draft.sms_only();
    }
    if let Some(wait) = message.fallback_after {
        draft.fallback_after(length(wait));
    }
    if let Some(at) = message.expires {
        draft.expires(at.to_wire());
    }
    if let Some(key) = &message.dedup_key {
        draft.dedup_key(key);
    }
    if let Some(tag) = &message.locale {
        draft.locale(tag);
    }
    if let Some(tag) = &message.tag {
        draft.tag(tag);
    }
    if let Some(id) = &message.quote {
        draft.quote(id.as_str());
    }
    for (name, value) in &message.settings {
        draft.setting(name, value);
    }
}

fn length(length: Duration) -> f64 {
    millis(length) as f64
}

fn purpose(purpose: Purpose) -> wit::messages::Purpose {
    match purpose {
        Purpose::Reply => wit::messages::Purpose::Reply,
        Purpose::Confirmation => wit::messages::Purpose::Confirmation,
        Purpose::Alert => wit::messages::Purpose::Alert,
        Purpose::Reminder => wit::messages::Purpose::Reminder,
    }
}

fn place_out(place: &Place) -> wit::types::Place {
    let Place { latitude, longitude, name, address } = place.clone();
    wit::types::Place { latitude, longitude, name, address }
}

fn send_error(error: wit::messages::SendError) -> SendError {
    use wit::messages::SendError as From;
    match error {
        From::UnknownCustomer => SendError::UnknownCustomer,
        From::NoAddress => SendError::NoAddress,
        From::NoConsent(which) => SendError::NoConsent(which),
        From::NotExpected(why) => SendError::NotExpected(why),
        From::TemplateNeeded => SendError::TemplateNeeded,
        From::BadTemplate(why) => SendError::BadTemplate(why),
        From::BadContent(why) => SendError::BadContent(why),
        From::NotPermitted(what) => SendError::NotPermitted(what),
        From::OverQuota(which) => SendError::OverQuota(which),
        From::Expired => SendError::Expired,
        From::Other(code) => SendError::Other(code),
    }
}
