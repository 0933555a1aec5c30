//! All flows: who gets how much memory, whose turn it is to execute, and whose to read from the store.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use super::{
    Settings,
    execute::Ended,
    reading::{Answer, Read},
    turns::{Turn, Turns},
    window::{Limits, Window},
};
use crate::{
    clock::Timestamp,
    domain::run::{EntityKey, Flow, QueuedRun},
    ids::PluginName,
};

/// A flow's share of memory, however many flows there are: enough to keep it running while the store is read.
const SHARE_MIN: usize = 16;

/// What has to be known of a plugin.
pub(super) struct Terms {
    /// How long its runs are put off at the longest.
    pub longest: Duration,
    /// Its runs side by side.
    pub concurrent: usize,
}

pub(super) struct Flows {
    settings: Settings,
    terms: Box<dyn Fn(&PluginName) -> Terms + Send>,
    /// Whether a plugin's runs are executed. Those of one that is not have no turns, and wait where they are.
    serves: Box<dyn Fn(&PluginName) -> bool + Send>,
    windows: HashMap<Flow, Window>,
    turns: Turns,
    readers: VecDeque<Flow>,
    /// Whether every flow that had open runs is known. Until then one that turns up is behind.
    listed: bool,
}

impl Flows {
    pub(super) fn new(settings: Settings, terms: Box<dyn Fn(&PluginName) -> Terms + Send>) -> Flows {
        let turns = Turns::of_places(settings.concurrent_max).with_tenant_most(settings.concurrent_per_tenant_max);
        let serves = Box::new(|_: &PluginName| true);
        Flows { settings, terms, serves, windows: HashMap::new(), turns, readers: VecDeque::new(), listed: false }
    }

    pub(super) fn where_served(self, serves: Box<dyn Fn(&PluginName) -> bool + Send>) -> Flows {
        Flows { serves, ..self }
    }

    /// Other plugins serve than before.
    pub(super) fn served_anew(&mut self) {
        let flows: Vec<Flow> = self.windows.keys().cloned().collect();
        flows.iter().for_each(|flow| self.touched(flow));
    }

    pub(super) fn hand_over(&mut self, run: QueuedRun, now: Timestamp) {
        let flow = Flow::of(&run.run.key);
        if !self.windows.contains_key(&flow) {
            let limits = self.limits(&flow);
            let window = match self.listed {
                true => Window::level_after(flow.clone(), limits, run.seq - 1),
                false => Window::behind(flow.clone(), limits),
            };
            self.open(flow.clone(), window);
        }
        if let Some(window) = self.windows.get_mut(&flow) {
            window.hand_over(run, now);
        }
        self.touched(&flow);
    }

    /// Everything has to be read anew: hand-overs were missed, or what is ours has changed.
    pub(super) fn missed(&mut self) {
        self.listed = false;
        let flows: Vec<Flow> = self.windows.keys().cloned().collect();
        for flow in flows {
            if let Some(window) = self.windows.get_mut(&flow) {
                window.rewind(0);
            }
            self.touched(&flow);
        }
    }

    /// Flows that the store has open runs of: all of them, unless something was missed since they were asked for.
    pub(super) fn listed(&mut self, flows: Vec<Flow>, all: bool) {
        self.listed |= all;
        for flow in flows {
            if !self.windows.contains_key(&flow) {
                self.open(flow.clone(), Window::behind(flow.clone(), self.limits(&flow)));
                self.touched(&flow);
            }
        }
    }

    /// Looks for what was lost, at clocks that were set back, and forgets who has nothing to do.
    pub(super) fn sweep(&mut self, now: Timestamp) {
        self.windows.retain(|_, window| !window.is_idle() || window.running > 0);
        self.readers.retain(|flow| self.windows.contains_key(flow));
        let flows: Vec<Flow> = self.windows.keys().cloned().collect();
        for flow in flows {
            let limits = self.limits(&flow);
            if let Some(window) = self.windows.get_mut(&flow) {
                window.limits = limits;
                window.sweep(now);
            }
            self.touched(&flow);
        }
    }

    /// The next run to execute.
    pub(super) fn next(&mut self, ours: impl Fn(&EntityKey) -> bool) -> Option<QueuedRun> {
        let mut next = None;
        let (windows, serves) = (&mut self.windows, &self.serves);
        self.turns.give(|flow, may| {
            let Some(window) = windows.get_mut(flow) else { return Turn::Nothing };
            if !window.has_ready() || !serves(&flow.plugin) {
                return Turn::Nothing;
            }
            if !may(window.running) || window.running >= window.limits.concurrent {
                return Turn::Waits;
            }
            next = window.next(&ours);
            if next.is_some() { Turn::Began { more: window.has_ready() } } else { Turn::Nothing }
        });
        next
    }

    pub(super) fn ended(&mut self, ended: Ended, now: Timestamp) {
        let flow = Flow::of(&ended.key);
        self.turns.ended(&flow);
        if let Some(window) = self.windows.get_mut(&flow) {
            window.ended(ended, now);
        }
        self.touched(&flow);
    }

    pub(super) fn next_wake(&self) -> Timestamp {
        self.windows.values().map(Window::next_wake).min().unwrap_or(Timestamp::NEVER)
    }

    pub(super) fn wake(&mut self, now: Timestamp) {
        let due: Vec<Flow> = self
            .windows
            .values()
            .filter(|window| window.next_wake() <= now)
            .map(|window| window.flow.clone())
            .collect();
        for flow in due {
            if let Some(window) = self.windows.get_mut(&flow) {
                window.wake(now);
            }
            self.touched(&flow);
        }
    }

    /// The next question to the store, of whose flow.
    pub(super) fn ask(&mut self) -> Option<(Flow, Read)> {
        while let Some(flow) = self.readers.pop_front() {
            let Some(window) = self.windows.get_mut(&flow) else { continue };
            window.reading.in_line = false;
            if let Some(read) = window.ask() {
                return Some((flow, read));
            }
        }
        None
    }

    /// What the store answered; `None` where it could not be read.
    pub(super) fn answered(&mut self, flow: &Flow, answer: Option<Answer>, now: Timestamp) {
        if let Some(window) = self.windows.get_mut(flow) {
            window.answered(answer, now);
        }
        self.touched(flow);
    }

    /// A flow that has something to execute or to ask gets in line for it.
    fn touched(&mut self, flow: &Flow) {
        let Some(window) = self.windows.get_mut(flow) else { return };
        if window.has_ready() {
            self.turns.join(flow);
        }
        if window.has_question() && !std::mem::replace(&mut window.reading.in_line, true) {
            self.readers.push_back(flow.clone());
        }
    }

    fn limits(&self, flow: &Flow) -> Limits {
        let most = self.settings.in_memory_max.max(1);
        let share = (most / self.windows.len().max(1)).max(SHARE_MIN.min(most));
        let Terms { longest, concurrent } = (self.terms)(&flow.plugin);
        Limits { share, lane: self.settings.lane_in_memory_max.max(1), longest, concurrent: concurrent.max(1) }
    }

    /// One flow more: the others' shares get smaller, and what they hold above them goes back to the store.
    fn open(&mut self, flow: Flow, window: Window) {
        self.windows.insert(flow.clone(), window);
        let share = self.limits(&flow).share;
        for window in self.windows.values_mut() {
            window.limits.share = share;
            window.trim();
        }
    }
}

#[cfg(test)]
#[path = "flows_tests.rs"]
mod tests;
