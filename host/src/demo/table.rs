//! The table at the end: customer, what happened, channel, status, why, price.

use std::collections::HashSet;

use super::{
    day::Person,
    expect::{self, Refusal, Seen},
    remote::Remote,
};
use crate::terminal::say;

/// A message or a refusal of the day.
pub(super) struct Row {
    id: Option<String>,
    customer: String,
    story: String,
    channel: String,
    status: String,
    why: String,
    price_micros: Option<i64>,
    text: String,
    pub created: String,
}

impl Row {
    pub(super) fn of_message(story: &str, seen: Seen) -> Row {
        let double = if seen.arrived > 1 { " twice" } else { "" };
        Row {
            id: Some(seen.id),
            customer: seen.customer,
            story: story.to_owned(),
            channel: seen.channel,
            status: format!("{}{double}", seen.state),
            why: seen.why,
            price_micros: seen.price_micros,
            text: seen.text,
            created: seen.created,
        }
    }

    pub(super) fn of_refusal(story: &str, refusal: Refusal) -> Row {
        Row {
            id: None,
            customer: refusal.to,
            story: story.to_owned(),
            channel: "none".to_owned(),
            status: "refused".to_owned(),
            why: refusal.why,
            price_micros: None,
            text: String::new(),
            created: refusal.at,
        }
    }

    /// For the terminal, as the day goes.
    pub(super) fn line(&self, people: &[Person]) -> String {
        let name =
            people.iter().find(|person| person.id == self.customer).map_or(&self.customer, |person| &person.name);
        match self.id {
            Some(_) => format!("→ {name}: {} {}  “{}”", self.channel, self.status, shortened(&self.text, 70)),
            None => format!("→ {name}: refused, {}", self.why),
        }
    }
}

/// The rows as their messages stand by now: a later story may have moved an earlier one's message.
pub(super) async fn latest(
    remote: &Remote,
    people: &[Person],
    rows: Vec<Row>,
    known: &[String],
) -> anyhow::Result<Vec<Row>> {
    let known: HashSet<&String> = known.iter().collect();
    let mut latest = Vec::with_capacity(rows.len());
    for row in rows {
        let mut row = match &row.id {
            Some(id) if known.contains(id) => Row::of_message(&row.story, expect::message(remote, id).await?),
            _ => row,
        };
        if let Some(person) = people.iter().find(|person| person.id == row.customer) {
            row.customer.clone_from(&person.name);
        }
        latest.push(row);
    }
    Ok(latest)
}

pub(super) fn print(rows: &[Row]) {
    say("");
    line(["customer", "what happened", "channel", "status", "why", "price"]);
    line(["--------", "-------------", "-------", "------", "---", "-----"]);
    let mut total = 0;
    for row in rows {
        total += row.price_micros.unwrap_or_default();
        let price = row.price_micros.map_or("–".to_owned(), euros);
        let (story, why) = (shortened(&row.story, WIDTHS[1]), shortened(&row.why, WIDTHS[4]));
        line([&row.customer, &story, &row.channel, &row.status, &why, &price]);
    }
    line(["", "", "", "", "together (example prices)", &euros(total)]);
}

/// Characters of the first five columns. Together with the price they fit a terminal of 160.
const WIDTHS: [usize; 5] = [9, 44, 9, 15, 60];

fn line(cells: [&str; 6]) {
    let [customer, story, channel, status, why, price] = cells;
    let [a, b, c, d, e] = WIDTHS;
    say(format_args!("{customer:<a$} {story:<b$} {channel:<c$} {status:<d$} {why:<e$} {price:>8}"));
}

fn shortened(text: &str, chars: usize) -> String {
    if text.chars().count() <= chars {
        return text.to_owned();
    }
    let kept: String = text.chars().take(chars.saturating_sub(1)).collect();
    format!("{}…", kept.trim_end())
}

/// Prices are kept in millionths.
fn euros(micros: i64) -> String {
    format!("€{}.{:04}", micros / 1_000_000, (micros % 1_000_000) / 100)
}
