//! One run: a fresh instance, one call, and what came of it.
//!
//! Two clocks bound it. The engine's ticks come only while the guest computes; each lets others have the thread, and past the
//! budget the guest is stopped. A timer around the whole bounds waiting as well. Whatever happens, the instance is dropped:
//! nothing of a run is in memory when the next begins.

use std::{
    pin::{Pin, pin},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use wasmtime::{PoolConcurrencyLimitError, Store, Trap, UpdateDeadline, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use super::{
    bindings::types::Failure,
    calls::{HostTrouble, Misuse, RunState, customers::guest_event, instant, messages},
    limiter::{LimitReached, number},
    long::Pace,
    manifest::RetryPolicy,
    registry::{Plugin, Shared},
};
use crate::{
    clock::Timestamp,
    domain::{
        event::Event,
        run::{Cause, EntityKey, EntitySnapshot, Evidence, NewRun, Outcome, QueuedRun, RunFailure, RunReport},
    },
    ids::{Entity, EventId, RunId, TenantId},
};

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
    let pace = Arc::new(Pace::begin());
    let (now, entity_version) = (work.now, work.snapshot.version);
    let seed = work.seed.unwrap_or_else(|| seed(&shared.host_secret, work.run.run.id));
    let state = RunState::new(plugin.clone(), shared.clone(), work.run, work.snapshot, now, seed);
    let mut store = Store::new(&shared.engine, state);
    bound(&mut store, plugin, pace.clone());
    let run = Box::pin(timed(store, plugin.clone(), pace.clone()));
    let Some((called, mut state)) = shared.long.drive(run, &pace, &plugin.counters.habit).await else {
        return Execution::not_begun(RunFailure::Host { message: "the host is shutting down".to_owned() });
    };
    let report = state.report(&pace);
    let result = match called {
        Some(Ok(Ok(()))) => Ok(Finished { origin: state.origin(), outcome: std::mem::take(&mut state.outcome) }),
        Some(Ok(Err(failure))) => Err(plugin_said(failure)),
        Some(Err(error)) => Err(classify(&error, &state)),
        None => Err(out_of_time(plugin)),
    };
    count(plugin, &result);
    let evidence = result.is_err().then(|| {
        let (digest, config) = (plugin.digest.clone(), plugin.config.clone());
        let (asked, http) = (std::mem::take(&mut state.asked), std::mem::take(&mut state.exchanges));
        Box::new(Evidence { now, digest, config, entity_version, asked, http })
    });
    let report = RunReport { evidence, ..report };
    Execution { result, report, retry: plugin.manifest.retry }
}

impl Execution {
    /// Of a run that did not get as far as its plugin.
    pub(super) fn not_begun(failure: RunFailure) -> Execution {
        Execution { result: Err(failure), report: RunReport::default(), retry: RetryPolicy::default() }
    }
}

/// The call with a timer around it, and what the run left; `None` where its time was up. What it waited that was not its own
/// time is given back when the timer rings.
async fn timed(mut store: Store<RunState>, plugin: Arc<Plugin>, pace: Arc<Pace>) -> (Option<Called>, RunState) {
    let time = plugin.budget.time.0;
    let called = {
        let call = pin!(call(&mut store, &plugin));
        within(&pace, time, call).await
    };
    (called, store.into_data())
}

/// Waits for a call as long as it may take; `None` where its time was up.
pub(super) async fn within<T>(pace: &Pace, time: Duration, mut call: Pin<&mut impl Future<Output = T>>) -> Option<T> {
    loop {
        let deadline = pace.ends(time);
        match tokio::time::timeout_at(deadline.into(), call.as_mut()).await {
            Ok(called) => return Some(called),
            Err(_) if pace.ends(time) > deadline => {}
            Err(_) => return None,
        }
    }
}

/// Makes an instance under every limit and calls nothing of it: whether a run would get as far as its handler.
pub(super) async fn try_out(plugin: &Arc<Plugin>, shared: &Arc<Shared>, now: Timestamp) -> Result<(), RunFailure> {
    let state = RunState::new(plugin.clone(), shared.clone(), trial(plugin, now), Arc::default(), now, [0; 32]);
    let mut store = Store::new(&shared.engine, state);
    bound(&mut store, plugin, Arc::new(Pace::begin()));
    let tried = tokio::time::timeout(plugin.budget.time.0, plugin.pre.instantiate_async(&mut store)).await;
    match tried {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(classify(&error, store.data())),
        Err(_) => Err(out_of_time(plugin)),
    }
}

/// A run that nobody asked for: a beginning of an instance may look at its run.
fn trial(plugin: &Plugin, now: Timestamp) -> QueuedRun {
    let tenant = TenantId::default_tenant();
    let event = Arc::new(Event::of_host(&tenant, "/relais", "trial", "trial", now));
    let run = NewRun {
        id: RunId::of_event(event.id, plugin.name(), 0),
        key: EntityKey { tenant, plugin: plugin.name().clone(), entity: Entity::from("trial") },
        customer: None,
        cause: Cause::Event(event),
        hold_up: true,
    };
    QueuedRun { seq: 0, attempts: 0, not_before: now, accepted: now, run }
}

/// Every limit that wasmtime keeps for us.
pub(super) fn bound(store: &mut Store<RunState>, plugin: &Plugin, pace: Arc<Pace>) {
    store.limiter(|state| &mut state.limiter);
    store.set_hostcall_fuel(plugin.budget.crossing_bytes.size());
    store.set_max_component_handles(number(plugin.budget.handles));
    let allowed = plugin.budget.cpu.0;
    store.epoch_deadline_callback(move |mut store| {
        let state = store.data_mut();
        state.ticks = state.ticks.saturating_add(1);
        let Some(computed) = pace.tick() else { return Ok(UpdateDeadline::Continue(1)) };
        if computed >= allowed {
            state.exhausted = true;
            return Ok(UpdateDeadline::Interrupt);
        }
        // Tokio's own yield goes to the end of the queue; wasmtime's would be polled again before anybody else.
        Ok(UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now())))
    });
    store.set_epoch_deadline(1);
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
pub(super) fn absent(handler: &str) -> wasmtime::Error {
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
pub(super) fn classify(error: &wasmtime::Error, state: &RunState) -> RunFailure {
    if let Some(trouble) = error.downcast_ref::<HostTrouble>() {
        return RunFailure::Host { message: trouble.to_string() };
    }
    if error.downcast_ref::<PoolConcurrencyLimitError>().is_some() {
        return RunFailure::Host {
            message: format!("the pool of instances is used up: {error}; lower plugins.concurrency"),
        };
    }
    if let Some(reached) = error.downcast_ref::<LimitReached>() {
        return limit(reached, &state.plugin);
    }
    let trap = error.downcast_ref::<Trap>();
    if state.exhausted && trap == Some(&Trap::Interrupt) {
        return limit(&LimitReached::wished("cpu", state.plugin.budget.cpu), &state.plugin);
    }
    // The guest was refused memory and gave up in its own way.
    if let Some(refused) = &state.limiter.refused {
        return limit(refused, &state.plugin);
    }
    if let Some(exit) = error.downcast_ref::<I32Exit>() {
        return fault(format!("it ended itself with exit code {}", exit.0), error);
    }
    if let Some(misuse) = error.downcast_ref::<Misuse>() {
        return fault(misuse.to_string(), error);
    }
    match (trap, LimitReached::behind(error, &state.plugin.budget)) {
        (Some(trap), _) => fault(trap.to_string(), error),
        (None, Some(reached)) => limit(&reached, &state.plugin),
        (None, None) => fault(error.root_cause().to_string(), error),
    }
}

/// The failure of a call whose time was up.
pub(super) fn out_of_time(plugin: &Plugin) -> RunFailure {
    limit(&LimitReached::wished("time", plugin.budget.time), plugin)
}

fn limit(reached: &LimitReached, plugin: &Plugin) -> RunFailure {
    RunFailure::Limit { limit: reached.limit.to_owned(), message: reached.told(plugin.name().as_str()) }
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
