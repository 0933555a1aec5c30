//! When SMS follows, and when it does not: the operator's word, for everything, by purpose, by plugin and by tenant.
//!
//! A policy is put together key by key. What is said for a plugin goes before what is said for a purpose, that before what is
//! said for all; and what is said for a tenant goes before all of these, with tables for its purposes and plugins of its own. A
//! message that says itself when it falls back is believed. Nothing has to be configured: the defaults are a policy.

use std::{collections::HashMap, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    clock::Timestamp,
    domain::{
        customer::Channel,
        message::{NewMessage, SmsVerdict},
        purpose::Purpose,
    },
    ids::{PluginName, TenantId},
};

/// What follows when a provider's answer was lost and no receipt cleared it up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Doubt {
    /// Send again: the customer may get it twice.
    Resend,
    /// Wait for a receipt: the customer may get it not at all, or by SMS once `after-s` has passed.
    Hold,
    /// Do not wait for `after-s`: SMS at once. Of WhatsApp only.
    FallBack,
}

/// What WhatsApp may do that SMS can make good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// The number is not on WhatsApp, the account cannot send, the template is refused: it will not arrive there.
    Failed,
    /// The provider was busy until there was no time left to try again.
    Busy,
    /// The provider holds it back as it does with advertising. What is marketing never falls back from there.
    HeldBack,
    /// Taken, and no receipt of delivery came in time.
    NoReceipt,
}

impl Cause {
    pub const ALL: [Cause; 4] = [Cause::Failed, Cause::Busy, Cause::HeldBack, Cause::NoReceipt];

    /// What a provider's verdict is an instance of; nothing makes SMS follow a refusal of the customer's.
    pub(super) fn of(verdict: SmsVerdict) -> Option<Cause> {
        match verdict {
            SmsVerdict::Yes => Some(Cause::Failed),
            SmsVerdict::Late => Some(Cause::Busy),
            SmsVerdict::Transactional => Some(Cause::HeldBack),
            SmsVerdict::No => None,
        }
    }
}

/// What is done with a message that leaves WhatsApp no time before its deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NearDeadline {
    /// WhatsApp, and SMS right after it unless a receipt is faster.
    Both,
    /// SMS alone.
    Sms,
    /// WhatsApp alone.
    Whatsapp,
}

/// What is said at one place: `[fallback]`, `[fallback.purpose.reminder]`, `[fallback.tenant.NAME.plugin.NAME]`. What is absent is as
/// the place above says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Fallback {
    /// SMS follows when no receipt of delivery came after this time. Two minutes: WhatsApp delivers to a phone that is online
    /// within seconds.
    pub after_s: Option<u64>,
    /// What SMS follows.
    pub on: Option<Vec<Cause>>,
    /// The SMS goes out this long before a message's deadline, where that is sooner.
    pub lead_s: Option<u64>,
    /// What is done where less than `lead-s` is left when the message is first sent.
    pub near_deadline: Option<NearDeadline>,
    /// How long a receipt may clear up a lost answer before the doubt is acted upon.
    pub doubt_wait_s: Option<u64>,
    /// What doubt does on each channel.
    pub doubt_whatsapp: Option<Doubt>,
    pub doubt_sms: Option<Doubt>,
    pub purpose: HashMap<Purpose, Fallback>,
    pub plugin: HashMap<PluginName, Fallback>,
    pub tenant: HashMap<TenantId, Fallback>,
}

/// What holds for one message.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    pub after: Duration,
    /// Which place says so: for the explanation.
    pub after_from: &'static str,
    pub on: Vec<Cause>,
    pub lead: Duration,
    pub near_deadline: NearDeadline,
    pub doubt_wait: Duration,
    pub doubt_whatsapp: Doubt,
    pub doubt_sms: Doubt,
}

/// What holds where nothing is configured; `config.default.toml` says the same.
const AFTER_S: u64 = 120;
const LEAD_S: u64 = 30;
const DOUBT_WAIT_S: u64 = 60;

impl Policy {
    pub fn doubt(&self, channel: Channel) -> Doubt {
        match channel {
            Channel::Whatsapp => self.doubt_whatsapp,
            Channel::Sms => self.doubt_sms,
        }
    }

    pub(super) fn follows(&self, cause: Cause) -> bool {
        self.on.contains(&cause)
    }

    /// When SMS follows an attempt on WhatsApp that was taken at `since`. An SMS at the deadline would be late: it goes out a
    /// little before.
    pub(super) fn at(&self, since: Timestamp, expires: Option<Timestamp>) -> Timestamp {
        let at = since.plus(self.after);
        expires.map_or(at, |expires| at.min(expires.minus(self.lead)).max(since))
    }

    /// Whether so little is left before the deadline that WhatsApp has no chance of its own.
    pub(super) fn is_near(&self, now: Timestamp, expires: Option<Timestamp>) -> bool {
        expires.is_some_and(|expires| expires.minus(self.lead) <= now)
    }
}

impl Fallback {
    /// The defaults, said.
    #[cfg(test)]
    pub(crate) fn everything(&self) -> Fallback {
        Fallback {
            after_s: Some(AFTER_S),
            on: Some(Cause::ALL.to_vec()),
            lead_s: Some(LEAD_S),
            near_deadline: Some(NearDeadline::Both),
            doubt_wait_s: Some(DOUBT_WAIT_S),
            doubt_whatsapp: Some(Doubt::Resend),
            doubt_sms: Some(Doubt::Resend),
            ..Fallback::default()
        }
    }

    /// What holds for this message.
    pub fn policy(&self, message: &NewMessage) -> Policy {
        let plugin = message.author.as_ref().map(|author| &author.plugin);
        let tenant = self.tenant.get(&message.tenant);
        let scopes: [(&'static str, Option<&Fallback>); 6] = [
            ("fallback.tenant.plugin", tenant.and_then(|tenant| tenant.plugin.get(plugin?))),
            ("fallback.tenant.purpose", tenant.and_then(|tenant| tenant.purpose.get(&message.purpose))),
            ("fallback.tenant", tenant),
            ("fallback.plugin", plugin.and_then(|plugin| self.plugin.get(plugin))),
            ("fallback.purpose", self.purpose.get(&message.purpose)),
            ("fallback", Some(self)),
        ];
        let scopes = || scopes.iter().filter_map(|(place, scope)| Some((*place, (*scope)?)));
        let after = match message.fallback_after {
            Some(after) => Some((after, "the message")),
            None => scopes().find_map(|(place, scope)| Some((Duration::from_secs(scope.after_s?), place))),
        };
        let (after, after_from) = after.unwrap_or((Duration::from_secs(AFTER_S), "fallback"));
        let seconds = |of: fn(&Fallback) -> Option<u64>, otherwise: u64| {
            Duration::from_secs(scopes().find_map(|(_, scope)| of(scope)).unwrap_or(otherwise))
        };
        let doubt = |of: fn(&Fallback) -> Option<Doubt>| scopes().find_map(|(_, scope)| of(scope));
        Policy {
            after,
            after_from,
            on: scopes().find_map(|(_, scope)| scope.on.clone()).unwrap_or_else(|| Cause::ALL.to_vec()),
            lead: seconds(|scope| scope.lead_s, LEAD_S),
            near_deadline: scopes().find_map(|(_, scope)| scope.near_deadline).unwrap_or(NearDeadline::Both),
            doubt_wait: seconds(|scope| scope.doubt_wait_s, DOUBT_WAIT_S),
            doubt_whatsapp: doubt(|scope| scope.doubt_whatsapp).unwrap_or(Doubt::Resend),
            doubt_sms: doubt(|scope| scope.doubt_sms).unwrap_or(Doubt::Resend),
        }
    }

    /// The longest of the waits in here, for whoever has to look at everything again.
    pub(super) fn longest_wait(&self) -> Duration {
        let said = self.every().filter_map(|scope| scope.after_s.max(scope.doubt_wait_s)).max().unwrap_or(0);
        Duration::from_secs(said.max(AFTER_S).max(DOUBT_WAIT_S))
    }

    /// The shortest time after which SMS follows.
    pub fn shortest_after(&self) -> Duration {
        let shortest = self.every().filter_map(|scope| scope.after_s).min().unwrap_or(AFTER_S);
        Duration::from_secs(shortest)
    }

    /// For how long WhatsApp is waited for with messages of this plugin, at least: what a template's lifetime is held against.
    pub fn shortest_for(&self, tenant: &TenantId, plugin: &PluginName) -> Duration {
        let own = [self.plugin.get(plugin), self.tenant.get(tenant).and_then(|tenant| tenant.plugin.get(plugin))];
        let said = own.into_iter().flatten().filter_map(|scope| scope.after_s).min();
        said.map_or_else(|| self.without_plugins().shortest_after(), Duration::from_secs)
    }

    fn without_plugins(&self) -> Fallback {
        let mut rest = self.clone();
        rest.plugin.clear();
        rest.tenant.values_mut().for_each(|tenant| tenant.plugin.clear());
        rest
    }

    /// Every place where something is said.
    fn every(&self) -> impl Iterator<Item = &Fallback> {
        let mut all = vec![self];
        all.extend(self.purpose.values().chain(self.plugin.values()));
        for tenant in self.tenant.values() {
            all.push(tenant);
            all.extend(tenant.purpose.values().chain(tenant.plugin.values()));
        }
        all.into_iter()
    }

    /// What no single setting can know.
    pub fn check(&self) -> Result<(), String> {
        let nested = |place: String, scope: &Fallback, tables: bool| {
            if !scope.tenant.is_empty() || !(tables || scope.purpose.is_empty() && scope.plugin.is_empty()) {
                return Err(format!(
                    "{place} has a table that is looked at nowhere; there are [fallback.purpose.…], [fallback.plugin.…] and \
                     [fallback.tenant.…], and in the last the first two"
                ));
            }
            if scope.doubt_sms == Some(Doubt::FallBack) {
                return Err(format!("{place}.doubt-sms is `fall-back`, and nothing follows SMS; write resend or hold"));
            }
            Ok(())
        };
        for (name, scope) in &self.purpose {
            nested(format!("fallback.purpose.{}", name.as_str()), scope, false)?;
        }
        for (name, scope) in &self.plugin {
            nested(format!("fallback.plugin.{name}"), scope, false)?;
        }
        for (name, tenant) in &self.tenant {
            nested(format!("fallback.tenant.{name}"), tenant, true)?;
            for scope in tenant.purpose.values().chain(tenant.plugin.values()) {
                nested(format!("a table of fallback.tenant.{name}"), scope, false)?;
            }
        }
        nested("fallback".to_owned(), &Fallback { tenant: HashMap::new(), ..self.clone() }, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::message::{Author, Because, Content, Recipient, SmsPolicy},
        ids::{Entity, MessageId, RunId},
    };

    fn message(tenant: &str, plugin: Option<&str>, purpose: Purpose) -> NewMessage {
        let tenant = TenantId::from(tenant);
        let id = MessageId::of_request(&tenant, "k");
        NewMessage {
            id,
            author: plugin.map(|plugin| Author {
                run: RunId::of_delivery(id, 1, "x"),
                plugin: plugin.into(),
                entity: Entity::from("e"),
                notify: vec![],
                answers: false,
                caps: crate::domain::quota::Caps::default(),
            }),
            tenant,
            to: Recipient::Phone("+33639981201".into()),
            purpose,
            because: Because::Reference("order/1".into()),
            content: Content::default(),
            sms: SmsPolicy::Fallback,
            fallback_after: None,
            expires: None,
            dedup_key: None,
            tag: None,
            quote: None,
            created: Timestamp(0),
        }
    }

    const LAYERS: &str = "after-s = 100\nlead-s = 20\n[purpose.reminder]\nafter-s = 3600\n[plugin.queue]\nafter-s = 15\n\
        [tenant.bakery]\nafter-s = 60\ndoubt-whatsapp = \"fall-back\"\n[tenant.bakery.purpose.alert]\nafter-s = 5\n";

    #[test]
    fn the_most_particular_place_is_believed_key_by_key() {
        let fallback: Fallback = toml::from_str(LAYERS).unwrap();
        fallback.check().unwrap();
        let after = |tenant, plugin, purpose| {
            let policy = fallback.policy(&message(tenant, plugin, purpose));
            (policy.after.as_secs(), policy.after_from)
        };
        assert_eq!(after("shop", None, Purpose::Alert), (100, "fallback"));
        assert_eq!(after("shop", None, Purpose::Reminder), (3600, "fallback.purpose"));
        assert_eq!(after("shop", Some("queue"), Purpose::Reminder), (15, "fallback.plugin"));
        assert_eq!(after("bakery", Some("queue"), Purpose::Reminder), (60, "fallback.tenant"));
        assert_eq!(after("bakery", None, Purpose::Alert), (5, "fallback.tenant.purpose"));
        let policy = fallback.policy(&message("bakery", None, Purpose::Alert));
        assert_eq!(
            (policy.lead.as_secs(), policy.doubt_whatsapp, policy.doubt_sms),
            (20, Doubt::FallBack, Doubt::Resend)
        );
        let own =
            NewMessage { fallback_after: Some(Duration::from_secs(7)), ..message("bakery", None, Purpose::Alert) };
        assert_eq!((fallback.policy(&own).after.as_secs(), fallback.policy(&own).after_from), (7, "the message"));
        assert_eq!(fallback.longest_wait().as_secs(), 3600);
    }

    #[test]
    fn a_policy_needs_no_configuration() {
        let policy = Fallback::default().policy(&message("shop", None, Purpose::Alert));
        assert_eq!((policy.after.as_secs(), policy.lead.as_secs(), policy.doubt_wait.as_secs()), (120, 30, 60));
        assert_eq!(policy.on, Cause::ALL);
        let (now, near) = (Timestamp(0), Some(Timestamp(30_000)));
        assert!(
            policy.is_near(now, near) && !policy.is_near(now, Some(Timestamp(31_000))) && !policy.is_near(now, None)
        );
        assert_eq!(policy.at(now, Some(Timestamp(100_000))), Timestamp(70_000));
        assert_eq!(policy.at(now, near), now);
    }

    #[test]
    fn what_is_looked_at_nowhere_or_cannot_be_is_refused() {
        let wrong = |text: &str| toml::from_str::<Fallback>(text).unwrap().check().unwrap_err();
        assert!(wrong("[purpose.alert.plugin.queue]\nafter-s = 1").contains("fallback.purpose.alert"));
        assert!(wrong("[tenant.a.tenant.b]\nafter-s = 1").contains("fallback.tenant.a"));
        assert!(wrong("doubt-sms = \"fall-back\"").contains("doubt-sms"));
        assert!(toml::from_str::<Fallback>("[purpose.promotion]\nafter-s = 1").is_err());
    }
}
