//! The host's API, as a caller uses it.

use reqwest::{Method, header::HeaderMap};
use serde_json::{Value, json};

use super::Host;

/// What was answered.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
    /// `null` where it is no JSON.
    pub(crate) body: Value,
}

impl Answer {
    /// The answer's JSON, where it was a success.
    #[track_caller]
    pub(crate) fn ok(self) -> Value {
        assert!((200..300).contains(&self.status), "{self:?}");
        self.body
    }

    /// That it is a problem of this status and type, and that it says what to do.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16, kind: &str, field: Option<&str>) -> &Value {
        assert_eq!(self.status, status, "{}", self.text);
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(self.body["type"], kind, "{}", self.text);
        assert_eq!(self.body["status"], status);
        assert_eq!(self.body["field"].as_str(), field, "{}", self.text);
        assert!(self.body["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{}", self.text);
        &self.body
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }
}

impl Host {
    /// Any request, and whatever is answered.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<reqwest::Body>,
    ) -> Answer {
        self.try_send(method, path, headers, body)
            .await
            .unwrap_or_else(|error| panic!("{path}: {error}\n{}", self.log()))
    }

    /// The same where the host may go away meanwhile.
    pub(crate) async fn try_send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<reqwest::Body>,
    ) -> reqwest::Result<Answer> {
        let mut request = self.client.request(method, format!("{}{path}", self.url)).body(body);
        if let Some(key) = self.key {
            request = request.bearer_auth(key);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.send().await?;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let text = answer.text().await?;
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Ok(Answer { status, headers, text, body })
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        self.send(Method::GET, path, &[], "").await.ok()
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Value {
        self.send(Method::PUT, path, &[("content-type", "application/json")], body.to_string()).await.ok()
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(Method::POST, path, &[("content-type", "application/json")], body.to_string()).await
    }

    /// Posts a CloudEvent, and returns what its runs came to. Its runs have ended well or were set aside by then, or wait for
    /// another execution: whether they have is `complete`.
    pub(crate) async fn event(&self, event: Value) -> Value {
        self.post_event("/v1/events?wait=20", &event).await.ok()
    }

    /// Posts a CloudEvent, and returns as soon as it was accepted.
    pub(crate) async fn accept(&self, event: Value) -> Value {
        let answer = self.post_event("/v1/events", &event).await;
        assert_eq!(answer.status, 202, "{}", answer.text);
        answer.body
    }

    pub(crate) async fn post_event(&self, path: &str, event: &Value) -> Answer {
        let media =
            if event.is_array() { "application/cloudevents-batch+json" } else { "application/cloudevents+json" };
        self.send(Method::POST, path, &[("content-type", media)], event.to_string()).await
    }

    /// Registers a customer who can be reached under one number on both channels.
    pub(crate) async fn customer(&self, id: &str, number: &str) -> Value {
        self.customer_with(id, number, json!({})).await
    }

    /// The same with more, or other, members of the profile.
    pub(crate) async fn customer_with(&self, id: &str, number: &str, more: Value) -> Value {
        let mut profile = json!({
            "name": id, "locale": "en", "timezone": "Europe/Paris",
            "addresses": [{"channel": "whatsapp", "address": number}, {"channel": "sms", "address": number}],
        });
        for (name, value) in more.as_object().unwrap() {
            profile[name] = value.clone();
        }
        self.put(&format!("/v1/customers/{id}"), profile).await
    }

    pub(crate) async fn message(&self, id: &str) -> Value {
        self.get(&format!("/v1/messages/{id}")).await
    }

    /// All messages to a customer, the first one first.
    pub(crate) async fn messages(&self, customer: &str) -> Vec<Value> {
        let listing = self.get(&format!("/v1/messages?customer={customer}&limit=200")).await;
        assert_eq!(listing["next"], Value::Null, "there are more than one page");
        let mut messages = listing["messages"].as_array().unwrap().clone();
        messages.reverse();
        messages
    }

    /// Every message of the host, page by page.
    pub(crate) async fn all_messages(&self) -> Vec<Value> {
        self.all("messages", "").await
    }

    /// Those that stand in this state.
    pub(crate) async fn messages_in(&self, state: &str) -> Vec<Value> {
        self.all("messages", &format!("&state={state}")).await
    }

    /// Every run of the host.
    pub(crate) async fn all_runs(&self) -> Vec<Value> {
        self.all("runs", "").await
    }

    async fn all(&self, what: &str, filter: &str) -> Vec<Value> {
        let mut all = Vec::new();
        let mut path = format!("/v1/{what}?limit=200{filter}");
        loop {
            let mut page = self.get(&path).await;
            let Value::Array(rows) = page[what].take() else { panic!("{what}: {page:#}") };
            all.extend(rows);
            match page["next"].as_i64() {
                Some(next) => path = format!("/v1/{what}?limit=200{filter}&before={next}"),
                None => return all,
            }
        }
    }

    /// The one message to a customer, once it stands so.
    pub(crate) async fn only_message(&self, customer: &str, state: &str) -> Value {
        self.until(&format!("{customer} has one message, and it is {state}"), async || {
            match self.messages(customer).await.as_slice() {
                [only] if only["state"] == state => Ok(self.message(only["id"].as_str().unwrap()).await),
                others => Err(format!("{:#}", json!(others))),
            }
        })
        .await
    }

    /// A message by its id, once it stands so.
    pub(crate) async fn until_state(&self, id: &str, state: &str) -> Value {
        self.until(&format!("message {id} is {state}"), async || {
            let message = self.message(id).await;
            if message["state"] == state { Ok(message) } else { Err(format!("{message:#}")) }
        })
        .await
    }

    pub(crate) async fn run(&self, id: &str) -> Value {
        self.get(&format!("/v1/runs/{id}")).await
    }

    /// A run by its id, once it is in this state.
    pub(crate) async fn until_run(&self, id: &str, state: &str) -> Value {
        self.until(&format!("run {id} is {state}"), async || {
            let run = self.run(id).await;
            if run["state"] == state { Ok(run) } else { Err(format!("{run:#}")) }
        })
        .await
    }
}
