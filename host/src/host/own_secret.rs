//! The host's own secret, from which the randomness of runs is derived: it must survive a restart, or a run that is executed
//! again would draw other codes.

use std::{io::Write, path::Path};

use anyhow::{Context, bail};

const BYTES: usize = 32;

/// Reads the secret that lies beside the store, or draws one the first time.
pub(super) fn load(path: &Path) -> anyhow::Result<[u8; BYTES]> {
    match std::fs::read(path) {
        Ok(bytes) => match bytes.try_into() {
            Ok(secret) => Ok(secret),
            Err(bytes) => bail!(
                "{} should hold {BYTES} bytes and holds {}; restore it from the backup of the store",
                path.display(),
                Vec::len(&bytes)
            ),
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => draw(path),
        Err(error) => Err(error).with_context(|| format!("cannot read the host's secret in {}", path.display())),
    }
}

fn draw(path: &Path) -> anyhow::Result<[u8; BYTES]> {
    let mut secret = [0; BYTES];
    getrandom::fill(&mut secret).context("the machine has no randomness")?;
    // Written beside and renamed, so that a crash leaves no half of it.
    let beside = path.with_extension("secret.new");
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(&beside).and_then(|mut file| {
        file.write_all(&secret)?;
        file.sync_all()?;
        std::fs::rename(&beside, path)
    });
    written.with_context(|| format!("cannot write the host's secret to {}", path.display()))?;
    Ok(secret)
}
