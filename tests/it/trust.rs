//! Packages are pinned and signed on one desk, and a host believes what its operator said and nothing else.

use std::{fs, path::Path};

use crate::harness::{Host, Setup, copy_shipped, relais};

async fn said(arguments: &[&str]) -> (Option<i32>, String) {
    let output = relais(arguments).await;
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&text).into_owned())
}

async fn done(arguments: &[&str]) -> String {
    let (code, text) = said(arguments).await;
    assert_eq!(code, Some(0), "{arguments:?}: {text}");
    text
}

struct Desk {
    host: Host,
    packages: String,
    key: String,
    public: String,
}

/// Two packages in a directory, a key, and a host that is not started yet.
async fn desk(setup: Setup) -> Desk {
    let mut host = Host::prepare(setup).await;
    let packages = host.dir().join("packages");
    for name in ["order-ready", "ride"] {
        copy_shipped(name, &packages);
    }
    host.set(&format!("plugins.dir = {}", toml::Value::String(packages.display().to_string())));
    let key = host.dir().join("key.pem").display().to_string();
    let printed = done(&["plugin", "keygen", &key, "--publisher", "example.com"]).await;
    let public = printed.lines().last().unwrap().split('"').nth(3).unwrap().to_owned();
    Desk { host, packages: packages.display().to_string(), key, public }
}

fn spoil(package: &Path) {
    let manifest = package.join("plugin.toml");
    let text = fs::read_to_string(&manifest).unwrap();
    fs::write(manifest, text + "\n# changed\n").unwrap();
}

#[tokio::test]
async fn a_strict_host_loads_what_is_pinned_and_signed_and_nothing_else() {
    let setup = Setup::new().with("plugins.lock = \"strict\"\nplugins.signatures = \"stricct\"");
    let Desk { mut host, packages, key, public } = desk(setup).await;
    host.set(&format!("plugins.trusted-keys = {{ \"example.com\" = \"{public}\" }}"));
    let ready = format!("{packages}/order-ready");
    let signed = done(&["plugin", "sign", &ready, "--key", &key]).await;
    assert!(signed.contains(&public), "{signed}");
    let (code, differs) = said(&["plugin", "lock", "--check", "--dir", &packages]).await;
    assert!(code == Some(1) && differs.contains("ride is not pinned"), "{differs}");
    done(&["plugin", "lock", "--dir", &packages]).await;
    done(&["plugin", "lock", "--check", "--dir", &packages]).await;
    host.launch().await;
    let plugin = host.get("/v1/plugins/order-ready").await;
    assert_eq!(plugin["state"], "loaded", "{plugin:#}");
    assert_eq!(plugin["signed_by"], "example.com", "{plugin:#}");
    assert_eq!(plugin["pinned"], true, "{plugin:#}");
    assert!(signed.contains(plugin["package_digest"].as_str().unwrap()), "{signed} {plugin:#}");
    let unsigned = host.get("/v1/plugins/ride").await;
    assert!(unsigned["reason"].as_str().unwrap().contains("not signed"), "{unsigned:#}");
    let log = host.log();
    assert!(log.contains("stricct"), "a word that is none is said");
    // Changed after it was pinned: refused at the next start, and pinned anew it is the signature that does not fit.
    spoil(Path::new(&ready));
    host.restart().await;
    let changed = host.get("/v1/plugins/order-ready").await;
    assert!(changed["reason"].as_str().unwrap().contains("not what was pinned"), "{changed:#}");
    done(&["plugin", "lock", "order-ready", "--dir", &packages]).await;
    host.restart().await;
    let changed = host.get("/v1/plugins/order-ready").await;
    assert!(changed["reason"].as_str().unwrap().contains("not over this package"), "{changed:#}");
}

#[tokio::test]
async fn by_default_what_was_pinned_is_watched_and_what_was_not_is_loaded() {
    let Desk { mut host, packages, key, public } = desk(Setup::new()).await;
    host.launch().await;
    let plugin = host.get("/v1/plugins/order-ready").await;
    assert_eq!((plugin["state"].as_str(), plugin["pinned"].as_bool()), (Some("loaded"), Some(false)), "{plugin:#}");
    let ready = format!("{packages}/order-ready");
    done(&["plugin", "lock", "--dir", &packages]).await;
    done(&["plugin", "sign", &ready, "--key", &key]).await;
    let verified = done(&["plugin", "verify", &ready, "--dir", &packages, "--key", &public]).await;
    assert!(verified.contains("signed by") && verified.contains(", pinned"), "{verified}");
    spoil(Path::new(&ready));
    let (code, verified) = said(&["plugin", "verify", &ready, "--dir", &packages, "--key", &public]).await;
    assert!(
        code == Some(1) && verified.contains("not what was pinned") && verified.contains("not over this"),
        "{verified}"
    );
    host.restart().await;
    let plugin = host.get("/v1/plugins/order-ready").await;
    assert_eq!((plugin["state"].as_str(), plugin["pinned"].as_bool()), (Some("loaded"), Some(false)), "{plugin:#}");
    assert!(host.log().contains("not what was pinned"));
}
