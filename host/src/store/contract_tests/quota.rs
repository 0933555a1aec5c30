//! What plugins may use is counted where it is used.

use super::*;
use crate::domain::quota::{Caps, DAY, Money, UseKey, Used};

fn capped(name: &str, caps: Caps) -> NewMessage {
    let plain = message(name);
    let author = plain.author.clone().map(|author| Author { caps, ..author });
    NewMessage { author, ..plain }
}

fn two_a_day(name: &str) -> NewMessage {
    capped(name, Caps { per_customer_day: Some(2), spend_day: None })
}

async fn stands(store: &dyn Store, name: &str) -> (MessageState, bool, Option<String>) {
    let record = read(store, message(name).id).await;
    (record.state, record.settled, record.code)
}

fn places() -> UseKey {
    UseKey::sent_to(&tenant(), &key().plugin, "ann")
}

pub(crate) async fn a_plugin_has_so_many_places_with_a_customer(place: &dyn Place) {
    let world = open(place).await;
    let store = &*world.store;
    let messages = vec![two_a_day("a"), two_a_day("b"), two_a_day("c")];
    done(store, "1", Outcome { messages, ..Outcome::default() }).await;
    assert_eq!(stands(store, "b").await, (MessageState::Pending, false, None));
    let third = read(store, message("c").id).await;
    assert_eq!((third.state, third.settled, third.next), (MessageState::Failed, true, Next::Nothing));
    assert_eq!(third.code.as_deref(), Some("over-quota"));
    let why = third.decision.unwrap().to_string();
    assert!(why.contains("2 of 2") && why.contains("per-customer-day"), "{why}");
    // Somebody else has places of their own, and who has no bound needs none.
    let to_bob = NewMessage { to: Recipient::Phone("+33622222222".into()), ..two_a_day("bob") };
    done(store, "2", Outcome { messages: vec![to_bob, message("free")], ..Outcome::default() }).await;
    assert_eq!(stands(store, "bob").await.0, MessageState::Pending);
    assert_eq!(stands(store, "free").await.0, MessageState::Pending);
    assert_eq!(store.plugin_use(&places()).await.unwrap().times.len(), 2);
    // A day later they are free again.
    let run = accepted(store, "3").await;
    let version = store.load_entity(&run.run.key, at(10)).await.unwrap().version;
    let outcome = Outcome { messages: vec![two_a_day("d")], ..Outcome::default() };
    let late = RunCommit { now: at(10).plus(DAY), ..commit(&run, version, outcome) };
    assert!(matches!(store.commit_run(late).await.unwrap(), Committed::Done(_)));
    assert_eq!(stands(store, "d").await.0, MessageState::Pending);
}

pub(crate) async fn who_asks_side_by_side_gets_no_place_twice(place: &dyn Place) {
    let world = open(place).await;
    let store = &world.store;
    store.put_customer(&tenant(), &ann(), crate::store::CustomerProfile::default(), at(0)).await.unwrap();
    let names: Vec<String> = (0..12).map(|no| format!("m{no}")).collect();
    let taken = names.iter().map(|name| store.accept_message(two_a_day(name)));
    futures_util::future::try_join_all(taken).await.unwrap();
    let mut pending = 0;
    for name in &names {
        pending += usize::from(stands(&**store, name).await.0 == MessageState::Pending);
    }
    assert_eq!(pending, 2);
    assert!(world.store.erase_customer(&tenant(), &ann(), at(20)).await.unwrap());
    assert_eq!(store.plugin_use(&places()).await.unwrap(), Used::default(), "an erased customer leaves no trace");
}

pub(crate) async fn a_plugin_has_so_much_money_a_day(place: &dyn Place) {
    let world = open(place).await;
    let store = &*world.store;
    // An attempt of these tests costs 0.05.
    let caps = Caps { per_customer_day: None, spend_day: Some(Money::parse("0.12 EUR").unwrap()) };
    for name in ["a", "b", "c"] {
        assert!(store.accept_message(capped(name, caps.clone())).await.unwrap());
        begin(store, message(name).id, 1, Channel::Sms).await;
    }
    assert_eq!(read(store, message("b").id).await.attempts.len(), 1);
    let third = read(store, message("c").id).await;
    assert_eq!((third.state, third.settled, third.attempts.len()), (MessageState::Failed, true, 0));
    assert_eq!(third.code.as_deref(), Some("over-spend"));
    let why = third.decision.unwrap().to_string();
    assert!(why.contains("0.10 EUR of 0.12 EUR") && why.contains("would cost 0.05 EUR"), "{why}");
    let spent = store.plugin_use(&UseKey::spent(&tenant(), &key().plugin, "EUR")).await.unwrap();
    assert_eq!(spent.micros, 100_000);
}
