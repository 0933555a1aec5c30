//! A message as it is stored: what was asked for in one row, how it stands in another, each attempt in its own.
//!
//! Whatever changes a message (the dispatcher, a receipt, a cancellation) changes it in memory and gives it to [`save`], which
//! works out what follows by the rules of `domain/`: the state, whether it is settled, who is told, who has to act next.

use std::sync::Arc;

use super::{
    Outcome, Tx, accept, quota,
    source::{Sequence, author_name},
    tx::earlier,
};
use crate::{
    clock::Timestamp,
    domain::{
        customer::Channel,
        message::{Attempt, MediaSource, MessageRecord, NewMessage, Next, SmsPolicy, is_double, state_of},
        run::{Cause, Delivery, EntityKey, NewRun},
        status::{AttemptState, MessageState},
        tally,
    },
    ids::{MessageId, RunId, TenantId},
    store::handover::Change,
};

/// A message with what its record does not show.
#[derive(Clone, Debug)]
pub(in crate::store) struct Held {
    pub(in crate::store) record: MessageRecord,
    /// How the dispatcher ended it, where it did.
    pub(in crate::store) ended: Option<MessageState>,
}

/// What it takes in memory, roughly: attachments are what may be large.
pub(in crate::store) fn bytes(held: &Held) -> usize {
    let content = &held.record.message.content;
    let attachment = content.attachment.as_ref().map_or(0, |attachment| match &attachment.source {
        MediaSource::Url(text) | MediaSource::Bytes(text) => text.len(),
    });
    let template = content.template.as_ref().map_or(0, |template| 512 + 2 * template.body.len());
    1024 + attachment + template + content.text.as_ref().map_or(0, String::len) + held.record.attempts.len() * 1024
}

/// `false` where the message is there already.
pub(in crate::store) fn insert(tx: &mut Tx<'_>, message: &NewMessage, now: Timestamp) -> Outcome<bool> {
    if tx.source.message_exists(message.id)? {
        return Ok(false);
    }
    insert_new(tx, message, now)?;
    Ok(true)
}

/// A message whose id cannot be there yet: it follows from a run that has not committed. One whose dedup key is taken is written
/// down as cancelled, and one for which its plugin has no place left as failed, so that whoever asked for it finds out why
/// nothing was sent.
pub(super) fn insert_new(tx: &mut Tx<'_>, message: &NewMessage, now: Timestamp) -> Outcome<()> {
    let tenant = &message.tenant;
    let duplicate = match &message.dedup_key {
        Some(key) => !tx.source.take_dedup_key(message, author_name(message), key)?,
        None => false,
    };
    let over_quota = if duplicate { None } else { quota::take_place(tx, message, now)? };
    let seq = tx.source.next(Sequence::Messages)?;
    tx.source.insert_message(seq, message)?;
    let (state, code) = match (duplicate, &over_quota) {
        (true, _) => (MessageState::Cancelled, Some("duplicate")),
        (false, Some(_)) => (MessageState::Failed, Some("over-quota")),
        (false, None) => (MessageState::Pending, None),
    };
    let ended = code.is_some();
    let record = MessageRecord {
        message: message.clone(),
        seq,
        revision: 1,
        state,
        settled: ended,
        code: code.map(str::to_owned),
        decision: over_quota.map(|why| serde_json::json!({ "why": why })),
        next: if ended { Next::Nothing } else { Next::Now },
        cancel: false,
        attempts: Vec::new(),
    };
    let held = Held { record, ended: ended.then_some(state) };
    tx.source.write_message_state(&held)?;
    tx.count(tenant, state_counter(state), 1);
    tx.count(tenant, "open-messages", i64::from(!ended));
    tx.count_lines(tenant, tally::lines(&held.record));
    if ended {
        tell_author(tx, &held.record, now)?;
    }
    hand_over(tx, held);
    Ok(())
}

/// Asks the dispatcher to end it. `false` where there is nothing to ask for.
pub(in crate::store) fn cancel(tx: &mut Tx<'_>, tenant: &TenantId, id: MessageId, now: Timestamp) -> Outcome<bool> {
    let Some(before) = tx.held_message(tenant, id)? else { return Ok(false) };
    if before.record.settled || before.record.cancel {
        return Ok(!before.record.settled);
    }
    let mut after = (*before).clone();
    after.record.cancel = true;
    after.record.next = Next::Now;
    save(tx, &before, after, now)?;
    Ok(true)
}

/// Writes what changed and does what follows from it.
pub(super) fn save(tx: &mut Tx<'_>, before: &Held, mut after: Held, at: Timestamp) -> Outcome<MessageRecord> {
    let record = &mut after.record;
    record.revision += 1;
    record.state = state_of(&record.attempts, after.ended);
    if record.attempts.iter().any(|attempt| attempt.state.arrived()) {
        record.settled = true;
        // What it failed or waited for before is no longer so.
        if !before.record.attempts.iter().any(|attempt| attempt.state.arrived()) {
            record.code = None;
        }
    }
    if record.settled {
        record.next = Next::Nothing;
    }
    let seq = record.seq;
    for attempt in &record.attempts {
        match before.record.attempts.iter().find(|old| old.no == attempt.no) {
            None => tx.source.insert_attempt(seq, attempt)?,
            Some(old) if old != attempt => tx.source.update_attempt(seq, attempt)?,
            Some(_) => {}
        }
    }
    tx.source.write_message_state(&after)?;
    count(tx, before, &after);
    if after.record.state != before.record.state {
        tell_author(tx, &after.record, at)?;
    }
    let record = after.record.clone();
    hand_over(tx, after);
    Ok(record)
}

fn count(tx: &mut Tx<'_>, before: &Held, after: &Held) {
    let tenant = &after.record.message.tenant;
    if before.record.state != after.record.state {
        tx.count(tenant, state_counter(before.record.state), -1);
        tx.count(tenant, state_counter(after.record.state), 1);
    }
    let open = |held: &Held| i64::from(!held.record.settled);
    let double = |held: &Held| i64::from(is_double(&held.record.attempts));
    tx.count(tenant, "open-messages", open(after) - open(before));
    tx.count(tenant, "double-deliveries", double(after) - double(before));
    tx.count(tenant, "uncertain-attempts", uncertain(&after.record.attempts) - uncertain(&before.record.attempts));
    tx.count_lines(tenant, tally::difference(tally::lines(&before.record), tally::lines(&after.record)));
}

fn uncertain(attempts: &[Attempt]) -> i64 {
    let count = attempts.iter().filter(|attempt| attempt.state == AttemptState::Uncertain).count();
    i64::try_from(count).unwrap_or(i64::MAX)
}

pub(in crate::store) const STATE_COUNTER: &str = "messages/";

fn state_counter(state: MessageState) -> &'static str {
    match state {
        MessageState::Pending => "messages/pending",
        MessageState::Sent => "messages/sent",
        MessageState::Delivered => "messages/delivered",
        MessageState::Read => "messages/read",
        MessageState::FallingBack => "messages/falling-back",
        MessageState::Failed => "messages/failed",
        MessageState::Expired => "messages/expired",
        MessageState::Cancelled => "messages/cancelled",
    }
}

/// Makes the run of the plugin that sent it, where its manifest asks to be told of this state.
fn tell_author(tx: &mut Tx<'_>, record: &MessageRecord, at: Timestamp) -> Outcome<()> {
    let message = &record.message;
    let Some(author) = message.author.as_ref().filter(|author| author.notify.contains(&record.state)) else {
        return Ok(());
    };
    let last = record.attempts.last();
    // Of an attempt that arrived it is that one which is told of, not a later one that failed.
    let attempt = record.attempts.iter().rev().find(|attempt| attempt.state.arrived()).or(last);
    let channel = attempt.map_or_else(|| first_channel(message), |attempt| attempt.channel);
    let failure = attempt.and_then(|attempt| attempt.failure.as_ref()).filter(|_| !is_arrival(record.state));
    let run = NewRun {
        id: RunId::of_delivery(message.id, attempt.map_or(0, |attempt| attempt.no), record.state.as_str()),
        key: EntityKey { tenant: message.tenant.clone(), plugin: author.plugin.clone(), entity: author.entity.clone() },
        customer: message.to.customer().cloned(),
        cause: Cause::Delivery(Delivery {
            message: message.id,
            tag: message.tag.clone(),
            customer: message.to.customer().cloned(),
            state: record.state,
            settled: record.settled,
            channel,
            time: at,
            code: record.code.clone().or_else(|| failure.map(|failure| failure.code.clone())),
            detail: failure.and_then(|failure| failure.detail.clone()),
        }),
        // What became of a message is part of its entity's order.
        hold_up: true,
    };
    if let Some(queued) = accept::insert_run(tx, &run, at)? {
        tx.pending.runs.push(queued);
    }
    Ok(())
}

fn is_arrival(state: MessageState) -> bool {
    matches!(state, MessageState::Delivered | MessageState::Read)
}

/// Where it would have gone first, for a message that ended before any attempt.
fn first_channel(message: &NewMessage) -> Channel {
    if message.sms == SmsPolicy::Only { Channel::Sms } else { Channel::Whatsapp }
}

fn hand_over(tx: &mut Tx<'_>, held: Held) {
    match held.record.next {
        Next::Now => tx.pending.plans.push(held.record.clone()),
        Next::At(due) => tx.pending.message_due = earlier(tx.pending.message_due, due),
        Next::Nothing => {}
    }
    if tx.watched() {
        tx.pending.changes.push(Change::Message(Box::new(held.record.clone())));
    }
    tx.pending.messages.insert(held.record.message.id, Some(Arc::new(held)));
}
