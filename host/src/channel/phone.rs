//! Telephone numbers: what people type, what each provider writes, and E.164 in between.
//!
//! A number is checked where it enters and kept as E.164 with the plus ever after. What is wrong with one is said precisely,
//! with the number that was probably meant, and nothing is repaired in silence: a guess that is wrong texts a stranger.

use std::fmt;

use phonenumber::{Mode, PhoneNumber, country, metadata::DATABASE};

use crate::domain::customer::is_user_id;

/// A number that can be dialled from anywhere: `+33639981201`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct E164(String);

impl E164 {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn into_string(self) -> String {
        self.0
    }

    /// As CM.com writes it: `0033639981201`.
    pub fn cm(&self) -> String {
        cm_form(&self.0)
    }
}

impl fmt::Display for E164 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PhoneError {
    #[error("the phone number is empty; write it with + and the country code, such as +33639981201")]
    Empty,
    #[error("`{text}` contains `{character}`, which no phone number does; write digits after the +")]
    Character { text: String, character: char },
    #[error("`{text}` does not say its country; write it with + and the country code{}", meant(.suggestion))]
    MissingPlus { text: String, suggestion: Option<String> },
    #[error("`{region}` is no country that has phone numbers; give two letters such as FR")]
    Region { region: String },
    #[error("`{text}` begins with no country code that exists; write + and the country code first, such as +33")]
    CountryCode { text: String },
    #[error("`{text}` keeps the 0 that is dialled within the country only; leave it out{}", meant(.suggestion))]
    TrunkZero { text: String, suggestion: Option<String> },
    #[error("`{text}` has {digits} digits, which is too short for a phone number{}", within(.region))]
    TooShort { text: String, digits: usize, region: Option<String> },
    #[error("`{text}` has {digits} digits, which is too long for a phone number{}", within(.region))]
    TooLong { text: String, digits: usize, region: Option<String> },
    #[error("`{text}` is not a number that is given out{}; check the digits", within(.region))]
    NotValid { text: String, region: Option<String> },
}

/// Reads a number as people write it. `default_region` (`FR`) is for numbers without a country code; without it those are
/// refused.
pub fn parse_e164(text: &str, default_region: Option<&str>) -> Result<E164, PhoneError> {
    let text = text.trim_matches(|c: char| c.is_whitespace() || is_invisible(c));
    let digits = digits_of(text)?;
    if digits.is_empty() {
        return Err(PhoneError::Empty);
    }
    if text.starts_with('+') {
        return international(text, &digits);
    }
    let Some(region) = default_region else {
        // `0033…` is dialled, not written; with its plus it may well be right.
        let suggestion = digits.strip_prefix("00").and_then(|rest| valid(&format!("+{rest}")));
        return Err(PhoneError::MissingPlus { text: shown(text), suggestion });
    };
    national(text, &digits, region)
}

/// The country that a number belongs to, as two letters; `None` for numbers of no country (satellites, networks).
///
/// WhatsApp's id of somebody who hides the number says it by its first two letters.
pub fn country(number: &str) -> Option<String> {
    if is_user_id(number) {
        return number.get(..2).map(str::to_owned);
    }
    region(&phonenumber::parse(None, number).ok()?)
}

fn region(number: &PhoneNumber) -> Option<String> {
    // Of countries that share a code, the main one where the digits do not tell.
    let main = || Some(DATABASE.by_code(&number.country().code())?.first()?.id().to_owned());
    let region = number.country().id().map(|id| id.as_ref().to_owned()).or_else(main)?;
    // `001` stands for the codes of no country.
    (region != "001").then_some(region)
}

/// The sender that WhatsApp names: bare digits. Tolerant, because WhatsApp keeps numbers that have since been renumbered
/// (a Mexican `521…`), and an answer has to go back to exactly what it says.
pub fn from_wa_id(digits: &str) -> Option<E164> {
    let digits = digits.strip_prefix('+').unwrap_or(digits);
    plausible(digits).then(|| E164(format!("+{digits}")))
}

/// The number that CM.com names: with `00`, sometimes with `+` or bare. `None` for short codes and names.
pub fn from_cm(text: &str) -> Option<E164> {
    from_wa_id(text.trim().strip_prefix("00").unwrap_or(text.trim()))
}

/// The form `00…` of an E.164 number.
pub fn cm_form(e164: &str) -> String {
    format!("00{}", e164.strip_prefix('+').unwrap_or(e164))
}

fn international(text: &str, digits: &str) -> Result<E164, PhoneError> {
    // E.164 allows 15 digits; nothing shorter than 7 with its country code is known.
    let trunk = text.contains("(0)");
    let written = if trunk { digits_of(&text.replacen("(0)", "", 1))? } else { digits.to_owned() };
    let number = parsed(text, &written)?;
    let e164 = number.format().mode(Mode::E164).to_string();
    if trunk || e164 != format!("+{written}") {
        // The library leaves a trunk zero out by itself, so that what it writes is what was probably meant.
        let suggestion = is_valid(&number, &e164).then_some(e164);
        return Err(PhoneError::TrunkZero { text: shown(text), suggestion });
    }
    checked(text, &number, e164)
}

fn national(text: &str, digits: &str, region: &str) -> Result<E164, PhoneError> {
    let id: country::Id =
        region.to_ascii_uppercase().parse().map_err(|_| PhoneError::Region { region: shown(region) })?;
    let number = phonenumber::parse(Some(id), digits).map_err(|_| PhoneError::TooShort {
        text: shown(text),
        digits: digits.len(),
        region: Some(region.to_owned()),
    })?;
    let e164 = number.format().mode(Mode::E164).to_string();
    checked(text, &number, e164)
}

fn parsed(text: &str, digits: &str) -> Result<PhoneNumber, PhoneError> {
    use phonenumber::ParseError;
    let count = digits.len();
    let region = || None;
    phonenumber::parse(None, format!("+{digits}")).map_err(|error| match error {
        ParseError::InvalidCountryCode => PhoneError::CountryCode { text: shown(text) },
        ParseError::TooLong => PhoneError::TooLong { text: shown(text), digits: count, region: region() },
        _ if count > 15 => PhoneError::TooLong { text: shown(text), digits: count, region: region() },
        _ => PhoneError::TooShort { text: shown(text), digits: count, region: region() },
    })
}

fn checked(text: &str, number: &PhoneNumber, e164: String) -> Result<E164, PhoneError> {
    if is_valid(number, &e164) {
        return Ok(E164(e164));
    }
    let region = region(number);
    let digits = e164.len().saturating_sub(1);
    let text = shown(text);
    Err(match viable(number) {
        Length::Short => PhoneError::TooShort { text, digits, region },
        Length::Long => PhoneError::TooLong { text, digits, region },
        Length::Right => PhoneError::NotValid { text, region },
    })
}

/// Numbers that regulators keep for films and examples. Nobody has one, so the library's data leaves some out; refusing them
/// would refuse every example in our documentation, and a provider turns them down by itself.
const FICTIONAL: [&str; 1] = [
    // France, mobile: 06 39 98 00 00 to 06 39 98 99 99.
    "+3363998",
];

fn is_valid(number: &PhoneNumber, e164: &str) -> bool {
    let fictional = FICTIONAL.iter().any(|range| e164.starts_with(range)) && matches!(viable(number), Length::Right);
    fictional || phonenumber::is_valid(number)
}

enum Length {
    Short,
    Right,
    Long,
}

/// How the number's length compares with those that its country gives out.
fn viable(number: &PhoneNumber) -> Length {
    let national = number.format().mode(Mode::E164).to_string().len().saturating_sub(1);
    let code = number.country().code();
    // Those of telephones that people carry or have at home: the general ones count numbers of four digits in as well.
    let lengths: Vec<usize> = DATABASE
        .by_code(&code)
        .iter()
        .flatten()
        .flat_map(|country| {
            let kinds = country.descriptors();
            [kinds.mobile(), kinds.fixed_line()]
        })
        .flatten()
        .flat_map(|kind| kind.possible_length())
        .map(|length| usize::from(*length) + code.to_string().len())
        .collect();
    match (lengths.iter().min(), lengths.iter().max()) {
        (Some(shortest), _) if national < *shortest => Length::Short,
        (_, Some(longest)) if national > *longest => Length::Long,
        _ => Length::Right,
    }
}

/// 7 to 15 digits that do not begin with 0: what a number can be without asking its country (E.164 sets only the 15).
fn plausible(digits: &str) -> bool {
    (7..=15).contains(&digits.len()) && !digits.starts_with('0') && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// The digits alone, where nothing else stands between them than people put there.
fn digits_of(text: &str) -> Result<String, PhoneError> {
    let mut digits = String::with_capacity(text.len());
    for (at, character) in text.char_indices() {
        match character {
            '0'..='9' => digits.push(character),
            '+' if at == 0 => {}
            '-' | '.' | '(' | ')' | '/' | '‑' | '–' => {}
            _ if character.is_whitespace() || is_invisible(character) => {}
            _ => return Err(PhoneError::Character { text: shown(text), character }),
        }
    }
    Ok(digits)
}

/// Marks of direction and joiners, which come along when a number is copied from a web page or a contact.
fn is_invisible(character: char) -> bool {
    matches!(character, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

fn valid(number: &str) -> Option<String> {
    parse_e164(number, None).ok().map(E164::into_string)
}

/// What an error quotes of a text: enough to find it again, and no more of what may be anything.
fn shown(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(32).collect()
}

fn meant(suggestion: &Option<String>) -> String {
    match suggestion {
        Some(number) => format!(" ({number}?)"),
        None => ", such as +33639981201".to_owned(),
    }
}

fn within(region: &Option<String>) -> String {
    region.as_ref().map(|region| format!(" in {region}")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str, region: Option<&str>) -> String {
        parse_e164(text, region).unwrap_err().to_string()
    }

    #[test]
    fn the_fictional_range_of_the_examples_is_accepted() {
        for number in ["+33639980000", "+33639981201", "+33639989999", "+33600000001", "+33139980001"] {
            assert_eq!(parse_e164(number, None).unwrap().as_str(), number);
        }
        assert_eq!(country("+33639981201").as_deref(), Some("FR"));
    }

    #[test]
    fn numbers_are_read_as_people_write_them() {
        for text in
            ["+33 6 39 98 12 01", "+33.6.39.98.12.01", "+33 (6) 39-98-12-01", "\u{202a}+33\u{a0}639981201\u{202c}"]
        {
            assert_eq!(parse_e164(text, None).unwrap().as_str(), "+33639981201", "{text}");
        }
        for text in ["06 39 98 12 01", "0033639981201", "0639981201", "639981201"] {
            assert_eq!(parse_e164(text, Some("FR")).unwrap().as_str(), "+33639981201", "{text}");
        }
        assert_eq!(parse_e164("06 12345678", Some("nl")).unwrap().as_str(), "+31612345678");
        // An Italian zero belongs to the number.
        assert_eq!(parse_e164("+39 06 69812345", None).unwrap().as_str(), "+390669812345");
    }

    #[test]
    fn a_number_without_its_country_is_refused_with_the_fix() {
        assert_eq!(
            refused("0639981201", None),
            "`0639981201` does not say its country; write it with + and the country code, such as +33639981201"
        );
        assert!(refused("0033639981201", None).ends_with("country code (+33639981201?)"));
        assert!(matches!(parse_e164("0639981201", Some("XX")), Err(PhoneError::Region { .. })));
        assert_eq!(parse_e164(" + ", None), Err(PhoneError::Empty));
        assert_eq!(parse_e164("", Some("FR")), Err(PhoneError::Empty));
    }

    #[test]
    fn a_trunk_zero_is_refused_with_the_number_that_was_meant() {
        for text in ["+33 (0)6 39 98 12 01", "+33 06 39 98 12 01", "+330639981201"] {
            let suggestion = Some("+33639981201".to_owned());
            assert_eq!(parse_e164(text, None), Err(PhoneError::TrunkZero { text: text.to_owned(), suggestion }));
        }
    }

    #[test]
    fn what_cannot_be_a_number_says_why() {
        assert_eq!(
            refused("+33 6 39 98", None),
            "`+33 6 39 98` has 7 digits, which is too short for a phone number in FR"
        );
        assert!(matches!(parse_e164("+336399812011", None), Err(PhoneError::TooLong { .. })));
        assert!(matches!(parse_e164("+3363998120112345678", None), Err(PhoneError::TooLong { .. })));
        assert_eq!(
            refused("+33 6 39 97 12 01", None),
            "`+33 6 39 97 12 01` is not a number that is given out in FR; check the digits"
        );
        assert!(matches!(parse_e164("+12025550", None), Err(PhoneError::TooShort { digits: 8, .. })));
        assert!(matches!(parse_e164("+33039981201", None), Err(PhoneError::TrunkZero { suggestion: None, .. })));
        assert!(matches!(parse_e164("+999639981201", None), Err(PhoneError::CountryCode { .. })));
        assert!(matches!(parse_e164("+12", None), Err(PhoneError::TooShort { .. })));
        assert_eq!(
            parse_e164("+33 6 BOULANGE", None),
            Err(PhoneError::Character { text: "+33 6 BOULANGE".into(), character: 'B' })
        );
        assert!(matches!(parse_e164("33+639981201", None), Err(PhoneError::Character { character: '+', .. })));
    }

    #[test]
    fn overseas_numbers_belong_to_their_own_country() {
        for (number, region) in
            [("+590690001234", "GP"), ("+262692001234", "RE"), ("+14155550100", "US"), ("+4915123456789", "DE")]
        {
            assert_eq!(country(number).as_deref(), Some(region), "{number}");
        }
        assert_eq!(country("nobody"), None);
    }

    #[test]
    fn each_provider_is_read_in_its_own_form() {
        assert_eq!(parse_e164("+33639981201", None).unwrap().cm(), "0033639981201");
        assert_eq!(cm_form("+33639981201"), "0033639981201");
        for text in ["0033639981201", "+33639981201", "33639981201"] {
            assert_eq!(from_cm(text).unwrap().as_str(), "+33639981201", "{text}");
        }
        assert_eq!(from_wa_id("5215512345678").unwrap().as_str(), "+5215512345678");
        for text in ["36179", "Boulange", "", "0", "+0639981201", "1234567890123456"] {
            assert_eq!(from_cm(text), None, "{text}");
        }
    }
}
