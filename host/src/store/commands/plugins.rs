//! What is remembered of plugins: permissions that were accepted, and who is paused.

use super::{Outcome, Tx, accept};
use crate::{
    clock::Timestamp,
    domain::plugin::{Paused, PausedBy, PluginChange, PluginChanged, PluginRecord, beyond},
    ids::PluginName,
    store::RoutedEvent,
};

/// `alert` is the event that tells of the change, committed with it and not without.
pub(in crate::store) fn change(
    tx: &mut Tx<'_>,
    name: &PluginName,
    change: &PluginChange,
    alert: Option<&RoutedEvent>,
    now: Timestamp,
) -> Outcome<PluginChanged> {
    let before = tx.source.plugin_record(name)?;
    let changed = decide(name, before, change, now);
    if let PluginChanged::Done(record) = &changed {
        tx.source.put_plugin_record(record)?;
        if let Some(alert) = alert {
            accept::accept_event(tx, alert)?;
        }
    }
    Ok(changed)
}

fn decide(name: &PluginName, before: Option<PluginRecord>, change: &PluginChange, now: Timestamp) -> PluginChanged {
    if let PluginChange::Load { digest, version, wants } = change {
        return load(name, before, (digest, version), wants, now);
    }
    let Some(before) = before else { return PluginChanged::Unknown };
    let mut record = PluginRecord { updated: now, ..before.clone() };
    match change {
        PluginChange::Load { .. } => {}
        PluginChange::Accept { permissions } => record.accepted.extend(permissions.iter().cloned()),
        // Who was first is right, because several hosts may see the same plugin fail; and nothing undoes what an operator said.
        PluginChange::Pause(paused) => {
            let stays = |old: &&Paused| old.by == paused.by || old.by == PausedBy::Operator;
            record.paused = Some(before.paused.as_ref().filter(stays).unwrap_or(paused).clone());
        }
        PluginChange::Resume => record.paused = None,
    }
    let same = record.accepted == before.accepted && record.paused == before.paused;
    if same { PluginChanged::Unchanged(before) } else { PluginChanged::Done(record) }
}

/// What a package asks for at first sight is accepted: whether it is granted is the configuration's to say, and it was asked
/// before. Later it may ask for less, or for the same.
fn load(
    name: &PluginName,
    before: Option<PluginRecord>,
    (digest, version): (&str, &str),
    wants: &std::collections::BTreeSet<String>,
    now: Timestamp,
) -> PluginChanged {
    let Some(before) = before else {
        return PluginChanged::Done(PluginRecord {
            name: name.clone(),
            digest: digest.to_owned(),
            version: version.to_owned(),
            accepted: wants.clone(),
            paused: None,
            updated: now,
        });
    };
    let added = beyond(&before.accepted, wants);
    if !added.is_empty() {
        return PluginChanged::Held(added);
    }
    if before.digest == digest {
        return PluginChanged::Unchanged(before);
    }
    PluginChanged::Done(PluginRecord { digest: digest.to_owned(), version: version.to_owned(), updated: now, ..before })
}
