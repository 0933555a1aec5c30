//! One message through as many steps as can be taken now: plan, write down, make the attempt, write down what came of it.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{
    Parts,
    plan::{Facts, Plan, Planned, plan},
    route::account_key,
    upload,
};
use crate::{
    channel::{
        Outgoing, Provider, Rendition,
        marks::{Mark, MarkRead},
        sms,
    },
    clock::Timestamp,
    domain::{
        customer::{Channel, Customer},
        message::{Answer, Attempt, AttemptFailure, Because, MessageRecord, Next, Recipient, Remember},
        run::Incoming,
        status::AttemptState,
    },
    ids::{AttemptToken, MessageId, TenantId},
    store::{self, Changed, MessageChange, MessageChangeKind, Waiting},
};

/// How a message left memory.
pub(super) struct Left {
    pub record: Box<MessageRecord>,
    /// The sender's pace: it stays in memory until then.
    pub wait_until: Option<Timestamp>,
    /// Not its turn yet: these are to be sent before it.
    pub earlier: Vec<MessageRecord>,
}

impl Left {
    fn rests(record: Box<MessageRecord>) -> Left {
        Left { record, wait_until: None, earlier: Vec::new() }
    }

    fn waits(record: Box<MessageRecord>, until: Timestamp) -> Left {
        Left { record, wait_until: Some(until), earlier: Vec::new() }
    }
}

/// Steps taken with one message at a time. A plan that never comes to rest would be a bug; this keeps it from spinning.
const STEPS_MAX: u32 = 32;
/// How much later than the request's own time-out a planned attempt is looked at again.
const ANSWER_MARGIN: Duration = Duration::from_secs(10);
/// How long to wait when the store cannot be written.
const TROUBLE_PAUSE: Duration = Duration::from_secs(1);

pub(super) async fn deliver(parts: &Parts, record: MessageRecord, stop: &CancellationToken) -> Left {
    let mut record = Box::new(record);
    if parts.store.is_shared() && record.attempts.is_empty() {
        match out_of_turn(parts, &record).await {
            Ok((_, earlier)) if !earlier.is_empty() => return Left { record, wait_until: None, earlier },
            Ok((Some(until), _)) => return Left::waits(record, until),
            Ok(_) => {}
            Err(error) => return wait_for_the_store(parts, record, &error),
        }
    }
    for _ in 0..STEPS_MAX {
        if record.settled || record.next == Next::Nothing || stop.is_cancelled() {
            return Left::rests(record);
        }
        match step(parts, &record).await {
            Ok(Step::Rests(record)) => return Left::rests(record),
            Ok(Step::Goes(changed)) => record = changed,
            Ok(Step::Paced(until)) => return Left::waits(record, until),
            Err(error) => return wait_for_the_store(parts, record, &error),
        }
    }
    tracing::error!(message = %record.message.id, "a message does not come to rest; it is looked at again in a second");
    let until = parts.clock.now().plus(TROUBLE_PAUSE);
    Left::waits(record, until)
}

fn wait_for_the_store(parts: &Parts, record: Box<MessageRecord>, error: &store::Error) -> Left {
    tracing::warn!(message = %record.message.id, %error, "a message waits for the store");
    let until = parts.clock.now().plus(TROUBLE_PAUSE);
    Left::waits(record, until)
}

/// What another host committed is heard of late, and a lane that changes hands leaves behind what its host is still sending. So
/// where there are others the store is asked whether it is this message's turn: until when an earlier one may be on its way to
/// a provider, and those that nobody has begun.
async fn out_of_turn(parts: &Parts, record: &MessageRecord) -> store::Result<(Option<Timestamp>, Vec<MessageRecord>)> {
    let message = &record.message;
    let mut earlier = parts.store.earlier_messages(&message.tenant, message.to.lane(), record.seq).await?;
    let now = parts.clock.now();
    // An attempt of which nothing was heard for longer than a request may take is in doubt, and holds nobody up.
    let under_way =
        earlier.iter().filter(|earlier| earlier.next != Next::Now).filter_map(|earlier| earlier.attempts.last());
    let until = under_way.map(|attempt| attempt.planned.plus(parts.attempt_timeout)).filter(|until| *until > now).max();
    earlier.retain(|earlier| earlier.next == Next::Now);
    Ok((until, earlier))
}

enum Step {
    /// It waits in the store, or has ended.
    Rests(Box<MessageRecord>),
    /// There is more to do at once.
    Goes(Box<MessageRecord>),
    /// Not before then, by the sender's pace.
    Paced(Timestamp),
}

async fn step(parts: &Parts, record: &MessageRecord) -> store::Result<Step> {
    let now = parts.clock.now();
    let customer = match &record.message.to {
        Recipient::Customer(id) => parts.store.customer(&record.message.tenant, id).await?,
        Recipient::Phone(number) => Some(parts.store.behind_number(&record.message.tenant, number, now).await?),
    };
    let answered = answered(parts, record).await?;
    let kind = match plan(record, &facts(parts, customer.as_deref(), answered.as_deref(), now)) {
        Plan::Attempt(planned) => {
            let account = account_key(&*planned.provider);
            if let Err(until) =
                parts.pace.place(&*parts.store, &account, planned.channel, &planned.address, now).await?
            {
                return Ok(Step::Paced(until));
            }
            return attempt(parts, record, *planned, customer.as_deref(), now).await;
        }
        Plan::Wait { until, code, decision } => MessageChangeKind::Hold { code: code.to_owned(), decision, until },
        Plan::Doubt { no } => {
            let detail = "the host stopped after the attempt was written down and before its answer was".to_owned();
            answer_change(parts, record, no, Answer::Unknown { detail }, customer.as_deref(), now)
        }
        Plan::Settle { state, code, decision } => MessageChangeKind::Settle { state, code: Some(code), decision },
        Plan::Close { code } => MessageChangeKind::Close { code: code.map(str::to_owned) },
    };
    let waits = matches!(kind, MessageChangeKind::Hold { .. });
    Ok(match change(parts, record, kind, now).await? {
        Changed::Done(record) if waits || record.settled => Step::Rests(record),
        Changed::Done(record) | Changed::Stale(record) => goes_or_rests(record, now),
        Changed::Gone => Step::Rests(settled(record)),
    })
}

/// What the customer wrote that this message answers: only asked for where more than one account could send it.
async fn answered(parts: &Parts, record: &MessageRecord) -> store::Result<Option<Arc<Incoming>>> {
    let message = &record.message;
    let id = match (&message.because, message.quote) {
        (Because::Incoming(id), _) => *id,
        (_, Some(id)) => id,
        (_, None) => return Ok(None),
    };
    if parts.providers.len() < 2 {
        return Ok(None);
    }
    parts.store.incoming(&message.tenant, id).await
}

pub(super) fn facts<'a>(
    parts: &'a Parts,
    customer: Option<&'a Customer>,
    answered: Option<&'a Incoming>,
    now: Timestamp,
) -> Facts<'a> {
    Facts {
        now,
        customer,
        written_to: answered.and_then(|answered| Some((&*answered.provider, answered.account.as_deref()?))),
        providers: &parts.providers,
        circuits: &parts.circuits,
        standing: &parts.standing,
        prices: &parts.prices,
        sms: &parts.sms,
        rules: &parts.rules,
        settings: &parts.settings,
    }
}

fn goes_or_rests(record: Box<MessageRecord>, now: Timestamp) -> Step {
    match record.next {
        Next::Now => Step::Goes(record),
        Next::At(at) if at <= now => Step::Goes(record),
        Next::At(_) | Next::Nothing => Step::Rests(record),
    }
}

/// Writes an attempt down, makes it, and writes down its answer.
async fn attempt(
    parts: &Parts,
    record: &MessageRecord,
    planned: Planned,
    customer: Option<&Customer>,
    now: Timestamp,
) -> store::Result<Step> {
    let no = record.attempts.last().map_or(1, |last| last.no + 1);
    let provider = planned.provider.clone();
    let requests = if upload::needed(&*provider, &planned.body).is_some() { upload::REQUESTS_MAX } else { 1 };
    let look_again = now.plus(parts.attempt_timeout * requests + ANSWER_MARGIN);
    let (attempt, rendered) = written(planned, no, now);
    let outgoing = outgoing(parts, record, &attempt, rendered, now).await?;
    let marked = marked(parts, record).await?;
    let began = Instant::now();
    let mut record = match change(parts, record, MessageChangeKind::Begin { attempt, look_again }, now).await? {
        // Its plugin may not spend so much today: nothing was begun.
        Changed::Done(record) if record.settled => return Ok(Step::Rests(record)),
        Changed::Done(record) => record,
        Changed::Stale(record) => return Ok(Step::Goes(record)),
        Changed::Gone => return Ok(Step::Rests(settled(record))),
    };
    if began.elapsed() > ANSWER_MARGIN {
        // The host was stopped in between, or the store was: by the time of an answer others may take the attempt for one in
        // doubt, and make another.
        tracing::warn!(message = %record.message.id, "an attempt was written down too long ago to be made; it is in doubt");
        return Ok(Step::Rests(record));
    }
    if let Some(mark) = marked.as_ref().filter(|mark| mark.typing) {
        // Before the answer, because the answer ends it.
        parts.marks.told(mark).await;
    }
    let answer = upload::send(parts, &record, &*provider, outgoing).await.kept();
    let now = parts.clock.now();
    learn(parts, &*provider, &answer, now);
    // Nothing that happened may be lost now: a store in trouble is waited for, as long as the host lives.
    loop {
        let kind = answer_change(parts, &record, no, answer.clone(), customer, now);
        match change(parts, &record, kind, now).await {
            Ok(Changed::Done(record)) => {
                let taken = matches!(answer, Answer::Accepted { .. });
                if let Some(mark) = marked.filter(|mark| taken && !mark.typing) {
                    parts.marks.tell(mark);
                }
                return Ok(goes_or_rests(record, now));
            }
            // A receipt was faster than the answer: the answer still has to be written down.
            Ok(Changed::Stale(newer)) => record = newer,
            Ok(Changed::Gone) => return Ok(Step::Rests(settled(&record))),
            Err(store::Error::Closed) => return Err(store::Error::Closed),
            Err(error) => {
                tracing::warn!(message = %record.message.id, %error, "an answer cannot be written down yet");
                tokio::time::sleep(TROUBLE_PAUSE).await;
            }
        }
    }
}

/// The customer's message that is marked as read with its answer, where its author or the setting says so.
async fn marked(parts: &Parts, record: &MessageRecord) -> store::Result<Option<Mark>> {
    let message = &record.message;
    let Because::Incoming(id) = &message.because else { return Ok(None) };
    let seen = &message.content.seen;
    let read = seen.read.unwrap_or(parts.mark_read == MarkRead::Answered);
    // What has been tried before has been marked before.
    if !(read || seen.typing) || !record.attempts.is_empty() {
        return Ok(None);
    }
    let incoming = parts.store.incoming(&message.tenant, *id).await?;
    Ok(incoming.filter(|one| one.channel == Channel::Whatsapp).map(|one| Mark::of(&one, seen.typing)))
}

async fn outgoing(
    parts: &Parts,
    record: &MessageRecord,
    attempt: &Attempt,
    (body, instead): (Rendition, Option<sms::Text>),
    now: Timestamp,
) -> store::Result<Outgoing> {
    let message = &record.message;
    let quote = match message.quote {
        Some(id) => quoted(parts, &message.tenant, id, attempt).await?,
        None => None,
    };
    Ok(Outgoing {
        token: AttemptToken { message: message.id, attempt: attempt.no },
        to: attempt.address.clone(),
        body,
        quote,
        expires: message.expires.map(|expires| expires.since(now)),
        mime_type: message.content.attachment.as_ref().map(|attachment| attachment.mime_type.clone()),
        instead,
        media_id: None,
    })
}

/// What the attempt's provider calls the message that is quoted: one of the customer's, or one of ours that went the same way.
async fn quoted(parts: &Parts, tenant: &TenantId, id: MessageId, attempt: &Attempt) -> store::Result<Option<String>> {
    if let Some(incoming) = parts.store.incoming(tenant, id).await? {
        return Ok((incoming.provider == attempt.provider).then(|| incoming.provider_id.clone()));
    }
    let Some(record) = parts.store.message(tenant, id).await? else { return Ok(None) };
    let same_way = |sent: &&Attempt| sent.provider == attempt.provider && sent.channel == attempt.channel;
    Ok(record.attempts.iter().rev().filter(same_way).find_map(|sent| sent.provider_id.clone()))
}

/// The attempt as it is written down, and what it will say.
fn written(planned: Planned, no: u32, now: Timestamp) -> (Attempt, (Rendition, Option<sms::Text>)) {
    let attempt = Attempt {
        no,
        channel: planned.channel,
        provider: planned.provider.name().to_owned(),
        account: planned.provider.account().to_owned(),
        address: planned.address,
        state: AttemptState::Planned,
        provider_id: None,
        rendition: planned.rendition,
        parts: planned.parts,
        price_micros: planned.price_micros,
        planned: now,
        answered: None,
        failure: None,
        decision: planned.decision,
        tally: planned.tally,
    };
    (attempt, (planned.body, planned.instead))
}

/// What the answer changes, with when to look at the message again: found by planning on what will be known.
fn answer_change(
    parts: &Parts,
    record: &MessageRecord,
    no: u32,
    answer: Answer,
    customer: Option<&Customer>,
    now: Timestamp,
) -> MessageChangeKind {
    let mut expected = record.clone();
    if let Some(attempt) = expected.attempts.iter_mut().find(|attempt| attempt.no == no) {
        attempt.answered = Some(now);
        match &answer {
            Answer::Accepted { .. } => attempt.state = attempt.state.after(AttemptState::Accepted),
            Answer::Failed(failure) => {
                attempt.state = attempt.state.after(AttemptState::Failed);
                attempt.failure = Some(failure.clone());
            }
            Answer::Unknown { .. } => attempt.state = attempt.state.after(AttemptState::Uncertain),
        }
    }
    let (next, waits) = match plan(&expected, &facts(parts, customer, None, now)) {
        Plan::Wait { until, code, decision } => (Next::At(until), Some(Waiting { code: code.to_owned(), decision })),
        _ => (Next::Now, None),
    };
    // That a taken message waits for its receipt goes without saying; why it falls back stays to be read meanwhile.
    let waits = waits.filter(|_| !matches!(answer, Answer::Accepted { .. }));
    MessageChangeKind::Answer { no, answer, next, waits }
}

/// Remembers what an answer says of the account.
fn learn(parts: &Parts, provider: &dyn Provider, answer: &Answer, now: Timestamp) {
    let account = account_key(provider);
    let rest = Duration::from_secs(parts.settings.account_rest_s);
    match answer {
        Answer::Accepted { .. } => parts.circuits.works(&account),
        Answer::Unknown { detail } => parts.circuits.unreachable(&account, detail, now, rest),
        Answer::Failed(failure) => match failure.remember {
            Remember::AccountBroken => parts.circuits.broken(&account, &words(failure), now, rest),
            Remember::Nothing if failure.code == "provider-down" => {
                parts.circuits.unreachable(&account, &words(failure), now, rest);
            }
            // What it says of the address or the customer, the store writes down with the answer.
            _ => {}
        },
    }
}

fn words(failure: &AttemptFailure) -> String {
    let code = failure.provider_code.as_deref().unwrap_or("no code");
    format!("{} ({code}): {}", failure.code, failure.detail.as_deref().unwrap_or("no further words"))
}

async fn change(
    parts: &Parts,
    record: &MessageRecord,
    kind: MessageChangeKind,
    now: Timestamp,
) -> store::Result<Changed> {
    let change = MessageChange {
        tenant: record.message.tenant.clone(),
        message: record.message.id,
        revision: record.revision,
        kind,
        now,
    };
    parts.store.change_message(change).await
}

/// The message is not there any more (its customer was erased): nothing is left to do.
fn settled(record: &MessageRecord) -> Box<MessageRecord> {
    Box::new(MessageRecord { settled: true, next: Next::Nothing, ..record.clone() })
}
