//! `relais plugin new`, `build` and `check`; `trust` beside has the others.

use std::path::{Path, PathBuf};

use clap::{Subcommand, builder::PossibleValuesParser};

use super::{registry::RegistryCommand, trust::TrustCommand};
use crate::{
    author,
    config::Config,
    plugin,
    terminal::{Failure, say},
};

#[derive(Subcommand)]
pub(super) enum PluginCommand {
    /// Begin a plugin: a package that builds, with a handler, a scenario test and a README
    #[command(
        after_help = "Examples:\n  relais plugin new table-free --lang python\n  relais plugin new table-free --lang rust plugins/table-free\n\n\
                            The first evening is told in plugin-sdk/README.md. Exit codes: 0 it is there, 1 it is not (the reason is printed)."
    )]
    New {
        /// Small letters, digits and hyphens: what the plugin is called everywhere
        name: String,
        /// The language to write it in
        #[arg(long, value_name = "LANGUAGE", value_parser = names())]
        lang: String,
        /// Where; a directory of that name in this one where absent
        dir: Option<PathBuf>,
        /// Where plugin-sdk/ lies; looked for from the new directory upwards where absent
        #[arg(long, value_name = "DIR", env = "RELAIS_SDK")]
        sdk: Option<PathBuf>,
    },
    /// Build a plugin with its language's own tools, and print the component's digest
    #[command(
        after_help = "Examples:\n  relais plugin build table-free\n  relais plugin build            in the plugin's directory\n\n\
                            What a tool prints is shown as it is. Exit codes: 0 the component is there, 1 it is not: a tool is missing, and what\ninstalls it is named, or the build failed."
    )]
    Build {
        /// The plugin's directory
        #[arg(default_value = ".")]
        dir: PathBuf,
        /// The language, where its main file does not tell
        #[arg(long, value_name = "LANGUAGE", value_parser = names())]
        lang: Option<String>,
    },
    /// Read a package and say what it needs and whether this host would load it
    #[command(after_help = "Examples:\n  relais plugin check plugins/order-ready\n  \
                            relais plugin check my-plugin --config relais.toml     with the grants and limits of a host\n\nExit codes: 0 it would be loaded, 1 it would be refused (the reason is printed).")]
    Check {
        /// A directory with a plugin.toml
        path: PathBuf,
        /// The configuration whose limits and grants apply; the defaults where absent
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    #[command(flatten)]
    Trust(TrustCommand),
    #[command(flatten)]
    Registry(RegistryCommand),
}

fn names() -> PossibleValuesParser {
    author::languages().iter().map(|language| language.name.as_str()).collect::<Vec<_>>().into()
}

impl PluginCommand {
    pub(super) async fn run(self) -> Result<(), Failure> {
        match self {
            PluginCommand::New { name, lang, dir, sdk } => {
                let dir = dir.unwrap_or_else(|| PathBuf::from(&name));
                Ok(new(&name, &lang, &dir, sdk.as_deref())?)
            }
            PluginCommand::Build { dir, lang } => Ok(build(&dir, lang.as_deref())?),
            PluginCommand::Trust(command) => command.run(),
            PluginCommand::Registry(command) => command.run().await,
            PluginCommand::Check { path, config, json } => check(&path, config.as_deref(), json).await,
        }
    }
}

fn new(name: &str, lang: &str, dir: &Path, sdk: Option<&Path>) -> anyhow::Result<()> {
    let begun = author::begin(name, lang, dir, sdk)?;
    say(format_args!("{} in {}: {}", name, begun.language.title, dir.display()));
    begun.files.iter().for_each(|file| say(format_args!("  {file}")));
    let dir = dir.display();
    say(format_args!(
        "\nBegin with {}. Then:\n  relais plugin build {dir}\n  relais plugin check {dir}",
        begun.language.main
    ));
    Ok(())
}

fn build(dir: &Path, lang: Option<&str>) -> anyhow::Result<()> {
    let built = author::build(dir, lang)?;
    let kib = built.bytes.div_ceil(1024);
    say(format_args!(
        "{} ({}): {}, {kib} KiB\n{}",
        built.name,
        built.language.title,
        built.component.display(),
        built.digest
    ));
    Ok(())
}

async fn check(path: &Path, config: Option<&Path>, json: bool) -> Result<(), Failure> {
    let settings = match config {
        Some(file) => Config::load(Some(file)).map_err(anyhow::Error::from)?.plugins,
        None => plugin::Settings::default(),
    };
    let report = plugin::check(path, &settings).await;
    if json {
        say(serde_json::to_string_pretty(&report).map_err(anyhow::Error::from)?);
    } else {
        say(&report);
    }
    if report.passed() { Ok(()) } else { Err(Failure::Silent) }
}
