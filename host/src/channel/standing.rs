//! How the accounts stand with their provider: what is restricted or flagged, and which templates are approved.
//!
//! **What comes in.** The templates of an account, read now and then; what webhooks say about numbers, accounts and templates;
//! and what other hosts of the store, or this one before its start, were told ([`Note`]).
//!
//! **What goes out.** Why an account cannot carry a message now, whether it goes after the others, and all of it for whoever
//! asks. What a webhook leads to stands in `data/accounts/meta.toml`.
//!
//! **What can go wrong.** An account whose templates cannot be read is believed to have every template: a message is held back
//! for what is known and not for what is not.
//!
//! **What it never does.** It makes no request, reads no clock and no store.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{PoisonError, RwLock},
};

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::{
    Accounts, Rendition,
    failure::{ACCOUNT_PROBLEM, TEMPLATE_PROBLEM, shortened},
    meta,
    templates::{Approved, Misfit, Shape, misfits},
};
use crate::{clock::Timestamp, domain::note::Note};

/// What a provider says of an account or a template, as its webhook has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Said {
    /// The business account, `entry[].id`.
    pub business: String,
    pub time: Option<Timestamp>,
    pub field: String,
    pub value: Value,
}

/// What holds for a number or a whole account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum LeadsTo {
    Blocked,
    TemplatesBlocked,
    Flagged,
    Well,
    Told,
}

#[derive(Clone, Debug)]
struct Health {
    leads_to: LeadsTo,
    why: String,
    at: Timestamp,
    until: Option<Timestamp>,
}

impl Health {
    fn holds(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| until > now)
    }
}

/// Why an account cannot carry a message.
#[derive(Clone, Debug, PartialEq)]
pub struct Against {
    /// `template-problem` or `account-problem`.
    pub code: &'static str,
    pub why: String,
    /// Until when, where it passes by itself.
    pub until: Option<Timestamp>,
}

/// The templates of a business account.
#[derive(Default)]
struct Listed {
    read: Option<Timestamp>,
    /// By name and language.
    templates: BTreeMap<(String, String), Approved>,
    /// Why they cannot be read, where the last reading failed.
    trouble: Option<String>,
}

#[derive(Default)]
struct Known {
    /// By business account and number; under the empty number what is about all of it.
    health: BTreeMap<(String, String), Health>,
    listed: BTreeMap<String, Listed>,
    /// The latest of each name.
    notes: HashMap<String, Note>,
}

pub struct Standing {
    /// Accounts with Meta, and their business accounts.
    accounts: Vec<(String, String)>,
    /// Whether a message is held back for its template.
    hold: bool,
    events: Events,
    known: RwLock<Known>,
    /// A webhook says that templates have changed: they are worth being read again.
    pub changed: Notify,
}

/// For how long a list that was read says of a template that there is none. After that it may have been approved meanwhile, and its
/// provider is asked: a message that is refused costs less than one that is held back in error.
const ABSENT_FOR: std::time::Duration = std::time::Duration::from_secs(600);

impl Known {
    /// Whether the template is in no list, and the list is older than that.
    fn may_be_new(&self, business: &str, shape: &Shape, now: Timestamp) -> bool {
        let Some(listed) = self.listed.get(business) else { return false };
        let known = listed.templates.contains_key(&(shape.name.clone(), shape.language.clone()));
        !known && listed.read.is_some_and(|read| now.since(read) > ABSENT_FOR)
    }
}

impl Standing {
    pub fn new(accounts: &Accounts, hold: bool) -> Standing {
        #[expect(clippy::expect_used, reason = "the text is compiled in, and a test reads it")]
        let events = Events::parse(include_str!("../../data/accounts/meta.toml"))
            .expect("the table of events that is compiled in can be read");
        Standing {
            accounts: accounts.meta.iter().map(|one| (one.account.clone(), one.waba_id.clone())).collect(),
            hold,
            events,
            known: RwLock::default(),
            changed: Notify::new(),
        }
    }

    /// Takes note of a webhook, and says what is to be kept of it.
    pub fn hear(&self, said: &Said, now: Timestamp) -> Vec<Note> {
        let text = |name: &str| said.value.get(name).and_then(Value::as_str).unwrap_or_default();
        let of = match text("message_template_name") {
            "" => {
                let number: String =
                    text("display_phone_number").chars().filter(char::is_ascii_digit).take(20).collect();
                format!("meta/account/{}/{number}", said.business)
            }
            name => {
                let language = text("message_template_language");
                format!("meta/template/{}/{name}/{language}/{}", said.business, said.field)
            }
        };
        let about_templates = said.field.contains("template");
        let note = Note {
            name: shortened(&of),
            at: said.time.unwrap_or(now),
            body: json!({"field": said.field, "value": said.value}),
        };
        self.learn(std::slice::from_ref(&note));
        if about_templates {
            self.changed.notify_one();
        }
        vec![note]
    }

    /// Takes note of what was said to other hosts, or before the start. What is older than what is known changes nothing.
    pub fn learn(&self, notes: &[Note]) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        for note in notes {
            if known.notes.get(&note.name).is_some_and(|before| before.at > note.at || before == note) {
                continue;
            }
            known.notes.insert(note.name.clone(), note.clone());
            match note.name.split('/').collect::<Vec<_>>().as_slice() {
                ["meta", "account", business, number] => self.learn_health(&mut known, business, number, note),
                ["meta", "template", business, name, language, _] => {
                    let listed = known.listed.entry((*business).to_owned()).or_default();
                    self.learn_template(listed, name, language, note);
                }
                // A later version may say what this one does not know.
                _ => {}
            }
        }
    }

    fn learn_health(&self, known: &mut Known, business: &str, number: &str, note: &Note) {
        let field = note.body.get("field").and_then(Value::as_str).unwrap_or_default();
        let value = note.body.get("value").unwrap_or(&Value::Null);
        let (leads_to, until) = self.events.leads_to(field, value);
        let event = value.get("event").and_then(Value::as_str).unwrap_or("something");
        let why = format!("Meta says {event} ({field}): {}", shortened(&value.to_string()));
        let health = Health { leads_to, why, at: note.at, until };
        let key = (business.to_owned(), number.to_owned());
        match leads_to {
            LeadsTo::Well => {
                if known.health.remove(&key).is_some() {
                    tracing::info!(business, number, "what Meta had against the account is over");
                }
            }
            // What is merely told does not undo what holds.
            LeadsTo::Told if known.health.get(&key).is_some_and(|before| before.leads_to != LeadsTo::Told) => {}
            LeadsTo::Told => _ = known.health.insert(key, health),
            LeadsTo::Blocked | LeadsTo::TemplatesBlocked => {
                tracing::error!(business, number, "{}: its messages go another way", health.why);
                known.health.insert(key, health);
            }
            LeadsTo::Flagged => {
                tracing::warn!(business, number, "{}: it is used after the others of its channel", health.why);
                known.health.insert(key, health);
            }
        }
    }

    fn learn_template(&self, listed: &mut Listed, name: &str, language: &str, note: &Note) {
        if listed.read.is_some_and(|read| read > note.at) {
            return;
        }
        let value = note.body.get("value").unwrap_or(&Value::Null);
        let text = |name: &str| value.get(name).and_then(Value::as_str);
        let key = (name.to_owned(), language.to_owned());
        // Of one that is not listed only the state is known, which is enough to hold a message back.
        let fresh = || Approved { name: name.to_owned(), language: language.to_owned(), ..Approved::default() };
        let template = listed.templates.entry(key).or_insert_with(fresh);
        match note.body.get("field").and_then(Value::as_str) {
            Some("message_template_status_update") => {
                template.status = text("event").unwrap_or_default().to_owned();
            }
            Some("template_category_update") => match (text("correct_category"), text("new_category")) {
                (Some(coming), _) => template.told.push(format!("Meta will file it as {} soon", coming.to_lowercase())),
                (None, Some(now)) => template.category = now.to_owned(),
                (None, None) => {}
            },
            Some("message_template_quality_update") => {
                if let Some(quality @ ("RED" | "YELLOW")) = text("new_quality_score") {
                    template.told.push(format!("its quality is {}: it may be paused", quality.to_lowercase()));
                }
            }
            _ => {}
        }
        tracing::warn!(template = name, language, "Meta says of a template: {}", shortened(&value.to_string()));
    }

    /// The templates of a business account were read, or could not be.
    pub fn listed(&self, business: &str, read: Result<Vec<Approved>, String>, now: Timestamp) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let notes: Vec<Note> = known.notes.values().cloned().collect();
        let listed = known.listed.entry(business.to_owned()).or_default();
        match read {
            Err(trouble) => listed.trouble = Some(trouble),
            Ok(templates) => {
                let by_name = |one: Approved| ((one.name.clone(), one.language.clone()), one);
                listed.templates = templates.into_iter().map(by_name).collect();
                listed.read = Some(now);
                listed.trouble = None;
                // What a webhook said while the list was on its way.
                for note in notes.iter().filter(|note| note.at > now) {
                    if let ["meta", "template", of, name, language, _] =
                        note.name.split('/').collect::<Vec<_>>().as_slice()
                        && *of == business
                    {
                        self.learn_template(listed, name, language, note);
                    }
                }
            }
        }
    }

    /// Why this account cannot carry this now, and until when where that passes.
    pub fn against(
        &self,
        provider: &str,
        account: &str,
        body: &Rendition,
        template: Option<&Shape>,
        now: Timestamp,
    ) -> Option<Against> {
        let business = self.business(provider, account)?;
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let is_template = matches!(body, Rendition::Whatsapp(rendered) if rendered.kind == "template");
        let against = |health: &&Health| match health.leads_to {
            LeadsTo::Blocked => true,
            LeadsTo::TemplatesBlocked => is_template,
            LeadsTo::Flagged | LeadsTo::Well | LeadsTo::Told => false,
        };
        if let Some(health) = known.health_of(business, now).find(against) {
            return Some(Against { code: ACCOUNT_PROBLEM, why: health.why.clone(), until: health.until });
        }
        let shape = template.filter(|_| is_template && self.hold)?;
        if known.may_be_new(business, shape, now) {
            return None;
        }
        let found = self.misfits(&known, business, shape)?;
        let holds = found.into_iter().find(|misfit| misfit.holds)?;
        let why = format!("the template `{}` in `{}`: {}", shape.name, shape.language, holds.why);
        Some(Against { code: TEMPLATE_PROBLEM, why, until: None })
    }

    /// Whether the account goes after the others of its channel, and why.
    pub fn flagged(&self, provider: &str, account: &str, now: Timestamp) -> Option<String> {
        let business = self.business(provider, account)?;
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let flagged = known.health_of(business, now).find(|health| health.leads_to == LeadsTo::Flagged)?;
        Some(flagged.why.clone())
    }

    /// What does not fit of a template; `None` where nothing is known of the account's templates.
    fn misfits(&self, known: &Known, business: &str, shape: &Shape) -> Option<Vec<Misfit>> {
        let listed = known.listed.get(business)?;
        let key = (shape.name.clone(), shape.language.clone());
        let Some(approved) = listed.templates.get(&key) else {
            listed.read?;
            let others: Vec<&str> = listed
                .templates
                .keys()
                .filter(|(name, _)| *name == shape.name)
                .map(|(_, language)| language.as_str())
                .collect();
            return Some(vec![Misfit::holds(match others.as_slice() {
                [] => "the account has no template of this name".to_owned(),
                others => format!("the account has it in {} only", others.join(", ")),
            })]);
        };
        let mut found = self.events.state(approved);
        // Of one that no list has told of, nothing else is known.
        if !approved.components.is_empty() {
            found.extend(misfits(shape, approved));
        }
        Some(found)
    }

    fn business(&self, provider: &str, account: &str) -> Option<&str> {
        let mine = |(name, _): &&(String, String)| name == account;
        self.accounts.iter().find(mine).filter(|_| provider == meta::NAME).map(|(_, business)| business.as_str())
    }

    /// What was found against declared templates, each with the account that it was found in: `(account, template, misfit)`.
    pub fn findings(&self, declared: &[Shape]) -> Vec<(String, String, Misfit)> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let mut all = Vec::new();
        for (account, business) in &self.accounts {
            for shape in declared {
                let found = self.misfits(&known, business, shape).unwrap_or_default();
                let name = format!("{} ({})", shape.name, shape.language);
                all.extend(found.into_iter().map(|misfit| (account.clone(), name.clone(), misfit)));
            }
        }
        all
    }

    /// A template's lifetime at the provider, where it has one: the longest of the accounts'.
    pub fn lifetime_s(&self, shape: &Shape) -> Option<i64> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let key = (shape.name.clone(), shape.language.clone());
        known.listed.values().filter_map(|listed| listed.templates.get(&key)?.message_send_ttl_seconds).max()
    }

    /// How each account stands, for whoever asks.
    pub fn accounts(&self, now: Timestamp) -> Vec<Value> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let one = |(account, business): &(String, String)| {
            let health: Vec<Value> = known
                .health_of(business, now)
                .map(|health| {
                    json!({"state": word(health.leads_to), "why": health.why, "at": health.at.rfc3339(),
                    "until": health.until.map(|until| until.rfc3339())})
                })
                .collect();
            let listed = known.listed.get(business);
            json!({
                "provider": meta::NAME,
                "account": account,
                "business": business,
                "health": health,
                "templates": listed.map_or(0, |listed| listed.templates.len()),
                "templates_read": listed.and_then(|listed| listed.read).map(|read| read.rfc3339()),
                "templates_trouble": listed.and_then(|listed| listed.trouble.as_ref()),
            })
        };
        self.accounts.iter().map(one).collect()
    }
}

impl Known {
    fn health_of<'a>(&'a self, business: &'a str, now: Timestamp) -> impl Iterator<Item = &'a Health> {
        self.health
            .iter()
            .filter(move |((of, _), health)| of == business && health.holds(now))
            .map(|(_, health)| health)
    }
}

fn word(leads_to: LeadsTo) -> &'static str {
    match leads_to {
        LeadsTo::Blocked => "blocked",
        LeadsTo::TemplatesBlocked => "templates-blocked",
        LeadsTo::Flagged => "flagged",
        LeadsTo::Well => "well",
        LeadsTo::Told => "told",
    }
}

/// `data/accounts/meta.toml`.
struct Events(File);

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct File {
    #[serde(rename = "checked")]
    _checked: String,
    #[serde(rename = "valid-from")]
    _valid_from: String,
    event: Vec<EventRow>,
    template: Vec<StateRow>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct EventRow {
    field: String,
    event: Option<String>,
    at: Option<String>,
    is: Option<String>,
    until: Option<String>,
    leads_to: LeadsTo,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StateRow {
    states: Vec<String>,
    goes: bool,
    #[serde(default)]
    warns: String,
}

impl Events {
    fn parse(text: &str) -> Result<Events, toml::de::Error> {
        toml::from_str(text).map(Events)
    }

    fn leads_to(&self, field: &str, value: &Value) -> (LeadsTo, Option<Timestamp>) {
        let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str);
        let fits = |row: &&EventRow| {
            row.field == field
                && row.event.as_deref().is_none_or(|event| text("/event") == Some(event))
                && row.at.as_deref().is_none_or(|at| text(at) == row.is.as_deref())
        };
        let Some(row) = self.0.event.iter().find(fits) else { return (LeadsTo::Told, None) };
        let until = row.until.as_deref().and_then(|at| {
            let seconds = value.pointer(at)?;
            seconds.as_i64().or_else(|| seconds.as_str()?.parse().ok())
        });
        (row.leads_to, until.map(Timestamp::from_seconds))
    }

    fn state(&self, approved: &Approved) -> Vec<Misfit> {
        let row = self.0.template.iter().find(|row| row.states.contains(&approved.status));
        match row {
            Some(row) if !row.goes => vec![Misfit::holds(row.warns.clone())],
            Some(row) if !row.warns.is_empty() => vec![Misfit::warns(row.warns.clone())],
            Some(_) => Vec::new(),
            None if approved.status.is_empty() => Vec::new(),
            None => vec![Misfit::warns(format!("Meta says `{}` of it, which is not known here", approved.status))],
        }
    }
}

#[cfg(test)]
#[path = "standing_tests.rs"]
mod tests;
