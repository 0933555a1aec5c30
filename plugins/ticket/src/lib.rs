//! Sends a ticket: the seat in a train with its PDF, or the code of a cinema with its picture.
//!
//! What one needs at the gate stands in the text as well, so that it does by SMS and without a connection.

use std::time::Duration;

use relais_plugin::calendar::Style;
use relais_plugin::{
    Event, Instant, Message, Outcome, Plugin, Purpose, SendResult, calendar, config, customers, plugin,
};
use serde::Deserialize;

struct TicketPlugin;

plugin!(TicketPlugin);

#[derive(Deserialize)]
struct Ticket {
    ticket: String,
    /// What it is for: `Paris – Lyon`, `The Incredibles 2`.
    title: String,
    starts: Instant,
    /// Where that is, in whose time it is written out.
    timezone: Option<String>,
    #[serde(flatten)]
    kind: Kind,
}

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
enum Kind {
    Train {
        seat: String,
        /// The ticket as PDF.
        document: String,
    },
    Cinema {
        place: String,
        code: String,
        /// The code as a picture, for the scanner.
        image: String,
    },
}

#[derive(Deserialize)]
struct Settings {
    timezone: String,
    fallback_minutes: u32,
}

impl Plugin for TicketPlugin {
    fn on_event(event: Event) -> Outcome {
        let ticket: Ticket = event.data()?;
        let id = event.customer_id()?;
        let settings: Settings = config()?;
        let customer = customers::get(id).unwrap_or_default();
        let zone = ticket.timezone.as_ref().or(customer.timezone.as_ref()).unwrap_or(&settings.timezone);
        let locale = customer.locale.as_deref().unwrap_or("en");
        let when = calendar::format(ticket.starts, zone, locale, Style::DateTime);

        with_content(Message::to(id, Purpose::Confirmation), &ticket, &when, customer.language("en"))
            .expires(ticket.starts)
            .fallback_after(Duration::from_mins(u64::from(settings.fallback_minutes)))
            .dedup_key(format!("ticket/{}", ticket.ticket))
            .tag("ticket")
            .send()
            .or_skip()?;
        Ok(())
    }
}

fn with_content(message: Message, ticket: &Ticket, when: &str, language: &str) -> Message {
    let Ticket { ticket: number, title, .. } = ticket;
    let french = language == "fr";
    match &ticket.kind {
        Kind::Train { seat, document } => message
            .template("train_ticket")
            .param("title", title)
            .param("when", when)
            .param("seat", seat)
            .param("ticket", number)
            .attach_url(document, "application/pdf")
            .filename(format!("{number}.pdf"))
            .text(match french {
                true => format!("{title}, {when}. Place : {seat}. Billet {number}. Bon voyage."),
                false => format!("{title}, {when}. Seat: {seat}. Ticket {number}. Have a good journey."),
            }),
        Kind::Cinema { place, code, image } => message
            .template("cinema_ticket")
            .param("title", title)
            .param("when", when)
            .param("place", place)
            .param("code", code)
            .attach_url(image, image_type(image))
            .text(match french {
                true => format!("{title}, {when}, {place}. Votre code : {code}. Bonne séance."),
                false => format!("{title}, {when}, {place}. Your code: {code}. Enjoy the film."),
            }),
    }
}

/// WhatsApp takes PNG and JPEG; what does not say that it is the one is taken for the other.
fn image_type(url: &str) -> &'static str {
    let path = url.split(['?', '#']).next().unwrap_or(url);
    if path.to_ascii_lowercase().ends_with(".png") { "image/png" } else { "image/jpeg" }
}

#[cfg(test)]
mod tests;

#[cfg(test)]
#[path = "../tests/scenario.rs"]
mod scenario;
