//! What a window reads from the store, one thing at a time, and what it makes of the answer.
//!
//! An answer is as old as its question: what ended meanwhile is still in it, what was handed over meanwhile may not be. So the
//! first is noted while a question is open, and after the second the question is asked again.

use std::collections::VecDeque;

use super::window::{EndedMeanwhile, Window, lacks};
use crate::{clock::Timestamp, domain::run::QueuedRun, ids::Entity};

/// Runs read at once: some 5 ms of reading.
const PAGE: usize = 500;
/// Runs that a sweep looks at in one go. It reads an index only; the next sweep goes on from there.
const SWEEP: u32 = 20_000;

/// A question to the store.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Read {
    /// The flow's runs after the cursor.
    Page { after: i64, limit: u32 },
    /// More of a lane.
    Lane { entity: Entity, after: i64, limit: u32 },
    /// One run of which only the name was kept.
    Run { entity: Entity, seq: i64 },
    /// Which runs are open that should be in memory.
    Sweep { after: i64, through: i64, limit: u32 },
}

/// Its answer.
pub(super) enum Answer {
    Runs(Vec<QueuedRun>),
    Seqs(Vec<(i64, Entity)>),
}

#[derive(Default)]
pub(super) struct Reading {
    asked: Option<Read>,
    wanted: VecDeque<Wanted>,
    /// Whether the last question was about a lane: pages and lanes take turns.
    lane_was_last: bool,
    sweep_due: bool,
    /// The flow is in the line of those that ask.
    pub in_line: bool,
    /// How far the sweep has come.
    swept: i64,
    /// The latest run beyond the cursor that the last sweep saw. It was on its way to be handed over then; at the next sweep it
    /// is here, or was lost.
    beyond: i64,
    /// The answer to the open question is of no use any more.
    void: bool,
    /// Something was left in the store that the answer may not have.
    pub missed: bool,
    pub ended_meanwhile: EndedMeanwhile,
}

enum Wanted {
    Lane(Entity),
    Run(Entity, i64),
}

impl Reading {
    pub(super) fn under_way(&self) -> bool {
        self.asked.is_some() || !self.wanted.is_empty()
    }

    pub(super) fn want_lane(&mut self, entity: Entity) {
        self.wanted.push_back(Wanted::Lane(entity));
    }

    pub(super) fn want_run(&mut self, entity: Entity, seq: i64) {
        self.wanted.push_back(Wanted::Run(entity, seq));
    }

    /// What is asked now is asked of a store that looked different: the answer is not taken, and the question asked again.
    pub(super) fn void_page(&mut self) {
        self.void |= matches!(self.asked, Some(Read::Page { .. }));
    }

    /// Asks no more about single runs of a lane that is forgotten.
    pub(super) fn forget(&mut self, entity: &Entity) {
        self.wanted.retain(|wanted| !matches!(wanted, Wanted::Run(of, _) if of == entity));
        self.void |= matches!(&self.asked, Some(Read::Run { entity: of, .. }) if of == entity);
    }

    pub(super) fn note_ended(&mut self, seq: i64) {
        if self.asked.is_some() {
            self.ended_meanwhile.insert(seq);
        }
    }
}

impl Window {
    pub(super) fn sweep(&mut self, now: Timestamp) {
        self.reading.sweep_due = true;
        self.wake_what_waits_too_long(now);
    }

    /// Whether there is a question that can be asked now.
    pub(super) fn has_question(&self) -> bool {
        self.reading.asked.is_none() && (self.wants_lane() || self.wants_page() || self.reading.sweep_due)
    }

    fn wants_lane(&self) -> bool {
        !self.reading.wanted.is_empty() && self.has_room()
    }

    /// Not for a handful: a page is read for what it costs, whatever of it can be taken.
    fn wants_page(&self) -> bool {
        let room = self.limits.share.saturating_sub(self.held());
        self.behind && self.has_room_for_others() && room >= self.limits.share / 4
    }

    /// The next question. There is none until [`Window::answered`] was told of this one.
    pub(super) fn ask(&mut self) -> Option<Read> {
        if self.reading.asked.is_some() {
            return None;
        }
        let read = if self.reading.sweep_due {
            self.sweep_on()
        } else if self.wants_page() && self.reading.lane_was_last {
            self.page()
        } else {
            match self.about_a_lane() {
                Some(read) => read,
                None if self.wants_page() => self.page(),
                None => return None,
            }
        };
        self.reading.lane_was_last = matches!(read, Read::Lane { .. } | Read::Run { .. });
        self.reading.asked = Some(read.clone());
        Some(read)
    }

    fn page(&mut self) -> Read {
        self.reading.missed = false;
        let limit = PAGE.min(self.limits.share.max(16));
        Read::Page { after: self.cursor, limit: u32::try_from(limit).unwrap_or(u32::MAX) }
    }

    fn sweep_on(&mut self) -> Read {
        self.reading.sweep_due = false;
        // Who is level reads no further by itself: what nobody told of may be anywhere.
        let through = if self.behind { self.cursor } else { i64::MAX };
        Read::Sweep { after: self.reading.swept, through, limit: SWEEP }
    }

    fn about_a_lane(&mut self) -> Option<Read> {
        if !self.has_room() {
            return None;
        }
        let crowded = self.is_crowded();
        while let Some(wanted) = self.reading.wanted.pop_front() {
            let entity = match wanted {
                Wanted::Run(entity, seq) => return Some(Read::Run { entity, seq }),
                Wanted::Lane(entity) => entity,
            };
            let room = self.limits.share.saturating_sub(self.held());
            let Some(lane) = self.lanes.get_mut(&entity) else { continue };
            let lacks = lacks(lane, crowded, self.limits.lane);
            let Some(from) = lane.spilled.filter(|_| !lane.waits && lacks > 0) else {
                // It asks again when something of it has ended, or its time has come.
                lane.asked = false;
                continue;
            };
            let limit = lacks.min(room).max(1);
            lane.missed = false;
            return Some(Read::Lane { entity, after: from - 1, limit: u32::try_from(limit).unwrap_or(u32::MAX) });
        }
        None
    }

    /// `None` where the store could not be read: the question is open again.
    pub(super) fn answered(&mut self, answer: Option<Answer>, now: Timestamp) {
        let Some(read) = self.reading.asked.take() else { return };
        if std::mem::take(&mut self.reading.void) {
            self.reading.ended_meanwhile.clear();
            return;
        }
        match (read, answer) {
            (Read::Page { after, limit }, Some(Answer::Runs(runs))) => self.take_page(after, limit, runs, now),
            (Read::Lane { entity, after, limit }, Some(Answer::Runs(runs))) => {
                self.take_lane(&entity, after, limit, runs, now);
            }
            (Read::Run { entity, seq }, Some(Answer::Runs(runs))) => {
                let run = runs.into_iter().next().filter(|run| run.seq == seq);
                self.rejoin(&entity, seq, run, now);
            }
            (Read::Sweep { limit, .. }, Some(Answer::Seqs(seqs))) => self.take_sweep(limit, &seqs),
            (Read::Lane { entity, .. }, _) => self.reading.want_lane(entity),
            (Read::Run { entity, seq }, _) => self.reading.want_run(entity, seq),
            (Read::Sweep { .. }, _) => self.reading.sweep_due = true,
            // It is still behind, and asks by itself.
            (Read::Page { .. }, _) => {}
        }
        self.reading.ended_meanwhile.clear();
    }

    fn take_page(&mut self, after: i64, limit: u32, runs: Vec<QueuedRun>, now: Timestamp) {
        // It was sent back meanwhile.
        if self.cursor != after {
            return;
        }
        let all = runs.len() < limit as usize;
        for run in runs {
            if !self.has_room_for_others() {
                return;
            }
            self.cursor = run.seq;
            if !self.knows(run.seq) {
                self.insert(run, now);
            }
        }
        self.behind = !all || self.reading.missed;
    }

    fn take_lane(&mut self, entity: &Entity, after: i64, limit: u32, runs: Vec<QueuedRun>, now: Timestamp) {
        let Some(lane) = self.lanes.get_mut(entity) else { return };
        lane.asked = false;
        // It was trimmed or put off meanwhile, and goes on from elsewhere.
        if lane.spilled != Some(after + 1) || lane.waits {
            return self.settle(entity, now);
        }
        let all = runs.len() < limit as usize && !lane.missed;
        let last = runs.last().map_or(after, |last| last.seq);
        lane.spilled = if all { None } else { Some(last + 1) };
        for run in runs {
            if self.knows(run.seq) {
                continue;
            }
            if !self.has_room() {
                if let Some(lane) = self.lanes.get_mut(entity) {
                    lane.spill_from(run.seq);
                }
                break;
            }
            self.insert(run, now);
        }
        self.settle(entity, now);
    }

    /// Whatever should be in memory and is not was made by a commit of which nobody told: it is read now.
    fn take_sweep(&mut self, limit: u32, seqs: &[(i64, Entity)]) {
        let all = seqs.len() < limit as usize;
        self.reading.swept = if all { 0 } else { seqs.last().map_or(0, |(seq, _)| *seq) };
        let is_here = |seq: i64, entity: &Entity| {
            self.knows(seq) || self.lanes.get(entity).is_some_and(|lane| lane.leaves_out(seq))
        };
        let through = self.cursor.max(self.reading.beyond);
        let lost = seqs.iter().filter(|(seq, _)| *seq <= through).find(|(seq, entity)| !is_here(*seq, entity));
        let lost = lost.map(|(seq, _)| *seq);
        self.reading.beyond = seqs.last().map_or(0, |(seq, _)| *seq);
        if let Some(seq) = lost {
            tracing::info!(tenant = %self.flow.tenant, plugin = %self.flow.plugin, seq, "a run was found by sweeping");
            self.rewind(seq - 1);
        }
    }
}
