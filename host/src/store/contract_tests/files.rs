//! Files beside messages: fetched by one, kept for a while, gone with whom they are of.

use super::*;
use crate::domain::{
    customer::Address,
    file::{FileRow, FileState, of_incoming, of_upload},
    run::{Incoming, IncomingMedia},
};

fn picture() -> Incoming {
    let media = |id: &str| IncomingMedia {
        id: id.into(),
        mime_type: "image/jpeg".into(),
        size: None,
        filename: None,
        sha256: Some("4f2a".into()),
    };
    Incoming {
        id: MessageId::of_incoming(&tenant(), "meta", "wamid.1"),
        tenant: tenant(),
        customer: None,
        sender: "+33611111111".into(),
        sender_id: None,
        sender_name: None,
        channel: Channel::Whatsapp,
        provider: "meta".into(),
        account: Some("main".into()),
        provider_id: "wamid.1".into(),
        time: at(100),
        received: at(101),
        kind: "image".into(),
        text: String::new(),
        choice: None,
        media: vec![media("1"), media("2")],
        location: None,
        quoted: None,
        in_reply_to: None,
        tag: None,
        opening: false,
        window_ends: None,
        attributes: Vec::new(),
    }
}

async fn heard(store: &dyn Store) {
    let new = crate::store::NewIncoming { incoming: picture(), others: Vec::new(), consent: None, free_until: None };
    assert_eq!(store.record_incoming(vec![new.clone(), new], at(101)).await.unwrap(), [true, false]);
}

fn kept(file: &FileRow, bytes: &[u8], due: Timestamp) -> FileRow {
    let state = FileState::Kept { mime_type: "image/jpeg".into(), filename: None };
    FileRow { state, bytes: bytes.into(), due, ..file.clone() }
}

pub(crate) async fn what_a_customer_sent_is_fetched_by_one_host_at_a_time(place: &dyn Place) {
    let world = open(place).await;
    let store = &*world.store;
    assert_eq!(store.next_file().await.unwrap(), None);
    heard(store).await;
    assert_eq!(store.next_file().await.unwrap(), Some(at(101)));
    assert_eq!(store.claim_files(at(100), at(500), 10).await.unwrap(), []);
    let claimed = store.claim_files(at(200), at(500), 10).await.unwrap();
    let names: Vec<String> = claimed.iter().map(|file| file.name.clone()).collect();
    let id = picture().id;
    assert_eq!(names, [of_incoming(id, 0), of_incoming(id, 1)]);
    let FileState::Wanted(wanted) = &claimed[1].state else { panic!("{claimed:?}") };
    assert_eq!((wanted.media_id.as_str(), wanted.account.as_deref()), ("2", Some("main")));
    assert_eq!(wanted.sha256.as_deref(), Some("4f2a"));
    // Whoever asks meanwhile gets none; whoever asks once the time is over gets what nobody has finished.
    assert_eq!(store.claim_files(at(499), at(900), 10).await.unwrap(), []);
    let bytes = [0_u8, 0xff, 39, 92];
    store.change_file(kept(&claimed[0], &bytes, at(HOUR))).await.unwrap();
    let again = store.claim_files(at(500), at(900), 10).await.unwrap();
    assert_eq!(again.iter().map(|file| file.name.as_str()).collect::<Vec<_>>(), [names[1].as_str()]);
    let file = store.file(&tenant(), &names[0]).await.unwrap().unwrap();
    assert_eq!((&*file.bytes, file.due), (&bytes[..], at(HOUR)));
    assert_eq!(store.file(&TenantId::from("other"), &names[0]).await.unwrap(), None);
}

pub(crate) async fn a_file_goes_when_its_time_is_over(place: &dyn Place) {
    let world = open(place).await;
    let store = &*world.store;
    let name = of_upload("meta/main", "d1");
    let state = |media_id: &str| FileState::Uploaded { media_id: media_id.into() };
    let row = |due, id: &str| FileRow {
        tenant: tenant(),
        name: of_upload("meta/main", "d1"),
        due,
        state: state(id),
        bytes: Arc::default(),
    };
    store.put_file(row(at(10), "1")).await.unwrap();
    store.put_file(row(at(HOUR), "2")).await.unwrap();
    assert_eq!(store.claim_files(at(20), at(30), 10).await.unwrap(), []);
    assert_eq!(store.file(&tenant(), &name).await.unwrap().unwrap().state, state("2"));
    assert_eq!(store.claim_files(at(HOUR), at(2 * HOUR), 10).await.unwrap(), []);
    assert_eq!(store.file(&tenant(), &name).await.unwrap(), None);
    store.put_file(row(at(2 * HOUR), "3")).await.unwrap();
    store.forget_file(&tenant(), &name).await.unwrap();
    assert_eq!(store.file(&tenant(), &name).await.unwrap(), None);
}

pub(crate) async fn a_file_that_is_fetched_while_its_customer_is_erased_is_not_kept(place: &dyn Place) {
    let world = open(place).await;
    let store = &*world.store;
    let address = Address {
        channel: Channel::Whatsapp,
        address: "+33611111111".into(),
        last_incoming: None,
        unusable_until: None,
        free_until: None,
    };
    let profile = crate::store::CustomerProfile { addresses: vec![address], ..Default::default() };
    store.put_customer(&tenant(), &ann(), profile, at(0)).await.unwrap();
    heard(store).await;
    let claimed = store.claim_files(at(200), at(500), 10).await.unwrap();
    assert!(store.erase_customer(&tenant(), &ann(), at(300)).await.unwrap());
    store.change_file(kept(&claimed[0], b"picture", at(HOUR))).await.unwrap();
    for file in claimed {
        assert_eq!(store.file(&tenant(), &file.name).await.unwrap(), None);
    }
    assert_eq!(store.next_file().await.unwrap(), None);
}
