//! Rows of events and runs.

use std::sync::Arc;

use super::{
    MemorySource,
    tables::{EventRow, ResultRow, RunRow},
    twice,
};
use crate::{
    clock::Timestamp,
    domain::run::{QueuedRun, RunFailure, RunReport},
    ids::{EventId, RunId},
    store::{
        Effects, RoutedEvent, RunState,
        commands::{
            Outcome,
            source::{Inbox, Sequence},
        },
    },
};

impl MemorySource<'_> {
    pub(super) fn row_of_run(&mut self, seq: i64) -> Option<&mut RunRow> {
        self.tables.runs.get_mut(&seq).map(Arc::make_mut)
    }
}

impl Inbox for MemorySource<'_> {
    fn next(&mut self, sequence: Sequence) -> Outcome<i64> {
        Ok(self.tables.next(sequence))
    }

    fn event_runs(&mut self, id: EventId) -> Outcome<Option<Vec<RunId>>> {
        let seq = self.tables.event_keys.get(&id);
        Ok(seq.and_then(|seq| self.tables.events.get(seq)).map(|row| row.runs.clone()))
    }

    fn insert_event(&mut self, seq: i64, routed: &RoutedEvent) -> Outcome<()> {
        let runs = routed.runs.iter().map(|run| run.id).collect();
        let row = EventRow { event: routed.event.clone(), notes: routed.notes.clone(), runs };
        match self.tables.event_keys.insert(routed.event.id, seq) {
            Some(_) => Err(twice("events")),
            None => {
                self.tables.events.insert(seq, Arc::new(row));
                Ok(())
            }
        }
    }

    fn run_exists(&mut self, id: RunId) -> Outcome<bool> {
        Ok(self.tables.run_ids.contains_key(&id))
    }

    fn run_is_open(&mut self, seq: i64, id: RunId) -> Outcome<bool> {
        let row = self.tables.runs.get(&seq).filter(|row| row.queued.run.id == id);
        Ok(row.is_some_and(|row| row.state == RunState::Open || self.flaws.no_fence))
    }

    fn run(&mut self, id: RunId) -> Outcome<Option<(QueuedRun, RunState)>> {
        let row = self.tables.run_ids.get(&id).and_then(|seq| self.tables.runs.get(seq));
        Ok(row.map(|row| (self.tables.queued(row), row.state)))
    }

    fn insert_run(&mut self, run: &QueuedRun, event: Option<i64>) -> Outcome<()> {
        let row = RunRow { queued: run.clone(), event, state: RunState::Open, erased: false, result: None };
        match self.tables.run_ids.insert(run.run.id, run.seq) {
            Some(_) => Err(twice("runs")),
            None => {
                self.tables.runs.insert(run.seq, Arc::new(row));
                Ok(())
            }
        }
    }

    fn set_run(&mut self, seq: i64, state: RunState, attempts: u32, not_before: Timestamp) -> Outcome<()> {
        if let Some(row) = self.row_of_run(seq) {
            row.state = state;
            row.queued.attempts = attempts;
            row.queued.not_before = not_before;
        }
        Ok(())
    }

    fn delete_open_run(&mut self, id: RunId) -> Outcome<bool> {
        let Some(seq) = self.tables.run_ids.get(&id).copied() else { return Ok(false) };
        let open = self.tables.runs.get(&seq).is_some_and(|row| row.state == RunState::Open);
        if open {
            self.tables.runs.remove(&seq);
            self.tables.run_ids.remove(&id);
        }
        Ok(open)
    }

    fn write_result(
        &mut self,
        seq: i64,
        at: Timestamp,
        failure: Option<&RunFailure>,
        report: Option<&RunReport>,
        effects: Option<&Effects>,
    ) -> Outcome<()> {
        if let Some(row) = self.row_of_run(seq) {
            row.result =
                Some(ResultRow { at, failure: failure.cloned(), report: report.cloned(), effects: effects.cloned() });
        }
        Ok(())
    }

    fn touch(&mut self) -> Outcome<()> {
        self.tables.touched += 1;
        Ok(())
    }

    fn date_result(&mut self, seq: i64, at: Timestamp) -> Outcome<()> {
        if let Some(result) = self.row_of_run(seq).and_then(|row| row.result.as_mut()) {
            result.at = at;
        }
        Ok(())
    }
}
