//! Channels that components bring, joined to the layers on both sides: a provider for the dispatcher, a reader of webhooks for the
//! receipt stage.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use serde_json::json;

use crate::{
    channel::{
        GatewaySettings, IncomingReport, Outgoing, Provider, Rendition, Report, StatusReport, failure, failure::Hint,
    },
    domain::{
        customer::Channel,
        message::{Answer, AttemptFailure, Place},
        status::AttemptState,
    },
    plugin::{
        Plugins,
        gateway::{self, Content, NoAnswer, Refusal, Stage, Webhook},
    },
    receipt::{Gateways, Posted, Read, Unread},
};

/// One account with a gateway, ready to send from.
pub(super) struct Gateway {
    plugins: Arc<Plugins>,
    settings: GatewaySettings,
    name: String,
}

impl Gateway {
    pub(super) fn new(settings: &GatewaySettings, plugins: Arc<Plugins>) -> Gateway {
        if !plugins.is_gateway(&settings.plugin) {
            // It may be put there later, or held until somebody approves it: its account waits for it.
            tracing::warn!(
                account = settings.account, plugin = %settings.plugin,
                "the account's plugin brings no channel that serves now; nothing can be sent with it until one does"
            );
        }
        Gateway { plugins, name: settings.provider(), settings: settings.clone() }
    }

    fn message(&self, outgoing: &Outgoing) -> gateway::Outgoing {
        let content = match &outgoing.body {
            Rendition::Sms(text) => Content::Sms(gateway::Sms {
                text: text.text.clone(),
                encoding: text.encoding.as_str().to_owned(),
                parts: text.parts,
            }),
            Rendition::Whatsapp(rendered) => {
                Content::Whatsapp(json!({ "type": rendered.kind, rendered.kind: rendered.payload }).to_string())
            }
        };
        gateway::Outgoing {
            token: outgoing.token.to_string(),
            to: outgoing.to.clone(),
            sender: self.settings.sender.clone(),
            content,
            quote: outgoing.quote.clone(),
            #[expect(clippy::cast_precision_loss, reason = "milliseconds of a message's life are far below 2^53")]
            expires: outgoing.expires.map(|left| left.as_millis() as f64),
            attributes: Vec::new(),
        }
    }
}

#[async_trait]
impl Provider for Gateway {
    fn name(&self) -> &str {
        &self.name
    }

    fn account(&self) -> &str {
        &self.settings.account
    }

    fn channel(&self) -> Channel {
        self.settings.channel
    }

    fn countries(&self) -> &[String] {
        &self.settings.countries
    }

    fn preference(&self) -> u32 {
        self.settings.preference
    }

    fn fits(&self, body: &Rendition) -> Result<(), String> {
        match body {
            Rendition::Whatsapp(rendered) if rendered.upload.is_some() => {
                Err("a plugin's channel takes media by link only".to_owned())
            }
            Rendition::Whatsapp(_) | Rendition::Sms(_) => Ok(()),
        }
    }

    async fn send(&self, outgoing: &Outgoing) -> Answer {
        match self.plugins.gateway_send(&self.settings.plugin, self.message(outgoing)).await {
            Ok(gateway::Answer::Accepted(provider_id)) if !provider_id.is_empty() => Answer::Accepted { provider_id },
            Ok(gateway::Answer::Accepted(_)) => {
                Answer::Unknown { detail: "the plugin says that it was taken, and not under which id".to_owned() }
            }
            Ok(gateway::Answer::Refused(refusal)) => Answer::Failed(failed(&refusal, outgoing.token.attempt)),
            Ok(gateway::Answer::Unknown(detail)) => Answer::Unknown { detail: failure::shortened(&detail) },
            Err(NoAnswer::Nothing(why)) => Answer::Failed(failure::unreachable(&why)),
            Err(NoAnswer::InDoubt(why)) => Answer::Unknown { detail: why },
        }
    }
}

fn failed(refusal: &Refusal, attempt: u32) -> AttemptFailure {
    // A day: whoever asks for more is not worth waiting for.
    const MILLIS_MAX: f64 = 86_400_000.0;
    let asked = refusal.retry_after.filter(|millis| millis.is_finite() && *millis >= 0.0);
    let retry_after = asked.map(|millis| Duration::from_secs_f64(millis.min(MILLIS_MAX) / 1000.0));
    let hint = Hint { attempt, retry_after, day: None };
    failure::of_our_code(&refusal.code, refusal.provider_code.as_deref(), refusal.detail.as_deref(), hint)
}

/// The components that read webhooks.
pub(super) struct Reader {
    pub plugins: Arc<Plugins>,
}

#[async_trait]
impl Gateways for Reader {
    async fn parse(&self, account: &GatewaySettings, posted: Posted) -> Result<Read, Unread> {
        let signed = self.plugins.gateway_verify(&account.plugin, &posted.headers, &posted.body);
        signed.map_err(|error| Unread::Unsigned(error.to_string()))?;
        let read = self.plugins.gateway_parse(&account.plugin, webhook(posted)).await;
        let parsed = read.map_err(|error| Unread::Later(error.to_string()))?.map_err(Unread::Unreadable)?;
        let reports = parsed.reports.into_iter().map(|report| self::report(report, account.channel)).collect();
        Ok(Read { reports, answer: parsed.answer })
    }
}

fn webhook(posted: Posted) -> Webhook {
    // A header that is no text is of no use to a component, which reads texts.
    let headers =
        posted.headers.iter().filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())));
    let query = posted.query.unwrap_or_default();
    Webhook {
        method: posted.method.to_string(),
        headers: headers.collect(),
        query: url::form_urlencoded::parse(query.as_bytes()).into_owned().collect(),
        body: posted.body.to_vec(),
    }
}

/// A report in the host's words. The channel is the account's: a component cannot speak for another.
fn report(report: gateway::Report, channel: Channel) -> Report {
    match report {
        gateway::Report::Status(status) => Report::Status(StatusReport {
            token: status.token.as_deref().and_then(|token| token.parse().ok()),
            provider_id: status.provider_id,
            state: match status.stage {
                Stage::Accepted => AttemptState::Accepted,
                Stage::Sent => AttemptState::Sent,
                Stage::Delivered => AttemptState::Delivered,
                Stage::Read => AttemptState::Read,
                Stage::Failed => AttemptState::Failed,
            },
            time: status.time.and_then(gateway::time),
            failure: match (status.stage, status.refusal) {
                (Stage::Failed, Some(refusal)) => Some(failed(&refusal, 0)),
                (Stage::Failed, None) => Some(failure::of_our_code(failure::UNKNOWN, None, None, Hint::default())),
                (_, _) => None,
            },
            pricing: status.pricing.as_deref().and_then(|text| serde_json::from_str(text).ok()),
        }),
        gateway::Report::Incoming(written) => Report::Incoming(IncomingReport {
            channel,
            to: written.to,
            sender: written.sender,
            sender_id: None,
            sender_name: written.sender_name,
            provider_id: written.provider_id,
            time: written.time.and_then(gateway::time),
            kind: written.kind,
            text: written.text,
            choice: written.choice,
            media: Vec::new(),
            location: written.location.map(|place| Place {
                latitude: place.latitude,
                longitude: place.longitude,
                name: place.name,
                address: place.address,
            }),
            quoted: written.quoted,
            attributes: written.attributes,
        }),
        gateway::Report::Notice(detail) => Report::Notice { kind: "channel".to_owned(), detail },
    }
}
