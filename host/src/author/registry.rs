//! `relais plugin push` and `pull`: packages in an OCI registry.
//!
//! A package is two artifacts under one name. The first is the component as `wkg` publishes it, so that every tool for
//! WebAssembly can pull it: one layer `application/wasm` and a config `application/vnd.wasm.config.v0+json`. Such tools take
//! one layer and no more, so the rest of the package (manifest, schema, assets, signature) is a second artifact, which names
//! the first as its `subject` and has the tag `sha256-….relais` of its digest, as signatures of containers do. The first
//! says the digest of the whole package in an annotation, so whoever pins its digest has pinned everything.
//!
//! What can go wrong: no such registry or name, no rights, a registry that sends something else, too much, or half of it. A
//! package is put in place whole or not at all, and only after it was read as a host reads it.
//!
//! This module trusts nothing because of where it came from; that is decided by the host's lock file and keys.

mod describe;
mod login;
mod place;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    pin::Pin,
    task::{Context as Cx, Poll},
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use oci_client::{
    Client, Reference,
    client::{ClientConfig, ClientProtocol},
    manifest::{OCI_IMAGE_MEDIA_TYPE, OciDescriptor, OciImageManifest},
    secrets::RegistryAuth,
};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::plugin::{
    Settings,
    trust::{Contents, Verdict},
};

const CONFIG: &str = "application/vnd.wasm.config.v0+json";
const WASM: &str = "application/wasm";
/// The second artifact, and the files in it.
const PACKAGE: &str = "application/vnd.relais.plugin.package.v1";
const FILE: &str = "application/vnd.relais.plugin.file.v1";
const EMPTY: &str = "application/vnd.oci.empty.v1+json";
/// Annotations: a file's path, and the digest of the whole package.
const TITLE: &str = "org.opencontainers.image.title";
const VERSION: &str = "org.opencontainers.image.version";
const DIGEST: &str = "relais.package.digest";
const SIGNATURE: &str = "plugin.sig";

/// A whole pull or push; the largest package on a slow line.
const TIME_MAX: Duration = Duration::from_secs(600);
/// What registries allow for a manifest.
const MANIFEST_BYTES_MAX: usize = 4 << 20;

/// How a registry is reached.
pub struct Access {
    /// Where credentials lie, in the format of Docker's `config.json`.
    pub auth_file: Option<PathBuf>,
    /// Without TLS, where that is not a matter of course because it is this machine.
    pub plain_http: bool,
}

/// What was published or fetched.
pub struct Moved {
    pub name: String,
    pub version: String,
    /// The package's own digest.
    pub digest: String,
    /// With the digest of its manifest: what names it for ever.
    pub reference: String,
    pub dir: PathBuf,
    /// Of what was fetched, by the host's keys.
    pub verdict: Verdict,
}

struct Registry {
    client: Client,
    auth: RegistryAuth,
}

impl Registry {
    async fn reach(image: &Reference, access: &Access) -> anyhow::Result<Registry> {
        let registry = image.resolve_registry();
        let auth = login::credentials(registry, access.auth_file.as_deref())?;
        let plain = access.plain_http || login::is_this_machine(registry);
        let config = ClientConfig {
            protocol: if plain { ClientProtocol::Http } else { ClientProtocol::Https },
            // What every registry has to understand; parts would be for layers of gigabytes.
            use_monolithic_push: true,
            connect_timeout: Some(Duration::from_secs(20)),
            read_timeout: Some(Duration::from_secs(60)),
            ..ClientConfig::default()
        };
        // Said by whoever makes the first client of a process; a second time does no harm.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::try_from(config).context("no client can be made")?;
        client.store_auth_if_needed(registry, &auth).await;
        Ok(Registry { client, auth })
    }

    /// A manifest and its digest, by tag or digest.
    async fn manifest(&self, image: &Reference) -> anyhow::Result<(OciImageManifest, String)> {
        let accepted = [OCI_IMAGE_MEDIA_TYPE];
        let (body, digest) = self.client.pull_manifest_raw(image, &self.auth, &accepted).await?;
        ensure!(body.len() <= MANIFEST_BYTES_MAX, "the manifest has more than {MANIFEST_BYTES_MAX} bytes");
        let manifest = serde_json::from_slice(&body).context("the manifest cannot be read")?;
        Ok((manifest, digest))
    }

    /// A blob of a manifest, no larger than the manifest says, with the digest that it says.
    async fn blob(&self, image: &Reference, layer: &OciDescriptor) -> anyhow::Result<Vec<u8>> {
        let bytes_max = usize::try_from(layer.size).context("a layer's size is no size")?;
        let mut out = Bounded { bytes: Vec::new(), bytes_max };
        self.client.pull_blob(image, layer, &mut out).await?;
        ensure!(out.bytes.len() == bytes_max, "a layer has {} bytes, and {bytes_max} are promised", out.bytes.len());
        Ok(out.bytes)
    }

    async fn push_blob(&self, image: &Reference, bytes: &[u8]) -> anyhow::Result<()> {
        self.client.push_blob(image, bytes.to_vec(), &digest(bytes)).await?;
        Ok(())
    }

    async fn push_manifest(&self, image: &Reference, body: Vec<u8>) -> anyhow::Result<()> {
        let kind = http::HeaderValue::from_static(OCI_IMAGE_MEDIA_TYPE);
        self.client.push_manifest_raw(image, body, kind).await?;
        Ok(())
    }
}

/// Publishes the package in a directory.
pub async fn push(dir: &Path, reference: &str, access: &Access, settings: &Settings) -> anyhow::Result<Moved> {
    let image = parse(reference)?;
    ensure!(
        image.digest().is_none(),
        "{reference}: what is published gets a tag; its digest follows from its contents"
    );
    let contents = Contents::read(dir, settings)?;
    let work = async {
        let registry = Registry::reach(&image, access).await?;
        let (main, companion) = artifacts(&contents)?;
        let main_digest = digest(&main.body);
        for blob in main.blobs.iter().chain(&companion.blobs) {
            registry.push_blob(&image, blob).await?;
        }
        // The tag comes last: whoever pulls it finds everything else.
        registry.push_manifest(&beside(&image, &main_digest), companion.body).await?;
        registry.push_manifest(&image, main.body).await?;
        anyhow::Ok(main_digest)
    };
    let main = in_time(work).await.with_context(|| format!("{reference}: the package cannot be published"))?;
    Ok(Moved {
        reference: format!("{}/{}@{main}", image.registry(), image.repository()),
        name: contents.name,
        version: contents.version,
        digest: contents.digest,
        dir: dir.to_owned(),
        verdict: Verdict::default(),
    })
}

/// Fetches a package into a directory; into the plugins' directory, under its own name, where none is given.
pub async fn pull(reference: &str, dir: Option<&Path>, access: &Access, settings: &Settings) -> anyhow::Result<Moved> {
    let image = parse(reference)?;
    let work = async {
        let registry = Registry::reach(&image, access).await?;
        let (main, main_digest) = registry.manifest(&image).await?;
        let promised = main.annotations.as_ref().and_then(|annotations| annotations.get(DIGEST));
        let promised =
            promised.context("it is no plugin that `relais plugin push` published: it has no package beside it")?;
        let rest = beside(&image, &main_digest);
        let (companion, _) = registry.manifest(&rest).await.context("the files beside the component")?;
        let files = download(&registry, &image, main.layers.iter().chain(&companion.layers), settings).await?;
        anyhow::Ok((files, promised.clone(), main_digest))
    };
    let fetched = in_time(work).await.with_context(|| format!("{reference}: the package cannot be fetched"))?;
    let (files, promised, main_digest) = fetched;
    let placed = place::put(&files, dir, settings, &promised);
    let (dir, contents, verdict) = placed.with_context(|| format!("{reference}: the package is not put in place"))?;
    Ok(Moved {
        reference: format!("{}/{}@{main_digest}", image.registry(), image.repository()),
        name: contents.name,
        version: contents.version,
        digest: contents.digest,
        dir,
        verdict,
    })
}

async fn in_time<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::time::timeout(TIME_MAX, work).await.unwrap_or_else(|_| bail!("it took longer than {} s", TIME_MAX.as_secs()))
}

fn parse(reference: &str) -> anyhow::Result<Reference> {
    let hint = "a reference is as in registry.example/team/order-ready:1.2.0, or with @sha256:…";
    reference.parse().with_context(|| format!("`{reference}`: {hint}"))
}

/// The tag of what belongs to a component, from the digest of its manifest.
fn beside(image: &Reference, digest: &str) -> Reference {
    let tag = format!("{}.relais", digest.replace(':', "-"));
    Reference::with_tag(image.registry().to_owned(), image.repository().to_owned(), tag)
}

struct Artifact {
    body: Vec<u8>,
    blobs: Vec<Vec<u8>>,
}

/// The component as `wkg` has it, and the rest of the package.
fn artifacts(contents: &Contents) -> anyhow::Result<(Artifact, Artifact)> {
    let component = contents.files.get(&contents.component).context("the package has no component")?;
    let config = describe::config(component, &digest(component), contents.publisher.as_deref())?;
    let annotations = json!({ TITLE: contents.name, VERSION: contents.version, DIGEST: contents.digest });
    let main = serde_json::to_vec(&json!({
        "schemaVersion": 2,
        "mediaType": OCI_IMAGE_MEDIA_TYPE,
        "config": descriptor(CONFIG, &config, None),
        "layers": [descriptor(WASM, component, Some(&contents.component))],
        "annotations": annotations,
    }))?;
    let rest = contents.files.iter().filter(|(path, _)| **path != contents.component);
    let rest = rest.map(|(path, bytes)| (path.as_str(), bytes));
    let rest: Vec<_> = rest.chain(contents.signature.iter().map(|bytes| (SIGNATURE, bytes))).collect();
    if let Some((path, _)) = rest.iter().find(|(_, bytes)| bytes.is_empty()) {
        bail!("`{path}` is empty, which registries do not take; leave it out");
    }
    let layers: Vec<_> = rest.iter().map(|(path, bytes)| descriptor(FILE, bytes, Some(path))).collect();
    let companion = serde_json::to_vec(&json!({
        "schemaVersion": 2,
        "mediaType": OCI_IMAGE_MEDIA_TYPE,
        "artifactType": PACKAGE,
        "config": descriptor(EMPTY, b"{}", None),
        "layers": layers,
        "subject": descriptor(OCI_IMAGE_MEDIA_TYPE, &main, None),
        "annotations": annotations,
    }))?;
    let blobs = rest.into_iter().map(|(_, bytes)| bytes.clone()).chain([b"{}".to_vec()]).collect();
    let main = Artifact { body: main, blobs: vec![component.clone(), config] };
    Ok((main, Artifact { body: companion, blobs }))
}

fn descriptor(kind: &str, bytes: &[u8], title: Option<&str>) -> serde_json::Value {
    let mut descriptor = json!({ "mediaType": kind, "digest": digest(bytes), "size": bytes.len() });
    if let (Some(title), Some(fields)) = (title, descriptor.as_object_mut()) {
        fields.insert("annotations".to_owned(), json!({ TITLE: title }));
    }
    descriptor
}

/// All files of a package, within the bounds of one that lies on a disk. What they are is looked at once they lie there.
async fn download(
    registry: &Registry,
    image: &Reference,
    layers: impl Iterator<Item = &OciDescriptor>,
    settings: &Settings,
) -> anyhow::Result<BTreeMap<String, Vec<u8>>> {
    let limits = &settings.limits;
    let mut left = limits.package_bytes.0 + limits.asset_bytes.0 + 2 * limits.manifest_bytes.0;
    let mut files = BTreeMap::new();
    for layer in layers {
        let path = layer.annotations.as_ref().and_then(|annotations| annotations.get(TITLE));
        let path = path.context("a layer has no path (org.opencontainers.image.title)")?;
        place::check_path(path, limits)?;
        let size = u64::try_from(layer.size).context("a layer's size is no size")?;
        left = left.checked_sub(size).with_context(|| {
            format!(
                "`{path}` has {size} bytes, which is more than `plugins.limits.package-bytes` and `asset-bytes` leave"
            )
        })?;
        ensure!(
            (files.len() as u64) < u64::from(limits.package_entries),
            "it has more files than `plugins.limits.package-entries` allows"
        );
        let bytes = registry.blob(image, layer).await.with_context(|| format!("`{path}`"))?;
        ensure!(files.insert(path.clone(), bytes).is_none(), "there are two files `{path}`");
    }
    Ok(files)
}

fn digest(bytes: &[u8]) -> String {
    let digest: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{digest}")
}

/// Takes in so many bytes and no more, while they come.
struct Bounded {
    bytes: Vec<u8>,
    bytes_max: usize,
}

impl tokio::io::AsyncWrite for Bounded {
    fn poll_write(mut self: Pin<&mut Self>, _cx: &mut Cx<'_>, more: &[u8]) -> Poll<std::io::Result<usize>> {
        if self.bytes.len().saturating_add(more.len()) > self.bytes_max {
            return Poll::Ready(Err(std::io::Error::other("the registry sends more than its manifest says")));
        }
        self.bytes.extend_from_slice(more);
        Poll::Ready(Ok(more.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Cx<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Cx<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
