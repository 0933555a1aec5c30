//! Every vector and code of the reference, and the forms that go out and come in.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::{
    Twilio, send, table,
    webhook::{parse, verify},
};
use crate::{
    channel::{
        ContentTemplate, HttpSettings, IncomingReport, Outgoing, Provider, Rendition, Report, StatusReport,
        TwilioSettings, exchange::Reply, http_client, signature::Refused, sms, whatsapp,
    },
    domain::{
        customer::Channel,
        message::{Answer, Remember, Retry, SmsVerdict},
        status::AttemptState,
    },
    ids::{AttemptToken, MessageId, TenantId},
    secret::Secret,
};

const SID: &str = "SM00000000000000000000000000000001";

fn token() -> AttemptToken {
    AttemptToken { message: MessageId::of_request(&TenantId::default_tenant(), "k"), attempt: 1 }
}

fn outgoing(expires: Option<Duration>) -> Outgoing {
    let text = sms::Text {
        text: "Prête & payée".into(),
        encoding: sms::Encoding::Ucs2,
        units: 13,
        parts: 1,
        changed: Vec::new(),
    };
    Outgoing {
        token: token(),
        to: "+33639981201".into(),
        body: Rendition::Sms(text),
        quote: None,
        expires,
        mime_type: None,
        instead: None,
        media_id: None,
    }
}

fn account(base_url: &str, public_url: &str, sender: &str) -> Result<Twilio, send::BadSettings> {
    let settings = TwilioSettings {
        base_url: base_url.into(),
        auth_tokens: vec![Secret::new("relais-demo-auth-token")],
        ..TwilioSettings::sample(sender)
    };
    Twilio::new(&settings, public_url, http_client(&HttpSettings::default()).unwrap())
}

fn usual() -> Twilio {
    account("https://api.twilio.com", "https://relais.example/in/", "+33139980001").unwrap()
}

fn form(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

// signatures ----------------------------------------------------------------------------------------------------------

const URL: &str = "https://relais.example/hooks/twilio/status";
const QUERY: Option<&str> = Some("tenant=t1");
const SHA1: &str = "szpqp5k0WzwMWeZSFkBxF0EQi3U=";
const SHA256: &str = "S1tqvsZJNC6Diti1MG9pDwB53UYrnhbM/YIe71uOLcA=";

fn vector() -> Vec<(String, String)> {
    form(&[
        ("MessageSid", SID),
        ("MessageStatus", "delivered"),
        ("To", "+33600000001"),
        ("From", "+33700000000"),
        ("AccountSid", "AC00000000000000000000000000000001"),
    ])
}

fn tokens() -> Vec<Secret> {
    vec![Secret::new("the-next-one"), Secret::new("relais-demo-auth-token")]
}

fn verified(url: &str, params: &[(String, String)], header: Option<&str>) -> Result<(), Refused> {
    verify(&tokens(), url, QUERY, params, b"MessageSid=...", header)
}

#[test]
fn signatures_fit_the_published_vectors() {
    assert_eq!(verified(URL, &vector(), Some(SHA1)), Ok(()));
    assert_eq!(verified(URL, &vector(), Some(SHA256)), Ok(()));
    let mut other_order = vector();
    other_order.reverse();
    assert_eq!(verified(URL, &other_order, Some(SHA1)), Ok(()));
}

#[test]
fn a_port_may_have_been_added_or_removed_on_the_way() {
    assert_eq!(verified("https://relais.example:443/hooks/twilio/status", &vector(), Some(SHA1)), Ok(()));
    assert_eq!(verified("https://relais.example:8443/hooks/twilio/status", &vector(), Some(SHA1)), Ok(()));
    let at = |url: &str, signed: &str| {
        let signature = base64(&crate::channel::signature::hmac_sha1(b"relais-demo-auth-token", &[signed.as_bytes()]));
        verify(&tokens(), url, None, &[], b"", Some(&signature))
    };
    assert_eq!(at("https://a.example/x", "https://a.example:443/x"), Ok(()));
    assert_eq!(at("http://a.example", "http://a.example:80"), Ok(()));
    assert_eq!(at("http://[::1]:81/x", "http://[::1]/x"), Ok(()));
    assert_eq!(at("http://[::1]/x", "http://[::1]:80/x"), Ok(()));
    assert!(at("https://a.example/x", "https://a.example:444/x").is_err());
}

#[test]
fn a_changed_a_missing_and_a_cut_signature_are_refused() {
    let refused = |header: Option<&str>| verified(URL, &vector(), header).unwrap_err();
    assert!(matches!(refused(None), Refused::Missing(_)));
    assert!(matches!(refused(Some("no base64!")), Refused::Malformed { .. }));
    assert!(matches!(refused(Some("")), Refused::Malformed { .. }));
    assert!(matches!(refused(Some("szpqp5k0WzwMWeZSFkBxF0EQi3Y=")), Refused::Mismatch(_)));
    let mut changed = vector();
    changed[1].1 = "read".into();
    assert!(matches!(verified(URL, &changed, Some(SHA1)), Err(Refused::Mismatch(_))));
    assert!(matches!(verified("https://other.example/", &vector(), Some(SHA1)), Err(Refused::Mismatch(_))));
    let none = verify(&[], URL, QUERY, &vector(), b"", Some(SHA1));
    assert_eq!(none, Err(Refused::NoSecret));
}

#[test]
fn of_a_json_body_the_url_carries_the_digest() {
    let body = br#"{"a":1}"#;
    // The SHA-256 of the body above.
    let query = "bodySHA256=015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862";
    let signed = format!("{URL}?{query}");
    let signature = base64(&crate::channel::signature::hmac_sha1(b"relais-demo-auth-token", &[signed.as_bytes()]));
    let check = |body: &[u8]| verify(&tokens(), URL, Some(query), &[], body, Some(&signature));
    assert_eq!(check(body), Ok(()));
    assert!(matches!(check(br#"{"a":2}"#), Err(Refused::Mismatch(_))));
    // Without the digest a body that is no form is covered by nothing.
    let bare = base64(&crate::channel::signature::hmac_sha1(b"relais-demo-auth-token", &[URL.as_bytes()]));
    assert!(matches!(verify(&tokens(), URL, None, &[], body, Some(&bare)), Err(Refused::Mismatch(_))));
}

fn base64(bytes: &[u8]) -> String {
    use base64::{Engine, engine::general_purpose::STANDARD};
    STANDARD.encode(bytes)
}

// sending -------------------------------------------------------------------------------------------------------------

fn said(status: u16, body: &Value) -> Answer {
    let reply = Reply {
        status: reqwest::StatusCode::from_u16(status).unwrap(),
        headers: reqwest::header::HeaderMap::new(),
        body: Some(body.to_string().into()),
    };
    send::answer(&reply, 1)
}

fn code(answer: &Answer) -> &str {
    match answer {
        Answer::Failed(failure) => &failure.code,
        other => panic!("it should have failed: {other:?}"),
    }
}

#[test]
fn the_form_carries_our_token_in_the_callback() {
    let callback = format!("https://relais.example/in/v1/webhooks/twilio/main?token={}", token());
    let expected = [
        ("To", "+33639981201".to_owned()),
        ("From", "+33139980001".to_owned()),
        ("Body", "Prête & payée".to_owned()),
        ("StatusCallback", callback),
    ];
    assert_eq!(usual().form(&outgoing(None)).unwrap(), expected);
}

#[test]
fn a_messaging_service_stands_in_for_the_sender() {
    let service = format!("MG{}", "0".repeat(32));
    let account = account("https://api.twilio.com", "https://relais.example", &service).unwrap();
    let form = account.form(&outgoing(None)).unwrap();
    assert!(form.contains(&("MessagingServiceSid", service)) && form.iter().all(|(name, _)| *name != "From"));
}

#[test]
fn the_validity_stays_within_what_twilio_takes() {
    for (ms, seconds) in [(0, "1"), (400, "1"), (1_000, "1"), (1_001, "2"), (90_000_000, "36000")] {
        let form = usual().form(&outgoing(Some(Duration::from_millis(ms)))).unwrap();
        assert!(form.contains(&("ValidityPeriod", seconds.to_owned())), "{ms} {form:?}");
    }
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let refused = |base: &str, public: &str, sender: &str| account(base, public, sender).map(|_| ()).unwrap_err();
    assert!(matches!(refused("api", "https://r.example", "x"), send::BadSettings::Url { .. }));
    assert!(matches!(refused("https://a.example", "r.example", "x"), send::BadSettings::PublicUrl { .. }));
    assert!(matches!(refused("https://a.example", "ftp://r.example", "x"), send::BadSettings::PublicUrl { .. }));
    assert!(matches!(refused("https://a.example", "https://r.example", " "), send::BadSettings::Sender { .. }));
}

#[test]
fn an_answer_is_taken_for_what_it_proves() {
    let taken = json!({"sid": SID, "status": "queued", "num_segments": "1", "price": null, "error_code": null});
    assert_eq!(said(201, &taken), Answer::Accepted { provider_id: SID.into() });
    let refused = json!({"code": 21211, "message": "Invalid 'To'", "more_info": "https://…", "status": 400});
    assert_eq!(code(&said(400, &refused)), "bad-number");
    assert_eq!(code(&said(401, &json!({"code": 20003, "message": "Authenticate", "status": 401}))), "account-problem");
    assert_eq!(code(&said(429, &json!({"code": 20429, "message": "Too Many Requests"}))), "rate-limited");
    assert_eq!(code(&said(429, &json!(null))), "rate-limited");
    assert_eq!(code(&said(429, &json!({"code": 1, "message": "new"}))), "rate-limited");
    assert_eq!(code(&said(503, &json!(null))), "provider-down");
    assert_eq!(code(&said(404, &json!(null))), "account-problem");
    for (status, body) in [(201, json!({})), (200, json!(null)), (500, json!({"code": 20500})), (502, json!(null))] {
        assert!(matches!(said(status, &body), Answer::Unknown { .. }), "{status}");
    }
}

#[test]
fn every_code_of_the_reference_is_in_the_table() {
    let codes = "20003 20429 429 21211 21408 21610 21612 21614 21635 30001 30002 30003 30004 30005 30006 30007 30008 \
                 30045 30047 63001 63003 63005 63007 63014 63016 63018 63021 63024 63032 90007 failed undelivered canceled";
    for code in codes.split_whitespace() {
        assert!(table().knows(code), "{code}");
    }
    let of = |code: &str| table().classify(code, None, crate::channel::failure::Hint::attempt(1));
    assert_eq!((of("21610").retry, of("21610").remember), (Retry::Never, Remember::Stopped));
    assert_eq!((of("63016").retry, of("63003").sms), (Retry::AsTemplate, SmsVerdict::Yes));
    assert!(matches!(of("30008").retry, Retry::Later { .. }));
    assert_eq!(table().classify("30008", None, crate::channel::failure::Hint::attempt(2)).retry, Retry::Never);
}

/// Takes one request, answers with what is given or hangs up.
async fn door(answer: Option<&'static str>) -> (String, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut asked = Vec::new();
        // The token's attempt is the last that the form holds.
        while !asked.ends_with(b"a1") {
            assert!(stream.read_buf(&mut asked).await.unwrap() > 0);
        }
        if let Some(body) = answer {
            let head = format!("HTTP/1.1 201 Created\r\ncontent-length: {}\r\n\r\n", body.len());
            stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
        }
        String::from_utf8(asked).unwrap()
    });
    (url, asked)
}

#[tokio::test]
async fn a_message_goes_out_as_a_form_with_basic_authentication() {
    let (url, asked) = door(Some(r#"{"sid":"SM1","status":"queued"}"#)).await;
    let twilio = account(&url, "https://relais.example", "Boulange").unwrap();
    assert_eq!(twilio.send(&outgoing(None)).await, Answer::Accepted { provider_id: "SM1".into() });
    let asked = asked.await.unwrap();
    assert!(
        asked.starts_with("POST /2010-04-01/Accounts/AC00000000000000000000000000000001/Messages.json HTTP/1.1\r\n")
    );
    let basic = base64(b"AC00000000000000000000000000000001:relais-demo-auth-token");
    assert!(asked.contains(&format!("authorization: Basic {basic}\r\n")), "{asked}");
    assert!(
        asked.contains("To=%2B33639981201&From=Boulange&Body=Pr%C3%AAte+%26+pay%C3%A9e&StatusCallback=https"),
        "{asked}"
    );
}

#[tokio::test]
async fn an_answer_that_is_lost_leaves_it_in_doubt() {
    let (url, asked) = door(None).await;
    let twilio = account(&url, "https://relais.example", "Boulange").unwrap();
    assert!(matches!(twilio.send(&outgoing(None)).await, Answer::Unknown { .. }));
    asked.await.unwrap();
}

#[tokio::test]
async fn without_a_connection_nothing_was_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let twilio = account(&url, "https://relais.example", "Boulange").unwrap();
    assert_eq!(code(&twilio.send(&outgoing(None)).await), "provider-down");
}

// what comes in -------------------------------------------------------------------------------------------------------

fn status(pairs: &[(&str, &str)], token: Option<AttemptToken>) -> StatusReport {
    match parse(&form(pairs), token).remove(0) {
        Report::Status(status) => status,
        other => panic!("it should be a status: {other:?}"),
    }
}

fn incoming(pairs: &[(&str, &str)]) -> IncomingReport {
    match parse(&form(pairs), None).remove(0) {
        Report::Incoming(incoming) => incoming,
        other => panic!("it should be a message: {other:?}"),
    }
}

#[test]
fn each_status_has_its_state() {
    use AttemptState::{Accepted, Delivered, Failed, Read, Sent};
    let all = [
        ("accepted", Accepted),
        ("scheduled", Accepted),
        ("queued", Accepted),
        ("sending", Accepted),
        ("sent", Sent),
        ("partially_delivered", Sent),
        ("delivered", Delivered),
        ("read", Read),
        ("failed", Failed),
        ("undelivered", Failed),
        ("canceled", Failed),
    ];
    for (name, state) in all {
        let status = status(&[("MessageSid", SID), ("MessageStatus", name)], Some(token()));
        assert_eq!((status.state, status.failure.is_some()), (state, state == Failed), "{name}");
        assert_eq!((status.token, status.provider_id.as_deref()), (Some(token()), Some(SID)));
    }
}

#[test]
fn a_failed_status_says_why_by_its_code() {
    let failed = |code: &str| {
        let pairs = [("MessageSid", SID), ("MessageStatus", "undelivered"), ("ErrorCode", code)];
        status(&pairs, Some(token())).failure.unwrap()
    };
    assert_eq!(
        (failed("30003").code.as_str(), failed("30003").provider_code.as_deref()),
        ("unreachable", Some("30003"))
    );
    assert_eq!(failed("").code, "undelivered");
    assert_eq!(failed("12345").code, "unknown-error");
}

#[test]
fn a_callback_that_names_no_message_or_no_known_status_is_a_notice() {
    for pairs in [
        &[("MessageStatus", "sent")][..],
        &[("MessageSid", SID), ("MessageStatus", "teleported")],
        &[],
        &[("MessageSid", SID)],
    ] {
        assert!(matches!(parse(&form(pairs), None).remove(0), Report::Notice { .. }), "{pairs:?}");
    }
    // With our token the callback is about our attempt, whatever else is missing.
    assert_eq!(status(&[("MessageStatus", "sent")], Some(token())).provider_id, None);
}

#[test]
fn an_sms_that_a_customer_wrote_is_read() {
    let read = incoming(&[
        ("MessageSid", SID),
        ("SmsStatus", "received"),
        ("From", "+33639981201"),
        ("To", "+33139980001"),
        ("Body", "2"),
        ("NumMedia", "0"),
    ]);
    assert_eq!((read.channel, read.sender.as_str(), read.provider_id.as_str()), (Channel::Sms, "+33639981201", SID));
    assert_eq!((read.kind.as_str(), read.text.as_str(), read.choice, read.sender_name), ("text", "2", None, None));
    let short = incoming(&[("MessageSid", SID), ("From", "36179"), ("Body", "x")]);
    assert_eq!(short.sender, "36179");
}

#[test]
fn what_comes_on_whatsapp_is_read_with_its_button_media_and_place() {
    let base =
        [("MessageSid", SID), ("From", "whatsapp:+33639981201"), ("WaId", "33639981201"), ("ProfileName", "Paul")];
    let with = |more: &[(&str, &str)]| incoming(&[&base[..], more].concat());
    let button = with(&[("ButtonPayload", "yes"), ("ButtonText", "Oui"), ("OriginalRepliedMessageSid", "SM2")]);
    assert_eq!((button.channel, button.sender.as_str()), (Channel::Whatsapp, "+33639981201"));
    assert_eq!((button.kind.as_str(), button.choice.as_deref(), button.text.as_str()), ("choice", Some("yes"), "Oui"));
    assert_eq!((button.sender_name.as_deref(), button.quoted.as_deref()), (Some("Paul"), Some("SM2")));
    let media = with(&[
        ("NumMedia", "2"),
        ("MediaUrl0", "https://m.example/0"),
        ("MediaContentType0", "audio/ogg"),
        ("MediaUrl1", "https://m.example/1"),
        ("Body", "voici"),
    ]);
    assert_eq!((media.kind.as_str(), media.media.len(), media.text.as_str()), ("audio", 2, "voici"));
    assert_eq!(media.media[1].mime_type, "application/octet-stream");
    let place = with(&[("Latitude", "48.85"), ("Longitude", "2.35"), ("Label", "Fournil")]);
    assert_eq!(place.kind, "location");
    assert_eq!(place.location.unwrap().name.as_deref(), Some("Fournil"));
    assert_eq!(with(&[("Latitude", "NaN"), ("Longitude", "2.35"), ("Body", "x")]).location, None);
    assert_eq!(with(&[("NumMedia", "4000000000")]).media.len(), 0);
}

#[test]
fn a_hidden_number_is_kept_by_its_name_and_another_channel_is_a_notice() {
    let hidden = incoming(&[("MessageSid", SID), ("From", "whatsapp:FR.1234567890"), ("Body", "x")]);
    assert_eq!(hidden.sender, "FR.1234567890");
    let other = parse(&form(&[("MessageSid", SID), ("From", "messenger:1"), ("Body", "x")]), None).remove(0);
    assert!(matches!(other, Report::Notice { kind, .. } if kind == "other-channel"));
}

/// Codes, whether to retry (in how many seconds, at first), SMS, and what is remembered. 63016 is tried again as a template.
#[rustfmt::skip]
const ROWS: &[(&[&str], Option<u64>, SmsVerdict, Remember)] = &[
    (&["20003", "30002", "63001", "63007"], None, SmsVerdict::Yes, Remember::AccountBroken),
    (&["21211", "21408", "21612", "30007", "30047"], None, SmsVerdict::No, Remember::Nothing),
    (&["21610"], None, SmsVerdict::Transactional, Remember::Stopped),
    (&["21614", "21635"], None, SmsVerdict::No, Remember::AddressUnusable),
    (&["30001", "63018"], Some(5), SmsVerdict::Late, Remember::Nothing),
    (&["30003"], Some(300), SmsVerdict::Yes, Remember::Nothing),
    (&["30004", "63014", "63032"], None, SmsVerdict::Transactional, Remember::Nothing),
    (&["30005", "30006", "63003"], None, SmsVerdict::Yes, Remember::AddressUnusable),
    (&["30008"], Some(5), SmsVerdict::Yes, Remember::Nothing),
    (&["63005", "63021", "63024"], None, SmsVerdict::Yes, Remember::Nothing),
];

#[test]
fn every_code_leads_to_the_tabled_decision() {
    let at = |code: &str, attempt| table().classify(code, None, crate::channel::failure::Hint::attempt(attempt));
    for (codes, later_s, sms, remember) in ROWS {
        for code in *codes {
            let failure = at(code, 1);
            let retry = later_s.map_or(Retry::Never, |seconds| Retry::Later { after_ms: seconds * 1000 });
            assert_eq!((failure.retry, failure.sms, failure.remember), (retry, *sms, *remember), "{code}");
        }
    }
    assert_eq!((at("63016", 1).retry, at("63016", 1).sms), (Retry::AsTemplate, SmsVerdict::Yes));
    assert_eq!(at("30008", 2).retry, Retry::Never, "once");
}

// WhatsApp --------------------------------------------------------------------------------------------------------------

fn on_whatsapp(kind: &'static str, payload: Value) -> Result<Vec<(&'static str, String)>, String> {
    let settings = TwilioSettings {
        channel: Channel::Whatsapp,
        templates: vec![ContentTemplate {
            name: "commande_prete".into(),
            language: "fr".into(),
            content_sid: "HX00000000000000000000000000000001".into(),
            header_variable: Some("9".into()),
            button_variables: vec!["10".into()],
        }],
        ..TwilioSettings::sample("+33757000001")
    };
    let account = Twilio::new(&settings, "https://relais.example", http_client(&HttpSettings::default()).unwrap());
    let rendered = whatsapp::Rendered { kind, payload, upload: None };
    account.unwrap().form(&Outgoing { body: Rendition::Whatsapp(rendered), ..outgoing(None) })
}

#[test]
fn a_template_is_a_content_with_variables() {
    let form = on_whatsapp(
        "template",
        json!({"name": "commande_prete", "language": {"code": "fr"}, "components": [
            {"type": "header", "parameters": [{"type": "image", "image": {"link": "https://cdn.example/1.jpg"}}]},
            {"type": "body", "parameters": [{"type": "text", "text": "Paul"}, {"type": "text", "text": "4821"}]},
            {"type": "button", "sub_type": "quick_reply", "index": "0", "parameters": [{"type": "payload", "payload": "oui"}]},
        ]}),
    )
    .unwrap();
    assert_eq!(form[..2], [("To", "whatsapp:+33639981201".into()), ("From", "whatsapp:+33757000001".into())]);
    assert_eq!(form[2], ("ContentSid", "HX00000000000000000000000000000001".into()));
    let variables: Value = serde_json::from_str(&form[3].1).unwrap();
    assert_eq!(variables, json!({"1": "Paul", "2": "4821", "9": "https://cdn.example/1.jpg", "10": "oui"}));
    let unknown = on_whatsapp("template", json!({"name": "autre", "language": {"code": "fr"}}));
    assert!(unknown.unwrap_err().contains("templates"));
}

#[test]
fn media_places_and_buttons_have_a_form_and_reactions_have_none() {
    let form = on_whatsapp("image", json!({"link": "https://cdn.example/1.jpg", "caption": "Votre gâteau"})).unwrap();
    assert_eq!(form[2..4], [("Body", "Votre gâteau".into()), ("MediaUrl", "https://cdn.example/1.jpg".into())]);
    let form =
        on_whatsapp("location", json!({"latitude": 48.8606, "longitude": 2.3376, "name": "Point relais"})).unwrap();
    assert_eq!(
        form[2..4],
        [("Body", "Point relais".into()), ("PersistentAction", "geo:48.8606,2.3376|Point relais".into())]
    );
    let buttons = json!([{"type": "reply", "reply": {"id": "o", "title": "Je viens"}}, {"type": "reply", "reply": {"id": "n", "title": "J'annule"}}]);
    let form =
        on_whatsapp("interactive", json!({"body": {"text": "Mardi ?"}, "action": {"buttons": buttons}})).unwrap();
    assert_eq!(form[2], ("Body", "Mardi ?\n1 = Je viens\n2 = J'annule".into()));
    assert!(on_whatsapp("reaction", json!({})).is_err());
}
