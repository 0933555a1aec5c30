//! The ledger: every request that a provider's endpoint saw, and what it answered.

use std::{collections::VecDeque, sync::Mutex};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Provider, lock, trouble::Kind};
use crate::clock::Timestamp;

#[derive(Debug, Clone, Serialize)]
pub struct Request {
    /// Counts from 1 and has no gaps.
    pub seq: u64,
    pub at: Timestamp,
    pub provider: Provider,
    pub path: String,
    /// The recipients as E.164, where they could be read.
    pub to: Vec<String>,
    /// `biz_opaque_callback_data`, or the `reference` of each message; for Twilio the `StatusCallback`.
    pub tokens: Vec<String>,
    pub body: Value,
    pub answer: Answer,
    /// Whether at least one message was taken: also true where the answer got lost on purpose.
    pub accepted: bool,
    /// The ids that the provider gave to the messages.
    pub ids: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub troubles: Vec<Kind>,
}

#[derive(Debug, Clone, Serialize)]
pub struct Answer {
    /// Nothing where the connection was closed, or held open, without an answer.
    pub status: Option<u16>,
    pub body: Value,
}

/// Which requests are asked for.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Filter {
    pub(crate) provider: Option<Provider>,
    pub(crate) to: Option<String>,
    pub(crate) token: Option<String>,
    pub(crate) accepted: Option<bool>,
    /// Only what came after this number.
    pub(crate) after: Option<u64>,
    pub(crate) limit: Option<usize>,
}

impl Filter {
    fn fits(&self, request: &Request) -> bool {
        self.provider.is_none_or(|provider| provider == request.provider)
            && self.to.as_ref().is_none_or(|to| request.to.contains(to))
            && self.token.as_ref().is_none_or(|token| request.tokens.contains(token))
            && self.accepted.is_none_or(|accepted| accepted == request.accepted)
            && self.after.is_none_or(|after| request.seq > after)
    }
}

#[derive(Debug, Serialize)]
pub(crate) struct Page {
    pub(crate) requests: Vec<Request>,
    /// How many there were in all, forgotten ones included; also the number of the newest.
    pub(crate) seen: u64,
    pub(crate) forgotten: u64,
}

pub(crate) struct Ledger {
    requests_max: usize,
    book: Mutex<Book>,
}

#[derive(Default)]
struct Book {
    requests: VecDeque<Request>,
    seen: u64,
}

impl Ledger {
    pub(crate) fn new(requests_max: usize) -> Ledger {
        Ledger { requests_max, book: Mutex::default() }
    }

    /// Appends, and gives the request its number.
    pub(crate) fn add(&self, mut request: Request) -> u64 {
        let mut book = lock(&self.book);
        book.seen += 1;
        request.seq = book.seen;
        book.requests.push_back(request);
        while book.requests.len() > self.requests_max {
            book.requests.pop_front();
        }
        book.seen
    }

    /// Counts a request of which nothing is kept.
    pub(crate) fn count(&self) {
        lock(&self.book).seen += 1;
    }

    pub(crate) fn page(&self, filter: &Filter) -> Page {
        let book = lock(&self.book);
        let limit = filter.limit.unwrap_or(usize::MAX);
        let requests: Vec<Request> =
            book.requests.iter().filter(|request| filter.fits(request)).take(limit).cloned().collect();
        let kept = u64::try_from(book.requests.len()).unwrap_or(u64::MAX);
        Page { requests, seen: book.seen, forgotten: book.seen.saturating_sub(kept) }
    }

    pub(crate) fn clear(&self) {
        *lock(&self.book) = Book::default();
    }
}
