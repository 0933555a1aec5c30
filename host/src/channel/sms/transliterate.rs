//! Writing a text in the GSM alphabet where that makes it shorter: `prête` as `prete`, `œ` as `oe`.
//!
//! Off unless the tenant asks for it, because it changes what the author wrote. And done only where it pays: a text whose
//! parts do not become fewer stays as it is, and so does one that keeps a character that cannot be replaced (an emoji, Greek).

use std::collections::BTreeSet;

use super::gsm;

/// What has to be replaced, one line for each character, where writing the text in the GSM alphabet saves a part.
pub fn saving(text: &str) -> Option<Vec<String>> {
    let missing: BTreeSet<char> = text.chars().filter(|character| !gsm::in_alphabet(*character)).collect();
    let replaceable = missing.iter().all(|character| replacement(*character).is_some());
    let saves = replaceable && gsm::count(&rewrite(text)).parts < gsm::count(text).parts;
    saves.then(|| missing.into_iter().map(describe).collect())
}

/// The text with what can be replaced replaced.
pub fn rewrite(text: &str) -> String {
    let mut written = String::with_capacity(text.len());
    for character in text.chars() {
        match replacement(character) {
            Some(by) if !gsm::in_alphabet(character) => written.push_str(by),
            _ => written.push(character),
        }
    }
    written
}

fn describe(character: char) -> String {
    let by = match replacement(character) {
        Some("") | None => "left out".to_owned(),
        Some(" ") => "written as a space".to_owned(),
        Some(by) => format!("written as `{by}`"),
    };
    // What one cannot see is named by its number.
    if character.is_alphanumeric() || "’‘“”«»…–—•".contains(character) {
        format!("`{character}` {by}")
    } else {
        format!("U+{:04X} {by}", u32::from(character))
    }
}

/// How a character that is not in the GSM alphabet is usually written with those that are.
fn replacement(character: char) -> Option<&'static str> {
    Some(match character {
        'á' | 'â' | 'ã' | 'ā' | 'ă' | 'ą' => "a",
        'À' | 'Á' | 'Â' | 'Ã' | 'Ā' | 'Ă' | 'Ą' => "A",
        'ç' | 'ć' | 'č' => "c",
        'Ć' | 'Č' => "C",
        'ď' | 'đ' => "d",
        'Ď' | 'Đ' => "D",
        'ê' | 'ë' | 'ē' | 'ę' | 'ě' | 'ė' => "e",
        'È' | 'Ê' | 'Ë' | 'Ē' | 'Ę' | 'Ě' | 'Ė' => "E",
        'ğ' => "g",
        'Ğ' => "G",
        'í' | 'î' | 'ï' | 'ī' | 'ı' | 'į' => "i",
        'Ì' | 'Í' | 'Î' | 'Ï' | 'Ī' | 'İ' | 'Į' => "I",
        'ł' | 'ľ' => "l",
        'Ł' | 'Ľ' => "L",
        'ń' | 'ň' => "n",
        'Ń' | 'Ň' => "N",
        'ó' | 'ô' | 'õ' | 'ō' | 'ő' => "o",
        'Ò' | 'Ó' | 'Ô' | 'Õ' | 'Ō' | 'Ő' => "O",
        'ř' => "r",
        'Ř' => "R",
        'ś' | 'š' | 'ş' | 'ș' => "s",
        'Ś' | 'Š' | 'Ş' | 'Ș' => "S",
        'ť' | 'ţ' | 'ț' => "t",
        'Ť' | 'Ţ' | 'Ț' => "T",
        'ú' | 'û' | 'ū' | 'ů' | 'ű' | 'ų' => "u",
        'Ù' | 'Ú' | 'Û' | 'Ū' | 'Ů' | 'Ű' | 'Ų' => "U",
        'ý' | 'ÿ' => "y",
        'Ý' | 'Ÿ' => "Y",
        'ź' | 'ž' | 'ż' => "z",
        'Ź' | 'Ž' | 'Ż' => "Z",
        'œ' => "oe",
        'Œ' => "OE",
        'ẞ' => "SS",
        '’' | '‘' | '‚' | '′' | '`' | '´' => "'",
        '“' | '”' | '„' | '«' | '»' | '″' => "\"",
        '‹' => "<",
        '›' => ">",
        '…' => "...",
        '–' | '—' | '‐' | '‑' | '−' | '•' | '·' => "-",
        '\u{a0}' | '\u{202f}' | '\u{2007}' | '\u{2009}' | '\t' => " ",
        '×' => "x",
        '°' | 'º' => "o",
        // Soft hyphens, joiners, marks of direction, and accents that stand after their letter.
        '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}' | '\u{300}'..='\u{36f}' => "",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_rewritten_where_that_saves_a_part() {
        let text = "Votre commande est prête\u{202f}: nous vous attendons à l’accueil jusqu’à 19 h, à tout de suite…";
        assert_eq!(gsm::count(text).parts, 2);
        let (written, changes) = (rewrite(text), saving(text).unwrap());
        assert_eq!(
            written,
            "Votre commande est prete : nous vous attendons à l'accueil jusqu'à 19 h, à tout de suite..."
        );
        assert_eq!(gsm::count(&written).parts, 1);
        assert_eq!(
            changes,
            ["`ê` written as `e`", "`’` written as `'`", "`…` written as `...`", "U+202F written as a space"]
        );
    }

    #[test]
    fn a_text_that_fits_as_it_is_keeps_its_accents() {
        assert_eq!(saving("Votre commande est prête, à tout de suite !"), None);
        assert_eq!(saving("Votre commande est la, a tout de suite !"), None);
    }

    #[test]
    fn a_text_with_something_that_cannot_be_replaced_stays_as_it_is() {
        assert_eq!(saving(&format!("{} 🥐", "prête ".repeat(20))), None);
    }

    #[test]
    fn every_french_character_of_the_list_has_a_replacement_in_the_alphabet() {
        for character in "âçêëîïôûÿœÀÂÈÊËÎÏÔÙÛŸŒ’‘“”«»…–—\u{a0}\u{202f}\u{2011}".chars()
        {
            assert!(replacement(character).unwrap().chars().all(gsm::in_alphabet), "{character:?}");
        }
    }
}
