//! Sending: the parts of a message one after the other, and the ids that come back.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use rusmpp::pdus::SubmitSm;
use tokio::time::{sleep, timeout};

use super::{
    Link, NAME, SmppSettings,
    heard::normal_id,
    link::code,
    provider_id,
    session::{Reply, Session},
    submit, table,
};
use crate::{
    channel::{
        Outgoing, Provider, Rendition,
        exchange::Broken,
        failure::{self, Hint},
    },
    domain::{
        customer::Channel,
        message::{Answer, AttemptFailure, Retry},
    },
    ids::AttemptToken,
};

/// How often a part is tried again that the SMSC has no room for, once it has taken those before it; and the longest pause. To
/// give up then would have it take them twice.
const TRIES_MAX: u32 = 5;
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// One bind, ready to send over.
pub struct Smpp {
    settings: SmppSettings,
    link: Arc<Link>,
    /// For all parts of a message together.
    patience: Duration,
}

/// Settings that nothing can be sent with.
#[derive(Debug, thiserror::Error)]
#[error("smpp account `{account}`: {reason}")]
pub struct BadSettings {
    account: String,
    reason: String,
}

impl Smpp {
    /// `patience` is how long an answer to a whole message is waited for.
    pub fn new(settings: &SmppSettings, patience: Duration) -> Result<Smpp, BadSettings> {
        let bad = |reason| BadSettings { account: settings.account.clone(), reason };
        settings.check().map_err(bad)?;
        let link = Arc::new(Link::new(settings).map_err(bad)?);
        Ok(Smpp { settings: settings.clone(), link, patience })
    }

    /// What keeps the session: nothing is sent before somebody has it do so.
    pub fn link(&self) -> Arc<Link> {
        self.link.clone()
    }

    fn parts(&self, outgoing: &Outgoing) -> Result<Vec<SubmitSm>, String> {
        let Rendition::Sms(text) = &outgoing.body else { return Err("this account sends SMS only".to_owned()) };
        // By the message and not by the attempt: a telephone that has a part from an earlier one puts it to these.
        let reference = outgoing.token.message.0.last().copied().unwrap_or_default();
        submit::parts(&self.settings, &outgoing.to, &text.text, reference, outgoing.expires)
    }

    async fn submit(&self, parts: Vec<SubmitSm>, token: AttemptToken, begun: &AtomicBool) -> Answer {
        let session = match self.link.session().await {
            Ok(session) => session,
            Err(failure) => return Answer::Failed(failure),
        };
        let alone = parts.len() == 1;
        let mut ids: Vec<String> = Vec::with_capacity(parts.len());
        for part in parts {
            let again = if ids.is_empty() { 0 } else { TRIES_MAX };
            let about = Some(token).filter(|_| alone);
            match submit_part(&session, part, about, begun, token.attempt, again).await {
                Ok(reply) => {
                    let id = normal_id(&reply.id, self.settings.response_ids);
                    if id.is_empty() {
                        return Answer::Unknown { detail: "the SMSC took it and gave it no id".to_owned() };
                    }
                    ids.push(provider_id(&self.settings.account, &id));
                }
                // Of what is not whole no telephone shows anything, so the message was not taken.
                Err(Unsent::Refused(failure)) => return Answer::Failed(failure),
                Err(Unsent::InDoubt(detail)) => return Answer::Unknown { detail },
            }
        }
        Answer::Accepted { provider_id: ids.join(" ") }
    }
}

/// Why a part was not taken, or may not have been.
enum Unsent {
    Refused(AttemptFailure),
    InDoubt(String),
}

async fn submit_part(
    session: &Session,
    part: SubmitSm,
    about: Option<AttemptToken>,
    begun: &AtomicBool,
    attempt: u32,
    again: u32,
) -> Result<Reply, Unsent> {
    let mut tries = 0;
    loop {
        let reply = match session.submit(part.clone(), about, begun).await {
            Ok(reply) if reply.status == 0 => return Ok(reply),
            Ok(reply) => reply,
            Err(Broken::NotSent(detail)) => return Err(Unsent::Refused(failure::unreachable(&detail))),
            Err(Broken::Lost(detail)) => return Err(Unsent::InDoubt(detail)),
        };
        let failure = table().classify(&code(reply.status), None, Hint::attempt(attempt));
        match failure.retry {
            Retry::Later { after_ms } if tries < again => {
                tries += 1;
                sleep(Duration::from_millis(after_ms).min(PAUSE_MAX)).await;
            }
            _ => return Err(Unsent::Refused(failure)),
        }
    }
}

#[async_trait]
impl Provider for Smpp {
    fn name(&self) -> &'static str {
        NAME
    }

    fn account(&self) -> &str {
        &self.settings.account
    }

    fn channel(&self) -> Channel {
        Channel::Sms
    }

    fn countries(&self) -> &[String] {
        &self.settings.countries
    }

    fn preference(&self) -> u32 {
        self.settings.preference
    }

    async fn send(&self, outgoing: &Outgoing) -> Answer {
        let parts = match self.parts(outgoing) {
            Ok(parts) => parts,
            Err(reason) => return Answer::Failed(failure::bad_request(failure::BAD_REQUEST, &reason)),
        };
        let begun = AtomicBool::new(false);
        match timeout(self.patience, self.submit(parts, outgoing.token, &begun)).await {
            Ok(answer) => answer,
            Err(_) if begun.load(Ordering::Relaxed) => {
                Answer::Unknown { detail: format!("the SMSC did not answer within {:?}", self.patience) }
            }
            Err(_) => Answer::Failed(failure::unreachable("there was no session with the SMSC in time")),
        }
    }
}
