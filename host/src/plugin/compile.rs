//! Compiling in a process of its own, because a compiler is a large program that is fed by strangers.
//!
//! In goes a component, out comes machine code in a file, or the reason why there is none. The process is this same program
//! under a hidden command: it has limits on its time, its memory and what it writes, it knows neither the host's environment
//! nor its directory, and it ends with the host. When it crashes, panics or is killed, that is one plugin's trouble.
//!
//! One at a time: two large components side by side would need twice the memory and be ready no sooner.
//!
//! What the process wrote is machine code that the host will run, so it is believed only where the process ended well.

pub(super) mod child;

use std::{
    fs::File,
    os::unix::process::ExitStatusExt,
    process::{ExitStatus, Stdio},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::{Child, Command},
};

use super::{
    settings::CompileSettings,
    units::{show_duration, show_size},
};

/// Why there is no machine code.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("{0}")]
    Invalid(String),
    #[error(
        "the compiler was stopped: it needs more than the {} of computing that `plugins.compile.time` allows for a component",
        show_duration(*time)
    )]
    Time { time: Duration },
    #[error(
        "the compiler needs more memory than the {} that `plugins.compile.memory` allows for a component",
        show_size(*memory)
    )]
    Memory { memory: u64 },
    #[error("the compiler gave up on it with a panic ({0}); please report the component")]
    Panic(String),
    #[error(
        "the compiler was ended by signal {signal}{said}; where the machine is short of memory, `plugins.compile.memory` keeps compilers small"
    )]
    Signal { signal: i32, said: String },
    #[error("the machine code cannot be written: {0}")]
    Write(String),
    #[error("the compiler's process cannot be used: {0}")]
    Process(#[from] std::io::Error),
    /// What a component of this machine code would need is looked at when it is loaded, not when it is compiled.
    #[error("{0:#}")]
    Load(wasmtime::Error),
}

/// What the process is told before the component: a line of JSON.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct Order {
    /// Of the component, so that half of one is never taken for the whole.
    bytes: u64,
    memory_bytes: u64,
    cpu_s: u64,
}

/// Computing is what is bounded, so that a machine with other things to do refuses nothing. By this many times the bound the
/// process is stuck, or never has its turn.
const PATIENCE: u32 = 10;

/// What is kept of what the process says.
const SAID_BYTES_MAX: u64 = 8 << 10;

/// Compiles into an empty file. Blocks for as long as that takes, and for as long as others are being compiled.
pub(super) fn compile(wasm: &[u8], settings: &CompileSettings, out: &File) -> Result<(), Error> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    // A runtime of its own: this is called from threads that may block, with and without a runtime around them.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (ended, said) = runtime.block_on(attempt(wasm, settings, out))?;
    verdict(ended, &said, settings)
}

/// Lets the process work until it ends or its time is over; without an exit status it was the time.
async fn attempt(
    wasm: &[u8],
    settings: &CompileSettings,
    out: &File,
) -> Result<(Option<ExitStatus>, String), std::io::Error> {
    let mut child = start(out)?;
    let ended =
        tokio::time::timeout(settings.time.0.saturating_mul(PATIENCE), converse(&mut child, wasm, settings)).await;
    match ended {
        Ok(ended) => ended.map(|(status, said)| (Some(status), said)),
        Err(_) => {
            child.kill().await?;
            Ok((None, String::new()))
        }
    }
}

fn start(out: &File) -> std::io::Result<Child> {
    let (program, words) = program()?;
    Command::new(program)
        .args(words)
        // Nothing of the host's environment: secrets may be in it.
        .env_clear()
        // The allocator would reserve a gigabyte of addresses to begin with, which the limit on memory counts.
        .env("MIMALLOC_ARENA_RESERVE", "0")
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::from(out.try_clone()?))
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
}

/// The program that runs now, even where its file was replaced meanwhile: another version makes other code.
fn program() -> std::io::Result<(std::path::PathBuf, &'static [&'static str])> {
    let running = std::path::PathBuf::from("/proc/self/exe");
    let program = if running.exists() { running } else { std::env::current_exe()? };
    #[cfg(not(test))]
    let words: &[&str] = &[child::COMMAND];
    // Unit tests are another program, in which a test does what the command does.
    #[cfg(test)]
    let words: &[&str] = &["--exact", "plugin::compile::child::tests::compiler", "--ignored", "--quiet", "--nocapture"];
    Ok((program, words))
}

async fn converse(
    child: &mut Child,
    wasm: &[u8],
    settings: &CompileSettings,
) -> Result<(ExitStatus, String), std::io::Error> {
    // The kernel counts whole seconds, of all threads together.
    let cpu_s = settings.time.0.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX).max(1);
    let order = Order { bytes: wasm.len() as u64, memory_bytes: settings.memory.0, cpu_s };
    let mut head = serde_json::to_vec(&order)?;
    head.push(b'\n');
    let (stdin, stderr) = (child.stdin.take(), child.stderr.take());
    let tell = async {
        if let Some(mut stdin) = stdin {
            // A process that has ended already says why by its status.
            let _ = stdin.write_all(&head).await;
            let _ = stdin.write_all(wasm).await;
        }
    };
    let listen = async {
        let mut said = Vec::new();
        if let Some(mut stderr) = stderr {
            let _ = (&mut stderr).take(SAID_BYTES_MAX).read_to_end(&mut said).await;
            // What is beyond is read and dropped, so that the process does not wait for somebody to read it.
            let _ = tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await;
        }
        String::from_utf8_lossy(&said).trim().to_owned()
    };
    let ((), said, status) = tokio::join!(tell, listen, child.wait());
    Ok((status?, said))
}

/// What came of it, by how the process ended and what it said.
fn verdict(ended: Option<ExitStatus>, said: &str, settings: &CompileSettings) -> Result<(), Error> {
    let Some(status) = ended else { return Err(Error::Time { time: settings.time.0 }) };
    if status.success() {
        return Ok(());
    }
    // What allocators, threads and the kernel say when the limit is reached.
    const SHORT_OF_MEMORY: [&str; 4] =
        ["memory allocation of", "Cannot allocate memory", "Resource temporarily unavailable", "out of memory"];
    if SHORT_OF_MEMORY.iter().any(|words| said.contains(words)) {
        return Err(Error::Memory { memory: settings.memory.0 });
    }
    let first = said.lines().find(|line| !line.trim().is_empty()).unwrap_or_default().to_owned();
    Err(match (status.code(), status.signal()) {
        (Some(child::INVALID), _) => Error::Invalid(said.to_owned()),
        (Some(child::TROUBLE), _) => Error::Write(said.to_owned()),
        (Some(101), _) => Error::Panic(said.lines().take(3).collect::<Vec<_>>().join(" ")),
        (_, Some(signal)) if signal == rustix::process::Signal::XCPU.as_raw() => Error::Time { time: settings.time.0 },
        (_, Some(signal)) if first.is_empty() => Error::Signal { signal, said: String::new() },
        (_, Some(signal)) => Error::Signal { signal, said: format!(" ({first})") },
        (code, None) => Error::Process(std::io::Error::other(format!("it ended with {code:?}: {first}"))),
    })
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;
    use crate::plugin::{settings::CompileSettings, tests::world, units::Bytes};

    /// A component with one function of very many instructions, which depend on one another.
    fn enormous(lines: usize) -> Vec<u8> {
        let mut body = String::new();
        for no in 0..lines {
            let (to, from) = (no % 97, (no * 31) % 89);
            body.push_str(&format!(
                "(local.set {to} (i32.mul (i32.add (local.get {to}) (local.get {from})) (i32.const {no})))\n\
                 (if (i32.eqz (local.get {from})) (then (local.set {from} (local.get {to}))))\n"
            ));
        }
        let locals = "i32 ".repeat(97);
        wat::parse_str(format!("(component (core module (func (export \"f\") (local {locals})\n{body})))")).unwrap()
    }

    fn compiled(wasm: &[u8], settings: &CompileSettings) -> Result<Vec<u8>, Error> {
        let mut out = tempfile::tempfile().unwrap();
        compile(wasm, settings, &out)?;
        let mut code = Vec::new();
        std::io::Seek::rewind(&mut out).unwrap();
        out.read_to_end(&mut code).unwrap();
        Ok(code)
    }

    #[test]
    fn a_component_becomes_code_of_this_engine() {
        let code = compiled(&world::wasm("polite"), &CompileSettings::default()).unwrap();
        assert_eq!(wasmtime::Engine::detect_precompiled(&code), Some(wasmtime::Precompiled::Component));
    }

    #[test]
    fn what_is_no_component_is_refused_in_the_compilers_words() {
        let error = compiled(b"\0asm nonsense", &CompileSettings::default()).unwrap_err();
        assert!(matches!(error, Error::Invalid(_)), "{error}");
    }

    #[test]
    fn a_compiler_that_takes_too_long_is_stopped() {
        let settings = CompileSettings { time: crate::plugin::Span(Duration::from_secs(1)), ..Default::default() };
        let error = compiled(&enormous(150_000), &settings).unwrap_err();
        assert!(matches!(error, Error::Time { .. }), "{error}");
        assert!(
            error.to_string().contains("1s of computing") && error.to_string().contains("plugins.compile.time"),
            "{error}"
        );
        // The next one has its turn.
        compiled(&world::wasm("polite"), &CompileSettings::default()).unwrap();
    }

    #[test]
    fn a_compiler_that_takes_too_much_memory_ends_and_takes_nobody_along() {
        let settings =
            CompileSettings { memory: Bytes(192 << 20), time: crate::plugin::Span(Duration::from_secs(600)) };
        let error = compiled(&enormous(150_000), &settings).unwrap_err();
        assert!(matches!(error, Error::Memory { .. }), "{error}");
        assert!(
            error.to_string().contains("192MiB") && error.to_string().contains("plugins.compile.memory"),
            "{error}"
        );
        compiled(&world::wasm("polite"), &settings).unwrap();
    }

    #[test]
    fn a_compiler_that_ends_badly_is_one_plugins_trouble() {
        let settings = CompileSettings::default();
        let how = |raw: i32, said: &str| verdict(Some(ExitStatus::from_raw(raw)), said, &settings).unwrap_err();
        assert!(matches!(how(11, ""), Error::Signal { signal: 11, .. }));
        assert!(matches!(how(9, ""), Error::Signal { signal: 9, .. }));
        assert!(matches!(how(101 << 8, "thread 'main' panicked at x"), Error::Panic(_)));
        assert!(matches!(how(24, ""), Error::Time { .. }));
        assert!(matches!(how(6, "memory allocation of 32 bytes failed"), Error::Memory { .. }));
        assert!(matches!(how(child::TROUBLE << 8, "No space left on device"), Error::Write(_)));
        assert!(matches!(how(77 << 8, ""), Error::Process(_)));
    }
}
