//! What a provider is answered. It reads the status and little else, so the words are for whoever sets the webhook up.

use axum::{
    Json,
    extract::rejection::BytesRejection,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;

use crate::{
    channel::{ParseError, signature},
    store,
};

/// After a store that cannot be used: long enough for a disk or a lock to recover. Providers have schedules of their own.
const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("5");

/// Why a webhook was not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error(transparent)]
    Signature(#[from] signature::Refused),
    #[error("{0}")]
    Forbidden(&'static str),
    #[error("{0}")]
    NotFound(String),
    #[error(transparent)]
    Unreadable(#[from] ParseError),
    #[error("the body was not taken: {0}")]
    Body(#[from] BytesRejection),
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error("{0}")]
    Setup(&'static str),
    #[error("{0}")]
    Unsigned(String),
    #[error("{0}")]
    Later(String),
}

impl Refusal {
    fn status(&self) -> StatusCode {
        match self {
            Refusal::Signature(_) | Refusal::Unsigned(_) => StatusCode::UNAUTHORIZED,
            Refusal::Forbidden(_) => StatusCode::FORBIDDEN,
            Refusal::NotFound(_) => StatusCode::NOT_FOUND,
            Refusal::Unreadable(_) => StatusCode::BAD_REQUEST,
            Refusal::Body(rejection) => rejection.status(),
            Refusal::Store(store::Error::Unavailable { .. } | store::Error::Unusable { .. } | store::Error::Closed) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Refusal::Later(_) => StatusCode::SERVICE_UNAVAILABLE,
            Refusal::Store(store::Error::Corrupt(_)) | Refusal::Setup(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn kind_and_title(&self) -> (&'static str, &'static str) {
        match self {
            Refusal::Signature(_) | Refusal::Unsigned(_) => {
                ("/problems/bad-signature", "The webhook is not signed as it should be")
            }
            Refusal::Forbidden(_) => ("/problems/forbidden", "It is not allowed"),
            Refusal::NotFound(_) => ("/problems/not-found", "There is no such thing"),
            Refusal::Unreadable(_) => ("/problems/bad-webhook", "The webhook cannot be read"),
            Refusal::Body(_) => ("/problems/bad-body", "The body was not taken"),
            Refusal::Store(_) => ("/problems/store-unavailable", "It cannot be stored now"),
            Refusal::Later(_) => ("/problems/not-read", "It cannot be read now"),
            Refusal::Setup(_) => ("/problems/not-set-up", "The host is not set up for this"),
        }
    }

    /// Where the store's file lies is nobody's business outside.
    fn detail(&self) -> String {
        match self {
            Refusal::Store(_) => "nothing of this webhook was kept; send it again".to_owned(),
            Refusal::Later(_) => "nothing of this webhook was kept; send it again".to_owned(),
            other => other.to_string(),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = self.status();
        if status.is_server_error() {
            tracing::error!(status = status.as_u16(), "a webhook could not be taken: {self}");
        } else {
            tracing::warn!(status = status.as_u16(), "a webhook was refused: {self}");
        }
        let (kind, title) = self.kind_and_title();
        let body = json!({ "type": kind, "title": title, "status": status.as_u16(), "detail": self.detail() });
        let mut response = (status, Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, RETRY_AFTER_SECONDS);
        }
        response
    }
}
