//! `GET /metrics`: the same figures, and what was counted since the start, in the text format of Prometheus.

use std::{
    fmt::Write,
    sync::{Arc, atomic::Ordering},
};

use axum::{
    Extension,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};

use crate::{
    ingress::{AppState, auth::Caller, counters::Counters, problem::Problem},
    notice::{Desk, Told},
    run::Lateness,
    store::Figures,
};

pub(super) async fn show(
    State(state): State<AppState>,
    Extension(lateness): Extension<Arc<Lateness>>,
    Extension(desk): Extension<Desk>,
    caller: Caller,
) -> Result<Response, Problem> {
    let figures = state.store.figures(&caller.tenant).await?;
    let transactions = state.store.transactions();
    let text = render(&figures, transactions, &state.counters, &lateness, &desk.told)
        .map_err(|error| Problem::internal(&error))?;
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response())
}

fn render(
    figures: &Figures,
    transactions: u64,
    counters: &Counters,
    lateness: &Lateness,
    told: &Told,
) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    for (name, help, value) in [
        ("relais_events", "Events that are kept.", figures.events),
        ("relais_runs_open", "Runs that are waiting, running, or to be executed again.", figures.open_runs),
        ("relais_runs_set_aside", "Runs that failed for good and wait for an operator.", figures.set_aside_runs),
        ("relais_timers", "Timers that are set.", figures.timers),
        ("relais_messages_open", "Messages that are not settled.", figures.open_messages),
        ("relais_double_deliveries", "Messages that arrived twice.", figures.double_deliveries),
        ("relais_attempts_uncertain", "Attempts whose answer was lost.", figures.uncertain_attempts),
    ] {
        writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}")?;
    }
    writeln!(text, "# HELP relais_messages Messages by state.\n# TYPE relais_messages gauge")?;
    // The states are words of ours, so nothing in them has to be escaped.
    for (state, count) in &figures.messages_by_state {
        writeln!(text, "relais_messages{{state=\"{state}\"}} {count}")?;
    }
    for (name, help, counter) in [
        ("relais_events_accepted_total", "Events accepted since the start.", &counters.events_accepted),
        ("relais_events_repeated_total", "Events that had been accepted before.", &counters.events_repeated),
        ("relais_events_refused_total", "Requests with events that were refused.", &counters.events_refused),
        ("relais_messages_accepted_total", "Messages accepted over HTTP.", &counters.messages_accepted),
        (
            "relais_messages_repeated_total",
            "Messages over HTTP that had been accepted before.",
            &counters.messages_repeated,
        ),
        ("relais_messages_refused_total", "Messages over HTTP that were refused.", &counters.messages_refused),
    ] {
        writeln!(text, "# HELP {name} {help}\n# TYPE {name} counter\n{name} {}", counter.get())?;
    }
    for (name, help, counter) in [
        ("relais_notices_delivered_total", "Notices that endpoints have taken since the start.", &told.delivered),
        ("relais_notices_failed_total", "Tries to tell an endpoint that came to nothing.", &told.failed),
        ("relais_notices_given_up_total", "Notices that are not tried any more.", &told.given_up),
    ] {
        let count = counter.load(Ordering::Relaxed);
        writeln!(text, "# HELP {name} {help}\n# TYPE {name} counter\n{name} {count}")?;
    }
    let name = "relais_store_transactions_total";
    let help = "Transactions that this host has committed since the start.";
    writeln!(text, "# HELP {name} {help}\n# TYPE {name} counter\n{name} {transactions}")?;
    histogram(&mut text, lateness)?;
    Ok(text)
}

fn histogram(text: &mut String, lateness: &Lateness) -> std::fmt::Result {
    let name = "relais_timer_lateness_seconds";
    writeln!(text, "# HELP {name} From when a timer was due to its run, since the start.\n# TYPE {name} histogram")?;
    let (at_most, count) = lateness.at_most();
    for (bound_ms, so_far) in at_most {
        writeln!(text, "{name}_bucket{{le=\"{}\"}} {so_far}", Seconds(bound_ms))?;
    }
    writeln!(text, "{name}_bucket{{le=\"+Inf\"}} {count}\n{name}_count {count}")?;
    writeln!(text, "{name}_sum {}", Seconds(lateness.sum_ms()))
}

/// Milliseconds, written as seconds.
struct Seconds(u64);

impl std::fmt::Display for Seconds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{:03}", self.0 / 1000, self.0 % 1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_figure_is_there_with_its_type() {
        let figures = Figures { events: 3, messages_by_state: [("read".to_owned(), 2)].into(), ..Figures::default() };
        let counters = Counters::default();
        counters.events_accepted.add(5);
        let text = render(&figures, 7, &counters, &Lateness::default(), &Told::default()).unwrap();
        for line in [
            "relais_events 3",
            "relais_messages{state=\"read\"} 2",
            "relais_events_accepted_total 5",
            "relais_store_transactions_total 7",
            "relais_timer_lateness_seconds_bucket{le=\"0.005\"} 0",
        ] {
            assert!(text.lines().any(|other| other == line), "{line} is not in\n{text}");
        }
    }
}
