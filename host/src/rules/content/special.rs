//! The kinds that stand alone (sticker, reaction, contact card), and the link below a text.

use super::{TEXT_CHARS_MAX, URL_CHARS_MAX, bad, https, media, within};
use crate::{
    channel::phone,
    domain::{
        content::{Card, Special, Sticker},
        message::{Content, MediaSource, NewMessage},
    },
    rules::Refusal,
};

/// `display_text` of a call to action, in characters.
pub(super) const LINK_LABEL_CHARS_MAX: usize = 20;
/// One emoji is several characters where it has a colour or is joined of others.
const EMOJI_CHARS_MAX: usize = 16;
/// A name on a card; nothing says how long it may be, and nobody has a longer one.
const NAME_CHARS_MAX: usize = 256;

pub(super) fn check(message: &NewMessage) -> Result<(), Refusal> {
    let content = &message.content;
    let Some(special) = &content.special else { return Ok(()) };
    together(content, special)?;
    match special {
        Special::Link(link) => {
            if content.text.is_none() {
                return bad("a link is a button below a text: give the text too");
            }
            within("link.label", &link.label, LINK_LABEL_CHARS_MAX)?;
            within("link.url", &link.url, URL_CHARS_MAX)?;
            https("link.url", &link.url)
        }
        Special::Sticker(sticker) => check_sticker(sticker),
        Special::Reaction { emoji } => reaction(message, emoji),
        Special::ContactCard(card) => contact_card(card),
    }
}

fn together(content: &Content, special: &Special) -> Result<(), Refusal> {
    let kind = special.kind();
    let link = matches!(special, Special::Link(_));
    let other = [
        (content.text.is_some() && !link, "a text"),
        (content.attachment.is_some() && !link, "an attachment"),
        (content.location.is_some(), "a place"),
        (!content.choices.is_empty(), "choices"),
    ];
    match other.into_iter().find(|(there, _)| *there) {
        Some((_, what)) => bad(format!("a message of the kind `{kind}` and {what} do not fit one message: send two")),
        None => Ok(()),
    }
}

fn check_sticker(sticker: &Sticker) -> Result<(), Refusal> {
    sticker.text.as_deref().map_or(Ok(()), |text| within("sticker.text", text, TEXT_CHARS_MAX))?;
    match &sticker.source {
        MediaSource::Url(url) => https("sticker.url", url),
        MediaSource::Bytes(base64) => media::sticker(base64),
    }
}

fn reaction(message: &NewMessage, emoji: &str) -> Result<(), Refusal> {
    if message.quote.is_none() {
        return bad("a reaction is put on a message: give its id as `message`");
    }
    let chars = emoji.chars().count();
    // Letters and digits are no emoji; which characters are changes with every year's Unicode, so the rest is the provider's.
    if chars > EMOJI_CHARS_MAX || emoji.chars().any(|c| c.is_alphanumeric() && c.is_ascii()) || emoji.contains(' ') {
        return bad(format!(
            "`reaction.emoji` is `{emoji}`; give one emoji, or an empty text to take the reaction back"
        ));
    }
    Ok(())
}

fn contact_card(card: &Card) -> Result<(), Refusal> {
    within("contact-card.name", &card.name, NAME_CHARS_MAX)?;
    if phone::parse_e164(&card.phone, None).is_err() {
        return bad(format!("`contact-card.phone`: `{}` is no telephone number; write it as +33139980001", card.phone));
    }
    for (field, text) in [("organization", &card.organization), ("email", &card.email)] {
        text.as_deref().map_or(Ok(()), |text| within(&format!("contact-card.{field}"), text, NAME_CHARS_MAX))?;
    }
    Ok(())
}
