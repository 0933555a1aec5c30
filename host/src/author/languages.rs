//! The languages that a plugin can be written in, as `languages.toml` has them.

use std::{path::Path, sync::LazyLock};

use anyhow::{Context as _, bail};
use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Language {
    pub name: String,
    pub title: String,
    /// The directory of its template.
    pub(super) template: String,
    /// The file that a plugin in this language has, and no other's.
    pub main: String,
    /// What a build depends on.
    pub sources: Vec<String>,
    #[serde(default)]
    pub(super) setup: Vec<Vec<String>>,
    /// Files after whose change the setup is made again.
    #[serde(default)]
    pub(super) setup_when: Vec<String>,
    pub(super) build: Vec<Vec<String>>,
    pub(super) component: String,
    #[serde(default, rename = "tool")]
    pub(super) tools: Vec<Tool>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Tool {
    pub(super) command: Vec<String>,
    /// The oldest version that does; empty where any does.
    pub(super) least: String,
    pub(super) install: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    language: Vec<Language>,
}

/// All of them, the one most used first.
pub fn languages() -> &'static [Language] {
    static LANGUAGES: LazyLock<Vec<Language>> = LazyLock::new(|| {
        #[expect(clippy::expect_used, reason = "it is part of the program, and a test reads it")]
        let file: File = toml::from_str(super::templates::LANGUAGES).expect("languages.toml is right");
        file.language
    });
    &LANGUAGES
}

impl Language {
    pub(super) fn named(name: &str) -> anyhow::Result<&'static Language> {
        let found = languages().iter().find(|language| language.name == name);
        let names = || languages().iter().map(|language| language.name.as_str()).collect::<Vec<_>>().join(", ");
        found.with_context(|| format!("`{name}` is no language that relais has a template for; there are {}", names()))
    }

    /// The language that a plugin's directory is written in: the one whose main file it has.
    pub fn of(dir: &Path) -> anyhow::Result<&'static Language> {
        let found: Vec<&Language> = languages().iter().filter(|language| dir.join(&language.main).is_file()).collect();
        match found.as_slice() {
            [language] => Ok(language),
            [] => {
                let mains: Vec<String> =
                    languages().iter().map(|language| format!("{} ({})", language.main, language.title)).collect();
                bail!(
                    "{}: no source of a plugin is here; one of these is looked for: {}",
                    dir.display(),
                    mains.join(", ")
                )
            }
            [first, second, ..] => bail!(
                "{}: `{}` and `{}` are both here; say which with --lang {} or --lang {}",
                dir.display(),
                first.main,
                second.main,
                first.name,
                second.name
            ),
        }
    }

    /// A word of this language's table for a plugin of that name.
    pub(super) fn filled_in(word: &str, name: &str) -> String {
        word.replace("{{name}}", name).replace("{{crate}}", &name.replace('-', "_"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_language_has_a_template_with_its_main_file_and_a_way_to_build_it() {
        for language in languages() {
            let files = super::super::templates::files(&language.template);
            assert!(files.iter().any(|file| file.path == language.main), "{}: no {}", language.name, language.main);
            assert!(files.iter().any(|file| file.path == "plugin.toml"), "{}", language.name);
            assert!(files.iter().any(|file| file.path.starts_with("tests/")), "{}: no scenario", language.name);
            assert!(files.iter().any(|file| file.path == "README.md"), "{}: no README", language.name);
            assert!(!language.build.is_empty() && language.build.iter().all(|command| !command.is_empty()));
            // A placeholder that only a template has would reach a tool as it stands.
            let words = language.setup.iter().chain(&language.build).flatten().chain([&language.component]);
            for word in words {
                assert!(!Language::filled_in(word, "a-name").contains("{{"), "{}: {word}", language.name);
            }
            assert!(language.tools.iter().all(|tool| !tool.command.is_empty() && !tool.install.is_empty()));
        }
        let names: Vec<&str> = languages().iter().map(|language| language.name.as_str()).collect();
        for wanted in ["rust", "javascript", "typescript", "python", "c", "go"] {
            assert!(names.contains(&wanted), "{wanted}");
        }
    }

    #[test]
    fn an_unknown_language_is_told_with_those_that_there_are() {
        let error = Language::named("cobol").unwrap_err().to_string();
        assert!(error.contains("cobol") && error.contains("rust, javascript"), "{error}");
    }
}
