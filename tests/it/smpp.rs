//! SMS over SMPP: an SMSC that takes, refuses, breaks off, comes back, and delivers receipts and what customers write.

use relais::simulator::{ReceiptForm, SmppOptions};
use serde_json::json;

use crate::harness::{Cluster, Db, Host, PAUL, Setup, Shown, Sms, attempt, both_databases, steps};

both_databases! {
    a_message_goes_to_the_smsc_with_all_its_fields_and_is_delivered,
    a_long_message_arrives_whole_and_is_delivered_when_all_parts_are,
    one_part_that_fails_fails_the_message,
    what_was_delivered_while_the_host_was_dead_comes_after_it,
}

fn setup(db: Db) -> Setup {
    Setup::tester().without_whatsapp().sms(Sms::Smpp).on(db)
}

async fn paul(setup: Setup) -> Host {
    let host = Host::start(setup).await;
    host.sim.phone(PAUL, |phone| phone.whatsapp = false);
    host.customer("paul", PAUL).await;
    host
}

/// The test's own plugin writes to Paul; the message's id.
async fn sends(host: &Host, text: &str) -> String {
    let ended = host.event(steps("paul", "e", json!([{"send": {"text": text}}]))).await;
    ended["results"][0]["messages"][0]["id"].as_str().unwrap_or_else(|| panic!("{ended:#}")).to_owned()
}

/// The one text on Paul's screen.
async fn screen(host: &Host) -> Vec<String> {
    let screen = host.sim.screen(PAUL, "sms").await;
    let texts = screen.iter().filter(|entry| entry["from_phone"] == false).map(crate::harness::text_of);
    // The test's own plugin begins what is no template so.
    texts.map(|text| text.trim_start_matches("Free: ").to_owned()).collect()
}

async fn a_message_goes_to_the_smsc_with_all_its_fields_and_is_delivered(db: Db) {
    let host = paul(setup(db)).await;
    let id = sends(&host, "Prêt : 12,50 €").await;
    let message = host.until_state(&id, "delivered").await;
    assert_eq!(message.way(), "sms delivered");
    assert_eq!(attempt(&message, 1)["provider"], "smpp");
    let requests = host.sim.requests("provider=smpp").await;
    let [request] = requests.as_slice() else { panic!("{requests:#?}") };
    let sent = &request["body"];
    assert_eq!(sent["source_addr"], host.sim.options.smpp.number);
    assert_eq!((&sent["source_addr_ton"], &sent["dest_addr_ton"]), (&json!(1), &json!(1)));
    assert_eq!((&sent["destination_addr"], &sent["registered_delivery"]), (&json!("33639981201"), &json!(1)));
    assert_eq!((&sent["data_coding"], &sent["esm_class"]), (&json!(8), &json!(0)));
    assert_eq!(sent["text"], "Free: Prêt : 12,50 €");
    let id = format!("main/{}", request["answer"]["body"]["message_id"].as_str().unwrap());
    assert_eq!(attempt(&message, 1)["provider_id"], id);
}

async fn a_long_message_arrives_whole_and_is_delivered_when_all_parts_are(db: Db) {
    let host = paul(setup(db)).await;
    host.sim.trouble(json!({"kind": "late-receipts", "delay_ms": 300, "times": 1})).await;
    let text = format!("{}€ [fin]", "Votre commande est a retirer. ".repeat(12));
    let id = sends(&host, &text).await;
    let message = host.until_state(&id, "delivered").await;
    assert_eq!(screen(&host).await, [text]);
    let requests = host.sim.requests("provider=smpp").await;
    assert_eq!(requests.len(), 3);
    assert!(requests.iter().all(|request| request["body"]["esm_class"] == 0x40), "{requests:#?}");
    let ids: Vec<String> =
        requests.iter().map(|request| format!("main/{}", request["ids"][0].as_str().unwrap())).collect();
    assert_eq!(attempt(&message, 1)["provider_id"], ids.join(" "));
    assert_eq!(attempt(&message, 1)["parts"], 3);
}

async fn one_part_that_fails_fails_the_message(db: Db) {
    let host = paul(setup(db)).await;
    host.sim.trouble(json!({"kind": "error", "code": 69, "how": "webhook", "details": "EXPIRED", "times": 1})).await;
    let id = sends(&host, &"a".repeat(400)).await;
    let message = host.until_state(&id, "failed").await;
    assert_eq!(message.way(), "sms failed (undelivered)");
    assert_eq!(attempt(&message, 1)["failure"]["provider_code"], "EXPIRED");
    // The same in one part, and of a number without a telephone.
    for (details, wanted) in [("REJECTD", "rejected"), ("UNKNOWN", "undelivered")] {
        let trouble = json!({"kind": "error", "code": 1, "how": "webhook", "details": details, "times": 1});
        host.sim.trouble(trouble).await;
        let id = sends(&host, "a").await;
        assert_eq!(host.until_state(&id, "failed").await.way(), format!("sms failed ({wanted})"));
    }
    host.sim.phone(PAUL, |phone| (phone.whatsapp, phone.sms) = (false, false));
    let id = sends(&host, "a").await;
    assert_eq!(host.until_state(&id, "failed").await.way(), "sms failed (undelivered)");
}

async fn what_was_delivered_while_the_host_was_dead_comes_after_it(db: Db) {
    let mut host = paul(setup(db)).await;
    host.sim.trouble(json!({"kind": "late-receipts", "delay_ms": 400})).await;
    let id = sends(&host, &"a".repeat(200)).await;
    host.until_state(&id, "sent").await;
    host.kill().await;
    host.sim.writes(PAUL, "sms", &"Bonjour ! ".repeat(20)).await;
    host.launch().await;
    host.until_state(&id, "delivered").await;
    assert_eq!(heard(&host, 1).await, ["Bonjour ! ".repeat(20)]);
    // The old session is gone, and there is one.
    host.until_eq("there is one session", 1, async || host.sim.bound()).await;
}

/// What Paul wrote, as his conversation shows it.
async fn heard(host: &Host, count: usize) -> Vec<String> {
    let what = format!("{count} messages of his are stored");
    let looked = host.until(&what, async || {
        let conversation = host.get("/v1/customers/paul/conversation").await;
        let said = conversation["messages"].as_array().unwrap().iter().filter(|one| one["direction"] == "in");
        let texts: Vec<String> = said.map(|one| one["text"].as_str().unwrap().to_owned()).collect();
        if texts.len() == count { Ok(texts) } else { Err(format!("{conversation:#}")) }
    });
    looked.await
}

#[tokio::test]
async fn receipts_are_matched_whichever_form_and_base_their_ids_have() {
    for (receipts, hex_answers) in [(ReceiptForm::Text, true), (ReceiptForm::Fields, false)] {
        let smsc = SmppOptions { receipts, hex_answers, ..Setup::new().smsc };
        let ids = if hex_answers { "response-ids = \"hex\"\nreceipt-ids = \"decimal\"" } else { "" };
        let setup = Setup { smsc, ..Setup::tester() }.without_whatsapp();
        let setup = Setup { sms: None, ..setup }.account("smpp", &format!("sender = \"Boulange\"\n{ids}"));
        let host = paul(setup).await;
        let id = sends(&host, &"a".repeat(200)).await;
        host.until_state(&id, "delivered").await;
        let sent = &host.sim.requests("provider=smpp").await[0]["body"];
        assert_eq!((&sent["source_addr"], &sent["source_addr_ton"]), (&json!("Boulange"), &json!(5)));
    }
}

#[tokio::test]
async fn what_the_smsc_throttles_is_sent_a_little_later() {
    let host = paul(setup(Db::Sqlite)).await;
    host.sim.trouble(json!({"kind": "busy", "retry_after_s": 1, "times": 1})).await;
    let id = sends(&host, "Bonjour").await;
    host.until("it was throttled", async || {
        let message = host.message(&id).await;
        let throttled = message["attempts"][0]["failure"]["provider_code"] == "58";
        if throttled { Ok(()) } else { Err(format!("{message:#}")) }
    })
    .await;
    host.advance("5s").await;
    let message = host.until_state(&id, "delivered").await;
    assert_eq!(message.way(), "sms failed (rate-limited) → sms delivered");
    assert_eq!(screen(&host).await, ["Bonjour"]);
}

#[tokio::test]
async fn an_smsc_that_is_gone_is_found_again_and_nothing_is_lost() {
    let host = paul(setup(Db::Sqlite)).await;
    host.until_eq("the host is bound", 1, async || host.sim.bound()).await;
    host.sim.smsc_up(false);
    let id = sends(&host, "Bonjour").await;
    host.until("it cannot be sent", async || {
        let message = host.message(&id).await;
        let down = message["attempts"][0]["failure"]["code"] == "provider-down";
        if down { Ok(()) } else { Err(format!("{message:#}")) }
    })
    .await;
    host.sim.smsc_up(true);
    host.until_eq("the host is bound again", 1, async || host.sim.bound()).await;
    host.until("it is delivered", async || {
        host.advance("5s").await;
        let message = host.message(&id).await;
        if message["state"] == "delivered" { Ok(()) } else { Err(format!("{message:#}")) }
    })
    .await;
    assert_eq!(screen(&host).await, ["Bonjour"]);
}

#[tokio::test]
async fn a_lost_answer_is_in_doubt_and_is_not_sent_again_at_once() {
    let host = paul(setup(Db::Sqlite).with("http.timeout-ms = 2000")).await;
    for kind in [json!({"kind": "reset", "times": 1}), json!({"kind": "hang", "accepted": true, "times": 1})] {
        host.sim.trouble(kind.clone()).await;
        let before = host.sim.requests("provider=smpp").await.len();
        let id = sends(&host, &format!("{kind}")).await;
        host.until("it is in doubt", async || {
            let message = host.message(&id).await;
            let mut attempts = message["attempts"].as_array().unwrap().iter();
            let in_doubt = attempts.any(|attempt| attempt["state"] == "uncertain");
            if in_doubt { Ok(()) } else { Err(format!("{message:#}")) }
        })
        .await;
        assert_eq!(host.sim.requests("provider=smpp").await.len(), before + 1);
    }
}

#[tokio::test]
async fn who_writes_stop_to_the_smsc_is_left_alone_and_other_words_reach_a_plugin() {
    let host = paul(setup(Db::Sqlite)).await;
    let id = sends(&host, "Bonjour").await;
    host.until_state(&id, "delivered").await;
    host.sim.writes(PAUL, "sms", "Reçu, merci 😀").await;
    assert_eq!(heard(&host, 1).await, ["Reçu, merci 😀"]);
    host.advance("2s").await;
    host.sim.writes(PAUL, "sms", "Stop").await;
    host.until("the refusal is known", async || {
        let customer = host.get("/v1/customers/paul").await;
        if customer["consents"].to_string().contains("STOP by sms") { Ok(()) } else { Err(format!("{customer:#}")) }
    })
    .await;
    let ended = host.event(steps("paul", "e", json!([{"send": {"text": "Encore"}}]))).await;
    let id = ended["results"][0]["messages"][0]["id"].as_str().unwrap_or_else(|| panic!("{ended:#}"));
    let message = host.until_state(id, "failed").await;
    assert!(message["decision"].to_string().contains("has stopped messages on sms"), "{message:#}");
    assert_eq!(screen(&host).await, ["Bonjour"]);
}

#[tokio::test]
async fn several_hosts_bind_and_a_receipt_counts_whichever_it_comes_to() {
    let cluster = Cluster::start(setup(Db::Postgres), 2).await;
    let sim = cluster.sim.clone();
    sim.phone(PAUL, |phone| phone.whatsapp = false);
    cluster.hosts[0].customer("paul", PAUL).await;
    cluster.hosts[0].until_eq("both are bound", 2, async || sim.bound()).await;
    // Receipts and parts go to the sessions in turn.
    for no in 0..4 {
        let id = sends(&cluster.hosts[no % 2], &format!("{no} {}", "a".repeat(300))).await;
        cluster.hosts[0].until_state(&id, "delivered").await;
    }
    let long = "Je passerai la chercher demain. ".repeat(10);
    sim.writes(PAUL, "sms", &long).await;
    assert_eq!(heard(&cluster.hosts[0], 1).await, [long]);
}

#[tokio::test]
async fn a_host_that_stops_takes_leave_of_the_smsc() {
    let mut host = paul(setup(Db::Sqlite)).await;
    let id = sends(&host, "Bonjour").await;
    host.until_state(&id, "delivered").await;
    host.stop().await;
    assert_eq!(host.sim.bound(), 0);
    assert!(host.log().contains("this host stops"), "it unbinds");
}
