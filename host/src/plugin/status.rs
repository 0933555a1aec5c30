//! How a plugin stands, for whoever asks.

use std::collections::BTreeSet;

use serde::Serialize;

use super::{budget::Budget, manifest::Permissions, shadow::ShadowStatus};
use crate::{
    domain::plugin::{Evidence, Paused, PausedBy},
    ids::RunId,
};

/// A plugin as operators see it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub struct PluginStatus {
    pub name: String,
    pub version: Option<String>,
    pub title: Option<String>,
    /// Of the component.
    pub digest: Option<String>,
    /// Over the whole package, manifest and assets included.
    pub package_digest: Option<String>,
    /// Under which name the key is trusted that it was signed with.
    pub signed_by: Option<String>,
    /// The lock file has this package.
    pub pinned: bool,
    #[serde(flatten)]
    pub state: State,
    /// Why its runs wait, where it is paused.
    pub paused: Option<PausedStatus>,
    /// A newer package lies in the directory, and is not loaded.
    pub update: Option<UpdateStatus>,
    /// Another version that is given the same runs, and how it compares.
    pub shadow: Option<ShadowStatus>,
    pub handlers: Vec<&'static str>,
    pub subscriptions: Vec<String>,
    pub triggers: Vec<String>,
    pub asked: Option<Permissions>,
    pub effective: Option<Permissions>,
    pub limits: Option<Budget>,
    pub size_bytes: usize,
    pub compile_ms: u64,
    /// The compiled code was kept from an earlier start.
    pub cached: bool,
    pub runs: u64,
    pub faults: u64,
    pub limits_reached: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum State {
    Loaded,
    /// Its events are taken and its runs wait, until it is resumed.
    Paused {
        reason: String,
    },
    /// The same, until its permissions are approved: nothing older was there to serve in its place.
    Held {
        reason: String,
    },
    Refused {
        reason: String,
    },
}

/// A package that is not loaded beside one that serves.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct UpdateStatus {
    /// `refused` or `held`.
    pub state: &'static str,
    pub reason: String,
    pub version: Option<String>,
    /// Permissions that it asks for and that were never accepted.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub added: BTreeSet<String>,
}

/// Since when and why, and what it was paused for.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PausedStatus {
    pub since: String,
    /// `operator` or `failures`.
    pub by: &'static str,
    pub why: String,
    pub evidence: Vec<EvidenceLine>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EvidenceLine {
    pub run: RunId,
    pub kind: String,
    pub message: String,
    pub at: String,
}

impl PausedStatus {
    pub(super) fn of(paused: &Paused) -> PausedStatus {
        let line = |evidence: &Evidence| EvidenceLine {
            run: evidence.run,
            kind: evidence.kind.clone(),
            message: evidence.message.clone(),
            at: evidence.at.rfc3339(),
        };
        let by = match paused.by {
            PausedBy::Operator => "operator",
            PausedBy::Failures { .. } => "failures",
        };
        let evidence = paused.evidence.iter().map(line).collect();
        PausedStatus { since: paused.since.rfc3339(), by, why: paused.why.clone(), evidence }
    }
}

impl PluginStatus {
    pub(super) fn refused(name: String, reason: String) -> PluginStatus {
        PluginStatus {
            name,
            version: None,
            title: None,
            digest: None,
            package_digest: None,
            signed_by: None,
            pinned: false,
            state: State::Refused { reason },
            paused: None,
            update: None,
            shadow: None,
            handlers: Vec::new(),
            subscriptions: Vec::new(),
            triggers: Vec::new(),
            asked: None,
            effective: None,
            limits: None,
            size_bytes: 0,
            compile_ms: 0,
            cached: false,
            runs: 0,
            faults: 0,
            limits_reached: 0,
        }
    }
}
