//! How far a tenant's due messages have been read: in the order of their times, as memory has room for them.
//!
//! What is due stays due in the store while it waits in memory for a pace or a provider. So reading goes on after what was read
//! last: begun anew each time, it would find the earliest again and again, and never what comes after them.

use crate::clock::Timestamp;

/// Before the first of them.
const FIRST: (Timestamp, i64) = (Timestamp(i64::MIN), i64::MIN);

pub(super) struct Due {
    /// All up to this time are to be read; `None` where they have been.
    until: Option<Timestamp>,
    /// The time and the number of the last that was read.
    after: (Timestamp, i64),
    /// It was sent back since it last asked: what is answered now may lack what it was sent back for.
    sent_back: bool,
}

impl Default for Due {
    fn default() -> Due {
        Due { until: None, after: FIRST, sent_back: false }
    }
}

impl Due {
    /// There are some of which the time has come.
    pub(super) fn come(&mut self, until: Timestamp) {
        self.until = self.until.max(Some(until));
    }

    /// One was written that is due at `at`: it is not looked for behind it.
    pub(super) fn written(&mut self, at: Timestamp) {
        self.after = self.after.min((at, i64::MIN));
        self.sent_back |= self.until.is_some_and(|until| at <= until);
    }

    /// Reads all of them again, whenever the next come.
    pub(super) fn rewind(&mut self) {
        self.after = FIRST;
        self.sent_back = true;
    }

    pub(super) fn has_question(&self) -> bool {
        self.until.is_some()
    }

    /// What is to be read: after which one, and up to which time.
    pub(super) fn ask(&mut self) -> Option<((Timestamp, i64), Timestamp)> {
        self.sent_back = false;
        self.until.map(|until| (self.after, until))
    }

    /// All up to `until` were read, or those up to `last`.
    pub(super) fn read(&mut self, until: Timestamp, last: Option<(Timestamp, i64)>, all: bool) {
        if self.sent_back {
            return;
        }
        self.after = last.unwrap_or(self.after);
        if all && self.until == Some(until) {
            self.until = None;
        }
    }
}
