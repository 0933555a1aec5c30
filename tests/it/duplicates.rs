//! The same source and id again is the same event: it is answered as a duplicate, and runs nothing.

use serde_json::json;

use crate::harness::{Db, Host, PAUL, Setup, both_databases, order_ready};

both_databases! {
    an_event_that_comes_again_is_a_duplicate_and_runs_nothing,
    of_many_at_the_same_moment_one_is_accepted,
    a_batch_says_of_each_event_what_it_is,
}

async fn an_event_that_comes_again_is_a_duplicate_and_runs_nothing(db: Db) {
    let mut host = Host::start(Setup::new().on(db)).await;
    host.customer("paul", PAUL).await;
    let event = order_ready("paul", "A");
    let first = host.event(event.clone()).await;
    assert_eq!((&first["duplicate"], first["runs"].as_array().unwrap().len()), (&json!(false), 1));
    host.only_message("paul", "read").await;

    // Whatever else it says now: it is the source and the id that count, and after a restart as well.
    let mut other = order_ready("paul", "B");
    other["id"] = event["id"].clone();
    let again = host.event(other.clone()).await;
    assert_eq!((&again["duplicate"], &again["id"]), (&json!(true), &first["id"]));
    host.restart().await;
    assert_eq!(host.event(event.clone()).await["duplicate"], true);
    assert_eq!(host.messages("paul").await.len(), 1);

    other["source"] = json!("/another-test");
    assert_eq!(host.event(other).await["duplicate"], false);
    assert_eq!(host.messages("paul").await.len(), 2);
}

async fn of_many_at_the_same_moment_one_is_accepted(db: Db) {
    let host = Host::start(Setup::new().on(db)).await;
    host.customer("paul", PAUL).await;
    let event = order_ready("paul", "A");
    let posts = (0..16).map(|_| host.post_event("/v1/events", &event));
    let answers = futures_util::future::join_all(posts).await;
    assert!(answers.iter().all(|answer| answer.status == 202), "{answers:?}");
    let first = answers.iter().filter(|answer| answer.body["duplicate"] == false).count();
    assert_eq!(first, 1);
    host.only_message("paul", "read").await;
}

async fn a_batch_says_of_each_event_what_it_is(db: Db) {
    let host = Host::start(Setup::new().on(db)).await;
    host.customer("paul", PAUL).await;
    let (known, new) = (order_ready("paul", "A"), order_ready("paul", "B"));
    host.event(known.clone()).await;
    let batch = json!([known, new, new, order_ready("paul", "C")]);
    let answer = host.post_event("/v1/events?wait=20", &batch).await;
    let duplicates: Vec<_> =
        answer.body.as_array().unwrap().iter().map(|one| one["duplicate"].as_bool().unwrap()).collect();
    assert_eq!(duplicates, [true, false, true, false]);
    assert_eq!(host.messages("paul").await.len(), 3);
}
