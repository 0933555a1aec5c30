//! Words as they are compared: without case, accents and whatever stands between them.

use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};

/// The words of a text, in their order. "Où est l'ŒUF ?" is `ou`, `est`, `l`, `oeuf`.
pub(super) fn of(text: &str) -> Vec<String> {
    let plain: String = text.nfkd().filter(|c| !is_combining_mark(*c)).flat_map(char::to_lowercase).collect();
    let plain = plain.chars().fold(String::with_capacity(plain.len()), |mut written, c| {
        match spelt(c) {
            Some(by) => written.push_str(by),
            None => written.push(c),
        }
        written
    });
    plain.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// Letters that are no letter with an accent to Unicode, and are written without all the same.
fn spelt(c: char) -> Option<&'static str> {
    Some(match c {
        'œ' => "oe",
        'æ' => "ae",
        'ß' => "ss",
        'ø' => "o",
        'ł' => "l",
        'đ' | 'ð' => "d",
        'ı' => "i",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::of;

    #[test]
    fn case_accents_and_signs_make_no_difference() {
        assert_eq!(of("Où est l'ŒUF ?"), ["ou", "est", "l", "oeuf"]);
        assert_eq!(of("À la CARTE!"), of("a la carte"));
        // Composed and decomposed, and of full width.
        assert_eq!(of("pr\u{ea}t"), of("pre\u{302}t"));
        assert_eq!(of("ＭＥＮＵ"), ["menu"]);
        assert_eq!(of("Straße Łódź Ødegård"), ["strasse", "lodz", "odegard"]);
        assert_eq!(of("菜单"), ["菜单"], "what has no case stays as it is");
        assert!(of(" ?!… ").is_empty());
    }
}
