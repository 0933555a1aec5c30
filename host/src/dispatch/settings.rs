//! What the operator decides about dispatching.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Fallback;

/// Times are in seconds, so that they read well in the configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Settings {
    /// Attempts made side by side, over all accounts. Each holds a connection and some 20 kB.
    pub concurrent_max: usize,
    /// Messages kept in memory, shared equally among the tenants that have any to send; further ones stay in the store until
    /// there is room. At about 4 kB each: 40 MB.
    pub in_memory_max: usize,
    /// Of them, messages to one recipient, which follow one another: more would only take the place of others'.
    pub lane_in_memory_max: usize,
    /// How often it is looked whether the store has messages that nobody told of.
    pub sweep_s: u64,
    /// Attempts on one channel, the first included, when the provider is busy.
    pub attempts_max: u32,
    /// Pause before the second attempt; doubles each time, `Retry-After` is honoured.
    pub retry_first_s: u64,
    pub retry_longest_s: u64,
    /// A message of which nothing was heard any more is closed as it stands after this time. Three days: providers repeat
    /// receipts for up to seven, and a later one still counts.
    pub close_after_s: u64,
    /// How long an account rests after an error that every message of it would meet.
    pub account_rest_s: u64,
    /// Messages per second and WhatsApp number; Meta allows 80 (131056 and 130429 above).
    pub whatsapp_per_second: u32,
    /// Messages per second and SMS account.
    pub sms_per_second: u32,
    /// How many of each may go at once after a rest; 0: a second's worth.
    pub whatsapp_burst: u32,
    pub sms_burst: u32,
    /// Seconds per message to one WhatsApp recipient, and how many may be borrowed from the future (`channels.md` §1.12).
    pub pair_interval_s: u64,
    pub pair_burst: u32,
    /// How long a provider's id for a file that was uploaded is used again. Meta keeps one for 30 days (`channels.md` §1.12, September
    /// 2026); a day less, so that it is not forgotten on the way. 0: every file is uploaded every time.
    pub uploads_kept_days: u32,
    /// Tables of their own in the configuration: [fallback].
    #[serde(skip)]
    pub(crate) fallback: Fallback,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            concurrent_max: 256,
            in_memory_max: 10_000,
            lane_in_memory_max: 64,
            sweep_s: 5,
            attempts_max: 6,
            retry_first_s: 2,
            retry_longest_s: 300,
            close_after_s: 3 * 24 * 3600,
            account_rest_s: 60,
            whatsapp_per_second: 80,
            sms_per_second: 50,
            whatsapp_burst: 0,
            sms_burst: 0,
            uploads_kept_days: 29,
            pair_interval_s: 6,
            pair_burst: 45,
            fallback: Fallback::default(),
        }
    }
}

impl Settings {
    pub(super) fn sweep(&self) -> Duration {
        Duration::from_secs(self.sweep_s.max(1))
    }

    pub fn close_after(&self) -> Duration {
        Duration::from_secs(self.close_after_s)
    }

    /// The longest of the waits that are counted in minutes.
    pub fn longest_wait(&self) -> Duration {
        Duration::from_secs(self.retry_longest_s.max(self.account_rest_s)).max(self.fallback.longest_wait())
    }

    /// Doubles with each attempt on the channel, up to the longest.
    pub fn retry_pause(&self, attempts: u32) -> Duration {
        // 2^16 times the shortest pause is longer than any longest pause that makes sense.
        let doublings = attempts.saturating_sub(1).min(16);
        Duration::from_secs(self.retry_first_s.saturating_mul(1 << doublings).min(self.retry_longest_s))
    }
}
