//! Who one is at a registry: from the environment, else from the file that other tools keep.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use oci_client::secrets::RegistryAuth;

/// Nobody in particular, where nothing says otherwise. A credential is never an argument, where others could see it.
pub(super) fn credentials(registry: &str, file: Option<&Path>) -> anyhow::Result<RegistryAuth> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    if let Some(password) = variable("RELAIS_REGISTRY_PASSWORD") {
        return Ok(match variable("RELAIS_REGISTRY_USER") {
            Some(user) => RegistryAuth::Basic(user, password),
            None => RegistryAuth::Bearer(password),
        });
    }
    let path = match file {
        Some(file) => file.to_owned(),
        None => match variable("DOCKER_CONFIG").map(PathBuf::from) {
            Some(dir) => dir.join("config.json"),
            None => match variable("HOME") {
                Some(home) => PathBuf::from(home).join(".docker/config.json"),
                None => return Ok(RegistryAuth::Anonymous),
            },
        },
    };
    match std::fs::read_to_string(&path) {
        Ok(text) => from_file(&text, registry).with_context(|| path.display().to_string()),
        // One that was named has to be there.
        Err(error) if file.is_none() && error.kind() == std::io::ErrorKind::NotFound => Ok(RegistryAuth::Anonymous),
        Err(error) => Err(error).with_context(|| path.display().to_string()),
    }
}

fn from_file(text: &str, registry: &str) -> anyhow::Result<RegistryAuth> {
    let file: serde_json::Value = serde_json::from_str(text).context("it is no JSON")?;
    // What Docker calls its own registry.
    let also = if registry == "index.docker.io" { "https://index.docker.io/v1/" } else { registry };
    let entry = |name: &str| file.get("auths").and_then(|auths| auths.get(name));
    let Some(entry) = entry(registry).or_else(|| entry(also)) else { return Ok(RegistryAuth::Anonymous) };
    let Some(auth) = entry.get("auth").and_then(serde_json::Value::as_str) else {
        return Ok(RegistryAuth::Anonymous);
    };
    let decoded = BASE64.decode(auth).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let pair = decoded.as_deref().and_then(|pair| pair.split_once(':'));
    let (user, password) = pair.with_context(|| format!("`auth` of {registry} is not the base64 of user:password"))?;
    Ok(RegistryAuth::Basic(user.to_owned(), password.to_owned()))
}

/// Whether a registry is on this machine, where nobody listens in between.
pub(super) fn is_this_machine(registry: &str) -> bool {
    let Ok(url) = url::Url::parse(&format!("http://{registry}")) else { return false };
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_found_by_the_registrys_name() {
        let text = r#"{"auths":{"registry.example":{"auth":"dXNlcjpwYXNz"},"other.example":{}}}"#;
        assert!(matches!(from_file(text, "registry.example").unwrap(),
            RegistryAuth::Basic(user, password) if user == "user" && password == "pass"));
        assert!(matches!(from_file(text, "other.example").unwrap(), RegistryAuth::Anonymous));
        assert!(matches!(from_file(text, "none.example").unwrap(), RegistryAuth::Anonymous));
        assert!(from_file(r#"{"auths":{"a":{"auth":"!"}}}"#, "a").is_err());
        assert!(from_file("no JSON", "a").is_err());
    }

    #[test]
    fn only_this_machine_is_reached_without_tls() {
        for (registry, here) in [
            ("localhost:5000", true),
            ("127.0.0.1:80", true),
            ("[::1]:5000", true),
            ("registry.example", false),
            ("127.0.0.1.example", false),
        ] {
            assert_eq!(is_this_machine(registry), here, "{registry}");
        }
    }
}
