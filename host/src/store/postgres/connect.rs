//! Connections: where to, as whom, and how long a dead one is believed in.

use std::time::Duration;

use deadpool_postgres::{ClientWrapper, Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime, Timeouts};
use futures_util::StreamExt;
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio_postgres::{AsyncMessage, Client, Config};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{
    Shared,
    error::{Outcome, Trouble},
    settings::Settings,
};

/// How a server lists our connections.
const APPLICATION: &str = "relais";

pub(super) fn config(url: &str, settings: &Settings) -> Outcome<Config> {
    let mut config: Config = url.parse().map_err(Trouble::Sql)?;
    if let Some(password) = &settings.password {
        config.password(password.reveal());
    }
    let limit = settings.statement_timeout_ms;
    config
        .application_name(APPLICATION)
        .connect_timeout(Duration::from_millis(settings.connect_timeout_ms))
        // A server that vanished without a word is noticed, and locks of a host that did so are let go.
        .keepalives_idle(Duration::from_secs(10))
        .keepalives_interval(Duration::from_secs(5))
        .keepalives_retries(3)
        .tcp_user_timeout(Duration::from_millis(limit))
        .options(format!(
            "-c statement_timeout={limit} -c idle_in_transaction_session_timeout={limit} -c synchronous_commit=on \
             -c default_transaction_isolation=read\\ committed -c plan_cache_mode=force_generic_plan"
        ));
    Ok(config)
}

pub(super) fn pool(config: Config, settings: &Settings) -> Outcome<Pool> {
    let manager_config = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    let manager = Manager::from_config(config, tls()?, manager_config);
    let wait = Some(Duration::from_millis(settings.connect_timeout_ms));
    Pool::builder(manager)
        .max_size(settings.connections.max(1))
        .timeouts(Timeouts { wait, create: wait, recycle: wait })
        .runtime(Runtime::Tokio1)
        .build()
        .map_err(|error| Trouble::Pool(error.to_string()))
}

/// TLS where the URL asks for it (`?sslmode=require`) and the server offers it; the machine's own roots are believed.
fn tls() -> Outcome<MakeRustlsConnect> {
    let mut roots = rustls::RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Trouble::Pool(format!("TLS cannot be set up: {error}")))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

/// A connection of the pool.
pub(super) async fn reader(pool: &Pool) -> Outcome<Object> {
    pool.get().await.map_err(pool_trouble)
}

/// A connection that is nobody else's.
pub(super) async fn writer(shared: &Shared) -> Outcome<ClientWrapper> {
    Ok(Object::take(reader(&shared.pool).await?))
}

fn pool_trouble(error: deadpool_postgres::PoolError) -> Trouble {
    match error {
        deadpool_postgres::PoolError::Backend(error) => Trouble::Sql(error),
        deadpool_postgres::PoolError::Timeout(_) => Trouble::Pool(
            "no connection could be had in time: all are in use, or the server does not answer".to_owned(),
        ),
        other => Trouble::Pool(other.to_string()),
    }
}

/// A connection that hears what is notified: its payloads come until it is lost.
pub(super) async fn listener(shared: &Shared) -> Outcome<(Client, mpsc::Receiver<String>)> {
    /// Hints that may wait to be looked at; more are missed, as hints may be.
    const WAITING_MAX: usize = 1024;
    let (client, mut connection) = shared.config.connect(tls()?).await?;
    let (sender, notices) = mpsc::channel(WAITING_MAX);
    tokio::spawn(async move {
        let mut messages = futures_util::stream::poll_fn(move |context| connection.poll_message(context));
        while let Some(message) = messages.next().await {
            match message {
                Ok(AsyncMessage::Notification(notice)) => {
                    if let Err(TrySendError::Closed(_)) = sender.try_send(notice.payload().to_owned()) {
                        return;
                    }
                }
                Ok(_) => {}
                // Whoever listens finds the end of the channel, and connects anew.
                Err(error) => return tracing::debug!(%error, "the connection that listens was lost"),
            }
        }
    });
    Ok((client, notices))
}
