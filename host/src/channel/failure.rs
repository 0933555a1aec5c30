//! From a provider's error code to a decision.
//!
//! What a code means is data: one dated table for each provider under `data/errors`, compiled in. A row says which of our
//! codes it is, whether the same is worth trying again, whether SMS makes sense, and what it teaches beyond the message.
//! Texts are never looked at, because providers reword them.
//!
//! A code that is in no table is to be expected. It ends the attempt, and what the customer waits for goes by SMS.

use std::{collections::HashMap, time::Duration};

use jiff::civil::Date;
use serde::Deserialize;

use crate::domain::message::{AttemptFailure, Remember, Retry, SmsVerdict};

/// Our code for what no table explains.
pub const UNKNOWN: &str = "unknown-error";
/// Our code for a provider that cannot be reached or is overloaded.
pub const PROVIDER_DOWN: &str = "provider-down";
/// Our code for "slower, please".
pub const RATE_LIMITED: &str = "rate-limited";
/// Our code for credentials or an address of the API that are wrong for every message.
pub const ACCOUNT_PROBLEM: &str = "account-problem";
/// Our code for a template that is missing, paused, or does not fit.
pub const TEMPLATE_PROBLEM: &str = "template-problem";
/// Our code for a request that we built wrongly.
pub const BAD_REQUEST: &str = "bad-request";

/// A provider's words are kept for the message's story, but not more of them than that.
const DETAIL_CHARS_MAX: usize = 400;

/// What is known besides the code.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hint {
    /// Which attempt failed, from 1; 0 where that is not known. Some pauses grow with it, some failures are tried once more only.
    pub attempt: u32,
    /// `Retry-After`, where the provider sent it.
    pub retry_after: Option<Duration>,
    /// The day that it happened on; what holds without an end where that is not known.
    pub day: Option<Date>,
}

impl Hint {
    pub fn attempt(attempt: u32) -> Hint {
        Hint { attempt, ..Hint::default() }
    }
}

/// One provider's codes.
#[derive(Debug)]
pub struct Table {
    /// Several of one code hold one after the other.
    exact: HashMap<String, Vec<Row>>,
    /// First and last code, both included.
    ranges: Vec<(u32, u32, Row)>,
}

#[derive(Clone, Debug)]
struct Row {
    code: String,
    retry: Again,
    /// Not before this time.
    after: Duration,
    /// The time multiplies by this with every attempt.
    grows: u32,
    /// From this attempt on it is not tried again.
    attempts_max: u32,
    sms: SmsVerdict,
    remember: Remember,
    /// It holds from this day on, and until the day before that one.
    from: Date,
    until: Option<Date>,
}

/// A table that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BadTable {
    #[error(transparent)]
    Toml(#[from] toml::de::Error),
    #[error("`{0}` is neither a code nor a range like `200-299`")]
    Code(String),
    #[error("the code {0} is in the table twice for some day")]
    Twice(String),
    #[error("`{field}` is `{text}`; write a day such as 2026-10-01, and an end after the beginning")]
    Day { field: &'static str, text: String },
    #[error("`{0}` is no code of ours: those are words in lower case joined by hyphens")]
    Name(String),
    #[error("{0}: `after-s`, `grows` and `attempts-max` need `retry = \"later\"`, and at least 1 each")]
    Pause(String),
}

impl Table {
    /// Reads a table and checks it as a whole.
    pub fn parse(text: &str) -> Result<Table, BadTable> {
        let file: File = toml::from_str(text)?;
        let mut table = Table { exact: HashMap::new(), ranges: Vec::new() };
        let from = day("valid-from", &file.valid_from)?;
        for written in file.failure {
            let row = written.row(from)?;
            for codes in written.codes {
                table.add(codes, row.clone())?;
            }
        }
        Ok(table)
    }

    /// A table that is compiled in. Each provider has a test that reads its own.
    pub fn built_in(text: &str) -> Table {
        #[expect(clippy::expect_used, reason = "the text is compiled in, and a test reads it")]
        Table::parse(text).expect("a table of error codes that is compiled in can be read")
    }

    /// What follows from a provider's code.
    pub fn classify(&self, provider_code: &str, detail: Option<&str>, hint: Hint) -> AttemptFailure {
        let (code, retry, sms, remember) =
            match self.find(provider_code, hint.day).or_else(|| self.find(provider_code, None)) {
                Some(row) => (row.code.as_str(), row.again(hint), row.sms, row.remember),
                None => (UNKNOWN, Retry::Never, SmsVerdict::Transactional, Remember::Nothing),
            };
        AttemptFailure {
            code: code.to_owned(),
            provider_code: Some(shortened(provider_code)),
            detail: detail.map(shortened),
            retry,
            sms,
            remember,
        }
    }

    /// Whether the table says something about this code.
    pub fn knows(&self, provider_code: &str) -> bool {
        self.find(provider_code, None).is_some()
    }

    /// What follows from one of our codes, by the first of the provider's that stand for it.
    fn of_ours(&self, code: &str, hint: Hint) -> Option<(Retry, SmsVerdict, Remember)> {
        let ranged = self.ranges.iter().map(|(_, _, row)| row);
        let rows = self.exact.values().flatten().chain(ranged).filter(|row| row.code == code && row.holds(None));
        // The rows of a code may differ; the mildest does least harm where nobody checked which one is meant.
        let row = rows.min_by_key(|row| (row.remember != Remember::Nothing, row.attempts_max, row.after))?;
        Some((row.again(hint), row.sms, row.remember))
    }

    fn find(&self, provider_code: &str, day: Option<Date>) -> Option<&Row> {
        let exact = self.exact.get(provider_code).into_iter().flatten().find(|row| row.holds(day));
        exact.or_else(|| {
            let number: u32 = provider_code.parse().ok()?;
            let within = |(first, last, row): &&(u32, u32, Row)| (*first..=*last).contains(&number) && row.holds(day);
            self.ranges.iter().find(within).map(|(_, _, row)| row)
        })
    }

    /// Every code and range that the table has, as it is written.
    #[cfg(test)]
    pub(super) fn codes(&self) -> Vec<String> {
        let ranges = self.ranges.iter().map(|(first, last, _)| format!("{first}-{last}"));
        self.exact.keys().cloned().chain(ranges).collect()
    }

    fn add(&mut self, codes: String, row: Row) -> Result<(), BadTable> {
        let Some((first, last)) = codes.split_once('-') else {
            if codes.is_empty() || !codes.bytes().all(|b| b.is_ascii_alphanumeric()) {
                return Err(BadTable::Code(codes));
            }
            let rows = self.exact.entry(codes.clone()).or_default();
            if rows.iter().any(|other| other.meets(&row)) {
                return Err(BadTable::Twice(codes));
            }
            rows.push(row);
            return Ok(());
        };
        let (Ok(first), Ok(last)) = (first.parse(), last.parse()) else { return Err(BadTable::Code(codes)) };
        if first >= last {
            return Err(BadTable::Code(codes));
        }
        if self.ranges.iter().any(|(from, to, other)| first <= *to && *from <= last && other.meets(&row)) {
            return Err(BadTable::Twice(codes));
        }
        self.ranges.push((first, last, row));
        Ok(())
    }
}

impl Row {
    fn holds(&self, day: Option<Date>) -> bool {
        match day {
            Some(day) => self.from <= day && self.until.is_none_or(|until| day < until),
            None => self.until.is_none(),
        }
    }

    /// Whether both hold on some day.
    fn meets(&self, other: &Row) -> bool {
        self.until.is_none_or(|until| other.from < until) && other.until.is_none_or(|until| self.from < until)
    }

    fn again(&self, hint: Hint) -> Retry {
        match self.retry {
            Again::No => Retry::Never,
            Again::Template => Retry::AsTemplate,
            Again::Later if hint.attempt >= self.attempts_max => Retry::Never,
            Again::Later => {
                Retry::Later { after_ms: millis(self.pause(hint.attempt).max(hint.retry_after.unwrap_or_default())) }
            }
        }
    }

    fn pause(&self, attempt: u32) -> Duration {
        // Eight doublings of the exponent are days for any factor; the message's deadline has long passed then.
        let steps = attempt.saturating_sub(1).min(8);
        self.after.saturating_mul(self.grows.saturating_pow(steps))
    }
}

/// What follows from a failure of which only our own code is known: a gateway's that a component brings. One that no table has is
/// taken as unknown.
pub fn of_our_code(code: &str, provider_code: Option<&str>, detail: Option<&str>, hint: Hint) -> AttemptFailure {
    let tables = [super::meta::table(), super::twilio::table(), super::cm::table()];
    let known = tables.iter().find_map(|table| table.of_ours(code, hint));
    let (code, (retry, sms, remember)) = match (known, code) {
        // As after a 401: every message would meet it.
        (_, ACCOUNT_PROBLEM) => (code, (Retry::Never, SmsVerdict::Yes, Remember::AccountBroken)),
        (Some(follows), code) => (code, follows),
        (None, PROVIDER_DOWN | RATE_LIMITED) => {
            (code, (Retry::Later { after_ms: 0 }, SmsVerdict::Late, Remember::Nothing))
        }
        (None, _) => (UNKNOWN, (Retry::Never, SmsVerdict::Transactional, Remember::Nothing)),
    };
    AttemptFailure {
        code: code.to_owned(),
        provider_code: provider_code.map(shortened),
        detail: detail.map(shortened),
        retry: match retry {
            Retry::Later { after_ms } => {
                Retry::Later { after_ms: after_ms.max(millis(hint.retry_after.unwrap_or_default())) }
            }
            other => other,
        },
        sms,
        remember,
    }
}

/// Nothing reached the provider: no name, no connection, no TLS.
pub fn unreachable(detail: &str) -> AttemptFailure {
    later(PROVIDER_DOWN, None, detail, Duration::ZERO)
}

/// The provider says in HTTP alone that it cannot take it now.
pub fn busy(code: &str, http_status: u16, detail: &str, retry_after: Option<Duration>) -> AttemptFailure {
    later(code, Some(http_status), detail, retry_after.unwrap_or_default())
}

/// The provider refused in HTTP alone, without a code of its own. Credentials and paths are wrong for every message alike.
pub fn refused(http_status: u16, detail: &str) -> AttemptFailure {
    let account = matches!(http_status, 300..=399 | 401 | 403 | 404);
    AttemptFailure {
        code: if account { ACCOUNT_PROBLEM } else { BAD_REQUEST }.to_owned(),
        provider_code: Some(format!("http{http_status}")),
        detail: Some(shortened(detail)),
        retry: Retry::Never,
        sms: if account { SmsVerdict::Yes } else { SmsVerdict::Transactional },
        remember: if account { Remember::AccountBroken } else { Remember::Nothing },
    }
}

/// We could not even build the request, or the provider says that we built it wrongly.
pub fn bad_request(code: &str, detail: &str) -> AttemptFailure {
    AttemptFailure {
        code: code.to_owned(),
        provider_code: None,
        detail: Some(shortened(detail)),
        retry: Retry::Never,
        sms: SmsVerdict::Transactional,
        remember: Remember::Nothing,
    }
}

fn later(code: &str, http_status: Option<u16>, detail: &str, after: Duration) -> AttemptFailure {
    AttemptFailure {
        code: code.to_owned(),
        provider_code: http_status.map(|status| format!("http{status}")),
        detail: Some(shortened(detail)),
        retry: Retry::Later { after_ms: millis(after) },
        sms: SmsVerdict::Late,
        remember: Remember::Nothing,
    }
}

/// `Retry-After` in seconds. Its other form, a date, is used by none of the providers.
pub fn retry_after(headers: &http::HeaderMap) -> Option<Duration> {
    // A day: whoever asks for more is not worth waiting for, and the message's deadline decides.
    const SECONDS_MAX: u64 = 86_400;
    let text = headers.get(http::header::RETRY_AFTER)?.to_str().ok()?;
    text.trim().parse::<u64>().ok().map(|seconds| Duration::from_secs(seconds.min(SECONDS_MAX)))
}

/// A provider's words, bounded and on one line.
pub fn shortened(text: &str) -> String {
    text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).take(DETAIL_CHARS_MAX).collect()
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct File {
    /// When the provider's page was last compared.
    #[serde(rename = "checked")]
    _checked: String,
    valid_from: String,
    failure: Vec<Written>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Written {
    /// `131026`, or `200-299`.
    codes: Vec<String>,
    /// For whoever reads the table.
    #[serde(rename = "means")]
    _means: String,
    code: String,
    retry: Again,
    after_s: Option<u64>,
    grows: Option<u32>,
    attempts_max: Option<u32>,
    sms: Sms,
    #[serde(default)]
    remember: Lesson,
    from: Option<String>,
    until: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Again {
    No,
    Later,
    Template,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Sms {
    Yes,
    Late,
    Transactional,
    No,
    /// The request was wrong. SMS has a text of its own, so what is not marketing goes that way, and the log says why.
    Bug,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Lesson {
    #[default]
    Nothing,
    AddressUnusable,
    MarketingStopped,
    Stopped,
    AccountBroken,
}

impl Written {
    fn row(&self, valid_from: Date) -> Result<Row, BadTable> {
        let from = self.from.as_deref().map_or(Ok(valid_from), |text| day("from", text))?;
        let until = self.until.as_deref().map(|text| day("until", text)).transpose()?;
        if until.is_some_and(|until| until <= from) {
            return Err(BadTable::Day { field: "until", text: self.until.clone().unwrap_or_default() });
        }
        let named = !self.code.is_empty()
            && self
                .code
                .split('-')
                .all(|word| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()));
        if !named {
            return Err(BadTable::Name(self.code.clone()));
        }
        let paused = self.after_s.is_some() || self.grows.is_some() || self.attempts_max.is_some();
        let zero = self.after_s == Some(0) || self.grows == Some(0) || self.attempts_max == Some(0);
        if zero || (paused && self.retry != Again::Later) {
            return Err(BadTable::Pause(self.codes.join(", ")));
        }
        Ok(Row {
            code: self.code.clone(),
            retry: self.retry,
            after: Duration::from_secs(self.after_s.unwrap_or(0)),
            grows: self.grows.unwrap_or(1),
            attempts_max: self.attempts_max.unwrap_or(u32::MAX),
            sms: self.sms.into(),
            remember: self.remember.into(),
            from,
            until,
        })
    }
}

fn day(field: &'static str, text: &str) -> Result<Date, BadTable> {
    text.parse().map_err(|_| BadTable::Day { field, text: text.to_owned() })
}

impl From<Sms> for SmsVerdict {
    fn from(sms: Sms) -> SmsVerdict {
        match sms {
            Sms::Yes => SmsVerdict::Yes,
            Sms::Late => SmsVerdict::Late,
            Sms::Transactional | Sms::Bug => SmsVerdict::Transactional,
            Sms::No => SmsVerdict::No,
        }
    }
}

impl From<Lesson> for Remember {
    fn from(lesson: Lesson) -> Remember {
        match lesson {
            Lesson::Nothing => Remember::Nothing,
            Lesson::AddressUnusable => Remember::AddressUnusable,
            Lesson::MarketingStopped => Remember::MarketingStopped,
            Lesson::Stopped => Remember::Stopped,
            Lesson::AccountBroken => Remember::AccountBroken,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rows: &str) -> Result<Table, BadTable> {
        Table::parse(&format!("checked = \"2026-11\"\nvalid-from = \"2020-01-01\"\n{rows}"))
    }

    const ROW: &str = "[[failure]]\nmeans = \"m\"\nsms = \"late\"\n";

    #[test]
    fn an_unknown_code_ends_the_attempt_and_lets_what_is_expected_go_by_sms() {
        let table = table(&format!("{ROW}codes = [\"1\"]\ncode = \"a\"\nretry = \"no\"")).unwrap();
        let failure = table.classify("99", Some("what\nis this"), Hint::default());
        assert_eq!((failure.code.as_str(), failure.retry), (UNKNOWN, Retry::Never));
        assert_eq!((failure.sms, failure.remember), (SmsVerdict::Transactional, Remember::Nothing));
        assert_eq!(failure.detail.as_deref(), Some("what is this"));
        assert!(table.knows("1") && !table.knows("99"));
    }

    #[test]
    fn a_pause_grows_with_the_attempts_and_is_never_shorter_than_the_provider_asks() {
        let table =
            table(&format!("{ROW}codes = [\"1\"]\ncode = \"a\"\nretry = \"later\"\nafter-s = 2\ngrows = 4")).unwrap();
        let pause =
            |attempt, retry_after| match table.classify("1", None, Hint { attempt, retry_after, day: None }).retry {
                Retry::Later { after_ms } => after_ms,
                other => panic!("{other:?}"),
            };
        assert_eq!([pause(0, None), pause(1, None), pause(2, None), pause(3, None)], [2_000, 2_000, 8_000, 32_000]);
        assert_eq!(pause(1, Some(Duration::from_secs(9))), 9_000);
        assert_eq!(pause(2, Some(Duration::from_secs(1))), 8_000);
    }

    #[test]
    fn a_code_may_change_its_meaning_on_a_day() {
        let row = |code: &str, days: &str| {
            format!("{ROW}codes = [\"1\", \"7-9\"]\ncode = \"{code}\"\nretry = \"no\"\n{days}\n")
        };
        let both = row("old", "until = \"2026-10-01\"") + &row("new", "from = \"2026-10-01\"");
        let table = table(&both).unwrap();
        let on = |code: &str, day: Option<&str>| {
            let hint = Hint { day: day.map(|day| day.parse().unwrap()), ..Hint::default() };
            table.classify(code, None, hint).code
        };
        for code in ["1", "8"] {
            assert_eq!(on(code, Some("2026-09-30")), "old");
            assert_eq!(on(code, Some("2026-10-01")), "new");
            assert_eq!(on(code, None), "new", "what holds without an end");
            assert_eq!(on(code, Some("1970-01-01")), "new", "a time that cannot be is no reason to know nothing");
        }
        let overlap = row("old", "until = \"2026-10-02\"") + &row("new", "from = \"2026-10-01\"");
        assert!(matches!(self::table(&overlap), Err(BadTable::Twice(_))));
        let backwards = row("old", "until = \"2019-01-01\"");
        assert!(matches!(self::table(&backwards), Err(BadTable::Day { field: "until", .. })));
    }

    #[test]
    fn what_is_worth_one_more_try_gets_one() {
        let table = table(&format!("{ROW}codes = [\"1\"]\ncode = \"a\"\nretry = \"later\"\nattempts-max = 2")).unwrap();
        assert_eq!(table.classify("1", None, Hint::attempt(1)).retry, Retry::Later { after_ms: 0 });
        assert_eq!(table.classify("1", None, Hint::attempt(2)).retry, Retry::Never);
    }

    #[test]
    fn a_table_that_contradicts_itself_is_not_read() {
        let row = |codes: &str, more: &str| table(&format!("{ROW}codes = {codes}\ncode = \"a\"\n{more}"));
        assert!(matches!(row(r#"["1", "1"]"#, "retry = \"no\""), Err(BadTable::Twice(_))));
        assert!(matches!(row(r#"["1-5", "4-9"]"#, "retry = \"no\""), Err(BadTable::Twice(_))));
        assert!(matches!(row(r#"["9-4"]"#, "retry = \"no\""), Err(BadTable::Code(_))));
        assert!(matches!(row(r#"[""]"#, "retry = \"no\""), Err(BadTable::Code(_))));
        assert!(matches!(row(r#"["1"]"#, "retry = \"no\"\nafter-s = 3"), Err(BadTable::Pause(_))));
        assert!(matches!(row(r#"["1"]"#, "retry = \"later\"\nafter-s = 0"), Err(BadTable::Pause(_))));
        assert!(matches!(row(r#"["1"]"#, "retry = \"perhaps\""), Err(BadTable::Toml(_))));
        let unnamed = table(&format!("{ROW}codes = [\"1\"]\ncode = \"Not ours\"\nretry = \"no\""));
        assert!(matches!(unnamed, Err(BadTable::Name(_))));
    }

    #[test]
    fn only_seconds_are_read_from_retry_after_and_a_day_at_most() {
        let after = |text: &str| {
            let mut headers = http::HeaderMap::new();
            headers.insert(http::header::RETRY_AFTER, text.parse().unwrap());
            retry_after(&headers)
        };
        assert_eq!(after("7"), Some(Duration::from_secs(7)));
        assert_eq!(after("99999999"), Some(Duration::from_secs(86_400)));
        assert_eq!(after("Wed, 21 Oct 2026 07:28:00 GMT"), None);
        assert_eq!(retry_after(&http::HeaderMap::new()), None);
    }
}
