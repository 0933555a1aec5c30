//! Messages in memory, by tenant: who gets how much of it, whose turn it is to send, and whose to read from the store.

use std::collections::{HashMap, VecDeque};

use super::{
    deliver::Left,
    share::{Answer, Read, Share},
};
use crate::{clock::Timestamp, domain::message::MessageRecord, ids::TenantId};

/// A tenant's share of memory, however many tenants there are.
const SHARE_MIN: usize = 16;
/// A tenant may begin another attempt while it has fewer than three times as many under way as there are places free: alone
/// it gets three quarters of them, and however many tenants wait for slow providers, a place is left for who comes next.
const TENANT_OVER_FREE: usize = 3;

pub(super) struct Queue {
    in_memory_max: usize,
    /// Of one recipient.
    lane_max: usize,
    places: usize,
    running: usize,
    shares: HashMap<TenantId, Share>,
    /// Tenants that may have something ready.
    turns: VecDeque<TenantId>,
    readers: VecDeque<TenantId>,
    /// Whether every tenant that had open messages is known. Until then one that turns up is behind.
    listed: bool,
}

impl Queue {
    pub(super) fn new(in_memory_max: usize, places: usize) -> Queue {
        Queue {
            in_memory_max: in_memory_max.max(1),
            lane_max: usize::MAX,
            places: places.max(1),
            running: 0,
            shares: HashMap::new(),
            turns: VecDeque::new(),
            readers: VecDeque::new(),
            listed: false,
        }
    }

    /// With so many messages to one recipient in memory.
    pub(super) fn with_lanes_of(self, lane_max: usize) -> Queue {
        Queue { lane_max: lane_max.max(1), ..self }
    }

    pub(super) fn hand_over(&mut self, record: MessageRecord) {
        let tenant = record.message.tenant.clone();
        self.known(&tenant, record.seq - 1).hand_over(record);
        self.touched(&tenant);
    }

    /// Messages of these tenants have come due: they are read up to `until`, tenant by tenant, as memory has room for them.
    pub(super) fn come_due(&mut self, tenants: Vec<TenantId>, until: Timestamp) {
        for tenant in tenants {
            self.known(&tenant, 0).due.come(until);
            self.touched(&tenant);
        }
    }

    /// A message was written that is due at `at`, whoever's it is.
    pub(super) fn written_due(&mut self, at: Timestamp) {
        self.shares.values_mut().for_each(|share| share.due.written(at));
    }

    /// Takes up a message that waits, before its time.
    pub(super) fn due(&mut self, record: MessageRecord) {
        let tenant = record.message.tenant.clone();
        self.known(&tenant, record.seq - 1).push(record);
        self.touched(&tenant);
    }

    /// A tenant's share; one that was not there begins after `cursor`.
    fn known(&mut self, tenant: &TenantId, cursor: i64) -> &mut Share {
        if !self.shares.contains_key(tenant) {
            let share = if self.listed { Share::level_after(cursor, 0) } else { Share::behind(0) };
            self.open(tenant.clone(), share);
        }
        self.shares.entry(tenant.clone()).or_insert_with(|| Share::behind(SHARE_MIN))
    }

    /// One tenant more: the others' shares get smaller, and what they hold above them goes back to the store.
    fn open(&mut self, tenant: TenantId, share: Share) {
        let mut share = share;
        share.lane_most = self.lane_max;
        self.shares.insert(tenant, share);
        let most = self.share();
        for share in self.shares.values_mut() {
            share.most = most;
            share.trim();
        }
    }

    fn share(&self) -> usize {
        (self.in_memory_max / self.shares.len().max(1)).max(SHARE_MIN.min(self.in_memory_max))
    }

    /// Everything has to be read anew: hand-overs were missed, or what is ours has changed.
    pub(super) fn missed(&mut self) {
        self.listed = false;
        self.each(|share| {
            share.rewind(0);
            share.due.rewind();
        });
    }

    /// Tenants that have messages to plan: all of them, unless something was missed since they were asked for.
    pub(super) fn listed(&mut self, tenants: Vec<TenantId>, all: bool) {
        self.listed |= all;
        for tenant in tenants {
            if !self.shares.contains_key(&tenant) {
                self.open(tenant.clone(), Share::behind(0));
                self.touched(&tenant);
            }
        }
    }

    /// Looks for what was lost, and forgets who has nothing to do.
    pub(super) fn sweep(&mut self) {
        self.shares.retain(|_, share| !share.is_idle() || share.running > 0);
        self.readers.retain(|tenant| self.shares.contains_key(tenant));
        let most = self.share();
        self.each(|share| {
            share.most = most;
            share.sweep();
        });
    }

    fn each(&mut self, mut change: impl FnMut(&mut Share)) {
        let tenants: Vec<TenantId> = self.shares.keys().cloned().collect();
        for tenant in tenants {
            if let Some(share) = self.shares.get_mut(&tenant) {
                change(share);
            }
            self.touched(&tenant);
        }
    }

    /// The next message to plan, of the tenant whose turn it is.
    pub(super) fn next(&mut self, ours: impl Fn(&TenantId, &str) -> bool) -> Option<MessageRecord> {
        let free = self.places.saturating_sub(self.running);
        for _ in 0..self.turns.len() {
            let tenant = self.turns.pop_front()?;
            let Some(share) = self.shares.get_mut(&tenant).filter(|share| share.has_ready()) else { continue };
            let may = share.running < free * TENANT_OVER_FREE && (self.places == 1 || share.running + 1 < self.places);
            let next = if may { share.next(&ours) } else { None };
            if share.has_ready() {
                self.turns.push_back(tenant);
            }
            if next.is_some() {
                self.running += 1;
                return next;
            }
        }
        None
    }

    pub(super) fn left(&mut self, left: Left) {
        self.running = self.running.saturating_sub(1);
        let tenant = left.record.message.tenant.clone();
        if let Some(share) = self.shares.get_mut(&tenant) {
            share.left(left);
        }
        self.touched(&tenant);
    }

    pub(super) fn next_wake(&self) -> Timestamp {
        self.shares.values().map(Share::next_wake).min().unwrap_or(Timestamp::NEVER)
    }

    pub(super) fn wake(&mut self, now: Timestamp) {
        self.each(|share| share.wake(now));
    }

    /// The next question to the store, and of whose messages.
    pub(super) fn ask(&mut self) -> Option<(TenantId, Read)> {
        while let Some(tenant) = self.readers.pop_front() {
            let Some(share) = self.shares.get_mut(&tenant) else { continue };
            share.in_line = false;
            if let Some(read) = share.ask() {
                return Some((tenant, read));
            }
        }
        None
    }

    /// What the store answered; `None` where it could not be read.
    pub(super) fn answered(&mut self, tenant: &TenantId, answer: Option<Answer>) {
        if let Some(share) = self.shares.get_mut(tenant) {
            share.answered(answer);
        }
        self.touched(tenant);
    }

    /// A tenant that has something to send or to ask gets in line for it.
    fn touched(&mut self, tenant: &TenantId) {
        let Some(share) = self.shares.get_mut(tenant) else { return };
        if share.has_ready() && !self.turns.contains(tenant) {
            self.turns.push_back(tenant.clone());
        }
        if share.has_question() && !std::mem::replace(&mut share.in_line, true) {
            self.readers.push_back(tenant.clone());
        }
    }
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
