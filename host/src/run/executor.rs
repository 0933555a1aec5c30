//! Who executes runs, as the run stage sees them.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::Notify;

use crate::{
    domain::event::Event,
    ids::PluginName,
    plugin::{Execution, Plugins, RetryPolicy, Routing, Work},
};

/// What the stage needs of plugins. A host has [`Plugins`]; a test of the stage has a script instead of a sandbox.
#[async_trait]
pub trait Executor: Send + Sync + 'static {
    /// How a plugin's runs are tried again; `None` where it is not loaded.
    fn retry(&self, plugin: &PluginName) -> Option<RetryPolicy>;

    /// How many of a plugin's runs may be under way at once.
    fn concurrent(&self, _plugin: &PluginName) -> usize {
        usize::MAX
    }

    /// Whether a plugin's runs are executed now. Those of one that is not loaded, or paused, stay in the store.
    fn serves(&self, plugin: &PluginName) -> bool {
        self.retry(plugin).is_some()
    }

    /// Notified when that may have changed.
    fn changed(&self) -> Arc<Notify> {
        Arc::default()
    }

    /// Which runs an event sets off. Fast, and changes nothing.
    fn route(&self, event: &Arc<Event>) -> Routing;

    /// Executes a run. Nothing of what it asks for has happened yet.
    async fn execute(&self, work: Work) -> Execution;
}

#[async_trait]
impl Executor for Plugins {
    fn retry(&self, plugin: &PluginName) -> Option<RetryPolicy> {
        self.get(plugin).map(|plugin| plugin.manifest.retry)
    }

    fn concurrent(&self, plugin: &PluginName) -> usize {
        self.get(plugin).map_or(usize::MAX, |plugin| usize::try_from(plugin.budget.concurrent).unwrap_or(usize::MAX))
    }

    fn serves(&self, plugin: &PluginName) -> bool {
        Plugins::serves(self, plugin)
    }

    fn changed(&self) -> Arc<Notify> {
        Plugins::changed(self)
    }

    fn route(&self, event: &Arc<Event>) -> Routing {
        Plugins::route(self, event)
    }

    async fn execute(&self, work: Work) -> Execution {
        Plugins::execute(self, work).await
    }
}
