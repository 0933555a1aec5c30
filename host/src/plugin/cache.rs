//! Compiled code, kept by content: a second start compiles nothing.
//!
//! A file's name is the digest of the component and of everything about this engine that its code depends on, so a file is
//! never out of date, only unused. Files are written aside and renamed into place, and never overwritten: a file that is
//! mapped and changes would bring the host down. Any trouble with the cache is a miss and no failure.
//!
//! Loading compiled code trusts it like the host's own. That is why the directory is the host's alone, never a plugin's, and
//! why a package that brings compiled code is refused.

use std::{
    fs,
    hash::{Hash, Hasher},
    io::Write,
    path::{Path, PathBuf},
    time::Instant,
};

use wasmtime::{Engine, component::Component};

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
}

impl Cache {
    pub(super) fn open(dir: Option<&Path>) -> Cache {
        let dir = dir.and_then(|dir| match prepare(dir) {
            Ok(()) => Some(dir.to_owned()),
            Err(error) => {
                tracing::warn!(
                    "plugins are compiled at every start: the cache {} cannot be used: {error}",
                    dir.display()
                );
                None
            }
        });
        Cache { dir }
    }

    /// Takes the component out of the cache, or compiles and keeps it. Blocks for as long as that takes.
    pub(super) fn load(&self, engine: &Engine, wasm: &[u8]) -> wasmtime::Result<Compiled> {
        let started = Instant::now();
        let elapsed = || u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let Some(path) = self.dir.as_ref().map(|dir| dir.join(file_name(engine, wasm))) else {
            let component = Component::from_binary(engine, wasm)?;
            return Ok(Compiled { component, cached: false, compile_ms: elapsed() });
        };
        if path.exists() {
            match deserialize(engine, &path) {
                Ok(component) => return Ok(Compiled { component, cached: true, compile_ms: elapsed() }),
                Err(error) => {
                    tracing::warn!("compiled code in {} is of no use and is made anew: {error:#}", path.display());
                    let _ = fs::remove_file(&path);
                }
            }
        }
        let code = engine.precompile_component(wasm)?;
        let component =
            match keep(&path, &code).map_err(wasmtime::Error::from).and_then(|()| deserialize(engine, &path)) {
                Ok(component) => component,
                Err(error) => {
                    tracing::warn!("compiled code cannot be kept in {}: {error:#}", path.display());
                    Component::from_binary(engine, wasm)?
                }
            };
        Ok(Compiled { component, cached: false, compile_ms: elapsed() })
    }
}

#[expect(unsafe_code, reason = "loading compiled code trusts its bytes; the comment says why these can be trusted")]
fn deserialize(engine: &Engine, path: &Path) -> wasmtime::Result<Component> {
    // SAFETY: the bytes have to be what `precompile_component` wrote. The directory belongs to this host and nobody else can
    // write there (`prepare`), a file is complete when it gets its name (`keep`), is never overwritten after that, and its
    // name holds the digest of the component and of the engine's settings; wasmtime checks version and settings again.
    unsafe { Component::deserialize_file(engine, path) }
}

/// Makes the directory the host's alone. Changing the mode of somebody else's directory fails, which is what we want.
fn prepare(dir: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::create_dir_all(dir)?;
    if fs::symlink_metadata(dir)?.file_type().is_symlink() {
        return Err(std::io::Error::other("it is a symbolic link"));
    }
    fs::set_permissions(dir, fs::Permissions::from_mode(0o700))
}

fn keep(path: &Path, code: &[u8]) -> std::io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let aside = PathBuf::from(name);
    let mut file = fs::File::create(&aside)?;
    file.write_all(code)?;
    file.sync_all()?;
    fs::rename(&aside, path)
}

fn file_name(engine: &Engine, wasm: &[u8]) -> String {
    let mut settings = Digest(blake3::Hasher::new());
    engine.precompile_compatibility_hash().hash(&mut settings);
    format!("{}-{}.cwasm", blake3::hash(wasm).to_hex(), settings.0.finalize().to_hex().get(..16).unwrap_or_default())
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
