//! What a person reads of conversations.

use super::{customers::written_by, *};
use crate::{
    domain::customer::Address,
    store::{CustomerProfile, Paging},
};

const ANN: &str = "+33639981201";
const BEN: &str = "+33639981202";

async fn write(store: &dyn Store, name: &str, sender: &str) {
    store.record_incoming(vec![written_by(name, sender)], at(200)).await.unwrap();
}

fn first(limit: u32) -> Paging {
    Paging { before: None, limit }
}

/// Of each line who wrote last, what, and how much is unread.
async fn lines(store: &dyn Store, page: Paging) -> Vec<(String, String, u32)> {
    let found = store.conversations(&tenant(), page).await.unwrap();
    found.into_iter().map(|line| (line.last.sender.clone(), line.last.provider_id.clone(), line.unread)).collect()
}

fn line(sender: &str, name: &str, unread: u32) -> (String, String, u32) {
    (sender.to_owned(), name.to_owned(), unread)
}

pub(crate) async fn conversations_are_listed_by_who_wrote_last_and_counted_until_they_are_read(place: &dyn Place) {
    let world = open(place).await;
    let store = &*world.store;
    for (name, sender) in [("1", ANN), ("2", BEN), ("3", ANN), ("4", ANN)] {
        write(store, name, sender).await;
    }
    assert_eq!(lines(store, first(10)).await, [line(ANN, "4", 3), line(BEN, "2", 1)]);
    let newest = store.conversations(&tenant(), first(1)).await.unwrap();
    let second = Paging { before: Some(newest[0].seq), limit: 1 };
    assert_eq!(lines(store, second).await, [line(BEN, "2", 1)]);
    assert_eq!(newest[0].owner, None, "nobody is known to have the number");
    let address = Address {
        channel: Channel::Whatsapp,
        address: ANN.into(),
        last_incoming: None,
        unusable_until: None,
        free_until: None,
    };
    let profile = CustomerProfile { addresses: vec![address], ..CustomerProfile::default() };
    store.put_customer(&tenant(), &CustomerId::from("ann"), profile, at(300)).await.unwrap();
    assert_eq!(store.conversations(&tenant(), first(1)).await.unwrap()[0].owner, Some(CustomerId::from("ann")));
    // Read up to the second of hers, and what was read stays so.
    let hers = store.written(&tenant(), ANN, first(10)).await.unwrap();
    store.read_through(&tenant(), vec![(ANN.to_owned(), hers[1].0)]).await.unwrap();
    store.read_through(&tenant(), vec![(ANN.to_owned(), hers[2].0), ("+33639981299".to_owned(), 7)]).await.unwrap();
    assert_eq!(lines(store, first(10)).await, [line(ANN, "4", 1), line(BEN, "2", 1)]);
    store.read_through(&tenant(), vec![(ANN.to_owned(), hers[0].0)]).await.unwrap();
    write(store, "5", BEN).await;
    assert_eq!(lines(store, first(10)).await, [line(BEN, "5", 2), line(ANN, "4", 0)]);
    // What an advertisement brought is free, whoever it turns out to be.
    let free = at(500 + HOUR);
    let by_ad = crate::store::NewIncoming { free_until: Some(free), ..written_by("6", BEN) };
    store.record_incoming(vec![by_ad, written_by("7", BEN), written_by("8", ANN)], at(500)).await.unwrap();
    let ben = store.behind_number(&tenant(), BEN, at(500)).await.unwrap();
    assert_eq!((ben.free_until(at(500)), ben.free_until(free)), (Some(free), None));
    let ann = store.customer(&tenant(), &CustomerId::from("ann")).await.unwrap().unwrap();
    assert_eq!(ann.free_until(at(500)), None);
    assert!(store.conversations(&TenantId::from("other"), first(10)).await.unwrap().is_empty());
}

pub(crate) async fn a_thread_is_read_page_by_page(place: &dyn Place) {
    let world = open(place).await;
    let store = &*world.store;
    for name in ["1", "2", "3"] {
        write(store, name, ANN).await;
        store.accept_message(message(name)).await.unwrap();
    }
    let names = |page: Vec<(i64, Arc<crate::domain::run::Incoming>)>| {
        page.iter().map(|(_, incoming)| incoming.provider_id.clone()).collect::<Vec<_>>()
    };
    let page = store.written(&tenant(), ANN, first(2)).await.unwrap();
    let older = Paging { before: Some(page[1].0), limit: 2 };
    assert_eq!(names(page), ["3", "2"]);
    assert_eq!(names(store.written(&tenant(), ANN, older).await.unwrap()), ["1"]);
    let sent = store.sent(&tenant(), "ann", first(2)).await.unwrap();
    assert_eq!(sent.iter().map(|record| record.message.id).collect::<Vec<_>>(), [message("3").id, message("2").id]);
    let older = Paging { before: Some(sent[1].seq), limit: 2 };
    assert_eq!(store.sent(&tenant(), "ann", older).await.unwrap().len(), 1);
    assert!(store.sent(&tenant(), "ben", first(2)).await.unwrap().is_empty());
}

pub(crate) async fn a_conversation_goes_with_what_was_written(place: &dyn Place) {
    let world = open(place).await;
    let store = &*world.store;
    let address = Address {
        channel: Channel::Whatsapp,
        address: ANN.into(),
        last_incoming: None,
        unusable_until: None,
        free_until: None,
    };
    let profile = CustomerProfile { addresses: vec![address], ..CustomerProfile::default() };
    let ann = CustomerId::from("ann");
    store.put_customer(&tenant(), &ann, profile, at(0)).await.unwrap();
    for (name, sender) in [("1", ANN), ("2", BEN)] {
        write(store, name, sender).await;
    }
    assert!(store.erase_customer(&tenant(), &ann, at(300)).await.unwrap());
    assert_eq!(lines(store, first(10)).await, [line(BEN, "2", 1)]);
}
