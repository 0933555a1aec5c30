//! An event's whole life, and every look for open work: what a database must not read a table from end to end for.

use super::*;
use crate::domain::run::{StateChange, StateEntry, TimerChange};

/// Lives it once, on a store that holds much that is others'.
pub(crate) async fn live(store: &dyn Store, name: &str) {
    store.accept_events(vec![event(name)]).await.unwrap();
    store.open_flows().await.unwrap();
    let open = store.open_runs(&flow(), 0, 1000).await.unwrap();
    let run = open.into_iter().find(|run| run.run.id == event(name).runs[0].id).unwrap();
    store.open_run_seqs(&flow(), 0, i64::MAX, 1000).await.unwrap();
    store.open_runs_of(&key(), 0, 100).await.unwrap();
    let version = store.load_entity(&key(), at(10)).await.unwrap().version;
    let keyed = NewMessage { dedup_key: Some(format!("order/{name}")), ..message(&format!("run of {name}")) };
    let timer = TimerChange::Set { due: at(0), expires: None, data: "{}".into() };
    let entry = StateEntry { value: Arc::from(&b"1"[..]), customer: Some(ann()), expires: None };
    let outcome = Outcome {
        messages: vec![keyed.clone()],
        state: [("seen".to_owned(), StateChange::Set(entry))].into(),
        timers: [("later".to_owned(), timer)].into(),
        ..Outcome::default()
    };
    store.commit_run(commit(&run, version, outcome)).await.unwrap();
    assert_eq!(store.fire_timers(at(20), 100).await.unwrap().runs, 1);
    store.open_message_tenants().await.unwrap();
    store.open_messages(&tenant(), 0, 100).await.unwrap();
    store.earlier_messages(&tenant(), "ann", i64::MAX).await.unwrap();
    store.open_message_seqs(&tenant(), 0, i64::MAX, 100).await.unwrap();
    store.open_messages_of(&tenant(), "ann", 0, 100).await.unwrap();
    let id = sent(store, name, &format!("wamid.{name}")).await;
    let (tenants, _) = store.due_tenants(at(2 * HOUR)).await.unwrap();
    assert!(tenants.contains(&tenant()), "{tenants:?}");
    let due = store.due_messages(&tenant(), (at(0), 0), at(2 * HOUR), 100).await.unwrap();
    assert!(due.iter().any(|record| record.message.id == id));
    let unknown =
        Receipt { token: None, provider_id: Some("unknown".into()), ..receipt(id, 1, AttemptState::Delivered) };
    store.record_receipts(vec![receipt(id, 1, AttemptState::Delivered), unknown], at(200)).await.unwrap();
    assert!(store.cancel_message(&tenant(), keyed.id, at(40)).await.unwrap());
    store.message_by_dedup_key(&tenant(), &key().plugin, "ann", &format!("order/{name}")).await.unwrap();
    store.figures(&tenant()).await.unwrap();
}
