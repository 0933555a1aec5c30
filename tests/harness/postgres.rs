//! A PostgreSQL server for tests, and a fresh database on it for each of them.
//!
//! It is looked for in this order: `RELAIS_TEST_POSTGRES` (a `postgres://` URL whose user may create databases), a server at
//! 127.0.0.1:5432 that lets `postgres` or the current user in, and else one is started from the binaries of this machine: in
//! a temporary directory, for this process alone, gone with it even if it is killed. A machine with none of them fails the
//! tests that need one and says what to install: promises that were not tested are not promises.
//!
//! The library's own tests include this file by its path, so it names nothing of the harness and nothing of the host.

#![allow(dead_code, reason = "it is part of two programs, and each uses what it needs of it")]

use std::{
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{
        Mutex, OnceLock,
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use tokio_postgres::{Config, NoTls};

/// Names a server whose user may create databases: `postgres://postgres@127.0.0.1:5432`.
const SERVER: &str = "RELAIS_TEST_POSTGRES";
/// What relais needs.
const VERSION_MIN: i32 = 150_000;
/// A server that is there answers within this, and one that is started is up within the other, also beside a compiler.
const ANSWER_MAX: Duration = Duration::from_secs(3);
const START_MAX: Duration = Duration::from_secs(60);

/// Where databases are made: `postgres://postgres@127.0.0.1:5432`, without a database.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    pub(crate) url: String,
}

impl Server {
    /// Where it listens.
    pub(crate) fn port(&self) -> u16 {
        let config: Config = self.url.parse().unwrap();
        config.get_ports().first().copied().unwrap_or(5432)
    }
}

/// The server of this process's tests.
pub(crate) fn server() -> Server {
    static FOUND: OnceLock<Found> = OnceLock::new();
    FOUND.get_or_init(find).server.clone()
}

struct Found {
    server: Server,
    /// Statics are never dropped: what ends it is that its standard input ends when this process does.
    _own: Option<OwnServer>,
}

fn find() -> Found {
    if let Ok(url) = std::env::var(SERVER) {
        let server = Server { url: url.trim_end_matches('/').to_owned() };
        usable(&server).unwrap_or_else(|why| panic!("{SERVER} names {url}, which cannot be used: {why}"));
        return Found { server, _own: None };
    }
    let me = std::env::var("USER").unwrap_or_default();
    for user in ["postgres", me.as_str()].into_iter().filter(|user| !user.is_empty()) {
        let server = Server { url: format!("postgres://{user}@127.0.0.1:5432") };
        if usable(&server).is_ok() {
            return Found { server, _own: None };
        }
    }
    let own = OwnServer::start();
    Found { server: own.server.clone(), _own: Some(own) }
}

/// Whether it answers, is new enough, and lets us create databases.
fn usable(server: &Server) -> Result<(), String> {
    let row = ask(
        server,
        "select current_setting('server_version_num')::int4, rolcreatedb or rolsuper from pg_roles where rolname = current_user",
    )?;
    let (version, may_create): (i32, bool) = (row.get(0), row.get(1));
    if version < VERSION_MIN {
        return Err(format!("its version is {version}, and {VERSION_MIN} is needed"));
    }
    if may_create { Ok(()) } else { Err("its user may not create databases".to_owned()) }
}

fn ask(server: &Server, query: &'static str) -> Result<tokio_postgres::Row, String> {
    let url = format!("{}/postgres", server.url);
    on_a_thread(async move || {
        let client = connect(&url).await?;
        client.query_one(query, &[]).await.map_err(|error| error.to_string())
    })
}

async fn connect(url: &str) -> Result<tokio_postgres::Client, String> {
    let mut config: Config = url.parse().map_err(|error| format!("{error:?}"))?;
    config.connect_timeout(ANSWER_MAX);
    let connected = tokio::time::timeout(ANSWER_MAX, config.connect(NoTls)).await;
    let (client, connection) = connected.map_err(|_| "no answer".to_owned())?.map_err(|error| format!("{error:?}"))?;
    // It ends with the client, and what goes wrong on it is what the client's queries say.
    tokio::spawn(connection);
    Ok(client)
}

/// Tests have runtimes of their own, which must not be waited for from within, and which end before what is done here does.
fn on_a_thread<T: Send + 'static>(work: impl AsyncFnOnce() -> T + Send + 'static) -> T {
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(work())
    });
    thread.join().unwrap()
}

/// A database of one test's own. It goes when this is dropped, with whoever is still connected to it.
pub(crate) struct Database {
    /// `postgres://postgres@127.0.0.1:5432/relais_test_4711_1`
    pub(crate) url: String,
    name: String,
    server: Server,
}

/// Creates an empty database for one test.
pub(crate) async fn fresh_database() -> Database {
    let server = tokio::task::spawn_blocking(server).await.unwrap();
    server.fresh_database().await
}

impl Server {
    pub(crate) async fn fresh_database(&self) -> Database {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let name = format!("relais_test_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let admin = connect(&format!("{}/postgres", self.url)).await.unwrap();
        // An earlier process of the same number may have been killed before it could clean up, on a server that lives on.
        admin.batch_execute(&format!("drop database if exists {name} with (force)")).await.unwrap();
        // `template0` has nobody connected to it, which would be in the way.
        admin.batch_execute(&format!("create database {name} template template0")).await.unwrap();
        Database { url: format!("{}/{name}", self.url), name, server: self.clone() }
    }
}

impl Database {
    /// Runs SQL in it, behind everybody's back.
    pub(crate) async fn execute(&self, sql: &str) {
        connect(&self.url).await.unwrap().batch_execute(sql).await.unwrap();
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let (server, name) = (self.server.clone(), self.name.clone());
        let dropped = on_a_thread(async move || {
            let admin = connect(&format!("{}/postgres", server.url)).await?;
            let dropped = admin.batch_execute(&format!("drop database {name} with (force)")).await;
            dropped.map_err(|error| error.to_string())
        });
        // A server of a test's own may be down by now, which takes the database with it.
        if let Err(why) = dropped {
            let _ = writeln!(std::io::stderr(), "{} is left behind: {why}", self.url);
        }
    }
}

/// A server that is started here, and can be stopped and started while tests go on.
pub(crate) struct OwnServer {
    pub(crate) server: Server,
    pub(crate) dir: PathBuf,
    leash: Mutex<Leash>,
}

struct Leash {
    /// Nothing once it was let go.
    says: Option<ChildStdin>,
    hears: mpsc::Receiver<String>,
    child: Child,
}

impl OwnServer {
    /// Starts one, and returns when it can be used.
    pub(crate) fn start() -> OwnServer {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let no = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("relais-postgres-{}-{no}", std::process::id()));
        let port = free_port();
        let mut shell = on_a_leash(&dir, port);
        // A terminal's interrupt is for us; the server goes in good order because we go.
        std::os::unix::process::CommandExt::process_group(&mut shell, 0);
        let mut child = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (says, hears) = (child.stdin.take(), lines(child.stdout.take().unwrap()));
        let server = Server { url: format!("postgres://postgres@127.0.0.1:{port}") };
        let own = OwnServer { server, dir, leash: Mutex::new(Leash { says, hears, child }) };
        own.heard("started");
        own.until_it_answers();
        own
    }

    /// One whose leash another process holds, which can be killed in our place: that process, and the shell that runs it.
    pub(crate) fn held_by_another(dir: &Path) -> (Child, Child) {
        // It writes nothing, and as long as it sleeps its end of the pipe is open.
        let mut holder = Command::new("sleep").arg("600").stdout(Stdio::piped()).spawn().unwrap();
        let leash = holder.stdout.take().unwrap();
        let shell = on_a_leash(dir, free_port()).stdin(leash).stdout(Stdio::null()).spawn().unwrap();
        (holder, shell)
    }

    /// Ends it as its package's upgrade does: whoever is connected is disconnected, and nothing is lost.
    pub(crate) fn stop(&self) {
        self.order("stop");
    }

    /// Ends it at once, so that it has to recover when it starts again.
    pub(crate) fn crash(&self) {
        self.order("crash");
    }

    /// Starts it again, on the same port and with what it had.
    pub(crate) fn start_again(&self) {
        self.order("start");
        self.until_it_answers();
    }

    fn order(&self, order: &str) {
        writeln!(self.leash.lock().unwrap().says.as_ref().unwrap(), "{order}").unwrap();
        self.heard(&format!("{order}: done"));
    }

    fn heard(&self, wanted: &str) {
        let leash = self.leash.lock().unwrap();
        let mut others = Vec::new();
        loop {
            match leash.hears.recv_timeout(START_MAX) {
                Ok(line) if line == wanted => return,
                Ok(line) => others.push(line),
                Err(_) => panic!("PostgreSQL cannot be started: {}\n{}", others.join("\n"), self.log()),
            }
        }
    }

    fn until_it_answers(&self) {
        let began = Instant::now();
        while let Err(why) = usable(&self.server) {
            assert!(began.elapsed() < START_MAX, "PostgreSQL does not get ready: {why}\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        let leash = self.leash.get_mut().unwrap();
        leash.says = None;
        let _ = leash.child.wait();
    }
}

/// The shell that runs a server in `dir` for as long as its input is open.
fn on_a_leash(dir: &Path, port: u16) -> Command {
    let Some(bin) = binaries() else {
        panic!(
            "tests on PostgreSQL need a server: install Debian's package `postgresql` (15 or later; it does not have to run), \
             or name one whose user may create databases with {SERVER}=postgres://USER@SERVER:PORT"
        )
    };
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(include_str!("postgres.sh")).arg("relais-postgres").arg(bin).arg(dir).arg(port.to_string());
    shell.args(another_user());
    shell
}

fn lines(from: ChildStdout) -> mpsc::Receiver<String> {
    let (hand, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            if hand.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

/// Where PostgreSQL's programs are: on the path, or where Debian keeps those of each version; the newest.
fn binaries() -> Option<PathBuf> {
    let complete = |dir: &Path| dir.join("postgres").exists() && dir.join("initdb").exists();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut debian: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let entry = entry.ok()?;
            Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin")))
        })
        .collect();
    debian.sort();
    debian.into_iter().rev().map(|(_, dir)| dir).chain(std::env::split_paths(&path)).find(|dir| complete(dir))
}

/// PostgreSQL refuses to run as root. The words that start a command as somebody else, where we are root.
fn another_user() -> Vec<String> {
    let says = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).stderr(Stdio::null()).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    if says("id", &["-u"]).as_deref() != Some("0") {
        return Vec::new();
    }
    let user = ["postgres", "nobody"].into_iter().find(|user| says("id", &["-u", user]).is_some());
    let user = user.expect("a machine with a user `postgres` or `nobody`, because PostgreSQL does not run as root");
    let group = says("id", &["-g", user]).unwrap();
    let words: &[&str] = match says("setpriv", &["--version"]) {
        Some(_) => &["setpriv", "--reuid", user, "--regid", &group, "--clear-groups", "--"],
        None => &["runuser", "-u", user, "--"],
    };
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// A port below those that the kernel hands out to clients: nobody takes it while the server is down.
fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    const FIRST: u32 = 15_000;
    const COUNT: u32 = 4_000;
    loop {
        // Processes that test at the same time begin at different places, and servers of one process differ.
        let place = std::process::id().wrapping_mul(37).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT;
        let port = u16::try_from(FIRST + place).unwrap();
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
