//! Choices and what stands around them: up to three are buttons, more or more to say of them make a list.

use std::collections::HashSet;

use super::{FRAME_CHARS_MAX, bad, within};
use crate::{
    domain::{
        content::Special,
        message::{Choice, Content},
    },
    rules::Refusal,
};

/// A button's label, in characters, and its id.
pub const CHOICE_LABEL_CHARS_MAX: usize = 20;
pub const CHOICE_ID_CHARS_MAX: usize = 256;
/// A list: its rows in all, with their labels, ids and descriptions, the titles of its sections, and what opens it.
pub const ROWS_MAX: usize = 10;
pub const ROW_LABEL_CHARS_MAX: usize = 24;
pub const ROW_ID_CHARS_MAX: usize = 200;
pub const ROW_DESCRIPTION_CHARS_MAX: usize = 72;
pub const SECTION_CHARS_MAX: usize = 24;
pub const LIST_BUTTON_CHARS_MAX: usize = 20;

pub(super) fn check(content: &Content) -> Result<(), Refusal> {
    frame(content)?;
    if content.choices.is_empty() {
        return Ok(());
    }
    if content.text.is_none() && content.template.is_none() {
        return bad("choices need a text above them");
    }
    if content.is_list() {
        list(content)?;
    } else {
        for choice in &content.choices {
            within("choices.label", &choice.label, CHOICE_LABEL_CHARS_MAX)?;
            within("choices.id", &choice.id, CHOICE_ID_CHARS_MAX)?;
        }
    }
    let mut seen = HashSet::new();
    match content.choices.iter().find(|choice| !seen.insert(choice.id.as_str())) {
        Some(again) => return bad(format!("the choice with the id `{}` is there twice", again.id)),
        None => seen.clear(),
    }
    // Two rows may read alike in two sections; two buttons may not.
    match content.choices.iter().find(|choice| !content.is_list() && !seen.insert(choice.label.as_str())) {
        Some(again) => bad(format!("the choice `{}` is there twice", again.label)),
        None => Ok(()),
    }
}

fn list(content: &Content) -> Result<(), Refusal> {
    let rows = content.choices.len();
    if rows > ROWS_MAX {
        return bad(format!("{rows} choices; a list has {ROWS_MAX} at most"));
    }
    if content.attachment.is_some() {
        return bad(
            "a list has no room for an attachment: send two messages, or 3 choices at most without descriptions",
        );
    }
    for row in &content.choices {
        within("choices.label", &row.label, ROW_LABEL_CHARS_MAX)?;
        within("choices.id", &row.id, ROW_ID_CHARS_MAX)?;
        row.description
            .as_deref()
            .map_or(Ok(()), |text| within("choices.description", text, ROW_DESCRIPTION_CHARS_MAX))?;
        row.section.as_deref().map_or(Ok(()), |title| within("choices.section", title, SECTION_CHARS_MAX))?;
    }
    let titles: Vec<Option<&str>> = sections(&content.choices).into_iter().map(|(title, _)| title).collect();
    if titles.len() > 1 && titles.contains(&None) {
        return bad("a list of several sections needs a title for each: give every choice its `section`");
    }
    Ok(())
}

/// Choices in a row under the same heading, in their order.
pub fn sections(choices: &[Choice]) -> Vec<(Option<&str>, &[Choice])> {
    choices
        .chunk_by(|one, next| one.section == next.section)
        .map(|rows| (rows.first().and_then(|row| row.section.as_deref()), rows))
        .collect()
}

fn frame(content: &Content) -> Result<(), Refusal> {
    let frame = &content.frame;
    if frame.is_none() {
        return Ok(());
    }
    let link = matches!(content.special, Some(Special::Link(_)));
    if content.choices.is_empty() && !link {
        return bad("`header`, `footer` and `list-button` stand around choices or a link, and there is neither");
    }
    for (field, text) in [("header", &frame.header), ("footer", &frame.footer)] {
        text.as_deref().map_or(Ok(()), |text| within(field, text, FRAME_CHARS_MAX))?;
    }
    if frame.header.is_some() && content.attachment.is_some() {
        return bad("the attachment stands where the `header` does: give one of them");
    }
    match &frame.list_button {
        Some(_) if !content.is_list() => {
            bad("`list-button` opens a list, and these choices are buttons; more than 3 or a description make a list")
        }
        Some(text) => within("list-button", text, LIST_BUTTON_CHARS_MAX),
        None => Ok(()),
    }
}
