//! A channel as a component: SMS over CM.com's Business Messaging API.
//!
//! The host has CM.com built in, and does not need this. It is here because its wire is known and can be tried: whoever brings
//! another gateway writes the same two functions. `send` makes one request and says what came of it; `parse` reads what the
//! service posts. The rules, the text, its parts and what follows from a failure are the host's.

#![cfg(target_family = "wasm")]
#![allow(unsafe_code, unreachable_pub, reason = "the generated part of it speaks the canonical ABI")]

wit_bindgen::generate!({
    path: ["../../../../wit/1.0.0", "../../../../wit/channel-0.1.0"],
    world: "relais:channel/channel",
    generate_all,
});

use exports::relais::channel::gateway::{
    Answer, Content, Guest, Incoming, Outgoing, Parsed, Refusal, Report, Stage, Status, Webhook,
};
use relais::plugin::{
    http::{self, HttpError},
    run,
};
use serde_json::{Value, json};

struct Cm;

export!(Cm);

impl Guest for Cm {
    fn send(message: Outgoing) -> Answer {
        let Content::Sms(sms) = message.content else {
            return refused("bad-request", None, "this account is for SMS; set `channel = \"sms\"`");
        };
        let Some(token) = run::secret("product-token") else {
            return refused("account-problem", None, "the host was given no secret `product-token`");
        };
        let body = json!({ "messages": { "msg": [{
            "allowedChannels": ["SMS"],
            "from": message.sender,
            "to": [{ "number": format!("00{}", message.to.trim_start_matches('+')) }],
            "reference": message.token,
            "minimumNumberOfMessageParts": 1,
            "maximumNumberOfMessageParts": sms.parts.max(1),
            "body": { "type": "AUTO", "content": sms.text },
        }]}});
        let request = http::Request {
            method: "POST".to_owned(),
            url: format!("{}/v1.0/message", base_url()),
            headers: vec![
                ("content-type".to_owned(), "application/json".to_owned()),
                // A placeholder: the host puts the token in its place on the way out.
                ("x-cm-producttoken".to_owned(), token),
            ],
            body: Some(body.to_string().into_bytes()),
            timeout: None,
            settings: Vec::new(),
        };
        match http::send(&request) {
            Ok(response) => answer(&message.token, response.status, &response.body),
            Err(error) => no_answer(error),
        }
    }

    fn parse(webhook: Webhook) -> Result<Parsed, String> {
        let body: Value =
            serde_json::from_slice(&webhook.body).map_err(|error| format!("its body is no JSON: {error}"))?;
        let reports =
            match (field(&body, "messages").and_then(|messages| field(messages, "msg")), field(&body, "message")) {
                (Some(Value::Array(list)), _) => list.iter().map(status).collect(),
                (Some(one), _) => vec![status(one)],
                (None, Some(message)) => vec![incoming(&body, message)],
                (None, None) => {
                    return Err("it has neither `messages` (a report) nor `message` (what was written)".to_owned());
                }
            };
        Ok(Parsed { reports, answer: String::new() })
    }
}

fn base_url() -> String {
    let config: Value = serde_json::from_str(&run::config()).unwrap_or_default();
    text(&config, "base_url")
}

/// An error code of CM's is a refusal, even in a 200. A bare 5xx may have taken the message, so that is in doubt.
fn answer(token: &str, status: u16, body: &[u8]) -> Answer {
    let said: Value = serde_json::from_slice(body).unwrap_or_default();
    let of_all = field(&said, "errorCode").and_then(Value::as_i64);
    let first = field(&said, "messages").and_then(|messages| messages.get(0));
    let of_one = first.and_then(|one| field(one, "messageErrorCode")).and_then(Value::as_i64);
    match (status, of_one.filter(|code| *code != 0).or(of_all)) {
        (429, _) => refused("rate-limited", Some("http429"), "it takes no more for now"),
        (503, _) => refused("provider-down", Some("http503"), "it is overloaded"),
        // CM gives no id of its own: the reference is what comes back.
        (200..=299, Some(0)) => Answer::Accepted(token.to_owned()),
        (_, Some(code)) => {
            let words = first.map(|one| text(one, "messageDetails")).filter(|words| !words.is_empty());
            let words = words.unwrap_or_else(|| text(&said, "details"));
            refused(our_code(code), Some(&code.to_string()), &words)
        }
        (401 | 403 | 404, None) => refused("account-problem", None, &format!("it answered {status}")),
        (400..=499, None) => refused("bad-request", None, &format!("it answered {status} without a code")),
        (_, None) => Answer::Unknown(format!("it answered {status} without a word about the message")),
    }
}

/// What CM's codes are among those of the registry.
fn our_code(code: i64) -> &'static str {
    match code {
        101..=103 | 301 => "account-problem",
        302 | 303 => "bad-number",
        304 | 305 => "bad-request",
        _ => "rejected",
    }
}

/// Whether the request went out: only what surely did not is a refusal.
fn no_answer(error: HttpError) -> Answer {
    match error {
        HttpError::NotPermitted(why) => refused("account-problem", None, &why),
        HttpError::BadRequest(why) => refused("bad-request", None, &why),
        HttpError::OverQuota(why) => refused("provider-down", None, &why),
        HttpError::Unreachable(why) | HttpError::Other(why) => Answer::Unknown(why),
        HttpError::TimedOut => Answer::Unknown("it did not answer in time".to_owned()),
        HttpError::TooLarge => Answer::Unknown("its answer was too long to be read".to_owned()),
    }
}

fn refused(code: &str, provider_code: Option<&str>, detail: &str) -> Answer {
    Answer::Refused(refusal(code, provider_code, detail))
}

fn refusal(code: &str, provider_code: Option<&str>, detail: &str) -> Refusal {
    let provider_code = provider_code.map(str::to_owned);
    Refusal { code: code.to_owned(), provider_code, detail: Some(detail.to_owned()), retry_after: None }
}

fn status(message: &Value) -> Report {
    let status = field(message, "status").cloned().unwrap_or_default();
    let reference = text(message, "reference");
    let stage = match text(&status, "code").as_str() {
        "0" => Stage::Sent,
        "2" => Stage::Delivered,
        "1" | "3" => Stage::Failed,
        other => return Report::Notice(format!("a report has the status `{other}`, which is not known")),
    };
    let failed = || refusal("undelivered", Some(&text(&status, "errorCode")), &text(&status, "errorDescription"));
    Report::Status(Status {
        token: Some(reference.clone()),
        provider_id: Some(reference),
        refusal: (stage == Stage::Failed).then(failed),
        stage,
        // CM's times are local to its platform and have no offset: the time of arrival is as good.
        time: None,
        pricing: None,
    })
}

fn incoming(body: &Value, message: &Value) -> Report {
    let number = |name: &str| {
        let number = field(body, name).map(|from| text(from, "number")).unwrap_or_default();
        format!("+{}", number.trim_start_matches('+').trim_start_matches("00"))
    };
    Report::Incoming(Incoming {
        provider_id: text(body, "reference"),
        sender: number("from"),
        sender_name: None,
        to: Some(number("to")),
        time: None,
        kind: "text".to_owned(),
        text: text(message, "text"),
        choice: None,
        location: None,
        quoted: None,
        attributes: Vec::new(),
    })
}

/// CM's reports are filled into templates: names come in any case.
fn field<'v>(value: &'v Value, name: &str) -> Option<&'v Value> {
    let (_, value) = value.as_object()?.iter().find(|(key, _)| key.eq_ignore_ascii_case(name))?;
    (!value.is_null()).then_some(value)
}

/// A text, or a number as text; empty where there is none.
fn text(value: &Value, name: &str) -> String {
    match field(value, name) {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => String::new(),
    }
}
