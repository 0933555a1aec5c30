//! From CM.com's body to messages: each recipient of each message is one of ours.

use serde_json::Value;

use super::Rejection;
use crate::{
    channel::phone,
    clock::Timestamp,
    domain::{
        content::{Card, Link, Special},
        message::{
            Attachment, Because, Choice, Content, MediaKind, MediaSource, NewMessage, Place, Recipient, SmsPolicy,
            Template,
        },
        purpose::{Category, Purpose},
    },
    ids::{MessageId, TenantId},
    ingress::Settings,
};

/// CM.com's own bounds: messages in a request, recipients of one.
const MESSAGES_MAX: usize = 1000;
const RECIPIENTS_MAX: usize = 1000;
/// `from` is at most 11 letters and digits or a number of 16 digits with its plus.
const SENDER_CHARS_MAX: usize = 17;
const REFERENCE_CHARS_MAX: usize = 32;

/// One recipient of one message.
pub(super) struct Leg<'a> {
    pub(super) to: String,
    pub(super) reference: String,
    message: &'a Value,
}

/// Takes the request apart. What is wrong with a single message is found later, and answered for it alone.
pub(super) fn legs(body: &Value) -> Result<Vec<Leg<'_>>, Rejection> {
    let messages = field(body, "messages").filter(|messages| messages.is_object());
    let messages = messages.ok_or_else(|| Rejection::new(202, "The JSON is malformed: it has no object `messages`"))?;
    let list = field(messages, "msg").and_then(Value::as_array);
    let list = list.filter(|list| (1..=MESSAGES_MAX).contains(&list.len())).ok_or_else(|| {
        Rejection::new(203, format!("The MSG array is incorrect: `msg` has to hold 1 to {MESSAGES_MAX} messages"))
    })?;
    Ok(list.iter().flat_map(legs_of).collect())
}

fn legs_of(message: &Value) -> Vec<Leg<'_>> {
    let reference = text(message, "reference");
    let leg = |to: String| Leg { to, reference: reference.clone(), message };
    let recipients = field(message, "to").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    if recipients.is_empty() {
        return vec![leg(String::new())];
    }
    recipients.iter().take(RECIPIENTS_MAX).map(|to| leg(text(to, "number"))).collect()
}

impl Leg<'_> {
    pub(super) fn message(
        &self,
        id: MessageId,
        tenant: &TenantId,
        settings: &Settings,
        now: Timestamp,
    ) -> Result<NewMessage, Rejection> {
        self.check()?;
        let number = self.number(settings)?;
        let sms = self.channels()?;
        let content = self.content(sms)?;
        let grouping = text(self.message, "customGrouping").to_ascii_lowercase();
        let reference = if self.reference.is_empty() { "cm" } else { &self.reference };
        Ok(NewMessage {
            id,
            tenant: tenant.clone(),
            author: None,
            to: Recipient::Phone(number),
            purpose: Purpose::parse(&grouping).unwrap_or(settings.cm_purpose),
            because: Because::Reference(reference.to_owned()),
            content,
            sms,
            fallback_after: None,
            expires: None,
            dedup_key: None,
            tag: None,
            quote: None,
            created: now,
        })
    }

    /// The sender is checked as CM.com checks it, and not used: ours are those of the accounts.
    fn check(&self) -> Result<(), Rejection> {
        let from = text(self.message, "from");
        if from.chars().count() > SENDER_CHARS_MAX {
            return Err(Rejection::new(301, format!("The From is longer than {SENDER_CHARS_MAX} characters")));
        }
        let reference = &self.reference;
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if reference.chars().count() > REFERENCE_CHARS_MAX || !reference.chars().all(plain) {
            let words = format!("The reference has to be 1 to {REFERENCE_CHARS_MAX} letters and digits");
            return Err(Rejection::new(305, words));
        }
        Ok(())
    }

    fn number(&self, settings: &Settings) -> Result<String, Rejection> {
        if self.to.is_empty() {
            return Err(Rejection::new(302, "The To is missing: give `to` with a `number`"));
        }
        let written = match self.to.strip_prefix("00") {
            Some(rest) => format!("+{rest}"),
            None => self.to.clone(),
        };
        let read = phone::parse_e164(&written, settings.default_region.as_deref());
        read.map(phone::E164::into_string).map_err(|error| Rejection::new(303, error.to_string()))
    }

    fn channels(&self) -> Result<SmsPolicy, Rejection> {
        let Some(named) = field(self.message, "allowedChannels") else { return Ok(SmsPolicy::Fallback) };
        let names = |wanted: &str| {
            let named = named.as_array().into_iter().flatten().filter_map(Value::as_str);
            named.into_iter().any(|name| name.eq_ignore_ascii_case(wanted))
        };
        match (names("WhatsApp"), names("SMS")) {
            (true, true) => Ok(SmsPolicy::Fallback),
            (true, false) => Ok(SmsPolicy::Never),
            (false, true) => Ok(SmsPolicy::Only),
            (false, false) => {
                Err(Rejection::new(305, "allowedChannels has neither SMS nor WhatsApp, and there is no other here"))
            }
        }
    }

    fn content(&self, sms: SmsPolicy) -> Result<Content, Rejection> {
        let body = field(self.message, "body");
        let kind = body.map(|body| text(body, "type")).unwrap_or_default().to_ascii_lowercase();
        if !matches!(kind.as_str(), "" | "auto" | "text") {
            return Err(Rejection::new(304, format!("The body type `{kind}` is not taken; give AUTO")));
        }
        let sms_text = body.map(|body| text(body, "content")).filter(|content| !content.is_empty());
        let rich = field(self.message, "richContent").and_then(|rich| field(rich, "conversation"));
        let mut content = Content { sms_text: sms_text.clone(), ..Content::default() };
        for item in rich.and_then(Value::as_array).into_iter().flatten().filter(|_| sms != SmsPolicy::Only) {
            read_item(item, sms_text.as_deref(), &mut content)?;
        }
        let card = matches!(content.special, Some(Special::ContactCard(_)));
        let shown = card || content.template.is_some() || content.attachment.is_some() || content.location.is_some();
        if content.text.is_none() && !shown {
            content.text = sms_text.clone();
        }
        if content.text.is_none() && !shown {
            return Err(Rejection::new(304, "The Body is empty"));
        }
        Ok(content)
    }
}

/// One entry of `conversation`. Of several texts, all are shown, each on a line of its own.
fn read_item(item: &Value, sms_text: Option<&str>, content: &mut Content) -> Result<(), Rejection> {
    if let Some(own) = field(item, "template").and_then(|template| field(template, "whatsapp")) {
        let (template, attachment) = template(own, sms_text)?;
        content.template = Some(template);
        content.attachment = attachment.or(content.attachment.take());
    } else if let Some(media) = field(item, "media") {
        if content.attachment.is_some() {
            return Err(Rejection::new(304, "A message carries one file; send the others as messages of their own"));
        }
        content.attachment = Some(attachment(media)?);
    } else if let Some(place) = field(item, "location") {
        content.location = Some(self::place(place)?);
    } else if let Some(own) = field(item, "interactive") {
        read_interactive(own, content)?;
    } else if let Some(cards) = field(item, "contacts").and_then(Value::as_array) {
        content.special = Some(Special::ContactCard(card(cards)?));
    } else if let Some(text) = field(item, "text").and_then(Value::as_str) {
        said(&mut content.text, text);
    } else {
        return Err(Rejection::new(
            304,
            "richContent.conversation has an entry that is neither text, media, location, contacts, interactive nor template.whatsapp",
        ));
    }
    Ok(())
}

/// The template as it is known at Meta. Its text is not in the request: what SMS shows stands for it.
fn template(own: &Value, sms_text: Option<&str>) -> Result<(Template, Option<Attachment>), Rejection> {
    let name = text(own, "element_name");
    let language = field(own, "language").map(|language| text(language, "code")).unwrap_or_default();
    if name.is_empty() || language.is_empty() {
        return Err(Rejection::new(304, "A template needs element_name and language.code"));
    }
    let mut params: Vec<String> = Vec::new();
    let mut buttons = Vec::new();
    let mut header = None;
    for component in field(own, "components").and_then(Value::as_array).into_iter().flatten() {
        let parameters = field(component, "parameters").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        match text(component, "type").to_ascii_lowercase().as_str() {
            "header" => header = parameters.iter().find_map(|one| field(one, "media")).map(attachment).transpose()?,
            "body" => params.extend(parameters.iter().map(|one| text(one, "text"))),
            "button" => buttons.extend(parameters.iter().map(|one| text(one, "payload")).filter(|id| !id.is_empty())),
            _ => {}
        }
    }
    let older = field(own, "localizable_params").and_then(Value::as_array);
    params.extend(older.into_iter().flatten().map(|one| text(one, "default")));
    let body = sms_text.map_or_else(|| params.join(" "), str::to_owned);
    let template = Template {
        body: if body.is_empty() { name.clone() } else { body },
        name,
        // A shop sends its own templates with this: what they are filed as, Meta knows. Marketing goes by another entrance.
        category: Category::Utility,
        language,
        params: params.into_iter().zip(1..).map(|(text, no)| (format!("{no}"), text)).collect(),
        named: false,
        header: header.as_ref().map(|attachment| MediaKind::of(&attachment.mime_type)),
        header_text: None,
        buttons,
        links: Vec::new(),
    };
    Ok((template, header))
}

fn attachment(media: &Value) -> Result<Attachment, Rejection> {
    let (url, mime_type) = (text(media, "mediaUri"), text(media, "mimeType"));
    if url.is_empty() || mime_type.is_empty() {
        return Err(Rejection::new(304, "Media needs mediaUri and mimeType"));
    }
    let filename = Some(text(media, "mediaName")).filter(|name| !name.is_empty());
    Ok(Attachment { source: MediaSource::Url(url), mime_type, filename })
}

fn place(place: &Value) -> Result<Place, Rejection> {
    let degrees = |name: &str| {
        let value = field(place, name)?;
        value.as_f64().or_else(|| value.as_str()?.parse().ok()).filter(|degrees: &f64| degrees.is_finite())
    };
    let named = |name: &str| Some(text(place, name)).filter(|text| !text.is_empty());
    match (degrees("latitude"), degrees("longitude")) {
        (Some(latitude), Some(longitude)) => {
            Ok(Place { latitude, longitude, name: named("label").or_else(|| named("name")), address: named("address") })
        }
        _ => Err(Rejection::new(304, "A location needs latitude and longitude")),
    }
}

fn said(into: &mut Option<String>, text: &str) {
    match into {
        Some(before) => *before = format!("{before}\n{text}"),
        None => *into = Some(text.to_owned()),
    }
}

/// An interactive message, whose parts are as Meta has them: reply buttons, a list, or a button that opens a page.
fn read_interactive(own: &Value, content: &mut Content) -> Result<(), Rejection> {
    let named = |part: Option<&Value>, name: &str| part.map(|part| text(part, name)).filter(|text| !text.is_empty());
    let header = field(own, "header");
    if let Some(body) = named(field(own, "body"), "text") {
        said(&mut content.text, &body);
    }
    content.frame.header = named(header, "text");
    content.frame.footer = named(field(own, "footer"), "text");
    if let Some(media) = header.and_then(|header| field(header, "media")).filter(|media| !media.is_null()) {
        content.attachment = Some(attachment(media)?);
    }
    let action = field(own, "action").unwrap_or(&Value::Null);
    match text(own, "type").to_ascii_lowercase().as_str() {
        "button" => content.choices.extend(list(action, "buttons").filter_map(button)),
        "list" => {
            content.frame.list = true;
            content.frame.list_button = named(Some(action), "button");
            content.choices.extend(list(action, "sections").flat_map(rows));
        }
        "cta_url" => {
            let parameters = field(action, "parameters");
            if let (Some(label), Some(url)) = (named(parameters, "display_text"), named(parameters, "url")) {
                content.special = Some(Special::Link(Link { label, url }));
            }
        }
        _ => {}
    }
    if content.choices.is_empty() && content.special.is_none() {
        let words = "An interactive message needs reply buttons, a list with rows, or a cta_url with its parameters";
        return Err(Rejection::new(304, words));
    }
    Ok(())
}

/// A contact card, in Meta's words as well.
fn card(cards: &[Value]) -> Result<Card, Rejection> {
    let [card] = cards else {
        return Err(Rejection::new(304, "A message carries one contact; send the others as messages of their own"));
    };
    let first = |name: &str| list(card, name).next();
    let named = |part: Option<&Value>, name: &str| part.map(|part| text(part, name)).filter(|text| !text.is_empty());
    let written = named(first("phones"), "phone").unwrap_or_default();
    let read = phone::parse_e164(&written, None);
    let phone = read.map_err(|error| Rejection::new(304, format!("The contact's phone: {error}")))?.into_string();
    let name = named(field(card, "name"), "formatted_name");
    let name = name.ok_or_else(|| Rejection::new(304, "A contact needs name.formatted_name and phones[0].phone"))?;
    let organization = named(field(card, "org"), "company");
    Ok(Card { name, phone, organization, email: named(first("emails"), "email") })
}

fn button(button: &Value) -> Option<Choice> {
    let reply = field(button, "reply")?;
    Some(Choice::new(text(reply, "id"), text(reply, "title")))
}

fn rows(section: &Value) -> Vec<Choice> {
    let some = |text: String| Some(text).filter(|text| !text.is_empty());
    let row = |row: &Value| Choice {
        description: some(text(row, "description")),
        section: some(text(section, "title")),
        ..Choice::new(text(row, "id"), text(row, "title"))
    };
    list(section, "rows").map(row).collect()
}

fn list<'a>(object: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    field(object, name).and_then(Value::as_array).into_iter().flatten()
}

/// A field as text; empty where there is none.
fn text(object: &Value, name: &str) -> String {
    match field(object, name) {
        Some(Value::String(text)) => text.trim().to_owned(),
        Some(Value::Number(number)) => number.to_string(),
        _ => String::new(),
    }
}

/// A field whatever the case of its name.
pub(super) fn field<'a>(object: &'a Value, name: &str) -> Option<&'a Value> {
    let fields = object.as_object()?;
    fields.get(name).or_else(|| fields.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value))
}
