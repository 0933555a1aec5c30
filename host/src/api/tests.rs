use std::{path::PathBuf, sync::Arc};

use axum::{
    Router,
    body::Body,
    http::{Request, StatusCode},
};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::{
    clock::{AdjustableClock, Timestamp},
    domain::{
        event::Event,
        plugin::PluginOrder,
        run::{Cause, EntityKey, EntitySnapshot, NewRun, Outcome, QueuedRun, RunReport},
    },
    ids::{Entity, PluginName, RunId, TenantId},
    ingress::{AppState, Directory, OrderProblem, Settings, TriggerCall, TriggerProblem, problem},
    rules,
    store::{self, Committed, RunCommit, sqlite::SqliteStore},
};

/// One plugin that wants every event of type `shop.order`.
struct OnePlugin;

#[async_trait::async_trait]
impl Directory for OnePlugin {
    fn route(&self, event: &Arc<Event>) -> (Vec<NewRun>, Vec<String>) {
        if event.event_type != "shop.order" {
            return (Vec::new(), Vec::new());
        }
        let plugin = PluginName::from("orders");
        let run = NewRun {
            id: RunId::of_event(event.id, &plugin, 0),
            key: EntityKey { tenant: event.tenant.clone(), plugin, entity: Entity::from("order/1") },
            customer: event.customer.clone(),
            cause: Cause::Event(event.clone()),
            hold_up: false,
        };
        (vec![run], Vec::new())
    }

    fn trigger(&self, call: &TriggerCall<'_>) -> Result<Event, TriggerProblem> {
        match (call.plugin, call.caller) {
            ("orders", Some(_)) => {
                Err(TriggerProblem::Unsigned { why: "it does not fit".to_owned(), fix: "sign it".to_owned() })
            }
            ("orders", None) => Err(TriggerProblem::NeedsApiKey),
            _ => Err(TriggerProblem::UnknownPlugin { known: vec!["orders".to_owned()] }),
        }
    }

    fn plugins(&self) -> Value {
        json!({"plugins": [{"name": "orders"}]})
    }

    fn plugin(&self, name: &str) -> Option<Value> {
        (name == "orders").then(|| json!({"name": "orders"}))
    }

    async fn order(&self, _caller: &TenantId, order: PluginOrder) -> Result<Value, OrderProblem> {
        match order {
            PluginOrder::Reload => Ok(json!({"generation": 1, "changed": [], "not_loaded": []})),
            PluginOrder::Approve { .. } => Err(OrderProblem::NothingToDo("there is nothing to approve".to_owned())),
            PluginOrder::Pause { plugin, .. } | PluginOrder::Resume { plugin } if plugin != "orders" => {
                Err(OrderProblem::UnknownPlugin)
            }
            PluginOrder::Pause { .. } | PluginOrder::Resume { .. } => {
                Ok(json!({"changed": true, "plugin": {"name": "orders"}}))
            }
        }
    }
}

/// What would become of messages is the dispatcher's to say, and is tested from outside.
struct NoForesight;

impl crate::ingress::Foresight for NoForesight {
    fn foresee(&self, _: crate::domain::message::NewMessage, _: Option<&crate::domain::customer::Customer>) -> Value {
        Value::Null
    }
}

struct World {
    state: AppState,
    router: Router,
    folder: PathBuf,
    _inlets: store::handover::Inlets,
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn world() -> World {
    let mut drawn = [0; 8];
    getrandom::fill(&mut drawn).unwrap();
    let folder = std::env::temp_dir().join(format!("relais-api-{:x}", u64::from_le_bytes(drawn)));
    std::fs::create_dir_all(&folder).unwrap();
    let (handover, inlets) = store::handover::handover(100, 100);
    let changes = handover.changes.clone();
    let start = Timestamp::parse("2026-01-15T10:30:00Z").unwrap();
    let store = SqliteStore::open(&folder.join("store"), store::Settings::default(), handover, start).unwrap();
    let state = AppState {
        store: Arc::new(store),
        clock: Arc::new(AdjustableClock::starting_at(start)),
        directory: Arc::new(OnePlugin),
        settings: Arc::new(Settings { open: true, adjustable_clock: true, ..Settings::default() }),
        changes,
        rules: Arc::new(rules::allowed::Settings::default()),
        counters: Arc::default(),
        quotas: Arc::new(crate::ingress::quota::Quotas::new(&Settings::default(), [])),
        foresight: Arc::new(NoForesight),
        marks: crate::channel::marks::Marks::new(&[]),
        closing: tokio_util::sync::CancellationToken::new(),
    };
    let links = crate::links::Settings::default();
    let served = crate::links::Served::new(None, &links, Vec::new(), state.store.clone(), state.clock.clone());
    let links = crate::links::router(served);
    let merged = crate::ingress::router(state.clone()).merge(super::router(state.clone())).merge(links);
    let lateness = Arc::new(crate::run::Lateness::default());
    let desk = crate::notice::Desk::new(&crate::notice::Settings::default()).unwrap();
    World {
        state,
        router: problem::with_fallbacks(merged).layer(axum::Extension(lateness)).layer(axum::Extension(desk)),
        folder,
        _inlets: inlets,
    }
}

impl World {
    async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> (StatusCode, Value) {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self.router.clone().oneshot(request.body(Body::from(body.to_owned())).unwrap()).await.unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap_or_else(|_| json!(String::from_utf8_lossy(&body))))
    }

    async fn get(&self, path: &str) -> (StatusCode, Value) {
        self.ask("GET", path, &[], "").await
    }

    async fn json(&self, method: &str, path: &str, body: Value) -> (StatusCode, Value) {
        self.ask(method, path, &[("content-type", "application/json")], &body.to_string()).await
    }

    async fn event(&self, path: &str, id: &str) -> (StatusCode, Value) {
        let body = json!({"specversion": "1.0", "id": id, "source": "/shop", "type": "shop.order", "customer": "c-1"});
        self.ask("POST", path, &[("content-type", "application/cloudevents+json")], &body.to_string()).await
    }

    async fn customer(&self) {
        let ana = json!({"name": "Ana", "locale": "fr-FR", "timezone": "Europe/Paris",
            "addresses": [{"channel": "sms", "address": "+33639981201"}]});
        assert_eq!(self.json("PUT", "/v1/customers/c-1", ana).await.0, 200);
    }

    /// Ends a run as a plugin would that asks for nothing.
    async fn commit(&self, run: QueuedRun) {
        let snapshot: Arc<EntitySnapshot> = self.state.store.load_entity(&run.run.key, Timestamp(0)).await.unwrap();
        let commit = RunCommit {
            run,
            version: snapshot.version,
            outcome: Outcome::default(),
            emitted: Vec::new(),
            origin: None,
            report: RunReport::default(),
            now: self.state.clock.now(),
        };
        assert!(matches!(self.state.store.commit_run(commit).await.unwrap(), Committed::Done(_)));
    }
}

#[tokio::test]
async fn an_event_is_taken_once_and_its_repeat_is_answered_as_one() {
    let world = world();
    let (status, first) = world.event("/v1/events", "e-1").await;
    assert_eq!((status, first["duplicate"].as_bool()), (StatusCode::ACCEPTED, Some(false)));
    assert_eq!(first["runs"].as_array().unwrap().len(), 1);
    let (status, again) = world.event("/v1/events", "e-1").await;
    assert_eq!((status, again["duplicate"].as_bool()), (StatusCode::ACCEPTED, Some(true)));
    assert_eq!(again["id"], first["id"]);
    let (status, story) = world.get(&format!("/v1/events/{}", first["id"].as_str().unwrap())).await;
    assert_eq!((status, story["customer"].as_str()), (StatusCode::OK, Some("c-1")));
    assert_eq!(story["runs"][0]["state"], "open");
    assert_eq!(world.get("/v1/stats").await.1["open_runs"], 1);
}

#[tokio::test]
async fn waiting_ends_when_the_runs_have_ended() {
    let world = world();
    let commit = async {
        // The watcher subscribes before it accepts, so once the run is there nothing can be missed.
        loop {
            let mut runs = store::contract_tests::all_open(&*world.state.store).await;
            if let Some(run) = runs.pop() {
                return world.commit(run).await;
            }
            tokio::task::yield_now().await;
        }
    };
    let ((status, answer), ()) = tokio::join!(world.event("/v1/events?wait=60", "e-1"), commit);
    assert_eq!((status, answer["complete"].as_bool()), (StatusCode::OK, Some(true)), "{answer}");
    assert_eq!(answer["results"][0]["state"], "done");
    let (status, answer) = world.event("/v1/events?wait=0", "e-2").await;
    assert_eq!((status, answer["complete"].as_bool()), (StatusCode::ACCEPTED, Some(false)));
    assert_eq!(world.event("/v1/events?wait=61", "e-3").await.1["field"], "wait");
}

#[tokio::test]
async fn a_message_is_taken_once_and_tells_its_story() {
    let world = world();
    world.customer().await;
    let asked =
        json!({"to": {"customer": "c-1"}, "purpose": "alert", "because": {"reference": "order/1"}, "text": "Ready."});
    let headers = [("content-type", "application/json"), ("idempotency-key", "k-1")];
    let (status, taken) = world.ask("POST", "/v1/messages", &headers, &asked.to_string()).await;
    assert_eq!(status, 202, "{taken}");
    assert_eq!(world.ask("POST", "/v1/messages", &headers, &asked.to_string()).await.1["duplicate"], true);
    let other =
        json!({"to": {"customer": "c-1"}, "purpose": "alert", "because": {"reference": "order/1"}, "text": "No."});
    assert_eq!(world.ask("POST", "/v1/messages", &headers, &other.to_string()).await.0, 409);
    let id = taken["id"].as_str().unwrap();
    let (_, message) = world.get(&format!("/v1/messages/{id}")).await;
    let kinds: Vec<_> = message["story"].as_array().unwrap().iter().map(|line| line["kind"].clone()).collect();
    assert_eq!(kinds, ["expected", "asked", "state"]);
    assert_eq!(world.get("/v1/messages?customer=c-1").await.1["messages"].as_array().unwrap().len(), 1);
    let (status, cancelled) = world.json("POST", &format!("/v1/messages/{id}/cancel"), json!({})).await;
    assert_eq!((status, cancelled["cancelled"].as_bool()), (StatusCode::OK, Some(true)));
}

#[tokio::test]
async fn what_the_rules_refuse_is_told_with_its_code() {
    let world = world();
    world.customer().await;
    for (change, kind) in [
        (json!({"to": {"customer": "c-2"}}), "unknown-customer"),
        (json!({"purpose": "reply"}), "not-expected"),
        (json!({"text": " "}), "bad-content"),
        (json!({"expires": "2025-01-01T00:00:00Z"}), "expired"),
        (json!({"sms": "never"}), "no-address"),
    ] {
        let mut asked =
            json!({"to": {"customer": "c-1"}, "purpose": "alert", "because": {"reference": "o/1"}, "text": "a"});
        for (name, value) in change.as_object().unwrap() {
            asked[name] = value.clone();
        }
        let (status, problem) = world.json("POST", "/v1/messages", asked).await;
        assert_eq!((status.as_u16(), problem["type"].as_str().unwrap()), (422, &*format!("/problems/refused/{kind}")));
    }
}

#[tokio::test]
async fn what_is_not_there_is_told_as_a_problem() {
    let world = world();
    for (method, path, status) in [
        ("GET", "/nowhere", 404),
        ("DELETE", "/v1/events", 405),
        ("GET", "/v1/events/nonsense", 400),
        ("GET", "/v1/customers/nobody", 404),
        ("DELETE", "/v1/customers/nobody", 404),
        ("GET", "/v1/plugins/nothing", 404),
        ("GET", "/v1/runs?state=lost", 400),
        ("GET", "/v1/runs?stat=open", 400),
        ("GET", "/v1/messages?limit=0", 400),
        ("POST", "/v1/messages", 415),
        ("POST", "/v1/triggers/nothing/x", 404),
        ("POST", "/v1/triggers/orders/x", 401),
    ] {
        let (answered, problem) = world.ask(method, path, &[], "").await;
        assert_eq!(answered.as_u16(), status, "{method} {path}: {problem}");
        assert_eq!(problem["status"], status, "{method} {path}");
    }
    for path in ["/healthz", "/readyz", "/metrics", "/v1/plugins", "/v1/runs", "/v1/events", "/v1/customers"] {
        assert_eq!(world.get(path).await.0, 200, "{path}");
    }
}

#[tokio::test]
async fn the_clock_moves_forward_and_only_forward() {
    let world = world();
    let (status, moved) = world.json("PUT", "/v1/clock", json!({"advance": "2h"})).await;
    assert_eq!(status, 200);
    assert!(moved["now"].as_str().unwrap().starts_with("2026-01-15T12:30:"), "{moved}");
    assert_eq!(world.json("PUT", "/v1/clock", json!({"to": "2026-01-15T11:00:00Z"})).await.1["field"], "to");
    // To jump is another matter: that is what a clock does which was wrong.
    let (_, jumped) = world.json("PUT", "/v1/clock", json!({"jump": "-1h"})).await;
    assert!(jumped["now"].as_str().unwrap().starts_with("2026-01-15T11:30:"), "{jumped}");
    assert_eq!(world.json("PUT", "/v1/clock", json!({"jump": "backwards"})).await.1["field"], "jump");
    assert_eq!(world.json("PUT", "/v1/clock", json!({"jump": "1h", "advance": "1h"})).await.1["field"], "advance");
}

#[tokio::test]
async fn every_path_that_is_documented_is_served() {
    let world = world();
    let document: Value = serde_json::from_str(super::openapi::TEXT).unwrap();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys().filter(|name| *name != "parameters") {
            // A stream does not end, and its route is tried by the others' shape.
            if path == "/v1/stream" {
                continue;
            }
            let place = path.replace(['{', '}'], "x");
            let (status, answer) = world.ask(&method.to_uppercase(), &place, &[], "").await;
            let unrouted = answer["detail"].as_str().is_some_and(|detail| detail.starts_with("there is nothing at"));
            assert!(status != 405 && !unrouted, "{method} {path} is documented and not served");
        }
    }
}
