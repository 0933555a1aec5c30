//! Reading what a request brings: its body within a limit, its query without surprises, its path.

use axum::{
    extract::{FromRequestParts, Path},
    http::{HeaderMap, Uri, header, request::Parts},
};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;

use super::{listen::TooSlow, problem::Problem};
use crate::domain::text::nul_in;

/// All of a body, at most `bytes_max` of it. A body that came in one piece is not copied.
pub async fn read_body(
    headers: &HeaderMap,
    mut body: axum::body::Body,
    what: &str,
    bytes_max: usize,
) -> Result<Bytes, Problem> {
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    // Refused by its announcement, it is never read.
    if announced.is_some_and(|bytes| bytes > bytes_max as u64) {
        return Err(Problem::too_large(what, bytes_max));
    }
    let mut first = Bytes::new();
    let mut all: Option<BytesMut> = None;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|error| broken(&error))?.into_data() else { continue };
        if first.len().max(all.as_ref().map_or(0, BytesMut::len)) + data.len() > bytes_max {
            return Err(Problem::too_large(what, bytes_max));
        }
        match &mut all {
            Some(all) => all.extend_from_slice(&data),
            None if first.is_empty() => first = data,
            None => {
                let mut joined = BytesMut::with_capacity(first.len() + data.len());
                joined.extend_from_slice(&first);
                joined.extend_from_slice(&data);
                all = Some(joined);
            }
        }
    }
    Ok(all.map_or(first, BytesMut::freeze))
}

fn broken(error: &axum::Error) -> Problem {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.is::<TooSlow>() {
            return Problem::too_slow();
        }
        cause = error.source();
    }
    Problem::cut_short()
}

/// A JSON body of a type of ours.
pub async fn read_json<T: DeserializeOwned>(
    headers: &HeaderMap,
    body: axum::body::Body,
    bytes_max: usize,
) -> Result<T, Problem> {
    if !is_json(content_type(headers)) {
        return Err(Problem::bad_content_type("the body has to be JSON").fix("send `Content-Type: application/json`"));
    }
    let body = read_body(headers, body, "the body", bytes_max).await?;
    serde_json::from_slice(&body).map_err(|error| Problem::bad_json(&error))
}

/// The content type as it was sent; empty where there is none.
pub fn content_type(headers: &HeaderMap) -> &str {
    headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// Whether a media type is JSON: `application/json`, `text/json`, or anything with `+json`.
pub fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    let subtype = essence.split_once('/').map_or("", |(_, subtype)| subtype);
    subtype.eq_ignore_ascii_case("json")
        || subtype.get(subtype.len().saturating_sub(5)..).is_some_and(|end| end.eq_ignore_ascii_case("+json"))
}

/// One value of the query.
pub fn query_value(uri: &Uri, name: &str) -> Option<String> {
    let query = uri.query()?;
    url::form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

/// The query, of which every name has to be known: a misspelt filter would otherwise list everything.
pub struct Query<'a> {
    pairs: Vec<(std::borrow::Cow<'a, str>, std::borrow::Cow<'a, str>)>,
}

impl<'a> Query<'a> {
    pub fn of(uri: &'a Uri, known: &[&str]) -> Result<Query<'a>, Problem> {
        let pairs: Vec<_> = url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).collect();
        for (name, _) in &pairs {
            if !known.contains(&name.as_ref()) && name != "access_token" {
                let name = super::problem::excerpt(name).to_owned();
                let detail = format!("the query has `{name}`, which is not known here");
                let fix = if known.is_empty() {
                    "leave the query out".to_owned()
                } else {
                    format!("known are: {}", known.join(", "))
                };
                return Err(Problem::bad_field(name, detail).fix(fix));
            }
        }
        for (name, value) in &pairs {
            plain(name, value)?;
        }
        Ok(Query { pairs })
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_ref())
    }

    /// A value that has to be read; `expected` says what it should be.
    pub fn parse<T>(
        &self,
        name: &'static str,
        expected: &str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, Problem> {
        let Some(text) = self.get(name) else { return Ok(None) };
        match read(text) {
            Some(value) => Ok(Some(value)),
            None => Err(Problem::bad_field(name, format!("`{}` is no {name}", super::problem::excerpt(text)))
                .fix(format!("give {expected}"))),
        }
    }
}

/// A text that is kept as it is, or that the store is asked for.
pub fn plain(field: &str, text: &str) -> Result<(), Problem> {
    match nul_in(field, text) {
        None => Ok(()),
        Some(why) => Err(Problem::bad_field(field.to_owned(), why).fix("leave the character out")),
    }
}

/// What a path names, refused as a problem where it cannot be read.
pub struct At<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for At<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        if parts.uri.path().contains("%00") {
            return Err(Problem::bad_field("path", "the path contains U+0000, which no name does").fix("leave it out"));
        }
        match Path::<T>::from_request_parts(parts, state).await {
            Ok(Path(value)) => Ok(At(value)),
            Err(rejection) => Err(Problem::bad_field("path", rejection.body_text())
                .fix("percent-encode names in the path as UTF-8; ids are a letter with 26 letters and digits")),
        }
    }
}
