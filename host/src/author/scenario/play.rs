//! One scenario from its first step to its last, or to the first that did not come out as it says.

use std::{collections::BTreeSet, path::Path};

use serde::Serialize;

use super::{
    compare::Came,
    desk::Desk,
    doing::{Did, People},
    format::{Scenario, Step},
    package::Copied,
    witness::Seen,
};
use crate::{
    clock::Timestamp,
    domain::run::{Cause, EntityKey, LogLine, Outcome, RunFailure},
    plugin,
};

/// A scenario that was played, or could not be.
#[derive(Debug, Serialize)]
pub struct Played {
    pub file: String,
    pub name: String,
    pub passed: bool,
    pub steps: usize,
    pub runs: Vec<Ran>,
    /// Why it could not be played at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// The step that did not come out as it says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed: Option<Failed>,
}

/// A run, and what it used.
#[derive(Debug, Serialize)]
pub struct Ran {
    pub step: usize,
    /// `event com.example.order.ready`, `timer last-call`, …
    pub cause: String,
    pub used: Vec<crate::domain::usage::Used>,
}

#[derive(Debug, Serialize)]
pub struct Failed {
    pub step: usize,
    pub line: usize,
    /// What happened in it.
    pub happens: String,
    pub differences: Vec<Difference>,
    /// What the step's runs wrote to their log, stderr included.
    pub log: Vec<LogLine>,
    /// Permissions that were refused, with the lines that grant them.
    pub denied: Vec<String>,
}

/// Where it is not as expected.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// `message 1, text`.
    pub at: String,
    pub expected: String,
    pub came: String,
}

impl Difference {
    pub(super) fn new(at: &str, expected: String, came: String) -> Difference {
        Difference { at: at.to_owned(), expected, came }
    }

    /// Something that is to be said, and has no other side.
    pub(super) fn said(at: &str, what: String) -> Difference {
        Difference::new(at, String::new(), what)
    }
}

impl Played {
    fn begun(path: &Path, name: &str) -> Played {
        Played {
            file: path.display().to_string(),
            name: name.to_owned(),
            passed: false,
            steps: 0,
            runs: Vec::new(),
            problem: None,
            failed: None,
        }
    }

    pub(super) fn unreadable(path: &Path, problem: String) -> Played {
        Played { problem: Some(problem), ..Played::begun(path, "") }
    }
}

pub(super) async fn play(
    path: &Path,
    scenario: Scenario,
    package: &Copied,
    settings: &plugin::Settings,
    now: Timestamp,
) -> Played {
    let mut played = Played::begun(path, &scenario.name);
    if let Err(problem) = play_on_a_desk(scenario, package, settings, now, &mut played).await {
        played.problem = Some(format!("{}: {problem:#}", path.display()));
    }
    played.passed = played.problem.is_none() && played.failed.is_none();
    played
}

async fn play_on_a_desk(
    scenario: Scenario,
    package: &Copied,
    settings: &plugin::Settings,
    now: Timestamp,
    played: &mut Played,
) -> anyhow::Result<()> {
    let start = scenario.start.map_or(now, |start| start.0);
    let desk = Desk::new(package, settings, scenario.config, start, None).await?;
    desk.services.know(&scenario.answers);
    let mut people = People::new();
    for customer in &scenario.customers {
        people.know(&desk, customer).await?;
    }
    let mut entities = BTreeSet::new();
    for step in &scenario.steps {
        played.failed = one(&desk, &mut people, step, &mut entities, played).await?;
        if played.failed.is_some() {
            break;
        }
        played.steps += 1;
    }
    desk.close().await
}

/// Does a step and compares what came of it.
async fn one(
    desk: &Desk,
    people: &mut People,
    step: &Step,
    entities: &mut BTreeSet<EntityKey>,
    played: &mut Played,
) -> anyhow::Result<Option<Failed>> {
    let failed = |differences, seen: &[Seen]| Failed {
        step: step.no,
        line: step.line,
        happens: step.does.to_string(),
        differences,
        log: seen.iter().flat_map(|seen| seen.report.log.clone()).collect(),
        denied: seen.iter().flat_map(|seen| seen.report.denied.clone()).collect(),
    };
    desk.services.know(&step.answers);
    let did = people.step(desk, step.no, &step.does).await;
    let seen = desk.witness.take();
    entities.extend(seen.iter().map(|seen| seen.run.run.key.clone()));
    played.runs.extend(seen.iter().map(|seen| ran(step.no, seen)));
    let unwanted = match did {
        Ok(Did::Happened) => None,
        Ok(Did::Unwanted(why)) => Some(why),
        Err(problem) => {
            return Ok(Some(failed(vec![Difference::said("the step itself", format!("{problem:#}"))], &seen)));
        }
    };
    let came = Came::of(desk, &seen, entities).await?;
    let mut differences = came.against(step, &people.names, unwanted.as_deref());
    differences.extend(seen.iter().filter_map(repeated));
    let taken = step.wants.messages.iter().filter(|message| message.refused.is_none());
    for (wanted, sent) in taken.zip(&came.messages) {
        if let Some(name) = &wanted.name {
            people.names.insert(name.clone(), sent.message.id);
        }
    }
    Ok((!differences.is_empty()).then(|| failed(differences, &seen)))
}

/// A run that came to something else the second time.
fn repeated(seen: &Seen) -> Option<Difference> {
    let again = seen.again.as_ref()?;
    let words = |result: &Result<Outcome, RunFailure>| match result {
        Ok(outcome) => format!("{outcome:#?}"),
        Err(failure) => format!("{failure:#?}"),
    };
    let at = format!(
        "{}, executed twice with the same inputs (a host may repeat any run: draw chance and time from the host)",
        cause(&seen.run.run.cause)
    );
    Some(Difference::new(&at, words(&seen.result), words(again)))
}

fn ran(step: usize, seen: &Seen) -> Ran {
    Ran { step, cause: cause(&seen.run.run.cause), used: seen.report.used.rows().collect() }
}

fn cause(cause: &Cause) -> String {
    match cause {
        Cause::Event(event) => format!("event {}", event.event_type),
        Cause::Timer(timer) => format!("timer {}", timer.key),
        Cause::Delivery(delivery) => format!("delivery {}", delivery.state.as_str()),
        Cause::Message(incoming) => format!("message \"{}\"", incoming.text),
    }
}
