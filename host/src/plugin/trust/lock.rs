//! The lock file: which package was looked at, by its digest.

use std::{
    collections::BTreeMap,
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::Error;

/// Enough for some thousand plugins.
const LOCK_BYTES_MAX: u64 = 1 << 20;

const HEAD: &str = "# Which packages may be loaded, by the digest over all their files. Written by `relais plugin lock`; keep it under\n\
                    # version control. `plugins.lock` of the host's configuration says what is made of a package that differs.\n";

/// `plugins.lock`, beside the packages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    lock: u32,
    #[serde(default)]
    pub plugins: BTreeMap<String, Pin>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pin {
    /// What the manifest called itself; for people.
    pub version: String,
    pub digest: String,
}

/// Where a lock file and the packages do not agree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    NotPinned { name: String },
    Changed { name: String, pinned: Pin, found: Pin },
    Gone { name: String },
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Difference::NotPinned { name } => write!(f, "{name} is not pinned"),
            Difference::Changed { name, pinned, found } => write!(
                f,
                "{name} is {} ({}), and pinned is {} ({})",
                found.digest, found.version, pinned.digest, pinned.version
            ),
            Difference::Gone { name } => write!(f, "{name} is pinned, and not there"),
        }
    }
}

impl Default for Lock {
    fn default() -> Self {
        Lock { lock: 1, plugins: BTreeMap::new() }
    }
}

impl Lock {
    pub fn path(dir: &Path) -> PathBuf {
        dir.join("plugins.lock")
    }

    /// Nothing where there is no such file.
    pub fn read(path: &Path) -> Result<Option<Lock>, Error> {
        let wrong = |why: String| Error::Lock { path: path.to_owned(), why };
        let file = match File::open(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(|error| wrong(error.to_string()))?,
        };
        let mut text = String::new();
        file.take(LOCK_BYTES_MAX + 1).read_to_string(&mut text).map_err(|error| wrong(error.to_string()))?;
        if text.len() as u64 > LOCK_BYTES_MAX {
            return Err(wrong(format!("it has more than {LOCK_BYTES_MAX} bytes")));
        }
        let lock: Lock = toml::from_str(&text).map_err(|error| wrong(error.to_string().trim().to_owned()))?;
        match lock.lock {
            1 => Ok(Some(lock)),
            other => Err(wrong(format!("`lock = {other}` is no version of this format; this host knows 1"))),
        }
    }

    pub fn write(&self, path: &Path) -> Result<(), Error> {
        let text =
            toml::to_string(self).map_err(|error| Error::Lock { path: path.to_owned(), why: error.to_string() })?;
        super::replace(path, format!("{HEAD}\n{text}").as_bytes())
    }

    /// What is different from these packages. `whole`: they are all that there are.
    pub fn differences(&self, found: &BTreeMap<String, Pin>, whole: bool) -> Vec<Difference> {
        let mut differences: Vec<Difference> = Vec::new();
        for (name, found) in found {
            match self.plugins.get(name) {
                None => differences.push(Difference::NotPinned { name: name.clone() }),
                Some(pinned) if pinned.digest != found.digest => differences.push(Difference::Changed {
                    name: name.clone(),
                    pinned: pinned.clone(),
                    found: found.clone(),
                }),
                Some(_) => {}
            }
        }
        let gone = self.plugins.keys().filter(|name| whole && !found.contains_key(*name));
        differences.extend(gone.map(|name| Difference::Gone { name: name.clone() }));
        differences
    }
}
