//! Work with neither an owner nor a deadline, as every store looks for it: at the end of a world there is none.

use super::tables::Tables;
use crate::{
    domain::{
        message::Next,
        run::{Cause, EntityKey},
        status::AttemptState,
    },
    ids::{AttemptToken, MessageId, TenantId},
    store::{Adrift, RunState},
};

pub(super) fn find(tables: &Tables) -> Vec<Adrift> {
    let mut found = timers(tables);
    found.extend(messages(tables));
    found.extend(runs(tables));
    found.extend(receipts(tables));
    found
}

fn adrift(tenant: &TenantId, kind: &'static str, id: impl ToString, why: &str) -> Adrift {
    Adrift { tenant: Some(tenant.clone()), kind, id: id.to_string(), why: why.to_owned() }
}

fn timers(tables: &Tables) -> Vec<Adrift> {
    let open =
        |key: &EntityKey| tables.runs.values().any(|row| row.state == RunState::Open && row.queued.run.key == *key);
    let lost = tables.timers.iter().filter(|((key, _), row)| row.queued && !open(key));
    lost.map(|((key, name), _)| adrift(&key.tenant, "timer-without-run", name, "it was due and has no run")).collect()
}

fn messages(tables: &Tables) -> Vec<Adrift> {
    let mut found = Vec::new();
    for (seq, row) in tables.messages.iter() {
        let (tenant, id) = (&row.message.tenant, row.message.id);
        let Some(record) = tables.record(*seq) else {
            found.push(adrift(tenant, "message-without-state", id, "nothing says how it stands"));
            continue;
        };
        if !record.settled && record.next == Next::Nothing {
            found.push(adrift(tenant, "message-without-step", id, "nobody will look at it again"));
            if record.attempts.iter().any(|attempt| attempt.state == AttemptState::Planned) {
                found.push(adrift(tenant, "attempt-without-look", id, "nobody will look whether it has an answer"));
            }
        }
    }
    found
}

fn runs(tables: &Tables) -> Vec<Adrift> {
    let open = tables.runs.values().filter(|row| row.state == RunState::Open);
    let lost = open.filter(|row| {
        let is_event = matches!(row.queued.run.cause, Cause::Event(_));
        is_event && row.event.is_some_and(|seq| !tables.events.contains_key(&seq))
    });
    lost.map(|row| adrift(&row.queued.run.key.tenant, "run-without-cause", row.queued.run.id, "its event is gone"))
        .collect()
}

fn receipts(tables: &Tables) -> Vec<Adrift> {
    let parked = tables.parked.values().filter_map(|row| {
        let receipt = &row.parked.receipt;
        let by_token = row.token.parse::<AttemptToken>().ok().and_then(|token| known(tables, &token));
        let by_id = || {
            let mut attempts = tables.attempts.iter();
            let of = attempts.find(|(_, attempt)| {
                attempt.provider == receipt.provider
                    && attempt.provider_ids().any(|id| receipt.provider_id.as_deref() == Some(id))
            });
            of.and_then(|((seq, _), _)| tables.messages.get(seq)).map(|row| row.message.id)
        };
        by_token.or_else(by_id).map(|id| adrift(&receipt.tenant, "receipt-not-matched", id, "it was not counted"))
    });
    parked.collect()
}

fn known(tables: &Tables, token: &AttemptToken) -> Option<MessageId> {
    let seq = tables.message_ids.get(&token.message)?;
    tables.attempts.contains_key(&(*seq, token.attempt)).then_some(token.message)
}
