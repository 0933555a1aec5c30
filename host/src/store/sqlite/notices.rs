//! Rows of endpoints, and of what they are told.

use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, ToSql, params};

use super::{SqliteStore, error::Outcome, rows, source::SqliteSource};
use crate::{
    clock::Timestamp,
    domain::endpoint::{Endpoint, Endpoints, Notice, NoticeState, Standing},
    ids::{EndpointId, NoticeId, TenantId},
    store::{
        BULK_MAX, Bulk, EndpointChange, EndpointChanged, NoticeFilter, Notices, Paging, Result,
        commands::{self, Trouble, endpoints, notices, source::Telling},
    },
};

/// The only revision that there is with one host.
const REVISION: i64 = 0;

impl Telling for SqliteSource<'_> {
    fn endpoints(&mut self) -> commands::Outcome<Arc<Endpoints>> {
        let cache = &self.caches.endpoints;
        if let Some(known) = cache.at(REVISION).filter(|_| !self.endpoints_changed) {
            return Ok(known);
        }
        let bodies = self.all("SELECT body FROM endpoints", [], |row| row.get::<_, String>(0))?;
        let all =
            bodies.iter().map(|body| serde_json::from_str(body)).collect::<serde_json::Result<Vec<Endpoint>>>()?;
        let endpoints = Arc::new(Endpoints::new(all));
        // What this transaction changed may still be taken back.
        if !self.endpoints_changed {
            cache.keep(REVISION, endpoints.clone());
        }
        Ok(endpoints)
    }

    fn endpoint(&mut self, id: EndpointId) -> commands::Outcome<Option<Endpoint>> {
        let body = self.one("SELECT body FROM endpoints WHERE id = ?1", [id.0], |row| row.get::<_, String>(0))?;
        body.map(|body| serde_json::from_str(&body).map_err(Trouble::from)).transpose()
    }

    fn put_endpoint(&mut self, endpoint: &Endpoint) -> commands::Outcome<()> {
        self.forget_endpoints();
        let sql = "INSERT INTO endpoints (id, tenant, body) VALUES (?1, ?2, ?3) \
                   ON CONFLICT (id) DO UPDATE SET body = excluded.body";
        self.execute(sql, params![endpoint.id.0, endpoint.tenant.as_str(), serde_json::to_string(endpoint)?])?;
        Ok(())
    }

    fn delete_endpoint(&mut self, id: EndpointId) -> commands::Outcome<()> {
        self.forget_endpoints();
        self.execute("DELETE FROM endpoints WHERE id = ?1", [id.0])?;
        self.execute("DELETE FROM notices WHERE endpoint = ?1", [id.0])?;
        Ok(())
    }

    fn insert_notice(&mut self, notice: &Notice) -> commands::Outcome<()> {
        let sql = "INSERT INTO notices (id, tenant, endpoint, type, lane, created, state, due, tries, body) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0, ?7, '[]', ?8) ON CONFLICT (endpoint, id) DO NOTHING";
        let Notice { id, tenant, endpoint, kind, lane, created, body, standing, .. } = notice;
        let due = standing.due.map(|at| at.0);
        self.execute(sql, params![id.0, tenant.as_str(), endpoint.0, kind, lane, created.0, due, body])?;
        Ok(())
    }

    fn set_notice(&mut self, seq: i64, standing: &Standing) -> commands::Outcome<()> {
        let sql = "UPDATE notices SET state = ?2, due = ?3, tries = ?4 WHERE seq = ?1 AND state = 0";
        let tries = serde_json::to_string(&standing.tries)?;
        self.execute(sql, params![seq, standing.state.number(), standing.due.map(|at| at.0), tries])?;
        Ok(())
    }

    fn reopen_notice(&mut self, seq: i64, due: Timestamp) -> commands::Outcome<()> {
        let sql = "UPDATE notices SET state = 0, due = ?2, tries = '[]' WHERE seq = ?1 AND state <> 0";
        self.execute(sql, params![seq, due.0])?;
        Ok(())
    }
}

impl SqliteSource<'_> {
    /// Who comes after this transaction reads them anew, whether it succeeds or not.
    fn forget_endpoints(&mut self) {
        self.endpoints_changed = true;
        self.caches.endpoints.clear();
    }
}

const NOTICE: &str = "n.seq, n.id, n.tenant, n.endpoint, n.type, n.lane, n.created, n.body, n.state, n.due, n.tries";

fn notice(row: &Row<'_>) -> rusqlite::Result<Notice> {
    let state = NoticeState::of_number(row.get(8)?);
    Ok(Notice {
        seq: row.get(0)?,
        id: NoticeId(row.get(1)?),
        tenant: rows::must_name(row, 2)?,
        endpoint: EndpointId(row.get(3)?),
        kind: row.get(4)?,
        lane: row.get(5)?,
        created: Timestamp(row.get(6)?),
        body: row.get(7)?,
        standing: Standing {
            // A number that is none of ours was never written by this program.
            state: state.ok_or(rusqlite::Error::IntegralValueOutOfRange(8, row.get(8)?))?,
            due: rows::time(row, 9)?,
            tries: rows::json(row, 10)?,
        },
    })
}

fn listed(conn: &Connection, sql: &str, params: &[&dyn ToSql]) -> Outcome<Vec<Notice>> {
    let mut statement = conn.prepare_cached(sql)?;
    Ok(statement.query_map(params, notice)?.collect::<rusqlite::Result<_>>()?)
}

fn all(conn: &Connection) -> Outcome<Vec<(Endpoint, Option<Timestamp>)>> {
    let sql = "SELECT e.body, (SELECT min(n.due) FROM notices n WHERE n.endpoint = e.id AND n.state = 0) \
               FROM endpoints e ORDER BY e.tenant, e.id";
    let mut statement = conn.prepare_cached(sql)?;
    let read = |row: &Row<'_>| Ok((rows::json(row, 0)?, rows::time(row, 1)?));
    Ok(statement.query_map([], read)?.collect::<rusqlite::Result<_>>()?)
}

fn one(conn: &Connection, tenant: &TenantId, id: EndpointId) -> Outcome<Option<Endpoint>> {
    let sql = "SELECT body FROM endpoints WHERE id = ?1 AND tenant = ?2";
    let mut statement = conn.prepare_cached(sql)?;
    Ok(statement.query_row(params![id.0, tenant.as_str()], |row| rows::json(row, 0)).optional()?)
}

/// With `?1` the endpoint and `?2` the tenant.
fn condition(filter: &NoticeFilter) -> String {
    let mut sql = "n.endpoint = ?1 AND n.tenant = ?2".to_owned();
    // Numbers of ours and nothing else: safe in the text of a statement.
    if let Some(state) = filter.state {
        sql.push_str(&format!(" AND n.state = {}", state.number()));
    }
    if filter.ended {
        sql.push_str(" AND n.state <> 0");
    }
    if let Some(since) = filter.since {
        sql.push_str(&format!(" AND n.created >= {}", since.0));
    }
    if let Some(until) = filter.until {
        sql.push_str(&format!(" AND n.created <= {}", until.0));
    }
    if !filter.ids.is_empty() {
        let ids: Vec<String> = filter.ids.iter().map(|id| format!("x'{}'", hex(id))).collect();
        sql.push_str(&format!(" AND n.id IN ({})", ids.join(", ")));
    }
    sql
}

fn hex(id: &NoticeId) -> String {
    id.0.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn page(
    conn: &Connection,
    tenant: &TenantId,
    id: EndpointId,
    filter: &NoticeFilter,
    page: Paging,
) -> Outcome<Vec<Notice>> {
    let sql = format!(
        "SELECT {NOTICE} FROM notices n WHERE {} AND n.seq < ?3 ORDER BY n.seq DESC LIMIT ?4",
        condition(filter)
    );
    let mut statement = conn.prepare(&sql)?;
    let params = params![id.0, tenant.as_str(), page.before.unwrap_or(i64::MAX), page.limit];
    Ok(statement.query_map(params, notice)?.collect::<rusqlite::Result<_>>()?)
}

fn found(conn: &Connection, tenant: &TenantId, id: EndpointId, filter: &NoticeFilter, limit: u32) -> Outcome<Vec<i64>> {
    let sql = format!("SELECT n.seq FROM notices n WHERE {} AND n.seq > ?3 ORDER BY n.seq LIMIT ?4", condition(filter));
    let mut statement = conn.prepare(&sql)?;
    let params = params![id.0, tenant.as_str(), filter.after_seq, limit];
    Ok(statement.query_map(params, |row| row.get(0))?.collect::<rusqlite::Result<_>>()?)
}

#[async_trait]
impl Notices for SqliteStore {
    async fn endpoints(&self) -> Result<Vec<(Endpoint, Option<Timestamp>)>> {
        self.readers.read(all).await
    }

    async fn endpoint(&self, tenant: &TenantId, id: EndpointId) -> Result<Option<Endpoint>> {
        self.readers.glance(|conn| one(conn, tenant, id)).await
    }

    async fn change_endpoint(
        &self,
        tenant: &TenantId,
        id: EndpointId,
        change: EndpointChange,
        now: Timestamp,
    ) -> Result<EndpointChanged> {
        let tenant = tenant.clone();
        self.write(move |tx| endpoints::change(tx, &tenant, id, &change, now)).await
    }

    async fn test_endpoint(&self, tenant: &TenantId, id: EndpointId, now: Timestamp) -> Result<Option<NoticeId>> {
        let tenant = tenant.clone();
        self.write(move |tx| notices::test(tx, &tenant, id, now)).await
    }

    async fn due_notices(&self, id: EndpointId, now: Timestamp, limit: u32) -> Result<Vec<Notice>> {
        let sql = format!(
            "SELECT {NOTICE} FROM notices n WHERE n.endpoint = ?1 AND n.state = 0 AND n.due <= ?2 \
             ORDER BY n.due, n.seq LIMIT ?3"
        );
        self.readers.read(move |conn| listed(conn, &sql, params![id.0, now.0, limit])).await
    }

    async fn overflow(&self, id: EndpointId, keep: u32, limit: u32) -> Result<Vec<Notice>> {
        // Not in the order of an index: what waits is found by that of what is due, and not among all that was ever told.
        let sql = format!(
            "SELECT {NOTICE} FROM notices n WHERE n.endpoint = ?1 AND n.state = 0 ORDER BY n.seq + 0 DESC LIMIT ?3 OFFSET ?2"
        );
        self.readers.read(move |conn| listed(conn, &sql, params![id.0, keep, limit])).await
    }

    async fn answer_notice(&self, seq: i64, standing: Standing) -> Result<()> {
        self.write(move |tx| notices::answered(tx, seq, &standing)).await
    }

    async fn notices(
        &self,
        tenant: &TenantId,
        id: EndpointId,
        filter: &NoticeFilter,
        paging: Paging,
    ) -> Result<Vec<Notice>> {
        let (tenant, filter) = (tenant.clone(), filter.clone());
        self.readers.read(move |conn| page(conn, &tenant, id, &filter, paging)).await
    }

    async fn replay_notices(
        &self,
        tenant: &TenantId,
        id: EndpointId,
        filter: &NoticeFilter,
        limit: u32,
    ) -> Result<Bulk> {
        let limit = limit.min(BULK_MAX);
        let (tenant, wanted) = (tenant.clone(), NoticeFilter { ended: true, ..filter.clone() });
        let seqs = self.readers.read(move |conn| found(conn, &tenant, id, &wanted, limit + 1)).await?;
        let (seqs, bulk) = notices::step(seqs, filter, limit);
        self.write(move |tx| notices::replay(tx, &seqs)).await?;
        Ok(bulk)
    }
}
