//! What is counted of messages: once, whatever is repeated, and the same in whatever order it is heard.

use super::{messages::failure, *};
use crate::{
    domain::message::Remember,
    store::{Aged, By, RetainStep, StatRow, StatSpan},
};

fn span(by: &[By]) -> StatSpan {
    let day = crate::domain::tally::day(at(0));
    StatSpan { from: day, to: day + 2, by: by.to_vec(), limit: 1000 }
}

/// Every figure of a grouping, as `group: name value`.
async fn stats(store: &dyn Store, by: &[By]) -> Vec<String> {
    let rows = store.stats(&tenant(), &span(by)).await.unwrap();
    let line = |row: StatRow| {
        let of = [row.plugin, row.purpose, row.channel, row.country].join(" ");
        format!("{}: {} {}", of.split_whitespace().collect::<Vec<_>>().join(" "), row.name, row.value)
    };
    rows.into_iter().map(line).collect()
}

fn arrived(id: MessageId, attempt: u32, provider: &str, after_s: i64, micros: i64) -> Receipt {
    Receipt {
        provider: provider.into(),
        time: at(5 + after_s * 1000),
        pricing: Some(json!({"micros": micros, "currency": "EUR", "category": "utility"})),
        ..receipt(id, attempt, AttemptState::Delivered)
    }
}

pub(crate) async fn a_message_is_counted_where_it_went(place: &dyn Place) {
    let world = open(place).await;
    let store = &*world.store;
    let waiting = message("waiting");
    store.accept_message(waiting).await.unwrap();
    assert_eq!(stats(store, &[]).await, Vec::<String>::new(), "nothing was tried of it, and it has not ended");

    let id = sent(store, "m", "wamid.1").await;
    begin(store, id, 2, Channel::Sms).await;
    answer(store, id, 2, Answer::Accepted { provider_id: "sms.1".into() }, Next::At(at(HOUR))).await;
    store.record_receipts(vec![arrived(id, 2, "cm", 4, 70_000)], at(200)).await.unwrap();
    let of_sms = ["orders sms FR: actual/EUR 70000", "orders sms FR: delivered 1", "orders sms FR: parts 1"];
    let of_whatsapp = ["orders whatsapp FR: fell-back 1", "orders whatsapp FR: messages 1"];
    let by = [By::Plugin, By::Channel, By::Country];
    assert_eq!(
        stats(store, &by).await,
        [
            &of_sms[..],
            &["orders sms FR: planned/EUR 50000", "orders sms FR: sent 1", "orders sms FR: within/2 1"],
            &of_whatsapp,
            &["orders whatsapp FR: planned/EUR 50000", "orders whatsapp FR: sent 1"],
        ]
        .concat()
    );
    assert_eq!(
        stats(store, &[By::Purpose]).await,
        [
            "confirmation: actual/EUR 70000",
            "confirmation: delivered 1",
            "confirmation: fell-back 1",
            "confirmation: messages 1",
            "confirmation: parts 1",
            "confirmation: planned/EUR 100000",
            "confirmation: sent 2",
            "confirmation: within/2 1",
        ]
    );
    let other = TenantId::from("other");
    assert_eq!(store.stats(&other, &span(&[])).await.unwrap(), []);
}

pub(crate) async fn receipts_in_any_order_and_repeated_count_once(place: &dyn Place) {
    let world = open(place).await;
    let store = &*world.store;
    let mut sums: Vec<Vec<String>> = Vec::new();
    for (number, order) in super::receipts::permutations(&[0, 1, 2, 3, 4]).into_iter().enumerate().step_by(7) {
        let name = format!("m{number}");
        let id = sent(store, &name, &format!("wamid.{number}")).await;
        begin(store, id, 2, Channel::Sms).await;
        let accepted = Answer::Accepted { provider_id: format!("sms.{number}") };
        answer(store, id, 2, accepted, Next::At(at(HOUR))).await;
        let failed = Receipt {
            failure: Some(failure("undeliverable", Remember::Nothing)),
            ..receipt(id, 1, AttemptState::Failed)
        };
        let receipts = [
            failed,
            arrived(id, 1, "meta", 40, 50_000),
            // The same once more, of another time and with another price.
            arrived(id, 1, "meta", 20, 40_000),
            Receipt { time: at(25_000), ..receipt(id, 1, AttemptState::Read) },
            arrived(id, 2, "cm", 90, 70_000),
        ];
        for place in order {
            store.record_receipts(vec![receipts[place].clone()], at(200)).await.unwrap();
        }
        store.record_receipts(receipts.to_vec(), at(300)).await.unwrap();
        sums.push(stats(store, &[By::Channel]).await);
    }
    let times = |row: &str, by: i64| {
        let (name, value) = row.rsplit_once(' ').unwrap();
        format!("{name} {}", value.parse::<i64>().unwrap() * by)
    };
    let one = [
        "sms: actual/EUR 70000",
        "sms: delivered 1",
        "sms: parts 1",
        "sms: planned/EUR 50000",
        "sms: sent 1",
        "whatsapp: actual/EUR 50000",
        "whatsapp: delivered 1",
        "whatsapp: double 1",
        "whatsapp: fell-back 1",
        "whatsapp: messages 1",
        "whatsapp: planned/EUR 50000",
        "whatsapp: read 1",
        "whatsapp: sent 1",
        "whatsapp: within/4 1",
    ];
    for (many, rows) in (1..).zip(&sums) {
        assert_eq!(*rows, one.iter().map(|row| times(row, many)).collect::<Vec<_>>());
    }
}

pub(crate) async fn what_failed_before_anything_was_tried_is_counted_without_a_channel(place: &dyn Place) {
    let world = open(place).await;
    let store = &*world.store;
    store.accept_message(message("m")).await.unwrap();
    let settle = |state| MessageChangeKind::Settle { state, code: Some("no-account".into()), decision: json!({}) };
    change(store, message("m").id, settle(MessageState::Failed)).await;
    assert_eq!(stats(store, &[By::Channel, By::Plugin]).await, ["orders: given-up 1", "orders: messages 1"]);
    store.accept_message(message("n")).await.unwrap();
    change(store, message("n").id, settle(MessageState::Cancelled)).await;
    assert_eq!(stats(store, &[]).await, [": cancelled 1", ": given-up 1", ": messages 2"]);
}

pub(crate) async fn an_erasure_takes_nothing_off_the_figures(place: &dyn Place) {
    let world = open(place).await;
    let store = &*world.store;
    store.put_customer(&tenant(), &ann(), crate::store::CustomerProfile::default(), at(0)).await.unwrap();
    let id = sent(store, "m", "wamid.1").await;
    store.erase_customer(&tenant(), &ann(), at(50)).await.unwrap();
    let country = stats(store, &[By::Country]).await;
    assert!(country.contains(&"FR: sent 1".to_owned()), "{country:?}");
    // What comes afterwards counts where it would have.
    store.record_receipts(vec![arrived(id, 1, "meta", 3, 50_000)], at(200)).await.unwrap();
    let country = stats(store, &[By::Country]).await;
    assert!(country.contains(&"FR: delivered 1".to_owned()), "{country:?}");
    assert!(country.iter().all(|row| row.starts_with("FR: ")), "{country:?}");
}

pub(crate) async fn figures_of_a_day_go_by_their_age(place: &dyn Place) {
    let world = open(place).await;
    let store = &*world.store;
    sent(store, "m", "wamid.1").await;
    let step = |before| RetainStep { what: Aged::Stats, before, keys_before: None, after: 0, limit: 10 };
    assert_eq!(store.retain(step(at(0))).await.unwrap().rows, 0);
    assert!(!stats(store, &[]).await.is_empty(), "the day has not ended");
    assert!(store.retain(step(at(48 * HOUR))).await.unwrap().rows > 0);
    assert_eq!(stats(store, &[]).await, Vec::<String>::new());
}
