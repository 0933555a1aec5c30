//! Keeps a session with an SMSC: binds, and binds again when it ends, with pauses that grow and differ.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use tokio::{net::TcpStream, sync::watch, time::timeout};
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;

use super::{
    Reports,
    session::{Frames, Refused, Session, Socket},
    settings::SmppSettings,
    table,
};
use crate::{
    channel::failure::{self, Hint},
    domain::message::AttemptFailure,
};

/// The way to one SMSC.
pub struct Link {
    settings: SmppSettings,
    tls: Option<TlsConnector>,
    state: watch::Sender<State>,
}

#[derive(Clone)]
enum State {
    /// There will be a session in a moment, or a reason why not.
    Opening,
    Bound(Arc<Session>),
    Down(AttemptFailure),
}

impl Link {
    pub(super) fn new(settings: &SmppSettings) -> Result<Link, String> {
        let tls = if settings.tls { Some(connector(settings)?) } else { None };
        Ok(Link { settings: settings.clone(), tls, state: watch::Sender::new(State::Opening) })
    }

    /// The session, where there is one or will be in a moment.
    pub(super) async fn session(&self) -> Result<Arc<Session>, AttemptFailure> {
        let mut state = self.state.subscribe();
        let settled = state.wait_for(|state| !matches!(state, State::Opening)).await;
        match settled.as_deref() {
            Ok(State::Bound(session)) => Ok(session.clone()),
            Ok(State::Down(failure)) => Err(failure.clone()),
            Ok(State::Opening) | Err(_) => Err(failure::unreachable("there is no session with the SMSC")),
        }
    }

    /// Keeps a session until `stop` comes, and takes leave of the SMSC then.
    pub async fn keep(self: Arc<Self>, reports: Arc<dyn Reports>, stop: CancellationToken) {
        let account = &self.settings.account;
        let mut tries = 0;
        while !stop.is_cancelled() {
            let opened = tokio::select! {
                opened = self.open() => opened,
                () = stop.cancelled() => break,
            };
            match opened {
                Ok((session, frames)) => {
                    tracing::info!(account, address = self.settings.address, "bound to the SMSC");
                    let session = Arc::new(session);
                    self.state.send_replace(State::Bound(session.clone()));
                    let reason = session.run(frames, &reports, &stop).await;
                    tracing::warn!(account, reason, "the session with the SMSC has ended");
                    // Who did his work and hung up is asked again at once; who only hangs up is not.
                    if session.was_of_use.load(Ordering::Relaxed) {
                        tries = 0;
                        self.state.send_replace(State::Opening);
                    } else {
                        self.state.send_replace(State::Down(failure::unreachable(&reason)));
                    }
                }
                Err(failure) => {
                    let detail = failure.detail.as_deref().unwrap_or_default();
                    tracing::warn!(account, code = failure.provider_code, detail, "no session with the SMSC");
                    self.state.send_replace(State::Down(failure));
                }
            }
            let pause = pause(&self.settings, tries);
            tries += 1;
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = stop.cancelled() => {}
            }
        }
        self.state.send_replace(State::Down(failure::unreachable("this host stops")));
    }

    async fn open(&self) -> Result<(Session, Frames), AttemptFailure> {
        let opening = async {
            let socket = self.connect().await.map_err(Refused::Reason)?;
            Session::bind(socket, &self.settings).await
        };
        match timeout(Duration::from_millis(self.settings.response_timeout_ms), opening).await {
            Ok(Ok(opened)) => Ok(opened),
            Ok(Err(Refused::Status(status))) => {
                Err(table().classify(&code(status), Some("the SMSC refuses the bind"), Hint::default()))
            }
            Ok(Err(Refused::Reason(reason))) => Err(failure::unreachable(&reason)),
            Err(_) => Err(failure::unreachable("the SMSC does not answer the bind")),
        }
    }

    async fn connect(&self) -> Result<Box<dyn Socket>, String> {
        let address = &self.settings.address;
        let stream = TcpStream::connect(address).await.map_err(|error| format!("{address}: {error}"))?;
        // Short requests would wait for one another; that it cannot be set costs time and nothing else.
        let _ = stream.set_nodelay(true);
        let Some(tls) = &self.tls else { return Ok(Box::new(stream)) };
        let host = address.rsplit_once(':').map_or(address.as_str(), |(host, _)| host);
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(host.to_owned()).map_err(|error| format!("{host}: {error}"))?;
        let stream = tls.connect(name, stream).await.map_err(|error| format!("{address}: TLS: {error}"))?;
        Ok(Box::new(stream))
    }
}

/// A `command_status` as the table has it.
pub(super) fn code(status: u32) -> String {
    format!("{status:02X}")
}

/// Doubles with every try that came to nothing, up to the longest; by up to a half less, so that hosts that lost their SMSC
/// together do not come back together.
pub(super) fn pause(settings: &SmppSettings, tries: u32) -> Duration {
    let longest = settings.reconnect_longest_ms.max(settings.reconnect_first_ms);
    let whole = settings.reconnect_first_ms.saturating_mul(1 << tries.min(16)).min(longest);
    // Without randomness they all wait alike, and the SMSC has the work.
    let share = u64::from(getrandom::u32().unwrap_or_default()) % 1000;
    Duration::from_millis(whole - whole / 2 * share / 1000)
}

fn connector(settings: &SmppSettings) -> Result<TlsConnector, String> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = &settings.tls_roots {
        let unreadable = |error: String| format!("tls-roots: {}: {error}", path.display());
        let pem = std::fs::read(path).map_err(|error| unreadable(error.to_string()))?;
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            let certificate = certificate.map_err(|error| unreadable(error.to_string()))?;
            roots.add(certificate).map_err(|error| unreadable(error.to_string()))?;
        }
    }
    let config = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS cannot be set up: {error}"))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}
