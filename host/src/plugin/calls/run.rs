//! `relais:plugin/run`: the run itself.

use super::{
    Misuse, RunState, instant,
    wasi::{RANDOM_BYTES_MAX, Stream},
};
use crate::plugin::bindings::run;

impl run::Host for RunState {
    fn id(&mut self) -> wasmtime::Result<String> {
        self.call()?;
        Ok(self.work.run.id.to_string())
    }

    fn attempt(&mut self) -> wasmtime::Result<u32> {
        self.call()?;
        Ok(self.work.attempts.saturating_add(1))
    }

    fn entity(&mut self) -> wasmtime::Result<String> {
        self.call()?;
        let entity = self.work.run.key.entity.to_string();
        Ok(match entity.strip_prefix("sender/") {
            // Somebody whom the tenant does not know is told apart by a name that says nothing.
            Some(number) if !self.may().effective.phone => format!("sender/{}", self.pseudonym(number)),
            _ => entity,
        })
    }

    fn customer(&mut self) -> wasmtime::Result<Option<String>> {
        self.call()?;
        Ok(RunState::customer(self).map(ToString::to_string))
    }

    fn now(&mut self) -> wasmtime::Result<f64> {
        self.call()?;
        Ok(instant(self.now))
    }

    fn attribute(&mut self, name: String) -> wasmtime::Result<Option<String>> {
        self.call()?;
        Ok(match name.as_str() {
            "tenant" => Some(self.work.run.key.tenant.to_string()),
            "plugin" => Some(self.plugin.name().to_string()),
            "version" => Some(self.plugin.manifest.version.clone()),
            "deadline" => Some(self.now.plus(self.plugin.budget.time.0).rfc3339()),
            _ => None,
        })
    }

    fn random(&mut self, count: u32) -> wasmtime::Result<Vec<u8>> {
        self.call()?;
        if u64::from(count) > RANDOM_BYTES_MAX {
            return Err(Misuse(format!("{count} random bytes at once; ask for {RANDOM_BYTES_MAX} at most")).into());
        }
        if self.random.is_none() {
            self.random = Some(self.chance("relais run random"));
        }
        let mut bytes = vec![0; usize::try_from(count)?];
        if let Some(reader) = &mut self.random {
            reader.fill(&mut bytes);
        }
        Ok(bytes)
    }

    fn config(&mut self) -> wasmtime::Result<String> {
        self.call()?;
        Ok(self.plugin.config.to_string())
    }

    fn secret(&mut self, name: String) -> wasmtime::Result<Option<String>> {
        self.call()?;
        if let Err(why) = self.may().secret(&name) {
            self.denied("run.secret", why);
            return Ok(None);
        }
        if !self.plugin.secrets.contains_key(&name) {
            self.note(&format!(
                "the host was given no secret `{name}`; set it in its configuration: [plugins.secrets.{}]",
                self.plugin.name()
            ));
            return Ok(None);
        }
        Ok(Some(self.placeholder(&name)))
    }

    fn log(&mut self, level: run::Level, message: String, fields: Vec<(String, String)>) -> wasmtime::Result<()> {
        self.call()?;
        let level = match level {
            run::Level::Trace => "trace",
            run::Level::Debug => "debug",
            run::Level::Info => "info",
            run::Level::Warn => "warn",
            run::Level::Error => "error",
        };
        let (plugin, run) = (self.plugin.name(), self.work.run.id);
        match level {
            "error" | "warn" => tracing::warn!(%plugin, %run, level, fields = %shown(&fields), "{message}"),
            "info" => tracing::info!(%plugin, %run, fields = %shown(&fields), "{message}"),
            _ => tracing::debug!(%plugin, %run, level, fields = %shown(&fields), "{message}"),
        }
        if self.log.line(Stream::Log(level), &message, fields) { Ok(()) } else { Err(self.log.full().into()) }
    }
}

/// As `name=value`, one after the other.
fn shown(fields: &[(String, String)]) -> String {
    fields.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
}
