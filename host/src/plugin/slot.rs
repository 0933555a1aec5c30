//! The place of one plugin: what serves in it, and what lies in its directory and does not.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    registry::Plugin,
    shadow::{Shadow, ShadowStatus},
    status::{PausedStatus, PluginStatus, State, UpdateStatus},
    words::listed,
};
use crate::domain::plugin::{Paused, PluginRecord};

/// A plugin by the name of its directory.
#[derive(Clone, Default)]
pub(super) struct Slot {
    pub serving: Option<Arc<Plugin>>,
    /// Permissions of what serves that were never accepted. It takes events, and its runs wait.
    pub held: BTreeSet<String>,
    pub paused: Option<Paused>,
    pub update: Option<Update>,
    /// What lies for it in the directory of shadows, or why that is refused.
    pub shadow: Option<Result<Arc<Shadow>, String>>,
}

/// A newer package that is not loaded.
#[derive(Clone)]
pub(super) enum Update {
    Refused {
        reason: String,
    },
    /// It is ready, and asks for more than was accepted.
    Held {
        candidate: Arc<Plugin>,
        added: BTreeSet<String>,
    },
}

impl Slot {
    /// Whether its runs are executed.
    pub(super) fn serves(&self) -> bool {
        self.serving.is_some() && self.held.is_empty() && self.paused.is_none()
    }

    /// There is nothing in it, and nothing to say of it.
    pub(super) fn is_empty(&self) -> bool {
        self.serving.is_none() && self.update.is_none() && self.shadow.is_none()
    }

    /// Something else serves in it. What is compared with it stays.
    pub(super) fn serve(&mut self, plugin: Arc<Plugin>, held: BTreeSet<String>) {
        *self = Slot { serving: Some(plugin), held, shadow: self.shadow.take(), ..Slot::default() };
    }

    /// Takes over what is remembered. Whether anything is different now.
    pub(super) fn remember(&mut self, record: Option<&PluginRecord>) -> bool {
        let package = self.serving.as_ref().map(|plugin| plugin.verdict.package_digest.as_str());
        let paused = record.and_then(|record| record.paused.as_ref());
        let paused = paused.filter(|paused| package.is_some_and(|package| paused.applies_to(package))).cloned();
        let differs = self.paused != paused;
        self.paused = paused;
        differs
    }

    pub(super) fn status(&self, name: &str) -> PluginStatus {
        let Some(plugin) = &self.serving else {
            let reason = match &self.update {
                Some(Update::Refused { reason }) => reason.clone(),
                None if self.shadow.is_some() => "only a shadow of it is there, and nothing that serves".to_owned(),
                _ => "it is gone from the plugins' directory".to_owned(),
            };
            return PluginStatus::refused(name.to_owned(), reason);
        };
        let state = match &self.paused {
            _ if !self.held.is_empty() => State::Held { reason: held(name, &self.held) },
            Some(paused) => {
                State::Paused { reason: format!("{}; resume it with `relais plugin resume {name}`", paused.why) }
            }
            None => State::Loaded,
        };
        let update = self.update.as_ref().map(|update| update.status(name));
        let paused = self.paused.as_ref().map(PausedStatus::of);
        let shadow = self.shadow.as_ref().map(|shadow| match shadow {
            Ok(shadow) => shadow.status(),
            Err(reason) => ShadowStatus::refused(reason.clone()),
        });
        PluginStatus { state, paused, update, shadow, ..plugin.status() }
    }
}

impl Update {
    fn status(&self, name: &str) -> UpdateStatus {
        match self {
            Update::Refused { reason } => {
                UpdateStatus { state: "refused", reason: reason.clone(), version: None, added: BTreeSet::new() }
            }
            Update::Held { candidate, added } => UpdateStatus {
                state: "held",
                reason: held(name, added),
                version: Some(candidate.manifest.version.clone()),
                added: added.clone(),
            },
        }
    }
}

fn held(name: &str, added: &BTreeSet<String>) -> String {
    format!("it asks for what was never accepted: {}; `relais plugin approve {name}` accepts it", listed(added))
}
