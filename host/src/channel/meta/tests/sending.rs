//! Sending to a listener that plays Meta, and to connections that break at each point.

use std::sync::{Arc, Mutex};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::{
    channel::{
        HttpSettings, MetaSettings, Outgoing, Provider, Rendition, http_client,
        meta::Meta,
        whatsapp::{Form, render},
    },
    domain::message::{Answer, Attachment, Content, MediaSource, Retry, SmsVerdict},
    ids::{AttemptToken, MessageId, TenantId},
    secret::Secret,
};

fn provider(base_url: String) -> Meta {
    let settings = MetaSettings { base_url, access_token: Secret::new("EAAtoken"), ..MetaSettings::sample() };
    let http = HttpSettings { timeout_ms: 300, connect_timeout_ms: 300, ..HttpSettings::default() };
    Meta::new(&settings, http_client(&http).unwrap()).unwrap()
}

pub(super) fn token() -> AttemptToken {
    AttemptToken { message: MessageId::of_request(&TenantId::default_tenant(), "k"), attempt: 1 }
}

pub(super) fn outgoing(content: &Content) -> Outgoing {
    Outgoing {
        token: token(),
        to: "+33639981201".to_owned(),
        body: Rendition::Whatsapp(render(content, Form::Free).unwrap()),
        quote: Some("wamid.QUOTED".to_owned()),
        expires: None,
        mime_type: None,
        instead: None,
        media_id: None,
    }
}

fn text() -> Outgoing {
    outgoing(&Content { text: Some("Votre commande 4821 est prête.".to_owned()), ..Content::default() })
}

/// What was posted: path, authorization and body.
pub(super) type Posts = Arc<Mutex<Vec<(String, String, Bytes)>>>;

/// Status, `Retry-After` and body of an answer.
pub(super) type Reply = (u16, Option<&'static str>, Value);

/// A listener that answers each post with the next of these.
pub(super) async fn playing(answers: Vec<Reply>) -> (Meta, Posts) {
    type Shared = (Posts, Arc<Mutex<std::vec::IntoIter<Reply>>>);
    async fn post(State((posts, answers)): State<Shared>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
        let authorization = headers["authorization"].to_str().unwrap().to_owned();
        posts.lock().unwrap().push((uri.path().to_owned(), authorization, body));
        let (status, retry_after, body) = answers.lock().unwrap().next().unwrap();
        let text = if body.is_null() { "gateway trouble".to_owned() } else { body.to_string() };
        let mut response = (StatusCode::from_u16(status).unwrap(), text).into_response();
        if let Some(seconds) = retry_after {
            response.headers_mut().insert("retry-after", seconds.parse().unwrap());
        }
        response
    }
    let posts = Posts::default();
    let shared: Shared = (posts.clone(), Arc::new(Mutex::new(answers.into_iter())));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(post).with_state(shared)).await });
    (provider(url), posts)
}

pub(super) fn taken() -> Value {
    json!({"messaging_product": "whatsapp", "contacts": [{"input": "+33639981201", "wa_id": "33639981201"}],
        "messages": [{"id": "wamid.NEW", "message_status": "accepted"}]})
}

async fn answered(status: u16, retry_after: Option<&'static str>, body: Value) -> Answer {
    let (meta, _) = playing(vec![(status, retry_after, body)]).await;
    meta.send(&text()).await
}

#[tokio::test]
async fn a_message_is_posted_with_its_token_and_taken() {
    let (meta, posts) = playing(vec![(200, None, taken())]).await;
    assert_eq!(meta.send(&text()).await, Answer::Accepted { provider_id: "wamid.NEW".to_owned() });
    let (path, authorization, body) = posts.lock().unwrap().remove(0);
    assert_eq!((path.as_str(), authorization.as_str()), ("/v25.0/109000000000001/messages", "Bearer EAAtoken"));
    let expected = json!({
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        "to": "+33639981201",
        "context": {"message_id": "wamid.QUOTED"},
        "type": "text",
        "text": {"preview_url": false, "body": "Votre commande 4821 est prête."},
        "biz_opaque_callback_data": token().to_string(),
    });
    assert_eq!(serde_json::from_slice::<Value>(&body).unwrap(), expected);
}

#[tokio::test]
async fn who_hides_the_number_is_named_as_recipient() {
    let (meta, posts) = playing(vec![(200, None, taken())]).await;
    meta.send(&Outgoing { to: "FR.13491208655302741918".to_owned(), ..text() }).await;
    let body: Value = serde_json::from_slice(&posts.lock().unwrap().remove(0).2).unwrap();
    assert_eq!((&body["recipient"], &body["to"]), (&json!("FR.13491208655302741918"), &Value::Null));
}

#[tokio::test]
async fn bytes_are_uploaded_first_and_sent_by_their_id() {
    let (meta, posts) = playing(vec![(200, None, json!({"id": "1310000000000001"})), (200, None, taken())]).await;
    let attachment = Attachment {
        source: MediaSource::Bytes("JVBERi0=".to_owned()),
        mime_type: "application/pdf".to_owned(),
        filename: Some("billet.pdf".to_owned()),
    };
    let content = Content { attachment: Some(attachment), ..Content::default() };
    let mut outgoing = outgoing(&content);
    let Rendition::Whatsapp(rendered) = &outgoing.body else { panic!() };
    outgoing.media_id = Some(meta.upload(rendered.upload.as_ref().unwrap(), 1).await.unwrap());
    assert!(matches!(meta.send(&outgoing).await, Answer::Accepted { .. }));
    let posts = posts.lock().unwrap();
    let upload = String::from_utf8_lossy(&posts[0].2);
    assert_eq!(posts[0].0, "/v25.0/109000000000001/media");
    assert!(
        upload.contains("%PDF-") && upload.contains("billet.pdf") && upload.contains("application/pdf"),
        "{upload}"
    );
    let sent: Value = serde_json::from_slice(&posts[1].2).unwrap();
    assert_eq!(sent["document"], json!({"id": "1310000000000001", "filename": "billet.pdf"}));
}

#[tokio::test]
async fn a_failed_upload_is_certain_whatever_failed() {
    let attachment = Attachment {
        source: MediaSource::Bytes("JVBERi0=".to_owned()),
        mime_type: "application/pdf".to_owned(),
        filename: None,
    };
    let content = Content { attachment: Some(attachment), ..Content::default() };
    for (status, body, code) in [
        (502, Value::Null, "media-problem"),
        (200, json!({}), "media-problem"),
        (401, json!({"error": {"code": 190}}), "account-problem"),
    ] {
        let (meta, posts) = playing(vec![(status, None, body)]).await;
        let outgoing = outgoing(&content);
        let Rendition::Whatsapp(rendered) = &outgoing.body else { panic!() };
        let failure = meta.upload(rendered.upload.as_ref().unwrap(), 1).await.unwrap_err();
        assert_eq!(failure.code, code);
        // Without its file the message does not go out either.
        let Answer::Failed(failure) = meta.send(&outgoing).await else { panic!() };
        assert_eq!(failure.code, "media-problem");
        assert_eq!(posts.lock().unwrap().len(), 1);
    }
}

#[tokio::test]
async fn an_error_object_is_a_refusal_with_its_reason() {
    let error = json!({"error": {
        "message": "(#131026) Message undeliverable", "type": "OAuthException", "code": 131026,
        "error_data": {"messaging_product": "whatsapp", "details": "Message Undeliverable."}, "fbtrace_id": "AbC",
    }});
    let Answer::Failed(failure) = answered(400, None, error).await else { panic!() };
    assert_eq!((failure.code.as_str(), failure.sms), ("not-on-whatsapp", SmsVerdict::Yes));
    assert_eq!(failure.detail.as_deref(), Some("Message Undeliverable. (trace AbC)"));
    // Even where it comes with 500: Meta says with it that the message was not taken.
    let Answer::Failed(failure) = answered(500, None, json!({"error": {"code": 131000}})).await else { panic!() };
    assert_eq!(failure.retry, Retry::Later { after_ms: 0 });
}

#[tokio::test]
async fn retry_after_is_honoured_with_and_without_a_code() {
    for body in [json!({"error": {"code": 130429}}), Value::Null, json!({"error": {"code": 999_999}})] {
        let Answer::Failed(failure) = answered(429, Some("17"), body).await else { panic!() };
        assert_eq!((failure.code.as_str(), failure.retry), ("rate-limited", Retry::Later { after_ms: 17_000 }));
    }
    let Answer::Failed(failure) = answered(503, Some("3"), Value::Null).await else { panic!() };
    assert_eq!((failure.code.as_str(), failure.retry), ("provider-down", Retry::Later { after_ms: 3_000 }));
}

#[tokio::test]
async fn a_status_alone_proves_only_what_it_says() {
    for status in [500, 502, 504] {
        assert!(matches!(answered(status, None, Value::Null).await, Answer::Unknown { .. }), "{status}");
    }
    for (status, code) in
        [(302, "account-problem"), (401, "account-problem"), (404, "account-problem"), (413, "bad-request")]
    {
        let Answer::Failed(failure) = answered(status, None, Value::Null).await else { panic!("{status}") };
        assert_eq!((failure.code.as_str(), failure.retry), (code, Retry::Never), "{status}");
    }
    for body in [Value::Null, json!({}), json!({"messages": []}), json!({"messages": [{"id": ""}]})] {
        assert!(matches!(answered(200, None, body.clone()).await, Answer::Unknown { .. }), "{body}");
    }
}

#[tokio::test]
async fn where_nobody_listens_nothing_was_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let Answer::Failed(failure) = provider(url).send(&text()).await else { panic!() };
    assert_eq!((failure.code.as_str(), failure.retry), ("provider-down", Retry::Later { after_ms: 0 }));
    assert!(!failure.detail.unwrap().contains("109000000000001"), "the URL is left out");
}

/// A listener that reads the request and then does `then` with the connection.
async fn breaking<F>(then: impl Fn(TcpStream) -> F + Send + 'static) -> Answer
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = vec![0; 4096];
            let _ = stream.read(&mut request).await;
            then(stream).await;
        }
    });
    provider(url).send(&text()).await
}

#[tokio::test]
async fn a_connection_that_closes_after_the_request_leaves_doubt() {
    let answer = breaking(|stream| async move { drop(stream) }).await;
    assert!(matches!(answer, Answer::Unknown { .. }), "{answer:?}");
}

#[tokio::test]
async fn an_answer_that_never_comes_leaves_doubt() {
    let answer = breaking(|stream| async move {
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    assert!(matches!(answer, Answer::Unknown { .. }), "{answer:?}");
}

#[tokio::test]
async fn an_answer_that_breaks_off_leaves_doubt() {
    let answer = breaking(|mut stream| async move {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{\"messages\":").await;
    })
    .await;
    assert!(matches!(answer, Answer::Unknown { .. }), "{answer:?}");
}
