//! `relais plugin …`: what an author does with a package, and what an operator does with the plugins of a host.

use std::{
    io::IsTerminal,
    path::{Path, PathBuf},
};

use clap::{Subcommand, builder::PossibleValuesParser};

use super::{Target, plugins, registry::RegistryCommand, trust::TrustCommand};
use crate::{
    author,
    clock::SystemClock,
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
    /// Play a plugin's scenarios in simulated time: what happens, and what the plugin has to do about it
    #[command(
        after_help = "Examples:\n  relais plugin test table-free\n  relais plugin test table-free --filter reminded\n  \
                            relais plugin test table-free other/scenario.toml --json\n\n\
                            The format of tests/*.toml is in docs/scenarios.md. No server runs and nothing is sent; `advance = \"2h\"` takes no time.\n\
                            Exit codes: 0 every scenario came out as it says, 1 one did not, or could not be played."
    )]
    Test {
        /// The plugin's directory, built
        #[arg(default_value = ".")]
        dir: PathBuf,
        /// These scenarios and no others; those in the directory's tests/ where none is named
        files: Vec<PathBuf>,
        /// Only scenarios whose name or file holds this
        #[arg(long, value_name = "TEXT")]
        filter: Option<String>,
        /// The configuration whose limits and grants apply; the defaults where absent
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// What a host has loaded, what waits, and why
    #[command(
        after_help = "Exit codes: 0 everything serves; 1 something does not (it says why); 3 host not reachable; 4 the host refuses."
    )]
    List {
        #[command(flatten)]
        target: Target,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Have a host look at its plugins' directory now
    #[command(
        after_help = "A host looks by itself when files change; this waits for what comes of it. Settings and grants of the configuration are\n\
                            read when a host starts, not here.\n\nExit codes: 0 everything in the directory is loaded; 1 something is not (it says why)."
    )]
    Reload {
        #[command(flatten)]
        target: Target,
    },
    /// Accept the permissions that a held package asks for beyond what was accepted before
    Approve {
        name: String,
        #[command(flatten)]
        target: Target,
    },
    /// Have a plugin's runs wait in the store; its events are taken
    Pause {
        name: String,
        /// For whoever asks why
        #[arg(long)]
        why: Option<String>,
        #[command(flatten)]
        target: Target,
    },
    /// Execute a paused plugin's runs again, from where they stopped
    Resume {
        name: String,
        #[command(flatten)]
        target: Target,
    },
    /// How a plugin's shadow compares: the version in plugins.shadow-dir that is given the same runs
    #[command(
        after_help = "Put the newer version into shadows/NAME/ (plugins.shadow-dir), watch what this says, then move it to plugins/NAME/.\n\n\
                            Exit codes: 0 no run differs; 1 some do, or there is no shadow."
    )]
    Shadow {
        name: String,
        #[command(flatten)]
        target: Target,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Read a package and say what it needs and whether this host would load it, before anything is loaded
    #[command(after_help = "Examples:\n  relais plugin check plugins/order-ready\n  \
                            relais plugin check my-plugin --config relais.toml     with the grants and limits of a host\n  \
                            relais plugin check new/ride --against plugins/ride    what the update asks for that the old one does not\n\n\
                            The scenarios in its tests/ are played. Exit codes: 0 it would be loaded and its scenarios pass, 1 it would be\nrefused, or a scenario fails (the reason is printed).")]
    Check {
        /// A directory with a plugin.toml, or a component alone
        path: PathBuf,
        /// The configuration whose limits and grants apply; the defaults where absent
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// The version that it replaces, to compare permissions; the one in the configuration's plugins.dir where absent
        #[arg(long, value_name = "DIR")]
        against: Option<PathBuf>,
        /// Leave its scenarios unplayed
        #[arg(long)]
        no_scenarios: bool,
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
            PluginCommand::List { target, json } => plugins::list(&target, json).await,
            PluginCommand::Reload { target } => plugins::reload(&target).await,
            PluginCommand::Approve { name, target } => plugins::approve(&target, &name).await,
            PluginCommand::Pause { name, why, target } => plugins::pause(&target, &name, why.as_deref()).await,
            PluginCommand::Resume { name, target } => plugins::resume(&target, &name).await,
            PluginCommand::Shadow { name, target, json } => plugins::shadow(&target, &name, json).await,
            PluginCommand::Test { dir, files, filter, config, json } => {
                test(&dir, &files, filter.as_deref(), config.as_deref(), json).await
            }
            PluginCommand::Check { path, config, against, no_scenarios, json } => {
                let settings = settings(config.as_deref())?;
                // Without a configuration nobody has said where the plugins of a host are.
                let against = against.or_else(|| config.and_then(|_| installed(&path, &settings)));
                check(&path, against.as_deref(), settings, !no_scenarios, json).await
            }
        }
    }
}

fn new(name: &str, lang: &str, dir: &Path, sdk: Option<&Path>) -> anyhow::Result<()> {
    let begun = author::begin(name, lang, dir, sdk)?;
    say(format_args!("{} in {}: {}", name, begun.language.title, dir.display()));
    begun.files.iter().for_each(|file| say(format_args!("  {file}")));
    let dir = dir.display();
    say(format_args!(
        "\nBegin with {}. Then:\n  relais plugin build {dir}\n  relais plugin test {dir}\n  relais plugin check {dir}",
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

fn settings(config: Option<&Path>) -> Result<plugin::Settings, Failure> {
    Ok(match config {
        Some(file) => Config::load(Some(file)).map_err(anyhow::Error::from)?.plugins,
        None => plugin::Settings::default(),
    })
}

async fn test(
    dir: &Path,
    files: &[PathBuf],
    filter: Option<&str>,
    config: Option<&Path>,
    json: bool,
) -> Result<(), Failure> {
    let wanted = author::Wanted { dir, files, filter, settings: settings(config)? };
    let colours = author::Colours(std::io::stdout().is_terminal());
    let told = |played: &author::Played| {
        if !json {
            say(author::text(played, colours));
        }
    };
    let all = author::test(&wanted, &SystemClock::new(), told).await?;
    if all.is_empty() {
        return Err(anyhow::anyhow!("no scenario is called like `{}`", filter.unwrap_or_default()).into());
    }
    if json {
        say(serde_json::to_string_pretty(&all).map_err(anyhow::Error::from)?);
    } else {
        say(author::summary(&all, colours));
    }
    if all.iter().all(|played| played.passed) { Ok(()) } else { Err(Failure::Silent) }
}

/// The version of a package that a host has, where that is another one.
fn installed(path: &Path, settings: &plugin::Settings) -> Option<PathBuf> {
    let path = path.canonicalize().ok()?;
    let there = settings.dir.join(path.file_name()?).canonicalize().ok()?;
    (there != path && there.join("plugin.toml").is_file()).then_some(there)
}

async fn check(
    path: &Path,
    against: Option<&Path>,
    settings: plugin::Settings,
    scenarios: bool,
    json: bool,
) -> Result<(), Failure> {
    let mut report = plugin::check(path, against, &settings).await;
    if scenarios && report.loads() && author::has_scenarios(path) {
        let wanted = author::Wanted { dir: path, files: &[], filter: None, settings };
        let played = author::test(&wanted, &SystemClock::new(), |_| ()).await?;
        report.scenarios = played.into_iter().map(scenario).collect();
    }
    if json {
        say(serde_json::to_string_pretty(&report).map_err(anyhow::Error::from)?);
    } else {
        say(&report);
    }
    if report.passed() { Ok(()) } else { Err(Failure::Silent) }
}

fn scenario(played: author::Played) -> plugin::Scenario {
    let name = if played.name.is_empty() { "it cannot be played".to_owned() } else { played.name };
    plugin::Scenario { name, file: played.file, passed: played.passed }
}
