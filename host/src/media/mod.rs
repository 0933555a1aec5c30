//! Files that customers send: fetched from their providers, and kept for a while.
//!
//! **What comes in.** Rows of the store that the transaction made which stored the message ([`FileState::Wanted`]), so that no
//! file is forgotten and no webhook waits for one.
//!
//! **What goes out.** The same rows with the bytes, until `media.keep-days` are over; or with the reason why there are none.
//!
//! **What can go wrong.** A provider is busy, or a file is not what its hash says: again, with growing pauses, for as long as
//! the provider keeps files. A file that is too large, gone, or said to be at a stranger's host is lost at once. A host that
//! dies while it fetches leaves a row that is free for others after [`LEASE`].
//!
//! **What it never does.** It answers no webhook and sends nothing. Several hosts share the rows: what one has claimed no other
//! fetches. The bytes are in the store because that is what the hosts share, what a backup has and what an erasure goes through.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use serde::Deserialize;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{
    channel::{
        Accounts, HttpSettings,
        media::{Fetcher, Hosts, NoClient, Trouble},
    },
    clock::{Clock, Timestamp},
    domain::file::{FileRow, FileState, Wanted},
    store::Store,
};

/// Which files are kept, and for how long.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Settings {
    /// After they were received; 0: none is fetched.
    pub keep_days: u32,
    /// Of one file. All of it is in memory while it is fetched and stored.
    pub bytes_max: u64,
    /// For how long it is tried: providers keep them for a while (Meta for 7 days, `channels.md` §1.9, September 2026).
    pub fetch_days: u32,
    /// Pause after a try that failed; doubles each time.
    pub retry_first_s: u64,
    pub retry_longest_s: u64,
    pub timeout_s: u64,
    /// Files fetched side by side by each host.
    pub at_once: u32,
    /// How often it is looked whether there are files that another host told nobody of.
    pub sweep_s: u64,
    /// Hosts that have the providers' files, beside the API's own; each with its subdomains.
    pub meta_hosts: Vec<String>,
    pub cm_hosts: Vec<String>,
    pub twilio_hosts: Vec<String>,
}

impl Default for Settings {
    fn default() -> Settings {
        let hosts = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Settings {
            keep_days: 30,
            bytes_max: 16 << 20,
            fetch_days: 7,
            retry_first_s: 5,
            retry_longest_s: 3600,
            timeout_s: 60,
            at_once: 4,
            sweep_s: 5,
            meta_hosts: hosts(&["lookaside.fbsbx.com"]),
            cm_hosts: hosts(&["cm.com"]),
            twilio_hosts: hosts(&["twilio.com", "twiliocdn.com"]),
        }
    }
}

impl Settings {
    pub fn check(&self) -> Result<(), String> {
        let positive = [
            ("bytes-max", self.bytes_max),
            ("fetch-days", u64::from(self.fetch_days)),
            ("timeout-s", self.timeout_s),
            ("at-once", u64::from(self.at_once)),
            ("sweep-s", self.sweep_s),
        ];
        match positive.iter().find(|(_, value)| *value == 0) {
            Some((name, _)) => Err(format!("media.{name} is 0: give it 1 or more; keep-days = 0 fetches nothing")),
            None => Ok(()),
        }
    }

    /// Fetches with these settings.
    pub fn fetcher(&self, accounts: Arc<Accounts>, http: &HttpSettings) -> Result<Fetcher, NoClient> {
        let hosts =
            Hosts { meta: self.meta_hosts.clone(), cm: self.cm_hosts.clone(), twilio: self.twilio_hosts.clone() };
        Fetcher::new(accounts, hosts, self.bytes_max, http, self.timeout_s.saturating_mul(1000))
    }

    fn pause(&self, tries: u32) -> Duration {
        let doubled = self.retry_first_s.max(1).saturating_mul(1_u64.checked_shl(tries).unwrap_or(u64::MAX));
        Duration::from_secs(doubled.min(self.retry_longest_s.max(1)))
    }
}

pub struct Parts {
    pub store: Arc<dyn Store>,
    pub clock: Arc<dyn Clock>,
    pub fetcher: Fetcher,
    pub settings: Settings,
    /// Somebody has stored a message with a file: a hint that is safe to lose.
    pub wake: Arc<Notify>,
}

/// Longer than fetching may take: two requests, and the writing.
const LEASE: Duration = Duration::from_secs(300);
/// When the store could not be read, or another host was faster.
const PAUSE: Duration = Duration::from_secs(1);

/// Fetches until it is to stop.
pub async fn work(parts: Parts, stop: CancellationToken) {
    stop.run_until_cancelled(async {
        loop {
            if !look(&parts).await {
                tokio::time::sleep(PAUSE).await;
            }
        }
    })
    .await;
}

/// Fetches what is due, or waits for what will be. `false` where it is better not to look again at once.
async fn look(parts: &Parts) -> bool {
    let now = parts.clock.now();
    match parts.store.next_file().await {
        Ok(Some(at)) if at <= now => {
            match parts.store.claim_files(now, now.plus(LEASE), parts.settings.at_once).await {
                Ok(claimed) => {
                    let any = !claimed.is_empty();
                    join_all(claimed.into_iter().map(|file| finish(parts, file))).await;
                    any
                }
                Err(error) => trouble(&error),
            }
        }
        Ok(next) => {
            let sweep = tokio::time::sleep(Duration::from_secs(parts.settings.sweep_s));
            tokio::select! {
                () = parts.wake.notified() => {}
                () = parts.clock.sleep_until(next.unwrap_or(Timestamp::NEVER)) => {}
                () = sweep => {}
            }
            true
        }
        Err(error) => trouble(&error),
    }
}

fn trouble(error: &crate::store::Error) -> bool {
    tracing::warn!(%error, "files that customers sent wait for the store");
    false
}

async fn finish(parts: &Parts, file: FileRow) {
    let FileState::Wanted(wanted) = file.state.clone() else { return };
    let fetched = match parts.settings.keep_days {
        0 => Err(Trouble::Never("media.keep-days is 0: no file is fetched".to_owned())),
        _ => parts.fetcher.fetch(&wanted).await,
    };
    let changed = outcome(&parts.settings, file, wanted, fetched, parts.clock.now());
    let name = changed.name.clone();
    if let Err(error) = parts.store.change_file(changed).await {
        tracing::warn!(file = name, %error, "a file cannot be kept now; it is fetched again");
    }
}

/// What becomes of a row, by what came of fetching.
fn outcome(
    settings: &Settings,
    file: FileRow,
    wanted: Wanted,
    fetched: Result<bytes::Bytes, Trouble>,
    now: Timestamp,
) -> FileRow {
    let days = |days: u32| wanted.received.plus(Duration::from_secs(u64::from(days) * 24 * 3600));
    // The reason can be read for as long as the file could have been had.
    let lost = |why: String| FileRow {
        due: days(settings.fetch_days.max(settings.keep_days)),
        state: FileState::Lost { why },
        ..file.clone()
    };
    match fetched {
        Ok(bytes) => FileRow {
            due: days(settings.keep_days),
            state: FileState::Kept { mime_type: wanted.mime_type.clone(), filename: wanted.filename.clone() },
            bytes: Arc::from(&bytes[..]),
            ..file
        },
        Err(Trouble::Never(why)) => {
            tracing::warn!(file = file.name, why, "a file that a customer sent is not to be had");
            lost(why)
        }
        Err(Trouble::Later(why)) => {
            let next = now.plus(settings.pause(wanted.tries));
            if next > days(settings.fetch_days) {
                return lost(format!("tried for {} days, the last time: {why}", settings.fetch_days));
            }
            tracing::info!(file = file.name, why, "a file that a customer sent is not to be had yet");
            let state = Wanted { tries: wanted.tries.saturating_add(1), trouble: Some(why), ..wanted };
            FileRow { due: next, state: FileState::Wanted(state), ..file }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::TenantId;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn row() -> (FileRow, Wanted) {
        let wanted = Wanted {
            provider: "meta".to_owned(),
            account: None,
            media_id: "1".to_owned(),
            mime_type: "image/png".to_owned(),
            filename: None,
            sha256: None,
            received: Timestamp(0),
            tries: 0,
            trouble: None,
        };
        let file = FileRow {
            tenant: TenantId::default_tenant(),
            name: "incoming/m/0".to_owned(),
            due: Timestamp(0),
            state: FileState::Wanted(wanted.clone()),
            bytes: Arc::default(),
        };
        (file, wanted)
    }

    fn after(settings: &Settings, tries: u32, fetched: Result<bytes::Bytes, Trouble>, now: Timestamp) -> FileRow {
        let (file, wanted) = row();
        outcome(settings, file, Wanted { tries, ..wanted }, fetched, now)
    }

    #[test]
    fn it_is_tried_with_growing_pauses_until_the_provider_forgets_it() {
        let settings = Settings::default();
        let later = || Err(Trouble::Later("busy".to_owned()));
        let now = Timestamp(0).plus(DAY);
        for (tries, seconds) in [(0, 5), (1, 10), (4, 80), (30, 3600), (4000, 3600)] {
            let file = after(&settings, tries, later(), now);
            assert_eq!(file.due, now.plus(Duration::from_secs(seconds)), "{tries}");
            let FileState::Wanted(wanted) = file.state else { panic!() };
            assert_eq!((wanted.tries, wanted.trouble.as_deref()), (tries + 1, Some("busy")));
        }
        let lost = after(&settings, 3, later(), Timestamp(0).plus(7 * DAY));
        assert!(matches!(&lost.state, FileState::Lost { why } if why.contains("7 days")), "{lost:?}");
    }

    #[test]
    fn what_came_is_kept_from_when_it_was_received_and_what_never_comes_says_why() {
        let settings = Settings { keep_days: 3, ..Settings::default() };
        let kept = after(&settings, 0, Ok(bytes::Bytes::from_static(b"png")), Timestamp(0).plus(DAY));
        assert_eq!((&*kept.bytes, kept.due), (&b"png"[..], Timestamp(0).plus(3 * DAY)));
        assert!(matches!(kept.state, FileState::Kept { .. }));
        let lost = after(&settings, 0, Err(Trouble::Never("too large".to_owned())), Timestamp(0));
        assert_eq!(lost.state, FileState::Lost { why: "too large".to_owned() });
        assert_eq!(lost.due, Timestamp(0).plus(7 * DAY));
    }

    #[test]
    fn settings_that_fetch_nothing_by_mistake_are_refused() {
        assert_eq!(Settings::default().check(), Ok(()));
        assert_eq!(Settings { keep_days: 0, ..Settings::default() }.check(), Ok(()));
        assert!(Settings { at_once: 0, ..Settings::default() }.check().unwrap_err().contains("media.at-once"));
    }
}
