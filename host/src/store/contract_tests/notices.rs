//! What endpoints are told is written with what it tells of, once for each that wants it.

use serde_json::Value;

use super::*;
use crate::{
    domain::{
        customer::{Consent, ConsentScope},
        endpoint::{CONSENT, DisabledWhy, Endpoint, INCOMING, Include, Notice, NoticeState, SecretNo, Standing, Try},
        run::Incoming,
    },
    ids::EndpointId,
    store::{CustomerProfile, EndpointChange, EndpointChanged, EndpointPatch, NewIncoming, NoticeFilter, Paging},
};

fn endpoint(no: u8) -> Endpoint {
    Endpoint {
        tenant: tenant(),
        id: EndpointId([no; 16]),
        url: "https://shop.example/relais".into(),
        description: String::new(),
        types: Vec::new(),
        include: Vec::new(),
        disabled: None,
        secrets: vec![SecretNo { no: 1, until: None }],
        failing_since: None,
        created: at(0),
        updated: at(0),
    }
}

async fn made(store: &dyn Store, endpoint: Endpoint) -> EndpointChanged {
    let (tenant, id) = (endpoint.tenant.clone(), endpoint.id);
    store.change_endpoint(&tenant, id, EndpointChange::Create(Box::new(endpoint), 3), at(0)).await.unwrap()
}

async fn made_with(store: &dyn Store, no: u8, change: impl FnOnce(&mut Endpoint)) -> EndpointId {
    let mut endpoint = endpoint(no);
    change(&mut endpoint);
    assert!(matches!(made(store, endpoint).await, EndpointChanged::Done(_)));
    EndpointId([no; 16])
}

pub(super) async fn subscribed(store: &dyn Store, change: impl FnOnce(&mut Endpoint)) -> EndpointId {
    made_with(store, 1, change).await
}

/// Everything that an endpoint was told or is to be told, the first first.
pub(super) async fn all(store: &dyn Store, id: EndpointId) -> Vec<Notice> {
    let page = Paging { before: None, limit: 100 };
    let mut found = store.notices(&tenant(), id, &NoticeFilter::default(), page).await.unwrap();
    found.reverse();
    found
}

async fn kinds(store: &dyn Store, id: EndpointId) -> Vec<String> {
    all(store, id).await.into_iter().map(|notice| notice.kind.trim_start_matches("relais.").to_owned()).collect()
}

fn body(notice: &Notice) -> Value {
    serde_json::from_str(&notice.body).unwrap()
}

async fn update(store: &dyn Store, id: EndpointId, change: EndpointChange, ms: i64) -> EndpointChanged {
    store.change_endpoint(&tenant(), id, change, at(ms)).await.unwrap()
}

pub(crate) async fn what_becomes_of_a_message_is_told_to_those_that_ask_for_it(place: &dyn Place) {
    let world = open(place).await;
    let store = &*world.store;
    let everything = subscribed(store, |_| {}).await;
    let failures = made_with(store, 2, |endpoint| endpoint.types = vec!["relais.message.fell_back".into()]).await;
    let id = sent(store, "a", "wamid.1").await;
    let failed = receipt(id, 1, AttemptState::Failed);
    store.record_receipts(vec![failed], at(50)).await.unwrap();
    begin(store, id, 2, Channel::Sms).await;
    answer(store, id, 2, Answer::Unknown { detail: "timed out".into() }, Next::At(at(HOUR))).await;
    let by_sms = || Receipt { provider: "cm".into(), ..receipt(id, 2, AttemptState::Delivered) };
    store.record_receipts(vec![by_sms()], at(60)).await.unwrap();
    // The same once more tells nothing.
    store.record_receipts(vec![by_sms()], at(61)).await.unwrap();
    store.record_receipts(vec![receipt(id, 1, AttemptState::Read)], at(62)).await.unwrap();
    let told = kinds(store, everything).await;
    assert_eq!(told.first().unwrap(), "message.accepted");
    for kind in ["sent", "fell_back", "uncertain", "delivered", "read", "delivered_twice"] {
        let count = told.iter().filter(|told| **told == format!("message.{kind}")).count();
        assert!(count >= 1 && (kind == "sent" || count == 1), "{kind} in {told:?}");
    }
    assert_eq!(kinds(store, failures).await, ["message.fell_back"]);
    // A higher revision is later.
    let revisions: Vec<i64> =
        all(store, everything).await.iter().map(|notice| body(notice)["data"]["revision"].as_i64().unwrap()).collect();
    assert!(revisions.is_sorted() && revisions[0] == 1, "{revisions:?}");
    // One that is never taken was not accepted.
    let keyed = |name| NewMessage { dedup_key: Some("order/1".into()), ..message(name) };
    store.accept_message(keyed("b")).await.unwrap();
    store.accept_message(keyed("c")).await.unwrap();
    let told = kinds(store, everything).await;
    assert_eq!(&told[told.len() - 2..], ["message.accepted", "message.cancelled"]);
}

pub(crate) async fn texts_and_numbers_are_told_only_to_those_that_ask_for_them(place: &dyn Place) {
    let world = open(place).await;
    let store = &*world.store;
    let thin = subscribed(store, |_| {}).await;
    let full = made_with(store, 2, |endpoint| endpoint.include = vec![Include::Content, Include::Addresses]).await;
    let to_number = NewMessage { to: Recipient::Phone("+33611111111".into()), ..message("a") };
    store.accept_message(to_number.clone()).await.unwrap();
    begin(store, to_number.id, 1, Channel::Sms).await;
    answer(store, to_number.id, 1, Answer::Accepted { provider_id: "id-1".into() }, Next::At(at(HOUR))).await;
    for notice in all(store, thin).await {
        assert!(!notice.body.contains("33611111111") && !notice.body.contains("on its way"), "{}", notice.body);
    }
    let last = all(store, full).await.pop().unwrap();
    let data = &body(&last)["data"];
    assert_eq!((&data["address"], &data["text"]), (&json!("+33611111111"), &json!("Your order is on its way")));
    assert_eq!(data["attempts"][0]["address"], "+33611111111");
    let thin = body(&all(store, thin).await.pop().unwrap());
    assert_eq!((&thin["type"], &thin["data"]["state"]), (&json!("relais.message.sent"), &json!("sent")));
    assert_eq!(thin["data"]["message"], json!(to_number.id));
    assert_eq!(thin["data"]["attempts"][0]["provider"], "cm");
}

pub(crate) async fn a_changed_consent_and_a_message_of_a_customer_are_told(place: &dyn Place) {
    let world = open(place).await;
    let store = &*world.store;
    let id = subscribed(store, |_| {}).await;
    let consent = |granted, ms| Consent {
        channel: Channel::Sms,
        scope: ConsentScope::Service,
        granted,
        source: "STOP by sms".into(),
        at: at(ms),
    };
    let number = "+33611111111";
    let address = crate::domain::customer::Address {
        channel: Channel::Sms,
        address: number.into(),
        last_incoming: None,
        unusable_until: None,
        free_until: None,
    };
    let profile = CustomerProfile { addresses: vec![address], ..CustomerProfile::default() };
    store.put_customer(&tenant(), &ann(), profile, at(0)).await.unwrap();
    assert_eq!(all(store, id).await, [], "a profile is the tenant's own doing");
    store.record_address_consent(&tenant(), number, consent(false, 10)).await.unwrap();
    store.record_address_consent(&tenant(), number, consent(false, 20)).await.unwrap();
    store.record_address_consent(&tenant(), number, consent(true, 5)).await.unwrap();
    store.record_address_consent(&tenant(), number, consent(true, 30)).await.unwrap();
    let told = all(store, id).await;
    let granted: Vec<Value> = told.iter().map(|notice| body(notice)["data"]["granted"].clone()).collect();
    assert_eq!(granted, [json!(false), json!(true)], "the same again is no change, and what is older holds nothing");
    assert!(told.iter().all(|notice| notice.kind == CONSENT && notice.lane == "ann"));

    let incoming = Incoming {
        id: MessageId::of_incoming(&tenant(), "cm", "in-1"),
        tenant: tenant(),
        customer: None,
        sender: number.into(),
        sender_id: None,
        sender_name: None,
        channel: Channel::Sms,
        provider: "cm".into(),
        account: None,
        provider_id: "in-1".into(),
        time: at(40),
        received: at(40),
        kind: "text".into(),
        text: "Are you open?".into(),
        choice: None,
        media: Vec::new(),
        location: None,
        quoted: None,
        in_reply_to: None,
        tag: None,
        opening: false,
        window_ends: None,
        attributes: Vec::new(),
    };
    let new = NewIncoming { incoming, consent: None, others: Vec::new(), free_until: None };
    store.record_incoming(vec![new.clone()], at(40)).await.unwrap();
    store.record_incoming(vec![new], at(41)).await.unwrap();
    let told = all(store, id).await;
    assert_eq!(told.len(), 3, "a repeat of the provider's tells nothing");
    let last = told.last().unwrap();
    assert_eq!((last.kind.as_str(), &body(last)["data"]["customer"]), (INCOMING, &json!("ann")));
    assert!(!last.body.contains("open?") && !last.body.contains(number), "{}", last.body);
}

pub(crate) async fn an_endpoint_that_was_just_made_is_told_what_happens_next(place: &dyn Place) {
    let world = open(place).await;
    // Another that has the endpoints in memory, where there may be another.
    let store = &*world.store;
    store.accept_message(message("before")).await.unwrap();
    for no in 1..=3_u8 {
        let id = made_with(store, no, |_| {}).await;
        store.accept_message(message(&format!("after-{no}"))).await.unwrap();
        assert_eq!(all(store, id).await.len(), 1, "endpoint {no}");
    }
    assert_eq!(all(store, EndpointId([1; 16])).await.len(), 3);
    drop(world);
    let world = open(place).await;
    world.store.accept_message(message("later")).await.unwrap();
    assert_eq!(all(&*world.store, EndpointId([1; 16])).await.len(), 4);
}

pub(crate) async fn a_notice_waits_for_its_time_ends_and_is_replayed_under_its_id(place: &dyn Place) {
    let world = open(place).await;
    let store = &*world.store;
    let id = subscribed(store, |_| {}).await;
    for name in ["a", "b", "c"] {
        store.accept_message(message(name)).await.unwrap();
    }
    let due = store.due_notices(id, at(10), 10).await.unwrap();
    assert_eq!(due.len(), 3);
    assert!(due.iter().all(|notice| notice.standing.state == NoticeState::Waiting));
    let tried = |status| vec![Try { at: at(10), status: Some(status), error: None }];
    let standing = |state, due: Option<i64>, status| Standing { state, due: due.map(at), tries: tried(status) };
    store.answer_notice(due[0].seq, standing(NoticeState::Delivered, None, 204)).await.unwrap();
    store.answer_notice(due[1].seq, standing(NoticeState::Waiting, Some(100), 500)).await.unwrap();
    store.answer_notice(due[2].seq, standing(NoticeState::GivenUp, None, 500)).await.unwrap();
    assert_eq!(store.due_notices(id, at(99), 10).await.unwrap(), []);
    assert_eq!(store.endpoints().await.unwrap()[0].1, Some(at(100)));
    let again = store.due_notices(id, at(100), 10).await.unwrap();
    assert_eq!((again.len(), again[0].id, &again[0].standing.tries), (1, due[1].id, &tried(500)));
    // What has ended is not changed by a late answer.
    store.answer_notice(due[0].seq, standing(NoticeState::Waiting, Some(0), 500)).await.unwrap();
    let filter = |state| NoticeFilter { state, ..NoticeFilter::default() };
    let page = Paging { before: None, limit: 10 };
    let ended = store.notices(&tenant(), id, &filter(Some(NoticeState::Delivered)), page).await.unwrap();
    assert_eq!(ended.iter().map(|notice| notice.id).collect::<Vec<_>>(), [due[0].id]);

    let given_up = filter(Some(NoticeState::GivenUp));
    let done = store.replay_notices(&tenant(), id, &given_up, 10).await.unwrap();
    assert_eq!((done.count, done.more), (1, false));
    let now = store.due_notices(id, at(99), 10).await.unwrap();
    assert_eq!((now.len(), now[0].id, now[0].standing.tries.len()), (1, due[2].id, 0));
    assert_eq!(now[0].body, due[2].body);
    let later = NoticeFilter { since: Some(at(HOUR)), ..NoticeFilter::default() };
    assert_eq!(store.replay_notices(&tenant(), id, &later, 10).await.unwrap().count, 0);
    let named = NoticeFilter { ids: vec![due[0].id, due[1].id], ..NoticeFilter::default() };
    assert_eq!(store.replay_notices(&tenant(), id, &named, 10).await.unwrap().count, 1, "the other waits already");
    for notice in store.due_notices(id, at(HOUR), 10).await.unwrap() {
        store.answer_notice(notice.seq, standing(NoticeState::Delivered, None, 200)).await.unwrap();
    }
    let first = store.replay_notices(&tenant(), id, &filter(None), 2).await.unwrap();
    assert_eq!((first.count, first.more), (2, true));
    let next = NoticeFilter { after_seq: first.last_seq, ..filter(None) };
    assert_eq!(store.replay_notices(&tenant(), id, &next, 2).await.unwrap().count, 1);
    let over = store.overflow(id, 1, 10).await.unwrap();
    assert_eq!(over.iter().map(|notice| notice.seq).collect::<Vec<_>>(), [due[1].seq, due[0].seq]);
}

pub(crate) async fn an_endpoint_is_changed_rotated_disabled_and_removed_with_its_notices(place: &dyn Place) {
    let world = open(place).await;
    let store = &*world.store;
    let id = subscribed(store, |_| {}).await;
    let patch = EndpointPatch { types: Some(vec![CONSENT.into()]), ..EndpointPatch::default() };
    assert!(matches!(update(store, id, EndpointChange::Update(patch), 1).await, EndpointChanged::Done(_)));
    store.accept_message(message("a")).await.unwrap();
    assert_eq!(all(store, id).await, [], "it does not ask for that any more");
    update(store, id, EndpointChange::Rotate(at(100)), 2).await;
    let rotated = store.endpoint(&tenant(), id).await.unwrap().unwrap();
    assert_eq!(rotated.secrets_at(at(99)).collect::<Vec<_>>(), [2, 1]);
    update(store, id, EndpointChange::Failing, 3).await;
    let again = update(store, id, EndpointChange::Failing, 4).await;
    assert!(matches!(again, EndpointChanged::Unchanged(one) if one.failing_since == Some(at(3))));
    assert!(store.test_endpoint(&tenant(), id, at(5)).await.unwrap().is_some());
    update(store, id, EndpointChange::Disable(DisabledWhy::Gone), 6).await;
    assert_eq!(store.test_endpoint(&tenant(), id, at(7)).await.unwrap(), None);
    let stays = update(store, id, EndpointChange::Disable(DisabledWhy::Failing), 8).await;
    assert!(matches!(stays, EndpointChanged::Unchanged(one) if one.disabled.unwrap().why == DisabledWhy::Gone));
    let on = EndpointPatch { enabled: Some(true), ..EndpointPatch::default() };
    let on = update(store, id, EndpointChange::Update(on), 9).await;
    assert!(matches!(on, EndpointChanged::Done(one) if one.enabled() && one.failing_since.is_none()));
    assert_eq!(all(store, id).await.len(), 1, "the test still waits");
    update(store, id, EndpointChange::Remove, 10).await;
    assert_eq!(store.endpoint(&tenant(), id).await.unwrap(), None);
    assert_eq!(all(store, id).await, []);
    assert_eq!(update(store, id, EndpointChange::Remove, 11).await, EndpointChanged::Unknown);
}

pub(crate) async fn a_tenant_has_so_many_endpoints_and_sees_only_its_own(place: &dyn Place) {
    let world = open(place).await;
    let store = &*world.store;
    for no in 1..=3 {
        made_with(store, no, |_| {}).await;
    }
    assert_eq!(made(store, endpoint(4)).await, EndpointChanged::TooMany);
    let other = TenantId::from("other");
    let foreign = Endpoint { tenant: other.clone(), ..endpoint(5) };
    assert!(matches!(made(store, foreign).await, EndpointChanged::Done(_)));
    store.accept_message(message("a")).await.unwrap();
    assert_eq!(store.due_notices(EndpointId([5; 16]), at(HOUR), 10).await.unwrap(), []);
    assert_eq!(store.endpoint(&tenant(), EndpointId([5; 16])).await.unwrap(), None);
    let mine = EndpointId([1; 16]);
    let page = Paging { before: None, limit: 10 };
    assert_eq!(store.notices(&other, mine, &NoticeFilter::default(), page).await.unwrap(), []);
    let gone = store.change_endpoint(&other, mine, EndpointChange::Remove, at(1)).await.unwrap();
    assert_eq!(gone, EndpointChanged::Unknown);
    assert_eq!(store.endpoints().await.unwrap().len(), 4);
}

pub(crate) async fn of_an_erased_customer_no_notice_is_left(place: &dyn Place) {
    let world = open(place).await;
    let store = &*world.store;
    let id = subscribed(store, |endpoint| endpoint.include = vec![Include::Content, Include::Addresses]).await;
    let address = crate::domain::customer::Address {
        channel: Channel::Sms,
        address: "+33611111111".into(),
        last_incoming: None,
        unusable_until: None,
        free_until: None,
    };
    let profile = CustomerProfile { addresses: vec![address], ..CustomerProfile::default() };
    store.put_customer(&tenant(), &ann(), profile, at(0)).await.unwrap();
    sent(store, "a", "wamid.1").await;
    let to_number = NewMessage { to: Recipient::Phone("+33611111111".into()), ..message("b") };
    store.accept_message(to_number).await.unwrap();
    let mentions = Content { text: Some("Call +33611111111".into()), ..Content::default() };
    let to_bob = NewMessage { to: Recipient::Customer(CustomerId::from("bob")), ..message("c") };
    store.accept_message(NewMessage { content: mentions, ..to_bob.clone() }).await.unwrap();
    let kept = NewMessage { id: message("d").id, ..to_bob };
    store.accept_message(kept.clone()).await.unwrap();
    assert!(store.erase_customer(&tenant(), &ann(), at(20)).await.unwrap());
    let left = all(store, id).await;
    for notice in &left {
        assert!(!notice.body.contains("33611111111") && !notice.body.contains("\"ann\""), "{}", notice.body);
    }
    assert!(left.iter().any(|notice| body(notice)["data"]["message"] == json!(kept.id)));
    // That their messages ended is told, without saying whose they were.
    assert!(left.iter().any(|notice| body(notice)["data"]["code"] == "erased"));
}
