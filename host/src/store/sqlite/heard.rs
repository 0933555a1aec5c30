//! Rows of what providers and customers say.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{error::Outcome, rows, source::SqliteSource};
use crate::{
    clock::Timestamp,
    domain::{customer::Channel, run::Incoming, status::AttemptState},
    ids::{MessageId, TenantId},
    store::{
        Receipt,
        commands::{
            self,
            source::{FailedReceipt, Heard, Parked},
        },
    },
};

const PARKED: &str = "SELECT id, provider, provider_id, state, time, received, failure, pricing FROM parked_receipts";

impl Heard for SqliteSource<'_> {
    fn write_receipt(
        &mut self,
        message: i64,
        attempt: u32,
        code: &str,
        receipt: &Receipt,
        now: Timestamp,
    ) -> commands::Outcome<bool> {
        // A repeat that knows the price, where the first did not, adds to the story.
        let sql = "INSERT INTO receipts (message, attempt, state, code, time, received, failure, pricing) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (message, attempt, state, code) DO UPDATE \
                   SET pricing = excluded.pricing WHERE pricing IS NULL AND excluded.pricing IS NOT NULL";
        let written = self.execute(
            sql,
            params![
                message,
                attempt,
                receipt.state.as_str(),
                code,
                receipt.time.0,
                now.0,
                rows::to_json(receipt.failure.as_ref())?,
                rows::to_json(receipt.pricing.as_ref())?,
            ],
        )?;
        Ok(written > 0)
    }

    fn failed_receipts(&mut self, message: i64, attempt: u32) -> commands::Outcome<Vec<FailedReceipt>> {
        let sql = "SELECT time, code, failure FROM receipts WHERE message = ?1 AND attempt = ?2 AND state = 'failed' \
                   AND failure IS NOT NULL";
        Ok(self.all(sql, params![message, attempt], |row| {
            Ok(FailedReceipt { time: Timestamp(row.get(0)?), code: row.get(1)?, failure: rows::json(row, 2)? })
        })?)
    }

    fn delivered_codes(&mut self, message: i64, attempt: u32) -> commands::Outcome<Vec<String>> {
        let sql = "SELECT code FROM receipts WHERE message = ?1 AND attempt = ?2 AND state = 'delivered'";
        Ok(self.all(sql, params![message, attempt], |row| row.get(0))?)
    }

    fn park(&mut self, code: &str, receipt: &Receipt, now: Timestamp) -> commands::Outcome<()> {
        let sql = "INSERT INTO parked_receipts (tenant, provider, token, provider_id, state, code, time, received, failure, pricing) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) \
                   ON CONFLICT (provider, provider_id, token, tenant, state, code) DO NOTHING";
        let parked = self.execute(
            sql,
            params![
                receipt.tenant.as_str(),
                receipt.provider,
                receipt.token.map(|token| token.to_string()).unwrap_or_default(),
                receipt.provider_id.as_deref().unwrap_or_default(),
                receipt.state.as_str(),
                code,
                receipt.time.0,
                now.0,
                rows::to_json(receipt.failure.as_ref())?,
                rows::to_json(receipt.pricing.as_ref())?,
            ],
        )?;
        if parked > 0 {
            let max = i64::from(self.parked_receipts_max);
            let oldest = self.conn.last_insert_rowid() - max;
            let dropped = self.execute("DELETE FROM parked_receipts WHERE id <= ?1", [oldest])?;
            if dropped > 0 {
                tracing::warn!(
                    dropped,
                    max,
                    "receipts about unknown attempts were dropped to make room for newer ones"
                );
            }
        }
        Ok(())
    }

    fn parked_by_token(&mut self, tenant: &TenantId, token: &str) -> commands::Outcome<Vec<Parked>> {
        let sql = format!("{PARKED} WHERE token <> '' AND token = ?1 AND tenant = ?2");
        Ok(self.all(&sql, params![token, tenant.as_str()], |row| parked(row, tenant))?)
    }

    fn parked_by_id(&mut self, tenant: &TenantId, provider: &str, provider_id: &str) -> commands::Outcome<Vec<Parked>> {
        let sql = format!("{PARKED} WHERE provider = ?1 AND provider_id = ?2 AND tenant = ?3");
        Ok(self.all(&sql, params![provider, provider_id, tenant.as_str()], |row| parked(row, tenant))?)
    }

    fn unpark(&mut self, id: i64) -> commands::Outcome<()> {
        self.execute("DELETE FROM parked_receipts WHERE id = ?1", [id])?;
        Ok(())
    }

    fn incoming(&mut self, id: MessageId) -> commands::Outcome<Option<Arc<Incoming>>> {
        Ok(self.one("SELECT body FROM incoming WHERE id = ?1", [&id.0], |row| rows::json(row, 0).map(Arc::new))?)
    }

    fn insert_incoming(&mut self, seq: i64, incoming: &Incoming) -> commands::Outcome<()> {
        let sql = "INSERT INTO incoming (seq, id, tenant, customer, channel, sender, time, body) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
        self.execute(
            sql,
            params![
                seq,
                incoming.id.0,
                incoming.tenant.as_str(),
                incoming.customer.as_deref(),
                incoming.channel.as_str(),
                incoming.sender,
                incoming.time.0,
                serde_json::to_string(incoming)?,
            ],
        )?;
        Ok(())
    }

    fn last_incoming(
        &mut self,
        tenant: &TenantId,
        channel: Channel,
        address: &str,
    ) -> commands::Outcome<Option<Timestamp>> {
        // By time, because they need not come in their order: the last few hold the latest.
        let sql = "SELECT max(time) FROM (SELECT time FROM incoming WHERE tenant = ?1 AND sender = ?2 AND channel = ?3 \
                   ORDER BY seq DESC LIMIT 32)";
        let params = params![tenant.as_str(), address, channel.as_str()];
        let found = self.one(sql, params, |row| row.get::<_, Option<i64>>(0))?;
        Ok(found.flatten().map(Timestamp))
    }
}

fn parked(row: &Row<'_>, tenant: &TenantId) -> rusqlite::Result<Parked> {
    let provider_id: String = row.get(2)?;
    Ok(Parked {
        id: row.get(0)?,
        received: Timestamp(row.get(5)?),
        receipt: Receipt {
            tenant: tenant.clone(),
            provider: row.get(1)?,
            token: None,
            provider_id: (!provider_id.is_empty()).then_some(provider_id),
            state: rows::word(row, 3, AttemptState::parse)?,
            time: Timestamp(row.get(4)?),
            failure: rows::json_or_none(row, 6)?,
            pricing: rows::json_or_none(row, 7)?,
        },
    })
}

pub(super) fn load(conn: &Connection, tenant: &TenantId, id: MessageId) -> Outcome<Option<Arc<Incoming>>> {
    let mut statement = conn.prepare_cached("SELECT body FROM incoming WHERE id = ?1 AND tenant = ?2")?;
    let found = statement.query_row(params![id.0, tenant.as_str()], |row| rows::json::<Incoming>(row, 0)).optional()?;
    Ok(found.map(Arc::new))
}
