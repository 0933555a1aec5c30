//! What each run did, as it ends: what set it off, what it asked for, what it said, and what it used.

use std::collections::HashMap;

use crate::{
    domain::run::RunFailure,
    ids::{RunId, TenantId},
    store::{Paging, Result, RunFilter, RunState, RunStory, Store},
    terminal::say,
};

/// Runs that are looked at each time: more than an author sets off in a blink.
const RUNS: u32 = 50;

/// Runs that were told of, with how they stood then.
#[derive(Default)]
pub(super) struct Shown(HashMap<RunId, (RunState, u32)>);

impl Shown {
    /// Tells of every run that has come further since the last time, the oldest first.
    pub(super) async fn tell(&mut self, store: &dyn Store, tenant: &TenantId) -> Result<()> {
        let page = Paging { before: None, limit: RUNS };
        let runs = store.runs(tenant, &RunFilter::default(), page).await?;
        for run in runs.iter().rev() {
            let stands = (run.state, run.attempts);
            let executed = run.report.is_some() || run.failure.is_some();
            if executed && self.0.insert(run.id, stands) != Some(stands) {
                tell(store, tenant, run).await?;
            }
        }
        Ok(())
    }
}

async fn tell(store: &dyn Store, tenant: &TenantId, run: &RunStory) -> Result<()> {
    let state = match run.state {
        RunState::Done => "done",
        RunState::SetAside => "set aside",
        RunState::Discarded => "discarded",
        RunState::Open => "failed, to be executed again",
    };
    say(format_args!("-- {} {} about {}: {state}", run.kind, run.cause, run.entity));
    if let Some(failure) = &run.failure {
        say(format_args!("   {}: {}", failure.kind(), failure.message()));
        if let RunFailure::Fault { backtrace, .. } = failure {
            backtrace.iter().for_each(|frame| say(format_args!("     {frame}")));
        }
    }
    if let Some(effects) = &run.effects {
        for id in &effects.messages {
            if let Some(record) = store.message(tenant, *id).await? {
                let content = &record.message.content;
                let body = content.template.as_ref().map(|template| template.body.as_str());
                let text = content.text.as_deref().or(body).unwrap_or_default();
                say(format_args!("   message to {}: {text}", record.message.to.lane()));
            }
        }
        effects.timers.iter().for_each(|key| say(format_args!("   timer {key}")));
        effects.state.iter().for_each(|key| say(format_args!("   state {key}")));
        effects.events.iter().for_each(|id| say(format_args!("   event {id}")));
        effects.cancels.iter().for_each(|id| say(format_args!("   cancels {id}")));
    }
    if let Some(report) = &run.report {
        report.log.iter().for_each(|line| say(format_args!("   {:<6} {}", line.level, line.message)));
        report.denied.iter().for_each(|denied| say(format_args!("   not permitted: {denied}")));
        for refused in &report.refused {
            say(format_args!("   refused to {}: {}: {}", refused.to, refused.code, refused.why));
        }
        let (kib, ms) = (report.memory_bytes / 1024, report.took_us.div_ceil(1000));
        say(format_args!("   used {ms} ms, {kib} KiB, {} calls to the host", report.host_calls));
    }
    Ok(())
}
