//! What customers write: once each, given to the plugin whose message it answers, or to those that ask for the rest.

use std::{sync::Arc, time::Duration};

use super::{Outcome, Tx, accept, customers, each, files, notices, source::Sequence};
use crate::{
    clock::Timestamp,
    domain::{
        customer::{Channel, Consent, WINDOW},
        message::{Because, Choice, MessageRecord},
        run::{Cause, EntityKey, Incoming, NewRun},
        status::AttemptState,
    },
    ids::{CustomerId, Entity, MessageId, PluginName, RunId, TenantId},
    store::{Moved, NewIncoming, RoutedEvent, handover::Change},
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
    if tx.source.incoming(new.incoming.id)?.is_some() {
        return Ok(false);
    }
    let mut incoming = new.incoming.clone();
    let tenant = incoming.tenant.clone();
    if incoming.customer.is_none() {
        incoming.customer = whose(tx, &incoming)?;
    }
    let answered = if incoming.is_new() {
        find_answered(tx, &mut incoming, new.consent.is_some(), now)?
    } else {
        answered_before(tx, &mut incoming)?
    };
    if let Some(answered) = &answered {
        incoming.in_reply_to = Some(answered.message.id);
        incoming.tag.clone_from(&answered.message.tag);
    }
    incoming.opening = !exchanged_lately(tx, &incoming, now)?;
    // A provider's clock that runs ahead must not hold the window open for longer.
    let heard = Some(incoming.time.min(now)).filter(|_| incoming.is_new());
    if incoming.channel == Channel::Whatsapp {
        incoming.window_ends = heard.map(|at| at.plus(WINDOW)).filter(|ends| *ends > now);
    }
    let seq = tx.source.next(Sequence::Incoming)?;
    tx.source.insert_incoming(seq, &incoming)?;
    let free_until = new.free_until.filter(|until| *until > now);
    tx.source.put_conversation(&tenant, &incoming.sender, seq, free_until)?;
    notices::about_incoming(tx, &incoming)?;
    files::want(tx, &incoming)?;
    if let Some(customer) = &incoming.customer {
        customers::heard_from(tx, &tenant, customer, (incoming.channel, &incoming.sender), heard, free_until)?;
    }
    if let Some(consent) = &new.consent {
        take_consent(tx, &incoming, consent)?;
    }
    make_runs(tx, Arc::new(incoming), answered.as_ref(), &new.others, now)?;
    Ok(true)
}

/// Whose address it came from. Who wrote with both a number and an id of WhatsApp's is one person.
fn whose(tx: &mut Tx<'_>, incoming: &Incoming) -> Outcome<Option<CustomerId>> {
    let (tenant, sender) = (&incoming.tenant, &incoming.sender);
    match incoming.sender_id.as_ref().filter(|id| *id != sender && incoming.channel == Channel::Whatsapp) {
        Some(id) => customers::same_person(tx, tenant, sender, id),
        None => customers::owner(tx, tenant, incoming.channel, sender),
    }
}

fn take_consent(tx: &mut Tx<'_>, incoming: &Incoming, consent: &Consent) -> Outcome<()> {
    let tenant = &incoming.tenant;
    match &incoming.customer {
        Some(customer) => customers::record_consent(tx, tenant, customer, consent),
        // Under both, because it is not known under which of them the stranger becomes a customer.
        None => {
            let names = std::iter::once(&incoming.sender).chain(incoming.sender_id.as_ref());
            each(names, |name| customers::suppress(tx, tenant, name, consent)).map(|_| ())
        }
    }
}

/// A person has read what came from these addresses, of each up to the message with this number.
pub(in crate::store) fn read(tx: &mut Tx<'_>, tenant: &TenantId, read: &[(String, i64)]) -> Outcome<()> {
    each(read, |(sender, through)| tx.source.read_conversation(tenant, sender, *through)).map(|_| ())
}

/// A customer is reached at another address. The event that tells of it is committed where it was done for the customer it names.
pub(in crate::store) fn moved(
    tx: &mut Tx<'_>,
    tenant: &TenantId,
    channel: Channel,
    (from, to): (&str, &str),
    told: &RoutedEvent,
) -> Outcome<Moved> {
    let moved = customers::move_address(tx, tenant, channel, from, to)?;
    if let Moved::Done { customer } = &moved {
        notices::about_address(tx, tenant, customer, channel, (from, to), told.event.time)?;
    }
    if let Moved::Done { customer } = &moved
        && told.event.customer.as_ref() == Some(customer)
    {
        accept::accept_event(tx, told)?;
    }
    Ok(moved)
}

/// The message of ours that it answers: the one that it quotes or whose button was tapped, else the one whose choices it picks
/// from, else the last question, where nothing was written since it was asked. A STOP answers nothing.
fn find_answered(
    tx: &mut Tx<'_>,
    incoming: &mut Incoming,
    is_keyword: bool,
    now: Timestamp,
) -> Outcome<Option<MessageRecord>> {
    let tenant = incoming.tenant.clone();
    if let Some(quoted) = &incoming.quoted
        && let Some((message, _)) = tx.source.attempt_by_provider_id(&tenant, &incoming.provider, quoted)?
    {
        return Ok(tx.held_message(&tenant, message)?.map(|held| held.record.clone()));
    }
    if is_keyword || incoming.kind == "reaction" {
        return Ok(None);
    }
    let asked = questions(tx, incoming, now)?;
    if let Some(id) = &incoming.choice {
        // A tap that does not say on what: the latest that offers it.
        return Ok(asked.into_iter().find(|record| offers(record).any(|choice| choice.id == *id)));
    }
    let Some(last) = asked.into_iter().next() else { return Ok(None) };
    if let Some(choice) = picked(incoming, &last) {
        incoming.kind = "choice".into();
        incoming.choice = Some(choice.id);
        incoming.text = choice.label;
        return Ok(Some(last));
    }
    let waits = last.message.author.as_ref().is_some_and(|author| author.answers) && unanswered(tx, incoming, &last)?;
    Ok(waits.then_some(last))
}

/// What is changed or withdrawn goes to whom it went when it was written.
fn answered_before(tx: &mut Tx<'_>, incoming: &mut Incoming) -> Outcome<Option<MessageRecord>> {
    let Some(changed) = &incoming.quoted else { return Ok(None) };
    let original = MessageId::of_incoming(&incoming.tenant, &incoming.provider, changed);
    let Some(original) = tx.source.incoming(original)?.filter(|original| original.tenant == incoming.tenant) else {
        return Ok(None);
    };
    incoming.attributes.push(("changes".to_owned(), original.id.to_string()));
    match original.in_reply_to {
        Some(message) => Ok(tx.held_message(&incoming.tenant, message)?.map(|held| held.record.clone())),
        None => Ok(None),
    }
}

fn offers(record: &MessageRecord) -> impl Iterator<Item = &Choice> {
    record.message.content.choices.iter()
}

/// The choice that a text names: by its number, which is how SMS offers it, or by its label.
fn picked(incoming: &Incoming, asked: &MessageRecord) -> Option<Choice> {
    if incoming.kind != "text" {
        return None;
    }
    let text = incoming.text.trim();
    let by_number = bare_number(text).and_then(|number| offers(asked).nth(number - 1));
    let same = |label: &str| label.trim().to_lowercase() == text.to_lowercase();
    by_number.or_else(|| offers(asked).find(|choice| same(&choice.label))).cloned()
}

/// Whether nothing came from this sender between the question and this: the first message after it is the answer, and what comes
/// later is about anything.
fn unanswered(tx: &mut Tx<'_>, incoming: &Incoming, asked: &MessageRecord) -> Outcome<bool> {
    let at = asked.attempts.iter().filter(|attempt| attempt.channel == incoming.channel).map(|attempt| attempt.planned);
    let Some(at) = at.min() else { return Ok(false) };
    // Providers say whole seconds, so what was written in the second of the question may bear an earlier time.
    if incoming.time.plus(Duration::from_secs(1)) <= at {
        return Ok(false);
    }
    let Some(last) = tx.source.last_incoming(&incoming.tenant, incoming.channel, &incoming.sender)? else {
        return Ok(true);
    };
    // In the second of the question it was written before it only where the question answers it.
    let before = match asked.message.because {
        Because::Incoming(id) => tx.source.incoming(id)?.is_some_and(|cause| last <= cause.time),
        _ => false,
    };
    Ok(last < at && (before || last.plus(Duration::from_secs(1)) <= at))
}

/// `1`, ` 2. `, `3)`: what is answered to numbered choices.
fn bare_number(text: &str) -> Option<usize> {
    let digits = text.trim().trim_end_matches(['.', ')']);
    // There are never more than two digits' worth of choices.
    let plain = matches!(digits.len(), 1 | 2) && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|number| plain && *number > 0)
}

/// The latest messages with choices that went to this sender on this channel, while they may still be answered, newest first.
fn questions(tx: &mut Tx<'_>, incoming: &Incoming, now: Timestamp) -> Outcome<Vec<MessageRecord>> {
    let mut sent = sent_since(tx, incoming, now.minus(tx.terms.answer_within))?;
    sent.retain(|record| {
        offers(record).next().is_some() && record.attempts.iter().any(|attempt| attempt.channel == incoming.channel)
    });
    Ok(sent)
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
