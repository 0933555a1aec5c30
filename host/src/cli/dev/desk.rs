//! What stays while builds come and go: a host with its store, the simulated providers, and the clock.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use reqwest::Method;
use serde_json::json;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use super::bind;
use crate::{
    author::{Copied, Sources},
    clock::Clock,
    demo::{Place, config, remote::Remote, templates},
    host::{self, Running},
    plugin::{PluginStatus, Span, State},
    simulator::Options,
    terminal::say,
};

/// The customers that there are to begin with, with a telephone each.
const CUSTOMERS: [(&str, &str, &str, bool); 2] =
    [("paul", "en", "+33639981201", true), ("lea", "fr-FR", "+33639981202", false)];
/// A build is put into the directory whole, so nothing has to come to rest for long.
const SETTLE: Duration = Duration::from_millis(100);

/// Removed with everything in it at the end.
pub(super) struct Data(pub(super) PathBuf);

impl Drop for Data {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::debug!(%error, path = %self.0.display(), "a temporary directory stays where it is");
        }
    }
}

pub(super) struct Desk {
    pub(super) address: SocketAddr,
    pub(super) public: String,
    pub(super) phones: String,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) options: Options,
    pub(super) data: Data,
    pub(super) simulator: JoinHandle<anyhow::Result<()>>,
    pub(super) host: Option<Host>,
    pub(super) seen: Sources,
}

/// A host, and what it was started with.
pub(super) struct Host {
    pub(super) running: Running,
    stop: CancellationToken,
    /// The plugin's name in the directory, which a manifest may change.
    name: String,
    secrets: BTreeSet<(String, String)>,
}

impl Desk {
    pub(super) async fn start_host(&mut self, package: Copied, listener: Option<TcpListener>) -> anyhow::Result<()> {
        let secrets = secrets_of(&package);
        let known: Vec<_> = secrets.iter().cloned().collect();
        let plugins = self.plugins_dir();
        std::fs::create_dir_all(&plugins).with_context(|| plugins.display().to_string())?;
        put(&package, &plugins)?;
        let place = Place {
            listen: self.address,
            public: &self.public,
            phones: &self.phones,
            data: &self.data.0,
            plugins: &plugins,
            machine_code: &package.cache,
            start: &self.clock.now().rfc3339(),
            secrets: &known,
        };
        let mut config = config(&place, &self.options)?;
        config.plugins.settle = Span(SETTLE);
        // Whoever looks for a mistake makes runs fail one after the other, and wants the next one executed.
        config.plugins.pause_after = 0;
        let listener = match listener {
            Some(listener) => listener,
            None => bind(self.address).await?,
        };
        let stop = CancellationToken::new();
        let phones = Some(self.phones.clone());
        let running = host::start_with_page(config, self.clock.clone(), listener, stop.clone(), phones).await?;
        self.host = Some(Host { running, stop, name: package.name, secrets });
        self.accept_permissions().await
    }

    pub(super) async fn stop_host(&mut self) -> anyhow::Result<()> {
        let Some(host) = self.host.take() else { return Ok(()) };
        host.stop.cancel();
        host.running.ended(std::future::pending()).await
    }

    /// Has the running host take up a new build, and says what it makes of it.
    pub(super) async fn take(&mut self, package: Copied) -> anyhow::Result<()> {
        let name = package.name.clone();
        let (secrets, plugins) = (secrets_of(&package), self.plugins_dir());
        match &mut self.host {
            Some(host) if secrets.is_subset(&host.secrets) => {
                put(&package, &plugins)?;
                let before = std::mem::replace(&mut host.name, name.clone());
                if before != name {
                    remove(&plugins.join(before))?;
                }
                host.running.plugins.look_now().await?;
                self.accept_permissions().await?;
            }
            _ => {
                // Secrets are of a host's configuration, which it reads at its start.
                say("== it asks for other secrets than before, so the host starts anew with values for them");
                self.stop_host().await?;
                remove(&plugins)?;
                self.start_host(package, None).await?;
            }
        }
        match self.refused() {
            None => {
                self.approve_templates().await?;
                say(format_args!("== reloaded: {}", self.serving()));
            }
            Some(reason) => {
                say(format_args!("== a host would not load it: {reason}"));
                if self.serves() {
                    say(format_args!("== the build before it goes on serving: {}", self.serving()));
                }
            }
        }
        Ok(())
    }

    /// Permissions that a host would hold for its operator, who is the author here.
    async fn accept_permissions(&self) -> anyhow::Result<()> {
        let (Some(host), Some(status)) = (&self.host, self.status()) else { return Ok(()) };
        let update_held = status.update.is_some_and(|update| update.state == "held");
        if update_held || matches!(status.state, State::Held { .. }) {
            let added = host.running.plugins.approve(&status.name).await?;
            let added = added.into_iter().collect::<Vec<_>>().join(", ");
            say(format_args!(
                "== it asks for more than before, approved here and left to the operator elsewhere: {added}"
            ));
        }
        Ok(())
    }

    fn plugins_dir(&self) -> PathBuf {
        self.data.0.join("plugins")
    }

    fn status(&self) -> Option<PluginStatus> {
        let host = self.host.as_ref()?;
        host.running.plugins.status().into_iter().find(|status| status.name == host.name)
    }

    fn refused(&self) -> Option<String> {
        let status = self.status()?;
        match (status.update, status.state) {
            (Some(update), _) => Some(update.reason),
            (None, State::Refused { reason }) => Some(reason),
            (None, State::Loaded | State::Paused { .. } | State::Held { .. }) => None,
        }
    }

    fn serves(&self) -> bool {
        self.status().is_some_and(|status| !matches!(status.state, State::Refused { .. }))
    }

    /// Version and digest of what serves.
    fn serving(&self) -> String {
        let words = self.status().filter(|_| self.serves()).map(|status| {
            let digest = status.digest.unwrap_or_default();
            format!("{} {} ({})", status.name, status.version.unwrap_or_default(), digest.get(..19).unwrap_or(&digest))
        });
        words.unwrap_or_else(|| "nothing".to_owned())
    }

    fn remote(&self) -> anyhow::Result<Remote> {
        Remote::new(self.public.clone(), self.phones.clone())
    }

    async fn approve_templates(&self) -> anyhow::Result<()> {
        match &self.host {
            Some(host) => {
                templates::approve(&self.remote()?, &host.running.plugins).await?;
                host.running.read_templates().await;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Customers with telephones, and templates that Meta has approved.
    pub(super) async fn furnish(&self) -> anyhow::Result<()> {
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
        self.approve_templates().await
    }

    pub(super) fn welcome(&self, dir: &Path) {
        let event_type = self.status().and_then(|status| status.subscriptions.into_iter().next());
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

fn secrets_of(package: &Copied) -> BTreeSet<(String, String)> {
    package.secrets.iter().map(|secret| (package.name.clone(), secret.clone())).collect()
}

/// Puts a build in the place of the one before. Its directory is made beside and moved, so it is there as a whole or not at all.
fn put(package: &Copied, plugins: &Path) -> anyhow::Result<()> {
    let (made, place) = (package.plugins.join(&package.name), plugins.join(&package.name));
    remove(&place)?;
    std::fs::rename(&made, &place).with_context(|| format!("{} cannot be moved to {}", made.display(), place.display()))
}

fn remove(dir: &Path) -> anyhow::Result<()> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("{} cannot be removed", dir.display()))
        }
        _ => Ok(()),
    }
}
