//! `docs/renditions.md`: what a customer sees of each kind of content, whatever comes between.
//!
//! The document is what [`foresee`] answers, which is what the plan decides and dispatch does: nothing of it is written by
//! hand. A change that alters what customers see fails here, shows where, and is accepted by making the document again.

mod samples;
mod show;

use std::{fmt::Write, path::Path, sync::Arc, time::Duration};

use serde_json::Value;

use self::samples::{Sample, samples};
use super::{Circuits, Pace, Parts, Settings, foresee};
use crate::{
    channel::{
        self, Accounts, CmSettings, HttpSettings, MetaSettings, Provider,
        cm::Cm,
        marks::{MarkRead, Marks},
        meta::Meta,
        price, sms,
        standing::Standing,
    },
    clock::{StandingClock, Timestamp},
    domain::{
        customer::{Address, Channel, Consent, ConsentScope, Customer},
        message::{NewMessage, SmsPolicy},
    },
    ids::{CustomerId, TenantId},
    links::Links,
    store::{self, sqlite::SqliteStore},
};

/// Set, it has the document made again.
const REWRITE: &str = "RELAIS_REWRITE_DOCS";
const NUMBER: &str = "+33639981201";

fn now() -> Timestamp {
    // A Tuesday, at eleven in the morning in Paris.
    Timestamp::parse("2026-11-24T10:00:00Z").unwrap()
}

fn parts(folder: &Path) -> (Parts, store::handover::Inlets) {
    let (handover, inlets) = store::handover::handover(1, 1);
    let client = channel::http_client(&HttpSettings::default()).unwrap();
    let providers: Vec<Arc<dyn Provider>> = vec![
        Arc::new(Meta::new(&MetaSettings::sample(), client.clone()).unwrap()),
        Arc::new(Cm::new(&CmSettings::sample("0033139980001"), client).unwrap()),
    ];
    let settings = Settings::default();
    let links = Links::new("https://relais.example", &[0; 32], Duration::from_secs(30 * 24 * 3600));
    let parts = Parts {
        store: Arc::new(SqliteStore::open(&folder.join("store"), store::Settings::default(), handover, now()).unwrap()),
        clock: Arc::new(StandingClock::at(now())),
        providers,
        prices: price::Table::built_in(),
        sms: sms::Settings { transliterate: true, links: Some(links), ..sms::Settings::default() },
        rules: crate::rules::allowed::Settings::default(),
        attempt_timeout: Duration::from_secs(20),
        circuits: Circuits::default(),
        standing: Arc::new(Standing::new(&Accounts::default(), true)),
        marks: Marks::new(&[]),
        mark_read: MarkRead::Never,
        pace: Pace::new(&settings),
        settings,
    };
    (parts, inlets)
}

/// Somebody with a number on both channels, who wrote an hour ago and agreed to everything.
fn customer() -> Customer {
    let address = |channel, last_incoming| Address {
        channel,
        address: NUMBER.to_owned(),
        last_incoming,
        unusable_until: None,
        free_until: None,
    };
    let consents = Channel::ALL.map(|channel| Consent {
        channel,
        scope: ConsentScope::Marketing,
        granted: true,
        source: "form v3".to_owned(),
        at: now(),
    });
    Customer {
        tenant: TenantId::default_tenant(),
        id: CustomerId::from("paul"),
        name: None,
        locale: None,
        timezone: None,
        attributes: Default::default(),
        addresses: vec![
            address(Channel::Whatsapp, Some(now().minus(Duration::from_secs(3600)))),
            address(Channel::Sms, None),
        ],
        consents: consents.to_vec(),
        created: now(),
        updated: now(),
    }
}

/// What may be so before anything is sent, beside an open window.
const BEFORE: [&str; 5] = [
    "the window is closed",
    "the customer has no WhatsApp address",
    "the number was found not to be on WhatsApp",
    "the customer has no number for SMS",
    "20 s are left before its deadline",
];

fn before(what: &str, mut message: NewMessage) -> (NewMessage, Customer) {
    let mut customer = customer();
    let whatsapp = &mut customer.addresses[0];
    match what {
        "the window is closed" => whatsapp.last_incoming = None,
        "the number was found not to be on WhatsApp" => {
            whatsapp.unusable_until = Some(now().plus(Duration::from_secs(3600)));
        }
        "the customer has no WhatsApp address" => drop(customer.addresses.remove(0)),
        "the customer has no number for SMS" => drop(customer.addresses.remove(1)),
        _ => message.expires = Some(now().plus(Duration::from_secs(20))),
    }
    (message, customer)
}

/// What is in the end on each channel, and what that costs.
struct Row {
    cause: String,
    whatsapp: String,
    sms: String,
    price: Option<i64>,
}

fn rows(parts: &Parts, message: &NewMessage, open: &Value) -> Vec<Row> {
    let mut rows = vec![row("the window is open", open)];
    for cause in BEFORE {
        let (message, customer) = before(cause, message.clone());
        rows.push(row(cause, &foresee(parts, message, Some(&customer))));
    }
    for then in open["then"].as_array().into_iter().flatten() {
        rows.push(after(open, then));
    }
    rows
}

/// The first step, where nothing was sent yet.
fn row(cause: &str, step: &Value) -> Row {
    let (whatsapp, sms) = match (step["would"].as_str(), step["channel"].as_str()) {
        (Some("send"), Some("whatsapp")) => (named(step), "–".to_owned()),
        (Some("send"), _) => ("–".to_owned(), sms_of(step)),
        _ => ("–".to_owned(), ended(step)),
    };
    Row { cause: cause.to_owned(), whatsapp, sms, price: step["price_micros"].as_i64() }
}

/// What follows where WhatsApp was first.
fn after(first: &Value, then: &Value) -> Row {
    let cause = then["if"].as_str().unwrap();
    let step = then["follows"].as_array().unwrap().last().unwrap();
    let again = step["channel"] == "whatsapp" && step["would"] == "send";
    let (whatsapp, counts) = match cause {
        "the provider's answer is lost" if again => (format!("{}, perhaps twice", named(step)), true),
        "no receipt of delivery comes" | "the provider's answer is lost" => (format!("perhaps {}", named(first)), true),
        _ if again => (format!("{}, later", named(step)), false),
        _ => ("–".to_owned(), false),
    };
    let sms = match (step["would"].as_str(), again) {
        (_, true) => "–".to_owned(),
        (Some("send"), _) => sms_of(step),
        _ => ended(step),
    };
    let price = |step: &Value| step["price_micros"].as_i64();
    let first = if counts { price(first) } else { None };
    let total = [first, price(step)].into_iter().flatten().reduce(|sum, more| sum + more);
    Row { cause: cause.to_owned(), whatsapp, sms, price: total }
}

fn named(step: &Value) -> String {
    format!("the `{}`", step["rendition"].as_str().unwrap())
}

fn sms_of(step: &Value) -> String {
    match step["parts"].as_u64().unwrap() {
        1 => "the text, 1 part".to_owned(),
        parts => format!("the text, {parts} parts"),
    }
}

fn ended(step: &Value) -> String {
    format!("nothing: `{}`", step["code"].as_str().unwrap_or_default())
}

fn euros(micros: Option<i64>) -> String {
    micros.map_or("–".to_owned(), |micros| format!("€{}.{:04}", micros / 1_000_000, micros % 1_000_000 / 100))
}

fn section(parts: &Parts, sample: &Sample) -> String {
    let open = foresee(parts, sample.message.clone(), Some(&customer()));
    let (message, who) = before("the window is closed", sample.message.clone());
    let closed = foresee(parts, message, Some(&who));
    let mut text = format!("\n## {}\n\n{}\n\n", sample.title, sample.story);
    let (free, template) = (&open["shown"]["whatsapp"], &closed["shown"]["whatsapp"]);
    let quote = sample.message.quote.is_some();
    let on_whatsapp = |shown: &Value| show::whatsapp(shown, &sample.message.content, quote);
    if free == template {
        text += &block("On WhatsApp, whether the window is open or not", &on_whatsapp(free));
    } else {
        text += &block("On WhatsApp while the window is open", &on_whatsapp(free));
        text += &block("On WhatsApp while it is closed", &on_whatsapp(template));
    }
    text += &sms_block(&open["shown"]["sms"]);
    text += "| What happens | On WhatsApp | By SMS | Price |\n|---|---|---|---|\n";
    for Row { cause, whatsapp, sms, price } in rows(parts, &sample.message, &open) {
        writeln!(text, "| {cause} | {whatsapp} | {sms} | {} |", euros(price)).unwrap();
    }
    text
}

/// A rendition as it is on the screen, or why there is none.
fn block(title: &str, shown: &Result<String, String>) -> String {
    match shown {
        Ok(shown) => format!("{title}:\n\n```text\n{shown}\n```\n\n"),
        Err(why) => format!("{title}: nothing. {why}.\n\n"),
    }
}

fn sms_block(shown: &Value) -> String {
    if shown["nothing"].is_string() {
        return format!("As SMS: nothing. {}.\n\n", sentence(shown["why"].as_str().unwrap()));
    }
    let parts = shown["parts"].as_u64().unwrap();
    let title = format!(
        "As SMS, in {}, {} units, {parts} part{}",
        shown["encoding"].as_str().unwrap(),
        shown["units"],
        if parts == 1 { "" } else { "s" }
    );
    let mut text = block(&title, &Ok(shown["text"].as_str().unwrap().to_owned()));
    let changed: Vec<&str> = shown["changed"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
    if !changed.is_empty() {
        writeln!(text, "What was changed: {}.\n", changed.join("; ")).unwrap();
    }
    text
}

fn sentence(text: &str) -> String {
    let mut rest = text.chars();
    rest.next().map_or(String::new(), |first| first.to_uppercase().chain(rest).collect())
}

const HEAD: &str = "# What the customer sees

Made by `cargo test -p relais --lib renditions` from what the host itself foresees (`POST /v1/messages?dry_run=true` answers the
same for any message), and compared with it by every run of the tests. `RELAIS_REWRITE_DOCS=1` makes it again.

The customer is in France, wrote an hour ago where the window is open, and agreed to advertising. Fallback policies and hours are
the defaults, `sms.transliterate` is on, and `server.public-url` is `https://relais.example`. Prices are those that are compiled in,
which are examples, on 24 November 2026; in a row stands the sum of what may be charged. The rows below the first six follow an
attempt on WhatsApp while the window is open.
";

#[test]
fn the_document_shows_what_customers_see_of_every_kind_of_content() {
    let folder = tempfile::tempdir().unwrap();
    let (parts, _inlets) = parts(folder.path());
    let made = samples().iter().map(|sample| section(&parts, sample)).fold(HEAD.to_owned(), |text, more| text + &more);
    let made = format!("{}\n", made.trim_end());
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/renditions.md");
    if std::env::var_os(REWRITE).is_some() {
        std::fs::write(&path, &made).unwrap();
        return;
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == made,
        "docs/renditions.md is not what customers see; {REWRITE}=1 makes it again\n{}",
        diff(&kept, &made)
    );
}

/// The lines that are in one of them only, in their order.
fn diff(kept: &str, made: &str) -> String {
    let only = |of: &str, not: &str, sign: char| -> String {
        let others: std::collections::HashSet<&str> = not.lines().collect();
        of.lines().filter(|line| !others.contains(line)).map(|line| format!("{sign} {line}\n")).collect()
    };
    only(kept, made, '-') + &only(made, kept, '+')
}

#[test]
fn a_message_for_sms_alone_never_goes_to_whatsapp() {
    let folder = tempfile::tempdir().unwrap();
    let (parts, _inlets) = parts(folder.path());
    for sample in samples() {
        let message = NewMessage { sms: SmsPolicy::Only, ..sample.message };
        let foreseen = foresee(&parts, message, Some(&customer()));
        assert!(foreseen["shown"]["whatsapp"].is_null(), "{}: {foreseen:#}", sample.title);
        assert_ne!(foreseen["channel"], "whatsapp", "{}", sample.title);
    }
}
