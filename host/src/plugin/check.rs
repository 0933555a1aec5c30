//! `relais plugin check`: what the host would say of a package, before anybody installs it.

use std::{fmt, path::Path};

use serde::Serialize;

use super::{
    budget::Budget,
    cache::Cache,
    engine,
    manifest::{CONTRACT, Permissions},
    registry::{self, Plugin},
    settings::Settings,
};

/// What was found out about a package or a component.
#[derive(Clone, Debug, Serialize)]
pub struct CheckReport {
    /// What was checked, as it was named.
    pub path: String,
    /// Why it would be refused; nothing where it would be loaded.
    pub errors: Vec<String>,
    pub warnings: Vec<String>,
    pub name: Option<String>,
    pub version: Option<String>,
    pub digest: Option<String>,
    pub package_digest: Option<String>,
    pub signed_by: Option<String>,
    pub pinned: bool,
    pub size_bytes: Option<usize>,
    pub contract_offered: &'static str,
    /// The contracts that the component imports or exports.
    pub contract_needed: Vec<String>,
    pub handlers: Vec<&'static str>,
    pub imports: Vec<String>,
    pub permissions_asked: Option<Permissions>,
    pub permissions_effective: Option<Permissions>,
    pub limits: Option<Budget>,
    pub memories: Option<u32>,
    pub memory_bytes_at_start: Option<u64>,
    pub tables: Option<u32>,
    pub table_elements_at_start: Option<u64>,
    pub compile_ms: Option<u64>,
}

/// Checks a package's directory, or a component's file alone.
pub async fn check(path: &Path, settings: &Settings) -> CheckReport {
    let (given, settings) = (path.to_owned(), settings.clone());
    let checked = tokio::task::spawn_blocking(move || look(&given, &settings)).await;
    checked.unwrap_or_else(|error| {
        let mut report = CheckReport::new(path);
        report.errors.push(format!("the check itself gave up: {error}"));
        report
    })
}

fn look(path: &Path, settings: &Settings) -> CheckReport {
    let mut report = CheckReport::new(path);
    // Nothing runs in here, so the pool would be for nothing; and what is compiled is compiled anew, to say what it costs.
    let settings = Settings { cache_dir: None, concurrency: 1, ..settings.clone() };
    let looked = match std::fs::metadata(path) {
        Err(error) => Err(format!("{}: {error}", path.display())),
        Ok(meta) if meta.is_dir() => directory(path, &settings, &mut report),
        Ok(_) => file(path, &settings, &mut report),
    };
    if let Err(error) = looked {
        report.errors.push(error);
    }
    report
}

fn directory(path: &Path, settings: &Settings, report: &mut CheckReport) -> Result<(), String> {
    // `.` has no name of its own, and the name has to be the plugin's.
    let path = std::fs::canonicalize(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let built = engine::build(settings).map_err(|error| format!("{error:#}"))?;
    let linker = registry::linker(&built.engine).map_err(|error| format!("{error:#}"))?;
    let loaded = registry::load(&path, &built.engine, &linker, &Cache::open(settings), settings);
    match loaded {
        Ok(plugin) => report.fill(&plugin),
        Err(error) => {
            // What the component looks like helps to understand why it was refused.
            if let Ok(package) = super::package::Package::read(&path, settings) {
                report.name = Some(package.manifest.name.to_string());
                report.version = Some(package.manifest.version.clone());
                let _ = report.describe(&package.wasm, &built.engine, settings);
            }
            return Err(error.to_string());
        }
    }
    Ok(())
}

fn file(path: &Path, settings: &Settings, report: &mut CheckReport) -> Result<(), String> {
    let trouble = |error: std::io::Error| format!("{}: {error}", path.display());
    let size = std::fs::metadata(path).map_err(trouble)?.len();
    if size > settings.limits.package_bytes.0 {
        return Err(format!(
            "it has {size} bytes; plugins.limits.package-bytes allows {}",
            settings.limits.package_bytes.0
        ));
    }
    let wasm = std::fs::read(path).map_err(trouble)?;
    if wasmtime::Engine::detect_precompiled(&wasm).is_some() {
        return Err("it holds machine code that was compiled elsewhere; a package brings WebAssembly".to_owned());
    }
    let built = engine::build(settings).map_err(|error| format!("{error:#}"))?;
    report.describe(&wasm, &built.engine, settings)?;
    report.warnings.push("without a plugin.toml beside it only the component was looked at".to_owned());
    Ok(())
}

impl CheckReport {
    fn new(path: &Path) -> CheckReport {
        CheckReport {
            path: path.display().to_string(),
            errors: Vec::new(),
            warnings: Vec::new(),
            name: None,
            version: None,
            digest: None,
            package_digest: None,
            signed_by: None,
            pinned: false,
            size_bytes: None,
            contract_offered: CONTRACT,
            contract_needed: Vec::new(),
            handlers: Vec::new(),
            imports: Vec::new(),
            permissions_asked: None,
            permissions_effective: None,
            limits: None,
            memories: None,
            memory_bytes_at_start: None,
            tables: None,
            table_elements_at_start: None,
            compile_ms: None,
        }
    }

    /// Whether the host would load it.
    pub fn passed(&self) -> bool {
        self.errors.is_empty()
    }

    fn fill(&mut self, plugin: &Plugin) {
        let status = plugin.status();
        self.name = Some(status.name);
        self.version = status.version;
        self.digest = status.digest;
        self.package_digest = status.package_digest;
        self.signed_by = status.signed_by;
        self.pinned = status.pinned;
        self.warnings.extend(plugin.verdict.remarks.iter().cloned());
        self.size_bytes = Some(status.size_bytes);
        self.handlers = status.handlers;
        self.permissions_asked = status.asked;
        self.permissions_effective = status.effective;
        self.limits = status.limits;
        self.compile_ms = Some(status.compile_ms);
        self.component(plugin.pre.component(), plugin.pre.component().engine());
        let unused = |handler: &str| match handler {
            "on-event" => plugin.manifest.subscriptions.is_empty(),
            "on-timer" => !plugin.manifest.on_timer,
            "on-delivery" => plugin.manifest.on_delivery.is_none(),
            _ => plugin.manifest.on_message.is_none(),
        };
        for handler in self.handlers.iter().filter(|handler| unused(handler)) {
            self.warnings.push(format!("it exports {handler}, which plugin.toml does not ask for: it is never called"));
        }
        for import in &plugin.trapping {
            self.warnings.push(format!("it imports {import}, which is not offered: calling it would end the run"));
        }
    }

    fn describe(&mut self, wasm: &[u8], engine: &wasmtime::Engine, settings: &Settings) -> Result<(), String> {
        self.size_bytes = Some(wasm.len());
        let compiled =
            Cache::open(settings).load(engine, wasm).map_err(|error| format!("it does not compile: {error}"))?;
        self.compile_ms = Some(compiled.compile_ms);
        self.component(&compiled.component, engine);
        let other = self.contract_needed.iter().find(|needed| *needed != CONTRACT);
        match other {
            Some(needed) => Err(format!("the component needs `{needed}`, and this host offers {CONTRACT}")),
            None if self.contract_needed.is_empty() => Err(format!("the component exports no handler of {CONTRACT}")),
            None => Ok(()),
        }
    }

    fn component(&mut self, component: &wasmtime::component::Component, engine: &wasmtime::Engine) {
        let ty = component.component_type();
        let exports: Vec<String> = ty.exports(engine).map(|(name, _)| name.to_owned()).collect();
        self.imports = ty.imports(engine).map(|(name, _)| name.to_owned()).collect();
        let contract = |name: &String| {
            let (interface, version) = name.split_once('@')?;
            let package = interface.split_once('/')?.0;
            (package == "relais:plugin").then(|| format!("{package}@{version}"))
        };
        let needed = self.imports.iter().chain(&exports).filter_map(contract);
        self.contract_needed = needed.collect::<std::collections::BTreeSet<_>>().into_iter().collect();
        if let Some(needed) = component.resources_required() {
            self.memories = Some(needed.num_memories);
            self.memory_bytes_at_start = needed.max_initial_memory_size.map(|pages| pages.saturating_mul(64 << 10));
            self.tables = Some(needed.num_tables);
            self.table_elements_at_start = needed.max_initial_table_size;
        }
    }
}

impl fmt::Display for CheckReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.passed() { "would be loaded" } else { "would be refused" };
        let name = self.name.as_deref().unwrap_or(&self.path);
        writeln!(f, "{name} {} {verdict}", self.version.as_deref().unwrap_or_default())?;
        for error in &self.errors {
            writeln!(f, "  error: {error}")?;
        }
        for warning in &self.warnings {
            writeln!(f, "  warning: {warning}")?;
        }
        let mut line = |what: &str, value: Option<String>| match value.filter(|value| !value.is_empty()) {
            Some(value) => writeln!(f, "  {what:<12}{value}"),
            None => Ok(()),
        };
        line("digest", self.digest.clone())?;
        line("package", self.package_digest.clone())?;
        line("signed by", self.signed_by.clone())?;
        line("pinned", self.pinned.then(|| "yes".to_owned()))?;
        line("size", self.size_bytes.map(|bytes| format!("{bytes} bytes")))?;
        line("compiling", self.compile_ms.map(|ms| format!("{ms} ms")))?;
        line(
            "contract",
            Some(format!("needs {}; offered is {}", self.contract_needed.join(", "), self.contract_offered)),
        )?;
        line("handlers", Some(self.handlers.join(", ")))?;
        line(
            "memory",
            self.memory_bytes_at_start.map(|bytes| format!("begins with {}", super::units::show_size(bytes))),
        )?;
        line("limits", json(&self.limits))?;
        line("asks for", json(&self.permissions_asked))?;
        line("is granted", json(&self.permissions_effective))?;
        line("imports", Some(self.imports.join(", ")))
    }
}

fn json(value: &Option<impl Serialize>) -> Option<String> {
    serde_json::to_string(value.as_ref()?).ok()
}
