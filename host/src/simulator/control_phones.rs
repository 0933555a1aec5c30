//! What a person does with a phone: write, tap, go offline and come back.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};

use super::{
    Button, Channel, Content, Entry, EntryMedia, Error, Phone, Place, Provider, Simulator, Ticks, Write, cm, delivery,
    meta, meta_hooks, phones, smsc,
    threads::Thread,
    twilio,
    webhooks::{self, About, Outgoing},
};

/// The smallest picture there is, one transparent point: what a phone sends where no link is given.
const PICTURE: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89\0\0\0\rIDATx\xdac\xfc\xff\xff?\x03\0\x08\xfc\x02\xfe\xa7\x9a\xa0\xa0\0\0\0\0IEND\xaeB`\x82";

impl Simulator {
    pub fn phones(&self) -> Vec<Phone> {
        self.phones.all()
    }

    /// Adds a phone or changes it. What waits for it is delivered if it is online now.
    pub fn put_phone(self: &Arc<Self>, phone: Phone) -> Result<(), Error> {
        let number = phones::e164(&phone.number).ok_or_else(|| Error::Field {
            field: "number",
            problem: format!(
                "`{}` is not a number with a plus and the country code, such as +33639981201",
                phone.number
            ),
        })?;
        self.phones.put(Phone { number: number.clone(), ..phone });
        self.after_change(&number)
    }

    pub fn set_online(self: &Arc<Self>, number: &str, online: bool) -> Result<(), Error> {
        self.phones.with(number, |state| state.phone.online = online)?;
        self.after_change(number)
    }

    /// Shows the change of a phone, and delivers what waited for it.
    pub(crate) fn after_change(self: &Arc<Self>, number: &str) -> Result<(), Error> {
        let waiting = self
            .phones
            .with(number, |state| if state.phone.online { delivery::take_waiting(state) } else { Vec::new() })?;
        let view = self.phone_view(number)?;
        self.stream.send("phone", || view);
        delivery::deliver_waiting(self, waiting);
        Ok(())
    }

    /// A phone with what is known about it: how many messages wait, and whether the 24-hour windows are open.
    pub fn phone_view(&self, number: &str) -> Result<Value, Error> {
        let now = self.now();
        self.phones.with(number, |state| {
            let mut view = json!(state.phone);
            let open: Vec<Provider> = [Provider::Meta, Provider::Cm, Provider::Twilio]
                .into_iter()
                .filter(|provider| state.wrote_at.get(provider).is_some_and(|at| now.since(*at).as_secs() < 24 * 3600))
                .collect();
            if let Some(fields) = view.as_object_mut() {
                fields.insert("waiting".into(), state.waiting.len().into());
                fields.insert("window_open".into(), json!(open));
            }
            view
        })
    }

    /// Opens or closes the 24-hour windows without a message.
    pub fn set_window(&self, number: &str, open: bool) -> Result<(), Error> {
        let now = self.now();
        self.phones.with(number, |state| {
            state.wrote_at.clear();
            if open {
                state.wrote_at.extend([Provider::Meta, Provider::Cm, Provider::Twilio].map(|provider| (provider, now)));
            }
        })
    }

    /// What is on the screen, WhatsApp and SMS apart.
    pub fn thread(&self, number: &str) -> Result<Value, Error> {
        self.phones.with(
            number,
            |state| json!({"number": number, "whatsapp": state.whatsapp.entries(), "sms": state.sms.entries()}),
        )
    }

    /// The phone writes. Returns once the bubble is on its screen; the webhook goes out by itself.
    pub async fn write(self: &Arc<Self>, number: &str, write: Write) -> Result<Entry, Error> {
        let channel = self.channel_for(number, write.channel)?;
        let default = if channel == Channel::Whatsapp { Provider::Meta } else { Provider::Cm };
        let last = self.phones.with(number, |state| state.last_provider.get(&channel).copied())?;
        let provider = write.provider.or(last).unwrap_or(default);
        if channel == Channel::Sms && provider == Provider::Meta {
            return Err(Error::Field { field: "provider", problem: "meta has no SMS; use cm, twilio or smpp".into() });
        }
        if channel == Channel::Whatsapp && provider == Provider::Smpp {
            return Err(Error::Field { field: "provider", problem: "smpp has no WhatsApp".into() });
        }
        let content = self.compose(channel, provider, write)?;
        let kind = content.kind.clone();
        let own = of_meta(&kind, &content, None);
        self.say(number, channel, provider, content, own)
    }

    /// The phone taps a button, named by its id or title, of a message (or of the newest one that has buttons).
    pub async fn tap(self: &Arc<Self>, number: &str, message_id: Option<&str>, button: &str) -> Result<Entry, Error> {
        self.channel_for(number, Some(Channel::Whatsapp))?;
        let tapped = self.phones.with(number, |state| {
            let thread: &mut Thread = &mut state.whatsapp;
            let entry = match message_id {
                Some(id) => thread.find_mut(id),
                None => thread.newest_with_buttons(),
            };
            let entry = entry.filter(|entry| entry.ticks.delivered_at.is_some())?;
            let found =
                entry.content.buttons.iter().find(|found| found.id == button || found.title == button).cloned()?;
            entry.tapped = Some(found.id.clone());
            Some((entry.clone(), found))
        })?;
        let (entry, found) = tapped
            .ok_or_else(|| Error::Refused(format!("no message on the screen of {number} has a button `{button}`")))?;
        if found.kind == "url" {
            return Err(Error::Refused(format!("the button `{button}` opens a link; nothing is sent")));
        }
        delivery::show(self, number, &entry);
        let kind = if found.kind == "row" { "list-reply" } else { "button-reply" };
        let content = Content {
            kind: kind.into(),
            quotes: Some(entry.id.clone()),
            buttons: vec![found.clone()],
            ..Content::text(found.title.clone())
        };
        let own = of_meta(kind, &content, Some(&found));
        self.say(number, Channel::Whatsapp, entry.provider, content, own)
    }

    /// The channel that is meant, if the phone can use it now.
    fn channel_for(&self, number: &str, wanted: Option<Channel>) -> Result<Channel, Error> {
        self.phones.with(number, |state| {
            let phone = &state.phone;
            let channel = wanted.unwrap_or(if phone.whatsapp { Channel::Whatsapp } else { Channel::Sms });
            let problem = match channel {
                Channel::Whatsapp if !phone.whatsapp => "has no WhatsApp",
                Channel::Whatsapp if !phone.online => "is offline, so it cannot use WhatsApp",
                Channel::Sms if !phone.sms => "has no SMS",
                Channel::Whatsapp | Channel::Sms => return Ok(channel),
            };
            Err(Error::Refused(format!("the phone {number} {problem}")))
        })?
    }

    fn compose(&self, channel: Channel, provider: Provider, write: Write) -> Result<Content, Error> {
        let parts = [write.text.is_some(), write.image.is_some(), write.location.is_some()];
        if parts.iter().filter(|part| **part).count() != 1 {
            return Err(Error::Field { field: "text", problem: "give exactly one of text, image and location".into() });
        }
        let mut content = if let Some(picture) = write.image {
            let media = self.picture(provider, picture.url)?;
            Content { kind: "image".into(), text: picture.caption, media: vec![media], ..Content::default() }
        } else if let Some(spot) = write.location {
            let place =
                Place { latitude: spot.latitude, longitude: spot.longitude, name: spot.name, address: spot.address };
            Content { kind: "location".into(), place: Some(place), ..Content::default() }
        } else {
            Content::text(write.text.unwrap_or_default())
        };
        if channel == Channel::Sms && content.kind != "text" {
            return Err(Error::Field { field: "channel", problem: "only text can be written by SMS".into() });
        }
        content.quotes = write.quotes;
        Ok(content)
    }

    /// Meta gives an id for a file, the others a link.
    fn picture(&self, provider: Provider, url: Option<String>) -> Result<EntryMedia, Error> {
        let mime_type = Some("image/png".to_owned());
        if provider == Provider::Meta {
            let id = self.ids.media();
            self.media.put(id.clone(), Bytes::from_static(PICTURE), "image/png".into());
            return Ok(EntryMedia {
                kind: "image".into(),
                url: Some(format!("/sim/media/{id}")),
                id: Some(id),
                filename: None,
                mime_type,
            });
        }
        let url = url.ok_or_else(|| Error::Field {
            field: "image.url",
            problem: "cm and twilio pass on a link; give one".into(),
        })?;
        Ok(EntryMedia { kind: "image".into(), url: Some(url), id: None, filename: None, mime_type })
    }

    /// Puts what the phone says on its screen and has the provider post it.
    fn say(
        self: &Arc<Self>,
        number: &str,
        channel: Channel,
        provider: Provider,
        content: Content,
        own: Value,
    ) -> Result<Entry, Error> {
        let now = self.now();
        let id = match provider {
            Provider::Meta => self.ids.wamid_in(number),
            Provider::Cm => format!("cm-{}", self.ids.reference()),
            Provider::Twilio => self.ids.sid("SM"),
            Provider::Smpp => format!("smpp-{}", self.ids.reference()),
        };
        let mut entry = Entry {
            seq: 0,
            id: id.clone(),
            from_phone: true,
            provider,
            channel,
            business: self.business(provider),
            token: None,
            content: content.clone(),
            ticks: Ticks { accepted_at: Some(now), ..Ticks::default() },
            tapped: None,
        };
        let name = self.phones.with(number, |state| {
            if channel == Channel::Whatsapp {
                state.wrote_at.insert(provider, now);
            } else if let (Provider::Twilio, Some(stops)) = (provider, content.text.as_deref().and_then(twilio::stops))
            {
                state.phone.stopped = stops;
            }
            entry.seq = state.thread_mut(channel).push(entry.clone(), self.phones.entries_max());
            state.phone.name.clone()
        })?;
        delivery::show(self, number, &entry);
        self.after_change(number)?;
        let outgoing = match provider {
            Provider::Meta => meta_hooks::message(self, number, &name, &id, self.complete(own, &content)),
            Provider::Cm => cm::incoming(self, number, &name, channel, &content),
            Provider::Twilio => twilio::incoming(self, number, &name, &id, channel, &content),
            Provider::Smpp => {
                smsc::deliver::incoming(self, number, &content);
                None
            }
        };
        if let Some((url, parcel)) = outgoing {
            let about = About { id, number: number.to_owned(), token: None, status: None };
            let this = Arc::clone(self);
            self.spawn(async move { webhooks::post(&this, Outgoing { url, parcel, about }).await });
        }
        Ok(entry)
    }

    fn business(&self, provider: Provider) -> String {
        match provider {
            Provider::Meta => self.options.meta.display_phone_number.clone(),
            Provider::Cm => self.options.cm.number.clone(),
            Provider::Twilio => self.options.twilio.number.clone(),
            Provider::Smpp => self.options.smpp.number.clone(),
        }
    }

    /// Adds to Meta's message what is known here alone: whom it quotes, and the hash of its file.
    fn complete(&self, mut own: Value, content: &Content) -> Value {
        let Some(fields) = own.as_object_mut() else { return own };
        if let Some(quoted) = &content.quotes {
            let from = &self.options.meta.display_phone_number;
            fields.insert("context".into(), json!({"from": from, "id": quoted}));
        }
        let id = content.media.first().and_then(|media| media.id.clone());
        if let (Some(id), Some(image)) = (id, fields.get_mut("image").and_then(Value::as_object_mut)) {
            if let Some(file) = self.media.get(&id) {
                image.insert("sha256".into(), meta::sha256_base64(&file.sha256).into());
            }
            image.insert("id".into(), id.into());
        }
        own
    }
}

/// What depends on the type in a message that Meta posts.
fn of_meta(kind: &str, content: &Content, tapped: Option<&Button>) -> Value {
    let text = content.text.clone().unwrap_or_default();
    match (kind, tapped, &content.place) {
        ("list-reply", Some(row), _) => {
            let reply = json!({"id": row.id, "title": row.title, "description": row.description});
            json!({"type": "interactive", "interactive": {"type": "list_reply", "list_reply": reply}})
        }
        (_, Some(button), _) if button.kind == "quick-reply" => {
            json!({"type": "button", "button": {"payload": button.id, "text": button.title}})
        }
        (_, Some(button), _) => {
            let reply = json!({"id": button.id, "title": button.title});
            json!({"type": "interactive", "interactive": {"type": "button_reply", "button_reply": reply}})
        }
        (_, None, Some(place)) => {
            let mut location = json!({"latitude": place.latitude, "longitude": place.longitude});
            if let Some(fields) = location.as_object_mut() {
                fields.extend(place.name.clone().map(|name| ("name".to_owned(), name.into())));
                fields.extend(place.address.clone().map(|address| ("address".to_owned(), address.into())));
            }
            json!({"type": "location", "location": location})
        }
        ("image", None, None) => {
            let mut image = json!({"mime_type": "image/png"});
            if let (Some(fields), Some(caption)) = (image.as_object_mut(), &content.text) {
                fields.insert("caption".into(), caption.as_str().into());
            }
            json!({"type": "image", "image": image})
        }
        _ => json!({"type": "text", "text": {"body": text}}),
    }
}
