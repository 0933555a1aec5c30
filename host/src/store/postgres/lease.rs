//! Which host does the work of which shard.
//!
//! Every host writes down until when it is believed to live, in database time, and renews that four times in the length of a
//! lease. From the list of hosts that live each computes the same table of who should have which shard (rendezvous hashing: a
//! host that comes or goes moves its own share and no more). A shard is taken when nobody has it, or who has it does not live
//! any more, and given back as soon as another should have it. A host that stops gives everything back at once.
//!
//! None of this decides what may be committed; it only keeps two hosts from trying the same. A host that was stopped for longer
//! than its lease finds that it owns nothing, by its own clock, before it asks anybody.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use deadpool_postgres::ClientWrapper;
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{Shared, connect, error::Outcome, notify, read};
use crate::domain::shard::{SHARDS, Shard};

const WORDS: usize = SHARDS as usize / 64;
/// How long after the others went a host still asks the store whose turn it is: far longer than it takes to notice that there
/// is work of theirs to be read.
const ALONE_AFTER: Duration = Duration::from_secs(60);

pub(super) struct Leases {
    /// A number that no other start of a host has, so that a host that comes back is not taken for the one that died.
    id: [u8; 16],
    host_name: String,
    lease: Duration,
    owned: [AtomicU64; WORDS],
    /// Until when they are ours without asking again.
    until: Mutex<Option<Instant>>,
    hosts: AtomicUsize,
    /// When others were last there.
    shared: Mutex<Option<Instant>>,
    /// Another host said that shards changed hands.
    pub(super) changed: Notify,
    leaving: AtomicBool,
}

impl Leases {
    pub(super) fn new(id: [u8; 16], host_name: String, lease: Duration) -> Leases {
        Leases {
            id,
            host_name,
            lease,
            owned: std::array::from_fn(|_| AtomicU64::new(0)),
            until: Mutex::new(None),
            hosts: AtomicUsize::new(1),
            shared: Mutex::new(None),
            changed: Notify::new(),
            leaving: AtomicBool::new(false),
        }
    }

    /// The same number, for others to read.
    pub(super) fn name(&self) -> String {
        self.id.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    pub(super) fn owns(&self, shard: Shard) -> bool {
        let (word, bit) = (usize::from(shard.0) / 64, shard.0 % 64);
        let marked = self.owned.get(word).is_some_and(|word| word.load(Ordering::Acquire) & (1 << bit) != 0);
        marked && self.lives()
    }

    fn lives(&self) -> bool {
        let until = *self.until.lock().unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| Instant::now() < until)
    }

    /// The shards that are ours, as the queries take them.
    pub(super) fn owned(&self) -> Vec<i16> {
        if !self.lives() {
            return Vec::new();
        }
        (0..SHARDS).filter(|shard| self.owns(Shard(*shard))).filter_map(|shard| i16::try_from(shard).ok()).collect()
    }

    pub(super) fn count(&self) -> usize {
        if !self.lives() {
            return 0;
        }
        self.owned.iter().map(|word| word.load(Ordering::Acquire).count_ones() as usize).sum()
    }

    pub(super) fn hosts(&self) -> usize {
        self.hosts.load(Ordering::Acquire)
    }

    /// A host that has just become the only one does not know yet what the others have left: what it accepts from then on is
    /// younger than work that it has still to read.
    pub(super) fn shared_with_others(&self) -> bool {
        let shared = *self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        self.hosts() > 1 || self.count() < usize::from(SHARDS) || shared.is_some_and(|at| at.elapsed() < ALONE_AFTER)
    }

    /// How many live, this one included.
    fn count_hosts(&self, hosts: usize) {
        let known = self.hosts.swap(hosts, Ordering::AcqRel);
        if hosts > 1 || known > 1 {
            *self.shared.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        }
    }

    /// Takes note of what the database says is ours.
    fn own(&self, shards: &[i16]) {
        self.owned.iter().zip(words(shards)).for_each(|(word, now)| word.store(now, Ordering::Release));
    }

    /// Whether there is work among these shards that this host knows nothing of: it had not got them, or had them no longer,
    /// because its lease had ended. What it held of them it has dropped since.
    fn gains(&self, shards: &[i16]) -> bool {
        let known = self.owned.iter().map(|word| word.load(Ordering::Acquire));
        known.zip(words(shards)).any(|(known, now)| now & !known != 0) || !self.lives()
    }

    fn keep_until(&self, until: Instant) {
        *self.until.lock().unwrap_or_else(PoisonError::into_inner) = Some(until);
    }
}

/// A bit for each shard.
fn words(shards: &[i16]) -> [u64; WORDS] {
    let mut words = [0u64; WORDS];
    for shard in shards.iter().filter_map(|shard| usize::try_from(*shard).ok()) {
        if let Some(word) = words.get_mut(shard / 64) {
            *word |= 1 << (shard % 64);
        }
    }
    words
}

/// The host that should have a shard: each pair of host and shard draws a number, and the highest has it.
pub(super) fn rightful(hosts: &[[u8; 16]], shard: u16) -> Option<&[u8; 16]> {
    hosts.iter().max_by_key(|host| {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&host[..]).update(&shard.to_le_bytes());
        *hasher.finalize().as_bytes()
    })
}

/// Renews until `stop`; the first round has been made already.
pub(super) async fn keep(shared: Arc<Shared>, stop: CancellationToken) {
    const AFTER_THE_END: Duration = Duration::from_millis(20);
    let every = shared.leases.lease / 4;
    let mut next = every;
    loop {
        tokio::select! {
            _ = stop.cancelled() => return,
            _ = shared.leases.changed.notified() => {}
            _ = tokio::time::sleep(next) => {}
        }
        next = match round(&shared).await {
            // Who is not heard of any more is looked for when its lease ends, and not at the next renewal.
            Ok(Some(end)) => every.min(end + AFTER_THE_END),
            Ok(None) => every,
            Err(trouble) => {
                tracing::warn!(%trouble, "the lease cannot be renewed now; without it other hosts take over this one's work");
                every
            }
        };
    }
}

/// Renews the lease, gives back what others should have, takes what is free and should be ours. In how much time the first of
/// the others' leases ends.
pub(super) async fn round(shared: &Shared) -> Outcome<Option<Duration>> {
    let leases = &shared.leases;
    if leases.leaving.load(Ordering::Acquire) {
        return Ok(None);
    }
    let client = connect::reader(&shared.pool).await?;
    set_clock(&client, shared).await?;
    // Counted from before it is asked for, so that it ends here no later than there.
    let asked = Instant::now();
    let came = renew(&client, shared).await?;
    let (hosts, left): (Vec<_>, Vec<_>) = living(&client).await?.into_iter().unzip();
    let next_end = hosts.iter().zip(left).filter(|(host, _)| **host != leases.id).map(|(_, left)| left).min();
    leases.count_hosts(hosts.len());
    let (mine, others): (Vec<i16>, Vec<i16>) = (0..i16::try_from(SHARDS).unwrap_or(i16::MAX))
        .partition(|shard| u16::try_from(*shard).is_ok_and(|shard| rightful(&hosts, shard) == Some(&leases.id)));
    let sql = "UPDATE shards SET host = NULL, since = now() WHERE host = $1 AND shard = ANY($2)";
    let given = read::execute(&client, sql, &[&&leases.id[..], &others]).await?;
    // Only those rows that change: a query that changes none costs next to nothing, and holds no lock.
    let sql = "UPDATE shards s SET host = $1, since = now() WHERE s.shard = ANY($2) AND s.host IS DISTINCT FROM $1 \
               AND NOT EXISTS (SELECT 1 FROM hosts h WHERE h.id = s.host AND h.expires > now())";
    read::execute(&client, sql, &[&&leases.id[..], &mine]).await?;
    let owned = read::all(&client, "SELECT shard FROM shards WHERE host = $1", &[&&leases.id[..]], |row| {
        Ok(row.try_get::<_, i16>(0)?)
    })
    .await?;
    let gains = leases.gains(&owned);
    if gains {
        tracing::info!(shards = owned.len(), hosts = hosts.len(), "this host has more shards than before");
        // Said before they are ours as well: what is handed over from then on is not taken for all that there is.
        shared.handover.read_the_store();
    }
    leases.own(&owned);
    leases.keep_until(asked + leases.lease);
    if gains {
        shared.handover.read_the_store();
    }
    if came || given > 0 {
        notify::tell_of_shards(&client, leases.name()).await?;
    }
    Ok(next_end)
}

/// Hosts agree on the time by going by the database's.
async fn set_clock(client: &ClientWrapper, shared: &Shared) -> Outcome<()> {
    let asked = Instant::now();
    let sql = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::int8";
    let now = read::one(client, sql, &[], |row| super::rows::must_time(row, 0)).await?;
    // The answer was on its way for about half of the time that asking took.
    let now = now.map(|now| now.plus(asked.elapsed() / 2));
    let follows = now.is_some_and(|now| shared.clock.follow(now));
    shared.database_time.store(follows, Ordering::Release);
    Ok(())
}

/// `true` where this host was not known, or had been given up.
async fn renew(client: &ClientWrapper, shared: &Shared) -> Outcome<bool> {
    let leases = &shared.leases;
    let seconds = leases.lease.as_secs_f64();
    let sql = "UPDATE hosts SET expires = now() + make_interval(secs => $2) WHERE id = $1 AND expires > now()";
    if read::execute(client, sql, &[&&leases.id[..], &seconds]).await? > 0 {
        return Ok(false);
    }
    let sql = "INSERT INTO hosts (id, name, version, started, expires) \
               VALUES ($1, $3, $4, now(), now() + make_interval(secs => $2)) \
               ON CONFLICT (id) DO UPDATE SET expires = excluded.expires";
    let version = env!("CARGO_PKG_VERSION");
    read::execute(client, sql, &[&&leases.id[..], &seconds, &leases.host_name, &version]).await?;
    // Those that ended long ago are of no interest to anybody.
    let sql = "DELETE FROM hosts WHERE expires < now() - interval '1 day'";
    read::execute(client, sql, &[]).await?;
    Ok(true)
}

/// Who lives, and how much is left of their lease.
async fn living(client: &ClientWrapper) -> Outcome<Vec<([u8; 16], Duration)>> {
    let sql =
        "SELECT id, (extract(epoch FROM expires - now()) * 1000)::int8 FROM hosts WHERE expires > now() ORDER BY id";
    read::all(client, sql, &[], |row| {
        let left_ms = u64::try_from(row.try_get::<_, i64>(1)?).unwrap_or(0);
        Ok((super::rows::id(row, 0)?, Duration::from_millis(left_ms)))
    })
    .await
}

/// Gives everything back at once.
pub(super) async fn leave(shared: &Shared) -> Outcome<()> {
    let leases = &shared.leases;
    leases.leaving.store(true, Ordering::Release);
    leases.own(&[]);
    let client = connect::reader(&shared.pool).await?;
    let id = &leases.id[..];
    read::execute(&client, "UPDATE shards SET host = NULL, since = now() WHERE host = $1", &[&id]).await?;
    read::execute(&client, "DELETE FROM hosts WHERE id = $1", &[&id]).await?;
    notify::tell_of_shards(&client, leases.name()).await
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_host_whose_lease_had_ended_reads_anew_what_it_has() {
        let leases = Leases::new([1; 16], "one".to_owned(), Duration::from_secs(30));
        assert!(leases.gains(&[1, 2]), "it had nothing");
        leases.own(&[1, 2]);
        leases.keep_until(Instant::now() + Duration::from_secs(30));
        assert!(!leases.gains(&[1, 2]) && leases.gains(&[1, 2, 3]));
        leases.keep_until(Instant::now());
        assert!(leases.gains(&[1, 2]), "it has dropped what it held of them");
    }

    #[test]
    fn a_host_that_was_one_of_several_is_not_alone_at_once() {
        let leases = Leases::new([1; 16], "one".to_owned(), Duration::from_secs(30));
        let all: Vec<i16> = (0..i16::try_from(SHARDS).unwrap()).collect();
        leases.keep_until(Instant::now() + Duration::from_secs(30));
        leases.own(&all);
        leases.count_hosts(1);
        assert!(!leases.shared_with_others(), "it was never anything else");
        leases.count_hosts(2);
        leases.count_hosts(1);
        assert!(leases.shared_with_others());
    }

    fn shares(hosts: &[[u8; 16]]) -> Vec<usize> {
        let count = |host| (0..SHARDS).filter(|shard| rightful(hosts, *shard) == Some(host)).count();
        hosts.iter().map(count).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

        #[test]
        fn every_shard_has_one_host_and_every_host_its_share(
            hosts in proptest::collection::btree_set(any::<[u8; 16]>(), 1..8)
        ) {
            let hosts: Vec<_> = hosts.into_iter().collect();
            let shares = shares(&hosts);
            prop_assert_eq!(shares.iter().sum::<usize>(), usize::from(SHARDS));
            // A third more or less than the mean is six standard deviations and more.
            let mean = usize::from(SHARDS) / hosts.len();
            prop_assert!(shares.iter().all(|share| *share * 2 > mean && *share < mean * 2), "{:?}", shares);
        }

        #[test]
        fn a_host_that_goes_moves_its_own_shards_and_no_more(
            hosts in proptest::collection::btree_set(any::<[u8; 16]>(), 2..8), gone in any::<prop::sample::Index>()
        ) {
            let hosts: Vec<_> = hosts.into_iter().collect();
            let gone = *gone.get(&hosts);
            let left: Vec<_> = hosts.iter().copied().filter(|host| *host != gone).collect();
            for shard in 0..SHARDS {
                let before = rightful(&hosts, shard).unwrap();
                prop_assert!(*before == gone || rightful(&left, shard) == Some(before));
            }
        }
    }
}
