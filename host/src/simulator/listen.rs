//! The accept loop. It is our own because a connection must be closable without an answer, which a router cannot do.

use std::{future::Future, io, time::Duration};

use axum::{Router, body::Body, response::Response};
use hyper::{Request, body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

/// Marks an answer that is not to be written: the connection is closed in its place.
#[derive(Clone, Copy)]
pub(crate) struct CloseInstead;

/// When accepting fails the cause (no file descriptors) does not go away at once; without a pause this would spin.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(50);

/// How long a client may take to send its header: as long as a slow mobile connection, not as long as an attack.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);

pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    alive: CancellationToken,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> anyhow::Result<()> {
    tokio::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => return Ok(()),
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let connection = alive.clone().run_until_cancelled_owned(converse(stream, router.clone()));
                tokio::spawn(connection);
            }
            Err(error) => {
                tracing::warn!(%error, "the simulator could not accept a connection");
                tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
            }
        }
    }
}

async fn converse(stream: TcpStream, router: Router) {
    // Without this, short answers wait for acknowledgements; that it cannot be set costs time and nothing else.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| answer(router.clone(), request));
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
    if let Err(error) = builder.serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(%error, "a connection to the simulator ended early");
    }
}

async fn answer(router: Router, request: Request<Incoming>) -> io::Result<Response> {
    let response = match router.oneshot(request.map(Body::new)).await {
        Ok(response) => response,
        Err(never) => match never {},
    };
    if response.extensions().get::<CloseInstead>().is_some() {
        return Err(io::Error::new(io::ErrorKind::ConnectionReset, "closed on purpose"));
    }
    Ok(response)
}
