//! How fast an account and a pair of sender and recipient may send, by the generic cell rate algorithm: each message
//! pushes a theoretical arrival time forward, and a burst is how far that time may lie ahead of now. One that lies further
//! ahead is from before the clock was set back, and is taken for as far ahead as it can be: a full burst.

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
        let of_account = rate.next(rate.kept(state.accounts.get_mut(account), now_us), now_us)?;
        if channel == Channel::Whatsapp {
            let pair = (account.to_owned(), address.to_owned());
            let of_pair = self.pair.next(self.pair.kept(state.pairs.get_mut(&pair), now_us), now_us)?;
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
    /// The arrival time that is kept, no further ahead than it can be. Written back, or it would move on with the clock.
    fn kept(self, arrival: Option<&mut i64>, now_us: i64) -> Option<i64> {
        let arrival = arrival?;
        *arrival = (*arrival).min(now_us.saturating_add(self.interval_us.saturating_mul(self.burst)));
        Some(*arrival)
    }

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
    use proptest::prelude::*;

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

    #[test]
    fn nobody_waits_longer_because_the_clock_was_set_back() {
        let settings = Settings { whatsapp_per_second: 2, pair_interval_s: 6, pair_burst: 2, ..Settings::default() };
        let pace = Pace::new(&settings);
        let at = |ms| pace.take("a", Channel::Whatsapp, "+331", Timestamp(ms));
        assert_eq!((at(3_600_000), at(3_600_000)), (Ok(()), Ok(())));
        assert_eq!(at(0), Err(Timestamp(500)), "a full burst by the account's pace");
        assert_eq!(at(500), Err(Timestamp(6_500)), "and by the pair's: one interval");
        assert_eq!(at(6_500), Ok(()));
    }

    /// Steps of a clock in milliseconds; now and then it is set by up to an hour.
    fn steps(jumps: bool) -> impl Strategy<Value = Vec<i64>> {
        let jump = if jumps { 1 } else { 0 };
        let step = prop_oneof![
            20 => 0_i64..50,
            5 => 0_i64..3_000,
            jump => -3_600_000_i64..3_600_000,
        ];
        proptest::collection::vec(step, 1..200)
    }

    proptest! {
        #[test]
        fn in_no_window_is_more_sent_than_the_rate_and_one_burst(
            rate in 1_u32..200, pair_s in 0_u64..8, pair_burst in 1_u32..10, steps in steps(false), who in any::<u64>(),
        ) {
            let settings = Settings { whatsapp_per_second: rate, pair_interval_s: pair_s, pair_burst, ..Settings::default() };
            let pace = Pace::new(&settings);
            let mut now = 1_000_000;
            let mut sent: Vec<(i64, &str)> = Vec::new();
            for (no, step) in steps.into_iter().enumerate() {
                now += step;
                let to = if who >> (no % 64) & 1 == 0 { "+331" } else { "+332" };
                if pace.take("a", Channel::Whatsapp, to, Timestamp(now)).is_ok() {
                    sent.push((now, to));
                }
            }
            let fits = |times: &[i64], interval_us: i64, burst: i64| {
                times.iter().enumerate().all(|(first, from)| times.iter().skip(first).enumerate().all(|(more, until)| {
                    // A window that begins with one and ends with another, both in it.
                    let count = i64::try_from(more).unwrap() + 1;
                    interval_us == 0 || count <= (until - from) * 1000 / interval_us + burst
                }))
            };
            let all: Vec<i64> = sent.iter().map(|(at, _)| *at).collect();
            prop_assert!(fits(&all, 1_000_000 / i64::from(rate), i64::from(rate)), "account: {sent:?}");
            for pair in ["+331", "+332"] {
                let of_pair: Vec<i64> = sent.iter().filter(|(_, to)| *to == pair).map(|(at, _)| *at).collect();
                let interval_us = i64::try_from(pair_s * 1_000_000).unwrap();
                prop_assert!(fits(&of_pair, interval_us, i64::from(pair_burst)), "{pair}: {sent:?}");
            }
        }

        #[test]
        fn whatever_the_clock_does_nobody_waits_longer_than_one_interval(
            rate in 1_u32..200, pair_s in 0_u64..8, pair_burst in 1_u32..10, steps in steps(true),
        ) {
            let settings = Settings { whatsapp_per_second: rate, pair_interval_s: pair_s, pair_burst, ..Settings::default() };
            let pace = Pace::new(&settings);
            let longest = (1000 / i64::from(rate)).max(i64::try_from(pair_s).unwrap() * 1000) + 1;
            let mut now = 1_000_000_000;
            for step in steps {
                now += step;
                // Whoever comes again when it is told to is let go: after the account's pace there may be the pair's.
                let mut asked = 0;
                while let Err(until) = pace.take("a", Channel::Whatsapp, "+331", Timestamp(now)) {
                    prop_assert!(until.0 > now && until.0 - now <= longest, "it is {now}, and it waits until {}", until.0);
                    now = until.0;
                    asked += 1;
                    prop_assert!(asked <= 4, "it waits for ever");
                }
            }
        }
    }
}
