//! What happens in a step, done to the desk by the host's own verbs.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::{Context as _, bail};
use axum::http::{HeaderMap, HeaderName, HeaderValue};

use super::{
    desk::Desk,
    format::{Customer, Does, Event, Receipt, ReceiptState, Tap, Trigger, Write, json},
    phones::provider,
};
use crate::{
    channel::IncomingReport,
    clock::Timestamp,
    domain::{
        customer::{Address, Channel, Consent, ConsentScope},
        event,
        message::{AttemptFailure, MessageRecord, Remember, Retry, SmsVerdict},
        run::{Incoming, IncomingMedia},
        status::{AttemptState, MessageState},
    },
    ids::{AttemptToken, CustomerId, EventId, MessageId},
    receipt::keywords,
    store::{self, CustomerProfile, MessageChange, MessageChangeKind, NewIncoming, RoutedEvent, Store},
};

/// Whom the scenario knows, with the number that stands for them, and the messages that it has named.
pub(super) struct People {
    customers: BTreeMap<String, (Customer, String)>,
    pub(super) names: BTreeMap<String, MessageId>,
    /// Customers of this scenario so far, and what they have written.
    numbers: u32,
    written: u32,
}

/// What a step did.
pub(super) enum Did {
    Happened,
    /// An event set off nothing; why.
    Unwanted(String),
}

impl People {
    pub(super) fn new() -> People {
        People { customers: BTreeMap::new(), names: BTreeMap::new(), numbers: 0, written: 0 }
    }

    fn number(&self, customer: &str) -> anyhow::Result<&str> {
        let known = || self.customers.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        let found = self.customers.get(customer).map(|(_, number)| number.as_str());
        found.with_context(|| {
            format!("no customer `{customer}`: add a [[customer]] with that id; there are: {}", known())
        })
    }

    /// Who writes from a channel where the step does not say.
    fn channel_of(&self, customer: &str) -> Channel {
        let channels = self.customers.get(customer).and_then(|(customer, _)| customer.channels.as_ref());
        channels.and_then(|channels| channels.first().copied()).unwrap_or(Channel::Whatsapp)
    }

    /// What is known of a customer, or changes: only what is given.
    pub(super) async fn know(&mut self, desk: &Desk, given: &Customer) -> anyhow::Result<()> {
        let (mut customer, mut number) = match self.customers.remove(&given.id) {
            Some(known) => known,
            None => {
                self.numbers += 1;
                // From a range that is set aside for fiction.
                (Customer { id: given.id.clone(), ..Customer::default() }, format!("+3363998{:04}", self.numbers))
            }
        };
        let first = customer.channels.is_none();
        merge(&mut customer, given);
        if let Some(phone) = &given.phone {
            number.clone_from(phone);
        }
        let channels = customer.channels.get_or_insert_with(|| Channel::ALL.to_vec());
        let now = desk.now();
        let open = (given.window == Some(true)).then(|| now.minus(Duration::from_secs(3600)));
        let address = |channel: &Channel| Address {
            channel: *channel,
            address: number.clone(),
            last_incoming: open.filter(|_| *channel == Channel::Whatsapp),
            unusable_until: None,
            free_until: None,
        };
        let profile = CustomerProfile {
            name: customer.name.clone(),
            locale: customer.locale.clone(),
            timezone: customer.timezone.clone(),
            attributes: customer.attributes.clone().unwrap_or_default(),
            addresses: channels.iter().map(address).collect(),
            consents: consents(&customer, given, first, now),
            standing: Vec::new(),
        };
        let id = CustomerId::from(given.id.as_str());
        desk.store.put_customer(&desk.tenant, &id, profile, now).await?;
        self.customers.insert(given.id.clone(), (customer, number));
        Ok(())
    }

    pub(super) async fn step(&mut self, desk: &Desk, no: usize, does: &Does) -> anyhow::Result<Did> {
        match does {
            Does::Event(event) => return post(desk, cloud_event(desk, no, event)).await,
            Does::Trigger(trigger) => return post(desk, triggered(desk, trigger)?).await,
            Does::Advance(length) => desk.advance_to(desk.now().plus(length.0)).await?,
            Does::AdvanceTo(moment) if moment.0 < desk.now() => {
                bail!("`advance-to` is {}, and it is {} already; time goes forward only", moment.0, desk.now())
            }
            Does::AdvanceTo(moment) => desk.advance_to(moment.0).await?,
            Does::Receipt(receipt) => self.receipt(desk, receipt).await?,
            Does::Write(write) => self.write(desk, write).await?,
            Does::Tap(tap) => self.tap(desk, tap).await?,
            Does::Customer(customer) => self.know(desk, customer).await?,
        }
        desk.settle().await?;
        Ok(Did::Happened)
    }

    async fn named(&self, desk: &Desk, name: &str) -> anyhow::Result<MessageRecord> {
        let missing = || format!("no message was called `{name}`: the step that should have brought it brought none");
        let id = self.names.get(name).with_context(missing)?;
        desk.store.message(&desk.tenant, *id).await?.with_context(missing)
    }

    async fn receipt(&self, desk: &Desk, receipt: &Receipt) -> anyhow::Result<()> {
        let record = self.named(desk, &receipt.message).await?;
        let (state, sms) = match receipt.state {
            ReceiptState::Sent => (AttemptState::Sent, None),
            ReceiptState::Delivered => (AttemptState::Delivered, None),
            ReceiptState::Read => (AttemptState::Read, None),
            ReceiptState::FallingBack => (AttemptState::Failed, Some(SmsVerdict::Yes)),
            ReceiptState::Failed => (AttemptState::Failed, Some(SmsVerdict::No)),
            ReceiptState::Expired => return end(desk, &record, MessageState::Expired, receipt).await,
            ReceiptState::Cancelled => return end(desk, &record, MessageState::Cancelled, receipt).await,
        };
        let attempts = record.attempts.iter().rev();
        let attempt =
            attempts.into_iter().find(|attempt| receipt.channel.is_none_or(|channel| channel == attempt.channel));
        let Some(attempt) = attempt else {
            bail!("`{}` was never sent there, so nothing can be heard of it", receipt.message)
        };
        let failure = sms.map(|sms| AttemptFailure {
            code: receipt.code.clone().unwrap_or_else(|| "undeliverable".to_owned()),
            provider_code: receipt.code.clone(),
            detail: receipt.detail.clone(),
            retry: Retry::Never,
            sms,
            remember: Remember::Nothing,
        });
        let heard = store::Receipt {
            tenant: desk.tenant.clone(),
            provider: attempt.provider.clone(),
            token: Some(AttemptToken { message: record.message.id, attempt: attempt.no }),
            provider_id: attempt.provider_id.clone(),
            state,
            time: desk.now(),
            failure,
            pricing: None,
        };
        desk.store.record_receipts(vec![heard], desk.now()).await?;
        Ok(())
    }

    async fn write(&mut self, desk: &Desk, write: &Write) -> anyhow::Result<()> {
        let number = self.number(&write.customer)?.to_owned();
        let answered = match &write.answers {
            Some(name) => Some(self.named(desk, name).await?),
            None => None,
        };
        let last = answered.as_ref().and_then(|record| record.attempts.last());
        let channel =
            write.channel.or(last.map(|attempt| attempt.channel)).unwrap_or_else(|| self.channel_of(&write.customer));
        let media = write.media.iter().enumerate().map(|(no, media)| IncomingMedia {
            id: format!("media-{}", no + 1),
            mime_type: media.mime_type.clone(),
            size: media.size,
            filename: media.filename.clone(),
            sha256: None,
        });
        let report = IncomingReport {
            quoted: last.and_then(|attempt| attempt.provider_id.clone()),
            kind: write.kind.clone().unwrap_or_else(|| "text".to_owned()),
            media: media.collect(),
            ..self.report(channel, number, write.text.clone())
        };
        self.heard(desk, report).await
    }

    /// As the telephone does it: a button on WhatsApp, a number by SMS.
    async fn tap(&mut self, desk: &Desk, tap: &Tap) -> anyhow::Result<()> {
        let record = self.named(desk, &tap.message).await?;
        let customer = record.message.to.lane().to_owned();
        let number = self.number(&customer)?.to_owned();
        let Some(attempt) = record.attempts.last() else { bail!("`{}` was not sent", tap.message) };
        let buttons = button_labels(&record);
        let place = buttons.iter().position(|(id, _)| *id == tap.choice);
        let Some((place, (id, label))) = place.and_then(|place| Some((place, buttons.get(place)?.clone()))) else {
            let ids = buttons.iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>().join(", ");
            bail!("`{}` has no choice `{}`; it has: {ids}", tap.message, tap.choice)
        };
        let report = match attempt.channel {
            Channel::Whatsapp => IncomingReport {
                kind: "choice".to_owned(),
                choice: Some(id),
                quoted: attempt.provider_id.clone(),
                ..self.report(attempt.channel, number, label)
            },
            Channel::Sms => self.report(attempt.channel, number, (place + 1).to_string()),
        };
        self.heard(desk, report).await
    }

    fn report(&mut self, channel: Channel, sender: String, text: String) -> IncomingReport {
        self.written += 1;
        IncomingReport {
            channel,
            to: None,
            sender,
            sender_id: None,
            sender_name: None,
            provider_id: format!("written-{}", self.written),
            time: None,
            kind: "text".to_owned(),
            text,
            choice: None,
            media: Vec::new(),
            location: None,
            quoted: None,
            attributes: Vec::new(),
        }
    }

    async fn heard(&self, desk: &Desk, report: IncomingReport) -> anyhow::Result<()> {
        let (now, provider) = (desk.now(), provider(report.channel));
        let consent = keywords::consent(&report, now, &crate::rules::keywords::Keywords::default());
        let incoming = Incoming {
            id: MessageId::of_incoming(&desk.tenant, provider, &report.provider_id),
            tenant: desk.tenant.clone(),
            customer: None,
            sender: report.sender,
            sender_id: report.sender_id,
            sender_name: report.sender_name,
            channel: report.channel,
            provider: provider.to_owned(),
            account: None,
            provider_id: report.provider_id,
            time: now,
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
        let new = NewIncoming { incoming, others: desk.plugins.listeners(), consent, free_until: None };
        desk.store.record_incoming(vec![new], now).await?;
        Ok(())
    }
}

fn merge(customer: &mut Customer, given: &Customer) {
    fn over<T: Clone>(known: &mut Option<T>, given: &Option<T>) {
        if given.is_some() {
            known.clone_from(given);
        }
    }
    over(&mut customer.name, &given.name);
    over(&mut customer.locale, &given.locale);
    over(&mut customer.timezone, &given.timezone);
    over(&mut customer.attributes, &given.attributes);
    over(&mut customer.channels, &given.channels);
}

/// What the customer has said, where the step says that they said something.
fn consents(customer: &Customer, given: &Customer, first: bool, now: Timestamp) -> Vec<Consent> {
    let said =
        |channel, scope, granted| Consent { channel, scope, granted, source: "the scenario".to_owned(), at: now };
    let channels = customer.channels.clone().unwrap_or_default();
    let mut all = Vec::new();
    if let Some(stopped) = &given.stopped {
        // At the beginning nobody has said anything: only a STOP is one.
        let told = channels.iter().filter(|channel| !first || stopped.contains(channel));
        all.extend(told.map(|channel| said(*channel, ConsentScope::Service, !stopped.contains(channel))));
    }
    if let Some(agreed) = given.marketing {
        all.extend(channels.iter().map(|channel| said(*channel, ConsentScope::Marketing, agreed)));
    }
    all
}

/// Ids and labels of what can be tapped: the choices, or the template's buttons where a template went out.
fn button_labels(record: &MessageRecord) -> Vec<(String, String)> {
    let content = &record.message.content;
    if !content.choices.is_empty() {
        return content.choices.iter().map(|choice| (choice.id.clone(), choice.label.clone())).collect();
    }
    let buttons = content.template.iter().flat_map(|template| &template.buttons);
    buttons.map(|id| (id.clone(), id.clone())).collect()
}

fn cloud_event(desk: &Desk, no: usize, given: &Event) -> event::Event {
    let (source, source_id) =
        (given.source.as_deref().unwrap_or("/scenario"), given.id.clone().unwrap_or_else(|| no.to_string()));
    let data = given.data.as_ref().map_or(serde_json::Value::Null, json);
    let mut attributes = vec![("datacontenttype".to_owned(), "application/json".to_owned())];
    attributes.extend(given.attributes.clone());
    event::Event {
        id: EventId::of(&desk.tenant, source, &source_id),
        tenant: desk.tenant.clone(),
        source_id,
        source: source.to_owned(),
        event_type: given.event_type.clone(),
        subject: given.subject.clone(),
        time: given.time.map_or(desk.now(), |time| time.0),
        received: desk.now(),
        customer: given.customer.as_deref().map(CustomerId::from),
        data: data.to_string().into(),
        attributes,
        cause: None,
    }
}

fn triggered(desk: &Desk, given: &Trigger) -> anyhow::Result<event::Event> {
    let spec = desk.plugins.trigger(desk.plugin.name().as_str(), &given.name)?;
    let mut headers = HeaderMap::new();
    for (name, value) in &given.headers {
        let name = HeaderName::try_from(name).with_context(|| format!("`{name}` is no header's name"))?;
        headers.insert(name, HeaderValue::try_from(value).with_context(|| format!("`{value}` is no header's value"))?);
    }
    let body = json(&given.body).to_string();
    Ok(spec.event_of(&headers, body.as_bytes(), &desk.tenant, desk.now())?)
}

async fn post(desk: &Desk, event: event::Event) -> anyhow::Result<Did> {
    let event = Arc::new(event);
    let routing = desk.plugins.route(&event);
    let wanted = !routing.runs.is_empty();
    let why = match routing.notes.as_slice() {
        [] => format!("no subscription of the plugin is for `{}`", event.event_type),
        notes => notes.join("; "),
    };
    let routed = RoutedEvent { event: event.clone(), runs: routing.runs, notes: routing.notes };
    let accepted = desk.store.accept_events(vec![routed]).await?;
    if accepted.iter().any(|accepted| accepted.duplicate) {
        return Ok(Did::Unwanted(format!(
            "the event `{}` of `{}` was posted before, so it is a repeat; give it another `id`",
            event.source_id, event.source
        )));
    }
    desk.settle().await?;
    Ok(if wanted { Did::Happened } else { Did::Unwanted(why) })
}

/// What the host itself decides of a message, said by the scenario.
async fn end(desk: &Desk, record: &MessageRecord, state: MessageState, receipt: &Receipt) -> anyhow::Result<()> {
    let why = receipt.detail.as_deref().unwrap_or("the scenario says so");
    let change = MessageChange {
        tenant: desk.tenant.clone(),
        message: record.message.id,
        revision: record.revision,
        kind: MessageChangeKind::Settle {
            state,
            code: Some(receipt.code.clone().unwrap_or_else(|| state.as_str().to_owned())),
            decision: serde_json::json!({ "why": why }),
        },
        now: desk.now(),
    };
    desk.store.change_message(change).await?;
    Ok(())
}
