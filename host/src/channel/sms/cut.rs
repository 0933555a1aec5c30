//! Cutting what is too long: at a word, with dots that are counted, and from the text rather than from a link.

use super::gsm::{self, Encoding};

/// Text and lines as one text of at most `parts_max` parts. The lines after the text (links, choices) are kept whole where
/// they leave room for a word of it, because half a link is none.
pub(super) fn fit(head: &str, tail: &str, parts_max: u32, changed: &mut Vec<String>) -> String {
    let whole = join(head, tail);
    let parts = gsm::count(&whole).parts;
    if parts <= parts_max {
        return whole;
    }
    changed.push(format!("cut from {parts} parts to the {parts_max} that are allowed"));
    shortened(head, tail, parts_max).or_else(|| shortened(&whole, "", parts_max)).unwrap_or_default()
}

pub(super) fn join(head: &str, tail: &str) -> String {
    match (head.is_empty(), tail.is_empty()) {
        (false, false) => format!("{head}\n{tail}"),
        _ => format!("{head}{tail}"),
    }
}

/// The longest beginning of `head` that fits with its dots and the tail: up to a word's end, else up to any character.
fn shortened(head: &str, tail: &str, parts_max: u32) -> Option<String> {
    let word_ends: Vec<usize> = head
        .char_indices()
        .zip(head.chars().skip(1))
        .filter(|((_, this), next)| !this.is_whitespace() && next.is_whitespace())
        .map(|((at, this), _)| at + this.len_utf8())
        .collect();
    let anywhere = || head.char_indices().map(|(at, character)| at + character.len_utf8()).collect::<Vec<_>>();
    longest(head, tail, &word_ends, parts_max).or_else(|| longest(head, tail, &anywhere(), parts_max))
}

/// A longer beginning never takes fewer parts, so the last that fits is found by halving.
fn longest(head: &str, tail: &str, ends: &[usize], parts_max: u32) -> Option<String> {
    let cut_at = |end: usize| join(&dotted(head.get(..end).unwrap_or_default(), tail), tail);
    let fitting = ends.partition_point(|end| gsm::count(&cut_at(*end)).parts <= parts_max);
    let end = ends.get(fitting.checked_sub(1)?)?;
    Some(cut_at(*end))
}

/// `…` is not in the GSM alphabet, where it would halve what fits: three dots stand for it there.
fn dotted(head: &str, tail: &str) -> String {
    let gsm7 = [head, tail].iter().all(|text| gsm::encoding(text) == Encoding::Gsm7);
    format!("{head}{}", if gsm7 { "..." } else { "…" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fitted(head: &str, tail: &str, parts_max: u32) -> String {
        let mut changed = Vec::new();
        let text = fit(head, tail, parts_max, &mut changed);
        assert!(gsm::count(&text).parts <= parts_max);
        assert_eq!(changed.len(), usize::from(text != join(head, tail)));
        text
    }

    #[test]
    fn what_fits_is_left_alone() {
        assert_eq!(fitted("a", "b", 1), "a\nb");
        assert_eq!(fitted("a", "", 1), "a");
        assert_eq!(fitted("", "b", 1), "b");
        assert_eq!(fitted(&"a".repeat(160), "", 1), "a".repeat(160));
    }

    #[test]
    fn the_dots_are_counted() {
        let text = fitted(&"mot ".repeat(50), "", 1);
        assert_eq!(text, format!("{}mot...", "mot ".repeat(38)));
        assert_eq!(gsm::count(&text).units, 158);
        let text = fitted(&"thé prêt ".repeat(50), "", 1);
        assert!(text.ends_with(" thé…") && gsm::count(&text).units == 67, "{text}");
    }

    #[test]
    fn a_text_without_spaces_is_cut_between_characters() {
        assert_eq!(fitted(&"a".repeat(200), "", 1), format!("{}...", "a".repeat(157)));
        // An emoji is two units and is kept whole.
        assert_eq!(fitted(&"😀".repeat(100), "", 1), format!("{}…", "😀".repeat(34)));
    }

    #[test]
    fn an_end_that_leaves_no_room_is_cut_itself() {
        let tail = format!("1 = {}\n2 = Non", "x".repeat(200));
        let text = fitted("Bonjour", &tail, 1);
        assert!(text.starts_with("Bonjour\n1 =..."), "{text}");
    }
}
