//! Tells a customer that a driver was found, is arriving, has arrived; and lets them cancel.
//!
//! A ride only goes forward: what comes late or twice is not told. The plate stands first in every text, where the
//! phone shows it without being unlocked.

mod words;

use std::num::NonZeroU32;
use std::time::Duration;

use relais_plugin::{
    Error, Event, Incoming, Message, MessageId, Outcome, Place, Plugin, Purpose, SendResult, config, debug, events,
    messages, plugin, state,
};
use serde::{Deserialize, Serialize};

struct RidePlugin;

plugin!(RidePlugin);

/// What an event says. A later one need not repeat what an earlier one said.
#[derive(Deserialize)]
struct News {
    ride: String,
    driver: Option<String>,
    car: Option<String>,
    plate: Option<String>,
    minutes: Option<NonZeroU32>,
    location: Option<Place>,
}

#[derive(Deserialize)]
struct Settings {
    useful_minutes: u32,
    fallback_seconds: u32,
}

/// How far the ride has come, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Stage {
    Found,
    Arriving,
    Arrived,
    Cancelled,
}

#[derive(Serialize, Deserialize)]
struct Ride {
    ride: String,
    stage: Stage,
    driver: String,
    car: String,
    plate: String,
    message: Option<MessageId>,
}

/// A ride is over by then, whatever has become of it.
const KEPT: Duration = Duration::from_hours(24);

impl Plugin for RidePlugin {
    fn on_event(event: Event) -> Outcome {
        let stage = stage(&event)?;
        let news: News = event.data()?;
        let known: Option<Ride> = state::get("ride")?;
        if let Some(known) = &known {
            if stage <= known.stage {
                debug!("ride {} is at {:?}; {stage:?} is old", known.ride, known.stage);
                return Ok(());
            }
            // What is still on its way is overtaken.
            known.message.iter().for_each(messages::cancel);
        }
        let mut ride = merge(known, &news, stage)?;
        ride.message = tell(&event, &ride, &news)?;
        state::Entry::new("ride").ttl(KEPT).set(&ride)
    }

    fn on_message(message: Incoming) -> Outcome {
        let Some(ride) = state::get::<Ride>("ride")? else { return Ok(()) };
        let language = words::language(message.customer_id()?);
        if message.choice.as_deref() != Some("cancel") {
            debug!("ride {}: an answer that is no choice", ride.ride);
            return Ok(());
        }
        // Whether it can still be cancelled is for the shop to say, with an event of its own.
        let open = ride.stage < Stage::Arrived;
        if open {
            events::event("com.example.ride.cancel-requested")
                .subject(format!("ride/{}", ride.ride))
                .data(&CancelRequested { ride: &ride.ride })?
                .dedup_key(format!("cancel/{}", ride.ride))
                .emit();
        }
        Message::answer(&message).text(words::cancel_answer(&language, open)).tag("cancel-answer").send().or_skip()?;
        Ok(())
    }
}

#[derive(Serialize)]
struct CancelRequested<'a> {
    ride: &'a str,
}

fn stage(event: &Event) -> Result<Stage, Error> {
    match event.verb() {
        "driver-found" => Ok(Stage::Found),
        "arriving" => Ok(Stage::Arriving),
        "arrived" => Ok(Stage::Arrived),
        "cancelled" => Ok(Stage::Cancelled),
        other => Err(Error::reject(format!("`{other}` is no status of a ride"))),
    }
}

fn merge(known: Option<Ride>, news: &News, stage: Stage) -> Result<Ride, Error> {
    let (driver, car, plate) = match known {
        Some(known) => (Some(known.driver), Some(known.car), Some(known.plate)),
        None => (None, None, None),
    };
    let field = |name: &str, new: &Option<String>, old: Option<String>| {
        let missing = || Error::reject(format!("data.{name}: nothing has said it yet, so this event has to"));
        new.clone().or(old).ok_or_else(missing)
    };
    Ok(Ride {
        ride: news.ride.clone(),
        stage,
        driver: field("driver", &news.driver, driver)?,
        car: field("car", &news.car, car)?,
        plate: field("plate", &news.plate, plate)?,
        message: None,
    })
}

fn tell(event: &Event, ride: &Ride, news: &News) -> Result<Option<MessageId>, Error> {
    let customer = event.customer_id()?;
    let settings: Settings = config()?;
    let language = words::language(customer);
    let minutes = news.minutes.map_or(0, NonZeroU32::get);
    let announced = matches!(ride.stage, Stage::Found | Stage::Arriving);
    if announced && minutes == 0 {
        return Err(Error::reject(format!("data.minutes: {} has to say when the car will be there", event.verb())));
    }
    let useful = Duration::from_mins(u64::from(minutes) + u64::from(settings.useful_minutes));
    let mut message = Message::to(customer, Purpose::Alert)
        .text(words::news(&language, ride, minutes))
        .expires(event.time + useful)
        .fallback_after(Duration::from_secs(u64::from(settings.fallback_seconds)))
        .dedup_key(format!("{}/{}", ride.ride, event.verb()))
        .tag(event.verb())
        .param("driver", &ride.driver);
    if let Some(place) = &news.location {
        message = message.location(place.clone());
    }
    let message = match ride.stage {
        Stage::Found => message
            .template("ride_found")
            .param("plate", &ride.plate)
            .param("car", &ride.car)
            .param("minutes", minutes)
            .choice("cancel", words::cancel_label(&language)),
        Stage::Arriving => message.template("ride_arriving").param("plate", &ride.plate).param("minutes", minutes),
        Stage::Arrived => message.template("ride_arrived").param("plate", &ride.plate),
        Stage::Cancelled => message.template("ride_cancelled"),
    };
    message.send().or_skip()
}

#[cfg(test)]
mod tests;

#[cfg(test)]
#[path = "../tests/scenario.rs"]
mod scenario;
