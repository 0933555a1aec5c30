//! The services that a plugin asks, as a scenario has them: answers by method and URL, and what was asked for.
//!
//! Nothing here connects. A request that the scenario has no answer to gets none, and is told with the lines to add.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::Deserialize;
use serde_json::Value as Json;

use super::format::json;
use crate::{
    domain::exchange::Trouble,
    plugin::{self, NoAnswer, Outgoing, Outside},
};

/// An answer, as a file has it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Http {
    #[serde(default = "get")]
    method: String,
    url: String,
    status: Option<u16>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    body: Option<String>,
    json: Option<toml::Value>,
    error: Option<Trouble>,
}

/// A request that a step expects. Of all but `method` and `url` what is given is compared.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Request {
    #[serde(default = "get")]
    pub(super) method: String,
    pub(super) url: String,
    #[serde(default)]
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: Option<String>,
    pub(super) json: Option<toml::Value>,
}

fn get() -> String {
    "GET".to_owned()
}

/// One that can be given.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    method: String,
    /// Whole, or what it begins with where a `*` ended it.
    url: String,
    begins: bool,
    gives: Result<(StatusCode, HeaderMap, Bytes), NoAnswer>,
}

pub(super) fn answer(http: Http) -> Result<Answer, String> {
    let Http { method, url, status, headers, body, json: value, error } = http;
    let at = format!("the answer to {method} {url}");
    if error.is_some() && (status.is_some() || !headers.is_empty() || body.is_some() || value.is_some()) {
        return Err(format!("{at} has both `error` and a part of an answer; write one"));
    }
    if body.is_some() && value.is_some() {
        return Err(format!("{at} has both `body` and `json`; write one"));
    }
    let (begins, plain) = match url.strip_suffix('*') {
        Some(before) => (true, before),
        None => (false, url.as_str()),
    };
    // As the host spells it in a request, so that both are compared alike.
    let parsed = url::Url::parse(plain).map_err(|error| format!("{at}: `url`: {error}; write a whole one"))?;
    let url = if begins { plain.to_owned() } else { parsed.to_string() };
    let gives = match error {
        Some(trouble) => Err(no_answer(trouble, "the scenario says so")),
        None => {
            let status = status.unwrap_or(200);
            let status = StatusCode::from_u16(status).map_err(|_| format!("{at}: `status`: {status} is none"))?;
            let mut headers = header_map(&headers).map_err(|why| format!("{at}: `headers`: {why}"))?;
            if value.is_some() {
                headers.entry(http::header::CONTENT_TYPE).or_insert(HeaderValue::from_static("application/json"));
            }
            let body = value.map(|value| json(&value).to_string()).or(body).unwrap_or_default();
            Ok((status, headers, Bytes::from(body)))
        }
    };
    Ok(Answer { method: method.to_uppercase(), url, begins, gives })
}

fn header_map(given: &BTreeMap<String, String>) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for (name, value) in given {
        let name = HeaderName::try_from(name).map_err(|_| format!("`{name}` is no header's name"))?;
        headers.append(name, HeaderValue::try_from(value).map_err(|_| format!("`{value}` is no header's value"))?);
    }
    Ok(headers)
}

/// The same trouble as the host would have.
pub(in crate::author) fn no_answer(trouble: Trouble, why: &str) -> NoAnswer {
    match trouble {
        Trouble::NotPermitted => NoAnswer::KeptFrom(why.to_owned()),
        Trouble::Unreachable => NoAnswer::Unreachable(why.to_owned()),
        Trouble::TimedOut => NoAnswer::TimedOut,
        Trouble::TooLarge => NoAnswer::TooLarge,
        Trouble::OverQuota => NoAnswer::Busy,
    }
}

/// A request that was made.
#[derive(Clone, Debug)]
pub(super) struct Made {
    pub(super) method: String,
    pub(super) url: String,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: Bytes,
    pub(super) answered: bool,
}

#[derive(Default)]
pub(super) struct Services(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    answers: Vec<Answer>,
    made: Vec<Made>,
}

impl Services {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first of these that fits is given, before those that were known.
    pub(super) fn know(&self, answers: &[Answer]) {
        self.inner().answers.splice(0..0, answers.iter().cloned());
    }

    /// The requests since the last time that this was asked.
    pub(super) fn take(&self) -> Vec<Made> {
        std::mem::take(&mut self.inner().made)
    }
}

#[async_trait]
impl Outside for Services {
    async fn send(&self, request: Outgoing) -> Result<plugin::Answer, NoAnswer> {
        let (method, url) = (request.method.to_string(), request.url.to_string());
        let mut inner = self.inner();
        let fits = |answer: &&Answer| {
            answer.method == method && if answer.begins { url.starts_with(&answer.url) } else { url == answer.url }
        };
        let gives = inner.answers.iter().find(fits).map(|answer| answer.gives.clone());
        let headers = request.headers.iter();
        let headers = headers.map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into()));
        let (headers, answered) = (headers.collect(), gives.is_some());
        let nothing = || Err(NoAnswer::Unreachable(format!("the scenario has no answer to {method} {url}")));
        let gives = gives.unwrap_or_else(nothing);
        inner.made.push(Made { method, url, headers, body: request.body, answered });
        gives.map(|(status, headers, body)| plugin::Answer { status, headers, body })
    }
}

impl Made {
    /// What a file lacks.
    pub(super) fn lines_to_add(&self) -> String {
        let text = |text: &str| toml::Value::String(text.to_owned()).to_string();
        format!(
            "{} {} has no answer; add to the file, above its steps:\n[[http]]\nmethod = {}\nurl = {}\nstatus = 200\njson = {{}}",
            self.method,
            self.url,
            text(&self.method),
            text(&self.url)
        )
    }

    /// In words, with those parts that are asked about.
    pub(super) fn words(&self, wanted: Option<&Request>) -> String {
        let asked =
            |name: &str| wanted.is_some_and(|wanted| wanted.headers.keys().any(|key| key.eq_ignore_ascii_case(name)));
        let headers = self.headers.iter().filter(|(name, _)| asked(name));
        let said = String::from_utf8_lossy(&self.body);
        let body = match wanted {
            Some(Request { json: Some(wanted), .. }) => {
                let value = serde_json::from_slice(&self.body).unwrap_or_else(|_| Json::from(&*said));
                let wanted = json(wanted);
                Some(super::compare::pretty(if super::compare::equal(&wanted, &value) { &wanted } else { &value }))
            }
            Some(Request { body: Some(_), .. }) => Some(said.into_owned()),
            _ => None,
        };
        words(&self.method, &self.url, headers, body)
    }
}

impl Request {
    pub(super) fn words(&self) -> String {
        let headers: BTreeMap<String, String> =
            self.headers.iter().map(|(name, value)| (name.to_lowercase(), value.clone())).collect();
        let body = self.json.as_ref().map(|value| super::compare::pretty(&json(value))).or(self.body.clone());
        words(&self.method.to_uppercase(), &self.url, headers.iter(), body)
    }
}

fn words<'a>(
    method: &str,
    url: &str,
    headers: impl Iterator<Item = (&'a String, &'a String)>,
    body: Option<String>,
) -> String {
    let mut words = format!("{method} {url}");
    headers.for_each(|(name, value)| words.push_str(&format!("\n  {name}: {value}")));
    if let Some(body) = body {
        words.push_str(&format!("\n  {}", body.replace('\n', "\n  ")));
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Answer, String> {
        answer(toml::from_str(text).unwrap())
    }

    #[test]
    fn an_answer_that_says_two_things_is_told_so() {
        for (text, words) in [
            ("url = \"https://a.example/\"\nbody = \"x\"\njson = {}", "both `body` and `json`"),
            ("url = \"https://a.example/\"\nerror = \"timed-out\"\nstatus = 500", "both `error` and"),
            ("url = \"/orders\"", "write a whole one"),
            ("url = \"https://a.example/\"\nstatus = 7", "7 is none"),
            ("url = \"https://a.example/\"\nheaders = { \"a b\" = \"x\" }", "`a b` is no header's name"),
        ] {
            let problem = read(text).unwrap_err();
            assert!(problem.contains(words), "{problem}");
        }
    }

    #[tokio::test]
    async fn the_latest_answer_that_fits_is_given() {
        let services = Services::default();
        services.know(&[read("url = \"https://a.example/*\"\nbody = \"any\"").unwrap()]);
        services.know(&[read("url = \"https://a.example/one\"\nerror = \"timed-out\"").unwrap()]);
        let ask = async |method: http::Method, url: &str| {
            let (headers, timeout) = (HeaderMap::new(), std::time::Duration::from_secs(1));
            let request = Outgoing { method, url: url.parse().unwrap(), headers, body: Bytes::new(), timeout };
            services.send(request).await.map(|answer| answer.body)
        };
        assert_eq!(ask(http::Method::GET, "https://a.example/one").await, Err(NoAnswer::TimedOut));
        assert_eq!(ask(http::Method::GET, "https://a.example/two").await.unwrap(), "any");
        assert!(matches!(ask(http::Method::POST, "https://a.example/two").await, Err(NoAnswer::Unreachable(_))));
        let made = services.take();
        assert_eq!(made.iter().map(|made| made.answered).collect::<Vec<_>>(), [true, true, false]);
        assert!(made[2].lines_to_add().contains("method = \"POST\"\nurl = \"https://a.example/two\""));
    }
}
