//! A host without its doors: what a scenario is played on.
//!
//! The stages are the host's own and are driven by hand, one thing after the other, until nothing is left to do: so a step is
//! over when everything that follows from it has happened, and the same scenario always goes the same way.

use std::sync::Arc;

use anyhow::{Context as _, bail};

use super::{http::Services, package::Copied, phones::Phones, witness::Witness};
use crate::{
    author::scratch::Scratch,
    channel::{price, sms},
    clock::{Clock, StandingClock, Timestamp},
    dispatch,
    domain::run::{Flow, QueuedRun, RunFailure},
    ids::{PluginName, TenantId},
    plugin::{self, Grant, Outside, Plugin, Plugins, State},
    rules, run,
    secret::Secret,
    store::{Settings, Store, handover::handover, sqlite::SqliteStore},
};

/// Runs in one step. More than this is a plugin that sets itself off.
const RUNS_MAX: usize = 1000;
/// Rows read at a time; a desk never has as many.
const ROWS: u32 = 1000;
/// Side by side: the same run is never executed beside another.
const CONCURRENCY: usize = 2;

pub(in crate::author) struct Desk {
    pub(in crate::author) store: Arc<SqliteStore>,
    pub(in crate::author) clock: Arc<StandingClock>,
    pub(in crate::author) plugins: Arc<Plugins>,
    pub(in crate::author) plugin: Arc<Plugin>,
    pub(super) witness: Arc<Witness>,
    pub(super) services: Arc<Services>,
    pub(super) phones: Phones,
    pub(in crate::author) tenant: TenantId,
    pub(super) sms: sms::Settings,
    runs: run::Parts,
    messages: dispatch::Parts,
    _scratch: Scratch,
}

impl Desk {
    /// Sets up a desk with one plugin on it, at a time. Its requests go to the desk's services where no other outside is given.
    pub(in crate::author) async fn new(
        package: &Copied,
        settings: &plugin::Settings,
        config: serde_json::Map<String, serde_json::Value>,
        start: Timestamp,
        outside: Option<Arc<dyn Outside>>,
    ) -> anyhow::Result<Desk> {
        let scratch = Scratch::new("desk")?;
        let clock = Arc::new(StandingClock::at(start));
        let (hand, _inlets) = handover(1, 1);
        let path = scratch.path().join("desk.db");
        let store = Arc::new(SqliteStore::open(&path, Settings::default(), hand, start)?);
        let settings = settled(package, settings, config);
        let rules = rules::allowed::Settings::default();
        let secret = store.host_secret();
        let services = Arc::new(Services::default());
        let outside = outside.unwrap_or_else(|| services.clone());
        let (known, time) = (store.clone(), clock.clone());
        let plugins = Plugins::start_before(&settings, rules.clone(), secret, known, time, Some(outside)).await?;
        let name = PluginName::from(package.name.as_str());
        let plugin = match plugins.get(&name) {
            Some(plugin) => plugin,
            None => bail!("a host would not load it: {}", refusal(&plugins)),
        };
        let witness = Arc::new(Witness::new(plugins.clone(), services.clone()));
        let phones = Phones::default();
        let sms = sms::Settings::default();
        let runs = run::Parts {
            store: store.clone(),
            clock: clock.clone(),
            plugins: witness.clone(),
            settings: run::Settings::default(),
            alerts: run::Alerts::default(),
            lateness: Arc::default(),
        };
        let messages = dispatching(store.clone(), clock.clone(), &phones, sms.clone(), rules);
        let tenant = settings.tenant;
        Ok(Desk {
            store,
            clock,
            plugins,
            plugin,
            witness,
            services,
            phones,
            tenant,
            sms,
            runs,
            messages,
            _scratch: scratch,
        })
    }

    pub(in crate::author) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Lets time pass, with whatever falls due on the way in its order.
    pub(in crate::author) async fn advance_to(&self, to: Timestamp) -> anyhow::Result<()> {
        loop {
            self.settle().await?;
            let Some(next) = self.next_due().await?.filter(|next| *next <= to) else { break };
            self.clock.advance_to(next);
        }
        self.clock.advance_to(to);
        self.settle().await
    }

    /// Does everything that is to be done now, and what follows from it.
    pub(in crate::author) async fn settle(&self) -> anyhow::Result<()> {
        for _ in 0..RUNS_MAX {
            let fired = self.store.fire_timers(self.now(), ROWS).await?.runs;
            let executed = self.execute_one().await?;
            let sent = self.send().await?;
            if fired == 0 && !executed && !sent {
                return Ok(());
            }
        }
        bail!("one step makes more than {RUNS_MAX} runs: does the plugin set itself off?")
    }

    /// The earliest time at which there is something to do again.
    async fn next_due(&self) -> anyhow::Result<Option<Timestamp>> {
        let timer = self.store.fire_timers(self.now(), ROWS).await?.next_due;
        let now = self.now();
        let waiting = self.open_runs().await?.into_iter().map(|run| run.not_before).filter(|at| *at > now).min();
        Ok(timer.into_iter().chain(waiting).min())
    }

    async fn open_runs(&self) -> anyhow::Result<Vec<QueuedRun>> {
        let flow = Flow { tenant: self.tenant.clone(), plugin: self.plugin.name().clone() };
        Ok(self.store.open_runs(&flow, 0, ROWS).await?)
    }

    /// The first run whose turn it is: of an entity, nothing before an older one that holds it up.
    async fn execute_one(&self) -> anyhow::Result<bool> {
        let (now, open) = (self.now(), self.open_runs().await?);
        let held_up = |run: &QueuedRun| {
            let older = open.iter().filter(|other| other.seq < run.seq && other.run.key == run.run.key);
            older.into_iter().any(|older| older.run.hold_up)
        };
        let Some(run) = open.iter().find(|run| run.not_before <= now && !held_up(run)).cloned() else {
            return Ok(false);
        };
        run::execute(&self.runs, run).await;
        self.witness.last_failure().map_or(Ok(true), |failure| match failure {
            RunFailure::Host { message } => bail!("the desk itself is in trouble: {message}"),
            _ => Ok(true),
        })
    }

    /// Plans and sends what is to be planned now.
    async fn send(&self) -> anyhow::Result<bool> {
        let open = self.store.open_messages(&self.tenant, 0, ROWS).await?;
        let any = !open.is_empty();
        for record in open {
            dispatch::deliver(&self.messages, record).await;
        }
        Ok(any)
    }

    pub(in crate::author) async fn close(&self) -> anyhow::Result<()> {
        self.store.close().await.context("the desk's store does not close")
    }
}

/// What a host would be configured with, for the package on the desk alone.
fn settled(
    package: &Copied,
    settings: &plugin::Settings,
    config: serde_json::Map<String, serde_json::Value>,
) -> plugin::Settings {
    let mut settings = plugin::Settings {
        dir: package.plugins.clone(),
        cache_dir: Some(package.cache.clone()),
        concurrency: CONCURRENCY,
        ..settings.clone()
    };
    let name = PluginName::from(package.name.as_str());
    settings.config.entry(name.clone()).or_default().extend(config);
    // A desk opens no connection, so what the manifest asks for is granted where no configuration says otherwise.
    if settings.grant_by_default && !package.http.is_empty() {
        let asked = || Grant { http: package.http.clone(), ..Grant::default() };
        settings.grants.entry(name.clone()).or_insert_with(asked);
    }
    // No plugin ever sees the value of a secret, and a scenario sees where it is sent.
    let secrets = settings.secrets.entry(name).or_default();
    for secret in &package.secrets {
        secrets.insert(secret.clone(), Secret::new(format!("secret:{secret}")));
    }
    settings
}

fn refusal(plugins: &Plugins) -> String {
    let refused = plugins.status().into_iter().find_map(|status| match status.state {
        State::Refused { reason } => Some(reason),
        State::Loaded | State::Paused { .. } | State::Held { .. } => None,
    });
    refused.unwrap_or_else(|| "it is not there".to_owned())
}

/// Providers that take everything, and a pace that holds nothing back: time stands.
fn dispatching(
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    phones: &Phones,
    sms: sms::Settings,
    rules: rules::allowed::Settings,
) -> dispatch::Parts {
    let settings = dispatch::Settings {
        whatsapp_per_second: 1_000_000,
        sms_per_second: 1_000_000,
        pair_interval_s: 0,
        ..dispatch::Settings::default()
    };
    dispatch::Parts {
        store,
        clock,
        providers: phones.providers(),
        prices: price::Table::built_in(),
        sms,
        rules,
        attempt_timeout: std::time::Duration::from_secs(20),
        standing: Arc::new(crate::channel::standing::Standing::new(&crate::channel::Accounts::default(), true)),
        circuits: dispatch::Circuits::default(),
        pace: dispatch::Pace::new(&settings),
        settings,
    }
}
