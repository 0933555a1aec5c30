//! Talks to a running host.

use reqwest::{Client, Method, StatusCode};
use serde_json::Value;

use super::Target;
use crate::channel::http_client;
use crate::terminal::Failure;

pub(super) struct Api {
    client: Client,
    base: String,
    key: Option<String>,
}

impl Target {
    pub(super) fn connect(&self) -> Result<Api, Failure> {
        let key = match &self.key_file {
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|error| anyhow::anyhow!("cannot read the API key in {}: {error}", path.display()))?;
                Some(text.trim().to_owned())
            }
            None => std::env::var("RELAIS_KEY").ok().filter(|key| !key.is_empty()),
        };
        let client = http_client(&crate::channel::HttpSettings::default()).map_err(anyhow::Error::from)?;
        Ok(Api { client, base: self.url.trim_end_matches('/').to_owned(), key })
    }
}

/// A request's body, with its media type.
pub(super) struct Body {
    pub content_type: &'static str,
    pub bytes: Vec<u8>,
}

impl Api {
    pub(super) async fn get(&self, path: &str) -> Result<Value, Failure> {
        self.call(Method::GET, path, None).await
    }

    pub(super) async fn post(&self, path: &str, body: Option<Body>) -> Result<Value, Failure> {
        self.call(Method::POST, path, body).await
    }

    pub(super) async fn patch(&self, path: &str, body: Body) -> Result<Value, Failure> {
        self.call(Method::PATCH, path, Some(body)).await
    }

    pub(super) async fn delete(&self, path: &str) -> Result<Value, Failure> {
        self.call(Method::DELETE, path, None).await
    }

    async fn call(&self, method: Method, path: &str, body: Option<Body>) -> Result<Value, Failure> {
        let mut request = self.client.request(method, format!("{}{path}", self.base));
        if let Some(key) = &self.key {
            request = request.bearer_auth(key);
        }
        if let Some(body) = body {
            request = request.header("content-type", body.content_type).body(body.bytes);
        }
        let answer = request.send().await.map_err(|error| {
            Failure::Unreachable(format!(
                "no host answers at {}: {error}. Is it running? `--url` names another",
                self.base
            ))
        })?;
        let status = answer.status();
        let text = answer
            .text()
            .await
            .map_err(|error| Failure::Unreachable(format!("the host's answer broke off: {error}")))?;
        let value: Value = serde_json::from_str(&text).unwrap_or(Value::String(text));
        if status.is_success() { Ok(value) } else { Err(Failure::Refused(refusal(status, &value))) }
    }
}

/// A problem in words: title, detail, field and fix.
fn refusal(status: StatusCode, problem: &Value) -> String {
    let part = |name: &str| problem.get(name).and_then(Value::as_str).map(str::to_owned);
    let mut text = format!("the host refuses ({status})");
    match part("title") {
        None => text.push_str(&format!(": {problem}")),
        Some(title) => {
            text.push_str(&format!(": {title}"));
            for (name, label) in [("detail", "\n  "), ("field", "\n  field: "), ("fix", "\n  fix: ")] {
                if let Some(value) = part(name) {
                    text.push_str(label);
                    text.push_str(&value);
                }
            }
        }
    }
    if status == StatusCode::UNAUTHORIZED {
        text.push_str("\n  give the API key with --key-file FILE, or in RELAIS_KEY");
    }
    text
}
