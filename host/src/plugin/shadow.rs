//! A newer version beside the one that serves: it is given the same runs, what it asks for is thrown away, and where it would have
//! asked for something else is counted.
//!
//! It never holds a live run up. What is to be compared goes into a queue with an end; who finds it full is counted and not
//! compared. One run after the other is executed, on an instance that no live run would have had.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use serde::Serialize;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    Execution, Plugins, Work, instance,
    registry::Plugin,
    shape::{Difference, Shape},
};
use crate::{domain::run::QueuedRun, ids::RunId};

/// Runs that wait to be compared. At a few kilobytes each, and quick to be gone through where the shadow is as fast as the live one.
pub(super) const QUEUE_MAX: usize = 256;
/// Examples that are kept: the first ones, which are there for as long as the shadow is.
const EXAMPLES_MAX: usize = 5;

pub(super) struct Shadow {
    plugin: Arc<Plugin>,
    counts: Mutex<Counts>,
}

#[derive(Clone, Debug, Default)]
struct Counts {
    compared: u64,
    differ: u64,
    dropped: u64,
    by: BTreeMap<&'static str, u64>,
    examples: Vec<Example>,
}

/// How the comparison stands.
#[derive(Clone, Debug, Serialize)]
pub struct ShadowStatus {
    /// `compares`, or `refused` where the package cannot be loaded.
    pub state: &'static str,
    pub reason: Option<String>,
    pub version: Option<String>,
    pub package: Option<String>,
    /// In one sentence.
    pub summary: String,
    pub compared: u64,
    pub differ: u64,
    /// Runs that were not compared, because the shadow was behind.
    pub dropped: u64,
    /// How many runs differ in what: `result`, `messages`, `timers`, `state`, `events`, `cancels`.
    pub by: BTreeMap<&'static str, u64>,
    pub examples: Vec<Example>,
}

/// A run that differs. It is named, and nothing that it held is quoted: whoever may look at it asks for the run.
#[derive(Clone, Debug, Serialize)]
pub struct Example {
    pub run: RunId,
    /// The version that served it.
    pub version: String,
    pub differs: Vec<String>,
}

/// A run that is to be executed by the shadow as well.
pub(super) struct Task {
    shadow: Arc<Shadow>,
    work: Work,
    live: Shape,
    version: String,
}

impl Shadow {
    pub(super) fn new(plugin: Arc<Plugin>) -> Shadow {
        Shadow { plugin, counts: Mutex::default() }
    }

    pub(super) fn package(&self) -> &str {
        &self.plugin.verdict.package_digest
    }

    fn change(&self, change: impl FnOnce(&mut Counts)) {
        change(&mut self.counts.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn note(&self, run: RunId, version: String, found: &[Difference]) {
        self.change(|counts| {
            counts.compared += 1;
            if found.is_empty() {
                return;
            }
            counts.differ += 1;
            for difference in found {
                *counts.by.entry(difference.part).or_default() += 1;
            }
            if counts.examples.len() < EXAMPLES_MAX {
                let differs = found.iter().map(|found| format!("{}: {}", found.part, found.what)).collect();
                counts.examples.push(Example { run, version, differs });
            }
        });
    }

    pub(super) fn status(&self) -> ShadowStatus {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Counts { compared, differ, dropped, by, examples } = counts;
        let most = by.iter().map(|(part, runs)| format!("{part} in {runs}")).collect::<Vec<_>>().join(", ");
        let summary = match (compared, differ) {
            (0, _) => "no run was compared yet".to_owned(),
            (_, 0) => format!("none of {compared} runs differs"),
            _ => format!("{differ} of {compared} runs differ: {most}"),
        };
        ShadowStatus {
            state: "compares",
            reason: None,
            version: Some(self.plugin.manifest.version.clone()),
            package: Some(self.plugin.verdict.package_digest.clone()),
            summary,
            compared,
            differ,
            dropped,
            by,
            examples,
        }
    }
}

impl ShadowStatus {
    pub(super) fn refused(reason: String) -> ShadowStatus {
        ShadowStatus {
            state: "refused",
            summary: format!("the package is refused: {reason}"),
            reason: Some(reason),
            version: None,
            package: None,
            compared: 0,
            differ: 0,
            dropped: 0,
            by: BTreeMap::new(),
            examples: Vec::new(),
        }
    }
}

impl Plugins {
    /// What a shadow needs of a run, kept before the run uses it up. `None` where there is no shadow, which costs nothing.
    pub(super) fn shadowed(&self, work: &Work) -> Option<(Arc<Shadow>, Work)> {
        let shadow = self.live.load().shadow(&work.run.run.key.plugin)?;
        let Work { run, snapshot, now, seed } = work;
        Some((shadow, Work { run: QueuedRun::clone(run), snapshot: snapshot.clone(), now: *now, seed: *seed }))
    }

    /// Has the shadow do the same, some time.
    pub(super) fn compare(&self, (shadow, work): (Arc<Shadow>, Work), live: &Plugin, execution: &Execution) {
        if !Shape::counts(execution) {
            return;
        }
        let version = live.manifest.version.clone();
        let task = Task { shadow: shadow.clone(), work, live: Shape::of(execution), version };
        if self.to_shadows.try_send(task).is_err() {
            shadow.change(|counts| counts.dropped += 1);
        }
    }
}

/// Executes what is to be compared, one after the other, until it is to stop.
pub(super) async fn work(plugins: Arc<Plugins>, mut tasks: mpsc::Receiver<Task>, stop: CancellationToken) {
    while let Some(Some(Task { shadow, work, live, version })) = stop.run_until_cancelled(tasks.recv()).await {
        let run = work.run.run.id;
        let execution = instance::execute(&shadow.plugin, &plugins.shared, work).await;
        if Shape::counts(&execution) {
            shadow.note(run, version, &live.against(&Shape::of(&execution)));
        }
    }
}
