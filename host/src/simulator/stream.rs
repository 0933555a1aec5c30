//! Everything that happens, as it happens, for a page: server-sent events.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::response::sse::{Event, KeepAlive, KeepAliveStream, Sse};
use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use serde::Serialize;
use serde_json::Value;
use tokio::sync::broadcast;
use tokio_stream::wrappers::{BroadcastStream, errors::BroadcastStreamRecvError};

/// A page that is this many events behind is told to read everything anew.
const BEHIND_MAX: usize = 1024;

/// Comments that keep a silent connection alive through proxies, which cut after 30 to 60 s.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

pub(crate) struct Stream {
    sender: broadcast::Sender<Arc<Said>>,
}

struct Said {
    name: &'static str,
    data: String,
}

impl Stream {
    pub(crate) fn new() -> Stream {
        Stream { sender: broadcast::Sender::new(BEHIND_MAX) }
    }

    /// Tells all who listen. The data are made only if anybody does.
    pub(crate) fn send<T: Serialize>(&self, name: &'static str, data: impl FnOnce() -> T) {
        if self.sender.receiver_count() == 0 {
            return;
        }
        let Ok(data) = serde_json::to_string(&data()) else { return };
        // Nobody listening any more is no error.
        let _ = self.sender.send(Arc::new(Said { name, data }));
    }

    pub(crate) fn is_heard(&self) -> bool {
        self.sender.receiver_count() > 0
    }

    /// Listens from now on; `snapshot` is taken after that, so that nothing is missed between the two.
    pub(crate) fn listen(
        &self,
        snapshot: impl FnOnce() -> Value,
    ) -> Sse<KeepAliveStream<BoxStream<'static, Result<Event, Infallible>>>> {
        let receiver = self.sender.subscribe();
        let first = Event::default().event("snapshot").data(snapshot().to_string());
        let rest = BroadcastStream::new(receiver).map(|said| match said {
            Ok(said) => Event::default().event(said.name).data(&said.data),
            Err(BroadcastStreamRecvError::Lagged(missed)) => {
                Event::default().event("behind").data(format!("{{\"missed\":{missed}}}"))
            }
        });
        Sse::new(stream::once(std::future::ready(first)).chain(rest).map(Ok).boxed())
            .keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
    }
}
