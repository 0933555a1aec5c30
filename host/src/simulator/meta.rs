//! Meta's Cloud API: messages, read marks, media.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Path, Query, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use subtle::ConstantTimeEq;

use super::{
    Channel, PairRate, Provider, Simulator, Window,
    delivery::{self, Draft, Reason, Wire},
    door::{self, Before, Said, Visit},
    ids, lock,
    media::multipart,
    meta_body::{self, Checked, Problem},
    meta_errors, meta_profile, meta_templates, phones, signature,
    trouble::Fate,
};

/// The largest document that WhatsApp takes is 100 MB; a little more for the form around it.
const MEDIA_BODY_BYTES_MAX: usize = 101 * 1024 * 1024;

/// How long after the user wrote free content may be sent.
const WINDOW: std::time::Duration = std::time::Duration::from_secs(24 * 3600);

pub(crate) fn router() -> Router<Arc<Simulator>> {
    Router::new()
        .route("/{version}/{id}/messages", post(messages))
        .route("/{version}/{id}/media", post(upload).layer(DefaultBodyLimit::max(MEDIA_BODY_BYTES_MAX)))
        .route(
            "/{version}/{id}/message_templates",
            get(meta_templates::list).post(meta_templates::create).delete(meta_templates::delete),
        )
        .route("/{version}/{id}/whatsapp_business_profile", get(meta_profile::show).post(meta_profile::change))
        .route("/{version}/{id}", get(media_facts).delete(media_delete))
        .route("/media/{id}/content", get(media_content))
}

async fn messages(
    State(simulator): State<Arc<Simulator>>,
    Path((version, sender)): Path<(String, String)>,
    headers: HeaderMap,
    bytes: Bytes,
) -> Response {
    let body: Value = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    let number = meta_body::recipient(&simulator, &body);
    let troubles = simulator.troubles.take(Provider::Meta, Channel::Whatsapp, number.as_deref().unwrap_or_default());
    let token = body.get("biz_opaque_callback_data").and_then(Value::as_str);
    let mut visit = Visit {
        provider: Provider::Meta,
        path: format!("/{version}/{sender}/messages"),
        to: number.iter().cloned().collect(),
        tokens: token.map(str::to_owned).into_iter().collect(),
        body,
        ids: Vec::new(),
        troubles,
    };
    let problem = match door::before(&visit.troubles, meta_errors::usually) {
        Before::Hang => return door::refuse_to_answer(&simulator, visit).await,
        Before::Close => return door::close_now(&simulator, visit),
        Before::Busy(seconds) => {
            let said = refusal(&simulator, 429, &Problem::new(130429, "Rate limit hit"));
            return door::answer(&simulator, visit, said, Some(seconds)).await;
        }
        Before::Unavailable(status) => {
            let said = refusal(&simulator, status, &Problem::new(131016, "Service temporarily unavailable"));
            return door::answer(&simulator, visit, said, None).await;
        }
        Before::Code(code, details) => {
            Some(Problem { code, details: details.unwrap_or_else(|| meta_errors::title(code).into()) })
        }
        Before::GoOn => admit(&simulator, &version, &headers, &sender, &simulator.options.meta.phone_number_id).err(),
    };
    let said = match problem {
        Some(problem) => refusal(&simulator, meta_errors::status(problem.code), &problem),
        None => consider(&simulator, &mut visit),
    };
    door::answer(&simulator, visit, said, None).await
}

/// Takes the message or says what is wrong with it.
fn consider(simulator: &Arc<Simulator>, visit: &mut Visit) -> Said {
    if visit.body.get("status").is_some() {
        return said(simulator, mark_read(simulator, &visit.body));
    }
    let taken = meta_body::check(simulator, &visit.body).and_then(|checked| take(simulator, visit, checked));
    said(simulator, taken)
}

fn take(simulator: &Arc<Simulator>, visit: &mut Visit, checked: Checked) -> Result<Value, Problem> {
    let number = whom(simulator, visit)?;
    let to_an_id = visit.body.get("to").is_none();
    if to_an_id && checked.template.as_ref().is_some_and(|facts| facts.category == "authentication") {
        return Err(Problem::new(131062, "Business-scoped user ids are not supported for this message"));
    }
    let now = simulator.now();
    let settings = simulator.settings();
    simulator.throughput.admit(settings.limits.per_second_max, now.0)?;
    let wrote_at = simulator.phones.reach(&number, |state| {
        settings.limits.pair.map_or(Ok(()), |rate| admit_pair(&mut state.pair_free_at_ms, rate, now.0))?;
        Ok(state.wrote_at.get(&Provider::Meta).copied())
    })?;
    let open = wrote_at.is_some_and(|at| now.since(at) < WINDOW);
    let outside = !open && checked.template.is_none() && settings.window != Window::Off;
    if outside && settings.window == Window::Sync {
        return Err(Problem::new(
            131047,
            "More than 24 hours have passed since the customer last replied to this number",
        ));
    }
    let id = simulator.ids.wamid_out(&number);
    visit.ids.push(id.clone());
    let mut answer = json!({
        "messaging_product": "whatsapp",
        "contacts": [contact(&visit.body, &number)],
        "messages": [{"id": id}],
    });
    if let (Some(_), Some(message)) =
        (&checked.template, answer.pointer_mut("/messages/0").and_then(Value::as_object_mut))
    {
        message.insert("message_status".into(), "accepted".into());
    }
    let mut fate = Fate::of(&visit.troubles);
    fate.failure = door::failure(&visit.troubles, meta_errors::usually);
    let category = checked.template.as_ref().map_or("service", |facts| facts.category);
    let draft = Draft {
        id,
        provider: Provider::Meta,
        channel: Channel::Whatsapp,
        number,
        business: simulator.options.meta.display_phone_number.clone(),
        token: visit.tokens.first().cloned(),
        content: checked.content,
        ttl_s: checked.template.as_ref().and_then(|facts| facts.ttl_s),
        fate,
        refused: outside.then_some(Reason::OutsideWindow),
        // Inside the window only marketing is charged.
        wire: Wire::Meta { category, free: open && category != "marketing" },
    };
    delivery::set_off(simulator, draft);
    Ok(answer)
}

fn whom(simulator: &Simulator, visit: &Visit) -> Result<String, Problem> {
    let number = match (visit.to.first(), visit.body.get("to"), visit.body.get("recipient")) {
        (Some(number), _, _) => number.clone(),
        (None, None, None) => return Err(Problem::missing("to")),
        (None, Some(to), _) => return Err(Problem::value(format!("to: {to} is not a valid telephone number"))),
        (None, None, Some(user)) => {
            return Err(Problem::value(format!("recipient: {user} is not known to this business")));
        }
    };
    if number.trim_start_matches('+') == simulator.options.meta.display_phone_number {
        return Err(Problem::new(131021, "Recipient and sender are the same"));
    }
    Ok(number)
}

fn contact(body: &Value, number: &str) -> Value {
    match body.get("to") {
        Some(to) => json!({"input": to, "wa_id": number.trim_start_matches('+')}),
        None => json!({"input": body.get("recipient"), "user_id": phones::user_id(number)}),
    }
}

/// Read receipt of the business, with or without a typing indicator.
fn mark_read(simulator: &Arc<Simulator>, body: &Value) -> Result<Value, Problem> {
    if body.get("status").and_then(Value::as_str) != Some("read") {
        return Err(Problem::value("status must be 'read'"));
    }
    let id = meta_body::required(body, "message_id")?;
    let unknown = || Problem::value(format!("message_id: there is no message {id}"));
    let number = ids::number_of_wamid(id).ok_or_else(unknown)?;
    let now = simulator.now();
    let typing = body.get("typing_indicator").is_some();
    let read = simulator.phones.with(&number, |state| state.whatsapp.read_up_to(id, now)).map_err(|_| unknown())?;
    for entry in read {
        delivery::show(simulator, &number, &entry);
    }
    if typing {
        simulator.stream.send("typing", || json!({"number": number}));
    }
    Ok(json!({"success": true}))
}

/// Counts messages by the second of the clock.
#[derive(Default)]
pub(crate) struct Throughput(Mutex<(i64, u32)>);

impl Throughput {
    fn admit(&self, per_second_max: Option<u32>, now_ms: i64) -> Result<(), Problem> {
        let Some(most) = per_second_max else { return Ok(()) };
        let mut window = lock(&self.0);
        let second = now_ms.div_euclid(1000);
        if window.0 != second {
            *window = (second, 0);
        }
        if window.1 >= most {
            let details = "Message failed to send because there were too many messages sent from this phone number in a short period of time";
            return Err(Problem::new(130429, details));
        }
        window.1 += 1;
        Ok(())
    }
}

/// A leaky bucket: each message takes an interval, and `burst` of them may be borrowed from the future.
fn admit_pair(free_at_ms: &mut i64, rate: PairRate, now_ms: i64) -> Result<(), Problem> {
    let interval = i64::from(rate.interval_ms);
    let start = (*free_at_ms).max(now_ms);
    if start - now_ms > interval * (i64::from(rate.burst) - 1).max(0) {
        let details = "Message failed to send because there were too many messages sent from this phone number to the same phone number in a short period of time.";
        return Err(Problem::new(131056, details));
    }
    *free_at_ms = start + interval;
    Ok(())
}

/// Whether this may be asked at all: a version in the path, the token, the object.
fn admit(simulator: &Simulator, version: &str, headers: &HeaderMap, id: &str, own_id: &str) -> Result<(), Problem> {
    let is_version = version.strip_prefix('v').is_some_and(|number| number.parse::<f32>().is_ok());
    if !is_version {
        return Err(Problem::new(100, format!("Unknown path components: /{version}/{id}")));
    }
    let sent = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let wanted = simulator.options.meta.access_token.as_bytes();
    let matches = sent.strip_prefix("Bearer ").is_some_and(|token| token.as_bytes().ct_eq(wanted).into());
    if !matches {
        return Err(Problem::new(190, "Invalid OAuth access token - Cannot parse access token"));
    }
    if id != own_id {
        let details = format!(
            "Unsupported request. Object with ID '{id}' does not exist, cannot be loaded due to missing permissions, or does not support this operation"
        );
        return Err(Problem::new(100, details));
    }
    Ok(())
}

/// The refusal for a request that is not allowed, if it is not.
pub(crate) fn refuse(simulator: &Simulator, headers: &HeaderMap, id: &str, own_id: &str) -> Option<Response> {
    // The version was of no interest to the endpoints that come here; any will do.
    admit(simulator, "v25.0", headers, id, own_id).err().map(|refused| problem(simulator, &refused))
}

pub(crate) fn problem(simulator: &Simulator, problem: &Problem) -> Response {
    let said = refusal(simulator, meta_errors::status(problem.code), problem);
    (StatusCode::from_u16(said.status).unwrap_or(StatusCode::BAD_REQUEST), Json(said.body)).into_response()
}

fn refusal(simulator: &Simulator, status: u16, problem: &Problem) -> Said {
    Said::new(status, meta_errors::body(problem.code, &problem.details, &simulator.ids.trace()))
}

fn said(simulator: &Simulator, result: Result<Value, Problem>) -> Said {
    match result {
        Ok(body) => Said::new(200, body),
        Err(problem) => refusal(simulator, meta_errors::status(problem.code), &problem),
    }
}

async fn upload(
    State(simulator): State<Arc<Simulator>>,
    Path((_, sender)): Path<(String, String)>,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if let Some(refused) = refuse(&simulator, &headers, &sender, &simulator.options.meta.phone_number_id) {
        return refused;
    }
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let Some(parts) = multipart(content_type, &body) else {
        return problem(&simulator, &Problem::new(100, "The body must be multipart/form-data."));
    };
    let text = |name: &str| {
        parts.iter().find(|part| part.name == name).map(|part| String::from_utf8_lossy(&part.bytes).into_owned())
    };
    // The Graph API takes a parameter from the form and from the query alike, and some clients put this one into the query.
    let product = text("messaging_product").or_else(|| query.get("messaging_product").cloned());
    if product.as_deref() != Some("whatsapp") {
        return problem(&simulator, &Problem::new(100, "The parameter messaging_product is required."));
    }
    let Some(file) = parts.iter().find(|part| part.name == "file") else {
        return problem(&simulator, &Problem::new(100, "The parameter file is required."));
    };
    let Some(mime_type) = text("type").or_else(|| file.mime_type.clone()) else {
        return problem(&simulator, &Problem::new(100, "The parameter type is required."));
    };
    let id = simulator.ids.media();
    simulator.media.put(id.clone(), file.bytes.clone(), mime_type);
    Json(json!({"id": id})).into_response()
}

async fn media_facts(
    State(simulator): State<Arc<Simulator>>,
    Path((version, id)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    if let Some(status) = simulator.troubles.down(Provider::Meta) {
        return StatusCode::from_u16(status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE).into_response();
    }
    if let Err(refused) = admit(&simulator, &version, &headers, &id, &id) {
        return problem(&simulator, &refused);
    }
    let Some(file) = simulator.media.get(&id) else {
        return problem(&simulator, &Problem::new(100, format!("Object with ID '{id}' does not exist")));
    };
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    Json(json!({
        "messaging_product": "whatsapp",
        "url": format!("http://{host}/media/{id}/content"),
        "mime_type": file.mime_type,
        "sha256": signature::hex(&file.sha256),
        "file_size": file.bytes.len(),
        "id": id,
    }))
    .into_response()
}

async fn media_delete(
    State(simulator): State<Arc<Simulator>>,
    Path((version, id)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    if let Err(refused) = admit(&simulator, &version, &headers, &id, &id) {
        return problem(&simulator, &refused);
    }
    if simulator.media.remove(&id) {
        return Json(json!({"success": true})).into_response();
    }
    problem(&simulator, &Problem::new(100, format!("Object with ID '{id}' does not exist")))
}

/// The URL that Meta gives for a file needs the token like everything else.
async fn media_content(
    State(simulator): State<Arc<Simulator>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    match refuse(&simulator, &headers, &id, &id) {
        Some(refused) => refused,
        None => file(&simulator, &id),
    }
}

pub(crate) fn file(simulator: &Simulator, id: &str) -> Response {
    let Some(file) = simulator.media.get(id) else { return StatusCode::NOT_FOUND.into_response() };
    let mime_type =
        HeaderValue::from_str(&file.mime_type).unwrap_or(HeaderValue::from_static("application/octet-stream"));
    // A page of the simulator's origin must not run what somebody uploaded as HTML.
    let sandbox = [(header::CONTENT_SECURITY_POLICY, "sandbox"), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")];
    (sandbox, [(header::CONTENT_TYPE, mime_type)], file.bytes).into_response()
}

/// The SHA-256 as it stands in a webhook about a file.
pub(crate) fn sha256_base64(bytes: &[u8; 32]) -> String {
    STANDARD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_may_burst_and_then_waits_for_each_interval() {
        let rate = PairRate { interval_ms: 6_000, burst: 3 };
        let mut free_at = 0;
        for _ in 0..3 {
            admit_pair(&mut free_at, rate, 0).unwrap();
        }
        assert_eq!(admit_pair(&mut free_at, rate, 0).unwrap_err().code, 131056);
        admit_pair(&mut free_at, rate, 6_000).unwrap();
        assert_eq!(admit_pair(&mut free_at, rate, 6_000).unwrap_err().code, 131056);
    }

    #[test]
    fn throughput_is_counted_by_the_second() {
        let throughput = Throughput::default();
        throughput.admit(Some(1), 100).unwrap();
        assert_eq!(throughput.admit(Some(1), 900).unwrap_err().code, 130429);
        throughput.admit(Some(1), 1_000).unwrap();
        throughput.admit(None, 1_000).unwrap();
    }
}
