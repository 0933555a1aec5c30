//! A message as it is asked for over HTTP: the JSON that is taken, and what it becomes.

mod kinds;
mod template;

use std::time::Duration;

use serde::Deserialize;

use self::{
    kinds::{AskedAttachment, AskedChoice, Kinds},
    template::AskedTemplate,
};

use crate::{
    channel::phone,
    clock::Timestamp,
    domain::{
        content::{Frame, Seen},
        customer::is_user_id,
        kinds::{AskedCard, AskedLink, ListMenu, Reaction, Sticker},
        message::{Because, Content, MediaKind, NewMessage, Place, Recipient, SmsPolicy},
        purpose::Purpose,
    },
    ids::{CustomerId, MessageId, TenantId},
    ingress::{
        problem::{Problem, excerpt},
        request::plain,
    },
};

/// Names may be written with hyphens too, as in the manifest.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    to: To,
    purpose: Purpose,
    pub(super) because: Reason,
    text: Option<String>,
    #[serde(alias = "sms-text")]
    sms_text: Option<String>,
    template: Option<AskedTemplate>,
    attachment: Option<AskedAttachment>,
    location: Option<Place>,
    #[serde(default)]
    choices: Vec<AskedChoice>,
    #[serde(alias = "list-menu")]
    list_menu: Option<ListMenu>,
    link: Option<AskedLink>,
    sticker: Option<Sticker>,
    reaction: Option<Reaction>,
    #[serde(alias = "contact-card")]
    contact_card: Option<AskedCard>,
    /// The lines above and below the text of choices or of a link.
    header: Option<String>,
    footer: Option<String>,
    #[serde(alias = "list-button")]
    list_button: Option<String>,
    /// The message that it quotes.
    quote: Option<String>,
    /// The language that it is written in, BCP 47.
    language: Option<String>,
    #[serde(default)]
    sms: SmsPolicy,
    #[serde(alias = "fallback-after")]
    fallback_after: Option<String>,
    expires: Option<String>,
    tag: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct To {
    customer: Option<String>,
    phone: Option<String>,
    /// WhatsApp's own id of somebody who hides the number.
    #[serde(alias = "whatsapp-id")]
    whatsapp_id: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Reason {
    event: Option<String>,
    message: Option<String>,
    reference: Option<String>,
}

/// What a `because` points at.
#[derive(Debug, PartialEq)]
pub(super) enum Reference {
    /// Something that the host has to find.
    Stored(String),
    /// The tenant's own, which only the tenant can check.
    Own(String),
}

/// Longer than this, and the fallback would come after nearly every event has lost its use.
const FALLBACK_AFTER_MAX: Duration = Duration::from_secs(7 * 24 * 3600);
/// An own reference or a tag: a name, not a text.
const NAME_CHARS_MAX: usize = 256;

impl Reason {
    pub(super) fn reference(&self) -> Result<Reference, Problem> {
        match (&self.event, &self.message, &self.reference) {
            (Some(id), None, None) | (None, Some(id), None) => Ok(Reference::Stored(id.clone())),
            (None, None, Some(own)) if !own.trim().is_empty() && own.chars().count() <= NAME_CHARS_MAX => {
                plain("because.reference", own)?;
                Ok(Reference::Own(own.clone()))
            }
            (None, None, Some(_)) => Err(Problem::bad_field("because.reference", "the reference is empty or too long")
                .fix(format!("give 1 to {NAME_CHARS_MAX} characters, such as order/12345"))),
            _ => Err(Problem::bad_field("because", "it has to say exactly one thing")
                .fix("give `event`, `message` or `reference`, and only one of them")),
        }
    }
}

impl Asked {
    /// The message. What makes it expected is filled in when it was found.
    pub(super) fn into_message(
        self,
        id: MessageId,
        tenant: &TenantId,
        default_region: Option<&str>,
        now: Timestamp,
    ) -> Result<NewMessage, Problem> {
        if self.tag.as_ref().is_some_and(|tag| tag.chars().count() > NAME_CHARS_MAX) {
            return Err(
                Problem::bad_field("tag", "the tag is too long").fix(format!("{NAME_CHARS_MAX} characters at most"))
            );
        }
        let names = [("tag", self.tag.as_deref()), ("to.customer", self.to.customer.as_deref())];
        names.into_iter().try_for_each(|(field, text)| text.map_or(Ok(()), |text| plain(field, text)))?;
        let attachment = self.attachment.map(AskedAttachment::read).transpose()?;
        let header = attachment.as_ref().map(|attachment| MediaKind::of(&attachment.mime_type));
        let frame = Frame { header: self.header, footer: self.footer, list_button: self.list_button, list: false };
        let (choices, frame) = kinds::choices(self.choices, self.list_menu, frame)?;
        let (link, sticker, reaction, contact_card) = (self.link, self.sticker, self.reaction, self.contact_card);
        let (special, quote) = kinds::special(Kinds { link, sticker, reaction, contact_card }, self.quote)?;
        Ok(NewMessage {
            id,
            tenant: tenant.clone(),
            author: None,
            to: recipient(self.to, default_region)?,
            purpose: self.purpose,
            because: Because::Reference(String::new()),
            content: Content {
                text: self.text,
                template: self.template.map(|asked| template::template(asked, header)).transpose()?,
                attachment,
                location: self.location,
                choices,
                special,
                frame,
                seen: Seen::default(),
                language: self.language,
                sms_text: self.sms_text,
            },
            sms: self.sms,
            fallback_after: self.fallback_after.as_deref().map(fallback_after).transpose()?,
            expires: self.expires.as_deref().map(expires).transpose()?,
            dedup_key: None,
            tag: self.tag,
            quote,
            created: now,
        })
    }
}

fn recipient(to: To, default_region: Option<&str>) -> Result<Recipient, Problem> {
    match (to.customer, to.phone, to.whatsapp_id) {
        (Some(id), None, None) if !id.is_empty() => Ok(Recipient::Customer(CustomerId::new(id))),
        (None, None, Some(id)) if is_user_id(&id) => Ok(Recipient::Phone(id)),
        (None, None, Some(id)) => Err(Problem::bad_field(
            "to.whatsapp_id",
            format!("`{}` is no id of a person on WhatsApp", excerpt(&id)),
        )
        .fix("give it as the webhook had it: two letters, a dot, letters and digits, such as FR.13491208655302741918")),
        (None, Some(number), None) => match phone::parse_e164(&number, default_region) {
            Ok(number) => Ok(Recipient::Phone(number.into_string())),
            Err(error) => Err(Problem::bad_field("to.phone", error.to_string()).fix("write it as +33639981201")),
        },
        _ => Err(Problem::bad_field("to", "it has to name exactly one recipient")
            .fix("give `customer`, or `phone` or `whatsapp_id` where there is no customer")),
    }
}

fn fallback_after(text: &str) -> Result<Duration, Problem> {
    let duration = duration(text).filter(|after| !after.is_zero() && *after <= FALLBACK_AFTER_MAX);
    duration.ok_or_else(|| {
        Problem::bad_field("fallback_after", format!("`{}` is no time to wait", excerpt(text)))
            .fix("write it as 90s, 15m or 2h; at most 7 days")
    })
}

/// A length of time as people write it: `90s`, `2h 30m`, `1d`, or ISO 8601. A day is 24 hours, whatever the calendar says.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let span = text.parse::<jiff::Span>().ok()?;
    let length = span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()).ok()?;
    Duration::try_from(length).ok()
}

fn expires(text: &str) -> Result<Timestamp, Problem> {
    Timestamp::parse(text).ok_or_else(|| {
        Problem::bad_field("expires", format!("`{}` is no time", excerpt(text))).fix("write it as 2026-01-15T10:30:00Z")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_of_time_is_read_as_people_write_it() {
        let seconds = |text| duration(text).map(|length| length.as_secs());
        assert_eq!((seconds("90s"), seconds("2h 30m"), seconds("PT2H")), (Some(90), Some(9000), Some(7200)));
        assert_eq!((seconds("1d"), seconds("1w")), (Some(86_400), Some(604_800)));
        // A month has no length, and nothing lasts less than no time.
        assert_eq!((seconds("1mo"), seconds("-5s"), seconds("soon"), seconds("90")), (None, None, None, None));
    }
}
