//! What the entrance asks of the loaded plugins, answered by the real ones.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Value, json};

use crate::{
    channel::{standing::Standing, templates::Misfit},
    clock::Timestamp,
    dispatch,
    domain::{event::Event, plugin::PluginOrder, run::NewRun},
    ids::TenantId,
    ingress::{Directory, OrderProblem, TriggerCall, TriggerProblem},
    plugin::{OrderError, Plugins},
};

pub(super) struct PluginDirectory {
    pub plugins: Arc<Plugins>,
    pub tenant: TenantId,
    pub standing: Arc<Standing>,
    pub fallback: dispatch::Fallback,
}

#[async_trait]
impl Directory for PluginDirectory {
    fn route(&self, event: &Arc<Event>) -> (Vec<NewRun>, Vec<String>) {
        let routing = self.plugins.route(event);
        (routing.runs, routing.notes)
    }

    fn trigger(&self, call: &TriggerCall<'_>) -> Result<Event, TriggerProblem> {
        let spec = self
            .plugins
            .trigger(call.plugin, call.trigger)
            .map_err(|unknown| self.unknown(call.plugin, unknown.known))?;
        let tenant = match (spec.needs_api_key(), call.caller) {
            (true, None) => return Err(TriggerProblem::NeedsApiKey),
            (true, Some(caller)) => caller,
            (false, _) => &self.tenant,
        };
        spec.event(call.headers, call.body, tenant, call.now).map_err(|error| {
            if error.unauthorized() {
                TriggerProblem::Unsigned { why: error.problem, fix: error.fix }
            } else {
                TriggerProblem::BadField { field: error.field, fix: format!("{} {}", error.problem, error.fix) }
            }
        })
    }

    fn plugins(&self) -> Value {
        json!(self.plugins.status())
    }

    fn plugin(&self, name: &str) -> Option<Value> {
        let status = self.plugins.status().into_iter().find(|status| status.name == name)?;
        serde_json::to_value(status).ok()
    }

    fn accounts(&self, now: Timestamp) -> Vec<Value> {
        self.standing.accounts(now)
    }

    fn misfits(&self) -> Vec<Value> {
        let found = super::accounts::findings(&self.plugins, &self.standing, &self.tenant, &self.fallback).into_iter();
        let one = |(account, template, misfit): (String, String, Misfit)| json!({"account": account, "template": template, "why": misfit.why, "holds": misfit.holds});
        found.map(one).collect()
    }

    async fn order(&self, caller: &TenantId, order: PluginOrder) -> Result<Value, OrderProblem> {
        if *caller != self.tenant {
            return Err(OrderProblem::NotYours { owner: self.tenant.clone() });
        }
        let plugins = &self.plugins;
        match order {
            PluginOrder::Reload => {
                let taken = plugins.look_now().await.map_err(problem)?;
                let waits = plugins.status().into_iter().filter_map(|status| Some((status.name, status.update?)));
                let waits = waits.map(|(name, update)| json!({"name": name, "update": update}));
                let waits: Vec<Value> = waits.collect();
                Ok(json!({"generation": plugins.generation(), "changed": taken, "not_loaded": waits}))
            }
            PluginOrder::Approve { plugin } => {
                let added = plugins.approve(&plugin).await.map_err(problem)?;
                Ok(json!({"accepted": added, "plugin": self.plugin(&plugin)}))
            }
            PluginOrder::Pause { plugin, why } => {
                let changed = plugins.pause(&plugin, why).await.map_err(problem)?;
                Ok(json!({"changed": changed, "plugin": self.plugin(&plugin)}))
            }
            PluginOrder::Resume { plugin } => {
                let changed = plugins.resume(&plugin).await.map_err(problem)?;
                Ok(json!({"changed": changed, "plugin": self.plugin(&plugin)}))
            }
        }
    }
}

fn problem(error: OrderError) -> OrderProblem {
    match error {
        OrderError::Unknown(_) => OrderProblem::UnknownPlugin,
        OrderError::NothingHeld(_) => OrderProblem::NothingToDo(error.to_string()),
        OrderError::Stopping => OrderProblem::Failed(error.into()),
        OrderError::Store(error) => OrderProblem::Store(error),
    }
}

impl PluginDirectory {
    /// Whether it is the plugin or only the trigger that does not exist. `known` are `plugin/trigger`.
    fn unknown(&self, plugin: &str, known: Vec<String>) -> TriggerProblem {
        let of_plugin: Vec<String> = known
            .iter()
            .filter_map(|known| known.split_once('/'))
            .filter(|(name, _)| *name == plugin)
            .map(|(_, trigger)| trigger.to_owned())
            .collect();
        if self.plugins.get(&plugin.into()).is_some() {
            TriggerProblem::UnknownTrigger { known: of_plugin }
        } else {
            TriggerProblem::UnknownPlugin { known }
        }
    }
}
