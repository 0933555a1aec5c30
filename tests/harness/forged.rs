//! Webhooks that a test posts itself, signed as the providers sign them: with its own hands, and not with the host's.

use base64::Engine;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha1::Sha1;
use sha2::Sha256;

use super::{Answer, Host};

impl Host {
    /// A webhook of Meta with these changes, one entry for each, signed with `secret`.
    pub(crate) async fn meta_webhook(&self, changes: &[Value], secret: &str) -> Answer {
        let entries: Vec<Value> = changes.iter().map(|value| json!({"id": self.sim.options.meta.waba_id, "changes": [{"field": "messages", "value": value}]})).collect();
        let body = json!({"object": "whatsapp_business_account", "entry": entries}).to_string();
        let signature = meta_signature(secret, body.as_bytes());
        self.meta_raw(&body, &[("x-hub-signature-256", &signature)]).await
    }

    pub(crate) async fn meta_raw(&self, body: &str, headers: &[(&str, &str)]) -> Answer {
        let mut all = vec![("content-type", "application/json")];
        all.extend_from_slice(headers);
        self.send(reqwest::Method::POST, "/v1/webhooks/meta", &all, body.to_owned()).await
    }

    /// What Meta says of one message, as a change of its own.
    pub(crate) fn status(&self, wamid: &str, token: Option<&str>, status: &str) -> Value {
        let mut one = json!({
            "id": wamid, "status": status, "recipient_id": "33639981201", "timestamp": (self.sim.now().0 / 1000).to_string(),
        });
        if let Some(token) = token {
            one["biz_opaque_callback_data"] = json!(token);
        }
        if status == "failed" {
            one["errors"] = json!([{"code": 131_026, "title": "Message undeliverable"}]);
        }
        self.change(json!({"statuses": [one]}))
    }

    /// What a customer writes, as a change of its own.
    pub(crate) fn written(&self, wamid: &str, from: &str, text: &str) -> Value {
        let from = from.trim_start_matches('+');
        let message = json!({
            "from": from, "id": wamid, "timestamp": (self.sim.now().0 / 1000).to_string(), "type": "text", "text": {"body": text},
        });
        self.change(json!({"contacts": [{"profile": {"name": "Paul"}, "wa_id": from}], "messages": [message]}))
    }

    fn change(&self, mut value: Value) -> Value {
        let meta = &self.sim.options.meta;
        value["messaging_product"] = json!("whatsapp");
        value["metadata"] =
            json!({"display_phone_number": meta.display_phone_number, "phone_number_id": meta.phone_number_id});
        value
    }

    pub(crate) fn meta_secret(&self) -> &str {
        &self.sim.options.meta.app_secret
    }

    /// What CM.com reports of one message, by our reference.
    pub(crate) async fn cm_report(&self, reference: &str, code: &str) -> Answer {
        let status = json!({"code": code, "errorCode": "", "errorDescription": ""});
        let body = json!({"messages": {"msg": {
            "received": "2026-01-15T10:30:02", "to": "0033639981201", "reference": reference, "status": status, "operator": "20801",
        }}});
        let path = format!("/v1/webhooks/cm/{}", self.sim.options.cm.webhook_secret);
        self.send(reqwest::Method::POST, &path, &[("content-type", "application/json")], body.to_string()).await
    }

    /// A webhook of Twilio, to a path with its query, signed with `token` over `signed_url`.
    pub(crate) async fn twilio_webhook(&self, path: &str, params: &[(&str, &str)], token: &str) -> Answer {
        let mut sorted = params.to_vec();
        sorted.sort_unstable();
        let mut signed = format!("{}{path}", self.url);
        for (name, value) in sorted {
            signed.push_str(name);
            signed.push_str(value);
        }
        let mut mac = Hmac::<Sha1>::new_from_slice(token.as_bytes()).unwrap();
        mac.update(signed.as_bytes());
        let signature = base64::engine::general_purpose::STANDARD.encode(mac.finalize().into_bytes());
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(params).finish();
        let headers =
            [("content-type", "application/x-www-form-urlencoded"), ("x-twilio-signature", signature.as_str())];
        self.send(reqwest::Method::POST, path, &headers, body).await
    }
}

pub(crate) fn meta_signature(secret: &str, body: &[u8]) -> String {
    format!("sha256={}", hmac_sha256_hex(secret, body))
}

pub(crate) fn hmac_sha256_hex(secret: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body);
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}
