//! Released versions of the contract are frozen: not a byte of them changes, and what was built for them goes on running.

use std::{collections::BTreeMap, fs, path::Path};

use sha2::{Digest, Sha256};

use crate::{
    conformance::polite,
    harness::{component_in, relais, repository},
};

/// Every version that was released, each a directory in `wit/`.
const RELEASED: [&str; 1] = ["1.0.0"];
const LANGUAGES: [&str; 3] = ["rust", "javascript", "python"];

/// The files of a version with their digests, as they are and as they were released.
fn files(version: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut open = vec![version.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() {
                open.push(entry);
            } else if !entry.ends_with("SHA256SUMS") {
                let name = entry.strip_prefix(version).unwrap().to_str().unwrap().to_owned();
                let digest = Sha256::digest(fs::read(&entry).unwrap());
                found.insert(name, digest.iter().map(|byte| format!("{byte:02x}")).collect());
            }
        }
    }
    found
}

fn released(version: &Path) -> BTreeMap<String, String> {
    let sums = fs::read_to_string(version.join("SHA256SUMS")).unwrap();
    let lines = sums.lines().map(|line| line.split_once("  ").unwrap());
    lines.map(|(digest, name)| (name.to_owned(), digest.to_owned())).collect()
}

#[test]
fn not_a_byte_of_a_released_contract_changes() {
    for version in RELEASED {
        let dir = repository().join("wit").join(version);
        let (now, then) = (files(&dir), released(&dir));
        let differ = |name: &&String| now.get(*name) != then.get(*name);
        let changed: Vec<&String> =
            now.keys().chain(then.keys().filter(|name| !now.contains_key(*name))).filter(differ).collect();
        assert!(
            changed.is_empty(),
            "wit/{version} is released, and these of its files are not as they were: {changed:?}. Plugins were built for them. \
             What is to be added goes into a new directory, wit/1.1.0, which begins as a copy; what cannot be added without a \
             change has to wait for 2.0. See \"The version promise\" in wit/README.md."
        );
    }
}

/// The interfaces of the version that is written against, by the files that describe them.
fn interfaces() -> Vec<String> {
    let newest = repository().join("wit").join(RELEASED[RELEASED.len() - 1]);
    let files = fs::read_dir(newest).unwrap().map(|entry| entry.unwrap().path());
    let wit = files.filter(|path| path.extension().is_some_and(|extension| extension == "wit"));
    let text: String = wit.map(|path| fs::read_to_string(path).unwrap()).collect();
    let names = text.lines().filter_map(|line| line.strip_prefix("interface ")?.strip_suffix(" {"));
    // Values that the others share; there is nothing in it to call.
    names.filter(|name| *name != "types").map(str::to_owned).collect()
}

#[tokio::test]
async fn each_interface_has_an_example_in_three_languages_that_is_compiled() {
    let page = fs::read_to_string(repository().join("plugin-sdk/README.md")).unwrap();
    let interfaces = interfaces();
    assert!(interfaces.len() >= 12, "{interfaces:?}");
    for (language, file) in
        [("rust", "rust/src/lib.rs"), ("javascript", "javascript/plugin.js"), ("python", "python/plugin.py")]
    {
        let place = format!("examples/tour/{file}");
        let source = fs::read_to_string(repository().join("plugin-sdk").join(&place)).unwrap();
        for interface in &interfaces {
            let marked =
                source.lines().filter(|line| line.trim().ends_with(&format!("interface: {interface}"))).count();
            assert_eq!(marked, 1, "{place} has one example of {interface}");
            let row = page.lines().find(|line| line.starts_with(&format!("| `{interface}` |")));
            assert!(
                row.is_some_and(|row| row.contains(&place)),
                "the table of plugin-sdk/README.md lacks {interface} in {place}"
            );
        }
        tokio::task::spawn_blocking(move || component_in(language, "tour")).await.unwrap();
    }
}

#[tokio::test]
async fn what_was_built_for_a_released_contract_would_be_loaded() {
    for version in RELEASED {
        for language in LANGUAGES {
            let package = repository().join("wit").join(version).join("fixtures").join(language).join("polite");
            let checked = relais(&["plugin", "check", package.to_str().unwrap()]).await;
            let said = String::from_utf8_lossy(&[checked.stdout, checked.stderr].concat()).into_owned();
            assert!(checked.status.success() && said.contains("would be loaded"), "{version}, {language}: {said}");
        }
    }
}

async fn runs(language: &str) {
    for version in RELEASED {
        let fixture = repository().join("wit").join(version).join("fixtures").join(language).join("polite");
        polite::sees_what_every_other_sees(fixture).await;
    }
}

#[tokio::test]
async fn what_was_built_in_rust_for_a_released_contract_runs_as_it_did() {
    runs("rust").await;
}

#[tokio::test]
async fn what_was_built_in_javascript_for_a_released_contract_runs_as_it_did() {
    runs("javascript").await;
}

#[tokio::test]
async fn what_was_built_in_python_for_a_released_contract_runs_as_it_did() {
    runs("python").await;
}
