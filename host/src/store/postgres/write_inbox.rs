//! Events and runs of a transaction.

use super::{
    inbox::{kind_number, state_number},
    rows::to_json,
    source::{PgSource, look},
    table::row,
};
use crate::{
    clock::Timestamp,
    domain::{
        run::{Cause, QueuedRun, RunFailure, RunReport},
        shard::Shard,
    },
    ids::{EventId, RunId},
    store::{
        Effects, RoutedEvent, RunState,
        commands::{
            Outcome, Trouble,
            source::{Inbox, Sequence},
        },
    },
};

impl Inbox for PgSource {
    fn next(&mut self, sequence: Sequence) -> Outcome<i64> {
        self.draw(sequence)
    }

    fn event_runs(&mut self, id: EventId) -> Outcome<Option<Vec<RunId>>> {
        look!(self, events, id).cloned()
    }

    fn insert_event(&mut self, seq: i64, routed: &RoutedEvent) -> Outcome<()> {
        let event = &routed.event;
        let ids: Vec<RunId> = routed.runs.iter().map(|run| run.id).collect();
        let runs: Vec<u8> = ids.iter().flat_map(|id| id.0).collect();
        let attributes = (!event.attributes.is_empty()).then_some(&event.attributes);
        let notes = (!routed.notes.is_empty()).then_some(&routed.notes);
        self.writes.event_keys.push(row![&event.id.0[..], seq]);
        self.writes.events.push(row![
            seq,
            &event.id.0[..],
            event.tenant.as_str(),
            event.source.as_str(),
            event.source_id.as_str(),
            event.event_type.as_str(),
            event.subject.as_deref(),
            event.time.0,
            event.received.0,
            event.customer.as_deref(),
            &*event.data,
            to_json(attributes)?,
            event.cause.as_ref().map(|run| &run.0[..]),
            to_json(notes)?,
            &runs[..],
        ]);
        self.over.events.insert(event.id, Some(ids));
        Ok(())
    }

    fn run_exists(&mut self, id: RunId) -> Outcome<bool> {
        let found = look!(self, run_exists, id).copied();
        if found.is_err() {
            // Who asks is about to make it, and wants a number then: drawn in the same round.
            *self.wanted.sequences.entry(Sequence::Runs).or_default() += 1;
        }
        found
    }

    fn run_is_open(&mut self, seq: i64, id: RunId) -> Outcome<bool> {
        let key = (seq, id);
        match self.over.open_runs.get(&key).or_else(|| self.base.open_runs.get(&key)) {
            Some(open) => Ok(*open),
            None => {
                self.wanted.open_runs.insert(key);
                Err(Trouble::Miss)
            }
        }
    }

    fn run(&mut self, id: RunId) -> Outcome<Option<(QueuedRun, RunState)>> {
        look!(self, runs, id).cloned()
    }

    fn insert_run(&mut self, run: &QueuedRun, event: Option<i64>) -> Outcome<()> {
        let payload = match &run.run.cause {
            Cause::Event(_) => None,
            other => Some(serde_json::to_string(other)?),
        };
        let key = &run.run.key;
        self.writes.runs.set(
            run.run.id.0.to_vec(),
            row![
                run.seq,
                &run.run.id.0[..],
                key.tenant.as_str(),
                key.plugin.as_str(),
                key.entity.as_str(),
                run.run.customer.as_deref(),
                i64::from(kind_number(&run.run.cause)),
                event,
                payload,
                run.run.hold_up,
                i64::from(state_number(RunState::Open)),
                run.attempts,
                run.not_before.0,
                run.accepted.0,
                i64::from(Shard::of_entity(key).0),
            ],
        );
        self.over.run_exists.insert(run.run.id, true);
        self.over.open_runs.insert((run.seq, run.run.id), true);
        Ok(())
    }

    fn set_run(&mut self, seq: i64, state: RunState, attempts: u32, not_before: Timestamp) -> Outcome<()> {
        let number = i64::from(state_number(state));
        self.writes.set_runs.set(seq.to_le_bytes().to_vec(), row![seq, number, attempts, not_before.0]);
        let open = state == RunState::Open;
        let known = self.base.open_runs.keys().chain(self.over.open_runs.keys()).find(|(of, _)| *of == seq).copied();
        if let Some(key) = known {
            self.over.open_runs.insert(key, open);
        }
        let loaded = self.base.runs.values().flatten().find(|(run, _)| run.seq == seq).cloned();
        if let Some((mut run, _)) = loaded {
            (run.attempts, run.not_before) = (attempts, not_before);
            self.over.runs.insert(run.run.id, Some((run, state)));
        }
        Ok(())
    }

    fn delete_open_run(&mut self, id: RunId) -> Outcome<bool> {
        if self.writes.runs.take_back(&id.0) {
            self.over.run_exists.insert(id, false);
            return Ok(true);
        }
        let open = match look!(self, runs, id)? {
            Some((run, RunState::Open)) => Some(run.seq),
            _ => None,
        };
        let Some(seq) = open else { return Ok(false) };
        self.writes.deleted_runs.push(row![&id.0[..]]);
        self.over.run_exists.insert(id, false);
        self.over.runs.insert(id, None);
        self.over.open_runs.insert((seq, id), false);
        Ok(true)
    }

    fn write_result(
        &mut self,
        seq: i64,
        at: Timestamp,
        failure: Option<&RunFailure>,
        report: Option<&RunReport>,
        effects: Option<&Effects>,
    ) -> Outcome<()> {
        let row = row![seq, at.0, to_json(failure)?, to_json(report)?, to_json(effects)?];
        self.writes.run_results.set(seq.to_le_bytes().to_vec(), row);
        Ok(())
    }

    fn touch(&mut self) -> Outcome<()> {
        let sql = "INSERT INTO meta (name, value) VALUES ('checked', ''::bytea) \
                   ON CONFLICT (name) DO UPDATE SET value = excluded.value";
        self.statement(sql, Vec::new());
        Ok(())
    }

    fn date_result(&mut self, seq: i64, at: Timestamp) -> Outcome<()> {
        self.statement("UPDATE run_results SET at = $2::int8 WHERE seq = $1::int8", row![seq, at.0]);
        Ok(())
    }
}
