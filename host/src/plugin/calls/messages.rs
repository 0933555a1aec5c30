//! `relais:plugin/messages`: a message being written, and what is known of those that were sent.
//!
//! A setter only takes note; whether it all goes together is decided by `send` (`send.rs`), which has an answer for it.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use wasmtime::component::Resource;

use super::{Misuse, RunState, duration, instant, timestamp, trouble};
use crate::{
    clock::Timestamp,
    domain::{
        content::{Frame, Seen, Special},
        customer::Channel,
        message::{Attachment, Choice, MediaSource, MessageRecord, Place, SmsPolicy},
        purpose::Purpose,
        run::{Asked, Delivery},
        status::DeliveryState,
    },
    ids::{CustomerId, MessageId},
    plugin::{
        bindings::{messages, types},
        calls::media::media_id,
    },
    rules::Refusal,
};

/// A message being written.
#[derive(Debug, Default)]
#[expect(unreachable_pub, reason = "the generated bindings export it, and can do so only if it is public")]
pub struct Draft {
    pub(super) to: Option<Target>,
    pub(super) purpose: Option<Purpose>,
    pub(super) because: Option<String>,
    pub(super) text: Option<String>,
    pub(super) template: Option<(String, Vec<(String, String)>)>,
    pub(super) attachment: Option<Attachment>,
    pub(super) location: Option<Place>,
    pub(super) choices: Vec<Choice>,
    pub(super) special: Option<Special>,
    pub(super) frame: Frame,
    pub(super) seen: Seen,
    pub(super) sms_text: Option<String>,
    pub(super) sms: SmsPolicy,
    pub(super) fallback_after: Option<Duration>,
    pub(super) expires: Option<Timestamp>,
    pub(super) dedup_key: Option<String>,
    pub(super) locale: Option<String>,
    pub(super) tag: Option<String>,
    pub(super) quote: Option<MessageId>,
    /// The first thing that was wrong with what a setter was given.
    pub(super) problem: Option<Refusal>,
    pub(super) sent: Option<MessageId>,
}

#[derive(Clone, Debug)]
pub(crate) enum Target {
    Customer(CustomerId),
    Phone(String),
    Answer(String),
}

impl Draft {
    pub(super) fn bad(&mut self, problem: String) {
        self.problem.get_or_insert(Refusal::BadContent(problem));
    }
}

impl RunState {
    fn new_draft(&mut self, to: Target, purpose: Purpose) -> wasmtime::Result<Resource<Draft>> {
        self.call()?;
        Ok(self.table.push(Draft { to: Some(to), purpose: Some(purpose), ..Draft::default() })?)
    }

    /// A setter: counts the call and what the draft holds from now on, then takes note.
    pub(super) fn note_down(
        &mut self,
        draft: &Resource<Draft>,
        bytes: usize,
        set: impl FnOnce(&mut Draft),
    ) -> wasmtime::Result<()> {
        self.call()?;
        self.effect(bytes)?;
        set(self.table.get_mut(draft)?);
        Ok(())
    }
}

impl messages::HostDraft for RunState {
    fn to_customer(&mut self, id: String, purpose: messages::Purpose) -> wasmtime::Result<Resource<Draft>> {
        self.new_draft(Target::Customer(CustomerId::new(id)), domain_purpose(purpose))
    }

    fn to_phone(&mut self, number: String, purpose: messages::Purpose) -> wasmtime::Result<Resource<Draft>> {
        self.new_draft(Target::Phone(number), domain_purpose(purpose))
    }

    fn answer(&mut self, to: String) -> wasmtime::Result<Resource<Draft>> {
        self.new_draft(Target::Answer(to), Purpose::Reply)
    }

    fn because(&mut self, draft: Resource<Draft>, reference: String) -> wasmtime::Result<()> {
        self.note_down(&draft, reference.len(), |draft| draft.because = Some(reference))
    }

    fn text(&mut self, draft: Resource<Draft>, text: String) -> wasmtime::Result<()> {
        self.note_down(&draft, text.len(), |draft| draft.text = Some(text))
    }

    fn template(&mut self, draft: Resource<Draft>, name: String, params: types::Attributes) -> wasmtime::Result<()> {
        let bytes = name.len() + params.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
        self.note_down(&draft, bytes, |draft| draft.template = Some((name, params)))
    }

    fn attach_url(
        &mut self,
        draft: Resource<Draft>,
        url: String,
        mime_type: String,
        filename: Option<String>,
    ) -> wasmtime::Result<()> {
        let bytes = url.len() + mime_type.len() + filename.as_ref().map_or(0, String::len);
        let attachment = Attachment { source: MediaSource::Url(url), mime_type, filename };
        self.note_down(&draft, bytes, |draft| draft.attachment = Some(attachment))
    }

    fn attach_asset(&mut self, draft: Resource<Draft>, path: String) -> wasmtime::Result<()> {
        let plugin = self.plugin.clone();
        let Some(asset) = plugin.assets.get(&path) else {
            let known: Vec<&str> = plugin.assets.keys().map(String::as_str).take(20).collect();
            let problem = format!("the package has no asset `{path}`; in its assets/ there are: {}", known.join(", "));
            return self.note_down(&draft, 0, |draft| draft.bad(problem));
        };
        let attachment = Attachment {
            source: MediaSource::Bytes(asset.base64.to_string()),
            mime_type: asset.mime_type.to_owned(),
            filename: path.rsplit('/').next().map(str::to_owned),
        };
        self.note_down(&draft, asset.base64.len(), |draft| draft.attachment = Some(attachment))
    }

    fn attach_bytes(
        &mut self,
        draft: Resource<Draft>,
        content: Vec<u8>,
        mime_type: String,
        filename: Option<String>,
    ) -> wasmtime::Result<()> {
        let base64 = BASE64.encode(content);
        let bytes = base64.len() + mime_type.len() + filename.as_ref().map_or(0, String::len);
        let attachment = Attachment { source: MediaSource::Bytes(base64), mime_type, filename };
        self.note_down(&draft, bytes, |draft| draft.attachment = Some(attachment))
    }

    fn location(&mut self, draft: Resource<Draft>, place: types::Place) -> wasmtime::Result<()> {
        let types::Place { latitude, longitude, name, address } = place;
        let bytes = name.as_ref().map_or(0, String::len) + address.as_ref().map_or(0, String::len);
        let place = Place { latitude, longitude, name, address };
        self.note_down(&draft, bytes, |draft| draft.location = Some(place))
    }

    fn choices(&mut self, draft: Resource<Draft>, choices: Vec<messages::Choice>) -> wasmtime::Result<()> {
        let choices = choices.into_iter().map(choice).collect::<Result<Vec<Choice>, Misuse>>()?;
        let bytes = choices.iter().map(choice_bytes).sum();
        self.note_down(&draft, bytes, |draft| draft.choices = choices)
    }

    fn content(&mut self, draft: Resource<Draft>, kind: String, data: String) -> wasmtime::Result<()> {
        self.take_content(&draft, &kind, &data)
    }

    fn sms_text(&mut self, draft: Resource<Draft>, text: String) -> wasmtime::Result<()> {
        self.note_down(&draft, text.len(), |draft| draft.sms_text = Some(text))
    }

    fn no_sms(&mut self, draft: Resource<Draft>) -> wasmtime::Result<()> {
        self.note_down(&draft, 0, |draft| draft.sms = SmsPolicy::Never)
    }

    fn fallback_after(&mut self, draft: Resource<Draft>, wait: f64) -> wasmtime::Result<()> {
        let wait = duration("draft.fallback-after", wait)?;
        self.note_down(&draft, 0, |draft| draft.fallback_after = Some(wait))
    }

    fn sms_only(&mut self, draft: Resource<Draft>) -> wasmtime::Result<()> {
        self.note_down(&draft, 0, |draft| draft.sms = SmsPolicy::Only)
    }

    fn expires(&mut self, draft: Resource<Draft>, at: f64) -> wasmtime::Result<()> {
        let at = timestamp("draft.expires", at)?;
        self.note_down(&draft, 0, |draft| draft.expires = Some(at))
    }

    fn dedup_key(&mut self, draft: Resource<Draft>, key: String) -> wasmtime::Result<()> {
        self.key("draft.dedup-key", &key)?;
        self.note_down(&draft, key.len(), |draft| draft.dedup_key = Some(key))
    }

    fn locale(&mut self, draft: Resource<Draft>, tag: String) -> wasmtime::Result<()> {
        self.note_down(&draft, tag.len(), |draft| draft.locale = Some(tag))
    }

    fn tag(&mut self, draft: Resource<Draft>, tag: String) -> wasmtime::Result<()> {
        self.note_down(&draft, tag.len(), |draft| draft.tag = Some(tag))
    }

    fn quote(&mut self, draft: Resource<Draft>, id: String) -> wasmtime::Result<()> {
        self.note_down(&draft, 0, |draft| match id.parse() {
            Ok(id) => draft.quote = Some(id),
            Err(error) => draft.bad(format!("`quote`: {error}")),
        })
    }

    fn setting(&mut self, draft: Resource<Draft>, name: String, value: String) -> wasmtime::Result<()> {
        self.take_setting(&draft, &name, value)
    }

    async fn send(&mut self, draft: Resource<Draft>) -> wasmtime::Result<Result<String, messages::SendError>> {
        self.call()?;
        self.send_draft(&draft).await
    }

    fn drop(&mut self, draft: Resource<Draft>) -> wasmtime::Result<()> {
        self.table.delete(draft)?;
        Ok(())
    }
}

impl messages::Host for RunState {
    async fn cancel(&mut self, id: String) -> wasmtime::Result<()> {
        self.call()?;
        let Ok(id) = id.parse::<MessageId>() else {
            return Err(Misuse(format!("messages.cancel: `{id}` is no id of a message")).into());
        };
        let own = self.outcome.messages.iter().any(|message| message.id == id) || self.sent_before(id).await?.is_some();
        if !own {
            self.note(&format!("messages.cancel: {id} is no message of this plugin; nothing was done"));
        } else if !self.outcome.cancels.contains(&id) {
            self.outcome.cancels.push(id);
        }
        Ok(())
    }

    async fn status(&mut self, id: String) -> wasmtime::Result<Option<messages::Delivery>> {
        self.call()?;
        let Ok(id) = id.parse::<MessageId>() else { return Ok(None) };
        if let Some(message) = self.outcome.messages.iter().find(|message| message.id == id) {
            return Ok(Some(messages::Delivery {
                id: id.to_string(),
                tag: message.tag.clone(),
                customer: message.to.customer().map(ToString::to_string),
                state: messages::DeliveryState::Pending,
                settled: false,
                channel: first_channel(message.sms).as_str().to_owned(),
                time: instant(self.now),
                code: None,
                detail: None,
                attributes: Vec::new(),
            }));
        }
        Ok(self.sent_before(id).await?.map(|record| guest_delivery(&as_delivery(&record))))
    }

    async fn media(&mut self, id: String) -> wasmtime::Result<Option<Vec<u8>>> {
        self.call()?;
        self.file_of_a_customer(&id).await
    }
}

impl RunState {
    /// A message that an earlier run of this plugin sent.
    async fn sent_before(&mut self, id: MessageId) -> wasmtime::Result<Option<MessageRecord>> {
        self.asks(Asked::Message(id));
        let found = self.shared.store.message(&self.work.run.key.tenant, id).await.map_err(trouble)?;
        let own = |record: &MessageRecord| {
            record.message.author.as_ref().is_some_and(|author| author.plugin == *self.plugin.name())
        };
        Ok(found.filter(own))
    }
}

/// A setting that is not known would be lost, so the run ends over it, as the contract says.
fn choice(given: messages::Choice) -> Result<Choice, Misuse> {
    let mut choice = Choice::new(given.id, given.label);
    for (name, value) in given.attributes {
        match name.as_str() {
            "description" => choice.description = Some(value),
            "section" => choice.section = Some(value),
            _ => {
                let known = "it knows description and section";
                return Err(Misuse(format!("draft.choices: this host knows no setting `{name}`; {known}")));
            }
        }
    }
    Ok(choice)
}

pub(super) fn choice_bytes(choice: &Choice) -> usize {
    let more = [&choice.description, &choice.section].into_iter().flatten().map(String::len).sum::<usize>();
    choice.id.len() + choice.label.len() + more
}

fn first_channel(sms: SmsPolicy) -> Channel {
    if sms == SmsPolicy::Only { Channel::Sms } else { Channel::Whatsapp }
}

/// A message's record in the form in which deliveries are told.
fn as_delivery(record: &MessageRecord) -> Delivery {
    let last = record.attempts.last();
    let failure = last.and_then(|attempt| attempt.failure.as_ref());
    Delivery {
        message: record.message.id,
        tag: record.message.tag.clone(),
        customer: record.message.to.customer().cloned(),
        state: record.state,
        settled: record.settled,
        channel: last.map_or(first_channel(record.message.sms), |attempt| attempt.channel),
        time: last.map_or(record.message.created, |attempt| attempt.answered.unwrap_or(attempt.planned)),
        code: record.code.clone().or_else(|| failure.map(|failure| failure.code.clone())),
        detail: failure.and_then(|failure| failure.detail.clone()),
    }
}

/// A delivery in the words of the contract.
pub(crate) fn guest_delivery(delivery: &Delivery) -> messages::Delivery {
    messages::Delivery {
        id: delivery.message.to_string(),
        tag: delivery.tag.clone(),
        customer: delivery.customer.as_ref().map(ToString::to_string),
        state: match delivery.state {
            DeliveryState::Pending => messages::DeliveryState::Pending,
            DeliveryState::Sent => messages::DeliveryState::Sent,
            DeliveryState::Delivered => messages::DeliveryState::Delivered,
            DeliveryState::Read => messages::DeliveryState::Read,
            DeliveryState::FallingBack => messages::DeliveryState::FallingBack,
            DeliveryState::Failed => messages::DeliveryState::Failed,
            DeliveryState::Expired => messages::DeliveryState::Expired,
            DeliveryState::Cancelled => messages::DeliveryState::Cancelled,
        },
        settled: delivery.settled,
        channel: delivery.channel.as_str().to_owned(),
        time: instant(delivery.time),
        code: delivery.code.clone(),
        detail: delivery.detail.clone(),
        attributes: Vec::new(),
    }
}

/// What a customer wrote, in the words of the contract. Who may not have numbers gets none.
pub(crate) fn guest_incoming(incoming: &crate::domain::run::Incoming, phone: bool) -> messages::Incoming {
    let place = |place: &Place| types::Place {
        latitude: place.latitude,
        longitude: place.longitude,
        name: place.name.clone(),
        address: place.address.clone(),
    };
    let media = |(place, media): (usize, &crate::domain::run::IncomingMedia)| messages::IncomingMedia {
        id: media_id(incoming.id, place),
        mime_type: media.mime_type.clone(),
        size: media.size,
        filename: media.filename.clone(),
        attributes: Vec::new(),
    };
    let named = incoming.sender_name.iter().map(|name| ("sender-name".to_owned(), name.clone()));
    messages::Incoming {
        id: incoming.id.to_string(),
        customer: incoming.customer.as_ref().map(ToString::to_string),
        sender: phone.then(|| incoming.sender.clone()),
        channel: incoming.channel.as_str().to_owned(),
        time: instant(incoming.time),
        kind: incoming.kind.clone(),
        text: incoming.text.clone(),
        choice: incoming.choice.clone(),
        media: incoming.media.iter().enumerate().map(media).collect(),
        location: incoming.location.as_ref().map(place),
        in_reply_to: incoming.in_reply_to.as_ref().map(ToString::to_string),
        tag: incoming.tag.clone(),
        opening: incoming.opening,
        window_ends: incoming.window_ends.map(instant),
        attributes: named.chain(incoming.attributes.iter().cloned()).collect(),
    }
}

fn domain_purpose(purpose: messages::Purpose) -> Purpose {
    match purpose {
        messages::Purpose::Reply => Purpose::Reply,
        messages::Purpose::Confirmation => Purpose::Confirmation,
        messages::Purpose::Alert => Purpose::Alert,
        messages::Purpose::Reminder => Purpose::Reminder,
    }
}
