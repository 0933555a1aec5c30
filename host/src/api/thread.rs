//! One conversation: who is at its other end, what was said in both directions, and until when a reply may go out.
//!
//! What customers write and what is sent to them are rows of two tables with numbers of their own. Each is read from its index,
//! latest first, and the two are merged by the times at which the host took them; a page ends somewhere in both, which is what
//! its cursor says.

use std::sync::Arc;

use serde_json::{Value, json};

use super::view;
use crate::{
    clock::Timestamp,
    domain::{
        customer::{Channel, ConsentScope, Customer, WINDOW},
        message::MessageRecord,
        run::Incoming,
    },
    ids::{CustomerId, MessageId, TenantId},
    store::{self, Paging, Store},
};

/// Who is at the other end.
pub(super) struct Party {
    /// Who it is, where they are registered.
    pub(super) customer: Option<CustomerId>,
    /// With what is known of them, registered or not.
    pub(super) known: Arc<Customer>,
    /// Where they write from.
    pub(super) senders: Vec<String>,
}

impl Party {
    pub(super) async fn of_customer(
        store: &dyn Store,
        tenant: &TenantId,
        id: &CustomerId,
    ) -> store::Result<Option<Party>> {
        let Some(known) = store.customer(tenant, id).await? else { return Ok(None) };
        let mut senders: Vec<String> = known.addresses.iter().map(|address| address.address.clone()).collect();
        senders.sort();
        senders.dedup();
        Ok(Some(Party { customer: Some(id.clone()), known, senders }))
    }

    /// Whoever wrote this: the customer who has the address now, or a stranger.
    pub(super) async fn of_message(
        store: &dyn Store,
        tenant: &TenantId,
        id: MessageId,
        now: Timestamp,
    ) -> store::Result<Option<Party>> {
        let Some(incoming) = store.incoming(tenant, id).await? else { return Ok(None) };
        if incoming.sender.is_empty() {
            // Erased: nobody is to be found by it.
            return Ok(None);
        }
        let known = store.behind_number(tenant, &incoming.sender, now).await?;
        if let Some(party) = Party::of_customer(store, tenant, &known.id).await? {
            return Ok(Some(party));
        }
        Ok(Some(Party { customer: None, known, senders: vec![incoming.sender.clone()] }))
    }

    /// Under which names messages to them are kept.
    fn lanes(&self) -> Vec<&str> {
        let own = self.customer.as_deref().into_iter();
        let senders = self.senders.iter().map(String::as_str);
        own.chain(senders.filter(|sender| Some(*sender) != self.customer.as_deref())).collect()
    }

    /// The last that came from each of their addresses, with its number, the latest first.
    pub(super) async fn last_written(
        &self,
        store: &dyn Store,
        tenant: &TenantId,
    ) -> store::Result<Vec<(i64, Arc<Incoming>)>> {
        let mut last = Vec::new();
        for sender in &self.senders {
            last.extend(store.written(tenant, sender, Paging { before: None, limit: 1 }).await?);
        }
        last.sort_by_key(|(seq, _)| std::cmp::Reverse(*seq));
        Ok(last)
    }
}

/// Where a page begins: only what has lower numbers than these.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cursor {
    sent: Option<i64>,
    written: Option<i64>,
}

impl Cursor {
    pub(super) fn parse(text: &str) -> Option<Cursor> {
        let (sent, written) = text.split_once('.')?;
        let number = |text: &str| match text {
            "" => Some(None),
            text => text.parse().ok().filter(|number: &i64| *number > 0).map(Some),
        };
        Some(Cursor { sent: number(sent)?, written: number(written)? })
    }

    fn text(self) -> String {
        let number = |number: Option<i64>| number.map(|number| number.to_string()).unwrap_or_default();
        format!("{}.{}", number(self.sent), number(self.written))
    }
}

/// A page of what was said, in the order in which it was, and where the one before it begins.
pub(super) async fn page(
    store: &dyn Store,
    tenant: &TenantId,
    party: &Party,
    mut cursor: Cursor,
    limit: u32,
) -> store::Result<(Vec<Value>, Option<String>)> {
    let mut sent: Vec<MessageRecord> = Vec::new();
    for lane in party.lanes() {
        sent.extend(store.sent(tenant, lane, Paging { before: cursor.sent, limit }).await?);
    }
    let mut written: Vec<(i64, Arc<Incoming>)> = Vec::new();
    for sender in &party.senders {
        written.extend(store.written(tenant, sender, Paging { before: cursor.written, limit }).await?);
    }
    // The latest at the end, to be taken from there.
    sent.sort_by_key(|record| record.seq);
    written.sort_by_key(|(seq, _)| *seq);
    let mut entries = Vec::new();
    while entries.len() < limit as usize {
        let later = match (sent.last(), written.last()) {
            (Some(record), Some((_, incoming))) => record.message.created >= incoming.received,
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (None, None) => break,
        };
        if later {
            if let Some(record) = sent.pop() {
                cursor.sent = Some(record.seq);
                entries.push(view::outgoing_entry(&record));
            }
        } else if let Some((seq, incoming)) = written.pop() {
            cursor.written = Some(seq);
            entries.push(view::incoming_entry(&incoming));
        }
    }
    // A full page may be the last one, and then the next is empty.
    let next = (entries.len() >= limit as usize).then(|| cursor.text());
    entries.reverse();
    Ok((entries, next))
}

/// Until when a reply may go out, and why not where it may not.
pub(super) fn window(party: &Party, last: Option<&Incoming>, now: Timestamp) -> Value {
    let closed = |why: String| json!({"open": false, "ends": null, "channel": null, "because": null, "why": why});
    let Some(last) = last else {
        return closed(
            "they have written nothing yet: what is sent first is a template, with a purpose of its own".to_owned(),
        );
    };
    let refused = party.known.consent(last.channel, ConsentScope::Service).filter(|consent| !consent.granted);
    if let Some(refused) = refused {
        return closed(format!(
            "they want no messages on {}: {}, {}",
            last.channel.as_str(),
            refused.source,
            refused.at
        ));
    }
    let ends = match last.channel {
        Channel::Whatsapp => party.known.window_ends(now),
        Channel::Sms => Some(last.time.plus(WINDOW)).filter(|ends| *ends > now),
    };
    match ends {
        Some(ends) => json!({
            "open": true, "ends": view::time(ends), "channel": last.channel, "because": last.id, "why": null,
        }),
        None => closed(format!(
            "they wrote last on {}: a reply goes out within 24 hours of that, and free text on WhatsApp in no others",
            last.time
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::Cursor;

    #[test]
    fn a_cursor_is_what_a_page_said_it_is() {
        let cursor = Cursor { sent: Some(17), written: None };
        assert_eq!((cursor.text().as_str(), Cursor::parse("17.")), ("17.", Some(cursor)));
        assert_eq!(Cursor::parse("."), Some(Cursor::default()));
        for wrong in ["", "17", "a.1", "1.-2", "1.2.3", "0.1"] {
            assert_eq!(Cursor::parse(wrong), None, "{wrong}");
        }
    }
}
