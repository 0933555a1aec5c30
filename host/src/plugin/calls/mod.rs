//! What a run can call, a file for each interface of the contract.
//!
//! In comes what the guest says, which nobody has checked; out go effects into the run's own buffer. Nothing in here makes
//! anything happen: what was asked for is committed after the run, or dropped with it. A call that the plugin can do
//! something about answers with an error of the contract; a limit, a misuse that the contract has no answer for, or the
//! host's own trouble ends the run.

pub(super) mod calendar;
mod content;
pub(super) mod customers;
pub(super) mod events;
pub(super) mod http;
pub(super) mod media;
pub(super) mod messages;
pub(super) mod run;
pub(super) mod send;
pub(super) mod state;
mod template;
pub(super) mod timers;
pub(super) mod wasi;

use std::{collections::HashMap, sync::Arc};

use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use super::{
    capability::Capabilities,
    limiter::{LimitReached, Limiter, number},
    registry::{Plugin, Shared},
};
use crate::{
    clock::Timestamp,
    domain::{
        exchange::Exchange,
        quota::{UseKey, Used},
        run::{Asked, Cause, EntitySnapshot, Outcome, QueuedRun, RefusedMessage},
        text::nul_in,
    },
    ids::{CustomerId, EventId},
    store,
};
use wasi::{RunLog, Stream};

/// Something that the contract does not allow and has no answer for: the plugin's own fault.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Misuse(pub String);

/// The host's own trouble, never counted against the plugin.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct HostTrouble(pub String);

/// Everything of one run: what it sees, what it may, what it has asked for.
pub(super) struct RunState {
    pub table: ResourceTable,
    pub wasi: WasiCtx,
    pub limiter: Limiter,
    pub plugin: Arc<Plugin>,
    pub shared: Arc<Shared>,
    pub work: QueuedRun,
    pub snapshot: Arc<EntitySnapshot>,
    pub now: Timestamp,
    pub outcome: Outcome,
    pub log: Arc<RunLog>,
    pub denied: Vec<String>,
    pub refused: Vec<RefusedMessage>,
    /// What it looked up, for whoever executes it again.
    pub asked: Vec<Asked>,
    /// What its requests came to, for the same.
    pub exchanges: Vec<Exchange>,
    pub host_calls: u32,
    /// Requests over HTTP.
    pub requests: u32,
    /// Ticks of the engine's clock while it was computing.
    pub ticks: u32,
    /// The computing time is used up.
    pub exhausted: bool,
    pub effect_bytes: u64,
    /// Bytes of the entity's state with this run's changes; counted when the first change is made.
    pub state_bytes: Option<u64>,
    pub random_bytes: u64,
    /// What the plugin has used of its places with those whom this run writes to, as it was when it was first asked.
    used: HashMap<UseKey, Used>,
    /// Events that this run was given, by the source's name for them: what `because` may name.
    seen: Vec<(String, EventId)>,
    /// What its chance follows from.
    seed: [u8; 32],
    chance: Option<blake3::OutputReader>,
    wasi_random: Option<blake3::OutputReader>,
}

impl RunState {
    pub(super) fn new(
        plugin: Arc<Plugin>,
        shared: Arc<Shared>,
        work: QueuedRun,
        snapshot: Arc<EntitySnapshot>,
        now: Timestamp,
        seed: [u8; 32],
    ) -> RunState {
        let log = Arc::new(RunLog::new(plugin.budget.log_bytes));
        let mut table = ResourceTable::new();
        table.set_max_capacity(number(plugin.budget.handles));
        RunState {
            table,
            wasi: wasi::context(&log, now),
            limiter: Limiter::new(&plugin.budget),
            log,
            plugin,
            shared,
            work,
            snapshot,
            now,
            outcome: Outcome::default(),
            denied: Vec::new(),
            refused: Vec::new(),
            asked: Vec::new(),
            exchanges: Vec::new(),
            host_calls: 0,
            requests: 0,
            ticks: 0,
            exhausted: false,
            effect_bytes: 0,
            state_bytes: None,
            random_bytes: 0,
            used: HashMap::new(),
            seen: Vec::new(),
            seed,
            chance: None,
            wasi_random: None,
        }
    }

    /// Counts a call; every function of the contract begins with it.
    fn call(&mut self) -> wasmtime::Result<()> {
        self.host_calls = self.host_calls.saturating_add(1);
        let allowed = self.plugin.budget.host_calls;
        if self.host_calls > allowed {
            return Err(LimitReached::wished("host-calls", allowed).into());
        }
        Ok(())
    }

    /// Counts chance that is asked for.
    fn count_random(&mut self, count: u64) -> wasmtime::Result<usize> {
        self.random_bytes = self.random_bytes.saturating_add(count);
        let allowed = self.plugin.budget.random_bytes;
        if self.random_bytes > allowed.0 {
            return Err(LimitReached::wished("random-bytes", allowed).into());
        }
        Ok(usize::try_from(count)?)
    }

    /// Counts what the outcome holds.
    fn effect(&mut self, bytes: usize) -> wasmtime::Result<()> {
        self.effect_bytes = self.effect_bytes.saturating_add(bytes as u64);
        let allowed = self.plugin.budget.effect_bytes;
        if self.effect_bytes > allowed.0 {
            return Err(LimitReached::wished("effect-bytes", allowed).into());
        }
        Ok(())
    }

    /// A key of an entry or timer; `what` is the argument's name.
    fn key(&self, what: &str, key: &str) -> wasmtime::Result<()> {
        let allowed = self.shared.limits.key_bytes;
        if key.len() as u64 > allowed.0 {
            return Err(LimitReached::host("key-bytes", allowed).into());
        }
        if key.is_empty() {
            return Err(Misuse(format!("`{what}` is empty; give entries and timers a name")).into());
        }
        text(what, key)
    }

    /// The data of a timer or an event.
    fn json(&self, what: &str, text: &str) -> wasmtime::Result<()> {
        let allowed = self.shared.limits.data_bytes;
        if text.len() as u64 > allowed.0 {
            return Err(LimitReached::host("data-bytes", allowed).into());
        }
        match serde_json::from_str::<serde::de::IgnoredAny>(text) {
            Ok(_) => Ok(()),
            Err(error) => Err(Misuse(format!("the data of {what} is not JSON: {error}")).into()),
        }
    }

    /// Remembers a refused permission and gives the words back, for the error that the plugin gets.
    fn denied(&mut self, what: &str, why: String) -> String {
        let line = format!("{what}: {why}");
        if !self.denied.contains(&line) {
            tracing::warn!(plugin = %self.plugin.name(), "not permitted: {line}");
            self.denied.push(line.clone());
        }
        line
    }

    fn may(&self) -> &Capabilities {
        &self.plugin.capabilities
    }

    /// The customer whom the run concerns.
    pub(super) fn customer(&self) -> Option<&CustomerId> {
        self.work.run.customer.as_ref()
    }

    /// The customer as an argument gives it, or that of the run.
    fn customer_or_own(&self, what: &str, given: Option<String>) -> wasmtime::Result<Option<CustomerId>> {
        if let Some(given) = &given {
            text(what, given)?;
        }
        Ok(given.map(CustomerId::new).or_else(|| self.work.run.customer.clone()))
    }

    /// The event that the run's chain goes back to.
    pub(super) fn origin(&self) -> Option<EventId> {
        match &self.work.run.cause {
            Cause::Event(event) => Some(event.id),
            Cause::Timer(timer) => timer.origin,
            Cause::Delivery(_) | Cause::Message(_) => None,
        }
    }

    /// A name for a number, the same in every run of this host's store, from which nobody learns the number.
    fn pseudonym(&self, number: &str) -> String {
        let mut hasher = blake3::Hasher::new_keyed(&self.shared.host_secret);
        hasher.update(b"relais sender");
        hasher.update(self.work.run.key.tenant.to_string().as_bytes());
        hasher.update(b"\0");
        hasher.update(number.as_bytes());
        hasher.finalize().to_hex().chars().take(24).collect()
    }

    /// Bytes that are the same for every execution of this run, and that nobody without the host's secret can foresee.
    fn chance_for(&self, purpose: &str) -> blake3::OutputReader {
        let mut hasher = blake3::Hasher::new_keyed(&self.seed);
        hasher.update(purpose.as_bytes());
        hasher.finalize_xof()
    }

    /// Remembers what is looked up. A plugin that looks up more than this is not helped by its bundle.
    fn asks(&mut self, asked: Asked) {
        const ASKED_MAX: usize = 200;
        if self.asked.len() < ASKED_MAX && !self.asked.contains(&asked) {
            self.asked.push(asked);
        }
    }
}

/// The contract's types have no functions.
impl super::bindings::types::Host for RunState {}

impl WasiView for RunState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

/// Settings that the contract leaves open are names of its registry; one that this host does not know would be lost.
fn no_settings(what: &str, attributes: &[(String, String)]) -> wasmtime::Result<()> {
    match attributes.first() {
        Some((name, _)) => Err(Misuse(format!("{what}: this host knows no setting `{name}`")).into()),
        None => Ok(()),
    }
}

/// A text that is kept as it is.
fn text(what: &str, text: &str) -> wasmtime::Result<()> {
    nul_in(what, text).map_or(Ok(()), |why| Err(Misuse(why).into()))
}

/// A failed look into the store ends the run; it is executed again.
pub(super) fn trouble(error: store::Error) -> wasmtime::Error {
    HostTrouble(error.to_string()).into()
}

/// A point in time of the contract. The bound is ECMAScript's, 100 million days either way, beyond which no calendar goes.
pub(super) fn timestamp(what: &str, instant: f64) -> wasmtime::Result<Timestamp> {
    const MAX: f64 = 8.64e15;
    if instant.is_nan() || instant.abs() > MAX {
        return Err(Misuse(format!("{what}: {instant} is no point in time; give milliseconds since 1970")).into());
    }
    #[expect(clippy::cast_possible_truncation, reason = "bounded above, and a fraction of a millisecond is of no use")]
    Ok(Timestamp(instant as i64))
}

#[expect(clippy::cast_precision_loss, reason = "the contract's instants are f64, exact for 285,000 years")]
pub(super) fn instant(timestamp: Timestamp) -> f64 {
    timestamp.0 as f64
}

pub(super) fn duration(what: &str, millis: f64) -> wasmtime::Result<std::time::Duration> {
    // Ten thousand days: nothing here waits longer, and sums of them stay far from overflowing.
    const MAX: f64 = 8.64e11;
    if !(0.0..=MAX).contains(&millis) {
        return Err(Misuse(format!("{what}: {millis} is no length of time; give milliseconds, 0 to {MAX}")).into());
    }
    Ok(std::time::Duration::from_secs_f64(millis / 1000.0))
}

impl RunState {
    /// Writes a line of the host's own into the run's log.
    fn note(&self, message: &str) {
        self.log.line(Stream::Host("warn"), message, Vec::new());
    }
}
