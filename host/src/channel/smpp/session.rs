//! One session with an SMSC, from its bind to its end: who asked what, what is still unanswered, and what is delivered to us.
//!
//! Requests and answers go both ways at once, told apart by their numbers. Two things are kept apart throughout: a request of
//! which no octet was written, which may be made again, and one that was written and not answered, which is in doubt. One that
//! is given up keeps its place in the window until it is answered: an answer that comes late still says that it was taken.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use futures_util::{SinkExt, StreamExt};
use rusmpp::{Command, CommandStatus, Pdu, pdus::SubmitSm, tokio_codec::CommandCodec};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadHalf, WriteHalf},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
    time::{sleep, timeout},
};
use tokio_util::{
    codec::{FramedRead, FramedWrite, LengthDelimitedCodec},
    sync::CancellationToken,
};

use super::{
    Reports, heard, provider_id,
    settings::SmppSettings,
    submit,
    wire::{self, Delivered, Said},
};
use crate::{
    channel::{Report, StatusReport, exchange::Broken},
    domain::status::AttemptState,
    ids::AttemptToken,
};

/// What an SMSC may deliver before the first of it is stored. Beyond it an SMSC is told to come again.
const DELIVERED_MAX: usize = 256;
/// How much of that is stored at once.
const BATCH_MAX: usize = 64;
/// Answers of ours that wait to be written: more is an SMSC that does not read.
const ANSWERS_MAX: usize = 1024;

/// A connection, with TLS or without.
pub(super) trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Socket for T {}

pub(super) type Frames = FramedRead<ReadHalf<Box<dyn Socket>>, LengthDelimitedCodec>;
type Writer = FramedWrite<WriteHalf<Box<dyn Socket>>, CommandCodec>;

/// What the SMSC answered.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u32,
    pub(super) id: String,
}

struct Waiter {
    answer: oneshot::Sender<Reply>,
    /// Of a message in one part: what a late answer is about.
    token: Option<AttemptToken>,
    _place: Option<OwnedSemaphorePermit>,
}

pub(super) struct Session {
    settings: SmppSettings,
    writer: tokio::sync::Mutex<Writer>,
    waiting: Mutex<HashMap<u32, Waiter>>,
    last: AtomicU32,
    window: Arc<Semaphore>,
    closed: CancellationToken,
    /// Something was heard after the bind: the SMSC does more than to take connections.
    pub(super) was_of_use: AtomicBool,
}

/// What waits to be made durable.
enum Heard {
    Delivered(u32, Box<Delivered>),
    /// An answer to a request that was given up.
    Late(StatusReport),
}

impl Session {
    /// Binds. What comes afterwards is read from the frames.
    pub(super) async fn bind(socket: Box<dyn Socket>, settings: &SmppSettings) -> Result<(Session, Frames), Refused> {
        let bind = submit::bind(settings).map_err(Refused::Reason)?;
        let (reading, writing) = tokio::io::split(socket);
        let mut frames = FramedRead::new(reading, wire::frames());
        let session = Session {
            settings: settings.clone(),
            writer: tokio::sync::Mutex::new(FramedWrite::new(writing, CommandCodec::new())),
            waiting: Mutex::default(),
            last: AtomicU32::new(1),
            window: Arc::new(Semaphore::new(settings.window)),
            closed: CancellationToken::new(),
            was_of_use: AtomicBool::new(false),
        };
        let command = Command::builder().status(CommandStatus::EsmeRok).sequence_number(1).pdu(bind);
        let gone = |why: String| Refused::Reason(why);
        session.writer.lock().await.send(&command).await.map_err(|error| gone(error.to_string()))?;
        loop {
            let frame = frames.next().await.ok_or_else(|| gone("the SMSC closed the connection".to_owned()))?;
            match wire::read(&frame.map_err(|error| gone(error.to_string()))?) {
                Some(Said::Answer { sequence: 1, status: 0, .. }) => return Ok((session, frames)),
                Some(Said::Answer { sequence: 1, status, .. }) => return Err(Refused::Status(status)),
                // An SMSC may ask before it answers; it asks again.
                _ => {}
            }
        }
    }

    /// Sends one part. `begun` is set right before the first octet of it may leave.
    pub(super) async fn submit(
        &self,
        part: SubmitSm,
        token: Option<AttemptToken>,
        begun: &AtomicBool,
    ) -> Result<Reply, Broken> {
        let patience = self.response_timeout();
        let Ok(place) = timeout(patience, self.window.clone().acquire_owned()).await else {
            if self.waiting().values().all(|waiter| waiter.answer.is_closed()) {
                tracing::warn!(account = self.settings.account, "the SMSC answers nothing; the session is given up");
                self.closed.cancel();
            }
            return Err(Broken::NotSent("the window is full of messages that the SMSC does not answer".to_owned()));
        };
        let place = place.map_err(|_| Broken::NotSent("the session has ended".to_owned()))?;
        self.ask(part.into(), token, Some(place), begun).await
    }

    async fn ask(
        &self,
        pdu: Pdu,
        token: Option<AttemptToken>,
        place: Option<OwnedSemaphorePermit>,
        begun: &AtomicBool,
    ) -> Result<Reply, Broken> {
        let (answer, answered) = oneshot::channel();
        let sequence = self.next();
        self.waiting().insert(sequence, Waiter { answer, token, _place: place });
        let mut unwritten = Unwritten { session: self, sequence: Some(sequence) };
        let mut writer = self.writer.lock().await;
        // After the waiter is in its place: whoever ends the session either finds it there, or is found here.
        if self.closed.is_cancelled() {
            return Err(Broken::NotSent("the session has ended".to_owned()));
        }
        unwritten.sequence = None;
        begun.store(true, Ordering::Relaxed);
        let command = Command::builder().status(CommandStatus::EsmeRok).sequence_number(sequence).pdu(pdu);
        let written = writer.send(&command).await;
        drop(writer);
        if let Err(error) = written {
            self.closed.cancel();
            return Err(Broken::Lost(format!("the connection broke: {error}")));
        }
        answered.await.map_err(|_| Broken::Lost("the session ended before the SMSC answered".to_owned()))
    }

    /// Reads what the SMSC says until the session ends, and says why it did. When `stop` comes it unbinds.
    pub(super) async fn run(
        self: &Arc<Self>,
        mut frames: Frames,
        reports: &Arc<dyn Reports>,
        stop: &CancellationToken,
    ) -> String {
        let (heard, recording) = mpsc::channel(DELIVERED_MAX);
        let (answers, answering) = mpsc::channel(ANSWERS_MAX);
        let recording = tokio::spawn(self.clone().record(recording, reports.clone(), answers.clone()));
        let reason = tokio::select! {
            reason = self.listen(&mut frames, &heard, &answers) => reason,
            reason = self.write_answers(answering) => reason,
            reason = self.enquire() => reason,
            () = self.closed.cancelled() => "it was given up".to_owned(),
            () = self.unbind(stop) => "this host stops".to_owned(),
        };
        // Whoever was asked to unbind may hang up before its answer is read.
        let reason = if stop.is_cancelled() { "this host stops".to_owned() } else { reason };
        self.end();
        // What is being stored is stored; its answer finds no session, and the SMSC delivers it again.
        drop((heard, answers));
        if let Err(error) = recording.await {
            tracing::error!(%error, "what came over an SMPP session could not be taken");
        }
        reason
    }

    fn end(&self) {
        self.closed.cancel();
        self.window.close();
        // Whoever waits for an answer learns that none will come.
        self.waiting().clear();
    }

    async fn listen(
        &self,
        frames: &mut Frames,
        heard: &mpsc::Sender<Heard>,
        answers: &mpsc::Sender<Command>,
    ) -> String {
        loop {
            let frame = match frames.next().await {
                Some(Ok(frame)) => frame,
                Some(Err(error)) => return format!("what the SMSC sends cannot be read: {error}"),
                None => return "the SMSC closed the connection".to_owned(),
            };
            self.was_of_use.store(true, Ordering::Relaxed);
            let Some(said) = wire::read(&frame) else { return "the SMSC sent half a header".to_owned() };
            let unbinds = matches!(said, Said::Unbind { .. });
            let answer = self.take(said, heard);
            // Nobody writes them while the SMSC does not read: then there is nothing to be said to it any more.
            if answer.is_some_and(|answer| answers.try_send(answer).is_err()) {
                return "the SMSC does not read what it is answered".to_owned();
            }
            if unbinds {
                return "the SMSC unbound".to_owned();
            }
        }
    }

    /// What is to be answered at once.
    fn take(&self, said: Said, heard: &mpsc::Sender<Heard>) -> Option<Command> {
        match said {
            Said::Answer { sequence, status, id } => {
                self.answered(sequence, Reply { status, id }, heard);
                None
            }
            Said::Delivers { sequence, delivered } => {
                let full = heard.try_send(Heard::Delivered(sequence, delivered)).is_err();
                full.then(|| wire::delivered_answer(sequence, CommandStatus::EsmeRxTAppn))
            }
            Said::EnquireLink { sequence } => {
                Some(wire::bare_answer(sequence, CommandStatus::EsmeRok, Pdu::EnquireLinkResp))
            }
            Said::Unbind { sequence } => Some(wire::bare_answer(sequence, CommandStatus::EsmeRok, Pdu::UnbindResp)),
            Said::Other { sequence, command, why } => {
                let account = &self.settings.account;
                tracing::warn!(
                    account,
                    command = format!("{command:08x}"),
                    "the SMSC sent what cannot be taken: {why}"
                );
                Some(wire::bare_answer(sequence, CommandStatus::EsmeRinvcmdid, Pdu::GenericNack))
            }
        }
    }

    fn answered(&self, sequence: u32, reply: Reply, heard: &mpsc::Sender<Heard>) {
        let Some(waiter) = self.waiting().remove(&sequence) else { return };
        let (Err(reply), Some(token)) = (waiter.answer.send(reply), waiter.token) else { return };
        let id = heard::normal_id(&reply.id, self.settings.response_ids);
        if reply.status != 0 || id.is_empty() {
            return;
        }
        let late = StatusReport {
            token: Some(token),
            provider_id: Some(provider_id(&self.settings.account, &id)),
            state: AttemptState::Accepted,
            time: None,
            failure: None,
            pricing: None,
        };
        // Where there is no room for it, the receipt will say as much.
        let _ = heard.try_send(Heard::Late(late));
    }

    /// Makes durable what was delivered, as much at once as there is, and answers it then.
    async fn record(
        self: Arc<Self>,
        mut heard: mpsc::Receiver<Heard>,
        reports: Arc<dyn Reports>,
        answers: mpsc::Sender<Command>,
    ) {
        let mut batch = Vec::new();
        while heard.recv_many(&mut batch, BATCH_MAX).await > 0 {
            let mut sequences = Vec::new();
            let all: Vec<Report> = batch
                .drain(..)
                .map(|heard| match heard {
                    Heard::Late(report) => Report::Status(report),
                    Heard::Delivered(sequence, delivered) => {
                        sequences.push(sequence);
                        heard::report(&self.settings, &delivered)
                    }
                })
                .collect();
            let status = match reports.record(&self.settings.account, all).await {
                Ok(()) => CommandStatus::EsmeRok,
                Err(error) => {
                    let account = &self.settings.account;
                    tracing::warn!(account, error, "what an SMSC delivered cannot be stored; it will come again");
                    CommandStatus::EsmeRxTAppn
                }
            };
            for sequence in sequences {
                // Without a session it is not answered, and comes again.
                let _ = answers.send(wire::delivered_answer(sequence, status)).await;
            }
        }
    }

    async fn write_answers(&self, mut answers: mpsc::Receiver<Command>) -> String {
        while let Some(answer) = answers.recv().await {
            if let Err(error) = self.writer.lock().await.send(&answer).await {
                return format!("the connection broke: {error}");
            }
        }
        std::future::pending().await
    }

    /// A connection may be gone without a word. Whoever does not answer this in time has gone.
    async fn enquire(&self) -> String {
        loop {
            sleep(Duration::from_secs(self.settings.enquire_link_s)).await;
            let begun = AtomicBool::new(false);
            let asked = self.ask(Pdu::EnquireLink, None, None, &begun);
            match timeout(self.response_timeout(), asked).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return error.to_string(),
                Err(_) => return "the SMSC does not answer enquire_link".to_owned(),
            }
        }
    }

    /// Waits for the stop, and takes leave.
    async fn unbind(&self, stop: &CancellationToken) {
        stop.cancelled().await;
        let begun = AtomicBool::new(false);
        // It ends either way; an SMSC that does not answer closes the session by itself.
        let _ = timeout(self.response_timeout(), self.ask(Pdu::Unbind, None, None, &begun)).await;
    }

    fn response_timeout(&self) -> Duration {
        Duration::from_millis(self.settings.response_timeout_ms)
    }

    fn next(&self) -> u32 {
        // 1 was the bind's. The numbers end at 0x7FFFFFFF, and begin anew.
        let last = self.last.fetch_add(1, Ordering::Relaxed);
        last % 0x7FFF_FFFF + 1
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<u32, Waiter>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why there is no session.
#[derive(Debug)]
pub(super) enum Refused {
    /// The SMSC's answer to the bind.
    Status(u32),
    Reason(String),
}

/// Takes back a request that was not written.
struct Unwritten<'a> {
    session: &'a Session,
    sequence: Option<u32>,
}

impl Drop for Unwritten<'_> {
    fn drop(&mut self) {
        if let Some(sequence) = self.sequence {
            self.session.waiting().remove(&sequence);
        }
    }
}
