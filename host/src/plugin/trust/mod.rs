//! Whose code is this, and is it what was looked at?
//!
//! In goes a package that was read, and what the operator decided: digests that were pinned in `plugins.lock` beside the
//! packages ([`Lock`]), and the public keys of publishers that are trusted ([`signature`]). Out comes a [`Verdict`] for whoever
//! looks, or the reason why the package is not loaded.
//!
//! Both are `off`, `warn` or `strict`; a word that is none of these is taken for `strict`, because whoever wrote it wanted
//! something. Digest and signature are over the whole package (`Files::digest`), so nothing in it can be exchanged.
//!
//! This module runs nothing, and never decides what a plugin may do: that is the manifest's and the operator's.

mod lock;
mod mode;
mod signature;

use std::path::{Path, PathBuf};

pub use lock::{Difference, Lock, Pin};
pub use mode::{Level, Mode};
pub use signature::{PrivateKey, PublicKey};

use super::{
    package::{self, Files, Package},
    settings::Settings,
};

/// Why a package is not trusted.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the lock file {}: {why}", path.display())]
    Lock { path: PathBuf, why: String },
    #[error(
        "there is no {}, and `plugins.lock` is strict: look at the packages, then pin them with `relais plugin lock`",
        path.display()
    )]
    NoLock { path: PathBuf },
    #[error("it is not pinned in plugins.lock; look at it, then pin it with `relais plugin lock {name}`")]
    NotPinned { name: String },
    #[error(
        "it is not what was pinned: plugins.lock has {pinned} ({version}), and the package is {found}; where the change is wanted, \
         pin it with `relais plugin lock {name}`"
    )]
    Changed { name: String, version: String, pinned: String, found: String },
    #[error("it is not signed, and `plugins.signatures` is strict; its publisher signs it with `relais plugin sign`")]
    Unsigned,
    #[error("its signature cannot be read: {0}")]
    BadSignature(String),
    #[error("its signature is not over this package: it was signed as {signed}, and is {found}")]
    SignedOther { signed: String, found: String },
    #[error("its signature is by a key that is not trusted: {key}; `[plugins.trusted-keys]` has those that are")]
    UnknownKey { key: String },
    #[error("its signature is not valid for the key of `{by}`")]
    Forged { by: String },
    #[error("it says that it is by `{publisher}`, and the signature is by the key of `{by}`")]
    OtherPublisher { publisher: String, by: String },
    #[error("the key: {0}")]
    Key(String),
    #[error("{}: {error}", path.display())]
    File { path: PathBuf, error: std::io::Error },
    #[error("{0}")]
    Package(String),
}

/// What is known of a package's origin.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Verdict {
    /// Over the whole package.
    pub package_digest: String,
    /// Under which name its publisher's key is trusted.
    pub signed_by: Option<String>,
    /// The lock file has it.
    pub pinned: bool,
    /// What would be a reason to refuse it, were the settings strict.
    pub remarks: Vec<String>,
}

/// Whether a package may be loaded, by the lock file and its signature. The lock file is read anew each time.
pub(super) fn judge(package: &Package, settings: &Settings) -> Result<Verdict, Error> {
    let mut verdict = Verdict { package_digest: package.package_digest.clone(), ..Verdict::default() };
    let name = package.manifest.name.as_str();
    if settings.lock.level() != Level::Off {
        let pinned = pinned(name, &package.package_digest, settings);
        verdict.pinned = settings.lock.weigh(pinned, &mut verdict.remarks)?.unwrap_or(false);
    }
    if settings.signatures.level() != Level::Off {
        let signed = signer(package, settings);
        verdict.signed_by = settings.signatures.weigh(signed, &mut verdict.remarks)?.flatten();
    }
    for remark in &verdict.remarks {
        tracing::warn!(plugin = name, "{remark}");
    }
    Ok(verdict)
}

/// Nothing is pinned where there is no lock file, which is something to say only where one is required.
fn pinned(name: &str, found: &str, settings: &Settings) -> Result<bool, Error> {
    let path = Lock::path(&settings.dir);
    let Some(lock) = Lock::read(&path)? else {
        return if settings.lock.level() == Level::Strict { Err(Error::NoLock { path }) } else { Ok(false) };
    };
    match lock.plugins.get(name) {
        None => Err(Error::NotPinned { name: name.to_owned() }),
        Some(pin) if pin.digest == found => Ok(true),
        Some(Pin { version, digest }) => Err(Error::Changed {
            name: name.to_owned(),
            version: version.clone(),
            pinned: digest.clone(),
            found: found.to_owned(),
        }),
    }
}

/// Who signed it. That nobody did is something to say only where signatures are expected.
fn signer(package: &Package, settings: &Settings) -> Result<Option<String>, Error> {
    let expected = settings.signatures.level() == Level::Strict || !settings.trusted_keys.is_empty();
    let Some(text) = &package.signature else { return if expected { Err(Error::Unsigned) } else { Ok(None) } };
    let by = signature::verify(text, &package.package_digest, &settings.trusted_keys)?;
    match &package.manifest.publisher {
        // A key that is trusted for one publisher does not speak for another.
        Some(publisher) if *publisher != by && settings.trusted_keys.contains_key(publisher) => {
            Err(Error::OtherPublisher { publisher: publisher.clone(), by })
        }
        _ => Ok(Some(by)),
    }
}

/// A package's directory as those need it who pin, sign or publish: read within the same bounds as by a host.
pub struct Contents {
    pub name: String,
    pub version: String,
    pub publisher: Option<String>,
    /// The component's path among the files.
    pub component: String,
    pub digest: String,
    /// Every file of the package by its path; its signature is apart.
    pub files: std::collections::BTreeMap<String, Vec<u8>>,
    pub signature: Option<Vec<u8>>,
}

impl Contents {
    pub fn read(dir: &Path, settings: &Settings) -> Result<Contents, Error> {
        // `.` has no name of its own, and the name has to be the plugin's.
        let dir = match dir.file_name() {
            Some(_) => dir.to_owned(),
            None => std::fs::canonicalize(dir).map_err(|error| Error::File { path: dir.to_owned(), error })?,
        };
        let files = Files::read(&dir, &settings.limits).map_err(|error| Error::Package(error.to_string()))?;
        Ok(Contents {
            name: files.manifest.name.to_string(),
            version: files.manifest.version.clone(),
            publisher: files.manifest.publisher.clone(),
            component: files.manifest.component.clone(),
            digest: files.digest(),
            files: files.parts,
            signature: files.signature,
        })
    }

    /// The directories of all packages in the plugins' directory.
    pub fn all(settings: &Settings) -> Result<Vec<PathBuf>, Error> {
        package::list(&settings.dir).map_err(|error| Error::File { path: settings.dir.clone(), error })
    }
}

/// Signs a package where it lies, and says as what.
pub fn sign(dir: &Path, key: &PrivateKey, settings: &Settings) -> Result<Contents, Error> {
    let contents = Contents::read(dir, settings)?;
    replace(&dir.join(package::SIGNATURE), key.sign(&contents.digest).as_bytes())?;
    Ok(contents)
}

/// Everything that there is to say about a package, without loading it.
pub fn verify(dir: &Path, settings: &Settings) -> Result<(Contents, Verdict), Error> {
    let contents = Contents::read(dir, settings)?;
    let dir = std::path::absolute(dir).map_err(|error| Error::File { path: dir.to_owned(), error })?;
    let package = Package::read(&dir.components().collect::<PathBuf>(), settings)
        .map_err(|error| Error::Package(error.to_string()))?;
    Ok((contents, judge(&package, settings)?))
}

/// Writes a file that others read at any time: it is the old one or the new one, and never half of it.
pub fn replace(path: &Path, contents: &[u8]) -> Result<(), Error> {
    use std::{io::Write, os::unix::fs::PermissionsExt};
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let write = || {
        let mut aside = tempfile::Builder::new().prefix(".relais-").tempfile_in(dir)?;
        aside.write_all(contents)?;
        // Whoever runs the host has to be able to read it.
        aside.as_file().set_permissions(std::fs::Permissions::from_mode(0o644))?;
        aside.as_file().sync_all()?;
        aside.persist(path).map_err(|error| error.error)
    };
    write().map(|_| ()).map_err(|error| Error::File { path: path.to_owned(), error })
}

#[cfg(test)]
mod tests;
