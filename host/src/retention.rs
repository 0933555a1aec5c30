//! The sweeper: what is old and ended is emptied, later it goes, in steps so small that nobody notices.
//!
//! In: the settings, which say how long what stays. Out: steps for the store ([`Store::retain`]), one after another with pauses,
//! and a line in the log with what was removed. What can go wrong: the store is in trouble; then the pass ends, and the next one
//! goes on from there. It never touches what is open, was set aside or is referred to by a timer, consents and refusals: that is
//! the store's part of it. Several hosts may sweep one store at the same time.

use std::{collections::HashMap, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::{
    clock::{Clock, Timestamp},
    rules,
    store::{self, Aged, RetainStep, Store},
};

/// How long what stays. 0 is for ever.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Settings {
    /// Data of events, texts and attachments, what runs wrote to their log: a quarter, like what makes a message expected.
    pub bodies_days: u32,
    /// Events, with when and what they were about: a year and a month, so that a year can be compared with the last.
    pub events_days: u32,
    /// For how long an event that comes again is known, and a message with the same dedup key is not sent again.
    pub keys_days: u32,
    pub runs_days: u32,
    /// Messages with their attempts and receipts.
    pub messages_days: u32,
    /// What customers wrote.
    pub incoming_days: u32,
    /// What was counted of messages: two years and a month, so that a year can be compared with the last.
    pub stats_days: u32,
    /// Between two passes.
    pub sweep_s: u64,
    /// Rows to a step.
    pub batch_rows: u32,
    /// Between two steps that removed something: at most a few thousand rows a second, beside everything else.
    pub pause_ms: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            bodies_days: 90,
            events_days: 400,
            keys_days: 400,
            runs_days: 400,
            messages_days: 400,
            incoming_days: 400,
            stats_days: 760,
            sweep_s: 60,
            batch_rows: 200,
            pause_ms: 50,
        }
    }
}

/// For how long providers repeat what customers wrote, where the host did not take it: Meta does for a week.
const REPEATED_DAYS: u32 = 8;

impl Settings {
    /// What would break a promise of another setting.
    pub fn check(&self, rules: &rules::allowed::Settings, store: &store::Settings) -> Result<(), String> {
        let (events, keys, bodies) = (self.events_days, self.keys_days, self.bodies_days);
        if events != 0 && events < rules.expected_within_days {
            return Err(format!(
                "retention.events-days ({events}) is shorter than rules.expected-within-days ({}): messages would be refused because \
                 their event is gone; keep events for longer, or expect for less",
                rules.expected_within_days
            ));
        }
        if keys != 0 && (events == 0 || keys < events) {
            return Err(format!(
                "retention.keys-days ({keys}) is shorter than retention.events-days ({events}, 0 is for ever): an event has its key for \
                 as long as it is there; give the keys as long or longer"
            ));
        }
        if bodies != 0 && u64::from(bodies) * 24 < u64::from(store.answer_within_hours) {
            return Err(format!(
                "retention.bodies-days ({bodies}) is shorter than store.answer-within-hours ({}): what a customer may still choose from \
                 would be gone; keep bodies for longer",
                store.answer_within_hours
            ));
        }
        let positive = [("sweep-s", self.sweep_s), ("batch-rows", u64::from(self.batch_rows))];
        match positive.iter().find(|(_, value)| *value == 0) {
            Some((name, _)) => Err(format!("retention.{name} is 0: give it 1 or more")),
            None => Ok(()),
        }
    }

    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.incoming_days != 0 && self.incoming_days < REPEATED_DAYS {
            warnings.push(format!(
                "retention.incoming-days ({}) is shorter than the week for which providers repeat what they could not deliver: an old \
                 text may be taken for a new one",
                self.incoming_days
            ));
        }
        warnings
    }

    fn days(&self, what: Aged) -> u32 {
        match what {
            Aged::EventBodies | Aged::RunBodies | Aged::MessageBodies | Aged::IncomingBodies | Aged::Parked => {
                self.bodies_days
            }
            Aged::Events => self.events_days,
            Aged::Runs => self.runs_days,
            Aged::Messages => self.messages_days,
            Aged::Incoming => self.incoming_days,
            Aged::Keys => self.keys_days,
            Aged::Stats => self.stats_days,
        }
    }
}

/// What came before this is old; `None` where nothing ever is.
fn before(now: Timestamp, days: u32) -> Option<Timestamp> {
    (days != 0).then(|| now.minus(Duration::from_secs(u64::from(days) * 24 * 3600)))
}

/// How often everything is looked at from the first row on: what was still open when a pass came by has ended since.
const FROM_THE_START_EVERY: Duration = Duration::from_secs(24 * 3600);

struct Sweeper {
    settings: Settings,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
    /// How far each kind has been looked at.
    places: HashMap<Aged, i64>,
    began: Timestamp,
}

/// Sweeps until `stop`.
pub async fn sweep(settings: Settings, store: Arc<dyn Store>, clock: Arc<dyn Clock>, stop: CancellationToken) {
    let every = Duration::from_secs(settings.sweep_s.max(1));
    let began = clock.now();
    let mut sweeper = Sweeper { settings, store, clock, stop, places: HashMap::new(), began };
    while sweeper.wait(every).await {
        let now = sweeper.clock.now();
        if now.since(sweeper.began) >= FROM_THE_START_EVERY {
            sweeper.places.clear();
            sweeper.began = now;
        }
        if let Err(error) = sweeper.pass().await {
            tracing::warn!(%error, "what is old cannot be removed now; it is tried again");
        }
    }
}

impl Sweeper {
    /// `false` once it is time to stop.
    async fn wait(&self, time: Duration) -> bool {
        tokio::select! {
            () = self.stop.cancelled() => false,
            () = tokio::time::sleep(time) => true,
        }
    }

    async fn pass(&mut self) -> store::Result<()> {
        let now = self.clock.now();
        let mut removed: Vec<(Aged, u64)> = Vec::new();
        let mut result = Ok(());
        for what in Aged::ALL {
            let Some(before) = before(now, self.settings.days(what)) else { continue };
            match self.all_of(what, before, now).await {
                Ok(0) => {}
                Ok(rows) => removed.push((what, rows)),
                Err(error) => {
                    result = Err(error);
                    break;
                }
            }
        }
        if !removed.is_empty() {
            tracing::info!(rows = ?removed, "what was old is gone");
        }
        result
    }

    async fn all_of(&mut self, what: Aged, old: Timestamp, now: Timestamp) -> store::Result<u64> {
        let keys_before = before(now, self.settings.keys_days);
        let mut rows = 0;
        loop {
            let after = self.places.get(&what).copied().unwrap_or(0);
            let step = RetainStep { what, before: old, keys_before, after, limit: self.settings.batch_rows };
            let retained = self.store.retain(step).await?;
            self.places.insert(what, retained.last);
            rows += retained.rows;
            let pause = if retained.rows > 0 { self.settings.pause_ms } else { 0 };
            if !retained.more || !self.wait(Duration::from_millis(pause)).await {
                return Ok(rows);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(change: impl FnOnce(&mut Settings)) -> Option<String> {
        let mut settings = Settings::default();
        change(&mut settings);
        settings.check(&rules::allowed::Settings::default(), &store::Settings::default()).err()
    }

    #[test]
    fn settings_that_fight_are_refused_by_name() {
        assert_eq!(refused(|_| {}), None);
        assert!(refused(|s| s.events_days = 89).unwrap().contains("rules.expected-within-days"));
        assert!(refused(|s| s.keys_days = 399).unwrap().contains("retention.events-days"));
        assert!(refused(|s| s.events_days = 0).unwrap().contains("retention.keys-days"));
        assert_eq!(refused(|s| (s.events_days, s.keys_days) = (0, 0)), None);
        assert!(refused(|s| s.bodies_days = 1).unwrap().contains("store.answer-within-hours"));
        assert!(refused(|s| s.batch_rows = 0).unwrap().contains("retention.batch-rows"));
        assert_eq!(Settings { incoming_days: 7, ..Settings::default() }.warnings().len(), 1);
    }
}
