//! The components that the hosts of the tests run: built once, by the same commands that everybody uses.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
    time::SystemTime,
};

/// The repository's root.
pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Where machine code is kept for all hosts of all tests, so that only the first one compiles.
pub(crate) fn shared_cache() -> PathBuf {
    scratch().join("machine-code")
}

/// Beside the build, so that it goes when that goes.
fn scratch() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
}

/// Which packages a host finds.
#[derive(Clone, Debug)]
pub(crate) enum Packages {
    /// The six of this repository that are written in Rust and take events.
    Shipped,
    /// `greeting`, `away` and `quick-reply`, which speak where somebody writes out of the blue.
    Automations,
    /// Package directories, copied under `plugins.dir` by their plugins' names.
    These(Vec<PathBuf>),
    /// The test's own.
    Tester,
    /// The same, and a run of it that failed waits for hours: what is behind it waits as well.
    Patient,
}

impl Packages {
    /// The directory for `plugins.dir`; what has to be put together is put together under `dir`.
    pub(crate) fn directory(&self, dir: &Path) -> PathBuf {
        match self {
            Packages::Shipped => {
                ensure_plugins();
                scratch().join("shipped")
            }
            Packages::Automations => {
                ensure_plugins();
                for name in AUTOMATIONS {
                    copy_package(&repository().join("plugins").join(name), &dir.join("plugins").join(name));
                }
                dir.join("plugins")
            }
            Packages::These(sources) => {
                for source in sources {
                    copy_package(source, &dir.join("plugins").join(name_of(source)));
                }
                dir.join("plugins")
            }
            Packages::Tester | Packages::Patient => {
                let packages = dir.join("plugins");
                copy_package(&tester_source(), &packages.join("tester"));
                let built = ensure_plugins();
                std::fs::copy(built, packages.join("tester/tester.wasm")).unwrap();
                if matches!(self, Packages::Patient) {
                    make_patient(&packages.join("tester/plugin.toml"));
                }
                packages
            }
        }
    }
}

impl Packages {
    /// The manifests of all packages, as text.
    pub(crate) fn manifests(&self) -> Vec<String> {
        let sources = match self {
            Packages::Shipped => staged(),
            Packages::Automations => AUTOMATIONS.map(|name| repository().join("plugins").join(name)).to_vec(),
            Packages::These(sources) => sources.clone(),
            Packages::Tester | Packages::Patient => vec![tester_source()],
        };
        sources.iter().filter_map(|source| std::fs::read_to_string(source.join("plugin.toml")).ok()).collect()
    }
}

fn make_patient(manifest: &Path) {
    let text = std::fs::read_to_string(manifest).unwrap();
    let patient = text.replace("first = \"10s\"", "first = \"5h\"").replace("longest = \"60s\"", "longest = \"5h\"");
    assert_ne!(patient, text, "the manifest says nothing of pauses any more");
    std::fs::write(manifest, patient).unwrap();
}

/// The packages of this repository that cargo builds. Those in other languages run in tests of their own: the tools of every
/// language, and the machine code of a Python component, are nothing that each test should wait for.
fn shipped() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(repository().join("plugins")).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|package| package.join("Cargo.toml").is_file()).collect()
}

/// They answer what nobody was asked: beside the others they would be one run more for every word of a customer's.
const AUTOMATIONS: [&str; 3] = ["greeting", "away", "quick-reply"];

/// Those that most tests start with.
fn staged() -> Vec<PathBuf> {
    let mut packages = shipped();
    packages.retain(|package| !AUTOMATIONS.iter().any(|name| package.ends_with(name)));
    packages
}

/// A plugin's name, as the manifest of its package has it.
fn name_of(package: &Path) -> String {
    let manifest: toml::Table = std::fs::read_to_string(package.join("plugin.toml")).unwrap().parse().unwrap();
    manifest["plugin"]["name"].as_str().unwrap().to_owned()
}

fn tester_source() -> PathBuf {
    guest_source("tester")
}

fn guest_source(name: &str) -> PathBuf {
    repository().join("tests/guests").join(name)
}

/// An example of the SDK in Rust, as a package under `packages`.
pub(crate) fn copy_example(name: &str, packages: &Path) {
    let source = repository().join("plugin-sdk/examples").join(name).join("rust");
    let built = locked(|| build_crate(name, &source));
    let package = packages.join(name);
    copy_package(&source, &package);
    std::fs::copy(built, package.join(name).with_extension("wasm")).unwrap();
}

/// A package of `tests/guests`, put under `packages`.
pub(crate) fn copy_guest(name: &str, packages: &Path) {
    let built = locked(|| build_guest(name));
    let package = packages.join(name);
    copy_package(&guest_source(name), &package);
    std::fs::copy(built, package.join(name).with_extension("wasm")).unwrap();
}

/// Copies a package's manifest and component, without the sources beside them.
pub(crate) fn copy_package(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let extension = path.extension().and_then(|extension| extension.to_str());
        let manifest = path.file_name().is_some_and(|name| name == "plugin.toml");
        if manifest || extension == Some("wasm") {
            std::fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
        }
    }
}

/// A shipped package, copied under `packages`.
pub(crate) fn copy_shipped(name: &str, packages: &Path) -> PathBuf {
    ensure_plugins();
    let to = packages.join(name);
    copy_package(&repository().join("plugins").join(name), &to);
    to
}

/// Builds the plugins and the test's own, unless they are newer than everything that they are made from. The path of the
/// test's own component.
pub(crate) fn ensure_plugins() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        locked(|| {
            build_shipped();
            stage_shipped();
            build_guest("tester")
        })
    })
}

/// Another test process may be building as well.
fn locked<T>(build: impl FnOnce() -> T) -> T {
    std::fs::create_dir_all(scratch()).unwrap();
    let lock = File::create(scratch().join("plugins.lock")).unwrap();
    lock.lock().unwrap();
    build()
}

fn build_shipped() {
    let packages = shipped();
    let component = |path: &PathBuf| path.join(path.file_name().unwrap()).with_extension("wasm");
    let missing = packages.iter().any(|package| !component(package).exists());
    let stamp = scratch().join("plugins.stamp");
    let sources: Vec<&Path> = packages.iter().map(PathBuf::as_path).collect();
    if missing || is_older(&stamp, &sources) {
        let mut build = Command::new(repository().join("scripts/build-plugins"));
        build.arg("rust");
        run(build);
        File::create(&stamp).unwrap();
    }
}

/// In a directory of their own, without those of other languages; what is there already is left alone, as hosts may read it.
fn stage_shipped() {
    for package in staged() {
        let name = package.file_name().unwrap().to_str().unwrap();
        let staged = scratch().join("shipped").join(name);
        std::fs::create_dir_all(&staged).unwrap();
        for file in ["plugin.toml".to_owned(), format!("{name}.wasm")] {
            let bytes = std::fs::read(package.join(&file)).unwrap();
            if std::fs::read(staged.join(&file)).is_ok_and(|there| there == bytes) {
                continue;
            }
            std::fs::write(staged.join("new"), bytes).unwrap();
            std::fs::rename(staged.join("new"), staged.join(&file)).unwrap();
        }
    }
}

/// Builds the plugins of this repository in the other languages, by the script that everybody uses.
pub(crate) fn ensure_other_languages() {
    static BUILT: OnceLock<()> = OnceLock::new();
    BUILT.get_or_init(|| {
        let mut build = Command::new(repository().join("scripts/build-plugins"));
        build.args(["javascript", "python", "c"]).env("CARGO_TARGET_DIR", target_dir());
        locked(|| run(build));
    });
}

/// A component that the tests have in several languages: `polite`, `hostile` or `tour`.
pub(crate) fn component_in(language: &str, name: &str) -> PathBuf {
    let mut build = Command::new(repository().join("scripts/build-plugins"));
    build.args(["--conformance", language]).env("CARGO_TARGET_DIR", target_dir());
    locked(|| run(build));
    let built = target_dir().join("plugin-tools/conformance").join(language).join(name).with_extension("wasm");
    assert!(built.is_file(), "{} was not built", built.display());
    built
}

/// A conformance plugin as a package, in a directory that stays.
pub(crate) fn conformance(language: &str, name: &str) -> PathBuf {
    let component = component_in(language, name);
    let package = scratch().join("conformance").join(language).join(name);
    std::fs::create_dir_all(&package).unwrap();
    let manifest = repository().join("tests/conformance").join(name).join("plugin.toml");
    std::fs::copy(manifest, package.join("plugin.toml")).unwrap();
    std::fs::copy(component, package.join(name).with_extension("wasm")).unwrap();
    package
}

fn target_dir() -> PathBuf {
    scratch().parent().unwrap().to_owned()
}

fn build_guest(name: &str) -> PathBuf {
    build_crate(name, &guest_source(name))
}

fn build_crate(name: &str, source: &Path) -> PathBuf {
    let file = format!("{}.wasm", name.replace('-', "_"));
    let built = scratch().join(&file);
    if !built.exists() || is_older(&built, &[source]) {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.args(["build", "--locked", "--profile", "plugin", "--target", "wasm32-wasip2", "-p", name]);
        cargo.arg("--target-dir").arg(scratch().parent().unwrap());
        run(cargo);
        std::fs::copy(scratch().parent().unwrap().join("wasm32-wasip2/plugin").join(&file), &built).unwrap();
    }
    built
}

fn run(mut command: Command) {
    let output = command.current_dir(repository()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the plugins for the tests cannot be built: {command:?}\n{said}");
}

/// Whether something in these directories, or in what all plugins are made from, is newer than the file.
fn is_older(file: &Path, sources: &[&Path]) -> bool {
    let Ok(built) = std::fs::metadata(file).and_then(|meta| meta.modified()) else { return true };
    let root = repository();
    let common = [root.join("plugin-sdk"), root.join("wit"), root.join("Cargo.lock")];
    let newest = sources.iter().map(|path| newest(path)).chain(common.iter().map(|path| newest(path))).max();
    newest.is_some_and(|newest| newest > built)
}

/// When anything under `path` that a component is made from was changed last.
fn newest(path: &Path) -> SystemTime {
    let meta = std::fs::metadata(path).unwrap();
    if meta.is_file() {
        return meta.modified().unwrap();
    }
    let entries = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    let sources =
        entries.filter(|path| path.extension().is_none_or(|extension| extension != "wasm" && extension != "new"));
    sources.map(|path| newest(&path)).max().unwrap_or(SystemTime::UNIX_EPOCH)
}
