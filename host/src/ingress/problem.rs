//! What went wrong, told so that the caller can mend it: RFC 9457 with the field and the fix.
//!
//! Our own failures are logged under an id, and the caller learns that id only: a path or an SQL text is nobody's business.

use std::borrow::Cow;

use axum::{
    Router,
    body::Body,
    http::{HeaderValue, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

use crate::{rules::Refusal, store};

/// A refused request. Built by the constructors below, completed by the methods that name the field and the fix.
///
/// Boxed, because nearly every function of the entrance may return one and nearly none does.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct Problem(Box<Facts>);

#[derive(Debug, Serialize)]
struct Facts {
    /// Stable, relative to the host: clients may compare it.
    #[serde(rename = "type")]
    kind: Cow<'static, str>,
    title: &'static str,
    #[serde(serialize_with = "status_number")]
    status: StatusCode,
    detail: Cow<'static, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<Cow<'static, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fix: Option<Cow<'static, str>>,
    /// Position in a batch, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<usize>,
    /// Under which our own failure is in the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip)]
    header: Option<(header::HeaderName, HeaderValue)>,
}

/// When to try again after the store could not be used: it may have passed by then, and a second is no storm.
const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("1");
/// Somebody has to mend it first.
const RETRY_AFTER_MENDED_SECONDS: HeaderValue = HeaderValue::from_static("60");

impl Problem {
    fn new(
        status: StatusCode,
        kind: &'static str,
        title: &'static str,
        detail: impl Into<Cow<'static, str>>,
    ) -> Problem {
        Problem(Box::new(Facts {
            kind: Cow::Borrowed(kind),
            title,
            status,
            detail: detail.into(),
            field: None,
            fix: None,
            index: None,
            line: None,
            column: None,
            id: None,
            header: None,
        }))
    }

    /// Something in the request is missing or wrong.
    pub fn bad_field(field: impl Into<Cow<'static, str>>, detail: impl Into<Cow<'static, str>>) -> Problem {
        Problem::new(StatusCode::BAD_REQUEST, "/problems/bad-field", "A field is missing or wrong", detail).field(field)
    }

    /// The body is not JSON, or not of the shape that is asked for.
    pub fn bad_json(error: &serde_json::Error) -> Problem {
        // serde_json ends its text with the place, which has members of its own here.
        let text = error.to_string();
        let text = text.split(" at line ").next().unwrap_or_default().to_owned();
        let mut problem = Problem::new(StatusCode::BAD_REQUEST, "/problems/bad-json", "The JSON cannot be read", text);
        if error.line() > 0 {
            (problem.0.line, problem.0.column) = (Some(error.line()), Some(error.column()));
        }
        problem
    }

    pub fn bad_content_type(detail: impl Into<Cow<'static, str>>) -> Problem {
        Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "/problems/bad-content-type",
            "The content type is not taken here",
            detail,
        )
        .field("content-type")
    }

    pub fn too_large(what: &str, bytes_max: usize) -> Problem {
        let detail = format!("{what} has more than {bytes_max} bytes, which is the most that is taken");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "/problems/too-large", "It is too large", detail)
    }

    pub fn too_slow() -> Problem {
        Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            "/problems/too-slow",
            "The body came too slowly",
            "the body was not complete before its deadline; nothing was accepted",
        )
    }

    pub fn cut_short() -> Problem {
        Problem::new(
            StatusCode::BAD_REQUEST,
            "/problems/cut-short",
            "The body is incomplete",
            "the connection failed before all of the body was there; nothing was accepted",
        )
    }

    pub fn unauthorized(detail: impl Into<Cow<'static, str>>) -> Problem {
        let mut problem =
            Problem::new(StatusCode::UNAUTHORIZED, "/problems/unauthorized", "An API key is needed", detail)
                .field("authorization")
                .fix("send `Authorization: Bearer KEY` with a key of the configuration's [[ingress.keys]]");
        problem.0.header = Some((header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"relais\"")));
        problem
    }

    pub fn forbidden(detail: impl Into<Cow<'static, str>>) -> Problem {
        Problem::new(StatusCode::FORBIDDEN, "/problems/forbidden", "It is not allowed", detail)
    }

    pub fn not_found(detail: impl Into<Cow<'static, str>>) -> Problem {
        Problem::new(StatusCode::NOT_FOUND, "/problems/not-found", "There is no such thing", detail)
    }

    pub fn conflict(detail: impl Into<Cow<'static, str>>) -> Problem {
        Problem::new(StatusCode::CONFLICT, "/problems/conflict", "It does not fit how things stand", detail)
    }

    /// A tenant brings more than its part. The type ends with which bound it met.
    pub fn too_many(bound: &'static str, detail: impl Into<Cow<'static, str>>, retry_after_s: u64) -> Problem {
        let mut problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "", "It is too much at once", detail);
        problem.0.kind = Cow::Owned(format!("/problems/too-many/{bound}"));
        problem.0.header = Some((header::RETRY_AFTER, HeaderValue::from(retry_after_s)));
        problem
    }

    /// A message that the rules do not let through. The type ends with the refusal's code.
    pub fn refused(refusal: &Refusal) -> Problem {
        let mut problem = Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "",
            "The rules do not let this message through",
            refusal.to_string(),
        );
        problem.0.kind = Cow::Owned(format!("/problems/refused/{}", refusal.code()));
        problem
    }

    /// Our own failure: logged in full, answered with its id.
    pub fn internal(error: &dyn std::error::Error) -> Problem {
        let id = failure_id();
        tracing::error!(failure = %id, error = %chain(error), "a request failed through our own fault");
        Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "/problems/internal",
            "It failed through no fault of yours",
            "the host could not do it; the operator finds the cause in the log under this id",
        )
        .id(id)
    }

    #[must_use]
    pub fn field(mut self, field: impl Into<Cow<'static, str>>) -> Problem {
        self.0.field = Some(field.into());
        self
    }

    #[must_use]
    pub fn fix(mut self, fix: impl Into<Cow<'static, str>>) -> Problem {
        self.0.fix = Some(fix.into());
        self
    }

    #[must_use]
    pub fn at_index(mut self, index: usize) -> Problem {
        self.0.index = Some(index);
        self
    }

    fn id(mut self, id: String) -> Problem {
        self.0.id = Some(id);
        self
    }

    /// Whether the rules say no, and nothing is wrong with the request.
    pub fn is_refusal(&self) -> bool {
        self.0.status == StatusCode::UNPROCESSABLE_ENTITY
    }

    pub fn status(&self) -> StatusCode {
        self.0.status
    }
}

impl From<store::Error> for Problem {
    fn from(error: store::Error) -> Problem {
        match error {
            store::Error::Unavailable { .. } | store::Error::Unusable { .. } | store::Error::Closed => {
                let retry_after = match error {
                    store::Error::Unusable { .. } => RETRY_AFTER_MENDED_SECONDS,
                    _ => RETRY_AFTER_SECONDS,
                };
                let id = failure_id();
                tracing::error!(failure = %id, %error, "the store could not be used for a request");
                let mut problem = Problem::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "/problems/unavailable",
                    "The store cannot be used now",
                    "nothing was accepted; send it again later, a repeat is recognised",
                )
                .id(id);
                problem.0.header = Some((header::RETRY_AFTER, retry_after));
                problem
            }
            store::Error::Corrupt(_) => Problem::internal(&error),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.0.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some((name, value)) = self.0.header {
            headers.insert(name, value);
        }
        response
    }
}

/// Answers what no route takes. Called once, on the router that everything was merged into.
pub fn with_fallbacks(router: Router) -> Router {
    router.fallback(no_route).method_not_allowed_fallback(no_method)
}

async fn no_route(uri: Uri) -> Problem {
    Problem::not_found(format!("there is nothing at `{}`", excerpt(uri.path()))).fix("/openapi.json lists every path")
}

async fn no_method(method: Method, uri: Uri) -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "/problems/method-not-allowed",
        "The path does not take this method",
        format!("`{}` does not take {}", excerpt(uri.path()), excerpt(method.as_str())),
    )
    .fix("the header `allow` lists the methods that it takes")
}

/// The beginning of a text that a caller sent: an answer repeats no more than is needed to recognise it.
pub fn excerpt(text: &str) -> &str {
    const BYTES_MAX: usize = 80;
    text.get(..text.floor_char_boundary(BYTES_MAX)).unwrap_or_default()
}

fn failure_id() -> String {
    let mut bytes = [0; 6];
    // Without randomness the id is all zeroes: it still leads to the log, only less exactly.
    let _ = getrandom::fill(&mut bytes);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

fn status_number<S: serde::Serializer>(status: &StatusCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u16(status.as_u16())
}
