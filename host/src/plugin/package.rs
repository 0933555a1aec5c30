//! A package on disk: `plugin.toml`, the component, and what lies in `assets/`.
//!
//! A package is somebody else's. It is read whole and within bounds, nothing in it may point outside of it, and code that
//! was compiled elsewhere is refused whatever its name.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Component as Step, Path, PathBuf},
    sync::Arc,
};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use sha2::{Digest, Sha256};
use wasmtime::Engine;

use super::{
    manifest::{self, Manifest},
    settings::Settings,
    trigger::to_hex,
    units::show_size,
};

/// A manifest is written by hand; the longest that we know has 8 KiB.
const MANIFEST_BYTES_MAX: u64 = 256 << 10;
/// Above this size a component takes seconds to compile, which is worth a remark.
const REMARKABLE_BYTES: usize = 4 << 20;
/// Directories in directories of assets.
const ASSET_DEPTH_MAX: usize = 8;

/// Why a package cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error(transparent)]
    Manifest(#[from] manifest::Error),
    #[error("{}: {error}", path.display())]
    Read { path: PathBuf, error: std::io::Error },
    #[error("{what} has {bytes} bytes, {} at most are allowed; {setting} sets it", show_size(*bytes_max))]
    TooLarge { what: String, bytes: u64, bytes_max: u64, setting: &'static str },
    #[error("the directory is called `{directory}` and the plugin `{name}`; they have to be the same")]
    Misnamed { directory: String, name: String },
    #[error(
        "the component's digest is sha256:{found}, and plugin.toml says {wanted}; it is not the file that was packed"
    )]
    Digest { found: String, wanted: String },
    #[error(
        "`{0}` holds machine code that was compiled elsewhere; a package brings WebAssembly, and the host compiles it"
    )]
    Precompiled(String),
    #[error(
        "`{0}` is no WebAssembly component; build it for wasm32-wasip2, or wrap it with `wasm-tools component new`"
    )]
    NoComponent(String),
    #[error("`{0}` points outside the package")]
    Outside(String),
    #[error("config: {0}")]
    Config(String),
}

/// A package that was read and makes sense as far as that can be told without compiling it.
pub(super) struct Package {
    pub manifest: Manifest,
    pub wasm: Vec<u8>,
    /// SHA-256 of the component, in hexadecimal.
    pub digest: String,
    pub assets: BTreeMap<String, Asset>,
    /// The settings of this installation as JSON text.
    pub config: Arc<str>,
}

/// A file of the package, ready to be attached.
pub struct Asset {
    pub base64: Arc<str>,
    pub mime_type: &'static str,
}

impl Package {
    pub(super) fn read(dir: &Path, settings: &Settings) -> Result<Package, Error> {
        let bytes = read(&dir.join("plugin.toml"), MANIFEST_BYTES_MAX, "plugin.toml", "nothing, the bound")?;
        let manifest = Manifest::parse(&String::from_utf8_lossy(&bytes))?;
        let directory = dir.file_name().unwrap_or_default().to_string_lossy();
        if directory != manifest.name.as_str() {
            return Err(Error::Misnamed { directory: directory.into_owned(), name: manifest.name.to_string() });
        }
        let bytes_max = settings.limits.package_bytes.0;
        let path = inside(dir, &manifest.component)?;
        let wasm = read(&path, bytes_max, &manifest.component, "plugins.limits.package-bytes")?;
        let digest = check_component(&manifest, &wasm)?;
        no_compiled_code(dir)?;
        if wasm.len() > REMARKABLE_BYTES {
            tracing::info!(plugin = %manifest.name, bytes = wasm.len(), "a large component: its first start takes a while");
        }
        let config = config(dir, &manifest, settings)?;
        let assets = assets(dir, settings.limits.asset_bytes.0)?;
        Ok(Package { wasm, digest, assets, config, manifest })
    }
}

/// Names of the packages in a directory, in order. A directory that is not there holds none.
pub(super) fn list(dir: &Path) -> std::io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = BTreeSet::new();
    for entry in entries {
        let path = entry?.path();
        if path.join("plugin.toml").is_file() {
            found.insert(path);
        }
    }
    Ok(found.into_iter().collect())
}

/// A relative path of a package, which must stay in it, links included.
fn inside(dir: &Path, relative: &str) -> Result<PathBuf, Error> {
    let outside = || Error::Outside(relative.to_owned());
    let path = Path::new(relative);
    if relative.is_empty() || !path.components().all(|step| matches!(step, Step::Normal(_))) {
        return Err(outside());
    }
    let full = dir.join(path);
    let real = |path: &Path| fs::canonicalize(path).map_err(|error| Error::Read { path: path.to_owned(), error });
    if real(&full)?.starts_with(real(dir)?) { Ok(full) } else { Err(outside()) }
}

fn read(path: &Path, bytes_max: u64, what: &str, setting: &'static str) -> Result<Vec<u8>, Error> {
    use std::io::Read;
    let trouble = |error| Error::Read { path: path.to_owned(), error };
    let mut bytes = Vec::new();
    // One byte more than allowed tells a file that grew while it was read.
    fs::File::open(path).map_err(trouble)?.take(bytes_max + 1).read_to_end(&mut bytes).map_err(trouble)?;
    if bytes.len() as u64 > bytes_max {
        let bytes = fs::metadata(path).map_err(trouble)?.len();
        return Err(Error::TooLarge { what: what.to_owned(), bytes, bytes_max, setting });
    }
    Ok(bytes)
}

fn check_component(manifest: &Manifest, wasm: &[u8]) -> Result<String, Error> {
    if Engine::detect_precompiled(wasm).is_some() {
        return Err(Error::Precompiled(manifest.component.clone()));
    }
    // The magic number, and layer 1 for components where a core module has 0.
    if !matches!(wasm, [b'\0', b'a', b's', b'm', _, _, 1, 0, ..]) {
        return Err(Error::NoComponent(manifest.component.clone()));
    }
    let found: [u8; 32] = Sha256::digest(wasm).into();
    match manifest.digest {
        Some(wanted) if wanted != found => {
            Err(Error::Digest { found: to_hex(&found), wanted: format!("sha256:{}", to_hex(&wanted)) })
        }
        _ => Ok(to_hex(&found)),
    }
}

fn no_compiled_code(dir: &Path) -> Result<(), Error> {
    let trouble = |error| Error::Read { path: dir.to_owned(), error };
    for entry in fs::read_dir(dir).map_err(trouble)? {
        let path = entry.map_err(trouble)?.path();
        if path.extension().is_some_and(|extension| extension == "cwasm") {
            return Err(Error::Precompiled(path.file_name().unwrap_or_default().to_string_lossy().into_owned()));
        }
    }
    Ok(())
}

/// The manifest's defaults with the operator's settings on top, valid by the manifest's schema.
fn config(dir: &Path, manifest: &Manifest, settings: &Settings) -> Result<Arc<str>, Error> {
    let mut config = manifest.config_defaults.clone();
    if let Some(own) = settings.config.get(&manifest.name) {
        config.extend(own.iter().map(|(name, value)| (name.clone(), value.clone())));
    }
    let config = serde_json::Value::Object(config);
    if let Some(name) = &manifest.config_schema {
        let bytes = read(&inside(dir, name)?, MANIFEST_BYTES_MAX, name, "nothing, the bound")?;
        let schema =
            serde_json::from_slice(&bytes).map_err(|error| Error::Config(format!("`{name}` is not JSON: {error}")))?;
        let validator = jsonschema::validator_for(&schema)
            .map_err(|error| Error::Config(format!("`{name}` is no schema: {error}")))?;
        let wrong: Vec<String> =
            validator.iter_errors(&config).map(|error| format!("{} at `{}`", error, error.instance_path())).collect();
        if !wrong.is_empty() {
            let fix = format!("change [plugins.config.{}] of the host's configuration", manifest.name);
            return Err(Error::Config(format!("the settings do not satisfy `{name}`: {}; {fix}", wrong.join("; "))));
        }
    }
    Ok(config.to_string().into())
}

fn assets(dir: &Path, bytes_max: u64) -> Result<BTreeMap<String, Asset>, Error> {
    let root = dir.join("assets");
    let mut found = BTreeMap::new();
    if root.is_dir() {
        let mut left = bytes_max;
        collect(&root, "", 0, &mut left, &mut found)?;
    }
    Ok(found)
}

fn collect(
    dir: &Path,
    prefix: &str,
    depth: usize,
    left: &mut u64,
    found: &mut BTreeMap<String, Asset>,
) -> Result<(), Error> {
    let trouble = |error| Error::Read { path: dir.to_owned(), error };
    for entry in fs::read_dir(dir).map_err(trouble)? {
        let entry = entry.map_err(trouble)?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        // What the entry itself is: a link may lead anywhere.
        let kind = entry.file_type().map_err(trouble)?;
        if kind.is_symlink() {
            return Err(Error::Outside(format!("assets/{name}")));
        }
        if kind.is_dir() && depth < ASSET_DEPTH_MAX {
            collect(&entry.path(), &format!("{name}/"), depth + 1, left, found)?;
        } else if kind.is_file() {
            let bytes = read(
                &entry.path(),
                *left,
                &format!("assets/{name}, the last of all assets,"),
                "plugins.limits.asset-bytes",
            )?;
            *left = left.saturating_sub(bytes.len() as u64);
            let mime_type = mime_type(&name);
            found.insert(name, Asset { base64: BASE64.encode(bytes).into(), mime_type });
        }
    }
    Ok(())
}

/// By the file's ending; everything that has no place here is a document to whoever gets it.
fn mime_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase()).as_deref() {
        Some("jpg" | "jpeg") => "image/jpeg",
        Some("png") => "image/png",
        Some("webp") => "image/webp",
        Some("gif") => "image/gif",
        Some("mp3") => "audio/mpeg",
        Some("ogg" | "opus") => "audio/ogg",
        Some("m4a") => "audio/mp4",
        Some("mp4") => "video/mp4",
        Some("3gp") => "video/3gpp",
        Some("pdf") => "application/pdf",
        Some("txt") => "text/plain",
        Some("ics") => "text/calendar",
        Some("pkpass") => "application/vnd.apple.pkpass",
        _ => "application/octet-stream",
    }
}
