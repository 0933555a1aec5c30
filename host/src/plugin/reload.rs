//! From a package that has changed to the plugin that serves: loaded aside, tried, held against what was accepted, and published
//! in one swap. Whatever goes wrong on the way leaves the one before serving, and says why.
//!
//! Runs hold the plugin that they began with; it goes when the last of them has ended.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::Serialize;

use super::{
    Plugins, instance, look,
    look::Outside,
    registry::{Plugin, Registry},
    shadow::Shadow,
    slot::{Slot, Update},
    words,
};
use crate::{
    domain::plugin::{PluginChange, PluginChanged, PluginRecord, beyond},
    ids::PluginName,
    store,
};

/// Every plugin, as the next snapshot will have it. Whoever changes anything holds it until the snapshot is out.
#[derive(Default)]
pub(super) struct Shelf {
    pub slots: BTreeMap<String, Slot>,
    pub records: BTreeMap<PluginName, PluginRecord>,
    pub generation: u64,
}

/// What became of a package that had changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Taken {
    pub name: String,
    pub outcome: TakenAs,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TakenAs {
    /// There was none of the name before.
    Loaded,
    Updated,
    Unchanged,
    Unloaded,
    Refused,
    Held,
    /// It lies in the directory of shadows: it is given the same runs as the one that serves, for comparison.
    Compared,
    /// It is still being written, or the store cannot be asked: it is looked at again.
    Later,
}

/// Why it cannot be decided now.
#[derive(Debug, thiserror::Error)]
enum Later {
    #[error("it has changed while it was read")]
    Changed,
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl Plugins {
    /// Acts on a package as it was seen; `None` where it is gone. At the start of a host nothing is tried: there is nothing that
    /// would serve in its place, and every run is bounded anyway.
    pub(super) async fn take(&self, path: &Path, outside: Option<&Outside>, at_start: bool) -> Taken {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let taken = match outside {
            _ if path.parent() == Some(&*self.loader.settings.shadow_dir) => {
                self.take_shadow(&name, path, outside).await
            }
            None => Ok(self.unload(&name).await),
            Some(outside) => self.load(&name, path, outside, at_start).await,
        };
        let (outcome, reason) = taken.unwrap_or_else(|later| (TakenAs::Later, Some(later.to_string())));
        match (outcome, &reason) {
            (TakenAs::Refused, Some(reason)) => tracing::error!(plugin = name, "plugin refused: {reason}"),
            (TakenAs::Held | TakenAs::Later, Some(reason)) => tracing::warn!(plugin = name, ?outcome, "{reason}"),
            (TakenAs::Unchanged, _) => {}
            _ => tracing::info!(
                plugin = name,
                ?outcome,
                generation = self.live.load().generation,
                "plugins have changed"
            ),
        }
        Taken { name, outcome, reason }
    }

    async fn load(
        &self,
        name: &str,
        path: &Path,
        outside: &Outside,
        at_start: bool,
    ) -> Result<(TakenAs, Option<String>), Later> {
        let candidate = match self.prepare(name, path, at_start).await {
            Ok(candidate) => candidate,
            Err(_) if look::outside(path) != *outside => return Err(Later::Changed),
            Err(reason) => return Ok(self.refuse(name, reason).await),
        };
        // What was read need not be what had come to rest.
        if look::outside(path) != *outside {
            return Err(Later::Changed);
        }
        let mut shelf = self.shelf.lock().await;
        let slot = shelf.slots.get(name);
        let same = slot
            .and_then(|slot| slot.serving.as_ref())
            .is_some_and(|now| now.verdict.package_digest == candidate.verdict.package_digest);
        if same {
            if let Some(slot) = shelf.slots.get_mut(name)
                && slot.update.take().is_some()
            {
                self.publish(&mut shelf);
            }
            return Ok((TakenAs::Unchanged, None));
        }
        self.admit(&mut shelf, name, candidate).await
    }

    /// Loads and tries it, where nothing that serves is touched.
    async fn prepare(&self, name: &str, path: &Path, at_start: bool) -> Result<Arc<Plugin>, String> {
        let (loader, dir) = (self.loader.clone(), path.to_owned());
        // Compiling takes seconds and all of a core: not on a thread that serves.
        let loaded = tokio::task::spawn_blocking(move || loader.load(&dir)).await;
        let loaded = loaded.map_err(|error| format!("it could not be loaded: {error}"))?;
        let mut plugin = loaded.map_err(|error| error.to_string())?;
        if path.parent() == Some(&*self.loader.settings.shadow_dir) {
            // A request is made at once: one that a shadow made could not be thrown away. It counts for itself, too.
            plugin.door = None;
        } else if let Some(now) = self.live.load().slot(name).and_then(|slot| slot.serving.as_ref()) {
            plugin.counters = now.counters.clone();
        }
        let plugin = Arc::new(plugin);
        if !at_start {
            self.try_out(&plugin).await?;
        }
        Ok(plugin)
    }

    async fn try_out(&self, plugin: &Arc<Plugin>) -> Result<(), String> {
        let Ok(_place) = self.places.acquire().await else { return Err("the host is shutting down".to_owned()) };
        let tried = instance::try_out(plugin, &self.shared, self.clock.now()).await;
        tried.map_err(|failure| format!("it cannot be instantiated: {}", failure.message()))
    }

    /// Publishes it, unless it asks for more than was accepted.
    async fn admit(
        &self,
        shelf: &mut Shelf,
        name: &str,
        candidate: Arc<Plugin>,
    ) -> Result<(TakenAs, Option<String>), Later> {
        let added = self.remember_load(shelf, &candidate).await?;
        let slot = shelf.slots.entry(name.to_owned()).or_default();
        let first = slot.serving.is_none();
        let outcome = match added {
            None => {
                slot.serve(candidate, BTreeSet::new());
                (if first { TakenAs::Loaded } else { TakenAs::Updated }, None)
            }
            Some(added) => {
                let reason = format!("it asks for what was never accepted: {}", words::listed(&added));
                // Where nothing older serves, its events are taken and wait; dropped, they would be lost.
                if first || !slot.held.is_empty() {
                    slot.serve(candidate, added);
                } else {
                    slot.update = Some(Update::Held { candidate, added });
                }
                (TakenAs::Held, Some(reason))
            }
        };
        self.publish(shelf);
        Ok(outcome)
    }

    /// `None` where it may serve, else what it asks for beyond what was accepted.
    async fn remember_load(
        &self,
        shelf: &mut Shelf,
        candidate: &Plugin,
    ) -> Result<Option<BTreeSet<String>>, store::Error> {
        let name = candidate.name();
        let wants = words::wanted(&candidate.capabilities, &self.loader.settings);
        let known = shelf.records.get(name);
        if known.is_some_and(|known| {
            known.digest == candidate.verdict.package_digest && beyond(&known.accepted, &wants).is_empty()
        }) {
            return Ok(None);
        }
        let (digest, version) = (candidate.verdict.package_digest.clone(), candidate.manifest.version.clone());
        let load = PluginChange::Load { digest, version, wants };
        match self.shared.store.change_plugin(name, load, None, self.clock.now()).await? {
            PluginChanged::Done(record) | PluginChanged::Unchanged(record) => {
                shelf.records.insert(name.clone(), record);
                Ok(None)
            }
            PluginChanged::Held(added) => Ok(Some(added)),
            PluginChanged::Unknown => Ok(None),
        }
    }

    async fn refuse(&self, name: &str, reason: String) -> (TakenAs, Option<String>) {
        let mut shelf = self.shelf.lock().await;
        shelf.slots.entry(name.to_owned()).or_default().update = Some(Update::Refused { reason: reason.clone() });
        self.publish(&mut shelf);
        (TakenAs::Refused, Some(reason))
    }

    /// A package in the directory of shadows. Nothing is held for its permissions: whatever it asks for is thrown away.
    async fn take_shadow(
        &self,
        name: &str,
        path: &Path,
        outside: Option<&Outside>,
    ) -> Result<(TakenAs, Option<String>), Later> {
        let loaded = match outside {
            Some(_) => Some(self.prepare(name, path, false).await),
            None => None,
        };
        if outside.is_some_and(|outside| look::outside(path) != *outside) {
            return Err(Later::Changed);
        }
        let reason = loaded.as_ref().and_then(|loaded| loaded.as_ref().err().cloned());
        let mut shelf = self.shelf.lock().await;
        let slot = shelf.slots.entry(name.to_owned()).or_default();
        let before = slot.shadow.take();
        let same = |shadow: &Arc<Shadow>, plugin: &Plugin| shadow.package() == plugin.verdict.package_digest;
        slot.shadow = loaded.map(|loaded| match (loaded, before) {
            // What was counted stays where the package is the same.
            (Ok(plugin), Some(Ok(before))) if same(&before, &plugin) => Ok(before),
            (Ok(plugin), _) => Ok(Arc::new(Shadow::new(plugin))),
            (Err(reason), _) => Err(reason),
        });
        if slot.is_empty() {
            shelf.slots.remove(name);
        }
        self.publish(&mut shelf);
        Ok(match (outside, reason) {
            (None, _) => (TakenAs::Unloaded, Some("it is not compared any more".to_owned())),
            (Some(_), Some(reason)) => (TakenAs::Refused, Some(format!("as a shadow: {reason}"))),
            (Some(_), None) => (TakenAs::Compared, None),
        })
    }

    /// Its queued runs wait in the store, and its timers become runs that wait.
    async fn unload(&self, name: &str) -> (TakenAs, Option<String>) {
        let mut shelf = self.shelf.lock().await;
        let slot = shelf.slots.get_mut(name);
        let there = slot.is_some();
        if let Some(slot) = slot {
            *slot = Slot { shadow: slot.shadow.take(), ..Slot::default() };
            if slot.is_empty() {
                shelf.slots.remove(name);
            }
            self.publish(&mut shelf);
        }
        (if there { TakenAs::Unloaded } else { TakenAs::Unchanged }, None)
    }

    /// The next snapshot, for everybody at once.
    pub(super) fn publish(&self, shelf: &mut Shelf) {
        shelf.generation += 1;
        let Shelf { slots, records, generation } = shelf;
        for slot in slots.values_mut() {
            let name = slot.serving.as_ref().map(|plugin| plugin.name().clone());
            slot.remember(name.and_then(|name| records.get(&name)));
        }
        self.live.store(Arc::new(Registry::of(slots.clone(), *generation, &self.loader.settings)));
        self.changed.notify_one();
    }

    /// Takes over what other hosts of the same store have decided since.
    pub(super) async fn hear_of_others(&self) -> store::Result<()> {
        let records = self.shared.store.plugin_records().await?;
        let mut shelf = self.shelf.lock().await;
        let records: BTreeMap<_, _> = records.into_iter().map(|record| (record.name.clone(), record)).collect();
        if shelf.records == records {
            return Ok(());
        }
        shelf.records = records;
        self.release_held(&mut shelf).await?;
        self.publish(&mut shelf);
        Ok(())
    }

    /// What was held and has been accepted since serves from now on. Who that was.
    pub(super) async fn release_held(&self, shelf: &mut Shelf) -> store::Result<Vec<String>> {
        let mut released = Vec::new();
        for name in shelf.slots.keys().cloned().collect::<Vec<_>>() {
            let Some(slot) = shelf.slots.get(&name) else { continue };
            let candidate = match &slot.update {
                Some(Update::Held { candidate, .. }) => candidate.clone(),
                _ if !slot.held.is_empty() => match &slot.serving {
                    Some(serving) => serving.clone(),
                    None => continue,
                },
                _ => continue,
            };
            if self.remember_load(shelf, &candidate).await?.is_none() {
                if let Some(slot) = shelf.slots.get_mut(&name) {
                    slot.serve(candidate, BTreeSet::new());
                }
                released.push(name);
            }
        }
        Ok(released)
    }

    /// Those of which the last package was refused.
    pub(super) fn refused(&self) -> Vec<PathBuf> {
        let live = self.live.load();
        let settings = &self.loader.settings;
        let packages = live.slots().filter(|(_, slot)| matches!(slot.update, Some(Update::Refused { .. })));
        let shadows = live.slots().filter(|(_, slot)| matches!(slot.shadow, Some(Err(_))));
        let packages = packages.map(|(name, _)| settings.dir.join(name));
        packages.chain(shadows.map(|(name, _)| settings.shadow_dir.join(name))).collect()
    }
}
