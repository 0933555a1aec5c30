//! What PostgreSQL says, in words that tell an operator what to do.

use tokio_postgres::error::SqlState;

use crate::store::{Error, commands};

/// What goes wrong inside the store, before it is said of which server.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error("{}", said(.0))]
    Sql(#[from] tokio_postgres::Error),
    #[error("{0}")]
    Pool(String),
    /// It does not answer in time.
    #[error("it does not answer within {0} ms")]
    Silent(u64),
    /// Somebody else changed what this transaction was about to write: done again, it sees the change.
    #[error("another host wrote `{0}` at the same moment, again and again")]
    Conflict(&'static str),
    /// A row that this code cannot have written.
    #[error("{0}")]
    Unreadable(String),
}

pub(super) type Outcome<T> = std::result::Result<T, Trouble>;

/// The driver's own words leave out what the server said.
fn said(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(db) => format!("{} ({})", db.message(), db.code().code()),
        None => {
            let source = std::error::Error::source(error).map(|source| format!(": {source}"));
            format!("{error}{}", source.unwrap_or_default())
        }
    }
}

impl From<serde_json::Error> for Trouble {
    fn from(error: serde_json::Error) -> Self {
        Trouble::Unreadable(format!("JSON in a row: {error}"))
    }
}

impl From<commands::Trouble> for Trouble {
    fn from(trouble: commands::Trouble) -> Self {
        Trouble::Unreadable(trouble.to_string())
    }
}

impl Trouble {
    fn code(&self) -> Option<&SqlState> {
        match self {
            Trouble::Sql(error) => error.code(),
            _ => None,
        }
    }

    /// The same transaction, done again, may go through at once.
    pub(super) fn passes_by_trying_again(&self) -> bool {
        let state = self.code();
        matches!(self, Trouble::Conflict(_))
            || state == Some(&SqlState::T_R_SERIALIZATION_FAILURE)
            || state == Some(&SqlState::T_R_DEADLOCK_DETECTED)
    }

    /// Whether it is the server's or the connection's trouble, which every command of a batch would meet alike.
    pub(super) fn of_the_server(&self) -> bool {
        match self {
            Trouble::Sql(error) => match error.code() {
                // 22 and 23 are about the values of one command: text that cannot be stored, a broken promise of ours.
                Some(state) => !state.code().starts_with("22") && !state.code().starts_with("23"),
                None => true,
            },
            Trouble::Pool(_) | Trouble::Silent(_) => true,
            Trouble::Conflict(_) | Trouble::Unreadable(_) => false,
        }
    }

    pub(super) fn at(&self, place: &str) -> Error {
        let (place, reason) = (place.to_owned(), self.to_string());
        if matches!(self, Trouble::Conflict(_)) {
            let advice = "Nothing was acknowledged; try again".to_owned();
            return Error::Unavailable { place, reason, advice };
        }
        if !self.of_the_server() {
            return Error::Corrupt(format!("{place}: {reason}"));
        }
        Error::Unavailable { place, reason, advice: advice(self.code()).to_owned() }
    }
}

fn advice(state: Option<&SqlState>) -> &'static str {
    let Some(state) = state else {
        return "Check that the server runs and can be reached; the host goes on by itself, and nothing was acknowledged";
    };
    match state.code() {
        "53100" => "Make room on the server's disk; the host goes on by itself, and nothing was acknowledged",
        "53200" => "Give the server more memory or the host fewer connections (store.postgres.connections)",
        "53300" => {
            "Allow more connections on the server (max_connections), or give the host fewer (store.postgres.connections)"
        }
        "25006" => "The server only reads: point store.url at the one that writes; the host goes on when it does",
        "28000" | "28P01" => "Check the user in store.url, store.postgres.password and the server's pg_hba.conf",
        "3D000" => "Make the database (createdb), or correct its name in store.url",
        "42501" => "Grant the host's user its rights: it must own its tables, or the database",
        "57P01" | "57P02" | "57P03" => "The server is stopping or starting; the host goes on by itself when it is back",
        _ => "Look at the server's log; the host goes on by itself, and nothing was acknowledged",
    }
}
