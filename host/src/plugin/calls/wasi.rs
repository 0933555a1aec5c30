//! WASI as a run sees it: no files, no sockets, no environment; a clock that stands still, chance that repeats itself, and
//! output that ends in the run's log.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::Bytes;
use wasmtime_wasi::{
    HostMonotonicClock, HostWallClock, WasiCtx, WasiCtxBuilder,
    cli::{IsTerminal, StdoutStream},
    p2::bindings::random::{insecure, insecure_seed, random},
};
use wasmtime_wasi_io::{
    poll::Pollable,
    streams::{OutputStream, StreamError},
};

use super::RunState;
use crate::{
    clock::Timestamp,
    domain::run::LogLine,
    plugin::{limiter::LimitReached, units::show_size},
};

/// What is kept of a run's log for its report: a stack trace of Python or JavaScript with what led to it.
const TAIL_BYTES: usize = 8 << 10;
/// One call for random bytes. Keys and codes have a few dozen; this is for libraries that fill a pool.
pub(crate) const RANDOM_BYTES_MAX: u64 = 64 << 10;
/// What a guest may write in one go before it is asked to wait, as everywhere in WASI.
const WRITE_BYTES_MAX: usize = 64 << 10;

pub(crate) fn context(log: &Arc<RunLog>, now: Timestamp) -> WasiCtx {
    WasiCtxBuilder::new()
        .stdout(Output { log: log.clone(), stream: Stream::Stdout })
        .stderr(Output { log: log.clone(), stream: Stream::Stderr })
        .wall_clock(StandingClock(Duration::from_millis(u64::try_from(now.0).unwrap_or(0))))
        .monotonic_clock(RunClock(Instant::now()))
        .allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false)
        .build()
}

/// The time of the run, whenever it is asked.
struct StandingClock(Duration);

impl HostWallClock for StandingClock {
    fn resolution(&self) -> Duration {
        Duration::from_millis(1)
    }

    fn now(&self) -> Duration {
        self.0
    }
}

/// Runs from 0, for the time-outs of libraries.
struct RunClock(Instant);

impl HostMonotonicClock for RunClock {
    fn resolution(&self) -> u64 {
        1
    }

    fn now(&self) -> u64 {
        u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

/// Where a line came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    Stdout,
    Stderr,
    /// `run.log`, with its level.
    Log(&'static str),
    /// The host's own remark.
    Host(&'static str),
}

impl Stream {
    fn level(self) -> &'static str {
        match self {
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
            Stream::Log(level) | Stream::Host(level) => level,
        }
    }
}

/// The end of what a run wrote.
pub(crate) struct RunLog {
    bytes_max: u64,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    lines: VecDeque<LogLine>,
    /// Bytes of `lines`.
    kept: usize,
    /// Bytes that were ever written.
    written: u64,
    /// Lines that are not yet ended, of stdout and stderr.
    open: [Vec<u8>; 2],
}

impl RunLog {
    pub(crate) fn new(bytes_max: u64) -> RunLog {
        RunLog { bytes_max, inner: Mutex::new(Inner::default()) }
    }

    /// Adds a whole line; `false` where the log is full.
    pub(crate) fn line(&self, stream: Stream, message: &str, fields: Vec<(String, String)>) -> bool {
        let mut inner = self.lock();
        let bytes = message.len() + weight(&fields);
        inner.written = inner.written.saturating_add(bytes as u64);
        // The tail is for reading; a line whose fields alone would fill it says at least what happened.
        let fields = if weight(&fields) > TAIL_BYTES / 2 { Vec::new() } else { fields };
        inner.push(stream, message, fields);
        inner.written <= self.bytes_max
    }

    pub(crate) fn full(&self) -> LimitReached {
        LimitReached::host("log-bytes", show_size(self.bytes_max))
    }

    fn write(&self, stream: Stream, bytes: &[u8]) -> bool {
        let mut inner = self.lock();
        inner.written = inner.written.saturating_add(bytes.len() as u64);
        if inner.written > self.bytes_max {
            return false;
        }
        let slot = usize::from(stream == Stream::Stderr);
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let Some(open) = inner.open.get_mut(slot) else { return true };
            open.extend_from_slice(piece.strip_suffix(b"\n").unwrap_or(piece));
            // A line without an end is cut where the whole tail is full.
            if piece.ends_with(b"\n") || open.len() >= TAIL_BYTES {
                let line = std::mem::take(open);
                inner.push(stream, &String::from_utf8_lossy(&line), Vec::new());
            }
        }
        true
    }

    /// The lines that were kept, the open ones at last.
    pub(crate) fn take(&self) -> Vec<LogLine> {
        let mut inner = self.lock();
        for (slot, stream) in [(0, Stream::Stdout), (1, Stream::Stderr)] {
            let line = inner.open.get_mut(slot).map(std::mem::take).unwrap_or_default();
            if !line.is_empty() {
                inner.push(stream, &String::from_utf8_lossy(&line), Vec::new());
            }
        }
        inner.lines.drain(..).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

fn weight(fields: &[(String, String)]) -> usize {
    fields.iter().map(|(name, value)| name.len() + value.len()).sum()
}

impl Inner {
    fn push(&mut self, stream: Stream, message: &str, fields: Vec<(String, String)>) {
        let mut end = message.len().min(TAIL_BYTES);
        while !message.is_char_boundary(end) {
            end -= 1;
        }
        let message = message.get(..end).unwrap_or_default().to_owned();
        self.kept += message.len() + weight(&fields);
        self.lines.push_back(LogLine { level: stream.level().to_owned(), message, fields });
        while self.kept > TAIL_BYTES {
            let Some(dropped) = self.lines.pop_front() else { break };
            self.kept -= dropped.message.len() + weight(&dropped.fields);
        }
    }
}

/// Standard output or error of a guest.
#[derive(Clone)]
struct Output {
    log: Arc<RunLog>,
    stream: Stream,
}

impl IsTerminal for Output {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Output {
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }

    fn async_stream(&self) -> Box<dyn tokio::io::AsyncWrite + Send + Sync> {
        // Only WASI 0.3 asks for this one, which is not linked.
        Box::new(tokio::io::sink())
    }
}

#[async_trait]
impl Pollable for Output {
    async fn ready(&mut self) {}
}

#[async_trait]
impl OutputStream for Output {
    fn write(&mut self, bytes: Bytes) -> Result<(), StreamError> {
        if self.log.write(self.stream, &bytes) { Ok(()) } else { Err(StreamError::Trap(self.log.full().into())) }
    }

    fn flush(&mut self) -> Result<(), StreamError> {
        Ok(())
    }

    fn check_write(&mut self) -> Result<usize, StreamError> {
        Ok(WRITE_BYTES_MAX)
    }
}

impl RunState {
    fn wasi_chance(&mut self, count: usize) -> Vec<u8> {
        if self.wasi_random.is_none() {
            self.wasi_random = Some(self.chance("relais wasi random"));
        }
        let mut bytes = vec![0; count];
        if let Some(reader) = &mut self.wasi_random {
            reader.fill(&mut bytes);
        }
        bytes
    }

    fn wasi_chance_bounded(&mut self, count: u64) -> wasmtime::Result<Vec<u8>> {
        self.call()?;
        match usize::try_from(count) {
            Ok(fits) if count <= RANDOM_BYTES_MAX => Ok(self.wasi_chance(fits)),
            _ => Err(super::Misuse(format!("{count} random bytes at once; ask for {RANDOM_BYTES_MAX} at most")).into()),
        }
    }

    fn wasi_chance_u64(&mut self) -> u64 {
        let bytes = self.wasi_chance(8);
        bytes.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
    }
}

impl random::Host for RunState {
    fn get_random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        self.wasi_chance_bounded(len)
    }

    fn get_random_u64(&mut self) -> wasmtime::Result<u64> {
        self.call()?;
        Ok(self.wasi_chance_u64())
    }
}

impl insecure::Host for RunState {
    fn get_insecure_random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        self.wasi_chance_bounded(len)
    }

    fn get_insecure_random_u64(&mut self) -> wasmtime::Result<u64> {
        self.call()?;
        Ok(self.wasi_chance_u64())
    }
}

impl insecure_seed::Host for RunState {
    fn insecure_seed(&mut self) -> wasmtime::Result<(u64, u64)> {
        self.call()?;
        Ok((self.wasi_chance_u64(), self.wasi_chance_u64()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_the_log_is_kept_line_by_line() {
        let log = RunLog::new(1 << 20);
        for no in 0..2000 {
            assert!(log.write(Stream::Stderr, format!("line {no}\n").as_bytes()));
        }
        assert!(log.write(Stream::Stderr, b"no newline"));
        let lines = log.take();
        assert_eq!(lines.last().unwrap().message, "no newline");
        assert_eq!(lines[lines.len() - 2].message, "line 1999");
        assert!(lines.iter().map(|line| line.message.len()).sum::<usize>() <= TAIL_BYTES);
    }

    #[test]
    fn a_full_log_says_so() {
        let log = RunLog::new(10);
        assert!(log.write(Stream::Stdout, b"12345"));
        assert!(!log.write(Stream::Stdout, b"123456"));
        assert!(!log.line(Stream::Log("info"), "x", Vec::new()));
    }
}
