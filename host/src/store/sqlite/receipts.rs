//! What providers report: late, repeated, batched and out of order, and by way of what is stored always the same in the end.

use rusqlite::{Row, params};

use super::{
    attempts, customers,
    error::Outcome,
    messages::{self, Held},
    rows,
    tx::Tx,
};
use crate::{
    clock::Timestamp,
    domain::{
        customer::{Consent, ConsentScope},
        message::{Attempt, AttemptFailure, NewMessage, Next, Remember},
        status::AttemptState,
    },
    ids::{MessageId, TenantId},
    store::{Receipt, Recorded, handover::Change},
};

pub(super) fn record_receipts(tx: &mut Tx<'_>, receipts: &[Receipt], now: Timestamp) -> Outcome<Vec<Recorded>> {
    receipts.iter().map(|receipt| record(tx, receipt, now)).collect()
}

fn record(tx: &mut Tx<'_>, receipt: &Receipt, now: Timestamp) -> Outcome<Recorded> {
    let Some((message, no)) = attempt_of(tx, receipt)? else {
        park(tx, receipt, now)?;
        return Ok(Recorded::Parked);
    };
    let Some(before) = tx.held_message(&receipt.tenant, message)? else {
        park(tx, receipt, now)?;
        return Ok(Recorded::Parked);
    };
    let mut after = (*before).clone();
    if !apply(tx, &mut after, no, receipt, now)? {
        return Ok(Recorded::Repeated);
    }
    take_parked(tx, &mut after, no)?;
    let record =
        if after.record == before.record { after.record } else { messages::save(tx, &before, after, receipt.time)? };
    if tx.watched() {
        let change = Change::Receipt { message: Box::new(record), receipt: Box::new(receipt.clone()) };
        tx.pending.changes.push(change);
    }
    Ok(Recorded::New)
}

fn attempt_of(tx: &mut Tx<'_>, receipt: &Receipt) -> Outcome<Option<(MessageId, u32)>> {
    if let Some(token) = receipt.token {
        let held = tx.held_message(&receipt.tenant, token.message)?;
        if held.is_some_and(|held| held.record.attempts.iter().any(|attempt| attempt.no == token.attempt)) {
            return Ok(Some((token.message, token.attempt)));
        }
    }
    match &receipt.provider_id {
        Some(id) => attempts::by_provider_id(tx, &receipt.tenant, &receipt.provider, id),
        None => Ok(None),
    }
}

/// Writes the receipt down and moves the attempt forward. `false` where it had been heard before.
fn apply(tx: &mut Tx<'_>, held: &mut Held, no: u32, receipt: &Receipt, now: Timestamp) -> Outcome<bool> {
    let seq = held.record.seq;
    let last = held.record.attempts.last().map(|attempt| attempt.no);
    let Some(attempt) = held.record.attempts.iter_mut().find(|attempt| attempt.no == no) else { return Ok(false) };
    if !write(tx, seq, no, receipt, now)? {
        return Ok(false);
    }
    let before = attempt.state;
    attempt.state = before.after(receipt.state);
    // Nothing is added to what was erased: a provider's id may hold the number.
    if attempt.provider_id.is_none() && !attempt.address.is_empty() {
        attempt.provider_id.clone_from(&receipt.provider_id);
    }
    if receipt.state == AttemptState::Failed {
        attempt.failure = first_failure(tx, seq, no)?.or(attempt.failure.take());
    }
    if before < AttemptState::Failed && attempt.state == AttemptState::Failed && last == Some(no) {
        held.record.next = Next::Now;
    }
    if let Some(failure) = &receipt.failure {
        let attempt = attempt.clone();
        remember(tx, &held.record.message, &attempt, failure, now)?;
    }
    Ok(true)
}

fn write(tx: &Tx<'_>, message: i64, no: u32, receipt: &Receipt, now: Timestamp) -> Outcome<bool> {
    // A repeat that knows the price, where the first did not, adds to the story.
    let sql = "INSERT INTO receipts (message, attempt, state, code, time, received, failure, pricing) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (message, attempt, state, code) DO UPDATE \
               SET pricing = excluded.pricing WHERE pricing IS NULL AND excluded.pricing IS NOT NULL";
    let written = tx.run(
        sql,
        params![
            message,
            no,
            receipt.state.as_str(),
            code_of(receipt),
            receipt.time.0,
            now.0,
            rows::to_json(receipt.failure.as_ref())?,
            rows::to_json(receipt.pricing.as_ref())?,
        ],
    )?;
    Ok(written > 0)
}

fn code_of(receipt: &Receipt) -> &str {
    let failure = receipt.failure.as_ref();
    failure.map_or("", |failure| failure.provider_code.as_deref().unwrap_or(&failure.code))
}

/// Of several failures the one that happened first, whichever was heard first.
fn first_failure(tx: &Tx<'_>, message: i64, no: u32) -> Outcome<Option<AttemptFailure>> {
    let sql = "SELECT failure FROM receipts WHERE message = ?1 AND attempt = ?2 AND state = 'failed' AND failure IS NOT NULL \
               ORDER BY time, code LIMIT 1";
    tx.one(sql, params![message, no], |row| rows::json(row, 0))
}

/// Keeps a report about nothing that is known yet, and of those kept too long the oldest no more.
fn park(tx: &Tx<'_>, receipt: &Receipt, now: Timestamp) -> Outcome<()> {
    let sql = "INSERT INTO parked_receipts (tenant, provider, token, provider_id, state, code, time, received, failure, pricing) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) \
               ON CONFLICT (provider, provider_id, token, tenant, state, code) DO NOTHING";
    let parked = tx.run(
        sql,
        params![
            receipt.tenant.as_str(),
            receipt.provider,
            receipt.token.map(|token| token.to_string()).unwrap_or_default(),
            receipt.provider_id.as_deref().unwrap_or_default(),
            receipt.state.as_str(),
            code_of(receipt),
            receipt.time.0,
            now.0,
            rows::to_json(receipt.failure.as_ref())?,
            rows::to_json(receipt.pricing.as_ref())?,
        ],
    )?;
    if parked > 0 {
        let max = i64::from(tx.shared.settings.parked_receipts_max);
        let oldest = tx.conn.last_insert_rowid() - max;
        let dropped = tx.run("DELETE FROM parked_receipts WHERE id <= ?1", [oldest])?;
        if dropped > 0 {
            tracing::warn!(dropped, max, "receipts about unknown attempts were dropped to make room for newer ones");
        }
    }
    Ok(())
}

/// Applies what was heard of an attempt before it was known by its provider's id.
pub(super) fn take_parked(tx: &mut Tx<'_>, held: &mut Held, no: u32) -> Outcome<()> {
    let Some(attempt) = held.record.attempts.iter().find(|attempt| attempt.no == no) else { return Ok(()) };
    let tenant = held.record.message.tenant.clone();
    let token = crate::ids::AttemptToken { message: held.record.message.id, attempt: no };
    let columns = "id, provider, provider_id, state, time, received, failure, pricing";
    let by_token = format!("SELECT {columns} FROM parked_receipts WHERE token <> '' AND token = ?1 AND tenant = ?2");
    let mut found = tx.all(&by_token, params![token.to_string(), tenant.as_str()], |row| parked(row, &tenant))?;
    if let Some(provider_id) = &attempt.provider_id {
        let by_id =
            format!("SELECT {columns} FROM parked_receipts WHERE provider = ?1 AND provider_id = ?2 AND tenant = ?3");
        let more =
            tx.all(&by_id, params![attempt.provider, provider_id, tenant.as_str()], |row| parked(row, &tenant))?;
        found.extend(more);
    }
    found.sort_by_key(|parked| parked.id);
    found.dedup_by_key(|parked| parked.id);
    for parked in found {
        tx.run("DELETE FROM parked_receipts WHERE id = ?1", [parked.id])?;
        apply(tx, held, no, &parked.receipt, parked.received)?;
    }
    Ok(())
}

struct Parked {
    id: i64,
    received: Timestamp,
    receipt: Receipt,
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

/// What a failure teaches about the recipient, in the same transaction as the failure.
pub(super) fn remember(
    tx: &mut Tx<'_>,
    message: &NewMessage,
    attempt: &Attempt,
    failure: &AttemptFailure,
    now: Timestamp,
) -> Outcome<()> {
    if attempt.address.is_empty() {
        // The customer was erased meanwhile.
        return Ok(());
    }
    let scopes: &[ConsentScope] = match failure.remember {
        Remember::Nothing | Remember::AccountBroken => return Ok(()),
        Remember::AddressUnusable => {
            let until = now.plus(tx.shared.settings.address_unusable());
            return customers::note_address(tx, &message.tenant, attempt.channel, &attempt.address, Some(until));
        }
        Remember::MarketingStopped => &[ConsentScope::Marketing],
        Remember::Stopped => &ConsentScope::ALL,
    };
    let owner = customers::owner(tx, &message.tenant, attempt.channel, &attempt.address)?;
    let customer = owner.or_else(|| message.to.customer().cloned());
    for scope in scopes {
        let code = failure.provider_code.as_deref().unwrap_or(&failure.code);
        let consent = Consent {
            channel: attempt.channel,
            scope: *scope,
            granted: false,
            source: format!("provider error {code}"),
            at: now,
        };
        match &customer {
            Some(customer) => customers::record_consent(tx, &message.tenant, customer, &consent)?,
            None => customers::suppress(tx, &message.tenant, &attempt.address, &consent)?,
        }
    }
    Ok(())
}
