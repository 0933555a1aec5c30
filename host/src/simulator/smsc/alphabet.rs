//! Texts as an SMSC passes them on: one septet in each octet, or UTF-16.

/// Septets 0 to 127 but for the escape.
const BASIC: &str = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà";
const EXTENDED: [(char, u8); 10] = [
    ('\u{c}', 0x0A),
    ('^', 0x14),
    ('{', 0x28),
    ('}', 0x29),
    ('\\', 0x2F),
    ('[', 0x3C),
    ('~', 0x3D),
    (']', 0x3E),
    ('|', 0x40),
    ('€', 0x65),
];
const ESCAPE: u8 = 0x1B;

pub(super) const DEFAULT: u8 = 0;
pub(super) const UCS2: u8 = 8;

/// The coding, and the octets of each part.
pub(super) fn encode(text: &str) -> (u8, Vec<Vec<u8>>) {
    let septets: Option<Vec<Vec<u8>>> = text.chars().map(septets).collect();
    match septets {
        Some(septets) => (DEFAULT, cut(&septets, 160, 153)),
        None => {
            let octets = |c: char| c.encode_utf16(&mut [0; 2]).iter().flat_map(|unit| unit.to_be_bytes()).collect();
            (UCS2, cut(&text.chars().map(octets).collect::<Vec<_>>(), 140, 134))
        }
    }
}

fn septets(character: char) -> Option<Vec<u8>> {
    if let Some((_, septet)) = EXTENDED.iter().find(|(of, _)| *of == character) {
        return Some(vec![ESCAPE, *septet]);
    }
    let at = u8::try_from(BASIC.chars().position(|of| of == character)?).ok()?;
    Some(vec![if at < ESCAPE { at } else { at + 1 }])
}

fn cut(characters: &[Vec<u8>], alone_max: usize, joined_max: usize) -> Vec<Vec<u8>> {
    let all = characters.concat();
    if all.len() <= alone_max {
        return vec![all];
    }
    characters.iter().fold(vec![Vec::new()], |mut parts: Vec<Vec<u8>>, character| {
        match parts.last_mut() {
            Some(part) if part.len() + character.len() <= joined_max => part.extend_from_slice(character),
            _ => parts.push(character.clone()),
        }
        parts
    })
}

/// What the telephone shows.
pub(super) fn decode(octets: &[u8], data_coding: u8) -> String {
    match data_coding {
        UCS2 => {
            let units: Vec<u16> =
                octets.chunks(2).map(|pair| pair.iter().fold(0, |unit, octet| unit << 8 | u16::from(*octet))).collect();
            String::from_utf16_lossy(&units)
        }
        1 | 3 => octets.iter().copied().map(char::from).collect(),
        _ => default(octets),
    }
}

fn default(octets: &[u8]) -> String {
    let mut text = String::new();
    let mut octets = octets.iter().copied();
    while let Some(octet) = octets.next() {
        let character = match octet {
            ESCAPE => octets.next().and_then(|septet| EXTENDED.iter().find(|(_, of)| *of == septet)).map(|(c, _)| *c),
            _ => BASIC.chars().nth(usize::from(octet) - usize::from(octet > ESCAPE)),
        };
        text.push(character.unwrap_or('?'));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_back_as_they_were() {
        for text in ["Reçu ? non: recu", "12,50 € [a] {b} ^~|\\", "@£$ Ééà Ç", "prête 😀"] {
            let (coding, parts) = encode(text);
            assert_eq!(decode(&parts.concat(), coding), text);
        }
        assert_eq!(encode(&"€".repeat(81)).1.iter().map(Vec::len).collect::<Vec<_>>(), [152, 10]);
        assert_eq!(encode(&"ê".repeat(71)).1.iter().map(Vec::len).collect::<Vec<_>>(), [134, 8]);
    }
}
