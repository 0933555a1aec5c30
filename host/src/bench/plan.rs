//! `relais bench plan`: rules, route, rendition and price of one message, over and over, without a store and without sending.

use std::{collections::BTreeMap, sync::Arc};

use anyhow::Context;
use async_trait::async_trait;
use clap::Args;

use super::figures::Cpu;
use crate::{
    channel::{Accounts, Outgoing, Provider, price, sms, standing::Standing},
    clock::{Clock, SystemClock, Timestamp},
    dispatch,
    domain::{
        customer::{Address, Channel, Consent, ConsentScope, Customer},
        message::{Answer, Because, Content, MessageRecord, NewMessage, Next, Recipient, SmsPolicy, Template},
        purpose::{Category, Purpose},
        status::MessageState,
    },
    ids::{CustomerId, MessageId, TenantId},
    rules,
    store::{Settings, handover, sqlite::SqliteStore},
    terminal::say,
};

#[derive(Args)]
pub(super) struct PlanBench {
    /// Messages that are planned
    #[arg(long, default_value_t = 200_000)]
    messages: u32,
}

/// An account that is chosen and never used.
struct Idle(&'static str, Channel);

#[async_trait]
impl Provider for Idle {
    fn name(&self) -> &'static str {
        self.0
    }
    fn account(&self) -> &str {
        "main"
    }
    fn channel(&self) -> Channel {
        self.1
    }
    async fn send(&self, _: &Outgoing) -> Answer {
        Answer::Unknown { detail: "nothing is sent here".to_owned() }
    }
}

impl PlanBench {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let data = std::env::temp_dir().join(format!("relais-bench-plan-{}", std::process::id()));
        std::fs::create_dir_all(&data)?;
        let measured = self.measure(&data);
        std::fs::remove_dir_all(&data)?;
        measured
    }

    fn measure(&self, data: &std::path::Path) -> anyhow::Result<()> {
        let clock = SystemClock::new();
        let now = clock.now();
        let parts = parts(data, clock)?;
        let tenant = TenantId::default_tenant();
        let customer = customer(&tenant, now);
        for (what, content) in [("a template with three parameters", template()), ("free text by SMS", text())] {
            let record = record(&tenant, now, content);
            let plan = || {
                let asked = rules::allowed::ask(&record.message, Some(&customer), now, &parts.rules).is_ok();
                asked && dispatch::plans_an_attempt(&parts, &record, &customer)
            };
            anyhow::ensure!(plan(), "{what}: no attempt would be made");
            (0..self.messages / 10).for_each(|_| _ = std::hint::black_box(plan()));
            let before = Cpu::of(std::process::id())?;
            (0..self.messages).for_each(|_| _ = std::hint::black_box(plan()));
            let cpu = Cpu::of(std::process::id())?.since(before);
            let each = (cpu.user + cpu.system).as_secs_f64() * 1e6 / f64::from(self.messages.max(1));
            say(format_args!("rules, route, rendition and price of {what}: {each:.1} µs of CPU"));
        }
        if cfg!(debug_assertions) {
            say("this is a debug build, which is several times slower than a release");
        }
        Ok(())
    }
}

fn parts(data: &std::path::Path, clock: SystemClock) -> anyhow::Result<dispatch::Parts> {
    let (hand, _inlets) = handover::handover(1, 1);
    let store = SqliteStore::open(&data.join("plan.db"), Settings::default(), hand, clock.now());
    let settings = dispatch::Settings::default();
    Ok(dispatch::Parts {
        store: Arc::new(store.context("the store cannot be opened")?),
        clock: Arc::new(clock),
        providers: vec![
            Arc::new(Idle("meta", Channel::Whatsapp)),
            Arc::new(Idle("cm", Channel::Sms)),
            Arc::new(Idle("twilio", Channel::Sms)),
        ],
        prices: price::Table::built_in(),
        sms: sms::Settings::default(),
        rules: rules::allowed::Settings::default(),
        attempt_timeout: std::time::Duration::from_secs(20),
        circuits: dispatch::Circuits::default(),
        standing: Arc::new(Standing::new(&Accounts::default(), true)),
        pace: dispatch::Pace::new(&settings),
        settings,
    })
}

fn customer(tenant: &TenantId, now: Timestamp) -> Customer {
    let address =
        |channel| Address { channel, address: "+33639981201".to_owned(), last_incoming: None, unusable_until: None };
    let consent =
        |channel| Consent { channel, scope: ConsentScope::Service, granted: true, source: "form".to_owned(), at: now };
    Customer {
        tenant: tenant.clone(),
        id: CustomerId::from("c1"),
        name: Some("Paul Exemple".to_owned()),
        locale: Some("fr-FR".to_owned()),
        timezone: Some("Europe/Paris".to_owned()),
        attributes: BTreeMap::new(),
        addresses: Channel::ALL.map(address).into(),
        consents: Channel::ALL.map(consent).into(),
        created: now,
        updated: now,
    }
}

fn template() -> (Content, SmsPolicy) {
    let params = [("order", "4821"), ("shop", "Boulangerie du Marché"), ("minutes", "2")];
    let template = Template {
        name: "order_ready".to_owned(),
        category: Category::Utility,
        language: "fr".to_owned(),
        params: params.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        named: false,
        body: "Votre commande 4821 chez Boulangerie du Marché sera prête dans 2 min.".to_owned(),
        header: None,
        header_text: None,
        buttons: Vec::new(),
        links: Vec::new(),
    };
    (Content { template: Some(template), ..Content::default() }, SmsPolicy::Fallback)
}

fn text() -> (Content, SmsPolicy) {
    let text = "Votre commande 4821 est prête, à tout de suite ! Nous fermons à 20 h, et dimanche à 13 h.".to_owned();
    (Content { text: Some(text), ..Content::default() }, SmsPolicy::Only)
}

fn record(tenant: &TenantId, now: Timestamp, (content, sms): (Content, SmsPolicy)) -> MessageRecord {
    let message = NewMessage {
        id: MessageId::of_request(tenant, "bench"),
        tenant: tenant.clone(),
        author: None,
        to: Recipient::Customer(CustomerId::from("c1")),
        purpose: Purpose::Alert,
        because: Because::Reference("order/4821".to_owned()),
        content,
        sms,
        fallback_after: None,
        expires: None,
        dedup_key: None,
        tag: None,
        quote: None,
        created: now,
    };
    MessageRecord {
        message,
        seq: 1,
        revision: 1,
        state: MessageState::Pending,
        settled: false,
        code: None,
        decision: None,
        next: Next::Now,
        cancel: false,
        attempts: Vec::new(),
    }
}
