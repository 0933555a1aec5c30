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
        todo!("adapt")
    }

    fn plugins(&self) -> serde_json::Value {
        serde_json::json!(self.plugins.status())
    }

    fn plugin(&self, name: &str) -> Option<serde_json::Value> {
        let status = self.plugins.status().into_iter().find(|status| status.name == name)?;
        serde_json::to_value(status).ok()
    }
}
