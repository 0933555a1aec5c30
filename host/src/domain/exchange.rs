//! A request that a run made, and what came of it: kept of a run that failed, so that it can be executed again without the service.

use serde::{Deserialize, Serialize};

/// Of all answers of one run; what is beyond is not kept, and a replay says so.
pub const KEPT_BYTES_MAX: usize = 64 << 10;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exchange {
    pub method: String,
    pub url: String,
    pub came: Came,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub enum Came {
    Answer(Answered),
    /// There was no answer: which kind of trouble, in the contract's words, and why.
    Trouble {
        kind: Trouble,
        why: String,
    },
    /// There was one, and it was too long to be kept: how long.
    TooLongToKeep {
        bytes: usize,
    },
}

/// An answer as the plugin got it: secrets in it are hidden.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answered {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    /// As text where it is text, else as bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bytes: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trouble {
    NotPermitted,
    Unreachable,
    TimedOut,
    TooLarge,
    OverQuota,
}

impl Answered {
    pub fn new(status: u16, headers: &[(String, String)], body: &[u8]) -> Answered {
        let text = std::str::from_utf8(body).ok().map(str::to_owned);
        let bytes = if text.is_some() { Vec::new() } else { body.to_vec() };
        Answered { status, headers: headers.to_vec(), text, bytes }
    }

    pub fn body(&self) -> &[u8] {
        self.text.as_ref().map_or(self.bytes.as_slice(), |text| text.as_bytes())
    }

    fn kept_bytes(&self) -> usize {
        let headers: usize = self.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        headers + self.body().len()
    }
}

impl Exchange {
    fn kept_bytes(&self) -> usize {
        let came = match &self.came {
            Came::Answer(answer) => answer.kept_bytes(),
            Came::Trouble { why, .. } => why.len(),
            Came::TooLongToKeep { .. } => 0,
        };
        self.url.len() + came
    }

    /// Puts it behind those that were made before it, without what would be too long.
    pub fn keep(mut self, kept: &mut Vec<Exchange>) {
        let before: usize = kept.iter().map(Exchange::kept_bytes).sum();
        if before + self.kept_bytes() > KEPT_BYTES_MAX
            && let Came::Answer(answer) = &self.came
        {
            self.came = Came::TooLongToKeep { bytes: answer.body().len() };
        }
        // Only a run with very many requests, or very long ones, comes as far as this.
        if before + self.kept_bytes() <= KEPT_BYTES_MAX {
            kept.push(self);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(body: &[u8]) -> Exchange {
        let came = Came::Answer(Answered::new(200, &[], body));
        Exchange { method: "GET".to_owned(), url: "https://a.example/".to_owned(), came }
    }

    #[test]
    fn what_is_too_long_to_keep_is_told_and_what_follows_is_kept() {
        let mut kept = Vec::new();
        exchange(&vec![b'x'; KEPT_BYTES_MAX]).keep(&mut kept);
        exchange(b"short").keep(&mut kept);
        assert_eq!(kept[0].came, Came::TooLongToKeep { bytes: KEPT_BYTES_MAX });
        assert_eq!(kept[1], exchange(b"short"));
    }

    #[test]
    fn an_answer_comes_back_as_it_was() {
        for body in [b"{}".as_slice(), &[0xff, 0], b""] {
            let written = serde_json::to_string(&exchange(body)).unwrap();
            let read: Exchange = serde_json::from_str(&written).unwrap();
            assert_eq!(read, exchange(body));
            assert!(matches!(read.came, Came::Answer(answer) if answer.body() == body));
        }
    }
}
