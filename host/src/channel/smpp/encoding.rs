//! Texts as octets: the default alphabet with one septet in each octet, Latin-1, and UTF-16; cut into parts, and back.

use std::sync::LazyLock;

use super::settings::Alphabet;
use crate::channel::sms::gsm;

/// `data_coding` of UTF-16, big end first.
pub(super) const UCS2: u8 = 8;

/// What a message of one part holds, and each of several, whose header takes six octets (3GPP TS 23.040): septets or characters
/// of the default alphabet, and octets of UTF-16.
const DEFAULT_MAX: (usize, usize) = (160, 153);
const UCS2_MAX: (usize, usize) = (140, 134);

/// A text, ready to be sent: the octets of each part, without a header.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Encoded {
    pub(super) is_default: bool,
    pub(super) parts: Vec<Vec<u8>>,
}

pub(super) fn encode(text: &str, alphabet: Alphabet) -> Encoded {
    let default = match alphabet {
        Alphabet::Gsm => characters(text, gsm::septets),
        // What is Latin-1 and not in the GSM alphabet would be replaced on the way.
        Alphabet::Latin1 => characters(text, |one| gsm::septets(one).and_then(|_| latin1(one))),
    };
    match default {
        Some(characters) => Encoded { is_default: true, parts: cut(&characters, DEFAULT_MAX) },
        None => {
            let utf16 = |one: &str| Some(one.encode_utf16().flat_map(u16::to_be_bytes).collect());
            Encoded { is_default: false, parts: cut(&characters(text, utf16).unwrap_or_default(), UCS2_MAX) }
        }
    }
}

/// The octets of each character.
fn characters(text: &str, octets: impl Fn(&str) -> Option<Vec<u8>>) -> Option<Vec<Vec<u8>>> {
    text.chars().map(|character| octets(character.encode_utf8(&mut [0; 4]))).collect()
}

fn latin1(text: &str) -> Option<Vec<u8>> {
    text.chars().map(|character| u8::try_from(u32::from(character)).ok()).collect()
}

/// A character is never cut in two: it opens the next part.
fn cut(characters: &[Vec<u8>], (alone_max, joined_max): (usize, usize)) -> Vec<Vec<u8>> {
    let all = characters.concat();
    if all.len() <= alone_max {
        return vec![all];
    }
    let mut parts = vec![Vec::new()];
    for character in characters {
        let full = parts.last().is_some_and(|part: &Vec<u8>| part.len() + character.len() > joined_max);
        if full {
            parts.push(Vec::new());
        }
        if let Some(part) = parts.last_mut() {
            part.extend_from_slice(character);
        }
    }
    parts
}

/// What a message says, by its `data_coding`; `None` where that is no text.
pub(super) fn decode(octets: &[u8], data_coding: u8, alphabet: Alphabet) -> Option<String> {
    match data_coding {
        0 => Some(default(octets, alphabet)),
        1 | 3 => Some(octets.iter().copied().map(char::from).collect()),
        UCS2 => Some(utf16(octets)),
        // With a class (3GPP TS 23.038): bits 2 and 3 or bit 2 say the alphabet.
        0x10..=0x1F | 0xF0..=0xFF => match data_coding & 0x0C {
            0x00 => Some(default(octets, alphabet)),
            0x08 if data_coding < 0x20 => Some(utf16(octets)),
            0x08 => Some(default(octets, alphabet)),
            _ => None,
        },
        _ => None,
    }
}

fn default(octets: &[u8], alphabet: Alphabet) -> String {
    match alphabet {
        Alphabet::Gsm => septets(octets),
        Alphabet::Latin1 => octets.iter().copied().map(char::from).collect(),
    }
}

fn utf16(octets: &[u8]) -> String {
    let units: Vec<u16> =
        octets.chunks(2).map(|pair| pair.iter().fold(0, |unit, octet| unit << 8 | u16::from(*octet))).collect();
    String::from_utf16_lossy(&units)
}

/// Before a septet of the extension.
const ESCAPE: u8 = 0x1B;

/// Septets as text. Of the extension what is not in it reads as in the basic alphabet, as the standard wants.
fn septets(octets: &[u8]) -> String {
    let (basic, extended) = &*ALPHABET;
    let mut text = String::new();
    let mut escaped = false;
    for octet in octets.iter().map(|octet| octet & 0x7F) {
        let at = usize::from(octet);
        if octet == ESCAPE && !escaped {
            escaped = true;
            continue;
        }
        let of = |table: &[Option<char>]| table.get(at).copied().flatten();
        let character = if escaped { of(extended).or_else(|| of(basic)) } else { of(basic) };
        text.push(character.unwrap_or(' '));
        escaped = false;
    }
    text
}

type Septets = Vec<Option<char>>;

/// What is written is the one table there is: reading turns it round. No character of the alphabet is above U+20AC, the euro.
static ALPHABET: LazyLock<(Septets, Septets)> = LazyLock::new(|| {
    let (mut basic, mut extended) = (vec![None; 128], vec![None; 128]);
    for character in '\0'..='€' {
        let place = match gsm::septets(character.encode_utf8(&mut [0; 4])).as_deref() {
            Some([septet]) => basic.get_mut(usize::from(*septet)),
            Some([ESCAPE, septet]) => extended.get_mut(usize::from(*septet)),
            _ => None,
        };
        if let Some(place) = place {
            *place = Some(character);
        }
    }
    (basic, extended)
});

/// The header of a part: which message, of how many, and which of them.
pub(super) fn header(reference: u8, total: u8, no: u8) -> [u8; 6] {
    [5, 0, 3, reference, total, no]
}

/// A part of a longer message, by its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PartOf {
    pub(super) reference: u16,
    pub(super) total: u8,
    pub(super) no: u8,
}

/// The header of a message that has one, read, and what stands behind it.
pub(super) fn split_header(octets: &[u8]) -> (Option<PartOf>, &[u8]) {
    let Some((length, rest)) = octets.split_first() else { return (None, octets) };
    let Some((mut header, text)) = rest.split_at_checked(usize::from(*length)) else { return (None, octets) };
    let mut found = None;
    while let [element, length, more @ ..] = header {
        let Some((value, more)) = more.split_at_checked(usize::from(*length)) else { break };
        match (element, value) {
            (0x00, [reference, total, no]) => {
                found = Some(PartOf { reference: u16::from(*reference), total: *total, no: *no });
            }
            (0x08, [high, low, total, no]) => {
                found = Some(PartOf { reference: u16::from_be_bytes([*high, *low]), total: *total, no: *no });
            }
            _ => {}
        }
        header = more;
    }
    (found, text)
}
