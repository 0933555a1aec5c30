//! A package as a host's directory would have it: what belongs to it, under its own name, without the sources beside it.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use crate::{
    author::{cache, scratch::Scratch},
    plugin::HttpRuleTable,
};

/// A copy of a package, and where a host would find it.
pub struct Copied {
    pub name: String,
    /// The directory that holds the package's.
    pub plugins: PathBuf,
    /// Names of the secrets that it asks for.
    pub secrets: Vec<String>,
    /// Requests that it asks for.
    pub http: Vec<HttpRuleTable>,
    /// Compiled code, so that a component is compiled once and not for each scenario.
    pub cache: PathBuf,
    _scratch: Scratch,
}

impl Copied {
    /// Of a directory with a built plugin; its own name may be another than the plugin's.
    pub fn of(dir: &Path) -> anyhow::Result<Copied> {
        let path = dir.join("plugin.toml");
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("{}: a plugin's directory has a plugin.toml", path.display()))?;
        let manifest: toml::Table = text.parse().with_context(|| path.display().to_string())?;
        let word = |table: &str, key: &str| manifest.get(table)?.get(key)?.as_str().map(str::to_owned);
        let missing = |key: &str| format!("{}: `{key}` of [plugin] is missing", path.display());
        let name = word("plugin", "name").with_context(|| missing("name"))?;
        let component = word("plugin", "component").with_context(|| missing("component"))?;
        if !dir.join(&component).is_file() {
            bail!("{} is not there yet; build it with `relais plugin build {}`", component, dir.display());
        }
        let scratch = Scratch::new("package")?;
        let plugins = scratch.path().join("plugins");
        let to = plugins.join(&name);
        let schema = word("config", "schema");
        for file in [Some("plugin.toml".to_owned()), Some(component), schema].into_iter().flatten() {
            copy(&dir.join(&file), &to.join(&file))?;
        }
        if dir.join("assets").is_dir() {
            copy_all(&dir.join("assets"), &to.join("assets"))?;
        }
        let cache = cache::machine_code().unwrap_or_else(|| scratch.path().join("machine-code"));
        Ok(Copied { secrets: secrets(&manifest), http: http(&manifest), name, plugins, cache, _scratch: scratch })
    }
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    if let Some(parent) = to.parent() {
        std::fs::create_dir_all(parent).with_context(|| parent.display().to_string())?;
    }
    std::fs::copy(from, to).with_context(|| format!("{} cannot be read", from.display()))?;
    Ok(())
}

fn copy_all(from: &Path, to: &Path) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(from).with_context(|| from.display().to_string())? {
        let entry = entry.with_context(|| from.display().to_string())?;
        let (path, to) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type().with_context(|| path.display().to_string())?.is_dir() {
            copy_all(&path, &to)?;
        } else {
            copy(&path, &to)?;
        }
    }
    Ok(())
}

/// What is not right in it is said by the host, which reads all of the manifest.
fn http(manifest: &toml::Table) -> Vec<HttpRuleTable> {
    let rules = manifest.get("permissions").and_then(|table| table.get("http")).cloned();
    rules.and_then(|rules| rules.try_into().ok()).unwrap_or_default()
}

/// Those that its permissions name and those that its triggers are signed with.
fn secrets(manifest: &toml::Table) -> Vec<String> {
    let permitted = manifest.get("permissions").and_then(|table| table.get("secrets")).and_then(toml::Value::as_array);
    let triggers = manifest.get("trigger").and_then(toml::Value::as_array);
    let signed = triggers.into_iter().flatten().filter_map(|trigger| trigger.get("signature")?.get("secret"));
    let all = permitted.into_iter().flatten().chain(signed);
    all.filter_map(toml::Value::as_str).map(str::to_owned).collect()
}
