//! Tells a customer where the parcel is: one message for each change, and never out of order.
//!
//! Carriers repeat themselves and their messages overtake one another. The state of the parcel is the last status that
//! was told, and only what comes after it is told.

use std::time::Duration;

use relais_plugin::calendar::Style;
use relais_plugin::{
    Error, Event, Instant, Message, MessageId, Outcome, Plugin, Purpose, SendResult, calendar, config, customers,
    debug, messages, plugin, state,
};
use serde::{Deserialize, Serialize};

struct DeliveryAlert;

plugin!(DeliveryAlert);

#[derive(Deserialize)]
struct Parcel {
    parcel: String,
    shop: String,
    /// When it is expected; only a delay has to say so.
    expected: Option<Instant>,
}

#[derive(Deserialize)]
struct Settings {
    timezone: String,
    fallback_minutes: u32,
}

/// How far a parcel has come. The order of the cases is the order on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Stage {
    Shipped,
    Delayed(Instant),
    Out,
    Delivered,
}

/// The last status that was told.
#[derive(Serialize, Deserialize)]
struct Told {
    stage: Stage,
    time: Instant,
    message: Option<MessageId>,
}

/// A parcel that has been silent for so long is a closed case.
const KEPT: Duration = Duration::from_hours(60 * 24);

impl Plugin for DeliveryAlert {
    fn on_event(event: Event) -> Outcome {
        let parcel: Parcel = event.data()?;
        let stage = stage(&event, &parcel)?;
        let told: Option<Told> = state::get("told")?;
        if let Some(told) = &told {
            if !is_news(told, stage, event.time) {
                debug!("{} has nothing new about parcel {}: {:?} was told", event.verb(), parcel.parcel, told.stage);
                return Ok(());
            }
            // Should the phone come back only now, it is to hear the news and not the story.
            told.message.iter().for_each(messages::cancel);
        }
        let message = tell(&event, &parcel, stage)?;
        state::Entry::new("told").ttl(KEPT).set(&Told { stage, time: event.time, message })
    }
}

fn stage(event: &Event, parcel: &Parcel) -> Result<Stage, Error> {
    match (event.verb(), parcel.expected) {
        ("shipped", _) => Ok(Stage::Shipped),
        ("out-for-delivery", _) => Ok(Stage::Out),
        ("delivered", _) => Ok(Stage::Delivered),
        ("delayed", Some(expected)) => Ok(Stage::Delayed(expected)),
        ("delayed", None) => Err(Error::reject("data.expected: a delay has to say when the parcel is expected now")),
        (other, _) => Err(Error::reject(format!("`{other}` is no status of a parcel"))),
    }
}

/// What was told counts: nothing that happened before it is news, and neither is the same again. A parcel comes back
/// one step only, from the van to the depot: by a delay, after which it goes out once more.
fn is_news(told: &Told, stage: Stage, time: Instant) -> bool {
    if time < told.time || told.stage == Stage::Delivered {
        return false;
    }
    match stage {
        Stage::Delayed(expected) => told.stage != Stage::Delayed(expected),
        Stage::Shipped | Stage::Out | Stage::Delivered => stage > told.stage,
    }
}

fn tell(event: &Event, parcel: &Parcel, stage: Stage) -> Result<Option<MessageId>, Error> {
    let id = event.customer_id()?;
    let settings: Settings = config()?;
    let customer = customers::get(id).unwrap_or_default();
    let zone = customer.timezone.as_deref().unwrap_or(&settings.timezone);
    let day = match stage {
        Stage::Delayed(expected) => {
            calendar::format(expected, zone, customer.locale.as_deref().unwrap_or("en"), Style::Date)
        }
        Stage::Shipped | Stage::Out | Stage::Delivered => String::new(),
    };
    let (template, hours) = form(stage);
    let message = Message::to(id, Purpose::Alert)
        .template(template)
        .param("shop", &parcel.shop)
        .param("parcel", &parcel.parcel)
        .text(text(customer.language("en"), parcel, stage, &day))
        .expires(event.time + Duration::from_hours(hours))
        .fallback_after(Duration::from_mins(u64::from(settings.fallback_minutes)))
        .dedup_key(format!("{}/{template}/{}", parcel.parcel, event.time.as_millis()))
        .tag(event.verb());
    let message = if day.is_empty() { message } else { message.param("day", day) };
    message.send().or_skip()
}

/// The template, and the hours for which it is of use: "today" is over in the evening.
fn form(stage: Stage) -> (&'static str, u64) {
    match stage {
        Stage::Shipped => ("parcel_shipped", 48),
        Stage::Delayed(_) => ("parcel_delayed", 24),
        Stage::Out => ("parcel_out", 8),
        Stage::Delivered => ("parcel_delivered", 24),
    }
}

fn text(language: &str, parcel: &Parcel, stage: Stage, day: &str) -> String {
    let Parcel { parcel, shop, .. } = parcel;
    match (language, stage) {
        ("fr", Stage::Shipped) => format!("Votre colis {parcel} de {shop} est en route."),
        ("fr", Stage::Delayed(_)) => {
            format!("Votre colis {parcel} de {shop} a du retard. Il est maintenant attendu {day}.")
        }
        ("fr", Stage::Out) => format!("Votre colis {parcel} de {shop} sera livré aujourd'hui."),
        ("fr", Stage::Delivered) => format!("Votre colis {parcel} de {shop} a été livré."),
        (_, Stage::Shipped) => format!("Your parcel {parcel} from {shop} is on its way."),
        (_, Stage::Delayed(_)) => format!("Your parcel {parcel} from {shop} is late. It is now expected on {day}."),
        (_, Stage::Out) => format!("Your parcel {parcel} from {shop} will be delivered today."),
        (_, Stage::Delivered) => format!("Your parcel {parcel} from {shop} has been delivered."),
    }
}

#[cfg(test)]
mod tests;

#[cfg(test)]
#[path = "../tests/scenario.rs"]
mod scenario;
