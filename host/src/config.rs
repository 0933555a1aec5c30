//! Every setting, its default and its check.
//!
//! Read once, in `main`: the defaults compiled in from `config.default.toml`, the operator's file over them, the environment
//! over both. Unknown keys are errors, because a misspelt limit is no limit. Nothing else reads the environment.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use toml::{Table, Value};

use crate::{
    channel::{self, sms},
    clock::Timestamp,
    dispatch,
    domain::quota::TenantCaps,
    ingress, links, media, notice, plugin, retention, rules, run, store,
};

/// The defaults, with a comment for each. What an operator copies from.
pub const DEFAULTS: &str = include_str!("config.default.toml");

/// Environment variables that begin with this and hold a `__` are settings: `RELAIS_SERVER__LISTEN`.
const ENV_PREFIX: &str = "RELAIS_";

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    pub server: Server,
    /// Who may come in and how much they may bring.
    pub ingress: ingress::Settings,
    /// What a connection may do.
    pub listen: ingress::settings::ListenLimits,
    pub store: store::Settings,
    /// How long what stays.
    pub retention: retention::Settings,
    pub clock: ClockSettings,
    pub log: LogSettings,
    pub plugins: plugin::Settings,
    pub run: run::Settings,
    pub rules: rules::allowed::Settings,
    pub sms: sms::Settings,
    /// Files that customers open from an SMS.
    pub links: links::Settings,
    /// Files that customers send.
    pub media: media::Settings,
    pub dispatch: dispatch::Settings,
    /// When SMS follows WhatsApp, and when it does not.
    pub fallback: dispatch::Fallback,
    pub prices: PriceSettings,
    /// Read marks, and what is free on WhatsApp.
    pub whatsapp: channel::marks::WhatsappSettings,
    /// How much a tenant may send and spend.
    pub caps: TenantCaps,
    #[serde(default)]
    pub accounts: channel::Accounts,
    /// Whether what plugins declare is what providers have approved.
    pub templates: channel::TemplateSettings,
    pub http: channel::HttpSettings,
    /// Where tenants' own systems are told what happens.
    pub endpoints: notice::Settings,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Server {
    pub listen: SocketAddr,
    /// How providers and customers reach the host from outside. Webhook signatures are computed over it.
    #[serde(default)]
    pub public_url: Option<String>,
    /// How long what is in progress may take once the host is asked to stop.
    pub grace_s: u64,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ClockSettings {
    pub kind: ClockKind,
    /// Where an adjustable clock begins, RFC 3339; now where absent.
    #[serde(default)]
    pub start: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClockKind {
    System,
    Adjustable,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LogSettings {
    /// `error`, `warn`, `info`, `debug`, `trace`, or a filter such as `relais=debug`.
    pub level: String,
    pub format: LogFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    Text,
    Json,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct PriceSettings {
    /// A file of dated prices; the example prices that are compiled in where absent.
    #[serde(default)]
    pub file: Option<PathBuf>,
}

/// A configuration that cannot be used, with the file and the key at fault.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot read the configuration {path}: {source}")]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("the configuration {place} is not right: {message}")]
    Invalid { place: String, message: String },
}

impl Config {
    /// The defaults, with `file` and the environment over them.
    pub fn load(file: Option<&Path>) -> Result<Config, Error> {
        let environment = std::env::vars().filter_map(|(name, value)| setting(&name).map(|path| (name, path, value)));
        Config::layered(file, environment.collect(), Table::new())
    }

    /// What a configuration says of stores alone, for a command that opens one and serves nobody: what only a host that listens
    /// needs may be missing.
    pub fn load_store(file: Option<&Path>) -> Result<store::Settings, Error> {
        let environment = std::env::vars().filter_map(|(name, value)| setting(&name).map(|path| (name, path, value)));
        Ok(Config::unchecked(file, environment.collect(), Table::new())?.0.store)
    }

    /// The defaults, with `over` over them: for what is started by the program itself.
    pub fn with(over: Table) -> Result<Config, Error> {
        Config::layered(None, Vec::new(), over)
    }

    fn layered(
        file: Option<&Path>,
        environment: Vec<(String, Vec<String>, String)>,
        over: Table,
    ) -> Result<Config, Error> {
        let (config, place) = Config::unchecked(file, environment, over)?;
        config.check().map_err(|message| Error::Invalid { place, message })?;
        Ok(config)
    }

    /// Every key known and of the right kind, and where they are from.
    fn unchecked(
        file: Option<&Path>,
        environment: Vec<(String, Vec<String>, String)>,
        over: Table,
    ) -> Result<(Config, String), Error> {
        let mut table = parse(DEFAULTS, "compiled in")?;
        let mut place = "compiled in".to_owned();
        if let Some(path) = file {
            let text =
                std::fs::read_to_string(path).map_err(|source| Error::Unreadable { path: path.to_owned(), source })?;
            place = format!("in {}", path.display());
            merge(&mut table, parse(&text, &place)?);
        }
        for (name, path, value) in environment {
            merge(&mut table, nested(&path, scalar(&value)));
            place = format!("{place} with {name}");
        }
        merge(&mut table, over);
        let config: Config = Value::Table(table).try_into().map_err(|error: toml::de::Error| Error::Invalid {
            place: place.clone(),
            message: error.to_string().trim().to_owned(),
        })?;
        Ok((config, place))
    }

    /// What no single setting can know.
    fn check(&self) -> Result<(), String> {
        if let Some(start) = &self.clock.start
            && Timestamp::parse(start).is_none()
        {
            return Err(format!("clock.start `{start}` is no RFC 3339 time such as 2026-01-15T07:45:00+01:00"));
        }
        if self.ingress.adjustable_clock && self.clock.kind == ClockKind::System {
            return Err("ingress.adjustable-clock needs clock.kind = \"adjustable\"".to_owned());
        }
        ingress::auth::check(&self.ingress, self.server.listen).map_err(|problem| problem.to_string())?;
        if let Some(url) = &self.server.public_url {
            let parsed =
                url::Url::parse(url).map_err(|error| format!("server.public-url `{url}` is no URL: {error}"))?;
            if parsed.query().is_some() || parsed.fragment().is_some() {
                return Err(format!("server.public-url `{url}` must have no query and no fragment"));
            }
        }
        if self.server.public_url.is_none() && !self.accounts.twilio.is_empty() {
            return Err("server.public-url is missing: Twilio signs the public URL of its webhooks".to_owned());
        }
        self.accounts.check()?;
        self.plugins.limits.check()?;
        self.fallback.check()?;
        self.rules.check()?;
        self.links.check()?;
        self.media.check()?;
        self.check_lease()?;
        self.retention.check(&self.rules, &self.store)?;
        self.caps.check()?;
        self.endpoints.check()?;
        let attempt_ms = self.http.timeout_ms;
        if attempt_ms == 0 {
            return Err("http.timeout-ms is 0: no request could be made".to_owned());
        }
        Ok(())
    }

    /// A lease that ends while its owner is at work would have two hosts try the same.
    fn check_lease(&self) -> Result<(), String> {
        if !matches!(self.store.url, store::StoreUrl::Postgres(_)) {
            return Ok(());
        }
        let lease = std::time::Duration::from_secs(self.store.postgres.lease_s);
        let attempt = std::time::Duration::from_millis(self.http.timeout_ms);
        let longest =
            [("plugins.limits.ceiling.time", self.plugins.limits.ceiling.time.0), ("http.timeout-ms", attempt)];
        for (name, time) in longest {
            if lease <= time {
                return Err(format!(
                    "store.postgres.lease-s ({} s) is not longer than {name} ({} s): another host would take over work that is still being done; \
                     make the lease longer, or that shorter",
                    lease.as_secs(),
                    time.as_secs_f64()
                ));
            }
        }
        Ok(())
    }

    /// Settings that are allowed but fight each other, for the log.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let shortest = self.fallback.shortest_after();
        if shortest <= std::time::Duration::from_millis(self.http.timeout_ms) {
            warnings.push(format!(
                "fallback.after-s ({} s, where it is shortest) is not longer than http.timeout-ms ({} ms): SMS may follow while WhatsApp is still answering",
                shortest.as_secs(),
                self.http.timeout_ms
            ));
        }
        if self.server.grace_s * 1000 <= self.http.timeout_ms {
            warnings.push(format!(
                "server.grace-s ({} s) is not longer than http.timeout-ms ({} ms): a provider that answers late leaves its message in doubt when the host is stopped",
                self.server.grace_s, self.http.timeout_ms
            ));
        }
        if self.accounts.is_empty() {
            warnings.push(
                "no provider account is configured under [accounts]: every message will fail with `no-account`"
                    .to_owned(),
            );
        }
        warnings.extend(self.retention.warnings());
        warnings.extend(self.plugins.warnings());
        warnings
    }
}

/// The path of a setting that an environment variable names: `RELAIS_FALLBACK__AFTER_S` is `fallback.after-s`.
fn setting(name: &str) -> Option<Vec<String>> {
    let rest = name.strip_prefix(ENV_PREFIX)?;
    rest.contains("__").then(|| rest.split("__").map(|part| part.to_lowercase().replace('_', "-")).collect())
}

fn parse(text: &str, place: &str) -> Result<Table, Error> {
    text.parse::<Table>()
        .map_err(|error| Error::Invalid { place: place.to_owned(), message: error.to_string().trim().to_owned() })
}

/// A value of the environment: TOML where it reads as such, a string otherwise.
fn scalar(text: &str) -> Value {
    format!("value = {text}")
        .parse::<Table>()
        .ok()
        .and_then(|mut table| table.remove("value"))
        .unwrap_or_else(|| Value::String(text.to_owned()))
}

fn nested(path: &[String], value: Value) -> Table {
    let mut value = value;
    for key in path.iter().rev() {
        value = Value::Table(Table::from_iter([(key.clone(), value)]));
    }
    match value {
        Value::Table(table) => table,
        _ => Table::new(),
    }
}

/// Tables are merged key by key; everything else is replaced.
fn merge(into: &mut Table, from: Table) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(Value::Table(into)), Value::Table(from)) => merge(into, from),
            (_, value) => {
                into.insert(key, value);
            }
        }
    }
}

/// Shortens what tests and the demo write: a table from TOML text.
pub fn table(text: &str) -> Result<Table, Error> {
    parse(text, "of this program")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str, environment: &[(&str, &str)]) -> Result<Config, Error> {
        let environment = environment
            .iter()
            .filter_map(|(name, value)| setting(name).map(|path| ((*name).to_owned(), path, (*value).to_owned())))
            .collect();
        Config::layered(None, environment, table(text).unwrap())
    }

    #[test]
    fn the_compiled_in_defaults_are_the_defaults_of_the_code() {
        let config = load("[ingress]\nopen = true", &[]).unwrap();
        assert_eq!(config.run, run::Settings::default());
        assert_eq!(config.dispatch, dispatch::Settings::default());
        assert_eq!(config.rules, rules::allowed::Settings::default());
        assert_eq!(config.retention, retention::Settings::default());
        assert_eq!(config.endpoints, notice::Settings::default());
        // Written out for whoever reads them, and the same as what holds where nothing is said.
        let said = dispatch::Fallback::default().everything();
        assert_eq!(config.fallback, said);
    }

    #[test]
    fn a_misspelt_key_is_named() {
        let error = load("[fallback]\naftr-s = 3", &[]).unwrap_err().to_string();
        assert!(error.contains("aftr-s"), "{error}");
    }

    #[test]
    fn the_environment_is_over_the_file() {
        let over = [("RELAIS_FALLBACK__AFTER_S", "7"), ("RELAIS_INGRESS__OPEN", "true"), ("RELAIS_LOG", "x")];
        assert_eq!(load("", &over).unwrap().fallback.after_s, Some(7));
        assert!(load("", &[("RELAIS_DISPATCH__NO_SUCH", "7"), ("RELAIS_INGRESS__OPEN", "true")]).is_err());
    }

    #[test]
    fn an_open_entrance_on_a_public_address_is_refused() {
        let error = load("[server]\nlisten = \"0.0.0.0:8080\"\n[ingress]\nopen = true", &[]).unwrap_err();
        assert!(error.to_string().contains("open"), "{error}");
    }
}
