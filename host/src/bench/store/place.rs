//! Where a life is measured: hosts' stores on one database, and whose CPU time it costs.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};

use super::super::figures::Cpu;
use crate::{
    clock::{Clock, SystemClock},
    domain::shard::{SHARDS, Shard},
    store::{
        Settings, Store, StoreUrl,
        handover::{self, Inlets},
        postgres::PgStore,
        sqlite::SqliteStore,
    },
};

/// As long as a lease of a host that was killed, and some.
const SETTLED_MAX: Duration = Duration::from_secs(120);

enum Opened {
    Sqlite(Arc<SqliteStore>),
    Postgres(Arc<PgStore>),
}

pub(super) struct Host {
    opened: Opened,
    pub store: Arc<dyn Store>,
    pub inlets: Inlets,
}

impl Host {
    pub(super) fn transactions(&self) -> u64 {
        match &self.opened {
            Opened::Sqlite(store) => store.transactions(),
            Opened::Postgres(store) => store.transactions(),
        }
    }

    async fn open(url: &StoreUrl, settings: Settings, capacity: usize) -> anyhow::Result<Host> {
        let (hand, inlets) = handover::handover(capacity, 1);
        let clock = Arc::new(SystemClock::new());
        let opened = match url {
            StoreUrl::Sqlite(path) => Opened::Sqlite(Arc::new(SqliteStore::open(path, settings, hand, clock.now())?)),
            StoreUrl::Postgres(url) => Opened::Postgres(Arc::new(PgStore::open(url, settings, hand, clock).await?)),
        };
        let store: Arc<dyn Store> = match &opened {
            Opened::Sqlite(store) => store.clone(),
            Opened::Postgres(store) => store.clone(),
        };
        Ok(Host { opened, store, inlets })
    }
}

/// Fills a database as far as it is not yet.
pub(super) async fn fill(url: &StoreUrl, runs: u64, timers: u64) -> anyhow::Result<()> {
    let host = Host::open(url, Settings::default(), 1).await?;
    if let Opened::Postgres(store) = &host.opened {
        store.fill(runs, timers).await?;
    }
    host.store.close().await?;
    drop(host);
    if let StoreUrl::Sqlite(path) = url {
        SqliteStore::fill(path, runs, timers)?;
    }
    Ok(())
}

/// Opens so many hosts' stores, and waits until each shard is one host's.
pub(super) async fn open(
    url: &StoreUrl,
    settings: &Settings,
    hosts: usize,
    capacity: usize,
) -> anyhow::Result<Vec<Host>> {
    if hosts > 1 && matches!(url, StoreUrl::Sqlite(_)) {
        bail!("a SQLite store has one host: measure --hosts with a postgres:// URL");
    }
    let mut opened = Vec::with_capacity(hosts);
    for _ in 0..hosts {
        opened.push(Host::open(url, settings.clone(), capacity).await?);
    }
    let began = Instant::now();
    while !settled(&opened) {
        if began.elapsed() > SETTLED_MAX {
            bail!("other hosts have shards of this database: stop them, or make a database of its own");
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for host in &mut opened {
        host.inlets.runs.take_missed();
        host.inlets.messages.take_missed();
    }
    Ok(opened)
}

fn settled(hosts: &[Host]) -> bool {
    let owners = |shard| hosts.iter().filter(|host| host.store.owns(Shard(shard))).count();
    (0..SHARDS).all(|shard| owners(shard) == 1)
        && hosts.iter().all(|host| (0..SHARDS).any(|shard| host.store.owns(Shard(shard))))
}

/// Whose CPU time is counted.
pub(super) struct Clocks {
    /// What all processes of the server descend from, where it runs on this machine.
    server: Option<u32>,
}

#[derive(Clone, Copy, Default)]
pub(super) struct Spent {
    pub host: Duration,
    pub server: Duration,
}

impl Spent {
    pub(super) fn since(self, before: Spent) -> Spent {
        Spent { host: self.host.saturating_sub(before.host), server: self.server.saturating_sub(before.server) }
    }
}

impl Clocks {
    pub(super) async fn of(host: &Host) -> anyhow::Result<Clocks> {
        let Opened::Postgres(store) = &host.opened else { return Ok(Clocks { server: None }) };
        let backend = u32::try_from(store.server_process().await?).context("a process has a number above 0")?;
        // A server elsewhere has other numbers, which may be anybody's here.
        let here = command(backend).is_some_and(|command| command.starts_with("postgres"));
        Ok(Clocks { server: if here { parent(backend) } else { None } })
    }

    pub(super) fn knows_the_server(&self) -> bool {
        self.server.is_some()
    }

    pub(super) fn now(&self) -> anyhow::Result<Spent> {
        let host = Cpu::of(std::process::id())?;
        let server = self.server.map(of_children).unwrap_or_default();
        Ok(Spent { host: host.user + host.system, server })
    }
}

/// Of those that live. Cleaning up after what was measured before is not a cost of what is measured now.
fn of_children(server: u32) -> Duration {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let processes = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let children = processes.filter(|process| parent(*process) == Some(server));
    let counted = children.filter(|process| command(*process).is_some_and(|command| !command.contains("autovacuum")));
    counted.filter_map(|process| Cpu::of(process).ok()).map(|cpu| cpu.user + cpu.system).sum()
}

fn parent(process: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(Path::new("/proc").join(process.to_string()).join("stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

fn command(process: u32) -> Option<String> {
    std::fs::read_to_string(Path::new("/proc").join(process.to_string()).join("cmdline")).ok()
}
