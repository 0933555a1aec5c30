//! What goes by its age, in which steps, and what of a page of rows is old enough.
//!
//! Rows are numbered in the order in which they came, so what is old stands in front: a step looks at the next few rows of a
//! kind, takes those that are old and ended, and says where the next step goes on. What a row needs in order to be ended, and
//! how it is emptied, each database says in SQL of its own; the conditions are asked once more by the statement that writes.

use std::collections::HashSet;

use crate::{clock::Timestamp, ids::EventId};

/// What a step is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Aged {
    /// What stands in events, runs, messages and what customers wrote: emptied, and the rows stay.
    EventBodies,
    RunBodies,
    MessageBodies,
    IncomingBodies,
    /// Receipts about attempts that never became known.
    Parked,
    /// Rows, which go. An event leaves its key.
    Events,
    Runs,
    Messages,
    Incoming,
    /// Keys of events that have gone.
    Keys,
    /// What was counted of messages, by the day.
    Stats,
}

impl Aged {
    /// What is emptied comes before what goes, and an event before its key.
    pub const ALL: [Aged; 11] = [
        Aged::EventBodies,
        Aged::RunBodies,
        Aged::MessageBodies,
        Aged::IncomingBodies,
        Aged::Parked,
        Aged::Runs,
        Aged::Events,
        Aged::Messages,
        Aged::Incoming,
        Aged::Keys,
        Aged::Stats,
    ];
}

/// One step.
#[derive(Clone, Copy, Debug)]
pub struct RetainStep {
    pub what: Aged,
    /// What is older than this.
    pub before: Timestamp,
    /// A message that holds a dedup key stays until it is older than this as well. `None`: for ever.
    pub keys_before: Option<Timestamp>,
    /// The row that the step before ended with; 0 for the first.
    pub after: i64,
    /// Rows to look at.
    pub limit: u32,
}

/// What came of a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retained {
    /// Rows that were emptied or are gone.
    pub rows: u64,
    /// The row that was looked at last.
    pub last: i64,
    /// There may be further old ones after it.
    pub more: bool,
}

/// A row as a step sees it.
pub(super) struct Seen {
    pub(super) seq: i64,
    pub(super) came: Timestamp,
    /// It has ended and there is something to do about it.
    pub(super) wanted: bool,
    /// The event that it is, for whoever may still refer to it.
    pub(super) event: Option<EventId>,
}

/// Those of a page that a step is to take.
#[derive(Debug, PartialEq)]
pub(super) struct Chosen {
    pub(super) rows: Vec<(i64, Option<EventId>)>,
    pub(super) last: i64,
    pub(super) more: bool,
}

pub(super) fn choose(step: &RetainStep, page: &[Seen]) -> Chosen {
    let full = page.len() >= step.limit as usize;
    // A clock that was once set wrong has left a few rows out of order; a whole page of young ones is where the old ones end.
    let some_old = page.iter().any(|row| row.came < step.before);
    let old = page.iter().filter(|row| row.wanted && row.came < step.before);
    Chosen {
        rows: old.map(|row| (row.seq, row.event)).collect(),
        // The young ones at the end are looked at again when they are old.
        last: page.iter().rfind(|row| row.came < step.before).map_or(step.after, |row| row.seq),
        more: full && some_old,
    }
}

/// What a step takes in the end.
pub(super) struct Taken {
    pub(super) seqs: Vec<i64>,
    pub(super) last: i64,
    pub(super) more: bool,
}

impl Chosen {
    /// Without the events that timers refer to, or runs that wait for somebody: messages are sent on the strength of them.
    pub(super) fn without(self, held: &HashSet<EventId>) -> Taken {
        let free = self.rows.into_iter().filter(|(_, event)| event.is_none_or(|event| !held.contains(&event)));
        Taken { seqs: free.map(|(seq, _)| seq).collect(), last: self.last, more: self.more }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(limit: u32) -> RetainStep {
        RetainStep { what: Aged::Events, before: Timestamp(100), keys_before: None, after: 7, limit }
    }

    fn seen(seq: i64, came: i64, wanted: bool) -> Seen {
        Seen { seq, came: Timestamp(came), wanted, event: None }
    }

    #[test]
    fn a_step_takes_what_is_old_and_ended_and_goes_on_behind_the_last_old_row() {
        let page = [seen(8, 1, true), seen(9, 2, false), seen(10, 500, true), seen(11, 3, true), seen(12, 600, true)];
        let chosen = choose(&step(5), &page);
        assert_eq!(chosen, Chosen { rows: vec![(8, None), (11, None)], last: 11, more: true });
        assert!(!choose(&step(6), &page).more, "the page was the last one");
        let young = [seen(8, 100, true), seen(9, 101, true)];
        assert_eq!(choose(&step(2), &young), Chosen { rows: vec![], last: 7, more: false });
    }
}
