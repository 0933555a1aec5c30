//! `relais replay`.

use std::{io::IsTerminal, path::PathBuf};

use anyhow::Context as _;
use clap::Args;

use crate::{
    author,
    config::Config,
    plugin,
    terminal::{Failure, say},
};

#[derive(Args)]
pub(super) struct Replay {
    /// The bundle's file
    bundle: PathBuf,
    /// The plugin's directory, built: the same build, or a newer one
    #[arg(long, value_name = "DIR", default_value = ".")]
    package: PathBuf,
    /// The configuration whose limits and grants apply; the defaults where absent
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

impl Replay {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let settings = match &self.config {
            Some(file) => Config::load(Some(file)).map_err(anyhow::Error::from)?.plugins,
            None => plugin::Settings::default(),
        };
        let place = || format!("{} is no bundle; `relais runs bundle ID` prints one", self.bundle.display());
        let text = std::fs::read(&self.bundle).with_context(|| format!("cannot read {}", self.bundle.display()))?;
        let bundle = serde_json::from_slice(&text).with_context(place)?;
        let replayed = author::replay(bundle, &self.package, settings).await?;
        if self.json {
            say(serde_json::to_string_pretty(&replayed).map_err(anyhow::Error::from)?);
        } else {
            say(replayed.text(author::Colours(std::io::stdout().is_terminal())));
        }
        Ok(())
    }
}
