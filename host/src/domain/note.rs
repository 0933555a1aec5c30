//! What a provider said of an account or a template.

use crate::clock::Timestamp;

/// Something that was said, under a name of its own: the latest holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Note {
    /// `meta/account/201000000000001/33139980001`, `meta/template/201000000000001/order_ready/fr/…`.
    pub name: String,
    pub at: Timestamp,
    pub body: serde_json::Value,
}
