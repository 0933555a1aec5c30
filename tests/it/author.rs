//! A plugin is begun in each language, and what its build lacks is named; what its scenarios say is played.

mod dev;
mod replay;
mod scenarios;

use std::{fs, path::Path, process::Output};

use crate::harness::{relais, relais_with, repository, unique};

const LANGUAGES: [&str; 6] = ["rust", "javascript", "typescript", "python", "c", "go"];

struct Scratch(std::path::PathBuf);

impl Scratch {
    fn new() -> Scratch {
        let path = std::env::temp_dir().join(format!("relais-author-{}-{}", std::process::id(), unique()));
        fs::create_dir_all(&path).unwrap();
        Scratch(path)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

async fn new(name: &str, language: &str, dir: &str) -> Output {
    let sdk = repository().join("plugin-sdk");
    relais(&["plugin", "new", name, "--lang", language, dir, "--sdk", sdk.to_str().unwrap()]).await
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.clone(), output.stderr.clone()].concat()).into_owned()
}

fn files(dir: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[tokio::test]
async fn a_plugin_is_begun_in_each_language() {
    let scratch = Scratch::new();
    for language in LANGUAGES {
        let dir = scratch.path(&format!("{language}/table-free"));
        let begun = new("table-free", language, &dir).await;
        assert!(begun.status.success(), "{}", said(&begun));
        let files = files(Path::new(&dir));
        for wanted in ["plugin.toml", "README.md", ".gitignore"] {
            assert!(files.iter().any(|file| file.ends_with(wanted)), "{language}: no {wanted}");
        }
        for file in files {
            let text = fs::read_to_string(&file).unwrap();
            assert!(!text.contains("{{"), "{}: something was not filled in", file.display());
        }
        let manifest = fs::read_to_string(Path::new(&dir).join("plugin.toml")).unwrap();
        assert!(manifest.contains("name = \"table-free\""), "{manifest}");
        // All that it lacks is its component.
        let checked = relais(&["plugin", "check", &dir]).await;
        assert!(said(&checked).contains("table-free.wasm"), "{language}: {}", said(&checked));
    }
}

#[tokio::test]
async fn what_cannot_be_begun_is_refused_and_nothing_is_written() {
    let scratch = Scratch::new();
    let wrong = new("Table", "rust", &scratch.path("wrong")).await;
    assert!(wrong.status.code() == Some(1) && said(&wrong).contains("small letters"), "{}", said(&wrong));
    assert!(!Path::new(&scratch.path("wrong")).exists());
    fs::create_dir(scratch.path("full")).unwrap();
    fs::write(scratch.path("full/diary"), "dear").unwrap();
    let full = new("table-free", "rust", &scratch.path("full")).await;
    assert!(full.status.code() == Some(1) && said(&full).contains("not empty"), "{}", said(&full));
    assert_eq!(files(&scratch.0).len(), 1);
    let unknown = new("table-free", "cobol", &scratch.path("cobol")).await;
    assert!(unknown.status.code() == Some(2) && said(&unknown).contains("javascript"), "{}", said(&unknown));
}

#[tokio::test]
async fn a_build_names_what_is_missing_and_what_installs_it() {
    let scratch = Scratch::new();
    let dir = scratch.path("table-free");
    assert!(new("table-free", "rust", &dir).await.status.success());
    let built = relais_with(&["plugin", "build", &dir], &[("PATH", "/nowhere")], "").await;
    assert!(built.status.code() == Some(1) && said(&built).contains("`cargo` is not found"), "{}", said(&built));
    assert!(said(&built).contains("rustup"), "{}", said(&built));
    fs::remove_file(Path::new(&dir).join("src/lib.rs")).unwrap();
    let nothing = relais(&["plugin", "build", &dir]).await;
    assert!(said(&nothing).contains("src/lib.rs (Rust)"), "{}", said(&nothing));
}
