//! The services that a failed run asked, as its bundle has them: each request gets the answer that it got then.

use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use url::Url;

use crate::{
    author::scenario::no_answer,
    domain::exchange::{Answered, Came, Exchange},
    plugin::{Answer, NoAnswer, Outgoing, Outside},
};

pub(super) struct Recorded(Mutex<Inner>);

struct Inner {
    /// Those that were not asked for yet.
    left: Vec<Exchange>,
    notes: Vec<String>,
}

impl Recorded {
    pub(super) fn new(made: &[Exchange]) -> Recorded {
        Recorded(Mutex::new(Inner { left: made.to_vec(), notes: Vec::new() }))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Requests that could not be answered as then.
    pub(super) fn notes(&self) -> Vec<String> {
        self.inner().notes.clone()
    }
}

#[async_trait]
impl Outside for Recorded {
    async fn send(&self, request: Outgoing) -> Result<Answer, NoAnswer> {
        let asked = format!("{} {}", request.method, request.url);
        let mut inner = self.inner();
        let Some(place) = place(&inner.left, request.method.as_str(), &request.url) else {
            inner.notes.push(format!("it asks for {asked}, to which the run that failed got no answer"));
            return Err(NoAnswer::Unreachable(format!("the bundle has no answer to {asked}")));
        };
        match inner.left.remove(place).came {
            Came::Answer(answer) => Ok(given(&answer)),
            Came::Trouble { kind, why } => Err(no_answer(kind, &why)),
            Came::TooLongToKeep { bytes } => {
                inner.notes.push(format!("the answer to {asked} had {bytes} bytes, which were too many to be kept"));
                Err(NoAnswer::Unreachable(format!("the bundle has not kept the answer to {asked}")))
            }
        }
    }
}

/// The first that was not asked for yet. Masked data may stand in a query or a path: then the next one of that method and host.
fn place(left: &[Exchange], method: &str, url: &Url) -> Option<usize> {
    let known = |exchange: &Exchange| Url::parse(&exchange.url).ok();
    let like = |fits: &dyn Fn(&Url) -> bool| {
        left.iter().position(|exchange| exchange.method == method && known(exchange).is_some_and(|known| fits(&known)))
    };
    let same_host = |known: &Url| known.origin() == url.origin();
    like(&|known| known == url)
        .or_else(|| like(&|known| same_host(known) && known.path() == url.path()))
        .or_else(|| like(&same_host))
}

/// What a bundle cannot say as a header, the host had not given the plugin either.
fn given(answer: &Answered) -> Answer {
    let mut headers = HeaderMap::new();
    for (name, value) in &answer.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            headers.append(name, value);
        }
    }
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    Answer { status, headers, body: answer.body().to_vec().into() }
}
