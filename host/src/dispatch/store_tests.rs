//! What the dispatcher asks of the store for one message: what is needed is read once, whatever rules are on.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;

use super::{Circuits, Pace, Parts, Settings, deliver};
use crate::{
    channel::{Accounts, Outgoing, Provider, price, sms, standing::Standing},
    clock::{AdjustableClock, Clock, Timestamp},
    domain::{
        customer::{Address, Channel, Consent, ConsentScope},
        message::{Answer, Because, Content, NewMessage, Recipient, SmsPolicy, Template},
        purpose::{Category, Purpose},
    },
    ids::{CustomerId, MessageId, TenantId},
    rules,
    store::{
        CustomerProfile, Result, Store,
        handover::handover,
        memory::{Flaws, MemoryStore, Script, Tables},
    },
};

/// Writes down every verb that is asked for.
#[derive(Default)]
struct Verbs(Mutex<Vec<&'static str>>);

#[async_trait]
impl Script for Verbs {
    async fn before(&self, verb: &'static str) -> Result<()> {
        self.0.lock().unwrap().push(verb);
        Ok(())
    }
}

struct Takes(&'static str, Channel);

#[async_trait]
impl Provider for Takes {
    fn name(&self) -> &'static str {
        self.0
    }
    fn account(&self) -> &str {
        "main"
    }
    fn channel(&self) -> Channel {
        self.1
    }
    async fn send(&self, outgoing: &Outgoing) -> Answer {
        Answer::Accepted { provider_id: outgoing.token.to_string() }
    }
}

fn parts(store: Arc<MemoryStore>, clock: Arc<AdjustableClock>) -> Parts {
    let mut rules = rules::allowed::Settings::default();
    rules.service_consent = rules::allowed::ServiceConsent::Required;
    rules.quiet.purposes = Purpose::ALL.to_vec();
    let settings = Settings::default();
    Parts {
        store,
        clock,
        providers: vec![
            Arc::new(Takes("meta", Channel::Whatsapp)),
            Arc::new(Takes("cm", Channel::Sms)),
            Arc::new(Takes("twilio", Channel::Sms)),
        ],
        prices: price::Table::built_in(),
        sms: sms::Settings::default(),
        rules,
        attempt_timeout: std::time::Duration::from_secs(20),
        circuits: Circuits::default(),
        standing: Arc::new(Standing::new(&Accounts::default(), true)),
        pace: Pace::new(&settings),
        settings,
    }
}

fn advertising(tenant: &TenantId, now: Timestamp) -> NewMessage {
    let template = Template {
        name: "last_item".to_owned(),
        category: Category::Marketing,
        language: "fr".to_owned(),
        params: vec![("item".to_owned(), "SHOE-42".to_owned())],
        named: false,
        body: "Plus qu'une : SHOE-42".to_owned(),
        header: None,
        header_text: None,
        buttons: Vec::new(),
        links: Vec::new(),
    };
    NewMessage {
        id: MessageId::of_request(tenant, "1"),
        tenant: tenant.clone(),
        author: None,
        to: Recipient::Customer(CustomerId::from("paul")),
        purpose: Purpose::Alert,
        because: Because::Reference("cart/1".to_owned()),
        content: Content { template: Some(template), ..Content::default() },
        sms: SmsPolicy::Fallback,
        fallback_after: None,
        expires: Some(now.plus(std::time::Duration::from_secs(3600))),
        dedup_key: None,
        tag: None,
        quote: None,
        created: now,
    }
}

#[tokio::test]
async fn a_message_costs_one_read_and_two_writes_whatever_rules_are_on() {
    let clock = Arc::new(AdjustableClock::starting_at(Timestamp::parse("2026-01-15T10:30:00Z").unwrap()));
    let (hand, mut inlets) = handover(10, 10);
    let verbs = Arc::new(Verbs::default());
    let tables = Arc::new(Mutex::new(Tables::default()));
    let store = Arc::new(MemoryStore::open(tables, hand, verbs.clone(), Flaws::default()));
    let (tenant, now) = (TenantId::default_tenant(), clock.now());
    let address =
        |channel| Address { channel, address: "+33639981201".to_owned(), last_incoming: None, unusable_until: None };
    let consents = Channel::ALL.into_iter().flat_map(|channel| {
        ConsentScope::ALL.map(|scope| Consent { channel, scope, granted: true, source: "form".to_owned(), at: now })
    });
    let profile = CustomerProfile {
        addresses: Channel::ALL.map(address).to_vec(),
        consents: consents.collect(),
        timezone: Some("Europe/Paris".to_owned()),
        ..CustomerProfile::default()
    };
    store.put_customer(&tenant, &CustomerId::from("paul"), profile, now).await.unwrap();
    store.accept_message(advertising(&tenant, now)).await.unwrap();
    let record = inlets.messages.queue.recv().await.unwrap();
    verbs.0.lock().unwrap().clear();
    deliver(&parts(store.clone(), clock), record).await;
    assert_eq!(*verbs.0.lock().unwrap(), ["customer", "change_message", "change_message"]);
    let sent = store.message(&tenant, MessageId::of_request(&tenant, "1")).await.unwrap().unwrap();
    let decision = sent.attempts[0].decision.to_string();
    for rule in ["consent", "marketing", "quiet-hours", "window"] {
        assert!(decision.contains(&format!("\"rule\":\"{rule}\"")), "{rule} was not asked: {decision}");
    }
}
