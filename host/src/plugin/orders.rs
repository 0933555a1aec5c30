//! What an operator says about a plugin: look again, accept, pause, resume. And what the host says itself: it keeps failing.

use std::{collections::BTreeSet, sync::Arc};

use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::{Execution, Plugins, registry::Plugin, reload::Taken, slot::Update, status::PausedStatus};
use crate::{
    domain::{
        event::{Event, PLUGIN_PAUSED},
        plugin::{Paused, PausedBy, PluginChange, PluginChanged},
    },
    ids::{EventId, PluginName, RunId},
    store::{self, RoutedEvent},
};

/// Why an order cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    #[error("there is no plugin `{0}`")]
    Unknown(String),
    #[error("there is nothing to approve: {0}")]
    NothingHeld(String),
    #[error("nobody looks at the plugins' directory any more: the host is stopping")]
    Stopping,
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl Plugins {
    /// Looks at the directory now, without waiting for an answer.
    pub fn look_soon(&self) {
        let (answer, _) = oneshot::channel();
        // Where so many have asked already, one look answers all of them.
        let _ = self.requests.try_send(answer);
    }

    /// Looks at the directory now: what has changed, once everything has come to rest.
    pub async fn look_now(&self) -> Result<Vec<Taken>, OrderError> {
        let (answer, answered) = oneshot::channel();
        self.requests.send(answer).await.map_err(|_| OrderError::Stopping)?;
        answered.await.map_err(|_| OrderError::Stopping)
    }

    pub fn generation(&self) -> u64 {
        self.live.load().generation
    }

    /// Accepts the permissions that a held package asks for; which these are.
    pub async fn approve(&self, name: &str) -> Result<BTreeSet<String>, OrderError> {
        let mut shelf = self.shelf.lock().await;
        let slot = shelf.slots.get(name).ok_or_else(|| OrderError::Unknown(name.to_owned()))?;
        let permissions = match &slot.update {
            Some(Update::Held { added, .. }) => added.clone(),
            _ if !slot.held.is_empty() => slot.held.clone(),
            _ => return Err(OrderError::NothingHeld("no permission of it waits to be accepted".to_owned())),
        };
        let accept = PluginChange::Accept { permissions: permissions.clone() };
        let plugin = PluginName::from(name);
        let changed = self.shared.store.change_plugin(&plugin, accept, None, self.clock.now()).await?;
        if let PluginChanged::Done(record) | PluginChanged::Unchanged(record) = changed {
            shelf.records.insert(plugin, record);
        }
        tracing::warn!(plugin = name, permissions = ?permissions, "an operator has accepted permissions");
        self.release_held(&mut shelf).await?;
        self.publish(&mut shelf);
        Ok(permissions)
    }

    /// Its events are taken, and its runs wait. `false` where it was paused already.
    pub async fn pause(&self, name: &str, why: Option<String>) -> Result<bool, OrderError> {
        let paused = Paused {
            since: self.clock.now(),
            by: PausedBy::Operator,
            why: why.unwrap_or_else(|| "an operator has paused it".to_owned()),
            evidence: Vec::new(),
        };
        self.change(name, PluginChange::Pause(paused), None).await
    }

    /// `false` where it was not paused.
    pub async fn resume(&self, name: &str) -> Result<bool, OrderError> {
        self.change(name, PluginChange::Resume, None).await
    }

    async fn change(&self, name: &str, change: PluginChange, alert: Option<RoutedEvent>) -> Result<bool, OrderError> {
        let mut shelf = self.shelf.lock().await;
        let plugin = PluginName::from(name);
        let resumes = matches!(change, PluginChange::Resume);
        let changed = self.shared.store.change_plugin(&plugin, change, alert, self.clock.now()).await?;
        let (record, done) = match changed {
            PluginChanged::Done(record) => (record, true),
            PluginChanged::Unchanged(record) => (record, false),
            PluginChanged::Held(_) | PluginChanged::Unknown => return Err(OrderError::Unknown(name.to_owned())),
        };
        tracing::warn!(
            plugin = name,
            paused = record.paused.is_some(),
            done,
            resumes,
            "a plugin was paused or resumed"
        );
        shelf.records.insert(plugin, record);
        self.publish(&mut shelf);
        Ok(done)
    }

    /// Takes note of how a run ended, and pauses a plugin that keeps failing.
    pub(super) async fn judge(&self, plugin: &Plugin, run: RunId, execution: &Execution) {
        let now = self.clock.now();
        let runs_max = self.loader.settings.pause_after;
        let of = (plugin.name(), plugin.verdict.package_digest.as_str());
        let failing = self.health.note(of, run, execution.result.as_ref().err(), runs_max, now);
        let Some(evidence) = failing else { return };
        let version = plugin.manifest.version.clone();
        let paused = Paused {
            since: now,
            why: format!("{runs_max} runs in a row failed by its fault, version {version}; its runs wait"),
            by: PausedBy::Failures { digest: plugin.verdict.package_digest.clone(), version },
            evidence,
        };
        tracing::error!(plugin = %plugin.name(), "the plugin keeps failing and is paused; see GET /v1/plugins/{}", plugin.name());
        let alert = self.alert(plugin, &paused);
        if let Err(error) = self.change(plugin.name().as_str(), PluginChange::Pause(paused), Some(alert)).await {
            tracing::error!(plugin = %plugin.name(), %error, "it could not be paused, and goes on");
        }
    }

    /// The event that tells whoever subscribes.
    fn alert(&self, plugin: &Plugin, paused: &Paused) -> RoutedEvent {
        let tenant = &self.loader.settings.tenant;
        let source_id = format!("paused.{}.{}.{}", plugin.name(), plugin.verdict.package_digest, paused.since.0);
        let event = Arc::new(Event {
            id: EventId::of(tenant, SOURCE, &source_id),
            tenant: tenant.clone(),
            source_id,
            source: SOURCE.to_owned(),
            event_type: PLUGIN_PAUSED.to_owned(),
            subject: Some(plugin.name().to_string()),
            time: paused.since,
            received: paused.since,
            customer: None,
            data: told(plugin, paused).to_string().into(),
            attributes: vec![("datacontenttype".to_owned(), "application/json".to_owned())],
            cause: None,
        });
        let routing = self.route(&event);
        RoutedEvent { event, runs: routing.runs, notes: routing.notes }
    }
}

const SOURCE: &str = "/relais";

fn told(plugin: &Plugin, paused: &Paused) -> Value {
    let paused = PausedStatus::of(paused);
    json!({
        "plugin": plugin.name(),
        "version": plugin.manifest.version,
        "package": plugin.verdict.package_digest,
        "why": paused.why,
        "paused": paused.since,
        "evidence": paused.evidence,
    })
}
