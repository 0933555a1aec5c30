//! `POST /v1/triggers/{plugin}/{trigger}`: any webhook that a plugin's manifest declares becomes an event.
//!
//! The plugin's side checks the signature over the raw bytes before anything reads them.

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, Uri},
    response::Response,
};

use super::{
    AppState, TriggerCall, TriggerProblem, auth,
    cloudevents::Mode,
    events::{answer_accepted, patience},
    problem::{Problem, excerpt},
    request::{At, query_value, read_body},
};
use crate::domain::event::Event;

pub(super) async fn accept(
    State(state): State<AppState>,
    At((plugin, trigger)): At<(String, String)>,
    headers: HeaderMap,
    uri: Uri,
    body: Body,
) -> Result<Response, Problem> {
    let read = read(&state, &plugin, &trigger, &headers, &uri, body).await;
    let event = read.inspect_err(|_| state.counters.events_refused.add(1))?;
    let patience = patience(&uri, state.settings.wait_seconds_max)?;
    let tenant = event.tenant.clone();
    answer_accepted(&state, &tenant, Mode::Structured, vec![event], patience).await
}

async fn read(
    state: &AppState,
    plugin: &str,
    trigger: &str,
    headers: &HeaderMap,
    uri: &Uri,
    body: Body,
) -> Result<Event, Problem> {
    patience(uri, state.settings.wait_seconds_max)?;
    // A signed trigger needs no key, so not having one is no error yet.
    let caller = match query_value(uri, "access_token") {
        Some(token) if !headers.contains_key("authorization") => auth::by_key(&state.settings, &token),
        _ => auth::caller(&state.settings, headers, uri),
    };
    let body = read_body(headers, body, "the webhook", state.settings.event_bytes_max).await?;
    let call = TriggerCall {
        plugin,
        trigger,
        headers,
        body: &body,
        now: state.clock.now(),
        caller: caller.as_ref().ok().map(|caller| &caller.tenant),
    };
    match state.directory.trigger(&call) {
        Ok(event) => Ok(event),
        // What is wrong with the key says more than that one is needed.
        Err(TriggerProblem::NeedsApiKey) => match caller {
            Err(problem) => Err(problem),
            Ok(_) => Err(Problem::unauthorized("the trigger asks for an API key")),
        },
        Err(problem) => Err(told(plugin, trigger, problem)),
    }
}

fn told(plugin: &str, trigger: &str, problem: TriggerProblem) -> Problem {
    let (plugin, trigger) = (excerpt(plugin), excerpt(trigger));
    let text = problem.to_string();
    match problem {
        TriggerProblem::UnknownPlugin { known } => {
            Problem::not_found(format!("there is no plugin `{plugin}`")).field("plugin").fix(listed("plugins", &known))
        }
        TriggerProblem::UnknownTrigger { known } => {
            Problem::not_found(format!("plugin `{plugin}` has no trigger `{trigger}`"))
                .field("trigger")
                .fix(listed("its triggers", &known))
        }
        TriggerProblem::Unsigned { fix, .. } => Problem::unauthorized(text).field("signature").fix(fix),
        TriggerProblem::NeedsApiKey => Problem::unauthorized(text),
        TriggerProblem::BadField { field, fix } => Problem::bad_field(field, text).fix(fix),
    }
}

fn listed(what: &str, known: &[String]) -> String {
    if known.is_empty() { format!("there are no {what}") } else { format!("{what}: {}", known.join(", ")) }
}
