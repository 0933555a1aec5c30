//! Endpoints: made, changed and removed, and what their answers say of them.

use super::{Outcome, Tx};
use crate::{
    clock::Timestamp,
    domain::endpoint::{Disabled, DisabledWhy, Endpoint},
    ids::{EndpointId, TenantId},
    store::{EndpointChange, EndpointChanged, EndpointPatch},
};

pub(in crate::store) fn change(
    tx: &mut Tx<'_>,
    tenant: &TenantId,
    id: EndpointId,
    change: &EndpointChange,
    now: Timestamp,
) -> Outcome<EndpointChanged> {
    if let EndpointChange::Create(endpoint, most) = change {
        if tx.source.endpoints()?.of(tenant).len() >= *most {
            return Ok(EndpointChanged::TooMany);
        }
        tx.source.put_endpoint(endpoint)?;
        return Ok(EndpointChanged::Done(endpoint.clone()));
    }
    let Some(before) = tx.source.endpoint(id)?.filter(|before| before.tenant == *tenant) else {
        return Ok(EndpointChanged::Unknown);
    };
    if matches!(change, EndpointChange::Remove) {
        tx.source.delete_endpoint(id)?;
        return Ok(EndpointChanged::Done(Box::new(before)));
    }
    let after = after(&before, change, now);
    if after == before {
        return Ok(EndpointChanged::Unchanged(Box::new(before)));
    }
    let after = Endpoint { updated: now, ..after };
    tx.source.put_endpoint(&after)?;
    if after.enabled() && !before.enabled() {
        // What it was still to be told when it was disabled.
        tx.pending.notice_due = super::tx::earlier(tx.pending.notice_due, Timestamp(0));
    }
    Ok(EndpointChanged::Done(Box::new(after)))
}

/// An endpoint after a change, the time of the change apart.
fn after(before: &Endpoint, change: &EndpointChange, now: Timestamp) -> Endpoint {
    let mut after = before.clone();
    match change {
        EndpointChange::Create(..) | EndpointChange::Remove => {}
        EndpointChange::Update(patch) => update(&mut after, patch, now),
        EndpointChange::Rotate(keep_until) => after = before.rotated(*keep_until, now),
        // The first failure counts: since then nothing was taken.
        EndpointChange::Failing => after.failing_since = before.failing_since.or(Some(now)),
        EndpointChange::Well => after.failing_since = None,
        // Several answers may come to the same end, and nothing undoes what somebody asked for.
        EndpointChange::Disable(why) => after.disabled = before.disabled.or(Some(Disabled { why: *why, at: now })),
    }
    after
}

fn update(after: &mut Endpoint, patch: &EndpointPatch, now: Timestamp) {
    if let Some(url) = &patch.url {
        after.url.clone_from(url);
    }
    if let Some(description) = &patch.description {
        after.description.clone_from(description);
    }
    if let Some(types) = &patch.types {
        after.types.clone_from(types);
    }
    if let Some(include) = &patch.include {
        after.include.clone_from(include);
    }
    match patch.enabled {
        Some(true) if after.disabled.is_some() => {
            after.disabled = None;
            // It gets its time anew.
            after.failing_since = None;
        }
        Some(false) => after.disabled = after.disabled.or(Some(Disabled { why: DisabledWhy::Asked, at: now })),
        _ => {}
    }
}
