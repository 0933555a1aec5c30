//! One request to a provider and its answer, with the one distinction that matters kept: was it sent, or may it have been?

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode};

/// Answers of providers are a few hundred bytes; a megabyte is no answer of theirs.
const BODY_BYTES_MAX: usize = 1 << 20;

/// What came back.
#[derive(Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    /// Absent where it broke off or was too long. The status holds all the same.
    pub body: Option<Bytes>,
}

/// Why nothing came back.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// Proof that no byte of the request left: it could not be built, or there was no connection.
    #[error("not sent: {0}")]
    NotSent(String),
    /// Everything else. A connection that was closed or timed out after it was made may have carried the request.
    #[error("no answer: {0}")]
    Lost(String),
}

/// Makes the request, once.
pub async fn exchange(request: reqwest::RequestBuilder) -> Result<Reply, Broken> {
    let mut response = request.send().await.map_err(broken)?;
    let (status, headers) = (response.status(), std::mem::take(response.headers_mut()));
    let body = read(&mut response).await;
    Ok(Reply { status, headers, body })
}

/// `is_connect` is said of name, TCP, proxy and TLS errors only, before a request is written; `is_builder` before there is
/// one. A time-out that is not one of connecting is no proof: the total time may have run out at any point.
fn broken(error: reqwest::Error) -> Broken {
    let certain = error.is_connect() || error.is_builder();
    let words = words(error);
    if certain { Broken::NotSent(words) } else { Broken::Lost(words) }
}

/// The whole chain, because the outermost says little; without the URL, which may carry an account's id.
fn words(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

async fn read(response: &mut reqwest::Response) -> Option<Bytes> {
    let mut body = BytesMut::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() <= BODY_BYTES_MAX => body.extend_from_slice(&chunk),
            Ok(None) => return Some(body.freeze()),
            Ok(Some(_)) | Err(_) => return None,
        }
    }
}
