//! A host in a process of its own, from its start to its end.

use std::{
    path::{Path, PathBuf},
    process::ExitStatus,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use relais::clock::{Clock, Timestamp};
use serde_json::{Value, json};
use tokio::process::Child;

use super::{Setup, Shown, Sim, ensure_plugins, postgres::Database, process, setup::Wiring};

/// A Tuesday morning in Paris: no quiet hours, and a whole day before it is night.
const START: &str = "2026-11-24T09:00:00+01:00";
/// How long something may take that takes milliseconds on a machine with nothing else to do. A run that was too slow there is
/// executed again after ten seconds and more.
const PATIENCE: Duration = Duration::from_secs(120);
/// Between two looks. Asking costs the host next to nothing.
const LOOK_EVERY: Duration = Duration::from_millis(15);

pub(crate) struct Host {
    pub(crate) url: String,
    pub(crate) sim: Arc<Sim>,
    pub(crate) client: reqwest::Client,
    /// Sent with every request, where the setup has keys.
    pub(crate) key: Option<&'static str>,
    /// The words of a program that the host is started under: a tracer, limits.
    pub(crate) under: Vec<String>,
    pub(crate) port: u16,
    setup: Setup,
    /// How the providers reach it: its own address, or that of whatever stands in front of several hosts.
    public_url: String,
    store_url: String,
    child: Option<Child>,
    paused: bool,
    /// What it says at the end of the test is not asked: the way to its store goes through the test, which has stopped by then,
    /// or the test has put something into the store on purpose.
    pub(crate) not_asked_at_the_end: bool,
    dir: Directory,
    /// After the process, which is killed first: nobody is to miss it.
    database: Option<Arc<Database>>,
}

impl Host {
    /// Starts providers and a host, and returns when the host is ready.
    pub(crate) async fn start(setup: Setup) -> Host {
        let mut host = Host::prepare(setup).await;
        host.launch().await;
        host
    }

    /// When it begins, for the providers and for a host whose clock can be moved.
    pub(crate) fn starts_at() -> Timestamp {
        Timestamp::parse(START).unwrap()
    }

    /// Everything but the host's process.
    pub(crate) async fn prepare(setup: Setup) -> Host {
        let database = setup.db.prepare().await.map(Arc::new);
        let port = process::free_port();
        let public_url = format!("http://127.0.0.1:{port}");
        let sim = Arc::new(Host::providers(&setup, &public_url).await);
        Host::assemble(setup, port, public_url, sim, database).await
    }

    /// The simulated providers of hosts with this setup.
    pub(super) async fn providers(setup: &Setup, public_url: &str) -> Sim {
        tokio::task::spawn_blocking(ensure_plugins).await.unwrap();
        Sim::start(Host::starts_at(), setup.simulator(), format!("{public_url}/v1/webhooks"), http_client()).await
    }

    /// A host that is still to be started, with what it may share with others.
    pub(super) async fn assemble(
        setup: Setup,
        port: u16,
        public_url: String,
        sim: Arc<Sim>,
        database: Option<Arc<Database>>,
    ) -> Host {
        let dir = Directory::new();
        let store_url = match &database {
            None => format!("sqlite:{}", dir.path.join("relais.db").display()),
            Some(database) => database.url.clone(),
        };
        let key = setup.keys.first().map(|(_, secret)| *secret);
        let (url, client) = (format!("http://127.0.0.1:{port}"), http_client());
        Host {
            url,
            sim,
            client,
            key,
            port,
            setup,
            public_url,
            store_url,
            under: Vec::new(),
            child: None,
            paused: false,
            not_asked_at_the_end: false,
            dir,
            database,
        }
    }

    /// Starts the process, on what an earlier one left. How long it took until it was ready.
    pub(crate) async fn launch(&mut self) -> Duration {
        let began = self.launch_at_once();
        self.until_ready(began).await
    }

    /// The same where it may end before it is ready.
    pub(crate) async fn try_launch(&mut self) -> Result<Duration, ExitStatus> {
        let began = self.launch_at_once();
        self.ready_or_ended(began).await
    }

    /// Starts the process and waits for nothing.
    pub(crate) fn launch_at_once(&mut self) -> Instant {
        assert!(self.child.is_none(), "it is running");
        self.write_config();
        let began = Instant::now();
        self.child = Some(process::serve(&self.config_file(), &self.log_file(), &self.under));
        began
    }

    pub(crate) async fn until_ready(&mut self, began: Instant) -> Duration {
        match self.ready_or_ended(began).await {
            Ok(took) => took,
            Err(ended) => panic!("the host ended at its start with {ended}\n{}", self.log_tail()),
        }
    }

    async fn ready_or_ended(&mut self, began: Instant) -> Result<Duration, ExitStatus> {
        loop {
            let answer = self.client.get(format!("{}/readyz", self.url)).send().await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(began.elapsed());
            }
            if let Some(ended) = self.child.as_mut().unwrap().try_wait().unwrap() {
                self.child = None;
                return Err(ended);
            }
            assert!(began.elapsed() < PATIENCE * 2, "the host does not get ready\n{}", self.log_tail());
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Whether it can be asked something: neither down nor paused.
    pub(crate) fn is_running(&self) -> bool {
        self.child.is_some() && !self.paused
    }

    /// SIGSTOP: it does nothing, and does not know that it does nothing.
    pub(crate) async fn pause(&mut self) {
        process::signal(self.child.as_ref().expect("it is running"), "STOP").await;
        self.paused = true;
    }

    /// SIGCONT: it goes on in the middle of whatever it was doing.
    pub(crate) async fn resume(&mut self) {
        process::signal(self.child.as_ref().expect("it is running"), "CONT").await;
        self.paused = false;
    }

    /// From its next start on it reaches its store there.
    pub(crate) fn reach_store_at(&mut self, url: String) {
        self.store_url = url;
        self.not_asked_at_the_end = true;
    }

    /// SIGKILL: no chance to finish anything.
    pub(crate) async fn kill(&mut self) {
        let mut child = self.child.take().expect("it is running");
        self.paused = false;
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
        let child = self.child.as_ref().expect("it is running");
        process::signal(child, signal.trim_start_matches('-')).await;
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

    /// Changes the store behind the host's back.
    pub(crate) async fn change_the_store(&self, sql: &str) {
        match &self.database {
            None => rusqlite::Connection::open(self.store_file()).unwrap().execute_batch(sql).unwrap(),
            Some(database) => database.execute(sql).await,
        }
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
                let ways = if self.is_running() { self.ways().await } else { "the host is not running".to_owned() };
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
        let text = self.setup.config(&Wiring {
            dir: &self.dir.path,
            port: self.port,
            public_url: &self.public_url,
            store_url: &self.store_url,
            start: self.sim.now(),
            providers: &self.sim.url,
            smsc: &self.sim.smsc,
            options: &self.sim.options,
        });
        std::fs::write(self.config_file(), text).unwrap();
    }

    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.log_file()).unwrap_or_default()).into_owned()
    }

    fn log_file(&self) -> PathBuf {
        self.dir.path.join("host.log")
    }

    pub(super) fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let tail = lines.len().saturating_sub(40);
        format!("--- the end of the host's log ---\n{}", lines[tail..].join("\n"))
    }

    pub(crate) async fn stats(&self) -> Value {
        self.get("/v1/stats").await
    }

    /// Nothing is left to be done.
    pub(crate) async fn check_nothing_is_open(&self) {
        self.until_eq("nothing is adrift", json!([0, 0, 0]), async || {
            let stats = self.stats().await;
            json!([stats["open_runs"], stats["open_messages"], stats["set_aside_runs"]])
        })
        .await;
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if self.is_running() && !self.not_asked_at_the_end && !std::thread::panicking() {
            self.check_at_the_end();
        }
    }
}

fn http_client() -> reqwest::Client {
    relais::channel::http_client(&relais::channel::HttpSettings::default()).unwrap()
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
