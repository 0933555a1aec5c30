//! The one thing on a desk that is not real: a provider that takes every message and keeps what it was given.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;

use crate::{
    channel::{Outgoing, Provider, Rendition},
    domain::{customer::Channel, message::Answer},
    ids::MessageId,
};

/// What reached the telephones, by message: each attempt's channel and rendition, in order.
#[derive(Clone, Default)]
pub(super) struct Phones(Arc<Mutex<HashMap<MessageId, Vec<Rendition>>>>);

impl Phones {
    /// How a message was first sent.
    pub(super) fn first(&self, message: MessageId) -> Option<Rendition> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&message)?.first().cloned()
    }

    /// One account for each channel.
    pub(super) fn providers(&self) -> Vec<Arc<dyn Provider>> {
        let account = |channel| -> Arc<dyn Provider> { Arc::new(Account { phones: self.clone(), channel }) };
        Channel::ALL.map(account).into()
    }
}

struct Account {
    phones: Phones,
    channel: Channel,
}

/// The provider's name, by which receipts and answers find the attempt.
pub(super) fn provider(channel: Channel) -> &'static str {
    match channel {
        Channel::Whatsapp => "meta",
        Channel::Sms => "cm",
    }
}

#[async_trait]
impl Provider for Account {
    fn name(&self) -> &'static str {
        provider(self.channel)
    }

    fn account(&self) -> &str {
        "desk"
    }

    fn channel(&self) -> Channel {
        self.channel
    }

    async fn send(&self, outgoing: &Outgoing) -> Answer {
        let token = outgoing.token;
        let mut phones = self.phones.0.lock().unwrap_or_else(PoisonError::into_inner);
        phones.entry(token.message).or_default().push(outgoing.body.clone());
        Answer::Accepted { provider_id: format!("{}-{token}", self.name()) }
    }
}
