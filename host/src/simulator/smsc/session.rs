//! One connection of an ESME: its bind, and what it asks.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
};

use futures_util::{SinkExt, StreamExt};
use rusmpp::{
    Command, CommandId, CommandStatus, Pdu,
    pdus::{BindReceiverResp, BindTransceiverResp, BindTransmitterResp},
    tokio_codec::CommandCodec,
    types::COctetString,
};
use subtle::ConstantTimeEq;
use tokio::{
    net::TcpStream,
    sync::{mpsc, oneshot},
};
use tokio_util::{codec::Framed, sync::CancellationToken};

use super::submit;
use crate::simulator::{Simulator, lock};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Transmitter,
    Receiver,
    Transceiver,
}

impl Kind {
    pub(super) fn receives(self) -> bool {
        self != Kind::Transmitter
    }

    pub(super) fn transmits(self) -> bool {
        self != Kind::Receiver
    }
}

/// A session that is bound.
pub(super) struct Bound {
    pub(super) kind: Kind,
    system_id: String,
    /// Without a bound: whoever reads is also who writes, and must never wait for itself.
    out: mpsc::UnboundedSender<Command>,
    /// What was delivered and is not acknowledged.
    delivered: Mutex<HashMap<u32, oneshot::Sender<u32>>>,
    last: AtomicU32,
    /// What the ESME asked and has no answer to.
    pub(super) unanswered: AtomicUsize,
    pub(super) ended: CancellationToken,
}

impl Bound {
    pub(super) fn view(&self) -> serde_json::Value {
        let kind = format!("{:?}", self.kind).to_lowercase();
        serde_json::json!({
            "system_id": self.system_id, "kind": kind, "unacknowledged": lock(&self.delivered).len(),
        })
    }

    /// Writes, where the session still stands.
    pub(super) fn answer(&self, sequence: u32, status: CommandStatus, pdu: impl Into<Pdu>) {
        // Whoever has gone hears nothing.
        let _ = self.out.send(Command::builder().status(status).sequence_number(sequence).pdu(pdu));
    }

    /// Delivers, and returns what the ESME answered; nothing where the session ended before.
    pub(super) async fn deliver(&self, pdu: Pdu) -> Option<u32> {
        let (acknowledged, status) = oneshot::channel();
        let sequence = self.last.fetch_add(1, Ordering::Relaxed) % 0x7FFF_FFFF + 1;
        lock(&self.delivered).insert(sequence, acknowledged);
        self.answer(sequence, CommandStatus::EsmeRok, pdu);
        tokio::select! {
            status = status => status.ok(),
            () = self.ended.cancelled() => None,
        }
    }
}

/// Serves a connection from its bind to its end.
pub(super) async fn converse(simulator: Arc<Simulator>, stream: TcpStream) {
    // Without this, short answers wait for acknowledgements; that it cannot be set costs time and nothing else.
    let _ = stream.set_nodelay(true);
    let mut framed = Framed::new(stream, CommandCodec::new());
    let Some((kind, system_id)) = bind(&simulator, &mut framed).await else { return };
    let (out, mut outgoing) = mpsc::unbounded_channel();
    let bound = Arc::new(Bound {
        kind,
        system_id,
        out,
        delivered: Mutex::default(),
        last: AtomicU32::new(0),
        unanswered: AtomicUsize::new(0),
        ended: CancellationToken::new(),
    });
    let _leaves = Leaves { simulator: Arc::clone(&simulator), bound: Arc::clone(&bound) };
    simulator.smsc.enter(Arc::clone(&bound));
    loop {
        tokio::select! {
            () = bound.ended.cancelled() => return,
            said = framed.next() => match said {
                Some(Ok(command)) => {
                    let unbinds = command.id() == CommandId::Unbind;
                    take(&simulator, &bound, command).await;
                    if unbinds {
                        while let Ok(last) = outgoing.try_recv() {
                            let _ = framed.send(&last).await;
                        }
                        return;
                    }
                }
                Some(Err(error)) => return tracing::debug!(%error, "an ESME sent what cannot be read"),
                None => return,
            },
            Some(command) = outgoing.recv() => if framed.send(&command).await.is_err() { return },
        }
    }
}

/// Also where the session is dropped where it stands.
struct Leaves {
    simulator: Arc<Simulator>,
    bound: Arc<Bound>,
}

impl Drop for Leaves {
    fn drop(&mut self) {
        self.bound.ended.cancel();
        self.simulator.smsc.leave(&self.bound);
    }
}

type Wire = Framed<TcpStream, CommandCodec>;

async fn bind(simulator: &Simulator, framed: &mut Wire) -> Option<(Kind, String)> {
    loop {
        let command = framed.next().await?.ok()?;
        let sequence = command.sequence_number();
        let (kind, system_id, password) = match command.pdu() {
            Some(Pdu::BindTransmitter(bind)) => (Kind::Transmitter, &bind.system_id, &bind.password),
            Some(Pdu::BindReceiver(bind)) => (Kind::Receiver, &bind.system_id, &bind.password),
            Some(Pdu::BindTransceiver(bind)) => (Kind::Transceiver, &bind.system_id, &bind.password),
            Some(Pdu::EnquireLink) => {
                let answer = reply(sequence, CommandStatus::EsmeRok, Pdu::EnquireLinkResp);
                framed.send(&answer).await.ok()?;
                continue;
            }
            _ => {
                let refusal = reply(sequence, CommandStatus::EsmeRinvbndsts, Pdu::GenericNack);
                framed.send(&refusal).await.ok()?;
                continue;
            }
        };
        let options = &simulator.options.smpp;
        let known = system_id.as_str() == options.system_id;
        let same: bool = password.as_str().as_bytes().ct_eq(options.password.as_bytes()).into();
        let status = match (known, same) {
            (false, _) => CommandStatus::EsmeRinvsysid,
            (_, false) => CommandStatus::EsmeRinvpaswd,
            _ => CommandStatus::EsmeRok,
        };
        let system_id = system_id.as_str().to_owned();
        framed.send(&reply(sequence, status, bind_answer(kind))).await.ok()?;
        if status == CommandStatus::EsmeRok {
            return Some((kind, system_id));
        }
    }
}

fn bind_answer(kind: Kind) -> Pdu {
    let system_id = COctetString::from_string("SMSC".to_owned()).unwrap_or_default();
    match kind {
        Kind::Transmitter => BindTransmitterResp::builder().system_id(system_id).build().into(),
        Kind::Receiver => BindReceiverResp::builder().system_id(system_id).build().into(),
        Kind::Transceiver => BindTransceiverResp::builder().system_id(system_id).build().into(),
    }
}

fn reply(sequence: u32, status: CommandStatus, pdu: Pdu) -> Command {
    Command::builder().status(status).sequence_number(sequence).pdu(pdu)
}

async fn take(simulator: &Arc<Simulator>, bound: &Arc<Bound>, command: Command) {
    let (sequence, status) = (command.sequence_number(), command.status());
    match (command.id(), command.pdu()) {
        (_, Some(Pdu::SubmitSm(pdu))) => submit::take(simulator, bound, sequence, pdu).await,
        (CommandId::EnquireLink, _) => bound.answer(sequence, CommandStatus::EsmeRok, Pdu::EnquireLinkResp),
        (CommandId::Unbind, _) => bound.answer(sequence, CommandStatus::EsmeRok, Pdu::UnbindResp),
        (CommandId::DeliverSmResp | CommandId::GenericNack, _) => {
            if let Some(waiting) = lock(&bound.delivered).remove(&sequence) {
                // Who delivered may have given up meanwhile.
                let _ = waiting.send(status.into());
            }
        }
        (CommandId::BindTransmitter | CommandId::BindReceiver | CommandId::BindTransceiver, _) => {
            bound.answer(sequence, CommandStatus::EsmeRalybnd, bind_answer(bound.kind));
        }
        (CommandId::EnquireLinkResp | CommandId::UnbindResp, _) => {}
        _ => bound.answer(sequence, CommandStatus::EsmeRinvcmdid, Pdu::GenericNack),
    }
}
