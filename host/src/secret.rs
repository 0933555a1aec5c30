//! Secrets: from the environment or a file, never in the configuration itself, never printed.

use std::{fmt, path::PathBuf};

use serde::{Deserialize, Deserializer, de};

/// A secret value. It has no `Display`, and its `Debug` says nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    /// The value itself, for the one place that needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
enum Source {
    /// `{ env = "NAME" }`: the value of an environment variable.
    Env(String),
    /// `{ file = "/run/secrets/name" }`: the contents of a file, without the newline at its end.
    File(PathBuf),
}

/// Read where the configuration is read, so that a missing secret is found at start and not with the first message.
impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = match Source::deserialize(deserializer)? {
            Source::Env(name) => std::env::var(&name).map_err(|_| {
                de::Error::custom(format!("the environment variable {name} is not set; it should hold a secret"))
            })?,
            Source::File(path) => std::fs::read_to_string(&path)
                .map_err(|error| de::Error::custom(format!("cannot read the secret in {}: {error}", path.display())))?
                .trim_end_matches(['\r', '\n'])
                .to_owned(),
        };
        if value.is_empty() {
            return Err(de::Error::custom("a secret is empty; an empty secret would let anybody in"));
        }
        Ok(Secret(value))
    }
}
