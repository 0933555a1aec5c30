//! What the operator decides about dispatching.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::customer::Channel;

/// Times are in seconds, so that they read well in the configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Settings {
    /// Attempts made side by side, over all accounts. Each holds a connection and some 20 kB.
    pub concurrent_max: usize,
    /// Messages kept in memory, shared equally among the tenants that have any to send; further ones stay in the store until
    /// there is room. At about 4 kB each: 40 MB.
    pub in_memory_max: usize,
    /// How often it is looked whether the store has messages that nobody told of.
    pub sweep_s: u64,
    /// SMS follows when no receipt of delivery came after this time, where the message does not say it itself. Two minutes:
    /// WhatsApp delivers to a phone that is online within seconds.
    pub fallback_after_s: u64,
    /// The SMS goes out this long before a message's deadline, where that is sooner than the fallback.
    pub deadline_lead_s: u64,
    /// How long a receipt may clear up a lost answer before the doubt is acted upon.
    pub doubt_wait_s: u64,
    /// What doubt does on each channel.
    pub doubt_whatsapp: Doubt,
    pub doubt_sms: Doubt,
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
    /// Seconds per message to one WhatsApp recipient, and how many may be borrowed from the future (`channels.md` §1.12).
    pub pair_interval_s: u64,
    pub pair_burst: u32,
}

/// What follows when a provider's answer was lost and no receipt cleared it up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Doubt {
    /// Send again: the customer may get it twice.
    Resend,
    /// Wait for a receipt: the customer may get it not at all, or by SMS once `fallback-after` has passed.
    Hold,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            concurrent_max: 256,
            in_memory_max: 10_000,
            sweep_s: 5,
            fallback_after_s: 120,
            deadline_lead_s: 30,
            doubt_wait_s: 60,
            doubt_whatsapp: Doubt::Resend,
            doubt_sms: Doubt::Resend,
            attempts_max: 6,
            retry_first_s: 2,
            retry_longest_s: 300,
            close_after_s: 3 * 24 * 3600,
            account_rest_s: 60,
            whatsapp_per_second: 80,
            sms_per_second: 50,
            pair_interval_s: 6,
            pair_burst: 45,
        }
    }
}

impl Settings {
    pub fn fallback_after(&self) -> Duration {
        Duration::from_secs(self.fallback_after_s)
    }

    pub(super) fn sweep(&self) -> Duration {
        Duration::from_secs(self.sweep_s.max(1))
    }

    pub fn close_after(&self) -> Duration {
        Duration::from_secs(self.close_after_s)
    }

    /// The longest of the waits that are counted in minutes.
    pub fn longest_wait(&self) -> Duration {
        Duration::from_secs(
            self.fallback_after_s.max(self.doubt_wait_s).max(self.retry_longest_s).max(self.account_rest_s),
        )
    }

    pub fn doubt(&self, channel: Channel) -> Doubt {
        match channel {
            Channel::Whatsapp => self.doubt_whatsapp,
            Channel::Sms => self.doubt_sms,
        }
    }

    /// Doubles with each attempt on the channel, up to the longest.
    pub fn retry_pause(&self, attempts: u32) -> Duration {
        // 2^16 times the shortest pause is longer than any longest pause that makes sense.
        let doublings = attempts.saturating_sub(1).min(16);
        Duration::from_secs(self.retry_first_s.saturating_mul(1 << doublings).min(self.retry_longest_s))
    }
}
