//! How fast an account and a pair of sender and recipient may send, by the generic cell rate algorithm: each message
//! pushes a theoretical arrival time forward, and a burst is how far that time may lie ahead of now. One that lies further
//! ahead is from before the clock was set back, and is taken for as far ahead as it can be: a full burst.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use super::Settings;
use crate::{
    clock::Timestamp,
    domain::customer::Channel,
    store::{self, Store},
};

pub struct Pace {
    state: Mutex<State>,
    /// Places of accounts that several hosts share, taken and not used yet.
    held: tokio::sync::Mutex<HashMap<String, VecDeque<Place>>>,
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

impl State {
    fn take_of_pair(&mut self, rate: Rate, account: &str, address: &str, now_us: i64) -> Result<(), Timestamp> {
        let pair = (account.to_owned(), address.to_owned());
        let arrival = rate.next(rate.kept(self.pairs.get_mut(&pair), now_us), now_us)?;
        if self.pairs.len() >= PAIRS_MAX {
            self.pairs.retain(|_, arrival| *arrival > now_us);
        }
        self.pairs.insert(pair, arrival);
        Ok(())
    }
}

/// A place in a line that several hosts share: when it may be used, in milliseconds.
#[derive(Clone, Copy)]
struct Place(i64);

impl Place {
    fn usable_until(self) -> Timestamp {
        Timestamp(self.0).plus(PLACE_KEPT)
    }
}

/// Of a second's places, which part is taken at a time: few enough to waste little, many enough to ask seldom.
const PLACES_PART: i64 = 8;
/// How long a place may be used after its time has come.
const PLACE_KEPT: Duration = Duration::from_millis(500);

#[derive(Clone, Copy)]
struct Rate {
    interval_us: i64,
    burst: i64,
}

/// Pairs kept before those that have long rested are forgotten.
const PAIRS_MAX: usize = 100_000;

impl Pace {
    pub fn new(settings: &Settings) -> Pace {
        let per_second = |rate: u32, burst: u32| Rate {
            interval_us: 1_000_000 / i64::from(rate.max(1)),
            burst: i64::from(if burst == 0 { rate.max(1) } else { burst }),
        };
        Pace {
            state: Mutex::default(),
            held: tokio::sync::Mutex::default(),
            whatsapp: per_second(settings.whatsapp_per_second, settings.whatsapp_burst),
            sms: per_second(settings.sms_per_second, settings.sms_burst),
            pair: Rate {
                interval_us: i64::try_from(settings.pair_interval_s.saturating_mul(1_000_000)).unwrap_or(i64::MAX),
                burst: i64::from(settings.pair_burst.max(1)),
            },
        }
    }

    /// Takes a place for one message now, or says when to ask again. Where several hosts send with the same account, the line
    /// is the store's, and this host takes some places at a time: what it does not use soon is lost, so that none is used
    /// late, when others send.
    pub(super) async fn place(
        &self,
        store: &dyn Store,
        account: &str,
        channel: Channel,
        address: &str,
        now: Timestamp,
    ) -> store::Result<Result<(), Timestamp>> {
        let rate = self.rate(channel);
        // One at a time asks the store; the others find what it brought.
        let mut held = self.held.lock().await;
        let places = held.entry(account.to_owned()).or_default();
        places.retain(|place| place.usable_until() > now);
        if places.is_empty() {
            let count = u32::try_from((rate.burst / PLACES_PART).max(1)).unwrap_or(u32::MAX);
            match store.reserve_pace(account, rate.interval_us, count, now).await? {
                None => return Ok(self.take(account, channel, address, now)),
                Some(first_us) => {
                    let ahead_us = rate.interval_us.saturating_mul(rate.burst - 1);
                    let place = |no| {
                        Place((first_us + rate.interval_us.saturating_mul(no) - ahead_us).saturating_add(999) / 1000)
                    };
                    places.extend((0..i64::from(count)).map(place));
                }
            }
        }
        match places.front() {
            Some(Place(at)) if *at > now.0 => Ok(Err(Timestamp(*at))),
            _ => Ok(self.take_of_pair(account, channel, address, now).map(|()| {
                places.pop_front();
            })),
        }
    }

    fn rate(&self, channel: Channel) -> Rate {
        if channel == Channel::Whatsapp { self.whatsapp } else { self.sms }
    }

    fn take_of_pair(&self, account: &str, channel: Channel, address: &str, now: Timestamp) -> Result<(), Timestamp> {
        if channel != Channel::Whatsapp {
            return Ok(());
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.take_of_pair(self.pair, account, address, now.0.saturating_mul(1000))
    }

    /// The same where this host is alone.
    pub(super) fn take(&self, account: &str, channel: Channel, address: &str, now: Timestamp) -> Result<(), Timestamp> {
        let now_us = now.0.saturating_mul(1000);
        let rate = self.rate(channel);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let of_account = rate.next(rate.kept(state.accounts.get_mut(account), now_us), now_us)?;
        if channel == Channel::Whatsapp {
            state.take_of_pair(self.pair, account, address, now_us)?;
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
    fn a_burst_is_what_the_operator_says_it_is() {
        let settings = Settings { sms_per_second: 10, sms_burst: 2, ..Settings::default() };
        let pace = Pace::new(&settings);
        let at = |ms| pace.take("a", Channel::Sms, "+331", Timestamp(ms));
        assert_eq!((at(0), at(0), at(0)), (Ok(()), Ok(()), Err(Timestamp(100))));
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
