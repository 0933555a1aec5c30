//! What a message can be, asked for over HTTP: what the customer sees of it on each channel, and what is behind its links.

use relais::ids::{MessageId, TenantId};
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Host, PAUL, Setup, text_of};

/// Paul has a telephone, and has written on WhatsApp, so that anything may be sent there.
async fn paul(setup: Setup) -> (Host, String) {
    let host = Host::start(setup).await;
    host.sim.phone(PAUL, |_| {});
    host.customer("paul", PAUL).await;
    let written = host.sim.writes(PAUL, "whatsapp", "Hello").await;
    let id = MessageId::of_incoming(&TenantId::default_tenant(), "meta", written["id"].as_str().unwrap()).to_string();
    host.until("what Paul wrote is stored", async || {
        let answer = host.send(Method::GET, &format!("/v1/messages/{id}"), &[], "").await;
        if answer.status == 200 { Ok(()) } else { Err(answer.text) }
    })
    .await;
    (host, id)
}

fn asked(more: Value) -> Value {
    let mut message =
        json!({"to": {"customer": "paul"}, "purpose": "confirmation", "because": {"reference": "order/4821"}});
    for (name, value) in more.as_object().unwrap() {
        message[name] = value.clone();
    }
    message
}

async fn sent(host: &Host, more: Value) -> String {
    host.post("/v1/messages", asked(more)).await.ok()["id"].as_str().unwrap().to_owned()
}

/// The body of the one request that carried this message to Meta.
async fn on_the_wire(host: &Host, id: &str) -> Value {
    let what = format!("{id} is on its way");
    host.until(&what, async || {
        let requests = host.sim.requests("provider=meta").await;
        let of_message = |request: &&Value| {
            request["body"]["biz_opaque_callback_data"].as_str().is_some_and(|token| token.starts_with(id))
        };
        match requests.iter().filter(of_message).collect::<Vec<_>>().as_slice() {
            [only] => Ok(only["body"].clone()),
            others => Err(format!("{others:#?}: {:#}", host.message(id).await)),
        }
    })
    .await
}

#[tokio::test]
async fn every_kind_of_content_is_taken_over_http_and_goes_out_as_meta_has_it() {
    let (host, written) = paul(Setup::new()).await;
    let body = async |more: Value| on_the_wire(&host, &sent(&host, more).await).await;

    let list = body(json!({"text": "When?", "header": "Delivery", "footer": "Shop", "list_menu": {
        "button": "Choose", "sections": [{"title": "Tomorrow", "rows": [{"id": "am", "label": "8 to 12", "description": "Free"}]}],
    }}))
    .await;
    let rows = json!([{"title": "Tomorrow", "rows": [{"id": "am", "title": "8 to 12", "description": "Free"}]}]);
    assert_eq!(list["interactive"]["action"], json!({"button": "Choose", "sections": rows}), "{list:#}");
    assert_eq!(list["interactive"]["header"], json!({"type": "text", "text": "Delivery"}));
    assert_eq!(list["interactive"]["footer"], json!({"text": "Shop"}));

    let link =
        body(json!({"text": "On its way", "link": {"label": "Follow it", "url": "https://shop.example/4821"}})).await;
    assert_eq!(link["interactive"]["type"], "cta_url", "{link:#}");
    let sticker = body(json!({"sticker": {"url": "https://cdn.shop.example/thanks.webp"}})).await;
    assert_eq!(sticker["sticker"], json!({"link": "https://cdn.shop.example/thanks.webp"}), "{sticker:#}");
    let card = body(json!({"contact_card": {"name": "Dr Example", "phone": "+33139980001"}})).await;
    assert_eq!(card["contacts"][0]["phones"][0]["phone"], "+33139980001", "{card:#}");
    let document = body(json!({
        "attachment": {"bytes": "JVBERi0xLjQK", "mime-type": "application/pdf", "filename": "a.pdf"}, "text": "Your ticket",
    }))
    .await;
    assert!(document["document"]["id"].is_string(), "{document:#}");
    assert_eq!(document["document"]["filename"], "a.pdf");

    let wamid = host.sim.screen(PAUL, "whatsapp").await[0]["id"].clone();
    let reaction = body(json!({"reaction": {"message": written, "emoji": "👍"}})).await;
    assert_eq!(reaction["reaction"], json!({"message_id": wamid, "emoji": "👍"}), "{reaction:#}");
    let quoting = body(json!({"text": "Until 8 p.m.", "quote": written})).await;
    assert_eq!(quoting["context"], json!({"message_id": wamid}), "{quoting:#}");
    // One of ours is quoted by what Meta calls it.
    let first = sent(&host, json!({"text": "First"})).await;
    let first_wamid = host
        .until("Meta has taken it", async || {
            host.message(&first).await["attempts"][0]["provider_id"]
                .as_str()
                .map(str::to_owned)
                .ok_or("not yet".to_owned())
        })
        .await;
    let again = body(json!({"text": "And again", "quote": first})).await;
    assert_eq!(again["context"], json!({"message_id": first_wamid}), "{again:#}");
}

#[tokio::test]
async fn a_message_is_shown_as_it_was_asked_for() {
    let (host, _) = paul(Setup::new()).await;
    let card = json!({"name": "Dr Example", "phone": "+33139980001"});
    let id = sent(&host, json!({"contact_card": card, "language": "fr"})).await;
    let shown = host.message(&id).await["content"].clone();
    assert_eq!((&shown["contact_card"], &shown["language"]), (&card, &json!("fr")), "{shown:#}");
    let id = sent(
        &host,
        json!({"text": "?", "header": "H", "choices": [{"id": "a", "label": "A", "description": "more", "section": "S"}]}),
    )
    .await;
    let shown = host.message(&id).await["content"].clone();
    assert_eq!(
        shown["choices"],
        json!([{"id": "a", "label": "A", "description": "more", "section": "S"}]),
        "{shown:#}"
    );
    assert_eq!((&shown["header"], &shown["link"]), (&json!("H"), &Value::Null));
}

#[tokio::test]
async fn what_does_not_go_together_is_refused_by_its_field() {
    let (host, _) = paul(Setup::new()).await;
    let link = json!({"label": "x", "url": "https://x.example"});
    let card = json!({"name": "x", "phone": "+33139980001"});
    for (more, field) in [
        (json!({"text": "x", "link": link, "contact_card": card}), "contact_card"),
        (json!({"attachment": {"mime_type": "image/png"}}), "attachment"),
        (json!({"attachment": {"mime_type": "image/png", "bytes": "no base64!"}}), "attachment.bytes"),
        (json!({"sticker": {"asset": "thanks.webp"}}), "sticker.asset"),
        (json!({"text": "x", "quote": "nonsense"}), "quote"),
        (json!({"reaction": {"message": "nonsense", "emoji": "👍"}}), "reaction.message"),
        (json!({"text": "x", "choices": [{"id": "a", "label": "A"}], "list_menu": {"sections": []}}), "list_menu"),
    ] {
        host.post("/v1/messages", asked(more)).await.problem(400, "/problems/bad-field", Some(field));
    }
    // Nobody may be shown what another wrote or was sent.
    host.customer("lea", "+33639981202").await;
    let to_lea = asked(json!({"to": {"customer": "lea"}, "text": "For Léa"}));
    let hers = host.post("/v1/messages", to_lea).await.ok()["id"].clone();
    let quoting = asked(json!({"text": "x", "quote": hers}));
    host.post("/v1/messages", quoting).await.problem(400, "/problems/bad-field", Some("quote"));
}

/// The text of the one SMS on Paul's telephone.
async fn sms(host: &Host) -> Value {
    host.until("Paul has one SMS", async || {
        let screen = host.sim.screen(PAUL, "sms").await;
        match screen.as_slice() {
            [only] => Ok(only.clone()),
            _ => Err(format!("{screen:#?}")),
        }
    })
    .await
}

#[tokio::test]
async fn a_document_is_behind_a_link_in_the_sms_until_its_customer_is_erased() {
    let (host, _) = paul(Setup::new()).await;
    let ticket = json!({"bytes": "JVBERi0xLjQK", "mime_type": "application/pdf", "filename": "ticket.pdf"});
    sent(&host, json!({"text": "Coach 12, seat 45", "attachment": ticket, "sms": "only"})).await;
    let text = text_of(&sms(&host).await);
    let (before, link) = text.split_once("ticket.pdf: ").unwrap_or_else(|| panic!("{text}"));
    assert_eq!(before, "Coach 12, seat 45\n");
    let path = link.strip_prefix(&host.url).unwrap_or_else(|| panic!("{link}")).to_owned();
    let file = host.send(Method::GET, &path, &[], "").await;
    assert_eq!((file.status, file.text.as_str()), (200, "%PDF-1.4\n"));
    assert_eq!((file.header("content-type"), file.header("x-content-type-options")), ("application/pdf", "nosniff"));
    assert_eq!(host.send(Method::HEAD, &path, &[], "").await.header("content-length"), "9");
    assert_eq!(host.send(Method::GET, &format!("{path}x"), &[], "").await.status, 404);
    host.send(Method::DELETE, "/v1/customers/paul", &[], "").await.ok();
    assert_eq!(host.send(Method::GET, &path, &[], "").await.status, 410);
}

#[tokio::test]
async fn a_link_ends_when_its_days_are_over() {
    let (host, _) = paul(Setup::new().with("links.days = 2")).await;
    let ticket = json!({"bytes": "JVBERi0xLjQK", "mime_type": "application/pdf"});
    sent(&host, json!({"text": "Coach 12", "attachment": ticket, "sms": "only"})).await;
    let text = text_of(&sms(&host).await);
    let path = text.split_once(&host.url).unwrap_or_else(|| panic!("{text}")).1.to_owned();
    assert_eq!(host.send(Method::GET, &path, &[], "").await.status, 200);
    host.advance("48h").await;
    let over = host.send(Method::GET, &path, &[], "").await;
    assert_eq!((over.status, over.text.as_str()), (410, "This link has expired."));
}

/// A story of the README's.
#[tokio::test]
async fn french_text_is_saved_from_three_parts_to_one_and_says_what_was_changed() {
    let text = "Bonjour Zoé, votre commande est prête ! Elle vous attend au comptoir « Retrait » jusqu’à 19 h… Pensez à \
                votre pièce d’identité. À très bientôt, l’équipe.";
    let as_it_is = {
        let (host, _) = paul(Setup::new()).await;
        let foreseen = host.post("/v1/messages?dry_run=true", asked(json!({"text": text, "sms": "only"}))).await.ok();
        foreseen["plan"].clone()
    };
    assert_eq!(
        (&as_it_is["shown"]["sms"]["encoding"], &as_it_is["parts"]),
        (&json!("UCS-2"), &json!(3)),
        "{as_it_is:#}"
    );

    let (host, _) = paul(Setup::new().with("sms.transliterate = true")).await;
    let id = sent(&host, json!({"text": text, "sms": "only"})).await;
    let message = host.until_state(&id, "delivered").await;
    assert_eq!(message["attempts"][0]["parts"], 1, "{message:#}");
    assert_eq!(
        text_of(&sms(&host).await),
        "Bonjour Zoé, votre commande est prete ! Elle vous attend au comptoir \" Retrait \" jusqu'à 19 h... Pensez à votre pièce \
         d'identité. A très bientot, l'équipe."
    );
    let said = &message["attempts"][0]["decision"]["routes"][0]["sms"];
    assert_eq!((&said["encoding"], &said["parts"]), (&json!("GSM-7"), &json!(1)), "{message:#}");
    let changed = said["changed"].as_array().unwrap();
    assert!(changed.contains(&json!("`ê` written as `e`")), "{said:#}");
    assert!(changed.contains(&json!("`…` written as `...`")), "{said:#}");
    let price = |of: &Value| of["price_micros"].as_i64().unwrap();
    assert_eq!(price(&as_it_is), 3 * price(&message["attempts"][0]));
}

/// The id under which Meta keeps the document of a message.
async fn document_of(host: &Host, id: &str) -> String {
    let body = on_the_wire_last(host, id).await;
    body["document"]["id"].as_str().unwrap_or_else(|| panic!("{body:#}")).to_owned()
}

/// The body of the last request that carried this message to Meta, once it was taken.
async fn on_the_wire_last(host: &Host, id: &str) -> Value {
    host.until("Meta has taken it", async || {
        let message = host.message(id).await;
        if message["attempts"][0]["provider_id"].is_string() { Ok(()) } else { Err(format!("{message:#}")) }
    })
    .await;
    let requests = host.sim.requests("provider=meta&accepted=true").await;
    let of_message = |request: &&Value| {
        request["body"]["biz_opaque_callback_data"].as_str().is_some_and(|token| token.starts_with(id))
    };
    requests.iter().rev().find(of_message).unwrap_or_else(|| panic!("{requests:#?}"))["body"].clone()
}

#[tokio::test]
async fn a_file_is_uploaded_once_and_again_where_the_provider_has_forgotten_it() {
    let (host, _) = paul(Setup::new()).await;
    let ticket = |name: &str| json!({"attachment": {"bytes": "JVBERi0xLjQK", "mime_type": "application/pdf", "filename": name}, "text": "Ticket"});
    let first = sent(&host, ticket("a.pdf")).await;
    let kept = document_of(&host, &first).await;
    let second = sent(&host, ticket("b.pdf")).await;
    assert_eq!(document_of(&host, &second).await, kept, "the name is the message's, the bytes are the same");
    let other = json!({"attachment": {"bytes": "JVBERi0xLjUK", "mime_type": "application/pdf"}, "text": "Another"});
    let other = sent(&host, other).await;
    assert_ne!(document_of(&host, &other).await, kept);

    // Meta forgets it before its time.
    let token = &host.sim.options.meta.access_token;
    let forgotten =
        host.client.delete(format!("{}/v25.0/{kept}", host.sim.url)).bearer_auth(token).send().await.unwrap();
    assert!(forgotten.status().is_success());
    let third = sent(&host, ticket("c.pdf")).await;
    let anew = document_of(&host, &third).await;
    assert_ne!(anew, kept);
    let record = host.message(&third).await;
    assert_eq!(record["attempts"].as_array().unwrap().len(), 1, "it is one attempt: {record:#}");
    let fourth = sent(&host, ticket("d.pdf")).await;
    assert_eq!(document_of(&host, &fourth).await, anew);
    let shown = host.sim.screen(PAUL, "whatsapp").await;
    let tickets = shown.iter().filter(|entry| text_of(entry).contains("Ticket")).count();
    assert_eq!(tickets, 4, "nothing is there twice: {shown:#?}");
    // After its days it is uploaded again, whatever the provider still has.
    host.advance("696h").await;
    let written = host.sim.writes(PAUL, "whatsapp", "Still there?").await;
    let id = MessageId::of_incoming(&TenantId::default_tenant(), "meta", written["id"].as_str().unwrap());
    host.until("what Paul wrote is stored", async || {
        let answer = host.send(Method::GET, &format!("/v1/messages/{id}"), &[], "").await;
        if answer.status == 200 { Ok(()) } else { Err(answer.text) }
    })
    .await;
    let fifth = sent(&host, ticket("e.pdf")).await;
    assert_ne!(document_of(&host, &fifth).await, anew);
}

/// Paul sends a picture; the id of what he wrote, once it is stored.
async fn picture(host: &Host, more: Value) -> String {
    let mut write = json!({"channel": "whatsapp", "image": {"caption": "Look"}});
    for (name, value) in more.as_object().unwrap() {
        write[name] = value.clone();
    }
    let path = format!("/sim/phones/{PAUL}/write");
    let provider = write["provider"].as_str().unwrap_or("meta").to_owned();
    let written = host.sim.call(Method::POST, &path, Some(write)).await;
    let provider_id = written["id"].as_str().unwrap();
    MessageId::of_incoming(&TenantId::default_tenant(), &provider, provider_id).to_string()
}

/// A customer's file, once it was fetched.
async fn fetched(host: &Host, id: &str) -> crate::harness::Answer {
    host.until("the file is fetched", async || {
        let answer = host.send(Method::GET, &format!("/v1/messages/{id}/media"), &[], "").await;
        if answer.status == 200 { Ok(answer) } else { Err(answer.text) }
    })
    .await
}

#[tokio::test]
async fn a_picture_that_a_customer_sends_is_fetched_and_kept_for_its_days() {
    let (host, _) = paul(Setup::new().with("media.keep-days = 3")).await;
    let id = picture(&host, json!({})).await;
    let file = fetched(&host, &id).await;
    assert_eq!((file.header("content-type"), file.header("x-content-type-options")), ("image/png", "nosniff"));
    let shown = host.get(&format!("/v1/messages/{id}")).await;
    assert_eq!(shown["incoming"]["media"][0]["href"], format!("/v1/messages/{id}/media/0"), "{shown:#}");
    let none = host.send(Method::GET, &format!("/v1/messages/{id}/media/1"), &[], "").await;
    none.problem(404, "/problems/not-found", Some("place"));
    host.advance("72h").await;
    host.until("it is gone", async || {
        let answer = host.send(Method::GET, &format!("/v1/messages/{id}/media"), &[], "").await;
        if answer.status == 404 { Ok(()) } else { Err(answer.text) }
    })
    .await;
}

#[tokio::test]
async fn a_file_is_fetched_once_the_provider_answers_and_gone_with_its_customer() {
    let (host, _) = paul(Setup::new()).await;
    host.sim.trouble(json!({"provider": "meta", "kind": "unavailable"})).await;
    let id = picture(&host, json!({})).await;
    host.until("it is tried and not to be had", async || {
        let answer = host.send(Method::GET, &format!("/v1/messages/{id}/media"), &[], "").await;
        if answer.text.contains("not fetched yet: Meta") { Ok(()) } else { Err(answer.text) }
    })
    .await;
    host.sim.no_trouble().await;
    host.advance("1m").await;
    fetched(&host, &id).await;
    host.send(Method::DELETE, "/v1/customers/paul", &[], "").await.ok();
    assert_eq!(host.send(Method::GET, &format!("/v1/messages/{id}/media"), &[], "").await.status, 404);
}

#[tokio::test]
async fn a_file_that_is_too_large_is_not_kept_and_says_so() {
    let (host, _) = paul(Setup::new().with("media.bytes-max = 10")).await;
    let id = picture(&host, json!({})).await;
    host.until("it is given up", async || {
        let answer = host.send(Method::GET, &format!("/v1/messages/{id}/media"), &[], "").await;
        if answer.text.contains("media.bytes-max is 10") { Ok(()) } else { Err(answer.text) }
    })
    .await;
}

/// Links of Twilio and CM.com are followed to their own hosts alone.
#[tokio::test]
async fn a_link_in_a_webhook_is_followed_to_the_providers_hosts_alone() {
    let (host, _) = paul(
        Setup::new().account("twilio", "account = \"whatsapp\"\nchannel = \"whatsapp\"\nsender = \"+33139980001\""),
    )
    .await;
    let own = picture(&host, json!({})).await;
    fetched(&host, &own).await;
    let shown = host.get(&format!("/v1/messages/{own}")).await;
    let media_id = shown["incoming"]["media"][0]["id"].as_str().unwrap();
    let twilio = |url: String| json!({"provider": "twilio", "image": {"caption": "Look", "url": url}});
    let id = picture(&host, twilio(format!("{}/sim/media/{media_id}", host.sim.url))).await;
    assert_eq!(fetched(&host, &id).await.header("content-type"), "image/png");
    let id = picture(&host, twilio("http://169.254.169.254/latest/meta-data".to_owned())).await;
    host.until("nobody asks there", async || {
        let answer = host.send(Method::GET, &format!("/v1/messages/{id}/media"), &[], "").await;
        if answer.text.contains("no host of the provider") { Ok(()) } else { Err(answer.text) }
    })
    .await;
}

/// What is wrong with a template's header or link is Meta's refusal, by Meta's code.
#[tokio::test]
async fn a_template_with_header_and_link_goes_out_and_a_wrong_one_is_refused_as_by_meta() {
    let (host, _) = paul(Setup::new()).await;
    let approved = json!({"name": "parcel", "language": "en", "category": "UTILITY", "components": [
        {"type": "HEADER", "format": "TEXT", "text": "Order {{1}}"}, {"type": "BODY", "text": "It comes on {{1}}."},
        {"type": "BUTTONS", "buttons": [
            {"type": "QUICK_REPLY", "text": "Fine"}, {"type": "URL", "text": "Follow it", "url": "https://shop.example/{{1}}"},
        ]},
    ]});
    let meta = &host.sim.options.meta;
    let path = format!("{}/v25.0/{}/message_templates", host.sim.url, meta.waba_id);
    let made = host.client.post(path).bearer_auth(&meta.access_token).json(&approved).send().await.unwrap();
    assert!(made.status().is_success());
    // The window is over, so that nothing but a template may be sent.
    host.advance("25h").await;
    let template = json!({
        "name": "parcel", "category": "utility", "language": "en", "params": {"order": "4821", "day": "Friday"},
        "header": "Order {{order}}", "body": "It comes on {{day}}.",
        "buttons": ["fine", {"link": "https://shop.example/{{order}}", "label": "Follow it"}],
    });
    let good = sent(&host, json!({"template": template, "sms": "never"})).await;
    host.until("it has arrived", async || {
        let message = host.message(&good).await;
        if ["delivered", "read"].iter().any(|state| message["state"] == *state) {
            Ok(())
        } else {
            Err(format!("{message:#}"))
        }
    })
    .await;
    let shown = host.sim.screen(PAUL, "whatsapp").await.pop().unwrap();
    assert_eq!(shown["content"]["header"], "Order 4821", "{shown:#}");
    assert_eq!(host.message(&good).await["content"]["template"]["links"][0]["url"], "https://shop.example/4821");

    let mut without = template.clone();
    without.as_object_mut().unwrap().remove("header");
    let mut no_link = template.clone();
    no_link["buttons"] = json!(["fine"]);
    for (wrong, code) in [(without, "132000"), (no_link, "131008")] {
        let id = sent(&host, json!({"template": wrong, "sms": "never"})).await;
        let message = host.until_state(&id, "failed").await;
        assert_eq!(message["attempts"][0]["failure"]["provider_code"], code, "{message:#}");
    }
}
