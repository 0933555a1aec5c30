//! What a test's host is started with.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use relais::clock::Timestamp;
use relais::simulator::{Options, SmppOptions, Template, Timing, WebhookOptions, Window};

use super::{Db, Packages, plugins};

/// Who sends SMS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sms {
    Cm,
    Twilio,
    /// CM.com, and Twilio where that rests.
    Both,
    /// An SMSC, by SMPP.
    Smpp,
}

/// A host to be started. [`Setup::new`] is the usual one: WhatsApp by Meta, SMS by CM.com, the six plugins, nobody needs a key.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) db: Db,
    pub(crate) meta: bool,
    pub(crate) sms: Option<Sms>,
    /// More accounts: the provider, and settings beside those that every account with the simulator has.
    pub(crate) accounts: Vec<(&'static str, String)>,
    pub(crate) plugins: Packages,
    /// API keys by the name of their holder; anybody may come in where there are none.
    pub(crate) keys: Vec<(&'static str, &'static str)>,
    /// Whose key it is, by the holder's name; the default tenant's where it is not in here.
    pub(crate) tenants: Vec<(&'static str, &'static str)>,
    /// Settings over all others, as TOML.
    pub(crate) over: Vec<String>,
    pub(crate) timing: Timing,
    pub(crate) webhook_batch_max: usize,
    /// Machine code in a directory of this host alone, so that its first start compiles.
    pub(crate) own_cache: bool,
    /// How many requests and how many webhooks the simulator remembers.
    pub(crate) remembered_max: usize,
    /// What the SMSC is like.
    pub(crate) smsc: SmppOptions,
}

/// How long a host of the tests keeps shards that it does nothing for.
pub(crate) const LEASE: Duration = Duration::from_secs(6);

/// What a host is connected to: where it listens and keeps everything, and where the providers are.
pub(super) struct Wiring<'a> {
    pub(super) dir: &'a Path,
    pub(super) port: u16,
    pub(super) public_url: &'a str,
    pub(super) store_url: &'a str,
    pub(super) start: Timestamp,
    pub(super) providers: &'a str,
    /// Where the SMSC among them is.
    pub(super) smsc: &'a str,
    pub(super) options: &'a Options,
}

impl Setup {
    pub(crate) fn new() -> Setup {
        Setup {
            db: Db::Sqlite,
            meta: true,
            sms: Some(Sms::Cm),
            accounts: Vec::new(),
            plugins: Packages::Shipped,
            keys: Vec::new(),
            tenants: Vec::new(),
            over: Vec::new(),
            // Receipts in the order in which they happen, and at once.
            timing: Timing { answer_ms: 0, sent_ms: 5, delivered_ms: 20, read_ms: 40 },
            webhook_batch_max: 1,
            own_cache: false,
            remembered_max: Options::default().keep.requests_max,
            smsc: SmppOptions { retry_ms: 50, ..SmppOptions::default() },
        }
    }

    /// On this database. Leases are short, so that a host that was killed and started again has its shards soon; and a lease
    /// is longer than anything that is done under it, so that is short as well.
    pub(crate) fn on(self, db: Db) -> Setup {
        let setup = Setup { db, ..self };
        match db {
            Db::Sqlite => setup,
            Db::Postgres => setup.with(format!(
                "store.postgres.lease-s = {}\nhttp.timeout-ms = 3000\nplugins.limits.default.time = \"3s\"\n\
                 plugins.limits.ceiling.time = \"3s\"",
                LEASE.as_secs()
            )),
        }
    }

    /// With the test's own plugin in place of the six.
    pub(crate) fn tester() -> Setup {
        Setup { plugins: Packages::Tester, ..Setup::new() }
    }

    pub(crate) fn sms(self, sms: Sms) -> Setup {
        Setup { sms: Some(sms), ..self }
    }

    /// Without an account for WhatsApp.
    pub(crate) fn without_whatsapp(self) -> Setup {
        Setup { meta: false, ..self }
    }

    /// One more account with `cm`, `twilio` or `smpp`.
    pub(crate) fn account(mut self, provider: &'static str, settings: &str) -> Setup {
        self.accounts.push((provider, settings.to_owned()));
        self
    }

    pub(crate) fn with(mut self, settings: impl Into<String>) -> Setup {
        self.over.push(settings.into());
        self
    }

    pub(crate) fn key(mut self, name: &'static str, secret: &'static str) -> Setup {
        self.keys.push((name, secret));
        self
    }

    /// A key that acts for a tenant of its own, by the tenant's name.
    pub(crate) fn tenant(mut self, tenant: &'static str, secret: &'static str) -> Setup {
        self.tenants.push((tenant, tenant));
        self.key(tenant, secret)
    }

    pub(crate) fn simulator(&self) -> Options {
        let webhooks = WebhookOptions {
            // Quick, and for ever: a host that was killed gets what it missed soon after it is back.
            retry_ms: 50,
            retry_ms_max: 400,
            batch_max: self.webhook_batch_max,
            ..WebhookOptions::default()
        };
        let mut options = Options { timing: self.timing, webhooks, ..Options::default() };
        options.twilio.tries_max = 1_000;
        options.smpp = self.smsc.clone();
        options.meta.window = Window::Webhook;
        options.keep.requests_max = self.remembered_max;
        options.keep.webhooks_max = self.remembered_max;
        options.templates = self.plugins.manifests().iter().flat_map(|manifest| templates(manifest)).collect();
        options
    }

    /// The configuration file's text.
    pub(super) fn config(&self, wiring: &Wiring<'_>) -> String {
        let Wiring { dir, port, public_url, store_url, start, providers, smsc, options } = wiring;
        let secret = |name: &str, value: &str| secret_file(dir, name, value);
        let packages = self.plugins.directory(dir);
        let cache = if self.own_cache { dir.join("machine-code") } else { plugins::shared_cache() };
        let mut text = format!(
            "server.listen = \"127.0.0.1:{port}\"\nserver.public-url = \"{public_url}\"\n\
             ingress.adjustable-clock = true\nclock.kind = \"adjustable\"\nclock.start = \"{}\"\n\
             log.level = \"info,relais=debug\"\nstore.url = {}\nplugins.dir = {}\nplugins.cache-dir = {}\n\
             plugins.secrets.order-ready.till-webhook = {}\n\
             plugins.caps.default.per-customer-day = 0\nplugins.caps.ceiling.per-customer-day = 0\nplugins.pause-after = 0\n",
            start.rfc3339(),
            toml::Value::String((*store_url).to_owned()),
            quoted(&packages),
            quoted(&cache),
            secret("till-webhook", TILL_SECRET),
        );
        match self.keys.as_slice() {
            [] => text.push_str("ingress.open = true\n"),
            keys => {
                let keys = keys.iter().map(|(name, value)| {
                    let tenant = self.tenants.iter().find(|(of, _)| of == name).map_or("default", |(_, tenant)| tenant);
                    format!("{{ name = \"{name}\", tenant = \"{tenant}\", secret = {} }}", secret(name, value))
                });
                text.push_str(&format!("ingress.keys = [{}]\n", keys.collect::<Vec<_>>().join(", ")));
            }
        }
        if self.meta {
            text.push_str(&format!(
                "[[accounts.meta]]\nbase-url = \"{providers}\"\nphone-number-id = \"{}\"\nwaba-id = \"{}\"\n\
                 access-token = {}\napp-secrets = [{}]\nverify-token = {}\n",
                options.meta.phone_number_id,
                options.meta.waba_id,
                secret("meta-token", &options.meta.access_token),
                secret("meta-app", &options.meta.app_secret),
                secret("meta-verify", &options.meta.verify_token),
            ));
        }
        if matches!(self.sms, Some(Sms::Cm | Sms::Both)) {
            text.push_str(&format!(
                "[[accounts.cm]]\nbase-url = \"{providers}\"\nsender = \"Relais\"\nproduct-token = {}\nwebhook-secrets = [{}]\n",
                secret("cm-token", &options.cm.product_token),
                secret("cm-webhook", &options.cm.webhook_secret),
            ));
        }
        if matches!(self.sms, Some(Sms::Twilio | Sms::Both)) {
            text.push_str(&format!(
                "[[accounts.twilio]]\nbase-url = \"{providers}\"\naccount-sid = \"{}\"\nauth-tokens = [{}]\nsender = \"{}\"\n",
                options.twilio.account_sid,
                secret("twilio-token", &options.twilio.auth_token),
                options.twilio.number,
            ));
        }
        let smpp = || {
            format!(
                "address = \"{smsc}\"\nsystem-id = \"{}\"\npassword = {}\n\
                 reconnect-first-ms = 20\nreconnect-longest-ms = 200",
                options.smpp.system_id,
                secret("smpp-password", &options.smpp.password),
            )
        };
        if self.sms == Some(Sms::Smpp) {
            text.push_str(&format!("[[accounts.smpp]]\nsender = \"+{}\"\n{}\n", options.smpp.number, smpp()));
        }
        for (provider, settings) in &self.accounts {
            if *provider == "smpp" {
                text.push_str(&format!("[[accounts.smpp]]\n{}\n{settings}\n", smpp()));
                continue;
            }
            let own = match *provider {
                "cm" => format!(
                    "product-token = {}\nwebhook-secrets = [{}]",
                    secret("cm-token", &options.cm.product_token),
                    secret("cm-webhook", &options.cm.webhook_secret),
                ),
                "twilio" => format!(
                    "account-sid = \"{}\"\nauth-tokens = [{}]",
                    options.twilio.account_sid,
                    secret("twilio-token", &options.twilio.auth_token),
                ),
                other => panic!("no account with {other}"),
            };
            text.push_str(&format!("[[accounts.{provider}]]\nbase-url = \"{providers}\"\n{own}\n{settings}\n"));
        }
        with_settings(&text, &self.over)
    }
}

/// What a shop does before it uses a plugin: it has the provider approve the templates of the manifest. The provider then
/// knows their parameters, and refuses a message that does not fit.
fn templates(manifest: &str) -> Vec<Template> {
    let manifest: toml::Table = manifest.parse().unwrap();
    let mut templates = Vec::new();
    for template in manifest.get("templates").and_then(toml::Value::as_array).into_iter().flatten() {
        let params = template.get("params").and_then(toml::Value::as_array).cloned().unwrap_or_default();
        for (language, text) in template["texts"].as_table().unwrap() {
            // Meta numbers them, in the order of the manifest.
            let numbered = params.iter().zip(1..).fold(text.as_str().unwrap().to_owned(), |text, (param, no)| {
                text.replace(&format!("{{{}}}", param.as_str().unwrap()), &format!("{{{{{no}}}}}"))
            });
            templates.push(Template {
                name: template["name"].as_str().unwrap().to_owned(),
                language: language.clone(),
                category: template["category"].as_str().unwrap().to_owned(),
                body: Some(numbered),
                ..Template::default()
            });
        }
    }
    templates
}

/// What the shop's till signs its webhooks with.
pub(crate) const TILL_SECRET: &str = "simulated-till-webhook-secret";

/// Tables are merged key by key, so that a test may set one key of a table that is there already.
fn with_settings(text: &str, over: &[String]) -> String {
    let mut table: toml::Table = text.parse().unwrap();
    for settings in over {
        let settings: toml::Table = settings.parse().unwrap_or_else(|error| panic!("{settings}: {error}"));
        merge(&mut table, settings);
    }
    toml::to_string(&table).unwrap()
}

fn merge(into: &mut toml::Table, from: toml::Table) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(toml::Value::Table(into)), toml::Value::Table(from)) => merge(into, from),
            (_, value) => {
                into.insert(key, value);
            }
        }
    }
}

fn quoted(path: &Path) -> toml::Value {
    toml::Value::String(path.display().to_string())
}

/// Secrets are never in a configuration: it names the file that holds them.
fn secret_file(dir: &Path, name: &str, value: &str) -> String {
    let path: PathBuf = dir.join(format!("secret-{name}"));
    std::fs::write(&path, value).unwrap();
    format!("{{ file = {} }}", quoted(&path))
}
