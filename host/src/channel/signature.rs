//! Is a webhook from whom it says? Checked on the raw bytes, before anything in them is looked at.
//!
//! Every comparison takes the same time wherever the difference is. A missing header is refused like a wrong one, and so
//! is everything where no secret is set: an empty list must never mean "anybody".

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::{clock::Timestamp, secret::Secret};

/// Why a request is not taken as genuine. It names no secret and repeats nothing of what was sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("the header `{0}` is missing")]
    Missing(&'static str),
    #[error("the header `{header}` cannot be read: {reason}")]
    Malformed { header: &'static str, reason: &'static str },
    #[error("the signature in `{0}` does not fit the body and any of the secrets")]
    Mismatch(&'static str),
    #[error("the time in `{header}` is {seconds} seconds off; {allowed} are allowed")]
    Stale { header: &'static str, seconds: u64, allowed: u64 },
    #[error("no usable secret is configured, so nobody can be let in")]
    NoSecret,
}

/// Meta: `X-Hub-Signature-256: sha256=<hex>` over the raw body with the app's secret.
pub fn verify_meta(app_secrets: &[Secret], raw: &[u8], header: Option<&str>) -> Result<(), Refused> {
    const HEADER: &str = "X-Hub-Signature-256";
    let header = header.ok_or(Refused::Missing(HEADER))?;
    let hex = header
        .trim()
        .strip_prefix("sha256=")
        .ok_or(Refused::Malformed { header: HEADER, reason: "it does not begin with `sha256=`" })?;
    let given = unhex(hex).ok_or(Refused::Malformed { header: HEADER, reason: "it holds no hexadecimal digest" })?;
    let fits = fits_any(app_secrets, |secret| same(&hmac_sha256(secret.reveal().as_bytes(), &[raw]), &given))?;
    if fits { Ok(()) } else { Err(Refused::Mismatch(HEADER)) }
}

/// The three headers of Standard Webhooks.
#[derive(Clone, Copy, Debug, Default)]
pub struct StandardHeaders<'a> {
    /// The same in every repetition: what makes one known.
    pub id: Option<&'a str>,
    pub timestamp: Option<&'a str>,
    pub signature: Option<&'a str>,
}

/// Standard Webhooks with a shared secret: `v1,<base64>` over `id.timestamp.body`. Any of the listed signatures may fit
/// any of the secrets; versions that we do not know are skipped. Secrets are `whsec_` and base64.
pub fn verify_standard(
    secrets: &[Secret],
    raw: &[u8],
    headers: StandardHeaders<'_>,
    now: Timestamp,
    tolerance: Duration,
) -> Result<(), Refused> {
    const SIGNATURE: &str = "webhook-signature";
    const TIMESTAMP: &str = "webhook-timestamp";
    let id = headers.id.filter(|id| !id.is_empty()).ok_or(Refused::Missing("webhook-id"))?;
    let timestamp = headers.timestamp.ok_or(Refused::Missing(TIMESTAMP))?;
    let signature = headers.signature.ok_or(Refused::Missing(SIGNATURE))?;
    let seconds: i64 = timestamp
        .parse()
        .map_err(|_| Refused::Malformed { header: TIMESTAMP, reason: "it is no number of seconds since 1970" })?;
    let at = Timestamp::from_seconds(seconds);
    let off = at.since(now).max(now.since(at));
    if off > tolerance {
        return Err(Refused::Stale { header: TIMESTAMP, seconds: off.as_secs(), allowed: tolerance.as_secs() });
    }
    let given: Vec<Vec<u8>> = signature
        .split_ascii_whitespace()
        .filter_map(|one| one.strip_prefix("v1,"))
        .filter_map(|base64| STANDARD.decode(base64).ok())
        .collect();
    if given.is_empty() {
        return Err(Refused::Malformed { header: SIGNATURE, reason: "it holds no signature of version `v1`" });
    }
    let parts: [&[u8]; 5] = [id.as_bytes(), b".", timestamp.as_bytes(), b".", raw];
    let fits = fits_any(secrets, |secret| {
        standard_key(secret).is_some_and(|key| {
            let expected = hmac_sha256(&key, &parts);
            given.iter().any(|given| same(&expected, given))
        })
    })?;
    if fits { Ok(()) } else { Err(Refused::Mismatch(SIGNATURE)) }
}

/// The bytes of a `whsec_` secret: the base64 decoded.
pub fn standard_key(secret: &Secret) -> Option<Vec<u8>> {
    let base64 = secret.reveal().strip_prefix("whsec_")?;
    STANDARD.decode(base64).ok().filter(|key| !key.is_empty())
}

/// Whether `check` holds for one of the secrets. Empty ones are left out; without any, nothing is let in.
pub fn fits_any(secrets: &[Secret], check: impl Fn(&Secret) -> bool) -> Result<bool, Refused> {
    let mut usable = secrets.iter().filter(|secret| !secret.reveal().is_empty()).peekable();
    if usable.peek().is_none() {
        return Err(Refused::NoSecret);
    }
    // All are tried, so that the time taken does not tell which one fits.
    Ok(usable.fold(false, |fits, secret| check(secret) | fits))
}

/// HMAC-SHA256 over the parts, one after the other.
pub fn hmac_sha256(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    #[expect(clippy::expect_used, reason = "HMAC is defined for keys of every length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

/// HMAC-SHA1 over the parts, one after the other: what Twilio signs with.
pub fn hmac_sha1(key: &[u8], parts: &[&[u8]]) -> [u8; 20] {
    #[expect(clippy::expect_used, reason = "HMAC is defined for keys of every length")]
    let mut mac = Hmac::<Sha1>::new_from_slice(key).expect("HMAC takes a key of any length");
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

/// Whether two byte strings are equal, in a time that depends on their lengths alone.
pub fn same(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> =
        text.chars().map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect();
    let digits = digits?;
    let (pairs, rest) = digits.as_chunks::<2>();
    rest.is_empty().then(|| pairs.iter().map(|[high, low]| high << 4 | low).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const META_SECRET: &str = "relais-demo-app-secret";
    const EMPTY: &[u8] = br#"{"object":"whatsapp_business_account","entry":[]}"#;
    const EMPTY_SIGNED: &str = "sha256=c7e80417e84bbd03b43c91a14872788337b1fc8a59540caac1028bec4a2de457";

    fn secrets(all: &[&str]) -> Vec<Secret> {
        all.iter().map(|text| Secret::new(*text)).collect()
    }

    #[test]
    fn meta_signatures_fit_the_published_vectors() {
        let escaped = br#"{"object":"whatsapp_business_account","entry":[{"id":"1","changes":[{"field":"messages","value":{"messaging_product":"whatsapp","metadata":{"display_phone_number":"33100000000","phone_number_id":"2"},"contacts":[{"profile":{"name":"Zo\u00e9"},"wa_id":"33600000001"}],"messages":[{"from":"33600000001","id":"wamid.TEST","timestamp":"1760000000","type":"text","text":{"body":"Bient\u00f4t pr\u00eat ?"}}]}}]}]}"#;
        assert_eq!(escaped.len(), 408);
        assert_eq!(verify_meta(&secrets(&[META_SECRET]), EMPTY, Some(EMPTY_SIGNED)), Ok(()));
        let signed = "sha256=28e19d09926ee60d291308ebedac87536b3bd5cb211e3177184171b614f7ff7b";
        assert_eq!(verify_meta(&secrets(&[META_SECRET]), escaped, Some(signed)), Ok(()));
    }

    #[test]
    fn while_a_secret_is_replaced_both_count() {
        assert_eq!(verify_meta(&secrets(&["the-next-one", META_SECRET]), EMPTY, Some(EMPTY_SIGNED)), Ok(()));
        assert_eq!(verify_meta(&secrets(&[META_SECRET, "the-next-one"]), EMPTY, Some(EMPTY_SIGNED)), Ok(()));
    }

    #[test]
    fn a_missing_a_wrong_and_a_cut_signature_are_refused() {
        let known = secrets(&[META_SECRET]);
        let refused = |header: Option<&str>| verify_meta(&known, EMPTY, header).unwrap_err();
        assert!(matches!(refused(None), Refused::Missing(_)));
        assert!(matches!(refused(Some("")), Refused::Malformed { .. }));
        assert!(matches!(refused(Some("sha256=xyz")), Refused::Malformed { .. }));
        assert!(matches!(refused(Some("sha256=")), Refused::Mismatch(_)));
        assert!(matches!(refused(Some(&EMPTY_SIGNED[..EMPTY_SIGNED.len() - 2])), Refused::Mismatch(_)));
        assert!(matches!(refused(Some(&EMPTY_SIGNED.replace("c7", "c8"))), Refused::Mismatch(_)));
        let body = [EMPTY, b" "].concat();
        assert!(matches!(verify_meta(&known, &body, Some(EMPTY_SIGNED)), Err(Refused::Mismatch(_))));
    }

    #[test]
    fn without_a_secret_nobody_is_let_in() {
        assert_eq!(verify_meta(&[], EMPTY, Some(EMPTY_SIGNED)), Err(Refused::NoSecret));
        let signed_with_nothing: String = hmac_sha256(b"", &[EMPTY]).iter().map(|byte| format!("{byte:02x}")).collect();
        let header = format!("sha256={signed_with_nothing}");
        assert_eq!(verify_meta(&secrets(&[""]), EMPTY, Some(&header)), Err(Refused::NoSecret));
    }

    const STANDARD_SECRET: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
    const STANDARD_BODY: &[u8] = br#"{"type":"message.delivered","data":{"id":"m_1"}}"#;
    const STANDARD_SIGNED: &str = "v1,FpgUgK72mXHdeQ9aZAXxV6qGqG24dIc0dt+2ZloltVI=";
    const FIVE_MINUTES: Duration = Duration::from_secs(300);

    fn standard(signature: &str, seconds_later: i64) -> Result<(), Refused> {
        let headers =
            StandardHeaders { id: Some("msg_relais_0001"), timestamp: Some("1760000000"), signature: Some(signature) };
        let now = Timestamp::from_seconds(1_760_000_000 + seconds_later);
        verify_standard(&secrets(&["whsec_b3RoZXI=", STANDARD_SECRET]), STANDARD_BODY, headers, now, FIVE_MINUTES)
    }

    #[test]
    fn standard_webhooks_fit_the_published_vector() {
        assert_eq!(standard(STANDARD_SIGNED, 0), Ok(()));
        assert_eq!(standard(&format!("v1a,AAAA v1,AAAA {STANDARD_SIGNED}"), 0), Ok(()));
        assert!(matches!(standard("v1,AAAA", 0), Err(Refused::Mismatch(_))));
        assert!(matches!(standard("v1a,AAAA", 0), Err(Refused::Malformed { .. })));
    }

    #[test]
    fn standard_webhooks_are_refused_when_their_time_is_off_either_way() {
        assert_eq!(standard(STANDARD_SIGNED, 300), Ok(()));
        assert_eq!(standard(STANDARD_SIGNED, -300), Ok(()));
        assert!(matches!(standard(STANDARD_SIGNED, 301), Err(Refused::Stale { .. })));
        assert!(matches!(standard(STANDARD_SIGNED, -301), Err(Refused::Stale { .. })));
    }

    #[test]
    fn standard_webhooks_need_all_three_headers() {
        let all = StandardHeaders { id: Some("i"), timestamp: Some("1760000000"), signature: Some(STANDARD_SIGNED) };
        let known = secrets(&[STANDARD_SECRET]);
        let now = Timestamp::from_seconds(1_760_000_000);
        for headers in [
            StandardHeaders { id: None, ..all },
            StandardHeaders { timestamp: None, ..all },
            StandardHeaders { signature: None, ..all },
        ] {
            let refused = verify_standard(&known, STANDARD_BODY, headers, now, FIVE_MINUTES);
            assert!(matches!(refused, Err(Refused::Missing(_))), "{refused:?}");
        }
    }
}
