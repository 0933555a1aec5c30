//! A host with packages made on the spot.

use std::{
    fs,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use super::store::OneCustomer;
use crate::{
    clock::{SystemClock, Timestamp},
    domain::{
        event::Event,
        run::{Cause, EntityKey, EntitySnapshot, NewRun, QueuedRun},
    },
    ids::{EventId, RunId, TenantId},
    plugin::{Execution, Plugins, Settings, Work},
    rules,
};

/// A directory of packages that is gone when the test has ended.
pub(in crate::plugin) struct World {
    pub root: PathBuf,
    pub settings: Settings,
    pub broken_store: bool,
}

impl World {
    pub(in crate::plugin) fn new() -> World {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let no = NEXT.fetch_add(1, Ordering::Relaxed);
        let root = std::env::temp_dir().join(format!("relais-plugins-{}-{no}", std::process::id()));
        fs::create_dir_all(root.join("plugins")).unwrap();
        let settings = Settings { dir: root.join("plugins"), concurrency: 4, ..Settings::default() };
        World { root, settings, broken_store: false }
    }

    /// Puts one of `tests/hostile` into a package, with lines added to its manifest.
    pub(in crate::plugin) fn install(&self, name: &str, more: &str) {
        let dir = self.settings.dir.join(name);
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join(format!("{name}.wasm")), wasm(name)).unwrap();
        fs::write(dir.join("plugin.toml"), manifest(name, more)).unwrap();
    }

    pub(in crate::plugin) async fn start(&self) -> Arc<Plugins> {
        let store = Arc::new(OneCustomer { broken: self.broken_store });
        let rules = rules::allowed::Settings::default();
        Plugins::start(&self.settings, rules, [7; 32], store, Arc::new(SystemClock::new())).await.unwrap()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.root);
    }
}

pub(in crate::plugin) fn manifest(name: &str, more: &str) -> String {
    format!(
        "manifest = 1\n[plugin]\nname = \"{name}\"\nversion = \"1.0.0\"\nworld = \"relais:plugin@1.0.0\"\n\
         component = \"{name}.wasm\"\n[[on-event]]\ntypes = [\"com.example.*\"]\n{more}\n"
    )
}

/// Wraps a core module of `tests/hostile` into a component.
pub(in crate::plugin) fn wasm(name: &str) -> Vec<u8> {
    super::component::component(name)
}

pub(in crate::plugin) fn work(plugin: &str, no: u32) -> Work {
    let tenant = TenantId::default_tenant();
    let event = Arc::new(Event {
        id: EventId::of(&tenant, "/shop", &no.to_string()),
        tenant: tenant.clone(),
        source_id: no.to_string(),
        source: "/shop".into(),
        event_type: "com.example.order.ready".into(),
        subject: None,
        time: Timestamp(1_760_000_000_000),
        received: Timestamp(1_760_000_000_000),
        customer: Some("4711".into()),
        data: r#"{"order":"4821","shop":"Chez Zoé"}"#.into(),
        attributes: vec![],
        cause: None,
    });
    let run = NewRun {
        id: RunId::of_event(event.id, &plugin.into(), 0),
        key: EntityKey { tenant, plugin: plugin.into(), entity: "customer/4711".into() },
        customer: Some("4711".into()),
        cause: Cause::Event(event),
        hold_up: true,
    };
    let run = QueuedRun { seq: 1, attempts: 0, not_before: Timestamp(0), accepted: Timestamp(0), run };
    Work { run, snapshot: Arc::new(EntitySnapshot::default()), now: Timestamp(1_760_000_000_000) }
}

pub(super) async fn run(name: &str, more: &str) -> Execution {
    let world = World::new();
    world.install(name, more);
    let plugins = world.start().await;
    assert!(plugins.get(&name.into()).is_some(), "{:?}", plugins.status());
    plugins.execute(work(name, 1)).await
}
