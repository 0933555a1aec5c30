//! How fast an account and a pair of sender and recipient may send, by the generic cell rate algorithm: each message
//! pushes a theoretical arrival time forward, and a burst is how far that time may lie ahead of now.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use super::Settings;
use crate::{clock::Timestamp, domain::customer::Channel};

pub struct Pace {
    state: Mutex<State>,
    whatsapp: Rate,
    sms: Rate,
    pair: Rate,
}

#[derive(Default)]
struct State {
    /// Theoretical arrival times in microseconds, by account and by account and recipient.
    accounts: HashMap<String, i64>,
    pairs: HashMap<(String, String), i64>,
}

#[derive(Clone, Copy)]
struct Rate {
    interval_us: i64,
    burst: i64,
}

/// Pairs kept before those that have long rested are forgotten.
const PAIRS_MAX: usize = 100_000;

impl Pace {
    pub fn new(settings: &Settings) -> Pace {
        let per_second =
            |rate: u32| Rate { interval_us: 1_000_000 / i64::from(rate.max(1)), burst: i64::from(rate.max(1)) };
        Pace {
            state: Mutex::default(),
            whatsapp: per_second(settings.whatsapp_per_second),
            sms: per_second(settings.sms_per_second),
            pair: Rate {
                interval_us: i64::try_from(settings.pair_interval_s.saturating_mul(1_000_000)).unwrap_or(i64::MAX),
                burst: i64::from(settings.pair_burst.max(1)),
            },
        }
    }

    /// Takes a place for one message now, or says when to ask again.
    pub(super) fn take(&self, account: &str, channel: Channel, address: &str, now: Timestamp) -> Result<(), Timestamp> {
        let now_us = now.0.saturating_mul(1000);
        let rate = if channel == Channel::Whatsapp { self.whatsapp } else { self.sms };
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let of_account = rate.next(state.accounts.get(account).copied(), now_us)?;
        if channel == Channel::Whatsapp {
            let pair = (account.to_owned(), address.to_owned());
            let of_pair = self.pair.next(state.pairs.get(&pair).copied(), now_us)?;
            if state.pairs.len() >= PAIRS_MAX {
                state.pairs.retain(|_, arrival| *arrival > now_us);
            }
            state.pairs.insert(pair, of_pair);
        }
        state.accounts.insert(account.to_owned(), of_account);
        Ok(())
    }
}

impl Rate {
    /// The arrival time after one more message, or when there is room for it.
    fn next(self, arrival: Option<i64>, now_us: i64) -> Result<i64, Timestamp> {
        let arrival = arrival.unwrap_or(now_us).max(now_us);
        let earliest = arrival.saturating_sub(self.interval_us.saturating_mul(self.burst - 1));
        if earliest > now_us {
            return Err(Timestamp(earliest.saturating_add(999) / 1000));
        }
        Ok(arrival.saturating_add(self.interval_us))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_sends_at_its_rate_after_the_burst() {
        let settings = Settings { whatsapp_per_second: 2, pair_interval_s: 0, ..Settings::default() };
        let pace = Pace::new(&settings);
        let at = |ms| pace.take("a", Channel::Whatsapp, "+331", Timestamp(ms));
        assert_eq!((at(0), at(0)), (Ok(()), Ok(())));
        assert_eq!(at(0), Err(Timestamp(500)));
        assert_eq!(at(500), Ok(()));
        assert_eq!(
            pace.take("b", Channel::Whatsapp, "+331", Timestamp(500)),
            Ok(()),
            "another account has its own pace"
        );
    }

    #[test]
    fn a_pair_waits_and_others_do_not() {
        let settings = Settings { pair_interval_s: 6, pair_burst: 2, ..Settings::default() };
        let pace = Pace::new(&settings);
        let to = |who: &str| pace.take("a", Channel::Whatsapp, who, Timestamp(0));
        assert_eq!((to("+331"), to("+331"), to("+332")), (Ok(()), Ok(()), Ok(())));
        assert_eq!(to("+331"), Err(Timestamp(6000)));
        assert_eq!(pace.take("a", Channel::Sms, "+331", Timestamp(0)), Ok(()), "pairs are a rule of WhatsApp");
    }
}
