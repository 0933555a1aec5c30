//! What every test ends with: is there work that nobody would ever do?
//!
//! The host is asked (`GET /v1/doctor`), when a test lets go of it while it runs, and by whoever compares what was promised with
//! what was seen. A host that is down or paused by then says nothing, and one whose store was taken away cannot.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::Host;

/// Findings that are not about work with neither owner nor deadline: a store that was broken on purpose, a clock that was moved
/// by days, a plugin that is refused.
const OTHER: &[&str] = &[
    "store",
    "adrift",
    "oldest-open-run",
    "messages-overdue",
    "timers-overdue",
    "late",
    "hosts",
    "plugin-not-loaded",
    "plugin-waits",
    "plugin-update-not-loaded",
    "endpoint-fails",
    "endpoints",
    "template",
    "template-held-back",
    "account",
];
/// How long a shard may be without a host, after a host was lost, on a machine that does other things as well.
const TAKEN_OVER_MAX: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long one answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(10);

impl Host {
    /// Nothing waits that has neither an owner nor a deadline.
    pub(crate) async fn check_nothing_adrift(&self) {
        if let Err(found) = ask(&self.url, self.key).await {
            panic!("work with neither an owner nor a deadline:\n{found}\n{}", self.log_tail());
        }
    }

    /// The same where nobody waits: when a test lets go of it. The test's own runtime is in no state to ask.
    pub(super) fn check_at_the_end(&self) {
        let (url, key) = (self.url.clone(), self.key);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(ask(&url, key))
        });
        if let Err(found) = thread.join().unwrap() {
            panic!("the test left work with neither an owner nor a deadline:\n{found}\n{}", self.log_tail());
        }
    }
}

/// Asks until nothing is found. A shard of a host that was lost is nobody's for a while; everything else is found again.
async fn ask(url: &str, key: Option<&str>) -> Result<(), String> {
    let client = reqwest::Client::builder().timeout(ANSWER_MAX).no_proxy().build().unwrap();
    let began = Instant::now();
    loop {
        let mut request = client.get(format!("{url}/v1/doctor"));
        if let Some(key) = key {
            request = request.bearer_auth(key);
        }
        // Who does not answer has ended, or was cut off by the test.
        let Ok(answer) = request.send().await else { return Ok(()) };
        if !answer.status().is_success() {
            return Ok(());
        }
        let Ok(text) = answer.text().await else { return Ok(()) };
        let found = findings(&serde_json::from_str(&text).unwrap());
        if found.is_empty() {
            return Ok(());
        }
        let passes = found.iter().all(|finding| finding["kind"] == "shard-without-host");
        if !passes || began.elapsed() > TAKEN_OVER_MAX {
            return Err(found.iter().map(Value::to_string).collect::<Vec<_>>().join("\n"));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn findings(report: &Value) -> Vec<Value> {
    let all = report["findings"].as_array().unwrap();
    all.iter().filter(|finding| !OTHER.contains(&finding["kind"].as_str().unwrap())).cloned().collect()
}
