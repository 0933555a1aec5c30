//! `relais demo`: everything on one machine, and a customer's day played on it.
//!
//! Starts a host on SQLite, the simulated providers with their phones, and the page; then plays the day's file through the
//! public endpoint. The host is the host that `relais serve` starts, configured by the same settings: its clock is an
//! adjustable one, and the day moves it, so that a reminder that is two hours away comes at once. Nothing leaves the machine.

mod day;
mod expect;
mod play;
pub(crate) mod remote;
mod table;
pub(crate) mod templates;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context;
use clap::Args;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    clock::{AdjustableClock, Clock, Timestamp},
    config::{self, Config, LogFormat, LogSettings},
    host,
    plugin::State,
    process::{asked_to_stop, log_to_stderr},
    simulator::{self, Options},
    terminal::{Failure, say},
};
use day::Day;

#[derive(Args)]
pub struct Demo {
    /// Where the host and its page listen; the simulated providers listen on a free port beside it
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// The directory of plugin packages
    #[arg(long, default_value = "plugins", value_name = "DIR")]
    plugins: PathBuf,
    /// Where the store and the compiled plugins are kept; a new temporary directory where absent, and then the compiled
    /// plugins stay in ~/.cache/relais for the next time
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Another day to play
    #[arg(long, value_name = "FILE")]
    day: Option<PathBuf>,
    /// End after the day, with 0 only if every story ended as its file says
    #[arg(long)]
    exit: bool,
    /// Leave this many seconds between stories, to watch the page
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    pause: u64,
    /// Log of the host on standard error: error, warn, info, debug
    #[arg(long, default_value = "warn", value_name = "LEVEL")]
    log: String,
}

impl Demo {
    pub async fn run(self) -> Result<(), Failure> {
        log_to_stderr(&LogSettings { level: self.log.clone(), format: LogFormat::Text })?;
        let day = self.day()?;
        let data = self.data()?;
        let ended_well = Box::pin(self.play(day, &data.path)).await?;
        if ended_well { Ok(()) } else { Err(Failure::Silent) }
    }

    fn day(&self) -> anyhow::Result<Day> {
        let (text, place) = match &self.day {
            None => (day::DAY.to_owned(), "the compiled-in day".to_owned()),
            Some(path) => {
                let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
                (text, path.display().to_string())
            }
        };
        toml::from_str(&text).with_context(|| format!("{place} is no demo day"))
    }

    fn data(&self) -> anyhow::Result<Data> {
        let (path, temporary) = match &self.data {
            Some(path) => (path.clone(), false),
            None => (std::env::temp_dir().join(format!("relais-demo-{}", std::process::id())), true),
        };
        std::fs::create_dir_all(&path).with_context(|| format!("cannot make the directory {}", path.display()))?;
        Ok(Data { path, temporary })
    }

    /// Where machine code is kept: with the data where they stay, and else where the next demo finds it. It is executed, so the
    /// place is one that nobody else can write to.
    fn machine_code(&self, data: &Path) -> PathBuf {
        let directory = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let own = directory("XDG_CACHE_HOME").or_else(|| Some(directory("HOME")?.join(".cache")));
        match own {
            Some(own) if self.data.is_none() => own.join("relais/machine-code"),
            _ => data.join("machine-code"),
        }
    }

    async fn play(&self, day: Day, data: &Path) -> anyhow::Result<bool> {
        let start =
            Timestamp::parse(&day.start).with_context(|| format!("the day's start `{}` is no time", day.start))?;
        let clock: Arc<dyn Clock> = Arc::new(AdjustableClock::starting_at(start));
        let stop = CancellationToken::new();

        let providers = TcpListener::bind(SocketAddr::new(self.listen.ip(), 0)).await?;
        let phones = format!("http://{}", providers.local_addr()?);
        let listener = TcpListener::bind(self.listen).await.with_context(|| {
            format!("cannot listen on {}; is another host running? --listen names another place", self.listen)
        })?;
        let public = format!("http://{}", listener.local_addr()?);

        let options =
            Options { clock: clock.clone(), webhook_base: Some(format!("{public}/v1/webhooks")), ..Options::default() };
        let place = Place {
            listen: self.listen,
            public: &public,
            phones: &phones,
            data,
            plugins: &self.plugins,
            machine_code: &self.machine_code(data),
            start: &day.start,
            secrets: &[("order-ready".to_owned(), "till-webhook".to_owned())],
        };
        let config = config(&place, &options)?;
        let simulator = tokio::spawn(simulator::serve(providers, options, stop.clone().cancelled_owned()));
        say(format_args!("{}\n\n  compiling the plugins (once; the machine code is kept with the data) …", day.title));
        let running = host::start_with_page(config, clock, listener, stop.clone(), Some(phones.clone())).await?;
        say(format_args!("  the page: {public}/\n"));

        let remote = remote::Remote::new(public.clone(), phones)?;
        templates::approve(&remote, &running.plugins).await?;
        running.read_templates().await;
        let status = running.plugins.status().into_iter();
        let loaded = status.filter(|plugin| plugin.state == State::Loaded).map(|plugin| plugin.name);
        let mut player = play::Player::new(day, remote, loaded.collect(), self.pause);
        let ended_well = tokio::select! {
            played = player.play() => played?,
            _ = asked_to_stop() => false,
        };
        if !self.exit {
            say(format_args!(
                "\nThe page is at {public}/ until Ctrl-C. Write as a customer there, or send an event:\n  \
                relais event send --type com.example.order.ready --customer paul --data '{{\"order\":\"5001\",\"shop\":\"Boulangerie du Marché\"}}'"
            ));
            asked_to_stop().await;
        }
        stop.cancel();
        running.ended(asked_to_stop()).await?;
        simulator.await.context("the simulated providers ended badly")??;
        Ok(ended_well)
    }
}

/// Where a host is that plays with simulated providers, and what it goes by.
pub(crate) struct Place<'a> {
    pub listen: SocketAddr,
    /// URLs of the host and of the simulated providers.
    pub public: &'a str,
    pub phones: &'a str,
    pub data: &'a Path,
    pub plugins: &'a Path,
    /// Where compiled code is kept.
    pub machine_code: &'a Path,
    pub start: &'a str,
    /// Plugins and the names of their secrets, each of which gets a value that is known.
    pub secrets: &'a [(String, String)],
}

/// The configuration of such a host: what `relais serve` would read from a file.
pub(crate) fn config(place: &Place<'_>, options: &Options) -> anyhow::Result<Config> {
    let Place { listen, public, phones, data, plugins, machine_code, start, .. } = place;
    let secrets = data.join("secrets");
    std::fs::create_dir_all(&secrets)?;
    let secret = |name: &str, value: &str| -> anyhow::Result<String> {
        let path = secrets.join(name);
        std::fs::write(&path, value)?;
        Ok(format!("{{ file = {} }}", toml::Value::String(path.display().to_string())))
    };
    let quoted = |path: &Path| toml::Value::String(path.display().to_string());
    let text = format!(
        r#"
            [server]
            listen = "{listen}"
            public-url = "{public}"
            [ingress]
            open = true
            adjustable-clock = true
            [clock]
            kind = "adjustable"
            start = "{start}"
            [store]
            url = {store}
            [plugins]
            dir = {plugins}
            cache-dir = {cache}
            [[accounts.meta]]
            base-url = "{phones}"
            phone-number-id = "{phone_number_id}"
            waba-id = "{waba_id}"
            access-token = {access_token}
            app-secrets = [{app_secret}]
            verify-token = {verify_token}
            [[accounts.cm]]
            base-url = "{phones}"
            sender = "Relais"
            product-token = {product_token}
            webhook-secrets = [{webhook_secret}]
            "#,
        store = toml::Value::String(format!("sqlite:{}", data.join("relais.db").display())),
        plugins = quoted(plugins),
        cache = quoted(machine_code),
        phone_number_id = options.meta.phone_number_id,
        waba_id = options.meta.waba_id,
        access_token = secret("meta-access-token", &options.meta.access_token)?,
        app_secret = secret("meta-app-secret", &options.meta.app_secret)?,
        verify_token = secret("meta-verify-token", &options.meta.verify_token)?,
        product_token = secret("cm-product-token", &options.cm.product_token)?,
        webhook_secret = secret("cm-webhook-secret", &options.cm.webhook_secret)?,
    );
    let mut text = text;
    for (plugin, name) in place.secrets {
        let value = secret(&format!("{plugin}-{name}"), &format!("simulated-{name}-secret"))?;
        text.push_str(&format!("\n[plugins.secrets.{plugin}]\n{} = {value}\n", toml::Value::String(name.clone())));
    }
    Ok(Config::with(config::table(&text)?)?)
}

/// Where the demo keeps its data. What is temporary is removed at the end.
struct Data {
    path: PathBuf,
    temporary: bool,
}

impl Drop for Data {
    fn drop(&mut self) {
        if self.temporary
            && let Err(error) = std::fs::remove_dir_all(&self.path)
        {
            tracing::debug!(%error, path = %self.path.display(), "the demo's data stays where it is");
        }
    }
}
