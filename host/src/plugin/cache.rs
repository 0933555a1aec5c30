//! Compiled code, kept by content: a second start compiles nothing.
//!
//! A file's name has the digest of the component, of everything about this engine that its code depends on, and of the code
//! itself. So a file is never out of date, only unused, and one that was damaged is told from one that was not. Files are
//! written aside and renamed into place, and never changed after that: a file that is mapped and changes would bring the host
//! down. Any trouble with the cache is a miss and no failure; what was not used for longest goes when there is too much.
//!
//! Loading compiled code trusts it like the host's own. That is why the directory is the host's alone, never a plugin's, is
//! not used where others can write it, and why a package that brings compiled code is refused.

use std::{
    fs::{self, File},
    hash::{Hash, Hasher},
    io::{Read, Seek},
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    time::{Instant, SystemTime},
};

use rustix::fs::{Timespec, Timestamps, UTIME_NOW, UTIME_OMIT};
use wasmtime::{Engine, component::Component};

use super::{
    compile::{self, Error},
    settings::{CompileSettings, Settings},
};

/// A component ready to be linked.
pub(super) struct Compiled {
    pub component: Component,
    /// It came out of the cache.
    pub cached: bool,
    pub compile_ms: u64,
}

/// Where compiled code is kept, where it is kept at all.
pub(super) struct Cache {
    dir: Option<PathBuf>,
    bytes_max: u64,
    compile: CompileSettings,
}

/// What is being written has a name that begins like this.
const ASIDE: &str = ".making-";
const ENDING: &str = ".cwasm";

impl Cache {
    pub(super) fn open(settings: &Settings) -> Cache {
        let dir = settings.cache_dir.as_deref().and_then(|dir| match prepare(dir) {
            Ok(()) => Some(dir.to_owned()),
            Err(error) => {
                tracing::error!(
                    "plugins are compiled at every start, because the cache {} (`plugins.cache-dir`) is not used: {error}",
                    dir.display()
                );
                None
            }
        });
        Cache { dir, bytes_max: settings.cache_bytes.0, compile: settings.compile.clone() }
    }

    /// Takes the component out of the cache, or compiles and keeps it. Blocks for as long as that takes.
    pub(super) fn load(&self, engine: &Engine, wasm: &[u8]) -> Result<Compiled, Error> {
        let started = Instant::now();
        let done = |component, cached| {
            let compile_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
            Ok(Compiled { component, cached, compile_ms })
        };
        let Some(dir) = &self.dir else { return done(self.only_once(engine, wasm)?, false) };
        let key = key(engine, wasm);
        if let Some(component) = find(dir, &key, engine) {
            return done(component, true);
        }
        let aside = match aside(dir) {
            Ok(aside) => aside,
            Err(error) => {
                tracing::warn!("compiled code cannot be kept in {}: {error}", dir.display());
                return done(self.only_once(engine, wasm)?, false);
            }
        };
        match compile::compile(wasm, &self.compile, aside.as_file()) {
            Ok(()) => {}
            // A full disk is no fault of the plugin's.
            Err(error @ (Error::Write(_) | Error::Process(_))) => {
                tracing::warn!("compiled code cannot be kept in {}: {error}", dir.display());
                return done(self.only_once(engine, wasm)?, false);
            }
            Err(error) => return Err(error),
        }
        let component = self.keep(dir, &key, engine, aside)?;
        done(component, false)
    }

    /// Without a place to keep it.
    fn only_once(&self, engine: &Engine, wasm: &[u8]) -> Result<Component, Error> {
        let mut file = tempfile::tempfile()?;
        compile::compile(wasm, &self.compile, &file)?;
        from_memory(engine, &mut file)
    }

    /// Gives finished code its name, and takes it from there. Where that does not work, it is used all the same, once.
    fn keep(
        &self,
        dir: &Path,
        key: &str,
        engine: &Engine,
        mut aside: tempfile::NamedTempFile,
    ) -> Result<Component, Error> {
        let path = dir.join(format!("{key}.{}{ENDING}", digest(aside.as_file_mut())?));
        aside.as_file().sync_all()?;
        let mut file = match aside.persist(&path) {
            Ok(file) => file,
            Err(mut unkept) => {
                tracing::warn!("compiled code cannot be kept in {}: {}", dir.display(), unkept.error);
                return from_memory(engine, unkept.file.as_file_mut());
            }
        };
        // So that the name is on the disk too. A cache may lose it: the next start compiles.
        let _ = File::open(dir).and_then(|dir| dir.sync_all());
        trim(dir, self.bytes_max, &path);
        deserialize(engine, &path).or_else(|error| {
            tracing::warn!("compiled code cannot be used from {}: {error}", path.display());
            from_memory(engine, &mut file)
        })
    }
}

/// The code for a key, where it is there and whole. What is not whole goes.
fn find(dir: &Path, key: &str, engine: &Engine) -> Option<Component> {
    let prefix = format!("{key}.");
    let names = fs::read_dir(dir).ok()?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    for name in names.filter(|name| name.starts_with(&prefix)) {
        let path = dir.join(&name);
        match examine(&path, name.trim_start_matches(&prefix).trim_end_matches(ENDING))
            .map_err(|error| error.to_string())
            .and_then(|()| deserialize(engine, &path).map_err(|error| format!("{error:#}")))
        {
            Ok(component) => return Some(component),
            Err(error) => {
                tracing::warn!("compiled code in {} is of no use and is made anew: {error}", path.display());
                let _ = fs::remove_file(&path);
            }
        }
    }
    None
}

/// Whether a file is what was kept under this name, and notes that it was used.
fn examine(path: &Path, code: &str) -> std::io::Result<()> {
    let meta = fs::symlink_metadata(path)?;
    if !meta.is_file() || meta.uid() != owner() || meta.mode() & 0o022 != 0 {
        return Err(std::io::Error::other("it is not a file that this host alone can write"));
    }
    let mut file = File::open(path)?;
    if digest(&mut file)? != code {
        return Err(std::io::Error::other("its contents are not what was written"));
    }
    let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
    let leave = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
    Ok(rustix::fs::futimens(&file, &Timestamps { last_access: leave, last_modification: now })?)
}

fn digest(file: &mut File) -> std::io::Result<String> {
    file.rewind()?;
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(file)?;
    Ok(hasher.finalize().to_hex().to_string())
}

#[expect(unsafe_code, reason = "loading compiled code trusts its bytes; the comment says why these can be trusted")]
fn deserialize(engine: &Engine, path: &Path) -> Result<Component, Error> {
    // SAFETY: the bytes have to be what the compiler wrote. The directory belongs to this host and nobody else can write
    // there (`prepare`), a file is complete when it gets its name (`keep`), is never changed after that, its name holds the
    // digests of the component, of the engine's settings and of these bytes (`examine`); wasmtime checks its version and the
    // settings again.
    unsafe { Component::deserialize_file(engine, path) }.map_err(Error::Load)
}

/// Code that has no name is read whole.
#[expect(unsafe_code, reason = "as above")]
fn from_memory(engine: &Engine, file: &mut File) -> Result<Component, Error> {
    let mut code = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut code)?;
    // SAFETY: the file was made by this process for the compiler that has just ended well, and nobody else has it: it has no
    // name, or one in the host's own directory.
    unsafe { Component::deserialize(engine, &code) }.map_err(Error::Load)
}

/// Makes the directory the host's alone, or says why it is not.
fn prepare(dir: &Path) -> std::io::Result<()> {
    if let Some(parent) = dir.parent() {
        fs::create_dir_all(parent)?;
    }
    match fs::DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let meta = fs::symlink_metadata(dir)?;
    let fail = |why: String| Err(std::io::Error::other(why));
    if !meta.is_dir() {
        return fail("it is not a directory (and a symbolic link to one will not do)".to_owned());
    }
    if meta.uid() != owner() {
        return fail(format!("it belongs to user {}, and the host runs as user {}", meta.uid(), owner()));
    }
    if meta.mode() & 0o022 != 0 {
        return fail(format!(
            "others can write there (mode {:03o}), and what is in it would run as the host; empty it and `chmod 700` it",
            meta.mode() & 0o777
        ));
    }
    // Whoever can write a directory above can put another one in its place, where that is not as in /tmp.
    for above in fs::canonicalize(dir)?.ancestors().skip(1) {
        let mode = fs::metadata(above)?.mode();
        if mode & 0o002 != 0 && mode & 0o1000 == 0 {
            return fail(format!("anybody can write {} above it; `chmod o-w` that", above.display()));
        }
    }
    fs::set_permissions(dir, fs::Permissions::from_mode(0o700))?;
    sweep(dir);
    Ok(())
}

fn owner() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// A file that is being written, and is locked while it is.
fn aside(dir: &Path) -> std::io::Result<tempfile::NamedTempFile> {
    let aside = tempfile::Builder::new().prefix(ASIDE).tempfile_in(dir)?;
    aside.as_file().lock()?;
    Ok(aside)
}

/// What a host that was killed had begun to write. Another host may share the directory: what it writes is locked.
fn sweep(dir: &Path) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let begun = entry.file_name().to_string_lossy().starts_with(ASIDE);
        if begun && File::open(entry.path()).is_ok_and(|file| file.try_lock().is_ok()) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Lets go what was not used for longest, until the rest fits. A file that is mapped stays as long as it is.
fn trim(dir: &Path, bytes_max: u64, newest: &Path) {
    let kept = fs::read_dir(dir).into_iter().flatten().flatten().filter_map(|entry| {
        let meta = entry.metadata().ok().filter(fs::Metadata::is_file)?;
        let path = entry.path();
        path.to_string_lossy().ends_with(ENDING).then_some((
            meta.modified().unwrap_or(SystemTime::UNIX_EPOCH),
            meta.len(),
            path,
        ))
    });
    let mut kept: Vec<(SystemTime, u64, PathBuf)> = kept.collect();
    kept.sort();
    let mut bytes: u64 = kept.iter().map(|(_, len, _)| len).sum();
    for (_, len, path) in kept {
        if bytes <= bytes_max {
            return;
        }
        if path != newest && fs::remove_file(&path).is_ok() {
            bytes = bytes.saturating_sub(len);
            tracing::info!(
                "compiled code in {} was not used for longest and goes: `plugins.cache-bytes` allows {bytes_max} bytes",
                path.display()
            );
        }
    }
}

/// What code depends on: the component, and the engine that it is for.
fn key(engine: &Engine, wasm: &[u8]) -> String {
    let mut settings = Digest(blake3::Hasher::new());
    engine.precompile_compatibility_hash().hash(&mut settings);
    format!("{}-{}", blake3::hash(wasm).to_hex(), settings.0.finalize().to_hex().get(..16).unwrap_or_default())
}

/// Lets a strong hash stand where the standard library asks for a quick one.
struct Digest(blake3::Hasher);

impl Hasher for Digest {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        self.0.finalize().as_bytes().first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
    }
}

#[cfg(test)]
#[path = "cache_tests.rs"]
mod tests;
