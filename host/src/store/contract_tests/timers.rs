//! Timers: once, not early, and not at all where they were cancelled or replaced in time.

use std::collections::BTreeMap;

use super::*;
use crate::{domain::run::TimerChange, store::Fired};

fn set(due: i64, expires: Option<i64>) -> TimerChange {
    TimerChange::Set { due: at(due), expires: expires.map(at), data: format!("{{\"due\":{due}}}") }
}

fn outcome(change: TimerChange) -> Outcome {
    Outcome { timers: BTreeMap::from([("remind".to_owned(), change)]), ..Outcome::default() }
}

async fn fire(world: &World, now: i64) -> Fired {
    world.store.fire_timers(at(now), 100).await.unwrap()
}

async fn version(world: &World) -> i64 {
    world.store.load_entity(&key(), at(0)).await.unwrap().version
}

async fn only_open_run(world: &World) -> QueuedRun {
    let mut open = all_open(&*world.store).await;
    assert_eq!(open.len(), 1, "{open:?}");
    open.remove(0)
}

pub(crate) async fn a_timer_fires_once_and_not_early(place: &dyn Place) {
    let world = open(place).await;
    let set_by = done(&*world.store, "1", outcome(set(HOUR, None))).await;
    assert_eq!(fire(&world, HOUR - 1).await, Fired { runs: 0, expired: 0, next_due: Some(at(HOUR)) });
    drop(world);
    let world = open(place).await;
    assert_eq!(fire(&world, HOUR).await, Fired { runs: 1, expired: 0, next_due: None });
    assert_eq!(fire(&world, 2 * HOUR).await, Fired::default());
    let run = only_open_run(&world).await;
    let Cause::Timer(timer) = &run.run.cause else { panic!("{run:?}") };
    assert_eq!((timer.key.as_str(), timer.due, timer.set_by_run), ("remind", at(HOUR), set_by.run.id));
    assert_eq!((timer.data.as_str(), timer.set_by.as_str()), ("{\"due\":3600000}", "1.0.0"));
    assert_eq!((timer.customer.clone(), timer.origin.is_some()), (Some(ann()), true));
}

pub(crate) async fn a_timer_that_is_replaced_fires_at_its_new_time(place: &dyn Place) {
    let world = open(place).await;
    done(&*world.store, "1", outcome(set(HOUR, None))).await;
    done(&*world.store, "2", outcome(set(3 * HOUR, None))).await;
    assert_eq!(fire(&world, 2 * HOUR).await.runs, 0);
    assert_eq!(fire(&world, 3 * HOUR).await.runs, 1);
    assert_eq!(world.store.figures(&tenant()).await.unwrap().timers, 1);
}

pub(crate) async fn a_queued_timer_that_is_cancelled_does_not_fire(place: &dyn Place) {
    for change in [TimerChange::Cancel, set(5 * HOUR, None)] {
        let world = open(place).await;
        let name = format!("{change:?}");
        done(&*world.store, &format!("1{name}"), outcome(set(HOUR, None))).await;
        let earlier = accepted(&*world.store, &format!("2{name}")).await;
        assert_eq!(fire(&world, HOUR).await.runs, 1);
        let queued = world.store.open_runs(&flow(), earlier.seq, 10).await.unwrap().remove(0);
        // The worker holds the timer's run in memory already, and executes it after the earlier one.
        let version = version(&world).await;
        world.store.commit_run(commit(&earlier, version, outcome(change.clone()))).await.unwrap();
        let late = world.store.commit_run(commit(&queued, version + 1, Outcome::default())).await.unwrap();
        assert_eq!(late, Committed::Gone, "{name}");
        assert!(all_open(&*world.store).await.is_empty());
        let again = fire(&world, 5 * HOUR).await.runs;
        assert_eq!(again, usize::from(change != TimerChange::Cancel), "{name}");
        for run in all_open(&*world.store).await {
            world.store.commit_run(commit(&run, version + 1, Outcome::default())).await.unwrap();
        }
    }
}

pub(crate) async fn a_timer_that_is_too_late_is_dropped(place: &dyn Place) {
    let world = open(place).await;
    done(&*world.store, "1", outcome(set(HOUR, Some(2 * HOUR)))).await;
    assert_eq!(fire(&world, 3 * HOUR).await, Fired { runs: 0, expired: 1, next_due: None });
    assert!(world.store.load_entity(&key(), at(0)).await.unwrap().timers.is_empty());
    assert_eq!(world.store.figures(&tenant()).await.unwrap().timers, 0);
}

pub(crate) async fn the_timer_goes_when_its_run_commits(place: &dyn Place) {
    let world = open(place).await;
    done(&*world.store, "1", outcome(set(HOUR, None))).await;
    fire(&world, HOUR).await;
    let run = only_open_run(&world).await;
    let before = world.store.load_entity(&key(), at(0)).await.unwrap();
    assert_eq!(before.timers.len(), 1, "an earlier run can still cancel it");
    let committed = world.store.commit_run(commit(&run, before.version, Outcome::default())).await.unwrap();
    let Committed::Done(after) = committed else { panic!("{committed:?}") };
    assert!(after.timers.is_empty());
    drop(world);
    assert_eq!(fire(&open(place).await, 9 * HOUR).await, Fired::default());
}

pub(crate) async fn setting_a_timer_again_in_its_own_run_fires_again(place: &dyn Place) {
    let world = open(place).await;
    done(&*world.store, "1", outcome(set(HOUR, None))).await;
    // An hourly timer: each run sets the next.
    for hour in 1..4 {
        assert_eq!(fire(&world, hour * HOUR).await.runs, 1, "hour {hour}");
        let run = only_open_run(&world).await;
        let version = version(&world).await;
        let again = outcome(set((hour + 1) * HOUR, None));
        let committed = world.store.commit_run(commit(&run, version, again)).await.unwrap();
        assert!(matches!(committed, Committed::Done(_)), "{committed:?}");
    }
    assert_eq!(world.store.figures(&tenant()).await.unwrap().timers, 1);
}
