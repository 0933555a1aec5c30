//! Rows of what providers and customers say.

use std::sync::Arc;

use super::{
    MemorySource,
    tables::{ParkedRow, ReceiptRow},
    twice,
};
use crate::{
    clock::Timestamp,
    domain::{customer::Channel, run::Incoming, status::AttemptState},
    ids::{MessageId, TenantId},
    store::{
        Receipt,
        commands::{
            Outcome,
            source::{FailedReceipt, Heard, Parked},
        },
    },
};

impl Heard for MemorySource<'_> {
    fn write_receipt(
        &mut self,
        message: i64,
        attempt: u32,
        code: &str,
        receipt: &Receipt,
        now: Timestamp,
    ) -> Outcome<bool> {
        let key = (message, attempt, receipt.state, code.to_owned());
        if let Some(row) = self.tables.receipts.get_mut(&key) {
            // A repeat that knows the price, where the first did not, adds to the story.
            let adds = row.receipt.pricing.is_none() && receipt.pricing.is_some();
            if adds {
                row.receipt.pricing.clone_from(&receipt.pricing);
            }
            return Ok(adds);
        }
        self.tables.receipts.insert(key, ReceiptRow { receipt: receipt.clone(), received: now });
        Ok(true)
    }

    fn failed_receipts(&mut self, message: i64, attempt: u32) -> Outcome<Vec<FailedReceipt>> {
        let from = (message, attempt, AttemptState::Failed, String::new());
        let rows = self
            .tables
            .receipts
            .range(from..)
            .take_while(|((of, no, state, _), _)| (*of, *no, *state) == (message, attempt, AttemptState::Failed));
        let failed = rows.filter_map(|((_, _, _, code), row)| {
            let failure = row.receipt.failure.clone()?;
            Some(FailedReceipt { time: row.receipt.time, code: code.clone(), failure })
        });
        Ok(failed.collect())
    }

    fn delivered_codes(&mut self, message: i64, attempt: u32) -> Outcome<Vec<String>> {
        let from = (message, attempt, AttemptState::Delivered, String::new());
        let rows =
            self.tables.receipts.range(from..).take_while(|((of, no, state, _), _)| {
                (*of, *no, *state) == (message, attempt, AttemptState::Delivered)
            });
        Ok(rows.map(|((.., code), _)| code.clone()).collect())
    }

    fn park(&mut self, code: &str, receipt: &Receipt, now: Timestamp) -> Outcome<()> {
        let token = receipt.token.map(|token| token.to_string()).unwrap_or_default();
        let same = |row: &ParkedRow| {
            let kept = &row.parked.receipt;
            row.code == code
                && row.token == token
                && (&kept.tenant, &kept.provider, &kept.provider_id, kept.state)
                    == (&receipt.tenant, &receipt.provider, &receipt.provider_id, receipt.state)
        };
        if !self.tables.parked.values().any(same) {
            self.tables.parked_last += 1;
            let id = self.tables.parked_last;
            let parked = Parked { id, received: now, receipt: Receipt { token: None, ..receipt.clone() } };
            self.tables.parked.insert(id, ParkedRow { code: code.to_owned(), token, parked });
        }
        Ok(())
    }

    fn parked_by_token(&mut self, tenant: &TenantId, token: &str) -> Outcome<Vec<Parked>> {
        let rows = self.tables.parked.values().filter(|row| row.token == token && row.parked.receipt.tenant == *tenant);
        Ok(rows.map(|row| row.parked.clone()).collect())
    }

    fn parked_by_id(&mut self, tenant: &TenantId, provider: &str, provider_id: &str) -> Outcome<Vec<Parked>> {
        let rows = self.tables.parked.values().filter(|row| {
            let kept = &row.parked.receipt;
            kept.tenant == *tenant && kept.provider == provider && kept.provider_id.as_deref() == Some(provider_id)
        });
        Ok(rows.map(|row| row.parked.clone()).collect())
    }

    fn unpark(&mut self, id: i64) -> Outcome<()> {
        self.tables.parked.remove(&id);
        Ok(())
    }

    fn incoming(&mut self, id: MessageId) -> Outcome<Option<Arc<Incoming>>> {
        Ok(self.tables.incoming_ids.get(&id).and_then(|seq| self.tables.incoming.get(seq)).cloned())
    }

    fn insert_incoming(&mut self, seq: i64, incoming: &Incoming) -> Outcome<()> {
        match self.tables.incoming_ids.insert(incoming.id, seq) {
            Some(_) => Err(twice("incoming messages")),
            None => {
                self.tables.incoming.insert(seq, Arc::new(incoming.clone()));
                Ok(())
            }
        }
    }

    fn last_incoming(&mut self, tenant: &TenantId, channel: Channel, address: &str) -> Outcome<Option<Timestamp>> {
        let of_address =
            self.tables.incoming.values().filter(|incoming| {
                incoming.tenant == *tenant && incoming.channel == channel && incoming.sender == address
            });
        Ok(of_address.map(|incoming| incoming.time).max())
    }
}
