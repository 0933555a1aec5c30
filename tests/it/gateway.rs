//! Channels that components bring: a plugin is the gateway, under the same rules, limits and permissions.

use std::{fs, path::Path};

use serde_json::{Value, json};

use crate::harness::{Host, PAUL, Setup, attempt, copy_example};

/// The simulator posts to `…/cm/{secret}`, which is the account's name and its secret here.
const ACCOUNT: &str = "[[accounts.plugin]]\naccount = \"cm\"\nplugin = \"cm-gateway\"\nsender = \"Relais\"\n";

/// A host whose only way to anybody is the component, which talks to the simulated CM.com.
async fn shop(granted: bool) -> Host {
    let setup = Setup { sms: None, webhooks: "/v1/webhooks/plugin", ..Setup::new().without_whatsapp() };
    with_gateway(setup, granted).await
}

async fn with_gateway(setup: Setup, granted: bool) -> Host {
    let mut host = Host::prepare(setup).await;
    let packages = host.dir().join("gateways");
    copy_example("cm-gateway", &packages);
    let options = host.sim.options.clone();
    let (port, manifest) =
        (host.sim.url.rsplit(':').next().unwrap().to_owned(), packages.join("cm-gateway/plugin.toml"));
    let rule =
        format!("{{ host = \"127.0.0.1:{port}\", scheme = \"http\", methods = [\"POST\"], path = \"/v1.0/message\" }}");
    let text = fs::read_to_string(&manifest).unwrap();
    let (before, after) = text.split_once("http = [").unwrap();
    let (_, after) = after.split_once("]\n").unwrap();
    let after = after.replace("https://gw.messaging.cm.com", &host.sim.url);
    fs::write(&manifest, format!("{before}http = [{rule}]\n{after}")).unwrap();
    host.set(&format!("plugins.dir = {}", path(&packages)));
    let (token, secret) = (host.dir().join("product-token"), host.dir().join("gateway-webhook"));
    fs::write(&token, &options.cm.product_token).unwrap();
    fs::write(&secret, &options.cm.webhook_secret).unwrap();
    host.set(&format!("plugins.secrets.cm-gateway.product-token = {{ file = {} }}", path(&token)));
    if granted {
        host.set(&format!("plugins.grants.cm-gateway = {{ http = [{rule}], networks = [\"127.0.0.1\"] }}"));
    }
    host.set(&format!("{ACCOUNT}webhook-secrets = [{{ file = {} }}]", path(&secret)));
    host.launch().await;
    host.sim.phone(PAUL, |_| {});
    host.customer("paul", PAUL).await;
    host
}

fn path(path: &Path) -> toml::Value {
    toml::Value::String(path.display().to_string())
}

async fn asks(host: &Host) -> String {
    let body = json!({
        "to": {"customer": "paul"}, "purpose": "alert", "because": {"reference": "order/4821"}, "text": "Order 4821 is ready.",
    });
    host.post("/v1/messages", body).await.ok()["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_component_sends_and_reads_what_its_service_reports() {
    let host = shop(true).await;
    let id = asks(&host).await;
    let message = host.until_state(&id, "delivered").await;
    let sent = attempt(&message, 1);
    assert_eq!((&sent["provider"], &sent["account"]), (&json!("plugin:cm-gateway"), &json!("cm")), "{message:#}");
    let request = &host.sim.requests("provider=cm&accepted=true").await[0]["body"]["messages"]["msg"][0];
    assert_eq!(request["reference"], format!("{id}a1"));
    assert_eq!(request["body"]["content"], "Order 4821 is ready.");
    let token = host.sim.options.cm.product_token.clone();
    assert!(!host.log().contains(&token), "secrets are never in the log");
}

#[tokio::test]
async fn what_a_customer_writes_over_a_component_counts_like_any_other_word() {
    let host = shop(true).await;
    host.sim.writes(PAUL, "sms", "STOP").await;
    let refused = host
        .until("he has stopped", async || {
            let customer = host.get("/v1/customers/paul").await;
            if customer["consents"].as_array().unwrap().is_empty() { Err(customer.to_string()) } else { Ok(customer) }
        })
        .await;
    assert_eq!(refused["consents"][0]["channel"], "sms", "{refused:#}");
    assert_eq!(refused["consents"][0]["granted"], false, "{refused:#}");
}

#[tokio::test]
async fn without_a_grant_nothing_goes_out_and_the_message_says_why() {
    let host = shop(false).await;
    let id = asks(&host).await;
    let message = host.until_state(&id, "failed").await;
    let failure = &attempt(&message, 1)["failure"];
    assert_eq!(failure["code"], "account-problem", "{message:#}");
    assert!(failure["detail"].as_str().unwrap().contains("is not granted"), "{message:#}");
    assert!(host.sim.requests("provider=cm").await.is_empty());
}

#[tokio::test]
async fn a_webhook_needs_the_secret_of_its_account_and_a_body_that_its_component_can_read() {
    let host = shop(true).await;
    let secret = host.sim.options.cm.webhook_secret.clone();
    let posts = async |path: &str, body: Value| host.post(&format!("/v1/webhooks/plugin/{path}"), body).await;
    posts("cm/guessed", json!({})).await.problem(401, "/problems/bad-signature", None);
    posts(&format!("other/{secret}"), json!({})).await.problem(404, "/problems/not-found", None);
    posts(&format!("cm/{secret}"), json!({"hello": 1})).await.problem(400, "/problems/bad-webhook", None);
}

#[tokio::test]
async fn a_component_cannot_speak_of_another_providers_message() {
    let host = with_gateway(Setup { sms: None, ..Setup::new() }, true).await;
    host.sim.writes(PAUL, "whatsapp", "Is it ready?").await;
    host.until("the window is open", async || {
        let customer = host.get("/v1/customers/paul").await;
        if customer["window_ends"].is_null() { Err(customer.to_string()) } else { Ok(()) }
    })
    .await;
    host.sim.online(PAUL, false);
    let id = asks(&host).await;
    host.until_state(&id, "sent").await;
    let secret = host.sim.options.cm.webhook_secret.clone();
    let report = json!({"messages": {"msg": {
        "received": "2026-11-24T08:00:00", "to": "0033639981201", "reference": format!("{id}a1"), "status": {"code": 2},
    }}});
    let answer = host.post(&format!("/v1/webhooks/plugin/cm/{secret}"), report).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    // What was answered is stored, and it changed nothing: the attempt is Meta's.
    let message = host.message(&id).await;
    assert_eq!((&message["state"], &attempt(&message, 1)["provider"]), (&json!("sent"), &json!("meta")), "{message:#}");
}
