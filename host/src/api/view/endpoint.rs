use serde_json::{Value, json};

use super::{json_text, time, time_or_null};
use crate::{
    clock::Timestamp,
    domain::endpoint::{Endpoint, Notice},
};

/// An endpoint, without anything of its secrets but until when they are good.
pub(crate) fn endpoint(endpoint: &Endpoint) -> Value {
    let secrets: Vec<Value> =
        endpoint.secrets.iter().map(|secret| json!({"no": secret.no, "until": time_or_null(secret.until)})).collect();
    json!({
        "id": endpoint.id,
        "url": endpoint.url,
        "description": endpoint.description,
        "types": endpoint.types,
        "include": endpoint.include,
        "enabled": endpoint.enabled(),
        "disabled": endpoint.disabled.map(|disabled| json!({"why": disabled.why, "at": time(disabled.at)})),
        "failing_since": time_or_null(endpoint.failing_since),
        "secrets": secrets,
        "created": time(endpoint.created),
        "updated": time(endpoint.updated),
    })
}

/// A notice with what came of each try.
pub(crate) fn notice(notice: &Notice) -> Value {
    let tries: Vec<Value> = notice
        .standing
        .tries
        .iter()
        .map(|tried| json!({"at": time(tried.at), "status": tried.status, "error": tried.error}))
        .collect();
    json!({
        "id": notice.id,
        "seq": notice.seq,
        "type": notice.kind,
        "created": time(notice.created),
        "state": notice.standing.state,
        // 0 is at once.
        "next_try": time_or_null(notice.standing.due.filter(|due| *due > Timestamp(0))),
        "tries": tries,
        "body": json_text(&notice.body),
    })
}
