//! What is on a phone's screen: one thread per channel, oldest first.

use std::collections::VecDeque;

use serde::Serialize;

use super::{Channel, Provider};
use crate::clock::Timestamp;

/// One bubble of a thread, to the phone or from it.
#[derive(Debug, Clone, Serialize)]
pub struct Entry {
    pub seq: u64,
    /// The provider's id of the message.
    pub id: String,
    pub from_phone: bool,
    pub provider: Provider,
    pub channel: Channel,
    /// The business side: sender of what comes in, addressee of what the phone writes.
    pub business: String,
    /// What the sender had the provider carry along: `biz_opaque_callback_data` or `reference`.
    pub token: Option<String>,
    pub content: Content,
    pub ticks: Ticks,
    /// The id of the button that was tapped on it.
    pub tapped: Option<String>,
}

/// How far a message came. What was not delivered is not on the screen.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Ticks {
    pub accepted_at: Option<Timestamp>,
    pub sent_at: Option<Timestamp>,
    pub delivered_at: Option<Timestamp>,
    pub read_at: Option<Timestamp>,
    pub failed_at: Option<Timestamp>,
    /// Why it failed, or why nothing more will come (`lost`, `expired`).
    pub error_code: Option<i64>,
    pub note: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Tick {
    Sent,
    Delivered,
    Read,
    Failed,
}

/// What a bubble shows, in parts, whatever provider brought it.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Content {
    /// `text`, `image`, `video`, `audio`, `document`, `sticker`, `location`, `buttons`, `list`, `template`, `reaction`,
    /// `button-reply`, `list-reply` or the provider's own word for anything else.
    pub kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub footer: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub media: Vec<Media>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub buttons: Vec<Button>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<UsedTemplate>,
    /// The message that this one quotes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quotes: Option<String>,
    /// SMS only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parts: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encoding: Option<&'static str>,
}

impl Content {
    pub(crate) fn text(text: impl Into<String>) -> Content {
        Content { kind: "text".into(), text: Some(text.into()), ..Content::default() }
    }
}

#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Media {
    pub kind: String,
    /// Where it can be fetched: the sender's link, or the simulator's own for what was uploaded.
    pub url: Option<String>,
    pub id: Option<String>,
    pub filename: Option<String>,
    pub mime_type: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Button {
    pub id: String,
    pub title: String,
    /// `reply`, `row` (of a list), `quick-reply` (of a template) or `url`. A `url` cannot be tapped for an answer.
    pub kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Place {
    pub latitude: f64,
    pub longitude: f64,
    pub name: Option<String>,
    pub address: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct UsedTemplate {
    pub name: String,
    pub language: String,
    pub parameters: Vec<String>,
    /// The whole text, where the template is known here.
    pub rendered: Option<String>,
}

#[derive(Default)]
pub(crate) struct Thread {
    entries: VecDeque<Entry>,
    next: u64,
}

impl Thread {
    /// Adds a bubble and gives its number in this thread.
    pub(crate) fn push(&mut self, mut entry: Entry, entries_max: usize) -> u64 {
        let seq = self.next;
        self.next += 1;
        entry.seq = seq;
        self.entries.push_back(entry);
        while self.entries.len() > entries_max {
            self.entries.pop_front();
        }
        seq
    }

    /// Numbers have no gaps, so the place of a bubble is known from the first one's number.
    pub(crate) fn get_mut(&mut self, seq: u64) -> Option<&mut Entry> {
        let first = self.entries.front()?.seq;
        self.entries.get_mut(usize::try_from(seq.checked_sub(first)?).ok()?)
    }

    pub(crate) fn find_mut(&mut self, id: &str) -> Option<&mut Entry> {
        self.entries.iter_mut().rev().find(|entry| entry.id == id)
    }

    /// What the phone wrote up to this message is read: a mark on one is a mark on those before it. Those that were not yet.
    pub(crate) fn read_up_to(&mut self, id: &str, now: Timestamp) -> Vec<Entry> {
        let Some(last) = self.entries.iter().position(|entry| entry.id == id) else { return Vec::new() };
        let own = self.entries.iter_mut().take(last + 1).filter(|entry| entry.from_phone);
        let unread = own.filter(|entry| entry.ticks.read_at.is_none());
        unread
            .map(|entry| {
                entry.ticks.read_at = Some(now);
                entry.clone()
            })
            .collect()
    }

    /// The newest message on the screen that has something to tap.
    pub(crate) fn newest_with_buttons(&mut self) -> Option<&mut Entry> {
        self.entries
            .iter_mut()
            .rev()
            .find(|entry| !entry.from_phone && entry.ticks.delivered_at.is_some() && !entry.content.buttons.is_empty())
    }

    pub(crate) fn entries(&self) -> Vec<Entry> {
        self.entries.iter().cloned().collect()
    }
}
