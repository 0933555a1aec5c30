//! Runs that were set aside: told of with the mark itself, and replayed or discarded one or many.

use super::*;
use crate::{
    domain::run::RunFailure,
    store::{BULK_MAX, Bulk, FailureVerdict, RunFailed, RunFilter, RunState},
};

/// An event whose run is of this plugin.
fn of_plugin(id: &str, plugin: &str) -> RoutedEvent {
    let mut routed = event(id);
    routed.runs[0].key.plugin = PluginName::from(plugin);
    routed
}

fn failed(run: &QueuedRun, failure: RunFailure, now: i64) -> RunFailed {
    let verdict = FailureVerdict::SetAside;
    RunFailed { run: run.clone(), failure, report: RunReport::default(), verdict, alert: None, now: at(now) }
}

fn reject() -> RunFailure {
    RunFailure::Reject { message: "of no use".into(), detail: None }
}

/// Sets aside the runs of these events, in their order, a second after one another; and forgets what was handed over.
async fn set_aside(world: &mut World, events: Vec<RoutedEvent>) -> Vec<QueuedRun> {
    world.store.accept_events(events).await.unwrap();
    let mut runs = Vec::new();
    while let Ok(run) = world.inlets.runs.queue.try_recv() {
        runs.push(run);
    }
    for (run, second) in runs.iter().zip(1..) {
        assert!(world.store.fail_run(failed(run, reject(), second * 1000)).await.unwrap());
    }
    runs
}

async fn ids(world: &World, filter: RunFilter) -> Vec<RunId> {
    let page = crate::store::Paging { before: None, limit: 100 };
    world.store.runs(&tenant(), &filter, page).await.unwrap().into_iter().map(|run| run.id).collect()
}

pub(crate) async fn many_runs_are_replayed_in_steps_and_handed_over_in_their_order(place: &dyn Place) {
    let mut world = open(place).await;
    let runs = set_aside(&mut world, (0..7).map(|no| event(&no.to_string())).collect()).await;
    let mut filter = RunFilter::default();
    let mut steps = Vec::new();
    loop {
        let bulk = world.store.replay_runs(&tenant(), &filter, 3, at(60_000)).await.unwrap();
        steps.push((bulk.count, bulk.more));
        // One that fails again at once is not taken again by the steps that follow.
        let again = world.inlets.runs.queue.try_recv().unwrap();
        assert_eq!((again.attempts, again.not_before), (0, at(60_000)));
        assert!(world.store.fail_run(failed(&again, reject(), 60_000)).await.unwrap());
        filter.after_seq = bulk.last_seq;
        if !bulk.more {
            break;
        }
    }
    assert_eq!(steps, [(3, true), (3, true), (1, false)]);
    let mut handed = Vec::new();
    while let Ok(run) = world.inlets.runs.queue.try_recv() {
        handed.push(run.run);
    }
    let expected: Vec<_> = [3, 4, 5, 6].map(|no: usize| runs[no].run.clone()).into();
    assert_eq!(handed, expected, "in the order in which they were accepted");
    let open: Vec<_> = all_open(&*world.store).await.into_iter().map(|run| run.run).collect();
    assert_eq!(open, expected, "and so they are found after a restart");
    let figures = world.store.figures(&tenant()).await.unwrap();
    assert_eq!((figures.open_runs, figures.set_aside_runs), (4, 3));
}

pub(crate) async fn a_step_takes_so_many_and_says_that_there_are_more(place: &dyn Place) {
    let mut world = open(place).await;
    let count = BULK_MAX + 1;
    world.store.accept_events((0..count).map(|no| event(&no.to_string())).collect()).await.unwrap();
    let runs = all_open(&*world.store).await;
    let failing = runs.iter().map(|run| world.store.fail_run(failed(run, reject(), 1)));
    assert!(futures_util::future::join_all(failing).await.into_iter().all(|failed| failed.unwrap()));
    while world.inlets.runs.queue.try_recv().is_ok() {}
    let everything = RunFilter::default();
    let first = world.store.discard_runs(&tenant(), &everything, u32::MAX, at(2)).await.unwrap();
    assert_eq!((first.count, first.more, first.last_seq), (BULK_MAX, true, runs[BULK_MAX as usize - 1].seq));
    let second = world.store.discard_runs(&tenant(), &everything, u32::MAX, at(2)).await.unwrap();
    assert_eq!((second.count, second.more), (1, false));
    let again = world.store.discard_runs(&tenant(), &everything, u32::MAX, at(2)).await.unwrap();
    assert_eq!(again, Bulk::default(), "what is done is done");
    let story = world.store.run(&tenant(), runs[0].run.id).await.unwrap().unwrap();
    assert_eq!((story.state, story.failure), (RunState::Discarded, Some(reject())), "its evidence stays");
    assert_eq!(world.store.figures(&tenant()).await.unwrap().set_aside_runs, 0);
}

pub(crate) async fn a_filter_takes_what_it_names_and_nothing_else(place: &dyn Place) {
    let mut world = open(place).await;
    let mut elsewhere = event("4");
    elsewhere.runs[0].key.entity = Entity::from("order/4");
    elsewhere.runs[0].customer = None;
    let events = vec![of_plugin("1", "orders"), of_plugin("2", "orders"), of_plugin("3", "rides"), elsewhere];
    let runs = set_aside(&mut world, events).await;
    // One of another kind, and one that is not set aside at all.
    let last = accepted(&*world.store, "5").await;
    let fault = RunFailure::Fault { message: "unreachable".into(), backtrace: Vec::new() };
    assert!(world.store.fail_run(failed(&last, fault, 5000)).await.unwrap());
    accepted(&*world.store, "6").await;
    let id = |no: usize| runs[no].run.id;

    let all = RunFilter { state: Some(RunState::SetAside), ..RunFilter::default() };
    for (filter, wanted) in [
        (all.clone(), vec![last.run.id, id(3), id(2), id(1), id(0)]),
        (RunFilter { plugin: Some("rides".into()), ..all.clone() }, vec![id(2)]),
        (RunFilter { entity: Some("order/4".into()), ..all.clone() }, vec![id(3)]),
        (RunFilter { customer: Some("bob".into()), ..all.clone() }, vec![]),
        (
            RunFilter { customer: Some(ann()), plugin: Some("orders".into()), ..all.clone() },
            vec![last.run.id, id(1), id(0)],
        ),
        (RunFilter { failure: Some("fault".into()), ..all.clone() }, vec![last.run.id]),
        (RunFilter { since: Some(at(2000)), until: Some(at(3000)), ..all.clone() }, vec![id(2), id(1)]),
        (RunFilter { ids: vec![id(0), id(3), RunId([9; 16])], ..all.clone() }, vec![id(3), id(0)]),
        (RunFilter { after_seq: runs[2].seq, ..all.clone() }, vec![last.run.id, id(3)]),
    ] {
        assert_eq!(ids(&world, filter.clone()).await, wanted, "{filter:?}");
        // What is listed is what is taken; another tenant has none of it.
        let count = u32::try_from(wanted.len()).unwrap();
        let other = world.store.replay_runs(&TenantId::from("other"), &filter, 100, at(6000)).await.unwrap();
        assert_eq!((other.count, other.more), (0, false));
        let taken = world.store.replay_runs(&tenant(), &filter, 100, at(6000)).await.unwrap();
        assert_eq!((taken.count, taken.more), (count, false), "{filter:?}");
        for run in all_open(&*world.store).await.iter().filter(|run| wanted.contains(&run.run.id)) {
            let second = runs.iter().position(|other| other.run.id == run.run.id).map_or(5, |no| no as i64 + 1);
            let fault = RunFailure::Fault { message: "unreachable".into(), backtrace: Vec::new() };
            let failure = if run.run.id == last.run.id { fault } else { reject() };
            assert!(world.store.fail_run(failed(run, failure, second * 1000)).await.unwrap());
        }
    }
}

pub(crate) async fn an_alert_is_there_with_the_mark_that_it_is_about_and_not_without(place: &dyn Place) {
    let world = open(place).await;
    let run = accepted(&*world.store, "1").await;
    let alert = || of_plugin("alert", "watch");
    let told = RunFailed { alert: Some(alert()), ..failed(&run, reject(), 20) };
    // One that is to be executed again tells nobody.
    let later = FailureVerdict::Again(at(500));
    assert!(world.store.fail_run(RunFailed { verdict: later, ..told.clone() }).await.unwrap());
    assert_eq!(world.store.event(&tenant(), alert().event.id).await.unwrap(), None);
    assert!(world.store.fail_run(told.clone()).await.unwrap());
    let open: Vec<_> = all_open(&*world.store).await.into_iter().map(|run| run.run).collect();
    assert_eq!(open, alert().runs);
    // Somebody else has set it aside already.
    let late = RunFailed { alert: Some(of_plugin("late", "watch")), ..told };
    assert!(!world.store.fail_run(late).await.unwrap());
    assert_eq!(world.store.event(&tenant(), of_plugin("late", "watch").event.id).await.unwrap(), None);
}
