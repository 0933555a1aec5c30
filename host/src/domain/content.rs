//! What a message can be beside text, files, places and choices: the kinds that a plugin names (`draft.content`), and the
//! lines around an interactive message.
//!
//! At most one kind stands in a message, because WhatsApp shows one. `kinds.rs` reads them from JSON; `rules::content` says
//! which go together with what.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::message::{Attachment, Content, MediaKind, MediaSource, Template};

/// Content that only its name in the registry leads to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Special {
    Sticker(Sticker),
    /// A button that opens a page.
    Link(Link),
    /// An emoji on the message that the message quotes; an empty one takes it back.
    Reaction {
        emoji: String,
    },
    ContactCard(Card),
}

impl Special {
    /// Its name in the registry.
    pub fn kind(&self) -> &'static str {
        match self {
            Special::Sticker(_) => "sticker",
            Special::Link(_) => "link",
            Special::Reaction { .. } => "reaction",
            Special::ContactCard(_) => "contact-card",
        }
    }
}

/// A WebP picture without a frame and without a caption.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Sticker {
    pub source: MediaSource,
    /// What it says in words, for SMS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    pub label: String,
    pub url: String,
}

/// Whom to call or write to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Card {
    pub name: String,
    /// E.164 with the plus.
    pub phone: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organization: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
}

/// What the customer sees of the message that an answer goes to, where its author says so.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Seen {
    /// That it was read, or that it was not, whatever the host's setting is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read: Option<bool>,
    /// That somebody is typing, until the answer comes. Who types has read.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub typing: bool,
}

impl Seen {
    pub fn is_none(&self) -> bool {
        *self == Seen::default()
    }
}

/// The lines around the body of an interactive message, and how its choices are shown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Frame {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub footer: Option<String>,
    /// What opens the list; a word in the message's language where nobody says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub list_button: Option<String>,
    /// Shown as a list although buttons would do.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub list: bool,
}

impl Frame {
    pub fn is_none(&self) -> bool {
        *self == Frame::default()
    }
}

/// The line above a template's body, with its parameters put in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeaderText {
    pub text: String,
    /// Name and value of the parameter that stands in it, of which a header has one at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub param: Option<(String, String)>,
}

/// A button of a template that opens a page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemplateLink {
    /// Its place among all buttons of the template, from 0.
    pub index: usize,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The address with its parameter put in, for SMS and the page.
    pub url: String,
    /// What stands for `{{1}}` at its end; absent where the address is always the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub param: Option<String>,
}

/// With everything percent-encoded that would end or break an address. What is encoded already, and paths, stay.
pub(crate) fn in_a_url(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for byte in value.trim().bytes() {
        if byte.is_ascii_graphic() && !matches!(byte, b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}') {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

impl Template {
    /// The ids of its quick replies with their places among all buttons: links take places too.
    pub fn quick_replies(&self) -> impl Iterator<Item = (usize, &str)> {
        let taken: Vec<usize> = self.links.iter().map(|link| link.index).collect();
        let free = (0..).filter(move |index| !taken.contains(index));
        free.zip(self.buttons.iter().map(String::as_str))
    }
}

impl Content {
    /// Whether there is anything that may go out while the window is open, besides a template's own text.
    pub fn has_free(&self) -> bool {
        self.text.is_some() || self.attachment.is_some() || self.location.is_some() || self.special.is_some()
    }

    /// More choices than buttons have room for, or more to say of them: then it is a list.
    pub fn is_list(&self) -> bool {
        let said_more = |choice: &super::message::Choice| choice.description.is_some() || choice.section.is_some();
        self.frame.list || self.choices.len() > BUTTONS_MAX || self.choices.iter().any(said_more)
    }

    /// In which language it is written, as far as anybody said.
    pub fn spoken(&self) -> Option<&str> {
        self.template.as_ref().map(|template| template.language.as_str()).or(self.language.as_deref())
    }

    /// Why nothing of it can be read as SMS; `None` where something can.
    pub fn mute(&self) -> Option<&'static str> {
        let written = self.sms_text.is_some() || self.text.is_some() || self.template.is_some();
        match &self.special {
            _ if written || self.attachment.is_some() || self.location.is_some() => None,
            Some(Special::Reaction { .. }) => Some("a reaction has no SMS: it belongs to a message on WhatsApp"),
            Some(Special::Sticker(sticker)) if sticker.text.is_none() => {
                Some("a sticker has no SMS; say with its `text` what it stands for")
            }
            Some(_) => None,
            None => Some("there is no text for an SMS"),
        }
    }
}

/// Reply buttons of one message (§1.4 of the wire facts); more choices become a list.
pub const BUTTONS_MAX: usize = 3;

impl Attachment {
    pub fn kind(&self) -> MediaKind {
        MediaKind::of(&self.mime_type)
    }

    /// The type without its parameters: `audio/ogg; codecs=opus` is `audio/ogg`.
    pub fn bare_type(&self) -> Cow<'_, str> {
        let bare = self.mime_type.split(';').next().unwrap_or_default().trim();
        if bare.bytes().any(|b| b.is_ascii_uppercase()) { bare.to_ascii_lowercase().into() } else { bare.into() }
    }
}
