//! The run itself: its time, its settings, its chance.

use serde::de::DeserializeOwned;

use crate::error::{Error, decode};
use crate::{Instant, host};

/// The run's identifier, the same for every execution of the run.
pub fn id() -> String {
    host::run_id()
}

/// 1 for the first execution.
pub fn attempt() -> u32 {
    host::run_attempt()
}

/// What the run is about, and in whose order it is: `customer/4711`.
pub fn entity() -> String {
    host::run_entity()
}

/// The customer whom the run concerns, where the host could tell.
pub fn customer() -> Option<String> {
    host::run_customer()
}

/// The time of the run, at which the clock stands still.
pub fn now() -> Instant {
    host::run_now()
}

/// Other facts about the run, by the registry's name: `tenant`, `plugin`, `version`, `deadline`.
pub fn attribute(name: &str) -> Option<String> {
    host::run_attribute(name)
}

/// The settings: the manifest's defaults with the operator's on top.
pub fn config<T: DeserializeOwned>() -> Result<T, Error> {
    decode("config", &host::run_config())
}

/// A placeholder for a secret. The host puts the secret in its place in the headers of permitted requests.
pub fn secret(name: &str) -> Option<String> {
    host::run_secret(name)
}

/// Random bytes, fit for secrets, and the same for every execution of the run.
pub fn random(count: u32) -> Vec<u8> {
    host::run_random(count)
}

/// The letters and digits that nobody confuses when reading them aloud: no 0 and O, no 1, I and L. There are 32 of
/// them less one, see [`code`].
const READABLE: &[u8; 31] = b"23456789ABCDEFGHJKMNPQRSTUVWXYZ";

/// A code that a person can read out, `K7FM2Q`: about five bits for each of its characters.
pub fn code(length: usize) -> String {
    let mut code = String::with_capacity(length);
    while code.len() < length {
        // Bytes from 248 on would make the first letters likelier than the others; they are drawn again. One in 32
        // falls out, so the first draw nearly always gives enough.
        let drawn = random(u32::try_from(length).unwrap_or(u32::MAX).saturating_mul(2).max(8));
        let kept = drawn.iter().filter(|byte| **byte < 248);
        code.extend(kept.filter_map(|byte| READABLE.get(usize::from(*byte) % READABLE.len())).map(|c| char::from(*c)));
    }
    code.truncate(length);
    code
}
