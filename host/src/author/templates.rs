//! The templates, as they came with the program.

use include_dir::{Dir, include_dir};

static TEMPLATES: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/templates/plugin");

pub(super) const LANGUAGES: &str = include_str!("../../templates/plugin/languages.toml");

/// A file of a template, under the path that it gets in a plugin's directory.
pub(super) struct File {
    pub(super) path: String,
    pub(super) text: &'static str,
}

/// The files of a template, in order of their paths.
pub(super) fn files(template: &str) -> Vec<File> {
    let mut found = Vec::new();
    if let Some(dir) = TEMPLATES.get_dir(template) {
        collect(dir, template, &mut found);
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn collect(dir: &Dir<'static>, template: &str, found: &mut Vec<File>) {
    for file in dir.files() {
        let path = file.path().strip_prefix(template).unwrap_or_else(|_| file.path()).to_string_lossy();
        // Text all of it; a test reads every file.
        if let Some(text) = file.contents_utf8() {
            found.push(File { path: plain(&path), text });
        }
    }
    dir.dirs().for_each(|dir| collect(dir, template, found));
}

/// `_gitignore` becomes `.gitignore`: under that name it would have hidden files here.
fn plain(path: &str) -> String {
    let (dir, name) = path.rsplit_once('/').map_or(("", path), |(dir, name)| (dir, name));
    let name = name.strip_prefix('_').map_or_else(|| name.to_owned(), |rest| format!(".{rest}"));
    if dir.is_empty() { name } else { format!("{dir}/{name}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_files_get_their_dot_back() {
        assert_eq!(
            [plain("_gitignore"), plain("src/lib.rs"), plain("a/_npmrc")],
            [".gitignore", "src/lib.rs", "a/.npmrc"]
        );
    }
}
