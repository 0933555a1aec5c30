//! The providers of a world: they take, refuse, are busy, lose their answers, and report late, repeatedly, shuffled or never.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;

use super::{chance::Chance, world::World};
use crate::{
    channel::{Outgoing, Provider},
    domain::{
        customer::Channel,
        message::{Answer, AttemptFailure, Remember, Retry, SmsVerdict},
        status::AttemptState,
    },
    ids::{AttemptToken, TenantId},
    store::Receipt,
};

/// What becomes of a request, by its token.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Fate {
    Taken,
    /// Taken, and the answer is lost.
    TakenUnheard,
    /// Not taken, and the answer is lost.
    Lost,
    Busy,
    Refused,
}

pub(super) fn fate(seed: u64, token: &AttemptToken) -> Fate {
    let mut chance = Chance::of(seed, &format!("fate {token}"));
    *chance.pick(&[
        Fate::Taken,
        Fate::Taken,
        Fate::Taken,
        Fate::Taken,
        Fate::Taken,
        Fate::TakenUnheard,
        Fate::Lost,
        Fate::Busy,
        Fate::Refused,
    ])
}

/// What is reported of a request that was taken, in the order in which it happened.
pub(super) fn reports(seed: u64, token: &AttemptToken) -> Vec<AttemptState> {
    let mut chance = Chance::of(seed, &format!("reports {token}"));
    match chance.within(0..=7) {
        0 => Vec::new(),
        1 => vec![AttemptState::Sent],
        2 => vec![AttemptState::Sent, AttemptState::Failed],
        3 | 4 => vec![AttemptState::Sent, AttemptState::Delivered],
        _ => vec![AttemptState::Sent, AttemptState::Delivered, AttemptState::Read],
    }
}

pub(super) struct Scripted {
    pub(super) world: Arc<World>,
    pub(super) host: usize,
    pub(super) name: &'static str,
    pub(super) channel: Channel,
}

#[async_trait]
impl Provider for Scripted {
    fn name(&self) -> &'static str {
        self.name
    }

    fn account(&self) -> &str {
        "main"
    }

    fn channel(&self) -> Channel {
        self.channel
    }

    async fn send(&self, outgoing: &Outgoing) -> Answer {
        let token = outgoing.token;
        let (fate, mut chance) = (fate(self.world.seed, &token), self.world.draw("request"));
        pause(&mut chance, 300).await;
        self.world.note(|| format!("host {} sends {token} by {}: {fate:?}", self.host, self.name));
        self.world.requested(token);
        if matches!(fate, Fate::Taken | Fate::TakenUnheard) {
            self.report(token);
        }
        pause(&mut chance, 3_000).await;
        match fate {
            Fate::Taken => {
                self.world.answered(token);
                Answer::Accepted { provider_id: provider_id(self.name, &token) }
            }
            Fate::TakenUnheard | Fate::Lost => Answer::Unknown { detail: "the line went dead".into() },
            Fate::Busy => Answer::Failed(failure("rate-limited", Retry::Later { after_ms: 500 })),
            Fate::Refused => Answer::Failed(failure("refused", Retry::Never)),
        }
    }
}

impl Scripted {
    /// Tells the hosts of it, each report until one of them says that it has it.
    fn report(&self, token: AttemptToken) {
        let seed = self.world.seed;
        let mut chance = Chance::of(seed, &format!("telling {token}"));
        for state in reports(seed, &token) {
            for _ in 0..chance.within(1..=2) {
                let wait = *chance.pick(&[0, 5, 200, 4_000, 30_000, 90_000]);
                let receipt = Receipt {
                    tenant: TenantId::default_tenant(),
                    provider: self.name.into(),
                    token: (!chance.one_in(3)).then_some(token),
                    provider_id: Some(provider_id(self.name, &token)),
                    state,
                    time: super::BEGIN.plus(Duration::from_secs(state as u64)),
                    failure: (state == AttemptState::Failed).then(|| failure("unreachable", Retry::Never)),
                    pricing: None,
                };
                let world = self.world.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_millis(wait)).await;
                    world.tell(receipt).await;
                });
            }
        }
    }
}

fn provider_id(provider: &str, token: &AttemptToken) -> String {
    format!("{provider}-{token}")
}

async fn pause(chance: &mut Chance, ms: u64) {
    tokio::time::sleep(Duration::from_millis(chance.within(0..=ms))).await;
}

fn failure(code: &str, retry: Retry) -> AttemptFailure {
    AttemptFailure {
        code: code.into(),
        provider_code: None,
        detail: None,
        retry,
        sms: SmsVerdict::Yes,
        remember: Remember::Nothing,
    }
}
