//! What the dispatcher decides about a message, on the revision that it has seen.

use super::{Held, Outcome, Tx, messages, quota, receipts};
use crate::{
    domain::{
        message::{Answer, Next},
        status::{AttemptState, MessageState},
    },
    store::{Changed, MessageChange, MessageChangeKind},
};

pub(in crate::store) fn change_message(tx: &mut Tx<'_>, change: &MessageChange) -> Outcome<Changed> {
    let Some(before) = tx.held_message(&change.tenant, change.message)? else { return Ok(Changed::Gone) };
    let stale = || Ok(Changed::Stale(Box::new(before.record.clone())));
    if before.record.revision != change.revision {
        return stale();
    }
    let mut after = (*before).clone();
    let record = &mut after.record;
    match &change.kind {
        MessageChangeKind::Begin { attempt, look_again } => {
            if record.settled || record.attempts.iter().any(|known| known.no == attempt.no) {
                return stale();
            }
            if let Some(why) = quota::spend(tx, &record.message, attempt, change.now)? {
                record.code = Some("over-spend".to_owned());
                record.decision = Some(serde_json::json!({ "why": why, "planned": attempt.decision }));
                record.settled = true;
                after.ended = Some(MessageState::Failed);
                return messages::save(tx, &before, after, change.now).map(|record| Changed::Done(Box::new(record)));
            }
            // Why it falls back stays to be read; why it waited does not.
            let failed = record.attempts.last().and_then(|last| last.failure.as_ref());
            record.code = failed.map(|failure| failure.code.clone());
            record.decision = None;
            record.attempts.push(attempt.clone());
            record.next = Next::At(*look_again);
        }
        MessageChangeKind::Answer { no, answer, next, waits } => {
            if !record.attempts.iter().any(|attempt| attempt.no == *no) {
                return stale();
            }
            record.next = *next;
            if let Some(waits) = waits {
                record.code = Some(waits.code.clone());
                record.decision = Some(waits.decision.clone());
            }
            answered(tx, &mut after, *no, answer, change)?;
        }
        MessageChangeKind::Hold { code, decision, until } => {
            record.code = Some(code.clone());
            record.decision = Some(decision.clone());
            record.next = Next::At(*until);
        }
        MessageChangeKind::Settle { state, code, decision } => {
            record.code.clone_from(code);
            record.decision = Some(decision.clone());
            record.settled = true;
            after.ended = Some(*state);
        }
        MessageChangeKind::Close { code } => {
            record.code.clone_from(code);
            record.settled = true;
        }
    }
    messages::save(tx, &before, after, change.now).map(|record| Changed::Done(Box::new(record)))
}

fn answered(tx: &mut Tx<'_>, held: &mut Held, no: u32, answer: &Answer, change: &MessageChange) -> Outcome<()> {
    let now = change.now;
    let Some(attempt) = held.record.attempts.iter_mut().find(|attempt| attempt.no == no) else { return Ok(()) };
    attempt.answered = Some(now);
    match answer {
        Answer::Accepted { provider_id } => {
            attempt.state = attempt.state.after(AttemptState::Accepted);
            attempt.provider_id = Some(provider_id.clone());
            attempt.tally.taken = true;
            receipts::take_parked(tx, held, no)?;
        }
        Answer::Failed(failure) => {
            attempt.state = attempt.state.after(AttemptState::Failed);
            attempt.failure.get_or_insert_with(|| failure.clone());
            let attempt = attempt.clone();
            receipts::remember(tx, &held.record.message, &attempt, failure, now)?;
        }
        Answer::Unknown { detail } => {
            attempt.state = attempt.state.after(AttemptState::Uncertain);
            // What was seen of the answer is part of how this attempt came about.
            if let Some(decision) = attempt.decision.as_object_mut() {
                decision.insert("answer-lost".into(), detail.clone().into());
            }
        }
    }
    let failed = held.record.attempts.last().is_some_and(|last| last.no == no && last.state == AttemptState::Failed);
    if failed && !matches!(answer, Answer::Failed(_)) {
        // A receipt was faster than the answer: what follows is decided by what it says.
        held.record.next = Next::Now;
    }
    Ok(())
}
