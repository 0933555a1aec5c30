//! `/v1/endpoints`: where a tenant's own systems are told what happens, and what they were told.
//!
//! A secret leaves the host twice: in the answer that makes the endpoint, and in the one that makes a new secret.

use std::time::Duration;

use axum::{
    Extension,
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{next, paging, view};
use crate::{
    clock::Timestamp,
    domain::endpoint::{Disabled, DisabledWhy, Endpoint, Include, KINDS, NoticeState, SecretNo, TEST, fits},
    ids::{EndpointId, NoticeId},
    ingress::{
        AppState,
        auth::Caller,
        problem::{Problem, excerpt},
        request::{At, Query, plain, read_body, read_json},
    },
    notice::{Desk, secret},
    store::{BULK_MAX, EndpointChange, EndpointChanged, EndpointPatch, NoticeFilter},
};

const DESCRIPTION_CHARS_MAX: usize = 500;
/// Nobody needs a week to change a secret over.
const KEEP_S_MAX: u64 = 30 * 24 * 3600;
/// Notices that a replay may name.
const IDS_MAX: usize = 500;

/// An endpoint, or what is to be changed of one.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Changes {
    url: Option<String>,
    description: Option<String>,
    types: Option<Vec<String>>,
    include: Option<Vec<Include>>,
    enabled: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rotation {
    /// For how long the old secret is signed with as well.
    keep_s: Option<u64>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Replay {
    ids: Vec<NoticeId>,
    /// `given-up` where nothing is said; `delivered`, or `all`.
    state: Option<String>,
    since: Option<String>,
    until: Option<String>,
    limit: Option<u32>,
    next: Option<i64>,
}

pub(super) async fn list(State(state): State<AppState>, caller: Caller) -> Result<Response, Problem> {
    let all = state.store.endpoints().await?.into_iter().map(|(endpoint, _)| endpoint);
    let own: Vec<Value> =
        all.filter(|endpoint| endpoint.tenant == caller.tenant).map(|endpoint| view::endpoint(&endpoint)).collect();
    Ok(view::answer(StatusCode::OK, &json!({"endpoints": own})))
}

pub(super) async fn create(
    State(state): State<AppState>,
    Extension(desk): Extension<Desk>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let given: Changes = read_json(&headers, body, state.settings.json_bytes_max).await?;
    let patch = checked(given, &desk)?;
    let Some(url) = patch.url else {
        return Err(Problem::bad_field("url", "`url` is missing")
            .fix("say where it is told, such as https://shop.example/relais"));
    };
    let mut id = [0; 16];
    getrandom::fill(&mut id)
        .map_err(|error| Problem::internal(&std::io::Error::other(format!("no random bytes: {error}"))))?;
    let now = state.clock.now();
    let off = patch.enabled == Some(false);
    let endpoint = Endpoint {
        tenant: caller.tenant.clone(),
        id: EndpointId(id),
        url,
        description: patch.description.unwrap_or_default(),
        types: patch.types.unwrap_or_default(),
        include: patch.include.unwrap_or_default(),
        disabled: off.then_some(Disabled { why: DisabledWhy::Asked, at: now }),
        secrets: vec![SecretNo { no: 1, until: None }],
        failing_since: None,
        created: now,
        updated: now,
    };
    let most = desk.settings.per_tenant_max;
    let change = EndpointChange::Create(Box::new(endpoint), most);
    match state.store.change_endpoint(&caller.tenant, EndpointId(id), change, now).await? {
        EndpointChanged::Done(made) => Ok(with_secret(&state, StatusCode::CREATED, &made)),
        _ => Err(Problem::conflict(format!("there are {most} endpoints already, which is the most"))
            .fix("remove one, change one, or raise endpoints.per-tenant-max in the host's configuration")),
    }
}

pub(super) async fn show(
    State(state): State<AppState>,
    caller: Caller,
    At(id): At<EndpointId>,
) -> Result<Response, Problem> {
    let found = state.store.endpoint(&caller.tenant, id).await?.ok_or_else(|| unknown(id))?;
    Ok(view::answer(StatusCode::OK, &view::endpoint(&found)))
}

pub(super) async fn change(
    State(state): State<AppState>,
    Extension(desk): Extension<Desk>,
    caller: Caller,
    At(id): At<EndpointId>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let given: Changes = read_json(&headers, body, state.settings.json_bytes_max).await?;
    let patch = checked(given, &desk)?;
    let changed = changed(&state, &caller, id, EndpointChange::Update(patch)).await?;
    Ok(view::answer(StatusCode::OK, &view::endpoint(&changed)))
}

pub(super) async fn remove(
    State(state): State<AppState>,
    caller: Caller,
    At(id): At<EndpointId>,
) -> Result<Response, Problem> {
    changed(&state, &caller, id, EndpointChange::Remove).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

pub(super) async fn rotate(
    State(state): State<AppState>,
    Extension(desk): Extension<Desk>,
    caller: Caller,
    At(id): At<EndpointId>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let given: Rotation = optional(&state, &headers, body).await?;
    let keep = given.keep_s.map_or(desk.settings.rotation(), Duration::from_secs);
    if keep.as_secs() > KEEP_S_MAX {
        return Err(Problem::bad_field("keep_s", "an old secret is not good for that long")
            .fix(format!("give at most {KEEP_S_MAX} seconds; 0 ends it at once")));
    }
    let until = state.clock.now().plus(keep);
    let changed = changed(&state, &caller, id, EndpointChange::Rotate(until)).await?;
    Ok(with_secret(&state, StatusCode::OK, &changed))
}

pub(super) async fn test(
    State(state): State<AppState>,
    caller: Caller,
    At(id): At<EndpointId>,
) -> Result<Response, Problem> {
    if let Some(notice) = state.store.test_endpoint(&caller.tenant, id, state.clock.now()).await? {
        return Ok(view::answer(StatusCode::ACCEPTED, &json!({"notice": notice, "type": TEST})));
    }
    match state.store.endpoint(&caller.tenant, id).await? {
        None => Err(unknown(id)),
        Some(_) => Err(Problem::conflict("the endpoint is disabled, so nothing is told to it")
            .fix("enable it with PATCH /v1/endpoints/{id} {\"enabled\": true}")),
    }
}

pub(super) async fn notices(
    State(state): State<AppState>,
    caller: Caller,
    At(id): At<EndpointId>,
    uri: Uri,
) -> Result<Response, Problem> {
    let query = Query::of(&uri, &["state", "before", "limit"])?;
    let filter = NoticeFilter {
        state: query.parse("state", "waiting, delivered or given-up", NoticeState::parse)?,
        ..NoticeFilter::default()
    };
    let page = paging(&query, state.settings.page_rows_max)?;
    state.store.endpoint(&caller.tenant, id).await?.ok_or_else(|| unknown(id))?;
    let found = state.store.notices(&caller.tenant, id, &filter, page).await?;
    let next = next(found.len(), page.limit, found.last().map(|notice| notice.seq));
    let found: Vec<Value> = found.iter().map(view::notice).collect();
    Ok(view::answer(StatusCode::OK, &json!({"notices": found, "next": next})))
}

pub(super) async fn replay(
    State(state): State<AppState>,
    caller: Caller,
    At(id): At<EndpointId>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let given: Replay = optional(&state, &headers, body).await?;
    if given.ids.len() > IDS_MAX {
        return Err(Problem::bad_field("ids", "there are too many").fix(format!("name at most {IDS_MAX} at a time")));
    }
    let limit = given.limit.unwrap_or(BULK_MAX);
    if !(1..=BULK_MAX).contains(&limit) {
        return Err(Problem::bad_field("limit", format!("`{limit}` is no limit"))
            .fix(format!("give a number from 1 to {BULK_MAX}")));
    }
    let filter = NoticeFilter {
        state: replayed_state(&given)?,
        since: time_of("since", given.since.as_deref())?,
        until: time_of("until", given.until.as_deref())?,
        ids: given.ids,
        after_seq: given.next.unwrap_or(0),
        ended: true,
    };
    state.store.endpoint(&caller.tenant, id).await?.ok_or_else(|| unknown(id))?;
    let done = state.store.replay_notices(&caller.tenant, id, &filter, limit).await?;
    let answer = json!({"replayed": done.count, "more": done.more, "next": done.last_seq});
    Ok(view::answer(StatusCode::OK, &answer))
}

fn replayed_state(given: &Replay) -> Result<Option<NoticeState>, Problem> {
    match given.state.as_deref() {
        // Who names notices means them, however they stand.
        None if !given.ids.is_empty() => Ok(None),
        None | Some("given-up") => Ok(Some(NoticeState::GivenUp)),
        Some("delivered") => Ok(Some(NoticeState::Delivered)),
        Some("all") => Ok(None),
        Some(other) => Err(Problem::bad_field("state", format!("`{}` cannot be replayed", excerpt(other)))
            .fix("give given-up, delivered or all")),
    }
}

fn time_of(field: &'static str, text: Option<&str>) -> Result<Option<Timestamp>, Problem> {
    let Some(text) = text else { return Ok(None) };
    match Timestamp::parse(text) {
        Some(time) => Ok(Some(time)),
        None => Err(Problem::bad_field(field, format!("`{}` is no time", excerpt(text)))
            .fix("write it as 2026-01-15T10:30:00Z")),
    }
}

/// A body that may be left out.
async fn optional<T: serde::de::DeserializeOwned + Default>(
    state: &AppState,
    headers: &HeaderMap,
    body: Body,
) -> Result<T, Problem> {
    let bytes = read_body(headers, body, "the body", state.settings.json_bytes_max).await?;
    match bytes.is_empty() {
        true => Ok(T::default()),
        false => read_json(headers, Body::from(bytes), state.settings.json_bytes_max).await,
    }
}

async fn changed(
    state: &AppState,
    caller: &Caller,
    id: EndpointId,
    change: EndpointChange,
) -> Result<Box<Endpoint>, Problem> {
    match state.store.change_endpoint(&caller.tenant, id, change, state.clock.now()).await? {
        EndpointChanged::Done(endpoint) | EndpointChanged::Unchanged(endpoint) => Ok(endpoint),
        EndpointChanged::Unknown | EndpointChanged::TooMany => Err(unknown(id)),
    }
}

fn with_secret(state: &AppState, status: StatusCode, endpoint: &Endpoint) -> Response {
    let newest = endpoint.secrets.last().map_or(0, |secret| secret.no);
    let mut shown = view::endpoint(endpoint);
    if let Some(shown) = shown.as_object_mut() {
        let text = secret(&state.store.host_secret(), &endpoint.tenant, endpoint.id, newest);
        shown.insert("secret".to_owned(), text.into());
    }
    view::answer(status, &shown)
}

fn checked(given: Changes, desk: &Desk) -> Result<EndpointPatch, Problem> {
    if let Some(url) = &given.url {
        plain("url", url)?;
        desk.check_url(url).map_err(|why| {
            Problem::bad_field("url", format!("nothing can be told there: {why}"))
                .fix("give an https URL of the public network, such as https://shop.example/relais")
        })?;
    }
    if let Some(description) = &given.description {
        plain("description", description)?;
        if description.chars().count() > DESCRIPTION_CHARS_MAX {
            return Err(Problem::bad_field("description", "it is too long")
                .fix(format!("say it in {DESCRIPTION_CHARS_MAX} characters")));
        }
    }
    for (index, wanted) in given.types.iter().flatten().enumerate() {
        let prefix = wanted.strip_suffix('*').is_none_or(|prefix| prefix.ends_with('.'));
        if !prefix || !KINDS.iter().any(|kind| fits(wanted, kind)) {
            let detail = format!("`{}` is nothing that is told", excerpt(wanted));
            return Err(Problem::bad_field(format!("types[{index}]"), detail)
                .fix(format!("give a prefix such as relais.message.*, or one of {}", KINDS.join(", "))));
        }
    }
    let Changes { url, description, types, include, enabled } = given;
    Ok(EndpointPatch { url, description, types, include, enabled })
}

fn unknown(id: EndpointId) -> Problem {
    Problem::not_found(format!("there is no endpoint `{id}`")).field("id").fix("GET /v1/endpoints lists them")
}
