//! What customers write: once each, given to the plugin whose message it answers, or to those that ask for the rest.

use std::sync::Arc;

use super::{Outcome, Tx, accept, customers, each, source::Sequence};
use crate::{
    clock::Timestamp,
    domain::{
        customer::{Channel, WINDOW},
        message::MessageRecord,
        run::{Cause, EntityKey, Incoming, NewRun},
        status::AttemptState,
    },
    ids::{CustomerId, Entity, PluginName, RunId},
    store::{NewIncoming, handover::Change},
};

/// How many of the latest messages to a sender are looked at: more than anybody remembers to answer.
const LATEST: u32 = 20;

pub(in crate::store) fn record_incoming(
    tx: &mut Tx<'_>,
    incoming: &[NewIncoming],
    now: Timestamp,
) -> Outcome<Vec<bool>> {
    each(incoming, |new| record(tx, new, now))
}

fn record(tx: &mut Tx<'_>, new: &NewIncoming, now: Timestamp) -> Outcome<bool> {
    if tx.source.incoming_exists(new.incoming.id)? {
        return Ok(false);
    }
    let mut incoming = new.incoming.clone();
    let tenant = incoming.tenant.clone();
    if incoming.customer.is_none() {
        incoming.customer = customers::owner(tx, &tenant, incoming.channel, &incoming.sender)?;
    }
    let answered = find_answered(tx, &mut incoming, now)?;
    if let Some(answered) = &answered {
        incoming.in_reply_to = Some(answered.message.id);
        incoming.tag.clone_from(&answered.message.tag);
    }
    incoming.opening = !exchanged_lately(tx, &incoming, now)?;
    // A provider's clock that runs ahead must not hold the window open for longer.
    let heard = incoming.time.min(now);
    if incoming.channel == Channel::Whatsapp {
        incoming.window_ends = Some(heard.plus(WINDOW)).filter(|ends| *ends > now);
    }
    let seq = tx.source.next(Sequence::Incoming)?;
    tx.source.insert_incoming(seq, &incoming)?;
    if let Some(customer) = &incoming.customer {
        customers::heard_from(tx, &tenant, customer, incoming.channel, &incoming.sender, heard)?;
    }
    if let Some(consent) = &new.consent {
        match &incoming.customer {
            Some(customer) => customers::record_consent(tx, &tenant, customer, consent)?,
            None => customers::suppress(tx, &tenant, &incoming.sender, consent)?,
        }
    }
    make_runs(tx, Arc::new(incoming), answered.as_ref(), &new.others, now)?;
    Ok(true)
}

/// The message of ours that it answers: the one that it quotes, else the one whose numbered choices it picks from.
fn find_answered(tx: &mut Tx<'_>, incoming: &mut Incoming, now: Timestamp) -> Outcome<Option<MessageRecord>> {
    let tenant = incoming.tenant.clone();
    if let Some(quoted) = &incoming.quoted
        && let Some((message, _)) = tx.source.attempt_by_provider_id(&tenant, &incoming.provider, quoted)?
    {
        return Ok(tx.held_message(&tenant, message)?.map(|held| held.record.clone()));
    }
    let Some(number) = bare_number(&incoming.text).filter(|_| incoming.kind == "text") else { return Ok(None) };
    let Some(asked) = last_question(tx, incoming, now)? else { return Ok(None) };
    // A number that was not offered is a text like any other.
    let Some(choice) = asked.message.content.choices.get(number - 1) else { return Ok(None) };
    incoming.kind = "choice".into();
    incoming.choice = Some(choice.id.clone());
    incoming.text = choice.label.clone();
    Ok(Some(asked))
}

/// `1`, ` 2. `, `3)`: what is answered to numbered choices.
fn bare_number(text: &str) -> Option<usize> {
    let digits = text.trim().trim_end_matches(['.', ')']);
    // There are never more than two digits' worth of choices.
    let plain = matches!(digits.len(), 1 | 2) && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|number| plain && *number > 0)
}

/// The latest message with choices that went to this sender on this channel, while it may still be answered.
fn last_question(tx: &mut Tx<'_>, incoming: &Incoming, now: Timestamp) -> Outcome<Option<MessageRecord>> {
    let earliest = now.minus(tx.terms.answer_within);
    let sent = sent_since(tx, incoming, earliest)?;
    Ok(sent.into_iter().find(|record| {
        !record.message.content.choices.is_empty() && record.attempts.iter().any(|a| a.channel == incoming.channel)
    }))
}

/// The latest messages to a sender, newest first.
fn sent_since(tx: &mut Tx<'_>, incoming: &Incoming, earliest: Timestamp) -> Outcome<Vec<MessageRecord>> {
    let lane = incoming.customer.as_ref().map_or(incoming.sender.as_str(), |customer| customer.as_str());
    let tenant = &incoming.tenant;
    let ids = tx.source.sent_to(tenant, [lane, &incoming.sender], earliest, LATEST)?;
    let mut sent = Vec::with_capacity(ids.len());
    for id in ids {
        sent.extend(tx.held_message(tenant, id)?.map(|held| held.record.clone()));
    }
    sent.retain(|record| record.attempts.iter().any(|attempt| attempt.state != AttemptState::Planned));
    Ok(sent)
}

fn exchanged_lately(tx: &mut Tx<'_>, incoming: &Incoming, now: Timestamp) -> Outcome<bool> {
    let since = now.minus(WINDOW);
    let last = tx.source.last_incoming(&incoming.tenant, incoming.channel, &incoming.sender)?;
    if last.is_some_and(|at| at > since) {
        return Ok(true);
    }
    let sent = sent_since(tx, incoming, since)?;
    Ok(sent.iter().any(|record| record.attempts.iter().any(|attempt| attempt.channel == incoming.channel)))
}

fn make_runs(
    tx: &mut Tx<'_>,
    incoming: Arc<Incoming>,
    answered: Option<&MessageRecord>,
    others: &[PluginName],
    now: Timestamp,
) -> Outcome<()> {
    let author = answered.and_then(|record| record.message.author.as_ref()).filter(|author| author.answers);
    let readers: Vec<(PluginName, Entity)> = match author {
        Some(author) => vec![(author.plugin.clone(), author.entity.clone())],
        None => others.iter().map(|plugin| (plugin.clone(), entity_of(&incoming))).collect(),
    };
    for (plugin, entity) in readers {
        let run = NewRun {
            id: RunId::of_incoming(incoming.id, &plugin),
            key: EntityKey { tenant: incoming.tenant.clone(), plugin, entity },
            customer: incoming.customer.clone(),
            cause: Cause::Message(incoming.clone()),
            // What a customer wrote is part of its entity's order.
            hold_up: true,
        };
        if let Some(queued) = accept::insert_run(tx, &run, now)? {
            tx.pending.runs.push(queued);
        }
    }
    if tx.watched() {
        tx.pending.changes.push(Change::Incoming(incoming));
    }
    Ok(())
}

fn entity_of(incoming: &Incoming) -> Entity {
    let entity = match &incoming.customer {
        Some(customer) => customer_entity(customer),
        None => format!("sender/{}", incoming.sender),
    };
    Entity::new(entity)
}

/// The entity of what concerns a customer as such.
pub(in crate::store) fn customer_entity(customer: &CustomerId) -> String {
    format!("customer/{customer}")
}

#[cfg(test)]
mod tests {
    use super::bare_number;

    #[test]
    fn only_a_bare_number_is_an_answer_to_numbered_choices() {
        assert_eq!([" 1 ", "2.", "3)", "12"].map(bare_number), [Some(1), Some(2), Some(3), Some(12)]);
        assert_eq!(["0", "", "+1", "1 please", "123", "one"].map(bare_number), [None; 6]);
    }
}
