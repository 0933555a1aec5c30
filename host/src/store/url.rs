//! `store.url`: which store, and where.

use std::{fmt, path::PathBuf};

use serde::{Deserialize, Deserializer, de};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreUrl {
    /// `sqlite:data/relais.db`: one file, for one host.
    Sqlite(PathBuf),
    /// `postgres://relais@db.example/relais`: one database, for several hosts. It never holds a password.
    Postgres(String),
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    #[error("`{0}` names no store: write `sqlite:PATH` (sqlite:data/relais.db) or `postgres://USER@SERVER/DATABASE`")]
    Unknown(String),
    #[error("`sqlite:` names no file: write `sqlite:data/relais.db`")]
    NoFile,
    #[error(
        "it holds a password, which would be read by whoever reads the configuration: leave it out, and set store.postgres.password = {{ env = \"NAME\" }}"
    )]
    Password,
    #[error("`{url}` is no URL: {reason}")]
    NotAUrl { url: String, reason: String },
    #[error("`{0}` names no database: write `postgres://USER@SERVER/DATABASE`")]
    NoDatabase(String),
}

impl StoreUrl {
    pub fn parse(text: &str) -> Result<StoreUrl, Wrong> {
        if let Some(path) = text.strip_prefix("sqlite:") {
            // `sqlite:///var/lib/relais.db` is what other programs write.
            let path = path.strip_prefix("//").unwrap_or(path);
            return if path.is_empty() { Err(Wrong::NoFile) } else { Ok(StoreUrl::Sqlite(path.into())) };
        }
        if !text.starts_with("postgres://") && !text.starts_with("postgresql://") {
            return Err(Wrong::Unknown(text.to_owned()));
        }
        let parsed = url::Url::parse(text);
        // What is not understood is shown to nobody as it stands: there may be a password in it.
        let parsed =
            parsed.map_err(|error| Wrong::NotAUrl { url: "postgres://…".to_owned(), reason: error.to_string() })?;
        if parsed.password().is_some() || parsed.query_pairs().any(|(name, _)| name == "password") {
            return Err(Wrong::Password);
        }
        let named = parsed.path().len() > 1 || parsed.query_pairs().any(|(name, _)| name == "dbname");
        if named { Ok(StoreUrl::Postgres(text.to_owned())) } else { Err(Wrong::NoDatabase(text.to_owned())) }
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreUrl::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            StoreUrl::Postgres(url) => f.write_str(url),
        }
    }
}

impl<'de> Deserialize<'de> for StoreUrl {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<StoreUrl, D::Error> {
        let text = String::deserialize(from)?;
        StoreUrl::parse(&text).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_a_file_or_a_database() {
        assert_eq!(StoreUrl::parse("sqlite:data/relais.db"), Ok(StoreUrl::Sqlite("data/relais.db".into())));
        assert_eq!(StoreUrl::parse("sqlite:///var/relais.db"), Ok(StoreUrl::Sqlite("/var/relais.db".into())));
        let server = "postgres://relais@db.example:5433/relais";
        assert_eq!(StoreUrl::parse(server), Ok(StoreUrl::Postgres(server.to_owned())));
        assert!(StoreUrl::parse("postgres:///relais?host=/run/postgresql&user=relais").is_ok());
    }

    #[test]
    fn what_names_no_store_is_refused_with_what_to_write() {
        assert_eq!(StoreUrl::parse("sqlite:"), Err(Wrong::NoFile));
        assert_eq!(StoreUrl::parse("data/relais.db"), Err(Wrong::Unknown("data/relais.db".to_owned())));
        assert!(matches!(StoreUrl::parse("postgres://db.example"), Err(Wrong::NoDatabase(_))));
        for secret in ["postgres://relais:s3cret@db.example/relais", "postgres://db.example/relais?password=s3cret"] {
            let refused = StoreUrl::parse(secret).unwrap_err();
            assert_eq!(refused, Wrong::Password);
            assert!(!refused.to_string().contains("s3cret"));
        }
    }
}
