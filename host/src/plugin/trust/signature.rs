//! Ed25519 signatures over a package's digest, detached in `plugin.sig`.
//!
//! What is signed is the line `relais plugin signature 1 sha256:…` and a line feed, so that no signature made for anything
//! else can be taken for one. Keys are as others write them: a private key is PKCS#8 in PEM, which OpenSSL makes and reads, a
//! public one the base64 of its 32 bytes.

use std::{
    collections::BTreeMap,
    fmt,
    io::{Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::Path,
};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use serde::{Deserialize, Deserializer, Serialize, de};

use super::Error;

/// What PKCS#8 has in front of the 32 bytes of an Ed25519 key.
const PKCS8_HEAD: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
const PEM_BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const PEM_END: &str = "-----END PRIVATE KEY-----";
/// Far more than a key has.
const KEY_BYTES_MAX: u64 = 8 << 10;

/// The file `plugin.sig`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    signature: u32,
    digest: String,
    key: PublicKey,
    ed25519: String,
}

/// The key that a publisher's signatures are checked with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey([u8; 32]);

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64.encode(self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

impl PublicKey {
    pub fn parse(text: &str) -> Result<PublicKey, String> {
        let bytes = BASE64.decode(text.trim()).ok().and_then(|bytes| bytes.try_into().ok());
        bytes.map(PublicKey).ok_or_else(|| {
            format!("`{text}` is no public key; it is the base64 of 32 bytes, as `relais plugin keygen` prints it")
        })
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        PublicKey::parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

impl Serialize for PublicKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The key that a publisher signs with. It is never printed.
pub struct PrivateKey(Ed25519KeyPair);

impl PrivateKey {
    /// Makes a key and writes it to a file that only its owner can read. A file that is there stays.
    pub fn generate(path: &Path) -> Result<PrivateKey, Error> {
        let trouble = |error| Error::File { path: path.to_owned(), error };
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|error| Error::Key(format!("the system gives no random bytes: {error}")))?;
        let key = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|error| Error::Key(error.to_string()))?;
        let der = [PKCS8_HEAD.as_slice(), &seed].concat();
        let mut file =
            std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(trouble)?;
        let text = format!("{PEM_BEGIN}\n{}\n{PEM_END}\n", BASE64.encode(der));
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(trouble)?;
        Ok(PrivateKey(key))
    }

    pub fn read(path: &Path) -> Result<PrivateKey, Error> {
        let trouble = |error| Error::File { path: path.to_owned(), error };
        let file = std::fs::File::open(path).map_err(trouble)?;
        if file.metadata().map_err(trouble)?.mode() & 0o077 != 0 {
            return Err(Error::Key(format!("others can read {}; `chmod 600` it", path.display())));
        }
        let mut text = String::new();
        file.take(KEY_BYTES_MAX).read_to_string(&mut text).map_err(trouble)?;
        let wrong = || Error::Key(format!("{} is no Ed25519 private key in PEM (PKCS#8)", path.display()));
        let body = text.split_once(PEM_BEGIN).and_then(|(_, rest)| rest.split_once(PEM_END)).ok_or_else(wrong)?.0;
        let body: String = body.split_whitespace().collect();
        let der = BASE64.decode(body).map_err(|_| wrong())?;
        Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der).map(PrivateKey).map_err(|_| wrong())
    }

    pub fn public(&self) -> PublicKey {
        // Its length is the algorithm's.
        PublicKey(self.0.public_key().as_ref().try_into().unwrap_or_default())
    }

    /// The text of `plugin.sig` for a package's digest.
    pub(super) fn sign(&self, digest: &str) -> String {
        let ed25519 = BASE64.encode(self.0.sign(&message(digest)));
        let (key, digest) = (self.public(), digest.to_owned());
        let fields = [("digest", digest), ("key", key.to_string()), ("ed25519", ed25519)];
        let fields: String = fields.iter().map(|(name, value)| format!("{name} = \"{value}\"\n")).collect();
        format!("# Over the package's digest; written by `relais plugin sign`.\nsignature = 1\n{fields}")
    }
}

fn message(digest: &str) -> Vec<u8> {
    format!("relais plugin signature 1 {digest}\n").into_bytes()
}

/// Under which name the key is trusted that a package was signed with.
pub(super) fn verify(text: &[u8], digest: &str, trusted: &BTreeMap<String, PublicKey>) -> Result<String, Error> {
    let text = std::str::from_utf8(text).map_err(|error| Error::BadSignature(error.to_string()))?;
    let file: File = toml::from_str(text).map_err(|error| Error::BadSignature(error.to_string().trim().to_owned()))?;
    if file.signature != 1 {
        return Err(Error::BadSignature(format!("`signature = {}` is no version of this format", file.signature)));
    }
    if file.digest != digest {
        return Err(Error::SignedOther { signed: file.digest.chars().take(80).collect(), found: digest.to_owned() });
    }
    let Some((by, key)) = trusted.iter().find(|(_, key)| **key == file.key) else {
        return Err(Error::UnknownKey { key: file.key.to_string() });
    };
    let bytes = BASE64.decode(&file.ed25519).map_err(|error| Error::BadSignature(error.to_string()))?;
    let valid = UnparsedPublicKey::new(&ED25519, key.0).verify(&message(digest), &bytes);
    valid.map(|()| by.clone()).map_err(|_| Error::Forged { by: by.clone() })
}
