//! `relais serve`.

use std::{path::PathBuf, sync::Arc};

use anyhow::Context;
use clap::Args;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    clock::{AdjustableClock, Clock, SystemClock, Timestamp},
    config::{ClockKind, ClockSettings, Config},
    host,
    process::{Asked, Signals, log_to_stderr},
};

#[derive(Args)]
pub(super) struct Serve {
    /// The configuration file
    #[arg(long, short, env = "RELAIS_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Serve {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let config = Config::load(self.config.as_deref())?;
        log_to_stderr(&config.log)?;
        for warning in config.warnings() {
            tracing::warn!("{warning}");
        }
        let listener = TcpListener::bind(config.server.listen)
            .await
            .with_context(|| format!("cannot listen on {}; is another host running there?", config.server.listen))?;
        let clock = clock(&config.clock);
        let stop = CancellationToken::new();
        let mut signals = Signals::listen().context("signals cannot be waited for")?;
        let running = tokio::select! {
            running = host::start(config, clock, listener, stop.clone()) => running?,
            () = signals.asked_to_stop() => {
                tracing::info!("stopped before the host was ready");
                return Ok(());
            }
        };
        while signals.next().await == Asked::Reload {
            running.plugins.look_soon();
        }
        // Said once it is so: whoever reads it may count on it.
        stop.cancel();
        tracing::info!("stopping: no new requests; what is in progress has `server.grace-s` to end");
        running.ended(signals.asked_to_stop()).await
    }
}

fn clock(settings: &ClockSettings) -> Arc<dyn Clock> {
    match settings.kind {
        ClockKind::System => Arc::new(SystemClock::new()),
        ClockKind::Adjustable => {
            let start =
                settings.start.as_deref().and_then(Timestamp::parse).unwrap_or_else(|| SystemClock::new().now());
            Arc::new(AdjustableClock::starting_at(start))
        }
    }
}
