//! The other side: the process that compiles.
//!
//! It reads an order and a component from standard input, gives up whatever it could do harm with, and writes machine code to
//! standard output, which is a file. Its last words are on standard error, and its exit code says what they are about.

use std::{
    fs::File,
    io::{BufRead, BufReader, Read, Seek, Write},
    os::fd::AsFd,
    process::ExitCode,
};

use rustix::process::{Resource, Signal, set_parent_process_death_signal};

use super::Order;
use crate::{plugin::engine, process};

/// What the command is called. It is not for people.
#[cfg(not(test))]
pub(super) const COMMAND: &str = "compile-component";
/// The component is at fault.
pub(super) const INVALID: i32 = 1;
/// The component may be well; reading it, or writing the code, failed.
pub(super) const TROUBLE: i32 = 3;

/// Longer than any order.
const ORDER_BYTES_MAX: u64 = 1 << 10;

enum Failed {
    Invalid(String),
    Trouble(String),
}

/// Compiles what standard input brings.
pub fn compile_from_stdin() -> ExitCode {
    let (code, said) = match work() {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Failed::Invalid(said)) => (INVALID, said),
        Err(Failed::Trouble(said)) => (TROUBLE, said),
    };
    let _ = writeln!(std::io::stderr(), "{said}");
    ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX))
}

fn work() -> Result<(), Failed> {
    let trouble = |error: std::io::Error| Failed::Trouble(error.to_string());
    // A host that is killed takes its compiler along.
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(|error| trouble(error.into()))?;
    let mut stdin = BufReader::new(std::io::stdin().lock());
    let mut line = String::new();
    (&mut stdin).take(ORDER_BYTES_MAX).read_line(&mut line).map_err(trouble)?;
    let order: Order = serde_json::from_str(&line)
        .map_err(|error| Failed::Trouble(format!("this command is for the host itself, not for people: {error}")))?;
    confine(&order).map_err(trouble)?;
    let mut wasm = Vec::new();
    (&mut stdin).take(order.bytes).read_to_end(&mut wasm).map_err(trouble)?;
    if wasm.len() as u64 != order.bytes {
        return Err(Failed::Trouble(format!("of {} bytes only {} came", order.bytes, wasm.len())));
    }
    let engine = engine::for_compiling().map_err(|error| Failed::Trouble(format!("{error:#}")))?;
    let code = engine.precompile_component(&wasm).map_err(|error| Failed::Invalid(format!("{error:#}")))?;
    write(&code).map_err(trouble)
}

/// From here on this process can use no more than the order allows, and the kernel ends it before it ends the host.
fn confine(order: &Order) -> std::io::Result<()> {
    process::limit_memory(order.memory_bytes)?;
    process::limit_computing(order.cpu_s)?;
    // Code that is larger than all memory is not code.
    process::limit(Resource::Fsize, order.memory_bytes)?;
    process::limit(Resource::Core, 0)?;
    // Where the kernel does not let a process say this of itself, it is as before.
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
    Ok(())
}

/// From the file's beginning, whatever was written there before.
fn write(code: &[u8]) -> std::io::Result<()> {
    let mut out = File::from(std::io::stdout().as_fd().try_clone_to_owned()?);
    out.set_len(0)?;
    out.rewind()?;
    out.write_all(code)
}

#[cfg(test)]
mod tests {
    /// Not a test: what unit tests have in place of the command, because they are another program. By itself it does nothing.
    #[test]
    #[ignore = "it is the process that the other tests compile in"]
    fn compiler() {
        let ended = super::compile_from_stdin();
        let code = [super::INVALID, super::TROUBLE].into_iter().find(|code| {
            let code = std::process::ExitCode::from(u8::try_from(*code).unwrap());
            format!("{code:?}") == format!("{ended:?}")
        });
        std::process::exit(code.unwrap_or(0));
    }
}
