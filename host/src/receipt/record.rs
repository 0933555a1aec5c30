//! From reports to rows: one verb for all receipts of a webhook, one for all messages, and the preferences.

use super::{
    ReceiptState, keywords,
    moving::{self, Move},
    preference,
};
use crate::{
    channel::{IncomingReport, PartReport, Report, StatusReport},
    clock::Timestamp,
    domain::{
        message::AttemptFailure,
        run::Incoming,
        text::{strip_nul, strip_nul_of},
    },
    ids::MessageId,
    store::{self, NewIncoming, NewPart, Receipt},
};

/// Makes everything durable that one webhook reports. On an error the provider sends all of it again, and what was already
/// recorded is known as repeated.
pub(super) async fn record(state: &ReceiptState, provider: &str, reports: Vec<Report>) -> store::Result<()> {
    record_from(state, provider, None, reports).await
}

/// The same where it is known which account of ours it came to.
pub(super) async fn record_from(
    state: &ReceiptState,
    provider: &str,
    account: Option<&str>,
    reports: Vec<Report>,
) -> store::Result<()> {
    let now = state.clock.now();
    let mut receipts = Vec::new();
    let mut incoming = Vec::new();
    let mut preferences = Vec::new();
    let mut moves = Vec::new();
    for mut report in reports {
        strip(&mut report);
        match report {
            Report::Status(status) => receipts.push(receipt(state, provider, status, now)),
            Report::Incoming(report) => incoming.push(written(state, provider, account, report, now)),
            Report::Part(part) => incoming.extend(whole(state, provider, account, part, now).await?),
            Report::MarketingPreference { address, stopped, time } => {
                preferences.push((address, stopped, at(time, now)))
            }
            Report::Moved { channel, provider_id, from, to, time } => {
                moves.push(Move { channel, provider_id, from, to, time: at(time, now) });
            }
            Report::Notice { kind, detail } => tracing::warn!(provider, kind, "the provider says: {detail}"),
        }
    }
    if !receipts.is_empty() {
        state.store.record_receipts(receipts, now).await?;
    }
    if !incoming.is_empty() {
        name_listeners(state, &mut incoming);
        state.store.record_incoming(incoming, now).await?;
    }
    for moved in moves {
        moving::record(state, provider, moved, now).await?;
    }
    for (address, stopped, time) in preferences {
        preference::record(state, &address, stopped, time).await?;
    }
    Ok(())
}

/// A provider cannot be told to say it otherwise: its texts lose what a store cannot keep.
fn strip(report: &mut Report) {
    match report {
        Report::Status(status) => {
            strip_nul_of(&mut status.provider_id);
            status.failure.iter_mut().for_each(AttemptFailure::strip_nul);
        }
        Report::Part(part) => {
            strip_nul(&mut part.key);
            strip_incoming(&mut part.incoming);
        }
        Report::Incoming(written) => strip_incoming(written),
        Report::MarketingPreference { address, .. } => strip_nul(address),
        Report::Moved { provider_id, from, to, .. } => [provider_id, from, to].into_iter().for_each(strip_nul),
        Report::Notice { .. } => {}
    }
}

fn strip_incoming(written: &mut IncomingReport) {
    for text in [&mut written.sender, &mut written.provider_id, &mut written.kind, &mut written.text] {
        strip_nul(text);
    }
    for text in [&mut written.sender_id, &mut written.sender_name, &mut written.choice, &mut written.quoted] {
        strip_nul_of(text);
    }
    for (name, value) in &mut written.attributes {
        strip_nul(name);
        strip_nul(value);
    }
    for media in &mut written.media {
        strip_nul(&mut media.id);
        strip_nul(&mut media.mime_type);
        strip_nul_of(&mut media.filename);
    }
    if let Some(place) = &mut written.location {
        strip_nul_of(&mut place.name);
        strip_nul_of(&mut place.address);
    }
}

fn receipt(state: &ReceiptState, provider: &str, status: StatusReport, now: Timestamp) -> Receipt {
    Receipt {
        tenant: state.tenant.clone(),
        provider: provider.to_owned(),
        token: status.token,
        provider_id: status.provider_id,
        state: status.state,
        time: at(status.time, now),
        failure: status.failure,
        pricing: status.pricing,
    }
}

/// The store finds out whose it is, what it answers and whether it opens a conversation.
fn written(
    state: &ReceiptState,
    provider: &str,
    account: Option<&str>,
    report: IncomingReport,
    now: Timestamp,
) -> NewIncoming {
    let time = at(report.time, now);
    // By our clock: providers say whole seconds, and a STOP in the second of an earlier consent must not lose to it.
    let consent = keywords::consent(&report, now);
    let written_to = || state.accounts.written_to(provider, report.channel, report.to.as_deref());
    let account = account.or_else(written_to).map(str::to_owned);
    let incoming = Incoming {
        id: MessageId::of_incoming(&state.tenant, provider, &report.provider_id),
        tenant: state.tenant.clone(),
        customer: None,
        sender: report.sender,
        sender_id: report.sender_id,
        sender_name: report.sender_name,
        channel: report.channel,
        provider: provider.to_owned(),
        account,
        provider_id: report.provider_id,
        time,
        received: now,
        kind: report.kind,
        text: report.text,
        choice: report.choice,
        media: report.media,
        location: report.location,
        quoted: report.quoted,
        in_reply_to: None,
        tag: None,
        opening: false,
        window_ends: None,
        attributes: report.attributes,
    };
    NewIncoming { incoming, others: Vec::new(), consent }
}

/// What a part makes whole. The whole is what a STOP is looked for in.
async fn whole(
    state: &ReceiptState,
    provider: &str,
    account: Option<&str>,
    part: PartReport,
    now: Timestamp,
) -> store::Result<Option<NewIncoming>> {
    let PartReport { incoming: report, key, no, total } = part;
    let new = written(state, provider, account, report.clone(), now);
    let part = NewPart { incoming: new.incoming, key, no, total };
    let Some(incoming) = state.store.keep_part(part).await? else { return Ok(None) };
    let consent = keywords::consent(&IncomingReport { text: incoming.text.clone(), ..report }, now);
    Ok(Some(NewIncoming { incoming, consent, others: Vec::new() }))
}

/// Asked once for a webhook, so that all of its messages go to the same plugins.
fn name_listeners(state: &ReceiptState, incoming: &mut [NewIncoming]) {
    let listeners = (state.listeners)();
    for new in incoming {
        new.others.clone_from(&listeners);
    }
}

/// When it happened. A time to come is a wrong clock, and would hold a window open that is closed.
fn at(time: Option<Timestamp>, now: Timestamp) -> Timestamp {
    time.map_or(now, |time| time.min(now))
}
