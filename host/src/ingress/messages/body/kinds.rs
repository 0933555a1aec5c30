//! The kinds of the registry as they are asked for over HTTP, and files: each under its own name, and one at most.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Deserialize;

use crate::{
    domain::{
        content::{Frame, Special, Sticker},
        kinds::{self, AskedCard, AskedLink, ListMenu, Reaction},
        message::{Attachment, Choice, MediaSource},
    },
    ids::MessageId,
    ingress::problem::{Problem, excerpt},
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AskedAttachment {
    url: Option<String>,
    /// Base64.
    bytes: Option<String>,
    #[serde(alias = "mime-type")]
    mime_type: String,
    filename: Option<String>,
}

impl AskedAttachment {
    pub(super) fn read(self) -> Result<Attachment, Problem> {
        let source = source("attachment", self.url, self.bytes)?;
        Ok(Attachment { source, mime_type: self.mime_type, filename: self.filename })
    }
}

/// Where a file is: at a URL, or in the request.
fn source(field: &'static str, url: Option<String>, bytes: Option<String>) -> Result<MediaSource, Problem> {
    match (url, bytes) {
        (Some(url), None) => Ok(MediaSource::Url(url)),
        (None, Some(base64)) if STANDARD.decode(&base64).is_ok_and(|bytes| !bytes.is_empty()) => {
            Ok(MediaSource::Bytes(base64))
        }
        (None, Some(_)) => Err(Problem::bad_field(format!("{field}.bytes"), "it is empty or no base64")
            .fix("encode the file's bytes as base64 with padding")),
        _ => Err(Problem::bad_field(field, "it has to say exactly once where the file is")
            .fix("give `url` or `bytes`, and only one of them")),
    }
}

/// A button, or a row of a list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AskedChoice {
    id: String,
    label: String,
    description: Option<String>,
    section: Option<String>,
}

/// What is asked for beside text, template, file, place and choices.
#[derive(Debug, Default)]
pub(super) struct Kinds {
    pub(super) link: Option<AskedLink>,
    pub(super) sticker: Option<kinds::Sticker>,
    pub(super) reaction: Option<Reaction>,
    pub(super) contact_card: Option<AskedCard>,
}

/// The kind, and the message that it is put on or that is quoted.
pub(super) fn special(asked: Kinds, quote: Option<String>) -> Result<(Option<Special>, Option<MessageId>), Problem> {
    let Kinds { link, sticker, reaction, contact_card } = asked;
    let given = [
        ("link", link.is_some()),
        ("sticker", sticker.is_some()),
        ("reaction", reaction.is_some()),
        ("contact_card", contact_card.is_some()),
    ];
    let given: Vec<&str> = given.iter().filter(|(_, given)| *given).map(|(name, _)| *name).collect();
    if let [_, second, ..] = given.as_slice() {
        return Err(Problem::bad_field(
            (*second).to_owned(),
            format!("a message is of one kind, and this one is {}", given.join(" and ")),
        )
        .fix("send a message for each"));
    }
    let mut quoted = quote.map(|id| message_id("quote", &id)).transpose()?;
    let special = match (link, sticker, reaction, contact_card) {
        (Some(AskedLink(link)), ..) => Some(Special::Link(link)),
        (_, Some(asked), ..) => {
            if asked.asset.is_some() {
                return Err(Problem::bad_field("sticker.asset", "assets are a plugin's, and there is none here")
                    .fix("give `url` or `bytes`"));
            }
            Some(Special::Sticker(Sticker { source: source("sticker", asked.url, asked.bytes)?, text: asked.text }))
        }
        (_, _, Some(reaction), _) => {
            quoted = Some(message_id("reaction.message", &reaction.message)?);
            Some(Special::Reaction { emoji: reaction.emoji })
        }
        (.., Some(AskedCard(card))) => Some(Special::ContactCard(card)),
        (None, None, None, None) => None,
    };
    Ok((special, quoted))
}

fn message_id(field: &'static str, text: &str) -> Result<MessageId, Problem> {
    text.parse().map_err(|_| {
        Problem::bad_field(field, format!("`{}` is no id of a message", excerpt(text)))
            .fix("give our id of what the customer wrote, or of a message to the customer")
    })
}

/// The choices, and what stands around them. A menu is choices under headings.
pub(super) fn choices(
    asked: Vec<AskedChoice>,
    menu: Option<ListMenu>,
    mut frame: Frame,
) -> Result<(Vec<Choice>, Frame), Problem> {
    let Some(menu) = menu else {
        let choice = |AskedChoice { id, label, description, section }| Choice { id, label, description, section };
        return Ok((asked.into_iter().map(choice).collect(), frame));
    };
    if !asked.is_empty() {
        return Err(Problem::bad_field("list_menu", "there are `choices` too").fix("give one of them"));
    }
    frame.list = true;
    frame.list_button = menu.button.clone().or(frame.list_button);
    Ok((menu.into_choices(), frame))
}
