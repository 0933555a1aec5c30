//! `relais:plugin/run`: the run itself.

use super::{
    RunState, instant,
    wasi::{Stream, TAIL_BYTES, begin},
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
        let mut bytes = vec![0; self.count_random(count.into())?];
        if self.chance.is_none() {
            self.chance = Some(self.chance_for("relais run random"));
        }
        if let Some(reader) = &mut self.chance {
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
        if !self.log.line(Stream::Log(level), &message, fields.clone()) {
            return Err(self.log.full().into());
        }
        // The host's own log is for people: of a line that is as long as the whole allowance it has the beginning.
        let (message, fields) = (begin(&message, TAIL_BYTES), begin(&fields_shown, TAIL_BYTES));
        match level {
            "error" | "warn" => tracing::warn!(%plugin, %run, level, %fields, "{message}"),
            "info" => tracing::info!(%plugin, %run, %fields, "{message}"),
            _ => tracing::debug!(%plugin, %run, level, %fields, "{message}"),
        }
        Ok(())
    }
}

/// As `name=value`, one after the other.
fn shown(fields: &[(String, String)]) -> String {
    fields.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
}
