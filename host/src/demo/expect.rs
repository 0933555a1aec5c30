//! Holds what happened against what a story's file says has to happen: these messages, and no others.

use std::collections::HashSet;

use anyhow::Context;
use reqwest::Method;
use serde_json::Value;

use super::{
    day::{Expectation, Story},
    remote::Remote,
};

/// What was played of a story.
#[derive(Default)]
pub(super) struct Played {
    pub name: String,
    /// Ids of the events that it posted.
    pub events: Vec<String>,
    pub messages: HashSet<String>,
}

/// A message as the API tells of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    pub id: String,
    pub customer: String,
    /// Of the last attempt; empty where there was none.
    pub channel: String,
    pub state: String,
    pub created: String,
    /// What was sent, for reading.
    pub text: String,
    pub price_micros: Option<i64>,
    /// Why the last attempt was made, or why there was none.
    pub why: String,
    /// Why earlier attempts were not enough: the failure's code, or `no-receipt`.
    pub not_enough: Vec<String>,
    /// Attempts that arrived.
    pub arrived: usize,
}

/// A message that a plugin asked for and the rules did not take.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    pub to: String,
    pub code: String,
    pub why: String,
    pub at: String,
}

impl Seen {
    /// Whether it has come to `state` or gone further.
    pub(super) fn reached(&self, state: &str) -> bool {
        const WAY: [&str; 4] = ["pending", "sent", "delivered", "read"];
        let place = |state: &str| WAY.iter().position(|step| *step == state);
        match (place(&self.state), place(state)) {
            (Some(is), Some(wanted)) => is >= wanted,
            _ => self.state == state,
        }
    }
}

pub(super) async fn message(remote: &Remote, id: &str) -> anyhow::Result<Seen> {
    let message = remote.host(Method::GET, &format!("/v1/messages/{id}"), None).await?;
    Ok(seen(&message))
}

fn text(value: Option<&Value>) -> String {
    value.and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn seen(message: &Value) -> Seen {
    let attempts: Vec<&Value> = message.get("attempts").and_then(Value::as_array).into_iter().flatten().collect();
    let last = attempts.last().copied();
    let decided = last.and_then(|last| last.get("decision")).or_else(|| message.get("decision"));
    let content = |name: &str| message.pointer(&format!("/content/{name}")).and_then(Value::as_str);
    let mut not_enough = Vec::new();
    for pair in attempts.windows(2) {
        let [before, after] = pair else { continue };
        let code = before.pointer("/failure/code").and_then(Value::as_str);
        let why = after.pointer("/decision/why").and_then(Value::as_str).unwrap_or_default();
        not_enough.push(code.map_or_else(
            || if why.starts_with("no receipt") { "no-receipt" } else { "unknown" }.to_owned(),
            str::to_owned,
        ));
    }
    let arrived =
        |attempt: &&&Value| matches!(attempt.get("state").and_then(Value::as_str), Some("delivered" | "read"));
    Seen {
        id: text(message.get("id")),
        customer: text(message.pointer("/to/customer")),
        channel: text(last.and_then(|last| last.get("channel"))),
        state: text(message.get("state")),
        created: text(message.get("created")),
        text: content("text")
            .or_else(|| content("template/body"))
            .or_else(|| content("sms_text"))
            .unwrap_or_default()
            .to_owned(),
        price_micros: price(&attempts),
        why: text(decided.and_then(|decision| decision.get("why"))),
        not_enough,
        arrived: attempts.iter().filter(arrived).count(),
    }
}

/// What the attempts cost that a provider took. One that it rejected costs nothing.
fn price(attempts: &[&Value]) -> Option<i64> {
    let taken = attempts.iter().filter(|attempt| attempt.get("state").and_then(Value::as_str) != Some("failed"));
    let prices: Vec<i64> = taken.filter_map(|attempt| attempt.get("price_micros").and_then(Value::as_i64)).collect();
    (!prices.is_empty()).then(|| prices.iter().sum())
}

/// What the runs of these events were refused.
pub(super) async fn refusals(remote: &Remote, events: &[String]) -> anyhow::Result<Vec<Refusal>> {
    let mut refusals = Vec::new();
    for id in events {
        let story = remote.host(Method::GET, &format!("/v1/events/{id}"), None).await?;
        let runs = story.get("runs").and_then(Value::as_array).context("an event's story has no `runs`")?;
        for run in runs {
            let refused = run.pointer("/report/refused").and_then(Value::as_array);
            for one in refused.into_iter().flatten() {
                refusals.push(Refusal {
                    to: text(one.get("to")),
                    code: text(one.get("code")),
                    why: text(one.get("why")),
                    at: text(run.get("at")),
                });
            }
        }
    }
    Ok(refusals)
}

/// Whether the story has ended as it should; the first thing that is not so otherwise.
pub(super) fn check(
    story: &Story,
    played: &Played,
    before: &[Played],
    seen: &[Seen],
    refusals: &[Refusal],
) -> Result<(), String> {
    let mut met: HashSet<&str> = HashSet::new();
    let mut refused = vec![false; refusals.len()];
    for expectation in &story.expectations {
        if let Some(code) = &expectation.refused {
            let found = refusals.iter().position(|one| one.to == expectation.customer && one.code == *code);
            match found.and_then(|index| refused.get_mut(index)) {
                Some(met) => *met = true,
                None => return Err(format!("no message to {} was refused with `{code}`", expectation.customer)),
            }
            continue;
        }
        let of = match &expectation.story {
            None => played,
            Some(name) => {
                before.iter().find(|one| one.name == *name).ok_or_else(|| format!("there is no story `{name}`"))?
            }
        };
        let fits =
            |one: &&Seen| of.messages.contains(&one.id) && !met.contains(one.id.as_str()) && fits(expectation, one);
        match seen.iter().find(fits) {
            Some(one) => met.insert(&one.id),
            None => return Err(missing(expectation, of, seen)),
        };
    }
    if let Some(extra) = seen.iter().find(|one| played.messages.contains(&one.id) && !met.contains(one.id.as_str())) {
        return Err(format!("a message to {} that should not be there: “{}”", extra.customer, extra.text));
    }
    match refused.iter().zip(refusals).find(|(met, _)| !**met) {
        Some((_, extra)) => Err(format!("a refusal that should not be there: {} ({})", extra.to, extra.why)),
        None => Ok(()),
    }
}

fn fits(expectation: &Expectation, seen: &Seen) -> bool {
    seen.customer == expectation.customer
        && expectation.channel.as_ref().is_none_or(|channel| seen.channel == *channel)
        && expectation.state.as_ref().is_none_or(|state| seen.reached(state))
        && expectation.after.as_ref().is_none_or(|code| seen.not_enough.contains(code))
        && (!expectation.double || seen.arrived > 1)
}

fn missing(expectation: &Expectation, of: &Played, seen: &[Seen]) -> String {
    let wanted = |part: &Option<String>| part.clone().unwrap_or_else(|| "any".to_owned());
    let stands: Vec<String> = seen
        .iter()
        .filter(|one| of.messages.contains(&one.id) && one.customer == expectation.customer)
        .map(|one| format!("{} {} ({})", one.channel, one.state, one.why))
        .collect();
    format!(
        "no message to {} came to be {} on {}; there is: {}",
        expectation.customer,
        wanted(&expectation.state),
        wanted(&expectation.channel),
        if stands.is_empty() { "none".to_owned() } else { stands.join(", ") }
    )
}
