//! `relais:plugin/http`: requests to services, as far as they are permitted. They are made at once and are no part of what
//! the run commits.

use std::time::Duration;

use ::http::{HeaderMap, HeaderName, HeaderValue, Method};
use bytes::Bytes;
use url::Url;

use super::{RunState, duration, no_settings, wasi::Stream};
use crate::{
    domain::exchange::{Answered, Came, Exchange, Trouble},
    plugin::{
        bindings::http::{self, HttpError},
        http::{Answer, NoAnswer, Outgoing},
        trigger::to_hex,
        units::{show_duration, show_size},
    },
    secret::Secret,
};

/// What says how a connection is used is the host's to say.
const HOSTS_OWN: [&str; 11] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
/// Begins every placeholder of a secret.
const PLACEHOLDER: &str = "relais-secret-";

impl http::Host for RunState {
    async fn send(&mut self, request: http::Request) -> wasmtime::Result<Result<http::Response, HttpError>> {
        self.call()?;
        no_settings("http.send", &request.settings)?;
        let asked = request.timeout.map(|wait| duration("http.send timeout", wait)).transpose()?;
        let settings = &self.shared.http;
        self.requests = self.requests.saturating_add(1);
        if self.requests > settings.requests {
            let (made, setting) = (settings.requests, "plugins.http.requests");
            return Ok(Err(HttpError::OverQuota(format!(
                "the run has made {made} requests, and {setting} has no more"
            ))));
        }
        let timeout = asked.map_or(settings.time.0, |wait| wait.min(settings.time.0));
        let (method, url) = (request.method.clone(), request.url.clone());
        let answered = self.exchange(request, timeout).await;
        if let Some(came) = kept(&answered) {
            Exchange { method, url, came }.keep(&mut self.exchanges);
        }
        Ok(answered)
    }
}

/// What a replay has to know of it. What is wrong with a request itself comes out the same anywhere.
fn kept(answered: &Result<http::Response, HttpError>) -> Option<Came> {
    let (kind, why) = match answered {
        Ok(answer) => return Some(Came::Answer(Answered::new(answer.status, &answer.headers, &answer.body))),
        // It is put in front again where the replay is refused the same way.
        Err(HttpError::NotPermitted(why)) => {
            (Trouble::NotPermitted, why.strip_prefix("http.send: ").unwrap_or(why).to_owned())
        }
        Err(HttpError::Unreachable(why)) => (Trouble::Unreachable, why.clone()),
        Err(HttpError::OverQuota(why)) => (Trouble::OverQuota, why.clone()),
        Err(HttpError::TimedOut) => (Trouble::TimedOut, String::new()),
        Err(HttpError::TooLarge) => (Trouble::TooLarge, String::new()),
        Err(HttpError::BadRequest(_) | HttpError::Other(_)) => return None,
    };
    Some(Came::Trouble { kind, why })
}

/// A secret that a request carries, with the placeholder that stood for it.
type Used = Vec<(String, Secret)>;

impl RunState {
    async fn exchange(&mut self, request: http::Request, timeout: Duration) -> Result<http::Response, HttpError> {
        let (shown, outgoing, used) = self.outgoing(request, timeout)?;
        let Some(door) = self.plugin.door.clone() else {
            return Err(HttpError::NotPermitted("http.send: nothing is granted".to_owned()));
        };
        let started = std::time::Instant::now();
        let answered = door.send(outgoing).await;
        let took = show_duration(started.elapsed());
        let said = match &answered {
            Ok(answer) => format!("{}, {}", answer.status, show_size(answer.body.len() as u64)),
            Err(error) => error.to_string(),
        };
        self.log.line(Stream::Host("info"), &format!("{shown}: {said}, in {took}"), Vec::new());
        answered.map(|answer| response(answer, &used)).map_err(|error| self.no_answer(error))
    }

    /// Looks at every part of a request. Gives it back as it goes out, with what may be shown of it and the secrets in it.
    fn outgoing(&mut self, request: http::Request, timeout: Duration) -> Result<(String, Outgoing, Used), HttpError> {
        let method = Method::from_bytes(request.method.as_bytes())
            .map_err(|_| HttpError::BadRequest(format!("`{}` is no method", request.method)))?;
        let url = url(&request.url)?;
        if let Err(why) = self.may().http(method.as_str(), &url) {
            return Err(HttpError::NotPermitted(self.denied("http.send", why)));
        }
        let body = Bytes::from(request.body.unwrap_or_default());
        let allowed = self.shared.http.request_bytes.0;
        if body.len() as u64 > allowed {
            let (has, allowed) = (show_size(body.len() as u64), show_size(allowed));
            return Err(HttpError::BadRequest(format!(
                "the body has {has}, and plugins.http.request-bytes allows {allowed}"
            )));
        }
        let (headers, used) = self.headers(&request.headers)?;
        // Without the query, which may hold what a log should not.
        let shown = format!("{method} {}://{}{}", url.scheme(), url.authority(), url.path());
        Ok((shown, Outgoing { method, url, headers, body, timeout }, used))
    }

    fn headers(&self, given: &[(String, String)]) -> Result<(HeaderMap, Used), HttpError> {
        let allowed = self.shared.http.header_bytes.0;
        let bytes: usize = given.iter().map(|(name, value)| name.len() + value.len()).sum();
        if bytes as u64 > allowed {
            let allowed = show_size(allowed);
            return Err(HttpError::BadRequest(format!(
                "the headers are longer than plugins.http.header-bytes, {allowed}"
            )));
        }
        let mut used = Vec::new();
        let mut headers = HeaderMap::new();
        for (name, value) in given {
            let wrong = |problem: &str| HttpError::BadRequest(format!("header `{name}`: {problem}"));
            let known = HeaderName::try_from(name.as_str()).map_err(|_| wrong("that is no name of a header"))?;
            if HOSTS_OWN.contains(&known.as_str()) {
                return Err(wrong("the host says this itself"));
            }
            let filled = self.fill(value, &mut used);
            let mut value = HeaderValue::try_from(filled).map_err(|_| wrong("its value holds a control character"))?;
            value.set_sensitive(!used.is_empty());
            headers.append(known, value);
        }
        let key = format!("{}-{}", self.work.run.id, self.requests);
        if let Ok(key) = HeaderValue::try_from(key) {
            headers.entry("idempotency-key").or_insert(key);
        }
        Ok((headers, used))
    }

    /// Puts secrets where their placeholders of this run stand.
    fn fill(&self, value: &str, used: &mut Used) -> String {
        let mut filled = value.to_owned();
        if !value.contains(PLACEHOLDER) {
            return filled;
        }
        for (name, secret) in &self.plugin.secrets {
            let placeholder = self.placeholder(name);
            if filled.contains(&placeholder) && self.may().secret(name).is_ok() {
                filled = filled.replace(&placeholder, secret.reveal());
                used.push((placeholder, secret.clone()));
            }
        }
        filled
    }

    /// What stands for a secret in this run, and in no other.
    pub(super) fn placeholder(&self, name: &str) -> String {
        let mut token = [0; 16];
        self.chance_for(&format!("relais secret {name}")).fill(&mut token);
        format!("{PLACEHOLDER}{}", to_hex(&token))
    }

    fn no_answer(&mut self, error: NoAnswer) -> HttpError {
        match error {
            NoAnswer::KeptFrom(why) => HttpError::NotPermitted(self.denied("http.send", why)),
            NoAnswer::Unreachable(why) => HttpError::Unreachable(why),
            NoAnswer::TimedOut => HttpError::TimedOut,
            NoAnswer::TooLarge => HttpError::TooLarge,
            NoAnswer::Busy => HttpError::OverQuota(format!(
                "the plugin makes {} requests already, which is plugins.http.at-once",
                self.shared.http.at_once
            )),
        }
    }
}

fn url(text: &str) -> Result<Url, HttpError> {
    let mut url = Url::parse(text).map_err(|error| HttpError::BadRequest(format!("url: {error}; give a whole one")))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(HttpError::BadRequest(format!("url: `{}` is not https", url.scheme())));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(HttpError::BadRequest("url: it holds a user or a password; give a header instead".to_owned()));
    }
    url.set_fragment(None);
    Ok(url)
}

/// The answer as the guest gets it. A service that repeats what it was sent gives no secret away by it.
fn response(answer: Answer, used: &Used) -> http::Response {
    let hide = |bytes: &[u8]| {
        used.iter().fold(bytes.to_vec(), |bytes, (placeholder, secret)| {
            replaced(bytes, secret.reveal().as_bytes(), placeholder.as_bytes())
        })
    };
    let header = |(name, value): (&HeaderName, &HeaderValue)| {
        (name.as_str().to_owned(), String::from_utf8_lossy(&hide(value.as_bytes())).into_owned())
    };
    let body = if used.is_empty() { answer.body.to_vec() } else { hide(&answer.body) };
    http::Response { status: answer.status.as_u16(), headers: answer.headers.iter().map(header).collect(), body }
}

fn replaced(bytes: Vec<u8>, from: &[u8], to: &[u8]) -> Vec<u8> {
    if from.is_empty() || !bytes.windows(from.len()).any(|window| window == from) {
        return bytes;
    }
    let mut made = Vec::with_capacity(bytes.len());
    let mut rest = bytes.as_slice();
    while let Some((first, behind)) = rest.split_first() {
        if let Some(behind) = rest.strip_prefix(from) {
            made.extend_from_slice(to);
            rest = behind;
        } else {
            made.push(*first);
            rest = behind;
        }
    }
    made
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_whole_and_holds_no_password() {
        assert_eq!(url("https://a.b/c#d").unwrap().as_str(), "https://a.b/c");
        for wrong in ["/c", "ftp://a.b/", "file:///etc/passwd", "https://user:word@a.b/", "https://"] {
            assert!(matches!(url(wrong), Err(HttpError::BadRequest(_))), "{wrong}");
        }
    }

    #[test]
    fn what_a_service_repeats_of_a_secret_is_hidden_again() {
        assert_eq!(replaced(b"a key, key".to_vec(), b"key", b"[it]"), b"a [it], [it]");
        assert_eq!(replaced(b"none".to_vec(), b"key", b"[it]"), b"none");
    }
}
