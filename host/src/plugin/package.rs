//! A package on disk: `plugin.toml`, the component, and what lies in `assets/`.
//!
//! A package is somebody else's. It is read whole and within bounds (`files`), nothing in it may point outside of it, and code
//! that was compiled elsewhere is refused whatever its name.

mod files;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use sha2::{Digest, Sha256};
use wasmtime::Engine;

pub(super) use files::{Files, SIGNATURE};

use super::{
    manifest::{self, Manifest},
    settings::Settings,
    trigger::to_hex,
    units::show_size,
};

/// Above this size a component takes seconds to compile, which is worth a remark.
const REMARKABLE_BYTES: usize = 4 << 20;

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
    #[error("`{name}` is {what}; a package has files and directories only")]
    Odd { name: String, what: &'static str },
    #[error("`{0}` is a name that no package may have: it has to be text without control characters and backslashes")]
    Name(String),
    #[error("the package has {what}: {setting} allows {max}")]
    TooMany { what: &'static str, max: u32, setting: &'static str },
    #[error("config: {0}")]
    Config(String),
}

/// A package that was read and makes sense as far as that can be told without compiling it.
pub(super) struct Package {
    pub manifest: Manifest,
    pub wasm: Vec<u8>,
    /// SHA-256 of the component, in hexadecimal.
    pub digest: String,
    /// Over all files: what is pinned and signed.
    pub package_digest: String,
    /// The text of `plugin.sig`, where it is there.
    pub signature: Option<Vec<u8>>,
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
        let package_digest;
        let Files { manifest, mut parts, signature } = {
            let files = Files::read(dir, &settings.limits)?;
            package_digest = files.digest();
            files
        };
        let wasm = parts.remove(&manifest.component).unwrap_or_default();
        let digest = check_component(&manifest, &wasm)?;
        if wasm.len() > REMARKABLE_BYTES {
            tracing::info!(plugin = %manifest.name, bytes = wasm.len(), "a large component: its first start takes a while");
        }
        let schema = manifest.config_schema.as_ref().and_then(|name| parts.get(name));
        let config = config(&manifest, schema.map(Vec::as_slice), settings)?;
        let assets = parts.into_iter().filter_map(|(path, bytes)| {
            let name = path.strip_prefix("assets/")?.to_owned();
            let mime_type = mime_type(&name);
            Some((name, Asset { base64: BASE64.encode(bytes).into(), mime_type }))
        });
        Ok(Package { wasm, digest, package_digest, signature, assets: assets.collect(), config, manifest })
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

/// The manifest's defaults with the operator's settings on top, valid by the manifest's schema.
fn config(manifest: &Manifest, schema: Option<&[u8]>, settings: &Settings) -> Result<Arc<str>, Error> {
    let mut config = manifest.config_defaults.clone();
    if let Some(own) = settings.config.get(&manifest.name) {
        config.extend(own.iter().map(|(name, value)| (name.clone(), value.clone())));
    }
    let config = serde_json::Value::Object(config);
    if let (Some(name), Some(schema)) = (&manifest.config_schema, schema) {
        let schema =
            serde_json::from_slice(schema).map_err(|error| Error::Config(format!("`{name}` is not JSON: {error}")))?;
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

#[cfg(test)]
#[path = "package_tests.rs"]
mod tests;
