//! Messages: taken once, changed on the revision that was seen, always with something next.

use super::*;
use crate::{
    domain::message::{AttemptFailure, Remember, Retry, SmsVerdict},
    store::{Changed, MessageFilter, Paging},
};

pub(super) fn failure(code: &str, remember: Remember) -> AttemptFailure {
    AttemptFailure {
        code: code.into(),
        provider_code: Some("131026".into()),
        detail: Some("Message undeliverable".into()),
        retry: Retry::Never,
        sms: SmsVerdict::Yes,
        remember,
    }
}

pub(crate) async fn a_message_is_taken_once(place: &dyn Place) {
    let mut world = open(place).await;
    assert!(world.store.accept_message(message("m")).await.unwrap());
    assert!(!world.store.accept_message(message("m")).await.unwrap());
    let handed = world.inlets.messages.queue.try_recv().unwrap();
    assert_eq!((&handed.message, handed.next, handed.state), (&message("m"), Next::Now, MessageState::Pending));
    assert!(world.inlets.messages.queue.try_recv().is_err());
    drop(world);
    assert_eq!(open(place).await.store.open_messages(&tenant(), 0, 10).await.unwrap(), [handed]);
}

pub(crate) async fn the_same_dedup_key_is_sent_once(place: &dyn Place) {
    let mut world = open(place).await;
    let keyed = |name: &str| NewMessage { dedup_key: Some("order/1 shipped".into()), ..message(name) };
    done(&*world.store, "1", Outcome { messages: vec![keyed("a"), keyed("b")], ..Outcome::default() }).await;
    assert_eq!(world.inlets.messages.queue.try_recv().unwrap().message.id, message("a").id);
    assert!(world.inlets.messages.queue.try_recv().is_err());
    let second = read(&*world.store, message("b").id).await;
    assert_eq!(
        (second.state, second.settled, second.code.as_deref()),
        (MessageState::Cancelled, true, Some("duplicate"))
    );
    let found = world.store.message_by_dedup_key(&tenant(), &key().plugin, "ann", "order/1 shipped").await.unwrap();
    assert_eq!(found, Some(message("a").id));
}

pub(crate) async fn a_change_needs_the_revision_it_was_decided_on(place: &dyn Place) {
    let world = open(place).await;
    world.store.accept_message(message("m")).await.unwrap();
    let seen = read(&*world.store, message("m").id).await;
    begin(&*world.store, seen.message.id, 1, Channel::Whatsapp).await;
    let kind = MessageChangeKind::Begin { attempt: attempt(1, Channel::Sms), look_again: at(HOUR) };
    let late = MessageChange { tenant: tenant(), message: seen.message.id, revision: seen.revision, kind, now: at(31) };
    let changed = world.store.change_message(late.clone()).await.unwrap();
    let Changed::Stale(now) = changed else { panic!("{changed:?}") };
    assert_eq!(now.attempts, [attempt(1, Channel::Whatsapp)]);
    let unknown = MessageChange { message: message("unknown").id, ..late.clone() };
    assert!(matches!(world.store.change_message(unknown).await.unwrap(), Changed::Gone));
    let foreign = MessageChange { tenant: TenantId::from("other"), ..late };
    assert!(matches!(world.store.change_message(foreign).await.unwrap(), Changed::Gone));
}

pub(crate) async fn a_message_that_has_to_wait_comes_back_when_it_is_due(place: &dyn Place) {
    let world = open(place).await;
    for (name, until) in [("a", 2 * HOUR), ("b", HOUR), ("c", 3 * HOUR)] {
        world.store.accept_message(message(name)).await.unwrap();
        let hold = MessageChangeKind::Hold {
            code: "quiet-hours".into(),
            decision: json!({ "until": until }),
            until: at(until),
        };
        change(&*world.store, message(name).id, hold).await;
    }
    drop(world);
    let world = open(place).await;
    assert!(world.store.open_messages(&tenant(), 0, 10).await.unwrap().is_empty());
    let mut theirs = message("theirs");
    theirs.tenant = TenantId::from("another");
    let (id, hold) = (theirs.id, MessageChangeKind::Hold { code: "pace".into(), decision: json!({}), until: at(HOUR) });
    world.store.accept_message(theirs).await.unwrap();
    let kind = MessageChange { tenant: "another".into(), message: id, revision: 1, kind: hold, now: at(30) };
    assert!(matches!(world.store.change_message(kind).await.unwrap(), Changed::Done(_)));
    let due = async |after, until, limit| {
        let found = world.store.due_messages(&tenant(), after, at(until), limit).await.unwrap();
        found.into_iter().map(|record| (record.message.id, record.seq)).unzip::<_, _, Vec<_>, Vec<_>>()
    };
    let [a, b] = ["a", "b"].map(|name| message(name).id);
    let first = (Timestamp(i64::MIN), i64::MIN);
    assert_eq!(world.store.due_tenants(at(HOUR - 1)).await.unwrap(), (vec![], Some(at(HOUR))));
    let both = vec![TenantId::from("another"), tenant()];
    assert_eq!(world.store.due_tenants(at(HOUR)).await.unwrap(), (both.clone(), Some(at(2 * HOUR))));
    assert_eq!(world.store.due_tenants(at(2 * HOUR)).await.unwrap(), (both, Some(at(3 * HOUR))));
    assert_eq!(due(first, HOUR - 1, 10).await.0, []);
    assert_eq!(due(first, 2 * HOUR, 10).await.0, [b, a], "and none of another tenant's");
    let (first_read, seqs) = due(first, 2 * HOUR, 1).await;
    assert_eq!(first_read, [b]);
    assert_eq!(due((at(HOUR), seqs[0]), 2 * HOUR, 10).await.0, [a], "it goes on after what was read");
    assert_eq!(due((at(HOUR), seqs[0] - 1), 2 * HOUR, 10).await.0, [b, a]);
    let held = read(&*world.store, a).await;
    assert_eq!((held.code.as_deref(), held.decision), (Some("quiet-hours"), Some(json!({ "until": 2 * HOUR }))));
}

pub(crate) async fn a_cancelled_message_is_handed_over_again(place: &dyn Place) {
    let mut world = open(place).await;
    let id = sent(&*world.store, "m", "wamid.1").await;
    while world.inlets.messages.queue.try_recv().is_ok() {}
    assert!(world.store.cancel_message(&tenant(), id, at(40)).await.unwrap());
    let handed = world.inlets.messages.queue.try_recv().unwrap();
    assert_eq!((handed.cancel, handed.next, handed.state), (true, Next::Now, MessageState::Sent));
    let settle = MessageChangeKind::Settle { state: MessageState::Cancelled, code: None, decision: json!({}) };
    let settled = change(&*world.store, id, settle).await;
    assert_eq!((settled.state, settled.settled, settled.next), (MessageState::Cancelled, true, Next::Nothing));
    assert!(!world.store.cancel_message(&tenant(), id, at(41)).await.unwrap());
    let filter = MessageFilter { customer: Some(ann()), state: Some(MessageState::Cancelled) };
    let page = Paging { before: None, limit: 10 };
    assert_eq!(world.store.messages(&tenant(), &filter, page).await.unwrap(), [settled]);
}

pub(crate) async fn a_plugin_cancels_only_its_own(place: &dyn Place) {
    let world = open(place).await;
    let mut foreign = message("foreign");
    foreign.author.as_mut().unwrap().plugin = PluginName::from("another");
    world.store.accept_message(foreign.clone()).await.unwrap();
    world.store.accept_message(message("own")).await.unwrap();
    let cancels = vec![foreign.id, message("own").id, message("unknown").id];
    done(&*world.store, "1", Outcome { cancels, ..Outcome::default() }).await;
    assert!(!read(&*world.store, foreign.id).await.cancel);
    assert!(read(&*world.store, message("own").id).await.cancel);
}

pub(crate) async fn the_author_is_told_of_the_states_it_asked_for(place: &dyn Place) {
    let world = open(place).await;
    let id = sent(&*world.store, "m", "wamid.1").await;
    assert!(all_open(&*world.store).await.is_empty(), "it did not ask for `sent`");
    let reported = vec![receipt(id, 1, AttemptState::Delivered), receipt(id, 1, AttemptState::Read)];
    world.store.record_receipts(reported, at(200)).await.unwrap();
    let told = all_open(&*world.store).await;
    assert_eq!(told.len(), 1, "once, and not for `read`: {told:?}");
    assert_eq!((&told[0].run.key, told[0].run.customer.clone()), (&key(), Some(ann())));
    let Cause::Delivery(delivery) = &told[0].run.cause else { panic!("{told:?}") };
    assert_eq!((delivery.message, delivery.state, delivery.settled), (id, MessageState::Delivered, true));
    assert_eq!((delivery.tag.as_deref(), delivery.channel), (Some("on-its-way"), Channel::Whatsapp));
}

pub(crate) async fn a_lost_answer_is_counted_until_it_is_resolved(place: &dyn Place) {
    let world = open(place).await;
    let id = message("m").id;
    world.store.accept_message(message("m")).await.unwrap();
    begin(&*world.store, id, 1, Channel::Whatsapp).await;
    let lost = Answer::Unknown { detail: "timed out after 10 s".into() };
    let record = answer(&*world.store, id, 1, lost, Next::At(at(HOUR))).await;
    assert_eq!((record.attempts[0].state, record.next), (AttemptState::Uncertain, Next::At(at(HOUR))));
    assert_eq!(record.attempts[0].decision["answer-lost"], "timed out after 10 s");
    assert_eq!(world.store.figures(&tenant()).await.unwrap().uncertain_attempts, 1);
    world.store.record_receipts(vec![receipt(id, 1, AttemptState::Sent)], at(200)).await.unwrap();
    assert_eq!(world.store.figures(&tenant()).await.unwrap().uncertain_attempts, 0);
    assert_eq!(read(&*world.store, id).await.state, MessageState::Sent);
}
