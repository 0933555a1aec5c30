//! Which accounts there are with which providers, and how they are reached. A base URL is a setting everywhere.

use std::{collections::BTreeSet, time::Duration};

use serde::Deserialize;

pub use super::{
    accounts::{CmSettings, ContentTemplate, Fallback, MetaSettings, TwilioSettings},
    smpp::SmppSettings,
};
use crate::{domain::customer::Channel, secret::Secret};

/// All accounts of the configuration, in the order in which they stand there.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Accounts {
    pub meta: Vec<MetaSettings>,
    pub cm: Vec<CmSettings>,
    pub twilio: Vec<TwilioSettings>,
    pub smpp: Vec<SmppSettings>,
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
            served(&place, &account.countries)?;
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
            served(&place, &account.countries)?;
            if account.fallback == Fallback::Provider && account.channel != Channel::Whatsapp {
                return Err(format!(
                    "{place}: fallback = \"provider\" is for an account with channel = \"whatsapp\": SMS falls back to nothing"
                ));
            }
        }
        for account in &self.twilio {
            let place = format!("accounts.twilio `{}`", account.account);
            base_url(&place, &account.base_url)?;
            secrets(&place, "auth-tokens", &account.auth_tokens, "nothing can be sent")?;
            path_part(&place, "account-sid", &account.account_sid)?;
            served(&place, &account.countries)?;
            account.check_templates().map_err(|problem| format!("{place}: {problem}"))?;
        }
        for account in &self.smpp {
            let place = format!("accounts.smpp `{}`", account.account);
            account.check().map_err(|problem| format!("{place}: {problem}"))?;
            served(&place, &account.countries)?;
        }
        names("meta", self.meta.iter().map(|account| &account.account))?;
        names("cm", self.cm.iter().map(|account| &account.account))?;
        names("twilio", self.twilio.iter().map(|account| &account.account))?;
        names("smpp", self.smpp.iter().map(|account| &account.account))
    }

    pub fn is_empty(&self) -> bool {
        self.meta.is_empty() && self.cm.is_empty() && self.twilio.is_empty() && self.smpp.is_empty()
    }

    /// The account that a customer wrote to, by the number or id that the provider's webhook names, so that an answer goes out
    /// from there. Where the webhook names none of ours, the only account that it can be.
    pub fn written_to(&self, provider: &str, channel: Channel, to: Option<&str>) -> Option<&str> {
        let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
        let bare = |text: &str| digits(text).trim_start_matches('0').to_owned();
        let senders: Vec<(&str, &str)> = match provider {
            "meta" => self.meta.iter().map(|one| (&*one.account, &*one.phone_number_id)).collect(),
            "cm" => {
                let all = self.cm.iter().filter(|one| one.channel == channel);
                all.map(|one| (&*one.account, &*one.sender)).collect()
            }
            "twilio" => {
                let all = self.twilio.iter().filter(|one| one.channel == channel);
                all.map(|one| (&*one.account, &*one.sender)).collect()
            }
            _ => Vec::new(),
        };
        let to = to.map(bare).filter(|to| !to.is_empty());
        let named = senders.iter().find(|(_, sender)| to.as_ref().is_some_and(|to| *to == bare(sender)));
        match (named, senders.as_slice()) {
            (Some((account, _)), _) | (None, [(account, _)]) => Some(*account),
            _ => None,
        }
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

/// Countries by two letters, and calling codes by their digits.
fn served(place: &str, countries: &[String]) -> Result<(), String> {
    let country = |text: &str| text.len() == 2 && text.bytes().all(|b| b.is_ascii_uppercase());
    let code = |text: &str| {
        let digits = text.strip_prefix('+').unwrap_or(text);
        (1..=7).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0')
    };
    match countries.iter().find(|text| !country(text) && !code(text)) {
        None => Ok(()),
        Some(text) => Err(format!(
            "{place}: countries has `{text}`; write two capital letters such as \"FR\", or the digits that numbers begin with, such as \"33\" or \"+590\""
        )),
    }
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
        MetaSettings { account: account.to_owned(), ..MetaSettings::sample() }
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
        let cm =
            |secret: &str| CmSettings { webhook_secrets: vec![Secret::new(secret)], ..CmSettings::sample("Boulange") };
        let check = |secret: &str| Accounts { cm: vec![cm(secret)], ..Accounts::default() }.check();
        assert_eq!(check("f3a9c2d17b604e8fa51c"), Ok(()));
        assert!(check("1234").unwrap_err().contains("webhook-secrets"));
        assert!(check("f3a9c2d17b604e8fa51c/x").unwrap_err().contains("webhook-secrets"));
    }

    #[test]
    fn countries_are_two_letters_or_calling_codes() {
        let with = |countries: &[&str]| {
            let countries = countries.iter().map(|text| (*text).to_owned()).collect();
            check(vec![MetaSettings { countries, ..meta("main") }])
        };
        assert_eq!(with(&["FR", "33", "+590"]), Ok(()));
        for wrong in ["France", "fr", "0033", "", "+"] {
            assert!(with(&[wrong]).unwrap_err().contains("countries"), "{wrong}");
        }
    }

    #[test]
    fn who_was_written_to_is_known_in_every_form_of_a_number() {
        let second = CmSettings { account: "second".to_owned(), ..CmSettings::sample("0033139980002") };
        let accounts = Accounts {
            meta: vec![meta("main")],
            cm: vec![CmSettings::sample("0033139980001"), second],
            ..Accounts::default()
        };
        let to = |provider: &str, to: Option<&str>, channel| accounts.written_to(provider, channel, to);
        assert_eq!(to("cm", Some("0033139980002"), Channel::Sms), Some("second"));
        assert_eq!(to("cm", Some("+33139980001"), Channel::Sms), Some("main"));
        assert_eq!(to("cm", Some("0033139980009"), Channel::Sms), None, "either could be meant");
        assert_eq!(to("meta", None, Channel::Whatsapp), Some("main"), "it can only be this one");
        assert_eq!(to("cm", Some("0033139980001"), Channel::Whatsapp), None);
    }
}
