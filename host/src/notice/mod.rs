//! Webhooks out: endpoints of tenants are told what happens, signed as Standard Webhooks has it.
//!
//! In: notices, rows that the transaction wrote which they tell of, so none is missed and none tells of what did not happen. Out:
//! a request for each, and what was answered, written down with what follows. Which host has an endpoint is said by its shard;
//! on that host each endpoint has a lane of its own ([`tell`]), so that one which is slow or away holds up no other.
//!
//! What can go wrong: an endpoint does not answer, or not with 2xx; the notice is tried again with growing pauses, under the same id
//! and with the same body, and given up after the last. An endpoint that takes nothing rests, is then tried with one notice at a
//! time, and is disabled in the end. A host that dies between an answer and writing it down, or whose lease another has, tells
//! twice: receivers know a repetition by its id. An address that is not public is not connected to, unless the operator opens it.
//!
//! This stage never decides what is told: that is done where it happens (`store/commands/notices.rs`).

mod rest;
mod settings;
mod sign;
mod tell;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::Semaphore,
    task::{self, JoinSet},
    time::MissedTickBehavior,
};
use url::{Host, Url};

pub use settings::Settings;
pub use sign::secret;

use crate::{
    clock::{Clock, Timestamp},
    domain::{endpoint::NoticeState, shard::Shard},
    ids::{EndpointId, TenantId},
    plugin::{Door, Networks},
    shutdown::Shutdown,
    store::{self, Store, handover::Due},
};
use rest::Rests;

/// After the store could not be read or written.
const TROUBLE_PAUSE: Duration = Duration::from_secs(1);
/// Between two looks at who is to be told something: what comes meanwhile is found with it.
const LOOK_PAUSE: Duration = Duration::from_millis(20);
/// Notices of one endpoint that are given up by one sweep, where too many wait.
const OVERFLOW_MAX: u32 = 1000;
/// As long as browsers and proxies bear.
const URL_BYTES_MAX: usize = 2048;

/// What was counted since the host started, for `/metrics`.
#[derive(Debug, Default)]
pub struct Told {
    pub delivered: AtomicU64,
    /// Tries that came to nothing.
    pub failed: AtomicU64,
    pub given_up: AtomicU64,
}

impl Told {
    fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// What whoever manages endpoints needs of this stage.
#[derive(Clone)]
pub struct Desk {
    pub settings: Arc<Settings>,
    pub told: Arc<Told>,
    networks: Networks,
}

impl Desk {
    pub fn new(settings: &Settings) -> Result<Desk, String> {
        let networks = Networks::parse(&settings.networks)?;
        Ok(Desk { settings: Arc::new(settings.clone()), told: Arc::default(), networks })
    }

    /// Why nothing can be told to a URL, as far as the URL shows it. Where a name leads is looked at with each connection.
    pub fn check_url(&self, text: &str) -> Result<(), String> {
        let url = Url::parse(text).map_err(|error| format!("it is no URL: {error}"))?;
        if text.len() > URL_BYTES_MAX {
            return Err(format!("it is longer than {URL_BYTES_MAX} bytes"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("it holds a name or a password; what is told is signed, which proves more".to_owned());
        }
        if url.fragment().is_some() {
            return Err("it has a fragment, which is never sent".to_owned());
        }
        let address = match url.host() {
            Some(Host::Ipv4(address)) => Some(address.into()),
            Some(Host::Ipv6(address)) => Some(address.into()),
            Some(Host::Domain(_)) => None,
            None => return Err("it names no host".to_owned()),
        };
        if let Some(address) = address {
            let open = "open it with endpoints.networks in the host's configuration where it is meant";
            self.networks.check(address).map_err(|why| format!("{address} is {why}; {open}"))?;
        }
        let on_this_machine = match url.host() {
            Some(Host::Domain(name)) => name == "localhost",
            _ => address.is_some_and(|address: std::net::IpAddr| address.to_canonical().is_loopback()),
        };
        match url.scheme() {
            "https" => Ok(()),
            "http" if self.settings.plain_http || on_this_machine => Ok(()),
            "http" => Err("it is not encrypted: give an https URL".to_owned()),
            other => Err(format!("`{other}` is not spoken here: give an https URL")),
        }
    }
}

/// What the stage works with.
pub struct Parts {
    pub store: Arc<dyn Store>,
    pub clock: Arc<dyn Clock>,
    settings: Arc<Settings>,
    told: Arc<Told>,
    door: Door,
    places: Semaphore,
    rests: Rests,
    pauses: Vec<Duration>,
    /// Secrets follow from it.
    host_secret: [u8; 32],
}

impl Parts {
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>, desk: &Desk) -> Result<Parts, String> {
        let settings = desk.settings.clone();
        let door = Door::to_endpoints(desk.networks.clone(), settings.connect_timeout())?;
        let host_secret = store.host_secret();
        Ok(Parts {
            store,
            clock,
            told: desk.told.clone(),
            door,
            places: Semaphore::new(settings.concurrent_max.max(1)),
            rests: Rests::default(),
            pauses: settings.pauses(),
            settings,
            host_secret,
        })
    }
}

/// Tells until it is to stop; then begins nothing new, lets what is being told end while there is time, and returns.
pub async fn work(parts: Arc<Parts>, due: Arc<Due>, shutdown: Shutdown) {
    let mut lanes = Lanes { parts: parts.clone(), due, running: HashMap::new(), tasks: JoinSet::new(), shutdown };
    let stop = lanes.shutdown.stop.clone();
    let told = lanes.due.clone();
    // By the machine's time: hints are lost in that time, whatever the host's clock says.
    let mut sweep = tokio::time::interval(parts.settings.sweep());
    sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut look_at = Timestamp(0);
    let mut looked = Timestamp(0);
    loop {
        if parts.clock.now() >= look_at {
            looked = parts.clock.now();
            look_at = lanes.look(looked).await;
        }
        tokio::select! {
            _ = stop.cancelled() => break,
            Some(ended) = lanes.tasks.join_next_with_id(), if !lanes.tasks.is_empty() => {
                lanes.ended(ended);
                look_at = look_at.min(looked.plus(LOOK_PAUSE));
            }
            _ = told.earlier() => look_at = look_at.min(looked.plus(LOOK_PAUSE)),
            _ = parts.clock.sleep_until(look_at) => {}
            _ = sweep.tick() => look_at = Timestamp(0),
        }
    }
    lanes.leave().await;
}

struct Lanes {
    parts: Arc<Parts>,
    due: Arc<Due>,
    /// Which endpoint each task tells.
    running: HashMap<task::Id, EndpointId>,
    tasks: JoinSet<()>,
    shutdown: Shutdown,
}

impl Lanes {
    /// Begins to tell whom something is due that nobody tells yet. When to look again.
    async fn look(&mut self, now: Timestamp) -> Timestamp {
        self.due.forget();
        let endpoints = match self.parts.store.endpoints().await {
            Ok(endpoints) => endpoints,
            Err(error) => {
                tracing::warn!(%error, "endpoints cannot be read now; trying again in a second");
                return now.plus(TROUBLE_PAUSE);
            }
        };
        let mut next = Timestamp::NEVER;
        for (endpoint, due) in endpoints {
            let (Some(due), true) = (due, endpoint.enabled()) else { continue };
            let ours = self.parts.store.owns(Shard::of_endpoint(&endpoint.tenant, endpoint.id));
            if !ours || self.running.values().any(|running| *running == endpoint.id) {
                continue;
            }
            let at = due.max(self.parts.rests.until(endpoint.id));
            if at > now {
                next = next.min(at);
                continue;
            }
            self.begin(endpoint.tenant, endpoint.id);
        }
        let next = next.max(now.plus(LOOK_PAUSE));
        self.due.known(next);
        next
    }

    fn begin(&mut self, tenant: TenantId, id: EndpointId) {
        let (parts, stop) = (self.parts.clone(), self.shutdown.stop.clone());
        let task = self.tasks.spawn(async move {
            if let Err(error) = give_up_what_is_too_much(&parts, id).await {
                tracing::warn!(endpoint = %id, %error, "what waits cannot be read now; it is tried again");
            }
            tell::serve(&parts, &tenant, id, &stop).await;
        });
        self.running.insert(task.id(), id);
    }

    fn ended(&mut self, ended: Result<(task::Id, ()), task::JoinError>) {
        let id = match ended {
            Ok((id, ())) => id,
            Err(error) => {
                tracing::error!(%error, "telling an endpoint ended badly, which is a bug; it is tried again");
                error.id()
            }
        };
        self.running.remove(&id);
    }

    async fn leave(mut self) {
        let ended = async { while self.tasks.join_next().await.is_some() {} };
        if self.shutdown.abandon.run_until_cancelled(ended).await.is_none() {
            tracing::warn!("endpoints had not answered yet and are left; they are told again after the next start");
        }
    }
}

/// Memory is not at stake, but disk is: of an endpoint that takes nothing only so much waits.
async fn give_up_what_is_too_much(parts: &Parts, id: EndpointId) -> store::Result<()> {
    // One that takes what it is told has no backlog, and looking for one costs.
    if !parts.rests.doubtful(id, &parts.settings) {
        return Ok(());
    }
    let keep = parts.settings.backlog_max;
    let left = parts.store.overflow(id, keep, OVERFLOW_MAX).await?;
    if !left.is_empty() {
        tracing::warn!(endpoint = %id, count = left.len(), "more waits for an endpoint than endpoints.backlog-max; the oldest are given up");
    }
    for notice in left {
        let mut standing = notice.standing;
        standing.tries.push(crate::domain::endpoint::Try {
            at: parts.clock.now(),
            status: None,
            error: Some(format!("given up: more than {keep} were waiting")),
        });
        (standing.state, standing.due) = (NoticeState::GivenUp, None);
        parts.store.answer_notice(notice.seq, standing).await?;
        Told::count(&parts.told.given_up);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(settings: &Settings, url: &str) -> Option<String> {
        Desk::new(settings).unwrap().check_url(url).err()
    }

    #[test]
    fn only_encrypted_urls_of_the_public_network_are_taken_unless_the_operator_says_otherwise() {
        let plain = Settings::default();
        assert_eq!(refused(&plain, "https://shop.example/hooks?a=1"), None);
        for (url, why) in [
            ("http://shop.example/", "https"),
            ("ftp://shop.example/", "https"),
            ("https://10.0.0.1/", "endpoints.networks"),
            ("https://[::1]/", "endpoints.networks"),
            ("https://169.254.169.254/latest", "link-local"),
            ("https://me:you@shop.example/", "password"),
            ("https://shop.example/#a", "fragment"),
            ("shop.example", "no URL"),
        ] {
            assert!(refused(&plain, url).is_some_and(|said| said.contains(why)), "{url}: {:?}", refused(&plain, url));
        }
        let open = Settings { networks: vec!["127.0.0.1".into(), "10.0.0.0/8".into()], ..Settings::default() };
        assert_eq!(refused(&open, "http://127.0.0.1:8000/"), None, "nobody listens in between");
        assert!(refused(&open, "http://10.0.0.1/").is_some());
        assert_eq!(refused(&Settings { plain_http: true, ..open }, "http://10.0.0.1/"), None);
    }
}
