use std::fs;

use super::*;
use crate::plugin::{
    PluginStatus, State,
    tests::world::{World, work},
};

fn key(world: &World, name: &str) -> PrivateKey {
    PrivateKey::generate(&world.root.join(format!("{name}.pem"))).unwrap()
}

fn lock(world: &World) {
    let mut lock = Lock::default();
    for dir in Contents::all(&world.settings).unwrap() {
        let contents = Contents::read(&dir, &world.settings).unwrap();
        lock.plugins.insert(contents.name, Pin { version: contents.version, digest: contents.digest });
    }
    lock.write(&Lock::path(&world.settings.dir)).unwrap();
}

/// A host with one package.
fn polite() -> World {
    let world = World::new();
    world.install("polite", "");
    world
}

async fn status(world: &World) -> PluginStatus {
    world.start().await.status().remove(0)
}

fn refused(status: &PluginStatus) -> String {
    match &status.state {
        State::Refused { reason } => reason.clone(),
        State::Loaded => panic!("it was loaded"),
    }
}

fn change(world: &World) {
    let manifest = world.settings.dir.join("polite/plugin.toml");
    let text = fs::read_to_string(&manifest).unwrap();
    fs::write(manifest, format!("{text}# changed\n")).unwrap();
}

#[tokio::test]
async fn a_package_that_is_not_what_was_pinned_is_refused_or_remarked_upon() {
    let mut world = polite();
    world.settings.lock = Mode::new("strict");
    let reason = refused(&status(&world).await);
    assert!(reason.contains("relais plugin lock"), "{reason}");
    lock(&world);
    let pinned = status(&world).await;
    assert!(pinned.pinned && pinned.state == State::Loaded, "{pinned:?}");
    change(&world);
    let reason = refused(&status(&world).await);
    assert!(
        reason.contains("not what was pinned") && reason.contains(pinned.package_digest.as_ref().unwrap()),
        "{reason}"
    );
    world.settings.lock = Mode::new("warn");
    let warned = status(&world).await;
    assert!(!warned.pinned && warned.state == State::Loaded);
    let (_, verdict) = verify(&world.settings.dir.join("polite"), &world.settings).unwrap();
    assert!(verdict.remarks[0].contains("not what was pinned"), "{verdict:?}");
    world.settings.lock = Mode::new("off");
    let (_, verdict) = verify(&world.settings.dir.join("polite"), &world.settings).unwrap();
    assert_eq!(verdict.remarks, Vec::<String>::new());
}

#[tokio::test]
async fn a_lock_file_that_cannot_be_read_pins_nothing_and_in_strict_mode_nothing_is_loaded() {
    let mut world = polite();
    for text in ["lock = 2", "lock = 1\n[plugins.polite]\ndigest = \"x\"", "\u{1}", "lock = 1"] {
        fs::write(Lock::path(&world.settings.dir), text).unwrap();
        world.settings.lock = Mode::new("strict");
        refused(&status(&world).await);
        world.settings.lock = Mode::new("warn");
        assert_eq!(status(&world).await.state, State::Loaded);
    }
}

#[tokio::test]
async fn a_signature_says_whose_a_package_is_and_none_can_be_moved_or_made_up() {
    let mut world = polite();
    let dir = world.settings.dir.join("polite");
    let (ours, theirs) = (key(&world, "ours"), key(&world, "theirs"));
    world.settings.trusted_keys = [("example.com".to_owned(), ours.public())].into();
    world.settings.signatures = Mode::new("strict");
    assert!(refused(&status(&world).await).contains("not signed"));
    sign(&dir, &theirs, &world.settings).unwrap();
    assert!(refused(&status(&world).await).contains(&theirs.public().to_string()));
    sign(&dir, &ours, &world.settings).unwrap();
    let signed = status(&world).await;
    assert_eq!((signed.signed_by.as_deref(), &signed.state), (Some("example.com"), &State::Loaded));
    // Another key's signature under a trusted key's name.
    let text = fs::read_to_string(dir.join("plugin.sig")).unwrap();
    sign(&dir, &theirs, &world.settings).unwrap();
    let forged = fs::read_to_string(dir.join("plugin.sig")).unwrap();
    let forged = forged.replace(&theirs.public().to_string(), &ours.public().to_string());
    fs::write(dir.join("plugin.sig"), forged).unwrap();
    assert!(refused(&status(&world).await).contains("not valid"));
    fs::write(dir.join("plugin.sig"), "nonsense").unwrap();
    assert!(refused(&status(&world).await).contains("cannot be read"));
    // One that was good, beside files that have changed; and with the digest in it changed along.
    fs::write(dir.join("plugin.sig"), &text).unwrap();
    change(&world);
    assert!(refused(&status(&world).await).contains("not over this package"));
    let digest = Contents::read(&dir, &world.settings).unwrap().digest;
    fs::write(dir.join("plugin.sig"), text.replace(signed.package_digest.as_ref().unwrap(), &digest)).unwrap();
    assert!(refused(&status(&world).await).contains("not valid"));
    // With warnings only, it is loaded, and nobody is said to have signed it.
    world.settings.signatures = Mode::new("warn");
    let warned = status(&world).await;
    assert_eq!((warned.signed_by, warned.state), (None, State::Loaded));
}

#[tokio::test]
async fn a_key_that_is_trusted_for_one_publisher_does_not_speak_for_another() {
    let mut world = polite();
    let dir = world.settings.dir.join("polite");
    let text = fs::read_to_string(dir.join("plugin.toml")).unwrap();
    fs::write(dir.join("plugin.toml"), text.replace("[plugin]", "[plugin]\npublisher = \"bank.example\"")).unwrap();
    let (bank, shop) = (key(&world, "bank"), key(&world, "shop"));
    world.settings.trusted_keys =
        [("bank.example".to_owned(), bank.public()), ("shop.example".to_owned(), shop.public())].into();
    world.settings.signatures = Mode::new("strict");
    sign(&dir, &shop, &world.settings).unwrap();
    assert!(refused(&status(&world).await).contains("bank.example"));
    sign(&dir, &bank, &world.settings).unwrap();
    let plugins = world.start().await;
    assert!(plugins.execute(work("polite", 1)).await.result.is_ok());
}

#[test]
fn a_word_that_is_none_is_taken_for_strict_and_said_so() {
    for (word, level) in [
        ("off", Level::Off),
        ("warn", Level::Warn),
        ("strict", Level::Strict),
        ("Off", Level::Strict),
        ("", Level::Strict),
    ] {
        assert_eq!(Mode::new(word).level(), level, "{word}");
        let warning = Mode::new(word).warning("plugins.lock");
        assert_eq!(warning.is_some(), !["off", "warn", "strict"].contains(&word), "{word}");
    }
    let settings: Settings = toml::from_str("lock = \"of\"\nsignatures = \"warn\"").unwrap();
    assert_eq!(settings.warnings().len(), 1);
    assert!(
        toml::from_str::<Settings>("trusted-keys = { a = \"AAAA\" }").unwrap_err().to_string().contains("32 bytes")
    );
}

#[test]
fn keys_are_as_others_write_them_and_are_kept_for_their_owner() {
    use std::os::unix::fs::PermissionsExt;
    let world = World::new();
    let path = world.root.join("ours.pem");
    let made = PrivateKey::generate(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(PrivateKey::read(&path).unwrap().public(), made.public());
    assert!(PrivateKey::generate(&path).is_err(), "a key that is there is not written over");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    assert!(PrivateKey::read(&path).err().unwrap().to_string().contains("chmod 600"));
    fs::write(world.root.join("no.pem"), "no key").unwrap();
    fs::set_permissions(world.root.join("no.pem"), fs::Permissions::from_mode(0o600)).unwrap();
    assert!(PrivateKey::read(&world.root.join("no.pem")).err().unwrap().to_string().contains("PEM"));
    // The key and signature of RFC 8410, section 10.3, whose public half is known.
    let rfc = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";
    fs::write(world.root.join("rfc.pem"), rfc).unwrap();
    fs::set_permissions(world.root.join("rfc.pem"), fs::Permissions::from_mode(0o600)).unwrap();
    let public = PrivateKey::read(&world.root.join("rfc.pem")).unwrap().public();
    assert_eq!(public.to_string(), "Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=");
}
