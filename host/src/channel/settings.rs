//! Which accounts there are with which providers, and how they are reached. A base URL is a setting everywhere.

use std::{collections::BTreeSet, time::Duration};

use serde::Deserialize;

use crate::secret::Secret;

/// All accounts of the configuration, in the order in which they stand there.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Accounts {
    pub meta: Vec<MetaSettings>,
    pub cm: Vec<CmSettings>,
    pub twilio: Vec<TwilioSettings>,
}

impl Accounts {
    /// What would only show with the first message or webhook: names that are taken twice, secrets that are missing, URLs
    /// that are none.
    pub fn check(&self) -> Result<(), String> {
        for account in &self.meta {
            let place = format!("accounts.meta `{}`", account.account);
            base_url(&place, &account.base_url)?;
            secrets(&place, "app-secrets", &account.app_secrets, "anybody could post webhooks")?;
            path_part(&place, "phone-number-id", &account.phone_number_id)?;
            path_part(&place, "version", &account.version)?;
        }
        for account in &self.cm {
            let place = format!("accounts.cm `{}`", account.account);
            base_url(&place, &account.base_url)?;
            secrets(
                &place,
                "webhook-secrets",
                &account.webhook_secrets,
                "CM signs nothing, so its URL has to be secret",
            )?;
            long_enough(&place, &account.webhook_secrets)?;
        }
        for account in &self.twilio {
            let place = format!("accounts.twilio `{}`", account.account);
            base_url(&place, &account.base_url)?;
            secrets(&place, "auth-tokens", &account.auth_tokens, "nothing can be sent")?;
            path_part(&place, "account-sid", &account.account_sid)?;
        }
        names("meta", self.meta.iter().map(|account| &account.account))?;
        names("cm", self.cm.iter().map(|account| &account.account))?;
        names("twilio", self.twilio.iter().map(|account| &account.account))
    }
}

fn names<'a>(provider: &str, names: impl Iterator<Item = &'a String>) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    for name in names {
        path_part(&format!("accounts.{provider}"), "account", name)?;
        if !seen.insert(name) {
            return Err(format!(
                "accounts.{provider}: the account `{name}` is there twice; give each a name of its own"
            ));
        }
    }
    Ok(())
}

fn base_url(place: &str, text: &str) -> Result<(), String> {
    let url = url::Url::parse(text).map_err(|error| format!("{place}: base-url `{text}` is no URL: {error}"))?;
    // http is for a simulator on the same machine; a token must not leave it in the clear.
    let local = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    match url.scheme() {
        "https" => Ok(()),
        "http" if local => Ok(()),
        _ => Err(format!("{place}: base-url `{text}` must begin with https:// (http:// is for this machine alone)")),
    }
}

fn secrets(place: &str, field: &str, secrets: &[Secret], why: &str) -> Result<(), String> {
    if secrets.is_empty() || secrets.iter().any(|secret| secret.reveal().is_empty()) {
        return Err(format!(
            "{place}: {field} needs at least one secret and none that is empty, because {why} otherwise"
        ));
    }
    Ok(())
}

fn long_enough(place: &str, secrets: &[Secret]) -> Result<(), String> {
    // 20 letters and digits are more than 100 bits: nobody guesses them over a network.
    const CHARS_MIN: usize = 20;
    let fits = |secret: &Secret| secret.reveal().len() >= CHARS_MIN && url_safe(secret.reveal());
    if secrets.iter().all(fits) {
        return Ok(());
    }
    Err(format!(
        "{place}: each of webhook-secrets needs {CHARS_MIN} letters, digits, `-` or `_` at least: it stands in a URL"
    ))
}

fn path_part(place: &str, field: &str, text: &str) -> Result<(), String> {
    if url_safe(text) {
        return Ok(());
    }
    Err(format!("{place}: {field} `{text}` stands in a URL and may hold letters, digits, `.`, `-` and `_` only"))
}

fn url_safe(text: &str) -> bool {
    let dots_alone = text.bytes().all(|b| b == b'.');
    !dots_alone && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
}

/// A telephone number on Meta's WhatsApp Cloud API.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct MetaSettings {
    /// What the account is called here: in logs, decisions and webhook URLs.
    #[serde(default = "main_account")]
    pub account: String,
    #[serde(default = "meta_base_url")]
    pub base_url: String,
    /// A version of the Graph API lives about two years, so it is a setting.
    #[serde(default = "meta_version")]
    pub version: String,
    pub phone_number_id: String,
    /// The WhatsApp Business account, `entry[].id` in webhooks.
    pub waba_id: String,
    pub access_token: Secret,
    /// The app's secrets: several while one is being replaced. A webhook signed with any of them is genuine.
    pub app_secrets: Vec<Secret>,
    /// What Meta has to show when the webhook's URL is registered.
    pub verify_token: Secret,
}

/// A product of CM.com's Business Messaging, for SMS.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct CmSettings {
    #[serde(default = "main_account")]
    pub account: String,
    #[serde(default = "cm_base_url")]
    pub base_url: String,
    pub product_token: Secret,
    /// `from`: at most 11 letters and digits, or a number of at most 16 digits.
    pub sender: String,
    /// The last part of the webhooks' URL: CM signs nothing. Several while one is being replaced.
    pub webhook_secrets: Vec<Secret>,
}

/// A Twilio account, for SMS.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct TwilioSettings {
    #[serde(default = "main_account")]
    pub account: String,
    #[serde(default = "twilio_base_url")]
    pub base_url: String,
    pub account_sid: String,
    /// The first is sent with; a webhook signed with any of them is genuine, which a rotation needs.
    pub auth_tokens: Vec<Secret>,
    /// `From` (a number or a name), or `MG…`, a messaging service.
    pub sender: String,
}

fn main_account() -> String {
    "main".to_owned()
}

fn meta_base_url() -> String {
    "https://graph.facebook.com".to_owned()
}

fn meta_version() -> String {
    "v25.0".to_owned()
}

fn cm_base_url() -> String {
    "https://gw.messaging.cm.com".to_owned()
}

fn twilio_base_url() -> String {
    "https://api.twilio.com".to_owned()
}

/// How requests to providers are made.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct HttpSettings {
    /// For the whole of a request. When it passes the attempt is in doubt, so it is generous.
    pub timeout_ms: u64,
    /// For name, connection and TLS. When it passes, nothing was sent and the attempt can be repeated.
    pub connect_timeout_ms: u64,
    /// How long an unused connection is kept.
    pub idle_ms: u64,
    /// Unused connections kept for each provider.
    pub idle_connections: usize,
}

impl Default for HttpSettings {
    fn default() -> Self {
        HttpSettings {
            // Providers answer within a second; ten times the worst that is usually seen.
            timeout_ms: 20_000,
            // Three lost SYNs (1 s, 2 s and a bit): beyond that it is an outage.
            connect_timeout_ms: 5_000,
            // Below the minute after which load balancers commonly close, so that a request seldom meets a closed one.
            idle_ms: 50_000,
            // What the dispatcher sends at once to one provider; more are opened and closed again in a burst.
            idle_connections: 64,
        }
    }
}

/// The client for requests to providers: pooled, TLS by rustls with the machine's roots, and no redirects, because a
/// redirect would carry a token elsewhere and no provider documents one.
pub fn http_client(settings: &HttpSettings) -> Result<reqwest::Client, reqwest::Error> {
    crate::crypto::install();
    reqwest::Client::builder()
        .timeout(Duration::from_millis(settings.timeout_ms))
        .connect_timeout(Duration::from_millis(settings.connect_timeout_ms))
        .pool_idle_timeout(Duration::from_millis(settings.idle_ms))
        .pool_max_idle_per_host(settings.idle_connections)
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("relais/", env!("CARGO_PKG_VERSION")))
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta(account: &str) -> MetaSettings {
        MetaSettings {
            account: account.to_owned(),
            base_url: meta_base_url(),
            version: meta_version(),
            phone_number_id: "109000000000001".to_owned(),
            waba_id: "201000000000001".to_owned(),
            access_token: Secret::new("token"),
            app_secrets: vec![Secret::new("secret")],
            verify_token: Secret::new("verify"),
        }
    }

    fn check(meta: Vec<MetaSettings>) -> Result<(), String> {
        Accounts { meta, ..Accounts::default() }.check()
    }

    #[test]
    fn an_account_without_secrets_or_with_a_name_that_is_taken_stops_the_start() {
        assert_eq!(check(vec![meta("main"), meta("second")]), Ok(()));
        assert!(check(vec![meta("main"), meta("main")]).unwrap_err().contains("twice"));
        assert!(check(vec![MetaSettings { app_secrets: vec![], ..meta("main") }]).unwrap_err().contains("app-secrets"));
        assert!(check(vec![meta("a/b")]).unwrap_err().contains("account `a/b`"));
    }

    #[test]
    fn a_token_leaves_this_machine_over_https_only() {
        let at = |url: &str| check(vec![MetaSettings { base_url: url.to_owned(), ..meta("main") }]);
        assert_eq!(at("http://127.0.0.1:8090"), Ok(()));
        assert!(at("http://graph.facebook.com").unwrap_err().contains("https://"));
        assert!(at("graph.facebook.com").unwrap_err().contains("base-url"));
    }

    #[test]
    fn a_guessable_webhook_url_is_refused() {
        let cm = |secret: &str| CmSettings {
            account: "main".to_owned(),
            base_url: cm_base_url(),
            product_token: Secret::new("token"),
            sender: "Boulange".to_owned(),
            webhook_secrets: vec![Secret::new(secret)],
        };
        let check = |secret: &str| Accounts { cm: vec![cm(secret)], ..Accounts::default() }.check();
        assert_eq!(check("f3a9c2d17b604e8fa51c"), Ok(()));
        assert!(check("1234").unwrap_err().contains("webhook-secrets"));
        assert!(check("f3a9c2d17b604e8fa51c/x").unwrap_err().contains("webhook-secrets"));
    }
}
