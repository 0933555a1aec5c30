//! A socket that does not wait for ever.
//!
//! It knows two things of what goes on above it: how many requests are in progress, and how many there have been. With
//! none in progress it waits for a header, or is idle; each has its deadline. While one is in progress its body and its handler have
//! deadlines of their own, and only a client that takes nothing of an answer is left to be noticed here.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use futures_util::task::AtomicWaker;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Instant, Sleep},
};

use super::ListenLimits;

/// What the socket has to know of the requests on it.
#[derive(Default)]
pub(super) struct Activity {
    in_progress: AtomicU32,
    begun: AtomicU64,
    /// The connection's task, which stopped watching the time because a request was in progress.
    unwatched: AtomicWaker,
}

impl Activity {
    pub(super) fn begin(self: &Arc<Self>) -> InFlight {
        self.begun.fetch_add(1, Ordering::Relaxed);
        self.in_progress.fetch_add(1, Ordering::AcqRel);
        InFlight(self.clone())
    }

    /// Whether a request is in progress.
    pub(super) fn any(&self) -> bool {
        self.in_progress.load(Ordering::Acquire) > 0
    }
}

/// A request in progress, until the last byte of its answer was handed over.
pub(super) struct InFlight(Arc<Activity>);

impl Drop for InFlight {
    fn drop(&mut self) {
        if self.0.in_progress.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.unwatched.wake();
        }
    }
}

pub(super) struct Socket {
    stream: TcpStream,
    activity: Arc<Activity>,
    header_timeout: Duration,
    idle_timeout: Duration,
    /// Bytes of a request came whose header is not complete. True at first: whoever connects has something to say.
    in_header: bool,
    /// Requests begun when that was last looked at.
    begun: u64,
    /// `PRI` begins HTTP/2, whose frames come between requests too and are no headers.
    http2: Option<bool>,
    reading: Deadline,
    writing: Deadline,
    write_timeout: Duration,
}

impl Socket {
    pub(super) fn new(stream: TcpStream, activity: Arc<Activity>, limits: &ListenLimits) -> Socket {
        Socket {
            stream,
            activity,
            header_timeout: limits.header_timeout,
            idle_timeout: limits.idle_timeout,
            in_header: true,
            begun: 0,
            http2: None,
            reading: Deadline::default(),
            writing: Deadline::default(),
            write_timeout: limits.write_timeout,
        }
    }

    fn note_read(&mut self, bytes: &[u8]) {
        if self.http2.is_none() {
            self.http2 = Some(bytes.starts_with(b"PRI"));
        }
        if !self.in_header {
            self.in_header = true;
            self.reading.clear();
        }
    }

    /// Nothing to read now: is it still worth waiting?
    fn wait_to_read(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let begun = self.activity.begun.load(Ordering::Relaxed);
        if begun != self.begun {
            (self.begun, self.in_header) = (begun, false);
            self.reading.clear();
        }
        if self.busy(context) {
            self.reading.clear();
            return Poll::Pending;
        }
        let timeout = if self.in_header && self.http2 != Some(true) { self.header_timeout } else { self.idle_timeout };
        self.reading.poll(context, timeout)
    }

    /// Whether a request is in progress; if so, the task is woken when that ends, to watch the time again.
    fn busy(&self, context: &Context<'_>) -> bool {
        if !self.activity.any() {
            return false;
        }
        self.activity.unwatched.register(context.waker());
        // It may have ended between the two lines above.
        self.activity.any()
    }

    fn watch_write<T>(&mut self, context: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        match written {
            Poll::Ready(result) => {
                self.writing.clear();
                Poll::Ready(result)
            }
            Poll::Pending => match self.writing.poll(context, self.write_timeout) {
                Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                _ => Poll::Pending,
            },
        }
    }
}

/// A deadline that is set often and reached seldom. Its timer is left where it is and moved only when it goes off too early,
/// because moving it takes a lock.
#[derive(Default)]
struct Deadline {
    at: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Deadline {
    fn clear(&mut self) {
        self.at = None;
    }

    /// An error once `timeout` has passed since the deadline was first asked for.
    fn poll(&mut self, context: &mut Context<'_>, timeout: Duration) -> Poll<io::Result<()>> {
        let at = *self.at.get_or_insert_with(|| Instant::now() + timeout);
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at)));
        if timer.deadline() > at {
            timer.as_mut().reset(at);
        }
        while timer.as_mut().poll(context).is_ready() {
            if timer.deadline() >= at {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            timer.as_mut().reset(at);
        }
        Poll::Pending
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        match Pin::new(&mut self.stream).poll_read(context, buf) {
            Poll::Ready(Ok(())) => {
                if let Some(bytes) = buf.filled().get(before..).filter(|bytes| !bytes.is_empty()) {
                    self.note_read(bytes);
                }
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => self.wait_to_read(context),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, buf);
        self.watch_write(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, bufs);
        self.watch_write(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
