//! Hints between hosts: what a commit made to be done that is another host's work.
//!
//! `NOTIFY` is sent with the commit and received after it, so whoever hears of a row finds it. It is safe to lose: the sweep
//! finds the same rows without it, within `run.sweep-s`. Nothing is decided by what a hint says.

use std::sync::Arc;

use deadpool_postgres::ClientWrapper;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

use super::{
    Shared, connect,
    error::{Outcome, Trouble},
    inbox, outbox, read,
};
use crate::{
    clock::Timestamp,
    domain::{message::MessageRecord, run::QueuedRun, shard::Shard},
    store::commands::Pending,
};

pub(super) const CHANNEL: &str = "relais";
pub(super) const NOTIFY: &str = "SELECT pg_notify($1, $2)";
/// PostgreSQL takes 8,000 bytes; a number takes at most 20 with its comma.
const NUMBERS_MAX: usize = 350;

/// What is told.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Notice {
    /// Who says it, and need not hear it.
    from: String,
    /// Shards have changed hands, or should.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    shards: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    runs: Vec<i64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    messages: Vec<i64>,
    /// When a message of another host's is to be looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    due: Option<i64>,
    /// When an endpoint is to be told something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    told: Option<i64>,
    /// There is more than fits in here: read the store.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    more: bool,
}

fn shard_of_run(run: &QueuedRun) -> Shard {
    Shard::of_entity(&run.run.key)
}

fn shard_of_message(record: &MessageRecord) -> Shard {
    Shard::of_lane(&record.message.tenant, record.message.to.lane())
}

/// What of a transaction is for others; `None` where nothing is.
pub(super) fn notice(shared: &Shared, pending: &Pending) -> Option<Notice> {
    if !shared.leases.shared_with_others() {
        return None;
    }
    let owns = |shard: Shard| shared.leases.owns(shard);
    let runs = pending.runs.iter().filter(|run| !owns(shard_of_run(run))).map(|run| run.seq);
    let messages = pending.plans.iter().filter(|record| !owns(shard_of_message(record))).map(|record| record.seq);
    let mut notice = Notice {
        runs: runs.collect(),
        messages: messages.collect(),
        due: pending.message_due.map(|due| due.0),
        told: pending.notice_due.map(|due| due.0),
        ..Notice::default()
    };
    if notice.runs.len() + notice.messages.len() > NUMBERS_MAX {
        notice = Notice { more: true, due: notice.due, told: notice.told, ..Notice::default() };
    }
    (notice != Notice::default()).then(|| Notice { from: shared.leases.name(), ..notice })
}

/// Keeps of what is to be handed over here what is this host's to do.
pub(super) fn keep_own(shared: &Shared, pending: &mut Pending) {
    pending.runs.retain(|run| shared.leases.owns(shard_of_run(run)));
    pending.plans.retain(|record| shared.leases.owns(shard_of_message(record)));
}

pub(super) async fn tell(client: &ClientWrapper, notice: &Notice) -> Outcome<()> {
    let payload = serde_json::to_string(notice)?;
    read::execute(client, NOTIFY, &[&CHANNEL, &payload]).await?;
    Ok(())
}

/// Shards have been given back, or a host has come.
pub(super) async fn tell_of_shards(client: &ClientWrapper, from: String) -> Outcome<()> {
    tell(client, &Notice { from, shards: true, ..Notice::default() }).await
}

/// A connection that hears hints.
pub(super) type Listener = (Client, mpsc::Receiver<String>);

/// From here on nothing is missed.
pub(super) async fn begin(shared: &Shared) -> Outcome<Listener> {
    let (client, notices) = connect::listener(shared).await?;
    client.batch_execute(&format!("LISTEN {CHANNEL}")).await?;
    Ok((client, notices))
}

/// Listens until `stop`; a connection that is lost is made anew.
pub(super) async fn listen(shared: Arc<Shared>, first: Listener, stop: CancellationToken) {
    const PAUSE: std::time::Duration = std::time::Duration::from_secs(1);
    let mut listener = Some(first);
    loop {
        let trouble = match listener.take() {
            Some(heard) => tokio::select! {
                _ = stop.cancelled() => return,
                trouble = hear(&shared, heard) => trouble,
            },
            None => match begin(&shared).await {
                Ok(new) => {
                    // What was said while nobody listened is found by reading.
                    shared.handover.read_the_store();
                    listener = Some(new);
                    continue;
                }
                Err(trouble) => trouble,
            },
        };
        tracing::warn!(%trouble, "hints of other hosts are not heard now; the sweep finds their work meanwhile");
        tokio::select! {
            _ = stop.cancelled() => return,
            _ = tokio::time::sleep(PAUSE) => {}
        }
    }
}

/// Hears hints until the connection ends, and says why it did.
async fn hear(shared: &Arc<Shared>, (_client, mut notices): Listener) -> Trouble {
    while let Some(payload) = notices.recv().await {
        let notice: Notice = match serde_json::from_str(&payload) {
            Ok(notice) => notice,
            Err(error) => {
                // A host of another version may say more than this one understands: it reads the store in place of it.
                tracing::debug!(%error, "a hint that is not understood");
                Notice { more: true, ..Notice::default() }
            }
        };
        if notice.from != shared.leases.name()
            && let Err(trouble) = take(shared, notice).await
        {
            tracing::warn!(%trouble, "what a hint names cannot be read now; the sweep finds it");
        }
    }
    Trouble::Pool("the connection was closed".to_owned())
}

/// Hands over what a hint names, as far as it is this host's.
async fn take(shared: &Shared, notice: Notice) -> Outcome<()> {
    if notice.shards {
        shared.leases.changed.notify_one();
    }
    if notice.more {
        shared.handover.read_the_store();
    }
    if let Some(due) = notice.due {
        shared.handover.messages_due.at(Timestamp(due));
    }
    if let Some(due) = notice.told {
        shared.handover.notices_due.at(Timestamp(due));
    }
    if notice.runs.is_empty() && notice.messages.is_empty() {
        return Ok(());
    }
    let shards = shared.leases.owned();
    let client = connect::reader(&shared.pool).await?;
    if !notice.runs.is_empty() {
        let runs = inbox::runs_by_seqs(&client, &notice.runs, &shards).await?;
        runs.into_iter().for_each(|run| shared.handover.run(run));
    }
    if !notice.messages.is_empty() {
        let messages = outbox::messages_by_seqs(&client, &notice.messages, &shards).await?;
        messages.into_iter().for_each(|message| shared.handover.message(message));
    }
    Ok(())
}
