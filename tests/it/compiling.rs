//! Compiling a stranger's component costs the host nothing but the time it allows.

use std::{fs, path::Path};

use crate::harness::{Host, PAUL, Setup, copy_shipped, order_ready};

/// One function of very many instructions that depend on one another.
fn enormous() -> Vec<u8> {
    let mut body = String::new();
    for no in 0..150_000 {
        let (to, from) = (no % 97, (no * 31) % 89);
        body.push_str(&format!(
            "(local.set {to} (i32.mul (i32.add (local.get {to}) (local.get {from})) (i32.const {no})))\n\
             (if (i32.eqz (local.get {from})) (then (local.set {from} (local.get {to}))))\n"
        ));
    }
    let locals = "i32 ".repeat(97);
    wat::parse_str(format!("(component (core module (func (export \"f\") (local {locals})\n{body})))")).unwrap()
}

/// A package called `name` with this component.
fn hostile(packages: &Path, name: &str, wasm: &[u8]) {
    let package = copy_shipped("order-ready", &packages.join("aside"));
    let manifest = fs::read_to_string(package.join("plugin.toml")).unwrap();
    let renamed = manifest.replace("name = \"order-ready\"", &format!("name = \"{name}\""));
    fs::write(package.join("plugin.toml"), renamed).unwrap();
    fs::write(package.join("order-ready.wasm"), wasm).unwrap();
    fs::rename(package, packages.join(name)).unwrap();
    fs::remove_dir(packages.join("aside")).unwrap();
}

async fn host(limit: &str) -> Host {
    let mut host = Host::prepare(Setup::new().with(limit)).await;
    let packages = host.dir().join("packages");
    fs::create_dir_all(&packages).unwrap();
    // In front of the one that is to serve, by its name.
    hostile(&packages, "a-giant", &enormous());
    copy_shipped("order-ready", &packages);
    host.set(&format!("plugins.dir = {}", toml::Value::String(packages.display().to_string())));
    host.launch().await;
    host
}

#[tokio::test]
async fn a_component_that_takes_too_much_to_compile_is_refused_and_the_next_one_serves() {
    let host = host("plugins.compile.memory = \"256MiB\"").await;
    let refused = host.get("/v1/plugins/a-giant").await;
    assert_eq!(refused["state"], "refused", "{refused:#}");
    assert!(refused["reason"].as_str().unwrap().contains("plugins.compile.memory"), "{refused:#}");
    assert_eq!(host.get("/v1/plugins/order-ready").await["state"], "loaded");
    host.sim.phone(PAUL, |_| {});
    host.customer("paul", PAUL).await;
    host.event(order_ready("paul", "O-1")).await;
    host.only_message("paul", "read").await;
}

#[tokio::test]
async fn nobody_compiles_by_hand() {
    let output = crate::harness::relais(&["compile-component"]).await;
    assert_eq!(output.status.code(), Some(3));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("for the host itself"), "{said}");
}
