//! `POST /v1/runs/replay` and `POST /v1/runs/discard`: many runs that were set aside, in steps.
//!
//! A request does one step, in one transaction, and says whether there are more. Whoever asks again with its `next` goes on
//! after the last run of it, so that runs which fail again meanwhile are not taken twice, and it comes to an end.

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::Response,
};
use serde::Deserialize;
use serde_json::json;

use super::{runs::parse_failure, view};
use crate::{
    clock::Timestamp,
    domain::run::RunFailure,
    ids::{CustomerId, PluginName, RunId},
    ingress::{
        AppState,
        auth::Caller,
        problem::{Problem, excerpt},
        request::read_json,
    },
    store::{BULK_MAX, Bulk, RunFilter},
};

/// Which runs, of those that are set aside.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Which {
    /// All of them: to be said, because a filter that was forgotten would mean the same.
    all: bool,
    ids: Vec<String>,
    plugin: Option<PluginName>,
    entity: Option<String>,
    customer: Option<CustomerId>,
    failure: Option<String>,
    /// Set aside at this time or later, and at this time or earlier.
    after: Option<String>,
    before: Option<String>,
    limit: Option<u32>,
    /// The `next` of the step before.
    next: Option<i64>,
}

/// Executes them again, with their attempts forgotten, in the order in which they were accepted.
pub(super) async fn replay(
    State(state): State<AppState>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let (filter, limit) = which(&state, &headers, body).await?;
    let bulk = state.store.replay_runs(&caller.tenant, &filter, limit, state.clock.now()).await?;
    Ok(answer("replayed", bulk))
}

/// Ends them without executing them.
pub(super) async fn discard(
    State(state): State<AppState>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let (filter, limit) = which(&state, &headers, body).await?;
    let bulk = state.store.discard_runs(&caller.tenant, &filter, limit, state.clock.now()).await?;
    Ok(answer("discarded", bulk))
}

fn answer(what: &str, bulk: Bulk) -> Response {
    let next = bulk.more.then_some(bulk.last_seq);
    view::answer(StatusCode::OK, &json!({what: bulk.count, "more": bulk.more, "next": next}))
}

async fn which(state: &AppState, headers: &HeaderMap, body: Body) -> Result<(RunFilter, u32), Problem> {
    let which: Which = read_json(headers, body, state.settings.json_bytes_max).await?;
    let limit = which.limit.unwrap_or(BULK_MAX);
    if !(1..=BULK_MAX).contains(&limit) {
        return Err(Problem::bad_field("limit", format!("a step cannot have {limit} runs"))
            .fix(format!("give a number from 1 to {BULK_MAX}, and ask again while `more` is true")));
    }
    Ok((filter(which)?, limit))
}

fn filter(which: Which) -> Result<RunFilter, Problem> {
    let filter = RunFilter {
        state: None,
        ids: ids(&which.ids)?,
        plugin: which.plugin,
        entity: which.entity,
        customer: which.customer,
        failure: which.failure.as_deref().map(failure).transpose()?,
        since: which.after.as_deref().map(|text| time("after", text)).transpose()?,
        until: which.before.as_deref().map(|text| time("before", text)).transpose()?,
        after_seq: 0,
    };
    match (which.all, filter == RunFilter::default()) {
        (false, true) => {
            return Err(Problem::bad_field("all", "it does not say which runs").fix(
                "give `ids`, `plugin`, `entity`, `customer`, `failure`, `after` or `before`; or `\"all\": true`",
            ));
        }
        (true, false) => {
            return Err(Problem::bad_field("all", "it says all, and which ones as well").fix("give one of both"));
        }
        (true, true) | (false, false) => {}
    }
    Ok(RunFilter { after_seq: which.next.unwrap_or(0), ..filter })
}

fn ids(texts: &[String]) -> Result<Vec<RunId>, Problem> {
    let read = |(index, text): (usize, &String)| {
        text.parse().map_err(|_| {
            Problem::bad_field(format!("ids[{index}]"), format!("`{}` is no id of a run", excerpt(text)))
                .fix("ids are an r with 26 letters and digits; GET /v1/runs?state=set-aside lists them")
        })
    };
    texts.iter().enumerate().map(read).collect()
}

fn failure(text: &str) -> Result<String, Problem> {
    parse_failure(text).ok_or_else(|| {
        Problem::bad_field("failure", format!("`{}` is no kind of failure", excerpt(text)))
            .fix(format!("give one of {}", RunFailure::KINDS.join(", ")))
    })
}

fn time(field: &'static str, text: &str) -> Result<Timestamp, Problem> {
    Timestamp::parse(text).ok_or_else(|| {
        Problem::bad_field(field, format!("`{}` is no time", excerpt(text))).fix("write it as 2026-01-15T10:30:00Z")
    })
}
