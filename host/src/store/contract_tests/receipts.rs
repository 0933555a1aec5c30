//! Receipts: late, repeated, out of order, before the answer, about what was given up.

use super::{messages::failure, *};
use crate::{
    domain::{
        customer::{Address, ConsentScope},
        message::Remember,
    },
    store::{CustomerProfile, Recorded},
};

/// All orders of the given items.
fn permutations<T: Clone>(items: &[T]) -> Vec<Vec<T>> {
    if items.is_empty() {
        return vec![Vec::new()];
    }
    (0..items.len())
        .flat_map(|first| {
            let mut rest = items.to_vec();
            let item = rest.remove(first);
            permutations(&rest).into_iter().map(move |mut order| {
                order.insert(0, item.clone());
                order
            })
        })
        .collect()
}

pub(crate) async fn receipts_in_any_order_and_repeated_end_alike(place: &dyn Place) {
    let world = open(place).await;
    let mut ends = Vec::new();
    let states = [AttemptState::Sent, AttemptState::Failed, AttemptState::Delivered, AttemptState::Read];
    for (number, order) in permutations(&states).into_iter().enumerate() {
        let id = sent(&*world.store, &format!("m{number}"), &format!("wamid.{number}")).await;
        let receipts: Vec<_> = order
            .iter()
            .map(|state| Receipt {
                failure: (*state == AttemptState::Failed).then(|| failure("undeliverable", Remember::Nothing)),
                ..receipt(id, 1, *state)
            })
            .collect();
        // One request each, then all of them once more in one.
        for receipt in &receipts {
            let recorded = world.store.record_receipts(vec![receipt.clone()], at(200)).await.unwrap();
            assert_eq!(recorded, [Recorded::New]);
        }
        let repeated = world.store.record_receipts(receipts, at(300)).await.unwrap();
        assert_eq!(repeated, [Recorded::Repeated; 4]);
        let end = read(&*world.store, id).await;
        let attempt = &end.attempts[0];
        ends.push((end.state, end.settled, end.next, end.code.clone(), attempt.state, attempt.failure.clone()));
        assert_eq!(world.store.receipts(&tenant(), id).await.unwrap().len(), 4);
    }
    assert_eq!((ends[0].0, ends[0].1, ends[0].2), (MessageState::Read, true, Next::Nothing));
    assert!(ends.iter().all(|end| *end == ends[0]), "{ends:?}");
    assert_eq!(world.store.figures(&tenant()).await.unwrap().open_messages, 0);
}

/// What is reported of the parts of a message in three parts, each under an id of its own.
fn part(name: &str, no: u32, state: AttemptState) -> Receipt {
    Receipt {
        token: None,
        provider_id: Some(format!("{name}.{no}")),
        failure: (state == AttemptState::Failed).then(|| failure("undeliverable", Remember::Nothing)),
        ..receipt(MessageId::of_request(&tenant(), name), 1, state)
    }
}

pub(crate) async fn a_message_in_parts_has_arrived_when_all_parts_have(place: &dyn Place) {
    let world = open(place).await;
    let arrived = [1, 2, 3].map(|no| (no, AttemptState::Delivered));
    let mut number = 0;
    for (last, wanted) in [(None, AttemptState::Delivered), (Some((2, AttemptState::Failed)), AttemptState::Delivered)]
    {
        let reports: Vec<_> = arrived.into_iter().chain(last).collect();
        for order in permutations(&reports) {
            number += 1;
            let name = format!("m{number}");
            let ids = [1, 2, 3].map(|no| format!("{name}.{no}")).join(" ");
            let id = sent(&*world.store, &name, &ids).await;
            let mut heard = std::collections::BTreeSet::new();
            for (no, state) in &order {
                let report = part(&name, *no, *state);
                let recorded = world.store.record_receipts(vec![report.clone(), report], at(200)).await.unwrap();
                assert_eq!(recorded, [Recorded::New, Recorded::Repeated]);
                heard.extend((*state == AttemptState::Delivered).then_some(*no));
                let state = read(&*world.store, id).await.attempts[0].state;
                assert_eq!(state == AttemptState::Delivered, heard.len() == 3, "{order:?}");
            }
            assert_eq!(read(&*world.store, id).await.attempts[0].state, wanted, "{order:?}");
        }
    }
}

pub(crate) async fn a_message_in_parts_fails_with_one_of_them(place: &dyn Place) {
    let world = open(place).await;
    let reports = [(1, AttemptState::Delivered), (2, AttemptState::Failed), (3, AttemptState::Delivered)];
    for (number, order) in permutations(&reports).into_iter().enumerate() {
        let name = format!("m{number}");
        // Two of them are heard of before the answer is written down.
        let early: Vec<_> = order[..2].iter().map(|(no, state)| part(&name, *no, *state)).collect();
        assert_eq!(world.store.record_receipts(early, at(50)).await.unwrap(), [Recorded::Parked; 2]);
        let ids = [1, 2, 3].map(|no| format!("{name}.{no}")).join(" ");
        let id = sent(&*world.store, &name, &ids).await;
        let (no, state) = order[2];
        assert_eq!(world.store.record_receipts(vec![part(&name, no, state)], at(200)).await.unwrap(), [Recorded::New]);
        let attempt = &read(&*world.store, id).await.attempts[0];
        assert_eq!(attempt.state, AttemptState::Failed, "{order:?}");
        assert_eq!(attempt.failure.as_ref().unwrap().code, "undeliverable");
    }
}

pub(crate) async fn a_receipt_before_the_answer_counts(place: &dyn Place) {
    let world = open(place).await;
    let id = message("m").id;
    world.store.accept_message(message("m")).await.unwrap();
    begin(&*world.store, id, 1, Channel::Whatsapp).await;
    world.store.record_receipts(vec![receipt(id, 1, AttemptState::Delivered)], at(200)).await.unwrap();
    let accepted = Answer::Accepted { provider_id: "wamid.1".into() };
    let record = answer(&*world.store, id, 1, accepted, Next::At(at(HOUR))).await;
    assert_eq!((record.state, record.settled, record.next), (MessageState::Delivered, true, Next::Nothing));
    assert_eq!(record.attempts[0].provider_id.as_deref(), Some("wamid.1"));
}

pub(crate) async fn a_receipt_about_an_unknown_attempt_is_matched_later(place: &dyn Place) {
    let world = open(place).await;
    let id = message("m").id;
    let stranger =
        Receipt { token: None, provider_id: Some("wamid.1".into()), ..receipt(id, 1, AttemptState::Delivered) };
    for _ in 0..2 {
        let recorded = world.store.record_receipts(vec![stranger.clone()], at(200)).await.unwrap();
        assert_eq!(recorded, [Recorded::Parked]);
    }
    sent(&*world.store, "m", "wamid.1").await;
    let record = read(&*world.store, id).await;
    assert_eq!((record.state, record.settled), (MessageState::Delivered, true));
    let story = world.store.receipts(&tenant(), id).await.unwrap();
    assert_eq!(
        story.iter().map(|line| (line.state, line.received)).collect::<Vec<_>>(),
        [(AttemptState::Delivered, at(200))]
    );
}

pub(crate) async fn a_message_that_arrives_twice_is_counted(place: &dyn Place) {
    let world = open(place).await;
    let id = sent(&*world.store, "m", "wamid.1").await;
    let falling_back = begin(&*world.store, id, 2, Channel::Sms).await;
    assert_eq!(falling_back.state, MessageState::FallingBack);
    answer(&*world.store, id, 2, Answer::Accepted { provider_id: "sms.1".into() }, Next::At(at(HOUR))).await;
    for (provider, no) in [("cm", 2), ("meta", 1)] {
        let receipt = Receipt { provider: provider.into(), ..receipt(id, no, AttemptState::Delivered) };
        world.store.record_receipts(vec![receipt.clone(), receipt], at(200)).await.unwrap();
    }
    assert_eq!(read(&*world.store, id).await.state, MessageState::Delivered);
    assert_eq!(world.store.figures(&tenant()).await.unwrap().double_deliveries, 1);
}

pub(crate) async fn a_message_that_was_given_up_can_still_arrive(place: &dyn Place) {
    let world = open(place).await;
    let id = sent(&*world.store, "m", "wamid.1").await;
    let settle =
        MessageChangeKind::Settle { state: MessageState::Expired, code: Some("expired".into()), decision: json!({}) };
    assert_eq!(change(&*world.store, id, settle).await.state, MessageState::Expired);
    world.store.record_receipts(vec![receipt(id, 1, AttemptState::Delivered)], at(200)).await.unwrap();
    let record = read(&*world.store, id).await;
    assert_eq!((record.state, record.settled, record.code), (MessageState::Delivered, true, None));
    let figures = world.store.figures(&tenant()).await.unwrap();
    assert_eq!(figures.messages_by_state.into_iter().collect::<Vec<_>>(), [("delivered".to_owned(), 1)]);
}

pub(crate) async fn a_failed_attempt_is_planned_again(place: &dyn Place) {
    let mut world = open(place).await;
    let id = sent(&*world.store, "m", "wamid.1").await;
    while world.inlets.messages.queue.try_recv().is_ok() {}
    let failed = Receipt {
        failure: Some(failure("not-on-whatsapp", Remember::AddressUnusable)),
        ..receipt(id, 1, AttemptState::Failed)
    };
    world.store.record_receipts(vec![failed], at(200)).await.unwrap();
    let handed = world.inlets.messages.queue.try_recv().unwrap();
    assert_eq!((handed.next, handed.settled, handed.attempts[0].state), (Next::Now, false, AttemptState::Failed));
}

pub(crate) async fn a_stop_that_a_provider_reports_is_a_refusal(place: &dyn Place) {
    let world = open(place).await;
    let address =
        |channel| Address { channel, address: "+33611111111".into(), last_incoming: None, unusable_until: None };
    let addresses = Channel::ALL.map(address).to_vec();
    let profile = CustomerProfile { addresses, ..CustomerProfile::default() };
    world.store.put_customer(&tenant(), &ann(), profile, at(0)).await.unwrap();
    let id = sent(&*world.store, "m", "wamid.1").await;
    // Two failures of an attempt are two receipts where their codes differ.
    let failed = |remember| {
        let mut failure = failure("refused", remember);
        failure.provider_code = Some(format!("{remember:?}"));
        Receipt { failure: Some(failure), ..receipt(id, 1, AttemptState::Failed) }
    };
    world.store.record_receipts(vec![failed(Remember::MarketingStopped)], at(200)).await.unwrap();
    let customer = world.store.customer(&tenant(), &ann()).await.unwrap().unwrap();
    let refused = customer.consent(Channel::Whatsapp, ConsentScope::Marketing).unwrap();
    assert_eq!((refused.granted, refused.at), (false, at(200)));
    assert_eq!(customer.consent(Channel::Whatsapp, ConsentScope::Service), None);
    assert_eq!(customer.consent(Channel::Sms, ConsentScope::Marketing), None);
    world.store.record_receipts(vec![failed(Remember::AddressUnusable)], at(300)).await.unwrap();
    let customer = world.store.customer(&tenant(), &ann()).await.unwrap().unwrap();
    assert!(customer.address(Channel::Whatsapp).unwrap().unusable_until.unwrap() > at(300));
    assert_eq!(customer.address(Channel::Sms).unwrap().unusable_until, None);
}
