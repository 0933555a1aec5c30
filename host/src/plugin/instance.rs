//! One run: a fresh instance, one call, and what came of it.
//!
//! Two clocks bound it. The engine's ticks count only while the guest computes; each tick lets others have the thread, and
//! past the budget the guest is stopped. A timer around the whole bounds waiting as well. Whatever happens, the instance is
//! dropped: nothing of a run is in memory when the next begins.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

use wasmtime::{PoolConcurrencyLimitError, Store, Trap, UpdateDeadline, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use super::{
    bindings::types::Failure,
    calls::{HostTrouble, Misuse, RunState, customers::guest_event, instant, messages},
    engine::TICK,
    limiter::LimitReached,
    manifest::RetryPolicy,
    registry::{Plugin, Shared},
    units::{show_duration, show_size},
};
use crate::{
    clock::Timestamp,
    domain::run::{Cause, EntitySnapshot, Evidence, Outcome, QueuedRun, RunFailure, RunReport},
    ids::{EventId, RunId},
};

/// Handles of resources that a guest may hold at a time, drafts and streams together.
const HANDLES_MAX: usize = 1024;

/// A run to execute, with what it reads.
pub struct Work {
    pub run: QueuedRun,
    pub snapshot: Arc<EntitySnapshot>,
    /// The run's time, at which its clock stands.
    pub now: Timestamp,
    /// What its chance follows from, where that is not this host's: a run of another host, executed again.
    pub seed: Option<[u8; 32]>,
}

/// What the chance of one run follows from: the same for each of its executions, and of no use for any other run's.
pub fn seed(host_secret: &[u8; 32], run: RunId) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_keyed(host_secret);
    hasher.update(b"relais run");
    hasher.update(&run.0);
    *hasher.finalize().as_bytes()
}

/// What came of an execution.
#[derive(Debug)]
pub struct Execution {
    pub result: Result<Finished, RunFailure>,
    pub report: RunReport,
    pub retry: RetryPolicy,
}

/// A run that ended well.
#[derive(Debug, PartialEq)]
pub struct Finished {
    pub outcome: Outcome,
    /// The event that the run's chain goes back to: the event itself, or the timer's origin.
    pub origin: Option<EventId>,
}

/// Executes one run of a plugin.
pub(super) async fn execute(plugin: &Arc<Plugin>, shared: &Arc<Shared>, work: Work) -> Execution {
    let started = Instant::now();
    let (now, entity_version) = (work.now, work.snapshot.version);
    let seed = work.seed.unwrap_or_else(|| seed(&shared.host_secret, work.run.run.id));
    let state = RunState::new(plugin.clone(), shared.clone(), work.run, work.snapshot, now, seed);
    let mut store = Store::new(&shared.engine, state);
    bound(&mut store, plugin, shared);
    let called = tokio::time::timeout(plugin.budget.time.0, call(&mut store, plugin)).await;
    let mut state = store.into_data();
    let result = match called {
        Ok(Ok(Ok(()))) => Ok(Finished { origin: state.origin(), outcome: std::mem::take(&mut state.outcome) }),
        Ok(Ok(Err(failure))) => Err(plugin_said(failure)),
        Ok(Err(error)) => Err(classify(&error, &state)),
        Err(_) => {
            let allowed = show_duration(plugin.budget.time.0);
            Err(limit(&LimitReached::wished("time", allowed)))
        }
    };
    count(plugin, &result);
    let evidence = result.is_err().then(|| {
        let (digest, config) = (plugin.digest.clone(), plugin.config.clone());
        Box::new(Evidence { now, digest, config, entity_version, asked: std::mem::take(&mut state.asked) })
    });
    let took = started.elapsed();
    let report = RunReport {
        plugin_version: plugin.manifest.version.clone(),
        took,
        took_us: u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
        cpu_ticks: state.ticks,
        memory_bytes: state.limiter.memory_bytes(),
        host_calls: state.host_calls,
        log: state.log.take(),
        denied: state.denied,
        refused: state.refused,
        evidence,
    };
    Execution { result, report, retry: plugin.manifest.retry }
}

/// Every limit that wasmtime keeps for us.
fn bound(store: &mut Store<RunState>, plugin: &Plugin, shared: &Shared) {
    store.limiter(|state| &mut state.limiter);
    store.set_hostcall_fuel(usize::try_from(shared.limits.crossing_bytes.0).unwrap_or(usize::MAX));
    store.set_max_component_handles(HANDLES_MAX);
    let ticks_max = ticks(plugin.budget.cpu.0);
    store.epoch_deadline_callback(move |mut store| {
        let state = store.data_mut();
        state.ticks = state.ticks.saturating_add(1);
        if state.ticks > ticks_max {
            state.exhausted = true;
            return Ok(UpdateDeadline::Interrupt);
        }
        // Tokio's own yield goes to the end of the queue; wasmtime's would be polled again before anybody else.
        Ok(UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now())))
    });
    store.set_epoch_deadline(1);
}

/// At least one tick, because the first may come the moment a run begins.
fn ticks(cpu: std::time::Duration) -> u32 {
    u32::try_from(cpu.as_millis() / TICK.as_millis()).unwrap_or(u32::MAX).max(1)
}

type Called = wasmtime::Result<Result<(), Failure>>;

async fn call(store: &mut Store<RunState>, plugin: &Plugin) -> Called {
    let instance = plugin.pre.instantiate_async(&mut *store).await?;
    let handlers = &plugin.handlers;
    let cause = store.data().work.run.cause.clone();
    match &cause {
        Cause::Event(event) => {
            let mut given = guest_event(event);
            // What the subscription derived is whom the run concerns.
            given.customer = store.data().customer().map(ToString::to_string);
            let handler = handlers.on_event.as_ref().ok_or_else(|| absent("on-event"))?.load(&mut *store, &instance)?;
            handler.call_handle(&mut *store, &given).await
        }
        Cause::Timer(timer) => {
            let given = super::bindings::timers::Timer {
                key: timer.key.clone(),
                due: instant(timer.due),
                customer: timer.customer.as_ref().map(ToString::to_string),
                data: timer.data.clone(),
                set_by: timer.set_by.clone(),
                attributes: Vec::new(),
            };
            let handler = handlers.on_timer.as_ref().ok_or_else(|| absent("on-timer"))?.load(&mut *store, &instance)?;
            handler.call_handle(&mut *store, &given).await
        }
        Cause::Delivery(delivery) => {
            let given = messages::guest_delivery(delivery);
            let handler =
                handlers.on_delivery.as_ref().ok_or_else(|| absent("on-delivery"))?.load(&mut *store, &instance)?;
            handler.call_handle(&mut *store, &given).await
        }
        Cause::Message(incoming) => {
            let given = messages::guest_incoming(incoming, store.data().plugin.capabilities.effective.phone);
            let handler =
                handlers.on_message.as_ref().ok_or_else(|| absent("on-message"))?.load(&mut *store, &instance)?;
            handler.call_handle(&mut *store, &given).await
        }
    }
}

/// A timer or answer of an earlier version of the plugin, whose handler the loaded one does not have.
fn absent(handler: &str) -> wasmtime::Error {
    Misuse(format!("this version of the plugin exports no `{handler}`")).into()
}

fn plugin_said(failure: Failure) -> RunFailure {
    match failure {
        Failure::Retry(info) => {
            // Anything that is no length of time is as if it had not been given.
            let after = info.after.filter(|after| after.is_finite() && *after >= 0.0);
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "not negative, and the cast saturates"
            )]
            let after_ms = after.map(|after| after as u64);
            RunFailure::Retry { message: info.message, after_ms, detail: info.detail }
        }
        Failure::Reject(info) => RunFailure::Reject { message: info.message, detail: info.detail },
    }
}

/// Tells apart what the plugin did wrong, which limit it ran into, and what is the host's own trouble.
fn classify(error: &wasmtime::Error, state: &RunState) -> RunFailure {
    if let Some(trouble) = error.downcast_ref::<HostTrouble>() {
        return RunFailure::Host { message: trouble.to_string() };
    }
    if error.downcast_ref::<PoolConcurrencyLimitError>().is_some() {
        return RunFailure::Host {
            message: format!("the pool of instances is used up: {error}; lower plugins.concurrency"),
        };
    }
    if let Some(reached) = error.downcast_ref::<LimitReached>() {
        return limit(reached);
    }
    let trap = error.downcast_ref::<Trap>();
    if state.exhausted && trap == Some(&Trap::Interrupt) {
        return limit(&LimitReached::wished("cpu", show_duration(state.plugin.budget.cpu.0)));
    }
    // The guest was refused memory and gave up in its own way.
    if let Some(refused) = &state.limiter.refused {
        return limit(refused);
    }
    if let Some(exit) = error.downcast_ref::<I32Exit>() {
        return fault(format!("it ended itself with exit code {}", exit.0), error);
    }
    if let Some(misuse) = error.downcast_ref::<Misuse>() {
        return fault(misuse.to_string(), error);
    }
    match trap {
        Some(trap) => fault(trap.to_string(), error),
        None => other(error, state),
    }
}

/// What is neither a trap nor ours comes from wasmtime's bounds on what crosses between guest and host.
fn other(error: &wasmtime::Error, state: &RunState) -> RunFailure {
    let root = error.root_cause().to_string();
    // The library's type for this one is private, so its words are all there is; a test holds them to account.
    if root.contains("fuel allocated for hostcalls") {
        let allowed = show_size(state.shared.limits.crossing_bytes.0);
        return limit(&LimitReached::host("crossing-bytes", allowed));
    }
    fault(root, error)
}

fn limit(reached: &LimitReached) -> RunFailure {
    RunFailure::Limit { limit: reached.limit.to_owned(), message: reached.message.clone() }
}

fn fault(message: String, error: &wasmtime::Error) -> RunFailure {
    // Its text has the demangled names, one frame to a line below a heading.
    let frames = error.downcast_ref::<WasmBacktrace>().map(ToString::to_string).unwrap_or_default();
    let backtrace = frames.lines().skip(1).map(|frame| frame.trim().to_owned()).filter(|frame| !frame.is_empty());
    RunFailure::Fault { message, backtrace: backtrace.collect() }
}

fn count(plugin: &Plugin, result: &Result<Finished, RunFailure>) {
    plugin.counters.runs.fetch_add(1, Ordering::Relaxed);
    match result {
        Err(RunFailure::Fault { .. }) => plugin.counters.faults.fetch_add(1, Ordering::Relaxed),
        Err(RunFailure::Limit { .. }) => plugin.counters.limits.fetch_add(1, Ordering::Relaxed),
        _ => 0,
    };
}
