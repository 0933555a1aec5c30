//! "Stop promotions", set in WhatsApp itself: a consent that a customer withdraws or gives again without writing to us.

use super::ReceiptState;
use crate::{
    clock::Timestamp,
    domain::customer::{Channel, Consent, ConsentScope},
    store,
};

/// Records the preference with whoever has the address. Marketing only: other messages go on.
pub(super) async fn record(state: &ReceiptState, address: &str, stopped: bool, time: Timestamp) -> store::Result<()> {
    let consent = Consent {
        channel: Channel::Whatsapp,
        scope: ConsentScope::Marketing,
        granted: !stopped,
        source: format!("{} marketing in WhatsApp", if stopped { "stopped" } else { "resumed" }),
        at: time,
    };
    state.store.record_address_consent(&state.tenant, address, consent).await
}
