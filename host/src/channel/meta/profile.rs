//! The business profile: what customers see of a number beside its name. Read and written by an operator, and by nothing else.

use reqwest::{
    RequestBuilder,
    header::{AUTHORIZATION, HeaderValue},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::channel::{
    MetaSettings,
    exchange::{Broken, exchange},
    failure::shortened,
};

/// What Meta is asked for; without this it tells nothing.
const FIELDS: &str = "about,address,description,email,profile_picture_url,vertical,websites";

/// What is absent is not set, and in a change stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Profile {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// The line of business, by Meta's word for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vertical: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub websites: Option<Vec<String>>,
    /// Where the picture is to be seen. A new one is uploaded in Meta's own manager.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile_picture_url: Option<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("Meta cannot be reached at {url}: {reason}")]
    Unreachable { url: String, reason: String },
    #[error("Meta refuses ({status}): {words}")]
    Refused { status: u16, words: String },
    #[error("Meta answered {status} with something that is no profile")]
    Unreadable { status: u16 },
    #[error("accounts.meta `{account}`: access-token holds characters that no HTTP header can carry")]
    Token { account: String },
}

/// The profile as it is.
pub async fn read(settings: &MetaSettings, http: &reqwest::Client) -> Result<Profile, Error> {
    let answer = ask(settings, http.get(url(settings)).query(&[("fields", FIELDS)])).await?;
    let (status, body) = answer;
    let first = body.pointer("/data/0").cloned().ok_or(Error::Unreadable { status })?;
    serde_json::from_value(first).map_err(|_| Error::Unreadable { status })
}

/// Changes what the profile names. How long a text may be is Meta's to say, and it does.
pub async fn write(settings: &MetaSettings, http: &reqwest::Client, profile: &Profile) -> Result<(), Error> {
    let mut body = match json!(profile) {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    // It is where the picture is shown, and no field that can be written.
    body.remove("profile_picture_url");
    body.insert("messaging_product".to_owned(), json!("whatsapp"));
    let (status, body) = ask(settings, http.post(url(settings)).json(&body)).await?;
    if body.get("success") == Some(&Value::Bool(true)) { Ok(()) } else { Err(Error::Unreadable { status }) }
}

fn url(settings: &MetaSettings) -> String {
    let base = settings.base_url.trim_end_matches('/');
    format!("{base}/{}/{}/whatsapp_business_profile", settings.version, settings.phone_number_id)
}

/// Status and JSON of an answer that is a success.
async fn ask(settings: &MetaSettings, request: RequestBuilder) -> Result<(u16, Value), Error> {
    let mut authorization = HeaderValue::try_from(format!("Bearer {}", settings.access_token.reveal()))
        .map_err(|_| Error::Token { account: settings.account.clone() })?;
    authorization.set_sensitive(true);
    let reply = exchange(request.header(AUTHORIZATION, authorization)).await.map_err(|broken| {
        let (Broken::NotSent(reason) | Broken::Lost(reason)) = broken;
        Error::Unreachable { url: settings.base_url.clone(), reason }
    })?;
    let status = reply.status.as_u16();
    let body: Value = reply.body.and_then(|body| serde_json::from_slice(&body).ok()).unwrap_or(Value::Null);
    if reply.status.is_success() {
        return Ok((status, body));
    }
    let said = ["/error/error_data/details", "/error/message"];
    let words = said.iter().find_map(|pointer| body.pointer(pointer).and_then(Value::as_str));
    let code = body.pointer("/error/code").and_then(Value::as_i64).map(|code| format!("{code}: ")).unwrap_or_default();
    Err(Error::Refused { status, words: format!("{code}{}", shortened(words.unwrap_or("it gives no reason"))) })
}
