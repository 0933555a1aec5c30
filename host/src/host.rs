//! A host, put together: the store in the middle, the stages around it, one listener in front.

mod accounts;
mod directory;
mod gateway;
mod planner;

use std::{future::Future, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context;
use axum::Router;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::{
    api,
    channel::{
        self, Provider, cm::Cm, marks::Marks, meta::Meta, price, smpp, smpp::Smpp, standing::Standing, twilio::Twilio,
    },
    clock::Clock,
    config::Config,
    dispatch,
    ids::TenantId,
    ingress,
    links::{self, Links},
    media, notice, page,
    plugin::{self, Plugins},
    receipt, retention, run,
    shutdown::Shutdown,
    store::{self, Store, StoreUrl, handover, postgres::PgStore, sqlite::SqliteStore},
};
use directory::PluginDirectory;
use planner::Planner;

/// A host that runs.
pub struct Running {
    pub address: SocketAddr,
    pub store: Arc<dyn Store>,
    pub plugins: Arc<Plugins>,
    watch: Arc<accounts::Watch>,
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
    let config = Config { rules: config.rules.with_tables().map_err(anyhow::Error::msg)?, ..config };
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
    let standing = Arc::new(Standing::new(&config.accounts, config.templates.hold));
    let public_url = config.server.public_url.as_deref();
    let lasts = config.links.lasts(config.retention.bodies_days);
    let links = public_url.map(|url| Links::new(url, &secret, lasts));
    let (providers, smscs) = providers(&config, &plugins)?;
    let dispatching = dispatch::Settings { fallback: config.fallback.clone(), ..config.dispatch.clone() };
    let marks = Marks::new(&providers);
    let dispatch_parts = Arc::new(dispatch::Parts {
        store: store.clone(),
        clock: clock.clone(),
        marks: marks.clone(),
        mark_read: config.whatsapp.mark_read,
        providers,
        prices: prices(&config)?,
        sms: channel::sms::Settings { links: links.clone(), ..config.sms.clone() },
        rules: config.rules.clone(),
        attempt_timeout: std::time::Duration::from_millis(config.http.timeout_ms),
        circuits: dispatch::Circuits::default(),
        standing: standing.clone(),
        pace: dispatch::Pace::new(&dispatching),
        settings: dispatching,
    });
    let tenants = config.ingress.keys.iter().map(|key| key.tenant.clone());
    let tenants = tenants.chain([config.plugins.tenant.clone(), TenantId::default_tenant()]);
    let tenants: Vec<TenantId> = tenants.collect();
    let served = links::Served::new(links, &config.links, tenants.clone(), store.clone(), clock.clone());
    let quotas = Arc::new(ingress::quota::Quotas::new(&config.ingress, tenants));
    let desk = notice::Desk::new(&config.endpoints).map_err(anyhow::Error::msg)?;
    let notice_parts = notice::Parts::new(store.clone(), clock.clone(), &desk).map_err(anyhow::Error::msg)?;
    let shutdown = Shutdown::new(stop.clone());
    let media_wake: Arc<tokio::sync::Notify> = Arc::default();
    let files = media::Parts {
        store: store.clone(),
        clock: clock.clone(),
        fetcher: config.media.fetcher(Arc::new(config.accounts.clone()), &config.http)?,
        settings: config.media.clone(),
        wake: media_wake.clone(),
    };
    let sweeping = retention::sweep(config.retention.clone(), store.clone(), clock.clone(), stop.clone());
    let watch = Arc::new(accounts::Watch {
        accounts: config.accounts.clone(),
        standing: standing.clone(),
        plugins: plugins.clone(),
        store: store.clone(),
        clock: clock.clone(),
        http: channel::http_client(&config.http)?,
        tenant: TenantId::default_tenant(),
        fallback: config.fallback.clone(),
        every: Duration::from_secs(config.templates.check_every_s),
    });
    let tasks = vec![
        ("accounts", tokio::spawn(watch.clone().work(stop.clone()))),
        ("retention", tokio::spawn(sweeping)),
        ("media", tokio::spawn(media::work(files, stop.clone()))),
        ("plugins", tokio::spawn(plugin::watch(plugins.clone(), stop.clone()))),
        ("quota", tokio::spawn(quotas.clone().count(store.clone(), stop.clone()))),
        ("run", tokio::spawn(run::work(run_parts, inlets.runs, hand.clone(), shutdown.clone()))),
        (
            "dispatch",
            tokio::spawn(dispatch::work(dispatch_parts.clone(), inlets.messages, hand.clone(), shutdown.clone())),
        ),
        ("endpoints", tokio::spawn(notice::work(Arc::new(notice_parts), hand.notices_due.clone(), shutdown.clone()))),
    ];

    let foresight = Arc::new(Planner { parts: dispatch_parts });
    let receipts = receipts(&config, &store, &clock, &plugins, marks.clone(), &standing, media_wake)?;
    let sessions = Sessions::keep(smscs, &receipt::over_smpp(receipts.clone()));
    let router = router(
        &config, &store, &clock, &plugins, &hand, &quotas, &stop, phones, foresight, marks, &standing, served, receipts,
    );
    let router = router.layer(axum::Extension(lateness)).layer(axum::Extension(desk));
    let server = tokio::spawn(ingress::listen::serve(listener, router, config.listen.clone(), shutdown.clone()));
    let grace = Duration::from_secs(config.server.grace_s);
    tracing::info!(%address, store = %config.store.url, "the host is ready");
    Ok(Running { address, store, plugins, watch, tasks, sessions, server, shutdown, grace })
}

async fn open_store(
    config: &Config,
    hand: &handover::Handover,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<Arc<dyn Store>> {
    let settings = store::Settings { tenant_caps: config.caps.clone(), ..config.store.clone() };
    Ok(match &config.store.url {
        StoreUrl::Sqlite(path) => Arc::new(SqliteStore::open(path, settings, hand.clone(), clock.now())?),
        StoreUrl::Postgres(url) => Arc::new(PgStore::open(url, settings, hand.clone(), clock.clone()).await?),
    })
}

impl Running {
    /// Reads the accounts' templates now: for whoever has just had some approved.
    pub async fn read_templates(&self) {
        self.watch.read_templates().await;
    }

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
    marks: Marks,
    standing: &Arc<Standing>,
    served: links::Served,
    receipts: receipt::ReceiptState,
) -> Router {
    let state = ingress::AppState {
        store: store.clone(),
        clock: clock.clone(),
        directory: Arc::new(PluginDirectory {
            plugins: plugins.clone(),
            tenant: config.plugins.tenant.clone(),
            standing: standing.clone(),
            fallback: config.fallback.clone(),
        }),
        settings: Arc::new(config.ingress.clone()),
        changes: hand.changes.clone(),
        rules: Arc::new(config.rules.clone()),
        counters: Arc::default(),
        quotas: quotas.clone(),
        foresight,
        marks,
        closing: stop.clone(),
    };
    let page = page::Settings { phones, open: config.ingress.open };
    let all = ingress::router(state.clone())
        .merge(api::router(state))
        .merge(receipt::router(receipts))
        .merge(links::router(served))
        .merge(page::router(page));
    ingress::problem::with_fallbacks(all)
}

/// What records whatever providers report and customers write, by webhook or over a session.
fn receipts(
    config: &Config,
    store: &Arc<dyn Store>,
    clock: &Arc<dyn Clock>,
    plugins: &Arc<Plugins>,
    marks: Marks,
    standing: &Arc<Standing>,
    media: Arc<tokio::sync::Notify>,
) -> anyhow::Result<receipt::ReceiptState> {
    let (routes, listeners) = (plugins.clone(), plugins.clone());
    Ok(receipt::ReceiptState {
        store: store.clone(),
        clock: clock.clone(),
        tenant: TenantId::default_tenant(),
        accounts: Arc::new(config.accounts.clone()),
        keywords: config.rules.keywords.clone(),
        standing: standing.clone(),
        prices: Arc::new(prices(config)?),
        public_url: config.server.public_url.as_deref().map(Arc::from),
        marks,
        mark_read: config.whatsapp.mark_read,
        free_entry_answer: Duration::from_hours(u64::from(config.whatsapp.free_entry_answer_hours)),
        route: Arc::new(move |event| {
            let routing = routes.route(event);
            (routing.runs, routing.notes)
        }),
        gateways: Arc::new(gateway::Reader { plugins: plugins.clone() }),
        listeners: Arc::new(move || listeners.listeners()),
        media,
    })
}

/// Every account that something can be sent with.
type Accounts = Vec<Arc<dyn Provider>>;

/// All accounts, in the order of preference: as the configuration has them, and for SMS CM.com before Twilio before SMPP. And the
/// ways to SMSCs, on which sessions are to be kept.
fn providers(config: &Config, plugins: &Arc<Plugins>) -> anyhow::Result<(Accounts, Vec<Arc<smpp::Link>>)> {
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
    for account in &config.accounts.plugin {
        providers.push(Arc::new(gateway::Gateway::new(account, plugins.clone())));
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
