//! `GET /openapi.json`: every path, shape and error of this host, as OpenAPI 3.1.

use axum::{
    http::header,
    response::{IntoResponse, Response},
};

pub(super) const TEXT: &str = include_str!("../../openapi.json");

pub(super) async fn show() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], TEXT).into_response()
}
