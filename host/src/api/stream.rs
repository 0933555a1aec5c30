//! `GET /v1/stream`: what happens, as it happens, as server-sent events. A watcher that is too slow is told how much it missed.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    extract::State,
    response::sse::{Event, KeepAlive, Sse},
};
use futures_util::{Stream, StreamExt};
use serde_json::{Value, json};
use tokio_stream::wrappers::{BroadcastStream, errors::BroadcastStreamRecvError};

use super::view;
use crate::{
    ids::TenantId,
    ingress::{AppState, auth::UrlCaller},
    store::{Receipt, handover::Change},
};

/// Comments that keep a silent connection alive through proxies, which cut after 30 to 60 seconds.
const HEARTBEAT: Duration = Duration::from_secs(15);

pub(super) async fn listen(
    State(state): State<AppState>,
    UrlCaller(caller): UrlCaller,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let changes = BroadcastStream::new(state.changes.subscribe());
    let closing = state.closing.cancelled_owned();
    let tenant = caller.tenant;
    let lines = changes.filter_map(move |change| {
        let told = match change {
            Ok(change) => concerns(&tenant, &change).then(|| tell(&change)),
            Err(BroadcastStreamRecvError::Lagged(missed)) => Some(json!({"kind": "lag", "missed": missed})),
        };
        std::future::ready(told.map(|told| Ok(Event::default().data(told.to_string()))))
    });
    Sse::new(lines.take_until(closing)).keep_alive(KeepAlive::new().interval(HEARTBEAT))
}

/// Whether a change is the tenant's.
fn concerns(tenant: &TenantId, change: &Change) -> bool {
    match change {
        Change::EventAccepted(event, _) => event.tenant == *tenant,
        Change::Message(record) => record.message.tenant == *tenant,
        Change::Receipt { message, .. } => message.message.tenant == *tenant,
        Change::Incoming(incoming) => incoming.tenant == *tenant,
        Change::Run { tenant: of, .. } => of == tenant,
    }
}

fn tell(change: &Arc<Change>) -> Value {
    match &**change {
        Change::EventAccepted(event, runs) => json!({"kind": "event", "event": view::event(event), "runs": runs}),
        Change::Run { run, .. } => json!({"kind": "run", "run": view::run(run)}),
        Change::Message(record) => json!({"kind": "message", "message": view::message(record)}),
        Change::Receipt { message, receipt } => {
            json!({"kind": "receipt", "message": view::message(message), "receipt": line(receipt)})
        }
        Change::Incoming(incoming) => json!({"kind": "incoming", "incoming": view::incoming(incoming)}),
    }
}

fn line(receipt: &Receipt) -> Value {
    json!({
        "attempt": receipt.token.map(|token| token.attempt),
        "provider": receipt.provider,
        "provider_id": receipt.provider_id,
        "state": receipt.state,
        "time": view::time(receipt.time),
        "failure": receipt.failure.as_ref().map(view::failure),
        "pricing": receipt.pricing,
    })
}
