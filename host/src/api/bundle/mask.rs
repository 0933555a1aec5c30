//! Personal data in a bundle: another name for each, and the same wherever it stands, so that the run still goes the same way.
//!
//! Masked are the customers whom the run knew (their ids, names and numbers, wherever they are written), every telephone number
//! and e-mail address, and the words that customers wrote. What else a system put into an event or a plugin into its state is not
//! known to be personal and stays; the notes say so.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::domain::{
    bundle::Bundle,
    run::{Cause, Incoming},
};

/// Parts of a bundle in which nobody's data stands.
const OTHERS: [&str; 8] = ["bundle", "host", "contract", "plugin", "seed", "config", "masked", "notes"];
/// Shorter names are parts of too many words.
const NAME_CHARS_MIN: usize = 3;
/// The shortest telephone numbers with their country code have seven digits.
const NUMBER_DIGITS_MIN: usize = 7;

pub(super) fn mask(mut bundle: Bundle) -> serde_json::Result<Bundle> {
    let mut masks = Masks::default();
    masks.learn(&bundle);
    masks.words_of(&mut bundle);
    let mut value = serde_json::to_value(&bundle)?;
    for (name, part) in value.as_object_mut().into_iter().flatten() {
        if !OTHERS.contains(&name.as_str()) {
            masks.within(part);
        }
    }
    let mut bundle: Bundle = serde_json::from_value(value)?;
    for (kind, _) in masks.known.values() {
        *bundle.masked.entry(kind.to_string()).or_default() += 1;
    }
    if masks.texts > 0 {
        bundle.masked.insert("text that a customer wrote".to_owned(), masks.texts);
    }
    bundle.notes.push(
        "masked: who knows the customers by other words, in an event's data, in the plugin's state or in its log, still \
         recognises them; and a run that goes by what a customer wrote may go another way"
            .to_owned(),
    );
    Ok(bundle)
}

#[derive(Default)]
struct Masks {
    /// What stands for what, with its kind.
    known: BTreeMap<String, (&'static str, String)>,
    texts: u32,
}

impl Masks {
    fn stand_in(&mut self, kind: &'static str, text: &str) -> String {
        if let Some((_, stand_in)) = self.known.get(text) {
            return stand_in.clone();
        }
        let no = self.known.values().filter(|(known, _)| *known == kind).count() + 1;
        let stand_in = match kind {
            "telephone number" => format!("+3363998{no:04}"),
            "e-mail address" => format!("masked-{no}@example.com"),
            "name" => format!("Name{no}"),
            _ => format!("customer-{no}"),
        };
        self.known.insert(text.to_owned(), (kind, stand_in.clone()));
        stand_in
    }

    /// Everybody whom the bundle knows by id, name or number.
    fn learn(&mut self, bundle: &Bundle) {
        // Who is called by their id is known by it first: it stands in more places.
        let ids = bundle.read.customers.iter().map(|customer| &customer.id).chain(&bundle.run.customer);
        for id in ids.collect::<Vec<_>>() {
            // A number in the place of an id is masked as the number that it is.
            if !id.as_str().starts_with('+') {
                self.stand_in("customer", id.as_str());
            }
        }
        for customer in &bundle.read.customers {
            for name in customer.name.iter().flat_map(|name| name.split_whitespace()) {
                if name.chars().count() >= NAME_CHARS_MIN {
                    self.stand_in("name", name);
                }
            }
            for address in &customer.addresses {
                self.stand_in("telephone number", &address.address);
            }
        }
        for incoming in bundle.read.incoming.iter().chain(cause_message(&bundle.cause)) {
            for name in incoming.sender_name.iter().flat_map(|name| name.split_whitespace()) {
                self.stand_in("name", name);
            }
        }
    }

    /// What customers wrote: its shape stays.
    fn words_of(&mut self, bundle: &mut Bundle) {
        let mut masked = 0;
        let mut hide = |incoming: &mut Incoming| {
            // The label of a choice was written by the plugin.
            if incoming.kind != "choice" && !incoming.text.is_empty() {
                incoming.text = incoming.text.chars().map(shape).collect();
                masked += 1;
            }
            for media in &mut incoming.media {
                media.filename = media.filename.take().map(|name| name.chars().map(shape).collect());
            }
            incoming.location = None;
            // Words of the customer's, of an advertisement or of a form; whoever executes it elsewhere needs none of them.
            incoming.attributes.clear();
            incoming.sender_id = None;
        };
        bundle.read.incoming.iter_mut().for_each(&mut hide);
        if let Cause::Message(incoming) = &mut bundle.cause {
            hide(std::sync::Arc::make_mut(incoming));
        }
        self.texts += masked;
    }

    fn within(&mut self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.text(text),
            Value::Array(items) => items.iter_mut().for_each(|item| self.within(item)),
            Value::Object(members) => {
                let mut masked = serde_json::Map::new();
                for (key, mut member) in std::mem::take(members) {
                    self.within(&mut member);
                    // Keys of a plugin's state name customers as well: `holder/paul`.
                    masked.insert(self.text(&key), member);
                }
                *members = masked;
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn text(&mut self, text: &str) -> String {
        let mut masked = self.patterns(text);
        let mut known: Vec<(String, String)> =
            self.known.iter().map(|(text, (_, stand_in))| (text.clone(), stand_in.clone())).collect();
        // The longest first: one name may be a part of another.
        known.sort_by_key(|(text, _)| std::cmp::Reverse(text.len()));
        for (text, stand_in) in known.iter().filter(|(text, _)| !text.starts_with('+') && !text.contains('@')) {
            masked = replace_words(&masked, text, stand_in);
        }
        masked
    }

    /// Numbers and addresses, whoever's they are.
    fn patterns(&mut self, text: &str) -> String {
        let mut masked = String::with_capacity(text.len());
        let is_of_word = |c: char| c.is_alphanumeric() || "+@._%-".contains(c);
        let mut rest = text;
        while let Some(start) = rest.find(is_of_word) {
            let (before, from) = rest.split_at(start);
            masked.push_str(before);
            let end = from.find(|c: char| !is_of_word(c)).unwrap_or(from.len());
            let (word, after) = from.split_at(end);
            masked.push_str(&self.word(word));
            rest = after;
        }
        masked.push_str(rest);
        masked
    }

    fn word(&mut self, word: &str) -> String {
        let number = word.trim_end_matches(['.', '-']);
        let digits = number.strip_prefix('+').filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
        if digits.is_some_and(|digits| digits.len() >= NUMBER_DIGITS_MIN) {
            return format!("{}{}", self.stand_in("telephone number", number), &word[number.len()..]);
        }
        match word.split_once('@') {
            Some((name, host)) if !name.is_empty() && host.contains('.') => self.stand_in("e-mail address", word),
            _ => word.to_owned(),
        }
    }
}

fn cause_message(cause: &Cause) -> Option<&Incoming> {
    match cause {
        Cause::Message(incoming) => Some(incoming),
        Cause::Event(_) | Cause::Timer(_) | Cause::Delivery(_) => None,
    }
}

fn shape(c: char) -> char {
    match c {
        _ if c.is_uppercase() => 'X',
        _ if c.is_alphabetic() => 'x',
        _ if c.is_numeric() => '0',
        _ => c,
    }
}

/// Only where it stands alone: `paul` is not in `paulownia`.
fn replace_words(text: &str, word: &str, stand_in: &str) -> String {
    let mut replaced = String::with_capacity(text.len());
    let mut rest = text;
    let mut last = None;
    while let Some(at) = rest.find(word) {
        let (before, from) = rest.split_at(at);
        let after = from.get(word.len()..).unwrap_or_default();
        let begins = before.chars().next_back().or(last).is_none_or(|c| !c.is_alphanumeric());
        let ends = after.chars().next().is_none_or(|c| !c.is_alphanumeric());
        replaced.push_str(before);
        replaced.push_str(if begins && ends { stand_in } else { word });
        last = word.chars().next_back();
        rest = after;
    }
    replaced.push_str(rest);
    replaced
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_the_same_other_name_wherever_it_stands() {
        let mut masks = Masks::default();
        masks.stand_in("customer", "paul");
        masks.stand_in("name", "Martin");
        masks.stand_in("telephone number", "+33639981201");
        for (text, masked) in [
            ("customer/paul and paulownia", "customer/customer-1 and paulownia"),
            ("Dear Martin, call +33639981201.", "Dear Name1, call +33639980001."),
            ("+33612345678 or paul@shop.example", "+33639980002 or masked-1@example.com"),
            ("1+2=3, m5hynscrrvvztgfaavrfmd9bdvm", "1+2=3, m5hynscrrvvztgfaavrfmd9bdvm"),
            ("+33612345678", "+33639980002"),
        ] {
            assert_eq!(masks.text(text), masked);
        }
        assert_eq!("Où es-tu à 9h ?".chars().map(shape).collect::<String>(), "Xx xx-xx x 0x ?");
    }
}
