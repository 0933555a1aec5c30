//! Whether something of a plugin has changed: looked for, not waited for, so that it works on every file system.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::SystemTime,
};

/// Made by builds and not by authors.
const MADE: [&str; 8] = ["target", "node_modules", "dist", "build", "venv", "__pycache__", "gen", "bindings"];
/// A directory with more files than this is not a plugin's sources.
const FILES_MAX: usize = 5_000;

/// The files of a plugin as they were when they were last looked at.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sources(BTreeMap<PathBuf, (Option<SystemTime>, u64)>);

impl Sources {
    /// Those that its author writes. `component` is one of them where somebody else builds it.
    pub fn of(dir: &Path, component: bool) -> Sources {
        let mut sources = Sources::default();
        sources.collect(dir, component);
        sources
    }

    /// The first file that is another than before.
    pub fn changed_since<'a>(&'a self, before: &'a Sources) -> Option<&'a Path> {
        let changed = self.0.iter().find(|(path, seen)| before.0.get(*path) != Some(seen));
        let gone = before.0.keys().find(|path| !self.0.contains_key(*path));
        changed.map(|(path, _)| path.as_path()).or(gone.map(PathBuf::as_path))
    }

    fn collect(&mut self, dir: &Path, component: bool) {
        // What cannot be read now is looked at again soon.
        let Ok(entries) = std::fs::read_dir(dir) else { return };
        for entry in entries.flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            let name = name.to_string_lossy();
            if name.starts_with('.') || MADE.contains(&&*name) || self.0.len() >= FILES_MAX {
                continue;
            }
            let Ok(meta) = entry.metadata() else { continue };
            if meta.is_dir() {
                self.collect(&path, component);
            } else if component || !(name.ends_with(".wasm") || name.ends_with(".wasm.new") || name.ends_with(".lock"))
            {
                self.0.insert(path, (meta.modified().ok(), meta.len()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::author::scratch::Scratch;

    #[test]
    fn what_an_author_writes_is_a_change_and_what_a_build_makes_is_none() {
        let scratch = Scratch::new("watch").unwrap();
        let write = |name: &str, text: &str| {
            let path = scratch.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("src/lib.rs", "one");
        let before = Sources::of(scratch.path(), false);
        write("target/made", "x");
        write("plugin.wasm", "x");
        write(".git/made", "x");
        assert_eq!(Sources::of(scratch.path(), false).changed_since(&before), None);
        assert!(Sources::of(scratch.path(), true).changed_since(&before).unwrap().ends_with("plugin.wasm"));
        write("src/lib.rs", "another");
        assert!(Sources::of(scratch.path(), false).changed_since(&before).unwrap().ends_with("src/lib.rs"));
        std::fs::remove_file(scratch.path().join("src/lib.rs")).unwrap();
        assert!(Sources::of(scratch.path(), false).changed_since(&before).unwrap().ends_with("src/lib.rs"));
    }
}
