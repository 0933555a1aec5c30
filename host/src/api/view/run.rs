use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{time, time_or_null};
use crate::{
    domain::{
        run::{Incoming, RunReport},
        usage::Used,
    },
    store::RunStory,
};

/// A run as it stands or ended.
pub(crate) fn run(run: &RunStory) -> Value {
    json!({
        "seq": run.seq,
        "id": run.id,
        "plugin": run.plugin,
        "entity": run.entity,
        "customer": run.customer,
        "kind": run.kind,
        "cause": run.cause,
        "state": run.state,
        "attempts": run.attempts,
        "accepted": time(run.accepted),
        "at": time_or_null(run.at),
        "failure": run.failure,
        "report": run.report.as_ref().map(report),
        "effects": run.effects,
    })
}

/// The report with each limit that the run touched in a row of its own. What is only of use to whoever executes the run
/// elsewhere is in its bundle.
fn report(report: &RunReport) -> Value {
    let rows: Vec<Used> = report.used.rows().filter(|used| used.used > 0).collect();
    let mut shown = json!(RunReport { evidence: None, ..report.clone() });
    if let Some(members) = shown.as_object_mut() {
        members.insert("used".to_owned(), json!(rows));
    }
    shown
}

/// What a customer wrote.
pub(crate) fn incoming(incoming: &Incoming) -> Value {
    let media: Vec<Value> = incoming
        .media
        .iter()
        .enumerate()
        .map(|(place, media)| {
            json!({
                "id": media.id, "mime_type": media.mime_type, "bytes": media.size, "filename": media.filename,
                "href": format!("/v1/messages/{}/media/{place}", incoming.id),
            })
        })
        .collect();
    json!({
        "id": incoming.id,
        "customer": incoming.customer,
        "sender": incoming.sender,
        "sender_id": incoming.sender_id,
        "sender_name": incoming.sender_name,
        "channel": incoming.channel,
        "provider": incoming.provider,
        "time": time(incoming.time),
        "received": time(incoming.received),
        "kind": incoming.kind,
        "text": incoming.text,
        "choice": incoming.choice,
        "media": media,
        "location": incoming.location,
        "in_reply_to": incoming.in_reply_to,
        "opening": incoming.opening,
        "window_ends": time_or_null(incoming.window_ends),
        "attributes": incoming.attributes.iter().cloned().collect::<BTreeMap<String, String>>(),
    })
}
