//! `GET /m/{token}`: the file behind a short link.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Router,
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use tokio::sync::Semaphore;

use super::{
    Links, Settings, file,
    range::{Asked, asked},
};
use crate::{
    clock::{Clock, Timestamp},
    domain::message::{MediaSource, NewMessage},
    ids::{MessageId, TenantId},
    store::Store,
};

/// What the links are served from.
pub struct Served {
    /// Absent where the host has no public URL: there are no links then.
    pub links: Option<Links>,
    pub store: Arc<dyn Store>,
    pub clock: Arc<dyn Clock>,
    /// Whose messages there can be.
    pub tenants: Vec<TenantId>,
    opens: Opens,
    pub(super) places: Semaphore,
}

impl Served {
    pub fn new(
        links: Option<Links>,
        settings: &Settings,
        tenants: Vec<TenantId>,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
    ) -> Served {
        let opens = Opens { most: settings.opens_per_minute, counted: Mutex::default() };
        Served { links, store, clock, tenants, opens, places: Semaphore::new(settings.at_once as usize) }
    }
}

/// `/m/{token}`. Nobody needs a key for it: the token is one.
pub fn router(served: impl Into<Arc<Served>>) -> Router {
    let served: Arc<Served> = served.into();
    Router::new().route("/m/{token}", get(open)).with_state(served)
}

/// How often each link was opened in this minute. Only links that we made are counted, so it is bounded by those.
struct Opens {
    most: u32,
    counted: Mutex<(i64, HashMap<MessageId, u32>)>,
}

impl Opens {
    /// Whether it may be opened once more, and else after how many seconds.
    fn count(&self, id: MessageId, now: Timestamp) -> Result<(), u64> {
        let seconds = now.0.div_euclid(1_000);
        let minute = seconds.div_euclid(60);
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        if counted.0 != minute {
            *counted = (minute, HashMap::new());
        }
        let opens = counted.1.entry(id).or_default();
        if *opens >= self.most {
            return Err(u64::try_from(60 - seconds.rem_euclid(60)).unwrap_or(60));
        }
        *opens += 1;
        Ok(())
    }
}

async fn open(State(served): State<Arc<Served>>, Path(token): Path<String>, headers: HeaderMap) -> Response {
    let known = served.links.as_ref().and_then(|links| Some((links, links.read(&token, &served.tenants)?)));
    let Some((links, (tenant, id))) = known else {
        return said(StatusCode::NOT_FOUND, "There is nothing here.");
    };
    let now = served.clock.now();
    if let Err(seconds) = served.opens.count(id, now) {
        return wait(StatusCode::TOO_MANY_REQUESTS, seconds);
    }
    let Ok(_place) = served.places.try_acquire() else { return wait(StatusCode::SERVICE_UNAVAILABLE, 1) };
    let record = match served.store.message(&tenant, id).await {
        Ok(record) => record,
        Err(error) => {
            tracing::warn!(message = %id, %error, "a link cannot be followed: the store cannot be read");
            return wait(StatusCode::SERVICE_UNAVAILABLE, 1);
        }
    };
    let left = |message: &NewMessage| links.ends(message).since(now).as_secs();
    match record.map(|record| record.message).filter(|message| left(message) > 0) {
        Some(message) => answer(&message, left(&message), &headers).unwrap_or_else(over),
        None => over(),
    }
}

/// It was there, and is not any more.
fn over() -> Response {
    said(StatusCode::GONE, "This link has expired.")
}

fn answer(message: &NewMessage, left_s: u64, asked_for: &HeaderMap) -> Option<Response> {
    let (source, mime_type, name) = file(&message.content)?;
    let mut response = match source {
        MediaSource::Url(url) => {
            let place = HeaderValue::from_str(url).ok()?;
            (StatusCode::FOUND, [(header::LOCATION, place)]).into_response()
        }
        MediaSource::Bytes(base64) => {
            let bytes = Bytes::from(STANDARD.decode(base64).ok()?);
            let mut response = part(bytes, asked_for);
            described(response.headers_mut(), mime_type, name);
            response
        }
    };
    let cache = format!("private, max-age={}", left_s.min(CACHED_S_MAX));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::try_from(cache).ok()?);
    secured(response.headers_mut());
    Some(response)
}

/// A browser may show it again for an hour without asking. Longer, and what was erased would still be seen.
const CACHED_S_MAX: u64 = 3600;

/// The whole or the part that is asked for.
fn part(bytes: Bytes, asked_for: &HeaderMap) -> Response {
    let text = |name: &HeaderName| asked_for.get(name).and_then(|value| value.to_str().ok());
    // `If-Range` names a version of the file; without versions the whole is always right.
    let range = text(&header::RANGE).filter(|_| !asked_for.contains_key(header::IF_RANGE));
    let len = bytes.len();
    let (status, content_range, body) = match asked(range, len) {
        Asked::Whole => (StatusCode::OK, None, bytes),
        Asked::Part(first, last) => {
            let of = format!("bytes {first}-{last}/{len}");
            (StatusCode::PARTIAL_CONTENT, Some(of), bytes.slice(first..=last))
        }
        Asked::Nowhere => (StatusCode::RANGE_NOT_SATISFIABLE, Some(format!("bytes */{len}")), Bytes::new()),
    };
    let mut response = (status, Body::from(body)).into_response();
    response.headers_mut().insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if let Some(value) = content_range.and_then(|text| HeaderValue::try_from(text).ok()) {
        response.headers_mut().insert(header::CONTENT_RANGE, value);
    }
    response
}

/// A file's type and name, and that a browser executes nothing of it.
pub(crate) fn described(headers: &mut HeaderMap, mime_type: &str, name: Option<&str>) {
    secured(headers);
    let value = HeaderValue::from_str(mime_type);
    headers.insert(header::CONTENT_TYPE, value.unwrap_or(HeaderValue::from_static("application/octet-stream")));
    let how = if is_shown(mime_type) { "inline" } else { "attachment" };
    let disposition = match name {
        Some(name) => format!("{how}; filename=\"{}\"; filename*=UTF-8''{}", plain(name), encoded(name)),
        None => how.to_owned(),
    };
    if let Ok(value) = HeaderValue::try_from(disposition) {
        headers.insert(header::CONTENT_DISPOSITION, value);
    }
    if how == "attachment" {
        headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; sandbox"));
    }
}

/// What a browser shows without executing anything of it. Everything else could be a page with a script, on the address at
/// which operators have their own page.
fn is_shown(mime_type: &str) -> bool {
    let bare = mime_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let pictures = ["image/jpeg", "image/png", "image/webp", "image/gif"];
    let others = ["application/pdf", "text/plain"];
    bare.starts_with("audio/")
        || bare.starts_with("video/")
        || pictures.contains(&bare.as_str())
        || others.contains(&bare.as_str())
}

/// For clients that know nothing of the encoded form.
fn plain(name: &str) -> String {
    let kept = |c: char| if c.is_ascii_graphic() && !matches!(c, '"' | '\\' | '/') || c == ' ' { c } else { '_' };
    name.chars().map(kept).collect()
}

/// RFC 8187: everything but letters, digits and a few marks as bytes in hexadecimal.
fn encoded(name: &str) -> String {
    use std::fmt::Write;
    name.bytes().fold(String::new(), |mut text, byte| {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_') {
            text.push(char::from(byte));
        } else {
            // Writing into a string cannot fail.
            let _ = write!(text, "%{byte:02X}");
        }
        text
    })
}

/// No type but the one that is said, no address that tells where it was found, and no search engine.
fn secured(headers: &mut HeaderMap) {
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(HeaderName::from_static("x-robots-tag"), HeaderValue::from_static("noindex"));
}

/// A customer reads it, on a telephone: a sentence, and no problem in JSON.
fn said(status: StatusCode, words: &'static str) -> Response {
    let mut response = (status, words).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    secured(response.headers_mut());
    response
}

fn wait(status: StatusCode, seconds: u64) -> Response {
    let mut response = said(status, "Please try again in a moment.");
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    response
}
