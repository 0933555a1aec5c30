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
//! This module never sends, never commits, never reads the time of day, and gives a plugin no address, file or socket.
//! Nothing outside of it names wasmtime.

mod bindings;
mod budget;
mod cache;
mod calls;
mod capability;
mod check;
mod compile;
mod engine;
mod http;
mod instance;
mod limiter;
mod long;
mod manifest;
mod package;
mod registry;
mod settings;
mod subscription;
mod trigger;
pub mod trust;
mod units;
mod used;

#[cfg(test)]
mod tests;

use std::{path::Path, sync::Arc};

use anyhow::Context as _;
use tokio::sync::Semaphore;
use wasmtime::component::Linker;

pub use budget::{Budget, Wishes};
pub use check::{CheckReport, check};
pub use compile::child::compile_from_stdin;
pub use http::{Answer, HttpRule, HttpRuleTable, HttpSettings, NoAnswer, Outgoing, Outside};
pub use instance::{Execution, Finished, Work};
pub use manifest::{RetryPolicy, TemplateSpec};
pub use registry::{Plugin, PluginStatus, Routing, State};
pub use settings::{CompileSettings, Grant, LimitSettings, Settings};
pub use trigger::{TriggerError, TriggerSpec};
pub use units::{Bytes, Span};

use crate::{
    clock::Clock,
    domain::{event::Event, run::RunFailure},
    ids::PluginName,
    rules,
    store::Store,
};
use cache::Cache;
use calls::RunState;
use long::LongRuns;
use registry::{Registry, Shared};

/// The plugins of a host.
pub struct Plugins {
    shared: Arc<Shared>,
    registry: Registry,
    /// Runs side by side: below the pool's size, so that the pool is never what refuses.
    places: Semaphore,
}

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
        let started = clock.now();
        let built = engine::build(settings).map_err(plain)?;
        let shared = Shared {
            engine: built.engine,
            store,
            rules,
            limits: settings.limits.clone(),
            http: settings.http.clone(),
            long: LongRuns::start()?,
            host_secret,
        };
        let loading = (settings.clone(), shared.engine.clone());
        // Compiling takes seconds and all of a core: not on a thread that serves.
        let registry = tokio::task::spawn_blocking(move || load_all(&loading.0, &loading.1)).await??;
        tracing::info!(
            loaded = registry.plugins.len(),
            refused = registry.refused.len(),
            pooled = built.pooled,
            took_ms = u64::try_from(clock.now().since(started).as_millis()).unwrap_or(u64::MAX),
            "plugins are ready"
        );
        let places = Semaphore::new(settings.concurrency.clamp(1, Semaphore::MAX_PERMITS));
        Ok(Arc::new(Plugins { shared: Arc::new(shared), registry, places }))
    }

    pub fn get(&self, name: &PluginName) -> Option<Arc<Plugin>> {
        self.registry.plugins.get(name).cloned()
    }

    /// All plugins by name, those that were refused included.
    pub fn status(&self) -> Vec<PluginStatus> {
        let loaded = self.registry.plugins.values().map(|plugin| plugin.status());
        let mut all: Vec<PluginStatus> = loaded.chain(self.registry.refused.iter().cloned()).collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// Which runs an event sets off. Fast, and changes nothing.
    pub fn route(&self, event: &Arc<Event>) -> Routing {
        self.registry.route(event)
    }

    /// Plugins that ask for messages which answer none.
    pub fn listeners(&self) -> Vec<PluginName> {
        let asks = |plugin: &&Arc<Plugin>| plugin.manifest.on_message.is_some_and(|asked| asked.others);
        self.registry.plugins.values().filter(asks).map(|plugin| plugin.name().clone()).collect()
    }

    pub fn trigger(&self, plugin: &str, trigger: &str) -> Result<Arc<TriggerSpec>, UnknownTrigger> {
        let triggers = &self.registry.triggers;
        triggers.get(&(plugin.to_owned(), trigger.to_owned())).cloned().ok_or_else(|| UnknownTrigger {
            plugin: plugin.chars().take(64).collect(),
            trigger: trigger.chars().take(64).collect(),
            known: triggers.keys().map(|(plugin, trigger)| format!("{plugin}/{trigger}")).collect(),
        })
    }

    /// Executes a run. Waits for a place first, which counts neither as its time nor as its computing.
    pub async fn execute(&self, work: Work) -> Execution {
        let Some(plugin) = self.registry.plugins.get(&work.run.run.key.plugin) else {
            let message = format!(
                "the plugin `{}` is not loaded; put its package back, or discard the run",
                work.run.run.key.plugin
            );
            return Execution::not_begun(RunFailure::Host { message });
        };
        let Ok(_place) = self.places.acquire().await else {
            return Execution::not_begun(RunFailure::Host { message: "the host is shutting down".to_owned() });
        };
        instance::execute(plugin, &self.shared, work).await
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

/// One after the other: compiling a large component takes all cores by itself.
fn load_all(settings: &Settings, engine: &wasmtime::Engine) -> anyhow::Result<Registry> {
    let linker: Linker<RunState> = registry::linker(engine).map_err(plain)?;
    let cache = Cache::open(settings);
    let dirs = package::list(&settings.dir)
        .with_context(|| format!("cannot read the plugins' directory {}", settings.dir.display()))?;
    let mut registry = Registry::default();
    for dir in dirs {
        match registry::load(&dir, engine, &linker, &cache, settings) {
            Ok(plugin) => {
                let status = plugin.status();
                tracing::info!(
                    plugin = status.name, version = status.version, digest = status.digest, handlers = ?status.handlers,
                    compile_ms = status.compile_ms, cached = status.cached, "plugin loaded"
                );
                for import in &plugin.trapping {
                    tracing::warn!(plugin = status.name, "`{import}` is not offered; calling it would end the run");
                }
                registry.add(Arc::new(plugin), settings);
            }
            Err(error) => registry.refused.push(refuse(&dir, &error)),
        }
    }
    Ok(registry)
}

fn refuse(dir: &Path, error: &registry::Error) -> PluginStatus {
    let name = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
    tracing::error!(plugin = name, "plugin refused: {error}");
    PluginStatus::refused(name, error.to_string())
}
