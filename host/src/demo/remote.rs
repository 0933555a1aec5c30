//! The two doors that the demo uses, over HTTP like anybody: the host's API and the simulator's own.

use anyhow::{Context, bail};
use reqwest::{Client, Method};
use serde_json::Value;

use crate::channel::{HttpSettings, http_client};

pub(crate) struct Remote {
    client: Client,
    host: String,
    simulator: String,
}

impl Remote {
    pub(crate) fn new(host: String, simulator: String) -> anyhow::Result<Remote> {
        Ok(Remote { client: http_client(&HttpSettings::default())?, host, simulator })
    }

    pub(crate) async fn host(&self, method: Method, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        self.call(method, &format!("{}{path}", self.host), "application/json", body).await
    }

    pub(crate) async fn event(&self, event: &Value) -> anyhow::Result<Value> {
        let url = format!("{}/v1/events?wait=20", self.host);
        self.call(Method::POST, &url, "application/cloudevents+json", Some(event)).await
    }

    pub(crate) async fn simulator(&self, method: Method, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        self.call(method, &format!("{}/sim{path}", self.simulator), "application/json", body).await
    }

    async fn call(&self, method: Method, url: &str, media: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        let mut request = self.client.request(method.clone(), url);
        if let Some(body) = body {
            request = request.header("content-type", media).body(body.to_string());
        }
        let answer = request.send().await.with_context(|| format!("{method} {url}"))?;
        let status = answer.status();
        let text = answer.text().await.with_context(|| format!("{method} {url}"))?;
        if !status.is_success() {
            bail!("{method} {url} was answered {status}: {text}");
        }
        if text.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(&text).with_context(|| format!("{method} {url} was not answered with JSON: {text}"))
    }
}
