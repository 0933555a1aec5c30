//! The file of a scenario: docs/scenarios.md in types, strictly. What is wrong is told with its line and the fix.

use std::{collections::BTreeMap, fmt, ops::Range, path::Path};

use serde::Deserialize;
use serde_json::Value as Json;
use toml::Spanned;

use super::{
    http::{self, Answer, Http, Request},
    lengths::{Length, Moment},
};

/// The version of the format.
const VERSION: u32 = 1;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct File {
    scenario: u32,
    name: String,
    start: Option<Moment>,
    #[serde(default)]
    config: toml::Table,
    #[serde(default)]
    customer: Vec<Spanned<Customer>>,
    #[serde(default)]
    http: Vec<Spanned<Http>>,
    #[serde(default)]
    step: Vec<Spanned<StepTable>>,
}

/// A scenario that can be played.
#[derive(Debug)]
pub(super) struct Scenario {
    pub(super) name: String,
    pub(super) start: Option<Moment>,
    pub(super) config: serde_json::Map<String, Json>,
    pub(super) customers: Vec<Customer>,
    pub(super) answers: Vec<Answer>,
    pub(super) steps: Vec<Step>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Customer {
    pub(super) id: String,
    pub(super) name: Option<String>,
    pub(super) locale: Option<String>,
    pub(super) timezone: Option<String>,
    pub(super) attributes: Option<BTreeMap<String, String>>,
    pub(super) phone: Option<String>,
    pub(super) channels: Option<Vec<ChannelName>>,
    pub(super) stopped: Option<Vec<ChannelName>>,
    pub(super) marketing: Option<bool>,
    pub(super) window: Option<bool>,
}

pub(super) type ChannelName = crate::domain::customer::Channel;

/// One thing that happens, and what has to come of it.
#[derive(Debug)]
pub(super) struct Step {
    /// From 1, and the line that it begins on.
    pub(super) no: usize,
    pub(super) line: usize,
    pub(super) does: Does,
    /// Answers that services give from this step on, before those that were there.
    pub(super) answers: Vec<Answer>,
    pub(super) wants: Wants,
}

#[derive(Debug)]
pub(super) enum Does {
    Event(Event),
    Trigger(Trigger),
    Advance(Length),
    AdvanceTo(Moment),
    Receipt(Receipt),
    Write(Write),
    Tap(Tap),
    Customer(Customer),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct StepTable {
    event: Option<Event>,
    trigger: Option<Trigger>,
    advance: Option<Length>,
    advance_to: Option<Moment>,
    receipt: Option<Receipt>,
    write: Option<Write>,
    tap: Option<Tap>,
    customer: Option<Customer>,
    #[serde(default)]
    http: Vec<Http>,
    #[serde(default)]
    message: Vec<Message>,
    requests: Option<Vec<Request>>,
    timers: Option<Vec<Timer>>,
    state: Option<Vec<Entry>>,
    emits: Option<Vec<Emitted>>,
    cancels: Option<Vec<String>>,
    log: Option<Vec<String>>,
    fails: Option<Fails>,
    runs: Option<usize>,
}

/// What has to come of a step.
#[derive(Debug)]
pub(super) struct Wants {
    pub(super) messages: Vec<Message>,
    pub(super) requests: Option<Vec<Request>>,
    pub(super) timers: Option<Vec<Timer>>,
    pub(super) state: Option<Vec<Entry>>,
    pub(super) emits: Option<Vec<Emitted>>,
    pub(super) cancels: Option<Vec<String>>,
    pub(super) log: Option<Vec<String>>,
    pub(super) fails: Option<Fails>,
    pub(super) runs: Option<usize>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Event {
    #[serde(rename = "type")]
    pub(super) event_type: String,
    pub(super) source: Option<String>,
    pub(super) id: Option<String>,
    pub(super) subject: Option<String>,
    pub(super) customer: Option<String>,
    pub(super) time: Option<Moment>,
    pub(super) data: Option<toml::Value>,
    #[serde(default)]
    pub(super) attributes: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Trigger {
    pub(super) name: String,
    pub(super) body: toml::Value,
    #[serde(default)]
    pub(super) headers: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Receipt {
    pub(super) message: String,
    pub(super) state: ReceiptState,
    pub(super) channel: Option<ChannelName>,
    pub(super) code: Option<String>,
    pub(super) detail: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum ReceiptState {
    Sent,
    Delivered,
    Read,
    FallingBack,
    Failed,
    Expired,
    Cancelled,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Write {
    pub(super) customer: String,
    #[serde(default)]
    pub(super) text: String,
    pub(super) channel: Option<ChannelName>,
    pub(super) answers: Option<String>,
    pub(super) kind: Option<String>,
    #[serde(default)]
    pub(super) media: Vec<Media>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Media {
    pub(super) mime_type: String,
    pub(super) filename: Option<String>,
    pub(super) size: Option<u32>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Tap {
    pub(super) message: String,
    pub(super) choice: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Message {
    pub(super) to: Option<String>,
    pub(super) name: Option<String>,
    pub(super) channel: Option<ChannelName>,
    pub(super) purpose: Option<String>,
    pub(super) template: Option<String>,
    pub(super) tag: Option<String>,
    pub(super) locale: Option<String>,
    pub(super) dedup_key: Option<String>,
    pub(super) attachment: Option<String>,
    pub(super) text: Option<String>,
    pub(super) contains: Option<Vec<String>>,
    pub(super) sms_text: Option<String>,
    pub(super) params: Option<BTreeMap<String, String>>,
    pub(super) choices: Option<Vec<String>>,
    pub(super) expires_in: Option<Length>,
    pub(super) fallback_after: Option<Length>,
    pub(super) refused: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Timer {
    pub(super) key: String,
    #[serde(rename = "in")]
    pub(super) within: Option<Length>,
    pub(super) at: Option<Moment>,
    pub(super) entity: Option<String>,
    pub(super) data: Option<toml::Value>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) value: Option<toml::Value>,
    pub(super) entity: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Emitted {
    #[serde(rename = "type")]
    pub(super) event_type: String,
    pub(super) subject: Option<String>,
    pub(super) customer: Option<String>,
    pub(super) data: Option<toml::Value>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Fails {
    pub(super) kind: FailureKind,
    pub(super) contains: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum FailureKind {
    Retry,
    Reject,
    Fault,
    Limit,
}

impl FailureKind {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            FailureKind::Retry => "retry",
            FailureKind::Reject => "reject",
            FailureKind::Fault => "fault",
            FailureKind::Limit => "limit",
        }
    }
}

/// Reads a scenario's file, or says what is wrong with it and where.
pub(super) fn read(path: &Path) -> Result<Scenario, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    parse(&text).map_err(|problem| format!("{}:{problem}", path.display()))
}

fn parse(text: &str) -> Result<Scenario, String> {
    let file: File = toml::from_str(text).map_err(|error| {
        let line = error.span().map_or(1, |span| line_of(text, &span));
        format!("{line}: {}", error.message())
    })?;
    if file.scenario != VERSION {
        return Err(format!("1: `scenario = {}`: this relais knows version {VERSION}; write that", file.scenario));
    }
    let mut customers: Vec<Customer> = Vec::new();
    for customer in file.customer {
        let line = line_of(text, &customer.span());
        let customer = customer.into_inner();
        if customers.iter().any(|other| other.id == customer.id) {
            return Err(format!("{line}: the customer `{}` is there twice; give each an id of their own", customer.id));
        }
        customers.push(customer);
    }
    let answers = file.http.into_iter().map(|http| {
        let line = line_of(text, &http.span());
        http::answer(http.into_inner()).map_err(|why| format!("{line}: {why}"))
    });
    let answers = answers.collect::<Result<_, _>>()?;
    let steps = file.step.into_iter().enumerate().map(|(no, table)| {
        let line = line_of(text, &table.span());
        step(no + 1, line, table.into_inner())
    });
    let steps: Vec<Step> = steps.collect::<Result<_, _>>()?;
    if steps.is_empty() {
        return Err("1: it has no steps; write what happens as [[step]]".to_owned());
    }
    names(&steps)?;
    Ok(Scenario { name: file.name, start: file.start, config: object(file.config), customers, answers, steps })
}

fn step(no: usize, line: usize, table: StepTable) -> Result<Step, String> {
    let does = [
        table.event.map(Does::Event),
        table.trigger.map(Does::Trigger),
        table.advance.map(Does::Advance),
        table.advance_to.map(Does::AdvanceTo),
        table.receipt.map(Does::Receipt),
        table.write.map(Does::Write),
        table.tap.map(Does::Tap),
        table.customer.map(Does::Customer),
    ];
    let mut given = does.into_iter().flatten();
    let one = "`event`, `trigger`, `advance`, `advance-to`, `receipt`, `write`, `tap` or `customer`";
    let Some(does) = given.next() else {
        return Err(format!("{line}: step {no} says nothing that happens; give it one of {one}"));
    };
    if let Some(second) = given.next() {
        let (first, second) = (does.kind(), second.kind());
        return Err(format!("{line}: step {no} has both `{first}` and `{second}`; make two steps of it"));
    }
    let answers =
        table.http.into_iter().map(|http| http::answer(http).map_err(|why| format!("{line}: step {no}: {why}")));
    let answers = answers.collect::<Result<_, _>>()?;
    for timer in table.timers.iter().flatten() {
        if timer.within.is_some() && timer.at.is_some() {
            return Err(format!("{line}: step {no}: the timer `{}` has both `in` and `at`; write one", timer.key));
        }
    }
    let wants = Wants {
        messages: table.message,
        requests: table.requests,
        timers: table.timers,
        state: table.state,
        emits: table.emits,
        cancels: table.cancels,
        log: table.log,
        fails: table.fails,
        runs: table.runs,
    };
    Ok(Step { no, line, does, answers, wants })
}

/// Every name is given once, and before it is used.
fn names(steps: &[Step]) -> Result<(), String> {
    let mut known: Vec<&str> = Vec::new();
    for step in steps {
        let used = match &step.does {
            Does::Receipt(receipt) => Some(&receipt.message),
            Does::Tap(tap) => Some(&tap.message),
            Does::Write(write) => write.answers.as_ref(),
            _ => None,
        };
        for name in used.into_iter().chain(step.wants.cancels.iter().flatten()) {
            if !known.contains(&name.as_str()) {
                let names = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                let fix = format!("give one of an earlier step `name = \"{name}\"`; there are: {names}");
                return Err(format!("{}: step {}: no message is called `{name}` yet; {fix}", step.line, step.no));
            }
        }
        for name in step.wants.messages.iter().filter_map(|message| message.name.as_deref()) {
            if known.contains(&name) {
                return Err(format!("{}: step {}: two messages are called `{name}`", step.line, step.no));
            }
            known.push(name);
        }
    }
    Ok(())
}

fn line_of(text: &str, span: &Range<usize>) -> usize {
    text.get(..span.start).unwrap_or_default().matches('\n').count() + 1
}

impl Does {
    fn kind(&self) -> &'static str {
        match self {
            Does::Event(_) => "event",
            Does::Trigger(_) => "trigger",
            Does::Advance(_) => "advance",
            Does::AdvanceTo(_) => "advance-to",
            Does::Receipt(_) => "receipt",
            Does::Write(_) => "write",
            Does::Tap(_) => "tap",
            Does::Customer(_) => "customer",
        }
    }
}

/// What a step is called where it is told of.
impl fmt::Display for Does {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Does::Event(event) => write!(f, "event {}", event.event_type),
            Does::Trigger(trigger) => write!(f, "trigger {}", trigger.name),
            Does::Advance(length) => write!(f, "advance {length}"),
            Does::AdvanceTo(moment) => write!(f, "advance to {}", moment.0),
            Does::Receipt(receipt) => write!(f, "receipt {:?} of \"{}\"", receipt.state, receipt.message),
            Does::Write(write) => write!(f, "{} writes \"{}\"", write.customer, write.text),
            Does::Tap(tap) => write!(f, "tap {} of \"{}\"", tap.choice, tap.message),
            Does::Customer(customer) => write!(f, "customer {}", customer.id),
        }
    }
}

/// TOML in the words of JSON: times are their text.
pub(super) fn json(value: &toml::Value) -> Json {
    match value {
        toml::Value::String(text) => Json::from(text.as_str()),
        toml::Value::Integer(number) => Json::from(*number),
        toml::Value::Float(number) => Json::from(*number),
        toml::Value::Boolean(flag) => Json::from(*flag),
        toml::Value::Datetime(time) => Json::from(time.to_string()),
        toml::Value::Array(items) => items.iter().map(json).collect(),
        toml::Value::Table(table) => Json::Object(object(table.clone())),
    }
}

fn object(table: toml::Table) -> serde_json::Map<String, Json> {
    table.iter().map(|(key, value)| (key.clone(), json(value))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEGIN: &str = "scenario = 1\nname = \"n\"\n";

    fn problem(rest: &str) -> String {
        parse(&format!("{BEGIN}{rest}")).unwrap_err()
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line_and_the_fix() {
        for (rest, line, words) in [
            ("[[step]]\nadvance = \"ten minutes\"\n", "4:", "write it as \"90s\""),
            ("[[step]]\nadvance = \"10m\"\nmesage = []\n", "5:", "mesage"),
            ("[[step]]\nadvance = \"1m\"\n[[step.message]]\ntxt = \"x\"\n", "6:", "unknown field `txt`"),
            ("[[step]]\ntimers = []\n", "3:", "says nothing that happens"),
            ("[[step]]\nadvance = \"1m\"\ntap = { message = \"a\", choice = \"b\" }\n", "3:", "make two steps"),
            ("[[step]]\ntap = { message = \"a\", choice = \"b\" }\n", "3:", "no message is called `a` yet"),
            ("[[customer]]\nid = \"p\"\n[[customer]]\nid = \"p\"\n", "5:", "twice"),
            ("[[customer]]\nid = \"p\"\nchannels = [\"fax\"]\n", "5:", "whatsapp"),
            ("start = \"yesterday\"\n", "3:", "2026-11-24T19:00:00+01:00"),
            ("", "1:", "no steps"),
        ] {
            let said = problem(rest);
            assert!(said.starts_with(line) && said.contains(words), "{rest}: {said}");
        }
        assert!(parse("scenario = 2\nname = \"n\"\n").unwrap_err().contains("version 1"));
    }

    #[test]
    fn values_are_compared_as_json() {
        let table: toml::Table = "a = 1979-05-27T07:32:00Z\nb = [1, 2.5, true]".parse().unwrap();
        let value = json(&toml::Value::Table(table));
        assert_eq!(value, serde_json::json!({"a": "1979-05-27T07:32:00Z", "b": [1, 2.5, true]}));
    }
}
