//! What a provider sees of the whole path: from an event, through a plugin, to the body in the provider's own words.

use serde_json::{Value, json};

use crate::harness::{Host, LEA, PAUL, Setup, Sms, event, order_ready};

async fn town(sms: Sms) -> Host {
    let host = Host::start(Setup::new().sms(sms)).await;
    host.sim.phone(PAUL, |_| {});
    host.customer("paul", PAUL).await;
    host.customer_with("lea", LEA, json!({"locale": "fr-FR", "addresses": [{"channel": "sms", "address": LEA}]})).await;
    host
}

/// The one request to a provider, once its message has arrived.
async fn request(host: &Host, customer: &str, provider: &str) -> (Value, Value) {
    let state = if provider == "meta" { "read" } else { "delivered" };
    let message = host.only_message(customer, state).await;
    let requests = host.sim.requests(&format!("provider={provider}")).await;
    assert_eq!(requests.len(), 1, "{requests:#?}");
    (requests[0].clone(), message)
}

#[tokio::test]
async fn meta_gets_the_template_with_its_parameters_in_order() {
    let host = town(Sms::Cm).await;
    host.event(order_ready("paul", "A-7")).await;
    let (request, message) = request(&host, "paul", "meta").await;
    assert_eq!(request["path"], format!("/v25.0/{}/messages", host.sim.options.meta.phone_number_id));
    let body = &request["body"];
    assert_eq!((&body["messaging_product"], &body["recipient_type"]), (&json!("whatsapp"), &json!("individual")));
    assert_eq!((&body["to"], &body["type"]), (&json!(PAUL), &json!("template")), "{body:#}");
    assert_eq!(
        (&body["template"]["name"], &body["template"]["language"]["code"]),
        (&json!("order_ready"), &json!("en"))
    );
    let parameters =
        json!([{"type": "text", "text": "A-7"}, {"type": "text", "text": "Paul"}, {"type": "text", "text": "2"}]);
    assert_eq!(body["template"]["components"], json!([{"type": "body", "parameters": parameters}]), "{body:#}");
    // By what comes back with a receipt the message is found, whoever is first.
    let token = body["biz_opaque_callback_data"].as_str().unwrap();
    assert!(token.contains(message["id"].as_str().unwrap().trim_start_matches('m')), "{token}");
    assert_eq!(request["ids"][0], message["attempts"][0]["provider_id"]);
}

#[tokio::test]
async fn cm_gets_the_text_with_its_sender_and_a_reference() {
    let host = town(Sms::Cm).await;
    host.event(order_ready("lea", "A-7")).await;
    let (request, _) = request(&host, "lea", "cm").await;
    let message = &request["body"]["messages"]["msg"][0];
    assert_eq!(message["from"], "Relais", "{message:#}");
    assert_eq!(message["to"], json!([{"number": "0033639981202"}]));
    assert_eq!(message["body"]["content"], "Votre commande A-7 chez Paul sera prête dans 2 min. À tout de suite !");
    assert_eq!(message["reference"], request["tokens"][0]);
    assert!(!request["body"].to_string().contains(LEA), "CM writes numbers with 00");
}

#[tokio::test]
async fn twilio_gets_a_form_with_where_its_receipts_go() {
    let host = town(Sms::Twilio).await;
    let dentist = json!({"ticket": "T-1", "kind": "train", "title": "Paris – Lyon", "seat": "12/45",
        "starts": "2026-11-24T19:58:00+01:00", "document": "https://tickets.example.com/T.pdf"});
    host.event(event("com.example.ticket.issued", "lea", dentist)).await;
    let (request, _) = request(&host, "lea", "twilio").await;
    let body = &request["body"];
    assert_eq!((&body["To"], &body["From"]), (&json!(LEA), &json!(host.sim.options.twilio.number)), "{body:#}");
    assert!(body["Body"].as_str().unwrap().contains("https://tickets.example.com/T.pdf"), "{body:#}");
    assert!(
        body["StatusCallback"].as_str().unwrap().starts_with(&format!("{}/v1/webhooks/twilio", host.url)),
        "{body:#}"
    );
}
