//! `relais dev`: a plugin's author and a host, on one machine.
//!
//! The host is the one that `relais serve` starts, with simulated providers and a clock that can be moved; its store outlives each
//! build. A new build is tried by starting the host anew on it, in this process: one that a host would not load, or that does not
//! come into being, leaves the one before it serving.

mod show;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use clap::Args;
use reqwest::Method;
use serde_json::json;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::{
    author::{self, Copied, Sources},
    clock::{AdjustableClock, Clock, SystemClock},
    config::{LogFormat, LogSettings},
    demo::{Place, config, remote::Remote, templates},
    host::{self, Running},
    ids::TenantId,
    plugin::State,
    process::{asked_to_stop, log_to_stderr},
    simulator::{self, Options},
    terminal::say,
};
use show::Shown;

/// How often it is looked whether a file has changed, and what has come of runs.
const LOOK: Duration = Duration::from_millis(300);
/// The customers that there are to begin with, with a telephone each.
const CUSTOMERS: [(&str, &str, &str, bool); 2] =
    [("paul", "en", "+33639981201", true), ("lea", "fr-FR", "+33639981202", false)];

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
        let mut desk = Desk {
            address,
            public,
            phones,
            clock,
            options,
            data: Data(scratch),
            simulator,
            host: None,
            seen,
            last: None,
        };
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
                Ok(package) => desk.reload(package).await?,
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

/// Removed with everything in it at the end.
struct Data(PathBuf);

impl Drop for Data {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::debug!(%error, path = %self.0.display(), "a temporary directory stays where it is");
        }
    }
}

/// Everything that stays while builds come and go.
struct Desk {
    address: SocketAddr,
    public: String,
    phones: String,
    clock: Arc<dyn Clock>,
    options: Options,
    data: Data,
    simulator: JoinHandle<anyhow::Result<()>>,
    host: Option<Host>,
    seen: Sources,
    /// The package that served before the present one.
    last: Option<Copied>,
}

/// A host on one build.
struct Host {
    running: Running,
    stop: CancellationToken,
    package: Copied,
}

impl Desk {
    async fn start_host(&mut self, package: Copied, listener: Option<TcpListener>) -> anyhow::Result<()> {
        let secrets: Vec<_> = package.secrets.iter().map(|secret| (package.name.clone(), secret.clone())).collect();
        let place = Place {
            listen: self.address,
            public: &self.public,
            phones: &self.phones,
            data: &self.data.0,
            plugins: &package.plugins,
            machine_code: &package.cache,
            start: &self.clock.now().rfc3339(),
            secrets: &secrets,
        };
        let config = config(&place, &self.options)?;
        let listener = match listener {
            Some(listener) => listener,
            None => bind(self.address).await?,
        };
        let stop = CancellationToken::new();
        let phones = Some(self.phones.clone());
        let running = host::start_with_page(config, self.clock.clone(), listener, stop.clone(), phones).await?;
        self.host = Some(Host { running, stop, package });
        Ok(())
    }

    async fn stop_host(&mut self) -> anyhow::Result<()> {
        let Some(host) = self.host.take() else { return Ok(()) };
        host.stop.cancel();
        host.running.ended(std::future::pending()).await?;
        self.last = Some(host.package);
        Ok(())
    }

    /// Serves a new build; one that a host refuses gives way to the one before it.
    async fn reload(&mut self, package: Copied) -> anyhow::Result<()> {
        self.stop_host().await?;
        self.start_host(package, None).await?;
        match self.refused() {
            None => {
                self.last = None;
                self.approve().await?;
                say(format_args!("== reloaded: {}", self.serving()));
            }
            Some(reason) => {
                let before = self.last.take();
                self.stop_host().await?;
                say(format_args!("== a host would not load it: {reason}"));
                if let Some(before) = before {
                    self.start_host(before, None).await?;
                    say(format_args!("== the build before it goes on serving: {}", self.serving()));
                }
            }
        }
        Ok(())
    }

    fn refused(&self) -> Option<String> {
        let status = self.host.as_ref()?.running.plugins.status();
        status.into_iter().find_map(|status| match status.state {
            State::Refused { reason } => Some(reason),
            _ => None,
        })
    }

    /// Version and digest of what serves.
    fn serving(&self) -> String {
        let status = self.host.as_ref().and_then(|host| host.running.plugins.status().into_iter().next());
        let words = status.map(|status| {
            let digest = status.digest.unwrap_or_default();
            format!("{} {} ({})", status.name, status.version.unwrap_or_default(), digest.get(..19).unwrap_or(&digest))
        });
        words.unwrap_or_else(|| "nothing".to_owned())
    }

    fn remote(&self) -> anyhow::Result<Remote> {
        Remote::new(self.public.clone(), self.phones.clone())
    }

    async fn approve(&self) -> anyhow::Result<()> {
        match &self.host {
            Some(host) => templates::approve(&self.remote()?, &host.running.plugins).await,
            None => Ok(()),
        }
    }

    /// Customers with telephones, and templates that Meta has approved.
    async fn furnish(&self) -> anyhow::Result<()> {
        let remote = self.remote()?;
        for (id, locale, number, whatsapp) in CUSTOMERS {
            let phone = json!({ "name": id, "locale": locale, "whatsapp": whatsapp, "online": true });
            remote.simulator(Method::PUT, &format!("/phones/{number}"), Some(&phone)).await?;
            let address = |channel: &str| json!({ "channel": channel, "address": number });
            let channels: &[&str] = if whatsapp { &["whatsapp", "sms"] } else { &["sms"] };
            let addresses: Vec<_> = channels.iter().map(|channel| address(channel)).collect();
            let profile = json!({ "name": id, "locale": locale, "timezone": "Europe/Paris", "addresses": addresses });
            remote.host(Method::PUT, &format!("/v1/customers/{id}"), Some(&profile)).await?;
        }
        self.approve().await
    }

    fn welcome(&self, dir: &Path) {
        let status = self.host.as_ref().and_then(|host| host.running.plugins.status().into_iter().next());
        let event_type = status.and_then(|status| status.subscriptions.into_iter().next());
        let event_type = event_type.unwrap_or_else(|| "com.example.something".to_owned());
        if let Some(reason) = self.refused() {
            say(format_args!("== a host would not load it: {reason}"));
        }
        say(format_args!(
            "== serving {}\n   the page: {}/\n   watching {}; Ctrl-C ends it\n\n   Customers: paul (WhatsApp, English), lea (SMS, French). Post an event, or move the clock by the page:\n     \
             relais event send --url {} --type {} --customer paul --data '{{}}'\n",
            self.serving(),
            self.public,
            dir.display(),
            self.public,
            event_type.trim_end_matches(".*")
        ));
    }
}
