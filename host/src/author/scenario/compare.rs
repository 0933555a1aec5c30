//! What came of a step, held against what it says has to come.
//!
//! Both sides are put into words the same way, and of what came only what the step says anything about: so a difference is always
//! two texts, and shows what was expected and what came instead.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{
    desk::Desk,
    format::{self, Emitted, Entry, Message, Step, Timer, Wants},
    http::{Made, Request},
    lengths::Length,
    play::Difference,
    witness::Seen,
};
use crate::{
    channel::{Rendition, sms},
    clock::Timestamp,
    domain::{
        customer::Channel,
        message::{MediaSource, MessageRecord, NewMessage, Recipient},
        run::{EmittedEvent, EntityKey, RunFailure},
    },
    ids::MessageId,
    store::Store,
};

/// What came of a step.
pub(super) struct Came {
    pub(super) messages: Vec<Sent>,
    refused: Vec<(String, String, String)>,
    timers: Vec<(EntityKey, String, Timestamp, String)>,
    state: Vec<(EntityKey, String, Value)>,
    emits: Vec<EmittedEvent>,
    cancels: Vec<MessageId>,
    log: Vec<String>,
    requests: Vec<Made>,
    failures: Vec<RunFailure>,
    runs: usize,
    now: Timestamp,
}

/// A message that was taken, and how it went out.
pub(super) struct Sent {
    pub(super) message: NewMessage,
    channel: Option<Channel>,
    text: String,
    sms_text: String,
}

impl Came {
    pub(super) async fn of(desk: &Desk, seen: &[Seen], entities: &BTreeSet<EntityKey>) -> anyhow::Result<Came> {
        let mut came = Came {
            messages: Vec::new(),
            refused: Vec::new(),
            timers: Vec::new(),
            state: Vec::new(),
            emits: Vec::new(),
            cancels: Vec::new(),
            log: Vec::new(),
            requests: Vec::new(),
            failures: Vec::new(),
            runs: seen.len(),
            now: desk.now(),
        };
        for one in seen {
            let refused = one.report.refused.iter();
            came.refused.extend(refused.map(|refused| (refused.to.clone(), refused.code.clone(), refused.why.clone())));
            came.requests.extend(one.requests.iter().cloned());
            came.log.extend(one.report.log.iter().map(|line| line.message.clone()));
            match &one.result {
                Err(failure) => came.failures.push(failure.clone()),
                Ok(outcome) => {
                    for message in &outcome.messages {
                        came.messages.push(sent(desk, message).await?);
                    }
                    came.emits.extend(outcome.events.iter().cloned());
                    came.cancels.extend(outcome.cancels.iter().copied());
                }
            }
        }
        for key in entities {
            let entity = desk.store.load_entity(key, desk.now()).await?;
            let timers = entity.timers.values();
            came.timers.extend(timers.map(|timer| (key.clone(), timer.key.clone(), timer.due, timer.data.clone())));
            let kept = entity.state.iter().filter(|(_, entry)| entry.expires.is_none_or(|at| at > desk.now()));
            came.state.extend(kept.map(|(name, entry)| (key.clone(), name.clone(), value(&entry.value))));
        }
        came.timers.sort_by(|a, b| (a.2, &a.1, &a.0).cmp(&(b.2, &b.1, &b.0)));
        Ok(came)
    }

    /// Everything in which it is not as the step says. `unwanted` is why an event set off nothing.
    pub(super) fn against(
        &self,
        step: &Step,
        names: &BTreeMap<String, MessageId>,
        unwanted: Option<&str>,
    ) -> Vec<Difference> {
        let wants = &step.wants;
        let mut found = Vec::new();
        if let Some(why) = unwanted.filter(|_| wants.runs != Some(0)) {
            found.push(Difference::said("runs", format!("the event set off no run: {why}")));
        }
        self.failures(wants, &mut found);
        self.requests(wants.requests.as_deref(), &mut found);
        self.messages(wants, &mut found);
        if let Some(timers) = &wants.timers {
            self.timers(timers, &mut found);
        }
        if let Some(state) = &wants.state {
            self.state(state, &mut found);
        }
        if let Some(emits) = &wants.emits {
            self.emits(emits, &mut found);
        }
        if let Some(cancels) = &wants.cancels {
            let named = |id: &MessageId| names.iter().find(|(_, known)| *known == id).map(|(name, _)| name.clone());
            let came = self.cancels.iter().map(|id| named(id).unwrap_or_else(|| id.to_string()));
            differ("cancels", cancels.clone(), came.collect(), &mut found);
        }
        for wanted in wants.log.iter().flatten() {
            if !self.log.iter().any(|line| line.contains(wanted)) {
                found.push(Difference::new("log", wanted.clone(), self.log.join("\n")));
            }
        }
        if let Some(runs) = wants.runs.filter(|runs| *runs != self.runs) {
            found.push(Difference::new("runs", runs.to_string(), self.runs.to_string()));
        }
        found
    }

    fn failures(&self, wants: &Wants, found: &mut Vec<Difference>) {
        let words = |failure: &RunFailure| format!("{}: {}", failure.kind(), failure.message());
        let Some(fails) = &wants.fails else {
            for failure in &self.failures {
                let mut came = words(failure);
                if let RunFailure::Fault { backtrace, .. } = failure {
                    backtrace.iter().for_each(|frame| came.push_str(&format!("\n    {frame}")));
                }
                found.push(Difference::new("fails", "no failure".to_owned(), came));
            }
            return;
        };
        let contained = fails.contains.as_deref().unwrap_or_default();
        let fits =
            |failure: &&RunFailure| failure.kind() == fails.kind.as_str() && failure.message().contains(contained);
        if self.failures.iter().any(|failure| fits(&failure)) {
            for other in self.failures.iter().filter(|failure| !fits(failure)) {
                found.push(Difference::new("fails", "no other failure".to_owned(), words(other)));
            }
            return;
        }
        let dots = if contained.is_empty() { String::new() } else { format!(": … {contained} …") };
        let came = self.failures.iter().map(words).collect::<Vec<_>>().join("\n");
        let came = if came.is_empty() { "no failure".to_owned() } else { came };
        found.push(Difference::new("fails", format!("{}{dots}", fails.kind.as_str()), came));
    }

    /// Those without an answer are always told: what the plugin made of it is seldom what its author wanted to see.
    fn requests(&self, wanted: Option<&[Request]>, found: &mut Vec<Difference>) {
        let unanswered = self.requests.iter().filter(|made| !made.answered);
        found.extend(unanswered.map(|made| Difference::said("http", made.lines_to_add())));
        let Some(wanted) = wanted else { return };
        let came = self.requests.iter().enumerate().map(|(no, made)| made.words(wanted.get(no)));
        differ("requests", wanted.iter().map(Request::words).collect(), came.collect(), found);
    }

    fn messages(&self, wants: &Wants, found: &mut Vec<Difference>) {
        let (refused, taken): (Vec<&Message>, Vec<&Message>) =
            wants.messages.iter().partition(|message| message.refused.is_some());
        self.refusals(&refused, found);
        for (no, message) in taken.iter().enumerate() {
            let path = format!("message {}", no + 1);
            match self.messages.get(no) {
                Some(sent) => sent.against(&path, message, found),
                None => {
                    // Why it was not taken says more than that it did not come.
                    let refused = self.refused.iter().map(|(to, code, why)| format!("to {to} refused: {code}: {why}"));
                    let refused: Vec<String> = refused.collect();
                    let came = if refused.is_empty() { "no message".to_owned() } else { refused.join("\n") };
                    found.push(Difference::new(&path, wanted_words(message), came));
                }
            }
        }
        for (no, sent) in self.messages.iter().enumerate().skip(taken.len()) {
            found.push(Difference::new(&format!("message {}", no + 1), "no message".to_owned(), sent.words()));
        }
    }

    /// A plugin may well ask in vain and go on: where a step speaks of no refusal, there may be any.
    fn refusals(&self, wanted: &[&Message], found: &mut Vec<Difference>) {
        let count = if wanted.is_empty() { 0 } else { wanted.len().max(self.refused.len()) };
        for no in 0..count {
            let (wanted, came) = (wanted.get(no), self.refused.get(no));
            let to = wanted.is_none_or(|message| message.to.is_some());
            let words = |to: Option<&str>, code: &str| match to {
                Some(to) => format!("to {to}: {code}"),
                None => code.to_owned(),
            };
            let expected = wanted.and_then(|message| Some(words(message.to.as_deref(), message.refused.as_deref()?)));
            let got = came.map(|(name, code, _)| words(Some(name.as_str()).filter(|_| to), code));
            if expected != got {
                let side = |words: Option<String>| words.unwrap_or_else(|| "no refused message".to_owned());
                found.push(Difference::new(&format!("refused message {}", no + 1), side(expected), side(got)));
            }
        }
    }

    fn timers(&self, wanted: &[Timer], found: &mut Vec<Difference>) {
        let mut left: Vec<_> = self.timers.iter().collect();
        let (mut expected, mut came) = (Vec::new(), Vec::new());
        for timer in wanted {
            let fits = |(key, name, ..): &&(EntityKey, String, Timestamp, String)| {
                *name == timer.key && timer.entity.as_deref().is_none_or(|entity| entity == key.entity.as_str())
            };
            let due = timer.at.map(|at| at.0).or(timer.within.map(|within| self.now.plus(within.0)));
            let data = timer.data.as_ref().map(format::json);
            expected.push(self.timer_words(timer.entity.as_deref(), &timer.key, due, data.as_ref()));
            if let Some(place) = left.iter().position(fits) {
                let (key, name, at, text) = left.remove(place);
                let entity = timer.entity.is_some().then(|| key.entity.as_str());
                let data = timer.data.is_some().then(|| text_value(text));
                came.push(self.timer_words(entity, name, due.map(|_| *at), data.as_ref()));
            }
        }
        for (key, name, at, _) in left {
            came.push(self.timer_words(Some(key.entity.as_str()), name, Some(*at), None));
        }
        differ("timers", expected, came, found);
    }

    fn timer_words(&self, entity: Option<&str>, key: &str, due: Option<Timestamp>, data: Option<&Value>) -> String {
        let mut words = key.to_owned();
        if let Some(due) = due {
            words.push_str(&format!(" in {} ({due})", Length(due.since(self.now))));
        }
        if let Some(entity) = entity {
            words.push_str(&format!(" of {entity}"));
        }
        with_json(words, data)
    }

    fn state(&self, wanted: &[Entry], found: &mut Vec<Difference>) {
        let mut left: Vec<_> = self.state.iter().collect();
        let (mut expected, mut came) = (Vec::new(), Vec::new());
        for entry in wanted {
            let fits = |(key, name, _): &&(EntityKey, String, Value)| {
                *name == entry.key && entry.entity.as_deref().is_none_or(|entity| entity == key.entity.as_str())
            };
            let value = entry.value.as_ref().map(format::json);
            let at = left.iter().position(fits).map(|place| left.remove(place));
            let got = at.map(|(_, _, value)| value);
            let same = matches!((&value, got), (Some(wanted), Some(got)) if equal(wanted, got));
            expected.push(entry_words(entry.entity.as_deref(), &entry.key, value.as_ref()));
            if let Some((key, name, got)) = at {
                let entity = entry.entity.is_some().then(|| key.entity.as_str());
                let shown = if same { value.as_ref() } else { value.as_ref().map(|_| got) };
                came.push(entry_words(entity, name, shown));
            }
        }
        for (key, name, value) in left {
            came.push(entry_words(Some(key.entity.as_str()), name, Some(value)));
        }
        differ("state", expected, came, found);
    }

    fn emits(&self, wanted: &[Emitted], found: &mut Vec<Difference>) {
        let mut expected = Vec::new();
        let mut came = Vec::new();
        for (no, emitted) in wanted.iter().enumerate() {
            let data = emitted.data.as_ref().map(format::json);
            let words = |event_type: &str, subject: Option<&str>, customer: Option<&str>, data: Option<&Value>| {
                let mut words = event_type.to_owned();
                for (what, value) in [("subject", subject), ("customer", customer)] {
                    if let Some(value) = value {
                        words.push_str(&format!(", {what} {value}"));
                    }
                }
                with_json(words, data)
            };
            expected.push(words(
                &emitted.event_type,
                emitted.subject.as_deref(),
                emitted.customer.as_deref(),
                data.as_ref(),
            ));
            if let Some(event) = self.emits.get(no) {
                let got = text_value(&event.data);
                let shown = data.as_ref().map(|data| if equal(data, &got) { data } else { &got });
                let subject = event.subject.as_deref().filter(|_| emitted.subject.is_some());
                let customer = event.customer.as_ref().map(|id| id.as_str()).filter(|_| emitted.customer.is_some());
                came.push(words(&event.event_type, subject, customer, shown));
            }
        }
        let more = self.emits.iter().skip(wanted.len());
        came.extend(more.map(|event| with_json(event.event_type.clone(), Some(&text_value(&event.data)))));
        differ("emits", expected, came, found);
    }
}

async fn sent(desk: &Desk, message: &NewMessage) -> anyhow::Result<Sent> {
    let record: Option<MessageRecord> = desk.store.message(&desk.tenant, message.id).await?;
    let first = record.as_ref().and_then(|record| record.attempts.first());
    let body = message.content.template.as_ref().map(|template| template.body.as_str());
    let free = message.content.text.as_deref().or(body).unwrap_or_default();
    let text = match desk.phones.first(message.id) {
        Some(Rendition::Sms(text)) => text.text,
        Some(Rendition::Whatsapp(rendered)) if rendered.kind == "template" => body.unwrap_or_default().to_owned(),
        Some(Rendition::Whatsapp(_)) | None => free.to_owned(),
    };
    let sms_text = sms::render(message, &desk.sms).text;
    Ok(Sent { message: message.clone(), channel: first.map(|attempt| attempt.channel), text, sms_text })
}

impl Sent {
    fn to(&self) -> &str {
        match &self.message.to {
            Recipient::Customer(id) => id.as_str(),
            Recipient::Phone(number) => number,
        }
    }

    fn words(&self) -> String {
        format!("to {}: {}", self.to(), self.text)
    }

    fn against(&self, path: &str, wanted: &Message, found: &mut Vec<Difference>) {
        let (message, content) = (&self.message, &self.message.content);
        let template = content.template.as_ref();
        let mut same = |what: &str, wanted: Option<String>, came: Option<String>| {
            if let Some(wanted) = wanted {
                let came = came.unwrap_or_else(|| "none".to_owned());
                if wanted != came {
                    found.push(Difference::new(&format!("{path}, {what}"), wanted, came));
                }
            }
        };
        let owned = |text: &Option<String>| text.clone();
        same("to", owned(&wanted.to), Some(self.to().to_owned()));
        let channel = |channel: Channel| channel.as_str().to_owned();
        same("channel", wanted.channel.map(channel), self.channel.map(channel));
        same("purpose", owned(&wanted.purpose), Some(message.purpose.as_str().to_owned()));
        same("template", owned(&wanted.template), template.map(|template| template.name.clone()));
        same("tag", owned(&wanted.tag), message.tag.clone());
        same("locale", owned(&wanted.locale), template.map(|template| template.language.clone()));
        same("dedup-key", owned(&wanted.dedup_key), message.dedup_key.clone());
        same("attachment", owned(&wanted.attachment), self.attachment());
        same("text", owned(&wanted.text), Some(self.text.clone()));
        same("sms-text", owned(&wanted.sms_text), Some(self.sms_text.clone()));
        let params = |pairs: BTreeMap<&String, &String>| {
            pairs.into_iter().map(|(name, value)| format!("{name} = {value}")).collect::<Vec<_>>().join("\n")
        };
        let came = template.map(|template| params(template.params.iter().map(|(name, value)| (name, value)).collect()));
        same("params", wanted.params.as_ref().map(|wanted| params(wanted.iter().collect())), came);
        same("choices", wanted.choices.as_ref().map(|ids| ids.join("\n")), Some(self.choices().join("\n")));
        let until = message.expires.map(|expires| Length(expires.since(message.created)).to_string());
        same("expires-in", wanted.expires_in.map(|length| length.to_string()), until);
        let fallback = message.fallback_after.map(|after| Length(after).to_string());
        same("fallback-after", wanted.fallback_after.map(|length| length.to_string()), fallback);
        for part in wanted.contains.iter().flatten() {
            if !self.text.contains(part.as_str()) {
                found.push(Difference::new(&format!("{path}, contains"), part.clone(), self.text.clone()));
            }
        }
    }

    fn attachment(&self) -> Option<String> {
        let attachment = self.message.content.attachment.as_ref()?;
        Some(match &attachment.source {
            MediaSource::Url(url) => url.clone(),
            MediaSource::Bytes(_) => attachment.filename.clone().unwrap_or_else(|| attachment.mime_type.clone()),
        })
    }

    /// The choices, or the buttons of the template.
    fn choices(&self) -> Vec<String> {
        let content = &self.message.content;
        if content.choices.is_empty() {
            return content.template.iter().flat_map(|template| template.buttons.clone()).collect();
        }
        content.choices.iter().map(|choice| choice.id.clone()).collect()
    }
}

/// A message that did not come, as the step describes it.
fn wanted_words(wanted: &Message) -> String {
    let to = wanted.to.as_deref().map(|to| format!("to {to}"));
    let contains = wanted.contains.iter().flatten().map(|part| format!("… {part} …"));
    let parts = to.into_iter().chain(wanted.text.clone()).chain(wanted.template.clone()).chain(contains);
    let words = parts.collect::<Vec<_>>().join(": ");
    if words.is_empty() { "a message".to_owned() } else { words }
}

fn entry_words(entity: Option<&str>, key: &str, value: Option<&Value>) -> String {
    let of = entity.map(|entity| format!(" of {entity}")).unwrap_or_default();
    with_json(format!("{key}{of}"), value)
}

fn with_json(words: String, value: Option<&Value>) -> String {
    match value {
        Some(value) => format!("{words} = {}", pretty(value)),
        None => words,
    }
}

pub(super) fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_else(|_| value.to_string())
}

fn differ(path: &str, expected: Vec<String>, came: Vec<String>, found: &mut Vec<Difference>) {
    if expected != came {
        let words = |list: Vec<String>| if list.is_empty() { "none".to_owned() } else { list.join("\n") };
        found.push(Difference::new(path, words(expected), words(came)));
    }
}

/// An entry's bytes as JSON where they are, else as text.
fn value(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_else(|_| json!(String::from_utf8_lossy(bytes)))
}

fn text_value(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| json!(text))
}

/// As JSON has it: `2` is `2.0`.
pub(super) fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| equal(a, b)))
        }
        _ => a == b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_equal_as_json_has_it() {
        assert!(equal(&json!({"a": 2, "b": [1.0]}), &json!({"b": [1], "a": 2.0})));
        assert!(!equal(&json!({"a": 2}), &json!({"a": 2, "b": 1})));
        assert!(!equal(&json!("2"), &json!(2)));
        assert_eq!(value(b"not json"), json!("not json"));
    }
}
