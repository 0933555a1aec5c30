//! Requests of plugins, over real sockets to a service that tells what it was sent.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, extract::Request, http::HeaderMap, routing::any};

use super::world::{World, work};
use crate::{
    domain::run::EntitySnapshot,
    plugin::{
        Bytes, Grant, HttpRuleTable, Plugins, Span, Work,
        bindings::{
            http::{Host as _, HttpError, Request as Ask, Response},
            run::Host as _,
        },
        calls::RunState,
    },
    secret::Secret,
};

const KEY: &str = "opens-everything";

/// A service: `/v1/told` repeats the headers it got, and so on.
async fn service() -> SocketAddr {
    let told = |headers: HeaderMap, request: Request| async move {
        let lines = headers.iter().map(|(name, value)| format!("{name}: {}\n", value.to_str().unwrap()));
        format!("{} {}\n{}", request.method(), request.uri(), lines.collect::<String>())
    };
    let app = Router::new()
        .route("/v1/told", any(told))
        .route("/v1/away", any(|| async { axum::response::Redirect::temporary("/v1/told") }))
        .route("/v1/never", any(|| async { std::future::pending::<()>().await }))
        .route("/v1/long", any(|| async { vec![b'x'; 4096] }))
        .route("/secret", any(|| async { "the house's own" }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    address
}

/// A plugin that asks for the service; the operator's side can be changed.
async fn host(address: SocketAddr, change: impl FnOnce(&mut World)) -> (World, Arc<Plugins>) {
    let mut world = World::new();
    let more = format!(
        "[permissions]\nsecrets = [\"token\"]\n\
         http = [{{ host = \"{address}\", scheme = \"http\", methods = [\"GET\", \"POST\"], path = \"/v1/\" }},\n\
                 {{ host = \"localhost:{}\", scheme = \"http\" }}]",
        address.port()
    );
    world.install("polite", &more);
    let rule = |host: String, methods: &[&str]| HttpRuleTable {
        host,
        methods: methods.iter().map(|method| (*method).to_owned()).collect(),
        path: "/".into(),
        scheme: "http".into(),
    };
    let grant = Grant {
        http: vec![rule(address.to_string(), &["GET"]), rule(format!("localhost:{}", address.port()), &["GET"])],
        networks: vec!["127.0.0.1".into()],
        ..Grant::default()
    };
    world.settings.grants.insert("polite".into(), grant);
    let secrets = [("token".to_owned(), Secret::new(KEY)), ("other".to_owned(), Secret::new("not asked for"))];
    world.settings.secrets.insert("polite".into(), secrets.into());
    change(&mut world);
    let plugins = world.start().await;
    (world, plugins)
}

fn run(plugins: &Plugins, no: u32) -> RunState {
    let Work { run, now, .. } = work("polite", no);
    let seed = crate::plugin::seed(&plugins.shared.host_secret, run.run.id);
    let plugin = plugins.get(&"polite".into()).unwrap();
    RunState::new(plugin, plugins.shared.clone(), run, Arc::new(EntitySnapshot::default()), now, seed)
}

fn ask(url: String) -> Ask {
    Ask { method: "GET".into(), url, headers: vec![], body: None, timeout: None, settings: vec![] }
}

async fn get(run: &mut RunState, url: String) -> Result<Response, HttpError> {
    run.send(ask(url)).await.unwrap()
}

fn text(answer: Result<Response, HttpError>) -> String {
    String::from_utf8(answer.unwrap().body).unwrap()
}

fn not_permitted(answer: Result<Response, HttpError>) -> String {
    match answer {
        Err(HttpError::NotPermitted(why)) => why,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_secret_is_filled_in_on_the_way_and_never_seen_by_the_plugin() {
    let address = service().await;
    let (_world, plugins) = host(address, |_| {}).await;
    let mut one = run(&plugins, 1);
    let placeholder = one.secret("token".into()).unwrap().unwrap();
    let mut request = ask(format!("http://{address}/v1/told?q=1#f"));
    request.headers = vec![("Authorization".into(), format!("Bearer {placeholder}"))];
    let told = text(one.send(request.clone()).await.unwrap());
    // The service says what it was sent, and what comes back says the placeholder again.
    assert!(
        told.starts_with("GET /v1/told?q=1\n") && told.contains(&format!("authorization: Bearer {placeholder}")),
        "{told}"
    );
    assert!(told.contains(&format!("idempotency-key: {}-1\n", one.work.run.id)), "{told}");
    assert!(told.contains("user-agent: relais/") && !told.contains(KEY), "{told}");
    // Another run's placeholder is only a word, and so is one for a secret that was not asked for.
    let told = text(run(&plugins, 2).send(request).await.unwrap());
    assert!(told.contains(&placeholder), "{told}");
    assert_eq!(one.secret("other".into()).unwrap(), None);
    let log = one.log.take();
    assert!(log.iter().any(|line| line.message.contains("/v1/told: 200 OK")), "{log:?}");
    assert!(log.iter().all(|line| !line.message.contains(KEY) && !line.message.contains("q=1")), "{log:?}");
}

#[tokio::test]
async fn the_service_really_gets_the_secret() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (send, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let app = Router::new().route("/v1/", any(move |headers: HeaderMap| async move { send.send(headers).unwrap() }));
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    let (_world, plugins) = host(address, |_| {}).await;
    let mut run = run(&plugins, 1);
    let placeholder = run.secret("token".into()).unwrap().unwrap();
    let mut request = ask(format!("http://{address}/v1/"));
    request.headers = vec![("x-key".into(), placeholder)];
    assert_eq!(run.send(request).await.unwrap().unwrap().status, 200);
    assert_eq!(heard.recv().await.unwrap()["x-key"], KEY);
}

#[tokio::test]
async fn what_either_side_does_not_name_is_refused_with_the_line_to_paste() {
    let address = service().await;
    let (_world, plugins) = host(address, |_| {}).await;
    let mut run = run(&plugins, 1);
    let why = not_permitted(get(&mut run, format!("http://{address}/secret")).await);
    assert!(why.contains("plugin.toml does not ask") && why.contains(&format!("host = \"{address}\"")), "{why}");
    let why = not_permitted(get(&mut run, format!("http://{address}/v1/../secret")).await);
    assert!(why.contains("/secret"), "{why}");
    let mut post = ask(format!("http://{address}/v1/told"));
    post.method = "POST".into();
    let why = not_permitted(run.send(post).await.unwrap());
    assert!(why.contains("[plugins.grants.polite] http = [") && why.contains("methods = [\"POST\"]"), "{why}");
    assert_eq!(run.denied.len(), 2, "the same refusal is noted once: {:?}", run.denied);
}

#[tokio::test]
async fn nothing_is_granted_by_silence() {
    let address = service().await;
    let (_world, plugins) = host(address, |world| world.settings.grants.clear()).await;
    let why = not_permitted(get(&mut run(&plugins, 1), format!("http://{address}/v1/told")).await);
    assert!(why.contains("is not granted"), "{why}");
}

#[tokio::test]
async fn a_name_or_a_number_of_the_machine_itself_is_refused_where_no_network_is_opened() {
    let address = service().await;
    let closed = |world: &mut World| world.settings.grants.get_mut("polite").unwrap().networks.clear();
    let (_world, plugins) = host(address, closed).await;
    let mut run = run(&plugins, 1);
    for host in ["127.0.0.1", "localhost"] {
        let why = not_permitted(get(&mut run, format!("http://{host}:{}/v1/told", address.port())).await);
        assert!(why.contains("the machine itself") && why.contains("networks = ["), "{why}");
    }
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let address = service().await;
    let (_world, plugins) = host(address, |_| {}).await;
    let answer = get(&mut run(&plugins, 1), format!("http://{address}/v1/away")).await.unwrap();
    assert_eq!(answer.status, 307);
    assert!(answer.headers.contains(&("location".into(), "/v1/told".into())), "{:?}", answer.headers);
}

#[tokio::test]
async fn size_time_number_and_company_are_bounded() {
    let address = service().await;
    let (_world, plugins) = host(address, |world| {
        let http = &mut world.settings.http;
        (http.requests, http.at_once, http.response_bytes, http.request_bytes) = (5, 1, Bytes(4000), Bytes(10));
        http.time = Span(Duration::from_millis(100));
    })
    .await;
    let mut one = run(&plugins, 1);
    let url = |path: &str| format!("http://{address}/v1/{path}");
    assert!(matches!(get(&mut one, url("long")).await, Err(HttpError::TooLarge)));
    assert!(matches!(get(&mut one, url("never")).await, Err(HttpError::TimedOut)));
    let mut big = ask(url("told"));
    big.body = Some(vec![0; 11]);
    assert!(matches!(one.send(big).await.unwrap(), Err(HttpError::BadRequest(why)) if why.contains("request-bytes")));
    let mut wrong = ask(url("told"));
    wrong.headers = vec![("Host".into(), "elsewhere".into())];
    assert!(matches!(one.send(wrong).await.unwrap(), Err(HttpError::BadRequest(why)) if why.contains("`Host`")));
    let mut two = run(&plugins, 2);
    let both = tokio::join!(get(&mut one, url("never")), get(&mut two, url("never")));
    assert!(matches!(both, (Err(HttpError::TimedOut), Err(HttpError::OverQuota(why))) if why.contains("at-once")));
    let sixth = get(&mut one, url("told")).await;
    assert!(matches!(sixth, Err(HttpError::OverQuota(why)) if why.contains("plugins.http.requests")));
}

#[tokio::test]
async fn who_is_not_there_is_unreachable() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (_world, plugins) = host(free, |_| {}).await;
    let answer = get(&mut run(&plugins, 1), format!("http://{free}/v1/told")).await;
    assert!(matches!(answer, Err(HttpError::Unreachable(why)) if why.contains("refused")));
}
