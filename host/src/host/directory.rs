//! What the entrance asks of the loaded plugins, answered by the real ones.

use std::sync::Arc;

use crate::{
    domain::{event::Event, run::NewRun},
    ids::TenantId,
    ingress::{Directory, TriggerCall, TriggerProblem},
    plugin::Plugins,
};

pub(super) struct PluginDirectory {
    pub plugins: Arc<Plugins>,
    pub tenant: TenantId,
}

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

    fn plugins(&self) -> serde_json::Value {
        serde_json::json!(self.plugins.status())
    }

    fn plugin(&self, name: &str) -> Option<serde_json::Value> {
        let status = self.plugins.status().into_iter().find(|status| status.name == name)?;
        serde_json::to_value(status).ok()
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
