//! Timers fire once and not early, after restarts too.

use serde_json::json;

use crate::harness::{Host, PAUL, Setup, Shown, steps};

#[tokio::test]
async fn a_timer_fires_once_and_not_early_whatever_happens_to_the_host() {
    let mut host = Host::start(Setup::tester()).await;
    host.sim.phone(PAUL, |_| {});
    host.customer("paul", PAUL).await;
    let timer = |key: &str, after_s: u32| {
        json!({"timer": {"key": key, "after_s": after_s, "steps": [{"send": {"text": format!("{key} at {after_s}")}}]}})
    };
    // One that stays, one that is moved, one that is cancelled, and the same key of another entity.
    host.event(steps("paul", "a", json!([timer("stays", 3600), timer("moved", 1800), timer("gone", 3600)]))).await;
    host.event(steps("paul", "a", json!([timer("moved", 7200), {"cancel-timer": {"key": "gone"}}]))).await;
    host.event(steps("paul", "b", json!([timer("gone", 5400)]))).await;
    assert_eq!(host.stats().await["timers"], 3);

    let bodies = async |host: &Host| -> Vec<String> {
        let messages = host.messages("paul").await;
        messages.iter().map(|message| message["content"]["text"].as_str().unwrap().to_owned()).collect()
    };
    host.advance("59m").await;
    host.restart().await;
    assert_eq!(bodies(&host).await, Vec::<String>::new(), "a minute is left");
    host.advance("2m").await;
    host.until_eq("the first", vec!["Free: stays at 3600".to_owned()], async || bodies(&host).await).await;

    // It comes due while the host is down.
    host.kill().await;
    let due = host.sim.now().plus(std::time::Duration::from_secs(3600));
    relais::clock::Clock::advance_to(&*host.sim.clock, due);
    host.launch().await;
    let all = ["Free: stays at 3600", "Free: gone at 5400", "Free: moved at 7200"].map(str::to_owned).to_vec();
    host.until_eq("all three", all.clone(), async || {
        let mut bodies = bodies(&host).await;
        bodies.sort_by_key(|body| body.rsplit(' ').next().map(str::to_owned));
        bodies
    })
    .await;
    host.restart().await;
    host.advance("1d").await;
    assert_eq!(bodies(&host).await.len(), 3);
    assert_eq!(host.stats().await["timers"], 0);
    for message in host.messages("paul").await {
        let id = message["id"].as_str().unwrap();
        assert_eq!(host.until_state(id, "read").await.way(), "whatsapp read");
    }
}
