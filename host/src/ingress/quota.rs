//! How much of the entrance a tenant may have: a rate, a bound on what it lets pile up, and a fair share when there is more
//! than the store takes.
//!
//! Every request that brings something is let in or refused with 429 before it costs the store anything. What is refused is
//! one tenant's alone: nothing in here is shared but the count of what is on its way to the store. There is no lock; tenants
//! are those of the configuration, so the map never changes.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde::Serialize;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::{Settings, counters::Counter, problem::Problem};
use crate::{clock::Timestamp, ids::TenantId, store::Store};

/// A tenant is let in while it has fewer than three times as many requests on their way to the store as there are places free:
/// alone it gets three quarters of them, and whoever has fewer always finds one.
const TENANT_OVER_FREE: usize = 3;
/// How often a tenant's open runs are counted; what it brings in between is added at once.
const COUNT_EVERY: Duration = Duration::from_secs(1);
/// When a tenant may try again whose backlog is full: seconds, in which some thousands of runs are done.
const BACKLOG_RETRY_S: u64 = 5;
const SECOND_US: i64 = 1_000_000;

pub struct Quotas {
    tenants: HashMap<TenantId, Quota>,
    /// Of whoever is in no configuration: one for all of them.
    others: Quota,
    events_per_second: i64,
    open_runs_max: i64,
    places: usize,
    taken: AtomicUsize,
}

#[derive(Default)]
struct Quota {
    /// The theoretical arrival time of the next event, in microseconds (the generic cell rate algorithm).
    arrival_us: AtomicI64,
    /// Open runs when they were last counted, and those accepted since the count began.
    counted: AtomicI64,
    since: AtomicI64,
    /// Something was accepted since the last count.
    touched: AtomicBool,
    taken: AtomicUsize,
    over_rate: Counter,
    over_backlog: Counter,
    overload: Counter,
}

/// What a tenant was refused since the host started, for its figures.
#[derive(Debug, Default, PartialEq, Serialize)]
pub struct Refused {
    pub over_rate: u64,
    pub over_backlog: u64,
    pub overload: u64,
}

/// Held by a request while it is on its way to the store.
pub(super) struct Place<'a> {
    quotas: &'a Quotas,
    quota: &'a Quota,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.quotas.taken.fetch_sub(1, Ordering::Relaxed);
        self.quota.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Place<'_> {
    /// These many runs were made.
    pub(super) fn made(&self, runs: usize) {
        self.quota.since.fetch_add(i64::try_from(runs).unwrap_or(i64::MAX), Ordering::Relaxed);
        self.quota.touched.store(true, Ordering::Relaxed);
    }
}

impl Quotas {
    /// `tenants` are all that the configuration names.
    pub fn new(settings: &Settings, tenants: impl IntoIterator<Item = TenantId>) -> Quotas {
        Quotas {
            tenants: tenants.into_iter().map(|tenant| (tenant, Quota::default())).collect(),
            others: Quota::default(),
            events_per_second: i64::from(settings.tenant_events_per_second),
            open_runs_max: i64::try_from(settings.tenant_open_runs_max).unwrap_or(i64::MAX),
            places: settings.accepting_max.max(1),
            taken: AtomicUsize::new(0),
        }
    }

    pub fn refused(&self, tenant: &TenantId) -> Refused {
        let quota = self.of(tenant);
        Refused {
            over_rate: quota.over_rate.get(),
            over_backlog: quota.over_backlog.get(),
            overload: quota.overload.get(),
        }
    }

    /// Lets in a request with these many events or messages, or says when to come again.
    pub(super) fn admit(&self, tenant: &TenantId, brings: usize, now: Timestamp) -> Result<Place<'_>, Problem> {
        let quota = self.of(tenant);
        let place = self.place(quota).ok_or_else(|| {
            quota.overload.add(1);
            Problem::too_many("overload", "more comes in than the store can write now, most of it yours", 1)
                .fix("send it again later, more slowly; `ingress.accepting-max` is how much may be on its way at once")
        })?;
        if self.open_runs_max > 0 && quota.open_runs() >= self.open_runs_max {
            quota.over_backlog.add(1);
            let detail = format!("{} of your runs are open, as many as may be", quota.open_runs());
            return Err(Problem::too_many("backlog", detail, BACKLOG_RETRY_S)
                .fix("send it again once some are done; the bound is `ingress.tenant-open-runs-max`"));
        }
        self.in_time(quota, brings, now).map_err(|wait_us| {
            quota.over_rate.add(1);
            let seconds = u64::try_from((wait_us + SECOND_US - 1) / SECOND_US).unwrap_or(1).max(1);
            let detail = format!("you bring more than {} events and messages a second", self.events_per_second);
            Problem::too_many("rate", detail, seconds)
                .fix("send it again later, more slowly; the bound is `ingress.tenant-events-per-second`")
        })?;
        Ok(place)
    }

    fn of(&self, tenant: &TenantId) -> &Quota {
        self.tenants.get(tenant).unwrap_or(&self.others)
    }

    fn place<'a>(&'a self, quota: &'a Quota) -> Option<Place<'a>> {
        let before = self.taken.fetch_add(1, Ordering::Relaxed);
        let own = quota.taken.fetch_add(1, Ordering::Relaxed);
        let place = Place { quotas: self, quota };
        let free = self.places.saturating_sub(before);
        (own < free.saturating_mul(TENANT_OVER_FREE)).then_some(place)
    }

    /// A second's worth may come at once, and a batch that begins in time comes in whole: over any time, a tenant brings no
    /// more than its rate, a second's worth and one batch. How long to wait, in microseconds, where it is too early.
    fn in_time(&self, quota: &Quota, brings: usize, now: Timestamp) -> Result<(), i64> {
        if self.events_per_second == 0 || brings == 0 {
            return Ok(());
        }
        let now_us = now.0.saturating_mul(1000);
        let interval = (SECOND_US / self.events_per_second).max(1);
        let cost = interval.saturating_mul(i64::try_from(brings).unwrap_or(i64::MAX));
        let mut arrival = quota.arrival_us.load(Ordering::Relaxed);
        loop {
            // Further ahead than any batch puts it: the clock was set back since, and nobody waits for that.
            let ahead = arrival.saturating_sub(now_us);
            let from = if ahead > BATCH_AHEAD_US { now_us } else { arrival.max(now_us) };
            let early = from.saturating_sub(now_us) - (SECOND_US - interval).max(0);
            if early > 0 {
                return Err(early);
            }
            let next = from.saturating_add(cost.min(BATCH_AHEAD_US - SECOND_US));
            match quota.arrival_us.compare_exchange_weak(arrival, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Ok(()),
                Err(other) => arrival = other,
            }
        }
    }

    /// Counts what is open, until `stop`.
    pub async fn count(self: Arc<Self>, store: Arc<dyn Store>, stop: CancellationToken) {
        let mut every = tokio::time::interval(COUNT_EVERY);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut first = true;
        loop {
            tokio::select! {
                _ = stop.cancelled() => return,
                _ = every.tick() => {}
            }
            for (tenant, quota) in &self.tenants {
                let touched = quota.touched.swap(false, Ordering::Relaxed);
                if !first && !touched && quota.counted.load(Ordering::Relaxed) == 0 {
                    continue;
                }
                // Read before the count: what is accepted while it is made may be counted twice until the next, never less.
                let since = quota.since.load(Ordering::Relaxed);
                match store.figures(tenant).await {
                    Ok(figures) => {
                        quota.counted.store(figures.open_runs, Ordering::Relaxed);
                        quota.since.fetch_sub(since, Ordering::Relaxed);
                    }
                    // What was counted last, and all that came since, still holds.
                    Err(error) => tracing::debug!(%tenant, %error, "open runs cannot be counted now"),
                }
            }
            first = false;
        }
    }
}

/// The longest that one batch may make its tenant wait: a rate so low that a batch takes longer forgives the rest.
const BATCH_AHEAD_US: i64 = 60 * SECOND_US;

impl Quota {
    fn open_runs(&self) -> i64 {
        self.counted.load(Ordering::Relaxed).saturating_add(self.since.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quotas(settings: &Settings) -> Quotas {
        Quotas::new(settings, ["a", "b"].map(TenantId::from))
    }

    fn admitted(quotas: &Quotas, tenant: &str, brings: usize, ms: i64) -> bool {
        quotas.admit(&TenantId::from(tenant), brings, Timestamp(ms)).is_ok()
    }

    #[test]
    fn a_tenant_brings_its_rate_and_a_seconds_worth_at_once() {
        let quotas = quotas(&Settings { tenant_events_per_second: 10, ..Settings::default() });
        let at = |ms| (0..100).filter(|_| admitted(&quotas, "a", 1, ms)).count();
        assert_eq!((at(0), at(100), at(1100)), (10, 1, 10));
        assert!(admitted(&quotas, "b", 1, 1100), "another tenant has its own");
        assert_eq!(quotas.refused(&TenantId::from("a")).over_rate, 300 - 21);
    }

    #[test]
    fn a_batch_comes_in_whole_and_is_paid_for_afterwards() {
        let quotas = quotas(&Settings { tenant_events_per_second: 10, ..Settings::default() });
        assert!(admitted(&quotas, "a", 50, 0));
        assert!(!admitted(&quotas, "a", 1, 4000));
        assert!(admitted(&quotas, "a", 1, 4200));
        // A clock that is set back shuts nobody out for the time that it was ahead.
        assert!(admitted(&quotas, "a", 1, -3_600_000));
    }

    #[test]
    fn a_tenant_that_lets_runs_pile_up_waits_and_others_do_not() {
        let quotas = quotas(&Settings { tenant_open_runs_max: 3, ..Settings::default() });
        for _ in 0..3 {
            quotas.admit(&TenantId::from("a"), 1, Timestamp(0)).unwrap().made(1);
        }
        let problem = quotas.admit(&TenantId::from("a"), 1, Timestamp(0)).err().unwrap();
        assert_eq!(problem.status().as_u16(), 429);
        assert!(admitted(&quotas, "b", 1, 0));
        let refused = Refused { over_backlog: 1, ..Refused::default() };
        assert_eq!(quotas.refused(&TenantId::from("a")), refused);
    }

    #[test]
    fn whoever_has_most_on_its_way_is_refused_first() {
        let quotas = quotas(&Settings { accepting_max: 16, ..Settings::default() });
        let (a, b) = (TenantId::from("a"), TenantId::from("b"));
        let admit = |tenant| quotas.admit(tenant, 1, Timestamp(0));
        let mut held: Vec<_> = std::iter::from_fn(|| admit(&a).ok()).collect();
        assert_eq!(held.len(), 12, "three quarters");
        let other = admit(&b).unwrap();
        assert!(admit(&a).is_err());
        drop(other);
        held.clear();
        assert_eq!(quotas.taken.load(Ordering::Relaxed), 0);
        assert!(admit(&a).is_ok());
    }
}
