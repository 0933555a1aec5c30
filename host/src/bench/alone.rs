//! A run alone: store, instance, call, teardown, over and over, without a commit.

use std::{path::Path, sync::Arc};

use anyhow::Context;

use super::figures::Cpu;
use crate::{
    clock::{Clock, SystemClock, Timestamp},
    domain::{
        event::Event,
        run::{EntitySnapshot, QueuedRun},
    },
    ids::{CustomerId, EventId, PluginName, TenantId},
    plugin::{self, Plugins, Work},
    rules,
    store::{Settings, Store, handover, sqlite::SqliteStore},
};

/// A plugin that uses little: it reads one entry of its state, looks at the event and writes one.
const PLUGIN: &str = "last-in-cart";

/// Executes `runs` runs in all, `threads` at a time. How many a second, and the CPU of each in microseconds.
pub(super) async fn runs(data: &Path, plugins: &Path, runs: u32, threads: u32) -> anyhow::Result<(f64, f64)> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let (hand, _inlets) = handover::handover(1, 1);
    let file = data.join(format!("alone-{threads}.db"));
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&file, Settings::default(), hand, clock.now())?);
    let settings = plugin::Settings {
        dir: plugins.to_owned(),
        cache_dir: Some(data.join("machine-code")),
        ..plugin::Settings::default()
    };
    let rules = rules::allowed::Settings::default();
    let loaded = Plugins::start(&settings, rules, [7; 32], store.clone(), clock.clone()).await?;
    loaded
        .get(&PluginName::from(PLUGIN))
        .with_context(|| format!("there is no plugin `{PLUGIN}` in {}", plugins.display()))?;
    let work = work(&loaded, clock.now())?;
    // Once for the pages that are touched first.
    one_thread(&loaded, &work, runs / 10).await?;
    let before = Cpu::of(std::process::id())?;
    let began = std::time::Instant::now();
    let tasks = (0..threads).map(|_| {
        let (loaded, work) = (loaded.clone(), work.clone());
        tokio::spawn(async move { one_thread(&loaded, &work, runs / threads).await })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await??;
    }
    let took = began.elapsed();
    let cpu = Cpu::of(std::process::id())?.since(before);
    store.close().await?;
    let count = f64::from(runs / threads * threads);
    Ok((count / took.as_secs_f64(), (cpu.user + cpu.system).as_secs_f64() * 1e6 / count))
}

async fn one_thread(plugins: &Plugins, work: &(QueuedRun, Timestamp), times: u32) -> anyhow::Result<()> {
    let make = |_| Work { run: work.0.clone(), snapshot: Arc::new(EntitySnapshot::default()), now: work.1, seed: None };
    plugins.bench_runs(make, times).await?;
    Ok(())
}

fn work(plugins: &Plugins, now: Timestamp) -> anyhow::Result<(QueuedRun, Timestamp)> {
    let tenant = TenantId::default_tenant();
    let event = Arc::new(Event {
        id: EventId::of(&tenant, "/bench", "1"),
        tenant,
        source_id: "1".to_owned(),
        source: "/bench".to_owned(),
        event_type: "com.example.cart.item-added".to_owned(),
        subject: None,
        time: now,
        received: now,
        customer: Some(CustomerId::from("c1")),
        data: r#"{"sku":"SHOE-42","product":"Trail shoe 42"}"#.into(),
        attributes: Vec::new(),
        cause: None,
    });
    let run = plugins.route(&event).runs.into_iter().find(|run| run.key.plugin.as_str() == PLUGIN);
    let run = run.with_context(|| format!("`{PLUGIN}` does not subscribe to `{}`", event.event_type))?;
    Ok((QueuedRun { seq: 1, attempts: 0, not_before: now, accepted: now, run }, now))
}
