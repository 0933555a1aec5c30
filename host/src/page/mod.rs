//! The page at `/`: what an operator sees, and in demo and dev the simulated phones.
//!
//! In: requests of a browser. Out: the files beside this one, compiled in, and `/page/settings.json`. The page reads everything
//! else from the API, with the operator's key where one is needed; it is a client like any other and knows nothing that the
//! API does not tell it. The phones are the simulator's own door, which the browser visits by itself.
//!
//! What it never does: build or fetch anything. No outside asset, no inline script or style, and a policy that makes the
//! browser refuse both, so that no text of a customer or plugin can become code on the operator's screen.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Path, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::json;

/// What the page has to know before it can ask anything else.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Base URL of a simulator's own door, `http://127.0.0.1:8090`, where its phones are to be shown.
    pub phones: Option<String>,
    /// Nobody needs an API key.
    pub open: bool,
}

/// One file of the page.
struct Asset {
    name: &'static str,
    media_type: &'static str,
    text: &'static str,
}

const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";

macro_rules! asset {
    ($name:literal, $media_type:expr) => {
        Asset { name: $name, media_type: $media_type, text: include_str!($name) }
    };
}

const PAGE: Asset = asset!("page.html", "text/html; charset=utf-8");

const ASSETS: &[Asset] = &[
    asset!("icon.svg", "image/svg+xml"),
    asset!("page.css", STYLE),
    asset!("timeline.css", STYLE),
    asset!("panels.css", STYLE),
    asset!("conversations.css", STYLE),
    asset!("phones.css", STYLE),
    asset!("app.js", SCRIPT),
    asset!("api.js", SCRIPT),
    asset!("dom.js", SCRIPT),
    asset!("words.js", SCRIPT),
    asset!("stories.js", SCRIPT),
    asset!("header.js", SCRIPT),
    asset!("timeline.js", SCRIPT),
    asset!("card.js", SCRIPT),
    asset!("message.js", SCRIPT),
    asset!("panel.js", SCRIPT),
    asset!("messages.js", SCRIPT),
    asset!("conversations.js", SCRIPT),
    asset!("talk.js", SCRIPT),
    asset!("said.js", SCRIPT),
    asset!("plugins.js", SCRIPT),
    asset!("aside.js", SCRIPT),
    asset!("figures.js", SCRIPT),
    asset!("phones.js", SCRIPT),
    asset!("phone.js", SCRIPT),
    asset!("bubble.js", SCRIPT),
];

struct Page {
    phones: Option<url::Url>,
    open: bool,
    policy: HeaderValue,
}

/// `/`, `/page/{file}` and `/page/settings.json`.
pub fn router(settings: Settings) -> Router {
    let phones = settings.phones.as_deref().and_then(door);
    let page = Page { policy: policy(phones.as_ref()), phones, open: settings.open };
    Router::new()
        .route("/", get(front))
        .route("/page/settings.json", get(told))
        .route("/page/{file}", get(file))
        .with_state(Arc::new(page))
}

/// Only an origin goes into the policy: whatever else stood in the setting could widen it.
fn door(text: &str) -> Option<url::Url> {
    match url::Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Some(url),
        _ => {
            tracing::warn!(url = text, "the page shows no phones: this is no http URL");
            None
        }
    }
}

/// What the browser may load and reach. `require-trusted-types-for` makes it refuse text as markup even if a script tried.
fn policy(phones: Option<&url::Url>) -> HeaderValue {
    let origin = phones.map_or(String::new(), |url| format!(" {}", url.origin().ascii_serialization()));
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:{origin}; connect-src 'self'{origin}; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
    );
    // The origin of a parsed URL is ASCII, so this holds; without it the page would come with no rights at all.
    HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
}

async fn front(State(page): State<Arc<Page>>, headers: HeaderMap) -> Response {
    let mut response = serve(&PAGE, &headers);
    let added = [
        (header::CONTENT_SECURITY_POLICY, page.policy.clone()),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
        (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
    ];
    response.headers_mut().extend(added);
    response
}

async fn file(Path(name): Path<String>, headers: HeaderMap) -> Response {
    match ASSETS.iter().find(|asset| asset.name == name) {
        Some(asset) => serve(asset, &headers),
        None => (StatusCode::NOT_FOUND, "the page has no such file\n").into_response(),
    }
}

async fn told(State(page): State<Arc<Page>>) -> Response {
    let phones = page.phones.as_ref().map(|url| url.as_str().trim_end_matches('/'));
    let mut response = Json(json!({"title": "relais", "open": page.open, "phones": phones})).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A new version of the host brings new files under the same names, so the browser asks each time and is mostly told that
/// it has them.
fn serve(asset: &Asset, headers: &HeaderMap) -> Response {
    let digest = blake3::hash(asset.text.as_bytes()).to_hex();
    let tag = format!("\"{}\"", digest.get(..16).unwrap_or_default());
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    let mut response =
        if known.is_some_and(|known| known.split(',').any(|one| one.trim().trim_start_matches("W/") == tag)) {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            ([(header::CONTENT_TYPE, asset.media_type)], asset.text).into_response()
        };
    let headers = response.headers_mut();
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(header::ETAG, tag);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
