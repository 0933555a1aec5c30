//! Customers: addresses, consents, what they write, and being forgotten.

use std::collections::BTreeMap;

use super::*;
use crate::{
    domain::{
        customer::{Address, Consent, ConsentScope},
        message::Choice,
        run::{Incoming, StateChange, StateEntry, TimerChange},
    },
    store::{CustomerProfile, NewIncoming, NewPart, Paging},
};

const NUMBER: &str = "+33611111111";

fn profile(numbers: &[&str]) -> CustomerProfile {
    let address = |number: &&str| {
        Channel::ALL.map(|channel| Address {
            channel,
            address: (*number).to_owned(),
            last_incoming: None,
            unusable_until: None,
        })
    };
    CustomerProfile {
        name: Some("Ann Unforgettable".into()),
        locale: Some("fr-FR".into()),
        addresses: numbers.iter().flat_map(address).collect(),
        ..CustomerProfile::default()
    }
}

async fn put(world: &World, id: &str, profile: CustomerProfile) -> Arc<crate::domain::customer::Customer> {
    world.store.put_customer(&tenant(), &CustomerId::from(id), profile, at(0)).await.unwrap()
}

fn consent(granted: bool, when: i64) -> Consent {
    let source = if granted { "checkout form" } else { "STOP by sms" };
    Consent { channel: Channel::Sms, scope: ConsentScope::Marketing, granted, source: source.into(), at: at(when) }
}

fn incoming(name: &str, channel: Channel, text: &str) -> NewIncoming {
    let incoming = Incoming {
        id: MessageId::of_incoming(&tenant(), "cm", name),
        tenant: tenant(),
        customer: None,
        sender: NUMBER.into(),
        sender_id: None,
        sender_name: None,
        channel,
        provider: "cm".into(),
        account: None,
        provider_id: name.into(),
        time: at(100),
        received: at(101),
        kind: "text".into(),
        text: text.into(),
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
    NewIncoming { incoming, others: vec![PluginName::from("helpdesk")], consent: None }
}

async fn record(world: &World, new: NewIncoming) -> Arc<Incoming> {
    let id = new.incoming.id;
    assert_eq!(world.store.record_incoming(vec![new.clone(), new], at(200)).await.unwrap(), [true, false]);
    world.store.incoming(&tenant(), id).await.unwrap().unwrap()
}

pub(crate) async fn an_address_names_one_customer(place: &dyn Place) {
    let world = open(place).await;
    put(&world, "ann", profile(&[NUMBER])).await;
    record(&world, incoming("1", Channel::Whatsapp, "Hello")).await;
    // Given again, what is known of the address survives.
    let ann_again = put(&world, "ann", profile(&[NUMBER])).await;
    assert_eq!(ann_again.address(Channel::Whatsapp).unwrap().last_incoming, Some(at(100)));
    let ben = put(&world, "ben", profile(&[NUMBER])).await;
    assert_eq!(ben.addresses.len(), 2);
    let now = world.store.customer(&tenant(), &ann()).await.unwrap().unwrap();
    assert_eq!(now.addresses, []);
    assert_eq!(world.store.customers(&tenant(), Some("ann"), 10).await.unwrap(), [ben]);
}

pub(crate) async fn an_older_consent_does_not_overrule_a_newer_one(place: &dyn Place) {
    let world = open(place).await;
    put(&world, "ann", profile(&[NUMBER])).await;
    for (given, stands) in [((true, 10), true), ((false, 20), false), ((true, 15), false), ((true, 30), true)] {
        let consent = consent(given.0, given.1);
        world.store.record_address_consent(&tenant(), NUMBER, consent).await.unwrap();
        let customer = world.store.customer(&tenant(), &ann()).await.unwrap().unwrap();
        let found = customer.consent(Channel::Sms, ConsentScope::Marketing).unwrap();
        assert_eq!(found.granted, stands, "{given:?}");
    }
}

pub(crate) async fn a_profile_sent_again_does_not_undo_a_stop(place: &dyn Place) {
    let world = open(place).await;
    let again = || CustomerProfile { standing: vec![consent(true, 50)], ..profile(&[NUMBER]) };
    let first = put(&world, "ann", again()).await;
    assert!(first.consent(Channel::Sms, ConsentScope::Marketing).unwrap().granted);
    world.store.record_address_consent(&tenant(), NUMBER, consent(false, 60)).await.unwrap();
    let later = CustomerProfile { standing: vec![consent(true, 70)], ..profile(&[NUMBER]) };
    assert!(!put(&world, "ann", later).await.consent(Channel::Sms, ConsentScope::Marketing).unwrap().granted);
    let with_its_time = CustomerProfile { consents: vec![consent(true, 80)], ..profile(&[NUMBER]) };
    assert!(put(&world, "ann", with_its_time).await.consent(Channel::Sms, ConsentScope::Marketing).unwrap().granted);
}

pub(crate) async fn a_number_is_its_customer_or_a_stranger_with_refusals(place: &dyn Place) {
    let world = open(place).await;
    let tenant = tenant();
    let behind = || world.store.behind_number(&tenant, NUMBER, at(200));
    let stranger = behind().await.unwrap();
    assert_eq!((stranger.consents.len(), stranger.addresses.len()), (0, 2));
    world.store.record_address_consent(&tenant, NUMBER, consent(false, 60)).await.unwrap();
    assert!(!behind().await.unwrap().consent(Channel::Sms, ConsentScope::Marketing).unwrap().granted);
    put(&world, "ann", profile(&[NUMBER])).await;
    let known = behind().await.unwrap();
    assert_eq!(known.id, ann());
    assert!(!known.consent(Channel::Sms, ConsentScope::Marketing).unwrap().granted);
}

pub(crate) async fn what_a_customer_writes_opens_the_window(place: &dyn Place) {
    let world = open(place).await;
    put(&world, "ann", profile(&[NUMBER])).await;
    let first = record(&world, incoming("1", Channel::Whatsapp, "Hello")).await;
    assert_eq!((first.customer.clone(), first.opening), (Some(ann()), true));
    assert_eq!(first.window_ends, Some(at(100 + 24 * HOUR)));
    let second = record(&world, incoming("2", Channel::Whatsapp, "Are you there?")).await;
    assert!(!second.opening);
    let customer = world.store.customer(&tenant(), &ann()).await.unwrap().unwrap();
    assert_eq!(customer.window_ends(at(200)), Some(at(100 + 24 * HOUR)));
    let runs = all_open(&*world.store).await;
    let names: Vec<_> = runs.iter().map(|run| (run.run.key.plugin.as_str(), run.run.key.entity.as_str())).collect();
    assert_eq!(names, [("helpdesk", "customer/ann"); 2]);
    assert_eq!(runs[0].run.cause, Cause::Message(first));
}

pub(crate) async fn an_answer_goes_to_the_plugin_that_asked(place: &dyn Place) {
    let world = open(place).await;
    let id = sent(&*world.store, "m", "wamid.1").await;
    let mut new = incoming("1", Channel::Whatsapp, "Thanks");
    new.incoming.provider = "meta".into();
    new.incoming.quoted = Some("wamid.1".into());
    let answer = record(&world, new).await;
    assert_eq!((answer.in_reply_to, answer.tag.as_deref()), (Some(id), Some("on-its-way")));
    let runs = all_open(&*world.store).await;
    assert_eq!(runs.iter().map(|run| &run.run.key).collect::<Vec<_>>(), [&key()]);
}

pub(crate) async fn a_number_picks_the_choice(place: &dyn Place) {
    let world = open(place).await;
    put(&world, "ann", profile(&[NUMBER])).await;
    let mut asked = message("m");
    let choice = |id: &str, label: &str| Choice::new(id, label);
    asked.content.choices = vec![choice("home", "Deliver home"), choice("shop", "Collect")];
    world.store.accept_message(asked.clone()).await.unwrap();
    begin(&*world.store, asked.id, 1, Channel::Sms).await;
    answer(&*world.store, asked.id, 1, Answer::Accepted { provider_id: "sms.1".into() }, Next::At(at(HOUR))).await;
    let picked = record(&world, incoming("1", Channel::Sms, " 2 ")).await;
    assert_eq!((picked.kind.as_str(), picked.choice.as_deref()), ("choice", Some("shop")));
    assert_eq!((picked.text.as_str(), picked.in_reply_to), ("Collect", Some(asked.id)));
    let other = record(&world, incoming("2", Channel::Sms, "3")).await;
    assert_eq!((other.kind.as_str(), other.in_reply_to), ("text", None));
}

pub(crate) async fn a_stop_of_a_stranger_is_remembered(place: &dyn Place) {
    let world = open(place).await;
    let stop = NewIncoming { consent: Some(consent(false, 100)), ..incoming("1", Channel::Sms, "STOP") };
    assert_eq!(record(&world, stop).await.customer, None);
    // An old list says otherwise.
    let list = CustomerProfile { consents: vec![consent(true, 50)], ..profile(&[NUMBER]) };
    let customer = put(&world, "ann", list).await;
    assert!(!customer.consent(Channel::Sms, ConsentScope::Marketing).unwrap().granted);
    let runs = all_open(&*world.store).await;
    assert_eq!(runs[0].run.key.entity.as_str(), "sender/+33611111111");
}

pub(crate) async fn an_erased_customer_is_gone_and_stays_suppressed(place: &dyn Place) {
    let world = open(place).await;
    let store = &*world.store;
    put(&world, "ann", CustomerProfile { consents: vec![consent(false, 5)], ..profile(&[NUMBER]) }).await;
    let entry = StateEntry { value: Arc::from(&b"secret"[..]), customer: Some(ann()), expires: None };
    let outcome = Outcome {
        messages: vec![message("open")],
        state: BTreeMap::from([("seen".to_owned(), StateChange::Set(entry))]),
        timers: BTreeMap::from([(
            "remind".to_owned(),
            TimerChange::Set { due: at(HOUR), expires: None, data: "{}".into() },
        )]),
        ..Outcome::default()
    };
    done(store, "1", outcome).await;
    let in_flight = accepted(store, "2").await;
    let delivered = sent(store, "sent", "wamid.1").await;
    store.record_receipts(vec![receipt(delivered, 1, AttemptState::Delivered)], at(150)).await.unwrap();
    record(&world, incoming("in", Channel::Sms, "Call me")).await;

    assert!(store.erase_customer(&tenant(), &ann(), at(300)).await.unwrap());
    assert!(!store.erase_customer(&tenant(), &ann(), at(300)).await.unwrap());
    assert_eq!(store.customer(&tenant(), &ann()).await.unwrap(), None);
    assert!(store.history(&tenant(), &ann(), "shop.*", 10).await.unwrap().is_empty());
    assert_eq!(&*store.event(&tenant(), event("1").event.id).await.unwrap().unwrap().data, "null");
    assert!(store.load_entity(&key(), at(300)).await.unwrap().state.is_empty());
    assert_eq!(store.commit_run(commit(&in_flight, 1, Outcome::default())).await.unwrap(), Committed::Gone);
    assert!(all_open(store).await.is_empty());
    assert!(store.open_messages(&tenant(), 0, 10).await.unwrap().is_empty());
    let kept = read(store, delivered).await;
    assert_eq!((kept.state, kept.message.content), (MessageState::Delivered, Content::default()));
    assert_eq!(
        store.incoming(&tenant(), incoming("in", Channel::Sms, "").incoming.id).await.unwrap().unwrap().text,
        ""
    );
    let figures = store.figures(&tenant()).await.unwrap();
    assert_eq!((figures.open_runs, figures.timers, figures.open_messages), (0, 0, 0));
    let page = Paging { before: None, limit: 100 };
    let everything = format!(
        "{:?} {:?} {:?}",
        store.events(&tenant(), page).await.unwrap(),
        store.runs(&tenant(), &Default::default(), page).await.unwrap(),
        store.messages(&tenant(), &Default::default(), page).await.unwrap()
    );
    for gone in ["\"ann\"", "customer/ann", "+336", "wamid", "on its way"] {
        assert!(!everything.contains(gone), "{gone}: {everything}");
    }
    // The same list again.
    let list = CustomerProfile { consents: vec![consent(true, 4)], ..profile(&[NUMBER]) };
    let again = put(&world, "ann", list).await;
    assert!(!again.consent(Channel::Sms, ConsentScope::Marketing).unwrap().granted);
}

/// A part of what a customer writes, `no` of `total`, in the hour that begins `minutes` after the first.
fn part_of(key: &str, (no, total): (u8, u8), text: &str, minutes: i64) -> NewPart {
    let incoming = Incoming { received: at(minutes * 60_000), ..incoming("part", Channel::Sms, text).incoming };
    NewPart { incoming, key: key.into(), no, total }
}

pub(crate) async fn what_comes_in_parts_is_put_together_once_they_are_all_there(place: &dyn Place) {
    let world = open(place).await;
    let keep = async |part: NewPart| world.store.keep_part(part).await.unwrap();
    assert_eq!(keep(part_of("k", (3, 3), "c", 0)).await, None);
    assert_eq!(keep(part_of("k", (1, 3), "a", 1)).await, None);
    assert_eq!(keep(part_of("other", (2, 3), "x", 1)).await, None, "of another message");
    assert_eq!(keep(part_of("k", (3, 3), "c", 1)).await, None, "repeated");
    // The hour may change in between.
    let whole = keep(part_of("k", (2, 3), "b", 61)).await.unwrap();
    assert_eq!((whole.text.as_str(), whole.kind.as_str(), whole.sender.as_str()), ("abc", "text", NUMBER));
    // Whoever got no answer sends the part again.
    assert_eq!(keep(part_of("k", (2, 3), "b", 62)).await.unwrap().id, whole.id);
    let record = async |incoming: &Incoming| {
        let new = NewIncoming { incoming: incoming.clone(), others: Vec::new(), consent: None };
        world.store.record_incoming(vec![new], at(100)).await.unwrap()
    };
    assert_eq!((record(&whole).await, record(&whole).await), (vec![true], vec![false]));
    // All of it again, also after it was recorded, is what it was.
    for (no, text) in [(1, "a"), (2, "b"), (3, "c")] {
        assert_eq!(keep(part_of("k", (no, 3), text, 62)).await.unwrap().id, whole.id);
    }
    // The telephone uses the number again, for a message that begins differently and ends alike.
    for (no, text) in [(1, "A"), (2, "B")] {
        let kept = keep(part_of("k", (no, 3), text, 63)).await;
        assert!(kept.is_none_or(|kept| kept.text == "ABc"), "a mixture");
    }
    let second = keep(part_of("k", (3, 3), "c", 64)).await.unwrap();
    assert_eq!(second.text, "ABc");
    assert_ne!(second.id, whole.id);
    // Much later it is all forgotten.
    assert_eq!(keep(part_of("k", (1, 3), "a", 600)).await, None);
}
