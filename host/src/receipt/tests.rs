//! Webhooks from the outside, over the router, into a store on disk.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use axum::{
    Router,
    body::Body,
    http::{Request, StatusCode},
};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::{BODY_BYTES_MAX, Gateways, Posted, Read, ReceiptState, Unread, router};
use crate::{
    channel::{
        Accounts, CmSettings, MetaSettings, TwilioSettings,
        marks::{MarkRead, Marks},
        signature::{hmac_sha1, hmac_sha256},
    },
    clock::{AdjustableClock, Clock, Timestamp},
    domain::{
        customer::{Address, Channel, Consent, ConsentScope},
        message::{Answer, Attempt, Because, Content, NewMessage, Next, Recipient, SmsPolicy},
        purpose::Purpose,
        status::{AttemptState, MessageState},
    },
    ids::{AttemptToken, CustomerId, MessageId, PluginName, TenantId},
    secret::Secret,
    store::{
        CustomerProfile, MessageChange, MessageChangeKind, Settings, Store, handover::handover, sqlite::SqliteStore,
    },
};

const CM_PATH: &str = "/v1/webhooks/cm/f3a9c2d17b604e8fa51c";
const PAUL: &str = "+33639981201";

/// The receipt stage over a store in a directory of its own, with the customer Paul.
struct Scene {
    router: Router,
    store: Arc<SqliteStore>,
    clock: Arc<AdjustableClock>,
    tenant: TenantId,
    directory: PathBuf,
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn accounts() -> Accounts {
    Accounts {
        meta: vec![MetaSettings {
            app_secrets: vec![Secret::new("old-secret"), Secret::new("app-secret")],
            verify_token: Secret::new("verify-me"),
            ..MetaSettings::sample()
        }],
        cm: vec![CmSettings::sample("Boulange")],
        twilio: vec![TwilioSettings::sample("+33700000000")],
        ..Accounts::default()
    }
}

async fn scene() -> Scene {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let directory = std::env::temp_dir().join(format!("relais-receipt-{}-{number}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let clock = Arc::new(AdjustableClock::starting_at(Timestamp::from_seconds(1_767_254_500)));
    let (handover, _inlets) = handover(16, 16);
    let path = directory.join("store.db");
    let store = Arc::new(SqliteStore::open(&path, Settings::default(), handover, clock.now()).unwrap());
    let tenant = TenantId::default_tenant();
    let addresses = Channel::ALL.map(|channel| Address {
        channel,
        address: PAUL.to_owned(),
        last_incoming: None,
        unusable_until: None,
        free_until: None,
    });
    let profile = CustomerProfile { addresses: addresses.into(), ..CustomerProfile::default() };
    store.put_customer(&tenant, &CustomerId::from("paul"), profile, clock.now()).await.unwrap();
    let router = router(ReceiptState {
        store: store.clone(),
        clock: clock.clone(),
        tenant: tenant.clone(),
        keywords: Default::default(),
        standing: Arc::new(crate::channel::standing::Standing::new(&accounts(), true)),
        accounts: Arc::new(accounts()),
        prices: Arc::new(crate::channel::price::Table::built_in()),
        public_url: Some("https://relais.example".into()),
        route: Arc::new(|_| (Vec::new(), Vec::new())),
        gateways: Arc::new(NoGateways),
        marks: Marks::new(&[]),
        mark_read: MarkRead::Never,
        free_entry_answer: std::time::Duration::from_hours(24),
        listeners: Arc::new(|| vec![PluginName::from("answering")]),
        media: Arc::default(),
    });
    Scene { router, store, clock, tenant, directory }
}

/// No component brings a channel here.
struct NoGateways;

#[async_trait::async_trait]
impl Gateways for NoGateways {
    async fn parse(&self, account: &crate::channel::GatewaySettings, _: Posted) -> Result<Read, Unread> {
        Err(Unread::Later(format!("nothing reads for `{}`", account.account)))
    }
}

impl Scene {
    /// A message to Paul that this provider has taken.
    async fn sent(&self, provider: &str, channel: Channel) -> AttemptToken {
        let message = MessageId::of_request(&self.tenant, provider);
        let new = NewMessage {
            id: message,
            tenant: self.tenant.clone(),
            author: None,
            to: Recipient::Customer(CustomerId::from("paul")),
            purpose: Purpose::Confirmation,
            because: Because::Reference("order/4821".to_owned()),
            content: Content { text: Some("Votre commande 4821 est prête.".to_owned()), ..Content::default() },
            sms: SmsPolicy::Fallback,
            fallback_after: None,
            expires: None,
            dedup_key: None,
            tag: None,
            quote: None,
            created: self.clock.now(),
        };
        assert!(self.store.accept_message(new).await.unwrap());
        let attempt = Attempt {
            no: 1,
            channel,
            provider: provider.to_owned(),
            account: "main".to_owned(),
            address: PAUL.to_owned(),
            state: AttemptState::Planned,
            provider_id: None,
            rendition: "text".to_owned(),
            parts: 1,
            price_micros: None,
            planned: self.clock.now(),
            answered: None,
            failure: None,
            decision: Value::Null,
            tally: crate::domain::tally::Tally { country: Some("FR".into()), ..Default::default() },
        };
        self.change(message, MessageChangeKind::Begin { attempt, look_again: Timestamp::NEVER }).await;
        let answer = Answer::Accepted { provider_id: format!("{provider}-1") };
        self.change(
            message,
            MessageChangeKind::Answer { no: 1, answer, next: Next::At(Timestamp::NEVER), waits: None },
        )
        .await;
        AttemptToken { message, attempt: 1 }
    }

    async fn change(&self, message: MessageId, kind: MessageChangeKind) {
        let revision = self.store.message(&self.tenant, message).await.unwrap().unwrap().revision;
        let change = MessageChange { tenant: self.tenant.clone(), message, revision, kind, now: self.clock.now() };
        self.store.change_message(change).await.unwrap();
    }

    async fn state(&self, token: AttemptToken) -> MessageState {
        self.store.message(&self.tenant, token.message).await.unwrap().unwrap().state
    }

    async fn consent(&self, channel: Channel, scope: ConsentScope) -> Option<Consent> {
        let paul = self.store.customer(&self.tenant, &CustomerId::from("paul")).await.unwrap().unwrap();
        paul.consent(channel, scope).cloned()
    }

    async fn ask(&self, request: Request<Body>) -> (StatusCode, String) {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    async fn meta(&self, body: &Value) -> StatusCode {
        let body = body.to_string();
        let header = signed(body.as_bytes());
        self.ask(post("/v1/webhooks/meta", &[("x-hub-signature-256", &header)], body)).await.0
    }
}

fn signed(body: &[u8]) -> String {
    let digest = hmac_sha256(b"app-secret", &[body]);
    format!("sha256={}", digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
}

fn post(uri: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Request<Body> {
    let request = headers.iter().fold(Request::post(uri), |request, (name, value)| request.header(*name, *value));
    request.body(body.into()).unwrap()
}

fn webhook(field: &str, value: Value) -> Value {
    json!({"object": "whatsapp_business_account", "entry": [{"id": "201000000000001", "changes": [{"field": field, "value": value}]}]})
}

fn status_of(token: AttemptToken, status: &str) -> Value {
    let status = json!({"id": "meta-1", "status": status, "timestamp": "1767254403", "biz_opaque_callback_data": token.to_string()});
    webhook("messages", json!({"statuses": [status]}))
}

fn text(id: &str, body: &str) -> Value {
    text_at("1767254400", id, body)
}

fn text_at(timestamp: &str, id: &str, body: &str) -> Value {
    let message =
        json!({"from": "33639981201", "id": id, "timestamp": timestamp, "type": "text", "text": {"body": body}});
    webhook("messages", json!({"messages": [message]}))
}

#[tokio::test]
async fn meta_gets_its_challenge_back_for_the_right_token_only() {
    let scene = scene().await;
    let subscribe = |path: &str, token: &str, mode: &str| {
        let uri = format!("{path}?hub.mode={mode}&hub.challenge=1158201444&hub.verify_token={token}");
        scene.ask(Request::get(uri).body(Body::empty()).unwrap())
    };
    let bare = (StatusCode::OK, "1158201444".to_owned());
    assert_eq!(subscribe("/v1/webhooks/meta", "verify-me", "subscribe").await, bare);
    assert_eq!(subscribe("/v1/webhooks/meta/main", "verify-me", "subscribe").await, bare);
    assert_eq!(subscribe("/v1/webhooks/meta", "guess", "subscribe").await.0, StatusCode::FORBIDDEN);
    assert_eq!(subscribe("/v1/webhooks/meta", "", "subscribe").await.0, StatusCode::FORBIDDEN);
    assert_eq!(subscribe("/v1/webhooks/meta", "verify-me", "unsubscribe").await.0, StatusCode::FORBIDDEN);
    assert_eq!(subscribe("/v1/webhooks/meta/other", "verify-me", "subscribe").await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn receipts_out_of_order_move_a_message_forward_only() {
    let scene = scene().await;
    let token = scene.sent("meta", Channel::Whatsapp).await;
    assert_eq!(scene.meta(&status_of(token, "read")).await, StatusCode::OK);
    assert_eq!(scene.meta(&status_of(token, "sent")).await, StatusCode::OK);
    assert_eq!(scene.meta(&status_of(token, "read")).await, StatusCode::OK);
    assert_eq!(scene.state(token).await, MessageState::Read);
    assert_eq!(scene.store.receipts(&scene.tenant, token.message).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_forged_webhook_is_refused_and_leaves_nothing() {
    let scene = scene().await;
    let token = scene.sent("meta", Channel::Whatsapp).await;
    let body = status_of(token, "delivered").to_string();
    let forged = signed(b"something else");
    for headers in [vec![], vec![("x-hub-signature-256", forged.as_str())], vec![("x-hub-signature-256", "sha256=")]] {
        let (status, answer) = scene.ask(post("/v1/webhooks/meta", &headers, body.clone())).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED);
        assert!(answer.contains("/problems/bad-signature") && !answer.contains("app-secret"), "{answer}");
    }
    assert_eq!(scene.state(token).await, MessageState::Sent);
    assert!(scene.store.receipts(&scene.tenant, token.message).await.unwrap().is_empty());
}

#[tokio::test]
async fn what_cannot_be_read_is_told_and_what_is_too_long_not_read() {
    let scene = scene().await;
    let header = signed(b"{");
    let (status, answer) = scene.ask(post("/v1/webhooks/meta", &[("x-hub-signature-256", &header)], "{")).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(answer.contains("/problems/bad-webhook"), "{answer}");
    let long = vec![b' '; BODY_BYTES_MAX + 1];
    let header = signed(&long);
    let (status, _) = scene.ask(post("/v1/webhooks/meta", &[("x-hub-signature-256", &header)], long)).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn a_body_of_the_documented_size_is_taken() {
    let scene = scene().await;
    let mut body = text("wamid.1", "Bonjour").to_string();
    body.push_str(&" ".repeat(3_000_000));
    let header = signed(body.as_bytes());
    assert_eq!(scene.ask(post("/v1/webhooks/meta", &[("x-hub-signature-256", &header)], body)).await.0, StatusCode::OK);
}

#[tokio::test]
async fn what_a_customer_writes_is_kept_once_and_opens_the_window() {
    let scene = scene().await;
    assert_eq!(scene.meta(&text("wamid.1", "Vous fermez à quelle heure ?")).await, StatusCode::OK);
    assert_eq!(scene.meta(&text("wamid.1", "Vous fermez à quelle heure ?")).await, StatusCode::OK);
    let id = MessageId::of_incoming(&scene.tenant, "meta", "wamid.1");
    let incoming = scene.store.incoming(&scene.tenant, id).await.unwrap().unwrap();
    assert_eq!((incoming.sender.as_str(), incoming.customer.as_deref()), (PAUL, Some("paul")));
    let paul = scene.store.customer(&scene.tenant, &CustomerId::from("paul")).await.unwrap().unwrap();
    assert!(paul.window_ends(scene.clock.now()).is_some());
    let runs = crate::store::contract_tests::all_open(&*scene.store).await;
    assert_eq!(runs.iter().map(|run| run.run.key.plugin.as_str()).collect::<Vec<_>>(), ["answering"]);
}

#[tokio::test]
async fn stop_and_start_are_consents() {
    let scene = scene().await;
    scene.meta(&text("wamid.1", "Stop.")).await;
    let consent = scene.consent(Channel::Whatsapp, ConsentScope::Service).await.unwrap();
    assert_eq!((consent.granted, consent.source.as_str()), (false, "STOP by whatsapp"));
    scene.meta(&text_at("1767254401", "wamid.2", "start")).await;
    assert!(scene.consent(Channel::Whatsapp, ConsentScope::Service).await.unwrap().granted);
}

#[tokio::test]
async fn a_preference_in_whatsapp_is_about_marketing_there() {
    let scene = scene().await;
    let part =
        json!({"wa_id": "33639981201", "category": "marketing_messages", "value": "stop", "timestamp": 1767254400});
    assert_eq!(scene.meta(&webhook("user_preferences", json!({"user_preferences": [part]}))).await, StatusCode::OK);
    assert!(!scene.consent(Channel::Whatsapp, ConsentScope::Marketing).await.unwrap().granted);
    assert_eq!(scene.consent(Channel::Whatsapp, ConsentScope::Service).await, None);
    assert_eq!(scene.consent(Channel::Sms, ConsentScope::Marketing).await, None);
}

#[tokio::test]
async fn while_the_store_is_closed_providers_are_asked_to_come_back() {
    let scene = scene().await;
    scene.store.close().await.unwrap();
    let body = text("wamid.1", "Bonjour").to_string();
    let header = signed(body.as_bytes());
    let request = post("/v1/webhooks/meta", &[("x-hub-signature-256", &header)], body);
    let response = scene.router.clone().oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(response.headers().contains_key("retry-after"));
    assert_eq!(response.headers()["content-type"], "application/problem+json");
}

#[tokio::test]
async fn cm_is_known_by_the_secret_in_its_url() {
    let scene = scene().await;
    let token = scene.sent("cm", Channel::Sms).await;
    let report = json!({"messages": {"msg": {
        "received": "2026-01-01T08:00:03", "to": "0033639981201", "reference": token.to_string(),
        "status": {"code": "2", "errorCode": "", "errorDescription": ""}, "operator": "20801",
    }}});
    let elsewhere = "/v1/webhooks/cm/f3a9c2d17b604e8fa51d";
    assert_eq!(scene.ask(post(elsewhere, &[], report.to_string())).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(scene.state(token).await, MessageState::Sent);
    assert_eq!(scene.ask(post(CM_PATH, &[], report.to_string())).await.0, StatusCode::OK);
    assert_eq!(scene.state(token).await, MessageState::Delivered);
}

fn form(fields: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

/// Signed as Twilio does: the public URL, then the fields sorted by name.
fn by_twilio(uri: &str, fields: &[(&str, &str)]) -> Request<Body> {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let mut sorted = fields.to_vec();
    sorted.sort();
    let signed: String = sorted.iter().flat_map(|(name, value)| [*name, *value]).collect();
    let digest = hmac_sha1(b"auth-token", &[b"https://relais.example", uri.as_bytes(), signed.as_bytes()]);
    post(uri, &[("x-twilio-signature", &STANDARD.encode(digest))], form(fields))
}

#[tokio::test]
async fn twilio_reports_by_the_token_in_its_callback() {
    let scene = scene().await;
    let token = scene.sent("twilio", Channel::Sms).await;
    let uri = format!("/v1/webhooks/twilio/main?token={token}");
    let fields = [
        ("MessageSid", "SM00000000000000000000000000000001"),
        ("MessageStatus", "delivered"),
        ("To", PAUL),
        ("From", "+33700000000"),
    ];
    let unsigned = post(&uri, &[], form(&fields));
    assert_eq!(scene.ask(unsigned).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(scene.ask(by_twilio(&uri, &fields)).await, (StatusCode::OK, String::new()));
    assert_eq!(scene.state(token).await, MessageState::Delivered);
}

#[tokio::test]
async fn what_comes_over_twilio_is_answered_with_nothing_to_say() {
    let scene = scene().await;
    let fields = [
        ("MessageSid", "SM00000000000000000000000000000002"),
        ("SmsStatus", "received"),
        ("From", PAUL),
        ("To", "+33700000000"),
        ("Body", "STOP"),
        ("NumMedia", "0"),
    ];
    let (status, answer) = scene.ask(by_twilio("/v1/webhooks/twilio", &fields)).await;
    assert_eq!(status, StatusCode::OK);
    assert!(answer.ends_with("<Response/>"), "{answer}");
    let consent = scene.consent(Channel::Sms, ConsentScope::Service).await.unwrap();
    assert_eq!((consent.granted, consent.source.as_str()), (false, "STOP by sms"));
}

/// A webhook's only status, with more to it.
fn with(mut body: Value, more: &[(&str, Value)]) -> Value {
    let status = body.pointer_mut("/entry/0/changes/0/value/statuses/0").unwrap();
    more.iter().for_each(|(name, value)| status[*name] = value.clone());
    body
}

/// What Twilio says of a message by SMS that it did not deliver.
async fn failed_by_twilio(scene: &Scene, code: &str) {
    let token = scene.sent("twilio", Channel::Sms).await;
    let fields = [("MessageSid", "twilio-1"), ("MessageStatus", "failed"), ("ErrorCode", code)];
    let uri = format!("/v1/webhooks/twilio?token={token}");
    assert_eq!(scene.ask(by_twilio(&uri, &fields)).await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_stop_that_twilio_knows_of_is_a_refusal_of_everything_and_a_block_is_none() {
    let scene = scene().await;
    failed_by_twilio(&scene, "21610").await;
    for scope in ConsentScope::ALL {
        let consent = scene.consent(Channel::Sms, scope).await.unwrap();
        assert_eq!((consent.granted, consent.source.as_str()), (false, "provider error 21610"));
        assert_eq!(scene.consent(Channel::Whatsapp, scope).await, None);
    }
    for code in ["30004", "63014"] {
        let scene = self::scene().await;
        failed_by_twilio(&scene, code).await;
        assert_eq!(scene.consent(Channel::Sms, ConsentScope::Service).await, None, "{code}");
    }
}

#[tokio::test]
async fn a_stop_of_advertising_that_meta_knows_of_is_a_refusal_of_advertising_there() {
    let scene = scene().await;
    let token = scene.sent("meta", Channel::Whatsapp).await;
    let errors = json!([{"code": 131050, "title": "User has stopped marketing"}]);
    let body = with(status_of(token, "failed"), &[("errors", errors)]);
    assert_eq!(scene.meta(&body).await, StatusCode::OK);
    let consent = scene.consent(Channel::Whatsapp, ConsentScope::Marketing).await.unwrap();
    assert_eq!((consent.granted, consent.source.as_str()), (false, "provider error 131050"));
    assert_eq!(scene.consent(Channel::Whatsapp, ConsentScope::Service).await, None);
    assert_eq!(scene.consent(Channel::Sms, ConsentScope::Marketing).await, None);
    // The customer allows it again in WhatsApp itself, later.
    let part =
        json!({"wa_id": "33639981201", "category": "marketing_messages", "value": "resume", "timestamp": 1767254600});
    assert_eq!(scene.meta(&webhook("user_preferences", json!({"user_preferences": [part]}))).await, StatusCode::OK);
    assert!(scene.consent(Channel::Whatsapp, ConsentScope::Marketing).await.unwrap().granted);
}

#[tokio::test]
async fn a_word_against_advertising_stops_advertising_alone() {
    let scene = scene().await;
    scene.meta(&text("wamid.1", "Stop pub")).await;
    assert!(!scene.consent(Channel::Whatsapp, ConsentScope::Marketing).await.unwrap().granted);
    assert_eq!(scene.consent(Channel::Whatsapp, ConsentScope::Service).await, None);
}

#[tokio::test]
async fn what_a_delivered_message_cost_is_found_by_what_meta_charges_for() {
    let scene = scene().await;
    let token = scene.sent("meta", Channel::Whatsapp).await;
    let cost = async |status: &str, kind: &str| {
        let pricing = json!({"billable": true, "pricing_model": "PMP", "type": kind, "category": "utility"});
        let more = [("recipient_id", json!("33639981201")), ("pricing", pricing)];
        assert_eq!(scene.meta(&with(status_of(token, status), &more)).await, StatusCode::OK);
        let record = scene.store.message(&scene.tenant, token.message).await.unwrap().unwrap();
        record.attempts[0].tally.cost.clone()
    };
    assert_eq!(cost("sent", "regular").await, None, "it is charged when it is delivered");
    let table = crate::channel::price::Table::built_in();
    let day = jiff::civil::date(2026, 1, 1);
    let utility = crate::channel::price::Category::Utility;
    let expected = table.price(day, Channel::Whatsapp, utility, Some("FR"), 1).unwrap();
    let found = cost("delivered", "regular").await.unwrap();
    assert_eq!((found.micros, &*found.currency), (expected.micros, &*expected.currency));
}

#[tokio::test]
async fn what_twilio_says_of_a_price_is_what_it_cost() {
    let scene = scene().await;
    let token = scene.sent("twilio", Channel::Sms).await;
    let fields =
        [("MessageSid", "twilio-1"), ("MessageStatus", "delivered"), ("Price", "-0.07900"), ("PriceUnit", "USD")];
    let uri = format!("/v1/webhooks/twilio?token={token}");
    assert_eq!(scene.ask(by_twilio(&uri, &fields)).await.0, StatusCode::OK);
    let record = scene.store.message(&scene.tenant, token.message).await.unwrap().unwrap();
    let cost = record.attempts[0].tally.cost.clone().unwrap();
    assert_eq!((cost.micros, &*cost.currency), (79_000, "USD"));
}

#[tokio::test]
async fn what_meta_says_of_an_account_is_kept() {
    let scene = scene().await;
    let banned = json!({"event": "DISABLED_UPDATE", "ban_info": {"waba_ban_state": "DISABLE"}});
    assert_eq!(scene.meta(&webhook("account_update", banned)).await, StatusCode::OK);
    let notes = scene.store.notes(&scene.tenant).await.unwrap();
    assert_eq!(notes.len(), 1);
    assert_eq!(notes[0].body["value"]["event"], "DISABLED_UPDATE");
}
