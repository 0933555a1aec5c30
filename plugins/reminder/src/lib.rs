//! Reminds of appointments and tickets: a day and two hours before, never in the past and never at night.
//!
//! The entity is the appointment. Its state is the plan, and each reminder is a timer. Whatever moves or cancels the
//! appointment takes all timers away, and moving sets new ones.

mod schedule;
mod words;

use std::time::Duration;

use relais_plugin::{
    Error, Event, Incoming, Instant, Message, MessageId, Outcome, Plugin, Purpose, SendResult, Timer, config,
    customers, debug, events, info, messages, plugin, run, state, timers,
};
use serde::{Deserialize, Serialize};

use schedule::{Quiet, schedule};

struct Reminder;

plugin!(Reminder);

/// An appointment or a ticket, as an event tells of it.
#[derive(Deserialize)]
struct Told {
    appointment: Option<String>,
    ticket: Option<String>,
    title: String,
    starts: Instant,
    /// Where it takes place, by whose clock it is written out and night is night.
    timezone: Option<String>,
}

#[derive(Deserialize)]
struct Settings {
    hours_before: Vec<u32>,
    quiet_from: u8,
    quiet_until: u8,
    timezone: String,
    fallback_minutes: u32,
}

/// What is going to happen, and what has been said about it.
#[derive(Serialize, Deserialize)]
struct Plan {
    what: What,
    title: String,
    starts: Instant,
    timezone: String,
    /// The time of the event that said so: an older one is not believed.
    told: Instant,
    cancelled: bool,
    confirmed: bool,
    /// The reminder that was sent last.
    message: Option<MessageId>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum What {
    Appointment(String),
    Ticket(String),
}

/// How long a plan is kept after its beginning, for answers that come late.
const KEPT: Duration = Duration::from_hours(48);

impl Plugin for Reminder {
    fn on_event(event: Event) -> Outcome {
        let known: Option<Plan> = state::get("plan")?;
        if known.as_ref().is_some_and(|plan| event.time < plan.told) {
            debug!("{} is older than what is known", event.verb());
            return Ok(());
        }
        forget_reminders(known.as_ref())?;
        match event.verb() {
            "booked" | "moved" | "issued" => plan(&event),
            "cancelled" => known.map_or(Ok(()), |plan| keep(&Plan { told: event.time, cancelled: true, ..plan })),
            other => Err(Error::reject(format!("`{other}` is nothing that this plugin knows of an appointment"))),
        }
    }

    fn on_timer(timer: Timer) -> Outcome {
        let starts: Instant = timer.data()?;
        let known: Option<Plan> = state::get("plan")?;
        // A timer that was set under other settings may have outlived a move; it is about a time that is none any more.
        let Some(plan) = known.filter(|plan| !plan.cancelled && plan.starts == starts) else { return Ok(()) };
        let settings: Settings = config()?;
        // A timer is late where the host was down. It may be night by now, or over.
        let due = settings.quiet(&plan.timezone).not_before(run::now())?;
        if due > run::now() {
            info!("{} came due at night and waits for the morning", timer.key);
            return remind_at(&timer.key, due, plan.starts);
        }
        let message = remind(&timer, &plan, &settings)?;
        keep(&Plan { message, ..plan })
    }

    fn on_message(message: Incoming) -> Outcome {
        let Some(choice) = message.choice.as_deref() else { return Ok(()) };
        let language = words::language(message.customer_id()?);
        let known: Option<Plan> = state::get("plan")?;
        // The button of an old reminder still works, and the appointment may be long forgotten.
        let Some(plan) = known.filter(|plan| !plan.cancelled && plan.starts > run::now()) else {
            return reply(&message, words::over(&language));
        };
        match choice {
            "come" => {
                reply(&message, words::confirmed(&language))?;
                raise("com.example.appointment.confirmed", &plan)?;
            }
            "cancel" => {
                reply(&message, words::cancelling(&language))?;
                raise("com.example.appointment.cancel-requested", &plan)?;
            }
            other => return Err(Error::reject(format!("`{other}` is no choice of this plugin's"))),
        }
        keep(&Plan { confirmed: choice == "come", ..plan })
    }
}

fn reply(to: &Incoming, text: &str) -> Outcome {
    Message::answer(to).text(text).send().or_skip().map(drop)
}

/// Hands the answer to the shop, once however often the button is tapped.
fn raise(event_type: &str, plan: &Plan) -> Outcome {
    let What::Appointment(id) = &plan.what else { return Ok(()) };
    events::event(event_type)
        .subject(format!("appointment/{id}"))
        .data(&Answered { appointment: id })?
        .dedup_key(format!("{event_type}/{id}/{}", plan.starts.as_millis()))
        .emit();
    Ok(())
}

#[derive(Serialize)]
struct Answered<'a> {
    appointment: &'a str,
}

impl Settings {
    fn quiet<'a>(&self, timezone: &'a str) -> Quiet<'a> {
        Quiet { from: self.quiet_from, until: self.quiet_until, timezone }
    }
}

/// Makes the plan and sets a timer for each reminder that makes sense.
fn plan(event: &Event) -> Outcome {
    let told: Told = event.data()?;
    let settings: Settings = config()?;
    let customer = customers::get(event.customer_id()?).unwrap_or_default();
    let what = match (told.appointment, told.ticket) {
        (Some(id), _) => What::Appointment(id),
        (None, Some(id)) => What::Ticket(id),
        (None, None) => return Err(Error::reject("data: names neither an `appointment` nor a `ticket`")),
    };
    let timezone = told.timezone.or(customer.timezone).unwrap_or_else(|| settings.timezone.clone());
    let times = schedule(run::now(), told.starts, &settings.hours_before, &settings.quiet(&timezone))?;
    if times.is_empty() {
        info!("{} begins too soon, or is over: there is no reminder", told.title);
    }
    for (hours, due) in times {
        remind_at(&format!("before/{hours}h"), due, told.starts)?;
    }
    keep(&Plan {
        what,
        title: told.title,
        starts: told.starts,
        timezone,
        told: event.time,
        cancelled: false,
        confirmed: false,
        message: None,
    })
}

fn remind_at(key: &str, due: Instant, starts: Instant) -> Outcome {
    if due < starts {
        timers::at(key, due).data(&starts)?.expires(starts).set();
    }
    Ok(())
}

/// Whatever was set or sent for the old time is wrong now.
fn forget_reminders(known: Option<&Plan>) -> Outcome {
    let settings: Settings = config()?;
    for hours in &settings.hours_before {
        timers::cancel(&format!("before/{hours}h"));
    }
    known.and_then(|plan| plan.message.as_ref()).into_iter().for_each(messages::cancel);
    Ok(())
}

fn remind(timer: &Timer, plan: &Plan, settings: &Settings) -> Result<Option<MessageId>, Error> {
    let customer = timer.customer_id()?;
    let language = words::language(customer);
    let when = words::when(customer, plan);
    let message = Message::to(customer, Purpose::Reminder)
        .param("title", &plan.title)
        .param("when", &when)
        .expires(plan.starts)
        .fallback_after(Duration::from_mins(u64::from(settings.fallback_minutes)))
        .dedup_key(format!("{}/{}/{}", run::entity(), plan.told.as_millis(), timer.key))
        .tag("reminder");
    let message = match &plan.what {
        What::Appointment(_) => {
            message.template("appointment_reminder").text(words::appointment(&language, plan, &when))
        }
        What::Ticket(id) => {
            message.template("ticket_reminder").param("ticket", id).text(words::ticket(&language, plan, &when, id))
        }
    };
    let [come, cancel] = words::choices(&language);
    let asks = matches!(plan.what, What::Appointment(_));
    let message = if asks { message.choice("come", come).choice("cancel", cancel) } else { message };
    message.send().or_skip()
}

fn keep(plan: &Plan) -> Outcome {
    state::Entry::new("plan").ttl(plan.starts.since(run::now()) + KEPT).set(plan)
}

#[cfg(test)]
mod tests;

#[cfg(test)]
#[path = "../tests/scenario.rs"]
mod scenario;
