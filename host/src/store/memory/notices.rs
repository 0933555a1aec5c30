//! Rows of endpoints, and of what they are told.

use std::sync::Arc;

use async_trait::async_trait;

use super::{MemorySource, MemoryStore, tables::Tables};
use crate::{
    clock::Timestamp,
    domain::endpoint::{Endpoint, Endpoints, Notice, NoticeState, Standing},
    ids::{EndpointId, NoticeId, TenantId},
    store::{
        BULK_MAX, Bulk, EndpointChange, EndpointChanged, NoticeFilter, Notices, Paging, Result,
        commands::{Outcome, endpoints, notices, source::Telling},
    },
};

impl Telling for MemorySource<'_> {
    fn endpoints(&mut self) -> Outcome<Arc<Endpoints>> {
        Ok(Arc::new(Endpoints::new(self.tables.endpoints.values().cloned())))
    }

    fn endpoint(&mut self, id: EndpointId) -> Outcome<Option<Endpoint>> {
        Ok(self.tables.endpoints.get(&id).cloned())
    }

    fn put_endpoint(&mut self, endpoint: &Endpoint) -> Outcome<()> {
        self.tables.endpoints.insert(endpoint.id, endpoint.clone());
        Ok(())
    }

    fn delete_endpoint(&mut self, id: EndpointId) -> Outcome<()> {
        self.tables.endpoints.remove(&id);
        self.tables.notices.retain(|_, notice| notice.endpoint != id);
        Ok(())
    }

    fn insert_notice(&mut self, notice: &Notice) -> Outcome<()> {
        let same = |known: &Notice| known.endpoint == notice.endpoint && known.id == notice.id;
        if !self.tables.notices.values().any(same) {
            self.tables.notice_last += 1;
            let seq = self.tables.notice_last;
            self.tables.notices.insert(seq, Notice { seq, ..notice.clone() });
        }
        Ok(())
    }

    fn set_notice(&mut self, seq: i64, standing: &Standing) -> Outcome<()> {
        let waits = |notice: &&mut Notice| notice.standing.state == NoticeState::Waiting;
        if let Some(notice) = self.tables.notices.get_mut(&seq).filter(waits) {
            notice.standing = standing.clone();
        }
        Ok(())
    }

    fn reopen_notice(&mut self, seq: i64, due: Timestamp) -> Outcome<()> {
        let ended = |notice: &&mut Notice| notice.standing.state != NoticeState::Waiting;
        if let Some(notice) = self.tables.notices.get_mut(&seq).filter(ended) {
            notice.standing = Standing { due: Some(due), ..Standing::default() };
        }
        Ok(())
    }
}

fn waiting(tables: &Tables, id: EndpointId) -> impl Iterator<Item = &Notice> {
    tables.notices.values().filter(move |one| one.endpoint == id && one.standing.state == NoticeState::Waiting)
}

fn found<'t>(
    tables: &'t Tables,
    tenant: &'t TenantId,
    id: EndpointId,
    filter: &'t NoticeFilter,
) -> impl DoubleEndedIterator<Item = &'t Notice> {
    tables.notices.values().filter(move |one| {
        one.endpoint == id
            && one.tenant == *tenant
            && filter.state.is_none_or(|state| one.standing.state == state)
            && (!filter.ended || one.standing.state != NoticeState::Waiting)
            && filter.since.is_none_or(|since| one.created >= since)
            && filter.until.is_none_or(|until| one.created <= until)
            && (filter.ids.is_empty() || filter.ids.contains(&one.id))
    })
}

#[async_trait]
impl Notices for MemoryStore {
    async fn endpoints(&self) -> Result<Vec<(Endpoint, Option<Timestamp>)>> {
        self.read("endpoints", |tables| {
            let due = |id| waiting(tables, id).filter_map(|notice| notice.standing.due).min();
            tables.endpoints.values().map(|endpoint| (endpoint.clone(), due(endpoint.id))).collect()
        })
        .await
    }

    async fn endpoint(&self, tenant: &TenantId, id: EndpointId) -> Result<Option<Endpoint>> {
        let found = self.read("endpoint", |tables| tables.endpoints.get(&id).cloned()).await?;
        Ok(found.filter(|endpoint| endpoint.tenant == *tenant))
    }

    async fn change_endpoint(
        &self,
        tenant: &TenantId,
        id: EndpointId,
        change: EndpointChange,
        now: Timestamp,
    ) -> Result<EndpointChanged> {
        self.write("change_endpoint", |tx| endpoints::change(tx, tenant, id, &change, now)).await
    }

    async fn test_endpoint(&self, tenant: &TenantId, id: EndpointId, now: Timestamp) -> Result<Option<NoticeId>> {
        self.write("test_endpoint", |tx| notices::test(tx, tenant, id, now)).await
    }

    async fn due_notices(&self, id: EndpointId, now: Timestamp, limit: u32) -> Result<Vec<Notice>> {
        self.read("due_notices", |tables| {
            let due = |notice: &&Notice| notice.standing.due.is_some_and(|due| due <= now);
            let mut found: Vec<Notice> = waiting(tables, id).filter(due).cloned().collect();
            found.sort_by_key(|notice| (notice.standing.due, notice.seq));
            found.truncate(limit as usize);
            found
        })
        .await
    }

    async fn overflow(&self, id: EndpointId, keep: u32, limit: u32) -> Result<Vec<Notice>> {
        self.read("overflow", |tables| {
            let mut all: Vec<Notice> = waiting(tables, id).cloned().collect();
            all.sort_by_key(|notice| std::cmp::Reverse(notice.seq));
            all.into_iter().skip(keep as usize).take(limit as usize).collect()
        })
        .await
    }

    async fn answer_notice(&self, seq: i64, standing: Standing) -> Result<()> {
        self.write("answer_notice", |tx| notices::answered(tx, seq, &standing)).await
    }

    async fn notices(
        &self,
        tenant: &TenantId,
        id: EndpointId,
        filter: &NoticeFilter,
        page: Paging,
    ) -> Result<Vec<Notice>> {
        self.read("notices", |tables| {
            let before = page.before.unwrap_or(i64::MAX);
            let rows = found(tables, tenant, id, filter).rev().filter(|notice| notice.seq < before);
            rows.take(page.limit as usize).cloned().collect()
        })
        .await
    }

    async fn replay_notices(
        &self,
        tenant: &TenantId,
        id: EndpointId,
        filter: &NoticeFilter,
        limit: u32,
    ) -> Result<Bulk> {
        let limit = limit.min(BULK_MAX);
        let wanted = NoticeFilter { ended: true, ..filter.clone() };
        let seqs = self.read("replay_notices", |tables| {
            let rows = found(tables, tenant, id, &wanted).map(|notice| notice.seq);
            rows.filter(|seq| *seq > filter.after_seq).take(limit as usize + 1).collect()
        });
        let (seqs, bulk) = notices::step(seqs.await?, filter, limit);
        self.write("replay_notices", |tx| notices::replay(tx, &seqs)).await?;
        Ok(bulk)
    }
}
