//! The templates of a business account, as Meta lists them: page by page.

use reqwest::header::{AUTHORIZATION, HeaderValue};
use serde::Deserialize;
use serde_json::Value;

use crate::channel::{
    MetaSettings,
    exchange::{Broken, exchange},
    failure::shortened,
    templates::Approved,
};

/// What Meta is asked for.
const FIELDS: &str = "name,language,status,category,components,message_send_ttl_seconds";
/// Rows of a page, of the few that answers may be long.
const PAGE_ROWS: &str = "100";
/// An account has 250 templates, in up to some seventy languages each: more pages than that are no list of Meta's.
const PAGES_MAX: usize = 200;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("Meta cannot be reached: {0}")]
    Unreachable(String),
    #[error("Meta refuses ({status}): {words}")]
    Refused { status: u16, words: String },
    #[error("Meta answered {status} with something that is no list of templates")]
    Unreadable { status: u16 },
    #[error("Meta's list of templates does not end")]
    Endless,
    #[error("access-token holds characters that no HTTP header can carry")]
    Token,
}

#[derive(Deserialize)]
struct Page {
    data: Vec<Value>,
    #[serde(default)]
    paging: Paging,
}

#[derive(Default, Deserialize)]
struct Paging {
    #[serde(default)]
    cursors: Cursors,
    /// The address of the next page; only that there is one is believed, and its cursor is asked for where we ask.
    #[serde(default)]
    next: Option<String>,
}

#[derive(Default, Deserialize)]
struct Cursors {
    #[serde(default)]
    after: Option<String>,
}

/// All of them. A row that cannot be read is left out, so that one of a new kind does not hide the others.
pub async fn list(settings: &MetaSettings, http: &reqwest::Client) -> Result<Vec<Approved>, Error> {
    let base = settings.base_url.trim_end_matches('/');
    let url = format!("{base}/{}/{}/message_templates", settings.version, settings.waba_id);
    let mut authorization =
        HeaderValue::try_from(format!("Bearer {}", settings.access_token.reveal())).map_err(|_| Error::Token)?;
    authorization.set_sensitive(true);
    let mut all = Vec::new();
    let mut after: Option<String> = None;
    for _ in 0..PAGES_MAX {
        let mut request = http.get(&url).query(&[("fields", FIELDS), ("limit", PAGE_ROWS)]);
        if let Some(after) = &after {
            request = request.query(&[("after", after)]);
        }
        let page = page(request.header(AUTHORIZATION, authorization.clone())).await?;
        all.extend(page.data.iter().filter_map(|row| Approved::deserialize(row).ok()));
        match (page.paging.next, page.paging.cursors.after) {
            (Some(_), Some(cursor)) if after.as_ref() != Some(&cursor) => after = Some(cursor),
            _ => return Ok(all),
        }
    }
    Err(Error::Endless)
}

async fn page(request: reqwest::RequestBuilder) -> Result<Page, Error> {
    let reply = exchange(request).await.map_err(|broken| {
        let (Broken::NotSent(reason) | Broken::Lost(reason)) = broken;
        Error::Unreachable(reason)
    })?;
    let status = reply.status.as_u16();
    let body: Value = reply.body.and_then(|body| serde_json::from_slice(&body).ok()).unwrap_or(Value::Null);
    if reply.status.is_success() {
        return Page::deserialize(body).map_err(|_| Error::Unreadable { status });
    }
    let words = ["/error/error_data/details", "/error/message"];
    let words = words.iter().find_map(|pointer| body.pointer(pointer).and_then(Value::as_str));
    Err(Error::Refused { status, words: shortened(words.unwrap_or("it gives no reason")) })
}
