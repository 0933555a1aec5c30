//! Read marks: what a customer sees of the message that they wrote, the ticks that turn blue and "typing…".
//!
//! They are told to the provider after what they are about is on disk, each by a request of its own that nobody waits for. One
//! that is lost (the host stopped, the provider was busy twice) is not made up for: a mark that comes hours late says something
//! else than it should. So there is no row for it and no queue beyond a few in flight.

use std::{sync::Arc, time::Duration};

use serde::Deserialize;
use tokio::sync::Semaphore;

use super::Provider;
use crate::domain::{message::Retry, run::Incoming};

/// What is decided about WhatsApp beside its accounts.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct WhatsappSettings {
    /// When the provider is told by itself that a message was read.
    pub mark_read: MarkRead,
    /// For how long everything to a customer is taken to be free who came by an advertisement.
    pub free_entry_answer_hours: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MarkRead {
    /// A person opens the conversation, or a plugin asks for it.
    #[default]
    Never,
    /// An answer to it was taken by the provider.
    Answered,
    /// It was received.
    Received,
}

/// A message of a customer's that is marked as read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    pub provider: String,
    /// The account that was written to; the only one of the provider's where it is not known.
    pub account: Option<String>,
    /// The provider's id of the message.
    pub provider_id: String,
    /// The customer is shown that somebody is typing, until an answer comes or a moment has passed.
    pub typing: bool,
}

impl Mark {
    pub fn of(incoming: &Incoming, typing: bool) -> Mark {
        Mark {
            provider: incoming.provider.clone(),
            account: incoming.account.clone(),
            provider_id: incoming.provider_id.clone(),
            typing,
        }
    }
}

/// Requests at a time. A customer's screen is worth no queue.
const AT_ONCE_MAX: usize = 32;
/// An answer waits for "typing…" no longer than this.
const TYPING_WAIT: Duration = Duration::from_secs(2);
/// Before the one further try of a mark that the provider was too busy for.
const RETRY_PAUSE: Duration = Duration::from_secs(2);

/// Those who can be told.
#[derive(Clone)]
pub struct Marks {
    providers: Arc<[Arc<dyn Provider>]>,
    places: Arc<Semaphore>,
}

impl Marks {
    pub fn new(providers: &[Arc<dyn Provider>]) -> Marks {
        let providers: Vec<_> = providers.iter().filter(|provider| provider.marks_read()).cloned().collect();
        Marks { providers: providers.into(), places: Arc::new(Semaphore::new(AT_ONCE_MAX)) }
    }

    /// Tells the provider, in a while. `false` where there is nobody to tell: another provider, or SMS.
    pub fn tell(&self, mark: Mark) -> bool {
        let Some(provider) = self.whom(&mark) else { return false };
        match self.places.clone().try_acquire_owned() {
            Ok(place) => {
                tokio::spawn(async move {
                    tell(&*provider, &mark).await;
                    drop(place);
                });
            }
            Err(_) => tracing::warn!(provider = mark.provider, "too many read marks at once: one was left out"),
        }
        true
    }

    /// The same, and waits for it a moment: where what follows should come after it.
    pub async fn told(&self, mark: &Mark) {
        if let Some(provider) = self.whom(mark) {
            // Whether it was in time or failed, the answer goes out: it matters more.
            tokio::time::timeout(TYPING_WAIT, once(&*provider, mark)).await.ok();
        }
    }

    fn whom(&self, mark: &Mark) -> Option<Arc<dyn Provider>> {
        let mut of_provider = self.providers.iter().filter(|provider| provider.name() == mark.provider);
        match &mark.account {
            Some(account) => of_provider.find(|provider| provider.account() == account).cloned(),
            None => of_provider.next().filter(|_| of_provider.next().is_none()).cloned(),
        }
    }
}

async fn tell(provider: &dyn Provider, mark: &Mark) {
    let Err(again) = once(provider, mark).await else { return };
    if again {
        tokio::time::sleep(RETRY_PAUSE).await;
        once(provider, mark).await.ok();
    }
}

/// `Err(true)` where it is worth one more try.
async fn once(provider: &dyn Provider, mark: &Mark) -> Result<(), bool> {
    let Err(failure) = provider.mark_read(&mark.provider_id, mark.typing).await else { return Ok(()) };
    let code = failure.provider_code.as_deref().unwrap_or("no code");
    let detail = failure.detail.as_deref().unwrap_or("no further words");
    tracing::warn!(
        provider = mark.provider,
        account = provider.account(),
        code,
        "a message could not be marked as read ({}): {detail}",
        failure.code
    );
    Err(matches!(failure.retry, Retry::Later { .. }))
}
