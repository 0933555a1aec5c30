//! What endpoints are told: the verbs of endpoints and notices, in words of no database.
//!
//! A notice is written by the transaction that makes what it tells of true ([`super::commands`]), one row for each endpoint that
//! wants it; so none is missed and none tells of what did not happen. Whoever delivers reads what is due, and writes down what
//! came of it. A transaction has the endpoints from memory: [`EndpointCache`].

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use super::{Bulk, Paging, Result};
use crate::{
    clock::Timestamp,
    domain::endpoint::{DisabledWhy, Endpoint, Endpoints, Include, Notice, NoticeState, Standing},
    ids::{EndpointId, NoticeId, TenantId},
};

/// A change of an endpoint.
#[derive(Clone, Debug)]
pub enum EndpointChange {
    /// At most so many of a tenant.
    Create(Box<Endpoint>, usize),
    Update(EndpointPatch),
    /// A new secret; the one before is good until then.
    Rotate(Timestamp),
    /// With everything that it was to be told.
    Remove,
    /// It did not take something.
    Failing,
    /// It took something.
    Well,
    Disable(DisabledWhy),
}

/// What is absent stays as it is.
#[derive(Clone, Debug, Default)]
pub struct EndpointPatch {
    pub url: Option<String>,
    pub description: Option<String>,
    pub types: Option<Vec<String>>,
    pub include: Option<Vec<Include>>,
    pub enabled: Option<bool>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum EndpointChanged {
    Done(Box<Endpoint>),
    /// It was so already.
    Unchanged(Box<Endpoint>),
    Unknown,
    /// The tenant has as many as it may have.
    TooMany,
}

/// Which notices of an endpoint. What is absent is not asked for.
#[derive(Clone, Debug, Default)]
pub struct NoticeFilter {
    pub state: Option<NoticeState>,
    /// Only those that are not waiting.
    pub ended: bool,
    pub since: Option<Timestamp>,
    pub until: Option<Timestamp>,
    pub ids: Vec<NoticeId>,
    /// Where the next of several steps goes on.
    pub after_seq: i64,
}

#[async_trait]
pub trait Notices: Send + Sync {
    /// Every endpoint of every tenant, with when the earliest of what it is still to be told is due.
    async fn endpoints(&self) -> Result<Vec<(Endpoint, Option<Timestamp>)>>;

    async fn endpoint(&self, tenant: &TenantId, id: EndpointId) -> Result<Option<Endpoint>>;

    async fn change_endpoint(
        &self,
        tenant: &TenantId,
        id: EndpointId,
        change: EndpointChange,
        now: Timestamp,
    ) -> Result<EndpointChanged>;

    /// Has one endpoint told that it can be told something. `None` where there is no such endpoint, or it is disabled.
    async fn test_endpoint(&self, tenant: &TenantId, id: EndpointId, now: Timestamp) -> Result<Option<NoticeId>>;

    /// What an endpoint is to be told now, the earliest first.
    async fn due_notices(&self, id: EndpointId, now: Timestamp, limit: u32) -> Result<Vec<Notice>>;

    /// What waits behind the latest `keep` of an endpoint.
    async fn overflow(&self, id: EndpointId, keep: u32, limit: u32) -> Result<Vec<Notice>>;

    /// Writes down what came of trying, where the notice still waits.
    async fn answer_notice(&self, seq: i64, standing: Standing) -> Result<()>;

    /// Latest first.
    async fn notices(
        &self,
        tenant: &TenantId,
        id: EndpointId,
        filter: &NoticeFilter,
        page: Paging,
    ) -> Result<Vec<Notice>>;

    /// Has an endpoint told again what has ended, at most [`super::BULK_MAX`] in order. One transaction: what it answers was done.
    async fn replay_notices(
        &self,
        tenant: &TenantId,
        id: EndpointId,
        filter: &NoticeFilter,
        limit: u32,
    ) -> Result<Bulk>;
}

/// The endpoints of a store as they were at a revision, so that a transaction need not read them. With one host there is one
/// revision, and who changes an endpoint clears this; hosts that share a store ask it for the revision first.
#[derive(Default)]
pub(in crate::store) struct EndpointCache(Mutex<Option<(i64, Arc<Endpoints>)>>);

impl EndpointCache {
    pub(in crate::store) fn at(&self, revision: i64) -> Option<Arc<Endpoints>> {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.as_ref().filter(|(of, _)| *of == revision).map(|(_, endpoints)| endpoints.clone())
    }

    pub(in crate::store) fn keep(&self, revision: i64, endpoints: Arc<Endpoints>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((revision, endpoints));
    }

    pub(in crate::store) fn clear(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}
