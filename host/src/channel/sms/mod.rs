//! A message as SMS: what the customer reads, in which encoding, and in how many parts.
//!
//! In comes a message of the content model and the tenant's settings; out goes one text with its encoding, units and parts,
//! and a list of what was changed on the way (an accent replaced, an end cut off), so that the decision can show it. Media
//! become a line with a link, choices become numbers, also those of a list. A reaction has no SMS, and a sticker only where
//! its text says what it stands for (`Content::mute`). What can go wrong is only that a text is too long: it is then cut at
//! a word and says so. This module never sends anything, never fetches a link and knows no provider.

mod cut;
pub mod gsm;
pub mod render;
pub mod transliterate;
mod words;

pub use gsm::{Count, Encoding};
pub use render::{Settings, Text, render};
pub use words::choose;
