//! Outgoing HTTP: a plugin asks a service, as far as the operator grants it, with secrets that it never holds.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use axum::{
    Router,
    http::{HeaderMap, StatusCode},
    routing::any,
};
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::harness::{Host, PAUL, Setup, copy_guest, event, steps};

const TOKEN: &str = "a-token-that-nobody-sees";

/// A service that is busy the first time, and tells the test what it was sent.
async fn service() -> (u16, UnboundedReceiver<HeaderMap>) {
    let (tell, heard) = unbounded_channel();
    let asked = Arc::new(AtomicU32::new(0));
    let answer = move |headers: HeaderMap| {
        let (tell, asked) = (tell.clone(), asked.clone());
        async move {
            tell.send(headers).unwrap();
            match asked.fetch_add(1, Ordering::Relaxed) {
                0 => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
                _ => (StatusCode::OK, "three are left"),
            }
        }
    };
    let app = Router::new().route("/v1/stock", any(answer));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    (port, heard)
}

/// A host with the test's own plugin, which asks for the service and for a secret.
async fn asking(port: u16, settings: &str) -> Host {
    let mut host = Host::prepare(Setup::tester()).await;
    let packages = host.dir().join("asking");
    copy_guest("tester", &packages);
    host.set(&format!("plugins.dir = {}", toml::Value::String(packages.display().to_string())));
    let manifest = packages.join("tester/plugin.toml");
    let text = fs::read_to_string(&manifest).unwrap();
    let asks = format!(
        "[permissions]\nsecrets = [\"stock\"]\n\
         http = [{{ host = \"127.0.0.1:{port}\", scheme = \"http\", path = \"/v1/\" }}]\n"
    );
    fs::write(&manifest, text.replacen("[permissions]\n", &asks, 1)).unwrap();
    let secret = host.dir().join("stock-token");
    fs::write(&secret, TOKEN).unwrap();
    let secret = toml::Value::String(secret.display().to_string());
    host.set(&format!("plugins.secrets.tester.stock = {{ file = {secret} }}"));
    if !settings.is_empty() {
        host.set(settings);
    }
    host.launch().await;
    host.sim.phone(PAUL, |_| {});
    host.customer("paul", PAUL).await;
    host
}

fn fetch(port: u16) -> Value {
    json!([{"fetch": {"url": format!("http://127.0.0.1:{port}/v1/stock?of=4821"), "secret": "stock"}}])
}

#[tokio::test]
async fn a_service_gets_the_secret_and_the_same_key_each_time_and_the_plugin_gets_the_answer() {
    let (port, mut heard) = service().await;
    let grant = format!(
        "plugins.grants.tester = {{ http = [{{ host = \"127.0.0.1:{port}\", scheme = \"http\" }}], networks = [\"127.0.0.1\"] }}"
    );
    let host = asking(port, &grant).await;
    let run = host.accept(steps("paul", "a", fetch(port))).await["runs"][0].as_str().unwrap().to_owned();
    // Busy: the SDK says "try again", and the host does.
    let first = heard.recv().await.unwrap();
    host.until("it waits for its second execution", async || {
        let run = host.run(&run).await;
        if run["attempts"] == 1 { Ok(()) } else { Err(format!("{run:#}")) }
    })
    .await;
    let failed = host.run(&run).await;
    assert_eq!(failed["failure"]["kind"], "retry", "{failed:#}");
    assert_eq!(failed["failure"]["detail"], "busy", "{failed:#}");
    host.advance("11s").await;
    let done = host.until_run(&run, "done").await;
    let second = heard.recv().await.unwrap();

    for headers in [&first, &second] {
        assert_eq!(headers["authorization"], format!("Bearer {TOKEN}"));
        assert_eq!(headers["idempotency-key"], format!("{run}-1"), "a repeated run is recognised");
    }
    let report = done["report"].to_string();
    assert!(report.contains("three are left") && report.contains("200 OK"), "{done:#}");
    let asked = json!({"limit": "http-requests", "unit": "number", "used": 1, "allowed": 10});
    assert!(done["report"]["used"].as_array().unwrap().contains(&asked), "{done:#}");
    assert!(!report.contains(TOKEN) && !report.contains("of=4821"), "{done:#}");
    assert!(!host.log().contains(TOKEN), "secrets are never in the log");
}

#[tokio::test]
async fn what_is_not_granted_ends_the_run_with_the_lines_to_paste() {
    let (port, mut heard) = service().await;
    let host = asking(port, "").await;
    let ended = host.event(steps("paul", "a", fetch(port))).await;
    let run = &ended["results"][0];
    let words = run.to_string();
    assert!(words.contains("[plugins.grants.tester] http = [") && words.contains("is not granted"), "{run:#}");

    // An address of the machine itself is another question than the grant.
    let grant = format!("plugins.grants.tester = {{ http = [{{ host = \"127.0.0.1:{port}\", scheme = \"http\" }}] }}");
    let host = asking(port, &grant).await;
    let ended = host.event(event("com.example.test.go", "paul", json!({"entity": "a", "steps": fetch(port)}))).await;
    let words = ended["results"][0].to_string();
    assert!(words.contains("the machine itself") && words.contains("networks = ["), "{words}");
    assert!(heard.try_recv().is_err(), "nobody was asked");
}
