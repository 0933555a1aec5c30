//! The automations of the WhatsApp Business app, as plugins: what they say to whoever writes out of the blue, and how they get along.

use serde_json::{Value, json};

use crate::harness::{Host, LEA, MALIK, NORA, PAUL, Packages, Setup, text_of};

const SETTINGS: &str = r#"
[plugins.config.greeting]
text = { en = "Welcome!", fr = "Bienvenue !" }
hours = { 2 = "08:00-19:00", 3 = "08:00-19:00" }
[plugins.config.away]
text = { en = "We are closed." }
hours = { 2 = "08:00-19:00", 3 = "08:00-19:00" }
[plugins.config.quick-reply]
replies = [{ keywords = ["menu"], text = "Tart today." }]
"#;

fn setup() -> Setup {
    Setup { plugins: Packages::Automations, ..Setup::new() }
}

/// What is on the telephone's screen of what was sent to it, in the order of the alphabet: two plugins have no order.
async fn told(host: &Host, number: &str, channel: &str) -> Vec<String> {
    let screen = host.sim.screen(number, channel).await;
    let arrived = |entry: &&Value| entry["from_phone"] == false && entry["ticks"]["delivered_at"] != Value::Null;
    let mut texts: Vec<String> = screen.iter().filter(arrived).map(text_of).collect();
    texts.sort();
    texts
}

async fn until_told(host: &Host, number: &str, expected: &[&str]) {
    let what = format!("{number} has {expected:?}");
    host.until_eq(&what, expected.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>(), async || {
        told(host, number, "whatsapp").await
    })
    .await;
}

/// Nothing is under way any more, so what was not said is not said.
async fn at_rest(host: &Host, runs: usize) {
    host.until_eq("all runs have ended", runs, async || {
        host.all_runs().await.iter().filter(|run| run["state"] == "done").count()
    })
    .await;
    host.check_nothing_is_open().await;
}

#[tokio::test]
async fn the_automations_say_nothing_until_they_are_given_texts() {
    let host = Host::start(setup()).await;
    host.sim.phone(PAUL, |_| {});
    host.sim.writes(PAUL, "whatsapp", "The menu, please").await;
    at_rest(&host, 3).await;
    assert!(host.all_messages().await.is_empty());
}

#[tokio::test]
async fn by_day_the_first_word_is_greeted_by_night_it_is_answered_that_nobody_is_there() {
    let host = Host::start(setup().with(SETTINGS)).await;
    for number in [PAUL, LEA, MALIK] {
        host.sim.phone(number, |_| {});
    }
    host.customer_with("malik", MALIK, json!({"locale": "fr-FR"})).await;
    // A Tuesday morning: a stranger is greeted, and the keyword is answered beside it.
    host.sim.writes(PAUL, "whatsapp", "Le MENU, s'il vous plaît").await;
    until_told(&host, PAUL, &["Tart today.", "Welcome!"]).await;
    host.sim.writes(MALIK, "whatsapp", "Bonjour").await;
    until_told(&host, MALIK, &["Bienvenue !"]).await;
    host.sim.writes(PAUL, "whatsapp", "Thank you").await;
    at_rest(&host, 9).await;
    assert_eq!(told(&host, PAUL, "whatsapp").await.len(), 2, "he is known");
    // In the evening nobody is greeted: it is said that nobody is there, once, and the keyword is answered all the same.
    host.advance("11h").await;
    host.sim.writes(LEA, "whatsapp", "Menu?").await;
    until_told(&host, LEA, &["Tart today.", "We are closed."]).await;
    host.advance("1m").await;
    host.sim.writes(LEA, "whatsapp", "Hello?").await;
    host.sim.writes(PAUL, "whatsapp", "Still open?").await;
    until_told(&host, PAUL, &["Tart today.", "We are closed.", "Welcome!"]).await;
    at_rest(&host, 18).await;
    assert_eq!(told(&host, LEA, "whatsapp").await.len(), 2);
    // In the morning she is nobody new.
    host.advance("12h").await;
    host.sim.writes(LEA, "whatsapp", "Good morning").await;
    at_rest(&host, 21).await;
    assert_eq!(told(&host, LEA, "whatsapp").await.len(), 2);
}

#[tokio::test]
async fn who_writes_an_sms_is_answered_by_sms_and_only_where_the_shop_pays_for_it() {
    let paid = "[plugins.config.away]\nsms = true\n";
    let host = Host::start(setup().with(SETTINGS).with(paid)).await;
    host.sim.phone(NORA, |_| {});
    host.sim.writes(NORA, "sms", "menu").await;
    host.until_eq("the keyword is answered", vec!["Tart today.".to_owned()], async || told(&host, NORA, "sms").await)
        .await;
    at_rest(&host, 3).await;
    host.advance("11h").await;
    host.sim.writes(NORA, "sms", "Anybody?").await;
    let both = vec!["Tart today.".to_owned(), "We are closed.".to_owned()];
    host.until_eq("and that nobody is there", both, async || told(&host, NORA, "sms").await).await;
    assert!(told(&host, NORA, "whatsapp").await.is_empty());
}
