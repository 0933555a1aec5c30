//! Programs that a build needs: whether they are there, and running them.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context as _, bail};

use super::languages::{Language, Tool};

/// Looks for every tool of a language; all that are missing are told at once, each with what installs it.
pub(super) fn check(language: &Language) -> anyhow::Result<()> {
    let missing: Vec<String> = language.tools.iter().filter_map(Tool::missing).collect();
    if missing.is_empty() {
        return Ok(());
    }
    bail!("{} needs what is not on this machine:\n{}", language.title, missing.join("\n"))
}

impl Tool {
    /// What is to be said of it where it is not there, or too old.
    fn missing(&self) -> Option<String> {
        let (program, words) = self.command.split_first()?;
        let called = self.command.join(" ");
        let output = Command::new(program).args(words).stdin(Stdio::null()).output();
        let why = match output {
            Err(_) => format!("`{program}` is not found"),
            Ok(output) if !output.status.success() => format!("`{called}` fails"),
            Ok(output) => {
                let said = [output.stdout, output.stderr].concat();
                let said = String::from_utf8_lossy(&said);
                match version_in(&said) {
                    _ if self.least.is_empty() => return None,
                    Some(version) if at_least(&version, &self.least) => return None,
                    Some(version) => {
                        format!("`{program}` is version {version}, and {} is the oldest that does", self.least)
                    }
                    None => format!("`{called}` does not say its version"),
                }
            }
        };
        Some(format!("  - {why}. {}", self.install))
    }
}

/// The first thing in a text that looks like a version.
fn version_in(text: &str) -> Option<String> {
    let words = text.split(|c: char| !(c.is_ascii_digit() || c == '.'));
    let mut versions = words.map(|word| word.trim_matches('.')).filter(|word| !word.is_empty());
    versions.find(|word| word.contains('.')).map(str::to_owned)
}

fn at_least(version: &str, least: &str) -> bool {
    let numbers = |text: &str| text.split('.').map(|part| part.parse::<u64>().unwrap_or(0)).collect::<Vec<_>>();
    numbers(version) >= numbers(least)
}

/// Runs a command of a language in a plugin's directory. Its words go to whoever looks, as they come.
pub(super) fn run(dir: &Path, name: &str, command: &[String]) -> anyhow::Result<()> {
    let words: Vec<String> = command.iter().map(|word| Language::filled_in(word, name)).collect();
    let Some((program, rest)) = words.split_first() else { return Ok(()) };
    // A program of the plugin's own directory is named from there, wherever relais was called.
    let own = dir.join(program);
    let program = if program.contains('/') { own.as_os_str() } else { program.as_ref() };
    let status = Command::new(program).args(rest).current_dir(dir).stdin(Stdio::null()).status();
    let called = words.join(" ");
    let status = status.with_context(|| format!("`{called}` cannot be run"))?;
    if !status.success() {
        bail!("`{called}` failed in {} ({status}); its own words are above", dir.display());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_and_compared_as_numbers() {
        assert_eq!(version_in("cargo 1.95.0 (abc 2026-04-01)").as_deref(), Some("1.95.0"));
        assert_eq!(version_in("v20.19.2\n").as_deref(), Some("20.19.2"));
        assert_eq!(version_in("Python 3.13.5").as_deref(), Some("3.13.5"));
        assert_eq!(version_in("no idea"), None);
        assert!(at_least("1.100.0", "1.95") && at_least("3.10", "3.10") && !at_least("3.9.2", "3.10"));
    }

    #[test]
    fn what_is_missing_is_named_with_what_installs_it() {
        let tool = |command: &[&str], least: &str| Tool {
            command: command.iter().map(|word| (*word).to_owned()).collect(),
            least: least.to_owned(),
            install: "apt-get install it".to_owned(),
        };
        assert_eq!(tool(&["true"], "").missing(), None);
        let missing = tool(&["relais-has-no-such-tool", "--version"], "1").missing().unwrap();
        assert!(missing.contains("relais-has-no-such-tool") && missing.contains("apt-get install it"), "{missing}");
        assert!(tool(&["false"], "").missing().unwrap().contains("fails"));
        let old = tool(&["echo", "tool 1.2.3"], "2.0").missing().unwrap();
        assert!(old.contains("1.2.3") && old.contains("2.0"), "{old}");
    }
}
