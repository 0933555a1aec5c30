//! What providers and customers say, in a transaction.

use std::sync::Arc;

use super::{
    rows::to_json,
    source::{PgSource, Recorded, look},
    table::row,
};
use crate::{
    clock::Timestamp,
    domain::{customer::Channel, run::Incoming},
    ids::{MessageId, TenantId},
    store::{
        Receipt,
        commands::{
            Outcome,
            source::{FailedReceipt, Heard, Parked},
        },
    },
};

impl PgSource {
    /// Makes room for newer receipts about unknown attempts, once in a transaction that brings some.
    fn trim_parked(&mut self) {
        // Picked in the order of the index, or the database, which expects a third of them to be too many, reads all of them.
        const OLDEST: &str = "DELETE FROM parked_receipts WHERE id = ANY (ARRAY(SELECT id FROM parked_receipts \
                              WHERE id <= (SELECT max(id) FROM parked_receipts) - $1 ORDER BY id LIMIT 1000))";
        if self.writes.others.iter().all(|(sql, _)| *sql != OLDEST) {
            self.statement(OLDEST, row![i64::from(self.parked_receipts_max)]);
        }
    }
}

impl Heard for PgSource {
    fn write_receipt(
        &mut self,
        message: i64,
        attempt: u32,
        code: &str,
        receipt: &Receipt,
        now: Timestamp,
    ) -> Outcome<bool> {
        let mut known = look!(self, receipts, (message, attempt))?.clone();
        let state = receipt.state.as_str();
        let old = known.iter_mut().find(|known| known.state == state && known.code == code);
        match old {
            // A repeat that knows the price, where the first did not, adds to the story.
            Some(old) if old.priced || receipt.pricing.is_none() => return Ok(false),
            Some(old) => old.priced = true,
            None => known.push(Recorded {
                state: state.to_owned(),
                code: code.to_owned(),
                time: receipt.time,
                failure: receipt.failure.clone(),
                priced: receipt.pricing.is_some(),
            }),
        }
        self.over.receipts.insert((message, attempt), known);
        let key = format!("{message}/{attempt}/{state}/{code}").into_bytes();
        let (failure, pricing) = (to_json(receipt.failure.as_ref())?, to_json(receipt.pricing.as_ref())?);
        let row = row![message, attempt, state, code, receipt.time.0, now.0, failure, pricing];
        // Heard twice in one transaction: the first is the one that is kept, with the price of the second.
        match self.writes.receipts.get_mut(&key) {
            Some(first) => {
                if let (Some(kept), Some(new)) = (first.last_mut(), row.last()) {
                    *kept = new.clone();
                }
            }
            None => self.writes.receipts.set(key, row),
        }
        Ok(true)
    }

    fn failed_receipts(&mut self, message: i64, attempt: u32) -> Outcome<Vec<FailedReceipt>> {
        let known = look!(self, receipts, (message, attempt))?;
        let failed = known.iter().filter(|known| known.state == "failed").filter_map(|known| {
            let failure = known.failure.clone()?;
            Some(FailedReceipt { time: known.time, code: known.code.clone(), failure })
        });
        Ok(failed.collect())
    }

    fn delivered_codes(&mut self, message: i64, attempt: u32) -> Outcome<Vec<String>> {
        let known = look!(self, receipts, (message, attempt))?;
        Ok(known.iter().filter(|known| known.state == "delivered").map(|known| known.code.clone()).collect())
    }

    fn park(&mut self, code: &str, receipt: &Receipt, now: Timestamp) -> Outcome<()> {
        let token = receipt.token.map(|token| token.to_string()).unwrap_or_default();
        let provider_id = receipt.provider_id.clone().unwrap_or_default();
        let id = self.next_parked();
        let row = row![
            receipt.tenant.as_str(),
            receipt.provider.as_str(),
            token.as_str(),
            provider_id.as_str(),
            receipt.state.as_str(),
            code,
            receipt.time.0,
            now.0,
            to_json(receipt.failure.as_ref())?,
            to_json(receipt.pricing.as_ref())?,
        ];
        self.writes.parked.set(id.to_le_bytes().to_vec(), row);
        self.trim_parked();
        // Whoever looks for it later in this transaction finds it.
        let parked = Parked { id, received: now, receipt: receipt.clone() };
        let by_token = (receipt.tenant.clone(), token);
        if let Some(mut found) = self.known_by_token(&by_token) {
            found.push(parked.clone());
            self.over.parked_by_token.insert(by_token, found);
        }
        let by_id = (receipt.tenant.clone(), receipt.provider.clone(), provider_id);
        if let Some(mut found) = self.known_by_id(&by_id) {
            found.push(parked);
            self.over.parked_by_id.insert(by_id, found);
        }
        Ok(())
    }

    fn parked_by_token(&mut self, tenant: &TenantId, token: &str) -> Outcome<Vec<Parked>> {
        look!(self, parked_by_token, (tenant.clone(), token.to_owned())).cloned()
    }

    fn parked_by_id(&mut self, tenant: &TenantId, provider: &str, provider_id: &str) -> Outcome<Vec<Parked>> {
        look!(self, parked_by_id, (tenant.clone(), provider.to_owned(), provider_id.to_owned())).cloned()
    }

    fn unpark(&mut self, id: i64) -> Outcome<()> {
        if id < 0 {
            // Parked in this very transaction, and not written yet.
            self.writes.parked.take_back(&id.to_le_bytes());
        } else {
            self.writes.unparked.set(id.to_le_bytes().to_vec(), row![id]);
        }
        let tables = [&self.base, &self.over];
        let mut tokens = Vec::new();
        let mut ids = Vec::new();
        for table in tables {
            tokens.extend(table.parked_by_token.iter().filter(|(_, found)| found.iter().any(|p| p.id == id)));
            ids.extend(table.parked_by_id.iter().filter(|(_, found)| found.iter().any(|p| p.id == id)));
        }
        let without = |found: &Vec<Parked>| found.iter().filter(|parked| parked.id != id).cloned().collect::<Vec<_>>();
        let tokens: Vec<_> = tokens.into_iter().map(|(key, found)| (key.clone(), without(found))).collect();
        let ids: Vec<_> = ids.into_iter().map(|(key, found)| (key.clone(), without(found))).collect();
        self.over.parked_by_token.extend(tokens);
        self.over.parked_by_id.extend(ids);
        Ok(())
    }

    fn incoming(&mut self, id: MessageId) -> Outcome<Option<Arc<Incoming>>> {
        look!(self, incoming, id).cloned()
    }

    fn insert_incoming(&mut self, seq: i64, incoming: &Incoming) -> Outcome<()> {
        self.writes.incoming.push(row![
            seq,
            &incoming.id.0[..],
            incoming.tenant.as_str(),
            incoming.customer.as_deref(),
            incoming.channel.as_str(),
            incoming.sender.as_str(),
            incoming.time.0,
            serde_json::to_string(incoming)?,
        ]);
        self.over.incoming.insert(incoming.id, Some(Arc::new(incoming.clone())));
        let key = (incoming.tenant.clone(), incoming.channel, incoming.sender.clone());
        let before = self.over.last_incoming.get(&key).or_else(|| self.base.last_incoming.get(&key)).copied().flatten();
        self.over.last_incoming.insert(key, before.max(Some(incoming.time)));
        Ok(())
    }

    fn last_incoming(&mut self, tenant: &TenantId, channel: Channel, address: &str) -> Outcome<Option<Timestamp>> {
        look!(self, last_incoming, (tenant.clone(), channel, address.to_owned())).copied()
    }
}

impl PgSource {
    fn known_by_token(&self, key: &(TenantId, String)) -> Option<Vec<Parked>> {
        self.over.parked_by_token.get(key).or_else(|| self.base.parked_by_token.get(key)).cloned()
    }

    fn known_by_id(&self, key: &super::source::ProviderKey) -> Option<Vec<Parked>> {
        self.over.parked_by_id.get(key).or_else(|| self.base.parked_by_id.get(key)).cloned()
    }
}
