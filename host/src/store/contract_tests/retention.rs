//! What is old and ended goes; what is open, young or needed stays. And of who was erased nothing is left.

pub(crate) use super::stats::figures_of_a_day_go_by_their_age;
use super::*;
use crate::{
    domain::run::{RunFailure, TimerChange},
    store::{Accepted, Aged, FailureVerdict, RetainStep, RunFailed},
};

const DAY: i64 = 24 * HOUR;

/// All steps of a kind, few rows at a time.
async fn retain(store: &dyn Store, what: Aged, before: Timestamp, keys_before: Option<Timestamp>) -> u64 {
    let (mut rows, mut after) = (0, 0);
    loop {
        let done = store.retain(RetainStep { what, before, keys_before, after, limit: 2 }).await.unwrap();
        rows += done.rows;
        after = done.last;
        if !done.more {
            return rows;
        }
    }
}

async fn set_aside(store: &dyn Store, id: &str) -> QueuedRun {
    let run = accepted(store, id).await;
    let failure = RunFailure::Reject { message: "not of any use".into(), detail: None };
    let failed = RunFailed {
        run: run.clone(),
        failure,
        report: RunReport::default(),
        verdict: FailureVerdict::SetAside,
        alert: None,
        now: at(10),
    };
    assert!(store.fail_run(failed).await.unwrap());
    run
}

async fn data(store: &dyn Store, id: &str) -> Option<String> {
    store.event(&tenant(), event(id).event.id).await.unwrap().map(|event| event.data.to_string())
}

pub(crate) async fn what_is_old_and_ended_is_emptied_and_later_gone(place: &dyn Place) {
    let world = open(place).await;
    let store = &*world.store;
    let ended = done(store, "ended", Outcome::default()).await;
    let aside = set_aside(store, "aside").await;
    let waiting = accepted(store, "open").await;
    // The last of all has nothing that would keep it.
    done(store, "last", Outcome::default()).await;

    assert_eq!(retain(store, Aged::EventBodies, at(0), None).await, 0, "nothing is that old");
    assert_eq!(retain(store, Aged::EventBodies, at(DAY), None).await, 2);
    assert_eq!(retain(store, Aged::EventBodies, at(DAY), None).await, 0, "it is empty already");
    assert_eq!(data(store, "ended").await.as_deref(), Some("null"));
    for kept in ["aside", "open"] {
        assert!(data(store, kept).await.unwrap().contains("+336"), "{kept}");
    }
    assert_eq!(retain(store, Aged::RunBodies, at(DAY), None).await, 2);
    assert_eq!(store.run(&tenant(), ended.run.id).await.unwrap().unwrap().report, None);
    assert!(store.run(&tenant(), aside.run.id).await.unwrap().unwrap().failure.is_some());

    assert!(retain(store, Aged::Runs, at(DAY), None).await >= 1);
    assert!(retain(store, Aged::Events, at(DAY), None).await >= 1);
    assert!(store.run(&tenant(), ended.run.id).await.unwrap().is_none());
    assert_eq!(data(store, "ended").await, None);
    for (kept, run) in [("aside", &aside), ("open", &waiting)] {
        assert!(data(store, kept).await.unwrap().contains("+336"), "{kept}");
        assert!(store.run(&tenant(), run.run.id).await.unwrap().is_some());
    }
    assert_eq!(all_open(store).await, [waiting]);
    assert!(store.replay_run(&tenant(), aside.run.id, at(20)).await.unwrap());
    assert_eq!(store.adrift().await.unwrap(), []);
}

pub(crate) async fn an_event_that_is_gone_is_known_until_its_key_goes(place: &dyn Place) {
    let world = open(place).await;
    for id in ["1", "2"] {
        done(&*world.store, id, Outcome::default()).await;
    }
    retain(&*world.store, Aged::Runs, at(DAY), None).await;
    retain(&*world.store, Aged::Events, at(DAY), None).await;
    assert_eq!(data(&*world.store, "1").await, None);
    drop(world);
    let world = open(place).await;
    let again = async || world.store.accept_events(vec![event("1")]).await.unwrap().remove(0);
    let id = event("1").event.id;
    assert_eq!(again().await, Accepted { event: id, duplicate: true, runs: vec![] });
    assert_eq!(retain(&*world.store, Aged::Keys, at(0), None).await, 0);
    assert!(again().await.duplicate);
    assert!(retain(&*world.store, Aged::Keys, at(DAY), None).await >= 1);
    assert!(!again().await.duplicate, "its key is gone");
    assert_eq!(all_open(&*world.store).await.len(), 1);
}

pub(crate) async fn an_event_that_a_timer_refers_to_stays(place: &dyn Place) {
    let world = open(place).await;
    let store = &*world.store;
    let set = TimerChange::Set { due: at(500 * DAY), expires: None, data: "{}".into() };
    let outcome = Outcome { timers: [("remind".to_owned(), set)].into(), ..Outcome::default() };
    // Timers carry the event that their chain goes back to.
    done(store, "origin", outcome).await;
    done(store, "other", Outcome::default()).await;
    done(store, "last", Outcome::default()).await;
    retain(store, Aged::Runs, at(DAY), None).await;
    retain(store, Aged::Events, at(DAY), None).await;
    assert!(data(store, "origin").await.is_some());
    assert_eq!(data(store, "other").await, None);
}

pub(crate) async fn settled_messages_are_emptied_and_later_gone_with_what_belongs_to_them(place: &dyn Place) {
    let world = open(place).await;
    let store = &*world.store;
    let settled = sent(store, "settled", "wamid.1").await;
    store.record_receipts(vec![receipt(settled, 1, AttemptState::Delivered)], at(200)).await.unwrap();
    let under_way = sent(store, "under-way", "wamid.2").await;
    let doubtful = NewMessage { dedup_key: Some("order/1".into()), ..message("doubtful") };
    store.accept_message(doubtful.clone()).await.unwrap();
    begin(store, doubtful.id, 1, Channel::Whatsapp).await;
    answer(store, doubtful.id, 1, Answer::Unknown { detail: "timed out".into() }, Next::At(at(HOUR))).await;
    change(store, doubtful.id, MessageChangeKind::Close { code: Some("uncertain".into()) }).await;
    assert_eq!(store.figures(&tenant()).await.unwrap().uncertain_attempts, 1);
    store.accept_message(message("last")).await.unwrap();

    assert_eq!(retain(store, Aged::MessageBodies, at(DAY), None).await, 2);
    assert_eq!(retain(store, Aged::MessageBodies, at(DAY), None).await, 0, "they are empty already");
    let emptied = read(store, settled).await;
    let asked = NewMessage { content: Content::default(), ..message("settled") };
    assert_eq!((emptied.message, emptied.state, emptied.attempts.len()), (asked, MessageState::Delivered, 1));
    assert!(read(store, under_way).await.message.content.text.is_some());

    assert_eq!(retain(store, Aged::Messages, at(DAY), None).await, 1, "one has a key that stays for ever");
    assert_eq!(store.message(&tenant(), settled).await.unwrap(), None);
    assert!(store.receipts(&tenant(), settled).await.unwrap().is_empty());
    let key = async || store.message_by_dedup_key(&tenant(), &key().plugin, "ann", "order/1").await.unwrap();
    assert_eq!(key().await, Some(doubtful.id));
    assert_eq!(retain(store, Aged::Messages, at(DAY), Some(at(DAY))).await, 1);
    assert_eq!(key().await, None);
    assert_eq!(store.figures(&tenant()).await.unwrap().uncertain_attempts, 0);
    for kept in [under_way, message("last").id] {
        assert!(read(store, kept).await.message.content.text.is_some());
    }
    assert_eq!(store.adrift().await.unwrap(), []);
}

pub(crate) async fn receipts_that_never_found_their_attempt_go(place: &dyn Place) {
    let world = open(place).await;
    let unknown = receipt(message("unknown").id, 1, AttemptState::Delivered);
    world.store.record_receipts(vec![unknown], at(200)).await.unwrap();
    assert_eq!(retain(&*world.store, Aged::Parked, at(200), None).await, 0);
    assert_eq!(retain(&*world.store, Aged::Parked, at(201), None).await, 1);
}
