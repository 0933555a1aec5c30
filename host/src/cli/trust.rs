//! `relais plugin lock`, `keygen`, `sign` and `verify`.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use clap::{Args, Subcommand};

use crate::{
    config::Config,
    plugin::{
        Settings,
        trust::{self, Contents, Lock, Mode, Pin, PrivateKey, PublicKey},
    },
    terminal::{Failure, say},
};

#[derive(Subcommand)]
pub(super) enum TrustCommand {
    /// Pin packages: write the digests of those that you have looked at into plugins.lock
    #[command(
        after_help = "Examples:\n  relais plugin lock                   all packages of the plugins' directory\n  relais plugin lock order-ready       this one, and the others stay as they are\n  \
                            relais plugin lock --check           writes nothing, and says what differs\n\nWith plugins.lock = \"strict\" a host loads what is pinned and nothing else. Exit codes: 0 done, 1 not, or something differs."
    )]
    Lock {
        /// Which packages; all where absent
        names: Vec<String>,
        /// Only compare
        #[arg(long)]
        check: bool,
        #[command(flatten)]
        of: OfHost,
    },
    /// Make a key to sign packages with, and print what hosts that trust it write into their configuration
    #[command(
        after_help = "Example:\n  relais plugin keygen ~/keys/example.com.pem --publisher example.com\n\nThe file is an Ed25519 key in PEM (PKCS#8), as OpenSSL makes them too. Keep it; a host never needs it."
    )]
    Keygen {
        /// Where to; a file that is there stays
        file: PathBuf,
        /// Who signs with it, as manifests say it
        #[arg(long, default_value = "example.com", value_name = "NAME")]
        publisher: String,
    },
    /// Sign a package: write plugin.sig over the digest of all its files
    #[command(after_help = "Example:\n  relais plugin sign plugins/order-ready --key ~/keys/example.com.pem")]
    Sign {
        /// The package's directory
        dir: PathBuf,
        /// A private key, in PEM
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        #[command(flatten)]
        of: OfHost,
    },
    /// Say a package's digest, who signed it, and whether it is pinned
    #[command(
        after_help = "Examples:\n  relais plugin verify plugins/order-ready --config relais.toml\n  relais plugin verify order-ready --key Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n\n\
                            Exit codes: 0 nothing is wrong with it, 1 something is (it is printed)."
    )]
    Verify {
        /// The package's directory
        dir: PathBuf,
        /// A public key to trust beside the configuration's; the package then has to be signed
        #[arg(long, value_name = "BASE64")]
        key: Vec<String>,
        #[command(flatten)]
        of: OfHost,
    },
}

/// Whose settings apply.
#[derive(Args)]
pub(super) struct OfHost {
    /// The configuration whose directory, keys and limits apply; the defaults where absent
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The plugins' directory, in place of the configuration's
    #[arg(long = "dir", value_name = "DIR")]
    plugins: Option<PathBuf>,
}

impl OfHost {
    pub(super) fn settings(&self) -> anyhow::Result<Settings> {
        let mut settings = match &self.config {
            Some(file) => Config::load(Some(file))?.plugins,
            None => Settings::default(),
        };
        if let Some(dir) = &self.plugins {
            settings.dir.clone_from(dir);
        }
        Ok(settings)
    }
}

impl TrustCommand {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self {
            TrustCommand::Lock { names, check, of } => lock(&names, check, &of.settings()?),
            TrustCommand::Keygen { file, publisher } => Ok(keygen(&file, &publisher)?),
            TrustCommand::Sign { dir, key, of } => Ok(sign(&dir, &key, &of.settings()?)?),
            TrustCommand::Verify { dir, key, of } => verify(&dir, &key, of.settings()?),
        }
    }
}

fn lock(names: &[String], check: bool, settings: &Settings) -> Result<(), Failure> {
    let path = Lock::path(&settings.dir);
    let found = found(names, settings)?;
    let mut lock = Lock::read(&path).map_err(anyhow::Error::from)?.unwrap_or_default();
    let differences = lock.differences(&found, names.is_empty());
    differences.iter().for_each(say);
    if check {
        return if differences.is_empty() { Ok(()) } else { Err(Failure::Silent) };
    }
    if names.is_empty() {
        lock.plugins.clear();
    }
    let pinned = found.len();
    lock.plugins.extend(found);
    lock.write(&path).map_err(anyhow::Error::from)?;
    say(format_args!("{}: {pinned} pinned, {} in all", path.display(), lock.plugins.len()));
    Ok(())
}

/// The packages of these names, as a lock file has them.
fn found(names: &[String], settings: &Settings) -> anyhow::Result<BTreeMap<String, Pin>> {
    let dirs = match names {
        [] => Contents::all(settings)?,
        names => names.iter().map(|name| settings.dir.join(name)).collect(),
    };
    if dirs.is_empty() {
        anyhow::bail!("there is no package in {}; --dir or --config names another directory", settings.dir.display());
    }
    let pin = |dir: &PathBuf| {
        let contents = Contents::read(dir, settings).with_context(|| dir.display().to_string())?;
        Ok((contents.name, Pin { version: contents.version, digest: contents.digest }))
    };
    dirs.iter().map(pin).collect()
}

/// Pins one package that has just been put in place.
pub(super) fn pin(name: &str, settings: &Settings) -> anyhow::Result<()> {
    let path = Lock::path(&settings.dir);
    let mut lock = Lock::read(&path)?.unwrap_or_default();
    lock.plugins.extend(found(&[name.to_owned()], settings)?);
    Ok(lock.write(&path)?)
}

fn keygen(file: &Path, publisher: &str) -> anyhow::Result<()> {
    let key = PrivateKey::generate(file)?;
    say(format_args!(
        "{}: keep it to yourself. Hosts that trust it have:\n\n[plugins.trusted-keys]\n{} = \"{}\"",
        file.display(),
        toml::Value::String(publisher.to_owned()),
        key.public()
    ));
    Ok(())
}

fn sign(dir: &Path, key: &Path, settings: &Settings) -> anyhow::Result<()> {
    let key = PrivateKey::read(key)?;
    let signed = trust::sign(dir, &key, settings)?;
    say(format_args!("{} {} {}\nsigned with the key {}", signed.name, signed.version, signed.digest, key.public()));
    Ok(())
}

fn verify(dir: &Path, keys: &[String], mut settings: Settings) -> Result<(), Failure> {
    for (no, key) in keys.iter().enumerate() {
        let key = PublicKey::parse(key).map_err(|error| anyhow::anyhow!("--key: {error}"))?;
        settings.trusted_keys.insert(format!("--key {}", no + 1), key);
    }
    // What is wrong is told, whatever the host would make of it.
    (settings.lock, settings.signatures) = (Mode::new("warn"), Mode::new("warn"));
    let (contents, verdict) = trust::verify(dir, &settings).map_err(anyhow::Error::from)?;
    say(format_args!("{} {}\n{}", contents.name, contents.version, verdict.package_digest));
    let signed = verdict.signed_by.map_or_else(|| "no trusted signature".to_owned(), |by| format!("signed by {by}"));
    say(format_args!("{signed}, {}", if verdict.pinned { "pinned" } else { "not pinned" }));
    verdict.remarks.iter().for_each(|remark| say(format_args!("warning: {remark}")));
    if verdict.remarks.is_empty() { Ok(()) } else { Err(Failure::Silent) }
}
