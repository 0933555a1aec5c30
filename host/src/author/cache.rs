//! Where machine code is kept between two commands of an author, so that a component of Python is compiled once and not each time.
//!
//! In the author's own cache and never beside the plugin: whoever can write there can run code in this program, and a plugin's
//! directory may come from somebody else.

use std::path::{Path, PathBuf};

/// Components that are remembered; each build of a plugin is a new one, and what is older goes.
const FILES_MAX: usize = 24;

/// The directory, where this account has one.
pub(super) fn machine_code() -> Option<PathBuf> {
    let named = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = named("XDG_CACHE_HOME").or_else(|| Some(named("HOME")?.join(".cache")))?;
    let dir = cache.join("relais").join("machine-code");
    std::fs::create_dir_all(&dir).ok()?;
    if let Err(error) = forget_the_oldest(&dir) {
        tracing::debug!(%error, "old machine code stays in {}", dir.display());
    }
    Some(dir)
}

fn forget_the_oldest(dir: &Path) -> std::io::Result<()> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        files.push((entry.metadata()?.modified()?, entry.path()));
    }
    files.sort();
    let too_many = files.len().saturating_sub(FILES_MAX);
    files.into_iter().take(too_many).try_for_each(|(_, path)| std::fs::remove_file(path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::author::scratch::Scratch;

    #[test]
    fn only_the_latest_are_kept() {
        let scratch = Scratch::new("cache").unwrap();
        for no in 0..FILES_MAX + 3 {
            std::fs::write(scratch.path().join(format!("{no:03}")), "code").unwrap();
        }
        forget_the_oldest(scratch.path()).unwrap();
        assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), FILES_MAX);
    }
}
