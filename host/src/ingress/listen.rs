//! The accept loop. It is our own because `axum::serve` installs no timer, so that a client could hold a connection for ever
//! by sending a header slowly.
//!
//! Every wait has an end: for a header and between requests ([`socket`]), for a body ([`body`]), for a client that takes no
//! answer ([`socket`]). Connections are counted, in all and by address; what is over the first cap waits in the kernel's queue,
//! what is over the second is closed.

mod body;
mod places;
mod socket;

use std::{convert::Infallible, io, sync::Arc, time::Duration};

use axum::Router;
use hyper::{Request, Response, body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tower::ServiceExt;

pub use super::settings::ListenLimits;
use crate::shutdown::Shutdown;
pub(super) use body::TooSlow;
use body::{Held, Timed};
use places::Places;
use socket::{Activity, Socket};

/// When accepting fails the cause (no file descriptors) does not go away at once; without a pause this would spin.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(50);

/// Headers of one request: hyper's own bound for HTTP/1, written down so that an update does not change it.
const HEADERS_MAX: usize = 100;

/// A request whose header is not complete this long after the stop is not waited for: nothing was promised to its sender.
const HALF_SENT_MAX: Duration = Duration::from_secs(1);

/// Serves `router` until it is to stop, then takes no more connections and lets requests in progress end. Connections that
/// are still there when these are to be abandoned are closed.
pub async fn serve(listener: TcpListener, router: Router, limits: ListenLimits, shutdown: Shutdown) -> io::Result<()> {
    let connections_max =
        u32::try_from(limits.connections_max).unwrap_or(u32::MAX).clamp(1, Semaphore::MAX_PERMITS as u32);
    let server = Arc::new(Server {
        protocol: protocol(&limits),
        places: Places::new(limits.connections_per_ip_max),
        router,
        limits,
        shutdown: shutdown.clone(),
    });
    let free = Arc::new(Semaphore::new(connections_max as usize));
    tokio::select! {
        () = shutdown.stop.cancelled() => {}
        () = accept(listener, &server, &free) => {}
    }
    // All places are free again once every connection has ended.
    if shutdown.abandon.run_until_cancelled(free.acquire_many(connections_max)).await.is_none() {
        tracing::warn!("connections are closed that were still busy");
    }
    Ok(())
}

struct Server {
    protocol: auto::Builder<TokioExecutor>,
    places: Places,
    router: Router,
    limits: ListenLimits,
    shutdown: Shutdown,
}

fn protocol(limits: &ListenLimits) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        // The socket watches the header: hyper's own deadline would also end connections that are idle between requests.
        .header_read_timeout(None)
        .max_headers(HEADERS_MAX)
        .max_buf_size(limits.header_bytes_max.max(8192) as usize);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.http2_streams_max)
        .max_header_list_size(limits.header_bytes_max);
    builder
}

/// Returns when its future is dropped, never by itself.
async fn accept(listener: TcpListener, server: &Arc<Server>, free: &Arc<Semaphore>) {
    // The semaphore is never closed, so this loop has no other end.
    while let Ok(permit) = free.clone().acquire_owned().await {
        match listener.accept().await {
            Ok((stream, peer)) => match server.places.take(peer.ip()) {
                Some(place) => {
                    tokio::spawn(converse(server.clone(), stream, (permit, place)));
                }
                None => tracing::debug!(ip = %peer.ip(), "a connection was closed: its address has too many"),
            },
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
            }
        }
    }
}

/// One connection from its first byte to its last. `_held` is given back when it ends.
async fn converse(server: Arc<Server>, stream: TcpStream, _held: (OwnedSemaphorePermit, places::Place)) {
    // Without this, short answers wait for acknowledgements; that it cannot be set costs time and nothing else.
    let _ = stream.set_nodelay(true);
    let activity = Arc::new(Activity::default());
    let socket = Socket::new(stream, activity.clone(), &server.limits);
    let requests = activity.clone();
    let body_timeout = server.limits.body_timeout;
    let router = server.router.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let held = activity.begin();
        let answer = router.clone().oneshot(request.map(|body| axum::body::Body::new(Timed::new(body, body_timeout))));
        async move {
            let response = match answer.await {
                Ok(response) => response,
                Err(never) => match never {},
            };
            Ok::<Response<Held>, Infallible>(response.map(|body| Held::new(body, held)))
        }
    });
    let connection = server.protocol.serve_connection(TokioIo::new(socket), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = server.shutdown.stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                ended = connection.as_mut() => ended,
                () = nothing_to_answer(&requests) => return,
                () = server.shutdown.abandon.cancelled() => return,
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// Returns where no request is in progress once a half-sent header had its time, else never.
async fn nothing_to_answer(requests: &Activity) {
    tokio::time::sleep(HALF_SENT_MAX).await;
    if requests.any() {
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests;
