//! Who is calling: a bearer token, compared by hash in constant time.

use std::net::SocketAddr;

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, Uri, header, request::Parts},
};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

use super::{AppState, Settings, problem::Problem, request::query_value};
use crate::ids::TenantId;

/// Whoever holds a key, and acts for its tenant.
#[derive(Clone, Debug)]
pub struct Caller {
    pub tenant: TenantId,
    /// The key's name; `None` where none is needed.
    pub key: Option<String>,
}

/// The same, where the key may also stand in the address as `access_token`: webhook senders (`channels.md` §6.3) and a browser's
/// `EventSource` cannot always set a header.
pub struct UrlCaller(pub Caller);

/// A configuration under which nobody should listen.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum Refused {
    #[error(
        "{0} can be reached from other machines, and `open` lets anybody in. Listen on 127.0.0.1, or set keys and `open = false`"
    )]
    OpenToTheWorld(SocketAddr),
    #[error(
        "nobody could come in: there is no API key. Add one under [[ingress.keys]], or set `open = true` on loopback"
    )]
    NoKeys,
    #[error("the API key `{0}` has fewer than {SECRET_BYTES_MIN} characters and could be guessed; draw a longer one")]
    ShortKey(String),
    #[error("two API keys are named `{0}`; the log could not tell them apart")]
    SameName(String),
}

/// Sixteen random characters of base64 hold 96 bits.
const SECRET_BYTES_MIN: usize = 16;

/// Looked at once, before the first connection is taken.
pub fn check(settings: &Settings, address: SocketAddr) -> Result<(), Refused> {
    if settings.open && !address.ip().to_canonical().is_loopback() {
        return Err(Refused::OpenToTheWorld(address));
    }
    if !settings.open && settings.keys.is_empty() {
        return Err(Refused::NoKeys);
    }
    for (index, key) in settings.keys.iter().enumerate() {
        if key.secret.reveal().len() < SECRET_BYTES_MIN {
            return Err(Refused::ShortKey(key.name.clone()));
        }
        if settings.keys.iter().take(index).any(|other| other.name == key.name) {
            return Err(Refused::SameName(key.name.clone()));
        }
    }
    Ok(())
}

/// Who calls, by their header.
pub fn caller(settings: &Settings, headers: &HeaderMap, uri: &Uri) -> Result<Caller, Problem> {
    match bearer(headers)? {
        Some(token) => by_key(settings, token),
        None => without_key(settings, headers, uri),
    }
}

fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let Some(value) = headers.get(header::AUTHORIZATION) else { return Ok(None) };
    let token = value
        .to_str()
        .ok()
        .and_then(|text| text.split_once(' '))
        .and_then(|(scheme, token)| scheme.eq_ignore_ascii_case("bearer").then(|| token.trim()));
    match token {
        Some(token) if !token.is_empty() => Ok(Some(token)),
        _ => Err(Problem::unauthorized("the header is no bearer token")),
    }
}

pub(super) fn by_key(settings: &Settings, token: &str) -> Result<Caller, Problem> {
    if settings.open && settings.keys.is_empty() {
        return Ok(anybody());
    }
    // Hashes have one length and no common beginnings to find; every key is looked at, so time tells nothing about which.
    let given = blake3::hash(token.as_bytes());
    let mut found = u64::MAX;
    for (index, key) in settings.keys.iter().enumerate() {
        let same: Choice = blake3::hash(key.secret.reveal().as_bytes()).as_bytes().ct_eq(given.as_bytes());
        found = u64::conditional_select(&found, &(index as u64), same);
    }
    let key = usize::try_from(found).ok().and_then(|index| settings.keys.get(index));
    match key {
        Some(key) => Ok(Caller { tenant: key.tenant.clone(), key: Some(key.name.clone()) }),
        None => Err(Problem::unauthorized("there is no such API key")),
    }
}

/// The same for a product token, as clients of CM.com send it: they write a UUID in either case, and mean the same.
pub(super) fn by_product_token(settings: &Settings, token: &str) -> Result<Caller, Problem> {
    let given = blake3::hash(folded(token).as_bytes());
    let mut found = u64::MAX;
    for (index, key) in settings.keys.iter().enumerate() {
        let same: Choice = blake3::hash(folded(key.secret.reveal()).as_bytes()).as_bytes().ct_eq(given.as_bytes());
        found = u64::conditional_select(&found, &(index as u64), same);
    }
    let key = usize::try_from(found).ok().and_then(|index| settings.keys.get(index));
    match key {
        Some(key) => Ok(Caller { tenant: key.tenant.clone(), key: Some(key.name.clone()) }),
        None => Err(Problem::unauthorized("there is no such API key")),
    }
}

/// A UUID in lower case; anything else as it is.
fn folded(token: &str) -> std::borrow::Cow<'_, str> {
    let hyphens = [8, 13, 18, 23];
    let is_uuid = token.len() == 36
        && token.bytes().enumerate().all(|(at, byte)| match hyphens.contains(&at) {
            true => byte == b'-',
            false => byte.is_ascii_hexdigit(),
        });
    if is_uuid { token.to_ascii_lowercase().into() } else { token.into() }
}

fn without_key(settings: &Settings, headers: &HeaderMap, uri: &Uri) -> Result<Caller, Problem> {
    if !settings.open {
        return Err(Problem::unauthorized("there is no API key in the request"));
    }
    // Loopback is no wall against the browser on this machine: any page may send requests here. A page cannot choose its
    // `Origin`, nor (after it turned its own name into 127.0.0.1) its `Host`.
    let host = uri.authority().map(|authority| authority.as_str()).or_else(|| text(headers, header::HOST));
    if host.is_some_and(|host| !is_loopback(host)) {
        return Err(Problem::forbidden("without API keys the host answers only to localhost")
            .field("host")
            .fix("use http://127.0.0.1, or configure API keys"));
    }
    let origin = text(headers, header::ORIGIN).map(|origin| origin.split_once("://").map_or(origin, |(_, host)| host));
    if origin.is_some_and(|origin| !is_loopback(origin)) {
        return Err(Problem::forbidden("without API keys the host takes no requests of other sites' pages")
            .field("origin")
            .fix("configure API keys, and send one"));
    }
    Ok(anybody())
}

fn anybody() -> Caller {
    Caller { tenant: TenantId::default_tenant(), key: None }
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name).map(|value| value.to_str().unwrap_or("?"))
}

/// Whether `host[:port]` names this machine only.
fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

impl FromRequestParts<AppState> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        caller(&state.settings, &parts.headers, &parts.uri)
    }
}

impl FromRequestParts<AppState> for UrlCaller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        let in_url = query_value(&parts.uri, "access_token");
        match in_url {
            Some(token) if !parts.headers.contains_key(header::AUTHORIZATION) => {
                by_key(&state.settings, &token).map(UrlCaller)
            }
            _ => caller(&state.settings, &parts.headers, &parts.uri).map(UrlCaller),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ingress::ApiKey, secret::Secret};

    fn keys() -> Settings {
        let key = |name: &str, tenant: &str, secret: &str| ApiKey {
            name: name.to_owned(),
            tenant: tenant.into(),
            secret: Secret::new(secret),
        };
        Settings {
            keys: vec![key("shop", "paris", "0123456789abcdef-a"), key("till", "lyon", "0123456789abcdef-b")],
            ..Settings::default()
        }
    }

    fn ask(settings: &Settings, headers: &[(&'static str, &'static str)]) -> Result<Caller, u16> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        caller(settings, &map, &"/v1/events".parse().unwrap()).map_err(|problem| problem.status().as_u16())
    }

    #[test]
    fn a_key_acts_for_its_tenant_and_no_other_key_does() {
        let settings = keys();
        assert_eq!(&*ask(&settings, &[("authorization", "Bearer 0123456789abcdef-b")]).unwrap().tenant, "lyon");
        assert_eq!(&*ask(&settings, &[("authorization", "bearer 0123456789abcdef-a")]).unwrap().tenant, "paris");
        for wrong in ["Bearer 0123456789abcdef", "Bearer ", "Bearer", "Basic 0123456789abcdef-a", "0123456789abcdef-a"]
        {
            assert_eq!(ask(&settings, &[("authorization", wrong)]).unwrap_err(), 401, "{wrong}");
        }
        assert_eq!(ask(&settings, &[]).unwrap_err(), 401);
    }

    #[test]
    fn an_open_host_answers_to_this_machine_and_not_to_a_page_of_another_site() {
        let settings = Settings { open: true, ..Settings::default() };
        for host in ["localhost:8080", "127.0.0.1", "[::1]:8080"] {
            assert!(ask(&settings, &[("host", host)]).is_ok(), "{host}");
        }
        assert_eq!(ask(&settings, &[("host", "rebound.example:8080")]).unwrap_err(), 403);
        assert_eq!(ask(&settings, &[("host", "localhost"), ("origin", "https://evil.example")]).unwrap_err(), 403);
        assert_eq!(ask(&settings, &[("host", "localhost"), ("origin", "null")]).unwrap_err(), 403);
        assert!(ask(&settings, &[("host", "localhost:1"), ("origin", "http://localhost:1")]).is_ok());
    }

    #[test]
    fn a_host_that_lets_anybody_in_listens_on_loopback_only() {
        let open = Settings { open: true, ..Settings::default() };
        let world = "0.0.0.0:8080".parse().unwrap();
        assert_eq!(check(&open, world), Err(Refused::OpenToTheWorld(world)));
        assert_eq!(check(&open, "127.0.0.1:8080".parse().unwrap()), Ok(()));
        assert_eq!(check(&Settings::default(), world), Err(Refused::NoKeys));
        assert_eq!(check(&keys(), world), Ok(()));
        let mut short = keys();
        short.keys[0].secret = Secret::new("short");
        assert_eq!(check(&short, world), Err(Refused::ShortKey("shop".to_owned())));
    }
}
