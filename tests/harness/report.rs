//! The long versions of tests, and the figures that they end with.

use std::io::Write;

/// How many rounds a test that goes round makes. CI has little time; `scripts/kill-loop` gives more.
const ROUNDS: &str = "RELAIS_TEST_ROUNDS";
/// How long a test under load lasts, in seconds.
const SECONDS: &str = "RELAIS_TEST_SECONDS";
/// A file that the figures are added to, in the form that `docs/reliability.md` has.
const REPORT: &str = "RELAIS_TEST_REPORT";

pub(crate) fn rounds(usually: u32) -> u32 {
    number(ROUNDS).unwrap_or(usually)
}

pub(crate) fn seconds(usually: u32) -> u32 {
    number(SECONDS).unwrap_or(usually)
}

fn number(name: &str) -> Option<u32> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

/// How a test goes, for whoever watches a long one or reads why it failed.
#[expect(clippy::print_stdout, reason = "a test that fails shows what it printed")]
pub(crate) fn line(text: &str) {
    println!("{text}");
}

/// What a test found, as a table of two columns.
pub(crate) fn table(title: &str, figures: &[(&str, String)]) {
    let mut text = format!("\n| {title} | |\n|---|---|\n");
    for (name, figure) in figures {
        text.push_str(&format!("| {name} | {figure} |\n"));
    }
    line(&text);
    if let Ok(path) = std::env::var(REPORT) {
        let mut file = std::fs::File::options().create(true).append(true).open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }
}
