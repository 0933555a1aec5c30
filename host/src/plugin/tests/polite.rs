//! A real plugin, written in Rust with the SDK: what it asks for, and that it asks for the same every time.

use std::{fs, path::Path};

use super::world::{World, work};
use crate::{
    domain::{
        message::{Because, Recipient},
        run::{Cause, RunFailure},
    },
    ids::MessageId,
    plugin::{CheckReport, Grant, Plugins, Work},
};

/// Takes the package as it lies in the repository; whoever runs the tests has built the plugins before.
async fn order_ready(grant: Option<Grant>, broken_store: bool) -> (World, std::sync::Arc<Plugins>) {
    let mut world = World::new();
    world.broken_store = broken_store;
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/order-ready");
    let dir = world.settings.dir.join("order-ready");
    fs::create_dir_all(&dir).unwrap();
    for file in ["plugin.toml", "order-ready.wasm"] {
        let copied = fs::copy(from.join(file), dir.join(file));
        assert!(copied.is_ok(), "{file} of order-ready: {copied:?}; build the plugins before their tests");
    }
    if let Some(grant) = grant {
        world.settings.grants.insert("order-ready".into(), grant);
    }
    let plugins = world.start().await;
    assert!(plugins.get(&"order-ready".into()).is_some(), "{:?}", plugins.status());
    (world, plugins)
}

fn ready(no: u32) -> Work {
    work("order-ready", no)
}

#[tokio::test]
async fn the_same_run_asks_for_the_same_message_every_time() {
    let (_world, plugins) = order_ready(None, false).await;
    let first = plugins.execute(ready(1)).await;
    let again = plugins.execute(ready(1)).await;
    let (first, again) = (first.result.unwrap(), again.result.unwrap());
    assert_eq!(first, again);

    let Work { run, .. } = ready(1);
    let Cause::Event(event) = &run.run.cause else { unreachable!() };
    let message = &first.outcome.messages[0];
    assert_eq!(message.id, MessageId::of_run(run.run.id, 0));
    assert_eq!(message.to, Recipient::Customer("4711".into()));
    assert_eq!(message.because, Because::Event(event.id));
    assert_eq!(first.origin, Some(event.id));
    let template = message.content.template.as_ref().unwrap();
    assert_eq!(template.language, "fr");
    assert!(template.body.contains("4821") && template.body.contains("Chez Zoé"), "{}", template.body);

    let other = plugins.execute(ready(2)).await.result.unwrap();
    assert_ne!(other.outcome.messages[0].id, message.id);
}

#[tokio::test]
async fn what_is_not_granted_is_refused_with_the_lines_to_paste() {
    let grant = Grant { purposes: Some(vec![]), ..Grant::default() };
    let (_world, plugins) = order_ready(Some(grant), false).await;
    let execution = plugins.execute(ready(1)).await;
    let asked = execution.result.map(|finished| finished.outcome.messages.len()).unwrap_or(0);
    assert_eq!(asked, 0);
    let denied = execution.report.denied.join("\n");
    assert!(denied.contains("[plugins.grants.order-ready] purposes = [\"alert\"]"), "{denied}");
    assert_eq!(execution.report.refused[0].code, "not-permitted");
}

#[tokio::test]
async fn a_customer_whom_nobody_knows_is_not_written_to() {
    let (_world, plugins) = order_ready(None, false).await;
    let mut work = ready(1);
    work.run.run.customer = Some("9999".into());
    let execution = plugins.execute(work).await;
    assert_eq!(execution.report.refused[0].code, "unknown-customer");
    let asked = execution.result.map_or(0, |finished| finished.outcome.messages.len());
    assert_eq!(asked, 0);
}

#[tokio::test]
async fn a_lost_store_is_the_hosts_own_trouble() {
    let (_world, plugins) = order_ready(None, true).await;
    let execution = plugins.execute(ready(1)).await;
    assert!(matches!(execution.result, Err(RunFailure::Host { .. })), "{execution:?}");
}

#[tokio::test]
async fn a_check_says_what_the_host_would_say() {
    let (world, _) = order_ready(None, false).await;
    let dir = world.settings.dir.join("order-ready");
    let report: CheckReport = crate::plugin::check(&dir, None, &world.settings).await;
    assert!(report.passed(), "{report}");
    assert_eq!(report.contract_needed, ["relais:plugin@1.0.0"]);
    assert!(report.handlers.contains(&"on-event"));
    let manifest = fs::read_to_string(dir.join("plugin.toml")).unwrap();
    fs::write(dir.join("plugin.toml"), manifest.replace("version = ", "digest = \"sha256:00\"\nversion = ")).unwrap();
    let report = crate::plugin::check(&dir, None, &world.settings).await;
    assert!(!report.passed() && report.to_string().contains("plugin.digest"), "{report}");
}

#[tokio::test]
async fn an_event_is_routed_once_to_each_subscription_it_fits() {
    let (_world, plugins) = order_ready(None, false).await;
    let Work { run, .. } = ready(1);
    let Cause::Event(event) = &run.run.cause else { unreachable!() };
    let routing = plugins.route(event);
    assert_eq!(routing.runs.len(), 1, "{routing:?}");
    assert_eq!(routing.runs[0].key.entity.as_str(), "order/4821");
    assert_eq!(routing.runs[0].id, run.run.id);
    let mut without = (**event).clone();
    without.data = "{}".into();
    let routing = plugins.route(&without.into());
    assert!(routing.runs.is_empty() && routing.notes[0].contains("data"), "{routing:?}");
    assert!(plugins.trigger("order-ready", "nowhere").unwrap_err().known.contains(&"order-ready/till".to_owned()));
}

#[tokio::test]
#[ignore = "a measurement for people, which asserts nothing about time: run it alone, optimised"]
async fn what_a_run_costs() {
    let (_world, plugins) = order_ready(None, false).await;
    plugins.bench_runs(ready, 2_000).await.unwrap();
    let times = 20_000;
    let took = plugins.bench_runs(ready, times).await.unwrap();
    assert!(took.as_micros() > 0);
    let path = std::env::temp_dir().join("relais-run-cost.txt");
    fs::write(path, format!("{:.1} µs a run\n", took.as_secs_f64() * 1e6 / f64::from(times))).unwrap();
}
