//! `relais config check` and `relais config defaults`.

use std::path::PathBuf;

use clap::Subcommand;

use crate::{
    config::{self, Config},
    terminal::{Failure, say},
};

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
