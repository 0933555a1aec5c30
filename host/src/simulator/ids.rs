//! Ids as the providers make them: a `wamid` holds the number in Base64, Twilio's are 32 hexadecimal digits.

use std::sync::atomic::{AtomicU64, Ordering};

use base64::{Engine, engine::general_purpose::STANDARD};

pub(crate) struct Ids {
    seed: u32,
    next: AtomicU64,
}

impl Ids {
    pub(crate) fn new(seed: Option<u32>) -> anyhow::Result<Ids> {
        let seed = match seed {
            Some(seed) => seed,
            None => getrandom::u32().map_err(|error| anyhow::anyhow!("no randomness for message ids: {error}"))?,
        };
        Ok(Ids { seed, next: AtomicU64::new(1) })
    }

    /// The id of a message from the business to `number`.
    pub(crate) fn wamid_out(&self, number: &str) -> String {
        wamid(number, 0x11, &format!("A{:08X}{:09X}", self.seed, self.count()))
    }

    /// The id of a message from `number` to the business.
    pub(crate) fn wamid_in(&self, number: &str) -> String {
        wamid(number, 0x12, &format!("3A{:08X}{:010X}", self.seed, self.count()))
    }

    /// `SM…`, `MM…` and the like.
    pub(crate) fn sid(&self, prefix: &str) -> String {
        format!("{prefix}{:08x}{:024x}", self.seed, self.count())
    }

    /// A number that fits ten digits for long.
    pub(crate) fn number(&self) -> u64 {
        u64::from(self.seed % 4_000) * 1_000_000 + self.count()
    }

    pub(crate) fn media(&self) -> String {
        format!("{}{:010}", 1_000_000 + u64::from(self.seed % 1_000_000), self.count())
    }

    pub(crate) fn reference(&self) -> String {
        format!("{:08x}{:08x}", self.seed, self.count())
    }

    pub(crate) fn trace(&self) -> String {
        let mut bytes = self.seed.to_be_bytes().to_vec();
        bytes.extend_from_slice(&self.count().to_be_bytes());
        format!("A{}", base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes))
    }

    fn count(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }
}

fn wamid(number: &str, direction: u8, tail: &str) -> String {
    let digits = number.trim_start_matches('+').as_bytes();
    let mut bytes = vec![0x1c, 0x18, length(digits)];
    bytes.extend_from_slice(digits);
    bytes.extend_from_slice(&[0x15, 0x02, 0x00, direction, 0x18, length(tail.as_bytes())]);
    bytes.extend_from_slice(tail.as_bytes());
    bytes.push(0);
    format!("wamid.{}", STANDARD.encode(bytes))
}

fn length(bytes: &[u8]) -> u8 {
    u8::try_from(bytes.len()).unwrap_or(u8::MAX)
}

/// The number that a `wamid` holds, with a plus.
pub(crate) fn number_of_wamid(id: &str) -> Option<String> {
    let bytes = STANDARD.decode(id.strip_prefix("wamid.")?).ok()?;
    let length = usize::from(*bytes.get(2)?);
    let digits = std::str::from_utf8(bytes.get(3..3 + length)?).ok()?;
    let valid = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    valid.then(|| format!("+{digits}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wamid_has_the_shape_of_a_real_one_and_names_the_number() {
        let id = wamid("+33639981201", 0x11, "A00000000000000001");
        assert_eq!(id, "wamid.HBgLMzM2Mzk5ODEyMDEVAgARGBJBMDAwMDAwMDAwMDAwMDAwMDEA");
        assert_eq!(number_of_wamid(&id).as_deref(), Some("+33639981201"));
        assert_eq!(number_of_wamid("wamid.AAAA"), None);
    }

    #[test]
    fn no_two_ids_are_alike() {
        let ids = Ids::new(Some(7)).unwrap();
        assert_ne!(ids.sid("SM"), ids.sid("SM"));
        assert_eq!(ids.sid("SM").len(), 34);
        assert_ne!(ids.wamid_in("+1"), ids.wamid_in("+1"));
    }
}
