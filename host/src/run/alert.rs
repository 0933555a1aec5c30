//! The event that tells whoever subscribes that a run was set aside.
//!
//! It is committed with the mark that it is about, so there is none without the other. It says what failed and how, and holds
//! nothing of what the run was given: whoever may look at that asks for the run. Two things it must never become: a storm
//! (a plugin raises so many a minute, and the next one says how many were left out) and a loop (what a run does that was set
//! off by an alert, or by what followed from one, raises no further alert).

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use serde_json::json;

use super::Parts;
use crate::{
    clock::Timestamp,
    domain::{
        event::{Event, RUN_SET_ASIDE, reserved},
        run::{Cause, EntityKey, NewRun, QueuedRun, RunFailure, RunReport},
    },
    ids::{EventId, PluginName, TenantId},
    store::{self, RoutedEvent},
};

const SOURCE: &str = "/relais";
/// How far back a chain of events is followed. A plugin that hands work on more often than this is caught by the rate.
const CHAIN_MAX: usize = 8;
/// The first words of a failure say what it is; the whole of it stands with the run.
const WORDS_MAX: usize = 500;
/// The shortest telephone numbers with their country code have seven digits.
const NUMBER_DIGITS_MIN: usize = 7;

/// How many alerts each plugin has raised in the present minute. Kept in memory: after a restart the count begins anew,
/// and the runs themselves are in the store, whether an alert told of them or not.
#[derive(Default)]
pub struct Alerts(Mutex<HashMap<(TenantId, PluginName), Minute>>);

#[derive(Default)]
struct Minute {
    minute: i64,
    raised: u32,
    left_out: u64,
}

/// What was counted for one run, to be taken back where the run turns out not to be set aside.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Counted {
    Nothing,
    /// With how many were left out before it.
    Raised(u64),
    LeftOut,
}

impl Alerts {
    fn count(&self, key: &EntityKey, per_minute_max: u32, now: Timestamp) -> Counted {
        let minute = now.0.div_euclid(60_000);
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_plugin = all.entry((key.tenant.clone(), key.plugin.clone())).or_default();
        // Another minute and not a later one: a clock that was set back must not silence a plugin until it has caught up.
        if of_plugin.minute != minute {
            of_plugin.minute = minute;
            of_plugin.raised = 0;
        }
        if of_plugin.raised >= per_minute_max {
            of_plugin.left_out += 1;
            return Counted::LeftOut;
        }
        of_plugin.raised += 1;
        Counted::Raised(std::mem::take(&mut of_plugin.left_out))
    }

    pub(super) fn take_back(&self, key: &EntityKey, counted: Counted) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(of_plugin) = all.get_mut(&(key.tenant.clone(), key.plugin.clone())) else { return };
        match counted {
            Counted::Nothing => {}
            Counted::Raised(left_out) => {
                of_plugin.raised = of_plugin.raised.saturating_sub(1);
                of_plugin.left_out += left_out;
            }
            Counted::LeftOut => of_plugin.left_out = of_plugin.left_out.saturating_sub(1),
        }
    }
}

/// The alert of a run that is about to be set aside, where there is to be one.
pub(super) async fn raise(
    parts: &Parts,
    run: &QueuedRun,
    failure: &RunFailure,
    report: &RunReport,
    now: Timestamp,
) -> store::Result<(Option<RoutedEvent>, Counted)> {
    if follows_from_an_alert(parts, run).await? {
        return Ok((None, Counted::Nothing));
    }
    let counted = parts.alerts.count(&run.run.key, parts.settings.alerts_per_minute_max, now);
    let Counted::Raised(left_out) = counted else { return Ok((None, counted)) };
    let event = Arc::new(event(run, failure, report, left_out, now));
    let routing = parts.plugins.route(&event);
    Ok((Some(RoutedEvent { event, runs: routing.runs, notes: routing.notes }), counted))
}

/// Whether the run, or what led to it, was set off by an event of the host's own.
async fn follows_from_an_alert(parts: &Parts, run: &QueuedRun) -> store::Result<bool> {
    let tenant = &run.run.key.tenant;
    let mut event = match &run.run.cause {
        Cause::Event(event) => Some(event.clone()),
        Cause::Timer(timer) => match timer.origin {
            Some(origin) => parts.store.event(tenant, origin).await?,
            None => None,
        },
        Cause::Delivery(_) | Cause::Message(_) => None,
    };
    for _ in 0..CHAIN_MAX {
        let Some(known) = event else { return Ok(false) };
        if reserved(&known.event_type).is_some() {
            return Ok(true);
        }
        let Some(raised_by) = known.cause else { return Ok(false) };
        let earlier = parts.store.run(tenant, raised_by).await?.and_then(|run| run.cause.parse::<EventId>().ok());
        event = match earlier {
            Some(earlier) => parts.store.event(tenant, earlier).await?,
            None => None,
        };
    }
    Ok(false)
}

fn event(run: &QueuedRun, failure: &RunFailure, report: &RunReport, left_out: u64, now: Timestamp) -> Event {
    let NewRun { key, id, customer, cause, .. } = &run.run;
    let attempts = run.attempts + 1;
    // The run and the execution that was its last. A replay begins to count anew, and is told by when it began.
    let source_id = format!("{id}.{attempts}.{}", run.not_before.0);
    let data = json!({
        "run": id,
        "plugin": key.plugin,
        "version": report.plugin_version,
        "entity": without_numbers(&key.entity),
        "customer": customer,
        "cause": {"kind": cause.kind(), "id": without_numbers(&cause.name())},
        "attempts": attempts,
        "failure": {"kind": failure.kind(), "message": words(failure)},
        "set_aside": now.rfc3339(),
        "left_out": left_out,
    });
    Event {
        id: EventId::of(&key.tenant, SOURCE, &source_id),
        tenant: key.tenant.clone(),
        source_id,
        source: SOURCE.to_owned(),
        event_type: RUN_SET_ASIDE.to_owned(),
        subject: Some(id.to_string()),
        time: now,
        received: now,
        // So that it goes with the customer's other rows when they are erased.
        customer: customer.clone(),
        data: data.to_string().into(),
        attributes: vec![("datacontenttype".to_owned(), "application/json".to_owned())],
        cause: Some(*id),
    }
}

fn words(failure: &RunFailure) -> String {
    without_numbers(&failure.message().chars().take(WORDS_MAX).collect::<String>())
}

/// What a plugin says of its failure, or calls its entity, may hold a telephone number; an alert goes further than the run.
fn without_numbers(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(plus) = rest.find('+') {
        let (before, from) = rest.split_at(plus);
        kept.push_str(before);
        let after = from.get(1..).unwrap_or_default();
        let end = after.find(|c: char| !c.is_ascii_digit() && !" -.()".contains(c)).unwrap_or(after.len());
        let (number, later) = after.split_at(end);
        if number.bytes().filter(u8::is_ascii_digit).count() >= NUMBER_DIGITS_MIN {
            kept.push_str("+…");
        } else {
            kept.push('+');
            kept.push_str(number);
        }
        rest = later;
    }
    kept.push_str(rest);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Entity;

    fn key(plugin: &str) -> EntityKey {
        EntityKey { tenant: TenantId::default_tenant(), plugin: plugin.into(), entity: Entity::from("e") }
    }

    #[test]
    fn a_plugin_raises_so_many_a_minute_and_the_next_one_says_how_many_were_left_out() {
        let alerts = Alerts::default();
        let count = |plugin: &str, ms: i64| alerts.count(&key(plugin), 2, Timestamp(ms));
        assert_eq!((count("a", 0), count("a", 1)), (Counted::Raised(0), Counted::Raised(0)));
        assert_eq!((count("a", 2), count("a", 59_999)), (Counted::LeftOut, Counted::LeftOut));
        assert_eq!(count("b", 3), Counted::Raised(0), "another plugin has its own count");
        assert_eq!(count("a", 60_000), Counted::Raised(2));
        alerts.take_back(&key("a"), Counted::Raised(2));
        assert_eq!(count("a", 60_001), Counted::Raised(2), "it was not set aside, so nothing was told");
        assert_eq!((count("a", 60_002), count("a", 60_003)), (Counted::Raised(0), Counted::LeftOut));
        assert_eq!(count("a", -3_600_000), Counted::Raised(1), "a clock that was set back silences nobody");
    }

    #[test]
    fn telephone_numbers_do_not_leave_with_an_alert() {
        for (text, kept) in [
            ("cannot reach +33 6 39 98 12 01, giving up", "cannot reach +…, giving up"),
            ("sender/+33639981201", "sender/+…"),
            ("1+2 is 3, order 48211234567", "1+2 is 3, order 48211234567"),
            ("+33639981201+33639981202", "+…+…"),
            ("ends with +", "ends with +"),
        ] {
            assert_eq!(without_numbers(text), kept);
        }
    }
}
