//! The binary, run as anybody runs it.

use std::{
    path::Path,
    process::{ExitStatus, Output, Stdio},
    sync::atomic::{AtomicU16, Ordering},
    time::Duration,
};

use tokio::process::{Child, Command};

/// Far more than any command takes; one that hangs fails its test and no more than that.
const COMMAND_MAX: Duration = Duration::from_secs(120);

fn binary() -> Command {
    binary_under(&[])
}

/// The binary as the last word of another program's command: a tracer, or limits.
fn binary_under(under: &[String]) -> Command {
    const BINARY: &str = env!("CARGO_BIN_EXE_relais");
    let mut command = match under.split_first() {
        None => Command::new(BINARY),
        Some((program, words)) => {
            let mut command = Command::new(program);
            command.args(words).arg(BINARY);
            command
        }
    };
    // Settings of whoever runs the tests are not the tests' settings.
    command.env_clear().env("NO_COLOR", "1").kill_on_drop(true);
    command
}

/// Runs `relais` with these arguments to its end.
pub(crate) async fn relais(arguments: &[&str]) -> Output {
    relais_with(arguments, &[], "").await
}

/// The same with an environment and something on standard input.
pub(crate) async fn relais_with(arguments: &[&str], environment: &[(&str, &str)], input: &str) -> Output {
    use tokio::io::AsyncWriteExt;
    let mut command = binary();
    command.args(arguments).envs(environment.iter().copied());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // Who does not read its input may close it.
    let _ = stdin.write_all(input.as_bytes()).await;
    drop(stdin);
    let ended = tokio::time::timeout(COMMAND_MAX, child.wait_with_output()).await;
    ended.unwrap_or_else(|_| panic!("relais {arguments:?} does not end")).unwrap()
}

/// Starts `relais serve`, with its log appended to `log`; `under` another program where that is not empty.
pub(crate) fn serve(config: &Path, log: &Path, under: &[String]) -> Child {
    let log = std::fs::File::options().create(true).append(true).open(log).unwrap();
    let mut command = binary_under(under);
    command.arg("serve").arg("--config").arg(config);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    command.spawn().unwrap()
}

/// Asks a process to end, as an operator does.
pub(crate) async fn terminate(child: &mut Child) -> ExitStatus {
    signal(child.id().unwrap(), "-TERM").await;
    ended(child).await
}

pub(crate) async fn signal(id: u32, signal: &str) {
    let sent = Command::new("kill").args([signal, &id.to_string()]).status().await.unwrap();
    assert!(sent.success(), "{signal} cannot be sent to {id}");
}

/// How a process ends that is to end by itself.
pub(crate) async fn ended(child: &mut Child) -> ExitStatus {
    tokio::time::timeout(COMMAND_MAX, child.wait()).await.unwrap_or_else(|_| panic!("the host does not stop")).unwrap()
}

/// A port that nobody uses, below those that the kernel hands out to clients: while a host is down nobody takes it.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    const FIRST: u16 = 20_000;
    const COUNT: u32 = 12_000;
    loop {
        let step = u32::from(NEXT.fetch_add(1, Ordering::Relaxed));
        // Processes that test at the same time begin at different places.
        let place = (std::process::id().wrapping_mul(131) + step) % COUNT;
        let port = FIRST + u16::try_from(place).unwrap();
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
