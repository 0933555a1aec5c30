//! An event's data as JSON text, which is all that the host keeps.
//!
//! JSON stays as it was written. Text of another type becomes a JSON string. What is no text becomes a string of base64.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::value::RawValue;

use crate::ingress::{
    problem::{Problem, excerpt},
    request::is_json,
};

/// Data that stood in a JSON event as `data`.
pub(super) fn from_json(media_type: Option<&str>, raw: &RawValue, depth_max: usize) -> Result<Arc<str>, Problem> {
    let text = raw.get();
    if !media_type.is_none_or(is_json) && !text.starts_with('"') && text != "null" {
        let detail =
            format!("`datacontenttype` is `{}`, and `data` is no string", excerpt(media_type.unwrap_or_default()));
        return Err(Problem::bad_field("data", detail)
            .fix("make `data` a string, send bytes as `data_base64`, or correct `datacontenttype`"));
    }
    check_depth(text, depth_max)?;
    Ok(Arc::from(text))
}

/// Data that stood in a JSON event as `data_base64`.
pub(super) fn from_base64(media_type: Option<&str>, base64: &str, depth_max: usize) -> Result<Arc<str>, Problem> {
    let bytes = STANDARD.decode(base64).map_err(|error| {
        Problem::bad_field("data_base64", format!("it is no base64: {error}"))
            .fix("use the alphabet with + and /, padded with =")
    })?;
    // Without a content type nothing says that these bytes are anything but bytes.
    from_bytes(media_type.unwrap_or("application/octet-stream"), &bytes, depth_max).map_err(|error| match error {
        Broken::Json(error) => Problem::bad_json(&error).field("data_base64"),
        Broken::Problem(problem) => problem,
    })
}

/// Data that were the body of a request.
pub(super) fn from_body(media_type: Option<&str>, body: &[u8], depth_max: usize) -> Result<Arc<str>, Problem> {
    from_bytes(media_type.unwrap_or("application/json"), body, depth_max).map_err(|error| match (error, media_type) {
        (Broken::Json(error), Some(_)) => Problem::bad_json(&error),
        (Broken::Json(_), None) => {
            Problem::bad_field("content-type", "there is no content type, and the body is no JSON")
                .fix("say what the body is with a `Content-Type` header")
        }
        (Broken::Problem(problem), _) => problem,
    })
}

enum Broken {
    Json(serde_json::Error),
    Problem(Problem),
}

fn from_bytes(media_type: &str, bytes: &[u8], depth_max: usize) -> Result<Arc<str>, Broken> {
    if bytes.is_empty() {
        return Ok(Arc::from("null"));
    }
    if is_json(media_type) {
        if !is_utf8(media_type) {
            let detail = format!("`{}` is not in UTF-8", excerpt(media_type));
            return Err(Broken::Problem(Problem::bad_content_type(detail).fix("send UTF-8")));
        }
        let raw: &RawValue = serde_json::from_slice(bytes).map_err(Broken::Json)?;
        check_depth(raw.get(), depth_max).map_err(Broken::Problem)?;
        return Ok(Arc::from(raw.get()));
    }
    let quoted = match std::str::from_utf8(bytes) {
        Ok(text) if is_text(media_type) && is_utf8(media_type) => serde_json::to_string(text),
        _ => serde_json::to_string(&STANDARD.encode(bytes)),
    };
    quoted.map(Arc::from).map_err(Broken::Json)
}

/// Media types whose bytes are meant to be read.
fn is_text(media_type: &str) -> bool {
    let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence.starts_with("text/")
        || essence.ends_with("+xml")
        || matches!(essence.as_str(), "application/xml" | "application/x-www-form-urlencoded" | "application/yaml")
}

/// Whether a media type's `charset` is absent or one that UTF-8 covers.
pub(super) fn is_utf8(media_type: &str) -> bool {
    media_type.split(';').skip(1).all(|parameter| match parameter.split_once('=') {
        Some((name, value)) if name.trim().eq_ignore_ascii_case("charset") => {
            let value = value.trim().trim_matches('"');
            ["utf-8", "utf8", "us-ascii"].iter().any(|known| value.eq_ignore_ascii_case(known))
        }
        _ => true,
    })
}

/// Raw JSON is gone through without recursion, so its depth was not bounded yet; what a plugin parses it with may recurse.
fn check_depth(json: &str, depth_max: usize) -> Result<(), Problem> {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'{' | b'[' => {
                depth += 1;
                if depth > depth_max {
                    let detail = format!("the data are nested more than {depth_max} deep");
                    return Err(Problem::bad_field("data", detail).fix("flatten them"));
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(())
}
