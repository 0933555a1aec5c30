//! Putting a package in its place, whole: a host that watches sees the old one or the new one.

use std::{
    collections::BTreeMap,
    fs,
    path::{Component as Step, Path, PathBuf},
};

use anyhow::{Context as _, bail, ensure};
use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::plugin::{
    LimitSettings, Settings,
    trust::{self, Contents, Mode, Verdict},
};

const MANIFEST: &str = "plugin.toml";
const SIGNATURE: &str = "plugin.sig";

/// Whether a path may be written below a new directory. The rest is found when the package is read.
pub(super) fn check_path(path: &str, limits: &LimitSettings) -> anyhow::Result<()> {
    let steps: Vec<Step<'_>> = Path::new(path).components().collect();
    let inside = !steps.is_empty() && steps.iter().all(|step| matches!(step, Step::Normal(_)));
    let plain = !path.chars().any(|c| c.is_control() || c == '\\') && !path.ends_with('/') && !path.contains("//");
    ensure!(inside && plain, "`{}` is no path in a package", path.escape_debug());
    ensure!(
        path.len() as u64 <= u64::from(limits.package_path_bytes),
        "a path is longer than `plugins.limits.package-path-bytes` allows"
    );
    // A file and the component's directory are on top of what the limit is about.
    ensure!(
        steps.len() as u64 <= u64::from(limits.package_depth) + 1,
        "`{path}` lies deeper than `plugins.limits.package-depth` allows"
    );
    Ok(())
}

/// Writes the files aside, reads them as a host would, and renames them into place if they are the package with this digest,
/// signed as the settings want it.
pub(super) fn put(
    files: &BTreeMap<String, Vec<u8>>,
    dir: Option<&Path>,
    settings: &Settings,
    digest: &str,
) -> anyhow::Result<(PathBuf, Contents, Verdict)> {
    let name = name(files)?;
    let place = dir.map_or_else(|| settings.dir.join(&name), Path::to_owned);
    ensure!(
        place.file_name().is_some_and(|last| last == name.as_str()),
        "{}: the plugin is called `{name}`, and its directory has to be called the same",
        place.display()
    );
    let parent = place.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(parent).with_context(|| parent.display().to_string())?;
    // Beside its place, because a rename does not cross disks; a directory without a manifest is no package to anybody.
    let scratch = tempfile::Builder::new().prefix(".relais-pull-").tempdir_in(parent)?;
    let aside = scratch.path().join(&name);
    write(files, &aside).with_context(|| format!("{} cannot be written", aside.display()))?;
    // What is pinned is the one that was there before.
    let settings = &Settings { lock: Mode::new("off"), ..settings.clone() };
    let (contents, verdict) = trust::verify(&aside, settings)?;
    let read = contents.files.len() + usize::from(contents.signature.is_some());
    ensure!(read == files.len(), "it brings files that do not belong to a package");
    ensure!(
        contents.digest == digest,
        "the files are {}, and the component was published with {digest}",
        contents.digest
    );
    if fs::symlink_metadata(&place).is_ok() {
        replaceable(&place, &name, settings)?;
        // Both names change in one step; what was there is in the scratch directory then, and goes with it.
        renameat_with(CWD, &aside, CWD, &place, RenameFlags::EXCHANGE)
            .with_context(|| format!("{} cannot be exchanged", place.display()))?;
    } else {
        fs::rename(&aside, &place).with_context(|| format!("{} cannot be put in place", place.display()))?;
    }
    Ok((place, contents, verdict))
}

fn name(files: &BTreeMap<String, Vec<u8>>) -> anyhow::Result<String> {
    let text = files.get(MANIFEST).context("it has no plugin.toml")?;
    let table: toml::Table = String::from_utf8_lossy(text).parse().context("its plugin.toml cannot be read")?;
    let name = table.get("plugin").and_then(|plugin| plugin.get("name")).and_then(toml::Value::as_str);
    let name = name.context("its plugin.toml has no name")?;
    // The manifest's own rule is looked at when the package is read; this is for the path that it becomes before that.
    let plain = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    ensure!(plain, "its plugin.toml has a name that no plugin may have");
    Ok(name.to_owned())
}

fn write(files: &BTreeMap<String, Vec<u8>>, dir: &Path) -> std::io::Result<()> {
    for (path, bytes) in files {
        let full = dir.join(path);
        if let Some(parent) = full.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&full, bytes)?;
        // On the disk before its name is: a power cut leaves no half of it.
        fs::File::open(&full)?.sync_all()?;
    }
    Ok(())
}

/// An older package of the same name, with nothing in it that would be lost.
fn replaceable(place: &Path, name: &str, settings: &Settings) -> anyhow::Result<()> {
    let older = Contents::read(place, settings)
        .with_context(|| format!("{} is there, and is not an older package of this name", place.display()))?;
    ensure!(older.name == name, "{} holds another plugin", place.display());
    let mut open = vec![place.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).with_context(|| dir.display().to_string())? {
            let path = entry?.path();
            if path.is_dir() && !path.is_symlink() {
                open.push(path);
                continue;
            }
            let relative = path.strip_prefix(place).unwrap_or(&path).to_string_lossy().into_owned();
            if relative != SIGNATURE && !older.files.contains_key(&relative) {
                bail!(
                    "{} does not belong to the package and would be lost; take it away, or pull to elsewhere",
                    path.display()
                );
            }
        }
    }
    Ok(())
}
