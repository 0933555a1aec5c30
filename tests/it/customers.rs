//! Customers: registered, read, replaced and erased.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, Host, LEA, MALIK, PAUL, Setup, event, order_ready};

async fn put(host: &Host, id: &str, body: &Value) -> Answer {
    let headers = [("content-type", "application/json")];
    host.send(Method::PUT, &format!("/v1/customers/{id}"), &headers, body.to_string()).await
}

async fn delete(host: &Host, id: &str) -> Answer {
    host.send(Method::DELETE, &format!("/v1/customers/{id}"), &[], "").await
}

fn sms(address: &str) -> Value {
    json!({"addresses": [{"channel": "sms", "address": address}]})
}

#[tokio::test]
async fn a_customer_is_registered_read_listed_replaced_and_erased() {
    let mut host = Host::start(Setup::new()).await;
    let profile = json!({
        "name": "Léa", "locale": "fr-FR", "timezone": "Europe/Paris", "attributes": {"size": "39"},
        "addresses": [{"channel": "whatsapp", "address": "+33 6 39 98 12 02"}],
        "consents": [{"channel": "whatsapp", "scope": "marketing", "granted": true, "source": "form v3"}],
    });
    let answer = put(&host, "lea", &profile).await.ok();
    for member in ["name", "locale", "timezone", "attributes"] {
        assert_eq!(answer[member], profile[member], "{answer:#}");
    }
    assert_eq!(answer["addresses"][0]["address"], LEA, "a number has one form, however it was written");
    assert_eq!(answer["consents"][0]["source"], "form v3");
    assert_eq!(host.get("/v1/customers/lea").await, answer);
    host.restart().await;
    assert_eq!(host.get("/v1/customers/lea").await, answer);

    host.customer("paul", PAUL).await;
    let first = host.get("/v1/customers?limit=1").await;
    assert_eq!((&first["customers"][0]["id"], &first["next"]), (&json!("lea"), &json!("lea")));
    let second = host.get("/v1/customers?limit=1&after=lea").await;
    assert_eq!(second["customers"][0]["id"], "paul");

    // What is not in the new profile is gone; what the customer once decided is not.
    let replaced = put(&host, "lea", &sms(LEA)).await.ok();
    assert_eq!((&replaced["name"], &replaced["attributes"]), (&Value::Null, &json!({})));
    assert_eq!(
        (replaced["addresses"].as_array().unwrap().len(), &replaced["addresses"][0]["channel"]),
        (1, &json!("sms"))
    );
    assert_eq!(replaced["consents"][0]["scope"], "marketing");
    assert_eq!(replaced["created"], answer["created"]);

    assert_eq!(delete(&host, "lea").await.status, 204);
    for again in [delete(&host, "lea").await, host.send(Method::GET, "/v1/customers/lea", &[], "").await] {
        assert!(again.problem(404, "/problems/not-found", Some("id"))["fix"].as_str().unwrap().contains("PUT"));
    }
    assert_eq!(host.get("/v1/customers").await["customers"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_wrong_profile_is_refused_with_the_field_and_the_fix() {
    let host = Host::start(Setup::new()).await;
    let twice = json!({"addresses": [{"channel": "sms", "address": PAUL}, {"channel": "sms", "address": LEA}]});
    let unproven = json!({"consents": [{"channel": "sms", "scope": "service", "granted": true, "source": ""}]});
    let cases = [
        (sms("+33 6 39"), "addresses[0].address", "+33639981201"),
        // Without a country code nobody knows whose it is.
        (sms("06 39 98 12 01"), "addresses[0].address", "country code"),
        (twice, "addresses[1].channel", "one for each channel"),
        (json!({"locale": "fr_FR"}), "locale", "fr-FR"),
        (json!({"timezone": "Europe/Lutetia"}), "timezone", "Europe/Paris"),
        (unproven, "consents[0].source", "form"),
    ];
    for (profile, field, fix) in cases {
        let answer = put(&host, "x", &profile).await;
        let problem = answer.problem(400, "/problems/bad-field", Some(field));
        assert!(problem["fix"].as_str().unwrap().contains(fix), "{problem:#}");
    }
    let unknown = put(&host, "x", &json!({"adresses": []})).await;
    let problem = unknown.problem(400, "/problems/bad-json", None);
    assert!(problem["detail"].as_str().unwrap().contains("adresses"), "{problem:#}");
    let fax = json!({"addresses": [{"channel": "fax", "address": PAUL}]});
    let problem = put(&host, "x", &fax).await;
    assert!(problem.problem(400, "/problems/bad-json", None)["detail"].as_str().unwrap().contains("whatsapp"));
    put(&host, &"x".repeat(300), &json!({})).await.problem(400, "/problems/bad-field", Some("id"));
    let text = host.send(Method::PUT, "/v1/customers/x", &[("content-type", "text/plain")], "{}").await;
    text.problem(415, "/problems/bad-content-type", Some("content-type"));
    assert_eq!(host.get("/v1/customers").await["customers"], json!([]));
}

#[tokio::test]
async fn a_number_without_a_country_code_is_read_in_the_country_of_the_configuration() {
    let host = Host::start(Setup::new().with("ingress.default-region = \"FR\"")).await;
    assert_eq!(put(&host, "paul", &sms("06 39 98 12 01")).await.ok()["addresses"][0]["address"], PAUL);
}

#[tokio::test]
async fn what_is_known_of_an_address_survives_a_new_profile_and_a_restart_and_goes_with_the_address() {
    let mut host = Host::start(Setup::new()).await;
    host.sim.phone(PAUL, |_| {});
    host.sim.phone(LEA, |phone| phone.whatsapp = false);
    host.customer("paul", PAUL).await;
    host.customer("lea", LEA).await;
    host.sim.writes(PAUL, "whatsapp", "Bonjour").await;
    host.event(order_ready("lea", "O-1")).await;
    host.only_message("lea", "delivered").await;
    let whatsapp = async |host: &Host, id: &str| -> Value {
        let customer = host.get(&format!("/v1/customers/{id}")).await;
        customer["addresses"].as_array().unwrap().iter().find(|one| one["channel"] == "whatsapp").unwrap().clone()
    };
    let paul = host
        .until("Paul has written", async || {
            let address = whatsapp(&host, "paul").await;
            if address["last_incoming"].is_null() { Err(address.to_string()) } else { Ok(address) }
        })
        .await;
    let lea = whatsapp(&host, "lea").await;
    assert!(lea["unusable_until"].is_string(), "{lea}");

    host.customer_with("paul", PAUL, json!({"name": "Paul the second"})).await;
    host.customer_with("lea", LEA, json!({"locale": "fr"})).await;
    host.restart().await;
    assert_eq!((whatsapp(&host, "paul").await, whatsapp(&host, "lea").await), (paul, lea));
    assert!(host.get("/v1/customers/paul").await["window_ends"].is_string());

    host.customer("paul", MALIK).await;
    let paul = host.get("/v1/customers/paul").await;
    assert_eq!((&paul["addresses"][0]["last_incoming"], &paul["window_ends"]), (&Value::Null, &Value::Null));
}

/// Which of these words are in the store's files.
fn left(host: &Host, words: &[&str]) -> Vec<String> {
    let mut left = Vec::new();
    let mut files = 0;
    for entry in std::fs::read_dir(host.dir()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if !name.starts_with("relais.db") {
            continue;
        }
        files += 1;
        let bytes = std::fs::read(&path).unwrap();
        let found = words.iter().filter(|word| bytes.windows(word.len()).any(|window| window == word.as_bytes()));
        left.extend(found.map(|word| format!("{word} in {name}")));
    }
    assert!(files > 0, "there is no store");
    left
}

#[tokio::test]
async fn of_an_erased_customer_no_number_and_no_text_is_left_in_the_stores_files() {
    let mut host = Host::start(Setup::new()).await;
    host.sim.phone(PAUL, |_| {});
    host.sim.phone(LEA, |phone| phone.whatsapp = false);
    let paul = json!({"name": "Paulus Quirinus", "attributes": {"pet": "axolotl"}});
    host.customer_with("customer-4711", PAUL, paul).await;
    host.customer("lea", LEA).await;
    // A delivered message, one in a queue, what the customer wrote, and a plugin's timer and state.
    let bread = |order: &str| {
        let data = json!({"order": order, "shop": "Boulangerie Quetzal", "minutes": 2});
        event("com.example.order.ready", "customer-4711", data)
    };
    host.event(bread("O-1")).await;
    host.only_message("customer-4711", "read").await;
    host.sim.writes(PAUL, "whatsapp", "My doorbell says zanzibar").await;
    host.sim.writes(PAUL, "sms", "and kumquat").await;
    let dentist = json!({"appointment": "D-1", "title": "Dr Zyx", "starts": "2026-12-24T18:00:00+01:00"});
    host.event(event("com.example.appointment.booked", "customer-4711", dentist)).await;
    host.sim.online(PAUL, false);
    host.event(bread("O-2")).await;
    host.event(order_ready("lea", "ORDER-LEA")).await;
    host.only_message("lea", "delivered").await;
    host.until("what he wrote is stored", async || {
        let paul = host.get("/v1/customers/customer-4711").await;
        // The id that WhatsApp tells of him is an address too, which nothing was written from.
        let numbers = paul["addresses"].as_array().unwrap().iter().filter(|address| address["address"] == PAUL);
        let wrote = numbers.filter(|address| !address["last_incoming"].is_null()).count();
        if wrote == 2 { Ok(()) } else { Err(paul.to_string()) }
    })
    .await;
    let number = PAUL.trim_start_matches("+33");
    // Names of entities stay, an order's number here: nothing leads from there to a customer any more.
    let words = [number, "customer-4711", "Quirinus", "axolotl", "Quetzal", "zanzibar", "kumquat", "Dr Zyx"];
    // That they can be found is what makes it count that they are not.
    let before = left(&host, &words);
    for word in words {
        assert!(before.iter().any(|found| found.starts_with(word)), "{word} was never there: {before:?}");
    }

    assert_eq!(delete(&host, "customer-4711").await.status, 204);
    let at_once = left(&host, &words);
    host.stop().await;
    assert_eq!((at_once, left(&host, &words)), (Vec::new(), Vec::new()));
    assert!(!left(&host, &["ORDER-LEA"]).is_empty(), "the others' rows stay");

    host.launch().await;
    assert_eq!(host.stats().await["timers"], 0);
    assert_eq!(host.messages("customer-4711").await, Vec::<Value>::new());
    // A late receipt about what was erased brings nothing back.
    host.sim.online(PAUL, true);
    host.until("the late receipts were taken", async || {
        let of_paul = host.sim.webhooks(&format!("state=taken&number=%2B33{number}")).await;
        let read = of_paul.iter().filter(|webhook| webhook["about"].to_string().contains("\"read\"")).count();
        if read == 2 { Ok(()) } else { Err(format!("{read} of 2 are read: {of_paul:?}")) }
    })
    .await;
    host.stop().await;
    assert_eq!(left(&host, &words), Vec::<String>::new());
}
