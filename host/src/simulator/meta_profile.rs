//! The business profile of the number: kept as it was written, and shown by the fields that are asked for.

use std::sync::{Arc, Mutex};

use axum::{
    Json,
    body::Bytes,
    extract::{Path, Query, State},
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use serde_json::{Map, Value, json};

use super::{
    Simulator, lock,
    meta::{problem, refuse},
    meta_body::Problem,
};

const FIELDS: [&str; 6] = ["about", "address", "description", "email", "vertical", "websites"];

#[derive(Default)]
pub(crate) struct Profile(Mutex<Map<String, Value>>);

impl Profile {
    pub(crate) fn clear(&self) {
        lock(&self.0).clear();
    }
}

pub(super) async fn show(
    State(simulator): State<Arc<Simulator>>,
    Path((_, id)): Path<(String, String)>,
    Query(query): Query<std::collections::HashMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    if let Some(refused) = refuse(&simulator, &headers, &id, &simulator.options.meta.phone_number_id) {
        return refused;
    }
    let asked = query.get("fields").map(String::as_str).unwrap_or_default();
    let kept = lock(&simulator.profile.0).clone();
    let mut shown: Map<String, Value> =
        kept.into_iter().filter(|(name, _)| asked.split(',').any(|field| field.trim() == name)).collect();
    shown.insert("messaging_product".to_owned(), json!("whatsapp"));
    Json(json!({"data": [shown]})).into_response()
}

pub(super) async fn change(
    State(simulator): State<Arc<Simulator>>,
    Path((_, id)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if let Some(refused) = refuse(&simulator, &headers, &id, &simulator.options.meta.phone_number_id) {
        return refused;
    }
    match read(&body) {
        Ok(fields) => {
            lock(&simulator.profile.0).extend(fields);
            Json(json!({"success": true})).into_response()
        }
        Err(wrong) => problem(&simulator, &wrong),
    }
}

fn read(body: &Bytes) -> Result<Map<String, Value>, Problem> {
    let Ok(Value::Object(mut fields)) = serde_json::from_slice(body) else {
        return Err(Problem::new(100, "The body must be a JSON object"));
    };
    if fields.remove("messaging_product") != Some(json!("whatsapp")) {
        return Err(Problem::new(100, "The parameter messaging_product is required and must be 'whatsapp'."));
    }
    for (name, value) in &fields {
        let fits = match name.as_str() {
            "websites" => value.as_array().is_some_and(|all| all.len() <= 2 && all.iter().all(Value::is_string)),
            "about" => value.as_str().is_some_and(|text| text.chars().count() <= 139),
            known if FIELDS.contains(&known) => value.is_string(),
            unknown => return Err(Problem::new(100, format!("Unexpected key \"{unknown}\" on param root."))),
        };
        if !fits {
            return Err(Problem::new(100, format!("Param {name} is not valid.")));
        }
    }
    Ok(fields)
}
