//! `relais plugin new`: a package that builds, with a handler and a scenario test.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use super::{
    languages::Language,
    templates::{self, File},
};

/// What was begun.
pub struct Begun {
    pub dir: PathBuf,
    pub language: &'static Language,
    pub files: Vec<String>,
}

/// The longest name, so that it is short in tables and paths.
const NAME_CHARS_MAX: usize = 40;

/// Writes the package into `dir`, which is made and must be empty. `sdk` is where the SDKs lie; found from `dir` upwards where
/// it is not given.
pub fn begin(name: &str, language: &str, dir: &Path, sdk: Option<&Path>) -> anyhow::Result<Begun> {
    check_name(name)?;
    let language = Language::named(language)?;
    std::fs::create_dir_all(dir).with_context(|| format!("{} cannot be made", dir.display()))?;
    let mut there = std::fs::read_dir(dir).with_context(|| format!("{} cannot be read", dir.display()))?;
    if there.next().is_some() {
        bail!("{} is not empty; a new plugin gets a directory of its own", dir.display());
    }
    let dir = dir.canonicalize().with_context(|| dir.display().to_string())?;
    let sdk = match sdk {
        Some(sdk) => sdk.canonicalize().with_context(|| format!("--sdk {}", sdk.display()))?,
        None => sdk_above(&dir)?,
    };
    let sdk = relative(&dir, &sdk);
    let files = templates::files(&language.template);
    for file in &files {
        write(&dir, file, name, &sdk)?;
    }
    Ok(Begun { dir, language, files: files.into_iter().map(|file| Language::filled_in(&file.path, name)).collect() })
}

fn check_name(name: &str) -> anyhow::Result<()> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let fine = name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(fits) && !name.ends_with('-');
    if !fine || name.len() > NAME_CHARS_MAX {
        bail!(
            "`{name}` is no name for a plugin: small letters, digits and hyphens, a letter first, at most {NAME_CHARS_MAX}, \
             as in `order-ready`"
        );
    }
    Ok(())
}

/// `plugin-sdk/` beside a directory on the way up.
fn sdk_above(dir: &Path) -> anyhow::Result<PathBuf> {
    let found = dir.ancestors().map(|dir| dir.join("plugin-sdk")).find(|sdk| sdk.join("README.md").is_file());
    found.with_context(|| {
        format!("no plugin-sdk/ is found from {} upwards; say where it is with --sdk PATH/TO/plugin-sdk", dir.display())
    })
}

/// `to` as seen from `from`; both are absolute.
fn relative(from: &Path, to: &Path) -> String {
    let (from, to): (Vec<_>, Vec<_>) = (from.components().collect(), to.components().collect());
    let shared = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    // Nothing but the root in common: a way down from there is no shorter.
    if shared <= 1 {
        return to.iter().collect::<PathBuf>().display().to_string();
    }
    let up = std::iter::repeat_n("..".as_ref(), from.len() - shared);
    let down = to.iter().skip(shared).map(|component| component.as_os_str());
    up.chain(down).collect::<PathBuf>().display().to_string()
}

fn write(dir: &Path, file: &File, name: &str, sdk: &str) -> anyhow::Result<()> {
    let path = dir.join(Language::filled_in(&file.path, name));
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).with_context(|| format!("{} cannot be made", parent.display()))?;
    }
    let text = Language::filled_in(file.text, name).replace("{{sdk}}", sdk);
    std::fs::write(&path, text).with_context(|| format!("{} cannot be written", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_no_package_can_have_are_refused() {
        for fine in ["a", "order-ready", "m2"] {
            check_name(fine).unwrap();
        }
        for wrong in ["", "Order", "2m", "-a", "a-", "a_b", "é", "../a", &"a".repeat(41)] {
            assert!(check_name(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_way_to_the_sdk_is_short_where_it_is_near() {
        let way = |from: &str, to: &str| relative(Path::new(from), Path::new(to));
        assert_eq!(way("/r/plugins/mine", "/r/plugin-sdk"), "../../plugin-sdk");
        assert_eq!(way("/srv/mine", "/opt/plugin-sdk"), "/opt/plugin-sdk");
    }
}
