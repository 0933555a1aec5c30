//! How the providers sign what they post, and how Meta writes JSON.

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha1::Sha1;
use sha2::Sha256;

/// The value of Meta's `X-Hub-Signature-256` for these bytes.
pub(crate) fn meta(app_secret: &str, body: &[u8]) -> String {
    #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(app_secret.as_bytes()).expect("HMAC takes a key of any length");
    mac.update(body);
    format!("sha256={}", hex(&mac.finalize().into_bytes()))
}

/// The value of Twilio's `X-Twilio-Signature` for this URL and these form fields.
pub(crate) fn twilio(auth_token: &str, url: &str, fields: &[(String, String)]) -> String {
    #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
    let mut mac = Hmac::<Sha1>::new_from_slice(auth_token.as_bytes()).expect("HMAC takes a key of any length");
    let mut sorted: Vec<&(String, String)> = fields.iter().collect();
    sorted.sort();
    mac.update(url.as_bytes());
    for (name, value) in sorted {
        mac.update(name.as_bytes());
        mac.update(value.as_bytes());
    }
    STANDARD.encode(mac.finalize().into_bytes())
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// JSON as Meta writes it: everything outside ASCII as `\uXXXX`, and each `/` as `\/`.
/// Whoever parses and writes it again before checking the signature gets other bytes, as with the real one.
pub(crate) fn meta_json(value: &Value) -> String {
    let plain = value.to_string();
    let mut text = String::with_capacity(plain.len() + plain.len() / 4);
    for character in plain.chars() {
        // Outside of strings JSON has neither a slash nor anything beyond ASCII, so the whole text can be treated alike.
        match character {
            '/' => text.push_str("\\/"),
            ascii if ascii.is_ascii() => text.push(ascii),
            other => escape(&mut text, other),
        }
    }
    text
}

fn escape(text: &mut String, character: char) {
    use std::fmt::Write;
    for unit in character.encode_utf16(&mut [0; 2]) {
        // Writing to a String cannot fail.
        let _ = write!(text, "\\u{unit:04x}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meta_signatures_match_the_vectors() {
        let secret = "relais-demo-app-secret";
        let empty = br#"{"object":"whatsapp_business_account","entry":[]}"#;
        assert_eq!(meta(secret, empty), "sha256=c7e80417e84bbd03b43c91a14872788337b1fc8a59540caac1028bec4a2de457");
        let escaped = br#"{"object":"whatsapp_business_account","entry":[{"id":"1","changes":[{"field":"messages","value":{"messaging_product":"whatsapp","metadata":{"display_phone_number":"33100000000","phone_number_id":"2"},"contacts":[{"profile":{"name":"Zo\u00e9"},"wa_id":"33600000001"}],"messages":[{"from":"33600000001","id":"wamid.TEST","timestamp":"1760000000","type":"text","text":{"body":"Bient\u00f4t pr\u00eat ?"}}]}}]}]}"#;
        assert_eq!(meta(secret, escaped), "sha256=28e19d09926ee60d291308ebedac87536b3bd5cb211e3177184171b614f7ff7b");
    }

    #[test]
    fn a_twilio_signature_matches_the_vector() {
        let fields = [
            ("MessageSid", "SM00000000000000000000000000000001"),
            ("MessageStatus", "delivered"),
            ("To", "+33600000001"),
            ("From", "+33700000000"),
            ("AccountSid", "AC00000000000000000000000000000001"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let url = "https://relais.example/hooks/twilio/status?tenant=t1";
        assert_eq!(twilio("relais-demo-auth-token", url, &fields), "szpqp5k0WzwMWeZSFkBxF0EQi3U=");
    }

    #[test]
    fn meta_escapes_what_is_not_ascii_and_slashes() {
        let value = serde_json::json!({"body": "Bientôt 👍 a/b"});
        let text = meta_json(&value);
        assert_eq!(text, r#"{"body":"Bient\u00f4t \ud83d\udc4d a\/b"}"#);
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
    }
}
