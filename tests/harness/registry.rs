//! A registry as the OCI distribution specification has it, as far as packages are pushed and pulled: upload sessions, blobs by
//! digest, manifests by tag and digest, tokens. It keeps what it is given in memory, refuses what a real one refuses, and can
//! be told to send something wrong.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Request, State},
    http::{HeaderMap, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const TOKEN: &str = "a-token-of-the-tests";

/// What is wrong with what the registry sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// A byte of each blob.
    Bytes,
    /// Half of each blob, and then the connection ends.
    Half,
    /// More of each blob than there is.
    More,
    /// A byte of each manifest.
    Manifest,
}

#[derive(Default)]
struct Kept {
    blobs: HashMap<String, Bytes>,
    /// By repository and reference: what kind, and the text.
    manifests: HashMap<(String, String), (String, Bytes)>,
    uploads: HashMap<String, Vec<u8>>,
    wrong: Option<Wrong>,
}

pub(crate) struct Registry {
    /// Host and port, as references begin.
    pub(crate) name: String,
    /// User and password, where it wants to know who comes.
    account: Option<(&'static str, &'static str)>,
    kept: Mutex<Kept>,
}

pub(crate) fn digest(bytes: &[u8]) -> String {
    let digest: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{digest}")
}

impl Registry {
    pub(crate) async fn start(account: Option<(&'static str, &'static str)>) -> Arc<Registry> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let name = listener.local_addr().unwrap().to_string();
        let registry = Arc::new(Registry { name, account, kept: Mutex::default() });
        let router = Router::new().fallback(answer).with_state(registry.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        registry
    }

    pub(crate) fn go_wrong(&self, wrong: Option<Wrong>) {
        self.kept.lock().unwrap().wrong = wrong;
    }

    /// A manifest by its reference.
    pub(crate) fn manifest(&self, repository: &str, reference: &str) -> Value {
        let kept = self.kept.lock().unwrap();
        let key = (repository.to_owned(), reference.to_owned());
        serde_json::from_slice(&kept.manifests.get(&key).unwrap_or_else(|| panic!("no {key:?}")).1).unwrap()
    }

    pub(crate) fn blob(&self, digest: &str) -> Bytes {
        self.kept.lock().unwrap().blobs[digest].clone()
    }

    /// Puts a manifest there as a publisher of ill will would; its digest.
    pub(crate) fn plant_manifest(&self, repository: &str, reference: &str, manifest: &Value) -> String {
        let body = Bytes::from(serde_json::to_vec(manifest).unwrap());
        let (digest, kind) = (digest(&body), manifest["mediaType"].as_str().unwrap().to_owned());
        let mut kept = self.kept.lock().unwrap();
        for reference in [reference, &digest] {
            kept.manifests.insert((repository.to_owned(), reference.to_owned()), (kind.clone(), body.clone()));
        }
        digest
    }

    pub(crate) fn plant_blob(&self, bytes: &[u8]) -> Value {
        let digest = digest(bytes);
        self.kept.lock().unwrap().blobs.insert(digest.clone(), Bytes::copy_from_slice(bytes));
        json!({ "mediaType": "application/octet-stream", "digest": digest, "size": bytes.len() })
    }

    fn token(&self, headers: &HeaderMap) -> Response {
        let (user, password) = self.account.unwrap_or_default();
        let wanted = format!("Basic {}", BASE64.encode(format!("{user}:{password}")));
        match headers.get(header::AUTHORIZATION) {
            Some(given) if given.as_bytes() == wanted.as_bytes() => {
                axum::Json(json!({ "token": TOKEN })).into_response()
            }
            _ => refuse(StatusCode::UNAUTHORIZED, "UNAUTHORIZED"),
        }
    }

    fn challenge(&self) -> Response {
        let mut response = refuse(StatusCode::UNAUTHORIZED, "UNAUTHORIZED");
        let challenge = format!("Bearer realm=\"http://{}/token\",service=\"tests\"", self.name);
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge.parse().unwrap());
        response
    }

    fn put_manifest(&self, repository: &str, reference: &str, headers: &HeaderMap, body: Bytes) -> Response {
        let manifest: Value = serde_json::from_slice(&body).unwrap();
        let mut kept = self.kept.lock().unwrap();
        let named = manifest["layers"].as_array().unwrap().iter().chain([&manifest["config"]]);
        if named.into_iter().any(|named| !kept.blobs.contains_key(named["digest"].as_str().unwrap())) {
            return refuse(StatusCode::BAD_REQUEST, "MANIFEST_BLOB_UNKNOWN");
        }
        let kind = headers[header::CONTENT_TYPE].to_str().unwrap().to_owned();
        let digest = digest(&body);
        for reference in [reference, &digest] {
            kept.manifests.insert((repository.to_owned(), reference.to_owned()), (kind.clone(), body.clone()));
        }
        (StatusCode::CREATED, [(header::LOCATION, format!("/v2/{repository}/manifests/{digest}"))]).into_response()
    }

    fn get_manifest(&self, repository: &str, reference: &str) -> Response {
        let kept = self.kept.lock().unwrap();
        let Some((kind, body)) = kept.manifests.get(&(repository.to_owned(), reference.to_owned())) else {
            return refuse(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN");
        };
        let promised = digest(body);
        let mut body = body.to_vec();
        if kept.wrong == Some(Wrong::Manifest) {
            // It stays JSON.
            body.push(b' ');
        }
        let headers = [(header::CONTENT_TYPE, kind.clone()), ("Docker-Content-Digest".parse().unwrap(), promised)];
        (headers, body).into_response()
    }

    fn get_blob(&self, digest: &str) -> Response {
        let kept = self.kept.lock().unwrap();
        let Some(blob) = kept.blobs.get(digest) else { return refuse(StatusCode::NOT_FOUND, "BLOB_UNKNOWN") };
        let mut bytes = blob.to_vec();
        match kept.wrong {
            Some(Wrong::Bytes) => bytes[0] ^= 1,
            Some(Wrong::More) => bytes.extend_from_slice(blob),
            Some(Wrong::Half) => {
                let half = blob.slice(..blob.len() / 2);
                let body = Body::from_stream(futures_util::stream::iter([Ok::<_, std::io::Error>(half)]));
                return ([(header::CONTENT_LENGTH, blob.len().to_string())], body).into_response();
            }
            _ => {}
        }
        bytes.into_response()
    }

    fn upload(&self, method: &Method, repository: &str, id: &str, query: &str, body: &[u8]) -> Response {
        let mut kept = self.kept.lock().unwrap();
        let place = |id: &str| [(header::LOCATION, format!("/v2/{repository}/blobs/uploads/{id}"))];
        if *method == Method::POST {
            let id = kept.uploads.len().to_string();
            kept.uploads.insert(id.clone(), Vec::new());
            return (StatusCode::ACCEPTED, place(&id)).into_response();
        }
        let Some(begun) = kept.uploads.get_mut(id) else { return refuse(StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN") };
        begun.extend_from_slice(body);
        if *method == Method::PATCH {
            return (StatusCode::ACCEPTED, place(id)).into_response();
        }
        let found = digest(begun);
        if !query.replace("%3A", ":").contains(&format!("digest={found}")) {
            return refuse(StatusCode::BAD_REQUEST, "DIGEST_INVALID");
        }
        let blob = Bytes::from(std::mem::take(begun));
        kept.blobs.insert(found.clone(), blob);
        (StatusCode::CREATED, [(header::LOCATION, format!("/v2/{repository}/blobs/{found}"))]).into_response()
    }
}

fn refuse(status: StatusCode, code: &str) -> Response {
    (status, axum::Json(json!({ "errors": [{ "code": code, "message": code }] }))).into_response()
}

async fn answer(State(registry): State<Arc<Registry>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 64 << 20).await.unwrap();
    let path = head.uri.path();
    if path == "/token" {
        return registry.token(&head.headers);
    }
    let known = head.headers.get(header::AUTHORIZATION).is_some_and(|given| given == &format!("Bearer {TOKEN}"));
    if registry.account.is_some() && !known {
        return registry.challenge();
    }
    let Some(rest) = path.strip_prefix("/v2/") else { return refuse(StatusCode::NOT_FOUND, "UNSUPPORTED") };
    if rest.is_empty() {
        return StatusCode::OK.into_response();
    }
    let query = head.uri.query().unwrap_or_default();
    if let Some((repository, id)) = rest.split_once("/blobs/uploads/") {
        return registry.upload(&head.method, repository, id, query, &body);
    }
    match (head.method, rest.split_once("/manifests/"), rest.split_once("/blobs/")) {
        (Method::PUT, Some((repository, reference)), _) => {
            registry.put_manifest(repository, reference, &head.headers, body)
        }
        (Method::GET, Some((repository, reference)), _) => registry.get_manifest(repository, reference),
        (Method::GET, _, Some((_, digest))) => registry.get_blob(digest),
        _ => refuse(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED"),
    }
}
