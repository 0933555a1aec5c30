//! `relais plugin check`: what the host would say of a package, before anybody installs it.
//!
//! One report: what it needs of the contract and of the machine, against what is offered and allowed ([`component`]); what it may;
//! what an update asks for that the version before did not ([`update`]). Nothing of the plugin is executed here.

mod component;
mod show;
mod update;

use std::path::Path;

use serde::Serialize;

use super::{
    budget::Budget,
    cache::Cache,
    capability::Capabilities,
    engine,
    manifest::{CONTRACT, Permissions},
    registry::{self, Plugin},
    settings::Settings,
};
pub use component::{Imports, Needs};
pub use update::Update;

/// What was found out about a package or a component.
#[derive(Clone, Debug, Serialize)]
pub struct CheckReport {
    /// What was checked, as it was named.
    pub path: String,
    /// Why it would be refused; nothing where it would be loaded.
    pub errors: Vec<String>,
    pub warnings: Vec<String>,
    /// Worth knowing, and nothing to be done about.
    pub notes: Vec<String>,
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
    pub imports: Imports,
    pub permissions_asked: Option<Permissions>,
    pub permissions_effective: Option<Permissions>,
    pub limits: Option<Budget>,
    pub needs: Option<Needs>,
    pub compile_ms: Option<u64>,
    /// What changes for whoever has an older version.
    pub update: Option<Update>,
    /// What the scenarios beside it came to, where they were played.
    pub scenarios: Vec<Scenario>,
}

/// A scenario beside the package, and whether the plugin did what it says.
#[derive(Clone, Debug, Serialize)]
pub struct Scenario {
    pub name: String,
    pub file: String,
    pub passed: bool,
}

/// Checks a package's directory, or a component's file alone; against an older version where there is one.
pub async fn check(path: &Path, against: Option<&Path>, settings: &Settings) -> CheckReport {
    let (given, older, settings) = (path.to_owned(), against.map(Path::to_owned), settings.clone());
    let checked = tokio::task::spawn_blocking(move || {
        let mut report = look(&given, &settings);
        if let Some(older) = older.filter(|_| given.is_dir()) {
            match Update::between(&older, &given) {
                Ok(update) => report.update = Some(update),
                Err(error) => report.errors.push(error),
            }
        }
        report
    })
    .await;
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
        Ok(plugin) => {
            let wasm = std::fs::read(path.join(&plugin.manifest.component)).unwrap_or_default();
            report.fill(&plugin, &wasm);
        }
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
            notes: Vec::new(),
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
            imports: Imports::default(),
            permissions_asked: None,
            permissions_effective: None,
            limits: None,
            needs: None,
            compile_ms: None,
            update: None,
            scenarios: Vec::new(),
        }
    }

    /// Whether the host would load it, and it does what its scenarios say.
    pub fn passed(&self) -> bool {
        self.loads() && self.scenarios.iter().all(|scenario| scenario.passed)
    }

    /// Whether the host would load it.
    pub fn loads(&self) -> bool {
        self.errors.is_empty()
    }

    fn fill(&mut self, plugin: &Plugin, wasm: &[u8]) {
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
        self.needs = Some(Needs::of(plugin.pre.component(), wasm, &plugin.budget));
        let unused = |handler: &str| match handler {
            "on-event" => plugin.manifest.subscriptions.is_empty(),
            "on-timer" => !plugin.manifest.on_timer,
            "on-delivery" => plugin.manifest.on_delivery.is_none(),
            _ => plugin.manifest.on_message.is_none(),
        };
        let unused: Vec<&str> = self.handlers.iter().copied().filter(|handler| unused(handler)).collect();
        if !unused.is_empty() {
            // The SDKs export all of them.
            self.notes.push(format!("what plugin.toml does not ask for is never called: {}", unused.join(", ")));
        }
        for import in &plugin.trapping {
            self.warnings.push(format!("it imports {import}, which is not offered: calling it would end the run"));
        }
        self.withheld(&plugin.capabilities);
    }

    /// What is asked for and not granted, with the lines that grant it.
    fn withheld(&mut self, may: &Capabilities) {
        let lines = update::withheld(&may.asked, &may.effective);
        if !lines.is_empty() {
            let name = &may.plugin;
            let lines = lines.join("\n");
            self.warnings.push(format!(
                "it asks for more than it is granted; in the host's configuration this would grant it:\n[plugins.grants.{name}]\n{lines}"
            ));
        }
    }

    fn describe(&mut self, wasm: &[u8], engine: &wasmtime::Engine, settings: &Settings) -> Result<(), String> {
        self.size_bytes = Some(wasm.len());
        let compiled =
            Cache::open(settings).load(engine, wasm).map_err(|error| format!("it does not compile: {error}"))?;
        self.compile_ms = Some(compiled.compile_ms);
        self.component(&compiled.component, engine);
        self.needs = Some(Needs::of(&compiled.component, wasm, &settings.limits.default));
        let other = self.contract_needed.iter().find(|needed| *needed != CONTRACT);
        match other {
            Some(needed) => Err(format!(
                "the component needs `{needed}`, and this host offers {CONTRACT}; build it against that, or run a host that offers the other"
            )),
            None if self.contract_needed.is_empty() => Err(format!("the component exports no handler of {CONTRACT}")),
            None => Ok(()),
        }
    }

    fn component(&mut self, component: &wasmtime::component::Component, engine: &wasmtime::Engine) {
        let ty = component.component_type();
        let exports: Vec<String> = ty.exports(engine).map(|(name, _)| name.to_owned()).collect();
        let imports: Vec<String> = ty.imports(engine).map(|(name, _)| name.to_owned()).collect();
        let contract = |name: &String| {
            let (interface, version) = name.split_once('@')?;
            let package = interface.split_once('/')?.0;
            (package == "relais:plugin").then(|| format!("{package}@{version}"))
        };
        let needed = imports.iter().chain(&exports).filter_map(contract);
        self.contract_needed = needed.collect::<std::collections::BTreeSet<_>>().into_iter().collect();
        if self.handlers.is_empty() {
            self.handlers = component::handlers(&exports);
        }
        self.imports = Imports::of(imports);
    }
}
