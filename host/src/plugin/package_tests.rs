use std::os::unix::fs::symlink;

use super::*;
use crate::plugin::{
    tests::world::{manifest, wasm},
    units::Bytes,
};

struct Dir {
    _scratch: tempfile::TempDir,
    path: PathBuf,
    settings: Settings,
}

impl Dir {
    fn new() -> Dir {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("polite");
        fs::create_dir_all(path.join("assets/pictures")).unwrap();
        fs::write(path.join("plugin.toml"), manifest("polite", "")).unwrap();
        fs::write(path.join("polite.wasm"), wasm("polite")).unwrap();
        fs::write(path.join("assets/a.txt"), "a").unwrap();
        fs::write(path.join("assets/pictures/b.png"), "b").unwrap();
        Dir { _scratch: scratch, path, settings: Settings::default() }
    }

    fn read(&self) -> Result<Package, Error> {
        Package::read(&self.path, &self.settings)
    }

    fn refused(&self) -> String {
        self.read().err().expect("it is refused").to_string()
    }
}

#[test]
fn what_belongs_to_a_package_is_read_and_nothing_beside_it() {
    let dir = Dir::new();
    let digest = dir.read().unwrap().package_digest;
    fs::create_dir(dir.path.join("src")).unwrap();
    fs::write(dir.path.join("README.md"), "sources and words").unwrap();
    fs::write(dir.path.join("plugin.sig"), "not signed itself").unwrap();
    let package = dir.read().unwrap();
    assert_eq!(package.package_digest, digest);
    assert_eq!(package.assets.keys().collect::<Vec<_>>(), ["a.txt", "pictures/b.png"]);
    assert_eq!(package.signature.unwrap(), b"not signed itself");
}

#[test]
fn the_digest_changes_with_every_file_and_name_and_with_nothing_else() {
    let digest = |spoil: &dyn Fn(&Path)| {
        let dir = Dir::new();
        spoil(&dir.path);
        dir.read().unwrap().package_digest
    };
    let whole = digest(&|_| {});
    assert_eq!(digest(&|_| {}), whole);
    let mut seen = BTreeSet::from([whole]);
    let changes: [&dyn Fn(&Path); 6] = [
        &|dir| fs::write(dir.join("assets/a.txt"), "A").unwrap(),
        &|dir| fs::rename(dir.join("assets/a.txt"), dir.join("assets/c.txt")).unwrap(),
        &|dir| fs::rename(dir.join("assets/a.txt"), dir.join("assets/pictures/a.txt")).unwrap(),
        &|dir| fs::write(dir.join("assets/none"), "").unwrap(),
        &|dir| fs::write(dir.join("plugin.toml"), manifest("polite", "# a remark")).unwrap(),
        &|dir| fs::write(dir.join("polite.wasm"), [wasm("polite"), vec![0, 2, 1, b'x']].concat()).unwrap(),
    ];
    assert!(changes.into_iter().all(|change| seen.insert(digest(change))));
    // As docs/operate.md says that anybody can compute it.
    let dir = Dir::new();
    let lines = "cd \"$1\" && { printf 'relais package 1\\n'; for f in $(find plugin.toml polite.wasm assets -type f | LC_ALL=C sort); do \
                 printf '%s %s %s\\n' $(sha256sum < $f | cut -d' ' -f1) $(wc -c < $f) $f; done; } | sha256sum | cut -d' ' -f1";
    let output = std::process::Command::new("sh").args(["-c", lines, "sh"]).arg(&dir.path).output().unwrap();
    let by_hand = String::from_utf8(output.stdout).unwrap();
    assert_eq!(dir.read().unwrap().package_digest, format!("sha256:{}", by_hand.trim()));
}

#[test]
fn a_package_has_bounds_and_each_names_its_setting() {
    type Tighten<'a> = &'a dyn Fn(&mut Settings);
    let limits: [(Tighten<'_>, &str); 6] = [
        (&|settings| settings.limits.manifest_bytes = Bytes(20), "plugins.limits.manifest-bytes"),
        (&|settings| settings.limits.package_bytes = Bytes(20), "plugins.limits.package-bytes"),
        (&|settings| settings.limits.asset_bytes = Bytes(1), "plugins.limits.asset-bytes"),
        (&|settings| settings.limits.package_entries = 4, "plugins.limits.package-entries"),
        (&|settings| settings.limits.package_depth = 1, "plugins.limits.package-depth"),
        (&|settings| settings.limits.package_path_bytes = 15, "plugins.limits.package-path-bytes"),
    ];
    for (tighten, setting) in limits {
        let mut dir = Dir::new();
        assert!(dir.read().is_ok());
        tighten(&mut dir.settings);
        assert!(dir.refused().contains(setting), "{}", dir.refused());
    }
    // A file that says nothing of its length is read no further than allowed either, and an endless tree is no deeper.
    let dir = Dir::new();
    let mut deep = dir.path.join("assets");
    for _ in 0..40 {
        deep = deep.join("d");
    }
    fs::create_dir_all(deep).unwrap();
    assert!(dir.refused().contains("plugins.limits.package-depth"), "{}", dir.refused());
}

#[test]
fn a_pipe_a_socket_or_a_device_does_not_hold_the_host_up() {
    for place in ["plugin.toml", "polite.wasm", "assets/a.txt", "plugin.sig"] {
        let dir = Dir::new();
        let path = dir.path.join(place);
        let _ = fs::remove_file(&path);
        let made = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
        assert!(made.success());
        assert!(dir.refused().contains("a pipe"), "{place}: {}", dir.refused());
        fs::remove_file(&path).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(&path).unwrap();
        assert!(dir.refused().contains("a socket"), "{place}: {}", dir.refused());
        fs::remove_file(&path).unwrap();
        symlink("/dev/zero", &path).unwrap();
        assert!(dir.refused().contains("points outside"), "{place}: {}", dir.refused());
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        if place != "assets/a.txt" {
            assert!(dir.refused().contains("a directory"), "{place}: {}", dir.refused());
        }
    }
}

#[test]
fn nothing_in_a_package_leads_out_of_it() {
    for place in ["plugin.toml", "polite.wasm", "assets/a.txt", "assets/pictures", "assets", "plugin.sig"] {
        let dir = Dir::new();
        let path = dir.path.join(place);
        let elsewhere = dir.path.with_file_name("elsewhere");
        if path.exists() {
            fs::rename(&path, &elsewhere).unwrap();
        } else {
            fs::write(&elsewhere, "").unwrap();
        }
        symlink(&elsewhere, &path).unwrap();
        assert!(dir.refused().contains("points outside"), "{place}: {}", dir.refused());
    }
    // A build's output in the package itself is no way out.
    let dir = Dir::new();
    fs::create_dir(dir.path.join("target")).unwrap();
    fs::rename(dir.path.join("polite.wasm"), dir.path.join("target/polite.wasm")).unwrap();
    symlink("target/polite.wasm", dir.path.join("polite.wasm")).unwrap();
    assert!(dir.read().is_ok(), "{}", dir.refused());
    for outside in ["../polite/polite.wasm", "/etc/hostname", "./polite.wasm", ""] {
        let dir = Dir::new();
        let named = manifest("polite", "").replace("\"polite.wasm\"", &format!("\"{outside}\""));
        fs::write(dir.path.join("plugin.toml"), named).unwrap();
        assert!(dir.read().is_err(), "{outside}");
    }
}

#[test]
fn names_that_could_be_taken_for_others_are_refused() {
    for name in ["a\nb", "a\\b", "a\u{7f}"] {
        let dir = Dir::new();
        fs::write(dir.path.join("assets").join(name), "").unwrap();
        assert!(dir.refused().contains("no package may have"), "{}", dir.refused());
    }
    use std::os::unix::ffi::OsStrExt;
    let dir = Dir::new();
    fs::write(dir.path.join("assets").join(std::ffi::OsStr::from_bytes(b"\xff")), "").unwrap();
    assert!(dir.refused().contains("no package may have"), "{}", dir.refused());
}

#[test]
fn machine_code_is_refused_wherever_it_lies_and_whatever_it_is_called() {
    for place in ["other.cwasm", "assets/pictures/other.cwasm"] {
        let dir = Dir::new();
        fs::write(dir.path.join(place), "machine code").unwrap();
        assert!(dir.refused().contains("compiled elsewhere"), "{place}: {}", dir.refused());
    }
    let dir = Dir::new();
    let engine = crate::plugin::engine::for_compiling().unwrap();
    fs::write(dir.path.join("polite.wasm"), engine.precompile_component(&wasm("polite")).unwrap()).unwrap();
    assert!(dir.refused().contains("compiled elsewhere"), "{}", dir.refused());
}
