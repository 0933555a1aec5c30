//! An SMSC: SMPP 3.4 over TCP, for any ESME.
//!
//! **What comes in.** Binds of all three kinds, `submit_sm`, `enquire_link`, `unbind` ([`session`]); what is sent in parts is
//! joined as a telephone does ([`submit`]).
//!
//! **What goes out.** Answers with the codes of the specification, and [`deliver`]: receipts as text and as optional fields, and
//! what telephones write. What nobody is bound for, or is not acknowledged, waits and is delivered again.
//!
//! **What can go wrong** goes wrong on purpose: the troubles of the other providers, with `command_status` as codes; a window
//! that is overrun; and the SMSC can be gone and come back ([`Simulator::smsc_up`]).

mod alphabet;
pub(crate) mod deliver;
mod session;
mod submit;

use std::{
    collections::HashMap,
    future::Future,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::{net::TcpListener, sync::Notify};
use tokio_util::sync::CancellationToken;

pub(crate) use self::submit::Piece;
use self::{session::Bound, submit::Joining};
use super::{Simulator, lock};

/// When accepting fails the cause does not go away at once; without a pause this would spin.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(50);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SmppOptions {
    pub system_id: String,
    pub password: String,
    /// The number that phones write to, without a plus.
    pub number: String,
    /// What receipts say, as vendors differ.
    pub receipts: ReceiptForm,
    /// `submit_sm_resp` has ids in hexadecimal, and receipts have them in decimal: the trap that some vendors are.
    pub hex_answers: bool,
    /// Requests that may be unanswered in a session; beyond it they are throttled.
    pub window_max: usize,
    /// The pause before something is delivered again.
    pub retry_ms: u64,
}

impl Default for SmppOptions {
    fn default() -> SmppOptions {
        SmppOptions {
            system_id: "simulated".into(),
            password: "smsc-pw1".into(),
            number: "33757000002".into(),
            receipts: ReceiptForm::default(),
            hex_answers: false,
            // What SMSCs usually allow at most.
            window_max: 100,
            retry_ms: 200,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReceiptForm {
    #[default]
    Both,
    /// No optional fields.
    Text,
    /// No text.
    Fields,
}

/// Who is bound, and what is on its way to or from them.
pub(crate) struct Smsc {
    up: AtomicBool,
    sessions: Mutex<Vec<Arc<Bound>>>,
    /// Told with every bind.
    bound: Notify,
    /// Which session is next to be delivered to.
    turn: AtomicUsize,
    joining: Mutex<HashMap<String, Joining>>,
    /// Every session ends with it, and another takes its place.
    alive: Mutex<CancellationToken>,
    address: Mutex<Option<SocketAddr>>,
}

impl Default for Smsc {
    fn default() -> Smsc {
        Smsc {
            up: AtomicBool::new(true),
            sessions: Mutex::default(),
            bound: Notify::new(),
            turn: AtomicUsize::new(0),
            joining: Mutex::default(),
            alive: Mutex::default(),
            address: Mutex::default(),
        }
    }
}

impl Smsc {
    fn enter(&self, session: Arc<Bound>) {
        lock(&self.sessions).push(session);
        self.bound.notify_waiters();
    }

    fn leave(&self, session: &Arc<Bound>) {
        lock(&self.sessions).retain(|one| !Arc::ptr_eq(one, session));
    }

    /// Whom to deliver to: those that receive, in turn.
    fn receiver(&self) -> Option<Arc<Bound>> {
        let sessions = lock(&self.sessions);
        let receivers: Vec<&Arc<Bound>> = sessions.iter().filter(|session| session.kind.receives()).collect();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        receivers.get(turn.checked_rem(receivers.len())?).map(|session| Arc::clone(session))
    }

    pub(crate) fn clear(&self) {
        lock(&self.joining).clear();
    }

    fn alive(&self) -> CancellationToken {
        lock(&self.alive).clone()
    }
}

impl Simulator {
    /// Serves ESMEs on `listener` until `shutdown` ends.
    pub async fn serve_smpp(
        self: Arc<Self>,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> anyhow::Result<()> {
        *lock(&self.smsc.address) = Some(listener.local_addr()?);
        tokio::pin!(shutdown);
        loop {
            let accepted = tokio::select! {
                () = &mut shutdown => break,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                // While it is down a connection ends as it begins.
                Ok(_) if !self.smsc.up.load(Ordering::Relaxed) => {}
                Ok((stream, _)) => {
                    let alive = self.smsc.alive();
                    let simulator = Arc::clone(&self);
                    tokio::spawn(alive.run_until_cancelled_owned(session::converse(simulator, stream)));
                }
                Err(error) => {
                    tracing::warn!(%error, "the simulated SMSC could not accept a connection");
                    tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
                }
            }
        }
        self.smsc.alive().cancel();
        Ok(())
    }

    /// Whether the SMSC is there. When it goes, every session breaks without a word.
    pub fn smsc_up(&self, up: bool) {
        self.smsc.up.store(up, Ordering::Relaxed);
        if !up {
            let gone = std::mem::take(&mut *lock(&self.smsc.alive));
            gone.cancel();
            lock(&self.smsc.sessions).clear();
        }
    }

    /// What is to be seen of the SMSC.
    pub fn smsc_view(&self) -> serde_json::Value {
        let sessions: Vec<serde_json::Value> = lock(&self.smsc.sessions).iter().map(|session| session.view()).collect();
        let address = lock(&self.smsc.address).map(|address| address.to_string());
        serde_json::json!({"up": self.smsc.up.load(Ordering::Relaxed), "address": address, "sessions": sessions})
    }
}
