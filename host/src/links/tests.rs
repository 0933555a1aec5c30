//! Links against a real store: what is behind one, and when there is nothing any more.

use axum::{body::Body, http::Request, response::Response};
use http_body_util::BodyExt;
use tower::ServiceExt;

use super::*;
use crate::{
    clock::{Clock, StandingClock},
    domain::{
        content::Sticker,
        message::{Attachment, Because, Recipient, SmsPolicy},
        purpose::Purpose,
    },
    ids::CustomerId,
    store::{self, CustomerProfile, Store, sqlite::SqliteStore},
};

const DAY: Duration = Duration::from_secs(24 * 3600);
const SECRET: [u8; 32] = [7; 32];

struct Scene {
    links: Links,
    served: Arc<Served>,
    store: Arc<SqliteStore>,
    clock: Arc<StandingClock>,
    _folder: tempfile::TempDir,
    _inlets: store::handover::Inlets,
}

fn scene(settings: &Settings) -> Scene {
    let folder = tempfile::tempdir().unwrap();
    let (handover, inlets) = store::handover::handover(100, 100);
    let start = Timestamp::parse("2026-01-15T10:30:00Z").unwrap();
    let clock = Arc::new(StandingClock::at(start));
    let at = folder.path().join("store");
    let store = Arc::new(SqliteStore::open(&at, store::Settings::default(), handover, start).unwrap());
    let links = Links::new("https://relais.example/", &SECRET, settings.lasts(90));
    let tenants = vec![TenantId::from("other"), TenantId::default_tenant()];
    let served = Served::new(Some(links.clone()), settings, tenants, store.clone(), clock.clone());
    Scene { links, served: Arc::new(served), store, clock, _folder: folder, _inlets: inlets }
}

fn message(key: &str, content: Content, now: Timestamp) -> NewMessage {
    let tenant = TenantId::default_tenant();
    NewMessage {
        id: MessageId::of_request(&tenant, key),
        tenant,
        author: None,
        to: Recipient::Customer(CustomerId::from("paul")),
        purpose: Purpose::Confirmation,
        because: Because::Reference("order/4821".to_owned()),
        content,
        sms: SmsPolicy::Fallback,
        fallback_after: None,
        expires: None,
        dedup_key: None,
        tag: None,
        quote: None,
        created: now,
    }
}

fn attached(source: MediaSource, mime_type: &str, filename: &str) -> Content {
    let attachment = Attachment { source, mime_type: mime_type.to_owned(), filename: Some(filename.to_owned()) };
    Content { attachment: Some(attachment), ..Content::default() }
}

/// `0123456789` as a PDF, to be seen in pieces.
fn ticket() -> Content {
    attached(MediaSource::Bytes("MDEyMzQ1Njc4OQ==".to_owned()), "application/pdf", "billet n° 12.pdf")
}

impl Scene {
    /// The path of the link to a message with this content.
    async fn linked(&self, key: &str, content: Content) -> String {
        let message = message(key, content, self.clock.now());
        let url = self.links.url(&message);
        assert!(self.store.accept_message(message).await.unwrap());
        url.strip_prefix("https://relais.example").unwrap().to_owned()
    }

    async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Response {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        router(self.served.clone()).oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
    }

    fn pass(&self, time: Duration) {
        assert!(self.clock.advance_to(self.clock.now().plus(time)));
    }

    async fn status(&self, path: &str) -> u16 {
        self.ask("GET", path, &[]).await.status().as_u16()
    }
}

async fn text(response: Response) -> String {
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

#[tokio::test]
async fn a_file_comes_with_its_type_and_name_and_for_no_longer_than_it_lasts() {
    let scene = scene(&Settings::default());
    let path = scene.linked("k", ticket()).await;
    assert_eq!(path.len(), "/m/".len() + 43);
    let whole = scene.ask("GET", &path, &[]).await;
    assert_eq!((whole.status().as_u16(), header(&whole, "content-type")), (200, "application/pdf"));
    assert_eq!(
        header(&whole, "content-disposition"),
        "inline; filename=\"billet n_ 12.pdf\"; filename*=UTF-8''billet%20n%C2%B0%2012.pdf"
    );
    assert_eq!(header(&whole, "x-content-type-options"), "nosniff");
    assert_eq!(header(&whole, "cache-control"), "private, max-age=3600");
    assert_eq!(text(whole).await, "0123456789");
    let head = scene.ask("HEAD", &path, &[]).await;
    assert_eq!((head.status().as_u16(), header(&head, "content-length")), (200, "10"));
    assert_eq!(text(head).await, "");
    // With half a minute left, a browser may keep it for half a minute.
    scene.pass(30 * DAY - Duration::from_secs(30));
    let late = scene.ask("GET", &path, &[]).await;
    assert_eq!(header(&late, "cache-control"), "private, max-age=30");
    scene.pass(Duration::from_secs(30));
    let over = scene.ask("GET", &path, &[]).await;
    assert_eq!((over.status().as_u16(), header(&over, "cache-control")), (410, "no-store"));
    assert_eq!(text(over).await, "This link has expired.");
}

#[tokio::test]
async fn a_part_of_a_file_is_sent_where_a_part_is_asked_for() {
    let scene = scene(&Settings::default());
    let path = scene.linked("k", ticket()).await;
    let part = scene.ask("GET", &path, &[("range", "bytes=2-4")]).await;
    assert_eq!((part.status().as_u16(), header(&part, "content-range")), (206, "bytes 2-4/10"));
    assert_eq!(text(part).await, "234");
    let behind = scene.ask("GET", &path, &[("range", "bytes=10-")]).await;
    assert_eq!((behind.status().as_u16(), header(&behind, "content-range")), (416, "bytes */10"));
    let whole = scene.ask("GET", &path, &[("range", "bytes=2-4"), ("if-range", "\"v1\"")]).await;
    assert_eq!((whole.status().as_u16(), header(&whole, "accept-ranges")), (200, "bytes"));
}

#[tokio::test]
async fn what_a_browser_could_execute_is_only_ever_saved() {
    let scene = scene(&Settings::default());
    let bytes = || MediaSource::Bytes("PHNjcmlwdD4=".to_owned());
    for (mime_type, how) in [
        ("text/html", "attachment"),
        ("image/svg+xml", "attachment"),
        ("application/xhtml+xml", "attachment"),
        ("IMAGE/PNG", "inline"),
        ("audio/ogg; codecs=opus", "inline"),
        ("text/plain; charset=utf-8", "inline"),
    ] {
        let path = scene.linked(mime_type, attached(bytes(), mime_type, "a\"b\r\n.x")).await;
        let answer = scene.ask("GET", &path, &[]).await;
        let disposition = header(&answer, "content-disposition");
        assert!(disposition.starts_with(&format!("{how}; filename=\"a_b__.x\";")), "{mime_type}: {disposition}");
        assert_eq!(header(&answer, "content-security-policy").contains("sandbox"), how == "attachment", "{mime_type}");
    }
}

#[tokio::test]
async fn a_link_to_an_address_leads_there_and_a_sticker_is_a_picture() {
    let scene = scene(&Settings::default());
    let url = "https://cdn.boulangerie.example/4821.jpg";
    let path = scene.linked("k", attached(MediaSource::Url(url.to_owned()), "image/jpeg", "4821.jpg")).await;
    let answer = scene.ask("GET", &path, &[]).await;
    assert_eq!((answer.status().as_u16(), header(&answer, "location")), (302, url));
    let sticker = Sticker { source: MediaSource::Bytes("UklGRg==".to_owned()), text: None };
    let content = Content { special: Some(Special::Sticker(sticker)), ..Content::default() };
    let path = scene.linked("s", content).await;
    assert_eq!(header(&scene.ask("GET", &path, &[]).await, "content-type"), "image/webp");
}

#[tokio::test]
async fn a_token_that_is_not_ours_is_told_nothing() {
    let scene = scene(&Settings::default());
    let path = scene.linked("k", ticket()).await;
    let mut wrong: Vec<String> = (3..path.len())
        .map(|at| {
            let other = if &path[at..=at] == "A" { "B" } else { "A" };
            format!("{}{other}{}", &path[..at], &path[at + 1..])
        })
        .collect();
    let of_others = Links::new("https://relais.example", &[8; 32], DAY);
    let stolen = of_others.url(&message("k", ticket(), scene.clock.now()));
    wrong.push(stolen.strip_prefix("https://relais.example").unwrap().to_owned());
    let elsewhere = NewMessage { tenant: TenantId::from("unknown"), ..message("k", ticket(), scene.clock.now()) };
    wrong.push(scene.links.url(&elsewhere).strip_prefix("https://relais.example").unwrap().to_owned());
    wrong.extend(["/m/x".to_owned(), format!("{path}A"), "/m/%00".to_owned()]);
    for path in wrong {
        let answer = scene.ask("GET", &path, &[]).await;
        assert_eq!(answer.status().as_u16(), 404, "{path}");
        assert_eq!(text(answer).await, "There is nothing here.");
    }
}

#[tokio::test]
async fn of_who_is_erased_no_link_leads_anywhere() {
    let scene = scene(&Settings::default());
    let (tenant, paul) = (TenantId::default_tenant(), CustomerId::from("paul"));
    scene.store.put_customer(&tenant, &paul, CustomerProfile::default(), scene.clock.now()).await.unwrap();
    let path = scene.linked("k", ticket()).await;
    assert_eq!(scene.status(&path).await, 200);
    assert!(scene.store.erase_customer(&tenant, &paul, scene.clock.now()).await.unwrap());
    assert_eq!(scene.status(&path).await, 410);
    // A message without a file never had a link; whoever makes one for it finds nothing either.
    let none = scene.linked("t", Content { text: Some("x".to_owned()), ..Content::default() }).await;
    assert_eq!(scene.status(&none).await, 410);
}

#[tokio::test]
async fn a_link_is_opened_so_often_a_minute_and_so_many_at_once() {
    let scene = scene(&Settings { opens_per_minute: 2, at_once: 1, ..Settings::default() });
    let (path, other) = (scene.linked("k", ticket()).await, scene.linked("o", ticket()).await);
    assert_eq!((scene.status(&path).await, scene.status(&path).await), (200, 200));
    let refused = scene.ask("GET", &path, &[]).await;
    assert_eq!(refused.status().as_u16(), 429);
    assert!((1..=60).contains(&header(&refused, "retry-after").parse::<u64>().unwrap()));
    assert_eq!(scene.status(&other).await, 200, "each has a count of its own");
    scene.pass(Duration::from_secs(60));
    assert_eq!(scene.status(&path).await, 200);
    let place = scene.served.places.try_acquire().unwrap();
    let busy = scene.ask("GET", &other, &[]).await;
    assert_eq!((busy.status().as_u16(), header(&busy, "retry-after")), (503, "1"));
    drop(place);
    assert_eq!(scene.status(&other).await, 200);
}

#[test]
fn links_last_no_longer_than_the_files() {
    let days = |days, bodies| Settings { days, ..Settings::default() }.lasts(bodies);
    assert_eq!((days(30, 90), days(30, 7), days(30, 0)), (30 * DAY, 7 * DAY, 30 * DAY));
    assert!(Settings { days: 0, ..Settings::default() }.check().unwrap_err().contains("links.days"));
    assert_eq!(Settings::default().check(), Ok(()));
}

#[test]
fn nothing_that_is_logged_has_the_key() {
    let links = Links::new("https://relais.example", &SECRET, DAY);
    let shown = format!("{links:?}");
    assert!(!shown.contains("key") && shown.contains("relais.example"), "{shown}");
}
