//! Erasing a customer: every row that names them is emptied or deleted, and nothing of it stays in the file.
//!
//! Looking for the rows reads whole tables, so readers do it while the writer works on; what they find is emptied in one
//! transaction, and they look again until nothing is found. The profile goes last: whoever is interrupted can begin again.
//! What stays: that there was an event, a run, a message, in which state and at which price; and, where the customer had
//! refused something, a keyed hash of the address that keeps refusing it.

use super::{Outcome, Tx, commit, customers, each, incoming::customer_entity, messages};
use crate::{
    clock::Timestamp,
    domain::{
        customer::Address,
        message::{Because, Content, NewMessage, Next, Recipient},
        run::{EntityKey, Incoming},
        status::MessageState,
    },
    ids::{CustomerId, Entity, MessageId, TenantId},
    store::RunState,
};

/// Stands where a name was.
pub(in crate::store) const ERASED: &str = "erased";

/// What a customer is called in the rows of a tenant.
#[derive(Clone, Debug)]
pub(in crate::store) struct Names {
    pub(in crate::store) tenant: TenantId,
    pub(in crate::store) customer: CustomerId,
    pub(in crate::store) addresses: Vec<Address>,
}

/// Rows that name the customer, by their keys.
#[derive(Debug, Default)]
pub(in crate::store) struct Found {
    pub(in crate::store) events: Vec<i64>,
    pub(in crate::store) runs: Vec<i64>,
    pub(in crate::store) messages: Vec<MessageId>,
    pub(in crate::store) incoming: Vec<i64>,
    pub(in crate::store) state: Vec<(EntityKey, String)>,
    pub(in crate::store) timers: Vec<(EntityKey, String)>,
    pub(in crate::store) entities: Vec<EntityKey>,
}

impl Found {
    pub(in crate::store) fn is_empty(&self) -> bool {
        self.events.is_empty()
            && self.runs.is_empty()
            && self.messages.is_empty()
            && self.incoming.is_empty()
            && self.state.is_empty()
            && self.timers.is_empty()
            && self.entities.is_empty()
    }
}

impl Names {
    /// What messages to the customer, and texts from them, are filed under.
    pub(in crate::store) fn lanes(&self) -> Vec<String> {
        let addresses = self.addresses.iter().map(|address| address.address.clone());
        std::iter::once(self.customer.to_string()).chain(addresses).collect()
    }

    /// Entities that are named after the customer.
    pub(in crate::store) fn entities(&self) -> Vec<String> {
        let addresses = self.addresses.iter().map(|address| format!("sender/{}", address.address));
        std::iter::once(customer_entity(&self.customer)).chain(addresses).collect()
    }
}

/// Empties what was found.
pub(in crate::store) fn redact(tx: &mut Tx<'_>, names: &Names, found: &Found, now: Timestamp) -> Outcome<()> {
    tx.forget();
    for seq in &found.events {
        tx.source.erase_event(*seq)?;
    }
    each(&found.runs, |seq| redact_run(tx, &names.tenant, *seq, now))?;
    each(&found.messages, |id| redact_message(tx, names, *id, now))?;
    each(&found.incoming, |seq| redact_incoming(tx, *seq))?;
    redact_entities(tx, found)
}

/// An open run would be executed on what is no longer there: it ends here, and a commit of it finds it gone.
fn redact_run(tx: &mut Tx<'_>, tenant: &TenantId, seq: i64, now: Timestamp) -> Outcome<()> {
    let Some(state) = tx.source.run_state(seq)? else { return Ok(()) };
    match state {
        RunState::Open => tx.count(tenant, "open-runs", -1),
        RunState::SetAside => tx.count(tenant, "set-aside-runs", -1),
        RunState::Done | RunState::Discarded => return tx.source.erase_run(seq, state, None),
    }
    tx.source.erase_run(seq, RunState::Discarded, Some(now))
}

fn redact_message(tx: &mut Tx<'_>, names: &Names, id: MessageId, now: Timestamp) -> Outcome<()> {
    let Some(before) = tx.held_message(&names.tenant, id)? else { return Ok(()) };
    let mut after = (*before).clone();
    after.record.message = redacted(&before.record.message);
    after.record.decision = None;
    if !after.record.settled {
        after.ended = Some(MessageState::Cancelled);
        after.record.settled = true;
        after.record.code = Some(ERASED.to_owned());
        after.record.next = Next::Nothing;
    }
    let seq = after.record.seq;
    let emptied = after.record.message.clone();
    messages::save(tx, &before, after, now)?;
    tx.source.erase_message(seq, &emptied)?;
    tx.pending.messages.insert(id, None);
    let lanes = [before.record.message.to.lane(), names.customer.as_str()];
    for lane in lanes {
        tx.source.delete_dedup_keys(&names.tenant, lane)?;
    }
    Ok(())
}

/// Who asked for it stays, for the figures; nobody is told of it any more.
fn redacted(message: &NewMessage) -> NewMessage {
    let author = message.author.clone().map(|mut author| {
        author.entity = Entity::from(ERASED);
        author.notify = Vec::new();
        author.answers = false;
        author
    });
    NewMessage {
        id: message.id,
        tenant: message.tenant.clone(),
        author,
        to: Recipient::Customer(CustomerId::from(ERASED)),
        purpose: message.purpose,
        because: Because::Reference(ERASED.to_owned()),
        content: Content::default(),
        sms: message.sms,
        fallback_after: message.fallback_after,
        expires: message.expires,
        dedup_key: None,
        tag: None,
        quote: None,
        created: message.created,
    }
}

fn redact_incoming(tx: &mut Tx<'_>, seq: i64) -> Outcome<()> {
    let Some(incoming) = tx.source.incoming_body(seq)? else { return Ok(()) };
    // Its id stays, so that a provider's repeat does not bring it back.
    let emptied = Incoming {
        customer: None,
        sender: String::new(),
        sender_name: None,
        provider_id: String::new(),
        text: String::new(),
        choice: None,
        media: Vec::new(),
        location: None,
        quoted: None,
        tag: None,
        ..incoming
    };
    tx.source.erase_incoming(seq, &emptied)
}

/// What plugins kept goes, and the versions rise, so that a run in flight is executed again on what is left.
fn redact_entities(tx: &mut Tx<'_>, found: &Found) -> Outcome<()> {
    let mut touched = std::collections::BTreeSet::new();
    for (key, name) in &found.state {
        tx.source.remove_state(key, name)?;
        touched.insert(key);
    }
    each(&found.timers, |(key, name)| commit::remove_timer(tx, key, name))?;
    touched.extend(found.timers.iter().map(|(key, _)| key));
    each(touched, |key| tx.source.bump_version(key))?;
    // Those that are named after the customer go altogether: all their runs have been ended.
    for key in &found.entities {
        tx.source.delete_entity(key)?;
    }
    Ok(())
}

/// Deletes the profile, after everything else; keeps what the customer had refused. `false` where it is gone already.
pub(in crate::store) fn finish(tx: &mut Tx<'_>, names: &Names) -> Outcome<bool> {
    tx.forget();
    let (tenant, id) = (&names.tenant, &names.customer);
    let Some(customer) = tx.customer(tenant, id)? else { return Ok(false) };
    for consent in customer.consents.iter().filter(|consent| !consent.granted) {
        for address in customer.addresses.iter().filter(|address| address.channel == consent.channel) {
            customers::suppress(tx, tenant, &address.address, consent)?;
        }
    }
    tx.source.delete_customer(tenant, id)
}
