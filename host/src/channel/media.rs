//! Files that customers send, fetched from the provider that has them.
//!
//! A webhook says where a file is, and webhooks can be forged by whoever has their secret: so nothing is asked of a host that
//! is not the provider's (settings say which those are), no redirect is followed to another, and credentials go to the
//! provider's own API alone. What comes is read up to a bound and compared with the hash that the provider gave.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::{Bytes, BytesMut};
use http::{StatusCode, header::LOCATION};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use url::Url;

use super::{Accounts, HttpSettings, http_client};
use crate::{domain::file::Wanted, secret::Secret};

/// Which hosts have the providers' files, beside those of the accounts' `base-url`. A name stands for its subdomains too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hosts {
    pub meta: Vec<String>,
    pub cm: Vec<String>,
    pub twilio: Vec<String>,
}

/// Why a file is not here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// It may be to be had later.
    #[error("{0}")]
    Later(String),
    #[error("{0}")]
    Never(String),
}

/// There can be no client: the machine's certificates cannot be read.
pub type NoClient = reqwest::Error;

/// Fetches files with the accounts' credentials.
pub struct Fetcher {
    client: reqwest::Client,
    accounts: Arc<Accounts>,
    hosts: Hosts,
    bytes_max: u64,
}

/// Twilio and CM pass a file's reader on once, to where it lies.
const REDIRECTS_MAX: usize = 3;

/// What a request says who asks.
enum Who {
    Nobody,
    Bearer(Secret),
    Basic(String, Secret),
}

/// What Meta says of a file.
#[derive(Deserialize)]
struct Facts {
    url: String,
    #[serde(default)]
    sha256: Option<String>,
    #[serde(default)]
    file_size: Option<u64>,
}

impl Fetcher {
    pub fn new(
        accounts: Arc<Accounts>,
        hosts: Hosts,
        bytes_max: u64,
        http: &HttpSettings,
        timeout_ms: u64,
    ) -> Result<Fetcher, NoClient> {
        let client = http_client(&HttpSettings { timeout_ms, ..http.clone() })?;
        Ok(Fetcher { client, accounts, hosts, bytes_max })
    }

    pub async fn fetch(&self, wanted: &Wanted) -> Result<Bytes, Trouble> {
        let (bytes, also) = match wanted.provider.as_str() {
            "meta" => self.by_meta(wanted).await?,
            "cm" => (self.by_cm(wanted).await?, None),
            "twilio" => (self.by_twilio(wanted).await?, None),
            other => return Err(Trouble::Never(format!("nothing is known of files of `{other}`"))),
        };
        match wanted.sha256.as_deref().or(also.as_deref()) {
            Some(digest) if !is_digest(digest, &bytes) => {
                Err(Trouble::Later("what came is not what its SHA-256 says".to_owned()))
            }
            _ => Ok(bytes),
        }
    }

    /// An id leads to a URL that is good for five minutes, and asks for the token as well.
    async fn by_meta(&self, wanted: &Wanted) -> Result<(Bytes, Option<String>), Trouble> {
        let account = of(&self.accounts.meta, wanted, |account| &account.account)?;
        let id = &wanted.media_id;
        if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')) {
            return Err(Trouble::Never("its id is none of Meta's".to_owned()));
        }
        let base = account.base_url.trim_end_matches('/');
        let place = format!("{base}/{}/{id}?phone_number_id={}", account.version, account.phone_number_id);
        let place = Url::parse(&place).map_err(|error| Trouble::Later(error.to_string()))?;
        let token = || Who::Bearer(account.access_token.clone());
        let facts = self.get(place.clone(), token()).await?;
        // 100 is what Meta says of an id that it does not know (any more).
        if facts.status == StatusCode::NOT_FOUND || code(&facts.body) == Some(100) {
            return Err(Trouble::Never("Meta does not have it any more".to_owned()));
        }
        let facts = facts.whole("Meta says of it")?;
        let facts: Facts = serde_json::from_slice(&facts)
            .map_err(|error| Trouble::Later(format!("what Meta says of it cannot be read: {error}")))?;
        if let Some(bytes) = facts.file_size.filter(|bytes| *bytes > self.bytes_max) {
            return Err(self.too_large(bytes));
        }
        let url = self.allowed(&facts.url, &place, &self.hosts.meta)?;
        let file = self.get(url, token()).await?.whole("Meta's file")?;
        Ok((file, facts.sha256))
    }

    async fn by_cm(&self, wanted: &Wanted) -> Result<Bytes, Trouble> {
        let account = of(&self.accounts.cm, wanted, |account| &account.account)?;
        let base = Url::parse(&account.base_url).map_err(|error| Trouble::Later(error.to_string()))?;
        self.by_link(wanted, &base, &self.hosts.cm, || Who::Nobody).await
    }

    async fn by_twilio(&self, wanted: &Wanted) -> Result<Bytes, Trouble> {
        let account = of(&self.accounts.twilio, wanted, |account| &account.account)?;
        let base = Url::parse(&account.base_url).map_err(|error| Trouble::Later(error.to_string()))?;
        let who = || match account.auth_tokens.first() {
            Some(token) => Who::Basic(account.account_sid.clone(), token.clone()),
            None => Who::Nobody,
        };
        self.by_link(wanted, &base, &self.hosts.twilio, who).await
    }

    /// A link, and where that leads. Only the API itself is told who asks.
    async fn by_link(
        &self,
        wanted: &Wanted,
        base: &Url,
        hosts: &[String],
        who: impl Fn() -> Who,
    ) -> Result<Bytes, Trouble> {
        let mut url = self.allowed(&wanted.media_id, base, hosts)?;
        for _ in 0..=REDIRECTS_MAX {
            let as_whom = if same_origin(&url, base) { who() } else { Who::Nobody };
            let reply = self.get(url.clone(), as_whom).await?;
            if !reply.status.is_redirection() {
                if matches!(reply.status, StatusCode::NOT_FOUND | StatusCode::GONE) {
                    return Err(Trouble::Never(format!("{} does not have it any more", wanted.provider)));
                }
                return reply.whole("the file");
            }
            let next = reply.location.as_deref().and_then(|text| url.join(text).ok());
            let next = next.ok_or_else(|| Trouble::Later("it is elsewhere, and nobody says where".to_owned()))?;
            url = self.allowed(next.as_str(), base, hosts)?;
        }
        Err(Trouble::Later("it leads from one place to the next without end".to_owned()))
    }

    /// A URL of the provider's: https at one of its hosts, or where its API is.
    fn allowed(&self, text: &str, base: &Url, hosts: &[String]) -> Result<Url, Trouble> {
        let url = Url::parse(text).map_err(|_| Trouble::Never("where it is said to be is no URL".to_owned()))?;
        let host = url.host_str().unwrap_or_default();
        let of_hosts =
            hosts.iter().any(|of| host == of || host.strip_suffix(of.as_str()).is_some_and(|rest| rest.ends_with('.')));
        if same_origin(&url, base) || (url.scheme() == "https" && url.port().is_none() && of_hosts) {
            return Ok(url);
        }
        Err(Trouble::Never(format!(
            "it is said to be at `{}`, which is no host of the provider's; where it is one, name it in [media]",
            url.origin().ascii_serialization()
        )))
    }

    async fn get(&self, url: Url, who: Who) -> Result<Reply, Trouble> {
        let request = self.client.get(url);
        let request = match who {
            Who::Nobody => request,
            Who::Bearer(token) => request.bearer_auth(token.reveal()),
            Who::Basic(name, token) => request.basic_auth(name, Some(token.reveal())),
        };
        let later = |error: reqwest::Error| Trouble::Later(error.without_url().to_string());
        let mut response = request.send().await.map_err(later)?;
        let status = response.status();
        let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(later)? {
            let bytes = (body.len() + chunk.len()) as u64;
            if bytes > self.bytes_max {
                return Err(self.too_large(bytes));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Reply { status, location, body: body.freeze() })
    }

    fn too_large(&self, bytes: u64) -> Trouble {
        Trouble::Never(format!("it has {bytes} bytes or more, and media.bytes-max is {}", self.bytes_max))
    }
}

struct Reply {
    status: StatusCode,
    location: Option<String>,
    body: Bytes,
}

impl Reply {
    fn whole(self, what: &str) -> Result<Bytes, Trouble> {
        match self.status {
            StatusCode::OK => Ok(self.body),
            status => Err(Trouble::Later(format!("{what} was answered with {status}"))),
        }
    }
}

/// The account that it came to; where that is not known, the only one that it can be.
fn of<'a, A>(accounts: &'a [A], wanted: &Wanted, name: fn(&A) -> &String) -> Result<&'a A, Trouble> {
    let named = accounts.iter().find(|account| wanted.account.as_ref() == Some(name(account)));
    match (named, accounts) {
        (Some(account), _) | (None, [account]) => Ok(account),
        _ => Err(Trouble::Later(format!("it is not known to which account of {} it came", wanted.provider))),
    }
}

fn same_origin(url: &Url, base: &Url) -> bool {
    url.origin() == base.origin()
}

/// Webhooks have the digest in base64, and the API has it in hexadecimal.
fn is_digest(digest: &str, bytes: &[u8]) -> bool {
    let own: [u8; 32] = Sha256::digest(bytes).into();
    let hex = own.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
    digest.eq_ignore_ascii_case(&hex) || STANDARD.decode(digest).is_ok_and(|given| given == own)
}

/// The code of a Graph error.
fn code(body: &[u8]) -> Option<i64> {
    let body: serde_json::Value = serde_json::from_slice(body).ok()?;
    body.pointer("/error/code")?.as_i64()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fetcher() -> Fetcher {
        let hosts = |one: &str| vec![one.to_owned()];
        let hosts = Hosts { meta: hosts("lookaside.fbsbx.com"), cm: hosts("cm.com"), twilio: hosts("twiliocdn.com") };
        Fetcher::new(Arc::default(), hosts, 10, &HttpSettings::default(), 1000).unwrap()
    }

    #[test]
    fn only_hosts_of_the_provider_are_asked() {
        let fetcher = fetcher();
        let base = Url::parse("https://graph.facebook.com").unwrap();
        let allowed = |url: &str| fetcher.allowed(url, &base, &fetcher.hosts.cm).is_ok();
        for url in ["https://cm.com/a", "https://media.cm.com/a?b=c", "https://graph.facebook.com/v25.0/1"] {
            assert!(allowed(url), "{url}");
        }
        for url in [
            "http://media.cm.com/a",
            "https://media.cm.com:8443/a",
            "https://evilcm.com/a",
            "https://cm.com.evil.example/a",
            "https://cm.com@evil.example/a",
            "https://127.0.0.1/a",
            "https://169.254.169.254/latest/meta-data",
            "http://graph.facebook.com/a",
            "file:///etc/passwd",
            "nonsense",
        ] {
            assert!(!allowed(url), "{url}");
        }
    }

    #[test]
    fn a_digest_is_read_in_both_ways_in_which_meta_writes_it() {
        let hex = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
        assert!(is_digest(hex, b"hello") && is_digest(&hex.to_uppercase(), b"hello"));
        assert!(is_digest("LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=", b"hello"));
        assert!(!is_digest(hex, b"hello!") && !is_digest("", b"hello") && !is_digest("nonsense", b"hello"));
    }

    #[tokio::test]
    async fn an_id_that_is_none_goes_into_no_url() {
        let accounts = Accounts { meta: vec![super::super::MetaSettings::sample()], ..Accounts::default() };
        let fetcher = Fetcher { accounts: Arc::new(accounts), ..fetcher() };
        let wanted = |provider: &str, media_id: &str| Wanted {
            provider: provider.to_owned(),
            account: None,
            media_id: media_id.to_owned(),
            mime_type: "image/png".to_owned(),
            filename: None,
            sha256: None,
            received: crate::clock::Timestamp(0),
            tries: 0,
            trouble: None,
        };
        for id in ["../me", "1?x=y", "", "1 2"] {
            assert!(matches!(fetcher.fetch(&wanted("meta", id)).await, Err(Trouble::Never(_))), "{id}");
        }
        assert!(matches!(fetcher.fetch(&wanted("other", "1")).await, Err(Trouble::Never(_))));
        let cm = fetcher.fetch(&wanted("cm", "https://media.cm.com/1")).await.unwrap_err();
        assert!(cm.to_string().contains("to which account"), "{cm}");
    }
}
