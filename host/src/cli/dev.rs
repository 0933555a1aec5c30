//! `relais dev`: a plugin's author and a host, on one machine.
//!
//! The host is the one that `relais serve` starts, with simulated providers and a clock that can be moved. A new build is put into
//! its directory of plugins and taken up while it runs, as on any host: one that a host would not load, or that does not come into
//! being, leaves the one before it serving.

mod desk;
mod show;

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context as _;
use clap::Args;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    author::{self, Copied, Sources},
    clock::{AdjustableClock, Clock, SystemClock},
    config::{LogFormat, LogSettings},
    ids::TenantId,
    process::{asked_to_stop, log_to_stderr},
    simulator::{self, Options},
    terminal::say,
};
use desk::{Data, Desk};
use show::Shown;

/// How often it is looked whether a file has changed, and what has come of runs.
const LOOK: Duration = Duration::from_millis(300);

#[derive(Args)]
pub(super) struct Dev {
    /// The plugin's directory
    #[arg(default_value = ".")]
    dir: PathBuf,
    /// Where the host and its page listen; the simulated providers listen on a free port beside it
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Somebody else builds the component: reload it when it changes
    #[arg(long)]
    no_build: bool,
    /// Log of the host on standard error: error, warn, info, debug
    #[arg(long, default_value = "warn", value_name = "LEVEL")]
    log: String,
}

impl Dev {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        log_to_stderr(&LogSettings { level: self.log.clone(), format: LogFormat::Text })?;
        let stop = CancellationToken::new();
        let mut desk = tokio::select! {
            desk = self.begin(&stop) => desk?,
            () = asked_to_stop() => return Ok(()),
        };
        let watched = tokio::select! {
            watched = self.watch(&mut desk) => watched,
            () = asked_to_stop() => Ok(()),
        };
        desk.stop_host().await?;
        stop.cancel();
        desk.simulator.await.context("the simulated providers ended badly")??;
        watched
    }

    /// Waits for a first build that works, and starts everything around it.
    async fn begin(&self, stop: &CancellationToken) -> anyhow::Result<Desk> {
        let mut seen = Sources::of(&self.dir, self.no_build);
        let package = loop {
            match self.build().await {
                Ok(package) => break package,
                Err(error) => say(format_args!("\n== it does not build\n{error:#}\n   waiting for a change …")),
            }
            seen = self.changed(&seen).await;
        };
        let scratch = std::env::temp_dir().join(format!("relais-dev-{}", std::process::id()));
        std::fs::create_dir_all(&scratch).with_context(|| scratch.display().to_string())?;
        let clock: Arc<dyn Clock> = Arc::new(AdjustableClock::starting_at(SystemClock::new().now()));
        let providers = TcpListener::bind(SocketAddr::new(self.listen.ip(), 0)).await?;
        let phones = format!("http://{}", providers.local_addr()?);
        let listener = bind(self.listen).await?;
        let address = listener.local_addr()?;
        let public = format!("http://{address}");
        let options =
            Options { clock: clock.clone(), webhook_base: Some(format!("{public}/v1/webhooks")), ..Options::default() };
        let simulator = tokio::spawn(simulator::serve(providers, options.clone(), stop.clone().cancelled_owned()));
        let mut desk =
            Desk { address, public, phones, clock, options, data: Data(scratch), simulator, host: None, seen };
        desk.start_host(package, Some(listener)).await?;
        desk.furnish().await?;
        desk.welcome(&self.dir);
        Ok(desk)
    }

    /// Builds and reloads at each change, and shows what runs do meanwhile.
    async fn watch(&self, desk: &mut Desk) -> anyhow::Result<()> {
        let mut shown = Shown::default();
        loop {
            tokio::time::sleep(LOOK).await;
            if let Some(host) = &desk.host {
                shown.tell(&*host.running.store, &TenantId::default_tenant()).await?;
            }
            let now = Sources::of(&self.dir, self.no_build);
            let Some(path) = now.changed_since(&desk.seen) else { continue };
            say(format_args!("\n== {} has changed", path.display()));
            // An editor writes several files, and some of them twice.
            tokio::time::sleep(LOOK).await;
            desk.seen = Sources::of(&self.dir, self.no_build);
            match self.build().await {
                Ok(package) => Box::pin(desk.take(package)).await?,
                Err(error) => say(format_args!("== it does not build; the build before it goes on serving\n{error:#}")),
            }
        }
    }

    async fn changed(&self, before: &Sources) -> Sources {
        loop {
            tokio::time::sleep(LOOK).await;
            let now = Sources::of(&self.dir, self.no_build);
            if now.changed_since(before).is_some() {
                return now;
            }
        }
    }

    async fn build(&self) -> anyhow::Result<Copied> {
        let (dir, no_build) = (self.dir.clone(), self.no_build);
        // The tools take as long as they take, and write to this terminal themselves.
        let built = tokio::task::spawn_blocking(move || {
            if !no_build {
                let built = author::build(&dir, None)?;
                say(format_args!("== built {} ({} bytes, {})", built.name, built.bytes, built.digest));
            }
            Copied::of(&dir)
        });
        built.await.context("the build gave up")?
    }
}

async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}; is another host running? --listen names another place"))
}
