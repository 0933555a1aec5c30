//! What a command says to whoever called it: standard output, and nothing else goes there.

use std::io::Write;

/// Writes a line. A reader that went away (`| head`) ends the program quietly, as is usual.
pub fn say(line: impl std::fmt::Display) {
    if writeln!(std::io::stdout().lock(), "{line}").is_err() {
        std::process::exit(0);
    }
}

/// Says on standard error why a command failed.
pub fn complain(failure: &super::Failure) {
    let text = failure.to_string();
    if !text.is_empty() {
        // There is nowhere left to say that standard error is gone.
        let _ = writeln!(std::io::stderr().lock(), "relais: {text}");
    }
}
