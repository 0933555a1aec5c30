//! Which plugins keep failing: a run of failures by a plugin's own fault, with nothing that went well in between.
//!
//! What counts is different runs, so that one event that a plugin cannot digest, executed again and again, sets that run aside
//! and not the plugin. What the plugin said itself counts neither way: it is alive. The host's own trouble never counts.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use crate::{
    clock::Timestamp,
    domain::{plugin::Evidence, run::RunFailure},
    ids::{PluginName, RunId},
};

/// Failures that are kept to show. The first ones say as much as all of them.
const EVIDENCE_MAX: usize = 10;
/// What went wrong is said in the first words.
const WORDS_MAX: usize = 300;

/// In memory: each host counts what it sees, and the first that has seen enough pauses the plugin for all.
#[derive(Default)]
pub(super) struct Health(Mutex<HashMap<PluginName, Streak>>);

/// Failures of one package, since it last did well.
#[derive(Default)]
struct Streak {
    package: String,
    runs: Vec<RunId>,
    evidence: Vec<Evidence>,
}

impl Health {
    /// Takes note of how an execution ended. Gives the evidence when `runs_max` different runs have failed in a row.
    pub(super) fn note(
        &self,
        (plugin, package): (&PluginName, &str),
        run: RunId,
        failure: Option<&RunFailure>,
        runs_max: u32,
        now: Timestamp,
    ) -> Option<Vec<Evidence>> {
        if runs_max == 0 {
            return None;
        }
        let mut streaks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let failure = match failure {
            None => {
                streaks.remove(plugin);
                return None;
            }
            Some(RunFailure::Retry { .. } | RunFailure::Reject { .. } | RunFailure::Host { .. }) => return None,
            Some(failure @ (RunFailure::Fault { .. } | RunFailure::Limit { .. })) => failure,
        };
        let streak = streaks.entry(plugin.clone()).or_default();
        if streak.package != package {
            *streak = Streak { package: package.to_owned(), ..Streak::default() };
        }
        if !streak.runs.contains(&run) {
            streak.runs.push(run);
        }
        streak.evidence.push(Evidence {
            run,
            kind: failure.kind().to_owned(),
            message: failure.message().chars().take(WORDS_MAX).collect(),
            at: now,
        });
        if streak.evidence.len() > EVIDENCE_MAX {
            streak.evidence.remove(0);
        }
        if streak.runs.len() < runs_max as usize {
            return None;
        }
        streaks.remove(plugin).map(|streak| streak.evidence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault() -> RunFailure {
        RunFailure::Fault { message: "unreachable".into(), backtrace: Vec::new() }
    }

    struct Case(Health);

    impl Case {
        fn note(&self, package: &str, run: u8, failure: Option<RunFailure>) -> Option<usize> {
            let of = (&PluginName::from("p"), package);
            self.0.note(of, RunId([run; 16]), failure.as_ref(), 3, Timestamp(1)).map(|evidence| evidence.len())
        }
    }

    #[test]
    fn so_many_different_runs_in_a_row_are_too_many() {
        let case = Case(Health::default());
        for _ in 0..20 {
            assert_eq!(case.note("a", 1, Some(fault())), None, "one run that fails again and again is no reason");
        }
        let said = RunFailure::Reject { message: String::new(), detail: None };
        assert_eq!(case.note("a", 2, Some(said)), None);
        assert_eq!(case.note("a", 2, Some(fault())), None);
        assert_eq!(case.note("a", 3, Some(fault())), Some(EVIDENCE_MAX));
        assert_eq!(case.note("a", 4, Some(fault())), None, "it begins anew");
    }

    #[test]
    fn what_goes_well_and_another_package_begin_anew() {
        let case = Case(Health::default());
        let two = |package: &str| (case.note(package, 1, Some(fault())), case.note(package, 2, Some(fault())));
        assert_eq!(two("a"), (None, None));
        assert_eq!(case.note("a", 9, None), None);
        assert_eq!(two("a"), (None, None));
        assert_eq!(case.note("b", 3, Some(fault())), None);
        let host = RunFailure::Host { message: String::new() };
        assert_eq!(case.note("b", 5, Some(host)), None);
        assert_eq!(case.note("b", 4, Some(fault())), None);
        assert_eq!(case.note("b", 5, Some(fault())), Some(3));
    }
}
