//! The process: where its log goes, and when it is asked to stop.

use anyhow::Context;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::{LogFormat, LogSettings};

/// Logs go to standard error; standard output is for answers.
pub fn log_to_stderr(settings: &LogSettings) -> anyhow::Result<()> {
    let filter = tracing_subscriber::EnvFilter::try_new(&settings.level)
        .with_context(|| format!("log.level `{}` is no filter", settings.level))?;
    // It warns of each directory that was replaced, which is how packages are replaced.
    let filter = filter.add_directive("notify=error".parse()?);
    // Colours are for people who watch, not for files.
    let colours = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(std::io::stderr);
    match settings.format {
        LogFormat::Text => subscriber.with_target(false).init(),
        LogFormat::Json => subscriber.json().init(),
    }
    Ok(())
}

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    Stop,
    /// SIGHUP: look at the plugins.
    Reload,
}

/// SIGTERM, Ctrl-C and SIGHUP, from when this is made: one that comes while nobody waits for it is not missed.
#[cfg(unix)]
pub struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    hang_up: tokio::signal::unix::Signal,
    /// Taken so that it does not end the process: see [`Signals::listen`].
    #[cfg(target_os = "linux")]
    _file_size: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    pub fn listen() -> std::io::Result<Signals> {
        use tokio::signal::unix::{SignalKind, signal};
        // SIGXFSZ: a limit on the size of files (`ulimit -f`, `LimitFSIZE=`) is then an error of the write, like a full disk,
        // and not the end of the process over and over.
        #[cfg(target_os = "linux")]
        const FILE_SIZE: i32 = 25;
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
            #[cfg(target_os = "linux")]
            _file_size: signal(SignalKind::from_raw(FILE_SIZE))?,
        })
    }

    /// Returns on the next that asks for an end.
    pub async fn asked_to_stop(&mut self) {
        while self.next().await != Asked::Stop {}
    }

    pub async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::Stop,
            _ = self.interrupt.recv() => Asked::Stop,
            _ = self.hang_up.recv() => Asked::Reload,
        }
    }
}

/// Ctrl-C, where there are no other signals.
#[cfg(not(unix))]
pub struct Signals;

#[cfg(not(unix))]
impl Signals {
    pub fn listen() -> std::io::Result<Signals> {
        Ok(Signals)
    }

    pub async fn next(&mut self) -> Asked {
        self.asked_to_stop().await;
        Asked::Stop
    }

    pub async fn asked_to_stop(&mut self) {
        // Where it cannot be waited for, the process runs until it is killed, which it survives.
        let _ = tokio::signal::ctrl_c().await;
    }
}

/// Returns on SIGTERM or Ctrl-C.
pub async fn asked_to_stop() {
    match Signals::listen() {
        Ok(mut signals) => signals.asked_to_stop().await,
        Err(error) => {
            tracing::warn!(%error, "no signal can be waited for: this runs until it is killed, which it survives");
            std::future::pending().await
        }
    }
}

/// Bounds what this process may use, for good.
pub(crate) fn limit(resource: Resource, value: u64) -> std::io::Result<()> {
    // Somebody may have set a lower one for the host already.
    let least = getrlimit(resource).maximum.map_or(value, |maximum| maximum.min(value));
    Ok(setrlimit(resource, Rlimit { current: Some(least), maximum: Some(least) })?)
}

/// Bounds the seconds that this process may compute, over all its threads. The signal at the soft limit says what happened; at
/// the hard one the kernel kills without a word, so that one comes a second later.
pub(crate) fn limit_computing(seconds: u64) -> std::io::Result<()> {
    let maximum = getrlimit(Resource::Cpu).maximum.unwrap_or(u64::MAX).min(seconds.saturating_add(1));
    Ok(setrlimit(Resource::Cpu, Rlimit { current: Some(seconds.min(maximum)), maximum: Some(maximum) })?)
}

/// Bounds the memory that this process takes from now on: threads and the program itself have addresses already, which are not
/// what the limit is about. Who asks for more is ended by the allocator.
pub(crate) fn limit_memory(bytes: u64) -> std::io::Result<()> {
    limit(Resource::As, bytes.saturating_add(addresses()))
}

/// Bytes of addresses that this process has now; none where the system does not say.
fn addresses() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmSize:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) << 10
}
