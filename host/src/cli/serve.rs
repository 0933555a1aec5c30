//! `relais serve`.

use std::{path::PathBuf, sync::Arc};

use anyhow::Context;
use clap::Args;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    clock::{AdjustableClock, Clock, SystemClock, Timestamp},
    config::{ClockKind, ClockSettings, Config, LogFormat, LogSettings},
    host,
};

#[derive(Args)]
pub struct Serve {
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
        let running = host::start(config, clock, listener, stop.clone()).await?;
        asked_to_stop().await;
        tracing::info!("stopping: no new requests; what is running may end");
        stop.cancel();
        running.ended().await
    }
}

fn clock(settings: &ClockSettings) -> Arc<dyn Clock> {
    match settings.kind {
        ClockKind::System => Arc::new(SystemClock),
        ClockKind::Adjustable => {
            let start = settings.start.as_deref().and_then(Timestamp::parse).unwrap_or_else(|| SystemClock.now());
            Arc::new(AdjustableClock::starting_at(start))
        }
    }
}

/// Logs go to standard error; standard output is for answers.
pub fn log_to_stderr(settings: &LogSettings) -> anyhow::Result<()> {
    let filter = tracing_subscriber::EnvFilter::try_new(&settings.level)
        .with_context(|| format!("log.level `{}` is no filter", settings.level))?;
    // Colours are for people who watch, not for files.
    let colours = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(std::io::stderr);
    match settings.format {
        LogFormat::Text => subscriber.with_target(false).init(),
        LogFormat::Json => subscriber.json().init(),
    }
    Ok(())
}

/// Returns on SIGTERM or Ctrl-C.
pub async fn asked_to_stop() {
    let interrupt = tokio::signal::ctrl_c();
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = interrupt => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    // Where no signal can be waited for, the host runs until it is killed, which it survives.
    let _ = interrupt.await;
}
