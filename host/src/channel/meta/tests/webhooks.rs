//! The documented bodies, and what hostile or careless ones come to.

use serde_json::{Value, json};

use crate::{
    channel::{IncomingReport, Report, StatusReport, meta::webhook::parse},
    clock::Timestamp,
    domain::{customer::Channel, message::Remember, run::IncomingMedia, status::AttemptState},
    ids::{AttemptToken, MessageId, TenantId},
};

const WAMID: &str = "wamid.HBgLMzM2Mzk5ODEyMDEVAgASGBQzQTAwMDAwMDAwMDAwMDAwMDAwMQA=";

fn body(field: &str, value: Value) -> Value {
    json!({"object": "whatsapp_business_account", "entry": [{"id": "201000000000001", "changes": [{"field": field, "value": value}]}]})
}

fn reports(body: &Value) -> Vec<Report> {
    parse(body.to_string().as_bytes()).unwrap()
}

fn contacts() -> Value {
    json!([{"profile": {"name": "Paul Exemple"}, "wa_id": "33639981201", "user_id": "FR.13000000000000000001"}])
}

/// What one of `messages[]` becomes.
fn incoming(mut part: Value) -> IncomingReport {
    for (key, value) in [("from", "33639981201"), ("id", WAMID), ("timestamp", "1767254400")] {
        part[key] = json!(value);
    }
    let metadata = json!({"display_phone_number": "33139980001", "phone_number_id": "109000000000001"});
    let value = json!({"metadata": metadata, "contacts": contacts(), "messages": [part]});
    let found = reports(&body("messages", value));
    match <[Report; 1]>::try_from(found).unwrap() {
        [Report::Incoming(incoming)] => incoming,
        other => panic!("{other:?}"),
    }
}

fn token(attempt: u32) -> AttemptToken {
    AttemptToken { message: MessageId::of_request(&TenantId::default_tenant(), "k"), attempt }
}

fn status(part: Value) -> StatusReport {
    let found = reports(&body("messages", json!({"contacts": [{"wa_id": "33639981201"}], "statuses": [part]})));
    match <[Report; 1]>::try_from(found).unwrap() {
        [Report::Status(status)] => status,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_text_is_read_whole() {
    let said = incoming(
        json!({"type": "text", "text": {"body": "Vous fermez à quelle heure ?"}, "from_user_id": "FR.13000000000000000001"}),
    );
    let expected = IncomingReport {
        channel: Channel::Whatsapp,
        to: Some("109000000000001".to_owned()),
        sender: "+33639981201".to_owned(),
        sender_id: Some("FR.13000000000000000001".to_owned()),
        sender_name: Some("Paul Exemple".to_owned()),
        provider_id: WAMID.to_owned(),
        time: Some(Timestamp::from_seconds(1_767_254_400)),
        kind: "text".to_owned(),
        text: "Vous fermez à quelle heure ?".to_owned(),
        choice: None,
        media: vec![],
        location: None,
        quoted: None,
        attributes: vec![],
    };
    assert_eq!(said, expected);
}

#[test]
fn the_body_that_was_signed_as_a_vector_is_read_with_its_escapes() {
    let raw = br#"{"object":"whatsapp_business_account","entry":[{"id":"1","changes":[{"field":"messages","value":{"messaging_product":"whatsapp","metadata":{"display_phone_number":"33100000000","phone_number_id":"2"},"contacts":[{"profile":{"name":"Zo\u00e9"},"wa_id":"33600000001"}],"messages":[{"from":"33600000001","id":"wamid.TEST","timestamp":"1760000000","type":"text","text":{"body":"Bient\u00f4t pr\u00eat ?"}}]}}]}]}"#;
    let found = parse(raw).unwrap();
    let [Report::Incoming(said)] = &found[..] else { panic!("{found:?}") };
    assert_eq!((said.text.as_str(), said.sender_name.as_deref()), ("Bientôt prêt ?", Some("Zoé")));
}

#[test]
fn taps_are_choices_whatever_was_tapped() {
    let context = json!({"from": "33139980001", "id": "wamid.QUOTED"});
    let button = incoming(
        json!({"type": "button", "context": context, "button": {"payload": "cmd:4821:j-arrive", "text": "J'arrive"}}),
    );
    let reply = json!({"type": "button_reply", "button_reply": {"id": "rdv:77:oui", "title": "Je viens"}});
    let reply = incoming(json!({"type": "interactive", "context": context, "interactive": reply}));
    let row =
        json!({"type": "list_reply", "list_reply": {"id": "liv:am", "title": "8 h – 12 h", "description": "Gratuit"}});
    let row = incoming(json!({"type": "interactive", "context": context, "interactive": row}));
    for (said, id, label) in
        [(button, "cmd:4821:j-arrive", "J'arrive"), (reply, "rdv:77:oui", "Je viens"), (row, "liv:am", "8 h – 12 h")]
    {
        assert_eq!((said.kind.as_str(), said.choice.as_deref(), said.text.as_str()), ("choice", Some(id), label));
        assert_eq!(said.quoted.as_deref(), Some("wamid.QUOTED"));
    }
}

#[test]
fn media_come_with_id_caption_and_name() {
    let said = incoming(json!({"type": "document", "document": {
        "id": "1310000000000003", "mime_type": "application/pdf", "sha256": "x", "caption": "Ma facture", "filename": "facture.pdf",
    }}));
    let media = IncomingMedia {
        id: "1310000000000003".to_owned(),
        mime_type: "application/pdf".to_owned(),
        size: None,
        filename: Some("facture.pdf".to_owned()),
        sha256: Some("x".to_owned()),
    };
    assert_eq!((said.kind.as_str(), said.text.as_str(), said.media), ("document", "Ma facture", vec![media]));
    for kind in ["image", "video", "audio", "sticker"] {
        let said = incoming(json!({"type": kind, kind: {"id": "1", "mime_type": "x/y"}}));
        assert_eq!((said.kind.as_str(), said.media.len()), (kind, 1));
    }
}

#[test]
fn everything_else_that_a_customer_sends_is_a_message_too() {
    let said =
        incoming(json!({"type": "location", "location": {"latitude": 48.86, "longitude": "2.33", "name": "Ici"}}));
    let place = said.location.unwrap();
    assert_eq!((place.latitude, place.longitude, place.name.as_deref()), (48.86, 2.33, Some("Ici")));
    let said = incoming(json!({"type": "reaction", "reaction": {"message_id": "wamid.R", "emoji": "👍"}}));
    assert_eq!((said.kind.as_str(), said.text.as_str(), said.quoted.as_deref()), ("reaction", "👍", Some("wamid.R")));
    let said = incoming(json!({"type": "reaction", "reaction": {"message_id": "wamid.R"}}));
    assert_eq!(said.text, "");
    let cards = json!([{"name": {"formatted_name": "Anne Exemple"}}, {"name": {"formatted_name": "Luc Exemple"}}]);
    assert_eq!(incoming(json!({"type": "contacts", "contacts": cards})).text, "Anne Exemple, Luc Exemple");
    let said =
        incoming(json!({"type": "order", "order": {"catalog_id": "1", "text": "Sans oignons", "product_items": []}}));
    assert_eq!((said.kind.as_str(), said.text.as_str()), ("order", "Sans oignons"));
    let errors = json!([{"code": 131051, "title": "Message type unknown", "error_data": {"details": "…"}}]);
    assert_eq!(incoming(json!({"type": "unsupported", "errors": errors})).kind, "unsupported");
    assert_eq!(incoming(json!({"type": "unknown", "errors": errors})).kind, "unsupported");
    assert_eq!(incoming(json!({"type": "telepathy"})).kind, "telepathy");
}

#[test]
fn what_a_user_changes_or_takes_back_names_the_message_that_it_was() {
    let message = json!({"type": "text", "text": {"body": "Plutôt à 15 h"}});
    let edited = incoming(json!({"type": "edit", "edit": {"original_message_id": "wamid.FIRST", "message": message}}));
    let told = (edited.kind.as_str(), edited.text.as_str(), edited.quoted.as_deref());
    assert_eq!(told, ("edit", "Plutôt à 15 h", Some("wamid.FIRST")));
    let revoked = incoming(json!({"type": "revoke", "revoke": {"original_message_id": "wamid.FIRST"}}));
    assert_eq!((revoked.kind.as_str(), revoked.quoted.as_deref()), ("revoke", Some("wamid.FIRST")));
    assert_eq!(revoked.text, "");
}

#[test]
fn a_changed_number_is_no_message_and_opens_no_window() {
    let system = json!({"type": "system", "from": "33639981201", "id": WAMID, "timestamp": "1767254400",
        "system": {"body": "…", "wa_id": "33639981299", "type": "user_changed_number"}});
    let moved = |from: &str, to: &str| Report::Moved {
        channel: Channel::Whatsapp,
        provider_id: WAMID.to_owned(),
        from: from.to_owned(),
        to: to.to_owned(),
        time: Some(Timestamp::from_seconds(1_767_254_400)),
    };
    let found = |system: Value| reports(&body("messages", json!({"messages": [system]}))).remove(0);
    assert_eq!(found(system), moved("+33639981201", "+33639981299"));
    let id = json!({"type": "system", "from_user_id": "FR.1", "id": WAMID, "timestamp": "1767254400",
        "system": {"body": "…", "user_id": "FR.2", "type": "user_changed_user_id"}});
    assert_eq!(found(id), moved("FR.1", "FR.2"));
    let vague = json!({"type": "system", "from": "33639981201", "id": WAMID, "timestamp": "1767254400",
        "system": {"body": "…", "type": "customer_changed_number"}});
    assert!(matches!(found(vague), Report::Notice { kind, .. } if kind == "customer_changed_number"));
}

/// What the attributes of one of `messages[]` say.
fn attributes(part: Value) -> Vec<(String, String)> {
    incoming(part).attributes
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn where_a_message_comes_from_is_told_beside_what_it_says() {
    let said = attributes(json!({"type": "text", "text": {"body": "Bonjour"},
        "context": {"forwarded": true, "frequently_forwarded": false, "from": "33639981201"},
        "referral": {"source_url": "https://fb.example/ad", "source_id": "42", "source_type": "ad", "headline": "Gâteaux",
            "body": "Dès 10 €", "media_type": "image", "ctwa_clid": "c-1", "welcome_message": {"text": "Bonjour !"}}}));
    let expected = [
        ("forwarded", "true"),
        ("referral-source-url", "https://fb.example/ad"),
        ("referral-source-id", "42"),
        ("referral-source-type", "ad"),
        ("referral-headline", "Gâteaux"),
        ("referral-body", "Dès 10 €"),
        ("referral-media-type", "image"),
        ("referral-ctwa-clid", "c-1"),
        ("referral-welcome", "Bonjour !"),
    ];
    assert_eq!(said, pairs(&expected));
}

#[test]
fn what_a_kind_has_of_its_own_is_an_attribute() {
    let audio = json!({"type": "audio", "audio": {"id": "1", "mime_type": "audio/ogg", "voice": true}});
    assert_eq!(attributes(audio), pairs(&[("voice", "true")]));
    let row = json!({"type": "list_reply", "list_reply": {"id": "a", "title": "8 h", "description": "Gratuit"}});
    assert_eq!(attributes(json!({"type": "interactive", "interactive": row})), pairs(&[("description", "Gratuit")]));
    let form = json!({"type": "interactive", "interactive": {"type": "nfm_reply",
        "nfm_reply": {"name": "flow", "body": "Sent", "response_json": "{\"a\":1}"}}});
    assert_eq!(attributes(form.clone()), pairs(&[("form", "flow"), ("form-response", "{\"a\":1}")]));
    assert_eq!((incoming(form.clone()).kind.as_str(), incoming(form).text.as_str()), ("form", "Sent"));
    let order = json!({"type": "order", "order": {"catalog_id": "7", "text": "", "product_items": [{"quantity": 2}]}});
    assert_eq!(attributes(order), pairs(&[("catalog", "7"), ("items", r#"[{"quantity":2}]"#)]));
    let errors = json!([{"code": 131051, "title": "Unsupported", "error_data": {"details": "No such type"}}]);
    let expected = [("error-code", "131051"), ("error-title", "Unsupported"), ("error-details", "No such type")];
    assert_eq!(attributes(json!({"type": "unsupported", "errors": errors})), pairs(&expected));
    let cards = json!([{"name": {"formatted_name": "x".repeat(20_000)}}]);
    assert_eq!(attributes(json!({"type": "contacts", "contacts": cards})), pairs(&[]), "what is too long is left out");
}

#[test]
fn who_hides_the_number_is_known_by_id_and_contacts_are_not_needed() {
    let text = json!({"type": "text", "id": WAMID, "timestamp": "1767254400", "from_user_id": "FR.13000000000000000001", "text": {"body": "a"}});
    let found = reports(&body("messages", json!({"messages": [text]})));
    let [Report::Incoming(said)] = &found[..] else { panic!("{found:?}") };
    assert_eq!((said.sender.as_str(), &said.sender_name), ("FR.13000000000000000001", &None));
    assert_eq!(said.sender_id.as_deref(), Some("FR.13000000000000000001"));
}

#[test]
fn a_delivered_status_brings_token_time_and_price() {
    let pricing = json!({"billable": true, "pricing_model": "PMP", "type": "regular", "category": "utility"});
    let said = status(json!({
        "id": "wamid.S", "status": "delivered", "timestamp": "1767254403", "recipient_id": "33639981201",
        "recipient_user_id": "FR.13000000000000000001", "biz_opaque_callback_data": token(1).to_string(), "pricing": pricing,
    }));
    let expected = StatusReport {
        token: Some(token(1)),
        provider_id: Some("wamid.S".to_owned()),
        state: AttemptState::Delivered,
        time: Some(Timestamp::from_seconds(1_767_254_403)),
        failure: None,
        // The price is found by the country, which goes along.
        pricing: Some(
            json!({"billable": true, "pricing_model": "PMP", "type": "regular", "category": "utility", "country": "FR"}),
        ),
    };
    assert_eq!(said, expected);
}

#[test]
fn each_status_is_a_state() {
    for (word, state) in [
        ("sent", AttemptState::Sent),
        ("delivered", AttemptState::Delivered),
        ("read", AttemptState::Read),
        ("played", AttemptState::Read),
        ("failed", AttemptState::Failed),
    ] {
        assert_eq!(status(json!({"id": "wamid.S", "status": word, "timestamp": "1767254403"})).state, state, "{word}");
    }
}

#[test]
fn a_failed_status_is_classified_and_a_foreign_token_is_none() {
    let failed = |errors: Value| {
        status(
            json!({"id": "wamid.S", "status": "failed", "timestamp": "1767254404", "biz_opaque_callback_data": "m_01JABCDEG", "errors": errors}),
        )
    };
    let said = failed(json!([{
        "code": 131026, "title": "Message undeliverable", "message": "Message undeliverable",
        "error_data": {"details": "Message Undeliverable."}, "href": "https://developers.facebook.com/docs/",
    }]));
    let failure = said.failure.unwrap();
    assert_eq!((failure.code.as_str(), failure.remember), ("not-on-whatsapp", Remember::AddressUnusable));
    assert_eq!((failure.detail.as_deref(), said.token), (Some("Message Undeliverable."), None));
    assert_eq!(failed(json!([])).failure.unwrap().code, "unknown-error");
}

#[test]
fn the_pause_after_a_failed_status_grows_with_the_attempt_in_the_token() {
    let said = status(json!({
        "id": "wamid.S", "status": "failed", "timestamp": "1", "biz_opaque_callback_data": token(3).to_string(), "errors": [{"code": 131056}],
    }));
    assert_eq!(said.failure.unwrap().retry, crate::domain::message::Retry::Later { after_ms: 16_000 });
}

#[test]
fn a_customers_preference_is_about_marketing() {
    let preference = |value: &str, category: &str| {
        let part = json!({"wa_id": "33639981201", "detail": "…", "category": category, "value": value, "timestamp": 1767254400});
        reports(&body("user_preferences", json!({"contacts": contacts(), "user_preferences": [part]}))).remove(0)
    };
    let expected = |stopped| Report::MarketingPreference {
        address: "+33639981201".to_owned(),
        stopped,
        time: Some(Timestamp::from_seconds(1_767_254_400)),
    };
    assert_eq!(preference("stop", "marketing_messages"), expected(true));
    assert_eq!(preference("resume", "marketing_messages"), expected(false));
    assert!(matches!(preference("stop", "something_new"), Report::Notice { .. }));
}

#[test]
fn all_entries_changes_statuses_and_messages_are_read_in_their_order() {
    let state = |id: &str| json!({"id": id, "status": "sent", "timestamp": "1767254403"});
    let text = |id: &str| json!({"from": "33639981201", "id": id, "timestamp": "1767254400", "type": "text", "text": {"body": id}});
    let change = |value: Value| json!({"field": "messages", "value": value});
    let whole = json!({"object": "whatsapp_business_account", "entry": [
        {"id": "1", "changes": [change(json!({"statuses": [state("a"), state("b")]})), change(json!({"messages": [text("c"), text("d")]}))]},
        {"id": "2", "changes": [change(json!({"statuses": [state("e")]}))]},
    ]});
    let ids: Vec<String> = reports(&whole)
        .into_iter()
        .map(|report| match report {
            Report::Status(status) => status.provider_id.unwrap(),
            Report::Incoming(incoming) => incoming.provider_id,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(ids, ["a", "b", "c", "d", "e"]);
}

#[test]
fn an_unreadable_piece_does_not_lose_the_others() {
    let good = json!({"id": "good", "status": "sent", "timestamp": "1767254403"});
    let whole = body(
        "messages",
        json!({
            "statuses": [{"id": 7}, "nonsense", good, {"id": "x", "status": "levitating", "timestamp": "1"}],
            "messages": [{"type": "text"}, null],
            "errors": [{"code": 131000, "title": "Something went wrong"}, 3],
        }),
    );
    let found = reports(&whole);
    assert_eq!(found.len(), 8, "{found:?}");
    assert_eq!(found.iter().filter(|report| matches!(report, Report::Status(_))).count(), 1);
}

#[test]
fn changes_of_templates_are_told_and_of_people_only_named() {
    let found = reports(&body(
        "message_template_status_update",
        json!({"event": "PAUSED", "message_template_name": "commande_prete"}),
    ));
    assert!(
        matches!(&found[..], [Report::Standing(said)] if said.field == "message_template_status_update"
            && said.business == "201000000000001" && said.value["message_template_name"] == "commande_prete"),
        "{found:?}"
    );
    let found = reports(&body("smb_message_echoes", json!({"message_echoes": [{"text": {"body": "private"}}]})));
    assert!(matches!(&found[..], [Report::Notice { detail, .. }] if !detail.contains("private")), "{found:?}");
}

#[test]
fn what_is_no_webhook_is_refused_and_another_product_let_pass() {
    for raw in ["", "[]", "{", "{\"object\":\"whatsapp_business_account\"}", "{\"entry\":{}}", "\"entry\""] {
        assert!(parse(raw.as_bytes()).is_err(), "{raw}");
    }
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(parse(deep.as_bytes()).is_err());
    let found = parse(br#"{"object":"page","entry":[]}"#).unwrap();
    assert!(matches!(&found[..], [Report::Notice { .. }]));
    assert!(parse(br#"{"object":"whatsapp_business_account","entry":[]}"#).unwrap().is_empty());
}
