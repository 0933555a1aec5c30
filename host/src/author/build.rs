//! `relais plugin build`: runs what the language's table says, puts the component where the manifest wants it, and says its
//! digest.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use sha2::{Digest, Sha256};

use super::{languages::Language, tools};

/// What was built.
pub struct Built {
    pub name: String,
    pub language: &'static Language,
    pub component: PathBuf,
    pub bytes: u64,
    /// `sha256:` and the digest of the component, as a manifest pins it.
    pub digest: String,
}

/// What a setup was made for, beside what it made.
const STAMP: &str = ".relais-setup";

/// Builds the plugin in `dir`. `language` is found by its main file where it is not given.
pub fn build(dir: &Path, language: Option<&str>) -> anyhow::Result<Built> {
    let dir = dir.canonicalize().with_context(|| dir.display().to_string())?;
    let manifest = Manifest::read(&dir)?;
    let language = match language {
        Some(name) => Language::named(name)?,
        None => Language::of(&dir)?,
    };
    tools::check(language)?;
    setup(&dir, language, &manifest.name)?;
    for command in &language.build {
        tools::run(&dir, &manifest.name, command)?;
    }
    let made = dir.join(Language::filled_in(&language.component, &manifest.name));
    let component = dir.join(&manifest.component);
    put(&made, &component)?;
    let wasm = std::fs::read(&component).with_context(|| component.display().to_string())?;
    Ok(Built {
        name: manifest.name,
        language,
        component,
        bytes: wasm.len() as u64,
        digest: format!("sha256:{}", hex(&Sha256::digest(&wasm))),
    })
}

/// Of a manifest only what a build needs: one that is not finished yet can be built.
struct Manifest {
    name: String,
    component: String,
}

impl Manifest {
    fn read(dir: &Path) -> anyhow::Result<Manifest> {
        let path = dir.join("plugin.toml");
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("{}: a plugin's directory has a plugin.toml", path.display()))?;
        let table: toml::Table = text.parse().with_context(|| path.display().to_string())?;
        let word = |key: &str| {
            let value = table.get("plugin").and_then(|plugin| plugin.get(key)).and_then(toml::Value::as_str);
            value.map(str::to_owned).with_context(|| format!("{}: `{key}` of [plugin] is missing", path.display()))
        };
        Ok(Manifest { name: word("name")?, component: word("component")? })
    }
}

/// Makes what has to be there before a build, once and again when it is wanted otherwise.
fn setup(dir: &Path, language: &Language, name: &str) -> anyhow::Result<()> {
    let mut hasher = blake3::Hasher::new();
    hasher.update(format!("{:?}", language.setup).as_bytes());
    for file in &language.setup_when {
        let path = dir.join(file);
        hasher.update(&std::fs::read(&path).with_context(|| format!("{} cannot be read", path.display()))?);
    }
    let wanted = hasher.finalize().to_hex().to_string();
    let stamp = dir.join(STAMP);
    if std::fs::read_to_string(&stamp).is_ok_and(|made| made == wanted) {
        return Ok(());
    }
    for command in &language.setup {
        tools::run(dir, name, command)?;
    }
    std::fs::write(&stamp, wanted).with_context(|| format!("{} cannot be written", stamp.display()))
}

/// Copied under another name first: a host that watches the directory never sees half of it.
fn put(made: &Path, component: &Path) -> anyhow::Result<()> {
    if !made.is_file() {
        bail!("the build ended well, and {} is not there", made.display());
    }
    if made == component {
        return Ok(());
    }
    let beside = component.with_extension("wasm.new");
    std::fs::copy(made, &beside).with_context(|| format!("{} cannot be written", beside.display()))?;
    std::fs::rename(&beside, component).with_context(|| format!("{} cannot be written", component.display()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
