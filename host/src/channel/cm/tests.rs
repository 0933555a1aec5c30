//! Every body of the reference, and each way in which an answer can be lost.

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::{Cm, send, table, webhook};
use crate::{
    channel::{
        CmSettings, Fallback, HttpSettings, Outgoing, Provider, Rendition, Report, StatusReport, exchange::Reply,
        http_client, signature::Refused, sms, whatsapp,
    },
    clock::Timestamp,
    domain::{
        customer::Channel,
        message::{Answer, Remember, Retry, SmsVerdict},
        status::AttemptState,
    },
    ids::{AttemptToken, MessageId, TenantId},
    secret::Secret,
};

fn token() -> AttemptToken {
    AttemptToken { message: MessageId::of_request(&TenantId::default_tenant(), "k"), attempt: 1 }
}

fn outgoing() -> Outgoing {
    let text = sms::Text {
        text: "Votre commande 4821 est prete.".into(),
        encoding: sms::Encoding::Gsm7,
        units: 30,
        parts: 1,
        changed: Vec::new(),
    };
    Outgoing {
        token: token(),
        to: "+33639981201".into(),
        body: Rendition::Sms(text),
        quote: None,
        expires: None,
        mime_type: None,
        instead: None,
        media_id: None,
    }
}

fn account(base_url: &str) -> Cm {
    let settings = CmSettings { base_url: base_url.into(), ..CmSettings::sample("Boulange") };
    let http = HttpSettings { timeout_ms: 2_000, ..HttpSettings::default() };
    Cm::new(&settings, http_client(&http).unwrap()).unwrap()
}

fn reply(status: u16, body: &Value) -> Reply {
    Reply {
        status: reqwest::StatusCode::from_u16(status).unwrap(),
        headers: reqwest::header::HeaderMap::new(),
        body: Some(body.to_string().into()),
    }
}

fn said(status: u16, body: &Value) -> Answer {
    send::answer(&reply(status, body), "m01JABCDEF", 1)
}

fn code(answer: &Answer) -> &str {
    match answer {
        Answer::Failed(failure) => &failure.code,
        other => panic!("it should have failed: {other:?}"),
    }
}

fn one(status: &str, code: i64) -> Value {
    json!([{"to": "0033639981201", "status": status, "reference": "m01JABCDEF", "parts": 1,
            "messageDetails": null, "messageErrorCode": code}])
}

#[test]
fn an_accepted_message_is_known_by_our_reference() {
    let body = json!({"details": "Created 1 message(s)", "errorCode": 0, "messages": one("Accepted", 0)});
    assert_eq!(said(200, &body), Answer::Accepted { provider_id: "m01JABCDEF".into() });
}

#[test]
fn a_rejection_inside_a_200_is_a_rejection() {
    let body = json!({"details": "Created 0 message(s)", "errorCode": 201, "messages": one("Rejected", 402)});
    let answer = said(200, &body);
    assert_eq!(code(&answer), "blocked");
    let body = json!({"details": "Created 0 message(s)", "errorCode": 201, "messages": one("Rejected", 303)});
    assert_eq!(code(&said(400, &body)), "bad-number");
    let body = json!({"details": "Created 0 message(s)", "errorCode": 201, "messages": one("Rejected", 0)});
    assert_eq!(code(&said(400, &body)), "rejected");
    let body = json!({"details": "Created 0 message(s)", "errorCode": 201, "messages": []});
    assert_eq!(code(&said(400, &body)), "rejected");
}

#[test]
fn a_wrong_token_breaks_the_account() {
    let body = json!({"details": "No account found for the given authentication", "errorCode": 101});
    let Answer::Failed(failure) = said(400, &body) else { panic!("it should have failed") };
    assert_eq!((failure.code.as_str(), failure.retry), ("account-problem", Retry::Never));
    assert_eq!(failure.remember, Remember::AccountBroken);
    assert_eq!(failure.detail.as_deref(), Some("No account found for the given authentication"));
}

#[test]
fn only_what_says_so_was_not_taken() {
    for (status, body) in [
        (200, json!("?")),
        (200, json!({"details": "", "errorCode": 0, "messages": []})),
        (502, json!(null)),
        (504, json!("x")),
    ] {
        assert!(matches!(said(status, &body), Answer::Unknown { .. }), "{status} {body}");
    }
    assert_eq!(code(&said(503, &json!(null))), "provider-down");
    assert_eq!(code(&said(429, &json!({"details": "", "errorCode": 999}))), "rate-limited");
    assert_eq!(code(&said(500, &json!({"details": "Internal error", "errorCode": 500}))), "provider-down");
    assert_eq!(code(&said(404, &json!(null))), "account-problem");
    // An accepted message that is not ours says nothing about ours.
    let other = json!({"details": "", "errorCode": 0, "messages": one("Accepted", 0)});
    assert!(matches!(send::answer(&reply(200, &other), "another", 1), Answer::Unknown { .. }));
}

#[test]
fn every_code_of_the_reference_is_in_the_table() {
    for code in
        ["101", "102", "103", "201", "202", "203", "301", "302", "303", "304", "305", "401", "402", "403", "500", "999"]
    {
        assert!(table().knows(code), "{code}");
    }
    assert!(table().knows("status1") && table().knows("status3"));
}

#[test]
fn a_request_has_the_form_of_the_reference() {
    let body = account("https://cm.example").body(&outgoing()).unwrap();
    let message = json!({
        "allowedChannels": ["SMS"],
        "from": "Boulange",
        "to": [{"number": "0033639981201"}],
        "reference": token().to_string(),
        "minimumNumberOfMessageParts": 1,
        "maximumNumberOfMessageParts": 8,
        "body": {"type": "AUTO", "content": "Votre commande 4821 est prete."},
    });
    assert_eq!(body, json!({"messages": {"msg": [message]}}));
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let with = |base_url: &str, sender: &str| {
        let settings = CmSettings { base_url: base_url.into(), ..CmSettings::sample(sender) };
        Cm::new(&settings, http_client(&HttpSettings::default()).unwrap()).map(|_| ())
    };
    assert!(with("https://gw.messaging.cm.com", "0033139980001").is_ok());
    assert!(matches!(with("gw.messaging.cm.com", "Boulange"), Err(send::BadSettings::Url { .. })));
    for sender in ["", "Boulangerie4", "12345678901234567", "Boul@nge"] {
        assert!(matches!(with("https://cm.example", sender), Err(send::BadSettings::Sender { .. })), "{sender}");
    }
}

/// Answers one request with what is given, and says what it was asked.
async fn door(answer: Option<String>) -> (String, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut asked = Vec::new();
        while !asked.ends_with(b"}") {
            assert!(stream.read_buf(&mut asked).await.unwrap() > 0);
        }
        if let Some(answer) = answer {
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
        String::from_utf8(asked).unwrap()
    });
    (url, asked)
}

#[tokio::test]
async fn a_message_goes_out_with_the_product_token_and_is_taken() {
    let body = json!({"details": "Created 1 message(s)", "errorCode": 0, "messages": [
        {"to": "0033639981201", "status": "Accepted", "reference": token().to_string(), "parts": 1,
         "messageDetails": null, "messageErrorCode": 0}]})
    .to_string();
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len());
    let (url, asked) = door(Some(format!("{head}{body}"))).await;
    let answer = account(&url).send(&outgoing()).await;
    assert_eq!(answer, Answer::Accepted { provider_id: token().to_string() });
    let asked = asked.await.unwrap();
    assert!(asked.starts_with("POST /v1.0/message HTTP/1.1\r\n"), "{asked}");
    assert!(asked.to_lowercase().contains("x-cm-producttoken: 00000000-0000-4000-8000-000000000001\r\n"), "{asked}");
}

#[tokio::test]
async fn an_answer_that_is_lost_leaves_it_in_doubt() {
    let (url, asked) = door(None).await;
    assert!(matches!(account(&url).send(&outgoing()).await, Answer::Unknown { .. }));
    asked.await.unwrap();
    let (url, asked) = door(Some("HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n{\"deta".into())).await;
    assert!(matches!(account(&url).send(&outgoing()).await, Answer::Unknown { .. }));
    asked.await.unwrap();
}

#[tokio::test]
async fn without_a_connection_nothing_was_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let Answer::Failed(failure) = account(&url).send(&outgoing()).await else { panic!("it was not sent") };
    assert_eq!((failure.code.as_str(), failure.retry), ("provider-down", Retry::Later { after_ms: 0 }));
}

fn status(report: &str) -> StatusReport {
    match webhook::parse(report.as_bytes()).unwrap().remove(0) {
        Report::Status(status) => status,
        other => panic!("it should be a status: {other:?}"),
    }
}

fn report(code: &str, error_code: &str) -> String {
    json!({"messages": {"msg": {
        "received": "2026-01-15T10:30:02", "to": "0033639981201", "reference": token().to_string(),
        "status": {"code": code, "errorCode": error_code, "errorDescription": "why"}, "operator": "20801"}}})
    .to_string()
}

#[test]
fn a_report_is_read_as_it_is_documented() {
    let body = r#"{"messages": {"msg": {"received": "2026-01-15T10:30:02", "to": "0033639981201",
        "reference": "m01JABCDEF", "status": {"code": "2", "errorCode": "", "errorDescription": ""}, "operator": "20801"}}}"#;
    let expected = StatusReport {
        // This reference is none of our tokens.
        token: None,
        provider_id: Some("m01JABCDEF".into()),
        state: AttemptState::Delivered,
        time: Timestamp::parse("2026-01-15T10:30:02Z"),
        failure: None,
        pricing: None,
    };
    assert_eq!(status(body), expected);
    let ours = status(&report("2", ""));
    assert_eq!((ours.token, ours.provider_id), (Some(token()), Some(token().to_string())));
}

#[test]
fn each_status_code_has_its_state() {
    use AttemptState::{Delivered, Failed, Read, Sent};
    for (code, state) in [("0", Sent), ("1", Failed), ("2", Delivered), ("3", Failed), ("4", Read)] {
        let status = status(&report(code, ""));
        assert_eq!(status.state, state, "{code}");
        assert_eq!(status.failure.is_some(), state == Failed);
    }
    let failed = |code, error_code| status(&report(code, error_code)).failure.unwrap();
    assert_eq!(failed("1", "").code, "rejected");
    assert_eq!(failed("3", "").code, "undelivered");
    assert_eq!(failed("1", "402").code, "blocked");
    // A code that would stop the account, or that is not known, leaves the status to decide.
    for (code, ours) in [("101", "undelivered"), ("9999", "undelivered")] {
        let failure = failed("3", code);
        assert_eq!((failure.code.as_str(), failure.provider_code.as_deref()), (ours, Some(code)));
        assert_eq!(failure.detail.as_deref(), Some("why"));
    }
}

#[test]
fn lists_numbers_and_other_cases_are_taken_alike() {
    let body = json!({"Messages": {"MSG": [
        {"Reference": token().to_string(), "Status": {"Code": 2}, "Received": "2026-01-15T11:30:02+01:00"},
        {"reference": token().to_string(), "status": {"code": "7"}},
        {"status": {"code": "2"}},
        "nonsense",
    ]}});
    let reports = webhook::parse(body.to_string().as_bytes()).unwrap();
    assert_eq!(reports.len(), 4);
    assert!(matches!(&reports[0], Report::Status(status) if status.state == AttemptState::Delivered
        && status.time == Timestamp::parse("2026-01-15T10:30:02Z")));
    for (report, expected) in reports[1..].iter().zip(["unknown-status", "no-reference", "unknown-status"]) {
        assert!(matches!(report, Report::Notice { kind, .. } if kind == expected), "{report:?}");
    }
}

fn mo() -> Value {
    json!({
        "from": {"number": "0033639981201", "name": "Paul Exemple"},
        "to": {"number": "0033139980001"},
        "message": {"text": "Vous fermez à quelle heure ?", "media": {"mediaUri": "", "contentType": "", "title": ""}, "custom": {}},
        "reference": "c2d0f3a1",
        "groupings": ["", "", ""],
        "timeUtc": "2026-01-15T10:31:00",
        "channel": "WhatsApp",
        "messageContext": ""
    })
}

fn incoming(body: &Value) -> crate::channel::IncomingReport {
    match webhook::parse(body.to_string().as_bytes()).unwrap().remove(0) {
        Report::Incoming(incoming) => incoming,
        other => panic!("it should be a message: {other:?}"),
    }
}

#[test]
fn what_a_customer_writes_is_read_as_it_is_documented() {
    let read = incoming(&mo());
    assert_eq!((read.channel, read.sender.as_str()), (Channel::Whatsapp, "+33639981201"));
    assert_eq!((read.kind.as_str(), read.text.as_str()), ("text", "Vous fermez à quelle heure ?"));
    assert_eq!((read.sender_name.as_deref(), read.provider_id.as_str()), (Some("Paul Exemple"), "c2d0f3a1"));
    assert_eq!(read.time, Timestamp::parse("2026-01-15T10:31:00Z"));
    assert_eq!((read.choice, read.media.len(), read.location, read.quoted), (None, 0, None, None));
}

#[test]
fn media_choices_and_places_are_read_where_they_are_there() {
    let mut body = mo();
    body["message"]["media"] =
        json!({"mediaUri": "https://cdn.example/1.jpg", "contentType": "image/jpeg", "title": "1.jpg"});
    body["messageContext"] = json!("m01");
    let read = incoming(&body);
    assert_eq!((read.kind.as_str(), read.media[0].id.as_str()), ("image", "https://cdn.example/1.jpg"));
    assert_eq!((read.media[0].filename.as_deref(), read.quoted.as_deref()), (Some("1.jpg"), Some("m01")));
    let mut body = mo();
    body["message"]["custom"] = json!({"buttonReply": {"id": "yes", "title": "Oui"}});
    assert_eq!((incoming(&body).kind.as_str(), incoming(&body).choice.as_deref()), ("choice", Some("yes")));
    body["message"]["custom"] = json!({"location": {"latitude": 48.85, "longitude": 2.35}});
    assert_eq!(incoming(&body).location.unwrap().latitude, 48.85);
}

#[test]
fn a_message_without_a_reference_is_the_same_when_it_is_repeated() {
    let mut body = mo();
    body["reference"] = json!("");
    body["channel"] = json!("SMS");
    let first = incoming(&body);
    assert_eq!(first.channel, Channel::Sms);
    assert_eq!(first.provider_id, incoming(&body).provider_id);
    body["message"]["text"] = json!("Et demain ?");
    assert_ne!(first.provider_id, incoming(&body).provider_id);
}

#[test]
fn what_is_no_webhook_of_cm_says_so() {
    for body in ["", "[]", "{}", r#"{"messages": {}}"#, r#"{"from": {}}"#] {
        assert!(webhook::parse(body.as_bytes()).is_err(), "{body}");
    }
    let mut body = mo();
    body["channel"] = json!("Telegram Messenger");
    let reports = webhook::parse(body.to_string().as_bytes()).unwrap();
    assert!(matches!(&reports[0], Report::Notice { kind, .. } if kind == "other-channel"));
}

#[test]
fn only_who_knows_the_secret_is_believed() {
    let secrets = [Secret::new("old"), Secret::new("new")];
    assert_eq!(webhook::verify(&secrets, "old"), Ok(()));
    assert_eq!(webhook::verify(&secrets, "new"), Ok(()));
    for given in ["", "ne", "newer"] {
        assert!(matches!(webhook::verify(&secrets, given), Err(Refused::Mismatch(_))), "{given}");
    }
    assert_eq!(webhook::verify(&[], ""), Err(Refused::NoSecret));
    assert_eq!(webhook::verify(&[Secret::new("")], ""), Err(Refused::NoSecret));
}

/// Codes, whether to retry (in how many seconds, at first), SMS, and what is remembered.
#[rustfmt::skip]
const ROWS: &[(&[&str], Option<u64>, SmsVerdict, Remember)] = &[
    (&["101", "102", "103", "301"], None, SmsVerdict::Yes, Remember::AccountBroken),
    (&["201", "403", "status1", "status3"], None, SmsVerdict::Transactional, Remember::Nothing),
    (&["202", "203", "304", "305"], None, SmsVerdict::Transactional, Remember::Nothing),
    (&["302", "303", "401"], None, SmsVerdict::No, Remember::Nothing),
    (&["402"], None, SmsVerdict::No, Remember::AddressUnusable),
    (&["500", "999"], Some(5), SmsVerdict::Late, Remember::Nothing),
];

#[test]
fn the_table_has_the_codes_that_are_tested_and_no_other() {
    let mut tested: Vec<String> = ROWS.iter().flat_map(|(codes, ..)| *codes).map(|code| (*code).to_owned()).collect();
    let mut tabled = table().codes();
    tested.sort_unstable();
    tabled.sort_unstable();
    assert_eq!(tabled, tested);
}

#[test]
fn every_code_leads_to_the_tabled_decision() {
    for (codes, later_s, sms, remember) in ROWS {
        for code in *codes {
            let failure = table().classify(code, None, crate::channel::failure::Hint::attempt(1));
            let retry = later_s.map_or(Retry::Never, |seconds| Retry::Later { after_ms: seconds * 1000 });
            assert_eq!((failure.retry, failure.sms, failure.remember), (retry, *sms, *remember), "{code}");
        }
    }
}

// WhatsApp --------------------------------------------------------------------------------------------------------------

fn whatsapp_account(fallback: Fallback) -> Cm {
    let settings = CmSettings {
        channel: Channel::Whatsapp,
        template_namespace: Some("00000000_0000_4000_8000_000000000002".into()),
        fallback,
        ..CmSettings::sample("0033139980001")
    };
    Cm::new(&settings, http_client(&HttpSettings::default()).unwrap()).unwrap()
}

fn on_whatsapp(kind: &'static str, payload: Value) -> Outgoing {
    let rendered = whatsapp::Rendered { kind, payload, upload: None };
    Outgoing { body: Rendition::Whatsapp(rendered), mime_type: Some("image/jpeg".into()), ..outgoing() }
}

fn sent(account: &Cm, outgoing: &Outgoing) -> Value {
    account.body(outgoing).unwrap()["messages"]["msg"][0].clone()
}

#[test]
fn a_picture_is_a_text_and_a_file_of_one_conversation() {
    let link = "https://cdn.boulangerie.example/4821.jpg?v=2";
    let outgoing = on_whatsapp("image", json!({"link": link, "caption": "Votre gâteau"}));
    let message = sent(&whatsapp_account(Fallback::Own), &outgoing);
    let media = json!({"mediaName": "4821.jpg", "mediaUri": link, "mimeType": "image/jpeg"});
    assert_eq!(message["allowedChannels"], json!(["WhatsApp"]));
    assert_eq!(message["richContent"]["conversation"], json!([{"text": "Votre gâteau"}, {"media": media}]));
    assert_eq!(message.get("body"), None);
}

#[test]
fn a_template_with_the_text_of_its_sms_has_the_form_of_the_reference() {
    let link = "https://cdn.boulangerie.example/4821.jpg";
    let body = json!({"type": "body", "parameters": [{"type": "text", "text": "Paul"}]});
    let payload = json!({
        "name": "commande_prete", "language": {"code": "fr"},
        "components": [{"type": "header", "parameters": [{"type": "image", "image": {"link": link}}]}, body],
    });
    let Rendition::Sms(text) = outgoing().body else { unreachable!() };
    let outgoing = Outgoing { instead: Some(text), ..on_whatsapp("template", payload) };
    let message = sent(&whatsapp_account(Fallback::Provider), &outgoing);
    let media = json!({"mediaName": "4821.jpg", "mediaUri": link, "mimeType": "image/jpeg"});
    let template = json!({
        "namespace": "00000000_0000_4000_8000_000000000002", "element_name": "commande_prete",
        "language": {"policy": "deterministic", "code": "fr"},
        "components": [{"type": "header", "parameters": [{"type": "image", "media": media}]}, body],
    });
    assert_eq!(message["allowedChannels"], json!(["WhatsApp", "SMS"]));
    assert_eq!(message["body"], json!({"type": "AUTO", "content": "Votre commande 4821 est prete."}));
    assert_eq!(message["richContent"]["conversation"], json!([{"template": {"whatsapp": template}}]));
}

#[test]
fn what_cm_has_no_form_for_does_not_fit() {
    let account = whatsapp_account(Fallback::Own);
    let reaction = on_whatsapp("reaction", json!({"message_id": "wamid.1", "emoji": "👍"}));
    assert!(account.fits(&reaction.body).unwrap_err().contains("reaction"));
    let bytes = on_whatsapp("image", json!({}));
    assert!(account.fits(&bytes.body).unwrap_err().contains("link"));
}
