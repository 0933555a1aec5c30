//! Events and runs: once, together, in order.

use std::collections::BTreeMap;

use super::*;
use crate::{
    domain::run::{EmittedEvent, RunFailure, StateChange, StateEntry, TimerChange},
    store::{FailureVerdict, Paging, RunFailed, RunFilter, RunState},
};

pub(crate) async fn an_event_is_accepted_once(place: &dyn Place) {
    let world = open(place).await;
    let first = world.store.accept_events(vec![event("1"), event("1"), event("2")]).await.unwrap();
    assert_eq!(first.iter().map(|accepted| accepted.duplicate).collect::<Vec<_>>(), [false, true, false]);
    let again = world.store.accept_events(vec![event("1")]).await.unwrap();
    assert!(again[0].duplicate);
    assert_eq!(again[0].runs, first[0].runs);
    assert_eq!(all_open(&*world.store).await.len(), 2);
    let story = world.store.event_story(&tenant(), event("1").event.id).await.unwrap().unwrap();
    assert_eq!((story.event, story.notes, story.runs.len()), (event("1").event, event("1").notes, 1));
    assert_eq!(world.store.event(&TenantId::from("other"), event("1").event.id).await.unwrap(), None);
}

pub(crate) async fn open_runs_come_in_order_of_acceptance_also_after_a_restart(place: &dyn Place) {
    let world = open(place).await;
    let ids: Vec<String> = (0..50).map(|n| n.to_string()).collect();
    for id in &ids {
        world.store.accept_events(vec![event(id)]).await.unwrap();
    }
    // As after a crash: nothing is closed in good order.
    drop(world);
    let world = open(place).await;
    let mut found = Vec::new();
    let mut after = 0;
    loop {
        let page = world.store.open_runs(&flow(), after, 7).await.unwrap();
        let Some(last) = page.last() else { break };
        after = last.seq;
        found.extend(page);
    }
    let expected: Vec<_> = ids.iter().map(|id| event(id).runs[0].clone()).collect();
    assert_eq!(found.into_iter().map(|queued| queued.run).collect::<Vec<_>>(), expected);
}

fn entry(value: &str) -> StateEntry {
    StateEntry { value: Arc::from(value.as_bytes()), customer: Some(ann()), expires: None }
}

fn everything() -> Outcome {
    Outcome {
        messages: vec![message("m")],
        state: BTreeMap::from([("seen".to_owned(), StateChange::Set(entry("yes")))]),
        timers: BTreeMap::from([(
            "remind".to_owned(),
            TimerChange::Set { due: at(HOUR), expires: None, data: "{}".into() },
        )]),
        ..Outcome::default()
    }
}

pub(crate) async fn a_commit_writes_everything_and_only_once(place: &dyn Place) {
    let world = open(place).await;
    let run = accepted(&*world.store, "1").await;
    let first = world.store.commit_run(commit(&run, 0, everything())).await.unwrap();
    let Committed::Done(snapshot) = first else { panic!("{first:?}") };
    assert_eq!((snapshot.version, &*snapshot.state["seen"].value), (1, &b"yes"[..]));
    assert_eq!(snapshot.timers["remind"].due, at(HOUR));
    // Somebody who thought the same run was theirs comes late.
    let mut late = everything();
    late.messages.push(message("late"));
    assert_eq!(world.store.commit_run(commit(&run, 1, late)).await.unwrap(), Committed::Gone);
    drop(world);

    let world = open(place).await;
    assert_eq!(world.store.load_entity(&key(), at(10)).await.unwrap(), snapshot);
    assert_eq!(all_open(&*world.store).await, []);
    let open: Vec<_> =
        world.store.open_messages(&tenant(), 0, 10).await.unwrap().into_iter().map(|open| open.message).collect();
    assert_eq!(open, [message("m")]);
    let story = world.store.run(&tenant(), run.run.id).await.unwrap().unwrap();
    assert_eq!((story.state, story.attempts), (RunState::Done, 1));
    assert_eq!(story.effects.unwrap().messages, [message("m").id]);
    let figures = world.store.figures(&tenant()).await.unwrap();
    assert_eq!((figures.events, figures.open_runs, figures.timers, figures.open_messages), (1, 0, 1, 1));
}

pub(crate) async fn a_run_that_began_on_an_older_version_writes_nothing(place: &dyn Place) {
    let world = open(place).await;
    let first = accepted(&*world.store, "1").await;
    let second = accepted(&*world.store, "2").await;
    world.store.commit_run(commit(&first, 0, Outcome::default())).await.unwrap();
    assert_eq!(world.store.commit_run(commit(&second, 0, everything())).await.unwrap(), Committed::Stale);
    assert!(world.store.open_messages(&tenant(), 0, 10).await.unwrap().is_empty());
    let snapshot = world.store.load_entity(&key(), at(10)).await.unwrap();
    assert_eq!((snapshot.version, snapshot.state.len(), snapshot.timers.len()), (1, 0, 0));
    // Executed again on what there is, it commits.
    let again = world.store.commit_run(commit(&second, snapshot.version, everything())).await.unwrap();
    assert!(matches!(again, Committed::Done(_)), "{again:?}");
}

pub(crate) async fn expired_state_is_not_visible(place: &dyn Place) {
    let world = open(place).await;
    let short = StateEntry { expires: Some(at(HOUR)), ..entry("short") };
    let state = [("short", short), ("long", entry("long"))];
    let state = state.into_iter().map(|(name, entry)| (name.to_owned(), StateChange::Set(entry))).collect();
    done(&*world.store, "1", Outcome { state, ..Outcome::default() }).await;
    let keys = async |now| {
        let snapshot = world.store.load_entity(&key(), now).await.unwrap();
        snapshot.state.keys().cloned().collect::<Vec<_>>()
    };
    assert_eq!(keys(at(HOUR - 1)).await, ["long", "short"]);
    assert_eq!(keys(at(HOUR)).await, ["long"]);
    // The next commit does not bring back what has expired.
    let run = accepted(&*world.store, "2").await;
    world.store.commit_run(RunCommit { now: at(HOUR), ..commit(&run, 1, Outcome::default()) }).await.unwrap();
    assert_eq!(keys(at(0)).await, ["long"]);
}

pub(crate) async fn a_failed_run_waits_or_is_set_aside_and_can_be_replayed(place: &dyn Place) {
    let world = open(place).await;
    let store = &*world.store;
    let run = accepted(store, "1").await;
    let failed = |run: &QueuedRun, verdict| RunFailed {
        alert: None,
        run: run.clone(),
        failure: RunFailure::Fault { message: "unreachable".into(), backtrace: vec!["main".into()] },
        report: RunReport { took_us: 7, ..RunReport::default() },
        verdict,
        now: at(20),
    };
    assert!(store.fail_run(failed(&run, FailureVerdict::Again(at(500)))).await.unwrap());
    let waiting = all_open(store).await.remove(0);
    assert_eq!((waiting.attempts, waiting.not_before, &waiting.run), (1, at(500), &run.run));
    let story = store.run(&tenant(), run.run.id).await.unwrap().unwrap();
    assert_eq!(
        (story.state, story.at, story.failure.unwrap().message()),
        (RunState::Open, Some(at(500)), "unreachable")
    );

    assert!(store.fail_run(failed(&waiting, FailureVerdict::SetAside)).await.unwrap());
    assert!(!store.fail_run(failed(&waiting, FailureVerdict::SetAside)).await.unwrap());
    assert_eq!(store.commit_run(commit(&waiting, 0, everything())).await.unwrap(), Committed::Gone);
    assert_eq!(store.set_aside_cause(&tenant(), run.run.id).await.unwrap(), Some(run.run.cause.clone()));
    let page = Paging { before: None, limit: 10 };
    let set_aside = RunFilter { state: Some(RunState::SetAside), ..RunFilter::default() };
    assert_eq!(store.runs(&tenant(), &set_aside, page).await.unwrap().len(), 1);
    assert_eq!(store.figures(&tenant()).await.unwrap().set_aside_runs, 1);

    assert!(store.replay_run(&tenant(), run.run.id, at(600)).await.unwrap());
    assert!(!store.replay_run(&tenant(), run.run.id, at(600)).await.unwrap());
    let replayed = all_open(store).await.remove(0);
    assert_eq!((replayed.attempts, replayed.not_before), (0, at(600)));
    store.fail_run(failed(&replayed, FailureVerdict::SetAside)).await.unwrap();
    assert!(store.discard_run(&tenant(), run.run.id, at(700)).await.unwrap());
    let story = store.run(&tenant(), run.run.id).await.unwrap().unwrap();
    assert_eq!((story.state, story.at), (RunState::Discarded, Some(at(700))));
    let figures = store.figures(&tenant()).await.unwrap();
    assert_eq!((figures.open_runs, figures.set_aside_runs), (0, 0));
}

pub(crate) async fn what_is_emitted_sets_off_runs(place: &dyn Place) {
    let world = open(place).await;
    let run = accepted(&*world.store, "1").await;
    let emitted = EmittedEvent {
        event_type: "orders.late".into(),
        subject: None,
        customer: None,
        dedup_key: None,
        attributes: Vec::new(),
        data: "{}".into(),
    };
    let outcome = Outcome { events: vec![emitted], ..Outcome::default() };
    let with_event = RunCommit { emitted: vec![event("raised")], ..commit(&run, 0, outcome) };
    world.store.commit_run(with_event).await.unwrap();
    let open = all_open(&*world.store).await;
    assert_eq!(open.iter().map(|queued| queued.run.id).collect::<Vec<_>>(), [event("raised").runs[0].id]);
}

pub(crate) async fn what_was_handed_over_is_what_was_committed(place: &dyn Place) {
    let mut world = open(place).await;
    let run = accepted(&*world.store, "1").await;
    assert_eq!(world.inlets.runs.queue.try_recv().unwrap(), run);
    world.store.accept_events(vec![event("1")]).await.unwrap();
    assert!(world.inlets.runs.queue.try_recv().is_err(), "a duplicate sets nothing off");
    world.store.commit_run(commit(&run, 7, everything())).await.unwrap();
    assert!(world.inlets.messages.queue.try_recv().is_err(), "nothing was committed");
    world.store.commit_run(commit(&run, 0, everything())).await.unwrap();
    let handed = world.inlets.messages.queue.try_recv().unwrap();
    assert_eq!(vec![handed], world.store.open_messages(&tenant(), 0, 10).await.unwrap());
}

pub(crate) async fn history_finds_types_and_prefixes(place: &dyn Place) {
    let world = open(place).await;
    world.store.accept_events(vec![event("1"), event("2")]).await.unwrap();
    for (asked, found) in [("shop.order.placed", 2), ("shop.*", 2), ("shop.order.plac", 0), ("shop", 0), ("s_op.*", 0)]
    {
        assert_eq!(world.store.history(&tenant(), &ann(), asked, 10).await.unwrap().len(), found, "{asked}");
    }
    let latest = world.store.history(&tenant(), &ann(), "shop.*", 1).await.unwrap();
    assert_eq!(latest, [event("2").event]);
}
