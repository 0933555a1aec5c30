//! `relais plugin test`: the scenarios that lie beside a plugin, played in simulated time.
//!
//! In: a plugin's directory, built, with `tests/*.toml` ([`format`]). Out: for each scenario what was expected and what came
//! instead ([`show`]), with what each run used of its limits. A scenario is played on a desk ([`desk`]) that is a host without
//! its doors: the real store, in a temporary directory, the real runs, rules, timers and plans, and a clock that stands until a
//! step moves it. Only what would leave the machine is not real: a provider ([`phones`]) that takes every message, and services
//! ([`http`]) that answer as the file says.
//!
//! What can go wrong: a file that is not right is told with its line and what to write there; a package that a host would not
//! load is told in the host's words; a run that differs when it is executed again fails the scenario, because a host may have to
//! execute any run again.
//!
//! Nothing here listens, connects, waits for real time, or is part of a host that serves.

mod compare;
mod desk;
mod diff;
mod doing;
mod format;
mod http;
mod lengths;
mod package;
mod phones;
mod play;
mod show;
mod witness;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use crate::{clock::Clock, plugin};

pub use play::Played;
pub use show::{Colours, summary, text};

pub(super) use desk::Desk;
pub(super) use diff::{Line, lines};
pub(super) use http::no_answer;
pub use package::Copied;

/// The directory of a package in which its scenarios are.
const TESTS: &str = "tests";

/// Which scenarios of which plugin.
pub struct Wanted<'a> {
    pub dir: &'a Path,
    /// These files and no others, where any are named.
    pub files: &'a [PathBuf],
    /// Only those whose name or file holds this.
    pub filter: Option<&'a str>,
    /// Grants and limits, as a host has them.
    pub settings: plugin::Settings,
}

/// Plays them, one after the other. `told` hears of each as it ends.
pub async fn test(
    wanted: &Wanted<'_>,
    clock: &dyn Clock,
    mut told: impl FnMut(&Played),
) -> anyhow::Result<Vec<Played>> {
    let package = Copied::of(wanted.dir)?;
    let mut all = Vec::new();
    for path in files(wanted)? {
        let played = match format::read(&path) {
            Ok(scenario) if !is_wanted(wanted.filter, &scenario.name, &path) => continue,
            Ok(scenario) => play::play(&path, scenario, &package, &wanted.settings, clock.now()).await,
            Err(problem) => Played::unreadable(&path, problem),
        };
        told(&played);
        all.push(played);
    }
    Ok(all)
}

/// Whether a plugin brings scenarios along.
pub fn has_scenarios(dir: &Path) -> bool {
    listed(&dir.join(TESTS)).is_ok_and(|files| !files.is_empty())
}

fn is_wanted(filter: Option<&str>, name: &str, path: &Path) -> bool {
    filter.is_none_or(|filter| name.contains(filter) || path.to_string_lossy().contains(filter))
}

fn files(wanted: &Wanted<'_>) -> anyhow::Result<Vec<PathBuf>> {
    if !wanted.files.is_empty() {
        return Ok(wanted.files.to_vec());
    }
    let dir = wanted.dir.join(TESTS);
    let files = listed(&dir).with_context(|| format!("cannot read {}", dir.display()))?;
    if files.is_empty() {
        bail!(
            "{} has no scenarios: write one as {}/tests/NAME.toml; docs/scenarios.md has the format",
            wanted.dir.display(),
            wanted.dir.display()
        );
    }
    Ok(files)
}

fn listed(dir: &Path) -> std::io::Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "toml") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
