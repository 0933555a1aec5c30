//! Looks after the accounts: reads the templates that they have approved, at the start, now and then, and when a webhook says
//! that something has changed; and what other hosts of the store were told.
//!
//! In: the accounts, the plugins' manifests. Out: what [`Standing`] knows, and a line in the log for each template that does not
//! fit, before the first message with it. What can go wrong: an account cannot be read; then nothing is held back for it. It
//! never keeps the host from starting, or from being ready.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use crate::{
    channel::{
        Accounts, HttpClient, MetaSettings,
        meta::templates,
        standing::Standing,
        templates::{HeaderShape, Misfit, Shape},
    },
    clock::Clock,
    dispatch,
    ids::{PluginName, TenantId},
    plugin::{Plugins, TemplateSpec, names_in},
    store::Store,
};

pub(super) struct Watch {
    pub accounts: Accounts,
    pub standing: Arc<Standing>,
    pub plugins: Arc<Plugins>,
    pub store: Arc<dyn Store>,
    pub clock: Arc<dyn Clock>,
    pub http: HttpClient,
    pub tenant: TenantId,
    pub fallback: dispatch::Fallback,
    /// Between two readings; zero: only at the start and when a webhook says so.
    pub every: Duration,
}

/// How often it is looked what other hosts were told.
const NOTES_EVERY: Duration = Duration::from_secs(10);

impl Watch {
    pub(super) async fn work(self: Arc<Self>, stop: CancellationToken) {
        self.read_notes().await;
        self.read_templates().await;
        let mut said = self.say(&BTreeSet::new());
        let every = if self.every.is_zero() { Duration::MAX } else { self.every };
        let mut last = tokio::time::interval(NOTES_EVERY);
        last.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut since = Duration::ZERO;
        let mut generation = self.plugins.generation();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.standing.changed.notified() => {
                    self.read_templates().await;
                    since = Duration::ZERO;
                }
                _ = last.tick() => {
                    since = since.saturating_add(NOTES_EVERY);
                    if self.store.is_shared() {
                        self.read_notes().await;
                    }
                    let other_plugins = std::mem::replace(&mut generation, self.plugins.generation()) != generation;
                    if since >= every {
                        self.read_templates().await;
                        since = Duration::ZERO;
                    } else if !other_plugins && !self.store.is_shared() {
                        continue;
                    }
                }
            }
            said = self.say(&said);
        }
    }

    async fn read_notes(&self) {
        match self.store.notes(&self.tenant).await {
            Ok(notes) => self.standing.learn(&notes),
            Err(error) => tracing::warn!(%error, "what providers said of the accounts cannot be read now"),
        }
    }

    pub(super) async fn read_templates(&self) {
        let mut read: BTreeSet<&str> = BTreeSet::new();
        for account in &self.accounts.meta {
            // Several numbers of one business share its templates.
            if read.insert(&account.waba_id) {
                self.read_account(account).await;
            }
        }
    }

    async fn read_account(&self, account: &MetaSettings) {
        let now = self.clock.now();
        let found = templates::list(account, &self.http).await.map_err(|error| error.to_string());
        if let Err(trouble) = &found {
            tracing::warn!(
                account = account.account,
                trouble,
                "the account's templates cannot be read; they are not checked"
            );
        }
        self.standing.listed(&account.waba_id, found, now);
    }

    /// Says what was not said before; all that there is to say.
    fn say(&self, before: &BTreeSet<String>) -> BTreeSet<String> {
        let found = findings(&self.plugins, &self.standing, &self.tenant, &self.fallback);
        let lines = found.into_iter().map(|(account, template, misfit)| {
            let what = if misfit.holds { "messages with it are kept from WhatsApp" } else { "it is used all the same" };
            format!("template {template}, account {account}: {}; {what}", misfit.why)
        });
        let lines: BTreeSet<String> = lines.collect();
        lines.difference(before).for_each(|line| tracing::warn!("{line}"));
        before.difference(&lines).for_each(|line| tracing::info!("no longer so: {line}"));
        lines
    }
}

/// What does not fit of the templates that plugins declare: the account, the template, and why.
pub(super) fn findings(
    plugins: &Plugins,
    standing: &Standing,
    tenant: &TenantId,
    fallback: &dispatch::Fallback,
) -> Vec<(String, String, Misfit)> {
    let mut all = Vec::new();
    for status in plugins.status() {
        let name = PluginName::from(status.name.as_str());
        let Some(plugin) = plugins.get(&name) else { continue };
        let after = fallback.shortest_for(tenant, &name).as_secs();
        for spec in plugin.manifest.templates.values() {
            let shapes: Vec<Shape> = spec.texts.keys().map(|language| shape(spec, language)).collect();
            let found = standing.findings(&shapes).into_iter();
            all.extend(
                found.map(|(account, template, misfit)| (account, format!("{template} of plugin {name}"), misfit)),
            );
            for shape in &shapes {
                if let Some(why) = outlives(standing.lifetime_s(shape), after) {
                    let template = format!("{} ({}) of plugin {name}", shape.name, shape.language);
                    all.push(("meta".to_owned(), template, Misfit { why, holds: false }));
                }
            }
        }
    }
    all
}

/// A template that lives longer than SMS waits may arrive after the SMS.
fn outlives(lifetime_s: Option<i64>, after_s: u64) -> Option<String> {
    let lifetime = lifetime_s.filter(|seconds| *seconds < 0 || seconds.unsigned_abs() > after_s)?;
    let lives = if lifetime < 0 { "30 days".to_owned() } else { format!("{lifetime} s") };
    Some(format!(
        "it lives for {lives} (message_send_ttl_seconds), and SMS follows after {after_s} s (fallback.after-s): WhatsApp may \
         deliver after the SMS"
    ))
}

fn shape(spec: &TemplateSpec, language: &str) -> Shape {
    let header = match (spec.header, spec.headers.get(language)) {
        (Some(kind), _) => HeaderShape::File(kind),
        (None, Some(text)) => HeaderShape::Text(!names_in(text).is_empty()),
        (None, None) => HeaderShape::None,
    };
    Shape {
        name: spec.name.clone(),
        language: language.to_owned(),
        category: spec.category,
        params: spec.params.clone(),
        named: spec.named,
        header,
        quick_replies: spec.buttons.len(),
        links: spec.links.iter().map(|link| (link.index, !names_in(&link.url).is_empty())).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_that_lives_longer_than_sms_waits_is_told_of() {
        assert_eq!(outlives(None, 120), None);
        assert_eq!((outlives(Some(60), 120), outlives(Some(120), 120)), (None, None));
        assert!(outlives(Some(121), 120).unwrap().contains("121 s"));
        assert!(outlives(Some(-1), 120).unwrap().contains("30 days"));
    }
}
