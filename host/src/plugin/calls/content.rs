//! `draft.content` and `draft.setting`: what a message can be and have beside what the contract has functions for, by the
//! registry's names.
//!
//! What is wrong is noted on the draft and told by `send`, as `bad-content` with the field's name and an example.

use wasmtime::component::Resource;

use super::{
    RunState,
    messages::{Draft, choice_bytes},
};
use crate::domain::{
    content::{Special, Sticker},
    kinds::{self, Asked},
    message::MediaSource,
};

impl RunState {
    pub(super) fn take_content(&mut self, draft: &Resource<Draft>, kind: &str, data: &str) -> wasmtime::Result<()> {
        let asked = match kinds::read(kind, data) {
            Ok(asked) => asked,
            Err(problem) => return self.note_down(draft, 0, |draft| draft.bad(problem)),
        };
        let special = match asked {
            Asked::ListMenu(menu) => {
                let button = menu.button.clone();
                let choices = menu.into_choices();
                let bytes = choices.iter().map(choice_bytes).sum::<usize>() + button.as_ref().map_or(0, String::len);
                return self.note_down(draft, bytes, |draft| {
                    draft.choices = choices;
                    draft.frame.list = true;
                    draft.frame.list_button = button.or_else(|| draft.frame.list_button.take());
                });
            }
            Asked::Reaction(reaction) => {
                return self.note_down(draft, data.len(), |draft| match reaction.message.parse() {
                    Ok(id) => {
                        draft.quote = Some(id);
                        draft.special = Some(Special::Reaction { emoji: reaction.emoji });
                    }
                    Err(error) => draft.bad(format!("content `reaction`: `message`: {error}")),
                });
            }
            Asked::ContactCard(card) => Ok(Special::ContactCard(card)),
            Asked::Link(link) => Ok(Special::Link(link)),
            Asked::Sticker(sticker) => self.sticker(sticker).map(Special::Sticker),
        };
        let bytes = match &special {
            Ok(Special::Sticker(Sticker { source: MediaSource::Bytes(base64), .. })) => base64.len(),
            _ => data.len(),
        };
        self.note_down(draft, bytes, |draft| match special {
            Ok(special) => match &draft.special {
                Some(first) => {
                    let (first, second) = (first.kind(), special.kind());
                    draft.bad(format!("a message is of one kind, and this one is to be `{first}` and `{second}`"));
                }
                None => draft.special = Some(special),
            },
            Err(problem) => draft.bad(problem),
        })
    }

    fn sticker(&self, asked: kinds::Sticker) -> Result<Sticker, String> {
        let source = match (asked.url, asked.asset, asked.bytes) {
            (Some(url), None, None) => MediaSource::Url(url),
            (None, None, Some(base64)) => MediaSource::Bytes(base64),
            (None, Some(path), None) => match self.plugin.assets.get(&path) {
                Some(asset) => MediaSource::Bytes(asset.base64.to_string()),
                None => return Err(format!("content `sticker`: the package has no asset `{path}`")),
            },
            _ => return Err("content `sticker`: give exactly one of `url`, `asset` and `bytes`".to_owned()),
        };
        Ok(Sticker { source, text: asked.text })
    }

    pub(super) fn take_setting(&mut self, draft: &Resource<Draft>, name: &str, value: String) -> wasmtime::Result<()> {
        self.note_down(draft, value.len(), |draft| match name {
            "header" => draft.frame.header = Some(value),
            "footer" => draft.frame.footer = Some(value),
            "list-button" => draft.frame.list_button = Some(value),
            "mark-read" => match yes_or_no(name, &value) {
                Ok(read) => draft.seen.read = Some(read),
                Err(problem) => draft.bad(problem),
            },
            "typing" => match yes_or_no(name, &value) {
                Ok(typing) => draft.seen.typing = typing,
                Err(problem) => draft.bad(problem),
            },
            _ => draft.bad(format!(
                "this host knows no setting `{name}`; it knows header, footer, list-button, mark-read and typing"
            )),
        })
    }
}

fn yes_or_no(name: &str, value: &str) -> Result<bool, String> {
    match value {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(format!("setting `{name}` is `{value}`; write `true` or `false`")),
    }
}
