//! How long a text is as SMS: the GSM 03.38 alphabet with its extension, else UCS-2, and the parts that either takes.
//!
//! Counted are septets (an extension character is two) or UTF-16 units (an emoji is two), never bytes and never `char`s.

use serde::{Deserialize, Serialize};

/// How a text travels. One character outside the alphabet makes the whole message UCS-2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Encoding {
    #[serde(rename = "GSM-7")]
    Gsm7,
    #[serde(rename = "UCS-2")]
    Ucs2,
}

impl Encoding {
    pub fn as_str(self) -> &'static str {
        match self {
            Encoding::Gsm7 => "GSM-7",
            Encoding::Ucs2 => "UCS-2",
        }
    }

    /// What a message of one part holds: 140 octets are 160 septets or 70 units of UTF-16 (3GPP TS 23.040).
    fn alone_max(self) -> u32 {
        match self {
            Encoding::Gsm7 => 160,
            Encoding::Ucs2 => 70,
        }
    }

    /// What each of several parts holds: six octets go to the header that joins them, and one fill bit in 7-bit.
    fn joined_max(self) -> u32 {
        match self {
            Encoding::Gsm7 => 153,
            Encoding::Ucs2 => 67,
        }
    }

    /// What a character takes in this encoding. Asked of GSM-7 only for texts that are in its alphabet.
    fn units(self, character: char) -> u32 {
        match (self, code(character)) {
            (Encoding::Gsm7, Some(Code::Extended(_))) => 2,
            (Encoding::Gsm7, _) => 1,
            (Encoding::Ucs2, _) if u32::from(character) > 0xFFFF => 2,
            (Encoding::Ucs2, _) => 1,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    pub encoding: Encoding,
    /// Septets, or UTF-16 units.
    pub units: u32,
    /// An empty text is one part: it can be sent, and costs one.
    pub parts: u32,
}

/// Encoding, units and parts of a text.
pub fn count(text: &str) -> Count {
    let encoding = encoding(text);
    let units = text.chars().fold(0_u32, |units, character| units.saturating_add(encoding.units(character)));
    if units <= encoding.alone_max() {
        return Count { encoding, units, parts: 1 };
    }
    Count { encoding, units, parts: ends(text, encoding).fold(1, |parts, _| parts + 1) }
}

/// The text of each part. An escape pair or a surrogate pair is never cut in two: it opens the next part.
pub fn split(text: &str) -> Vec<&str> {
    let encoding = encoding(text);
    if count(text).parts == 1 {
        return vec![text];
    }
    let mut parts = Vec::new();
    let mut start = 0;
    for end in ends(text, encoding).chain([text.len()]) {
        parts.extend(text.get(start..end));
        start = end;
    }
    parts
}

pub fn encoding(text: &str) -> Encoding {
    if text.chars().all(|character| code(character).is_some()) { Encoding::Gsm7 } else { Encoding::Ucs2 }
}

pub(super) fn in_alphabet(character: char) -> bool {
    code(character).is_some()
}

/// The septets of a text, an extension character with its escape; `None` where a character is not in the alphabet.
pub fn septets(text: &str) -> Option<Vec<u8>> {
    let mut septets = Vec::with_capacity(text.len());
    for character in text.chars() {
        match code(character)? {
            Code::Basic(septet) => septets.push(septet),
            Code::Extended(septet) => septets.extend([ESCAPE, septet]),
        }
    }
    Some(septets)
}

/// Packs septets into octets: septet n occupies bits 7n to 7n+6, least significant first.
pub fn pack(septets: &[u8]) -> Vec<u8> {
    let mut octets = Vec::with_capacity(septets.len() * 7 / 8 + 1);
    let (mut held, mut bits) = (0_u16, 0_u8);
    for septet in septets {
        held |= u16::from(septet & 0x7F) << bits;
        bits += 7;
        if bits >= 8 {
            octets.push((held & 0xFF) as u8);
            held >>= 8;
            bits -= 8;
        }
    }
    if bits > 0 {
        octets.push((held & 0xFF) as u8);
    }
    octets
}

/// Where each part but the last ends, in bytes of the text, for a text of several parts.
fn ends(text: &str, encoding: Encoding) -> impl Iterator<Item = usize> {
    let mut used = 0;
    text.char_indices().filter_map(move |(at, character)| {
        let units = encoding.units(character);
        let full = used + units > encoding.joined_max();
        used = if full { units } else { used + units };
        full.then_some(at)
    })
}

/// The septet before which ESC stands, which no character of a text stands for.
const ESCAPE: u8 = 0x1B;

/// Septets 0x00 to 0x1F, with a placeholder that no text can match where ESC is.
const LOW: [char; 32] = [
    '@',
    '£',
    '$',
    '¥',
    'è',
    'é',
    'ù',
    'ì',
    'ò',
    'Ç',
    '\n',
    'Ø',
    'ø',
    '\r',
    'Å',
    'å',
    'Δ',
    '_',
    'Φ',
    'Γ',
    'Λ',
    'Ω',
    'Π',
    'Ψ',
    'Σ',
    'Θ',
    'Ξ',
    '\u{10FFFF}',
    'Æ',
    'æ',
    'ß',
    'É',
];

enum Code {
    Basic(u8),
    /// After ESC.
    Extended(u8),
}

fn code(character: char) -> Option<Code> {
    use Code::{Basic, Extended};
    Some(match character {
        ' '..='#' | '%'..='?' | 'A'..='Z' | 'a'..='z' => Basic(character as u8),
        '¤' => Basic(0x24),
        '¡' => Basic(0x40),
        'Ä' => Basic(0x5B),
        'Ö' => Basic(0x5C),
        'Ñ' => Basic(0x5D),
        'Ü' => Basic(0x5E),
        '§' => Basic(0x5F),
        '¿' => Basic(0x60),
        'ä' => Basic(0x7B),
        'ö' => Basic(0x7C),
        'ñ' => Basic(0x7D),
        'ü' => Basic(0x7E),
        'à' => Basic(0x7F),
        '\u{c}' => Extended(0x0A),
        '^' => Extended(0x14),
        '{' => Extended(0x28),
        '}' => Extended(0x29),
        '\\' => Extended(0x2F),
        '[' => Extended(0x3C),
        '~' => Extended(0x3D),
        ']' => Extended(0x3E),
        '|' => Extended(0x40),
        '€' => Extended(0x65),
        '\u{10FFFF}' => return None,
        _ => Basic(LOW.iter().position(|low| *low == character).and_then(|at| u8::try_from(at).ok())?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(text: &str) -> (Encoding, u32, u32) {
        let count = count(text);
        assert_eq!(split(text).len(), count.parts as usize, "the parts must be those that are counted");
        assert_eq!(split(text).concat(), text);
        (count.encoding, count.units, count.parts)
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn texts_take_the_units_and_parts_that_the_standard_says() {
        use Encoding::{Gsm7, Ucs2};
        let vectors = [
            ("a".repeat(160), Gsm7, 160, 1),
            ("a".repeat(161), Gsm7, 161, 2),
            ("€".repeat(80), Gsm7, 160, 1),
            ("€".repeat(81), Gsm7, 162, 2),
            ("ê".repeat(70), Ucs2, 70, 1),
            ("ê".repeat(71), Ucs2, 71, 2),
            ("😀".repeat(35), Ucs2, 70, 1),
            ("😀".repeat(36), Ucs2, 72, 2),
            ("Votre commande est prête, à tout de suite !".into(), Ucs2, 43, 1),
            ("Votre commande est prete, à tout de suite !".into(), Gsm7, 43, 1),
            ("Recu : 12,50 €".into(), Gsm7, 15, 1),
            ("Reçu : 12,50 €".into(), Ucs2, 14, 1),
            ("a".repeat(306), Gsm7, 306, 2),
            ("a".repeat(307), Gsm7, 307, 3),
            ("ê".repeat(134), Ucs2, 134, 2),
            ("ê".repeat(135), Ucs2, 135, 3),
            (String::new(), Gsm7, 0, 1),
        ];
        for (text, encoding, units, parts) in vectors {
            assert_eq!(counted(&text), (encoding, units, parts), "{text}");
        }
    }

    #[test]
    fn an_escape_pair_opens_the_next_part_rather_than_being_cut() {
        let text = format!("{}€{}", "a".repeat(152), "b".repeat(10));
        assert_eq!(counted(&text), (Encoding::Gsm7, 164, 2));
        assert_eq!(split(&text), ["a".repeat(152), format!("€{}", "b".repeat(10))]);
        // 152 + 153 + 1 are 306 septets, which would be two parts if a pair could be cut.
        let text = format!("{}€{}", "a".repeat(152), "b".repeat(152));
        assert_eq!(counted(&text), (Encoding::Gsm7, 306, 3));
    }

    #[test]
    fn a_surrogate_pair_opens_the_next_part_rather_than_being_cut() {
        let text = format!("{}😀{}", "ê".repeat(66), "ê".repeat(65));
        assert_eq!(counted(&text), (Encoding::Ucs2, 133, 2));
        assert_eq!(split(&text)[0], "ê".repeat(66));
        let octets: Vec<usize> =
            split(&"ê".repeat(71)).iter().map(|part| part.encode_utf16().count() * 2 + 6).collect();
        assert_eq!(octets, [140, 14]);
    }

    #[test]
    fn the_alphabet_is_the_one_of_the_standard() {
        let row = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§\
                   ¿abcdefghijklmnopqrstuvwxyzäöñüà";
        let expected: Vec<u8> = (0..128).filter(|septet| *septet != ESCAPE).collect();
        assert_eq!(septets(row).unwrap(), expected);
        for missing in "âçêëîïôûÿœÀÂÈÊËÎÏÔÙÛŸŒ’‘“”«»…–—`\t\u{1b}\u{a0}\u{202f}\u{2011}\u{10ffff}".chars()
        {
            assert!(!in_alphabet(missing), "{missing:?}");
        }
    }

    #[test]
    fn septets_are_packed_least_significant_first() {
        assert_eq!(hex(&pack(&septets("hellohello").unwrap())), "e8329bfd4697d9ec37");
        assert_eq!(hex(&pack(&septets("€").unwrap())), "9b32");
        assert_eq!(hex(&pack(&septets("Votre code : 4821").unwrap())), "d6375d5e068ddfe4324807a2e16431".to_owned());
        assert_eq!(septets("prête"), None);
    }
}
