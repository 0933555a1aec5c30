//! What each command of a store does, whichever database it is done on.
//!
//! A command (a commit, a receipt, a profile) reads what it needs, decides, and writes rows. It reads and writes through
//! [`Source`], which every database implements with SQL of its own; what it decides, it decides here, so that no two databases
//! can decide differently. It works inside a transaction that is not its own: other commands share it, and nothing that is said
//! here is true before that transaction is on disk ([`Pending`] is what is told then).
//!
//! A command may be applied more than once: again alone where the batch it was in failed, or again from the start where a source
//! reads in rounds ([`Trouble::Miss`]). So it changes nothing but its transaction, and reads no clock.

pub(super) mod accept;
pub(super) mod change;
pub(super) mod commit;
pub(super) mod customers;
pub(super) mod entities;
pub(super) mod erase;
pub(super) mod incoming;
pub(super) mod messages;
pub(super) mod parts;
pub(super) mod plugins;
pub(super) mod quota;
pub(super) mod receipts;
pub(super) mod runs;
pub(super) mod source;
pub(super) mod timers;
pub(super) mod tx;

pub(super) use entities::HeldEntity;
pub(super) use messages::Held;
pub(super) use source::Source;
pub(super) use tx::{Pending, Tx};

use std::time::Duration;

/// Why a command could not be applied.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    /// Not read yet. The source has taken note, reads it together with whatever else was missing, and has every command of the
    /// transaction applied again from the start.
    #[error("a row has not been read yet, which is for the store to do")]
    Miss,
    /// A row that this code cannot have written.
    #[error("{0}")]
    Unreadable(String),
    /// What the database says.
    #[error(transparent)]
    Database(Box<dyn std::error::Error + Send + Sync>),
}

pub(super) type Outcome<T> = std::result::Result<T, Trouble>;

impl Trouble {
    pub(super) fn unreadable(what: impl Into<String>) -> Trouble {
        Trouble::Unreadable(what.into())
    }
}

impl From<serde_json::Error> for Trouble {
    fn from(error: serde_json::Error) -> Self {
        Trouble::Unreadable(format!("JSON in a row: {error}"))
    }
}

/// Does the same to each. Where a row is missing the others are tried all the same, so that everything that is missing is found
/// out in one round and not one by one; what they did is forgotten with the round.
fn each<I, T>(items: impl IntoIterator<Item = I>, mut one: impl FnMut(I) -> Outcome<T>) -> Outcome<Vec<T>> {
    let mut done = Vec::new();
    let mut missed = false;
    for item in items {
        match one(item) {
            Ok(result) => done.push(result),
            Err(Trouble::Miss) => missed = true,
            // What comes after something that is missing is not to be believed.
            Err(_) if missed => {}
            Err(other) => return Err(other),
        }
    }
    if missed { Err(Trouble::Miss) } else { Ok(done) }
}

/// What commands are told about how to decide.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    /// Hashes addresses of which no more may be known.
    pub(super) address_key: [u8; 32],
    pub(super) address_unusable: Duration,
    pub(super) answer_within: Duration,
}
