//! A host, put together: the store in the middle, the stages around it, one listener in front.

mod directory;
mod planner;

use std::{future::Future, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context;
use axum::Router;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::{
    api,
    channel::{self, Provider, cm::Cm, meta::Meta, price, smpp, smpp::Smpp, twilio::Twilio},
    clock::Clock,
    config::Config,
    dispatch,
    ids::TenantId,
    ingress, page,
    plugin::{self, Plugins},
    receipt, retention, run,
    shutdown::Shutdown,
    store::{Store, StoreUrl, handover, postgres::PgStore, sqlite::SqliteStore},
};
use directory::PluginDirectory;
use planner::Planner;

/// A host that runs.
pub struct Running {
    pub address: SocketAddr,
    pub store: Arc<dyn Store>,
    pub plugins: Arc<Plugins>,
    tasks: Vec<(&'static str, JoinHandle<()>)>,
    sessions: Sessions,
    server: JoinHandle<std::io::Result<()>>,
    shutdown: Shutdown,
    grace: Duration,
}

/// The sessions with SMSCs: needed for as long as anything is sent, so they end last.
struct Sessions {
    tasks: Vec<JoinHandle<()>>,
    stop: CancellationToken,
}

impl Sessions {
    fn keep(links: Vec<Arc<smpp::Link>>, reports: &Arc<dyn smpp::Reports>) -> Sessions {
        let stop = CancellationToken::new();
        let tasks = links.into_iter().map(|link| tokio::spawn(link.keep(reports.clone(), stop.clone())));
        Sessions { tasks: tasks.collect(), stop }
    }

    async fn end(&mut self) -> anyhow::Result<()> {
        self.stop.cancel();
        for task in &mut self.tasks {
            task.await.context("a session with an SMSC ended badly")?;
        }
        Ok(())
    }
}

/// What is left after the grace period needs no time: it is dropped where it stands. More than this is a disk that hangs.
const CLOSE_MAX: Duration = Duration::from_secs(5);

/// Starts everything, and returns once the listener answers. Cancelling `stop` ends it: [`Running::ended`] waits for that.
pub async fn start(
    config: Config,
    clock: Arc<dyn Clock>,
    listener: TcpListener,
    stop: CancellationToken,
) -> anyhow::Result<Running> {
    start_with_page(config, clock, listener, stop, None).await
}

/// The same, with a page that shows the telephones behind `phones`, a URL.
pub async fn start_with_page(
    config: Config,
    clock: Arc<dyn Clock>,
    listener: TcpListener,
    stop: CancellationToken,
    phones: Option<String>,
) -> anyhow::Result<Running> {
    let address = listener.local_addr()?;
    let config = Config { rules: config.rules.with_hours().map_err(anyhow::Error::msg)?, ..config };
    let (hand, inlets) = handover::handover(config.store.handover_max, config.store.watch_lag_max);
    let store = open_store(&config, &hand, &clock).await?;
    let secret = store.host_secret();
    let plugins = Plugins::start(&config.plugins, config.rules.clone(), secret, store.clone(), clock.clone())
        .await
        .context("the plugins cannot be loaded")?;

    let lateness = Arc::new(run::Lateness::default());
    let run_parts = run::Parts {
        store: store.clone(),
        clock: clock.clone(),
        plugins: plugins.clone(),
        settings: config.run.clone(),
        alerts: run::Alerts::default(),
        lateness: lateness.clone(),
    };
    let (providers, links) = providers(&config)?;
    let dispatching = dispatch::Settings { fallback: config.fallback.clone(), ..config.dispatch.clone() };
    let dispatch_parts = Arc::new(dispatch::Parts {
        store: store.clone(),
        clock: clock.clone(),
        providers,
        prices: prices(&config)?,
        sms: config.sms.clone(),
        rules: config.rules.clone(),
        attempt_timeout: std::time::Duration::from_millis(config.http.timeout_ms),
        circuits: dispatch::Circuits::default(),
        pace: dispatch::Pace::new(&dispatching),
        settings: dispatching,
    });
    let tenants = config.ingress.keys.iter().map(|key| key.tenant.clone());
    let tenants = tenants.chain([config.plugins.tenant.clone(), TenantId::default_tenant()]);
    let quotas = Arc::new(ingress::quota::Quotas::new(&config.ingress, tenants));
    let shutdown = Shutdown::new(stop.clone());
    let sweeping = retention::sweep(config.retention.clone(), store.clone(), clock.clone(), stop.clone());
    let tasks = vec![
        ("retention", tokio::spawn(sweeping)),
        ("plugins", tokio::spawn(plugin::watch(plugins.clone(), stop.clone()))),
        ("quota", tokio::spawn(quotas.clone().count(store.clone(), stop.clone()))),
        ("run", tokio::spawn(run::work(run_parts, inlets.runs, hand.clone(), shutdown.clone()))),
        (
            "dispatch",
            tokio::spawn(dispatch::work(dispatch_parts.clone(), inlets.messages, hand.clone(), shutdown.clone())),
        ),
    ];

    let foresight = Arc::new(Planner { parts: dispatch_parts });
    let receipts = receipts(&config, &store, &clock, &plugins);
    let sessions = Sessions::keep(links, &receipt::over_smpp(receipts.clone()));
    let router = router(&config, &store, &clock, &plugins, &hand, &quotas, &stop, phones, foresight, receipts)?;
    let router = router.layer(axum::Extension(lateness));
    let server = tokio::spawn(ingress::listen::serve(listener, router, config.listen.clone(), shutdown.clone()));
    let grace = Duration::from_secs(config.server.grace_s);
    tracing::info!(%address, store = %config.store.url, "the host is ready");
    Ok(Running { address, store, plugins, tasks, sessions, server, shutdown, grace })
}

async fn open_store(
    config: &Config,
    hand: &handover::Handover,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<Arc<dyn Store>> {
    let settings = config.store.clone();
    Ok(match &config.store.url {
        StoreUrl::Sqlite(path) => Arc::new(SqliteStore::open(path, settings, hand.clone(), clock.now())?),
        StoreUrl::Postgres(url) => Arc::new(PgStore::open(url, settings, hand.clone(), clock.clone()).await?),
    })
}

impl Running {
    /// Returns when everything has ended after a stop, and what was written is on disk. What is still in progress at the end
    /// of the grace period, or when `hurry` comes, is left for the next start.
    pub async fn ended(mut self, hurry: impl Future<Output = ()>) -> anyhow::Result<()> {
        let patience = async {
            self.shutdown.out_of_time(self.grace, hurry).await;
            tokio::time::sleep(CLOSE_MAX).await;
        };
        let drained = tokio::select! {
            drained = drain(&mut self.server, &mut self.tasks, &mut self.sessions) => drained,
            () = patience => {
                tracing::error!("the host does not come to rest; what it has acknowledged is in the store");
                self.tasks.iter().for_each(|(_, task)| task.abort());
                self.sessions.tasks.iter().for_each(JoinHandle::abort);
                Ok(())
            }
        };
        match tokio::time::timeout(CLOSE_MAX, self.store.close()).await {
            Ok(closed) => closed?,
            Err(_) => tracing::error!("the store does not close; look at its disk. What was acknowledged is in it"),
        }
        tracing::info!("the host has stopped; what was not finished is in the store");
        drained
    }
}

async fn drain(
    server: &mut JoinHandle<std::io::Result<()>>,
    tasks: &mut [(&'static str, JoinHandle<()>)],
    sessions: &mut Sessions,
) -> anyhow::Result<()> {
    let served = server.await.context("the listener ended badly");
    for (name, task) in tasks {
        task.await.with_context(|| format!("the {name} stage ended badly"))?;
    }
    sessions.end().await?;
    Ok(served??)
}

#[expect(clippy::too_many_arguments, reason = "everything that the routes are put together from, once")]
fn router(
    config: &Config,
    store: &Arc<dyn Store>,
    clock: &Arc<dyn Clock>,
    plugins: &Arc<Plugins>,
    hand: &handover::Handover,
    quotas: &Arc<ingress::quota::Quotas>,
    stop: &CancellationToken,
    phones: Option<String>,
    foresight: Arc<Planner>,
    receipts: receipt::ReceiptState,
) -> anyhow::Result<Router> {
    let state = ingress::AppState {
        store: store.clone(),
        clock: clock.clone(),
        directory: Arc::new(PluginDirectory { plugins: plugins.clone(), tenant: config.plugins.tenant.clone() }),
        settings: Arc::new(config.ingress.clone()),
        changes: hand.changes.clone(),
        rules: Arc::new(config.rules.clone()),
        counters: Arc::default(),
        quotas: quotas.clone(),
        foresight,
        closing: stop.clone(),
    };
    let page = page::Settings { phones, open: config.ingress.open };
    let all = ingress::router(state.clone())
        .merge(api::router(state))
        .merge(receipt::router(receipts))
        .merge(page::router(page));
    Ok(ingress::problem::with_fallbacks(all))
}

/// What records whatever providers report and customers write, by webhook or over a session.
fn receipts(
    config: &Config,
    store: &Arc<dyn Store>,
    clock: &Arc<dyn Clock>,
    plugins: &Arc<Plugins>,
) -> receipt::ReceiptState {
    let (routes, listeners) = (plugins.clone(), plugins.clone());
    receipt::ReceiptState {
        store: store.clone(),
        clock: clock.clone(),
        tenant: TenantId::default_tenant(),
        accounts: Arc::new(config.accounts.clone()),
        public_url: config.server.public_url.as_deref().map(Arc::from),
        route: Arc::new(move |event| {
            let routing = routes.route(event);
            (routing.runs, routing.notes)
        }),
        listeners: Arc::new(move || listeners.listeners()),
    }
}

/// All accounts, in the order of preference: as the configuration has them, and for SMS CM.com before Twilio before SMPP. And the
/// ways to SMSCs, on which sessions are to be kept.
fn providers(config: &Config) -> anyhow::Result<(Vec<Arc<dyn Provider>>, Vec<Arc<smpp::Link>>)> {
    let client = channel::http_client(&config.http)?;
    let mut providers: Vec<Arc<dyn Provider>> = Vec::new();
    for account in &config.accounts.meta {
        providers.push(Arc::new(Meta::new(account, client.clone())?));
    }
    for account in &config.accounts.cm {
        providers.push(Arc::new(Cm::new(account, client.clone())?));
    }
    for account in &config.accounts.twilio {
        let public_url = config.server.public_url.as_deref().unwrap_or_default();
        providers.push(Arc::new(Twilio::new(account, public_url, client.clone())?));
    }
    let mut links = Vec::new();
    for account in &config.accounts.smpp {
        let smpp = Smpp::new(account, Duration::from_millis(config.http.timeout_ms))?;
        links.push(smpp.link());
        providers.push(Arc::new(smpp));
    }
    Ok((providers, links))
}

fn prices(config: &Config) -> anyhow::Result<price::Table> {
    match &config.prices.file {
        None => Ok(price::Table::built_in()),
        Some(path) => {
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("cannot read the prices in {}", path.display()))?;
            price::Table::built_in().with(&text).with_context(|| format!("the prices in {}", path.display()))
        }
    }
}
