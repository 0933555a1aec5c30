//! Scripted trouble: what goes wrong on purpose, for whom, and how often.
//!
//! A trouble is chosen by phone, provider and channel (what is not named fits all), and used by every request that it fits
//! until its `times` are used up. Several that fit one request all apply.

use std::sync::{
    Mutex,
    atomic::{AtomicBool, Ordering},
};

use serde::{Deserialize, Serialize};

use super::{Channel, Provider, Tick, lock};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trouble {
    /// Given by the simulator.
    #[serde(default)]
    pub id: u64,
    #[serde(default)]
    pub phone: Option<String>,
    #[serde(default)]
    pub provider: Option<Provider>,
    #[serde(default)]
    pub channel: Option<Channel>,
    /// For how many messages more; without it until it is deleted.
    #[serde(default)]
    pub times: Option<u64>,
    #[serde(flatten)]
    pub kind: Kind,
}

impl Trouble {
    pub fn new(kind: Kind) -> Trouble {
        Trouble { id: 0, phone: None, provider: None, channel: None, times: None, kind }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Kind {
    /// The provider's code, in the answer (`sync`) or in a status (`webhook`); without `how` as the provider usually does.
    Error {
        code: i64,
        #[serde(default)]
        how: Option<How>,
        #[serde(default)]
        details: Option<String>,
    },
    /// Accepted; never reaches the phone, and no receipt ever comes.
    SilentLoss,
    /// Reaches the phone; these receipts (all, where none is named) never come.
    DropReceipts {
        #[serde(default)]
        only: Vec<Tick>,
    },
    /// These receipts (all, where none is named) come this much later.
    LateReceipts {
        delay_ms: u64,
        #[serde(default)]
        only: Vec<Tick>,
    },
    /// Every receipt comes this many times.
    RepeatReceipts { count: u32 },
    /// The receipts of a message are held until its last, and then come in the opposite order.
    ShuffleReceipts,
    /// 429 with `Retry-After`.
    Busy { retry_after_s: u32 },
    /// 500, 503 or another status of the kind.
    Unavailable {
        #[serde(default = "unavailable")]
        status: u16,
    },
    /// Never answers; `accepted` says whether the message goes out all the same.
    Hang {
        #[serde(default)]
        accepted: bool,
    },
    /// Takes the message, then closes the connection without an answer.
    Reset,
    /// Closes the connection and does not take the message.
    ResetBefore,
    /// Answers later than it should.
    Slow { delay_ms: u64 },
}

fn unavailable() -> u16 {
    503
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum How {
    Sync,
    Webhook,
}

#[derive(Default)]
pub(crate) struct Troubles {
    list: Mutex<List>,
    /// Whether there is any: without, a message costs nothing here.
    any: AtomicBool,
}

#[derive(Default)]
struct List {
    troubles: Vec<Trouble>,
    last_id: u64,
}

impl Troubles {
    pub(crate) fn add(&self, mut trouble: Trouble) -> Trouble {
        let mut list = lock(&self.list);
        list.last_id += 1;
        trouble.id = list.last_id;
        list.troubles.push(trouble.clone());
        self.any.store(true, Ordering::Release);
        trouble
    }

    pub(crate) fn all(&self) -> Vec<Trouble> {
        lock(&self.list).troubles.clone()
    }

    pub(crate) fn remove(&self, id: u64) -> bool {
        let mut list = lock(&self.list);
        let before = list.troubles.len();
        list.troubles.retain(|trouble| trouble.id != id);
        self.any.store(!list.troubles.is_empty(), Ordering::Release);
        list.troubles.len() < before
    }

    pub(crate) fn clear(&self) {
        lock(&self.list).troubles.clear();
        self.any.store(false, Ordering::Release);
    }

    /// The status of a provider that is down for everybody: for what is no message, and uses nothing up.
    pub(crate) fn down(&self, provider: Provider) -> Option<u16> {
        let list = lock(&self.list);
        let of_all = |trouble: &&Trouble| trouble.phone.is_none() && trouble.provider.is_none_or(|one| one == provider);
        list.troubles.iter().filter(of_all).find_map(|trouble| match trouble.kind {
            Kind::Unavailable { status } => Some(status),
            _ => None,
        })
    }

    /// What goes wrong with one message, counted as used.
    pub(crate) fn take(&self, provider: Provider, channel: Channel, number: &str) -> Vec<Kind> {
        if !self.any.load(Ordering::Acquire) {
            return Vec::new();
        }
        let mut list = lock(&self.list);
        let mut taken = Vec::new();
        for trouble in &mut list.troubles {
            if trouble.fits(provider, channel, number) {
                taken.push(trouble.kind.clone());
                trouble.times = trouble.times.map(|left| left.saturating_sub(1));
            }
        }
        list.troubles.retain(|trouble| trouble.times != Some(0));
        self.any.store(!list.troubles.is_empty(), Ordering::Release);
        taken
    }
}

impl Trouble {
    fn fits(&self, provider: Provider, channel: Channel, number: &str) -> bool {
        self.times != Some(0)
            && self.provider.is_none_or(|wanted| wanted == provider)
            && self.channel.is_none_or(|wanted| wanted == channel)
            && self.phone.as_deref().is_none_or(|wanted| wanted == number)
    }
}

/// What trouble does to a message after it was accepted.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Fate {
    pub(crate) lost: bool,
    /// A code that a status brings.
    pub(crate) failure: Option<(i64, Option<String>)>,
    pub(crate) dropped: Option<Vec<Tick>>,
    pub(crate) late: Option<(u64, Vec<Tick>)>,
    pub(crate) repeats: u32,
    pub(crate) shuffled: bool,
}

impl Fate {
    pub(crate) fn of(troubles: &[Kind]) -> Fate {
        let mut fate = Fate { repeats: 1, ..Fate::default() };
        for trouble in troubles {
            match trouble {
                Kind::SilentLoss => fate.lost = true,
                Kind::DropReceipts { only } => fate.dropped = Some(only.clone()),
                Kind::LateReceipts { delay_ms, only } => fate.late = Some((*delay_ms, only.clone())),
                Kind::RepeatReceipts { count } => fate.repeats = (*count).max(1),
                Kind::ShuffleReceipts => fate.shuffled = true,
                // The door deals with these, and each provider with its own codes.
                Kind::Error { .. }
                | Kind::Busy { .. }
                | Kind::Unavailable { .. }
                | Kind::Hang { .. }
                | Kind::Reset
                | Kind::ResetBefore
                | Kind::Slow { .. } => {}
            }
        }
        fate
    }

    pub(crate) fn drops(&self, tick: Tick) -> bool {
        self.dropped.as_ref().is_some_and(|only| only.is_empty() || only.contains(&tick))
    }

    pub(crate) fn late_ms(&self, tick: Tick) -> Option<u64> {
        self.late.as_ref().filter(|(_, only)| only.is_empty() || only.contains(&tick)).map(|(delay_ms, _)| *delay_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trouble_is_used_as_often_as_it_says_and_only_where_it_fits() {
        let troubles = Troubles::default();
        let busy = Kind::Busy { retry_after_s: 2 };
        troubles.add(Trouble { provider: Some(Provider::Meta), times: Some(2), ..Trouble::new(busy.clone()) });
        assert!(troubles.take(Provider::Cm, Channel::Sms, "+1").is_empty());
        for _ in 0..2 {
            assert_eq!(troubles.take(Provider::Meta, Channel::Whatsapp, "+1"), std::slice::from_ref(&busy));
        }
        assert!(troubles.take(Provider::Meta, Channel::Whatsapp, "+1").is_empty());
        assert!(troubles.all().is_empty());
    }

    #[test]
    fn troubles_are_read_as_the_documentation_writes_them() {
        let read = |text: &str| serde_json::from_str::<Trouble>(text).unwrap();
        let trouble = read(r#"{"kind":"error","code":131026,"phone":"+33639981202","times":1}"#);
        assert_eq!(trouble.kind, Kind::Error { code: 131026, how: None, details: None });
        assert_eq!(read(r#"{"kind":"unavailable"}"#).kind, Kind::Unavailable { status: 503 });
        let late = read(r#"{"kind":"late-receipts","delay_ms":500,"only":["delivered"]}"#);
        let fate = Fate::of(&[late.kind]);
        assert_eq!((fate.late_ms(Tick::Delivered), fate.late_ms(Tick::Read)), (Some(500), None));
    }
}
