//! A request's body that has to be complete in time, and an answer's body that knows when it is gone.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep};

use super::socket::InFlight;

/// The body was not complete before its deadline.
#[derive(Debug, thiserror::Error)]
#[error("the body was not complete before its deadline")]
pub(crate) struct TooSlow;

/// A request's body with one deadline for all of it.
pub(super) struct Timed {
    body: Incoming,
    deadline: Instant,
    /// Made at the first wait: most bodies arrive with their header and need no timer.
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Timed {
    pub(super) fn new(body: Incoming, timeout: Duration) -> Timed {
        Timed { body, deadline: Instant::now() + timeout, sleep: None }
    }
}

impl Body for Timed {
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::BoxError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let deadline = self.deadline;
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        ready!(sleep.as_mut().poll(context));
        Poll::Ready(Some(Err(TooSlow.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// An answer's body. As long as it is there, the connection is not idle.
pub(super) struct Held {
    body: axum::body::Body,
    _held: InFlight,
}

impl Held {
    pub(super) fn new(body: axum::body::Body, held: InFlight) -> Held {
        Held { body, _held: held }
    }
}

impl Body for Held {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
