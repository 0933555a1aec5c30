//! What SQLite says, in words that tell an operator what to do.

use std::path::Path;

use rusqlite::ErrorCode;

use crate::store::{Error, commands};

/// What goes wrong inside the store, before it is said of which file.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error(transparent)]
    Sql(#[from] rusqlite::Error),
    /// A row that this code cannot have written.
    #[error("{0}")]
    Unreadable(String),
}

pub(super) type Outcome<T> = std::result::Result<T, Trouble>;

impl From<serde_json::Error> for Trouble {
    fn from(error: serde_json::Error) -> Self {
        Trouble::Unreadable(format!("JSON in a row: {error}"))
    }
}

impl From<Trouble> for commands::Trouble {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Sql(error) => commands::Trouble::Database(Box::new(error)),
            Trouble::Unreadable(what) => commands::Trouble::Unreadable(what),
        }
    }
}

impl From<commands::Trouble> for Trouble {
    fn from(trouble: commands::Trouble) -> Self {
        match trouble {
            commands::Trouble::Database(error) => match error.downcast::<rusqlite::Error>() {
                Ok(error) => Trouble::Sql(*error),
                Err(other) => Trouble::Unreadable(other.to_string()),
            },
            // Rows are read when they are asked for here, so none is ever missing.
            other => Trouble::Unreadable(other.to_string()),
        }
    }
}

impl Trouble {
    pub(super) fn unreadable(what: impl Into<String>) -> Trouble {
        Trouble::Unreadable(what.into())
    }

    fn code(&self) -> Option<ErrorCode> {
        match self {
            Trouble::Sql(error) => error.sqlite_error_code(),
            Trouble::Unreadable(_) => None,
        }
    }

    /// Whether it is the disk's or the file's trouble, which every command of a batch would meet alike.
    pub(super) fn of_the_file(&self) -> bool {
        advice(self.code()).is_some()
    }

    pub(super) fn at(&self, place: &Path) -> Error {
        let place = place.display().to_string();
        let reason = self.to_string();
        match (self.code(), advice(self.code())) {
            (Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase), Some(advice)) => {
                Error::Unusable { place, reason: format!("it is damaged: {reason}"), advice: advice.into() }
            }
            (_, Some(advice)) => Error::Unavailable { place, reason, advice: advice.into() },
            _ => Error::Corrupt(format!("{place}: {reason}")),
        }
    }
}

fn advice(code: Option<ErrorCode>) -> Option<&'static str> {
    Some(match code? {
        ErrorCode::DiskFull => "Make room on its disk; the host goes on by itself, and nothing was acknowledged",
        ErrorCode::SystemIoFailure => "Look at the disk and the kernel's log; the host goes on when it can write again",
        ErrorCode::ReadOnly | ErrorCode::PermissionDenied => {
            "Let the host's user write the file, the `-wal` and `-shm` files beside it and their directory"
        }
        ErrorCode::CannotOpen => {
            "Check that the directory exists, belongs to the host's user and allows more open files"
        }
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed => {
            "Another program holds it: end what has it open (`fuser` names it). A network file system cannot hold a store"
        }
        ErrorCode::OutOfMemory => "Give the host more memory or smaller caches",
        ErrorCode::OperationInterrupted => "Try again",
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => {
            "Look at the kernel's log: a disk that cannot be read looks the same. Else stop the host, keep a copy of the file with its `-wal`, and restore the latest backup"
        }
        _ => return None,
    })
}
