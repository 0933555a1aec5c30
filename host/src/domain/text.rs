//! What a text may hold, wherever it is kept.
//!
//! PostgreSQL has no place for U+0000 in a text, SQLite has. What one of them cannot keep is refused where it is given, by its
//! field's name and alike on both: refused by the database, it would be tried again and again. A provider cannot be refused, so
//! its texts lose the character.

/// Why a text is refused, where it is: `what` is how whoever gave it calls it.
pub fn nul_in(what: &str, text: &str) -> Option<String> {
    text.contains('\0').then(|| format!("`{what}` contains U+0000, which no text may"))
}

/// A provider's text, as it can be kept.
pub fn strip_nul(text: &mut String) {
    if text.contains('\0') {
        text.retain(|character| character != '\0');
    }
}

/// The same of a text that may be missing.
pub fn strip_nul_of(text: &mut Option<String>) {
    if let Some(text) = text {
        strip_nul(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_with_a_nul_is_refused_by_its_name_and_a_providers_loses_it() {
        assert_eq!(nul_in("tag", "a\tb"), None);
        assert_eq!(nul_in("tag", "a\0b").as_deref(), Some("`tag` contains U+0000, which no text may"));
        let mut words = Some("\0a\0b".to_owned());
        strip_nul_of(&mut words);
        assert_eq!(words.as_deref(), Some("ab"));
    }
}
