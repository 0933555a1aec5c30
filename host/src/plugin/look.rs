//! What lies in the plugins' directory, by its outside: names, sizes and times, without reading what is in the files.
//!
//! Only what belongs to a package is looked at, so that somebody who builds a plugin beside its sources sets nothing off before
//! the component is there.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use super::package;

/// Files of a package that are looked at. A package has ten; who has more assets than this is told of a change by the others.
const FILES_MAX: usize = 1_000;
const DEPTH_MAX: usize = 8;

/// Two of the same package are the same where nothing was written in between.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Outside(Vec<Stamp>);

/// A file's path, inode, size, and when it was changed, its name included. The time of change is the system's, which no copying
/// tool sets back.
type Stamp = (PathBuf, u64, u64, (i64, i64), (i64, i64));

/// Every package by its directory. An error where the directory cannot be looked at, or is not there: then nothing is known,
/// which is something else than that every package is gone.
pub(super) fn packages(dir: &Path) -> io::Result<BTreeMap<PathBuf, Outside>> {
    fs::metadata(dir)?;
    packages_or_none(dir)
}

/// The same where a directory that is not there means that there are none.
pub(super) fn packages_or_none(dir: &Path) -> io::Result<BTreeMap<PathBuf, Outside>> {
    Ok(package::list(dir)?.into_iter().map(|path| (path.clone(), outside(&path))).collect())
}

/// How one package looks now. A file that goes while it is looked at is not there.
pub(super) fn outside(package: &Path) -> Outside {
    let mut stamps = Vec::new();
    stamp(&package.join("plugin.toml"), &mut stamps);
    // Whatever lies beside it may be the component, a schema, or machine code, which has no place there.
    for entry in entries(package) {
        let counts =
            entry.extension().is_some_and(|ending| ["wasm", "cwasm", "json"].iter().any(|known| ending == *known));
        if counts {
            stamp(&entry, &mut stamps);
        }
    }
    for named in named_files(package) {
        stamp(&named, &mut stamps);
    }
    tree(&package.join("assets"), 0, &mut stamps);
    stamps.sort();
    stamps.dedup();
    Outside(stamps)
}

/// The component and the schema, where the manifest has them elsewhere.
fn named_files(package: &Path) -> Vec<PathBuf> {
    let Some(manifest) = fs::read_to_string(package.join("plugin.toml")).ok() else { return Vec::new() };
    let Ok(manifest) = manifest.parse::<toml::Table>() else { return Vec::new() };
    let text = |table: &str, key: &str| manifest.get(table)?.get(key)?.as_str().map(str::to_owned);
    let named = [text("plugin", "component"), text("config", "schema")];
    named.into_iter().flatten().map(|name| package.join(name)).collect()
}

fn entries(dir: &Path) -> Vec<PathBuf> {
    let found = fs::read_dir(dir).map(|entries| entries.flatten().map(|entry| entry.path()).take(FILES_MAX).collect());
    found.unwrap_or_default()
}

fn tree(dir: &Path, depth: usize, stamps: &mut Vec<Stamp>) {
    if depth > DEPTH_MAX {
        return;
    }
    for path in entries(dir) {
        if stamps.len() >= FILES_MAX {
            return;
        }
        // What the entry itself is: a link may lead anywhere, and is refused when it is read.
        match fs::symlink_metadata(&path) {
            Ok(meta) if meta.is_dir() => tree(&path, depth + 1, stamps),
            _ => stamp(&path, stamps),
        }
    }
}

fn stamp(path: &Path, stamps: &mut Vec<Stamp>) {
    if let Ok(meta) = fs::metadata(path) {
        let (modified, changed) = ((meta.mtime(), meta.mtime_nsec()), (meta.ctime(), meta.ctime_nsec()));
        stamps.push((path.to_owned(), meta.ino(), meta.size(), modified, changed));
    }
}
