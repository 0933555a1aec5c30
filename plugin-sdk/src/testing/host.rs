//! The fake's side of every call.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use super::calendar;
use super::manifest::type_matches;
use super::store::{Kept, SetTimer};
use super::transaction::{current, trap};
use crate::calendar::{LocalTime, Style};
use crate::customers::{Consent, Customer, Route};
use crate::events::NewEvent;
use crate::http::{HttpError, Request, Response};
use crate::log::Level;
use crate::messages::{Delivery, DeliveryState, Message, MessageId, SendError};
use crate::timers::Timer;
use crate::{Event, Instant};

/// What a run may ask for where its manifest does not say.
const MESSAGES_MAX: usize = 100;
const TIMERS_MAX: usize = 100;

pub(crate) fn run_id() -> String {
    current(|run| run.id.clone())
}

pub(crate) fn run_attempt() -> u32 {
    1
}

pub(crate) fn run_entity() -> String {
    current(|run| run.entity.clone())
}

pub(crate) fn run_customer() -> Option<String> {
    current(|run| run.customer.clone())
}

pub(crate) fn run_now() -> Instant {
    current(|run| run.now)
}

pub(crate) fn run_attribute(name: &str) -> Option<String> {
    current(|run| match name {
        "tenant" => Some("default".to_owned()),
        "plugin" => Some(run.manifest.plugin.name.clone()),
        "version" => Some(run.manifest.plugin.version.clone()),
        _ => None,
    })
}

pub(crate) fn run_config() -> String {
    current(|run| run.config.clone())
}

pub(crate) fn run_secret(name: &str) -> Option<String> {
    let named = current(|run| run.manifest.permissions.secrets.iter().any(|secret| secret == name));
    named.then(|| format!("secret:{name}"))
}

/// Different for every draw and the same for every execution, which is all that a test can ask.
pub(crate) fn run_random(count: u32) -> Vec<u8> {
    current(|run| {
        run.drawn += 1;
        let byte = |index: u32| {
            let mut hasher = DefaultHasher::new();
            (&run.id, run.drawn, index).hash(&mut hasher);
            hasher.finish().to_le_bytes()[0]
        };
        (0..count).map(byte).collect()
    })
}

pub(crate) fn run_log(level: Level, message: String, fields: Vec<(String, String)>) {
    let line = fields.iter().fold(message, |line, (name, value)| format!("{line} {name}={value}"));
    current(|run| run.log.push((level, line)));
}

pub(crate) fn state_get(key: &str) -> Option<Vec<u8>> {
    current(|run| {
        let kept = run.store.state.get(&(run.entity.clone(), key.to_owned()))?;
        kept.until.is_none_or(|until| until > run.now).then(|| kept.value.clone())
    })
}

pub(crate) fn state_set(key: &str, value: Vec<u8>, ttl: Option<Duration>, customer: Option<String>) {
    current(|run| {
        let until = ttl.map(|ttl| run.now + ttl);
        let customer = customer.or_else(|| run.customer.clone());
        run.store.state.insert((run.entity.clone(), key.to_owned()), Kept { value, customer, until });
    });
}

pub(crate) fn state_remove(key: &str) {
    current(|run| run.store.state.remove(&(run.entity.clone(), key.to_owned())));
}

pub(crate) fn state_scan(prefix: &str, after: Option<&str>, limit: u32) -> (Vec<(String, Vec<u8>)>, Option<String>) {
    current(|run| {
        let mine = run.store.state.iter().filter(|((entity, key), kept)| {
            *entity == run.entity
                && key.starts_with(prefix)
                && after.is_none_or(|after| key.as_str() > after)
                && kept.until.is_none_or(|until| until > run.now)
        });
        let mut entries: Vec<_> = mine.map(|((_, key), kept)| (key.clone(), kept.value.clone())).collect();
        let limit = limit as usize;
        let next = if entries.len() > limit {
            entries.truncate(limit);
            entries.last().map(|(key, _)| key.clone())
        } else {
            None
        };
        (entries, next)
    })
}

pub(crate) fn timers_set(key: &str, due: Instant, data: String, expires: Option<Instant>) {
    current(|run| {
        if run.manifest.on_timer.is_none() {
            trap("a timer was set, and the manifest has no [on-timer]");
        }
        run.timers += 1;
        if run.timers > run.manifest.limits.timers.unwrap_or(TIMERS_MAX) {
            trap("limits.timers: the run sets more timers than the manifest says");
        }
        let timer = Timer {
            key: key.to_owned(),
            due,
            customer: run.customer.clone(),
            data,
            set_by: run.manifest.plugin.version.clone(),
            attributes: Vec::new(),
        };
        run.store.timers.insert((run.entity.clone(), key.to_owned()), SetTimer { timer, expires });
    });
}

pub(crate) fn timers_cancel(key: &str) {
    current(|run| run.store.timers.remove(&(run.entity.clone(), key.to_owned())));
}

pub(crate) fn timers_get(key: &str) -> Option<Timer> {
    current(|run| run.store.timers.get(&(run.entity.clone(), key.to_owned())).map(|set| set.timer.clone()))
}

pub(crate) fn customers_get(id: &str) -> Option<Customer> {
    current(|run| {
        let customer = run.store.customers.get(id)?;
        let permitted = |field: &str| run.manifest.permissions.customer.iter().any(|named| named == field);
        let known = |field: &str, value: &Option<String>| value.clone().filter(|_| permitted(field));
        Some(Customer {
            id: id.to_owned(),
            name: known("name", &customer.name),
            locale: known("locale", &customer.locale),
            timezone: known("timezone", &customer.timezone),
            attributes: customer
                .attributes
                .iter()
                .filter(|(name, _)| permitted(name))
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
        })
    })
}

pub(crate) fn customers_routes(id: &str) -> Vec<Route> {
    current(|run| {
        let Some(customer) = run.store.customers.get(id) else { return Vec::new() };
        let route = |(channel, addressable): (&str, bool)| Route {
            channel: channel.to_owned(),
            addressable,
            consent: if customer.stopped { Consent::Refused } else { Consent::Granted },
            window_ends: customer.window_ends.filter(|_| channel == "whatsapp"),
            attributes: Vec::new(),
        };
        [("whatsapp", customer.whatsapp), ("sms", customer.sms)].map(route).into()
    })
}

pub(crate) fn customers_consent(id: &str, _channel: &str, scope: &str) -> Consent {
    current(|run| match run.store.customers.get(id) {
        None => Consent::Unknown,
        Some(customer) if customer.stopped => Consent::Refused,
        Some(customer) => match scope {
            "service" => Consent::Granted,
            "marketing" if customer.marketing => Consent::Granted,
            _ => Consent::Unknown,
        },
    })
}

/// The test answers, outside of the transaction: what a service was told is not undone.
pub(crate) fn http_send(request: Request) -> Result<Response, HttpError> {
    let (permitted, answers) =
        current(|run| (run.manifest.permissions.http.iter().any(|rule| rule.permits(&request)), run.answers.clone()));
    if !permitted {
        let Request { method, url, .. } = request;
        return Err(HttpError::NotPermitted(format!("permissions.http: the manifest does not name {method} {url}")));
    }
    answers(&request)
}

pub(crate) fn customers_history(id: &str, event_type: &str, limit: u32) -> Vec<Event> {
    current(|run| {
        let asked = event_type.trim_end_matches(".*");
        let covers = |pattern: &String| pattern == event_type || type_matches(pattern, asked);
        if !run.manifest.permissions.history.iter().any(covers) {
            trap(&format!("permissions.history: the manifest does not name `{event_type}`"));
        }
        let latest = run.store.history.iter().rev();
        let wanted =
            latest.filter(|event| event.customer.as_deref() == Some(id) && type_matches(event_type, &event.event_type));
        wanted.take(limit as usize).cloned().collect()
    })
}

pub(crate) fn events_emit(new: NewEvent) {
    current(|run| {
        if new.event_type.starts_with("relais.") {
            trap(&format!(
                "events.emit: `{}`: types that begin with `relais.` are of the host's own events",
                new.event_type
            ));
        }
        if !run.manifest.permissions.emits.iter().any(|pattern| type_matches(pattern, &new.event_type)) {
            trap(&format!("permissions.emits: the manifest does not name `{}`", new.event_type));
        }
        let id = format!("{}-event-{}", run.id, run.store.emitted.len());
        if let Some(key) = new.dedup_key
            && run.store.emitted_keys.insert(key, id.clone()).is_some()
        {
            return;
        }
        let event = Event {
            id,
            source: format!("/plugins/{}", run.manifest.plugin.name),
            event_type: new.event_type,
            subject: new.subject,
            time: run.now,
            customer: new.customer.or_else(|| run.customer.clone()),
            data: new.data,
            attributes: new.attributes,
        };
        run.store.emitted.push(event.clone());
        run.store.unhandled.push(event);
    });
}

pub(crate) fn calendar_parse(text: &str, timezone: &str) -> Option<Instant> {
    calendar::parse(text, timezone)
}

pub(crate) fn calendar_to_local(time: Instant, timezone: &str) -> Option<LocalTime> {
    calendar::to_local(time, timezone)
}

pub(crate) fn calendar_from_local(local: LocalTime, timezone: &str) -> Option<Instant> {
    calendar::from_local(local, timezone)
}

pub(crate) fn calendar_format(time: Instant, timezone: &str, locale: &str, style: Style) -> String {
    calendar::format(time, timezone, locale, style)
}

pub(crate) fn messages_send(message: Message) -> Result<MessageId, SendError> {
    current(|run| {
        run.messages += 1;
        if run.messages > run.manifest.limits.messages.unwrap_or(MESSAGES_MAX) {
            trap("limits.messages: the run sends more messages than the manifest says");
        }
        super::send::send(run, message)
    })
}

pub(crate) fn messages_cancel(id: &MessageId) {
    current(|run| {
        let waiting = |state: DeliveryState| matches!(state, DeliveryState::Pending | DeliveryState::FallingBack);
        if let Some(sent) = run.store.messages.iter_mut().find(|sent| sent.id == *id && waiting(sent.state)) {
            sent.state = DeliveryState::Cancelled;
        }
    });
}

pub(crate) fn messages_status(id: &MessageId) -> Option<Delivery> {
    current(|run| run.store.messages.iter().find(|sent| sent.id == *id).map(|sent| sent.delivery(run.now, None)))
}

/// The fake's customers send no files.
pub(crate) fn messages_media(_id: &str) -> Option<Vec<u8>> {
    None
}
