//! Everything a store can hold of a customer, in every place where it can stand; and what must not be there afterwards.

use std::collections::BTreeMap;

use super::*;
use crate::{
    domain::{
        customer::{Address, Consent, ConsentScope},
        file::{FileRow, FileState},
        message::{AttemptFailure, Remember, Retry, SmsVerdict},
        run::{Incoming, IncomingMedia, RunFailure, StateChange, StateEntry, TimerChange},
    },
    store::{CustomerProfile, FailureVerdict, NewIncoming, RunFailed},
};

const NUMBER: &str = "+33611111111";

/// What is nowhere in a store after [`erase`]: the number, and a word of each place.
pub(crate) const WORDS: [&str; 16] = [
    "33611111111",
    "customer/ann",
    "Unforgettable",
    "wordinevent",
    "wordinmessage",
    "wordinfailure",
    "wordinstate",
    "wordintimer",
    "wordintext",
    "wordinlog",
    "wordinkey",
    "wordinparked",
    "wordinlate",
    "wordinothers",
    "wordinfile",
    "HBgLMzM2MTExMTExMTEV",
];

fn failure(word: &str) -> AttemptFailure {
    AttemptFailure {
        code: "undelivered".into(),
        provider_code: Some("131026".into()),
        detail: Some(format!("{word}: {NUMBER} cannot be reached")),
        retry: Retry::Never,
        sms: SmsVerdict::Yes,
        remember: Remember::Nothing,
    }
}

fn about(id: &str, word: &str) -> RoutedEvent {
    let mut routed = event(id);
    let data = format!(r#"{{"phone":"{NUMBER}","note":"{word}"}}"#);
    routed.event = Arc::new(Event { data: data.into(), ..(*routed.event).clone() });
    routed.runs[0].cause = Cause::Event(routed.event.clone());
    routed
}

/// A store full of Ann.
pub(crate) async fn fill(store: &dyn Store) {
    let address = |channel| Address {
        channel,
        address: NUMBER.into(),
        last_incoming: None,
        unusable_until: None,
        free_until: None,
    };
    let refused = Consent {
        channel: Channel::Sms,
        scope: ConsentScope::Service,
        granted: false,
        source: "STOP".into(),
        at: at(5),
    };
    let profile = CustomerProfile {
        name: Some("Ann Unforgettable".into()),
        addresses: Channel::ALL.map(address).into(),
        consents: vec![refused],
        ..CustomerProfile::default()
    };
    store.put_customer(&tenant(), &ann(), profile, at(0)).await.unwrap();
    ended_runs(store).await;
    messages(store).await;
    let picture = IncomingMedia {
        id: "wordinfile".into(),
        mime_type: "image/png".into(),
        size: None,
        filename: Some("wordinfile.png".into()),
        sha256: None,
    };
    // What she wrote before anybody knew whose number it is, given to a plugin about something else.
    let incoming = Incoming {
        id: MessageId::of_incoming(&tenant(), "cm", "1"),
        tenant: tenant(),
        customer: None,
        sender: NUMBER.into(),
        sender_id: None,
        sender_name: Some("Ann Unforgettable".into()),
        channel: Channel::Sms,
        provider: "cm".into(),
        account: None,
        provider_id: "in-1".into(),
        time: at(100),
        received: at(101),
        kind: "text".into(),
        text: "wordintext".into(),
        choice: None,
        media: vec![picture],
        location: None,
        quoted: None,
        in_reply_to: None,
        tag: None,
        opening: false,
        window_ends: None,
        attributes: Vec::new(),
    };
    let new = NewIncoming { incoming, others: vec![PluginName::from("helpdesk")], consent: None, free_until: None };
    store.record_incoming(vec![new], at(200)).await.unwrap();
    for file in store.claim_files(at(200), at(250), 1).await.unwrap() {
        let state = FileState::Kept { mime_type: "image/png".into(), filename: Some("wordinfile.png".into()) };
        store.change_file(FileRow { state, bytes: (&b"wordinfile"[..]).into(), due: at(HOUR), ..file }).await.unwrap();
    }
}

async fn ended_runs(store: &dyn Store) {
    store.accept_events(vec![about("1", "wordinevent")]).await.unwrap();
    let run = all_open(store).await.remove(0);
    let entry = StateEntry { value: Arc::from(&b"wordinstate \xff +33611111111"[..]), customer: None, expires: None };
    let timer = TimerChange::Set { due: at(HOUR), expires: None, data: format!(r#"{{"wordintimer":"{NUMBER}"}}"#) };
    let outcome = Outcome {
        state: BTreeMap::from([("seen".to_owned(), StateChange::Set(entry))]),
        timers: BTreeMap::from([("remind".to_owned(), timer)]),
        ..Outcome::default()
    };
    store.commit_run(commit(&run, 0, outcome)).await.unwrap();
    // One that was set aside with its evidence, about an order and nobody's customer.
    let mut other = about("2", "wordinothers");
    other.event = Arc::new(Event { customer: None, ..(*other.event).clone() });
    other.runs[0].key.entity = Entity::from("order/4821");
    other.runs[0].customer = None;
    other.runs[0].cause = Cause::Event(other.event.clone());
    store.accept_events(vec![other]).await.unwrap();
    let run = all_open(store).await.remove(0);
    let failed = RunFailed {
        run,
        failure: RunFailure::Reject { message: format!("wordinlog {NUMBER}"), detail: None },
        report: RunReport::default(),
        verdict: FailureVerdict::SetAside,
        alert: None,
        now: at(10),
    };
    assert!(store.fail_run(failed).await.unwrap());
    store.accept_events(vec![about("3", "wordinevent")]).await.unwrap();
}

async fn messages(store: &dyn Store) {
    let content = Content { text: Some("wordinmessage".into()), ..Content::default() };
    let asked = NewMessage { content, dedup_key: Some("wordinkey".into()), ..message("m") };
    store.accept_message(asked.clone()).await.unwrap();
    begin(store, asked.id, 1, Channel::Whatsapp).await;
    let taken = Answer::Accepted { provider_id: "wamid.HBgLMzM2MTExMTExMTEVAgARGBI=".into() };
    answer(store, asked.id, 1, taken, Next::At(at(HOUR))).await;
    let failed =
        crate::store::Receipt { failure: Some(failure("wordinfailure")), ..receipt(asked.id, 1, AttemptState::Failed) };
    // Of an attempt that is not known, by its token; and of another system's, by an id that holds the number.
    let parked =
        crate::store::Receipt { failure: Some(failure("wordinparked")), ..receipt(asked.id, 7, AttemptState::Failed) };
    let foreign = crate::store::Receipt {
        token: None,
        provider_id: Some("wamid.HBgLMzM2MTExMTExMTEVAgARGBIAAAA=".into()),
        ..receipt(asked.id, 1, AttemptState::Sent)
    };
    store.record_receipts(vec![failed, parked, foreign], at(150)).await.unwrap();
    store.accept_message(NewMessage { id: message("open").id, dedup_key: None, ..asked }).await.unwrap();
}

/// Erases her, and hears of her once more.
pub(crate) async fn erase(store: &dyn Store) {
    assert!(store.erase_customer(&tenant(), &ann(), at(300)).await.unwrap());
    let late = AttemptFailure { provider_code: Some("late".into()), ..failure("wordinlate") };
    let late = crate::store::Receipt { failure: Some(late), ..receipt(message("m").id, 1, AttemptState::Failed) };
    store.record_receipts(vec![late], at(400)).await.unwrap();
    let stranger = store.behind_number(&tenant(), NUMBER, at(500)).await.unwrap();
    let refused = stranger.consent(Channel::Sms, ConsentScope::Service).unwrap();
    assert!(!refused.granted, "the number is suppressed still");
    assert_eq!(store.adrift().await.unwrap(), []);
}

/// About an attempt that nobody has made.
pub(crate) fn unknown_receipt(no: u32) -> crate::store::Receipt {
    crate::store::Receipt {
        token: None,
        provider_id: Some(format!("unknown-{no}")),
        ..receipt(message("unknown").id, 1, AttemptState::Delivered)
    }
}
