//! Channels that a component brings: one call to send a message, one to read what its service reports.
//!
//! **What comes in.** A message that is rendered and addressed, or a webhook whose secret was checked.
//!
//! **What goes out.** What the component says of it. It gets a fresh instance for each call, with the limits of a run, the
//! requests that the operator grants, and nothing else of the host.
//!
//! **What can go wrong.** It traps, or reaches a limit: where it had made a request by then, nobody knows whether the message
//! went out, and that is what is said.
//!
//! **What it never does.** It stores nothing and decides nothing: its codes go through the host's tables.

use std::{pin::pin, sync::Arc, sync::atomic::Ordering, time::Duration};

use http::HeaderMap;
use wasmtime::Store;

pub use super::bindings::gateway::{
    Answer, Content, Incoming, Outgoing, Parsed, Refusal, Report, Sms, Stage, Status, Webhook,
};
use super::{
    Plugins,
    calls::{RunState, instant},
    instance::{self, bound, classify, within},
    long::Pace,
    registry::Plugin,
    trigger::{self, TriggerError},
};
use crate::{
    clock::Timestamp,
    domain::{
        event::Event,
        run::{Cause, EntityKey, NewRun, QueuedRun, RunFailure, RunReport},
    },
    ids::{Entity, EventId, PluginName, RunId, TenantId},
};

/// Why a call came to nothing.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum NoAnswer {
    /// The component was not called, or had made no request yet.
    #[error("{0}")]
    Nothing(String),
    /// It had made a request when it ended: what became of that is not known.
    #[error("{0}")]
    InDoubt(String),
}

enum Ask {
    Send(Outgoing),
    Parse(Webhook),
}

enum Told {
    Sent(Answer),
    Parsed(Result<Parsed, String>),
}

impl Plugins {
    /// Whether a plugin that serves brings a channel.
    pub fn is_gateway(&self, plugin: &PluginName) -> bool {
        self.get(plugin).is_some_and(|plugin| plugin.handlers.gateway.is_some())
    }

    /// Gives a message to the component. `message.token` makes the keys of its requests, so that an attempt that is made again
    /// is known as the same.
    pub async fn gateway_send(&self, plugin: &PluginName, message: Outgoing) -> Result<Answer, NoAnswer> {
        let token = message.token.clone();
        match self.ask_gateway(plugin, &token, Ask::Send(message)).await? {
            Told::Sent(answer) => Ok(answer),
            Told::Parsed(_) => Err(NoAnswer::InDoubt("another question was answered".to_owned())),
        }
    }

    /// Has the component read a webhook.
    pub async fn gateway_parse(
        &self,
        plugin: &PluginName,
        webhook: Webhook,
    ) -> Result<Result<Parsed, String>, NoAnswer> {
        match self.ask_gateway(plugin, "webhook", Ask::Parse(webhook)).await? {
            Told::Parsed(parsed) => Ok(parsed),
            Told::Sent(_) => Err(NoAnswer::Nothing("another question was answered".to_owned())),
        }
    }

    /// Holds a webhook against the signature that the manifest declares, if it does.
    pub fn gateway_verify(&self, plugin: &PluginName, headers: &HeaderMap, body: &[u8]) -> Result<(), TriggerError> {
        let Some(loaded) = self.get(plugin) else { return Ok(()) };
        let Some(channel) = &loaded.manifest.channel else { return Ok(()) };
        let secret = channel.scheme.secret_name().and_then(|name| loaded.secrets.get(name));
        trigger::verify(&channel.scheme, secret, headers, body, self.clock.now())
    }

    async fn ask_gateway(&self, name: &PluginName, id: &str, ask: Ask) -> Result<Told, NoAnswer> {
        let nothing = |why: String| Err(NoAnswer::Nothing(why));
        let Some(plugin) = self.get(name).filter(|_| self.serves(name)) else {
            return nothing(format!("the plugin `{name}` does not serve; see GET /v1/plugins/{name}"));
        };
        if plugin.handlers.gateway.is_none() {
            return nothing(format!("the plugin `{name}` brings no channel; its plugin.toml needs [channel]"));
        }
        let Ok(_place) = self.places.acquire().await else {
            return nothing("the host is shutting down".to_owned());
        };
        let now = self.clock.now();
        let work = call(&plugin, id, now);
        let seed = instance::seed(&self.shared.host_secret, work.run.id);
        let state = RunState::new(plugin.clone(), self.shared.clone(), work, Arc::default(), now, seed);
        let pace = Arc::new(Pace::begin());
        let mut store = Store::new(&self.shared.engine, state);
        bound(&mut store, &plugin, pace.clone());
        let asked = Box::pin(timed(store, plugin.clone(), pace.clone(), ask));
        let Some((told, mut state)) = self.shared.long.drive(asked, &pace, &plugin.counters.habit).await else {
            // It may have been on its way when the host was asked to stop.
            return Err(NoAnswer::InDoubt("the host is shutting down".to_owned()));
        };
        plugin.counters.runs.fetch_add(1, Ordering::Relaxed);
        let failure = match told {
            Some(Ok(told)) => {
                write_log(&plugin, id, &state.report(&pace));
                return Ok(told);
            }
            Some(Err(error)) => classify(&error, &state),
            None => instance::out_of_time(&plugin),
        };
        let requested = state.requests > 0;
        count(&plugin, &failure);
        write_log(&plugin, id, &state.report(&pace));
        tracing::warn!(plugin = %plugin.name(), call = id, "a channel's call failed: {failure:?}");
        let why = format!("the plugin `{name}` did not end well: {}", failure.message());
        Err(if requested { NoAnswer::InDoubt(why) } else { NoAnswer::Nothing(why) })
    }
}

async fn timed(
    mut store: Store<RunState>,
    plugin: Arc<Plugin>,
    pace: Arc<Pace>,
    ask: Ask,
) -> (Option<wasmtime::Result<Told>>, RunState) {
    let time: Duration = plugin.budget.time.0;
    let told = {
        let asked = pin!(put(&mut store, &plugin, ask));
        within(&pace, time, asked).await
    };
    (told, store.into_data())
}

async fn put(store: &mut Store<RunState>, plugin: &Plugin, ask: Ask) -> wasmtime::Result<Told> {
    let instance = plugin.pre.instantiate_async(&mut *store).await?;
    let indices = plugin.handlers.gateway.as_ref().ok_or_else(|| instance::absent("gateway"))?;
    let gateway = indices.load(&mut *store, &instance)?;
    match ask {
        Ask::Send(message) => gateway.call_send(&mut *store, &message).await.map(Told::Sent),
        Ask::Parse(webhook) => gateway.call_parse(&mut *store, &webhook).await.map(Told::Parsed),
    }
}

/// What the call looks like to `relais:plugin/run`: its own id, and nobody whom it concerns.
fn call(plugin: &Plugin, id: &str, now: Timestamp) -> QueuedRun {
    let tenant = TenantId::default_tenant();
    let event = Arc::new(Event::of_host(&tenant, "/relais/channel", id, "channel", now));
    let run = NewRun {
        id: RunId::of_event(EventId::of(&tenant, "/relais/channel", id), plugin.name(), 0),
        key: EntityKey { tenant, plugin: plugin.name().clone(), entity: Entity::from("channel") },
        customer: None,
        cause: Cause::Event(event),
        hold_up: false,
    };
    QueuedRun { seq: 0, attempts: 0, not_before: now, accepted: now, run }
}

fn count(plugin: &Plugin, failure: &RunFailure) {
    match failure {
        RunFailure::Fault { .. } => plugin.counters.faults.fetch_add(1, Ordering::Relaxed),
        RunFailure::Limit { .. } => plugin.counters.limits.fetch_add(1, Ordering::Relaxed),
        _ => 0,
    };
}

/// A call is no run and has no story to be read in, so what the component writes stands in the host's log.
fn write_log(plugin: &Plugin, id: &str, report: &RunReport) {
    for line in &report.log {
        tracing::info!(plugin = %plugin.name(), call = id, level = line.level, "{}", line.message);
    }
    for denied in &report.denied {
        tracing::warn!(plugin = %plugin.name(), call = id, "not permitted: {denied}");
    }
}

/// A time as the contract writes it.
pub fn millis(time: Timestamp) -> f64 {
    instant(time)
}

/// A time as the component says it; none where it is no time at all.
pub fn time(millis: f64) -> Option<Timestamp> {
    super::calls::timestamp("time", millis).ok()
}
