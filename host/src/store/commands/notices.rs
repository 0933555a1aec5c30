//! What a change is told to the endpoints of its tenant as: rows, in the transaction that makes the change.
//!
//! A tenant without endpoints pays for nothing here: whether there are any is known in memory. Ids, states and codes are told
//! always; texts and addresses only to endpoints that ask for them.

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{Outcome, Tx, tx::earlier};
use crate::{
    clock::Timestamp,
    domain::{
        customer::{Channel, Consent},
        endpoint::{ADDRESS, CONSENT, Endpoint, INCOMING, Include, Notice, Standing, TEST, kinds_of},
        message::{Attempt, Because, Content, MessageRecord},
        run::Incoming,
    },
    ids::{CustomerId, EndpointId, NoticeId, TenantId},
    store::{Bulk, NoticeFilter},
};

/// At once. It stands before whatever is tried again, because that has a time.
const NOW: Timestamp = Timestamp(0);

/// Standard Webhooks' own shape.
#[derive(Serialize)]
struct Body<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    timestamp: String,
    data: Value,
}

/// Tells each endpoint that wants it. `data` is asked once for each, because they are not told alike.
fn tell(
    tx: &mut Tx<'_>,
    tenant: &TenantId,
    lane: &str,
    kind: &str,
    at: Timestamp,
    data: impl Fn(&Endpoint) -> Value,
) -> Outcome<()> {
    let endpoints = tx.source.endpoints()?;
    for endpoint in endpoints.of(tenant).iter().filter(|endpoint| endpoint.wants(kind)) {
        write(tx, endpoint, lane, kind, at, data(endpoint))?;
    }
    Ok(())
}

fn write(
    tx: &mut Tx<'_>,
    endpoint: &Endpoint,
    lane: &str,
    kind: &str,
    at: Timestamp,
    data: Value,
) -> Outcome<NoticeId> {
    let body = serde_json::to_string(&Body { kind, timestamp: at.rfc3339(), data })?;
    let id = NoticeId::of(endpoint.id, &body);
    let notice = Notice {
        seq: 0,
        id,
        tenant: endpoint.tenant.clone(),
        endpoint: endpoint.id,
        kind: kind.to_owned(),
        lane: lane.to_owned(),
        created: at,
        body,
        standing: Standing { due: Some(NOW), ..Standing::default() },
    };
    tx.source.insert_notice(&notice)?;
    tx.pending.notice_due = earlier(tx.pending.notice_due, NOW);
    Ok(id)
}

/// `before` is `None` where the message is new.
pub(super) fn about_message(
    tx: &mut Tx<'_>,
    before: Option<&MessageRecord>,
    after: &MessageRecord,
    at: Timestamp,
) -> Outcome<()> {
    let message = &after.message;
    if tx.source.endpoints()?.of(&message.tenant).is_empty() {
        return Ok(());
    }
    for kind in kinds_of(before, after) {
        tell(tx, &message.tenant, message.to.lane(), kind, at, |endpoint| of_message(after, endpoint))?;
    }
    Ok(())
}

fn of_message(record: &MessageRecord, endpoint: &Endpoint) -> Value {
    let message = &record.message;
    let addresses = endpoint.includes(Include::Addresses);
    // What came of an attempt that arrived is told, not of a later one that failed.
    let arrived = record.attempts.iter().rev().find(|attempt| attempt.state.arrived());
    let attempt = arrived.or(record.attempts.last());
    let author = message.author.as_ref();
    let mut data = json!({
        "message": message.id,
        "revision": record.revision,
        "state": record.state,
        "settled": record.settled,
        "code": record.code,
        "customer": message.to.customer(),
        "channel": attempt.map(|attempt| attempt.channel),
        "provider": attempt.map(|attempt| &attempt.provider),
        "purpose": message.purpose,
        "because": because(&message.because),
        "tag": message.tag,
        "plugin": author.map(|author| &author.plugin),
        "run": author.map(|author| author.run),
        "created": message.created.rfc3339(),
        "attempts": record.attempts.iter().map(|attempt| of_attempt(attempt, addresses)).collect::<Vec<_>>(),
    });
    if let Some(data) = data.as_object_mut() {
        if endpoint.includes(Include::Content) {
            data.insert("text".to_owned(), json!(text(&message.content)));
        }
        if addresses && message.to.customer().is_none() {
            data.insert("address".to_owned(), json!(message.to.lane()));
        }
    }
    data
}

fn of_attempt(attempt: &Attempt, addresses: bool) -> Value {
    let mut data = json!({
        "no": attempt.no,
        "channel": attempt.channel,
        "provider": attempt.provider,
        "account": attempt.account,
        "state": attempt.state,
        "code": attempt.failure.as_ref().map(|failure| &failure.code),
        "provider_code": attempt.failure.as_ref().and_then(|failure| failure.provider_code.as_ref()),
        "parts": attempt.parts,
        "price_micros": attempt.price_micros,
    });
    if let Some(data) = data.as_object_mut().filter(|_| addresses) {
        data.insert("address".to_owned(), json!(attempt.address));
    }
    data
}

/// The tenant's own reference, or an id of ours. A timer's key is its plugin's, and may say anything.
fn because(because: &Because) -> Value {
    match because {
        Because::Event(id) => json!({"event": id}),
        Because::Incoming(id) | Because::Message(id) => json!({"message": id}),
        Because::Timer { set_by, .. } => json!({"timer_set_by": set_by}),
        Because::Reference(text) => json!({"reference": text}),
    }
}

/// What the customer reads, as far as that is one text.
fn text(content: &Content) -> Option<&str> {
    content.text.as_deref().or(content.template.as_ref().map(|template| template.body.as_str()))
}

pub(super) fn about_incoming(tx: &mut Tx<'_>, incoming: &Incoming) -> Outcome<()> {
    let lane = incoming.customer.as_ref().map_or(incoming.sender.as_str(), |customer| customer.as_str());
    tell(tx, &incoming.tenant, lane, INCOMING, incoming.time, |endpoint| {
        let mut data = Map::new();
        data.insert("message".to_owned(), json!(incoming.id));
        data.insert("customer".to_owned(), json!(incoming.customer));
        data.insert("channel".to_owned(), json!(incoming.channel));
        data.insert("provider".to_owned(), json!(incoming.provider));
        data.insert("kind".to_owned(), json!(incoming.kind));
        data.insert("in_reply_to".to_owned(), json!(incoming.in_reply_to));
        data.insert("tag".to_owned(), json!(incoming.tag));
        data.insert("choice".to_owned(), json!(incoming.choice));
        if endpoint.includes(Include::Content) {
            data.insert("text".to_owned(), json!(incoming.text));
        }
        if endpoint.includes(Include::Addresses) {
            data.insert("address".to_owned(), json!(incoming.sender));
        }
        Value::Object(data)
    })
}

pub(super) fn about_consent(tx: &mut Tx<'_>, tenant: &TenantId, id: &CustomerId, consent: &Consent) -> Outcome<()> {
    tell(tx, tenant, id, CONSENT, consent.at, |_| {
        json!({
            "customer": id, "channel": consent.channel, "scope": consent.scope, "granted": consent.granted,
            "source": consent.source,
        })
    })
}

pub(super) fn about_address(
    tx: &mut Tx<'_>,
    tenant: &TenantId,
    id: &CustomerId,
    channel: Channel,
    (from, to): (&str, &str),
    at: Timestamp,
) -> Outcome<()> {
    tell(tx, tenant, id, ADDRESS, at, |endpoint| {
        let mut data = json!({"customer": id, "channel": channel});
        if let Some(data) = data.as_object_mut().filter(|_| endpoint.includes(Include::Addresses)) {
            data.insert("from".to_owned(), json!(from));
            data.insert("to".to_owned(), json!(to));
        }
        data
    })
}

/// Told whatever it subscribes to. `None` where there is no such endpoint, or nothing is told to it.
pub(in crate::store) fn test(
    tx: &mut Tx<'_>,
    tenant: &TenantId,
    id: EndpointId,
    now: Timestamp,
) -> Outcome<Option<NoticeId>> {
    let endpoint = tx.source.endpoint(id)?.filter(|endpoint| endpoint.tenant == *tenant && endpoint.enabled());
    match endpoint {
        Some(endpoint) => write(tx, &endpoint, "", TEST, now, json!({"endpoint": id})).map(Some),
        None => Ok(None),
    }
}

pub(in crate::store) fn answered(tx: &mut Tx<'_>, seq: i64, standing: &Standing) -> Outcome<()> {
    tx.source.set_notice(seq, standing)
}

/// Has them told again, under the ids that they had, as if they had never been tried.
pub(in crate::store) fn replay(tx: &mut Tx<'_>, seqs: &[i64]) -> Outcome<()> {
    for seq in seqs {
        tx.source.reopen_notice(*seq, NOW)?;
    }
    if !seqs.is_empty() {
        tx.pending.notice_due = earlier(tx.pending.notice_due, NOW);
    }
    Ok(())
}

/// What a step of a replay comes to, of `limit` and one more rows that were found.
pub(in crate::store) fn step(mut found: Vec<i64>, filter: &NoticeFilter, limit: u32) -> (Vec<i64>, Bulk) {
    let more = found.len() > limit as usize;
    found.truncate(limit as usize);
    let last_seq = found.last().copied().unwrap_or(filter.after_seq);
    let count = u32::try_from(found.len()).unwrap_or(u32::MAX);
    (found, Bulk { count, more, last_seq })
}
