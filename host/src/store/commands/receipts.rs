//! What providers report: late, repeated, batched and out of order, and by way of what is stored always the same in the end.

use super::{Held, Outcome, Tx, customers, each, messages, source::receipt_code};
use crate::{
    clock::Timestamp,
    domain::{
        customer::{Consent, ConsentScope},
        message::{Attempt, AttemptFailure, NewMessage, Next, Remember},
        status::AttemptState,
    },
    ids::{AttemptToken, MessageId},
    store::{Receipt, Recorded, handover::Change},
};

pub(in crate::store) fn record_receipts(
    tx: &mut Tx<'_>,
    receipts: &[Receipt],
    now: Timestamp,
) -> Outcome<Vec<Recorded>> {
    each(receipts, |receipt| record(tx, receipt, now))
}

fn record(tx: &mut Tx<'_>, receipt: &Receipt, now: Timestamp) -> Outcome<Recorded> {
    if of_another(tx, receipt)? {
        return Ok(Recorded::Repeated);
    }
    let Some((message, no)) = attempt_of(tx, receipt)? else {
        tx.source.park(receipt_code(receipt), receipt, now)?;
        return Ok(Recorded::Parked);
    };
    let Some(before) = tx.held_message(&receipt.tenant, message)? else {
        tx.source.park(receipt_code(receipt), receipt, now)?;
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

/// Whether the receipt names an attempt that another provider was given: it is nobody's to tell of, and kept nowhere.
fn of_another(tx: &mut Tx<'_>, receipt: &Receipt) -> Outcome<bool> {
    let Some(token) = receipt.token else { return Ok(false) };
    let held = tx.held_message(&receipt.tenant, token.message)?;
    let another = |attempt: &Attempt| attempt.no == token.attempt && attempt.provider != receipt.provider;
    Ok(held.is_some_and(|held| held.record.attempts.iter().any(another)))
}

fn attempt_of(tx: &mut Tx<'_>, receipt: &Receipt) -> Outcome<Option<(MessageId, u32)>> {
    if let Some(token) = receipt.token {
        let held = tx.held_message(&receipt.tenant, token.message)?;
        // A token is no secret to whoever it was given: another provider's word does not count for this one's attempt.
        let mine = |attempt: &Attempt| attempt.no == token.attempt && attempt.provider == receipt.provider;
        if held.is_some_and(|held| held.record.attempts.iter().any(mine)) {
            return Ok(Some((token.message, token.attempt)));
        }
    }
    match &receipt.provider_id {
        Some(id) => tx.source.attempt_by_provider_id(&receipt.tenant, &receipt.provider, id),
        None => Ok(None),
    }
}

/// Writes the receipt down and moves the attempt forward. `false` where it had been heard before.
fn apply(tx: &mut Tx<'_>, held: &mut Held, no: u32, receipt: &Receipt, now: Timestamp) -> Outcome<bool> {
    let seq = held.record.seq;
    let last = held.record.attempts.last().map(|attempt| attempt.no);
    let Some(attempt) = held.record.attempts.iter_mut().find(|attempt| attempt.no == no) else { return Ok(false) };
    // What a provider says may quote the number, and nothing is added to what was erased.
    let nameless = attempt
        .address
        .is_empty()
        .then(|| Receipt { failure: receipt.failure.clone().map(without_words), ..receipt.clone() });
    let code = part_of(attempt, receipt).unwrap_or(receipt_code(receipt));
    let new = tx.source.write_receipt(seq, no, code, nameless.as_ref().unwrap_or(receipt), now)?;
    let tally = attempt.tally.clone();
    let reached = reached(tx, attempt, seq, receipt)?;
    // Of two that say the same of different times the earlier counts, whichever comes first.
    attempt.tally.hear(reached, receipt.time, receipt.pricing.as_ref());
    if !new && attempt.tally == tally {
        return Ok(false);
    }
    let free = free_entry(receipt).map(|until| (attempt.address.clone(), until));
    let before = attempt.state;
    attempt.state = before.after(reached);
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
    if let Some((address, until)) = free.filter(|(_, until)| *until > now) {
        customers::note_free_until(tx, &receipt.tenant, &address, until)?;
    }
    Ok(true)
}

/// Until when everything to the recipient is free, where the receipt says that it is for how they came.
fn free_entry(receipt: &Receipt) -> Option<Timestamp> {
    let pricing = receipt.pricing.as_ref()?;
    let free = pricing.get("type")?.as_str()? == "free_entry_point";
    free.then(|| pricing.get("expires")?.as_i64().map(Timestamp::from_seconds)).flatten()
}

/// The part that is said to have arrived, where parts are reported one by one. It is the receipt's code, so that the receipts of
/// two parts are two, and one that is repeated is one.
fn part_of<'a>(attempt: &Attempt, receipt: &'a Receipt) -> Option<&'a str> {
    let id = receipt.provider_id.as_deref().filter(|_| receipt.state == AttemptState::Delivered)?;
    (attempt.is_in_parts() && attempt.provider_ids().any(|part| part == id)).then_some(id)
}

/// How far a receipt brings its attempt. A part that arrived is not the message: that has arrived once all of them have, in
/// whatever order that is heard. One part that failed is a message that nobody can read.
fn reached(tx: &mut Tx<'_>, attempt: &Attempt, message: i64, receipt: &Receipt) -> Outcome<AttemptState> {
    if part_of(attempt, receipt).is_none() {
        return Ok(receipt.state);
    }
    let arrived = tx.source.delivered_codes(message, attempt.no)?;
    let all = attempt.provider_ids().all(|part| arrived.iter().any(|code| code == part));
    Ok(if all { AttemptState::Delivered } else { AttemptState::Sent })
}

fn without_words(failure: AttemptFailure) -> AttemptFailure {
    AttemptFailure { detail: None, ..failure }
}

/// Of several failures the one that happened first, whichever was heard first.
fn first_failure(tx: &mut Tx<'_>, message: i64, no: u32) -> Outcome<Option<AttemptFailure>> {
    let failed = tx.source.failed_receipts(message, no)?.into_iter();
    Ok(failed.min_by(|a, b| (a.time, &a.code).cmp(&(b.time, &b.code))).map(|first| first.failure))
}

/// Applies what was heard of an attempt before it was known by its provider's id.
pub(super) fn take_parked(tx: &mut Tx<'_>, held: &mut Held, no: u32) -> Outcome<()> {
    let Some(attempt) = held.record.attempts.iter().find(|attempt| attempt.no == no) else { return Ok(()) };
    let tenant = held.record.message.tenant.clone();
    let token = AttemptToken { message: held.record.message.id, attempt: no };
    let mut found = tx.source.parked_by_token(&tenant, &token.to_string())?;
    for provider_id in attempt.provider_ids() {
        found.extend(tx.source.parked_by_id(&tenant, &attempt.provider, provider_id)?);
    }
    found.sort_by_key(|parked| parked.id);
    found.dedup_by_key(|parked| parked.id);
    for parked in found {
        tx.source.unpark(parked.id)?;
        apply(tx, held, no, &parked.receipt, parked.received)?;
    }
    Ok(())
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
            let until = now.plus(tx.terms.address_unusable);
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
