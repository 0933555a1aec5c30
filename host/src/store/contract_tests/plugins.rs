//! What is remembered of plugins outlives the host that decided it.

use std::collections::BTreeSet;

use super::*;
use crate::domain::plugin::{Evidence, Paused, PausedBy, PluginChange, PluginChanged, PluginRecord};

/// Somebody else looks, as after a restart.
async fn again(world: World, place: &dyn Place) -> World {
    world.store.close().await.unwrap();
    drop(world);
    open(place).await
}

fn words(all: &[&str]) -> BTreeSet<String> {
    all.iter().map(|word| (*word).to_owned()).collect()
}

fn load(digest: &str, wants: &[&str]) -> PluginChange {
    PluginChange::Load { digest: digest.into(), version: format!("{digest}.0"), wants: words(wants) }
}

async fn told(world: &World, change: PluginChange) -> PluginChanged {
    world.store.change_plugin(&"orders".into(), change, None, at(1)).await.unwrap()
}

async fn only(store: &dyn Store) -> PluginRecord {
    let [record] = store.plugin_records().await.unwrap().try_into().unwrap();
    record
}

fn failures(digest: &str) -> Paused {
    let run = event("e").runs[0].id;
    Paused {
        since: at(2),
        by: PausedBy::Failures { digest: digest.into(), version: "1".into() },
        why: "it kept failing".into(),
        evidence: vec![Evidence { run, kind: "fault".into(), message: "unreachable".into(), at: at(2) }],
    }
}

pub(crate) async fn permissions_are_accepted_at_first_sight_and_by_an_operator(place: &dyn Place) {
    let world = open(place).await;
    assert_eq!(told(&world, PluginChange::Resume).await, PluginChanged::Unknown);
    assert!(matches!(told(&world, load("1", &["channels: sms"])).await, PluginChanged::Done(_)));
    assert!(matches!(told(&world, load("1", &["channels: sms"])).await, PluginChanged::Unchanged(_)));
    let more = ["channels: sms", "channels: whatsapp", "phone"];
    let added = words(&["channels: whatsapp", "phone"]);
    assert_eq!(told(&world, load("2", &more)).await, PluginChanged::Held(added.clone()));
    assert_eq!(only(&*world.store).await.digest, "1", "what is held is not loaded");
    let world = again(world, place).await;
    assert_eq!(told(&world, load("2", &more)).await, PluginChanged::Held(added.clone()));
    assert!(matches!(told(&world, PluginChange::Accept { permissions: added }).await, PluginChanged::Done(_)));
    assert!(matches!(told(&world, load("2", &more)).await, PluginChanged::Done(_)));
    let world = again(world, place).await;
    let record = only(&*world.store).await;
    assert_eq!((record.digest.as_str(), record.version.as_str(), record.accepted), ("2", "2.0", words(&more)));
    assert!(matches!(told(&world, load("1", &["channels: sms"])).await, PluginChanged::Done(_)), "less is no question");
    assert_eq!(only(&*world.store).await.accepted, words(&more), "and what was accepted stays so");
}

pub(crate) async fn a_plugin_is_paused_once_with_its_evidence_and_its_alert(place: &dyn Place) {
    let mut world = open(place).await;
    told(&world, load("1", &[])).await;
    let plugin = key().plugin;
    let pause = |paused: Paused, alert: &str| {
        world.store.change_plugin(&plugin, PluginChange::Pause(paused), Some(event(alert)), at(2))
    };
    assert!(matches!(pause(failures("1"), "a").await.unwrap(), PluginChanged::Done(_)));
    // Another host saw the same and says so a moment later: nobody is told twice.
    let later = Paused { since: at(3), ..failures("1") };
    assert!(matches!(pause(later, "b").await.unwrap(), PluginChanged::Unchanged(_)));
    assert_eq!(world.inlets.runs.queue.recv().await.unwrap().run, event("a").runs[0]);
    assert_eq!(all_open(&*world.store).await.len(), 1);
    let world = again(world, place).await;
    assert_eq!(only(&*world.store).await.paused, Some(failures("1")));
    // A newer one that fails as well takes its place; what an operator says stands above both.
    assert!(matches!(told(&world, PluginChange::Pause(failures("2"))).await, PluginChanged::Done(_)));
    let operator = Paused { by: PausedBy::Operator, evidence: Vec::new(), ..failures("2") };
    assert!(matches!(told(&world, PluginChange::Pause(operator.clone())).await, PluginChanged::Done(_)));
    assert!(matches!(told(&world, PluginChange::Pause(failures("2"))).await, PluginChanged::Unchanged(_)));
    assert_eq!(only(&*world.store).await.paused, Some(operator));
    assert!(matches!(told(&world, PluginChange::Resume).await, PluginChanged::Done(_)));
    assert!(matches!(told(&world, PluginChange::Resume).await, PluginChanged::Unchanged(_)));
    assert_eq!(only(&*world.store).await.paused, None);
}
