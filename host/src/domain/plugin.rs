//! What a store remembers of a plugin, so that neither a restart nor another host decides anew what an operator decided.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{
    clock::Timestamp,
    ids::{PluginName, RunId},
};

/// The row of one plugin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PluginRecord {
    pub name: PluginName,
    /// The package that was loaded last, by the digest of everything in it.
    pub digest: String,
    pub version: String,
    /// Permissions that were accepted, in words (`channels: sms`): at first sight, and by an operator since.
    pub accepted: BTreeSet<String>,
    #[serde(default)]
    pub paused: Option<Paused>,
    pub updated: Timestamp,
}

/// A plugin's runs wait in the store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Paused {
    pub since: Timestamp,
    pub by: PausedBy,
    pub why: String,
    /// The failures that it was paused for, the latest last. They hold words of the host's own, never a plugin's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<Evidence>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PausedBy {
    /// Whichever version is loaded.
    Operator,
    /// It kept failing: this package and no other, by its digest.
    Failures { digest: String, version: String },
}

/// A run that failed by the plugin's fault.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    pub run: RunId,
    /// `fault` or `limit`.
    pub kind: String,
    pub message: String,
    pub at: Timestamp,
}

/// What an operator says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PluginOrder {
    /// Look at the directory now.
    Reload,
    /// Accept the permissions that a held package asks for.
    Approve {
        plugin: String,
    },
    Pause {
        plugin: String,
        why: Option<String>,
    },
    Resume {
        plugin: String,
    },
}

/// What is to be remembered.
#[derive(Clone, Debug)]
pub enum PluginChange {
    /// A package is about to be loaded, with these permissions.
    Load {
        digest: String,
        version: String,
        wants: BTreeSet<String>,
    },
    /// An operator accepts permissions that an update asks for.
    Accept {
        permissions: BTreeSet<String>,
    },
    Pause(Paused),
    Resume,
}

/// What a change came to.
#[derive(Clone, Debug, PartialEq)]
pub enum PluginChanged {
    Done(PluginRecord),
    /// It is so already.
    Unchanged(PluginRecord),
    /// The package asks for these beyond what was accepted: nothing was written.
    Held(BTreeSet<String>),
    /// Nothing is known of such a plugin.
    Unknown,
}

impl Paused {
    /// Whether it is meant for this package.
    pub fn applies_to(&self, digest: &str) -> bool {
        match &self.by {
            PausedBy::Operator => true,
            PausedBy::Failures { digest: failed, .. } => failed == digest,
        }
    }
}

/// How a bound on money is called in words, and where there is none.
pub const SPEND: &str = "spend-day";
pub const NO_BOUND: &str = "no bound";

/// What of `wants` goes beyond `accepted`. A number that is no higher than an accepted one of the same name does not.
pub fn beyond(accepted: &BTreeSet<String>, wants: &BTreeSet<String>) -> BTreeSet<String> {
    let covered = |wanted: &String| {
        // Who has no bound may have any; and where nothing was said of money when the rest was accepted, there was none.
        let unbounded = format!("{SPEND}: {NO_BOUND}");
        if wanted.starts_with(SPEND)
            && (accepted.contains(&unbounded)
                || *wanted == unbounded && !accepted.iter().any(|known| known.starts_with(SPEND)))
        {
            return true;
        }
        let Some((name, number)) = number_of(wanted) else { return false };
        accepted.iter().filter_map(|known| number_of(known)).any(|(of, most)| of == name && number <= most)
    };
    wants.iter().filter(|wanted| !accepted.contains(*wanted) && !covered(wanted)).cloned().collect()
}

fn number_of(words: &str) -> Option<(&str, f64)> {
    let (name, value) = words.split_once(": ")?;
    Some((name, value.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(words: &[&str]) -> BTreeSet<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn only_what_was_not_accepted_goes_beyond() {
        let accepted = set(&["channels: sms", "messages-per-day: 5"]);
        assert_eq!(beyond(&accepted, &set(&["channels: sms", "messages-per-day: 3"])), set(&[]));
        assert_eq!(
            beyond(&accepted, &set(&["channels: whatsapp", "messages-per-day: 6", "phone"])),
            set(&["channels: whatsapp", "messages-per-day: 6", "phone"])
        );
    }

    #[test]
    fn a_pause_for_failures_is_meant_for_the_package_that_failed() {
        let by = |by| Paused { since: Timestamp(1), by, why: String::new(), evidence: Vec::new() };
        let failed = by(PausedBy::Failures { digest: "a".into(), version: "1".into() });
        assert!(failed.applies_to("a") && !failed.applies_to("b"));
        assert!(by(PausedBy::Operator).applies_to("b"));
    }
}
