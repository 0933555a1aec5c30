//! Signatures as Standard Webhooks has them, and where the secrets come from.
//!
//! Of a secret nothing is stored. It follows from the key that a store is born with, the endpoint and a number that a rotation
//! raises; so it is the same on every host and in a restored backup, and no row, log or copy of a table holds one.

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::{
    channel::signature::hmac_sha256,
    clock::Timestamp,
    domain::endpoint::{Endpoint, Notice},
    ids::{EndpointId, TenantId},
};

/// The key itself: 32 bytes, between the 24 and the 64 that the standard asks for.
fn key(host_secret: &[u8; 32], tenant: &TenantId, id: EndpointId, no: u32) -> [u8; 32] {
    let all = blake3::derive_key("relais 2026: secrets of endpoints", host_secret);
    let mut hasher = blake3::Hasher::new_keyed(&all);
    hasher.update(&id.0);
    hasher.update(&no.to_le_bytes());
    hasher.update(tenant.as_bytes());
    *hasher.finalize().as_bytes()
}

/// A secret as its receiver is given it.
pub fn secret(host_secret: &[u8; 32], tenant: &TenantId, id: EndpointId, no: u32) -> String {
    format!("whsec_{}", STANDARD.encode(key(host_secret, tenant, id, no)))
}

/// The headers of one try. Each good secret signs, so that a receiver may change over when it likes.
pub(super) fn headers(host_secret: &[u8; 32], endpoint: &Endpoint, notice: &Notice, now: Timestamp) -> HeaderMap {
    let (id, seconds) = (notice.id.to_string(), now.0.div_euclid(1000).to_string());
    let keys = endpoint.secrets_at(now).map(|no| key(host_secret, &endpoint.tenant, endpoint.id, no));
    let signatures: Vec<String> = keys.map(|key| signature(&key, &id, &seconds, notice.body.as_bytes())).collect();
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let own = [("webhook-id", id), ("webhook-timestamp", seconds), ("webhook-signature", signatures.join(" "))];
    for (name, value) in own {
        // Letters, digits and base64: they are always a header's value.
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    headers
}

fn signature(key: &[u8], id: &str, seconds: &str, body: &[u8]) -> String {
    let parts: [&[u8]; 5] = [id.as_bytes(), b".", seconds.as_bytes(), b".", body];
    format!("v1,{}", STANDARD.encode(hmac_sha256(key, &parts)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        channel::signature::{StandardHeaders, standard_key, verify_standard},
        domain::endpoint::{SecretNo, Standing, TEST},
        ids::NoticeId,
        secret::Secret,
    };

    #[test]
    fn the_published_vector_is_signed_as_published() {
        let secret = Secret::new("whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=");
        let body = br#"{"type":"message.delivered","data":{"id":"m_1"}}"#;
        let signed = signature(&standard_key(&secret).unwrap(), "msg_relais_0001", "1760000000", body);
        assert_eq!(signed, "v1,FpgUgK72mXHdeQ9aZAXxV6qGqG24dIc0dt+2ZloltVI=");
    }

    #[test]
    fn both_secrets_of_a_rotation_verify_and_no_other_endpoints() {
        let host_secret = [3; 32];
        let endpoint = Endpoint {
            tenant: TenantId::default_tenant(),
            id: EndpointId([9; 16]),
            url: "https://shop.example".into(),
            description: String::new(),
            types: vec![],
            include: vec![],
            disabled: None,
            secrets: vec![SecretNo { no: 1, until: Some(Timestamp(2_000_000)) }, SecretNo { no: 2, until: None }],
            failing_since: None,
            created: Timestamp(0),
            updated: Timestamp(0),
        };
        let notice = Notice {
            seq: 1,
            id: NoticeId([1; 16]),
            tenant: endpoint.tenant.clone(),
            endpoint: endpoint.id,
            kind: TEST.into(),
            lane: String::new(),
            created: Timestamp(0),
            body: r#"{"type":"x"}"#.into(),
            standing: Standing::default(),
        };
        let verified = |id: EndpointId, no: u32, now: Timestamp| {
            let headers = headers(&host_secret, &endpoint, &notice, now);
            let of = |name: &str| headers.get(name).map(|value| value.to_str().unwrap());
            let standard = StandardHeaders {
                id: of("webhook-id"),
                timestamp: of("webhook-timestamp"),
                signature: of("webhook-signature"),
            };
            let given = Secret::new(secret(&host_secret, &endpoint.tenant, id, no));
            verify_standard(&[given], notice.body.as_bytes(), standard, now, Duration::from_secs(300)).is_ok()
        };
        let (early, late) = (Timestamp(1_000_000), Timestamp(2_000_000));
        assert!(verified(endpoint.id, 2, early) && verified(endpoint.id, 1, early));
        assert!(verified(endpoint.id, 2, late) && !verified(endpoint.id, 1, late), "the old one has ended");
        assert!(!verified(EndpointId([8; 16]), 2, early) && !verified(endpoint.id, 3, early));
    }
}
