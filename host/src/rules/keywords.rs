//! Which words stop messages, and which let them in again: dated data, by the country of the number they come from.
//!
//! Two mistakes are possible and neither is harmless: to write on to somebody who said STOP, and to fall silent because
//! somebody began an ordinary sentence with "Cancel my order". So a word says whether it counts as the first word too, or only as
//! the whole message.

use std::sync::Arc;

use jiff::civil::Date;
use serde::Deserialize;

use crate::domain::customer::{Channel, ConsentScope};

const BUILT_IN: &str = include_str!("../../data/keywords/2026-01.toml");
const EVERYWHERE: &str = "*";

/// All tables that are known. Shared, because every part that asks has one.
#[derive(Clone, Debug, PartialEq)]
pub struct Keywords(Arc<Vec<Table>>);

/// A file of keywords that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BadKeywords {
    #[error("the table of keywords cannot be read: {0}")]
    Toml(#[from] toml::de::Error),
    #[error("the table of keywords: {0}")]
    Wrong(String),
}

/// What a customer decided, by the word that said so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keyword {
    pub word: String,
    pub granted: bool,
    pub scope: ConsentScope,
    /// It counts as the first word too.
    pub first: bool,
}

/// Who wrote, on what, and when.
#[derive(Clone, Copy, Debug)]
pub struct Writer<'a> {
    pub country: Option<&'a str>,
    pub channel: Channel,
    pub day: Date,
}

#[derive(Clone, Debug, PartialEq)]
struct Table {
    from: Date,
    until: Option<Date>,
    entries: Vec<Entry>,
}

#[derive(Clone, Debug, PartialEq)]
struct Entry {
    words: Vec<String>,
    countries: Vec<String>,
    channels: Vec<Channel>,
    granted: bool,
    scope: ConsentScope,
    first: bool,
    from: Date,
    until: Option<Date>,
}

impl Default for Keywords {
    fn default() -> Keywords {
        #[expect(clippy::expect_used, reason = "the text is compiled in, and a test reads it")]
        let table = Table::parse(BUILT_IN).expect("the table of keywords that is compiled in can be read");
        Keywords(Arc::new(vec![table]))
    }
}

impl Keywords {
    /// Adds a table of the configuration. Where it has a word it goes before those that were there.
    pub fn with(&self, text: &str) -> Result<Keywords, BadKeywords> {
        let mut tables = (*self.0).clone();
        tables.push(Table::parse(text)?);
        Ok(Keywords(Arc::new(tables)))
    }

    /// The keyword that a text is or begins with.
    pub fn find(&self, text: &str, writer: Writer<'_>) -> Option<Keyword> {
        self.whole(text, writer).or_else(|| {
            let first = text.split_whitespace().next()?;
            self.whole(first, writer).filter(|keyword| keyword.first)
        })
    }

    /// The keyword that a text is and nothing else.
    pub fn whole(&self, text: &str, writer: Writer<'_>) -> Option<Keyword> {
        let folded = folded(text);
        let tables = self.0.iter().rev().filter(|table| holds(table.from, table.until, writer.day));
        let entry = tables.flat_map(|table| &table.entries).find(|entry| entry.fits(&folded, writer))?;
        Some(Keyword { word: folded, granted: entry.granted, scope: entry.scope, first: entry.first })
    }
}

impl Entry {
    fn fits(&self, folded: &str, writer: Writer<'_>) -> bool {
        let here = |country: &String| country == EVERYWHERE || Some(country.as_str()) == writer.country;
        self.words.iter().any(|word| word == folded)
            && self.channels.contains(&writer.channel)
            && self.countries.iter().any(here)
            && holds(self.from, self.until, writer.day)
    }
}

fn holds(from: Date, until: Option<Date>, day: Date) -> bool {
    from <= day && until.is_none_or(|until| day < until)
}

/// Capitals without accents; everything that is no letter or digit is left out. No longer than any keyword plus one.
fn folded(text: &str) -> String {
    // Longer words are refused in a table: what goes on after that is no keyword.
    text.chars().flat_map(char::to_uppercase).map(plain).filter(|c| c.is_alphanumeric()).take(LETTERS_MAX + 1).collect()
}

/// The longest word that a table may have.
const LETTERS_MAX: usize = 24;

/// The letter under an accent. Combining accents are no letters and fall out by themselves.
fn plain(c: char) -> char {
    match c {
        'À' | 'Á' | 'Â' | 'Ä' | 'Ã' | 'Å' => 'A',
        'Ç' => 'C',
        'È' | 'É' | 'Ê' | 'Ë' => 'E',
        'Î' | 'Ï' | 'Í' | 'Ì' => 'I',
        'Ñ' => 'N',
        'Ô' | 'Ö' | 'Ó' | 'Ò' | 'Õ' => 'O',
        'Ù' | 'Ú' | 'Û' | 'Ü' => 'U',
        other => other,
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct File {
    #[serde(rename = "source")]
    _source: String,
    valid_from: String,
    valid_until: Option<String>,
    keyword: Vec<Row>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Row {
    words: Vec<String>,
    countries: Vec<String>,
    #[serde(default)]
    channels: Vec<Channel>,
    means: Means,
    of: Of,
    counts: Counts,
    valid_from: Option<String>,
    valid_until: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Means {
    Stop,
    Start,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Of {
    All,
    Marketing,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Counts {
    First,
    Whole,
}

impl Table {
    fn parse(text: &str) -> Result<Table, BadKeywords> {
        let file: File = toml::from_str(text)?;
        let from = day("valid-from", &file.valid_from)?;
        let until = file.valid_until.as_deref().map(|text| day("valid-until", text)).transpose()?;
        let entries = file.keyword.into_iter().map(|row| row.checked(from)).collect::<Result<_, _>>()?;
        Ok(Table { from, until, entries })
    }
}

impl Row {
    fn checked(self, from: Date) -> Result<Entry, BadKeywords> {
        let wrong = |what: String| Err(BadKeywords::Wrong(what));
        if let Some(word) = self.words.iter().find(|word| **word != folded(word) || word.len() > LETTERS_MAX) {
            return wrong(format!(
                "`{word}`: write a word in capitals without accents and blanks, {LETTERS_MAX} at most"
            ));
        }
        let known = |country: &String| {
            country == EVERYWHERE || (country.len() == 2 && country.bytes().all(|byte| byte.is_ascii_uppercase()))
        };
        if let Some(country) = self.countries.iter().find(|country| !known(country)) {
            return wrong(format!(
                "`{country}` is no country; write two capital letters such as FR, or * for every one"
            ));
        }
        if self.words.is_empty() || self.countries.is_empty() {
            return wrong("an entry needs `words` and `countries`".to_owned());
        }
        if self.means == Means::Start && self.counts == Counts::First {
            return wrong(format!(
                "`{}` lets messages in again: it counts as the whole message only",
                self.words.join(", ")
            ));
        }
        let from = self.valid_from.as_deref().map_or(Ok(from), |text| day("valid-from", text))?;
        let until = self.valid_until.as_deref().map(|text| day("valid-until", text)).transpose()?;
        Ok(Entry {
            words: self.words,
            countries: self.countries,
            channels: if self.channels.is_empty() { Channel::ALL.to_vec() } else { self.channels },
            granted: self.means == Means::Start,
            // STOP stops all, because every message needs the consent to service; and START gives no consent to advertising that
            // was never given.
            scope: match self.of {
                Of::All => ConsentScope::Service,
                Of::Marketing => ConsentScope::Marketing,
            },
            first: self.counts == Counts::First,
            from,
            until,
        })
    }
}

fn day(field: &str, text: &str) -> Result<Date, BadKeywords> {
    text.parse().map_err(|_| BadKeywords::Wrong(format!("`{field}` is `{text}`; write a day such as 2026-10-01")))
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    const FRANCE: Writer<'_> = Writer { country: Some("FR"), channel: Channel::Sms, day: date(2026, 11, 23) };

    /// The word that a text is or begins with.
    fn word(text: &str, writer: Writer<'_>) -> Option<String> {
        Keywords::default().find(text, writer).map(|keyword| keyword.word)
    }

    #[test]
    fn case_spacing_accents_and_punctuation_do_not_matter() {
        for text in ["STOP", "stop", " Stop. ", "STOP!", "S T O P", "\u{201c}stop\u{201d}"] {
            assert_eq!(word(text, FRANCE).as_deref(), Some("STOP"), "{text}");
        }
        for text in ["ARRÊT", "arret", "Arre\u{302}t"] {
            assert_eq!(word(text, FRANCE).as_deref(), Some("ARRET"), "{text}");
        }
        assert_eq!(word("désabonner", FRANCE).as_deref(), Some("DESABONNER"));
        assert_eq!(word("Stop SMS", FRANCE).as_deref(), Some("STOPSMS"));
        assert_eq!(word("stop all", FRANCE).as_deref(), Some("STOPALL"));
        let start = Keywords::default().find("Unstop", FRANCE).unwrap();
        assert!(start.granted && start.scope == ConsentScope::Service);
    }

    #[test]
    fn stop_counts_as_the_first_word_and_nowhere_else() {
        assert_eq!(word("STOP 36105", FRANCE).as_deref(), Some("STOP"));
        assert_eq!(word("Stop, merci", FRANCE).as_deref(), Some("STOP"));
        for text in ["Ne stoppez pas ma commande", "Please stop", "Stoppez", "Stopover at 5", ""] {
            assert_eq!(word(text, FRANCE), None, "{text}");
        }
    }

    #[test]
    fn words_that_mean_other_things_count_alone_only() {
        assert_eq!(word("cancel", FRANCE).as_deref(), Some("CANCEL"));
        for text in ["Cancel my appointment", "Start at 8?", "oui", "yes"] {
            assert_eq!(word(text, FRANCE), None, "{text}");
        }
    }

    #[test]
    fn every_word_of_the_table_is_found_where_it_holds_and_stops_what_it_says() {
        let all = Table::parse(BUILT_IN).unwrap();
        for entry in &all.entries {
            for country in &entry.countries {
                let country = Some(country.as_str()).filter(|country| *country != EVERYWHERE);
                for channel in Channel::ALL {
                    for word in &entry.words {
                        let writer = Writer { country, channel, ..FRANCE };
                        let found = Keywords::default().find(&word.to_lowercase(), writer).unwrap();
                        assert_eq!((&found.word, found.granted, found.scope), (word, entry.granted, entry.scope));
                    }
                }
            }
        }
    }

    #[test]
    fn a_word_of_another_country_is_none_here() {
        let in_spain = Writer { country: Some("ES"), ..FRANCE };
        assert_eq!((word("Baja", in_spain).as_deref(), word("Baja", FRANCE)), (Some("BAJA"), None));
        let unknown = Writer { country: None, ..FRANCE };
        assert_eq!((word("Abmelden", unknown), word("stop", unknown).as_deref()), (None, Some("STOP")));
    }

    #[test]
    fn a_word_against_advertising_stops_advertising_alone() {
        let found = Keywords::default().find("Stop pub", FRANCE).unwrap();
        assert_eq!((found.granted, found.scope), (false, ConsentScope::Marketing));
    }

    #[test]
    fn a_file_of_ones_own_goes_first_and_holds_from_its_day() {
        let own = "source = \"mine\"\nvalid-from = \"2026-12-01\"\n[[keyword]]\nwords = [\"CANCEL\", \"GENUG\"]\n\
                   countries = [\"*\"]\nchannels = [\"sms\"]\nmeans = \"stop\"\nof = \"marketing\"\ncounts = \"whole\"";
        let keywords = Keywords::default().with(own).unwrap();
        let scope = |text: &str, writer| keywords.find(text, writer).map(|found| found.scope);
        let later = Writer { day: date(2026, 12, 1), ..FRANCE };
        assert_eq!((scope("genug", FRANCE), scope("genug", later)), (None, Some(ConsentScope::Marketing)));
        assert_eq!(scope("cancel", FRANCE), Some(ConsentScope::Service));
        assert_eq!(scope("cancel", later), Some(ConsentScope::Marketing));
        assert_eq!(scope("genug", Writer { channel: Channel::Whatsapp, ..later }), None);
        let wrong = |from: &str, to: &str| keywords.with(&own.replace(from, to)).unwrap_err().to_string();
        assert!(wrong("GENUG", "Genug").contains("capitals"));
        assert!(wrong("\"*\"", "\"France\"").contains("two capital letters"));
        assert!(wrong("2026-12-01", "soon").contains("2026-10-01"));
    }
}
