//! Something that happened, as CloudEvents 1.0 describes it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{
    clock::Timestamp,
    ids::{CustomerId, EventId, RunId, TenantId},
};

/// Types that begin so are of events that the host itself raises: whoever subscribes to one has to be able to rely on that.
pub const RESERVED_PREFIX: &str = "relais.";
/// A run was set aside.
pub const RUN_SET_ASIDE: &str = "relais.run.set-aside";

/// A plugin kept failing and was paused.
pub const PLUGIN_PAUSED: &str = "relais.plugin.paused";

/// A customer is reached at another address on a channel.
pub const ADDRESS_CHANGED: &str = "relais.customer.address-changed";

/// Why nobody else may raise an event of this type; `None` where they may.
pub fn reserved(event_type: &str) -> Option<String> {
    let reserved = event_type.starts_with(RESERVED_PREFIX);
    reserved.then(|| format!("types that begin with `{RESERVED_PREFIX}` are of the host's own events"))
}

/// An event as the host keeps it.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
pub struct Event {
    /// Derived from tenant, `source` and `source_id`.
    pub id: EventId,
    pub tenant: TenantId,
    /// The CloudEvents `id`: what the source calls it.
    pub source_id: String,
    pub source: String,
    #[serde(rename = "type")]
    pub event_type: String,
    pub subject: Option<String>,
    /// When it happened, as the source says.
    pub time: Timestamp,
    /// When the host accepted it.
    pub received: Timestamp,
    /// The customer concerned, where the event says so: the extension attribute `customer`.
    pub customer: Option<CustomerId>,
    /// JSON text; `null` where there is none, a base64 string where it was binary.
    pub data: Arc<str>,
    /// Extension attributes, `datacontenttype` and `dataschema`.
    pub attributes: Vec<(String, String)>,
    /// The run that raised it, where a plugin did.
    pub cause: Option<RunId>,
}

impl Event {
    /// One of the host's own that says nothing but its type: what a call is about that no source's event set off.
    pub fn of_host(tenant: &TenantId, source: &str, source_id: &str, kind: &str, now: Timestamp) -> Event {
        Event {
            id: EventId::of(tenant, source, source_id),
            tenant: tenant.clone(),
            source_id: source_id.to_owned(),
            source: source.to_owned(),
            event_type: format!("{RESERVED_PREFIX}{kind}"),
            subject: None,
            time: now,
            received: now,
            customer: None,
            data: "null".into(),
            attributes: Vec::new(),
            cause: None,
        }
    }
}
