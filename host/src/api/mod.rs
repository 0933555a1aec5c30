//! The API beside the entrance: what became of everything, customers, figures, health, and live changes.
//!
//! In: requests of whoever holds an API key, each seeing its own tenant only. Out: compact JSON with `snake_case` names, ids as text,
//! times as RFC 3339 ([`view`] has every shape once). What goes wrong is a problem as at the entrance. `openapi.json` describes
//! all of it, and a test holds the two together.
//!
//! Nothing in here decides anything about messages or runs: it reads the store, and asks the store for the few changes that an
//! operator may make.

mod accounts;
mod aside;
mod bundle;
mod clock;
mod conversations;
mod customers;
mod doctor;
mod endpoints;
mod events;
mod health;
mod media;
mod messages;
mod metrics;
mod openapi;
mod plugins;
mod runs;
mod stats;
mod story;
mod stream;
mod thread;
pub(crate) mod view;

#[cfg(test)]
mod tests;

use axum::{
    Router,
    routing::{get, post},
};

use crate::ingress::{AppState, problem::Problem, request::Query};
use crate::store::Paging;

/// The routes. Fallbacks are added once, by `ingress::problem::with_fallbacks`, after all routers are merged.
pub fn router(state: AppState) -> Router {
    let router = Router::new()
        .route("/v1/customers", get(customers::list))
        .route("/v1/customers/{id}", get(customers::show).put(customers::put).delete(customers::erase))
        .route("/v1/customers/{id}/conversation", get(conversations::of_customer))
        .route("/v1/customers/{id}/read", post(conversations::read_of_customer))
        .route("/v1/conversations", get(conversations::list))
        .route("/v1/conversations/{id}", get(conversations::of_message))
        .route("/v1/conversations/{id}/read", post(conversations::read_of_message))
        .route("/v1/endpoints", get(endpoints::list).post(endpoints::create))
        .route("/v1/endpoints/{id}", get(endpoints::show).patch(endpoints::change).delete(endpoints::remove))
        .route("/v1/endpoints/{id}/rotate", post(endpoints::rotate))
        .route("/v1/endpoints/{id}/test", post(endpoints::test))
        .route("/v1/endpoints/{id}/notices", get(endpoints::notices))
        .route("/v1/endpoints/{id}/replay", post(endpoints::replay))
        .route("/v1/events", get(events::list))
        .route("/v1/events/{id}", get(events::show))
        .route("/v1/events/{id}/replay", post(events::replay))
        .route("/v1/runs", get(runs::list))
        .route("/v1/runs/replay", post(aside::replay))
        .route("/v1/runs/discard", post(aside::discard))
        .route("/v1/runs/{id}", get(runs::show))
        .route("/v1/runs/{id}/bundle", get(bundle::show))
        .route("/v1/runs/{id}/replay", post(runs::replay))
        .route("/v1/runs/{id}/discard", post(runs::discard))
        .route("/v1/messages", get(messages::list))
        .route("/v1/messages/{id}", get(messages::show))
        .route("/v1/messages/{id}/media", get(media::first))
        .route("/v1/messages/{id}/media/{place}", get(media::show))
        .route("/v1/plugins", get(plugins::list))
        .route("/v1/plugins/reload", post(plugins::reload))
        .route("/v1/plugins/{name}", get(plugins::show))
        .route("/v1/plugins/{name}/approve", post(plugins::approve))
        .route("/v1/plugins/{name}/pause", post(plugins::pause))
        .route("/v1/plugins/{name}/resume", post(plugins::resume))
        .route("/v1/accounts", get(accounts::list))
        .route("/v1/stats", get(stats::show))
        .route("/v1/doctor", get(doctor::show))
        .route("/v1/stream", get(stream::listen))
        .route("/metrics", get(metrics::show))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/openapi.json", get(openapi::show));
    let adjustable = state.settings.adjustable_clock;
    let router = if adjustable { router.route("/v1/clock", get(clock::show).put(clock::set)) } else { router };
    router.with_state(state)
}

/// Rows of a page where the caller does not say.
const PAGE_ROWS: u32 = 50;

fn limit(query: &Query<'_>, rows_max: u32) -> Result<u32, Problem> {
    let expected = format!("a number from 1 to {rows_max}");
    let limit =
        query.parse("limit", &expected, |text| text.parse().ok().filter(|rows| (1..=rows_max).contains(rows)))?;
    Ok(limit.unwrap_or(PAGE_ROWS.min(rows_max)))
}

fn paging(query: &Query<'_>, rows_max: u32) -> Result<Paging, Problem> {
    let before = query.parse("before", "the `next` of the page before", |text| text.parse().ok())?;
    Ok(Paging { before, limit: limit(query, rows_max)? })
}

/// Where the next page begins: after the last row of a full page.
fn next(rows: usize, limit: u32, last_seq: Option<i64>) -> Option<i64> {
    last_seq.filter(|_| rows >= limit as usize)
}
