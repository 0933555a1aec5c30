//! Makes a plugin of a package, aside from everything that serves.

use std::{path::Path, sync::Arc};

use wasmtime::{Engine, component::Linker};

use super::{
    cache::Cache,
    calls::RunState,
    http::Outside,
    registry::{self, Plugin},
    settings::Settings,
};

pub(super) struct Loader {
    pub settings: Settings,
    engine: Engine,
    linker: Linker<RunState>,
    cache: Cache,
    /// Where the requests of every plugin go, in place of a way out of its own.
    outside: Option<Arc<dyn Outside>>,
}

impl Loader {
    pub(super) fn new(
        settings: Settings,
        engine: Engine,
        outside: Option<Arc<dyn Outside>>,
    ) -> wasmtime::Result<Loader> {
        let linker = registry::linker(&engine)?;
        let cache = Cache::open(&settings);
        Ok(Loader { settings, engine, linker, cache, outside })
    }

    /// Reads, verifies, compiles and links a package. Blocks for as long as compiling takes.
    pub(super) fn load(&self, dir: &Path) -> Result<Plugin, registry::Error> {
        let mut plugin = registry::load(dir, &self.engine, &self.linker, &self.cache, &self.settings)?;
        if let Some(outside) = &self.outside {
            plugin.door = plugin.door.map(|_| outside.clone());
        }
        let status = plugin.status();
        tracing::info!(
            plugin = status.name, version = status.version, digest = status.digest, handlers = ?status.handlers,
            compile_ms = status.compile_ms, cached = status.cached, "plugin read"
        );
        for import in &plugin.trapping {
            tracing::warn!(plugin = status.name, "`{import}` is not offered; calling it would end the run");
        }
        self.check_trigger_secrets(&plugin);
        Ok(plugin)
    }

    fn check_trigger_secrets(&self, plugin: &Plugin) {
        let name = plugin.name();
        let secrets = self.settings.secrets.get(name);
        for trigger in &plugin.manifest.triggers {
            let Some(secret) = trigger.secret_name() else { continue };
            if secrets.is_none_or(|secrets| !secrets.contains_key(secret)) {
                tracing::warn!(
                    plugin = %name, trigger = trigger.name,
                    "every request will be refused: set [plugins.secrets.{name}] {secret} = {{ env = \"…\" }}"
                );
            }
        }
    }
}
