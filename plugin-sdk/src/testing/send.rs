//! What the host decides when a message is sent: whether it takes it, and how it will read.

use super::customer::Customer;
use super::manifest::Template;
use super::store::{Refusal, Sent, attachment_name};
use super::transaction::Transaction;
use crate::Instant;
use crate::messages::{Attachment, DeliveryState, Message, MessageId, Purpose, Recipient, SendError};

/// WhatsApp shows at most three reply buttons, of at most twenty characters each.
const CHOICES_MAX: usize = 3;
const LABEL_CHARS_MAX: usize = 20;

pub(crate) fn send(run: &mut Transaction, message: Message) -> Result<MessageId, SendError> {
    let result = take(run, &message);
    if let Err(reason) = &result {
        let (customer, tag) = (customer_of(run, &message.recipient), message.tag);
        run.store.refusals.push(Refusal { customer, time: run.now, tag, reason: reason.clone() });
    }
    result
}

fn take(run: &mut Transaction, message: &Message) -> Result<MessageId, SendError> {
    check_permissions(run, message)?;
    let template = template_of(run, message)?;
    check_content(message)?;
    if message.expires.is_some_and(|at| at <= run.now) {
        return Err(SendError::Expired);
    }
    let customer = match customer_of(run, &message.recipient) {
        Some(id) => Some(run.store.customers.get(&id).cloned().ok_or(SendError::UnknownCustomer)?),
        None => None,
    };
    check_expected(run, message, customer.as_ref())?;
    let (channel, by_template) = route(run, message, customer.as_ref(), template.as_ref())?;
    let to = customer.as_ref().map(|customer| customer.id.clone());
    if let Some(first) = first_with_key(run, message, to.as_deref()) {
        return Ok(first);
    }
    let id = MessageId::new(format!("{}-message-{}", run.id, run.messages));
    let locale = message.locale.clone().or_else(|| customer.as_ref().and_then(|customer| customer.locale.clone()));
    let words = Words { message, template: template.as_ref(), locale: locale.as_deref() };
    run.store.messages.push(Sent {
        id: id.clone(),
        customer: to,
        entity: run.entity.clone(),
        time: run.now,
        purpose: purpose(&message.recipient),
        body: if channel == "sms" { words.sms() } else { words.whatsapp(by_template) },
        sms: (!message.no_sms).then(|| words.sms()),
        channel: channel.to_owned(),
        template: template.as_ref().filter(|_| by_template).map(|template| template.name.clone()),
        attachment: attachment_name(message),
        location: message.location.clone(),
        choices: message.choices.clone(),
        expires: message.expires,
        fallback_after: message.fallback_after,
        dedup_key: message.dedup_key.clone(),
        tag: message.tag.clone(),
        because: message.because.clone(),
        state: DeliveryState::Pending,
    });
    Ok(id)
}

fn check_permissions(run: &Transaction, message: &Message) -> Result<(), SendError> {
    let permissions = &run.manifest.permissions;
    let purpose = match purpose(&message.recipient) {
        Purpose::Reply => "reply",
        Purpose::Confirmation => "confirmation",
        Purpose::Alert => "alert",
        Purpose::Reminder => "reminder",
    };
    if !permissions.purposes.iter().any(|named| named == purpose) {
        return Err(SendError::NotPermitted(format!("permissions.purposes does not name `{purpose}`")));
    }
    if matches!(message.recipient, Recipient::Phone(..)) && !permissions.phone {
        return Err(SendError::NotPermitted("permissions.phone is not set".into()));
    }
    match &message.template {
        Some(name) if !permissions.templates.contains(name) => {
            Err(SendError::NotPermitted(format!("permissions.templates does not name `{name}`")))
        }
        _ => Ok(()),
    }
}

/// What set off the run makes a message to its customer expected, and what the entity keeps about a customer makes one to
/// that customer. For anybody else, the plugin has to say what does.
fn check_expected(run: &Transaction, message: &Message, customer: Option<&Customer>) -> Result<(), SendError> {
    let Some(customer) = customer else { return Ok(()) };
    let wrong = |why: String| Err(SendError::NotExpected(why));
    let Some(reference) = &message.because else {
        if run.customer.as_ref() == Some(&customer.id) || run.known.contains(&customer.id) {
            return Ok(());
        }
        let id = &customer.id;
        return wrong(format!(
            "neither what set off the run nor what `{}` keeps concerns customer `{id}`; say with `because` what does",
            run.entity
        ));
    };
    let event = run.store.history.iter().find(|event| event.reference() == *reference).map(|event| &event.customer);
    let message = run.store.messages.iter().find(|sent| sent.id.as_str() == reference).map(|sent| &sent.customer);
    match event.or(message) {
        Some(Some(concerned)) if *concerned == customer.id => Ok(()),
        Some(_) => wrong(format!("{reference} does not concern customer `{}`", customer.id)),
        None => wrong(format!("there is no event and no message {reference}")),
    }
}

fn template_of(run: &Transaction, message: &Message) -> Result<Option<Template>, SendError> {
    let Some(name) = &message.template else {
        if message.params.is_empty() {
            return Ok(None);
        }
        return Err(SendError::BadTemplate("there are parameters and no template".into()));
    };
    let known = run.manifest.template(name).cloned();
    let template = known.ok_or_else(|| SendError::BadTemplate(format!("there is no template `{name}`")))?;
    let mut given: Vec<&str> = message.params.iter().map(|(name, _)| name.as_str()).collect();
    let mut wanted: Vec<&str> = template.params.iter().map(String::as_str).collect();
    given.sort_unstable();
    wanted.sort_unstable();
    if given != wanted {
        return Err(SendError::BadTemplate(format!("`{name}` takes {wanted:?} and was given {given:?}")));
    }
    if let Some((empty, _)) = message.params.iter().find(|(_, value)| value.is_empty()) {
        return Err(SendError::BadTemplate(format!("the parameter `{empty}` of `{name}` is empty")));
    }
    if template.header.is_some() && message.attachment.is_none() {
        return Err(SendError::BadTemplate(format!("`{name}` has a header for an attachment, and there is none")));
    }
    let unknown = template.buttons.iter().find(|id| !message.choices.iter().any(|choice| choice.id == **id));
    match unknown {
        Some(id) => Err(SendError::BadTemplate(format!("`{name}` has a button `{id}`, and there is no such choice"))),
        None => Ok(Some(template)),
    }
}

fn check_content(message: &Message) -> Result<(), SendError> {
    let nothing = message.text.is_none()
        && message.template.is_none()
        && message.attachment.is_none()
        && message.location.is_none()
        && message.content.is_empty();
    if nothing {
        return Err(SendError::BadContent("there is neither a text nor anything else".into()));
    }
    if message.choices.len() > CHOICES_MAX {
        return Err(SendError::BadContent(format!("there are more than {CHOICES_MAX} choices")));
    }
    if let Some(long) = message.choices.iter().find(|choice| choice.label.chars().count() > LABEL_CHARS_MAX) {
        let label = &long.label;
        return Err(SendError::BadContent(format!("the label `{label}` is longer than {LABEL_CHARS_MAX} characters")));
    }
    match &message.attachment {
        Some(Attachment::Url { url, .. }) if !url.starts_with("https://") => {
            Err(SendError::BadContent(format!("`{url}` is no https address")))
        }
        _ => Ok(()),
    }
}

/// The channel, and whether it goes as a template on it.
fn route(
    run: &Transaction,
    message: &Message,
    customer: Option<&Customer>,
    template: Option<&Template>,
) -> Result<(&'static str, bool), SendError> {
    let permitted = |channel: &str| run.manifest.permissions.channels.iter().any(|named| named == channel);
    let has = |on: fn(&Customer) -> bool| customer.is_none_or(on);
    let sms = permitted("sms") && !message.no_sms && has(|customer| customer.sms);
    let whatsapp = permitted("whatsapp") && !message.sms_only && has(|customer| customer.whatsapp);
    if customer.is_some_and(|customer| customer.stopped) {
        return Err(SendError::NoConsent("the customer has said STOP".into()));
    }
    let marketing = template.is_some_and(|template| template.category == "marketing");
    if marketing && !customer.is_some_and(|customer| customer.marketing) {
        return Err(SendError::NoConsent("marketing".into()));
    }
    let open = customer.and_then(|customer| customer.window_ends).is_some_and(|ends: Instant| ends > run.now);
    match (whatsapp, sms) {
        (true, _) if open && message.text.is_some() => Ok(("whatsapp", false)),
        (true, _) if template.is_some() => Ok(("whatsapp", true)),
        (_, true) => Ok(("sms", false)),
        (true, false) => Err(SendError::TemplateNeeded),
        (false, false) => Err(SendError::NoAddress),
    }
}

fn first_with_key(run: &Transaction, message: &Message, customer: Option<&str>) -> Option<MessageId> {
    let key = message.dedup_key.as_ref()?;
    let same = |sent: &&Sent| sent.dedup_key.as_ref() == Some(key) && sent.customer.as_deref() == customer;
    run.store.messages.iter().find(same).map(|sent| sent.id.clone())
}

/// An answer goes to the customer of the run, whose message it answers.
fn customer_of(run: &Transaction, recipient: &Recipient) -> Option<String> {
    match recipient {
        Recipient::Customer(id, _) => Some(id.clone()),
        Recipient::Phone(..) => None,
        Recipient::Answer(_) => run.customer.clone(),
    }
}

fn purpose(recipient: &Recipient) -> Purpose {
    match recipient {
        Recipient::Customer(_, purpose) | Recipient::Phone(_, purpose) => *purpose,
        Recipient::Answer(_) => Purpose::Reply,
    }
}

struct Words<'a> {
    message: &'a Message,
    template: Option<&'a Template>,
    locale: Option<&'a str>,
}

impl Words<'_> {
    fn whatsapp(&self, by_template: bool) -> String {
        if by_template { self.filled() } else { self.message.text.clone().unwrap_or_default() }
    }

    /// Text, a link for the attachment and a line for each choice, as the host writes an SMS.
    fn sms(&self) -> String {
        if let Some(text) = &self.message.sms_text {
            return text.clone();
        }
        let mut lines = vec![self.message.text.clone().unwrap_or_else(|| self.filled())];
        if let Some(Attachment::Url { url, .. }) = &self.message.attachment {
            lines.push(url.clone());
        }
        lines
            .extend(self.message.choices.iter().enumerate().map(|(at, choice)| format!("{} {}", at + 1, choice.label)));
        lines.join("\n")
    }

    fn filled(&self) -> String {
        let body = self.template.map(|template| template.body(self.locale)).unwrap_or_default();
        self.message
            .params
            .iter()
            .fold(body.to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
    }
}
