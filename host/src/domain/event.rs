//! Something that happened, as CloudEvents 1.0 describes it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{
    clock::Timestamp,
    ids::{CustomerId, EventId, RunId, TenantId},
};

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
