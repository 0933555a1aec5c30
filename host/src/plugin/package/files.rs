//! Reading what a stranger has put into a directory: once, whole, and within bounds.
//!
//! In goes a directory, out come the bytes of every file that belongs to the package, and a digest over all of them. What
//! lies beside them (sources, a README) does not belong to it and is not read. A name, a link, a pipe or a size that would
//! hurt is refused and not followed, and no file is read twice: what was examined is what is used.

use std::{
    collections::BTreeMap,
    fs::{self, File, FileType},
    io::Read,
    os::unix::fs::{FileTypeExt, OpenOptionsExt},
    path::{Component as Step, Path, PathBuf},
};

use rustix::fs::OFlags;
use sha2::{Digest, Sha256};

use super::Error;
use crate::plugin::{manifest::Manifest, settings::LimitSettings, trigger::to_hex};

/// What a signature's file is called. It is not signed itself.
pub(in crate::plugin) const SIGNATURE: &str = "plugin.sig";
const MANIFEST: &str = "plugin.toml";
const ASSETS: &str = "assets";
/// Larger than any signature's file.
const SIGNATURE_BYTES_MAX: u64 = 4 << 10;

/// The files of a package by their paths, with `/` between the steps.
pub(in crate::plugin) struct Files {
    pub manifest: Manifest,
    pub parts: BTreeMap<String, Vec<u8>>,
    pub signature: Option<Vec<u8>>,
}

impl Files {
    pub(in crate::plugin) fn read(dir: &Path, limits: &LimitSettings) -> Result<Files, Error> {
        let mut reader = Reader::of(dir, limits)?;
        reader.part(MANIFEST, limits.manifest_bytes.0, "plugins.limits.manifest-bytes")?;
        let text = reader.parts.get(MANIFEST).map(|bytes| String::from_utf8_lossy(bytes)).unwrap_or_default();
        let manifest = Manifest::parse(&text)?;
        let directory = dir.file_name().unwrap_or_default().to_string_lossy();
        if directory != manifest.name.as_str() {
            return Err(Error::Misnamed { directory: directory.into_owned(), name: manifest.name.to_string() });
        }
        reader.part(&manifest.component, limits.package_bytes.0, "plugins.limits.package-bytes")?;
        if let Some(schema) = &manifest.config_schema {
            reader.part(schema, limits.manifest_bytes.0, "plugins.limits.manifest-bytes")?;
        }
        reader.look_around()?;
        reader.assets()?;
        let signed = fs::symlink_metadata(dir.join(SIGNATURE)).is_ok();
        let signature =
            signed.then(|| reader.file(SIGNATURE, SIGNATURE_BYTES_MAX, "nothing, the bound")).transpose()?;
        Ok(Files { manifest, parts: reader.parts, signature })
    }

    /// What a package is known by: SHA-256 over one line for each file, in the order of the paths' bytes.
    pub(in crate::plugin) fn digest(&self) -> String {
        let mut whole = Sha256::new();
        whole.update("relais package 1\n");
        for (path, bytes) in &self.parts {
            let digest: [u8; 32] = Sha256::digest(bytes).into();
            whole.update(format!("{} {} {path}\n", to_hex(&digest), bytes.len()));
        }
        let digest: [u8; 32] = whole.finalize().into();
        format!("sha256:{}", to_hex(&digest))
    }
}

struct Reader<'a> {
    /// Without links.
    root: PathBuf,
    limits: &'a LimitSettings,
    parts: BTreeMap<String, Vec<u8>>,
    entries: u32,
}

impl Reader<'_> {
    fn of<'a>(dir: &Path, limits: &'a LimitSettings) -> Result<Reader<'a>, Error> {
        let root = fs::canonicalize(dir).map_err(|error| Error::Read { path: dir.to_owned(), error })?;
        Ok(Reader { root, limits, parts: BTreeMap::new(), entries: 0 })
    }

    fn part(&mut self, relative: &str, bytes_max: u64, setting: &'static str) -> Result<(), Error> {
        let bytes = self.file(relative, bytes_max, setting)?;
        self.parts.insert(relative.to_owned(), bytes);
        Ok(())
    }

    /// An ordinary file that lies in the package, links included.
    fn file(&self, relative: &str, bytes_max: u64, setting: &'static str) -> Result<Vec<u8>, Error> {
        self.check_name(relative)?;
        let outside = || Error::Outside(relative.to_owned());
        let path = Path::new(relative);
        if relative.is_empty() || !path.components().all(|step| matches!(step, Step::Normal(_))) {
            return Err(outside());
        }
        let full = self.root.join(path);
        let trouble = |error| Error::Read { path: full.clone(), error };
        let real = fs::canonicalize(&full).map_err(trouble)?;
        if !real.starts_with(&self.root) {
            return Err(outside());
        }
        // Looked at before it is opened, because opening some devices does something; and after, because it is that file then.
        ordinary(relative, fs::symlink_metadata(&real).map_err(trouble)?.file_type())?;
        let without_waiting = i32::try_from((OFlags::NONBLOCK | OFlags::NOFOLLOW).bits()).unwrap_or_default();
        let file = File::options().read(true).custom_flags(without_waiting).open(&real).map_err(trouble)?;
        let meta = file.metadata().map_err(trouble)?;
        ordinary(relative, meta.file_type())?;
        let too_large = |bytes| Error::TooLarge { what: format!("`{relative}`"), bytes, bytes_max, setting };
        if meta.len() > bytes_max {
            return Err(too_large(meta.len()));
        }
        let mut bytes = Vec::new();
        // One byte more than allowed tells a file that grew while it was read.
        file.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes).map_err(trouble)?;
        if bytes.len() as u64 > bytes_max {
            return Err(too_large(bytes.len() as u64));
        }
        Ok(bytes)
    }

    /// What lies beside the manifest is looked at for machine code only.
    fn look_around(&mut self) -> Result<(), Error> {
        let root = self.root.clone();
        for name in self.names(&root, "")? {
            no_compiled_code(&name)?;
        }
        Ok(())
    }

    fn assets(&mut self) -> Result<(), Error> {
        let root = self.root.join(ASSETS);
        match fs::symlink_metadata(&root) {
            Ok(meta) if meta.is_dir() => {}
            Ok(meta) if meta.is_symlink() => return Err(Error::Outside(ASSETS.to_owned())),
            _ => return Ok(()),
        }
        let mut left = self.limits.asset_bytes.0;
        // Directories that are still to be read, and how deep they lie.
        let mut open = vec![(ASSETS.to_owned(), 1)];
        while let Some((dir, depth)) = open.pop() {
            if depth > self.limits.package_depth {
                return Err(Error::TooMany {
                    what: "directories in directories",
                    max: self.limits.package_depth,
                    setting: "plugins.limits.package-depth",
                });
            }
            let full = self.root.join(&dir);
            for name in self.names(&full, &dir)? {
                no_compiled_code(&name)?;
                // What the entry itself is: a link may lead anywhere.
                let path = self.root.join(&name);
                let kind = fs::symlink_metadata(&path).map_err(|error| Error::Read { path, error })?.file_type();
                if kind.is_symlink() {
                    return Err(Error::Outside(name));
                }
                if kind.is_dir() {
                    open.push((name, depth + 1));
                    continue;
                }
                self.part(&name, left, "plugins.limits.asset-bytes, for all assets together,")?;
                left = left.saturating_sub(self.parts.get(&name).map_or(0, |bytes| bytes.len() as u64));
            }
        }
        Ok(())
    }

    /// The entries of a directory as paths of the package, counted.
    fn names(&mut self, dir: &Path, prefix: &str) -> Result<Vec<String>, Error> {
        let trouble = |error| Error::Read { path: dir.to_owned(), error };
        let mut names = Vec::new();
        for entry in fs::read_dir(dir).map_err(trouble)? {
            self.entries += 1;
            if self.entries > self.limits.package_entries {
                return Err(Error::TooMany {
                    what: "more files and directories",
                    max: self.limits.package_entries,
                    setting: "plugins.limits.package-entries",
                });
            }
            let name = entry.map_err(trouble)?.file_name();
            let name = match name.to_str() {
                Some(name) if prefix.is_empty() => name.to_owned(),
                Some(name) => format!("{prefix}/{name}"),
                // Beside the package it may be called anything.
                None if prefix.is_empty() => continue,
                None => return Err(Error::Name(name.to_string_lossy().into_owned())),
            };
            if !prefix.is_empty() {
                self.check_name(&name)?;
            }
            names.push(name);
        }
        Ok(names)
    }

    fn check_name(&self, name: &str) -> Result<(), Error> {
        if name.chars().any(|c| c.is_control() || c == '\\') {
            return Err(Error::Name(name.escape_debug().to_string()));
        }
        if name.len() as u64 > u64::from(self.limits.package_path_bytes) {
            return Err(Error::TooMany {
                what: "a longer path",
                max: self.limits.package_path_bytes,
                setting: "plugins.limits.package-path-bytes",
            });
        }
        Ok(())
    }
}

fn ordinary(name: &str, kind: FileType) -> Result<(), Error> {
    let what = match kind {
        kind if kind.is_file() => return Ok(()),
        kind if kind.is_dir() => "a directory",
        kind if kind.is_fifo() => "a pipe",
        kind if kind.is_socket() => "a socket",
        _ => "a device",
    };
    Err(Error::Odd { name: name.to_owned(), what })
}

fn no_compiled_code(name: &str) -> Result<(), Error> {
    if name.ends_with(".cwasm") { Err(Error::Precompiled(name.to_owned())) } else { Ok(()) }
}
