//! The simulator's own door: `/sim`, JSON in and out.
//!
//! Errors are `{"error": "…"}` with 400, 403, 404 or 409. Times are milliseconds since 1970. A number in a path is E.164,
//! with or without the plus. Only pages of a loopback origin may call it (CORS); other origins get 403.
//!
//! | | |
//! |---|---|
//! | `GET /sim/healthz` | `{"status":"ok"}` |
//! | `GET /sim/settings`, `PATCH /sim/settings` | `{"webhook_base","meta_webhook_url","cm_webhook_url","twilio_webhook_url","timing":{"answer_ms","sent_ms","delivered_ms","read_ms"},"limits":{"per_second_max","pair":{"interval_ms","burst"}},"window":"webhook"\|"sync"\|"off","quiet"}`; a patch is merged, `null` removes |
//! | `POST /sim/reset` | back to the options it was started with → `{"status":"ok"}` |
//! | `GET /sim/phones` | `{"phones":[phone view…]}` |
//! | `PUT /sim/phones` | `[phone…]`: adds or replaces each → as `GET` |
//! | `GET /sim/phones/{number}` | phone view: the phone's fields, `waiting` (messages that wait for it to come online) and `window_open` (providers whose 24-hour window is open) |
//! | `PUT /sim/phones/{number}` | phone: `{"name","locale","whatsapp","online","sms","reads","blocks","hides_number","stopped","answers":[{"on","channel","answer","tap","after_ms","times"}]}`, all optional → phone view |
//! | `PATCH /sim/phones/{number}` | some of these fields, and `"window_open":true\|false` → phone view |
//! | `DELETE /sim/phones/{number}` | → 204 |
//! | `POST /sim/phones/{number}/online`, `/offline` | → phone view; online delivers what waited |
//! | `POST /sim/phones/{number}/write` | `{"channel":"whatsapp"\|"sms","provider","text"}`, or in place of `text` `"image":{"url","caption"}` or `"location":{"latitude","longitude","name","address"}`; `"quotes"`: a message id → the entry |
//! | `POST /sim/phones/{number}/tap` | `{"button":"id or title","message_id"}`; without `message_id` the newest message with buttons → the entry |
//! | `GET /sim/phones/{number}/thread` | `{"number","whatsapp":[entry…],"sms":[entry…]}` |
//! | `GET /sim/troubles` | `{"troubles":[…]}` |
//! | `POST /sim/troubles` | one trouble → the trouble with its `id`, 201 |
//! | `DELETE /sim/troubles`, `/sim/troubles/{id}` | → 204 |
//! | `GET /sim/templates`, `POST /sim/templates`, `DELETE /sim/templates/{name}` | `{"name","language","category","status","message_send_ttl_seconds","body"}` or Meta's form with `components`; once one is registered, others are refused with 132001 |
//! | `GET /sim/requests?provider=&to=&token=&accepted=&after=&limit=` | `{"requests":[request…],"seen","forgotten"}`, oldest first; `to` with `%2B` |
//! | `GET /sim/webhooks?provider=&state=&number=&token=&after=&limit=` | `{"webhooks":[webhook…],"seen","forgotten"}` |
//! | `POST /sim/meta/verify-webhook` | calls the webhook with `hub.challenge` as Meta does → `{"verified","status","answer","url"}` |
//! | `GET /sim/smsc`, `PATCH /sim/smsc` | `{"up":true\|false}`: while it is down every session breaks → `{"up","address","sessions":[{"system_id","kind","unacknowledged"}…]}` |
//! | `GET /sim/media/{id}` | a file that was uploaded or that a phone sent |
//! | `GET /sim/stream` | server-sent events, below |
//!
//! Entry (a bubble): `{"seq","id","from_phone","provider","channel","business","token","content","ticks","tapped"}`.
//! `content`: `{"kind","header","text","footer","media":[{"kind","url","id","filename","mime_type"}],"buttons":[{"id","title",
//! "kind":"reply"|"row"|"quick-reply"|"url","description"}],"place":{"latitude","longitude","name","address"},"template":{"name",
//! "language","parameters":[…],"rendered"},"quotes","parts","encoding"}`; what does not apply is left out. `ticks`:
//! `{"accepted_at","sent_at","delivered_at","read_at","failed_at","error_code","note"}`, `null` where not reached; what has no
//! `delivered_at` is not on the phone's screen. `note` is `lost` or `expired` where nothing more will come.
//!
//! Trouble: `{"phone","provider","channel","times","kind",…}`; what is left out fits all, and without `times` it stays. Kinds:
//! `error` (`code`, `how`: `sync` or `webhook`, `details`), `silent-loss`, `drop-receipts` (`only`: list of `sent`,
//! `delivered`, `read`, `failed`), `late-receipts` (`delay_ms`, `only`), `repeat-receipts` (`count`), `shuffle-receipts`, `busy`
//! (`retry_after_s`), `unavailable` (`status`), `hang` (`accepted`), `reset`, `reset-before`, `slow` (`delay_ms`).
//!
//! Request: `{"seq","at","provider","path","to":[…],"tokens":[…],"body","answer":{"status","body"},"accepted","ids":[…],
//! "troubles"}`; `answer.status` is `null` where the connection was closed or held without an answer. Webhook: `{"seq","at",
//! "provider","url","about":[{"id","number","token","status"}],"body","tries","answered","error","state":"sending"|"taken"|
//! "retrying"|"gave-up"}`.
//!
//! Events of the stream (`event:` and what `data:` holds): `snapshot` `{"phones":[phone view…],"threads":[thread…],
//! "troubles":[…]}` once at the start; `phone` a phone view; `phone-removed` `{"number"}`; `entry` `{"number","entry"}` for each
//! new bubble and each change of its ticks (same `id`: replace); `typing` `{"number"}`; `request` a request; `webhook` a
//! webhook after each try (same `seq`: replace); `troubles` `{"troubles":[…]}`; `reset` `{}`; `behind` `{"missed"}`: read all anew.

use std::sync::Arc;

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, Query, Request, State},
    http::{HeaderValue, Method, StatusCode, header},
    middleware::{self, Next},
    response::{Html, IntoResponse, Response},
    routing::{delete, get, post},
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{Error, Phone, Settings, Simulator, Template, Trouble, Write, cm, ledger, meta, phones, twilio, webhooks};

type Shared = State<Arc<Simulator>>;
type Answered<T> = Result<T, Error>;

/// All paths: the providers' and the simulator's own.
pub(crate) fn router(simulator: Arc<Simulator>) -> Router {
    let own = Router::new()
        .route("/", get(front))
        .route("/sim/healthz", get(async || Json(json!({"status": "ok"}))))
        .route("/sim/settings", get(settings).patch(patch_settings))
        .route("/sim/reset", post(reset))
        .route("/sim/phones", get(list_phones).put(put_phones))
        .route("/sim/phones/{number}", get(show_phone).put(put_phone).patch(patch_phone).delete(remove_phone))
        .route("/sim/phones/{number}/online", post(online))
        .route("/sim/phones/{number}/offline", post(offline))
        .route("/sim/phones/{number}/write", post(write))
        .route("/sim/phones/{number}/tap", post(tap))
        .route("/sim/phones/{number}/thread", get(thread))
        .route("/sim/troubles", get(list_troubles).post(add_trouble).delete(clear_troubles))
        .route("/sim/troubles/{id}", delete(remove_trouble))
        .route("/sim/templates", get(list_templates).post(add_template))
        .route("/sim/templates/{name}", delete(remove_template))
        .route("/sim/requests", get(requests))
        .route("/sim/webhooks", get(list_webhooks))
        .route("/sim/meta/verify-webhook", post(verify_webhook))
        .route("/sim/media/{id}", get(media))
        .route("/sim/smsc", get(smsc_view).patch(smsc_change))
        .route("/sim/stream", get(stream))
        .layer(middleware::from_fn(loopback_pages_only));
    own.merge(meta::router()).merge(cm::router()).merge(twilio::router()).with_state(simulator)
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let status = match self {
            Error::NoPhone(_) => StatusCode::NOT_FOUND,
            Error::Field { .. } => StatusCode::BAD_REQUEST,
            Error::Refused(_) => StatusCode::CONFLICT,
        };
        refuse(status, &self.to_string())
    }
}

fn refuse(status: StatusCode, error: &str) -> Response {
    (status, Json(json!({"error": error}))).into_response()
}

/// Lets the page of a host on another port of this machine in, and no page of the internet.
async fn loopback_pages_only(request: Request, next: Next) -> Response {
    let origin = request.headers().get(header::ORIGIN).cloned();
    if origin.as_ref().is_some_and(|origin| !is_loopback(origin)) {
        return refuse(StatusCode::FORBIDDEN, "only pages of this machine may use the simulator");
    }
    let mut response = match *request.method() {
        Method::OPTIONS => StatusCode::NO_CONTENT.into_response(),
        _ => next.run(request).await,
    };
    if let Some(origin) = origin {
        let headers = response.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::VARY, HeaderValue::from_static("Origin"));
        headers.insert(
            header::ACCESS_CONTROL_ALLOW_METHODS,
            HeaderValue::from_static("GET, POST, PUT, PATCH, DELETE, OPTIONS"),
        );
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("Content-Type"));
    }
    response
}

fn is_loopback(origin: &HeaderValue) -> bool {
    let host = origin.to_str().ok().and_then(|origin| url::Url::parse(origin).ok());
    host.is_some_and(|url| match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    })
}

/// Reads a body whatever its content type says, and names what is wrong with it.
fn read<T: DeserializeOwned>(body: &[u8]) -> Answered<T> {
    let body = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body).map_err(|error| Error::Field { field: "body", problem: error.to_string() })
}

fn number(path: &str) -> Answered<String> {
    let plus = if path.starts_with('+') { path.to_owned() } else { format!("+{path}") };
    phones::e164(&plus).ok_or_else(|| Error::Field { field: "number", problem: format!("`{path}` is not a number") })
}

async fn front(State(simulator): Shared) -> Html<String> {
    let meta = &simulator.options.meta.phone_number_id;
    let twilio = &simulator.options.twilio.account_sid;
    Html(format!(
        "<!doctype html><meta charset=utf-8><title>Simulated providers</title><style>body{{font:16px/1.5 system-ui;max-width:44rem;\
         margin:3rem auto;padding:0 1rem}}code{{background:#8882;padding:.1em .3em}}</style><h1>Simulated providers</h1>\
         <p>This is Meta, CM.com and Twilio as far as the wire goes, with telephones behind them. Nothing sent here reaches anybody.\
         <ul><li>Meta: <code>POST /v25.0/{meta}/messages</code><li>CM.com: <code>POST /v1.0/message</code>\
         <li>Twilio: <code>POST /2010-04-01/Accounts/{twilio}/Messages.json</code></ul><p>Its own door: \
         <a href=/sim/phones>/sim/phones</a>, <a href=/sim/requests>/sim/requests</a>, <a href=/sim/webhooks>/sim/webhooks</a>, \
         <a href=/sim/troubles>/sim/troubles</a>, <a href=/sim/templates>/sim/templates</a>, \
         <a href=/sim/settings>/sim/settings</a>, <a href=/sim/stream>/sim/stream</a>."
    ))
}

async fn settings(State(simulator): Shared) -> Json<Value> {
    Json(json!(*simulator.settings()))
}

async fn patch_settings(State(simulator): Shared, body: Bytes) -> Answered<Json<Value>> {
    let mut settings = json!(*simulator.settings());
    merge(&mut settings, read(&body)?);
    let changed: Settings =
        serde_json::from_value(settings).map_err(|error| Error::Field { field: "body", problem: error.to_string() })?;
    simulator.set_settings(changed);
    Ok(Json(json!(*simulator.settings())))
}

/// RFC 7396, except that `null` stays: every setting is present, and empty ones are `null`.
fn merge(into: &mut Value, patch: Value) {
    match (into, patch) {
        (Value::Object(into), Value::Object(patch)) => {
            for (name, value) in patch {
                merge(into.entry(name).or_insert(Value::Null), value);
            }
        }
        (into, patch) => *into = patch,
    }
}

async fn reset(State(simulator): Shared) -> Json<Value> {
    simulator.reset();
    Json(json!({"status": "ok"}))
}

fn phone_views(simulator: &Simulator) -> Vec<Value> {
    // A phone that is removed meanwhile is left out.
    simulator.phones().iter().filter_map(|phone| simulator.phone_view(&phone.number).ok()).collect()
}

async fn list_phones(State(simulator): Shared) -> Json<Value> {
    Json(json!({"phones": phone_views(&simulator)}))
}

async fn put_phones(State(simulator): Shared, body: Bytes) -> Answered<Json<Value>> {
    for phone in read::<Vec<Phone>>(&body)? {
        simulator.put_phone(phone)?;
    }
    Ok(Json(json!({"phones": phone_views(&simulator)})))
}

async fn show_phone(State(simulator): Shared, Path(path): Path<String>) -> Answered<Json<Value>> {
    Ok(Json(simulator.phone_view(&number(&path)?)?))
}

async fn put_phone(State(simulator): Shared, Path(path): Path<String>, body: Bytes) -> Answered<Json<Value>> {
    let number = number(&path)?;
    let phone: Phone = read(&body)?;
    if !phone.number.is_empty() && phones::e164(&phone.number).as_ref() != Some(&number) {
        return Err(Error::Field { field: "number", problem: "is not the number of the path".into() });
    }
    simulator.put_phone(Phone { number: number.clone(), ..phone })?;
    Ok(Json(simulator.phone_view(&number)?))
}

async fn patch_phone(State(simulator): Shared, Path(path): Path<String>, body: Bytes) -> Answered<Json<Value>> {
    let number = number(&path)?;
    let mut patch: Value = read(&body)?;
    let window = patch.as_object_mut().and_then(|fields| fields.remove("window_open"));
    if patch.get("number").is_some_and(|other| other.as_str() != Some(&number)) {
        return Err(Error::Field { field: "number", problem: "a phone keeps its number; add another phone".into() });
    }
    let changed = simulator.phones.with(&number, |state| {
        let mut phone = json!(state.phone);
        merge(&mut phone, patch);
        serde_json::from_value::<Phone>(phone).map(|changed| state.phone = changed)
    })?;
    changed.map_err(|error| Error::Field { field: "body", problem: error.to_string() })?;
    match window.as_ref().map(Value::as_bool) {
        Some(Some(open)) => simulator.set_window(&number, open)?,
        Some(None) => return Err(Error::Field { field: "window_open", problem: "must be true or false".into() }),
        None => {}
    }
    simulator.after_change(&number)?;
    Ok(Json(simulator.phone_view(&number)?))
}

async fn remove_phone(State(simulator): Shared, Path(path): Path<String>) -> Answered<StatusCode> {
    let number = number(&path)?;
    simulator.phones.remove(&number)?;
    simulator.stream.send("phone-removed", || json!({"number": number}));
    Ok(StatusCode::NO_CONTENT)
}

async fn online(State(simulator): Shared, Path(path): Path<String>) -> Answered<Json<Value>> {
    let number = number(&path)?;
    simulator.set_online(&number, true)?;
    Ok(Json(simulator.phone_view(&number)?))
}

async fn offline(State(simulator): Shared, Path(path): Path<String>) -> Answered<Json<Value>> {
    let number = number(&path)?;
    simulator.set_online(&number, false)?;
    Ok(Json(simulator.phone_view(&number)?))
}

async fn write(State(simulator): Shared, Path(path): Path<String>, body: Bytes) -> Answered<Json<Value>> {
    let write: Write = read(&body)?;
    Ok(Json(json!(simulator.write(&number(&path)?, write).await?)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tapped {
    button: String,
    #[serde(default)]
    message_id: Option<String>,
}

async fn tap(State(simulator): Shared, Path(path): Path<String>, body: Bytes) -> Answered<Json<Value>> {
    let tapped: Tapped = read(&body)?;
    let entry = simulator.tap(&number(&path)?, tapped.message_id.as_deref(), &tapped.button).await?;
    Ok(Json(json!(entry)))
}

async fn thread(State(simulator): Shared, Path(path): Path<String>) -> Answered<Json<Value>> {
    Ok(Json(simulator.thread(&number(&path)?)?))
}

async fn list_troubles(State(simulator): Shared) -> Json<Value> {
    Json(json!({"troubles": simulator.troubles.all()}))
}

async fn add_trouble(State(simulator): Shared, body: Bytes) -> Answered<(StatusCode, Json<Value>)> {
    let mut trouble: Trouble = read(&body)?;
    if let Some(phone) = &trouble.phone {
        trouble.phone = Some(number(phone)?);
    }
    let trouble = simulator.add_trouble(trouble);
    Ok((StatusCode::CREATED, Json(json!(trouble))))
}

async fn clear_troubles(State(simulator): Shared) -> StatusCode {
    simulator.troubles.clear();
    simulator.show_troubles();
    StatusCode::NO_CONTENT
}

async fn remove_trouble(State(simulator): Shared, Path(id): Path<u64>) -> Response {
    if !simulator.troubles.remove(id) {
        return refuse(StatusCode::NOT_FOUND, &format!("there is no trouble {id}"));
    }
    simulator.show_troubles();
    StatusCode::NO_CONTENT.into_response()
}

impl Simulator {
    pub fn add_trouble(&self, trouble: Trouble) -> Trouble {
        let trouble = self.troubles.add(trouble);
        self.show_troubles();
        trouble
    }

    /// Every request the providers' endpoints saw that is still remembered, oldest first.
    pub fn requests(&self) -> Vec<super::Request> {
        self.ledger.page(&ledger::Filter::default()).requests
    }

    fn show_troubles(&self) {
        self.stream.send("troubles", || json!({"troubles": self.troubles.all()}));
    }
}

async fn smsc_view(State(simulator): Shared) -> Json<Value> {
    Json(simulator.smsc_view())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SmscChange {
    up: bool,
}

async fn smsc_change(State(simulator): Shared, body: Bytes) -> Answered<Json<Value>> {
    let SmscChange { up } = read(&body)?;
    simulator.smsc_up(up);
    Ok(Json(simulator.smsc_view()))
}

async fn list_templates(State(simulator): Shared) -> Json<Value> {
    Json(json!({"templates": simulator.templates.all()}))
}

async fn add_template(State(simulator): Shared, body: Bytes) -> Answered<(StatusCode, Json<Value>)> {
    let template: Template = read(&body)?;
    if template.name.is_empty() {
        return Err(Error::Field { field: "name", problem: "is missing".into() });
    }
    Ok((StatusCode::CREATED, Json(json!(simulator.templates.put(template)))))
}

async fn remove_template(State(simulator): Shared, Path(name): Path<String>) -> Response {
    if simulator.templates.remove(&name) {
        return StatusCode::NO_CONTENT.into_response();
    }
    refuse(StatusCode::NOT_FOUND, &format!("there is no template {name}"))
}

async fn requests(State(simulator): Shared, Query(filter): Query<ledger::Filter>) -> Json<Value> {
    Json(json!(simulator.ledger.page(&filter)))
}

async fn list_webhooks(State(simulator): Shared, Query(filter): Query<webhooks::Filter>) -> Json<Value> {
    Json(json!(simulator.sender.page(&filter)))
}

/// What Meta does when a webhook is entered in its settings.
async fn verify_webhook(State(simulator): Shared) -> Answered<Json<Value>> {
    let url = simulator.settings().meta_url();
    let url =
        url.ok_or_else(|| Error::Field { field: "webhook_base", problem: "is not set; PATCH /sim/settings".into() })?;
    // Any number does; it only has to come back.
    let challenge = simulator.ids.media();
    let token = simulator.options.meta.verify_token.as_str();
    let query = [("hub.mode", "subscribe"), ("hub.challenge", &challenge), ("hub.verify_token", token)];
    let sent = simulator.sender.client().get(&url).query(&query).send().await;
    let (status, answer) = match sent {
        Ok(response) => (Some(response.status().as_u16()), response.text().await.unwrap_or_default()),
        Err(error) => (None, error.without_url().to_string()),
    };
    let verified = status == Some(200) && answer == challenge;
    Ok(Json(json!({"verified": verified, "status": status, "answer": answer, "url": url})))
}

async fn media(State(simulator): Shared, Path(id): Path<String>) -> Response {
    meta::file(&simulator, &id)
}

async fn stream(State(simulator): Shared) -> impl IntoResponse {
    simulator.stream.listen(|| {
        let threads: Vec<Value> =
            simulator.phones().iter().filter_map(|phone| simulator.thread(&phone.number).ok()).collect();
        json!({"phones": phone_views(&simulator), "threads": threads, "troubles": simulator.troubles.all()})
    })
}
