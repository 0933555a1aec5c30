//! The plugins that are loaded, and which events each of them is run for.
//!
//! A package goes in, a plugin comes out that only has to be instantiated: compiled, linked, its imports and exports checked.
//! What is wrong with one package is its own affair; the reason stands in its status and the others serve.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use wasmtime::{
    Engine,
    component::{Component, HasSelf, InstancePre, Linker},
};

use super::{
    bindings::{self, gateway, on_delivery, on_event, on_message, on_timer},
    budget::Budget,
    cache::{Cache, Compiled},
    calls::RunState,
    capability::Capabilities,
    http::{Door, HttpSettings, Networks, Outside},
    limiter::LimitReached,
    long::{Habit, LongRuns},
    manifest::{self, CONTRACT, Manifest},
    package::{self, Asset, Package},
    settings::{LimitSettings, Settings},
    shadow::Shadow,
    slot::Slot,
    status::{PluginStatus, State},
    subscription::{Match, Pattern, Subject},
    trigger::TriggerSpec,
    trust::{self, Verdict},
    units::Bytes,
};
use crate::{
    domain::{
        event::Event,
        run::{Cause, EntityKey, NewRun},
    },
    ids::{Entity, PluginName, RunId},
    rules,
    secret::Secret,
    store::Store,
};

/// Why a plugin cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error(transparent)]
    Package(#[from] package::Error),
    #[error(transparent)]
    Manifest(#[from] manifest::Error),
    #[error(transparent)]
    Trust(#[from] trust::Error),
    #[error("the component does not compile: {0}")]
    Compile(String),
    #[error("the component needs `{needed}`, and this host offers {CONTRACT}; build it against that version")]
    Contract { needed: String },
    #[error("the component imports `{0}`, and a channel has only `relais:plugin/run` and `relais:plugin/http`")]
    ForPlugins(String),
    #[error("the component imports `{0}`, which no host offers a plugin")]
    Import(String),
    #[error("the component does not fit the contract {CONTRACT}: {0}")]
    Link(String),
    #[error("plugin.toml has {table}, but the component does not export `{interface}`")]
    Export { table: &'static str, interface: &'static str },
    #[error("(host's configuration) plugins.grants.{plugin}.networks: {problem}")]
    Networks { plugin: PluginName, problem: String },
    #[error("the component needs {0}")]
    Resources(String),
}

/// What all runs of a host share.
pub(super) struct Shared {
    pub engine: Engine,
    pub store: Arc<dyn Store>,
    pub rules: rules::allowed::Settings,
    pub limits: LimitSettings,
    pub http: HttpSettings,
    pub long: LongRuns,
    pub host_secret: [u8; 32],
}

/// A plugin ready to run.
pub struct Plugin {
    pub manifest: Manifest,
    pub digest: String,
    /// What is known of its origin.
    pub verdict: Verdict,
    pub capabilities: Capabilities,
    pub budget: Budget,
    pub config: Arc<str>,
    pub assets: BTreeMap<String, Asset>,
    /// The secrets that the host was given for it, by name.
    pub secrets: BTreeMap<String, Secret>,
    /// The way out for its requests; none where none is granted.
    pub(super) door: Option<Arc<dyn Outside>>,
    /// Shared by the versions of a plugin.
    pub counters: Arc<Counters>,
    pub(super) pre: InstancePre<RunState>,
    pub(super) handlers: Handlers,
    pub(super) size_bytes: usize,
    compile_ms: u64,
    cached: bool,
    /// Imports that trap when they are called: parts of WASI that this host does not have.
    pub(super) trapping: Vec<String>,
}

/// The handlers that the component exports.
pub(super) struct Handlers {
    pub on_event: Option<on_event::GuestIndices>,
    pub on_timer: Option<on_timer::GuestIndices>,
    pub on_delivery: Option<on_delivery::GuestIndices>,
    pub on_message: Option<on_message::GuestIndices>,
    /// Of `relais:channel`.
    pub gateway: Option<gateway::GuestIndices>,
}

/// Executions since the host started.
#[derive(Debug, Default)]
pub struct Counters {
    pub runs: AtomicU64,
    pub faults: AtomicU64,
    pub limits: AtomicU64,
    /// Whether its runs are usually long.
    pub(super) habit: Habit,
}

impl Plugin {
    pub fn name(&self) -> &PluginName {
        &self.manifest.name
    }

    pub(super) fn status(&self) -> PluginStatus {
        let manifest = &self.manifest;
        let patterns = manifest.subscriptions.iter().flat_map(|subscription| &subscription.types);
        PluginStatus {
            name: manifest.name.to_string(),
            version: Some(manifest.version.clone()),
            title: manifest.title.clone(),
            digest: Some(format!("sha256:{}", self.digest)),
            package_digest: Some(self.verdict.package_digest.clone()),
            signed_by: self.verdict.signed_by.clone(),
            pinned: self.verdict.pinned,
            state: State::Loaded,
            paused: None,
            update: None,
            shadow: None,
            handlers: self.handlers.names(),
            subscriptions: patterns.map(ToString::to_string).collect(),
            triggers: manifest.triggers.iter().map(|trigger| trigger.name.clone()).collect(),
            asked: Some(self.capabilities.asked.clone()),
            effective: Some(self.capabilities.effective.clone()),
            limits: Some(self.budget),
            size_bytes: self.size_bytes,
            compile_ms: self.compile_ms,
            cached: self.cached,
            runs: self.counters.runs.load(Ordering::Relaxed),
            faults: self.counters.faults.load(Ordering::Relaxed),
            limits_reached: self.counters.limits.load(Ordering::Relaxed),
        }
    }
}

impl Handlers {
    fn of(pre: &InstancePre<RunState>) -> Handlers {
        // An error here says that there is no such export, which is what is being asked.
        Handlers {
            on_event: on_event::GuestIndices::new(pre).ok(),
            on_timer: on_timer::GuestIndices::new(pre).ok(),
            on_delivery: on_delivery::GuestIndices::new(pre).ok(),
            on_message: on_message::GuestIndices::new(pre).ok(),
            gateway: gateway::GuestIndices::new(pre).ok(),
        }
    }

    pub(super) fn names(&self) -> Vec<&'static str> {
        let all = [
            ("on-event", self.on_event.is_some()),
            ("on-timer", self.on_timer.is_some()),
            ("on-delivery", self.on_delivery.is_some()),
            ("on-message", self.on_message.is_some()),
            ("gateway", self.gateway.is_some()),
        ];
        all.into_iter().filter(|(_, there)| *there).map(|(name, _)| name).collect()
    }

    fn check(&self, manifest: &Manifest) -> Result<(), Error> {
        let wanted = [
            ("[[on-event]]", "relais:plugin/on-event", !manifest.subscriptions.is_empty(), self.on_event.is_some()),
            ("[on-timer]", "relais:plugin/on-timer", manifest.on_timer, self.on_timer.is_some()),
            ("[on-delivery]", "relais:plugin/on-delivery", manifest.on_delivery.is_some(), self.on_delivery.is_some()),
            ("[on-message]", "relais:plugin/on-message", manifest.on_message.is_some(), self.on_message.is_some()),
            ("[channel]", "relais:channel/gateway", manifest.channel.is_some(), self.gateway.is_some()),
        ];
        match wanted.into_iter().find(|(.., asked, there)| *asked && !there) {
            Some((table, interface, ..)) => Err(Error::Export { table, interface }),
            None => Ok(()),
        }
    }
}

/// The linker with everything that a plugin may import. Built once; nothing is looked up in it per run.
pub(super) fn linker(engine: &Engine) -> wasmtime::Result<Linker<RunState>> {
    use wasmtime_wasi::p2::bindings::random::{insecure, insecure_seed, random};
    type Own = HasSelf<RunState>;
    let mut linker = Linker::<RunState>::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    // Chance comes from the run, so that the same run sees the same.
    linker.allow_shadowing(true);
    random::add_to_linker::<_, Own>(&mut linker, |run| run)?;
    insecure::add_to_linker::<_, Own>(&mut linker, |run| run)?;
    insecure_seed::add_to_linker::<_, Own>(&mut linker, |run| run)?;
    linker.allow_shadowing(false);
    bindings::Plugin::add_to_linker::<_, Own>(&mut linker, |run| run)?;
    Ok(linker)
}

/// Reads, checks, compiles and links one package. Blocks for as long as compiling takes.
pub(super) fn load(
    dir: &Path,
    engine: &Engine,
    linker: &Linker<RunState>,
    cache: &Cache,
    settings: &Settings,
) -> Result<Plugin, Error> {
    let package = Package::read(dir, settings)?;
    let verdict = trust::judge(&package, settings)?;
    let capabilities = Capabilities::of(&package.manifest, settings)?;
    let Compiled { component, cached, compile_ms } =
        compile(engine, cache, &package.wasm, settings, &package.manifest.name)?;
    let trapping = check_imports(engine, &component, package.manifest.channel.is_some())?;
    let budget = settings.limits.budget(&package.manifest.name, &package.manifest.wishes);
    check_resources(&component, &budget, &package.manifest.name)?;
    let pre = link(linker, &component, !trapping.is_empty())?;
    let handlers = Handlers::of(&pre);
    handlers.check(&package.manifest)?;
    // Otherwise the first run would pay for it.
    component.initialize_copy_on_write_image().map_err(|error| Error::Compile(format!("{error:#}")))?;
    let door = door(&capabilities, settings)?;
    Ok(Plugin {
        size_bytes: package.wasm.len(),
        secrets: settings.secrets.get(&package.manifest.name).cloned().unwrap_or_default(),
        door,
        manifest: package.manifest,
        digest: package.digest,
        verdict,
        config: package.config,
        assets: package.assets,
        counters: Arc::default(),
        capabilities,
        budget,
        pre,
        handlers,
        compile_ms,
        cached,
        trapping,
    })
}

fn door(capabilities: &Capabilities, settings: &Settings) -> Result<Option<Arc<dyn Outside>>, Error> {
    let plugin = &capabilities.plugin;
    let Some(grant) = settings.grants.get(plugin).filter(|_| !capabilities.effective.http.is_empty()) else {
        return Ok(None);
    };
    let networks =
        Networks::parse(&grant.networks).map_err(|problem| Error::Networks { plugin: plugin.clone(), problem })?;
    let door = Door::new(plugin, networks, &settings.http).map_err(Error::Resources)?;
    Ok(Some(Arc::new(door)))
}

fn compile(
    engine: &Engine,
    cache: &Cache,
    wasm: &[u8],
    settings: &Settings,
    plugin: &PluginName,
) -> Result<Compiled, Error> {
    cache.load(engine, wasm).map_err(|error| {
        let words = error.to_string();
        match LimitReached::at_load(&words, &settings.limits.ceiling, plugin.as_str()) {
            Some(too_much) => Error::Resources(too_much),
            None => Error::Compile(words),
        }
    })
}

/// Only the contract's and WASI's imports, in a version that is offered. Gives back those of WASI that are not there.
/// A channel has the run and requests, and nothing of customers, messages or state.
fn check_imports(engine: &Engine, component: &Component, channel: bool) -> Result<Vec<String>, Error> {
    let mut unknown = Vec::new();
    for (name, _) in component.component_type().imports(engine) {
        let (interface, version) = name.split_once('@').unwrap_or((name, ""));
        let (package, item) = interface.split_once('/').unwrap_or((interface, ""));
        match package {
            "relais:plugin" if channel && !matches!(item, "types" | "run" | "http") => {
                return Err(Error::ForPlugins(name.to_owned()));
            }
            "relais:plugin" if manifest::offered(&format!("{package}@{version}")) => {}
            "relais:plugin" => return Err(Error::Contract { needed: format!("{package}@{version}") }),
            "wasi:cli" | "wasi:io" | "wasi:clocks" | "wasi:random" | "wasi:filesystem" | "wasi:sockets"
                if version.starts_with("0.2.") => {}
            _ if package.starts_with("wasi:") => unknown.push(name.to_owned()),
            _ => return Err(Error::Import(name.to_owned())),
        }
    }
    Ok(unknown)
}

/// What it has from the beginning, before any of it is mapped. Of a component that brings parts of its own to be chosen among
/// only its run will show.
fn check_resources(component: &Component, budget: &Budget, plugin: &PluginName) -> Result<(), Error> {
    let Some(needed) = component.resources_required() else { return Ok(()) };
    // In pages of 64 KiB.
    let bytes = needed.max_initial_memory_size.unwrap_or(0).saturating_mul(64 << 10);
    let elements = needed.max_initial_table_size.unwrap_or(0);
    let (memories, tables) = (u64::from(needed.num_memories), u64::from(needed.num_tables));
    let too_much = |what: String, reached: LimitReached| Err(Error::Resources(reached.needed(&what, plugin.as_str())));
    if bytes > budget.memory.0 {
        return too_much(
            format!("{} of memory to begin with", Bytes(bytes)),
            LimitReached::wished("memory", budget.memory),
        );
    }
    if memories > u64::from(budget.memories) {
        return too_much(format!("{memories} memories"), LimitReached::wished("memories", budget.memories));
    }
    if tables > u64::from(budget.tables) {
        return too_much(format!("{tables} tables"), LimitReached::wished("tables", budget.tables));
    }
    if elements > u64::from(budget.table_elements) {
        let reached = LimitReached::wished("table-elements", budget.table_elements);
        return too_much(format!("{elements} elements in a table to begin with"), reached);
    }
    Ok(())
}

fn link(linker: &Linker<RunState>, component: &Component, unknown_wasi: bool) -> Result<InstancePre<RunState>, Error> {
    let linked = if unknown_wasi {
        // Toolchains import parts of WASI that nobody calls; those that this host does not have trap when they are called.
        let mut trapping = linker.clone();
        trapping.define_unknown_imports_as_traps(component).and_then(|()| trapping.instantiate_pre(component))
    } else {
        linker.instantiate_pre(component)
    };
    linked.map_err(|error| Error::Link(format!("{error:#}")))
}

/// The plugins of a host at a moment, with an index from event types to subscriptions. It never changes; another takes its place.
#[derive(Default)]
pub(super) struct Registry {
    /// Counts the snapshots of a host.
    pub generation: u64,
    slots: BTreeMap<String, Slot>,
    shadows: BTreeMap<PluginName, Arc<Shadow>>,
    pub plugins: BTreeMap<PluginName, Arc<Plugin>>,
    pub triggers: BTreeMap<(String, String), Arc<TriggerSpec>>,
    exact: HashMap<String, Vec<Reference>>,
    prefixes: Vec<(String, Reference)>,
}

#[derive(Clone)]
struct Reference {
    plugin: Arc<Plugin>,
    subscription: usize,
}

/// What an event sets off.
#[derive(Debug, Default)]
pub struct Routing {
    pub runs: Vec<NewRun>,
    /// Why a subscription that matched by type does not apply.
    pub notes: Vec<String>,
}

impl Registry {
    pub(super) fn of(slots: BTreeMap<String, Slot>, generation: u64, settings: &Settings) -> Registry {
        let mut registry = Registry { generation, ..Registry::default() };
        slots.values().filter_map(|slot| slot.serving.clone()).for_each(|plugin| registry.add(plugin, settings));
        let shadows = slots.values().filter_map(|slot| match (&slot.serving, &slot.shadow) {
            (Some(plugin), Some(Ok(shadow))) => Some((plugin.name().clone(), shadow.clone())),
            _ => None,
        });
        registry.shadows = shadows.collect();
        registry.slots = slots;
        registry
    }

    /// By the name of its directory, which is the plugin's where one serves.
    pub(super) fn slot(&self, name: &str) -> Option<&Slot> {
        self.slots.get(name)
    }

    pub(super) fn shadow(&self, plugin: &PluginName) -> Option<Arc<Shadow>> {
        self.shadows.get(plugin).cloned()
    }

    pub(super) fn slots(&self) -> impl Iterator<Item = (&String, &Slot)> {
        self.slots.iter()
    }

    fn add(&mut self, plugin: Arc<Plugin>, settings: &Settings) {
        for (no, subscription) in plugin.manifest.subscriptions.iter().enumerate() {
            for pattern in &subscription.types {
                let reference = Reference { plugin: plugin.clone(), subscription: no };
                match pattern {
                    Pattern::Exact(name) => self.exact.entry(name.clone()).or_default().push(reference),
                    Pattern::Prefix(prefix) => self.prefixes.push((prefix.clone(), reference)),
                }
            }
        }
        let secrets = settings.secrets.get(plugin.name());
        for trigger in &plugin.manifest.triggers {
            let secret = trigger.secret_name().and_then(|name| secrets?.get(name)).cloned();
            let spec = TriggerSpec { plugin: plugin.name().clone(), trigger: trigger.clone(), secret };
            self.triggers.insert((plugin.name().to_string(), trigger.name.clone()), Arc::new(spec));
        }
        self.plugins.insert(plugin.name().clone(), plugin);
    }

    /// Which runs an event sets off. Its data is read as JSON at most once, for all of them.
    pub(super) fn route(&self, event: &Arc<Event>) -> Routing {
        let mut routing = Routing::default();
        let subject = Subject::new(event);
        let mut done: Vec<(&PluginName, usize)> = Vec::new();
        let exact = self.exact.get(&event.event_type).into_iter().flatten();
        let prefixed = self.prefixes.iter().filter(|(prefix, _)| event.event_type.starts_with(prefix.as_str()));
        for Reference { plugin, subscription: no } in exact.chain(prefixed.map(|(_, reference)| reference)) {
            // One subscription may name the type twice, exactly and by prefix.
            if done.contains(&(plugin.name(), *no)) {
                continue;
            }
            done.push((plugin.name(), *no));
            let Some(subscription) = plugin.manifest.subscriptions.get(*no) else { continue };
            match subject.meets(subscription) {
                Match::No => {}
                Match::Unfit(why) => routing.notes.push(format!("{}, on-event {}: {why}", plugin.name(), no + 1)),
                Match::Run { entity, customer } => routing.runs.push(NewRun {
                    id: RunId::of_event(event.id, plugin.name(), *no),
                    key: EntityKey {
                        tenant: event.tenant.clone(),
                        plugin: plugin.name().clone(),
                        entity: Entity::new(entity),
                    },
                    customer,
                    cause: Cause::Event(event.clone()),
                    hold_up: plugin.manifest.retry.hold_up,
                }),
            }
        }
        routing
    }
}
