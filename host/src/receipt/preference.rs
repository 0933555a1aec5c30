//! "Stop promotions", set in WhatsApp itself: a consent that a customer withdraws or gives again without writing to us.

use super::ReceiptState;
use crate::{
    clock::Timestamp,
    domain::customer::{Channel, Consent, ConsentScope},
    ids::CustomerId,
    store,
};

/// Customers read at once while looking for an address. One page holds most installations.
const PAGE: u32 = 500;

/// Records the preference with every customer who has the address. Marketing only: other messages go on.
pub(super) async fn record(
    state: &ReceiptState,
    provider: &str,
    address: &str,
    stopped: bool,
    time: Timestamp,
) -> store::Result<()> {
    let owners = owners(state, address).await?;
    if owners.is_empty() {
        tracing::warn!(provider, stopped, "a preference about marketing is of an address that no customer has");
    }
    let source = format!("{} marketing in WhatsApp", if stopped { "stopped" } else { "resumed" });
    let (channel, scope) = (Channel::Whatsapp, ConsentScope::Marketing);
    for owner in owners {
        let consent = Consent { channel, scope, granted: !stopped, source: source.clone(), at: time };
        state.store.record_consent(&state.tenant, &owner, consent).await?;
    }
    Ok(())
}

/// Walks the customers. Preferences are rare, a few a day for a large shop, so they pay for an index with time.
async fn owners(state: &ReceiptState, address: &str) -> store::Result<Vec<CustomerId>> {
    let mut owners = Vec::new();
    let mut after: Option<CustomerId> = None;
    loop {
        let page = state.store.customers(&state.tenant, after.as_deref(), PAGE).await?;
        let Some(last) = page.last().map(|customer| customer.id.clone()) else { return Ok(owners) };
        let found = page.iter().filter(|customer| {
            customer.addresses.iter().any(|known| known.channel == Channel::Whatsapp && known.address == address)
        });
        owners.extend(found.map(|customer| customer.id.clone()));
        after = Some(last);
    }
}
