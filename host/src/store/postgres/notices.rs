//! Rows of endpoints, and of what they are told.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use async_trait::async_trait;
use deadpool_postgres::ClientWrapper;
use tokio_postgres::Row;

use super::{
    PgStore,
    error::{Outcome, Trouble},
    read, rows,
    source::{PgSource, look},
    table::row,
};
use crate::{
    clock::Timestamp,
    domain::endpoint::{Endpoint, Endpoints, Notice, NoticeState, Standing},
    ids::{EndpointId, NoticeId, TenantId},
    store::{
        BULK_MAX, Bulk, EndpointChange, EndpointChanged, NoticeFilter, Notices, Paging, Result,
        commands::{self, endpoints, notices, source::Telling},
        notices::EndpointCache,
    },
};

impl Telling for PgSource {
    fn endpoints(&mut self) -> commands::Outcome<Arc<Endpoints>> {
        match &self.base.endpoints {
            Some(endpoints) => Ok(endpoints.clone()),
            None => {
                self.wanted.endpoints = true;
                Err(commands::Trouble::Miss)
            }
        }
    }

    fn endpoint(&mut self, id: EndpointId) -> commands::Outcome<Option<Endpoint>> {
        look!(self, endpoint_rows, id).cloned()
    }

    fn put_endpoint(&mut self, endpoint: &Endpoint) -> commands::Outcome<()> {
        let written = row![&endpoint.id.0[..], endpoint.tenant.as_str(), serde_json::to_string(endpoint)?];
        self.writes.endpoints.set(endpoint.id.0.to_vec(), written);
        self.over.endpoint_rows.insert(endpoint.id, Some(endpoint.clone()));
        self.raise_revision();
        Ok(())
    }

    fn delete_endpoint(&mut self, id: EndpointId) -> commands::Outcome<()> {
        self.writes.endpoints.take_back(&id.0);
        self.statement("DELETE FROM endpoints WHERE id = $1::bytea", row![&id.0[..]]);
        self.statement("DELETE FROM notices WHERE endpoint = $1::bytea", row![&id.0[..]]);
        self.over.endpoint_rows.insert(id, None);
        self.raise_revision();
        Ok(())
    }

    fn insert_notice(&mut self, notice: &Notice) -> commands::Outcome<()> {
        let Notice { id, tenant, endpoint, kind, lane, created, body, standing, .. } = notice;
        let written = row![
            &id.0[..],
            tenant.as_str(),
            &endpoint.0[..],
            kind.as_str(),
            lane.as_str(),
            created.0,
            standing.state.number(),
            standing.due.map(|at| at.0),
            "[]",
            body.as_str(),
        ];
        self.writes.notices.set([&endpoint.0[..], &id.0[..]].concat(), written);
        Ok(())
    }

    fn set_notice(&mut self, seq: i64, standing: &Standing) -> commands::Outcome<()> {
        let tries = serde_json::to_string(&standing.tries)?;
        let written = row![seq, standing.state.number(), standing.due.map(|at| at.0), tries];
        self.writes.told_notices.set(seq.to_le_bytes().to_vec(), written);
        Ok(())
    }

    fn reopen_notice(&mut self, seq: i64, due: Timestamp) -> commands::Outcome<()> {
        self.writes.reopened_notices.set(seq.to_le_bytes().to_vec(), row![seq, due.0]);
        Ok(())
    }
}

impl PgSource {
    /// Every transaction that begins after this one has committed reads the endpoints anew, on whichever host.
    fn raise_revision(&mut self) {
        self.statement("UPDATE endpoint_revision SET revision = revision + 1", row![]);
    }
}

/// As they are now: read where the revision is not the one that is in memory.
pub(super) async fn known(client: &ClientWrapper, cache: &EndpointCache) -> Outcome<Arc<Endpoints>> {
    let sql = "SELECT revision FROM endpoint_revision";
    let revision: i64 = read::one(client, sql, &[], |row| Ok(row.try_get(0)?)).await?.unwrap_or(0);
    if let Some(known) = cache.at(revision) {
        return Ok(known);
    }
    let all = read::all(client, "SELECT body FROM endpoints", &[], |row| rows::json(row, 0)).await?;
    let endpoints = Arc::new(Endpoints::new(all));
    // What was read may be newer than the revision, never older: at worst it is read once more.
    cache.keep(revision, endpoints.clone());
    Ok(endpoints)
}

/// Those that there are, locked until the transaction ends.
pub(super) async fn lock(
    client: &ClientWrapper,
    ids: &HashSet<EndpointId>,
) -> Outcome<HashMap<EndpointId, Option<Endpoint>>> {
    let mut keys: Vec<&[u8]> = ids.iter().map(|id| &id.0[..]).collect();
    keys.sort_unstable();
    let sql = "SELECT body FROM endpoints WHERE id = ANY($1) ORDER BY id FOR UPDATE";
    let found: Vec<Endpoint> = read::all(client, sql, &[&keys], |row| rows::json(row, 0)).await?;
    let mut endpoints: HashMap<EndpointId, Option<Endpoint>> = ids.iter().map(|id| (*id, None)).collect();
    endpoints.extend(found.into_iter().map(|endpoint| (endpoint.id, Some(endpoint))));
    Ok(endpoints)
}

const NOTICE: &str = "n.seq, n.id, n.tenant, n.endpoint, n.type, n.lane, n.created, n.body, n.state, n.due, n.tries";

fn notice(row: &Row) -> Outcome<Notice> {
    let number: i16 = row.try_get(8)?;
    let state = NoticeState::of_number(i64::from(number));
    Ok(Notice {
        seq: row.try_get(0)?,
        id: NoticeId(rows::id(row, 1)?),
        tenant: rows::must_name(row, 2)?,
        endpoint: EndpointId(rows::id(row, 3)?),
        kind: row.try_get(4)?,
        lane: row.try_get(5)?,
        created: rows::must_time(row, 6)?,
        body: row.try_get(7)?,
        standing: Standing {
            state: state.ok_or_else(|| Trouble::Unreadable(format!("a notice is in the state {number}")))?,
            due: rows::time(row, 9)?,
            tries: rows::json(row, 10)?,
        },
    })
}

async fn all(client: &ClientWrapper) -> Outcome<Vec<(Endpoint, Option<Timestamp>)>> {
    let sql = "SELECT e.body, (SELECT min(n.due) FROM notices n WHERE n.endpoint = e.id AND n.state = 0) \
               FROM endpoints e ORDER BY e.tenant, e.id";
    read::all(client, sql, &[], |row| Ok((rows::json(row, 0)?, rows::time(row, 1)?))).await
}

/// With `$1` the endpoint, `$2` the tenant, `$3` and `$4` for whoever pages, `$5` the ids.
fn condition(filter: &NoticeFilter) -> String {
    let mut sql = "n.endpoint = $1 AND n.tenant = $2".to_owned();
    // Numbers of ours and nothing else: safe in the text of a statement.
    if let Some(state) = filter.state {
        sql.push_str(&format!(" AND n.state = {}", state.number()));
    }
    if filter.ended {
        sql.push_str(" AND n.state <> 0");
    }
    if let Some(since) = filter.since {
        sql.push_str(&format!(" AND n.created >= ({})", since.0));
    }
    if let Some(until) = filter.until {
        sql.push_str(&format!(" AND n.created <= ({})", until.0));
    }
    sql.push_str(" AND (cardinality($5::bytea[]) = 0 OR n.id = ANY($5::bytea[]))");
    sql
}

fn ids(filter: &NoticeFilter) -> Vec<&[u8]> {
    filter.ids.iter().map(|id| &id.0[..]).collect()
}

#[async_trait]
impl Notices for PgStore {
    async fn endpoints(&self) -> Result<Vec<(Endpoint, Option<Timestamp>)>> {
        self.read(async |client| all(client).await).await
    }

    async fn endpoint(&self, tenant: &TenantId, id: EndpointId) -> Result<Option<Endpoint>> {
        let sql = "SELECT body FROM endpoints WHERE id = $1 AND tenant = $2";
        self.read(async |client| {
            read::one(client, sql, &[&&id.0[..], &tenant.as_str()], |row| rows::json(row, 0)).await
        })
        .await
    }

    async fn change_endpoint(
        &self,
        tenant: &TenantId,
        id: EndpointId,
        change: EndpointChange,
        now: Timestamp,
    ) -> Result<EndpointChanged> {
        let tenant = tenant.clone();
        self.write_alone(move |tx| endpoints::change(tx, &tenant, id, &change, now)).await
    }

    async fn test_endpoint(&self, tenant: &TenantId, id: EndpointId, now: Timestamp) -> Result<Option<NoticeId>> {
        let tenant = tenant.clone();
        self.write(Vec::new(), move |tx| notices::test(tx, &tenant, id, now)).await
    }

    async fn due_notices(&self, id: EndpointId, now: Timestamp, limit: u32) -> Result<Vec<Notice>> {
        let sql = format!(
            "SELECT {NOTICE} FROM notices n WHERE n.endpoint = $1 AND n.state = 0 AND n.due <= $2 \
             ORDER BY n.due, n.seq LIMIT $3"
        );
        let limit = i64::from(limit);
        self.read(async |client| read::all(client, &sql, &[&&id.0[..], &now.0, &limit], notice).await).await
    }

    async fn overflow(&self, id: EndpointId, keep: u32, limit: u32) -> Result<Vec<Notice>> {
        // Not in the order of an index: what waits is found by that of what is due, and not among all that was ever told.
        let sql = format!(
            "SELECT {NOTICE} FROM notices n WHERE n.endpoint = $1 AND n.state = 0 ORDER BY n.seq + 0 DESC LIMIT $3 OFFSET $2"
        );
        let (keep, limit) = (i64::from(keep), i64::from(limit));
        self.read(async |client| read::all(client, &sql, &[&&id.0[..], &keep, &limit], notice).await).await
    }

    async fn answer_notice(&self, seq: i64, standing: Standing) -> Result<()> {
        self.write(Vec::new(), move |tx| notices::answered(tx, seq, &standing)).await
    }

    async fn notices(
        &self,
        tenant: &TenantId,
        id: EndpointId,
        filter: &NoticeFilter,
        page: Paging,
    ) -> Result<Vec<Notice>> {
        let sql = format!(
            "SELECT {NOTICE} FROM notices n WHERE {} AND n.seq < $3 ORDER BY n.seq DESC LIMIT $4",
            condition(filter)
        );
        let (before, limit) = (page.before.unwrap_or(i64::MAX), i64::from(page.limit));
        self.read(async |client| {
            let params: read::Params<'_> = &[&&id.0[..], &tenant.as_str(), &before, &limit, &ids(filter)];
            read::all(client, &sql, params, notice).await
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
        let sql =
            format!("SELECT n.seq FROM notices n WHERE {} AND n.seq > $3 ORDER BY n.seq LIMIT $4", condition(&wanted));
        let most = i64::from(limit) + 1;
        let seqs = self.read(async |client| {
            let params: read::Params<'_> = &[&&id.0[..], &tenant.as_str(), &filter.after_seq, &most, &ids(filter)];
            read::all(client, &sql, params, |row| Ok(row.try_get::<_, i64>(0)?)).await
        });
        let (seqs, bulk) = notices::step(seqs.await?, filter, limit);
        self.write(Vec::new(), move |tx| notices::replay(tx, &seqs)).await?;
        Ok(bulk)
    }
}
