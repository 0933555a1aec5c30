//! `relais plugin push` and `pull`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::trust::{OfHost, pin};
use crate::{
    author::registry::{self, Access},
    process,
    terminal::{Failure, say},
};

#[derive(Subcommand)]
pub(super) enum RegistryCommand {
    /// Publish a package in an OCI registry, so that `wkg` can pull its component, and relais all of it
    #[command(
        after_help = "Example:\n  relais plugin push plugins/order-ready registry.example/team/order-ready:1.2.0\n\n\
                            Credentials: RELAIS_REGISTRY_USER and RELAIS_REGISTRY_PASSWORD (alone: a bearer token), else what `docker login` keeps.\nExit codes: 0 it is there, 1 it is not (the reason is printed)."
    )]
    Push {
        /// The package's directory
        dir: PathBuf,
        /// Where to, with a tag
        reference: String,
        #[command(flatten)]
        reach: Reach,
        #[command(flatten)]
        of: OfHost,
    },
    /// Fetch a package from an OCI registry and put it in place, whole
    #[command(
        after_help = "Examples:\n  relais plugin pull registry.example/team/order-ready:1.2.0 --config relais.toml --lock\n  \
                            relais plugin pull registry.example/team/order-ready@sha256:…  ./order-ready\n\nA package that `plugins.signatures` of the configuration would refuse is fetched into no place.\n\
                            Credentials: as for push. Exit codes: 0 it is in place, 1 it is not (the reason is printed)."
    )]
    Pull {
        /// What, by tag or digest
        reference: String,
        /// Where to; the plugins' directory and the plugin's name where absent
        to: Option<PathBuf>,
        /// Pin what was fetched in plugins.lock
        #[arg(long)]
        lock: bool,
        #[command(flatten)]
        reach: Reach,
        #[command(flatten)]
        of: OfHost,
    },
}

#[derive(Args)]
pub(super) struct Reach {
    /// Where credentials lie, as `docker login` writes them
    #[arg(long, value_name = "FILE")]
    auth_file: Option<PathBuf>,
    /// Without TLS. A registry on this machine is reached so anyway
    #[arg(long)]
    plain_http: bool,
}

impl Reach {
    fn access(self) -> Access {
        Access { auth_file: self.auth_file, plain_http: self.plain_http }
    }
}

impl RegistryCommand {
    pub(super) async fn run(self) -> Result<(), Failure> {
        match self {
            RegistryCommand::Push { dir, reference, reach, of } => {
                let moved = registry::push(&dir, &reference, &reach.access(), &of.settings()?).await?;
                say(format_args!("{} {} {}\n{}", moved.name, moved.version, moved.digest, moved.reference));
            }
            RegistryCommand::Pull { reference, to, lock, reach, of } => {
                let mut settings = of.settings()?;
                let limits = &settings.limits;
                // A package is in memory as files, as what was read of them, and as text for messages. A registry that sends
                // without end where nothing says how much there will be ends this command, and not the machine.
                let needed =
                    (limits.package_bytes.0 + limits.asset_bytes.0).saturating_mul(6).saturating_add(512 << 20);
                process::limit_memory(needed).map_err(anyhow::Error::from)?;
                let moved = registry::pull(&reference, to.as_deref(), &reach.access(), &settings).await?;
                say(format_args!("{} {} {}\n{}", moved.name, moved.version, moved.digest, moved.reference));
                if lock {
                    // Beside the package, wherever that is.
                    if let Some(dir) = moved.dir.parent() {
                        settings.dir = dir.to_owned();
                    }
                    pin(&moved.name, &settings)?;
                }
                let verdict = moved.verdict;
                verdict.remarks.iter().for_each(|remark| say(format_args!("warning: {remark}")));
                let by = verdict.signed_by.map(|by| format!(", signed by {by}")).unwrap_or_default();
                say(format_args!("{}{by}{}", moved.dir.display(), if lock { ", pinned" } else { "" }));
            }
        }
        Ok(())
    }
}
