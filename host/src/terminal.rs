//! What a command says to whoever called it: answers on standard output and nothing else there, what went wrong on standard
//! error and as an exit code.

use std::io::Write;

/// Writes a line. A reader that went away (`| head`) ends the program quietly, as is usual.
pub fn say(line: impl std::fmt::Display) {
    if writeln!(std::io::stdout().lock(), "{line}").is_err() {
        std::process::exit(0);
    }
}

/// Says on standard error why a command failed.
pub fn complain(failure: &Failure) {
    let text = failure.to_string();
    if !text.is_empty() {
        // There is nowhere left to say that standard error is gone.
        let _ = writeln!(std::io::stderr().lock(), "relais: {text}");
    }
}

/// Why a command failed, for the exit code.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error("{0:#}")]
    Failed(#[from] anyhow::Error),
    #[error("{0}")]
    Unreachable(String),
    #[error("{0}")]
    Refused(String),
    /// What is to be said was said.
    #[error("")]
    Silent,
}

impl Failure {
    pub fn exit_code(&self) -> u8 {
        match self {
            Failure::Failed(_) | Failure::Silent => 1,
            Failure::Unreachable(_) => 3,
            Failure::Refused(_) => 4,
        }
    }
}
