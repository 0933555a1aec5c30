//! Packages go to a registry and come back, and what a registry or a publisher does wrong is refused with nothing in place.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::json;

use crate::harness::{Host, Registry, Setup, Wrong, copy_shipped, relais_with};

struct Desk {
    registry: Arc<Registry>,
    dir: tempfile::TempDir,
}

impl Desk {
    async fn new(account: Option<(&'static str, &'static str)>) -> Desk {
        Desk { registry: Registry::start(account).await, dir: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn reference(&self, tag: &str) -> String {
        format!("{}/team/order-ready{tag}", self.registry.name)
    }

    /// A package with an asset in a directory of its own, to be published.
    fn package(&self) -> PathBuf {
        let package = copy_shipped("order-ready", &self.path("ours"));
        fs::create_dir_all(package.join("assets/pictures")).unwrap();
        fs::write(package.join("assets/pictures/shop.txt"), "a shop").unwrap();
        fs::create_dir_all(package.join("src")).unwrap();
        fs::write(package.join("src/lib.rs"), "what stays at home").unwrap();
        package
    }

    async fn said(&self, words: &[&str], environment: &[(&str, &str)]) -> (bool, String) {
        let home = self.path("home").display().to_string();
        let environment: Vec<_> = environment.iter().copied().chain([("HOME", home.as_str())]).collect();
        let output = relais_with(&[&["plugin"], words].concat(), &environment, "").await;
        (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    }

    async fn done(&self, words: &[&str]) -> String {
        let (done, said) = self.said(words, &[]).await;
        assert!(done, "{words:?}: {said}");
        said
    }

    async fn push(&self, package: &Path) -> String {
        self.done(&["push", package.to_str().unwrap(), &self.reference(":1.0.0")]).await
    }

    async fn pull_to(&self, reference: &str, name: &str) -> (bool, String) {
        let to = self.path(name).join("order-ready");
        self.said(&["pull", reference, to.to_str().unwrap()], &[]).await
    }
}

fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut open = vec![dir.to_owned()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(&next).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                found.insert(path.strip_prefix(dir).unwrap().display().to_string(), fs::read(&path).unwrap());
            }
        }
    }
    found
}

#[tokio::test]
async fn what_is_pushed_is_pulled_by_tag_and_by_digest_and_a_host_loads_it() {
    let desk = Desk::new(None).await;
    let package = desk.package();
    let key = desk.path("key.pem").display().to_string();
    desk.done(&["keygen", &key]).await;
    desk.done(&["sign", package.to_str().unwrap(), "--key", &key]).await;
    let said = desk.push(&package).await;
    let by_digest = said.lines().last().unwrap().to_owned();
    assert!(by_digest.contains("@sha256:"), "{said}");
    let mut wanted = files(&package);
    wanted.remove("src/lib.rs").unwrap();
    for (name, reference) in [("by-tag", desk.reference(":1.0.0")), ("by-digest", by_digest)] {
        let (done, said) = desk.pull_to(&reference, name).await;
        assert!(done, "{said}");
        assert_eq!(files(&desk.path(name).join("order-ready")), wanted);
        assert_eq!(fs::read_dir(desk.path(name)).unwrap().count(), 1, "nothing is left over");
    }
    // Into the plugins' directory, pinned, and into a host.
    let mut host = Host::prepare(Setup::new().with("plugins.lock = \"strict\"")).await;
    let packages = desk.path("packages").display().to_string();
    let said = desk.done(&["pull", &desk.reference(":1.0.0"), "--lock", "--dir", &packages]).await;
    assert!(said.contains("pinned"), "{said}");
    host.set(&format!("plugins.dir = {}", toml::Value::String(packages)));
    host.launch().await;
    let plugin = host.get("/v1/plugins/order-ready").await;
    assert_eq!((plugin["state"].as_str(), plugin["pinned"].as_bool()), (Some("loaded"), Some(true)), "{plugin:#}");
}

#[tokio::test]
async fn the_component_lies_in_a_registry_as_other_tools_expect_it() {
    let desk = Desk::new(None).await;
    let package = desk.package();
    desk.push(&package).await;
    let manifest = desk.registry.manifest("team/order-ready", "1.0.0");
    assert_eq!(manifest["mediaType"], "application/vnd.oci.image.manifest.v1+json");
    assert_eq!(manifest["config"]["mediaType"], "application/vnd.wasm.config.v0+json");
    let layers = manifest["layers"].as_array().unwrap();
    assert_eq!(layers.len(), 1, "tools for components take exactly one layer: {manifest:#}");
    assert_eq!(layers[0]["mediaType"], "application/wasm");
    let component = fs::read(package.join("order-ready.wasm")).unwrap();
    assert_eq!(desk.registry.blob(layers[0]["digest"].as_str().unwrap()), component);
    let config: serde_json::Value =
        serde_json::from_slice(&desk.registry.blob(manifest["config"]["digest"].as_str().unwrap())).unwrap();
    assert_eq!((config["architecture"].as_str(), config["os"].as_str()), (Some("wasm"), Some("wasip2")), "{config:#}");
    assert_eq!(config["layerDigests"][0], layers[0]["digest"]);
    let exports = config["component"]["exports"].as_array().unwrap();
    assert!(exports.iter().any(|name| name.as_str().unwrap().starts_with("relais:plugin/on-event@")), "{config:#}");
    // Published again, it is the same: nothing of the time or the machine is in it.
    let (first, again) = (desk.push(&package).await, desk.push(&package).await);
    assert_eq!(first, again);
}

#[tokio::test]
async fn a_registry_that_asks_who_comes_is_told_from_the_environment_or_from_the_file_of_other_tools() {
    let desk = Desk::new(Some(("paul", "s3cret"))).await;
    let package = desk.package().display().to_string();
    let reference = desk.reference(":1.0.0");
    let push = ["push", package.as_str(), reference.as_str()];
    let (done, said) = desk.said(&push, &[]).await;
    assert!(!done, "{said}");
    let account = |password| [("RELAIS_REGISTRY_USER", "paul"), ("RELAIS_REGISTRY_PASSWORD", password)];
    let (done, said) = desk.said(&push, &account("wrong")).await;
    assert!(!done && !said.contains("wrong"), "{said}");
    let (done, said) = desk.said(&push, &account("s3cret")).await;
    assert!(done && !said.contains("s3cret"), "{said}");
    fs::create_dir_all(desk.path("home/.docker")).unwrap();
    let auths = json!({ "auths": { desk.registry.name.clone(): { "auth": "cGF1bDpzM2NyZXQ=" } } });
    fs::write(desk.path("home/.docker/config.json"), auths.to_string()).unwrap();
    let (done, said) = desk.pull_to(&reference, "pulled").await;
    assert!(done, "{said}");
}

#[tokio::test]
async fn a_registry_that_sends_something_else_changes_nothing_here() {
    let desk = Desk::new(None).await;
    let package = desk.package();
    desk.push(&package).await;
    assert!(desk.pull_to(&desk.reference(":1.0.0"), "here").await.0);
    let before = files(&desk.path("here"));
    for wrong in [Wrong::Bytes, Wrong::Half, Wrong::More, Wrong::Manifest] {
        desk.registry.go_wrong(Some(wrong));
        let (done, said) = desk.pull_to(&desk.reference(":1.0.0"), "here").await;
        assert!(!done, "{wrong:?}: {said}");
        assert!(!desk.pull_to(&desk.reference(":1.0.0"), "nowhere").await.0);
        assert_eq!(files(&desk.path("nowhere")), BTreeMap::new());
        assert_eq!(files(&desk.path("here")), before, "{wrong:?}");
    }
    desk.registry.go_wrong(None);
    assert!(!desk.pull_to(&desk.reference(":2.0.0"), "nowhere").await.0, "there is no such tag");
    assert!(desk.pull_to(&desk.reference(":1.0.0"), "nowhere").await.0);
}

#[tokio::test]
async fn a_publisher_of_ill_will_gets_nothing_into_another_place() {
    let desk = Desk::new(None).await;
    desk.push(&desk.package()).await;
    let main = desk.registry.manifest("team/order-ready", "1.0.0");
    let main_digest = desk.registry.plant_manifest("team/order-ready", "1.0.0", &main);
    let tag = format!("{}.relais", main_digest.replace(':', "-"));
    let honest = desk.registry.manifest("team/order-ready", &tag);
    let layer = |path: &str, size: Option<u64>| {
        let mut layer = desk.registry.plant_blob(b"harm");
        layer["annotations"] = json!({ "org.opencontainers.image.title": path });
        if let Some(size) = size {
            layer["size"] = json!(size);
        }
        layer
    };
    let many: Vec<_> = (0..1001).map(|no| layer(&format!("assets/{no}"), None)).collect();
    let cases = [
        (vec![layer("../harm", None)], "no path in a package"),
        (vec![layer("/tmp/relais-harm", None)], "no path in a package"),
        (vec![layer("assets/a\nb", None)], "no path in a package"),
        (vec![layer(&"assets/d".repeat(40), None)], "package-path-bytes"),
        (vec![layer("assets/a/b/c/d/e/f/g/h/i/j", None)], "package-depth"),
        (vec![layer("assets/harm", Some(1 << 40))], "plugins.limits.package-bytes"),
        (vec![layer("assets/harm", Some(3))], "more than its manifest says"),
        (vec![layer("plugin.toml", None)], "two files"),
        (vec![layer("README.md", None)], "do not belong to a package"),
        (vec![layer("assets/harm", None)], "was published with"),
        (many, "plugins.limits.package-entries"),
    ];
    for (layers, why) in cases {
        let mut planted = honest.clone();
        planted["layers"].as_array_mut().unwrap().extend(layers);
        desk.registry.plant_manifest("team/order-ready", &tag, &planted);
        let (done, said) = desk.pull_to(&desk.reference(":1.0.0"), "place").await;
        assert!(!done && said.contains(why), "{why}: {said}");
        assert_eq!(files(&desk.path("place")), BTreeMap::new(), "{why}");
    }
    desk.registry.plant_manifest("team/order-ready", &tag, &honest);
    assert!(desk.pull_to(&desk.reference(":1.0.0"), "place").await.0);
}

#[tokio::test]
async fn a_newer_package_takes_an_older_ones_place_and_nobodys_files_are_lost() {
    let desk = Desk::new(None).await;
    let package = desk.package();
    desk.push(&package).await;
    assert!(desk.pull_to(&desk.reference(":1.0.0"), "here").await.0);
    fs::write(package.join("assets/pictures/shop.txt"), "another shop").unwrap();
    desk.push(&package).await;
    let notes = desk.path("here/order-ready/notes.txt");
    fs::write(&notes, "somebody's own").unwrap();
    let (done, said) = desk.pull_to(&desk.reference(":1.0.0"), "here").await;
    assert!(!done && said.contains("notes.txt"), "{said}");
    assert_eq!(fs::read(desk.path("here/order-ready/assets/pictures/shop.txt")).unwrap(), b"a shop");
    fs::remove_file(notes).unwrap();
    let (done, said) = desk.pull_to(&desk.reference(":1.0.0"), "here").await;
    assert!(done, "{said}");
    assert_eq!(fs::read(desk.path("here/order-ready/assets/pictures/shop.txt")).unwrap(), b"another shop");
    assert_eq!(fs::read_dir(desk.path("here")).unwrap().count(), 1, "the older one is gone");
}

#[tokio::test]
async fn what_the_hosts_keys_do_not_cover_is_fetched_into_no_place() {
    let desk = Desk::new(None).await;
    desk.push(&desk.package()).await;
    let config = desk.path("relais.toml");
    fs::write(&config, "[ingress]\nopen = true\n[plugins]\nsignatures = \"strict\"\n").unwrap();
    let packages = desk.path("packages").display().to_string();
    let reference = desk.reference(":1.0.0");
    let words = ["pull", &reference, "--dir", &packages, "--config", config.to_str().unwrap()];
    let (done, said) = desk.said(&words, &[]).await;
    assert!(!done && said.contains("not signed"), "{said}");
    assert_eq!(files(Path::new(&packages)), BTreeMap::new());
}
