//! `relais replay`: a run of another host, executed again on a desk from its bundle.
//!
//! The desk's store is given what the run looked up, and its clock, chance and settings are the run's; so the same build comes to
//! the same end, and a newer one shows what it does instead. Nothing is committed.

use std::{path::Path, sync::Arc};

use anyhow::{Context as _, bail};
use serde::Serialize;

mod recorded;

use recorded::Recorded;

use super::scenario::{Colours, Copied, Desk, Line, lines};
use crate::{
    domain::{
        bundle::{BUNDLE, Bundle},
        run::{LogLine, Outcome, RunFailure, StateChange, TimerChange},
    },
    ids::TenantId,
    plugin::{self, Work},
    store::{CustomerProfile, NewIncoming, RoutedEvent, Store},
};

/// What came of it then and now.
#[derive(Debug, Serialize)]
pub struct Replayed {
    pub run: String,
    pub cause: String,
    /// Whether it ended the same way.
    pub same: bool,
    pub then: Ended,
    pub now: Ended,
    /// In what the bundle may differ from what the run saw.
    pub notes: Vec<String>,
    pub used: Vec<crate::domain::usage::Used>,
}

#[derive(Debug, Serialize)]
pub struct Ended {
    /// Name, version and digest of the build.
    pub build: String,
    pub digest: String,
    /// `None` where it ended well.
    pub failure: Option<RunFailure>,
    /// What it asks for, where it ended well.
    pub effects: Vec<String>,
    pub log: Vec<LogLine>,
    pub denied: Vec<String>,
}

/// Executes the run of a bundle with the plugin in `package`.
pub async fn replay(bundle: Bundle, package: &Path, settings: plugin::Settings) -> anyhow::Result<Replayed> {
    if bundle.bundle != BUNDLE {
        bail!("the bundle is of version {}, and this relais reads version {BUNDLE}", bundle.bundle);
    }
    let copied = Copied::of(package)?;
    if copied.name != bundle.plugin.name {
        bail!(
            "the bundle is of `{}`, and {} holds `{}`; name another directory with --package",
            bundle.plugin.name,
            package.display(),
            copied.name
        );
    }
    let settings = plugin::Settings { tenant: TenantId::from(bundle.run.tenant.as_str()), ..settings };
    let answers = Arc::new(Recorded::new(&bundle.http));
    let config = bundle.config.as_object().cloned().unwrap_or_default();
    let desk = Desk::new(&copied, &settings, config, bundle.now, Some(answers.clone())).await?;
    furnish(&desk, &bundle).await?;
    let snapshot = Arc::new(bundle.state.snapshot());
    let work =
        Work { run: bundle.queued(), snapshot: snapshot.clone(), now: bundle.now, seed: Some(seed(&bundle.seed)?) };
    let execution = desk.plugins.execute(work).await;
    desk.close().await?;
    let (report, outcome) = (execution.report, execution.result.map(|finished| finished.outcome));
    let plugin = &desk.plugin;
    let digest = format!("sha256:{}", plugin.digest);
    let used = report.used.rows().collect();
    let now = Ended {
        build: format!("{} {}", plugin.name(), plugin.manifest.version),
        digest,
        effects: outcome.as_ref().map(effects).unwrap_or_default(),
        failure: outcome.err(),
        log: report.log,
        denied: report.denied,
    };
    let then = Ended {
        build: format!("{} {}", bundle.plugin.name, bundle.plugin.version),
        digest: bundle.plugin.digest.clone(),
        failure: Some(bundle.failure.clone()),
        effects: Vec::new(),
        log: bundle.log.clone(),
        denied: bundle.denied.clone(),
    };
    Ok(Replayed {
        run: bundle.run.id.to_string(),
        cause: format!("{} of {} at {}", bundle.cause.kind(), bundle.run.entity, bundle.now),
        same: then.failure.as_ref().map(ending) == now.failure.as_ref().map(ending),
        then,
        now,
        notes: bundle.notes.into_iter().chain(answers.notes()).collect(),
        used,
    })
}

/// Frames of a backtrace move with every build; the kind of failure and its words are what happened.
fn ending(failure: &RunFailure) -> (&'static str, String) {
    (failure.kind(), failure.message().to_owned())
}

fn seed(hex: &str) -> anyhow::Result<[u8; 32]> {
    let byte = |at: usize| u8::from_str_radix(hex.get(at * 2..at * 2 + 2)?, 16).ok();
    let bytes: Option<Vec<u8>> = (0..32).map(byte).collect();
    bytes.and_then(|bytes| bytes.try_into().ok()).context("the bundle's `seed` is not 64 hexadecimal digits")
}

/// Gives the desk's store what the run looked up.
async fn furnish(desk: &Desk, bundle: &Bundle) -> anyhow::Result<()> {
    for customer in &bundle.read.customers {
        let profile = CustomerProfile {
            name: customer.name.clone(),
            locale: customer.locale.clone(),
            timezone: customer.timezone.clone(),
            attributes: customer.attributes.clone(),
            addresses: customer.addresses.clone(),
            consents: customer.consents.clone(),
            standing: Vec::new(),
        };
        desk.store.put_customer(&desk.tenant, &customer.id, profile, customer.updated).await?;
    }
    let routed = |event| RoutedEvent { event, runs: Vec::new(), notes: Vec::new() };
    desk.store.accept_events(bundle.events().into_iter().map(routed).collect()).await?;
    let heard = |incoming: &crate::domain::run::Incoming| NewIncoming {
        incoming: incoming.clone(),
        others: Vec::new(),
        consent: None,
        free_until: None,
    };
    desk.store.record_incoming(bundle.read.incoming.iter().map(heard).collect(), bundle.now).await?;
    for record in &bundle.read.messages {
        desk.store.accept_message(record.message.clone()).await?;
    }
    Ok(())
}

/// What a run asks for, a line each.
fn effects(outcome: &Outcome) -> Vec<String> {
    let mut lines = Vec::new();
    for message in &outcome.messages {
        let content = &message.content;
        let template = content.template.as_ref();
        let text = content.text.as_deref().or(template.map(|template| template.body.as_str())).unwrap_or_default();
        lines.push(format!("message to {} ({}): {text}", message.to.lane(), message.purpose.as_str()));
    }
    for (key, change) in &outcome.state {
        lines.push(match change {
            StateChange::Set(entry) => format!("state {key} = {}", String::from_utf8_lossy(&entry.value)),
            StateChange::Remove => format!("state {key} is removed"),
        });
    }
    for (key, change) in &outcome.timers {
        lines.push(match change {
            TimerChange::Set { due, data, .. } => format!("timer {key} at {due}: {data}"),
            TimerChange::Cancel => format!("timer {key} is cancelled"),
        });
    }
    lines.extend(outcome.events.iter().map(|event| format!("event {}: {}", event.event_type, event.data)));
    lines.extend(outcome.cancels.iter().map(|id| format!("message {id} is cancelled")));
    lines
}

impl Replayed {
    /// For a person: then, now, and the difference.
    pub fn text(&self, colours: Colours) -> String {
        let mut text = vec![format!("run {}, {}", self.run, self.cause)];
        text.extend(self.notes.iter().map(|note| format!("  note: {note}")));
        let same_build = if self.then.digest == self.now.digest { "the same build" } else { "another build" };
        self.then.show("then", "", colours, &mut text);
        self.now.show("now", same_build, colours, &mut text);
        let said = |ended: &Ended| {
            ended.log.iter().map(|line| format!("{:<6} {}", line.level, line.message)).collect::<Vec<_>>().join("\n")
        };
        let (then, now) = (said(&self.then), said(&self.now));
        if !then.is_empty() || !now.is_empty() {
            text.push("\nit said:".to_owned());
            text.extend(lines(&then, &now).into_iter().map(|line| match line {
                Line::Both(words) => format!("         {words}"),
                Line::Expected(words) => colours.came(&format!("  then   {words}")),
                Line::Got(words) => colours.expected(&format!("  now    {words}")),
            }));
        }
        let touched = self.used.iter().filter(|row| row.used > 0);
        let used = touched.map(ToString::to_string).collect::<Vec<_>>().join(", ");
        text.push(format!("\nit used {used}"));
        text.push(match (self.same, &self.now.failure) {
            (true, _) => "it ends as it did then".to_owned(),
            (false, None) => colours.expected("it failed then, and ends well now"),
            (false, Some(_)) => colours.came("it fails in another way than then"),
        });
        text.join("\n")
    }
}

impl Ended {
    fn show(&self, when: &str, which: &str, colours: Colours, text: &mut Vec<String>) {
        let which = if which.is_empty() { String::new() } else { format!(", {which}") };
        text.push(format!("\n{when}: {} ({}{which})", self.build, self.digest.get(..19).unwrap_or(&self.digest)));
        match &self.failure {
            Some(failure) => {
                text.push(colours.came(&format!("  {}: {}", failure.kind(), failure.message())));
                if let RunFailure::Fault { backtrace, .. } = failure {
                    text.extend(backtrace.iter().map(|frame| format!("    {frame}")));
                }
            }
            None => text.push("  it ended well, and asks for:".to_owned()),
        }
        text.extend(self.effects.iter().map(|effect| format!("    {effect}")));
        text.extend(self.denied.iter().map(|denied| format!("  not permitted: {denied}")));
    }
}
