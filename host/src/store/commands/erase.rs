//! Erasing a customer: every row that names them is emptied or deleted, and nothing of it stays in the file.
//!
//! Looking for the rows reads whole tables, so readers do it while the writer works on; what they find is emptied in one
//! transaction, and they look again until nothing is found. The profile goes last: whoever is interrupted can begin again.
//! What stays: that there was an event, a run, a message, in which state and at which price; and, where the customer had
//! refused something, a keyed hash of the address that keeps refusing it.
//!
//! A number is looked for in the texts of others as well: what a plugin kept or logged, an event that says whom to call. Such a
//! row is emptied like the customer's own, because nobody can take a number out of a text without knowing what the text means.

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};

use super::{Outcome, Tx, commit, customers, each, files, incoming::customer_entity, messages};
use crate::{
    clock::Timestamp,
    domain::{
        customer::Address,
        message::{Because, Content, NewMessage, Next, Recipient},
        run::{EntityKey, Incoming},
        status::MessageState,
    },
    ids::{AttemptToken, CustomerId, Entity, MessageId, TenantId},
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

/// Country code and number: no telephone number of the world is shorter.
const NUMBER_DIGITS_MIN: usize = 7;

/// What of a parked receipt may name somebody.
pub(in crate::store) struct ParkedNames {
    pub(in crate::store) id: i64,
    pub(in crate::store) token: String,
    pub(in crate::store) provider_id: String,
    pub(in crate::store) failure: Option<String>,
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
    pub(in crate::store) parked: Vec<i64>,
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
            && self.parked.is_empty()
    }
}

impl Names {
    /// What a customer without a profile is called.
    pub(in crate::store) fn without_profile(tenant: &TenantId, customer: &CustomerId) -> Names {
        Names { tenant: tenant.clone(), customer: customer.clone(), addresses: Vec::new() }
    }

    /// What messages to the customer, and texts from them, are filed under.
    pub(in crate::store) fn lanes(&self) -> Vec<String> {
        let addresses = self.addresses.iter().map(|address| address.address.clone());
        std::iter::once(self.customer.to_string()).chain(addresses).collect()
    }

    /// The addresses as they stand in texts: digits, with or without a plus. Those that are too short to be told from any other
    /// number are not looked for.
    pub(in crate::store) fn numbers(&self) -> Vec<String> {
        let mut numbers: Vec<String> = self
            .addresses
            .iter()
            .map(|address| address.address.chars().filter(char::is_ascii_digit).collect())
            .collect();
        numbers.retain(|number| number.len() >= NUMBER_DIGITS_MIN);
        numbers.sort();
        numbers.dedup();
        numbers
    }

    /// Whether a receipt that waits for its attempt is about one of these messages, or holds a number.
    pub(in crate::store) fn concerns(&self, messages: &[MessageId], parked: &ParkedNames) -> bool {
        let of_message = parked.token.parse::<AttemptToken>().is_ok_and(|token| messages.contains(&token.message));
        // WhatsApp's ids hold the number, encoded.
        let encoded = parked.provider_id.strip_prefix("wamid.").unwrap_or_default().trim_end_matches('=');
        let decoded = STANDARD_NO_PAD.decode(encoded).unwrap_or_default();
        let decoded = String::from_utf8_lossy(&decoded);
        let texts = [parked.provider_id.as_str(), &decoded, parked.failure.as_deref().unwrap_or_default()];
        of_message || self.numbers().iter().any(|number| texts.iter().any(|text| text.contains(number.as_str())))
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
    delete_notices(tx, names)?;
    for seq in &found.events {
        tx.source.erase_event(*seq)?;
    }
    each(&found.runs, |seq| redact_run(tx, &names.tenant, *seq, now))?;
    each(&found.messages, |id| redact_message(tx, names, *id, now))?;
    each(&found.incoming, |seq| redact_incoming(tx, *seq))?;
    for id in &found.parked {
        tx.source.unpark(*id)?;
    }
    redact_entities(tx, found)
}

/// Whatever is written about them comes with a row that is found, so it is looked for as often as those are.
fn delete_notices(tx: &mut Tx<'_>, names: &Names) -> Outcome<()> {
    for lane in names.lanes() {
        tx.source.delete_notices(&names.tenant, &lane)?;
    }
    for number in names.numbers() {
        tx.source.delete_notices_with(&names.tenant, &number)?;
    }
    Ok(())
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
    // Endpoints are told that it ended, and not with whom.
    after.record.attempts.iter_mut().for_each(|attempt| attempt.address.clear());
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
    files::erase(tx, &incoming)?;
    // Its id stays, so that a provider's repeat does not bring it back.
    let emptied = Incoming {
        customer: None,
        sender: String::new(),
        sender_id: None,
        sender_name: None,
        provider_id: String::new(),
        text: String::new(),
        choice: None,
        media: Vec::new(),
        location: None,
        quoted: None,
        tag: None,
        attributes: Vec::new(),
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
    delete_notices(tx, names)?;
    for lane in names.lanes() {
        tx.source.delete_dedup_keys(tenant, &lane)?;
    }
    let Some(customer) = tx.customer(tenant, id)? else { return Ok(false) };
    for consent in customer.consents.iter().filter(|consent| !consent.granted) {
        for address in customer.addresses.iter().filter(|address| address.channel == consent.channel) {
            customers::suppress(tx, tenant, &address.address, consent)?;
        }
    }
    tx.source.delete_customer(tenant, id)
}
