//! `relais plugin check`, `relais config check` and `relais config defaults`.

use std::path::PathBuf;

use clap::Subcommand;

use crate::terminal::{Failure, say};
use crate::{config, config::Config, plugin};

#[derive(Subcommand)]
pub(super) enum PluginCommand {
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
}

impl PluginCommand {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let PluginCommand::Check { path, config, json } = self;
        let settings = match config {
            Some(file) => Config::load(Some(&file)).map_err(anyhow::Error::from)?.plugins,
            None => plugin::Settings::default(),
        };
        let report = plugin::check(&path, &settings).await;
        if json {
            say(serde_json::to_string_pretty(&report).map_err(anyhow::Error::from)?);
        } else {
            say(&report);
        }
        if report.passed() { Ok(()) } else { Err(Failure::Silent) }
    }
}

#[derive(Subcommand)]
pub(super) enum ConfigCommand {
    /// Read a configuration as `serve` would, and say what is wrong with it
    #[command(
        after_help = "Example:\n  relais config check relais.toml\n\nExit codes: 0 `serve` would take it, 1 it would not (the key at fault is named)."
    )]
    Check {
        /// The configuration file; the defaults and the environment alone where absent
        file: Option<PathBuf>,
    },
    /// Print every setting with its default and its reason
    #[command(after_help = "Example:\n  relais config defaults > relais.toml")]
    Defaults,
}

impl ConfigCommand {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self {
            ConfigCommand::Check { file } => {
                let config = Config::load(file.as_deref()).map_err(anyhow::Error::from)?;
                for warning in config.warnings() {
                    say(format_args!("warning: {warning}"));
                }
                say(format_args!("the configuration is right; it would listen on {}", config.server.listen));
            }
            ConfigCommand::Defaults => say(config::DEFAULTS.trim_end()),
        }
        Ok(())
    }
}
