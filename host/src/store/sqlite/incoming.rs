//! What customers write: once each, given to the plugin whose message it answers, or to those that ask for the rest.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, params};

use super::{
    accept, attempts, customers,
    error::Outcome,
    rows,
    tx::{Tx, next},
};
use crate::{
    clock::Timestamp,
    domain::{
        customer::{Channel, WINDOW},
        message::MessageRecord,
        run::{Cause, EntityKey, Incoming, NewRun},
        status::AttemptState,
    },
    ids::{CustomerId, Entity, MessageId, PluginName, RunId, TenantId},
    store::{NewIncoming, handover::Change},
};

pub(super) fn record_incoming(tx: &mut Tx<'_>, incoming: &[NewIncoming], now: Timestamp) -> Outcome<Vec<bool>> {
    incoming.iter().map(|new| record(tx, new, now)).collect()
}

fn record(tx: &mut Tx<'_>, new: &NewIncoming, now: Timestamp) -> Outcome<bool> {
    if tx.one("SELECT 1 FROM incoming WHERE id = ?1", [&new.incoming.id.0], |_| Ok(()))?.is_some() {
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
    insert(tx, &incoming)?;
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

fn insert(tx: &mut Tx<'_>, incoming: &Incoming) -> Outcome<()> {
    let seq = next(&mut tx.seqs.incoming);
    let sql = "INSERT INTO incoming (seq, id, tenant, customer, channel, sender, time, body) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    tx.run(
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

/// The message of ours that it answers: the one that it quotes, else the one whose numbered choices it picks from.
fn find_answered(tx: &mut Tx<'_>, incoming: &mut Incoming, now: Timestamp) -> Outcome<Option<MessageRecord>> {
    let tenant = incoming.tenant.clone();
    if let Some(quoted) = &incoming.quoted
        && let Some((message, _)) = attempts::by_provider_id(tx, &tenant, &incoming.provider, quoted)?
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
    let earliest = now.minus(tx.shared.settings.answer_within());
    let sent = sent_since(tx, incoming, earliest)?;
    Ok(sent.into_iter().find(|record| {
        !record.message.content.choices.is_empty() && record.attempts.iter().any(|a| a.channel == incoming.channel)
    }))
}

/// The latest messages to a sender, newest first. Twenty are more than anybody remembers to answer.
fn sent_since(tx: &mut Tx<'_>, incoming: &Incoming, earliest: Timestamp) -> Outcome<Vec<MessageRecord>> {
    let sql =
        "SELECT id FROM messages WHERE tenant = ?1 AND lane IN (?2, ?3) AND created >= ?4 ORDER BY seq DESC LIMIT 20";
    let lane = incoming.customer.as_ref().map_or(incoming.sender.as_str(), |customer| customer.as_str());
    let tenant = &incoming.tenant;
    let ids =
        tx.all(sql, params![tenant.as_str(), lane, incoming.sender, earliest.0], |row| row.get(0).map(MessageId))?;
    let mut sent = Vec::with_capacity(ids.len());
    for id in ids {
        sent.extend(tx.held_message(tenant, id)?.map(|held| held.record.clone()));
    }
    sent.retain(|record| record.attempts.iter().any(|attempt| attempt.state != AttemptState::Planned));
    Ok(sent)
}

fn exchanged_lately(tx: &mut Tx<'_>, incoming: &Incoming, now: Timestamp) -> Outcome<bool> {
    let since = now.minus(WINDOW);
    let sql = "SELECT time FROM incoming WHERE tenant = ?1 AND sender = ?2 AND channel = ?3 ORDER BY seq DESC LIMIT 1";
    let key = params![incoming.tenant.as_str(), incoming.sender, incoming.channel.as_str()];
    if tx.one(sql, key, |row| row.get::<_, i64>(0))?.is_some_and(|at| at > since.0) {
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
        if let Some(queued) = accept::insert_run(tx, &run, None, now)? {
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
pub(super) fn customer_entity(customer: &CustomerId) -> String {
    format!("customer/{customer}")
}

pub(super) fn load(conn: &Connection, tenant: &TenantId, id: MessageId) -> Outcome<Option<Arc<Incoming>>> {
    let mut statement = conn.prepare_cached("SELECT body FROM incoming WHERE id = ?1 AND tenant = ?2")?;
    let found = statement.query_row(params![id.0, tenant.as_str()], |row| rows::json::<Incoming>(row, 0)).optional()?;
    Ok(found.map(Arc::new))
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
