//! Plugins: other people's code, run so that it can hurt only itself.
//!
//! In comes a directory of packages, and later one run after another: an event, a timer, a delivery or a message, with what
//! the entity's last commit left. Out comes what the run asks for ([`Execution`]), and nothing has happened yet: committing
//! it is somebody else's work, so a run that fails leaves no trace but its report.
//!
//! What can go wrong is kept apart in [`RunFailure`](crate::domain::run::RunFailure): what the plugin said itself, its fault,
//! a limit that it reached, and trouble of the host's own. Every limit names the setting that raises it.
//!
//! The way through: `package` and `manifest` read, `capability` cuts down to what is granted, `cache` remembers what
//! `compile` made in a process of its own, `registry` links and routes, `instance` executes, `calls` answers what a run asks for. `trigger` makes events of webhooks.
//!
//! The directory may change while the host runs: `watch` notices, `look` and `settle` say which package has come to rest, `reload`
//! loads it aside and publishes it, in one swap of the [`Registry`] that everybody works with. `orders` is what an operator says
//! about a plugin, `health` what its failures say, and `shadow` how another version compares on the same runs.
//!
//! This module never sends, never commits, never reads the time of day, and gives a plugin no address, file or socket.
//! Nothing outside of it names wasmtime.

mod bindings;
mod budget;
mod cache;
mod calls;
mod capability;
mod caps;
mod check;
mod compile;
mod engine;
mod health;
mod http;
mod instance;
mod limiter;
mod loader;
mod long;
mod look;
mod manifest;
mod orders;
mod package;
mod registry;
mod reload;
mod settings;
mod settle;
mod shadow;
mod shape;
mod slot;
mod status;
mod subscription;
mod trigger;
pub mod trust;
mod units;
mod used;
mod watch;
mod words;

#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex};

use anyhow::Context as _;
use arc_swap::ArcSwap;
use tokio::{
    sync::{Notify, Semaphore, mpsc},
    time::Instant,
};

pub use budget::{Budget, Wishes};
pub use check::{CheckReport, Imports, Needs, Scenario, Update, check};
pub use compile::child::compile_from_stdin;
pub use http::{Answer, HttpRule, HttpRuleTable, HttpSettings, NoAnswer, Outgoing, Outside};
pub use instance::{Execution, Finished, Work, seed};
pub use manifest::CONTRACT;
pub(crate) use manifest::names_in;
pub use manifest::{LinkSpec, RetryPolicy, TemplateSpec};
pub use orders::OrderError;
pub use registry::{Plugin, Routing};
pub use reload::{Taken, TakenAs};
pub use settings::{CompileSettings, Grant, LimitSettings, Settings};
pub use shadow::{Example, ShadowStatus};
pub use status::{PluginStatus, State, UpdateStatus};
pub use trigger::{TriggerError, TriggerSpec};
pub use units::{Bytes, Span};
pub use watch::watch;

use crate::{
    clock::Clock,
    domain::{event::Event, run::RunFailure},
    ids::PluginName,
    rules,
    store::Store,
};
use health::Health;
use loader::Loader;
use long::LongRuns;
use registry::{Registry, Shared};
use reload::Shelf;
use settle::Settling;
use watch::{Request, Watching};

/// The plugins of a host.
pub struct Plugins {
    shared: Arc<Shared>,
    loader: Arc<Loader>,
    clock: Arc<dyn Clock>,
    /// What everybody works with: one snapshot, swapped as a whole.
    live: ArcSwap<Registry>,
    shelf: tokio::sync::Mutex<Shelf>,
    health: Health,
    /// Notified when something else serves, or waits, than before.
    changed: Arc<Notify>,
    requests: mpsc::Sender<Request>,
    to_shadows: mpsc::Sender<shadow::Task>,
    /// Taken by the watch.
    watching: Mutex<Option<Watching>>,
    /// Runs side by side: below the pool's size, so that the pool is never what refuses.
    places: Semaphore,
}

/// Requests to look that wait at a time.
const REQUESTS_MAX: usize = 64;

/// There is no such trigger; what there is instead.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("there is no trigger `{plugin}/{trigger}`; there are: {}", known.join(", "))]
pub struct UnknownTrigger {
    pub plugin: String,
    pub trigger: String,
    pub known: Vec<String>,
}

impl Plugins {
    /// Loads every package of the directory. One that is refused says why in its status, and the others serve.
    pub async fn start(
        settings: &Settings,
        rules: rules::allowed::Settings,
        host_secret: [u8; 32],
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
    ) -> anyhow::Result<Arc<Plugins>> {
        Plugins::start_before(settings, rules, host_secret, store, clock, None).await
    }

    /// The same with another outside, which is given every request that is permitted; nothing connects then.
    pub async fn start_before(
        settings: &Settings,
        rules: rules::allowed::Settings,
        host_secret: [u8; 32],
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        outside: Option<Arc<dyn Outside>>,
    ) -> anyhow::Result<Arc<Plugins>> {
        let started = clock.now();
        let built = engine::build(settings).map_err(plain)?;
        let records = store.plugin_records().await.context("what is remembered of plugins cannot be read")?;
        let loader = Loader::new(settings.clone(), built.engine.clone(), outside).map_err(plain)?;
        let shared = Shared {
            engine: built.engine,
            store,
            rules,
            limits: settings.limits.clone(),
            http: settings.http.clone(),
            long: LongRuns::start()?,
            host_secret,
        };
        let (requests, asked) = mpsc::channel(REQUESTS_MAX);
        let (to_shadows, shadowed) = mpsc::channel(shadow::QUEUE_MAX);
        let records = records.into_iter().map(|record| (record.name.clone(), record)).collect();
        let plugins = Plugins {
            shared: Arc::new(shared),
            loader: Arc::new(loader),
            clock,
            live: ArcSwap::default(),
            shelf: tokio::sync::Mutex::new(Shelf { records, ..Shelf::default() }),
            health: Health::default(),
            changed: Arc::default(),
            requests,
            to_shadows,
            watching: Mutex::new(None),
            places: Semaphore::new(settings.concurrency.clamp(1, Semaphore::MAX_PERMITS)),
        };
        let watching = Watching { settling: plugins.load_all().await?, requests: asked, to_shadows: shadowed };
        let live = plugins.live.load();
        tracing::info!(
            loaded = live.plugins.len(),
            refused = live.slots().filter(|(_, slot)| slot.serving.is_none()).count(),
            pooled = built.pooled,
            took_ms = u64::try_from(plugins.clock.now().since(started).as_millis()).unwrap_or(u64::MAX),
            "plugins are ready"
        );
        drop(live);
        Ok(Arc::new(Plugins { watching: Mutex::new(Some(watching)), ..plugins }))
    }

    /// One after the other: compiling takes up to half a gigabyte for a large component, and uses every core by itself.
    async fn load_all(&self) -> anyhow::Result<Settling> {
        let settings = &self.loader.settings;
        let mut settling = Settling::new(settings.settle.0);
        let mut dirs = package::list(&settings.dir)
            .with_context(|| format!("cannot read the plugins' directory {}", settings.dir.display()))?;
        let shadows = package::list(&settings.shadow_dir)
            .with_context(|| format!("cannot read the shadows' directory {}", settings.shadow_dir.display()))?;
        dirs.extend(shadows);
        for dir in dirs {
            let outside = look::outside(&dir);
            let taken = self.take(&dir, Some(&outside), true).await;
            // What changed under the eyes of the start is looked at by the watch.
            if taken.outcome != TakenAs::Later {
                settling.acted(&dir, Some(outside), Instant::now());
            }
        }
        Ok(settling)
    }

    pub fn get(&self, name: &PluginName) -> Option<Arc<Plugin>> {
        self.live.load().plugins.get(name).cloned()
    }

    /// Whether a plugin's runs are executed now: it is loaded, and nobody has it wait.
    pub fn serves(&self, name: &PluginName) -> bool {
        self.live.load().slot(name).is_some_and(slot::Slot::serves)
    }

    /// Notified when other plugins serve, or wait, than before.
    pub fn changed(&self) -> Arc<Notify> {
        self.changed.clone()
    }

    /// All plugins by name, those that were refused included.
    pub fn status(&self) -> Vec<PluginStatus> {
        self.live.load().slots().map(|(name, slot)| slot.status(name)).collect()
    }

    /// Which runs an event sets off. Fast, and changes nothing.
    pub fn route(&self, event: &Arc<Event>) -> Routing {
        self.live.load().route(event)
    }

    /// Plugins that ask for messages which answer none.
    pub fn listeners(&self) -> Vec<PluginName> {
        let asks = |plugin: &&Arc<Plugin>| plugin.manifest.on_message.is_some_and(|asked| asked.others);
        self.live.load().plugins.values().filter(asks).map(|plugin| plugin.name().clone()).collect()
    }

    pub fn trigger(&self, plugin: &str, trigger: &str) -> Result<Arc<TriggerSpec>, UnknownTrigger> {
        let live = self.live.load();
        let triggers = &live.triggers;
        triggers.get(&(plugin.to_owned(), trigger.to_owned())).cloned().ok_or_else(|| UnknownTrigger {
            plugin: plugin.chars().take(64).collect(),
            trigger: trigger.chars().take(64).collect(),
            known: triggers.keys().map(|(plugin, trigger)| format!("{plugin}/{trigger}")).collect(),
        })
    }

    /// Executes a run, by the version that is loaded now. Waits for a place first, which counts neither as its time nor as its
    /// computing.
    pub async fn execute(&self, work: Work) -> Execution {
        let Some(plugin) = self.get(&work.run.run.key.plugin) else {
            let message = format!(
                "the plugin `{}` is not loaded; put its package back, or discard the run",
                work.run.run.key.plugin
            );
            return Execution::not_begun(RunFailure::Host { message });
        };
        let Ok(_place) = self.places.acquire().await else {
            return Execution::not_begun(RunFailure::Host { message: "the host is shutting down".to_owned() });
        };
        let run = work.run.run.id;
        let shadowed = self.shadowed(&work);
        let execution = instance::execute(&plugin, &self.shared, work).await;
        if let Some(shadowed) = shadowed {
            self.compare(shadowed, &plugin, &execution);
        }
        self.judge(&plugin, run, &execution).await;
        execution
    }

    /// Executes the same work `times` over and gives the CPU-bound wall time of all of them: what one run costs without the
    /// store. The outcome of each is dropped.
    pub async fn bench_runs(&self, make: impl Fn(u32) -> Work, times: u32) -> anyhow::Result<std::time::Duration> {
        let started = std::time::Instant::now();
        for no in 0..times {
            let execution = self.execute(make(no)).await;
            if let Err(failure) = execution.result {
                anyhow::bail!("the run ended with {failure:?}");
            }
        }
        Ok(started.elapsed())
    }
}

/// The library's errors are not the standard library's.
fn plain(error: wasmtime::Error) -> anyhow::Error {
    anyhow::anyhow!("{error:#}")
}
