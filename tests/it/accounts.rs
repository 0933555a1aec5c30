//! Several accounts and providers: which one carries a message, what is tried next, and that each speaks its provider's words.

use serde_json::{Value, json};

use crate::harness::{Host, PAUL, Setup, Shown, attempt};

const WHATSAPP: &str = "account = \"whatsapp\"\nchannel = \"whatsapp\"\n";

async fn paul(setup: Setup) -> Host {
    let host = Host::start(setup).await;
    host.sim.phone(PAUL, |_| {});
    host.customer("paul", PAUL).await;
    host
}

async fn asks(host: &Host, more: Value) -> String {
    let mut body = json!({
        "to": {"customer": "paul"}, "purpose": "alert", "because": {"reference": "order/4821"},
        "text": "Votre commande 4821 est prête.",
    });
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    host.post("/v1/messages", body).await.ok()["id"].as_str().unwrap().to_owned()
}

/// Paul writes on WhatsApp to a number with that provider, which opens the window there.
async fn writes(host: &Host, provider: &str) {
    let path = format!("/sim/phones/{PAUL}/write");
    let said = json!({"channel": "whatsapp", "provider": provider, "text": "Bonjour"});
    host.sim.call(reqwest::Method::POST, &path, Some(said)).await;
    host.until("what Paul wrote is here", async || {
        let customer = host.get("/v1/customers/paul").await;
        let addresses = customer["addresses"].as_array().unwrap();
        let wrote = addresses.iter().any(|address| !address["last_incoming"].is_null());
        if wrote { Ok(()) } else { Err(format!("{customer:#}")) }
    })
    .await;
}

#[tokio::test]
async fn whatsapp_goes_over_twilio_as_free_text_inside_the_window() {
    let number = format!("{WHATSAPP}sender = \"+33757000001\"");
    let host = paul(Setup::tester().without_whatsapp().account("twilio", &number)).await;
    writes(&host, "twilio").await;
    let id = asks(&host, json!({})).await;
    let message = host.until_state(&id, "read").await;
    assert_eq!(message.way(), "whatsapp read");
    assert_eq!(attempt(&message, 1)["provider"], "twilio");
    let request = &host.sim.requests("provider=twilio&accepted=true").await[0];
    assert_eq!(request["body"]["To"], format!("whatsapp:{PAUL}"));
    assert_eq!(request["body"]["From"], "whatsapp:+33757000001");
    assert_eq!(request["body"]["Body"], "Votre commande 4821 est prête.");
}

#[tokio::test]
async fn whatsapp_goes_over_cm_as_rich_content_and_its_window_is_opened_by_what_was_written_there() {
    let number = format!("{WHATSAPP}sender = \"0033139980001\"");
    let host = paul(Setup::tester().without_whatsapp().account("cm", &number)).await;
    writes(&host, "cm").await;
    let id = asks(&host, json!({})).await;
    let message = host.until_state(&id, "read").await;
    assert_eq!(message.way(), "whatsapp read");
    let request = &host.sim.requests("provider=cm&accepted=true").await[0];
    let sent = &request["body"]["messages"]["msg"][0];
    assert_eq!(sent["allowedChannels"], json!(["WhatsApp"]));
    assert_eq!(sent["richContent"]["conversation"], json!([{"text": "Votre commande 4821 est prête."}]));
}

#[tokio::test]
async fn where_cm_falls_back_itself_one_attempt_carries_both_and_our_timer_is_off() {
    let number = format!("{WHATSAPP}sender = \"0033139980001\"\nfallback = \"provider\"");
    let host = paul(Setup::tester().without_whatsapp().account("cm", &number)).await;
    writes(&host, "cm").await;
    host.sim.phone(PAUL, |phone| phone.whatsapp = false);
    let id = asks(&host, json!({})).await;
    let message = host.until_state(&id, "delivered").await;
    assert_eq!(message["attempts"].as_array().unwrap().len(), 1, "{message:#}");
    let decision = &attempt(&message, 1)["decision"];
    assert_eq!(decision["fallback"]["by"], "provider", "{decision:#}");
    assert!(message.to_string().contains("\"channel\":\"SMS\""), "a report told which channel carried it: {message:#}");
    assert_eq!(host.sim.requests("provider=cm&accepted=true").await.len(), 1);
}

#[tokio::test]
async fn the_account_of_the_country_is_taken_and_the_decision_lists_the_others() {
    let host = paul(
        Setup::tester()
            .without_whatsapp()
            .account("cm", "account = \"belgium\"\nsender = \"Relais\"\ncountries = [\"BE\"]")
            .account("cm", "account = \"france\"\nsender = \"Relais\"\ncountries = [\"33\"]\npreference = 1"),
    )
    .await;
    // The usual account of the tests goes first; it serves everywhere.
    let id = asks(&host, json!({})).await;
    let message = host.until_state(&id, "delivered").await;
    assert_eq!(attempt(&message, 1)["account"], "main");
    let routes = attempt(&message, 1)["decision"]["routes"].as_array().unwrap();
    let accounts = routes.last().unwrap()["accounts"].as_array().unwrap();
    let shown = |at: usize| (accounts[at]["account"].as_str().unwrap(), accounts[at]["taken"].as_bool().unwrap());
    assert_eq!([shown(0), shown(1), shown(2)], [("cm/main", true), ("cm/belgium", false), ("cm/france", false)]);
    assert_eq!(accounts[1]["why"], "it does not serve FR");
    assert!(accounts[2]["price_micros"].is_number(), "{accounts:#?}");
}

#[tokio::test]
async fn after_an_account_that_no_message_can_use_the_next_one_is_tried() {
    let host = paul(Setup::tester().without_whatsapp().account("twilio", "sender = \"+33757000001\"")).await;
    host.sim.trouble(json!({"kind": "error", "code": 102, "provider": "cm"})).await;
    let id = asks(&host, json!({})).await;
    let message = host.until_state(&id, "delivered").await;
    assert_eq!(message.way(), "sms failed (account-problem) → sms delivered");
    assert_eq!(
        (&attempt(&message, 1)["provider"], &attempt(&message, 2)["provider"]),
        (&json!("cm"), &json!("twilio"))
    );
}

#[tokio::test]
async fn after_an_account_that_is_busy_for_too_long_the_next_one_is_tried() {
    let setup = Setup::tester().without_whatsapp().account("twilio", "sender = \"+33757000001\"");
    let host = paul(setup.with("dispatch.attempts-max = 1")).await;
    host.sim.trouble(json!({"kind": "busy", "retry_after_s": 5, "provider": "cm"})).await;
    let id = asks(&host, json!({})).await;
    let message = host.until_state(&id, "delivered").await;
    assert_eq!(message.way(), "sms failed (rate-limited) → sms delivered");
    assert_eq!(attempt(&message, 2)["provider"], "twilio");
}
