//! What is refused, by the field that it is about.

use super::*;
use crate::{
    clock::Timestamp,
    domain::{
        content::{Frame, Link},
        message::{Because, Choice, Recipient},
        purpose::Purpose,
    },
    ids::{MessageId, TenantId},
};

fn message(content: Content) -> NewMessage {
    let tenant = TenantId::default_tenant();
    NewMessage {
        id: MessageId::of_request(&tenant, "k"),
        tenant,
        author: None,
        to: Recipient::Phone("+33639981201".into()),
        purpose: Purpose::Confirmation,
        because: Because::Reference("order/4821".into()),
        content,
        sms: SmsPolicy::Fallback,
        fallback_after: None,
        expires: None,
        dedup_key: None,
        tag: None,
        quote: None,
        created: Timestamp(0),
    }
}

#[track_caller]
fn refused(content: Content, words: &str) {
    let why = check(&message(content)).unwrap_err().to_string();
    assert!(why.contains(words), "{why}");
}

fn text() -> Content {
    Content { text: Some("?".to_owned()), ..Content::default() }
}

#[test]
fn a_list_has_its_limits_and_buttons_theirs() {
    let choices = |count: usize, label: &str| -> Vec<Choice> {
        (0..count).map(|no| Choice::new(no.to_string(), format!("{label}{no}"))).collect()
    };
    let with = |choices| Content { choices, ..text() };
    assert!(check(&message(with(choices(10, "a")))).is_ok());
    refused(with(choices(11, "a")), "11 choices");
    refused(with(choices(2, &"a".repeat(20))), "`choices.label`");
    assert!(check(&message(with(choices(4, &"a".repeat(23))))).is_ok(), "a row has room for 24");
    refused(with(choices(4, &"a".repeat(24))), "`choices.label`");
    refused(with(vec![Choice::new("a", "A"), Choice::new("a", "B")]), "there twice");
    let long = Choice { description: Some("x".repeat(73)), ..Choice::new("a", "A") };
    refused(with(vec![long]), "`choices.description`");
}

#[test]
fn a_frame_needs_something_to_stand_around() {
    let frame = Frame { header: Some("x".to_owned()), ..Frame::default() };
    refused(Content { frame: frame.clone(), ..text() }, "neither");
    let link = Special::Link(Link { label: "x".to_owned(), url: "https://x.example".to_owned() });
    assert!(check(&message(Content { frame, special: Some(link), ..text() })).is_ok());
}

#[test]
fn kinds_that_stand_alone_do_so() {
    let reaction = || Some(Special::Reaction { emoji: "x".to_owned() });
    refused(Content { special: reaction(), ..text() }, "do not fit one message");
    refused(Content { special: reaction(), ..Content::default() }, "give its id");
    let http = Special::Link(Link { label: "x".to_owned(), url: "http://x.example".to_owned() });
    refused(Content { special: Some(http), ..text() }, "https://");
    let sms = NewMessage { sms: SmsPolicy::Only, ..message(Content { special: reaction(), ..Content::default() }) };
    assert!(check(&sms).unwrap_err().to_string().contains("a reaction has no SMS"));
}
