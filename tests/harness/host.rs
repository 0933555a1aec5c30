//! A host in a process of its own, from its start to its end.

use std::{
    path::{Path, PathBuf},
    process::ExitStatus,
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use relais::clock::{Clock, Timestamp};
use serde_json::{Value, json};
use tokio::process::Child;

use super::{Setup, Shown, Sim, ensure_plugins, process};

/// A Tuesday morning in Paris: no quiet hours, and a whole day before it is night.
const START: &str = "2026-11-24T09:00:00+01:00";
/// How long something may take that takes milliseconds on a machine with nothing else to do.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks. Asking costs the host next to nothing.
const LOOK_EVERY: Duration = Duration::from_millis(15);

pub(crate) struct Host {
    pub(crate) url: String,
    pub(crate) sim: Sim,
    pub(crate) client: reqwest::Client,
    /// Sent with every request, where the setup has keys.
    pub(crate) key: Option<&'static str>,
    /// The words of a program that the host is started under: a tracer, limits.
    pub(crate) under: Vec<String>,
    setup: Setup,
    port: u16,
    dir: Directory,
    child: Option<Child>,
}

impl Host {
    /// Starts providers and a host, and returns when the host is ready.
    pub(crate) async fn start(setup: Setup) -> Host {
        let mut host = Host::prepare(setup).await;
        host.launch().await;
        host
    }

    /// Everything but the host's process.
    pub(crate) async fn prepare(setup: Setup) -> Host {
        tokio::task::spawn_blocking(ensure_plugins).await.unwrap();
        let dir = Directory::new();
        let port = process::free_port();
        let url = format!("http://127.0.0.1:{port}");
        let client = relais::channel::http_client(&relais::channel::HttpSettings::default()).unwrap();
        let start = Timestamp::parse(START).unwrap();
        let sim = Sim::start(start, setup.simulator(), format!("{url}/v1/webhooks"), client.clone()).await;
        let key = setup.keys.first().map(|(_, secret)| *secret);
        Host { url, sim, client, key, under: Vec::new(), setup, port, dir, child: None }
    }

    /// Starts the process, on what an earlier one left.
    pub(crate) async fn launch(&mut self) {
        if let Err(ended) = self.try_launch().await {
            panic!("the host ended at its start with {ended}\n{}", self.log_tail());
        }
    }

    /// The same where it may end before it is ready.
    pub(crate) async fn try_launch(&mut self) -> Result<(), ExitStatus> {
        assert!(self.child.is_none(), "it is running");
        self.write_config();
        self.child = Some(process::serve(&self.config_file(), &self.log_file(), &self.under));
        let began = Instant::now();
        loop {
            let answer = self.client.get(format!("{}/readyz", self.url)).send().await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(());
            }
            if let Some(ended) = self.child.as_mut().unwrap().try_wait().unwrap() {
                self.child = None;
                return Err(ended);
            }
            assert!(began.elapsed() < PATIENCE * 2, "the host does not get ready\n{}", self.log_tail());
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// SIGKILL: no chance to finish anything.
    pub(crate) async fn kill(&mut self) {
        let mut child = self.child.take().expect("it is running");
        child.kill().await.unwrap();
    }

    /// Again on the same data and port.
    pub(crate) async fn restart(&mut self) {
        if self.child.is_some() {
            self.kill().await;
        }
        self.launch().await;
    }

    /// SIGTERM, and the exit code has to be 0.
    pub(crate) async fn stop(&mut self) {
        let mut child = self.child.take().expect("it is running");
        let status = process::terminate(&mut child).await;
        assert!(status.success(), "the host ended with {status}\n{}", self.log_tail());
    }

    /// Any signal.
    pub(crate) async fn signal(&self, signal: &str) {
        process::signal(self.process().expect("it is running"), signal).await;
    }

    /// Its process id, while it runs.
    pub(crate) fn process(&self) -> Option<u32> {
        self.child.as_ref().and_then(Child::id)
    }

    /// How it ended, where it does so by itself or was asked to.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("it is running");
        process::ended(&mut child).await
    }

    /// How it ended, where it has.
    pub(crate) fn has_ended(&mut self) -> Option<ExitStatus> {
        let ended = self.child.as_mut()?.try_wait().unwrap();
        if ended.is_some() {
            self.child = None;
        }
        ended
    }

    pub(crate) fn store_file(&self) -> PathBuf {
        self.dir.path.join("relais.db")
    }

    /// Other settings from the next start on.
    pub(crate) fn set(&mut self, settings: &str) {
        self.setup.over.push(settings.to_owned());
    }

    /// Moves the host's clock and the providers' by a length of time such as `2h`.
    pub(crate) async fn advance(&self, by: &str) {
        let moved = self.put("/v1/clock", json!({"advance": by})).await;
        let now = Timestamp::parse(moved["now"].as_str().unwrap()).unwrap();
        self.sim.clock.advance_to(now);
    }

    /// Has the host's clock jump, as one that is set wrong or right; the providers' goes on.
    pub(crate) async fn jump(&self, by: &str) {
        self.put("/v1/clock", json!({"jump": by})).await;
    }

    /// What the host's process holds of the machine's memory.
    pub(crate) fn memory_bytes(&self) -> u64 {
        let id = self.child.as_ref().and_then(Child::id).expect("it is running");
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    /// Asks until `look` has an answer. `Err` says what is seen in place of it.
    pub(crate) async fn until<T>(&self, what: &str, look: impl AsyncFn() -> Result<T, String>) -> T {
        let began = Instant::now();
        loop {
            let seen = match look().await {
                Ok(found) => return found,
                Err(seen) => seen,
            };
            if began.elapsed() > PATIENCE {
                let ways = if self.child.is_some() { self.ways().await } else { "the host is not running".to_owned() };
                panic!("it never came to this: {what}\nwhat is seen: {seen}\n{ways}\n{}", self.log_tail());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Every message in one line, for whoever reads why a test failed.
    async fn ways(&self) -> String {
        let messages = self.all_messages().await;
        let lines = messages.iter().map(|message| {
            let (id, state, to) = (&message["id"], &message["state"], &message["to"]);
            let details: Vec<_> =
                message["attempts"].as_array().unwrap().iter().map(|a| &a["failure"]["detail"]).collect();
            format!("{id} to {to}: {state} {} by {} {details:?}", message["code"], message.way())
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    /// Until both say the same for once.
    pub(crate) async fn until_eq<T: PartialEq + std::fmt::Debug>(
        &self,
        what: &str,
        wanted: T,
        look: impl AsyncFn() -> T,
    ) {
        self.until(what, async || {
            let seen = look().await;
            if seen == wanted { Ok(()) } else { Err(format!("{seen:?} in place of {wanted:?}")) }
        })
        .await;
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir.path
    }

    pub(crate) fn config_file(&self) -> PathBuf {
        self.dir.path.join("relais.toml")
    }

    /// Writes the configuration that the next start reads. The clock goes on where the providers' stands.
    pub(crate) fn write_config(&self) {
        let start = self.sim.now().rfc3339();
        let text = self.setup.config(&self.dir.path, self.port, &start, &self.sim.url, &self.sim.options);
        std::fs::write(self.config_file(), text).unwrap();
    }

    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.log_file()).unwrap_or_default()).into_owned()
    }

    fn log_file(&self) -> PathBuf {
        self.dir.path.join("host.log")
    }

    fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let tail = lines.len().saturating_sub(40);
        format!("--- the end of the host's log ---\n{}", lines[tail..].join("\n"))
    }

    pub(crate) async fn stats(&self) -> Value {
        self.get("/v1/stats").await
    }
}

/// A directory that goes with the test, unless it fails: then it is what one looks at.
struct Directory {
    path: PathBuf,
}

impl Directory {
    fn new() -> Directory {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let no = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("relais-it-{}-{no}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Directory { path }
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            // What cannot be removed is in the way of nobody.
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}
