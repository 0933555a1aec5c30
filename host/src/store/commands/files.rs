//! Files beside messages: who fetches which, and when they go.

use super::{Outcome, Tx, each};
use crate::{
    clock::Timestamp,
    domain::{
        file::{FileRow, FileState, of_incoming},
        run::Incoming,
    },
};

/// Gives files that are to be fetched to one host until `until`, and lets go of those whose time is over.
pub(in crate::store) fn claim(tx: &mut Tx<'_>, now: Timestamp, until: Timestamp, limit: u32) -> Outcome<Vec<FileRow>> {
    let mut claimed = Vec::new();
    for file in tx.source.due_files(now, limit)? {
        if matches!(file.state, FileState::Wanted(_)) {
            let file = FileRow { due: until, ..file };
            tx.source.change_file(&file)?;
            claimed.push(file);
        } else {
            tx.source.delete_file(&file.tenant, &file.name)?;
        }
    }
    Ok(claimed)
}

/// In the transaction in which a message is stored, so that no file of it is forgotten.
pub(super) fn want(tx: &mut Tx<'_>, incoming: &Incoming) -> Outcome<()> {
    each(FileRow::wanted(incoming), |file| tx.source.put_file(&file)).map(|_| ())
}

/// The files of what somebody wrote who is erased. One that is being fetched finds nothing to write to.
pub(super) fn erase(tx: &mut Tx<'_>, incoming: &Incoming) -> Outcome<()> {
    (0..incoming.media.len())
        .try_for_each(|place| tx.source.delete_file(&incoming.tenant, &of_incoming(incoming.id, place)))
}
